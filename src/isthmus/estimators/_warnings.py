"""What fits warn of, in words."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DeadCodeWarning, TrainingInterruptedWarning
from isthmus.training import History, OpenCheckpoint


def warn_of_interruption(
    history: History, owner: str, epochs: int, checkpoint: OpenCheckpoint | None
) -> None:
    """Say that training was interrupted, and which weights were kept; called by what users call."""
    done = int(history.rows[-1]["epoch"])
    kept = f"weights of epoch {history.best_epoch}" if history.best_epoch else "weights so far"
    resume = (
        "" if checkpoint is None else f" The same fit goes on from the checkpoint in {checkpoint.folder}."
    )
    warnings.warn(
        f"Training of {owner} was interrupted in epoch {done + 1} of {epochs}; the {kept} were kept.{resume}",
        TrainingInterruptedWarning,
        stacklevel=3,
    )


def warn_of_dead_codes(usage: NDArray[np.float64], owner: str, stacklevel: int) -> None:
    """Say which code units carry nothing, if there are any."""
    dead = np.flatnonzero(usage == 0)
    if not len(dead):
        return
    warnings.warn(
        f"{len(dead)} of {len(usage)} code units of {owner} are dead: they have "
        f"the same value for every training row (units {', '.join(map(str, dead[:8]))}"
        f"{', ...' if len(dead) > 8 else ''}). Try code_activation='identity' or 'leaky_relu', a smaller "
        "learning_rate or penalty, or fewer components.",
        DeadCodeWarning,
        stacklevel=stacklevel + 1,
    )
