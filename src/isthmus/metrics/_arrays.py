"""Checks and blocks that all metrics share.

Sums are taken in float64 and over blocks of rows, so that a float32 or memory-mapped array is never
converted as a whole.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    Array: TypeAlias = NDArray[Any]
    Vector: TypeAlias = NDArray[np.float64]

BLOCK_VALUES = 1 << 19  # 4 MiB of float64: large enough for NumPy's speed, small beside any data


def blocks_of_pairs(X: ArrayLike, Y: ArrayLike, caller: str) -> Iterator[tuple[slice, Vector, Vector]]:
    originals, copies = numbers(X, "X", caller), numbers(Y, "Y", caller)
    if originals.shape != copies.shape:
        raise DataError(
            f"Y has shape {copies.shape}, but {caller} is expecting {originals.shape}, the shape of X."
        )
    for rows in slices(originals):
        yield rows, block_of(originals, rows, "X", caller), block_of(copies, rows, "Y", caller)


def numbers(values: ArrayLike, name: str, caller: str) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {array.dtype} values, but {caller} is expecting real numbers.")
    if array.ndim < 2 or array.size == 0:
        raise DataError(
            f"{name} has shape {array.shape}, but {caller} is expecting (rows, features), "
            "at least one of each."
        )
    return array


def slices(array: Array) -> Iterator[slice]:
    rows_per_block = max(1, BLOCK_VALUES // math.prod(array.shape[1:]))
    for start in range(0, len(array), rows_per_block):
        yield slice(start, start + rows_per_block)


def block_of(array: Array, rows: slice, name: str, caller: str) -> Vector:
    block = array[rows].astype(np.float64)
    block = block.reshape(len(block), -1)
    finite = np.isfinite(block)
    if not finite.all():
        row = rows.start + int(np.flatnonzero(~finite.all(axis=1))[0])
        raise DataError(
            f"{name} contains NaN or infinity in row {row}, but {caller} is expecting finite numbers."
        )
    return block


def labels_for(labels: ArrayLike, rows: int, caller: str) -> Array:
    """Return labels, if there is one for each row and there are two different ones."""
    known = np.asarray(labels)
    if known.shape != (rows,):
        raise DataError(
            f"labels has shape {known.shape}, but {caller} is expecting one for each of {rows} rows."
        )
    if known.dtype.kind == "f" and not np.isfinite(known).all():
        raise DataError(f"labels contains NaN or infinity, but {caller} is expecting finite numbers.")
    if len(np.unique(known)) < 2:
        raise DataError(f"labels holds one class, but {caller} is expecting at least two.")
    return known


def table_of(codes: ArrayLike, name: str, caller: str) -> Vector:
    """Return codes in double precision, shape (n, k), if they are finite numbers."""
    array = numbers(codes, name, caller)
    return np.concatenate([block_of(array, rows, name, caller) for rows in slices(array)])
