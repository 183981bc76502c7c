"""Which fit a checkpoint is of: everything that its result depends on."""

from __future__ import annotations

import hashlib
import platform
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import isthmus
from isthmus._kernels import load_kernels
from isthmus.errors import CheckpointError, ReproducibilityWarning
from isthmus.estimators._building import seed_of
from isthmus.estimators._saving import plain
from isthmus.estimators._settings import Settings
from isthmus.training import Checkpoint, OpenCheckpoint, StoredRows


@contextmanager
def opened(checkpoint: str | Path | Checkpoint | None) -> Iterator[OpenCheckpoint | None]:
    """Open what a user gave as ``checkpoint``, which may be nothing."""
    if checkpoint is None:
        yield None
        return
    with OpenCheckpoint(Checkpoint.of(checkpoint)) as there:
        yield there


def seed_for(random_state: Any, checkpoint: OpenCheckpoint | None) -> int:
    """Return the seed of a fit: where none was given, or a generator that moves on, that of the checkpoint."""
    seed = seed_of(random_state)
    found = None if checkpoint is None else checkpoint.found
    if found is not None and not isinstance(random_state, int) and isinstance(found.get("seed"), int):
        return int(found["seed"])
    return seed


def identify(
    checkpoint: OpenCheckpoint | None,
    *,
    owner: str,
    settings: Settings,
    seed: int,
    rows: Mapping[str, StoredRows | None],
    device: torch.device,
) -> None:
    """Say which fit a checkpoint is of, or compare it with the one that it is of.

    Raises
    ------
    CheckpointError
        When it is another one.

    Warns
    -----
    ReproducibilityWarning
        When it is the same on another machine, or with other threads.
    """
    if checkpoint is None:
        return
    now = _environment(device)
    began = (checkpoint.found or {}).get("environment", now)
    if not isinstance(began, dict):
        raise CheckpointError(
            f"The checkpoint in {checkpoint.folder} is damaged: a part is missing. Remove it."
        )
    checkpoint.identify(
        {
            "class": owner,
            "version of isthmus": isthmus.__version__,
            "version of torch": torch.__version__,
            **{name: plain(value, name) for name, value in settings.to_dict().items()},
            "seed": seed,
            **{
                f"the values of {name}": None if part is None else _digest(part)
                for name, part in rows.items()
            },
            # Compared here, not there: it is no reason to refuse.
            "environment": began,
        }
    )
    differences = [name for name in now if began.get(name) != now[name]]
    if differences:
        what = ", ".join(f"{name} was {began.get(name)} and is {now[name]}" for name in differences)
        warnings.warn(
            f"The fit of {owner} goes on from {checkpoint.folder} where results may differ in their last digits: "
            f"{what}.",
            ReproducibilityWarning,
            stacklevel=4,
        )


def _environment(device: torch.device) -> dict[str, Any]:
    """Return what decides in which order sums are formed."""
    return {
        "the device": device.type,
        "the number of threads": torch.get_num_threads(),
        "the processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "the use of compiled code": load_kernels() is not None,
    }


def _digest(rows: StoredRows) -> str:
    """Return a hash of rows."""
    digest = hashlib.sha256(f"{rows.values.dtype}{tuple(rows.values.shape)}{rows.unit!r}".encode())
    for block in torch.split(rows.values, 2048):
        digest.update(block.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
