"""The plain bottleneck: the encoder's features, through an activation, are the code."""

from __future__ import annotations

from torch import Tensor, nn


class PlainBottleneck(nn.Module):
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

    def forward(self, features: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the code and the named terms this bottleneck adds to the loss: none."""
        return self.code(features), {}

    def code(self, features: Tensor) -> Tensor:
        """Return the deterministic code, as used for inference."""
        code: Tensor = self.activation(features)
        return code
