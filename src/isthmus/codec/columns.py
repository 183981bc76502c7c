"""Quantised codes: a matrix of integers of which each column has a distribution of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from isthmus.codec.tables import MOST_SYMBOLS, AdaptiveTables, stretches
from isthmus.errors import CompressedDataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isthmus.codec.channel import Channel

    Integers: TypeAlias = NDArray[np.int64]

__all__ = ["LARGEST", "send_columns"]

#: Codes lie in (-2**47, 2**47); finer ones than that are beyond any model's precision.
LARGEST = 1 << 47
WIDTH_BITS = 6
MODELLED_BITS = 10  # of wider columns, the bits below these are as good as random


def send_columns(channel: Channel, values: Integers | None, shape: tuple[int, int]) -> Integers:
    """Pass a matrix of integers through a channel, column by column.

    Parameters
    ----------
    channel : Channel
        Where they go through.
    values : ndarray of int64, shape (n, k), or None
        The integers, where they are known.
    shape : (int, int)
        n and k.

    Returns
    -------
    ndarray of int64, shape (n, k)
    """
    rows, columns = shape
    result = np.empty(shape, dtype=np.int64)
    for column in range(columns):
        known = None if values is None else values[:, column]
        result[:, column] = _send_column(channel, known, rows)
    return result


def _send_column(channel: Channel, values: Integers | None, rows: int) -> Integers:
    low = _send_integer(channel, None if values is None else int(values.min()))
    spread = 0
    if rows > 1:
        spread = _send_integer(channel, None if values is None else int(values.max()) - low)
    if spread < 0:
        raise CompressedDataError("a column of codes ends before it begins.")
    shift = max(0, spread.bit_length() - MODELLED_BITS)
    tables = AdaptiveTables(1, (spread >> shift) + 1)
    assert tables.n_symbols <= MOST_SYMBOLS
    result = np.empty(rows, dtype=np.int64)
    for stretch in stretches(rows):
        above = None if values is None else values[stretch] - low
        count = stretch.stop - stretch.start
        upper = tables.send(
            channel, None if above is None else above >> shift, np.zeros(count, dtype=np.int64)
        )
        lower = channel.bits(None if above is None else above & ((1 << shift) - 1), shift, count)
        result[stretch] = low + (upper << shift) + lower
    return result


def _send_integer(channel: Channel, value: int | None) -> int:
    """Pass an integer, and before it how many bits it takes with its sign."""
    known = None if value is None else np.array([value.bit_length() + 1])
    width = int(channel.bits(known, WIDTH_BITS, 1)[0])
    if not 1 <= width <= LARGEST.bit_length() + 2:
        raise CompressedDataError("a column of codes has larger values than any model's.")
    offset = 1 << (width - 1)
    return int(channel.bits(None if value is None else np.array([value + offset]), width, 1)[0]) - offset
