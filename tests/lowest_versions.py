"""Constraints with the lowest versions that pyproject.toml declares, for `make test-lowest`.

    python tests/lowest_versions.py > lowest.txt

PyTorch keeps the version of constraints.txt: of its older versions the registries have builds for CUDA alone, of
several gigabytes.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT = ("torch",)
#: Of the packages for development, what users may bring with them, and what runs the tests.
BROUGHT = ("polars>", "pytest>", "hypothesis>")

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)(\[[^\]]*\])?>=(?P<version>[0-9.]+)")


def lowest() -> dict[str, str]:
    """Return the lowest version of each package, by name.

    Raises
    ------
    ValueError
        When a requirement is not of the form ``name>=version``.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for extra, names in project["optional-dependencies"].items():
        others = [name for name in names if not name.startswith("isthmus[")]
        requirements += others if extra != "dev" else [name for name in others if name.startswith(BROUGHT)]
    found = {}
    for requirement in requirements:
        match = _REQUIREMENT.fullmatch(requirement)
        if match is None:
            raise ValueError(f"{requirement!r} in pyproject.toml does not say name>=version.")
        found[match["name"]] = match["version"]
    return found


def constraints() -> list[str]:
    """Return the lines of a file of constraints."""
    newest = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    versions = {**lowest(), **{name: newest[name] for name in KEPT}}
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


if __name__ == "__main__":
    print("\n".join(constraints()))
