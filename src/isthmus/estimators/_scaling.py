"""Scaling: learnt from the training data, applied before the encoder, undone after the decoder."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from isthmus._checks import check_choice
from isthmus.errors import DataError
from isthmus.estimators._rows import BLOCK_ROWS, Rows

#: Largest value of data in [0, 1] that are left as they are, at least.
TINY = 1e-6

#: Where squares neither overflow nor vanish.
SQUARES = (1e-140, 1e140)

SCALES = ("auto", "none", "standard", "sequence", "minmax", "range")


class Scaling(nn.Module):
    """``(x - offset) / unit`` and back, computed in double precision.

    Parameters
    ----------
    offset, unit : Tensor of shape (features,) or (1,), float64
        What is subtracted, and what the difference is divided by.
    """

    offset: Tensor
    unit: Tensor

    def __init__(self, offset: Tensor, unit: Tensor) -> None:
        super().__init__()
        self.register_buffer("offset", offset)
        self.register_buffer("unit", unit)
        self.trivial = bool((offset == 0).all() and (unit == 1).all())

    def forward(self, rows: Tensor) -> Tensor:
        """Return the scaled rows, in their own precision."""
        if self.trivial:
            return rows
        return ((rows.double() - self.offset) / self.unit).to(rows.dtype)

    def inverse(self, rows: Tensor) -> Tensor:
        """Return rows in the units of the data."""
        if self.trivial:
            return rows
        return (rows.double() * self.unit + self.offset).to(rows.dtype)

    def _apply(self, fn: object, recurse: bool = True) -> Scaling:
        # module.double() and module.float() must not touch the constants, only module.to(device);
        # a passage through single precision would round them.
        offset, unit = self.offset, self.unit
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = self.offset.device
        self.offset, self.unit = offset.to(device), unit.to(device)
        return self


def learn_scaling(
    X: Rows, scale: str, *, shape: tuple[int, ...], sequential: bool, bytes_: bool, owner: str
) -> Scaling:
    """Return the scaling for training data ``X``.

    Parameters
    ----------
    X : array of shape (n, features)
        Training rows.
    scale : {"auto", "none", "standard", "sequence", "minmax", "range"}
        See :class:`isthmus.Autoencoder`.
    shape : tuple of int
        The shape that a row came in.
    sequential : bool
        Whether the network reads it as steps of time.
    bytes_ : bool
        Whether the rows came as unsigned bytes.
    owner : str
        The estimator, for messages.
    """
    check_choice(scale, SCALES, parameter="scale", owner=owner)
    low, high = _column_range(X)
    if scale == "auto":
        # Far below 1, single precision would have nothing left of them.
        unit_interval = low.min() >= 0 and (high.max() == 0 or TINY <= high.max() <= 1)
        images = len(shape) > 1 or bytes_
        otherwise = "sequence" if sequential else "range" if images else "standard"
        scale = "none" if unit_interval else otherwise
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
        if scale == "standard":
            offset, unit = _column_moments(X)
        elif scale == "sequence":
            # One unit for a feature, whatever the step: (n, time, features) as rows of features.
            n_features = shape[-1] if len(shape) > 1 else 1
            moments = _column_moments(X.reshape(-1, n_features))
            offset, unit = (np.tile(moment, X.shape[1] // n_features) for moment in moments)
        elif scale == "minmax":
            offset, unit = low, high - low
        elif scale == "range" and bytes_:
            offset, unit = np.zeros(1), np.full(1, 255.0)
        elif scale == "range":
            offset, unit = low.min(keepdims=True), (high.max() - low.min()).reshape(1)
        else:
            offset, unit = np.zeros(1), np.ones(1)
    if not (np.isfinite(offset).all() and np.isfinite(unit).all()):
        column = int(np.argmax(~np.isfinite(unit))) if len(unit) > 1 else 0
        raise DataError(
            f"{owner} cannot scale column {column}: its values reach {max(-low[column], high[column]):.3g}, "
            "too large for double precision. Divide the column by a constant first."
        )
    # A constant column has no unit of its own; any will do, and 1 keeps new values readable.
    unit = np.where(unit > np.abs(offset) * 1e-12, unit, 1.0)
    return Scaling(torch.from_numpy(offset.astype(np.float64)), torch.from_numpy(unit.astype(np.float64)))


def _column_range(X: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and greatest value of each column; fmin and fmax pass over what is missing."""
    low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
    if np.isnan(low).any():
        # Nothing is known of such a column: all of them NaN. Any finite limits will do.
        low, high = np.nan_to_num(low), np.nan_to_num(high)
    return low.astype(np.float64), high.astype(np.float64)


def _column_moments(X: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each column, in double precision and little memory."""
    sizes = np.fmax.reduce(np.abs(_column_range(X)), axis=0)
    if ((sizes > SQUARES[1]) | ((sizes < SQUARES[0]) & (sizes > 0))).any():
        factor = np.where(sizes > 0, sizes, 1.0)
        moments = _column_moments(X.astype(np.float64) / factor)
        return moments[0] * factor, moments[1] * factor
    mean = X.mean(axis=0, dtype=np.float64)
    counts: np.ndarray | int = len(X)
    if np.isnan(mean).any():
        counts = np.maximum((~np.isnan(X)).sum(axis=0), 1)
        mean = np.nansum(X, axis=0, dtype=np.float64) / counts
    squares = np.zeros(X.shape[1])
    for start in range(0, len(X), BLOCK_ROWS):
        squares += np.nansum(np.square(X[start : start + BLOCK_ROWS] - mean), axis=0)
    return mean, np.sqrt(squares / counts)
