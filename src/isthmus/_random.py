"""Random numbers as a pure function of what they are for.

Noise and samples must not depend on the order of the work: a run that is streamed, resumed or spread
over several processes draws for a row in an epoch what any other run draws. So numbers are not taken
from a generator that moves on, but hashed from a key for each row and a counter for each value.

The hash is the output function of SplitMix64 (G. L. Steele, D. Lea and C. H. Flood, "Fast splittable
pseudorandom number generators", OOPSLA, 2014), in torch's signed 64-bit integers, which wrap around.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64

#: Bits of a number: with the half that is added, single precision holds it exactly and below 1.
_BITS = 23

#: What numbers are for: those of different streams have nothing to do with each other.
NOISE, OTHER_ROWS, BOTTLENECK, PENALTY, PRIOR, FLIPS, DROPOUT = range(1, 8)

#: The first of as many streams as a Gibbs chain has half-steps.
GIBBS = 1 << 20


def row_keys(seed: int, epoch: int, numbers: Tensor) -> Tensor:
    """Return a key for each row of an epoch.

    Parameters
    ----------
    seed, epoch : int
        Of the training.
    numbers : Tensor of int64, shape (n,)
        Which rows, by their place in the training data.
    """
    start = (seed * 0xD1342543DE82EF95 + epoch * 0xAF251AF3B0F025B5 + 1) % 2**63
    return _mixed(_mixed(numbers * _GOLDEN + start))


def content_keys(rows: Tensor, seed: int = 0) -> Tensor:
    """Return a key for each row that depends on its values alone, so that equal rows draw alike.

    Parameters
    ----------
    rows : Tensor of float32 or float64, shape (n, features)
        The rows.
    seed : int, default=0
        Another one gives other keys.
    """
    # Adding 0 makes the two zeros one, whose bits differ.
    bits = (rows.float() + 0.0).contiguous().view(torch.int32).long()
    counter = torch.arange(1, rows.shape[1] + 1, device=rows.device)
    factors = _mixed(counter * _GOLDEN + seed) | 1
    return _mixed((bits * factors).sum(1) + _wrapped(seed * _SECOND))


def uniform(keys: Tensor, shape: Sequence[int], stream: int) -> Tensor:
    """Return float32 numbers strictly between 0 and 1, evenly distributed.

    Parameters
    ----------
    keys : Tensor of int64, shape (n,)
        One for each row.
    shape : sequence of int
        Shape of what is drawn for a row.
    stream : int
        What it is for.

    Returns
    -------
    numbers : Tensor of shape (n, *shape)
    """
    first, second = _uniform_pair(keys, math.ceil(math.prod(shape) / 2), stream)
    return _joined(first, second, shape)


def normal(keys: Tensor, shape: Sequence[int], stream: int) -> Tensor:
    """Return float32 numbers from the standard normal distribution; the parameters are as in `uniform`.

    By Box and Muller's transform ("A note on the generation of random normal deviates", 1958).
    """
    first, second = _uniform_pair(keys, math.ceil(math.prod(shape) / 2), stream)
    radius = first.log_().mul_(-2).sqrt_()
    angle = second.mul_(2 * math.pi)
    return _joined(radius * angle.cos(), radius * angle.sin(), shape)


def integers(keys: Tensor, shape: Sequence[int], below: int, stream: int) -> Tensor:
    """Return int64 numbers from 0 to ``below - 1``; the other parameters are as in `uniform`."""
    hashed = _hashed(keys, math.prod(shape), stream)
    return ((hashed >> 11) & (2**53 - 1)).remainder_(below).view(len(keys), *shape)


class BinarySampler(Protocol):
    """What does the same as `binary` in one pass over memory."""

    def binary_units(
        self, inputs: Tensor, keys: Tensor, stream: int, golden: int, bits: int
    ) -> tuple[Tensor, Tensor]:
        """Return probabilities and draws of float32 inputs."""
        ...


def binary(
    inputs: Tensor, keys: Tensor, stream: int, compiled: BinarySampler | None = None
) -> tuple[Tensor, Tensor]:
    """Return the probabilities of binary units, and zeros and ones drawn by them.

    Parameters
    ----------
    inputs : Tensor of shape (n, units)
        The logits of the probabilities.
    keys, stream
        As in `uniform`.
    compiled : BinarySampler, optional
        For inputs in the CPU's memory.
    """
    if compiled is not None and inputs.dtype == torch.float32 and inputs.ndim == 2:
        contiguous = inputs.contiguous(), keys.contiguous()
        return compiled.binary_units(*contiguous, _wrapped(stream * _FIRST), _GOLDEN, _BITS)
    probabilities = inputs.sigmoid()
    return probabilities, (uniform(keys, inputs.shape[1:], stream) < probabilities).to(inputs.dtype)


def _uniform_pair(keys: Tensor, n: int, stream: int) -> tuple[Tensor, Tensor]:
    """Return two numbers from each hash: its upper bits and its middle ones."""
    hashed = _hashed(keys, n, stream)
    mask = (1 << _BITS) - 1
    halves = (hashed >> (64 - _BITS), hashed >> (64 - 2 * _BITS))
    first, second = (half.bitwise_and_(mask).float().add_(0.5).mul_(2.0**-_BITS) for half in halves)
    return first, second


def _joined(first: Tensor, second: Tensor, shape: Sequence[int]) -> Tensor:
    size = math.prod(shape)
    return torch.cat([first, second], dim=1)[:, :size].reshape(len(first), *shape)


def _hashed(keys: Tensor, n: int, stream: int) -> Tensor:
    """Return ``n`` hashes of each key, shape (rows, n)."""
    counter = torch.arange(1, n + 1, device=keys.device)
    # The key is mixed with the stream first: keys that differ by a multiple of the increment would
    # otherwise share their sequences, shifted.
    return _mixed(_mixed(keys + _wrapped(stream * _FIRST)).unsqueeze(1) + counter * _GOLDEN)


def _wrapped(number: int) -> int:
    """Return what is left of a number in 64 bits with a sign."""
    return (number + 2**63) % 2**64 - 2**63


def _mixed(values: Tensor) -> Tensor:
    """Return SplitMix64's output for each state."""
    values = values ^ _shifted(values, 30)
    values.mul_(_FIRST)
    values.bitwise_xor_(_shifted(values, 27)).mul_(_SECOND)
    return values.bitwise_xor_(_shifted(values, 31))


def _shifted(values: Tensor, bits: int) -> Tensor:
    # torch shifts the sign along; the mask makes it the shift of unsigned numbers.
    return (values >> bits).bitwise_and_((1 << (64 - bits)) - 1)
