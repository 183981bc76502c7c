"""Layers whose weights come from a generator of their own.

torch's layers draw from the global generator, which a library must leave alone. These draw from the
generator they are given, and without one have shapes and no memory (torch's meta device).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from isthmus._device import device_of


class Linear(nn.Linear):
    """A linear layer with Glorot-uniform weights and zero biases from a generator of its own.

    torch's own default draws from the global generator, and its scale leaves about a quarter of
    the code units of a single-layer ReLU autoencoder dead from the start.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS, 2010.
    """

    def __init__(self, n_inputs: int, n_outputs: int, generator: torch.Generator | None) -> None:
        super().__init__(n_inputs, n_outputs, device=device_of(generator), dtype=torch.float32)
        if generator is not None:
            nn.init.xavier_uniform_(self.weight, generator=generator)
            nn.init.zeros_(self.bias)

    def reset_parameters(self) -> None:
        """Draw nothing: torch calls this with a generator that is not ours."""


class TiedLinear(nn.Module):
    """A linear layer whose weights are the transposed weights of another one; the biases are its own."""

    def __init__(self, partner: nn.Linear) -> None:
        super().__init__()
        self.weight = partner.weight
        self.bias = nn.Parameter(
            torch.zeros(partner.in_features, device=partner.weight.device, dtype=torch.float32)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``inputs @ weight + bias``."""
        return functional.linear(inputs, self.weight.t(), self.bias)


class Convolution(nn.Conv2d):
    """A convolution that keeps the size of the image, or divides it by ``stride``; Glorot-uniform weights."""

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        kernel_size: int,
        generator: torch.Generator | None,
        *,
        stride: int = 1,
    ) -> None:
        super().__init__(
            n_inputs,
            n_outputs,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            device=device_of(generator),
            dtype=torch.float32,
        )
        if generator is not None:
            assert self.bias is not None
            nn.init.xavier_uniform_(self.weight, generator=generator)
            nn.init.zeros_(self.bias)

    def reset_parameters(self) -> None:
        """Draw nothing: torch calls this with a generator that is not ours."""


def drawn(shape: Sequence[int], deviation: float, generator: torch.Generator | None) -> nn.Parameter:
    """Return normally distributed weights."""
    weights = torch.empty(*shape, device=device_of(generator), dtype=torch.float32)
    if generator is not None:
        weights.normal_(0, deviation, generator=generator)
    return nn.Parameter(weights)


def constant(shape: Sequence[int], value: float, generator: torch.Generator | None) -> nn.Parameter:
    """Return weights that are all equal."""
    return nn.Parameter(torch.full(tuple(shape), value, device=device_of(generator), dtype=torch.float32))
