"""Principal components in double precision, whatever the rows are stored in.

scikit-learn's default solver for tall tables subtracts the mean from the second moments. In single
precision that cancels where the mean is large beside the spread. Here the mean is subtracted first, in
double precision, a block of rows at a time, so that large float32 tables are never converted as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Doubles = NDArray[np.float64]

#: Values of a block in double precision: 8 MiB, which stays in the processor's cache.
BLOCK_VALUES = 1 << 20

#: Below so many products the rows themselves are decomposed: their squares would lose half of the digits.
DIRECT_PRODUCTS = 1 << 27

#: Up to so many rows or features, whichever are fewer, the components are exact.
EXACT_SIDE = 2048

#: Magnitudes whose squares neither overflow nor vanish.
SQUARABLE = (1e-100, 1e100)


@dataclass(frozen=True, eq=False)
class Components:
    """The principal components of a table.

    Attributes
    ----------
    mean : ndarray of shape (features,)
        The mean row.
    directions : ndarray of shape (n_components, features)
        Orthonormal directions, that of the largest variance first. The largest entry of each is positive.
    variances : ndarray of shape (n_components,)
        The variance along each direction: the sum of squares over the number of rows less one.
    total_variance : float
        The sum of the variances of all features.
    """

    mean: Doubles
    directions: Doubles
    variances: Doubles
    total_variance: float


def row_blocks(rows: Array) -> Iterator[slice]:
    """Yield slices of rows that hold about ``BLOCK_VALUES`` values each."""
    step = max(64, BLOCK_VALUES // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        yield slice(start, start + step)


def mean_row(rows: Array) -> Doubles:
    """Return the mean row, shape (features,), in double precision."""
    mean: Doubles = rows.mean(axis=0, dtype=np.float64)
    return mean


def total_variance(rows: Array, mean: Doubles) -> float:
    """Return the mean squared distance of rows to ``mean``."""
    return sum(float(np.square(rows[part] - mean).sum()) for part in row_blocks(rows)) / len(rows)


def principal_components(rows: Array, n_components: int, *, seed: int = 0) -> Components:
    """Return the principal components of rows.

    Parameters
    ----------
    rows : ndarray of shape (n, features)
        Finite numbers of any type.
    n_components : int
        How many; at most the smaller of ``n`` and ``features``.
    seed : int, default=0
        For tables with more than 2,048 rows and features, whose first components are found by random
        projections.

    Returns
    -------
    Components

    References
    ----------
    K. Pearson, "On lines and planes of closest fit to systems of points in space", 1901. N. Halko,
    P.-G. Martinsson and J. A. Tropp, "Finding structure with randomness", SIAM Review 53, 2011.

    Examples
    --------
    >>> rows = np.float32(1e6) + np.array([[0, 0], [2, 0], [0, 1], [2, 1]], dtype=np.float32)
    >>> found = principal_components(rows, 2)
    >>> found.directions.round(9).tolist(), found.variances.round(6).tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [1.333333, 0.333333])
    """
    mean = mean_row(rows)
    reach = float(max(np.abs(rows.max(axis=0) - mean).max(), np.abs(rows.min(axis=0) - mean).max()))
    # As a rule 1: dividing all values takes time.
    unit = np.float64(1 if reach == 0 or SQUARABLE[0] < reach < SQUARABLE[1] else reach)
    side = min(rows.shape)
    if rows.size * side <= DIRECT_PRODUCTS:
        directions, squares, total = _decomposed(_centred(rows, mean, unit), n_components)
    elif side > EXACT_SIDE and 2 * n_components < side:
        directions, squares, total = _sketched(rows, mean, unit, n_components, seed)
    elif len(rows) >= rows.shape[1]:
        directions, squares, total = _from_features(rows, mean, unit, n_components)
    else:
        directions, squares, total = _from_rows(rows, mean, unit, n_components)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    directions = np.where(largest < 0, -directions, directions)
    degrees = max(len(rows) - 1, 1)
    with np.errstate(over="ignore", under="ignore"):
        variances = np.maximum(squares, 0.0) * unit**2 / degrees
        return Components(mean, directions, variances, float(total * unit**2 / degrees))


def fitted_pca(rows: Array, n_components: int, *, seed: int = 0) -> Any:
    """Return scikit-learn's PCA with the components of :func:`principal_components`, in double precision.

    Its methods are exact for float64 rows; in float32 they cancel where the mean is large.
    """
    from sklearn.decomposition import PCA

    found = principal_components(rows, n_components, seed=seed)
    left = min(rows.shape) - n_components
    pca = PCA(n_components, random_state=seed)
    pca.mean_, pca.components_, pca.explained_variance_ = found.mean, found.directions, found.variances
    pca.explained_variance_ratio_ = found.variances / (found.total_variance or 1.0)
    pca.singular_values_ = np.sqrt(found.variances * max(len(rows) - 1, 1))
    unexplained = max(found.total_variance - float(found.variances.sum()), 0.0)
    pca.noise_variance_ = unexplained / left if left else 0.0
    pca.n_components_ = n_components
    pca.n_samples_, pca.n_features_in_ = rows.shape
    return pca


def _centred(rows: Array, mean: Doubles, unit: np.float64) -> Doubles:
    centred: Doubles = rows - mean
    if unit != 1:
        centred /= unit
    return centred


def _decomposed(centred: Doubles, n_components: int) -> tuple[Doubles, Doubles, float]:
    """Return directions, sums of squares along them, and the sum of all squares, from rows themselves."""
    if len(centred) > centred.shape[1]:
        centred = np.linalg.qr(centred).R
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    squares = values**2
    return directions[:n_components], squares[:n_components], float(squares.sum())


def _from_features(
    rows: Array, mean: Doubles, unit: np.float64, n_components: int
) -> tuple[Doubles, Doubles, float]:
    """Return the same from the products of features, for tall tables."""
    products = np.zeros((rows.shape[1],) * 2)
    for part in row_blocks(rows):
        block = _centred(rows[part], mean, unit)
        products += block.T @ block
    squares, vectors = _largest(products, n_components)
    return vectors.T, squares, float(np.trace(products))


def _from_rows(
    rows: Array, mean: Doubles, unit: np.float64, n_components: int
) -> tuple[Doubles, Doubles, float]:
    """Return the same from the products of rows, for wide tables."""
    products = np.zeros((len(rows),) * 2)
    step = max(64, BLOCK_VALUES // len(rows))
    parts = [slice(start, start + step) for start in range(0, rows.shape[1], step)]
    for part in parts:
        block = _centred(rows[:, part], mean[part], unit)
        products += block @ block.T
    squares, vectors = _largest(products, n_components)
    spanned = np.concatenate(
        [_centred(rows[:, part], mean[part], unit).T @ vectors for part in parts], axis=0
    )
    # Orthonormal also where the variance is no more than rounding.
    return np.linalg.qr(spanned)[0].T, squares, float(np.trace(products))


def _largest(products: Doubles, n_components: int) -> tuple[Doubles, Doubles]:
    from scipy.linalg import eigh

    size = len(products)
    chosen = None if 2 * n_components > size else (size - n_components, size - 1)
    squares, vectors = eigh(products, subset_by_index=chosen, check_finite=False)
    return squares[: -n_components - 1 : -1], vectors[:, : -n_components - 1 : -1]


def _sketched(
    rows: Array, mean: Doubles, unit: np.float64, n_components: int, seed: int
) -> tuple[Doubles, Doubles, float]:
    """Return the same, but for the digits that random projections leave open, for large tables."""
    from sklearn.utils.extmath import randomized_svd

    centred = np.empty(rows.shape, dtype=np.float32 if rows.dtype == np.float32 else np.float64)
    total = 0.0
    for part in row_blocks(rows):
        block = _centred(rows[part], mean, unit)
        total += float(np.square(block).sum())
        centred[part] = block
    _, values, directions = randomized_svd(centred, n_components, random_state=seed)
    return directions.astype(np.float64), values.astype(np.float64) ** 2, total
