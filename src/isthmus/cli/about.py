"""The command that says what is here; it starts without torch."""

from __future__ import annotations

import json as json_format
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from isthmus import __version__
from isthmus._checks import shortened
from isthmus.cli.console import print_json, print_lines
from isthmus.persistence import read_config

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "safetensors")
OPTIONAL = ("pandas", "pyarrow")


def info(model: str | None = None, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Show versions and hardware, or what a saved model is.

    Parameters
    ----------
    model
        A saved model.
    json
        Print one JSON object.
    """
    result = _machine() if model is None else _saved(Path(model))
    if json:
        print_json(result)
        return
    width = max(map(len, result))
    print_lines(*(f"{_text(name):<{width}}  {_text(value)}" for name, value in result.items()))


def _machine() -> dict[str, Any]:
    return {
        "isthmus": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in (*PACKAGES, *OPTIONAL)},
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _saved(folder: Path) -> dict[str, Any]:
    config = read_config(folder)
    last = config["history"][-1]
    first = {name: config[name] for name in ("isthmus", "input_shape")}
    after = {
        "trained on": config.get("engine") or None,
        "epochs": len(config["history"]),
        "last loss": last["loss"],
        "last validation loss": last.get("validation_loss"),
    }
    taken = {"model", *first, *after}
    settings = {shortened(name, 80): value for name, value in config["settings"].items() if name not in taken}
    return {"model": config["class"], **first, **settings, **after}


def _text(value: Any) -> str:
    if value is None:
        return "–"
    # Characters that a terminal would act on are written as JSON escapes them.
    return value if isinstance(value, str) and value.isprintable() else json_format.dumps(value)
