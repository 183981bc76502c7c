"""The range of the training rows, and the warning about later rows that are wildly outside it."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataRangeWarning, ModelFileError
from isthmus.estimators._rows import Rows

Vector = NDArray[np.float64]

#: Rows that are looked at, evenly chosen: a mistake of units is in all of them, and a look at every value
#: would take longer than the network does.
SAMPLE_ROWS = 512

#: Training rows from which the typical magnitude of a column is estimated.
MAGNITUDE_ROWS = 256

#: How many widths of the training range a value lies beyond it when it is displaced, and when it is far
#: outside. The second has to hold with few rows, where a heavy tail may be taken for a mistake.
DISPLACED, FAR, FAR_FEW = 0.75, 3.0, 10.0

#: With fewer rows a column is not judged by itself, and with fewer training rows nothing is.
FEW_ROWS = 8

#: Number of training rows at which the margins are twice as wide as with many: a few rows do not show
#: what a column may hold.
DOUBTFUL_ROWS = 50

#: Share of a row's values that must be far outside for the row to count.
FAR_SHARE = 0.05

#: Values that are all this much smaller than the typical one of the training data were divided by something:
#: as many values of one column, or as many values of nearly all columns.
SHRUNK, SHRUNK_VALUES, SHRUNK_SHARE = 1 / 50, 16, 0.9

#: Factors that units and scalings usually differ by.
FACTORS = (100.0, 255.0, 1000.0, 65535.0, 1e6)

#: Inside `one_warning`: what was already warned about.
_given: ContextVar[list[str] | None] = ContextVar("_given", default=None)


@contextmanager
def one_warning() -> Iterator[None]:
    """Warn at most once about the range of the rows that are passed to models inside."""
    if _given.get() is not None:
        yield
        return
    token = _given.set([])
    try:
        yield
    finally:
        _given.reset(token)


@dataclass(frozen=True)
class TrainingRange:
    """What the values of the training rows were like, column by column or all together.

    Parameters
    ----------
    n_rows : int
        Number of training rows.
    low, high : ndarray of shape (features,) or (1,)
        The least and the greatest value, in the units of the data.
    magnitude : ndarray of the same shape
        The median absolute value of all that is not 0, or 0 where there is nothing else.
    """

    n_rows: int
    low: Vector
    high: Vector
    magnitude: Vector

    @classmethod
    def of(cls, rows: Rows, *, together: bool) -> Self:
        """Return the range of training rows.

        Parameters
        ----------
        rows : array of shape (n, features)
            NaN stands for a missing value.
        together : bool
            Whether all columns are in one unit, such as the pixels of images, and share one range.
        """
        low, high = np.fmin.reduce(rows, axis=0), np.fmax.reduce(rows, axis=0)
        sample = np.abs(rows[:: math.ceil(len(rows) / MAGNITUDE_ROWS)].astype(np.float64))
        if together:
            low, high, sample = low.min(keepdims=True), high.max(keepdims=True), sample.reshape(-1, 1)
        ordered = np.sort(np.where(sample == 0, np.nan, sample), axis=0)  # NaN last
        middle = (~np.isnan(ordered)).sum(axis=0) // 2
        magnitude = ordered[np.minimum(middle, len(ordered) - 1), np.arange(len(middle))]
        # NaN is left where nothing was observed.
        return cls(len(rows), *(np.nan_to_num(part.astype(np.float64)) for part in (low, high, magnitude)))

    def joined(self, other: TrainingRange) -> TrainingRange:
        """Return the range of both sets of rows."""
        n_rows = self.n_rows + other.n_rows
        magnitude = self.magnitude + (other.magnitude - self.magnitude) * (other.n_rows / n_rows)
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return TrainingRange(n_rows, low, high, magnitude)

    def to_dict(self) -> dict[str, Any]:
        """Return the range as JSON can hold it."""
        columns = {name: getattr(self, name).tolist() for name in ("low", "high", "magnitude")}
        return {"n_rows": self.n_rows, **columns}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], n_features: int) -> Self:
        """Return the range that a model file holds.

        Raises
        ------
        ModelFileError
            When it is damaged.
        """
        columns = [np.asarray(saved[name], dtype=np.float64) for name in ("low", "high", "magnitude")]
        fits = {column.shape for column in columns} in ({(1,)}, {(n_features,)})
        finite = fits and all(np.isfinite(column).all() for column in columns)
        n_rows = saved["n_rows"]
        if not (finite and (columns[0] <= columns[1]).all() and isinstance(n_rows, int) and n_rows > 0):
            raise ModelFileError("the range of its training data is damaged.")
        return cls(n_rows, *columns)

    def warn_of(self, rows: Rows, subject: str, names: NDArray[Any] | None) -> None:
        """Warn if most of the rows are wildly outside the range of the training data.

        Parameters
        ----------
        rows : array of shape (n, features)
            Later rows, in the units of the data.
        subject : str
            What they are called: "X of Autoencoder".
        names : array of str or None
            The names of the columns.
        """
        given = _given.get()
        if given or self.n_rows < FEW_ROWS:
            return
        with np.errstate(all="ignore"):
            found = self._fault(rows, names)
        if found is None:
            return
        if given is not None:
            given.append(subject)
        warnings.warn(
            f"{subject} {found} What the model makes of such rows means little.",
            DataRangeWarning,
            stacklevel=_level_of_the_user(),
        )

    def _fault(self, rows: Rows, names: NDArray[Any] | None) -> str | None:
        """Return what is wrong with the range of rows, or None."""
        sample = rows[:: math.ceil(len(rows) / SAMPLE_ROWS)]
        width = self.high - self.low
        # A constant column has no width. Where it is 0, a later 1 may be a category that was not seen yet.
        width = np.where(width > 0, width, 2 * np.maximum(np.abs(self.high), 1.0))
        doubt = 1 + DOUBTFUL_ROWS / self.n_rows
        shrunk, of_all = self._shrunk(sample)
        if of_all:
            return self._of_all(rows)
        if len(sample) >= FEW_ROWS:
            columns = np.flatnonzero(self._displaced(sample, width, doubt) | shrunk)
            if len(columns):
                return self._of_columns(rows, columns, names)
        margin = (FAR if len(sample) >= FEW_ROWS else FAR_FEW) * doubt * width
        far = (sample > self.high + margin) | (sample < self.low - margin)
        share = far.sum(axis=1) / np.maximum((~np.isnan(sample)).sum(axis=1), 1)
        if 2 * (share >= FAR_SHARE).sum() >= len(sample):
            return self._of_columns(rows, np.flatnonzero(far.any(axis=0)), names)
        return None

    def _displaced(self, sample: Rows, width: Vector, doubt: float) -> NDArray[np.bool_]:
        """Return in which columns half of the values are far from all those of the training rows."""
        margin = DISPLACED * doubt * width
        low, high = self.low - margin, self.high + margin
        # Positive values may also be far too small, within a range that is many times wider than its start.
        low = np.where(self.low > 0, np.maximum(low, self.low / (2 * doubt)), low)
        high = np.where(self.high < 0, np.minimum(high, self.high / (2 * doubt)), high)
        outside = ((sample < low) | (sample > high)).sum(axis=0)
        known = (~np.isnan(sample)).sum(axis=0)
        displaced: NDArray[np.bool_] = (known >= FEW_ROWS) & (2 * outside >= known)
        return displaced

    def _shrunk(self, sample: Rows) -> tuple[NDArray[np.bool_], bool]:
        """Return which columns hold small values alone, and whether most values of nearly all columns are small.

        Zeros are left aside: they are zeros in every unit.
        """
        sizes, limit = np.abs(sample), SHRUNK * self.magnitude
        present = (sizes > 0).sum(axis=0)
        small = ((sizes > 0) & (sizes <= limit)).sum(axis=0)
        enough, lit = present.sum() >= SHRUNK_VALUES, present > 0
        of_all = bool(enough and (lit & (2 * small >= present)).sum() >= SHRUNK_SHARE * lit.sum())
        if len(self.magnitude) == 1:  # some pixels may be dark
            return np.zeros_like(lit), of_all
        return (small == present) & (present >= SHRUNK_VALUES), of_all

    def _of_all(self, rows: Rows) -> str:
        theirs, ours = _reach(np.nanmin(rows), np.nanmax(rows)), _reach(self.low.min(), self.high.max())
        return (
            f"has values up to {theirs:.3g} where the training data reached {ours:.3g}. "
            f"{_question(theirs / ours if ours else math.inf)}"
        )

    def _of_columns(self, rows: Rows, columns: NDArray[np.intp], names: NDArray[Any] | None) -> str:
        if 2 * len(columns) > rows.shape[1] or (len(self.low) == 1 and names is None and len(columns) > 1):
            return self._of_all(rows)
        first = int(columns[0])
        name = first if names is None else repr(str(names[first]))
        low, high = float(np.nanmin(rows[:, first])), float(np.nanmax(rows[:, first]))
        own = 0 if len(self.low) == 1 else first
        # As many digits as tell the two ranges apart.
        spread = max(float(self.high[own] - self.low[own]), high - low) or 1.0
        digits = 3 + max(0, math.ceil(math.log10(max(abs(low), abs(high), 1e-300) / spread)))
        was = f"where the training data had {self.low[own]:.{digits}g} to {self.high[own]:.{digits}g}"
        values = f"values from {low:.{digits}g} to {high:.{digits}g} {was}"
        if len(columns) == 1:
            return f"has {values} in column {name}. Is it in another unit?"
        return (
            f"is wildly outside the range of the training data in {len(columns)} columns, such as column {name}: "
            f"{values}. Are the columns in the same order, units and scaling as in training?"
        )


def _reach(low: float, high: float) -> float:
    """Return the end of a range that is furthest from 0."""
    return float(high if abs(high) >= abs(low) else low)


def _question(ratio: float) -> str:
    """Return the likely cause, where values are this many times as large as in training."""
    size = abs(ratio)
    larger = size >= 1
    factor = next((f for f in FACTORS if 0.7 < (size if larger else 1 / max(size, 1e-300)) / f < 1.4), None)
    if factor is None:
        return "Are they in the same units, and scaled in the same way, as in training?"
    if larger:
        return f"Were they divided by {factor:g} before training?"
    return f"Were these divided by {factor:g}, and the training data not?"


def _level_of_the_user() -> int:
    """Return the stack level at which a warning names the line that called Isthmus."""
    level, frame = 1, sys._getframe(1)
    own = {"isthmus", "sklearn", "torch"}
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in own:
        level, frame = level + 1, frame.f_back
    return level
