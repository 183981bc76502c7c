"""How far reconstructions are from their originals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from isthmus._checks import check_number
from isthmus.errors import DataError
from isthmus.metrics._arrays import blocks_of_pairs, numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Vector: TypeAlias = NDArray[np.float64]

PROBABILITY_MARGIN = 1e-7  # the value Keras clips at, so that numbers can be compared with its own


def row_errors(X: ArrayLike, Y: ArrayLike, *, unit: ArrayLike | None = None) -> Vector:
    """Return the squared error of each row, summed over its features.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        The originals.
    Y : array-like of the same shape
        Their reconstructions.
    unit : array-like of shape (features,), optional
        The unit in which each feature is measured, such as its standard deviation: differences are divided by
        it. Left out, they stay in the units of the data.

    Returns
    -------
    ndarray of shape (n,)
        In squared units.

    Raises
    ------
    DataError
        If the shapes differ, or a value is not a finite number.

    Examples
    --------
    >>> row_errors([[0, 0], [1, 1]], [[3, 4], [1, 1]])
    array([25.,  0.])
    >>> row_errors([[0, 0], [1, 1]], [[3, 4], [1, 1]], unit=[3, 2])
    array([5., 0.])
    """
    return _sums_of_squares(X, Y, "row_errors", 1.0 if unit is None else np.asarray(unit, dtype=np.float64))


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
    return float(_sums_of_squares(X, Y, "squared_error").mean())


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
    errors = _sums_of_squares(X, Y, "mean_squared_error")
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
    for _, x, y in blocks_of_pairs(X, Y, "binary_cross_entropy"):
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
    originals, centre = numbers(X, "X", "explained_variance"), np.asarray(mean)
    if centre.shape != originals.shape[1:]:
        raise DataError(
            f"mean has shape {centre.shape}, but explained_variance is expecting "
            f"{originals.shape[1:]}, the shape of one row of X."
        )
    error = float(_sums_of_squares(originals, Y, "explained_variance").sum())
    # A broadcast view: the mean is not copied for every row.
    constant = np.broadcast_to(centre, originals.shape)
    variation = float(_sums_of_squares(originals, constant, "explained_variance").sum())
    if variation == 0:
        return 1.0 if error == 0 else 0.0
    return 1 - error / variation


def peak_signal_to_noise(X: ArrayLike, Y: ArrayLike, *, data_range: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio (PSNR) in decibels.

    Ten times the decimal logarithm of the squared range over the mean squared error of all values.

    Parameters
    ----------
    X, Y : array-like of shape (n, ...)
        The originals and their copies.
    data_range : float, default=1.0
        The distance from the least to the greatest value that there can be: 255 for bytes.

    Returns
    -------
    float
        Infinity for perfect copies.

    Raises
    ------
    DataError
        If the shapes differ, or a value is not a finite number.

    Examples
    --------
    >>> round(peak_signal_to_noise([[0.0, 1.0]], [[0.1, 0.9]]), 9)
    20.0
    """
    peak = check_number(
        data_range, parameter="data_range", owner="peak_signal_to_noise", minimum=0, open_minimum=True
    )
    error = mean_squared_error(X, Y)
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


def _sums_of_squares(X: ArrayLike, Y: ArrayLike, caller: str, unit: Vector | float = 1.0) -> Vector:
    errors = np.empty(len(numbers(X, "X", caller)))
    for rows, x, y in blocks_of_pairs(X, Y, caller):
        errors[rows] = (((x - y) / unit) ** 2).sum(axis=1)
    return errors
