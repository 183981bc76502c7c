"""The loop: every network of the library learns here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from isthmus.errors import CheckpointError, DivergenceError, DivergenceWarning
from isthmus.training._signals import PostponedSignals
from isthmus.training.batches import Batches
from isthmus.training.callbacks import Callback
from isthmus.training.capture import CapturedStep, Recorder
from isthmus.training.checkpoint import Stage
from isthmus.training.divergence import find_fault, what_is_lost
from isthmus.training.gradients import Autograd, Gradient, Objective
from isthmus.training.optimizers import Stepper
from isthmus.training.run import Progress, Run, load_network, rows_of
from isthmus.training.schedules import Schedule
from isthmus.training.state import History, Model

#: What is left of the learning rate after a divergence.
REDUCTION = 0.1

#: Steps from one state that is remembered to the next; epochs may be shorter than what that takes.
REMEMBERED_STEPS = 64


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
    checkpoint: Stage | None = None,
    annealed: float = 0.0,
) -> History:
    """Train ``network`` in place.

    From time to time the state is remembered. A training whose loss or weights are no longer finite goes back
    to it, and on with a tenth of the learning rate; a few times, after which it is an error.

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
    checkpoint : Stage, optional
        Where the training is saved as it goes, and gone on from. Ctrl-C and a request to end then wait
        until a step is done and saved.
    annealed : float, default=0.0
        Share of the training in which the objective in training mode changes. By the losses of that time
        neither is the training stopped early nor its learning rate reduced.

    Returns
    -------
    history : History

    Raises
    ------
    DivergenceError
        When loss or weights are not finite with a smaller learning rate either; the weights are those of the
        last good epoch then.
    CheckpointError
        When the checkpoint does not fit, or cannot be written.
    KeyboardInterrupt
        On Ctrl-C within the first epoch. Later, Ctrl-C ends the training and ``history`` says so.

    Warns
    -----
    DivergenceWarning
        When the training goes back.
    """
    run = Run(
        network,
        objective,
        gradient or Autograd(network, objective),
        batches,
        optimizer=optimizer,
        schedule=schedule,
        epochs=epochs,
        gradient_clipping=gradient_clipping,
        callbacks=callbacks,
        annealed=annealed,
    )
    run.state.model = model
    if recorder is not None:
        run.take_step = CapturedStep(run.step, recorder)
    safety = _Safety(run, checkpoint)
    if safety.finished():
        return run.state.history
    with ExitStack() as postponed:
        if checkpoint is not None:
            safety.signals = postponed.enter_context(PostponedSignals())
        _train(run, validation, safety)
        if checkpoint is not None and not run.state.history.interrupted:
            safety.finish()
    return run.state.history


def _train(run: Run, validation: Batches | None, safety: _Safety) -> None:
    """Train from where the run is to its end."""
    state, callbacks = run.state, run.callbacks
    run.network.train()
    try:
        for callback in callbacks:
            callback.on_training_start(state)
        safety.begin()
        while state.epoch < state.epochs and not state.stop:
            row = run.train_epoch(safety.pause)
            if validation is not None:
                row |= run.validate(validation)
            lost = what_is_lost(run, row)
            if lost is not None:
                safety.go_back(lost)
                continue
            state.history.rows.append(row)
            for callback in callbacks:
                callback.on_epoch_end(state)
            safety.after_epoch()
        state.history.stop_reason = state.stop_reason if state.epoch < state.epochs else "epochs"
    except KeyboardInterrupt:
        if not state.history.rows:
            raise
        state.history.interrupted, state.history.stop_reason = True, "interrupted"
    finally:
        run.set_rate(1.0)
        run.network.eval()
        for callback in callbacks:
            callback.on_training_end(state)


class _Safety:
    """What a training falls back on: its last good state in memory, and its checkpoint on the disk.

    Parameters
    ----------
    run : Run
        The training.
    stage : Stage or None
        Its checkpoint.
    """

    def __init__(self, run: Run, stage: Stage | None) -> None:
        self.run, self.stage = run, stage
        self.signals: PostponedSignals | None = None
        self.saved = None if stage is None else stage.saved()
        self.good: dict[str, Any] = {}
        if self.saved is not None and "now" in self.saved:
            with self._worded():
                if self.saved["good"] is not None:
                    run.load_state_dict(self.saved["good"])  # to see now whether it can be gone back to
                run.load_state_dict(self.saved["now"])

    def finished(self) -> bool:
        """Return whether the checkpoint is of a training that is done, whose result is then taken."""
        if self.saved is None or "network" not in self.saved:
            return False
        with self._worded():
            load_network(self.run.network, self.saved["network"])
            history, best = self.run.state.history, self.saved["best_epoch"]
            history.rows = rows_of(self.saved["history"])
            history.best_epoch = None if best is None else int(best)
            if not history.rows or not 0 < (best or 1) <= len(history.rows):
                raise ValueError("its history does not have the epochs that it should")
        self.run.network.eval()
        return True

    def begin(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.saved is not None:
            with self._worded():
                self.run.load_callbacks(self.saved["now"])
        self.good = self.run.state_dict()
        if self.saved is not None:
            self.good, self.saved = self.saved["good"] or self.good, None

    def pause(self, finished_epochs: int | None = None) -> None:
        """Save if it is time to, or if the process is asked to end; then let it.

        Called between two steps; after an epoch, with the number of those that are done.
        """
        if self.stage is None or self.signals is None:
            return
        received = self.signals.received is not None
        if received or self.stage.is_due(finished_epochs):
            self._save()
        if received:
            self.signals.deliver()

    def after_epoch(self) -> None:
        """Remember the state, and pause."""
        state = self.run.state
        self.run.progress = Progress()
        # Counted in steps, for what a training goes back to must not depend on the time that it takes.
        if state.step - self.good["step"] >= REMEMBERED_STEPS:
            self.good = self.run.state_dict()
        self.pause(state.epoch)

    def finish(self) -> None:
        """Save the result in the place of the state."""
        assert self.stage is not None
        result = self.run.state_dict()
        best = self.run.state.history.best_epoch
        self.stage.save({"network": result["network"], "history": result["history"], "best_epoch": best})

    def go_back(self, what: str) -> None:
        """Take the last good state, with a smaller rate; or give up, and leave that state behind.

        Raises
        ------
        DivergenceError
            When that was done often enough.
        """
        run, epoch = self.run, self.run.state.epoch
        tries, share = run.tries, run.share
        self._restore()
        fault = find_fault(run)
        self._restore()
        run.tries, run.share = tries + 1, share * REDUCTION
        self.good |= {"tries": run.tries, "share": run.share}
        rate = run.peaks[0] * share
        trouble = f"{what} after epoch {epoch} with a peak learning_rate of {rate:g}"
        happened = f"Training diverged: {trouble}. {fault.words}."
        # Where the first loss is lost, no rate is small enough.
        if run.tries > run.state.retries or fault.at_once:
            raise DivergenceError(
                f"{happened} Try a smaller learning_rate, or gradient_clipping=1.0, and look for values far too "
                "large in the data."
            )
        warnings.warn(
            f"{happened} It goes on from epoch {run.state.epoch + 1} with {run.peaks[0] * run.share:g}.",
            DivergenceWarning,
            stacklevel=7,  # from an estimator's fit; elsewhere a line of ours is named
        )

    def _restore(self) -> None:
        self.run.load_state_dict(self.good)
        self.run.load_callbacks(self.good)

    def _save(self) -> None:
        assert self.stage is not None
        if self.run.is_finite():  # otherwise the end of the epoch sees to it
            now = self.run.state_dict()
            same = self.good["step"] == now["step"]
            self.stage.save({"now": now, "good": None if same else self.good})

    @contextmanager
    def _worded(self) -> Iterator[None]:
        """Word what a checkpoint that does not fit makes the parts say."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            assert self.stage is not None
            folder = self.stage.description.folder
            raise CheckpointError(
                f"The checkpoint in {folder} does not fit this training: {error}. Use another folder, or remove it."
            ) from error
