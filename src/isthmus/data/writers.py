"""Writing rows to a file, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from isthmus._checks import suggestion
from isthmus.data._atomic import replacing
from isthmus.data._files import ENDINGS, numbers
from isthmus.data.csv_files import csv_text, is_header
from isthmus.data.parquet import require_pyarrow, write_parquet
from isthmus.errors import DataError, InvalidParameterError, OutputExistsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray


def write_data(
    array: ArrayLike,
    target: str | Path,
    *,
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write rows to a file in the format that its ending names.

    The file appears when it is complete; whatever fails on the way leaves an older one as it was.
    What is written is read back exactly by :func:`~isthmus.data.read_data`; only from a CSV file the
    numbers come back as float64, which holds integers up to 2**53.

    Parameters
    ----------
    array : array-like
        Real numbers: of shape (n_rows, n_columns) for ``.csv`` and ``.parquet``, of any for ``.npy``
        and ``.npz`` (where the array is called ``X``, uncompressed). Booleans are written as 0 and 1.
    target : str or Path
        The file, ending in ``.npy``, ``.npz``, ``.csv`` or ``.parquet``.
    columns : sequence of str, optional
        A name for each column. Without them a CSV file has no first row of names and a Parquet file
        has ``column_0``, ``column_1`` ...; NumPy's files have no place for names.
    overwrite : bool, default=False
        Whether to replace a file that exists.

    Raises
    ------
    OutputExistsError
        If the file exists and ``overwrite`` is False.
    DataError
        If the array cannot be written in this format, or if the file cannot be written.
    InvalidParameterError
        If ``columns`` does not fit the array.
    MissingDependencyError
        If a ``.parquet`` file is wanted and pyarrow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_data([[0.1, 2.0]], f"{folder}/codes.csv", columns=["a", "b"])
    ...     print(Path(folder, "codes.csv").read_text())
    a,b
    0.1,2.0
    """
    path = Path(target)
    ending = check_target(path, ENDINGS, overwrite=overwrite)
    rows = numbers(np.asarray(array), name="The array")
    names = None if columns is None else tuple(columns)
    if ending in {".csv", ".parquet"}:
        _check_table(rows, names, ending)
    try:
        with replacing(path) as stream:
            _write(rows, names, ending, stream)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error


def write_blocks(
    blocks: Iterable[NDArray[Any]],
    n_rows: int,
    target: str | Path,
    *,
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
) -> tuple[int, ...]:
    """Write rows that come in blocks, of which a ``.npy`` file needs only one in memory at a time.

    Parameters
    ----------
    blocks : iterable of ndarray
        Some rows each, of one type and shape.
    n_rows : int
        How many rows they are together.
    target : str or Path
        The file, as for :func:`write_data`. For a table, rows of more than one dimension become flat.
    columns : sequence of str, optional
        A name for each column, as for :func:`write_data`.
    overwrite : bool, default=False
        Whether to replace a file that exists.

    Returns
    -------
    tuple of int
        The shape of what was written.

    Raises
    ------
    DataError
        If the file cannot be written, or other than ``n_rows`` rows came.
    OutputExistsError
        If the file exists and ``overwrite`` is False.
    """
    path = Path(target)
    ending = check_target(path, ENDINGS, overwrite=overwrite)
    if ending != ".npy":
        rows = np.concatenate(list(blocks))
        rows = rows if ending == ".npz" else rows.reshape(len(rows), -1)
        write_data(rows, path, columns=columns, overwrite=overwrite)
        return rows.shape
    try:
        with replacing(path) as stream:
            return _write_blocks(blocks, n_rows, stream)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error


def _write_blocks(blocks: Iterable[NDArray[Any]], n_rows: int, stream: BinaryIO) -> tuple[int, ...]:
    written, shape = 0, (n_rows,)
    for block in blocks:
        if not written:
            shape = (n_rows, *block.shape[1:])
            description = np.lib.format.dtype_to_descr(block.dtype)
            header = {"descr": description, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
        stream.write(np.ascontiguousarray(block).data)
        written += len(block)
    if written != n_rows or not n_rows:
        raise DataError(f"{written} rows came where {n_rows} were expected.")
    return shape


def check_target(path: Path, endings: Sequence[str] | None = None, *, overwrite: bool = False) -> str:
    """Return a file's ending, if the file may be written; cheap enough to ask before long work.

    Parameters
    ----------
    path : Path
        The file.
    endings : sequence of str, optional
        Those that it may have, in small letters; any by default.
    overwrite : bool, default=False
        Whether a file that exists may be replaced.

    Raises
    ------
    DataError
        If it has another ending, its folder does not exist, or it is a folder.
    OutputExistsError
        If it exists and may not be replaced.
    MissingDependencyError
        If it is to be a Parquet file and pyarrow is not installed.
    """
    ending = path.suffix.lower()
    if endings is not None and ending not in endings:
        known = ", ".join(endings)
        raise DataError(
            f"{path} cannot be written: it must end in one of {known}. {suggestion(ending, endings)}".rstrip()
        )
    if not path.parent.is_dir():
        raise DataError(f"{path} cannot be written: the folder {path.parent} does not exist.")
    if path.is_dir():
        raise DataError(f"{path} cannot be written: it is a folder.")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} exists. Give --force (overwrite=True) to replace it.")
    if endings is not None and ending == ".parquet":
        require_pyarrow()
    return ending


def _check_table(rows: NDArray[Any], columns: tuple[str, ...] | None, ending: str) -> None:
    """Refuse what a table of numbers cannot hold, or what would be read back as something else."""
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise DataError(f"An array of shape {rows.shape} is not a table: {ending} files need (n, columns).")
    if rows.dtype.kind == "f" and rows.dtype.itemsize > 8:
        raise DataError(
            f"{ending} files cannot hold {rows.dtype} exactly; write .npy, or convert to float64."
        )
    if columns is None:
        return
    if len(columns) != rows.shape[1]:
        raise InvalidParameterError(f"There are {len(columns)} names for {rows.shape[1]} columns.")
    if ending == ".csv" and not is_header(list(columns)):
        raise InvalidParameterError("Names of columns that are all numbers would be read back as a row.")


def _write(rows: NDArray[Any], columns: tuple[str, ...] | None, ending: str, stream: BinaryIO) -> None:
    if ending == ".npy":
        np.save(stream, rows, allow_pickle=False)
    elif ending == ".npz":
        np.savez(stream, X=rows)
    elif ending == ".csv":
        stream.writelines(csv_text(rows, columns))
    else:
        names = columns or tuple(f"column_{index}" for index in range(rows.shape[1]))
        write_parquet(rows, names, stream)
