"""All parameters of a network in one piece of memory, so that an optimiser's step is one operation."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn


class FlatParameters:
    """A network's parameters and their gradients, each in one vector, while it is entered as a context.

    Inside, every parameter is a view of ``flat`` and its ``grad`` one of ``flat.grad``; an optimiser
    over ``flat`` alone moves them all. Outside, the parameters own their memory again, and ``flat``
    waits with the last values.

    Parameters
    ----------
    network : torch.nn.Module
        Its parameters share one type and device.
    precision : torch.dtype, default=torch.float32
        What is computed with. Below float32, ``values`` are copies of that type, which `refresh`
        brings up to date; ``flat`` remains the truth that the optimiser moves.

    Attributes
    ----------
    flat : torch.nn.Parameter
        All values, in the order of ``network.parameters()``.
    """

    def __init__(self, network: nn.Module, precision: torch.dtype = torch.float32) -> None:
        self.parameters = list(network.parameters())
        self.precision = precision
        with torch.no_grad():
            self.flat = nn.Parameter(torch.cat([parameter.flatten() for parameter in self.parameters]))
        self.values: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self._lowered: tuple[Tensor, Tensor] | None = None

    def __enter__(self) -> Self:
        flat, gradient = self.flat.data, torch.zeros_like(self.flat)
        own = self._views(flat)
        for view, parameter in zip(own, self.parameters, strict=True):
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
        for parameter in self.parameters:
            parameter.data = parameter.data.clone()
        self.flat.grad, self._lowered = None, None
        self.values, self.gradients = [], []

    def take(self, gradients: Sequence[Tensor | None]) -> None:
        """Write gradients, one for each parameter, to ``flat.grad``; None is zero."""
        pieces = (
            torch.zeros_like(parameter) if gradient is None else gradient
            for gradient, parameter in zip(gradients, self.parameters, strict=True)
        )
        assert self.flat.grad is not None
        torch.cat([piece.flatten() for piece in pieces], out=self.flat.grad)

    def add(self, gradients: Sequence[Tensor | None]) -> None:
        """Add gradients, one for each parameter, to ``flat.grad``; None is zero."""
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
        pieces = torch.split(vector, [parameter.numel() for parameter in self.parameters])
        return [piece.view(parameter.shape) for piece, parameter in zip(pieces, self.parameters, strict=True)]
