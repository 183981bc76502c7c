"""Ways to a gradient: what a step of the loop does before the optimiser moves."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from isthmus.training.batches import Batch
from isthmus.training.parameters import FlatParameters


class Objective(Protocol):
    """What the loop minimises."""

    def __call__(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Return scalar terms by name, each a mean over the rows; ``"loss"`` is minimised."""
        ...


class Gradient(Protocol):
    """A batch to the terms of the objective, with the gradient left where the optimiser reads it."""

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the terms, without a graph behind them."""
        ...


class Autograd:
    """The gradient of any network and any objective.

    Parameters
    ----------
    network : torch.nn.Module
        What learns.
    objective : Objective
        Network and rows to named terms.
    memory : FlatParameters, optional
        Where the gradient goes; each parameter's own ``grad`` otherwise. A precision below float32
        makes torch choose it, layer by layer, where it does no harm.
    """

    def __init__(
        self, network: nn.Module, objective: Objective, memory: FlatParameters | None = None
    ) -> None:
        self.network, self.objective, self.memory = network, objective, memory

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the terms, and leave the gradient behind."""
        with self._precision(batch.rows.device):
            terms = self.objective(self.network, batch)
        if self.memory is None:
            self.network.zero_grad(set_to_none=True)
            terms["loss"].backward()  # type: ignore[no-untyped-call]
        else:
            self.memory.take(torch.autograd.grad(terms["loss"], self.memory.parameters, allow_unused=True))
        return {name: value.detach() for name, value in terms.items()}

    def _precision(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        if self.memory is None or self.memory.precision.itemsize >= torch.float32.itemsize:
            return contextlib.nullcontext()
        return torch.autocast(device.type, self.memory.precision)
