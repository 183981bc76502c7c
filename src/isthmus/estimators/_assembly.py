"""The parts joined: what training sees, and the two halves that users get."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from isthmus.bottlenecks import BottleneckModule
from isthmus.estimators._scaling import Scaling
from isthmus.networks import Network
from isthmus.objectives import ReconstructionLoss


class Assembly(nn.Module):
    """Network, bottleneck and what the loss learns, as one module with one set of weights.

    Parameters
    ----------
    network : Network
        Encoder and decoder body.
    bottleneck : BottleneckModule
        Between the two.
    loss_parameters : mapping of str to Tensor
        Start values of what the loss learns.
    """

    def __init__(
        self, network: Network, bottleneck: BottleneckModule, loss_parameters: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        self.network = network
        self.bottleneck = bottleneck
        self.loss_parameters = nn.ParameterDict(loss_parameters)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return pre-activations and code, as used for inference."""
        code = self.bottleneck.code(self.network.encoder(rows))
        return self.network.decoder(code), code

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    def learnt(self) -> dict[str, Tensor]:
        """Return what the loss has learnt so far, by name; empty for most losses."""
        return dict(self.loss_parameters.items())

    def weight_matrices(self) -> list[Tensor]:
        """Return the weights that a weight penalty concerns: all but biases, tied ones once."""
        assert isinstance(self.network, nn.Module)
        return [parameter for parameter in self.network.parameters() if parameter.ndim > 1]


class Encoder(nn.Module):
    """Rows of shape (batch, features), in the units of the data, to codes of shape (batch, n_components)."""

    def __init__(self, scaling: Scaling, body: nn.Module, bottleneck: BottleneckModule) -> None:
        super().__init__()
        self.scaling = scaling
        self.body = body
        self.bottleneck = bottleneck

    @property
    def featuring(self) -> nn.Sequential:
        """Everything before the bottleneck, as a module of its own."""
        return nn.Sequential(self.scaling, self.body)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the codes."""
        return self.bottleneck.code(self.body(self.scaling(rows)))


class Decoder(nn.Module):
    """Codes of shape (batch, n_components) to rows of shape (batch, features) in the units of the data."""

    def __init__(self, body: nn.Module, loss: ReconstructionLoss, scaling: Scaling) -> None:
        super().__init__()
        self.body = body
        self.loss = loss
        self.scaling = scaling

    def forward(self, codes: Tensor) -> Tensor:
        """Return the reconstructions."""
        return self.scaling.inverse(self.loss.link(self.body(codes)))
