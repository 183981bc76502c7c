"""Apache Parquet, through the optional pyarrow."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from isthmus.data._files import damage_worded, readable
from isthmus.errors import DataError, MissingDependencyError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def read_parquet(path: Path, *, missing: bool = False) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Read a table of numbers.

    Parameters
    ----------
    path : Path
        The file.
    missing : bool, default=False
        Whether values may be missing, and become NaN.

    Returns
    -------
    rows : ndarray, shape (n_rows, n_columns)
        The numbers, in the smallest type that holds the types of all columns (booleans as uint8).
        An index that pandas stored as a column is left out.
    columns : tuple of str
        The names.

    Raises
    ------
    DataError
        If the file is not there or damaged, or has no columns, columns of anything but numbers, or
        missing values.
    MissingDependencyError
        If pyarrow is not installed.
    """
    pyarrow = require_pyarrow()
    with readable(path):
        with path.open("rb") as stream, damage_worded(f"{path} is not a Parquet file, or is damaged."):
            counts = Counter(pyarrow.parquet.read_schema(stream).names)
            twice = [name for name, count in counts.items() if count > 1]
            if twice:  # pyarrow refuses such a file too, in words about fields and schemas
                raise DataError(f"{path} has two columns called {twice[0]!r}. Give each its own name.")
            stream.seek(0)
            table = pyarrow.parquet.read_table(stream)
            # Names and notes are decoded only when asked for, so damage can show here too.
            table = table.drop_columns(_index_columns(table.schema))
            names = tuple(table.column_names)
        _check_columns(table, path, missing=missing)
        return _to_rows(table), names


def write_parquet(array: NDArray[Any], columns: tuple[str, ...], stream: BinaryIO) -> None:
    """Write a table of numbers.

    Parameters
    ----------
    array : ndarray, shape (n_rows, n_columns)
        Integers, or floating-point numbers of at most 64 bits.
    columns : tuple of str
        A name for each column.
    stream : binary file
        Where to write.

    Raises
    ------
    MissingDependencyError
        If pyarrow is not installed.
    """
    pyarrow = require_pyarrow()
    table = pyarrow.Table.from_arrays([pyarrow.array(column) for column in array.T], names=list(columns))
    pyarrow.parquet.write_table(table, stream)


def require_pyarrow() -> Any:
    """Return pyarrow, with ``pyarrow.parquet``; asked before long work whose result goes into a Parquet file.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError(
            'Parquet files need pyarrow: pip install "isthmus[tables]".', name="pyarrow"
        ) from error
    return pyarrow


def _index_columns(schema: Any) -> list[str]:
    """Return the columns that are row labels of pandas rather than data."""
    stored = (schema.pandas_metadata or {}).get("index_columns", [])
    # A plain 0, 1, 2 ... is stored as a description, a dict, and not as a column.
    return [name for name in stored if isinstance(name, str) and name in schema.names]


def _check_columns(table: Any, path: Path, *, missing: bool) -> None:
    from pyarrow import types

    if table.num_columns == 0:
        raise DataError(f"{path} has no columns.")
    other = [
        f"{field.name!r} ({field.type})"
        for field in table.schema
        if not (types.is_integer(field.type) or types.is_floating(field.type) or types.is_boolean(field.type))
    ]
    if other:
        raise DataError(f"{path} has columns that are not numbers: {', '.join(other)}.")
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count and not missing:
            row = int(np.flatnonzero(column.is_null().to_numpy())[0]) + 1
            raise DataError(f"{path}, row {row}, column {name!r}: a value is missing.")


def _to_rows(table: Any) -> NDArray[Any]:
    """Return the columns side by side, filled in one at a time so that they are never there twice."""
    from pyarrow import types

    kinds = [
        np.dtype(np.uint8) if types.is_boolean(kind) else np.dtype(kind.to_pandas_dtype())
        for kind in table.schema.types
    ]
    if any(column.null_count for column in table.columns):
        kinds.append(np.dtype(np.float32))  # integers have no NaN
    rows = np.empty((table.num_rows, table.num_columns), np.result_type(*kinds))
    for index, column in enumerate(table.columns):
        rows[:, index] = column.to_numpy()
    return rows
