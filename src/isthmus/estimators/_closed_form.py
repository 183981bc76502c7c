"""The gradient of a dense autoencoder, worked out beforehand and written to memory that is used again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isthmus.bottlenecks import PlainBottleneck
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._objectives import Preparation, ReconstructionObjective
from isthmus.networks import DenseNetwork
from isthmus.networks.backpropagation import Chain, Place
from isthmus.objectives import ClosedFormLoss, ValuePenalty, Workspace
from isthmus.training import Batch, FlatParameters


@dataclass(frozen=True)
class ClosedForm:
    """What :class:`isthmus.training.Autograd` does with a `ReconstructionObjective`, without a graph."""

    encoder: Chain
    decoder: Chain
    last_bias: Tensor
    loss: ClosedFormLoss
    penalty: ValuePenalty | None
    prepare: Preparation
    matrices: Sequence[Place]
    memory: FlatParameters
    workspace: Workspace

    @classmethod
    def of(
        cls,
        assembly: Assembly,
        objective: ReconstructionObjective,
        memory: FlatParameters,
        workspace: Workspace,
    ) -> ClosedForm | None:
        """Return the gradient of the objective, or None where one of its parts needs autograd.

        ``memory`` must be entered.
        """
        network, bottleneck = assembly.network, assembly.bottleneck
        loss, penalty = objective.loss, objective.penalty
        if not (
            isinstance(loss, ClosedFormLoss)
            and isinstance(network, DenseNetwork)
            and isinstance(bottleneck, PlainBottleneck)
            and hasattr(network.decoder[-1], "bias")
            and (penalty is None or isinstance(penalty, ValuePenalty))
        ):
            return None
        pairs = map(Place, memory.values, memory.gradients)
        places: dict[Tensor, Place] = dict(zip(memory.parameters, pairs, strict=True))
        written: set[Tensor] = set()
        decoder = Chain.of(network.decoder, places, written, bare=True)
        encoder = Chain.of([*network.encoder, bottleneck.activation], places, written)
        if encoder is None or decoder is None:
            return None
        matrices = [places[matrix] for matrix in assembly.weight_matrices()]
        last = network.decoder[-1]
        assert isinstance(last.bias, Tensor)
        bias = places[last.bias].value
        return cls(encoder, decoder, bias, loss, penalty, objective.prepare, matrices, memory, workspace)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the terms, and leave the gradient in ``memory``, whose precision the rows have."""
        self.memory.refresh()
        inputs, targets = self.prepare(batch)
        code = self.encoder.forward(inputs)
        copies = self.decoder.forward(code)
        reconstruction = self.loss.mean_and_gradient(copies, targets, self.workspace, self.last_bias)
        slope = self.decoder.backward(copies, needs_inputs=True)
        assert slope is not None
        terms = {"loss": reconstruction, "reconstruction": reconstruction}
        if self.penalty is None:
            self.encoder.backward(slope, needs_inputs=False)
        else:
            penalty = self._penalise(self.penalty, code, slope, inputs)
            terms |= {"loss": reconstruction + penalty, "penalty": penalty}
        self.memory.collect()
        return terms

    def _penalise(self, penalty: ValuePenalty, code: Tensor, slope: Tensor, rows: Tensor) -> Tensor:
        """Return the penalty, and finish the gradient with its part."""
        n_rows, n_features = rows.shape
        factor, on_codes = penalty.factor(n_features), penalty.on == "activity"
        if on_codes:
            slope = slope.add(penalty.slope(code), alpha=factor / n_rows)
        self.encoder.backward(slope, needs_inputs=False)
        if not on_codes:
            for place in self.matrices:
                place.gradient.add_(penalty.slope(place.value), alpha=factor)
        wide = torch.promote_types(code.dtype, torch.float32)
        return penalty.total(code.to(wide), [place.value.to(wide) for place in self.matrices], n_features)
