"""Adam with one compiled sweep for a step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from isthmus._kernels import Kernels


class SweepingAdam:
    """Adam and AdamW over float32 parameters in the CPU's memory.

    torch's step is as exact; for a small network, the Python around it costs several times what the
    arithmetic does, and that of ``torch.optim.Optimizer`` alone as much.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
        What moves; best one vector of all.
    kernels : Kernels
        The compiled functions.
    **settings
        The settings of ``torch.optim.Adam`` by its names: ``lr``, ``betas``, ``eps``,
        ``weight_decay``, ``decoupled_weight_decay``.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], kernels: Kernels, **settings: Any) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": list(parameters), **settings}]
        self.kernels = kernels
        self.taken = 0
        self.means = [torch.zeros_like(parameter.data) for parameter in self.param_groups[0]["params"]]
        self.squares = [torch.zeros_like(mean) for mean in self.means]

    def state_dict(self) -> dict[str, Any]:
        """Return the steps taken and the running means."""
        return {"state": {"taken": self.taken, "means": self.means, "squares": self.squares}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them on."""
        saved = state["state"]
        self.taken = int(saved["taken"])
        for own, there in ((self.means, saved["means"]), (self.squares, saved["squares"])):
            for place, value in zip(own, there, strict=True):
                place.copy_(value)

    def step(self) -> None:
        """Move the parameters that have a gradient."""
        self.taken += 1
        (group,) = self.param_groups
        beta1, beta2 = group["betas"]
        rate, decay, decoupled = group["lr"], group["weight_decay"], group["decoupled_weight_decay"]
        settings = (
            beta1,
            beta2,
            rate / (1 - beta1**self.taken),
            1 / math.sqrt(1 - beta2**self.taken),
            group["eps"],
            0.0 if decoupled else decay,
            1 - rate * decay if decoupled else 1.0,
        )
        for parameter, mean, square in zip(group["params"], self.means, self.squares, strict=True):
            if parameter.grad is not None:
                self.kernels.adam(parameter, parameter.grad, mean, square, *settings)


def swept(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what ``torch.optim.Adam`` remembers as a `SweepingAdam` does, and that of another as it is."""
    if "taken" in saved or not saved:
        return saved
    states = [saved[str(number)] for number in range(len(saved))]
    return {
        "taken": int(states[0]["step"]),
        "means": [state["exp_avg"] for state in states],
        "squares": [state["exp_avg_sq"] for state in states],
    }


def unswept(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a `SweepingAdam` remembers as ``torch.optim.Adam`` does, and that of another as it is."""
    if "taken" not in saved:
        return saved
    step = torch.tensor(float(saved["taken"]), dtype=torch.float32, device="cpu")
    pairs = zip(saved["means"], saved["squares"], strict=True)
    return {
        str(number): {"step": step.clone(), "exp_avg": mean, "exp_avg_sq": square}
        for number, (mean, square) in enumerate(pairs)
    }
