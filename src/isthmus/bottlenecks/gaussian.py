"""The Gaussian bottleneck of the variational autoencoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from isthmus import _random
from isthmus._checks import check_choice, check_integer, check_number, wrong_parameter
from isthmus._device import device_of
from isthmus.bottlenecks.description import Bottled, Bottleneck, BottleneckModule

PRIORS = ("standard", "learnt")
BOUNDS = ("elbo", "iwae", "dreg")

#: Bounds of a code's log-variance. Beyond them single precision can no longer tell a sample from the
#: mean, or one from infinity; no code that carries anything comes near.
LOG_VARIANCES = (-20.0, 10.0)

_LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Gaussian(Bottleneck):
    """A code that is a normal distribution, and as near to a prior as the reconstruction allows.

    Training decodes a sample of it; in use the code is its mean.

    Parameters
    ----------
    beta : float, default=1.0
        Factor of the KL divergence. 1 makes the loss minus the evidence lower bound (ELBO).
    total_correlation : float, default=0.0
        Factor of the total correlation beyond the share that the KL divergence has anyway: the
        beta-TC-VAE of weight ``beta + total_correlation``. Estimated within a batch.
    warm_up : float, default=0.0
        Share of the training in which the factor of the KL divergence rises from 0 to ``beta``. Validation
        rows are always judged with ``beta``, and early stopping does not end the training before.
    free_bits : float, default=0.0
        Nats of KL divergence, averaged over a batch, that each code unit has free.
    prior : {"standard", "learnt"}, default="standard"
        The standard normal distribution, or one with mean and variance learnt for each unit.
    n_samples : int, default=1
        Samples of a code for each row and step.
    bound : {"elbo", "iwae", "dreg"}, default="elbo"
        What is maximised: the ELBO averaged over the samples; the importance-weighted bound, which
        comes nearer to the likelihood the more samples it has; or that one with the doubly
        reparametrised gradient, whose signal for the encoder does not fade with their number. For the
        latter two, ``beta`` is 1 and nothing is free or faded in.

    References
    ----------
    D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR, 2014. I. Higgins et al.,
    "beta-VAE", ICLR, 2017. R. T. Q. Chen et al., "Isolating sources of disentanglement in variational
    autoencoders", NeurIPS, 2018. C. K. Sønderby et al., "Ladder variational autoencoders", NeurIPS,
    2016. D. P. Kingma et al., "Improved variational inference with inverse autoregressive flow",
    NeurIPS, 2016. Y. Burda, R. Grosse and R. Salakhutdinov, "Importance weighted autoencoders", ICLR,
    2016. G. Tucker et al., "Doubly reparameterized gradient estimators for Monte Carlo objectives",
    ICLR, 2019.
    """

    beta: float = 1.0
    total_correlation: float = 0.0
    warm_up: float = 0.0
    free_bits: float = 0.0
    prior: str = "standard"
    n_samples: int = 1
    bound: str = "elbo"
    name: ClassVar[str] = "gaussian"
    restrains: ClassVar[bool] = True
    code_activation: ClassVar[str | None] = "identity"
    fixed_activation: ClassVar[bool] = True
    can_be_tied: ClassVar[bool] = False
    needs_likelihood: ClassVar[bool] = True
    rate: ClassVar[float] = 0.5

    def __post_init__(self) -> None:
        for name in ("beta", "total_correlation", "free_bits"):
            check_number(getattr(self, name), parameter=name, owner="Gaussian", minimum=0)
        check_number(self.warm_up, parameter="warm_up", owner="Gaussian", minimum=0, maximum=1)
        check_choice(self.prior, PRIORS, parameter="prior", owner="Gaussian")
        check_integer(self.n_samples, parameter="n_samples", owner="Gaussian", minimum=1)
        check_choice(self.bound, BOUNDS, parameter="bound", owner="Gaussian")
        changed = self.beta != 1 or self.total_correlation or self.warm_up or self.free_bits
        if self.bound != "elbo" and changed:
            raise wrong_parameter(
                "Gaussian",
                "bound",
                "'elbo' where beta, total_correlation, warm_up or free_bits are set",
                self.bound,
                "The importance-weighted bound has no separate KL divergence that they could act on.",
            )

    def build(
        self, n_components: int, activation: nn.Module, generator: torch.Generator | None
    ) -> GaussianBottleneck:
        """Return the module."""
        return GaussianBottleneck(n_components, self, generator)


class Normal(NamedTuple):
    """Independent normal distributions.

    Parameters
    ----------
    mean, log_variance : Tensor
        Of the same shape, or of shapes that go together.
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Return values, differentiable by mean and variance, from standard normal noise."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def log_density(self, values: Tensor) -> Tensor:
        """Return the logarithm of the density of each value."""
        squared = (values - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (squared + self.log_variance + _LOG_2PI)

    def divergence(self, other: Normal) -> Tensor:
        """Return the Kullback-Leibler divergence of ``other`` from this distribution, value by value."""
        spread = self.log_variance - other.log_variance
        shift = (self.mean - other.mean).square() * (-other.log_variance).exp()
        return 0.5 * (spread.exp() + shift - 1 - spread)

    def detached(self) -> Normal:
        """Return the same distribution as a constant."""
        return Normal(self.mean.detach(), self.log_variance.detach())


class GaussianBottleneck(BottleneckModule):
    """What :class:`Gaussian` describes.

    Parameters
    ----------
    n_components : int
        Number of code units; the encoder gives a mean and a log-variance for each.
    description : Gaussian
        The settings.
    generator : torch.Generator or None
        Without one: shapes, no memory.

    Attributes
    ----------
    prior_mean, prior_log_variance : Tensor of shape (n_components,)
        Of the prior.
    """

    prior_mean: Tensor
    prior_log_variance: Tensor
    warmth: Tensor

    def __init__(self, n_components: int, description: Gaussian, generator: torch.Generator | None) -> None:
        super().__init__()
        self.n_components, self.n_inputs = n_components, 2 * n_components
        self.description = description
        device = device_of(generator)
        for name in ("prior_mean", "prior_log_variance"):
            start = torch.zeros(n_components, dtype=torch.float32, device=device)
            if description.prior == "learnt":
                self.register_parameter(name, nn.Parameter(start))
            else:
                self.register_buffer(name, start, persistent=False)
        # On the device, where a recorded step reads it.
        warmth = torch.tensor(0.0 if description.warm_up > 0 else 1.0, dtype=torch.float32, device="cpu")
        self.register_buffer("warmth", warmth, persistent=False)

    @property
    def prior(self) -> Normal:
        """The prior of each code unit."""
        return Normal(self.prior_mean, self.prior_log_variance)

    def posterior(self, features: Tensor) -> Normal:
        """Return the distribution of the codes."""
        mean, log_variance = features.chunk(2, dim=1)
        return Normal(mean, log_variance.clamp(*LOG_VARIANCES))

    def draw(
        self, posterior: Normal, keys: Tensor, n_samples: int, stream: int = _random.BOTTLENECK
    ) -> Tensor:
        """Return samples of codes, shape (n_samples, batch, n_components)."""
        noise = _random.normal(keys, (n_samples, self.n_components), stream).to(posterior.mean.dtype)
        return posterior.sample(noise.transpose(0, 1))

    def forward(self, features: Tensor, keys: Tensor) -> Bottled:
        """Return samples, one after the other, and the KL divergence.

        The code has shape (n_samples * batch, n_components), all rows of the first sample first.
        """
        settings = self.description
        posterior = self.posterior(features)
        samples = self.draw(posterior, keys, settings.n_samples)
        by_unit = posterior.divergence(self.prior).mean(0)
        counted = by_unit.clamp(min=settings.free_bits) if settings.free_bits else by_unit
        warmth = self.warmth if settings.warm_up and self.training else 1.0
        terms = {"kl": counted.sum() * (settings.beta * warmth)}
        if settings.total_correlation:
            excess = total_correlation(samples[0], posterior)
            terms["total_correlation"] = settings.total_correlation * excess
        return Bottled(samples.flatten(0, 1), terms, {"kl_nats": by_unit.sum().detach()})

    def code(self, features: Tensor) -> Tensor:
        """Return the means."""
        return self.posterior(features).mean

    @property
    def annealed(self) -> float:
        """Share of a training in which the factor of the KL divergence rises."""
        return self.description.warm_up

    def set_progress(self, share: float) -> None:
        """Set the factor of the KL divergence in training."""
        if self.description.warm_up:
            self.warmth.fill_(min(1.0, share / self.description.warm_up))


def total_correlation(samples: Tensor, posterior: Normal) -> Tensor:
    """Return how far the units of the codes of a batch are from independent, in nats.

    The density of a code over all rows is estimated by the mixture of the batch's own posteriors.

    Parameters
    ----------
    samples : Tensor of shape (batch, n_components)
        A code of each row.
    posterior : Normal
        The distributions they are from.

    References
    ----------
    R. T. Q. Chen et al., "Isolating sources of disentanglement in variational autoencoders", NeurIPS,
    2018.
    """
    others = Normal(posterior.mean.unsqueeze(0), posterior.log_variance.unsqueeze(0))
    densities = others.log_density(samples.unsqueeze(1))  # (samples, rows, units)
    log_n = math.log(len(samples))
    joint = densities.sum(2).logsumexp(1) - log_n
    product = (densities.logsumexp(1) - log_n).sum(1)
    return (joint - product).mean()
