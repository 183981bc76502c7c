"""What cannot be rows, and what only looks as if it could: refused with row and column, in one line."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, InvalidTypeError

Array = NDArray[Any]

#: From here on, double precision cannot represent every integer.
EXACT_INTEGERS = 2**53

#: Kinds of NumPy types that are no real numbers.
KINDS = {"M": "dates", "m": "durations", "V": "records", "c": "complex numbers"}

_DATES = (datetime.date, datetime.time, np.datetime64)
_DURATIONS = (datetime.timedelta, np.timedelta64)

SPARSE_ADVICE = (
    "Sparse data was passed for {owner}, but dense data is required. Convert it with X.toarray(), or have the step "
    "before return dense data: OneHotEncoder(sparse_output=False), ColumnTransformer(..., sparse_threshold=0)."
)


def refuse_unusable(X: Array, owner: str) -> None:
    """Raise for arrays that conversion to numbers would change silently.

    Parameters
    ----------
    X : ndarray
        The data.
    owner : str
        What it is called in messages: "X of Autoencoder".

    Raises
    ------
    DataError
        With row and column where there are any.
    """
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        row, *rest = (int(index) for index in np.argwhere(np.ma.getmaskarray(X))[0])
        place = f"row {row}" + (f", column {rest[0]}" if rest else "")
        raise DataError(
            f"{owner} has masked values, the first in {place}, which would be taken for values. Use X.filled(np.nan) "
            "with missing='mask', or impute them."
        )
    if isinstance(X, np.matrix):
        raise InvalidTypeError(f"{owner} is a matrix. np.matrix is not supported. Use np.asarray(X).")
    if X.dtype.kind == "c":
        raise DataError(
            f"{owner} holds {X.dtype}. Complex data not supported: give real and imaginary parts apart."
        )
    if X.dtype.kind in KINDS:
        raise DataError(f"{owner} holds {KINDS[X.dtype.kind]} ({X.dtype}), and numbers are needed.")
    if X.ndim < 2:
        got = "scalar array" if X.ndim == 0 else "1D array"
        raise DataError(
            f"Expected 2D array, got {got} instead ({owner}). Reshape your data: X.reshape(-1, 1) is one column, "
            "X.reshape(1, -1) one row."
        )
    refuse_inexact(X, owner)


def refuse_inexact(X: Array, owner: str, names: Sequence[str] | None = None, first_row: int = 0) -> None:
    """Raise where 64-bit integers are so large that double precision would round them."""
    if X.dtype.kind not in "iu" or X.dtype.itemsize < 8 or not X.size:
        return
    if max(abs(int(X.min())), abs(int(X.max()))) <= EXACT_INTEGERS:
        return
    # The largest of int64 becomes 2**63 as a float, which is no int64 again.
    rounded = np.clip(X.astype(np.float64), None, float(2**63 - 1024)).astype(X.dtype)
    flat = X.reshape(len(X), -1)
    changed = np.argwhere(rounded.reshape(flat.shape) != flat)
    if len(changed):
        row, column = (int(index) for index in changed[0])
        _raise_inexact(
            int(flat[row, column]), first_row + row, names[column] if names else str(column), owner
        )


def numbers_of(X: Array, owner: str, names: Sequence[str] | None = None) -> Array:
    """Return an array of objects or texts as float64; missing entries become NaN.

    Arrays of numbers are returned untouched.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        The data.
    owner : str
        What it is called in messages.
    names : sequence of str, optional
        What the columns are called in messages.

    Raises
    ------
    DataError, InvalidTypeError
        For the first entry that is no number, is a date or a duration, or is an integer that double precision
        would round; with row and column.
    """
    if X.dtype.kind not in "OUSaT":
        return X
    if X.dtype.kind == "O":
        odd = {
            kind
            for kind in set(map(type, X.flat))
            if issubclass(kind, (*_DATES, *_DURATIONS)) or _absent(kind)
        }
        if odd:
            X = _without_gaps(X, odd, owner, names)
    try:
        values: Array = X.astype(np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        _name_culprit(X, owner, names, error)
    if values.size and not np.abs(np.nan_to_num(values, posinf=0, neginf=0)).max() < EXACT_INTEGERS:
        flat, floats = X.reshape(len(X), -1), values.reshape(len(X), -1)
        for row, column in np.argwhere(np.abs(floats) >= EXACT_INTEGERS):
            refuse_rounded(flat[row, column], int(row), names[column] if names else str(column), owner)
    return values


def refuse_rounded(value: object, row: int, column: str, owner: str) -> None:
    """Raise if a value is an integer that is not the same as a float."""
    if not isinstance(value, (int, Decimal, np.integer)) or (
        isinstance(value, Decimal) and not value.is_finite()
    ):
        return
    if value == int(value) and int(float(value)) != int(value):
        _raise_inexact(int(value), row, column, owner)


def _raise_inexact(value: int, row: int, column: str, owner: str) -> NoReturn:
    raise DataError(
        f"{owner} has the integer {value} in row {row}, column {column}, beyond 2**53, where double precision rounds. "
        "Subtract an offset or divide first, or drop the column if it is an identifier."
    )


def _absent(kind: type) -> bool:
    return kind is type(None) or kind.__name__ in {"NAType", "NaTType"}


def _without_gaps(X: Array, odd: Iterable[type], owner: str, names: Sequence[str] | None) -> Array:
    """Return objects with NaN for what is missing; dates and durations are refused."""
    kinds, found = tuple(odd), X.reshape(len(X), -1).copy()
    value: Any
    for row, column in np.ndindex(found.shape):
        value = found[row, column]
        if not isinstance(value, kinds):
            continue
        if not _absent(type(value)):
            what = "duration" if isinstance(value, _DURATIONS) else "date"
            raise DataError(
                f"{owner} has the {what} {str(value)!r:.60} in row {row}, column "
                f"{names[column] if names else column}. Make numbers of dates and durations first."
            )
        found[row, column] = np.nan
    return found.reshape(X.shape)


def _name_culprit(X: Array, owner: str, names: Sequence[str] | None, error: Exception) -> NoReturn:
    """Raise with the row and column of the first entry that is no number; slow, and only needed once."""
    if X.ndim >= 2:
        flat = X.reshape(len(X), -1)
        for row, column in np.ndindex(flat.shape):
            try:
                float(flat[row, column])
            except (ValueError, TypeError, OverflowError) as cause:
                place = f"row {row}, column {names[column] if names else column}"
                value = flat[row, column].item() if X.dtype.kind in "US" else flat[row, column]
                words = f"{owner} has {value!r:.60} in {place}"
                if isinstance(cause, TypeError):
                    raise InvalidTypeError(f"{words}: {cause}.") from error
                if isinstance(cause, OverflowError):
                    raise DataError(f"{words}, which is too large for double precision.") from error
                raise DataError(f"{words}, which is no number. Encode or drop it first.") from error
    raise DataError(f"{owner} must hold numbers: {error}.") from error
