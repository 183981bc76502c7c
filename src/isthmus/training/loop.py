"""The loop: every network of the library learns here."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from isthmus.errors import DivergenceError
from isthmus.training.batches import Batches
from isthmus.training.callbacks import Callback
from isthmus.training.schedules import Schedule
from isthmus.training.state import History, TrainingState


class Objective(Protocol):
    """What the loop minimises."""

    def __call__(self, network: nn.Module, rows: Tensor) -> Mapping[str, Tensor]:
        """Return scalar terms by name, each a mean over the rows; ``"loss"`` is minimised."""
        ...


def fit(
    network: nn.Module,
    objective: Objective,
    batches: Batches,
    *,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    epochs: int,
    validation: Batches | None = None,
    gradient_clipping: float | None = None,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train ``network`` in place.

    Parameters
    ----------
    network : torch.nn.Module
        What learns; it is left in evaluation mode.
    objective : Objective
        Network and rows to named terms.
    batches : Batches
        The training rows.
    optimizer : torch.optim.Optimizer
        Set up over the network's parameters; its learning rate is the peak that ``schedule`` scales.
    schedule : Schedule
        Factor on the learning rate at each step.
    epochs : int
        Passes over the rows.
    validation : Batches, optional
        Rows on which the objective is computed after each epoch.
    gradient_clipping : float, optional
        Largest Euclidean norm of the gradient of all parameters together.
    callbacks : sequence of Callback
        Called at the start, after each step and epoch, and at the end.

    Returns
    -------
    history : History

    Raises
    ------
    DivergenceError
        When the loss of an epoch is not finite.
    KeyboardInterrupt
        On Ctrl-C within the first epoch. Later, Ctrl-C ends the training and ``history`` says so.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    state = TrainingState(network, History(), epochs, batches.n_steps)
    network.train()
    try:
        for callback in callbacks:
            callback.on_training_start(state)
        while state.epoch < epochs and not state.stop:
            row = _train_epoch(state, objective, batches, optimizer, schedule, peaks, gradient_clipping, callbacks)
            if validation is not None:
                row |= _validate(network, objective, validation)
            _check_finite(row, peaks)
            state.history.rows.append(row)
            for callback in callbacks:
                callback.on_epoch_end(state)
    except KeyboardInterrupt:
        if not state.history.rows:
            raise
        state.history.interrupted = True
    finally:
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak
        network.eval()
        for callback in callbacks:
            callback.on_training_end(state)
    return state.history


def _train_epoch(
    state: TrainingState,
    objective: Objective,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    peaks: Sequence[float],
    gradient_clipping: float | None,
    callbacks: Sequence[Callback],
) -> dict[str, float]:
    """Make one pass and return its row of the history; nothing in here waits for the device."""
    start = time.perf_counter()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    means, losses, total = _Means(), state.history.monitored, state.epochs * state.n_steps
    for rows in batches.epoch(state.epoch):
        factor = schedule.factor(state.step / total, losses)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        terms = objective(state.network, rows)
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        if gradient_clipping is not None:
            nn.utils.clip_grad_norm_(parameters, gradient_clipping)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        means.add(terms, len(rows))
        state.step += 1
        for callback in callbacks:
            callback.on_step_end(state)
    state.epoch += 1
    row = {"epoch": state.epoch, **means.result()}
    return row | {"learning_rate": peaks[0] * factor, "seconds": time.perf_counter() - start}


@torch.no_grad()
def _validate(network: nn.Module, objective: Objective, validation: Batches) -> dict[str, float]:
    network.eval()
    means = _Means()
    for rows in validation.epoch(0):
        means.add(objective(network, rows), len(rows))
    network.train()
    return {f"validation_{name}": value for name, value in means.result().items()}


class _Means:
    """Means of named terms over rows, added up on the device and read once."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.n_rows = 0

    def add(self, terms: Mapping[str, Tensor], n_rows: int) -> None:
        self.n_rows += n_rows
        for name, value in terms.items():
            if name not in self.sums:
                # Double, because a mean over millions of rows would lose digits in single precision.
                self.sums[name] = torch.zeros((), dtype=torch.float64, device=value.device)
            self.sums[name].add_(value.detach(), alpha=n_rows)

    def result(self) -> dict[str, float]:
        values = torch.stack(list(self.sums.values())).tolist()
        return {name: value / self.n_rows for name, value in zip(self.sums, values, strict=True)}


def _check_finite(row: Mapping[str, float], peaks: Sequence[float]) -> None:
    for name, value in row.items():
        if not math.isfinite(value):
            raise DivergenceError(
                f"Training diverged: {name!r} is {value} after epoch {row['epoch']} with a peak learning_rate "
                f"of {peaks[0]:g}. Try a smaller learning_rate, or gradient_clipping=1.0."
            )
