"""The plain bottleneck: the encoder's features, through an activation, are the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from isthmus.bottlenecks.description import Bottled, Bottleneck, BottleneckModule


@dataclass(frozen=True)
class Plain(Bottleneck):
    """Nothing but the width of the code holds information back."""

    name: ClassVar[str] = "plain"

    def build(
        self, n_components: int, activation: nn.Module, generator: torch.Generator | None
    ) -> PlainBottleneck:
        """Return the module."""
        return PlainBottleneck(n_components, activation)


class PlainBottleneck(BottleneckModule):
    """Code units with an activation and nothing else.

    Parameters
    ----------
    n_components : int
        Number of code units.
    activation : torch.nn.Module
        What is applied to the encoder's features.
    """

    def __init__(self, n_components: int, activation: nn.Module) -> None:
        super().__init__()
        self.n_components = n_components
        self.n_inputs = n_components
        self.activation = activation

    def forward(self, features: Tensor, keys: Tensor) -> Bottled:
        """Return the code; it adds nothing to the loss."""
        return Bottled(self.code(features))

    def code(self, features: Tensor) -> Tensor:
        """Return the deterministic code, as used for inference."""
        code: Tensor = self.activation(features)
        return code
