"""Activation functions by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


class TruncatedNormalMean(nn.Module):
    """The mean of a normal distribution around the input, with variance 1, that is cut off at zero.

    A smooth ReLU, and what rectified units of Boltzmann machines are on average.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the means."""
        return truncated_normal_mean(inputs)


#: Below this input the mean of a truncated normal distribution is taken from a continued fraction.
_DEEP = -8.0

#: Levels of the continued fraction: at `_DEEP` its relative error is 6e-12, and below it is smaller.
_LEVELS = 10

#: Above this input the correction of the mean is below the rounding of double precision.
_HIGH = 9.0


def truncated_normal_mean(inputs: Tensor) -> Tensor:
    """Return the mean of a normal distribution around each input, with variance 1, truncated at zero.

    The relative error is below 1e-11 in double precision and about 1e-5 in single precision.
    """
    # The mean of x is x + pdf(x) / cdf(x), and the quotient is sqrt(2/pi) / erfcx(-x / sqrt(2)). Far below zero
    # the sum cancels. There the quotient is Laplace's continued fraction t + 1 / (t + 2 / (t + 3 / ...)) with
    # t = -x, and the mean is what follows the first t.
    distance = -inputs.clamp_max(_DEEP)
    fraction = distance
    for level in range(_LEVELS, 1, -1):
        fraction = distance + level / fraction
    # Clamped on both sides, so that neither branch has an infinite value or gradient.
    clamped = inputs.clamp(_DEEP, _HIGH)
    mean = inputs + math.sqrt(2 / math.pi) / torch.special.erfcx(clamped * -math.sqrt(0.5))
    return torch.where(inputs < _DEEP, 1 / fraction, mean)


ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "truncated_normal": TruncatedNormalMean,
}


def activation(name: str) -> nn.Module:
    """Return a new module of the activation called ``name``."""
    return ACTIVATIONS[name]()
