"""What a model's copies leave to be told, so that rows come back exactly or within a bound.

Rows are integers here (see :mod:`isthmus.codec.levels`), and so are the predictions. Features are sent one
after the other, each for all rows at once: what has gone through says how probable the next value is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from isthmus.codec.tables import AdaptiveTables, stretches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from isthmus.codec.channel import Channel

    Integers: TypeAlias = NDArray[np.int64]

__all__ = ["send_bytes", "send_residuals"]

LEVELS = 256
#: Where predictions of bytes are told apart: finer at both ends, where pictures have most values.
BINS = np.array([1, 2, 4, 8, 16, 32, 56, 84, 112, 140, 168, 196, 220, 236, 246, 251, 254])
FEW = 32  # levels, up to which each prediction is a bin of its own
NEIGHBOUR_BINS = np.array([1, 8, 32, 64, 128, 192, 240, 252])

#: Residuals below are symbols of their own; of larger ones the two leading bits are, and the rest is raw.
DIRECT = 16
TOKENS = DIRECT + 2 * 60
ACTIVITY_BINS = np.array([1, 2, 3, 5, 9, 17, 33, 65, 129, 257, 1025, 1 << 14, 1 << 20])
LARGEST_SIZE = 1 << 32


def send_bytes(
    channel: Channel, values: Integers | None, predictions: Integers, row_shape: Sequence[int]
) -> Integers:
    """Pass rows of integers in [0, 256) through a channel.

    A value's probability depends on its prediction and, in pictures, on the values to the left and above.

    Parameters
    ----------
    channel : Channel
        Where they go through.
    values : ndarray of int64, shape (n, d), or None
        The integers, where they are known.
    predictions : ndarray of int64, shape (n, d)
        What both sides expect.
    row_shape : sequence of int
        The shape of a row: of two or more sides for pictures.

    Returns
    -------
    ndarray of int64, shape (n, d)
    """
    top = int(channel.bits(None if values is None else values.max(keepdims=True)[0], 8, 1)[0])
    edges = BINS if top > FEW else np.arange(1, top + 1)
    neighbour_edges = NEIGHBOUR_BINS * top // (LEVELS - 1)
    bins = np.digitize(np.clip(predictions, 0, LEVELS - 1), edges)
    tables = AdaptiveTables((len(edges) + 1) * (len(NEIGHBOUR_BINS) + 1), top + 1)
    result = np.zeros(predictions.shape, dtype=np.int64)
    for feature, neighbours in enumerate(_neighbours(row_shape)):
        contexts = bins[:, feature] * (len(NEIGHBOUR_BINS) + 1)
        if neighbours:
            around = sum(result[:, other] for other in neighbours) // len(neighbours)
            contexts = contexts + np.digitize(around, neighbour_edges)
        known = None if values is None else values[:, feature]
        result[:, feature] = tables.send(channel, known, contexts)
    return result


def send_residuals(
    channel: Channel, values: Integers | None, predictions: Integers, row_shape: Sequence[int]
) -> Integers:
    """Pass rows of any integers through a channel, as their differences from predictions.

    In pictures a difference is probably as large as those to the left and above, elsewhere as large as
    those of the same feature. Parameters and result are those of :func:`send_bytes`, for the whole range
    of 64 bits.
    """
    if len(row_shape) == 1:
        return _send_table(channel, values, predictions)
    return _send_picture(channel, values, predictions, row_shape)


def _send_picture(
    channel: Channel, values: Integers | None, predictions: Integers, row_shape: Sequence[int]
) -> Integers:
    tables = AdaptiveTables(len(ACTIVITY_BINS) + 1, TOKENS)
    sizes = np.zeros(predictions.shape, dtype=np.int64)  # of the differences, as far as contexts see
    result = np.zeros(predictions.shape, dtype=np.int64)
    for feature, neighbours in enumerate(_neighbours(row_shape)):
        around = sum(sizes[:, other] for other in neighbours) // max(1, len(neighbours))
        contexts = np.broadcast_to(np.digitize(around, ACTIVITY_BINS), len(predictions))
        # Differences may leave 64 bits: they wrap, and come back by wrapping again.
        known = None if values is None else values[:, feature] - predictions[:, feature]
        differences = _send_differences(channel, known, contexts, tables)
        sizes[:, feature] = np.abs(np.clip(differences, -LARGEST_SIZE, LARGEST_SIZE))
        result[:, feature] = predictions[:, feature] + differences
    return result


def _send_table(channel: Channel, values: Integers | None, predictions: Integers) -> Integers:
    result = np.empty(predictions.shape, dtype=np.int64)
    tables = AdaptiveTables(1, TOKENS)
    for feature in range(predictions.shape[1]):
        tables = tables.heirs()  # what the features before were like is where this one starts from
        for rows in stretches(len(predictions)):
            predicted = predictions[rows, feature]
            known = None if values is None else values[rows, feature] - predicted
            contexts = np.zeros(len(predicted), dtype=np.int64)
            result[rows, feature] = predicted + _send_differences(channel, known, contexts, tables)
    return result


def _send_differences(
    channel: Channel, values: Integers | None, contexts: Integers, tables: AdaptiveTables
) -> Integers:
    folded = None if values is None else ((values << 1) ^ (values >> 63)).view(np.uint64)
    tokens = tables.send(channel, None if folded is None else _token(folded), contexts)
    result = np.maximum(tokens, 0).astype(np.uint64)
    for token in np.unique(tokens[tokens >= DIRECT]).tolist():
        rows = tokens == token
        raw, lead = _raw_bits(token)
        low = None if folded is None else (folded[rows] & np.uint64((1 << raw) - 1)).view(np.int64)
        tail = channel.bits(low, raw, int(rows.sum())).view(np.uint64)
        result[rows] = np.uint64(lead << raw) | tail
    unfolded = (result >> np.uint64(1)).view(np.int64)
    return np.where(result & np.uint64(1), ~unfolded, unfolded)


def _token(folded: NDArray[np.uint64]) -> Integers:
    """Return the symbol of each value: itself, or its length and its second bit."""
    lengths = _bit_lengths(folded)
    second = (folded >> np.maximum(lengths - 2, 0).astype(np.uint64)) & np.uint64(1)
    large = DIRECT + 2 * (lengths - 5) + second.astype(np.int64)
    return np.where(lengths < 5, folded.astype(np.int64), large)


def _raw_bits(token: int) -> tuple[int, int]:
    """Return how many bits follow a symbol, and the two that stand before them."""
    length, second = divmod(token - DIRECT, 2)
    return length + 5 - 2, 2 + second


def _bit_lengths(values: NDArray[np.uint64]) -> Integers:
    lengths = np.zeros(values.shape, dtype=np.int64)
    rest = values.copy()
    for width in (32, 16, 8, 4, 2, 1):
        large = rest >> np.uint64(width) > 0
        lengths[large] += width
        rest[large] >>= np.uint64(width)
    return lengths + (rest > 0)


def _neighbours(row_shape: Sequence[int]) -> list[list[int]]:
    """Return for each feature of a picture those to its left and above it; none elsewhere."""
    if len(row_shape) < 2:
        return [[] for _ in range(row_shape[0])]
    steps = np.cumprod([1, *row_shape[:0:-1]])[::-1]
    # The last two sides that are not channels; colours that come last are close to each other anyway.
    axes = range(len(row_shape) - 2, len(row_shape))
    places = np.indices(tuple(row_shape)).reshape(len(row_shape), -1).T
    return [
        [number - int(steps[axis]) for axis in axes if place[axis] > 0] for number, place in enumerate(places)
    ]
