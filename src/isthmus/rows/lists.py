"""Lists of rows, and columns and arrays that are rows: as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from isthmus._checks import shortened
from isthmus.errors import DataError, InvalidTypeError
from isthmus.rows.frames import as_series, column_values, is_nested
from isthmus.rows.refusals import refuse_inexact, refuse_rounded
from isthmus.rows.tensors import as_array, is_tensor

Array = NDArray[Any]

WANTED = "an array, a table or a list of rows of numbers"

#: How arrays of other libraries can be read.
_PROTOCOLS = ("__array__", "__array_interface__", "__dlpack__")


def stacked(rows: Sequence[Any], owner: str) -> Array:
    """Return a list of rows as one array.

    Parameters
    ----------
    rows : sequence
        Lists of numbers, arrays, tensors, columns or ranges, all of one shape.
    owner : str
        What it is called in messages.

    Raises
    ------
    DataError
        If rows are of different shapes, or what is in the list are no rows.
    """
    if all(isinstance(row, (list, tuple)) for row in rows) and not _holds_containers(rows):
        _refuse_ragged(rows, owner)
        return _listed(rows, owner)
    arrays = [row_values(row, owner) for row in rows]
    absent = next((number for number, array in enumerate(arrays) if array is None or not array.ndim), None)
    if absent is not None and any(array is not None and array.ndim for array in arrays):
        raise DataError(
            f"{owner} has {described(rows[absent])} where row {absent} should be. Give rows of equal length."
        )
    if absent is not None:
        _refuse_entries(rows, owner)
    known = [array for array in arrays if array is not None]
    shape = known[0].shape
    odd = next((number for number, array in enumerate(known) if array.shape != shape), None)
    if odd is not None:
        if shape[1:] == known[odd].shape[1:]:
            raise DataError(
                f"{owner} has {len(known[odd])} values in row {odd}, but {len(known[0])} in row 0."
            )
        raise DataError(f"{owner} has shape {known[odd].shape} in row {odd}, but {shape} in row 0.")
    if len({array.dtype for array in known}) > 1:
        for number, array in enumerate(known):
            refuse_inexact(array[None], owner, first_row=number)
    return np.stack(known)


def row_values(row: Any, owner: str) -> Array | None:
    """Return one row of a list as an array, or None for what is no row."""
    if is_tensor(row):
        return as_array(row, owner)
    if isinstance(row, np.ndarray):
        return row
    if isinstance(row, range):
        return np.asarray(row)
    if isinstance(row, (list, tuple)):
        if all(is_tensor(entry) and not entry.ndim for entry in row) and row:
            return np.stack([as_array(entry, owner) for entry in row])
        return stacked(row, owner) if _holds_containers([row]) else _listed(row, owner)
    if isinstance(row, (str, bytes, Mapping, Set, np.generic)):
        return None
    series = as_series(row)
    if series is not None:
        return values_of_column(series, owner)
    return array_of(row)


def _listed(entries: Sequence[Any], owner: str) -> Array:
    """Return nested lists of numbers as an array."""
    try:
        values = np.asarray(entries)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{owner} must hold rows of equal length, of numbers: {error}.") from error
    # Beside floats, integers become floats without a word.
    if values.dtype.kind == "f" and values.size and not np.abs(np.nan_to_num(values)).max() < 2**53:
        flat = np.array(entries, dtype=object).reshape(len(values), -1)
        for row, column in np.ndindex(flat.shape):
            refuse_rounded(flat[row, column], row, str(column), owner)
    return values


def _holds_containers(rows: Sequence[Any]) -> bool:
    """Return whether the first entry of nested lists is more than a number: an array, a tensor, a range."""
    entry = rows[0] if rows else None
    while isinstance(entry, (list, tuple)) and entry:
        entry = entry[0]
    return is_tensor(entry) or isinstance(entry, (np.ndarray, range)) or as_series(entry) is not None


def _refuse_ragged(rows: Sequence[Any], owner: str) -> None:
    odd = next((number for number, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if odd is not None:
        raise DataError(f"{owner} has {len(rows[odd])} values in row {odd}, but {len(rows[0])} in row 0.")


def _refuse_entries(rows: Sequence[Any], owner: str) -> None:
    """Raise for a list whose entries are no rows."""
    first = rows[0]
    if isinstance(first, Mapping):
        raise DataError(
            f"{owner} is a list of dictionaries. Make a table of them first, for example with pandas.DataFrame(X)."
        )
    number = is_tensor(first) or isinstance(first, np.generic) or np.isscalar(first) or first is None
    if not number:
        raise InvalidTypeError(f"{owner} must be {WANTED}. Got {described(first)} in row 0 instead.")
    raise DataError(
        f"Expected 2D array, got 1D array instead ({owner}). Reshape your data: a list of rows, each a list."
    )


def values_of_column(series: Any, owner: str) -> Array:
    """Return a column of numbers as a vector, and one of arrays as rows."""
    if is_nested(series):
        return nested_values(series, owner)
    if series.dtype.is_temporal():
        raise DataError(
            f"{owner} has values of type {series.dtype}. Make numbers of dates and durations first."
        )
    return np.asarray(series.to_numpy())


def nested_values(series: Any, owner: str) -> Array:
    """Return a column of lists or arrays as rows, shape (n, ...).

    Raises
    ------
    DataError
        If entries are missing or not equally long.
    """
    missing = series.is_null().to_numpy()
    if missing.any():
        others = int(missing.sum()) - 1
        raise DataError(
            f"{owner} has no array in row {int(np.argmax(missing))}{f', and in {others} more rows' if others else ''}. "
            "Drop such rows first."
        )
    native, width = series.to_native(), _fixed_width(series)
    arrow = series.implementation.is_pyarrow()
    if width is not None:
        flat = nw.from_native(_flat_arrow(native) if arrow else native.explode(), series_only=True)
        return column_values(flat, owner, str(series.name), width).reshape(len(series), width)
    return stacked([entry.values for entry in native] if arrow else list(native), owner)


def _fixed_width(series: Any) -> int | None:
    """Return how many numbers each entry has, where the type of the column says so and they are numbers."""
    shape, inner = getattr(series.dtype, "shape", None), getattr(series.dtype, "inner", None)
    if shape is None or len(shape) != 1 or shape[0] == 0 or inner is None or inner.is_nested():
        return None
    if not (series.implementation.is_polars() or series.implementation.is_pyarrow()):
        return None
    return int(shape[0])


def _flat_arrow(column: Any) -> Any:
    """Return the values of a column of fixed-size lists: `flatten` respects slices."""
    import pyarrow

    return pyarrow.chunked_array([chunk.flatten() for chunk in column.chunks], type=column.type.value_type)


def array_of(X: Any) -> Array | None:
    """Return an array of another library, or anything else whose memory can be read, as one of NumPy."""
    if isinstance(X, (range, memoryview, bytearray)) or type(X).__module__ == "array":
        return np.asarray(X)
    if not any(hasattr(X, name) for name in _PROTOCOLS):
        return None
    if hasattr(X, "__dlpack__"):
        try:
            return np.asarray(np.from_dlpack(X))
        except (BufferError, RuntimeError, TypeError, ValueError):
            try:
                return np.asarray(np.from_dlpack(X, device="cpu", copy=True))
            except (BufferError, RuntimeError, TypeError, ValueError, AttributeError):
                pass  # a type without a place in DLPack, or an older NumPy
    return np.asarray(X) if hasattr(X, "__array__") or hasattr(X, "__array_interface__") else None


def described(value: object) -> str:
    """Return what something is, as long as that is short, and its class."""
    text = shortened(repr(value), 60)
    name = type(value).__name__
    return (
        text
        if name in text or isinstance(value, (int, float, str, bytes, type(None)))
        else f"{text} ({name})"
    )
