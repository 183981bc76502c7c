"""How sure a number is that was measured on some rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isthmus._checks import check_integer, check_number
from isthmus.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float64]

BLOCK_DRAWS = 1 << 22  # rows drawn at a time


def bootstrap_interval(
    values: ArrayLike, *, confidence: float = 0.95, n_resamples: int = 2000, random_state: int = 0
) -> tuple[float, float]:
    """Return an interval for the mean of the population that values were drawn from.

    Parameters
    ----------
    values : array-like of shape (n,)
        One number for each row.
    confidence : float, default=0.95
        In how many of many samples the interval covers the mean, about.
    n_resamples : int, default=2000
        How often rows are drawn anew, with replacement.
    random_state : int, default=0
        Seed.

    Returns
    -------
    low, high : float
        Percentiles of the means of the resamples.

    Raises
    ------
    DataError
        If there are no values, or one is not a finite number.

    References
    ----------
    B. Efron and R. J. Tibshirani, "An introduction to the bootstrap", 1993.

    Examples
    --------
    >>> low, high = bootstrap_interval([1.0, 2.0, 3.0, 4.0])
    >>> 1 <= low < 2.5 < high <= 4
    True
    """
    numbers = _numbers(values, "values")
    sums = _resampled(numbers[:, None], n_resamples, random_state, "bootstrap_interval")[:, 0]
    return _interval(sums / len(numbers), confidence)


def ratio_interval(
    errors: ArrayLike,
    reference_errors: ArrayLike,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    random_state: int = 0,
) -> tuple[float, float]:
    """Return an interval for the error of one model over that of another, on the same rows.

    Rows are drawn in pairs, so that what makes a row hard for both models does not count as doubt.

    Parameters
    ----------
    errors, reference_errors : array-like of shape (n,)
        The error of each row, not negative, by the model and by the one it is held against.
    confidence, n_resamples, random_state
        As for :func:`bootstrap_interval`.

    Returns
    -------
    low, high : float
        For the sum of ``errors`` over the sum of ``reference_errors``.

    Raises
    ------
    DataError
        If there is not one error each, or the reference has none at all to compare with.

    References
    ----------
    B. Efron and R. J. Tibshirani, "An introduction to the bootstrap", 1993.

    Examples
    --------
    >>> ratio_interval([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    (0.5, 0.5)
    """
    ours, theirs = _numbers(errors, "errors"), _numbers(reference_errors, "reference_errors")
    if ours.shape != theirs.shape:
        raise DataError(
            f"There are {len(ours)} errors and {len(theirs)} reference errors; rows must be the same."
        )
    if min(ours.min(), theirs.min()) < 0 or theirs.sum() == 0:
        raise DataError("Errors must not be negative, and those of the reference not all zero.")
    sums = _resampled(np.stack([ours, theirs], axis=1), n_resamples, random_state, "ratio_interval")
    # A resample in which the reference is perfect says nothing about a ratio.
    sums = sums[sums[:, 1] > 0]
    return _interval(sums[:, 0] / sums[:, 1], confidence)


def _resampled(columns: Vector, n_resamples: int, random_state: int, owner: str) -> Vector:
    """Return the sums of the columns over rows drawn with replacement, shape (n_resamples, columns)."""
    check_integer(n_resamples, parameter="n_resamples", owner=owner, minimum=1)
    check_integer(random_state, parameter="random_state", owner=owner)
    return np.concatenate([counts @ columns for counts in _counts(len(columns), n_resamples, random_state)])


def _counts(rows: int, n_resamples: int, random_state: int) -> Iterator[Vector]:
    """Yield how often each row is drawn, for some resamples at a time."""
    generator = np.random.default_rng(random_state)
    at_once = max(1, BLOCK_DRAWS // rows)
    for start in range(0, n_resamples, at_once):
        some = min(at_once, n_resamples - start)
        drawn = generator.integers(rows, size=(some, rows)) + rows * np.arange(some)[:, None]
        yield np.bincount(drawn.ravel(), minlength=some * rows).reshape(some, rows).astype(np.float64)


def _interval(estimates: Vector, confidence: float) -> tuple[float, float]:
    check_number(
        confidence,
        parameter="confidence",
        owner="a bootstrap",
        minimum=0,
        maximum=1,
        open_minimum=True,
        open_maximum=True,
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(estimates, [tail, 1 - tail])
    return float(low), float(high)


def _numbers(values: ArrayLike, name: str) -> Vector:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) == 0 or not np.isfinite(numbers).all():
        raise DataError(
            f"{name} has shape {numbers.shape}, but a bootstrap is expecting a finite number for each row."
        )
    return numbers
