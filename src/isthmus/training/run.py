"""A training on its way: how it moves, and everything that decides how it goes on."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.training._adam import swept, unswept
from isthmus.training.batches import Batch, Batches
from isthmus.training.callbacks import Callback
from isthmus.training.checkpoint import Stateful
from isthmus.training.gradients import Gradient, Objective
from isthmus.training.means import Means
from isthmus.training.optimizers import Stepper
from isthmus.training.schedules import Schedule
from isthmus.training.state import History, TrainingState


@dataclass
class Progress:
    """How far an epoch has come.

    Attributes
    ----------
    position : int
        Steps that are done.
    seconds : float
        What they took.
    means : Means
        Of their terms.
    """

    position: int = 0
    seconds: float = 0.0
    means: Means = field(default_factory=Means)


class Run:
    """One training: what :func:`isthmus.training.fit` was given, and how far it has come.

    Attributes
    ----------
    share : float
        What is left of the learning rate after divergences.
    tries : int
        How many there were.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        gradient: Gradient,
        batches: Batches,
        *,
        optimizer: Stepper,
        schedule: Schedule,
        epochs: int,
        gradient_clipping: float | None,
        callbacks: Sequence[Callback],
        annealed: float = 0.0,
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
        self.state = TrainingState(
            network, History(), epochs, batches.n_steps, annealed_epochs=math.ceil(annealed * epochs)
        )
        self.take_step: Callable[[Batch], Mapping[str, Tensor]] = self.step
        self.progress = Progress()
        self.factor, self.share, self.tries = 1.0, 1.0, 0

    def train_epoch(self, pause: Callable[[], None]) -> dict[str, float]:
        """Finish a pass and return its row of the history; no step in here waits for the device."""
        state, progress = self.state, self.progress
        start = time.perf_counter() - progress.seconds
        for batch in self.batches.epoch(state.epoch, progress.position):
            self.set_rate_of_next_step()
            state.terms = self.take_step(batch)
            added_up = progress.means.add(state.terms, len(batch))
            state.step += 1
            progress.position += 1
            progress.seconds = time.perf_counter() - start
            for callback in self.callbacks:
                callback.on_step_end(state)
            if added_up and not self.is_finite():
                break  # what is left of a long epoch would be in vain
            pause()
        state.epoch += 1
        row = {"epoch": state.epoch, **progress.means.result()}
        return row | {"learning_rate": self.peaks[0] * self.factor, "seconds": progress.seconds}

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """Take one step down the gradient and return the terms before it."""
        terms = self.gradient(batch)
        if self.gradient_clipping is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.gradient_clipping)
        self.optimizer.step()
        return terms

    def set_rate_of_next_step(self) -> None:
        """Do what the schedule says."""
        state = self.state
        done = state.step / (state.epochs * state.n_steps)
        self.factor = self.share * self.schedule.factor(done, state.comparable_losses)
        self.set_rate(self.factor)

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
        means = Means()
        for batch in validation.epoch(0):
            means.add(self.objective(self.network, batch), len(batch))
        self.network.train()
        return {f"validation_{name}": value for name, value in means.result().items()}

    @torch.no_grad()
    def is_finite(self) -> bool:
        """Return whether weights and losses are; the device is waited for."""
        checked = [*self.parameters, *self.progress.means.gathered()]
        return bool(torch.stack([value.isfinite().all() for value in checked]).all())

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all that decides how the training goes on."""
        state, progress = self.state, self.progress
        gradient = self.gradient.state_dict() if isinstance(self.gradient, Stateful) else {}
        parts = {
            "network": _tensors_of(self.network),
            # Text, as it comes back from a file; torch numbers the parameters.
            "optimizer": optimizer_state(self.optimizer),
            "gradient": gradient,
            "callbacks": {name: callback.state_dict() for name, callback in self._named_callbacks()},
            "means": progress.means.state_dict(),
        }
        return {
            **{name: copied(part) for name, part in parts.items()},
            "history": list(state.history.rows),  # rows are never changed
            "epoch": state.epoch,
            "step": state.step,
            "stop": state.stop,
            "position": progress.position,
            "seconds": progress.seconds,
            "factor": self.factor,
            "share": self.share,
            "tries": self.tries,
        }

    @torch.no_grad()
    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take a state on; what a callback remembers is left to `load_callbacks`."""
        state, device = self.state, next(self.network.parameters()).device
        load_network(self.network, saved["network"])
        load_optimizer(self.optimizer, copied(saved["optimizer"]))
        if isinstance(self.gradient, Stateful):
            self.gradient.load_state_dict(on_device(device, copied(saved["gradient"])))
        self.progress = Progress(int(saved["position"]), _finite(saved["seconds"]))
        self.progress.means.load_state_dict(on_device(device, copied(saved["means"])))
        state.history.rows = rows_of(saved["history"])
        state.epoch, state.step, state.stop = int(saved["epoch"]), int(saved["step"]), bool(saved["stop"])
        self.factor, self.share = _finite(saved["factor"]), _finite(saved["share"])
        self.tries = int(saved["tries"])
        if not 0 <= state.epoch == len(state.history.rows) <= state.epochs or (
            state.stop and not state.epoch
        ):
            raise ValueError("its history does not have the epochs that it should")
        if not 0 <= self.progress.position <= state.n_steps or state.step < 0 or self.tries < 0:
            raise ValueError("its position is none of this training")

    def load_callbacks(self, saved: Mapping[str, Any]) -> None:
        """Have the callbacks take on what they remembered; one that was not there begins."""
        device = next(self.network.parameters()).device
        for name, callback in self._named_callbacks():
            if name in saved["callbacks"]:
                callback.load_state_dict(on_device(device, copied(saved["callbacks"][name])))

    def _named_callbacks(self) -> list[tuple[str, Callback]]:
        """Return the callbacks with a name for each: its class, and a number for the second of a class."""
        counts: dict[str, int] = {}
        named = []
        for callback in self.callbacks:
            kind = type(callback).__name__
            counts[kind] = counts.get(kind, 0) + 1
            named.append((f"{kind}-{counts[kind]}", callback))
        return named


def copied(tree: Any) -> Any:
    """Return a copy of a state that shares no memory with it."""
    if isinstance(tree, Tensor):
        return tree.detach().clone()
    if isinstance(tree, Mapping):
        return {key: copied(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [copied(value) for value in tree]
    return copy.copy(tree)


def rows_of(saved: Any) -> list[dict[str, float]]:
    """Return the rows of a history from a file, if that is what they are."""
    rows = [{str(name): _finite(value) for name, value in row.items()} for row in saved]
    if any(not {"epoch", "loss"} <= row.keys() for row in rows):
        raise ValueError("its history has rows without an epoch or a loss")
    return [{**row, "epoch": int(row["epoch"])} for row in rows]


def _finite(value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        raise ValueError("a number is too large") from None
    if not math.isfinite(number):
        raise ValueError(f"a number is {number}")
    return number


def load_network(network: nn.Module, saved: Mapping[str, Tensor]) -> None:
    """Write saved values to a network's parameters and buffers."""
    places = _tensors_of(network)
    if places.keys() != saved.keys():
        raise ValueError(f"its tensors are {sorted(saved)}, and the network's {sorted(places)}")
    for name, place in places.items():
        if place.shape != saved[name].shape:
            raise ValueError(f"{name!r} has the shape {tuple(saved[name].shape)}, not {tuple(place.shape)}")
        with torch.no_grad():
            place.copy_(saved[name])


def _tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Return all that a network learns or keeps, by name; also buffers that no model file has."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def optimizer_state(optimizer: Stepper) -> dict[str, Any]:
    """Return what an optimiser remembers, by names that files can hold."""
    return {str(key): value for key, value in optimizer.state_dict()["state"].items()}


def load_optimizer(optimizer: Stepper, saved: Mapping[str, Any]) -> None:
    """Have an optimiser remember what `optimizer_state` returned, of itself or of its compiled equal."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        if saved:
            optimizer.load_state_dict({"state": swept(saved)})
        return
    own, saved = optimizer.state_dict(), unswept(saved)
    if not own["state"]:
        optimizer.load_state_dict({**own, "state": {int(key): value for key, value in saved.items()}})
        return
    # In place, where a recorded step finds it. What was not there yet began at zero.
    for key, values in own["state"].items():
        for name, value in values.items():
            there = saved.get(str(key), {}).get(name)
            if isinstance(value, Tensor):
                value.zero_() if there is None else value.copy_(torch.as_tensor(there, device=value.device))


def on_device(device: torch.device, tree: Any) -> Any:
    """Return a state whose tensors lie on a device."""
    if isinstance(tree, Tensor):
        return tree.to(device)
    if isinstance(tree, Mapping):
        return {key: on_device(device, value) for key, value in tree.items()}
    return [on_device(device, value) for value in tree] if isinstance(tree, list) else tree
