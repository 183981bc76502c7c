"""Adam with one compiled sweep for a step; in all else torch's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from isthmus._kernels import Kernels


class SweepingAdam(torch.optim.Adam):
    """Adam and AdamW over float32 parameters in the CPU's memory.

    torch's step is as exact; for a small network, its Python costs several times what the arithmetic
    does.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
        What moves; best one vector of all.
    kernels : Kernels
        The compiled functions.
    **arguments
        As for ``torch.optim.Adam``.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], kernels: Kernels, **arguments: Any) -> None:
        super().__init__(parameters, **arguments)
        self.kernels = kernels

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Move the parameters that have a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        return loss

    def _move(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        taken = state["step"].item()
        beta1, beta2 = group["betas"]
        rate, decay = group["lr"], group["weight_decay"]
        decoupled = group["decoupled_weight_decay"]
        self.kernels.adam(
            parameter,
            parameter.grad,
            state["exp_avg"],
            state["exp_avg_sq"],
            beta1,
            beta2,
            rate / (1 - beta1**taken),
            1 / math.sqrt(1 - beta2**taken),
            group["eps"],
            0.0 if decoupled else decay,
            1 - rate * decay if decoupled else 1.0,
        )
