"""Likelihoods with parameters of their own, and those of counts: losses in nats, constants included."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from isthmus._checks import check_choice, check_integer, check_number
from isthmus.objectives.reconstruction import NO_PARAMETERS, ReconstructionLoss, log_mixture

SHARING = ("shared", "feature")

#: From here on Stirling's series with three terms is exact in double precision.
_LARGE = 100.0


@dataclass(frozen=True)
class GaussianLikelihood(ReconstructionLoss):
    """Gaussian negative log-likelihood in nats with a learnt variance; the link is the identity.

    Parameters
    ----------
    variance : {"shared", "feature"}, default="shared"
        One variance for all features or one for each.
    floor : float, default=1e-4
        Smallest variance, in squared units of the (scaled) data. Without it, a feature that is
        reconstructed perfectly would drive the likelihood to infinity.
    """

    variance: str = "shared"
    floor: float = 1e-4
    name: ClassVar[str] = "gaussian"
    is_likelihood: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice(self.variance, SHARING, parameter="variance", owner="GaussianLikelihood")
        check_number(self.floor, parameter="floor", owner="GaussianLikelihood", minimum=0, open_minimum=True)

    def parameters(self, n_features: int, device: torch.device | None = None) -> dict[str, Tensor]:
        """Return the log-variance, started at variance one."""
        return {"log_variance": _start(n_features if self.variance == "feature" else 1, device)}

    def _per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the negative log-density of each value."""
        log_variance = parameters["log_variance"].clamp(min=math.log(self.floor))
        squared = (pre_activations - rows).square()
        return 0.5 * (squared * (-log_variance).exp() + log_variance + math.log(2 * math.pi))


@dataclass(frozen=True)
class LaplaceLikelihood(ReconstructionLoss):
    """Laplace negative log-likelihood in nats with a learnt scale; the link is the identity.

    Its error is absolute, so that outliers weigh less than with a Gaussian.

    Parameters
    ----------
    spread : {"shared", "feature"}, default="shared"
        One scale for all features or one for each.
    floor : float, default=1e-2
        Smallest scale, in units of the (scaled) data.
    """

    spread: str = "shared"
    floor: float = 1e-2
    name: ClassVar[str] = "laplace"
    is_likelihood: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice(self.spread, SHARING, parameter="spread", owner="LaplaceLikelihood")
        check_number(self.floor, parameter="floor", owner="LaplaceLikelihood", minimum=0, open_minimum=True)

    def parameters(self, n_features: int, device: torch.device | None = None) -> dict[str, Tensor]:
        """Return the log-scale, started at scale one."""
        return {"log_scale": _start(n_features if self.spread == "feature" else 1, device)}

    def _per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the negative log-density of each value."""
        log_scale = parameters["log_scale"].clamp(min=math.log(self.floor))
        return (pre_activations - rows).abs() * (-log_scale).exp() + log_scale + math.log(2)


@dataclass(frozen=True)
class DiscretizedLogistic(ReconstructionLoss):
    """Probability of one of a few evenly spaced values between 0 and 1, such as the grey of a pixel.

    A logistic distribution with a learnt scale, of which each value gets what lies nearer to it than to
    its neighbours, and the first and last value all that lies beyond.

    Parameters
    ----------
    levels : int, default=256
        Number of values: 256 for pixels of one byte.
    spread : {"shared", "feature"}, default="shared"
        One scale for all features or one for each.

    References
    ----------
    T. Salimans, A. Karpathy, X. Chen and D. P. Kingma, "PixelCNN++", ICLR, 2017.
    """

    levels: int = 256
    spread: str = "shared"
    name: ClassVar[str] = "logistic"
    support: ClassVar[str] = "unit"
    is_likelihood: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_integer(self.levels, parameter="levels", owner="DiscretizedLogistic", minimum=2)
        check_choice(self.spread, SHARING, parameter="spread", owner="DiscretizedLogistic")

    def link(self, pre_activations: Tensor) -> Tensor:
        """Return the centres of the distributions, cut off at 0 and 1."""
        return pre_activations.clamp(0, 1)

    def parameters(self, n_features: int, device: torch.device | None = None) -> dict[str, Tensor]:
        """Return the log-scale, started at a tenth of the range."""
        return {"log_scale": _start(n_features if self.spread == "feature" else 1, device, math.log(0.1))}

    def per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the negative log-probability of each value.

        The first and the last level hold all that lies beyond them, so values outside add nothing here.
        """
        return self._per_value(pre_activations, self.nearest(rows), parameters)

    def _per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the negative log-probability of each value, or of the nearest level."""
        # A scale far below the distance of two values would only make one of them certain.
        log_scale = parameters["log_scale"].clamp(min=math.log(0.02 / (self.levels - 1)))
        half, sharpness = 0.5 / (self.levels - 1), (-log_scale).exp()
        nearest = (rows * (self.levels - 1)).round() / (self.levels - 1)
        above = (nearest + half - pre_activations) * sharpness
        below = (nearest - half - pre_activations) * sharpness
        # log(s(a) - s(b)) = log s(a) + log s(-b) + log(1 - exp(b - a)), where nothing cancels.
        width = 2 * half * sharpness
        inside = (
            functional.logsigmoid(above) + functional.logsigmoid(-below) + torch.log(-torch.expm1(-width))
        )
        first, last = nearest <= 0, nearest >= 1
        ends = torch.where(first, functional.logsigmoid(above), functional.logsigmoid(-below))
        return -torch.where(first | last, ends, inside)

    def _excess_per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the loss of each value less that of a centre on the value itself."""
        # A centre beyond 0 or 1 makes the first or last level still more probable, but reconstructs it no better.
        least = self._per_value(rows, rows, parameters)
        return (self._per_value(pre_activations, rows, parameters) - least).clamp_min(0)


class CountLikelihood(ReconstructionLoss):
    """What the likelihoods of counts share: the exponential as their link."""

    support: ClassVar[str] = "counts"
    is_likelihood: ClassVar[bool] = True

    def link(self, pre_activations: Tensor) -> Tensor:
        """Return expected counts."""
        return pre_activations.exp()

    def inverse_link(self, rows: Tensor) -> Tensor:
        """Return the logarithms, as if no expected count were below 1 in 100."""
        return rows.clamp(min=0.01).log()


@dataclass(frozen=True)
class PoissonLikelihood(CountLikelihood):
    """Poisson negative log-likelihood of counts in nats; the link is the exponential."""

    name: ClassVar[str] = "poisson"

    def _per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the negative log-probability of each count."""
        return pre_activations.exp() - rows * pre_activations + torch.lgamma(rows + 1)

    def _excess_per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return half the deviance of each count."""
        # With u = z - log(x) it is x (exp(u) - 1 - u), where nothing cancels.
        distance = pre_activations - rows.masked_fill(rows == 0, 1.0).log()
        excess = rows * (torch.expm1(distance) - distance)
        return torch.where(rows == 0, pre_activations.exp(), excess.clamp_min(0))


@dataclass(frozen=True)
class NegativeBinomial(CountLikelihood):
    """Negative binomial negative log-likelihood of counts in nats; the link is the exponential.

    For counts that scatter more than a Poisson distribution allows, such as gene expression: the
    variance of a count with mean m is m + m^2 / r, and r is learnt.

    Parameters
    ----------
    dispersion : {"shared", "feature"}, default="feature"
        One r for all features or one for each.

    References
    ----------
    G. Eraslan, L. M. Simon, M. Mircea, N. S. Mueller and F. J. Theis, "Single-cell RNA-seq denoising
    using a deep count autoencoder", Nature Communications, 2019.
    """

    dispersion: str = "feature"
    name: ClassVar[str] = "negative-binomial"

    def __post_init__(self) -> None:
        check_choice(self.dispersion, SHARING, parameter="dispersion", owner="NegativeBinomial")

    def parameters(self, n_features: int, device: torch.device | None = None) -> dict[str, Tensor]:
        """Return the logarithm of r, started at one."""
        return {"log_dispersion": _start(n_features if self.dispersion == "feature" else 1, device)}

    def _per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the negative log-probability of each count."""
        log_r = parameters["log_dispersion"]
        r = log_r.exp()
        # With m the mean: -r log(r / (r + m)) and -x log(m / (r + m)), where no large r cancels.
        failures = -r * functional.logsigmoid(log_r - pre_activations)
        successes = -rows * functional.logsigmoid(pre_activations - log_r)
        return failures + successes - _log_rising(r, rows) + torch.lgamma(rows + 1)

    def _excess_per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return half the deviance of each count."""
        log_r = parameters["log_dispersion"]
        r = log_r.exp()
        # With u = z - log(x) it is (r + x) log(1 - s + s exp(u)) - x u, where s = x / (r + x).
        distance = pre_activations - rows.masked_fill(rows == 0, 1.0).log()
        mixture = log_mixture(rows / (r + rows), distance)
        excess = ((r + rows) * mixture - rows * distance).clamp_min(0)
        # With no count at all it is r log(1 + m / r); softplus would be cut short.
        none = -r * functional.logsigmoid(log_r - pre_activations)
        return torch.where(rows == 0, none, excess)


def _log_rising(r: Tensor, counts: Tensor) -> Tensor:
    """Return lgamma(r + counts) - lgamma(r), by Stirling's series where r is large and they cancel."""
    small, large = r.clamp(max=_LARGE), r.clamp(min=_LARGE)
    both = large + counts
    series = counts * large.log() + (both - 0.5) * torch.log1p(counts / large) - counts
    for factor, power in ((1 / 12, -1), (-1 / 360, -3), (1 / 1260, -5)):
        series = series + factor * (both.pow(power) - large.pow(power))
    return torch.where(r < _LARGE, torch.lgamma(small + counts) - torch.lgamma(small), series)


def _start(n: int, device: torch.device | None, value: float = 0.0) -> Tensor:
    """Return what a parameter of the loss is at the start, on the CPU unless told otherwise."""
    return torch.full((n,), value, dtype=torch.float32, device=device or "cpu")
