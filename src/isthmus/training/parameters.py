"""All parameters of a network in one piece of memory, so that an optimiser's step is one operation."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn


class FlatParameters:
    """A network's parameters and their gradients, each in one vector, while it is entered as a context.

    Inside, every parameter is a view of ``flat``; an optimiser over ``trained`` moves them all. Outside, the
    parameters own their memory again, and ``flat`` waits with the last values.

    The weights of recurrent layers stay apart: on GPUs they have to lie in memory in an order of cuDNN's, where they
    are when the network is moved there, or else they are copied at every call.

    Parameters
    ----------
    network : torch.nn.Module
        Its parameters share one type and device.
    precision : torch.dtype, default=torch.float32
        What is computed with. Below float32, ``values`` are copies of that type, which `refresh`
        brings up to date; ``flat`` remains the truth that the optimiser moves.

    Attributes
    ----------
    parameters : list of torch.nn.Parameter
        Those of the network, in its order.
    flat : torch.nn.Parameter
        The values of all but those that stay apart, in that order.
    trained : list of torch.nn.Parameter
        What an optimiser has to move: ``flat``, and the parameters that stay apart.
    """

    def __init__(self, network: nn.Module, precision: torch.dtype = torch.float32) -> None:
        self.parameters = list(network.parameters())
        self.precision = precision
        apart = {id(parameter) for parameter in _recurrent(network)}
        self._joined = [parameter for parameter in self.parameters if id(parameter) not in apart]
        with torch.no_grad():
            nothing = self.parameters[0].new_empty(0)
            self.flat = nn.Parameter(torch.cat([nothing, *(one.flatten() for one in self._joined)]))
        self.trained = [self.flat, *(one for one in self.parameters if id(one) in apart)]
        self.values: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self._lowered: tuple[Tensor, Tensor] | None = None

    def __enter__(self) -> Self:
        flat, gradient = self.flat.data, torch.zeros_like(self.flat)
        own = self._views(flat)
        for view, parameter in zip(own, self._joined, strict=True):
            view.copy_(parameter.data)
            parameter.data = view
        self.flat.grad = gradient
        if self.precision == flat.dtype:
            self.values, self.gradients = own, self._views(gradient)
        else:
            self._lowered = flat.to(self.precision), gradient.to(self.precision)
            self.values, self.gradients = (self._views(vector) for vector in self._lowered)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for parameter in self._joined:
            parameter.data = parameter.data.clone()
        for parameter in self.trained:
            parameter.grad = None
        self._lowered = None
        self.values, self.gradients = [], []

    def take(self, gradients: Sequence[Tensor | None]) -> None:
        """Take gradients, one for each parameter, as those of ``trained``; None is zero."""
        pieces = {
            id(parameter): torch.zeros_like(parameter) if gradient is None else gradient
            for gradient, parameter in zip(gradients, self.parameters, strict=True)
        }
        assert self.flat.grad is not None
        if self._joined:
            torch.cat([pieces[id(parameter)].flatten() for parameter in self._joined], out=self.flat.grad)
        for parameter in self.trained[1:]:
            parameter.grad = pieces[id(parameter)].contiguous()

    def add(self, gradients: Sequence[Tensor | None]) -> None:
        """Add gradients, one for each parameter, to ``flat.grad``, where none stays apart; None is zero."""
        assert self.flat.grad is not None
        for gradient, place in zip(gradients, self._views(self.flat.grad), strict=True):
            if gradient is not None:
                place.add_(gradient)

    def collect(self) -> None:
        """Bring gradients that were written to ``gradients`` to ``flat.grad``."""
        if self._lowered is not None:
            assert self.flat.grad is not None
            self.flat.grad.copy_(self._lowered[1])

    def refresh(self) -> None:
        """Bring ``values`` up to date after ``flat`` has moved."""
        if self._lowered is not None:
            self._lowered[0].copy_(self.flat.data)

    def _views(self, vector: Tensor) -> list[Tensor]:
        pieces = torch.split(vector, [parameter.numel() for parameter in self._joined])
        return [piece.view(parameter.shape) for piece, parameter in zip(pieces, self._joined, strict=True)]


def _recurrent(network: nn.Module) -> list[nn.Parameter]:
    layers = (module for module in network.modules() if isinstance(module, nn.RNNBase))
    return [parameter for layer in layers for parameter in layer.parameters()]
