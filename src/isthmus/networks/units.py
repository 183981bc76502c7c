"""Units of Boltzmann machines: families of distributions over one number, each with an input.

A unit with input ``x`` has the density ``exp(x * value - base(value) - log_normalizer(x))``; which values
there are and how much each weighs without an input makes the family (M. Welling, M. Rosen-Zvi and
G. Hinton, "Exponential family harmoniums with an application to information retrieval", NIPS, 2005).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from isthmus._random import BinarySampler, binary, normal, uniform
from isthmus.networks.activations import truncated_normal_mean

_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)


class Units(ABC):
    """Base of the families; all functions are element-wise."""

    name: ClassVar[str]
    #: The activation that is their mean.
    activation: ClassVar[str]
    #: Activations of networks that they may stand for.
    kin: ClassVar[tuple[str, ...]] = ()
    #: Whether their values are.
    bounded: ClassVar[bool] = False
    #: Whether a step that is too long is answered by a longer one even where the other layer has bounds.
    excitable: ClassVar[bool] = False
    #: Share of the learning rate of binary units that a machine with these bears.
    rate: ClassVar[float] = 1.0

    @abstractmethod
    def base(self, values: Tensor) -> Tensor:
        """Return minus the logarithm of what a value weighs without an input."""

    @abstractmethod
    def log_normalizer(self, inputs: Tensor) -> Tensor:
        """Return the logarithm of the sum, or integral, of ``exp(input * value - base(value))``."""

    @abstractmethod
    def mean(self, inputs: Tensor) -> Tensor:
        """Return the expected value: the slope of `log_normalizer`."""

    def input_for(self, mean: Tensor) -> Tensor:
        """Return the inputs with these means; about, for means at the end of their range."""
        return mean

    @abstractmethod
    def mean_and_sample(
        self, inputs: Tensor, keys: Tensor, stream: int, compiled: BinarySampler | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the expected values, and draw, for inputs of shape (n, units) and by keys of shape (n,)."""

    def sample(
        self, inputs: Tensor, keys: Tensor, stream: int, compiled: BinarySampler | None = None
    ) -> Tensor:
        """Draw values."""
        return self.mean_and_sample(inputs, keys, stream, compiled)[1]


class Bernoulli(Units):
    """Units that are on, 1, or off, 0."""

    name = "bernoulli"
    activation = "sigmoid"
    bounded = True

    def base(self, values: Tensor) -> Tensor:
        """Return 0."""
        return torch.zeros_like(values)

    def log_normalizer(self, inputs: Tensor) -> Tensor:
        """Return ``log(1 + exp(input))``."""
        return functional.softplus(inputs)

    def mean(self, inputs: Tensor) -> Tensor:
        """Return the probability of being on."""
        return inputs.sigmoid()

    def input_for(self, mean: Tensor) -> Tensor:
        """Return the logits."""
        return mean.clamp(1e-3, 1 - 1e-3).logit()

    def mean_and_sample(
        self, inputs: Tensor, keys: Tensor, stream: int, compiled: BinarySampler | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the probabilities of being on, and zeros and ones."""
        return binary(inputs, keys, stream, compiled)


class Gaussian(Units):
    """Units with any value, normally distributed around the input with variance 1."""

    name = "gaussian"
    activation = "identity"
    rate = 0.2

    def base(self, values: Tensor) -> Tensor:
        """Return half the square."""
        return 0.5 * values.square()

    def log_normalizer(self, inputs: Tensor) -> Tensor:
        """Return half the square, and the normal distribution's constant."""
        return 0.5 * inputs.square() + _LOG_ROOT_TWO_PI

    def mean(self, inputs: Tensor) -> Tensor:
        """Return the input."""
        return inputs

    def mean_and_sample(
        self, inputs: Tensor, keys: Tensor, stream: int, compiled: BinarySampler | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the inputs, and what is normally distributed around them."""
        return inputs, inputs + normal(keys, inputs.shape[1:], stream).to(inputs.dtype)


class Rectified(Units):
    """Units with any value that is not negative: the normal distribution around the input, cut off at 0.

    Their mean is a smooth ReLU. Unlike the noisy rectified units of Nair and Hinton ("Rectified linear
    units improve restricted Boltzmann machines", ICML, 2010), which approximate a sum of infinitely many
    binary ones, they have an energy in closed form (Q. Su, X. Liao, C. Chen and L. Carin, "Nonlinear
    statistical learning with truncated Gaussian graphical models", ICML, 2016).
    """

    name = "rectified"
    activation = "truncated_normal"
    kin = ("relu", "softplus")
    excitable = True
    rate = 0.05

    #: Below this input, draws come from the tail's own expansion.
    DEEP: ClassVar[float] = -12.0
    #: Above this input nothing is truncated, to the last bit of double precision.
    HIGH: ClassVar[float] = 9.0

    def base(self, values: Tensor) -> Tensor:
        """Return half the square."""
        return 0.5 * values.square()

    def log_normalizer(self, inputs: Tensor) -> Tensor:
        """Return that of the whole normal distribution, plus the logarithm of the probability of a value above 0."""
        # The two cancel far below zero. Their sum is log(erfcx(-x / sqrt(2)) * sqrt(pi / 2)), which does not.
        clamped = inputs.clamp_max(self.HIGH)
        scaled: Tensor = torch.special.erfcx(clamped * -math.sqrt(0.5))
        return scaled.log() + 0.5 * math.log(math.pi / 2) + 0.5 * (inputs - clamped) * (inputs + clamped)

    def mean(self, inputs: Tensor) -> Tensor:
        """Return the mean of the truncated distribution."""
        return truncated_normal_mean(inputs)

    def mean_and_sample(
        self, inputs: Tensor, keys: Tensor, stream: int, compiled: BinarySampler | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the means, and draws by the quantiles of the truncated distribution."""
        exact = inputs.double()
        mean, shares = self.mean(exact), uniform(keys, inputs.shape[1:], stream).double()
        # Not torch.special.ndtr: it is 0 from 8.3 standard deviations below zero on, and the draw infinite.
        shallow = exact.clamp_min(self.DEEP)
        above_zero = 0.5 * torch.special.erfc(shallow * -math.sqrt(0.5))
        drawn = shallow - torch.special.ndtri(shares * above_zero)
        deep = _tail_quantiles(exact, mean, shares)
        drawn = torch.where(exact < self.DEEP, deep, drawn).clamp_min_(0)
        return mean.to(inputs.dtype), drawn.to(inputs.dtype)


def _tail_quantiles(inputs: Tensor, means: Tensor, shares: Tensor) -> Tensor:
    """Return the values that these shares of a normal distribution far below zero, truncated at 0, exceed.

    To second order minus the logarithm of the share above ``v`` is ``h v + h' v² / 2``, where the hazard at zero
    is ``h = mean - input`` and its slope is ``h' = h * mean``. The third order is below ``v³ / t³`` with
    ``t = -input``, where ``v`` is about ``1 / t``.
    """
    hazard, exponent = means - inputs, -shares.log()
    return 2 * exponent / (hazard * (1 + (1 + 2 * means * exponent / hazard).sqrt()))


#: The families by name.
UNITS: Mapping[str, Units] = {units.name: units for units in (Bernoulli(), Gaussian(), Rectified())}


def units_with(activation: str) -> Units | None:
    """Return the units with this mean, or those that may stand for it; None where there are none."""
    exact = (units for units in UNITS.values() if units.activation == activation)
    near = (units for units in UNITS.values() if activation in units.kin)
    return next(exact, None) or next(near, None)
