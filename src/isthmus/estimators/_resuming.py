"""Which fit a checkpoint is of: everything that its result depends on."""

from __future__ import annotations

import hashlib
import platform
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import torch

import isthmus
from isthmus._kernels import load_kernels
from isthmus.errors import CheckpointError, ReproducibilityWarning
from isthmus.estimators._building import seed_of
from isthmus.estimators._saving import plain
from isthmus.estimators._settings import Settings
from isthmus.networks import Architecture, Modules
from isthmus.training import Checkpoint, OpenCheckpoint, StoredRows


@contextmanager
def opened(checkpoint: str | Path | Checkpoint | None) -> Iterator[OpenCheckpoint | None]:
    """Open what a user gave as ``checkpoint``, which may be nothing."""
    if checkpoint is None:
        yield None
        return
    with OpenCheckpoint(Checkpoint.of(checkpoint)) as there:
        yield there


def seed_for(random_state: Any, checkpoint: OpenCheckpoint | None, owner: str) -> int:
    """Return the seed of a fit.

    An integer of any type decides it, and belongs to the identity of a checkpoint. Without one, a checkpoint's
    own seed is used; so it is with a generator, whose state is another after the first attempt.

    Warns
    -----
    ReproducibilityWarning
        When a generator would give another seed than the checkpoint has.
    """
    seed = seed_of(random_state, owner)
    found = None if checkpoint is None else (checkpoint.found or {}).get("seed")
    if (
        checkpoint is None
        or not isinstance(found, int)
        or isinstance(random_state, Integral)
        or found == seed
    ):
        return seed
    if random_state is not None:
        warnings.warn(
            f"The checkpoint in {checkpoint.folder} was made with another seed than the {type(random_state).__name__} "
            "given as random_state draws now; the seed of the checkpoint is used. To tell trainings apart by their "
            "seeds, pass an integer.",
            ReproducibilityWarning,
            stacklevel=3,
        )
    return found


def identify(
    checkpoint: OpenCheckpoint | None,
    *,
    owner: str,
    settings: Settings,
    input_shape: tuple[int, ...],
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
            "input_shape": list(input_shape),
            "the weights of the modules": _digest_of_modules(settings.network),
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


def _digest_of_modules(network: Architecture) -> str | None:
    """Return a hash of the weights that a user's own modules bring with them."""
    if not isinstance(network, Modules):
        return None
    digest = hashlib.sha256()
    for half in (network.encoder, network.decoder):
        for name, value in (*half.named_parameters(), *half.named_buffers()):
            digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
            values = value.detach().cpu().contiguous().flatten()
            digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()
