"""Where results go, and what machine they are from."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

import isthmus

HERE = Path(__file__).parent


def machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    capability = torch.backends.cpu.get_cpu_capability()
    versions = f"Isthmus {isthmus.__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    return f"{cores} cores, {platform.machine()}, {capability}; {versions}"


def write_between(start: str, end: str, lines: Sequence[str], path: Path = HERE / "RESULTS.md") -> None:
    """Replace what stands between two marks of a page, RESULTS.md unless another one is given."""
    before, _, rest = path.read_text(encoding="utf-8").partition(f"<!-- {start} -->\n")
    _, _, after = rest.partition(f"<!-- {end} -->")
    text = "\n".join(lines)
    path.write_text(f"{before}<!-- {start} -->\n{text}\n<!-- {end} -->{after}", encoding="utf-8")
