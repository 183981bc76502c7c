"""How finely codes are rounded: as coarsely as the copies bear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.estimators._model import Model
from isthmus.estimators._rows import flatten

#: Share by which rounding with ``step="auto"`` may raise the squared error of the copies.
AUTO_SHARE = 0.05
#: And of the rows' variance, where the copies are perfect.
LEAST_SHARE = 1e-4

PROBED_ROWS = 256
NUDGE = 0.1  # of a code's standard deviation
HALVINGS = 14
COARSEST = 2.0**12
FINEST = 2.0**-24


def sensitivities(model: Model, codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far a copy moves for each unit that a code moves, in the unit of the data.

    The root mean square over some rows, found by small steps. Where columns of the decoder's Jacobian are
    orthogonal, as PCA's are, rounding each code with a step in proportion to the inverse loses least for
    the bits it takes: all of them then err alike in the unit of the data.

    Parameters
    ----------
    model : Model
        A fitted model.
    codes : ndarray of shape (n, k)
        Codes of typical rows.

    Returns
    -------
    ndarray of shape (k,)
        Positive; tiny for a unit that nothing depends on.

    References
    ----------
    V. K. Goyal, "Theoretical foundations of transform coding", IEEE Signal Processing Magazine, 2001.
    """
    probes = codes[:: max(1, len(codes) // PROBED_ROWS)][:PROBED_ROWS]
    base = _copies(model, probes)
    spread = codes.std(axis=0)
    found = np.zeros(codes.shape[1])
    for unit in np.flatnonzero(spread > 0):
        nudge = NUDGE * spread[unit]
        moved = probes.copy()
        moved[:, unit] += nudge
        found[unit] = np.sqrt(((_copies(model, moved) - base) ** 2).sum(axis=1).mean()) / nudge
    largest = found.max(initial=0.0)
    return np.maximum(found, 1e-6 * largest) if largest > 0 else np.ones_like(found)


def quantized(codes: NDArray[Any], steps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return codes as multiples of the steps."""
    return np.rint(codes.astype(np.float64) / steps).astype(np.int64)


def auto_step(
    model: Model, rows: NDArray[np.float64], codes: NDArray[np.float64], units: NDArray[np.float64]
) -> float:
    """Return the coarsest common step, in the unit of the data, that hardly adds to the squared error.

    Parameters
    ----------
    model : Model
        A fitted model.
    rows : ndarray of shape (n, d)
        Some rows.
    codes : ndarray of shape (n, k)
        Their codes.
    units : ndarray of shape (k,)
        What each code's step is for a common step of 1.
    """
    unrounded = float(((_copies(model, codes) - rows) ** 2).sum())
    variance = float(((rows - rows.mean(axis=0)) ** 2).sum())
    allowed = unrounded + max(AUTO_SHARE * unrounded, LEAST_SHARE * variance)

    def bearable(step: float) -> bool:
        copies = _copies(model, quantized(codes, step * units) * (step * units))
        return float(((copies - rows) ** 2).sum()) <= allowed

    scale = np.sqrt(variance / rows.size) or 1.0
    return largest_where(bearable, scale * FINEST, scale * COARSEST)


def largest_where(holds: Callable[[float], bool], finest: float, coarsest: float) -> float:
    """Return about the largest step for which something holds that holds below it and not above.

    ``finest`` where it never does.
    """
    low, high = np.log2(finest), np.log2(coarsest)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(2.0**middle) else (low, middle)
    return float(2.0**low)


def _copies(model: Model, codes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(flatten(np.asarray(model.inverse_transform(codes), dtype=np.float64)))
