"""How alike images look, rather than how far their pixels are apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from isthmus._checks import check_integer, check_number, wrong_parameter
from isthmus.errors import DataError
from isthmus.metrics._arrays import BLOCK_VALUES, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    Vector: TypeAlias = NDArray[np.float64]

WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def structural_similarity(X: ArrayLike, Y: ArrayLike, *, data_range: float = 1.0) -> float:
    """Return the structural similarity (SSIM) of images and their copies.

    Means, variances and covariance in a Gaussian window of 11 by 11 pixels with a standard deviation of
    1.5, wherever it lies inside the image; averaged over the places, channels and images.

    Parameters
    ----------
    X : array-like of shape (n, height, width) or (n, channels, height, width)
        The originals.
    Y : array-like of the same shape
        Their copies.
    data_range : float, default=1.0
        The distance from the least to the greatest value that there can be: 255 for bytes.

    Returns
    -------
    float
        1 for perfect copies.

    Raises
    ------
    DataError
        If the shapes differ, images are smaller than the window, or a value is not finite.

    References
    ----------
    Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image quality assessment: from error
    visibility to structural similarity", IEEE Transactions on Image Processing 13, 2004.

    Examples
    --------
    >>> X = np.random.default_rng(0).random((2, 16, 16))
    >>> structural_similarity(X, X)
    1.0
    """
    return _mean_similarity(X, Y, data_range, 1, "structural_similarity")


def multiscale_structural_similarity(
    X: ArrayLike, Y: ArrayLike, *, data_range: float = 1.0, scales: int = 5
) -> float:
    """Return the structural similarity over several resolutions (MS-SSIM).

    Contrast and structure are compared at each resolution, halved by means of 2 by 2 pixels, luminance at
    the coarsest one. Negative similarities of a resolution count as zero.

    Parameters
    ----------
    X, Y, data_range
        As for :func:`structural_similarity`. The shorter side needs ``11 * 2**(scales - 1)`` pixels.
    scales : int, default=5
        Number of resolutions, 1 to 5. With fewer than five, the published weights of the finest ones are
        scaled to sum to 1; small images allow no more (28 by 28 pixels: 2).

    Returns
    -------
    float
        1 for perfect copies.

    Raises
    ------
    DataError
        If the shapes differ, images are too small, or a value is not finite.

    References
    ----------
    Z. Wang, E. P. Simoncelli and A. C. Bovik, "Multiscale structural similarity for image quality
    assessment", Asilomar Conference, 2003.

    Examples
    --------
    >>> X = np.random.default_rng(0).random((2, 32, 32))
    >>> multiscale_structural_similarity(X, X, scales=2)
    1.0
    """
    owner = "multiscale_structural_similarity"
    if check_integer(scales, parameter="scales", owner=owner, minimum=1) > len(SCALES):
        raise wrong_parameter(owner, "scales", f"at most {len(SCALES)}", scales)
    return _mean_similarity(X, Y, data_range, scales, owner)


def _mean_similarity(X: ArrayLike, Y: ArrayLike, data_range: float, scales: int, caller: str) -> float:
    peak = check_number(data_range, parameter="data_range", owner=caller, minimum=0, open_minimum=True)
    originals, copies = numbers(X, "X", caller), numbers(Y, "Y", caller)
    if originals.shape != copies.shape:
        raise DataError(
            f"Y has shape {copies.shape}, but {caller} is expecting {originals.shape}, the shape of X."
        )
    least = WINDOW * 2 ** (scales - 1)
    if originals.ndim not in (3, 4) or min(originals.shape[-2:]) < least:
        raise DataError(
            f"X has shape {originals.shape}, but {caller} is expecting images (n, height, width) or (n, channels, "
            f"height, width) of at least {least} by {least} pixels. Channels that are last are put first by "
            "np.moveaxis(X, -1, 1)."
        )
    weights = np.array(SCALES[:scales]) / sum(SCALES[:scales])
    total = sum(float(part.sum()) for part in _similarities(originals, copies, peak, weights, caller))
    return total / math.prod(originals.shape[:-2])


def _similarities(
    originals: NDArray[np.generic], copies: NDArray[np.generic], peak: float, weights: Vector, caller: str
) -> Iterator[Vector]:
    """Yield the similarity of each plane, for some images at a time."""
    at_once = max(1, BLOCK_VALUES // math.prod(originals.shape[1:]))
    for start in range(0, len(originals), at_once):
        x, y = (
            part[start : start + at_once].astype(np.float64).reshape(-1, *originals.shape[-2:])
            for part in (originals, copies)
        )
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise DataError(f"X or Y contains NaN or infinity, but {caller} is expecting finite numbers.")
        result = np.ones(len(x))
        for number, weight in enumerate(weights):
            luminance, structure = _terms(x, y, peak)
            last = number == len(weights) - 1
            similarity = (luminance * structure if last else structure).mean(axis=(1, 2))
            # A single scale is plain SSIM, which may be negative.
            result *= similarity if len(weights) == 1 else np.maximum(similarity, 0) ** weight
            if not last:
                x, y = _halved(x), _halved(y)
        yield result


def _terms(x: Vector, y: Vector, peak: float) -> tuple[Vector, Vector]:
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    mean_x, mean_y = _windowed(x), _windowed(y)
    variances = _windowed(x * x) - mean_x**2 + _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def _windowed(images: Vector) -> Vector:
    from scipy.ndimage import correlate1d

    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    smooth = correlate1d(correlate1d(images, weights, axis=1), weights, axis=2)
    inside = slice(WINDOW // 2, -(WINDOW // 2))
    return np.asarray(smooth[:, inside, inside])


def _halved(images: Vector) -> Vector:
    height, width = (side // 2 * 2 for side in images.shape[1:])
    even = images[:, :height, :width]
    halves: Vector = even.reshape(len(even), height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    return halves
