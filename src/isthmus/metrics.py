"""How far copies are from their originals, and what the codes between them look like.

Textbook definitions in NumPy. Sums are taken in float64 and over blocks of rows, so that a
float32 or memory-mapped array is never converted as a whole. Rows may have any shape: an image
of shape (28, 28) counts as 784 features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    Array: TypeAlias = NDArray[Any]
    Vector: TypeAlias = NDArray[np.float64]

__all__ = [
    "CodeStatistics",
    "binary_cross_entropy",
    "code_statistics",
    "explained_variance",
    "mean_squared_error",
    "row_errors",
    "squared_error",
]

BLOCK_VALUES = 1 << 19  # 4 MiB of float64: large enough for NumPy's speed, small beside any data
PROBABILITY_MARGIN = 1e-7  # the value Keras clips at, so that numbers can be compared with its own


def row_errors(X: ArrayLike, Y: ArrayLike) -> Vector:
    """Return the squared error of each row, summed over its features.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        The originals.
    Y : array-like of the same shape
        Their copies.

    Returns
    -------
    ndarray of shape (n,)
        In squared units of the data.

    Raises
    ------
    DataError
        If the shapes differ, or a value is not a finite number.

    Examples
    --------
    >>> row_errors([[0, 0], [1, 1]], [[3, 4], [1, 1]])
    array([25.,  0.])
    """
    return _row_errors(X, Y, "row_errors")


def squared_error(X: ArrayLike, Y: ArrayLike) -> float:
    """Return the squared error per row: summed over the features, averaged over the rows.

    This is the SSE in which Hinton and Salakhutdinov (2006) report MNIST: with 30 numbers per
    image, 13.87 for PCA and 3.00 for their deep autoencoder.

    Parameters
    ----------
    X, Y : array-like of shape (n, ...)
        The originals and their copies.

    Returns
    -------
    float
        In squared units of the data.

    Raises
    ------
    DataError
        If the shapes differ, or a value is not a finite number.

    References
    ----------
    G. E. Hinton and R. R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural
    Networks", Science 313, 2006.

    Examples
    --------
    >>> squared_error([[0, 0], [1, 1]], [[3, 4], [1, 1]])
    12.5
    """
    return float(_row_errors(X, Y, "squared_error").mean())


def mean_squared_error(X: ArrayLike, Y: ArrayLike) -> float:
    """Return the squared error per value: averaged over rows and features.

    Parameters
    ----------
    X, Y : array-like of shape (n, ...)
        The originals and their copies.

    Returns
    -------
    float
        In squared units of the data: :func:`squared_error` divided by the number of features.

    Raises
    ------
    DataError
        If the shapes differ, or a value is not a finite number.

    Examples
    --------
    >>> mean_squared_error([[0, 0], [1, 1]], [[3, 4], [1, 1]])
    6.25
    """
    errors = _row_errors(X, Y, "mean_squared_error")
    return float(errors.sum()) / np.asarray(X).size


def binary_cross_entropy(X: ArrayLike, Y: ArrayLike) -> float:
    """Return the binary cross-entropy per value, in nats.

    The mean of ``-x log y - (1 - x) log(1 - y)``. Grey values have an entropy of their own, which
    is the least that can be reached: .0581 for the MNIST test images. The copies are clipped to
    [1e-7, 1 - 1e-7] first, as Keras does; so copies outside [0, 1], as PCA makes them, count as
    clipped.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        The originals, in [0, 1].
    Y : array-like of the same shape
        Their copies, read as probabilities.

    Returns
    -------
    float
        Nats per value (per pixel, if the rows are images).

    Raises
    ------
    DataError
        If X leaves [0, 1], the shapes differ, or a value is not a finite number.

    Examples
    --------
    >>> round(binary_cross_entropy([[0.0, 1.0]], [[0.5, 0.5]]), 6)
    0.693147
    """
    total = 0.0
    for _, x, y in _blocks_of_pairs(X, Y, "binary_cross_entropy"):
        if x.min() < 0 or x.max() > 1:
            raise DataError(
                "binary_cross_entropy is expecting X in [0, 1], but X holds values "
                f"from {x.min():g} to {x.max():g}."
            )
        p = np.clip(y, PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
        total -= float((x * np.log(p) + (1 - x) * np.log1p(-p)).sum())
    return total / np.asarray(X).size


def explained_variance(X: ArrayLike, Y: ArrayLike, mean: ArrayLike) -> float:
    """Return the share of the squared distance to ``mean`` that the copies explain.

    One minus the squared error of the copies over the squared error of the constant ``mean``.
    With the mean of X itself this is scikit-learn's ``r2_score`` with
    ``multioutput="variance_weighted"``.

    Parameters
    ----------
    X, Y : array-like of shape (n, ...)
        The originals and their copies.
    mean : array-like with the shape of one row
        What a model that has learnt nothing would answer: usually the mean of the training rows.

    Returns
    -------
    float
        1 for perfect copies, 0 for copies no better than the mean, negative for worse ones. If
        every row equals the mean: 1 for perfect copies, else 0.

    Raises
    ------
    DataError
        If the shapes differ, or a value is not a finite number.

    Examples
    --------
    >>> explained_variance([[0.0], [2.0]], [[0.5], [1.5]], mean=[1.0])
    0.75
    """
    originals, centre = _numbers(X, "X", "explained_variance"), np.asarray(mean)
    if centre.shape != originals.shape[1:]:
        raise DataError(
            f"mean has shape {centre.shape}, but explained_variance is expecting "
            f"{originals.shape[1:]}, the shape of one row of X."
        )
    error = float(_row_errors(originals, Y, "explained_variance").sum())
    # A broadcast view: the mean is not copied for every row.
    constant = np.broadcast_to(centre, originals.shape)
    variation = float(_row_errors(originals, constant, "explained_variance").sum())
    if variation == 0:
        return 1.0 if error == 0 else 0.0
    return 1 - error / variation


@dataclass(frozen=True, eq=False)
class CodeStatistics:
    """What the codes of many rows look like, for all units together and for each.

    Attributes
    ----------
    mean : float
        The mean of all codes.
    zeros : float
        The share of codes that are exactly zero, in [0, 1].
    active_share : ndarray of shape (k,)
        For each unit, the share of rows in which it is not zero.
    unit_means, unit_deviations : ndarray of shape (k,)
        Mean and standard deviation of each unit over the rows.
    typical : ndarray of shape (k,)
        For each unit, the root mean square of its non-zero values; 0 if it has none. How strong
        the unit is when it is on, and the standard deviation where the codes are centred.
    dead : tuple of int
        Units that are constant over all rows, up to rounding, and so tell nothing about any. Never
        any for a single row, of which that cannot be said.
    """

    mean: float
    zeros: float
    active_share: Vector
    unit_means: Vector
    unit_deviations: Vector
    typical: Vector
    dead: tuple[int, ...]


def code_statistics(codes: ArrayLike) -> CodeStatistics:
    """Return mean, sparsity, spread and dead units of codes.

    Parameters
    ----------
    codes : array-like of shape (n, k)
        One row of codes for each row of data. Codes with more dimensions are flattened to k.

    Returns
    -------
    CodeStatistics

    Raises
    ------
    DataError
        If there is no code, or a value is not a finite number.

    Examples
    --------
    >>> statistics = code_statistics([[0.0, 3.0, 1.0], [4.0, 3.0, 0.0]])
    >>> round(statistics.mean, 3), round(statistics.zeros, 3), statistics.dead
    (1.833, 0.333, (1,))
    >>> statistics.active_share
    array([0.5, 1. , 0.5])
    """
    array = _numbers(codes, "codes", "code_statistics")
    rows, units = len(array), array[0].size
    total, squares, active = np.zeros(units), np.zeros(units), np.zeros(units)
    lowest, highest = np.full(units, np.inf), np.full(units, -np.inf)
    for rows_of_block in _slices(array):
        block = _block(array, rows_of_block, "codes", "code_statistics")
        total += block.sum(axis=0)
        squares += (block**2).sum(axis=0)
        active += np.count_nonzero(block, axis=0)
        lowest = np.minimum(lowest, block.min(axis=0))
        highest = np.maximum(highest, block.max(axis=0))
    means = total / rows
    # A second pass: the variance as a difference of large sums would lose digits.
    deviations = np.zeros(units)
    for rows_of_block in _slices(array):
        block = _block(array, rows_of_block, "codes", "code_statistics")
        deviations += ((block - means) ** 2).sum(axis=0)
    return CodeStatistics(
        mean=float(total.sum()) / array.size,
        zeros=1 - float(active.sum()) / array.size,
        active_share=active / rows,
        unit_means=means,
        unit_deviations=np.sqrt(deviations / rows),
        typical=np.sqrt(squares / np.maximum(active, 1)),
        dead=_constant_units(lowest, highest, array.dtype) if rows > 1 else (),
    )


def _constant_units(lowest: Vector, highest: Vector, dtype: np.dtype[Any]) -> tuple[int, ...]:
    # The last bits of a matrix product depend on how the rows were batched: a unit whose values
    # differ in these alone carries nothing.
    rounding = 8 * float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
    constant = highest - lowest <= rounding * np.maximum(abs(lowest), abs(highest))
    return tuple(int(unit) for unit in np.flatnonzero(constant))


def _row_errors(X: ArrayLike, Y: ArrayLike, caller: str) -> Vector:
    errors = np.empty(len(_numbers(X, "X", caller)))
    for rows, x, y in _blocks_of_pairs(X, Y, caller):
        errors[rows] = ((x - y) ** 2).sum(axis=1)
    return errors


def _blocks_of_pairs(X: ArrayLike, Y: ArrayLike, caller: str) -> Iterator[tuple[slice, Vector, Vector]]:
    originals, copies = _numbers(X, "X", caller), _numbers(Y, "Y", caller)
    if originals.shape != copies.shape:
        raise DataError(
            f"Y has shape {copies.shape}, but {caller} is expecting {originals.shape}, the shape of X."
        )
    for rows in _slices(originals):
        yield rows, _block(originals, rows, "X", caller), _block(copies, rows, "Y", caller)


def _numbers(values: ArrayLike, name: str, caller: str) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {array.dtype} values, but {caller} is expecting real numbers.")
    if array.ndim < 2 or array.size == 0:
        raise DataError(
            f"{name} has shape {array.shape}, but {caller} is expecting (rows, features), "
            "at least one of each."
        )
    return array


def _slices(array: Array) -> Iterator[slice]:
    rows_per_block = max(1, BLOCK_VALUES // math.prod(array.shape[1:]))
    for start in range(0, len(array), rows_per_block):
        yield slice(start, start + rows_per_block)


def _block(array: Array, rows: slice, name: str, caller: str) -> Vector:
    block = array[rows].astype(np.float64)
    block = block.reshape(len(block), -1)
    finite = np.isfinite(block)
    if not finite.all():
        row = rows.start + int(np.flatnonzero(~finite.all(axis=1))[0])
        raise DataError(
            f"{name} contains NaN or infinity in row {row}, but {caller} is expecting finite numbers."
        )
    return block
