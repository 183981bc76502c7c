"""What cannot be rows, and what only looks as if it could: refused by row and column, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, InvalidTypeError

#: From here on, double precision has no place for each integer.
EXACT_INTEGERS = 2**53

_KINDS = {"M": "dates", "m": "durations", "V": "records"}


def refuse_unusable(X: Any, owner: str) -> None:
    """Raise for what conversion to numbers would turn into something else, or into a riddle.

    Parameters
    ----------
    X : object
        What a user gave.
    owner : str
        What it is called in messages: "X of Autoencoder".

    Raises
    ------
    DataError
        With row and column where there are any.
    """
    if X is None or isinstance(X, (str, bytes, dict, set)):
        wanted = "an array, a table or a list of rows"
        raise InvalidTypeError(f"{owner} must be {wanted} of numbers. Got {X!r:.60} instead.")
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        _refuse_columns(X, owner)
    elif isinstance(X, np.ndarray):
        _refuse_array(X, owner)
    elif isinstance(X, (list, tuple)):
        _refuse_ragged(X, owner)


@contextmanager
def culprit_named(X: Any, owner: str) -> Iterator[None]:
    """Say in which row and column it is, if something that is no number is met inside."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        place = _first_that_is_no_number(X)
        if place is None:
            raise
        row, column, value = place
        words = f"{owner} has {value!r:.60} in row {row}, column {column}"
        if isinstance(error, TypeError):
            raise InvalidTypeError(f"{words}: {error}.") from error
        raise DataError(f"{words}, which is no number. Encode or drop it first.") from error


def _refuse_columns(X: Any, owner: str) -> None:
    """Look at the columns of a data frame, of pandas or alike."""
    names = [str(name) for name in X.columns]
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise DataError(f"{owner} has two columns called {twice!r}. Give each its own name.")
    for name, column in zip(names, X.columns, strict=True):
        dtype = X[column].dtype
        kind = getattr(dtype, "kind", None)
        if kind in _KINDS:
            raise DataError(
                f"{owner} has {_KINDS[kind]} ({dtype}) in column {name!r}. Make numbers of them first."
            )
        if kind == "c":
            raise DataError(f"{owner} has complex numbers in column {name!r}. Complex data not supported.")
        if kind in {"i", "u"} and getattr(dtype, "itemsize", 0) == 8:
            _refuse_inexact(np.asarray(X[column].dropna())[:, None], owner, [repr(name)])


def _refuse_array(X: NDArray[Any], owner: str) -> None:
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        row, *rest = (int(index) for index in np.argwhere(np.ma.getmaskarray(X))[0])
        place = f"row {row}" + (f", column {rest[0]}" if rest else "")
        raise DataError(
            f"{owner} has masked values, the first in {place}, which would be taken for values. Use X.filled(np.nan) "
            "with missing='mask', or impute them."
        )
    if X.dtype.kind in _KINDS:
        raise DataError(f"{owner} holds {_KINDS[X.dtype.kind]} ({X.dtype}), and numbers are needed.")
    if X.dtype.kind == "c":
        raise DataError(
            f"{owner} holds {X.dtype}. Complex data not supported: give real and imaginary parts apart."
        )
    if X.ndim < 2:
        got = "scalar array" if X.ndim == 0 else "1D array"
        raise DataError(
            f"Expected 2D array, got {got} instead ({owner}). Reshape your data: X.reshape(-1, 1) is one column, "
            "X.reshape(1, -1) one row."
        )
    if X.dtype.kind in "iu" and X.dtype.itemsize == 8:
        _refuse_inexact(X, owner)


def _refuse_inexact(X: NDArray[Any], owner: str, names: list[str] | None = None) -> None:
    """Raise where integers are so large that they would be rounded."""
    if not X.size or max(abs(int(X.min())), abs(int(X.max()))) <= EXACT_INTEGERS:
        return
    # The largest of int64 becomes 2**63 as a float, which is no int64 again.
    rounded = np.clip(X.astype(np.float64), None, float(2**63 - 1024)).astype(X.dtype)
    changed = np.argwhere((rounded != X).reshape(len(X), -1))
    if len(changed):
        row, column = (int(index) for index in changed[0])
        raise DataError(
            f"{owner} has the integer {int(X.reshape(len(X), -1)[row, column])} in row {row}, column "
            f"{names[column] if names else column}, beyond 2**53, where double precision rounds. Subtract an offset or "
            "divide first, or drop the column if it is an identifier."
        )


def _refuse_ragged(X: Any, owner: str) -> None:
    lengths = [len(row) if isinstance(row, (list, tuple, np.ndarray)) and np.ndim(row) else None for row in X]
    if lengths and None in lengths and any(lengths):
        row = lengths.index(None)
        raise DataError(f"{owner} has {X[row]!r:.60} where row {row} should be. Give rows of equal length.")
    odd = next((row for row, length in enumerate(lengths) if length != lengths[0]), None)
    if odd is not None:
        raise DataError(f"{owner} has {lengths[odd]} values in row {odd}, but {lengths[0]} in row 0.")
    if lengths and lengths[0] is None:
        raise DataError(
            f"Expected 2D array, got 1D array instead ({owner}). Reshape your data: a list of rows, each a list."
        )


def _first_that_is_no_number(X: Any) -> tuple[int, str, Any] | None:
    """Return row, column and value of the first entry that is no number; slow, and only needed once."""
    names = [repr(str(name)) for name in X.columns] if hasattr(X, "columns") else None
    try:
        values = np.asarray(X, dtype=object)
    except (ValueError, TypeError):
        return None
    if values.ndim < 2 or not values.size:
        return None
    for row, entries in enumerate(values.reshape(len(values), -1)):
        for column, value in enumerate(entries):
            try:
                float(value)
            except (ValueError, TypeError):
                if value is not None and not _is_missing(value):
                    return row, names[column] if names else str(column), value
    return None


def _is_missing(value: Any) -> bool:
    return type(value).__name__ == "NAType"
