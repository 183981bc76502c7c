"""The gradient of a dense autoencoder, step by step on paper and then in memory that is used again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isthmus.bottlenecks import PlainBottleneck
from isthmus.estimators._assembly import Assembly
from isthmus.networks import DenseNetwork
from isthmus.networks.backpropagation import Layer, Place, layers_of
from isthmus.objectives import ClosedFormLoss, Penalty, ReconstructionLoss, Workspace
from isthmus.training import FlatParameters


@dataclass(frozen=True)
class ClosedForm:
    """What :class:`isthmus.training.Autograd` does with a `ReconstructionObjective`, without a graph."""

    encoder: Sequence[Layer]
    decoder: Sequence[Layer]
    loss: ClosedFormLoss
    penalty: Penalty | None
    matrices: Sequence[Place]
    memory: FlatParameters
    workspace: Workspace

    @classmethod
    def of(
        cls,
        assembly: Assembly,
        loss: ReconstructionLoss,
        penalty: Penalty | None,
        memory: FlatParameters,
        workspace: Workspace,
    ) -> ClosedForm | None:
        """Return the gradient of these parts, or None where one of them needs autograd.

        ``memory`` must be entered.
        """
        network, bottleneck = assembly.network, assembly.bottleneck
        if not (
            isinstance(loss, ClosedFormLoss)
            and isinstance(network, DenseNetwork)
            and isinstance(bottleneck, PlainBottleneck)
        ):
            return None
        places = dict(zip(memory.parameters, map(Place, memory.values, memory.gradients), strict=True))
        before: list[nn.Module] = [*network.encoder, bottleneck.activation]
        layers = layers_of([*before, *network.decoder], places)
        if layers is None:
            return None
        matrices = [places[matrix] for matrix in assembly.weight_matrices()]
        return cls(layers[: len(before)], layers[len(before) :], loss, penalty, matrices, memory, workspace)

    @torch.no_grad()
    def __call__(self, rows: Tensor) -> Mapping[str, Tensor]:
        """Return the terms, and leave the gradient in ``memory``."""
        self.memory.refresh()
        values = rows.to(self.memory.precision)
        for layer in self.encoder:
            values = layer.forward(values)
        code = values
        for layer in self.decoder:
            values = layer.forward(values)
        reconstruction = self.loss.mean_and_gradient(values, rows, self.workspace)
        terms = {"loss": reconstruction, "reconstruction": reconstruction}
        slope = _back(self.decoder, values)
        if self.penalty is not None:
            factor = self.penalty.factor(rows.shape[1])
            terms["penalty"] = self.penalty(
                code.float(), [place.value.float() for place in self.matrices], rows.shape[1]
            )
            terms["loss"] = reconstruction + terms["penalty"]
            if self.penalty.on == "activity":
                slope = slope.add(self.penalty.slope(code), alpha=factor / len(rows))
        first, *others = self.encoder
        first.backward(_back(others, slope), needs_inputs=False)
        if self.penalty is not None and self.penalty.on == "weights":
            for place in self.matrices:
                place.gradient.add_(self.penalty.slope(place.value), alpha=factor)
        self.memory.collect()
        return terms


def _back(layers: Sequence[Layer], gradient: Tensor) -> Tensor:
    for layer in reversed(layers):
        inputs = layer.backward(gradient, needs_inputs=True)
        assert inputs is not None
        gradient = inputs
    return gradient
