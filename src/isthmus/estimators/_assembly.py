"""The parts joined: what training sees, and the two halves that users get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from isthmus.estimators._scaling import Scaling
from isthmus.objectives import Penalty, ReconstructionLoss, Workspace


class Network(Protocol):
    """Two torch modules, knowing nothing of losses."""

    @property
    def encoder(self) -> nn.Module:
        """Return the body that makes features of rows."""
        ...

    @property
    def decoder(self) -> nn.Module:
        """Return the body that makes pre-activations of codes."""
        ...

    def start_at(self, mean: Tensor, pre_activations: Tensor) -> None:
        """Start from data with this mean row, and from these pre-activations for it."""
        ...

    def encode_features(self, rows: Tensor) -> Tensor:
        """Return what the bottleneck starts from."""
        ...

    def decode_features(self, codes: Tensor) -> Tensor:
        """Return pre-activations."""
        ...


class Bottleneck(Protocol):
    """What happens to the code; says how many features it wants from the encoder."""

    n_inputs: int
    n_components: int

    def __call__(self, features: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the code and named terms for the loss."""
        ...

    def code(self, features: Tensor) -> Tensor:
        """Return the deterministic code."""
        ...


class Assembly(nn.Module):
    """Network, bottleneck and what the loss learns, as one module with one set of weights.

    Parameters
    ----------
    network : Network
        Encoder and decoder body.
    bottleneck : Bottleneck
        Between the two.
    loss_parameters : mapping of str to Tensor
        Start values of what the loss learns.
    """

    def __init__(
        self, network: Network, bottleneck: Bottleneck, loss_parameters: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        self.network = network
        self.bottleneck = bottleneck
        self.loss_parameters = nn.ParameterDict(loss_parameters)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return pre-activations, code, and the bottleneck's terms."""
        code, terms = self.bottleneck(self.network.encode_features(rows))
        return self.network.decode_features(code), code, terms

    def learnt(self) -> dict[str, Tensor]:
        """Return what the loss has learnt so far, by name; empty for most losses."""
        return dict(self.loss_parameters.items())

    def weight_matrices(self) -> list[Tensor]:
        """Return the weights that a weight penalty concerns: all but biases, tied ones once."""
        assert isinstance(self.network, nn.Module)
        return [parameter for parameter in self.network.parameters() if parameter.ndim > 1]


@dataclass(frozen=True)
class ReconstructionObjective:
    """Reconstruction loss plus the bottleneck's terms plus penalty, each also under its own name."""

    loss: ReconstructionLoss
    penalty: Penalty | None = None
    workspace: Workspace | None = field(default_factory=Workspace)

    def __call__(self, network: nn.Module, rows: Tensor) -> dict[str, Tensor]:
        """Return the terms; ``"loss"`` is their sum."""
        assert isinstance(network, Assembly)
        pre_activations, code, terms = network(rows)
        parts = {
            "reconstruction": self.loss.batch_mean(pre_activations, rows, network.learnt(), self.workspace),
            **terms,
        }
        if self.penalty is not None:
            parts["penalty"] = self.penalty(code, network.weight_matrices(), rows.shape[1])
        first, *others = parts.values()
        return {"loss": sum(others, start=first), **parts}


class Encoder(nn.Module):
    """Rows of shape (batch, features), in the units of the data, to codes of shape (batch, n_components)."""

    def __init__(self, scaling: Scaling, body: nn.Module, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.scaling = scaling
        self.body = body
        self.bottleneck = bottleneck

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
