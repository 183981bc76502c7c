"""What the codes of many rows look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import check_number
from isthmus.errors import DataError
from isthmus.metrics._arrays import block_of, numbers, slices

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Vector: TypeAlias = NDArray[np.float64]


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
    array = numbers(codes, "codes", "code_statistics")
    rows, units = len(array), array[0].size
    total, squares, active = np.zeros(units), np.zeros(units), np.zeros(units)
    lowest, highest = np.full(units, np.inf), np.full(units, -np.inf)
    for rows_of_block in slices(array):
        block = block_of(array, rows_of_block, "codes", "code_statistics")
        total += block.sum(axis=0)
        squares += (block**2).sum(axis=0)
        active += np.count_nonzero(block, axis=0)
        lowest = np.minimum(lowest, block.min(axis=0))
        highest = np.maximum(highest, block.max(axis=0))
    means = total / rows
    # A second pass: the variance as a difference of large sums would lose digits.
    deviations = np.zeros(units)
    for rows_of_block in slices(array):
        block = block_of(array, rows_of_block, "codes", "code_statistics")
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


def active_units(codes: ArrayLike, *, threshold: float = 0.01) -> int:
    """Return how many units vary over the rows.

    Parameters
    ----------
    codes : array-like of shape (n, k)
        Codes; of a variational autoencoder, the means.
    threshold : float, default=0.01
        The variance that a unit has to exceed, in squared units of the codes.

    References
    ----------
    Y. Burda, R. Grosse and R. Salakhutdinov, "Importance weighted autoencoders", ICLR, 2016.

    Examples
    --------
    >>> active_units([[0.0, 1.0, 5.0], [0.1, -1.0, 5.0]])
    1
    """
    check_number(threshold, parameter="threshold", owner="active_units", minimum=0)
    return int((code_statistics(codes).unit_deviations ** 2 > threshold).sum())


def sparsity(codes: ArrayLike) -> float:
    """Return how unevenly the rows of codes spread their size over the units.

    Hoyer's measure, averaged over the rows: 1 where one unit carries all, 0 where all carry the same. A
    row of nothing but zeros counts as 1.

    Parameters
    ----------
    codes : array-like of shape (n, k)
        Codes of at least two units.

    References
    ----------
    P. O. Hoyer, "Non-negative matrix factorization with sparseness constraints", JMLR 5, 2004.

    Examples
    --------
    >>> round(sparsity([[0.0, 3.0], [2.0, -2.0]]), 9)
    0.5
    """
    array = numbers(codes, "codes", "sparsity")
    units = array[0].size
    if units < 2:
        raise DataError("codes has 1 unit, but sparsity is expecting at least 2.")
    total = 0.0
    for rows in slices(array):
        block = np.abs(block_of(array, rows, "codes", "sparsity"))
        largest = block.max(axis=1, keepdims=True)
        scaled = block / np.where(largest > 0, largest, 1)  # so that squares neither vanish nor overflow
        lengths = np.sqrt((scaled**2).sum(axis=1))
        ratio = scaled.sum(axis=1) / np.where(lengths > 0, lengths, 1)
        total += float(((np.sqrt(units) - ratio) / (np.sqrt(units) - 1)).clip(0, 1).sum())
    return total / len(array)


def perplexity(entries: ArrayLike) -> float:
    """Return how many entries of a codebook are in use, as it were: the exponential of their entropy.

    Parameters
    ----------
    entries : array-like of int
        Numbers of entries, of any shape.

    Returns
    -------
    float
        From 1 (always the same) to the number of different entries (all as often).

    Examples
    --------
    >>> round(perplexity([0, 1, 2, 3, 0, 1, 2, 3]), 9)
    4.0
    """
    array = np.asarray(entries)
    if array.dtype.kind not in "iu" or array.size == 0:
        raise DataError(
            f"entries holds {array.size} values of {array.dtype}, but perplexity is expecting whole numbers."
        )
    shares = np.unique(array, return_counts=True)[1] / array.size
    return float(np.exp(-(shares * np.log(shares)).sum()))
