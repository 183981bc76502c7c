"""Callbacks: what else happens during training."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from torch import Tensor

from isthmus._checks import check_number
from isthmus.training.state import TrainingState

if TYPE_CHECKING:
    from rich.progress import Progress


class Callback:
    """Base of the callbacks; override the moments you need.

    ``state`` is a :class:`TrainingState`; setting ``state.stop`` ends the training after the epoch.
    """

    def on_training_start(self, state: TrainingState) -> None:
        """Act before the first step."""

    def on_step_end(self, state: TrainingState) -> None:
        """Act after a step; reading a loss here would make the device wait."""

    def on_epoch_end(self, state: TrainingState) -> None:
        """Act after an epoch and its validation; ``state.history.rows[-1]`` has the numbers."""

    def on_training_end(self, state: TrainingState) -> None:
        """Act after the last step, also after an error or Ctrl-C."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a training that goes on from here has to know: numbers, texts, tensors, lists of them.

        Override it, and `load_state_dict`, where the callback remembers something from epoch to epoch.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it on; called after `on_training_start`, and where a training that diverged goes back."""


class EarlyStopping(Callback):
    """Keep the weights of the best epoch, and stop when no better one has come for a while.

    The loss is that of the validation rows, or of the training rows where there are none. While the objective
    still changes, as with a KL divergence that is faded in, training does not stop; the training loss of such an
    epoch says nothing about the weights, and is left out.

    Parameters
    ----------
    patience : int
        Epochs without a smaller loss before training stops.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self._best = math.inf
        self._best_epoch = 0
        self._weights: dict[str, Tensor] = {}

    def on_training_start(self, state: TrainingState) -> None:
        """Forget an earlier training."""
        self._best, self._best_epoch, self._weights = math.inf, 0, {}

    def on_epoch_end(self, state: TrainingState) -> None:
        """Remember the weights if they are the best, stop if the patience is used up."""
        row = state.history.rows[-1]
        annealed = state.epoch <= state.annealed_epochs
        if annealed and "validation_loss" not in row:
            return
        loss = state.history.monitored[-1]
        if loss < self._best:
            self._best, self._best_epoch = loss, state.epoch
            self._weights = {name: value.clone() for name, value in state.network.state_dict().items()}
        elif state.epoch - max(self._best_epoch, state.annealed_epochs) >= self.patience:
            state.stop, state.stop_reason = True, "early stopping"

    def state_dict(self) -> dict[str, Any]:
        """Return the best epoch, its loss and its weights."""
        best = None if self._best == math.inf else self._best
        return {"best": best, "best_epoch": self._best_epoch, "weights": dict(self._weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them on."""
        self._best = math.inf if state["best"] is None else float(state["best"])
        self._best_epoch, self._weights = int(state["best_epoch"]), dict(state["weights"])

    def on_training_end(self, state: TrainingState) -> None:
        """Put the best weights back."""
        if self._weights:
            state.network.load_state_dict(self._weights)
            state.history.best_epoch = self._best_epoch
            self._weights = {}


class TimeLimit(Callback):
    """End the training after the first epoch that reaches a time limit.

    At least one epoch is trained. The learning rate follows its schedule for all epochs, so a training that
    the limit cuts short ends at a higher rate than one that was planned to be as short.

    Parameters
    ----------
    seconds : float
        Wall-clock time from the start of the training.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = check_number(
            seconds, parameter="seconds", owner="TimeLimit", minimum=0, open_minimum=True
        )
        self._started = 0.0

    def on_training_start(self, state: TrainingState) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, state: TrainingState) -> None:
        """Stop if the time is over and epochs are left."""
        if state.epoch < state.epochs and time.monotonic() - self._started >= self.seconds:
            state.stop, state.stop_reason = True, "time limit"


class ProgressBar(Callback):
    """A progress bar on standard error: epoch, losses, time left. Silent where that is no terminal.

    Parameters
    ----------
    title : str, default="fit"
        What stands before the bar.
    """

    def __init__(self, title: str = "fit") -> None:
        self.title = title
        self._progress: Progress | None = None

    def on_training_start(self, state: TrainingState) -> None:
        """Show the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        console = Console(stderr=True)
        if not console.is_terminal:  # earlier versions of rich write an empty line for a bar that is disabled
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}  {task.fields[losses]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=True)
        total = state.epochs * state.n_steps
        self._task = self._progress.add_task(self.title, total=total, epoch=1, epochs=state.epochs, losses="")
        self._progress.start()

    def on_step_end(self, state: TrainingState) -> None:
        """Advance the bar."""
        if self._progress is not None:
            self._progress.update(self._task, completed=state.step)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Show the epoch's losses."""
        if self._progress is not None:
            row = state.history.rows[-1]
            losses = f"loss {row['loss']:.4g}"
            if "validation_loss" in row:
                losses += f"  validation {row['validation_loss']:.4g}"
            self._progress.update(self._task, epoch=min(state.epoch + 1, state.epochs), losses=losses)

    def on_training_end(self, state: TrainingState) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
