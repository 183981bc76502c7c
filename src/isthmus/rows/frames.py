"""Data frames and columns of every library that narwhals knows, as arrays of one type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.rows.refusals import KINDS, SPARSE_ADVICE, numbers_of, refuse_inexact

Array = NDArray[Any]

#: Rows and columns that are turned at a time: what fits in the cache.
BLOCK, TOGETHER = 4096, 16

#: Types of columns that hold no numbers.
_HELD = ("Struct", "Binary")


def as_frame(X: Any, owner: str) -> Any | None:
    """Return a data frame behind the interface of narwhals, or None for anything else.

    Raises
    ------
    DataError
        For frames whose rows are not computed yet, and where two columns have one name.
    """
    if type(X).__module__.partition(".")[0] == "pyarrow":
        X = _stored(X)
    if not nw.dependencies.is_into_dataframe(X):
        _refuse_lazy(X, owner)
        return None
    names = [str(name) for name in getattr(X, "column_names", getattr(X, "columns", ()))]
    if len(set(names)) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise DataError(f"{owner} has two columns called {twice!r}. Give each its own name.")
    return nw.from_native(X, eager_only=True)


def _stored(table: Any) -> Any:
    """Return a table of pyarrow with what is stored in place of types of others, such as a data set's images."""
    import pyarrow

    if isinstance(table, pyarrow.RecordBatch):
        table = pyarrow.Table.from_batches([table])
    if not isinstance(table, pyarrow.Table):
        return table
    for number, column in enumerate(table.columns):
        if isinstance(column.type, pyarrow.BaseExtensionType):
            chunks = [chunk.storage for chunk in column.chunks]
            stored = pyarrow.chunked_array(chunks, type=column.type.storage_type)
            table = table.set_column(number, table.column_names[number], stored)
    return table


def as_series(X: Any) -> Any | None:
    """Return a column behind the interface of narwhals, or None for anything else."""
    module, name = type(X).__module__.partition(".")[0], type(X).__name__
    if module == "pyarrow" and name.endswith("Array") and hasattr(X, "to_numpy"):
        import pyarrow

        X = X if isinstance(X, pyarrow.ChunkedArray) else pyarrow.chunked_array([X])
    return nw.from_native(X, series_only=True) if nw.dependencies.is_into_series(X) else None


def _refuse_lazy(X: Any, owner: str) -> None:
    """Raise for frames that are plans of a computation."""
    frame = nw.from_native(X, pass_through=True)
    if not isinstance(frame, nw.LazyFrame):
        return
    kind = frame.implementation.name.lower()
    how = {"polars": "X.collect()", "dask": "X.compute()", "duckdb": "X.pl() or X.df()"}.get(
        kind, "X.to_pandas()"
    )
    raise DataError(
        f"{owner} is a {type(X).__name__} of {kind}, whose rows are not computed yet. Collect it first: {how}."
    )


def frame_values(frame: Any, owner: str) -> Array:
    """Return the values of a frame as rows.

    The type is the one that NumPy gives to all columns together: uint8 columns remain uint8, float32 columns
    float32.

    Parameters
    ----------
    frame : narwhals.DataFrame
        The data.
    owner : str
        What it is called in messages.

    Raises
    ------
    DataError
        With row and column.
    """
    native = frame.to_native()
    dtypes = list(getattr(native, "dtypes", [])) if frame.implementation.is_pandas_like() else []
    if dtypes and all(type(dtype).__name__ == "SparseDtype" for dtype in dtypes):
        raise DataError(SPARSE_ADVICE.format(owner=owner).replace("X.toarray()", "X.sparse.to_dense()"))
    if dtypes and len(set(dtypes)) == 1 and isinstance(dtypes[0], np.dtype) and dtypes[0].kind in "biuf":
        values = native.to_numpy()
        refuse_inexact(values, owner, [repr(str(name)) for name in native.columns])
        return values if values.flags.c_contiguous else _by_rows(list(values.T), len(values), values.dtype)
    series = list(frame.iter_columns())
    columns = [column_values(column, owner, str(column.name)) for column in series]
    if not columns:
        return np.empty((len(frame), 0))
    return _by_rows(columns, len(frame), np.result_type(*(column.dtype for column in columns)))


def column_values(series: Any, owner: str, name: str, width: int | None = None) -> Array:
    """Return a column as numbers, shape (n,); missing entries are NaN.

    Parameters
    ----------
    series : narwhals.Series
        The column.
    owner, name : str
        What the data and the column are called in messages.
    width : int, optional
        How many entries make a row, where they are more than one.
    """
    dtype = series.dtype
    place = f"column {name!r}"
    if dtype.is_temporal():
        what = "durations" if dtype == nw.Duration else "dates" if dtype != nw.Time else "times"
        native = getattr(series.to_native(), "dtype", dtype)
        raise DataError(f"{owner} has {what} ({native}) in {place}. Make numbers of them first.")
    if str(dtype).partition("(")[0] in _HELD or dtype.is_nested():
        raise DataError(
            f"{owner} has values of type {dtype} in {place}, and numbers are needed. Drop the column, or select a "
            "single column of arrays."
        )
    gaps = None
    if (dtype.is_numeric() or dtype == nw.Boolean) and series.null_count():
        gaps = series.is_null().to_numpy()
    if dtype in {nw.Int128, nw.UInt128} or dtype == nw.Decimal:
        values = np.array(series.to_list(), dtype=object)
    elif gaps is not None:
        values = np.asarray(series.fill_null(False if dtype == nw.Boolean else 0).to_numpy())
    else:
        values = np.asarray(series.to_numpy())
    if values.dtype.kind in KINDS:
        if values.dtype.kind == "c":
            raise DataError(f"{owner} has complex numbers in {place}. Complex data not supported.")
        what = KINDS[values.dtype.kind]
        raise DataError(f"{owner} has {what} ({values.dtype}) in {place}. Make numbers of them first.")
    table = values.reshape(-1, width or 1)
    names = [repr(name)] if width is None else [f"{name!r}, entry {entry}" for entry in range(width)]
    refuse_inexact(table, owner, names)
    numbers = numbers_of(table, owner, names).reshape(-1)
    if gaps is None or values.dtype.kind == "O":
        return numbers
    small = numbers.dtype.kind in "iuf" and (numbers.dtype.itemsize <= 2 or numbers.dtype == np.float32)
    numbers = numbers.astype(np.float32 if small else np.float64)
    numbers[gaps] = np.nan
    return numbers


def is_nested(series: Any) -> bool:
    """Return whether the entries of a column are lists or arrays."""
    if series.dtype.is_nested() and str(series.dtype).partition("(")[0] != "Struct":
        return True
    first = series.to_native().iloc[0] if series.implementation.is_pandas_like() and len(series) else None
    return isinstance(first, (np.ndarray, list, tuple))


def _by_rows(columns: Sequence[Array], n_rows: int, dtype: np.dtype[Any]) -> Array:
    """Return columns as an array in which each row lies together, a few columns at a time: a line of the cache."""
    rows = np.empty((n_rows, len(columns)), dtype=dtype)
    for start in range(0, len(columns), TOGETHER):
        part = np.array(columns[start : start + TOGETHER], dtype=dtype)
        for first in range(0, n_rows, BLOCK):
            rows[first : first + BLOCK, start : start + TOGETHER] = part[:, first : first + BLOCK].T
    return rows
