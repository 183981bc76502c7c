"""What training minimises: the parts of an autoencoder joined to one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from isthmus.bottlenecks import GaussianBottleneck, Normal
from isthmus.estimators._assembly import Assembly
from isthmus.networks import DenseNetwork
from isthmus.objectives import (
    ClosedFormLoss,
    Encoding,
    Noise,
    Penalty,
    ReconstructionLoss,
    Surroundings,
    Workspace,
)
from isthmus.training import Batch


@dataclass(frozen=True)
class Corruption:
    """A noise and the data it is for.

    Parameters
    ----------
    noise : Noise
        What is done to the rows.
    around : Surroundings
        What it knows of the data.
    """

    noise: Noise
    around: Surroundings

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return what the encoder gets, and what the decoder is to make of it."""
        noisy = self.noise(batch.rows, batch.keys, self.around)
        if batch.targets is not None:
            return noisy, batch.targets
        return noisy, noisy if self.noise.changes_target else batch.rows


def untouched(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the rows as input, and as target unless they have targets of their own."""
    return batch.rows, batch.rows if batch.targets is None else batch.targets


#: A batch to inputs and targets.
Preparation = Callable[[Batch], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class ReconstructionObjective:
    """Reconstruction loss plus the bottleneck's terms plus penalty, each also under its own name.

    Parameters
    ----------
    loss : ReconstructionLoss
        Distance between target and reconstruction.
    penalty : Penalty, optional
        What is added.
    workspace : Workspace, optional
        Memory for closed-form gradients of the loss; without one the loss is left to autograd.
    prepare : callable
        Noise.
    gaps : bool, default=False
        Whether values may be missing.
    """

    loss: ReconstructionLoss
    penalty: Penalty | None = None
    workspace: Workspace | None = field(default_factory=Workspace)
    prepare: Preparation = untouched
    gaps: bool = False

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the terms; ``"loss"`` is the sum of those that count."""
        assert isinstance(network, Assembly)
        inputs, targets = self.prepare(batch)
        bottled = network.bottleneck(_precise(network.network.encoder(inputs)), batch.keys)
        copies = network.network.decoder(bottled.code)
        n_samples = len(copies) // len(targets)
        targets = targets if n_samples == 1 else targets.repeat(n_samples, 1)
        parts = {"reconstruction": self._distance(copies, targets, network.learnt()), **bottled.terms}
        if self.penalty is not None:
            parts["penalty"] = self.penalty(encoding_of(network, inputs, bottled.code, batch.keys))
        first, *others = parts.values()
        return {"loss": sum(others, start=first), **parts, **bottled.measures}

    def _distance(self, copies: Tensor, targets: Tensor, learnt: Mapping[str, Tensor]) -> Tensor:
        if self.gaps:
            return self.loss.per_row(_precise(copies), targets, learnt, gaps=True).mean()
        if not isinstance(self.loss, ClosedFormLoss):
            copies = _precise(copies)
        return self.loss.batch_mean(copies, targets, learnt, self.workspace)


@dataclass(frozen=True)
class ImportanceWeightedObjective:
    """Minus the importance-weighted bound on the log-likelihood; the parameters are as above.

    Parameters
    ----------
    doubly_reparametrized : bool
        Whether the encoder's gradient is the one without the score function, whose signal does not
        fade with the number of samples.
    """

    loss: ReconstructionLoss
    doubly_reparametrized: bool
    penalty: Penalty | None = None
    prepare: Preparation = untouched
    gaps: bool = False

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return ``"loss"`` and what it is made of."""
        assert isinstance(network, Assembly)
        bottleneck = network.bottleneck
        assert isinstance(bottleneck, GaussianBottleneck)
        inputs, targets = self.prepare(batch)
        posterior = bottleneck.posterior(_precise(network.network.encoder(inputs)))
        codes = bottleneck.draw(posterior, batch.keys, bottleneck.description.n_samples)
        judged = posterior.detached() if self.doubly_reparametrized else posterior
        weights, distances = log_weights(network, self.loss, codes, targets, judged, gaps=self.gaps)
        bound = (weights.logsumexp(0) - math.log(len(weights))).mean()
        shares = weights.detach().softmax(0)
        loss = -bound
        if self.doubly_reparametrized and codes.requires_grad:
            # The same value; but each code's own gradient gets the square of its share.
            codes.register_hook(lambda gradient: gradient * shares.unsqueeze(2))  # type: ignore[no-untyped-call]
            surrogate = -(shares * weights).sum(0).mean()
            loss = surrogate + (loss - surrogate).detach()
        divergence = posterior.divergence(bottleneck.prior).sum(1).mean().detach()
        terms = {"loss": loss, "reconstruction": distances.mean().detach(), "kl_nats": divergence}
        if self.penalty is not None:
            penalty = self.penalty(encoding_of(network, inputs, codes.flatten(0, 1), batch.keys))
            terms |= {"loss": loss + penalty, "penalty": penalty}
        return terms


def _precise(values: Tensor) -> Tensor:
    """Return values of half precision in single: densities and counts are not for less."""
    return values.float() if values.dtype.itemsize < torch.float32.itemsize else values


def log_weights(
    assembly: Assembly,
    loss: ReconstructionLoss,
    codes: Tensor,
    targets: Tensor,
    posterior: Normal,
    *,
    gaps: bool,
) -> tuple[Tensor, Tensor]:
    """Return log p(x, z) - log q(z | x) and -log p(x | z), each of shape (n_samples, batch).

    Parameters
    ----------
    assembly : Assembly
        With a Gaussian bottleneck.
    loss : ReconstructionLoss
        A likelihood.
    codes : Tensor of shape (n_samples, batch, n_components)
        Samples from the posterior.
    targets : Tensor of shape (batch, features)
        Rows.
    posterior : Normal
        What the density of the codes is taken of.
    gaps : bool
        Whether values may be missing.
    """
    bottleneck = assembly.bottleneck
    assert isinstance(bottleneck, GaussianBottleneck)
    copies = _precise(assembly.network.decoder(codes.flatten(0, 1)))
    repeated = targets.repeat(len(codes), 1)
    distances = loss.per_row(copies, repeated, assembly.learnt(), gaps=gaps).view(codes.shape[:2])
    ratio = bottleneck.prior.log_density(codes) - posterior.log_density(codes)
    return ratio.sum(2) - distances, distances


def encoding_of(assembly: Assembly, inputs: Tensor, code: Tensor, keys: Tensor) -> Encoding:
    """Return what penalties may look at."""
    network = assembly.network
    single: Tensor | None = None
    if isinstance(network, DenseNetwork) and len(network.encoder) == 1:
        single = network.encoder[0].weight  # type: ignore[assignment]
    return Encoding(
        inputs=inputs,
        code=code,
        keys=keys,
        weights=assembly.weight_matrices(),
        body=network.encoder,
        activate=assembly.bottleneck.code,
        single_layer=single,
    )
