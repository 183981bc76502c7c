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

    #: Below this input double precision cannot tell what is left of the distribution from nothing.
    LOWEST = -35.0

    def base(self, values: Tensor) -> Tensor:
        """Return half the square."""
        return 0.5 * values.square()

    def log_normalizer(self, inputs: Tensor) -> Tensor:
        """Return that of the whole normal distribution, and the logarithm of the share that is left."""
        left: Tensor = torch.special.log_ndtr(inputs)
        return 0.5 * inputs.square() + _LOG_ROOT_TWO_PI + left

    def mean(self, inputs: Tensor) -> Tensor:
        """Return the mean of what is left."""
        return truncated_normal_mean(inputs)

    def mean_and_sample(
        self, inputs: Tensor, keys: Tensor, stream: int, compiled: BinarySampler | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the means, and draws by the quantiles of what is left."""
        # In double precision: single leaves a few dozen different values to inputs far below zero.
        kept = inputs.double().clamp_min(self.LOWEST)
        shares = uniform(keys, inputs.shape[1:], stream).double()
        quantiles = torch.special.ndtri(shares * torch.special.ndtr(kept))
        drawn: Tensor = (kept - quantiles).clamp_min_(0).to(inputs.dtype)
        return self.mean(inputs), drawn


#: The families by name.
UNITS: Mapping[str, Units] = {units.name: units for units in (Bernoulli(), Gaussian(), Rectified())}


def units_with(activation: str) -> Units | None:
    """Return the units with this mean, or those that may stand for it; None where there are none."""
    exact = (units for units in UNITS.values() if units.activation == activation)
    near = (units for units in UNITS.values() if activation in units.kin)
    return next(exact, None) or next(near, None)
