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


def truncated_normal_mean(inputs: Tensor) -> Tensor:
    """Return the mean of a normal distribution around each input, with variance 1, cut off at zero."""
    # Far below zero the mean is about -1/x, the difference of two large numbers: there by its series.
    deep = inputs.clamp_max(-8.0).reciprocal()
    square = deep.square()
    series = -deep * (1 - square * (2 - square * (10 - square * 74)))
    shallow = inputs.clamp_min(-8.0)
    share = torch.special.log_ndtr(shallow)
    mean = shallow + (-0.5 * shallow.square() - 0.5 * math.log(2 * math.pi) - share).exp()
    return torch.where(inputs < -8.0, series, mean)


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
