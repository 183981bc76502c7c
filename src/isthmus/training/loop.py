"""The loop: every network of the library learns here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from isthmus.errors import DivergenceError
from isthmus.training.batches import Batch, Batches
from isthmus.training.callbacks import Callback
from isthmus.training.capture import CapturedStep, Recorder
from isthmus.training.gradients import Autograd, Gradient, Objective
from isthmus.training.optimizers import Stepper
from isthmus.training.schedules import Schedule
from isthmus.training.state import History, Model, TrainingState


def fit(
    network: nn.Module,
    objective: Objective,
    batches: Batches,
    *,
    optimizer: Stepper,
    schedule: Schedule,
    epochs: int,
    gradient: Gradient | None = None,
    recorder: Recorder | None = None,
    validation: Batches | None = None,
    gradient_clipping: float | None = None,
    callbacks: Sequence[Callback] = (),
    model: Model | None = None,
) -> History:
    """Train ``network`` in place.

    Parameters
    ----------
    network : torch.nn.Module
        What learns; it is left in evaluation mode.
    objective : Objective
        Network and batch to named terms.
    batches : Batches
        The training rows.
    optimizer : Stepper
        Such as ``torch.optim.SGD``, set up over what ``gradient`` leaves its results in: the network's
        parameters, or one vector of all. Its learning rate is the peak that ``schedule`` scales.
    schedule : Schedule
        Factor on the learning rate at each step.
    epochs : int
        Passes over the rows.
    gradient : Gradient, optional
        How the gradient of the objective is found; by autograd, in each parameter, unless given.
    recorder : Recorder, optional
        What records a step and plays it back.
    validation : Batches, optional
        Rows on which the objective is computed after each epoch.
    gradient_clipping : float, optional
        Largest Euclidean norm of the gradient of all parameters together.
    callbacks : sequence of Callback
        Called at the start, after each step and epoch, and at the end.
    model : Model, optional
        What callbacks may ask for codes and copies: the estimator that is being fitted.

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
    gradient = gradient or Autograd(network, objective)
    run = _Run(
        network, objective, gradient, batches, optimizer, schedule, epochs, gradient_clipping, callbacks
    )
    run.state.model = model
    if recorder is not None:
        run.take_step = CapturedStep(run.step, recorder)
    state = run.state
    network.train()
    try:
        for callback in callbacks:
            callback.on_training_start(state)
        while state.epoch < epochs and not state.stop:
            row = run.train_epoch()
            if validation is not None:
                row |= run.validate(validation)
            run.check_finite(row)
            state.history.rows.append(row)
            for callback in callbacks:
                callback.on_epoch_end(state)
    except KeyboardInterrupt:
        if not state.history.rows:
            raise
        state.history.interrupted = True
    finally:
        run.set_rate(1.0)
        network.eval()
        for callback in callbacks:
            callback.on_training_end(state)
    return state.history


class _Run:
    """One training: what `fit` was given, and how far it has come."""

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        gradient: Gradient,
        batches: Batches,
        optimizer: Stepper,
        schedule: Schedule,
        epochs: int,
        gradient_clipping: float | None,
        callbacks: Sequence[Callback],
    ) -> None:
        self.network = network
        self.objective = objective
        self.gradient = gradient
        self.batches = batches
        self.optimizer = optimizer
        self.schedule = schedule
        self.gradient_clipping = gradient_clipping
        self.callbacks = callbacks
        self.peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.state = TrainingState(network, History(), epochs, batches.n_steps)
        self.take_step: Callable[[Batch], Mapping[str, Tensor]] = self.step

    def train_epoch(self) -> dict[str, float]:
        """Make one pass and return its row of the history; nothing in here waits for the device."""
        start, state = time.perf_counter(), self.state
        means, losses, total = _Means(), state.history.monitored, state.epochs * state.n_steps
        factor = 1.0
        for batch in self.batches.epoch(state.epoch):
            factor = self.schedule.factor(state.step / total, losses)
            self.set_rate(factor)
            state.terms = self.take_step(batch)
            means.add(state.terms, len(batch))
            state.step += 1
            for callback in self.callbacks:
                callback.on_step_end(state)
        state.epoch += 1
        row = {"epoch": state.epoch, **means.result()}
        return row | {"learning_rate": self.peaks[0] * factor, "seconds": time.perf_counter() - start}

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """Take one step down the gradient and return the terms before it."""
        terms = self.gradient(batch)
        if self.gradient_clipping is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.gradient_clipping)
        self.optimizer.step()
        return terms

    def set_rate(self, factor: float) -> None:
        """Scale the learning rates."""
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(peak * factor)  # a recorded step reads it from its place
            else:
                group["lr"] = peak * factor

    @torch.no_grad()
    def validate(self, validation: Batches) -> dict[str, float]:
        """Return the terms of the objective on the validation rows."""
        self.network.eval()
        means = _Means()
        for batch in validation.epoch(0):
            means.add(self.objective(self.network, batch), len(batch))
        self.network.train()
        return {f"validation_{name}": value for name, value in means.result().items()}

    def check_finite(self, row: Mapping[str, float]) -> None:
        """Raise if the epoch's numbers are not finite."""
        for name, value in row.items():
            if not math.isfinite(value):
                raise DivergenceError(
                    f"Training diverged: {name!r} is {value} after epoch {row['epoch']} with a peak "
                    f"learning_rate of {self.peaks[0]:g}. Try a smaller learning_rate, or gradient_clipping=1.0."
                )


class _Means:
    """Means of named terms over rows, gathered on the device and read once."""

    #: Values that are kept before they are added up, so that an epoch of millions of steps stays small.
    KEPT = 1024

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = {}
        self.weights: list[int] = []
        self.sums: dict[str, Tensor] = {}
        self.n_rows = 0

    def add(self, terms: Mapping[str, Tensor], n_rows: int) -> None:
        for name, value in terms.items():
            self.values.setdefault(name, []).append(value)
        self.weights.append(n_rows)
        if len(self.weights) == self.KEPT:
            self._add_up()

    def result(self) -> dict[str, float]:
        self._add_up()
        values = torch.stack(list(self.sums.values())).tolist()
        return {name: value / self.n_rows for name, value in zip(self.sums, values, strict=True)}

    def _add_up(self) -> None:
        if not self.weights:
            return
        for name, values in self.values.items():
            # Double, because a mean over millions of rows would lose digits in single precision.
            stacked = torch.stack(values).double()
            weights = torch.tensor(self.weights, dtype=torch.float64, device=stacked.device)
            self.sums[name] = self.sums.get(name, 0.0) + torch.dot(stacked, weights)
        self.n_rows += sum(self.weights)
        self.values, self.weights = {}, []
