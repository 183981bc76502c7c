"""Where a training went wrong, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isthmus.training.run import Run

#: Times the typical column's largest value from which on a column is worth naming.
LARGE = 100.0


def what_is_lost(run: Run, row: Mapping[str, float]) -> str | None:
    """Return what is not finite after an epoch with this row of the history, or None where all is."""
    name = next((name for name, value in row.items() if not math.isfinite(value)), None)
    if name is not None:
        return f"{name!r} is {row[name]}"
    return None if run.is_finite() else "a weight is not finite"


@dataclass(frozen=True)
class Fault:
    """What went wrong, in words, and whether it did so before a single step was taken."""

    words: str
    at_once: bool = False


def find_fault(run: Run) -> Fault:
    """Return where the steps from here on first give what is not finite: they are taken again, one by one.

    The run is left as it is then; give it a state that is known to be good.
    """
    epoch, taken, first = run.state.epoch, 0, run.progress.position
    while epoch < run.state.epochs:
        for position, batch in enumerate(run.batches.epoch(epoch, first), first + 1):
            run.set_rate_of_next_step()
            terms = run.step(batch)
            run.state.step += 1
            lost = next((term for term, value in terms.items() if not value.isfinite().all()), None)
            layer = _layer(run.network)
            if lost is not None or layer is not None:
                what = f"{lost!r} is" if lost is not None else f"the weights {layer!r} are"
                words = f"In step {position} of epoch {epoch + 1}, {what} not finite{_column(batch.rows)}"
                return Fault(words, at_once=taken == 0 and lost is not None)
            taken += 1
        epoch, first = epoch + 1, 0
    return Fault("No single step was found to be at fault")


def _layer(network: nn.Module) -> str | None:
    """Return the first parameter that holds what is not finite."""
    for name, parameter in network.named_parameters():
        if not parameter.isfinite().all():
            return name
    return None


def _column(rows: Tensor) -> str:
    """Return words about a column whose values are far larger than the others', if there is one."""
    sizes = rows.flatten(1).float().abs().nan_to_num(0.0, torch.inf).amax(0)
    typical, largest = float(sizes.median()), float(sizes.max())
    if largest <= LARGE * max(typical, 1.0):
        return ""
    return (
        f"; column {int(sizes.argmax())} of these rows reaches {largest:.3g} (scaled), others {typical:.3g}"
    )
