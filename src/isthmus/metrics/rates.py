"""Bytes against errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isthmus._checks import check_integer
from isthmus.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def bits_per_value(n_bytes: int, n_values: int) -> float:
    """Return how many bits each value takes: bits per pixel (bpp) for images of one channel.

    Parameters
    ----------
    n_bytes : int
        The size of what was compressed.
    n_values : int
        Rows times features.

    Examples
    --------
    >>> bits_per_value(98, 784)
    1.0
    """
    check_integer(n_bytes, parameter="n_bytes", owner="bits_per_value")
    check_integer(n_values, parameter="n_values", owner="bits_per_value", minimum=1)
    return 8 * n_bytes / n_values


def bjontegaard_rate(
    rates: ArrayLike, errors: ArrayLike, other_rates: ArrayLike, other_errors: ArrayLike
) -> float:
    """Return how many bytes more a way to compress needs than another at equal error, on average.

    Logarithms of rates are interpolated over the logarithm of the error, which is PSNR but for a factor,
    by monotone cubic pieces, and compared over the errors that both reach.

    Parameters
    ----------
    rates, errors : array-like of shape (n,)
        Points of one curve, at least two: any unit of size, and squared errors, all positive.
    other_rates, other_errors : array-like of shape (m,)
        Points of the curve that it is held against.

    Returns
    -------
    float
        -0.2 for a fifth fewer bytes.

    Raises
    ------
    DataError
        If there is no curve, or no error that both curves reach.

    References
    ----------
    G. Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001.
    F. N. Fritsch and R. E. Carlson, "Monotone piecewise cubic interpolation", 1980.

    Examples
    --------
    >>> round(bjontegaard_rate([80, 160, 320], [4, 2, 1], [100, 200, 400], [4, 2, 1]), 9)
    -0.2
    """
    from scipy.interpolate import PchipInterpolator

    quality, log_rates = _curve(rates, errors)
    other_quality, other_log_rates = _curve(other_rates, other_errors)
    low, high = max(quality[0], other_quality[0]), min(quality[-1], other_quality[-1])
    if low >= high:
        raise DataError(
            f"The curves have no error in common: one has errors {np.exp(-quality[-1]):.3g} to "
            f"{np.exp(-quality[0]):.3g}, the other {np.exp(-other_quality[-1]):.3g} to {np.exp(-other_quality[0]):.3g}."
        )
    area = PchipInterpolator(quality, log_rates).integrate(low, high)
    other_area = PchipInterpolator(other_quality, other_log_rates).integrate(low, high)
    return float(np.expm1((area - other_area) / (high - low)))


def _curve(rates: ArrayLike, errors: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return qualities, rising, and the logarithms of the rates there."""
    sizes, distances = np.asarray(rates, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if sizes.ndim != 1 or sizes.shape != distances.shape or len(sizes) < 2:
        raise DataError(
            f"A curve needs as many rates as errors, at least two; got {sizes.shape} and {distances.shape}."
        )
    if not (
        np.isfinite(sizes).all() and np.isfinite(distances).all() and min(sizes.min(), distances.min()) > 0
    ):
        raise DataError("Rates and errors of a curve must be positive numbers.")
    quality, order = np.unique(-np.log(distances), return_index=True)
    if len(quality) < 2:
        raise DataError("A curve needs at least two different errors.")
    return quality, np.log(sizes[order])
