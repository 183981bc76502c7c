"""Tables of numbers as text."""

from __future__ import annotations

import csv
import math
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.data._files import readable
from isthmus.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from numpy.typing import NDArray

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_SAMPLE_LINES = 20


def read_csv(path: Path, *, missing: bool = False) -> tuple[NDArray[np.float64], tuple[str, ...] | None]:
    """Read a table of numbers separated by commas, semicolons or tabs.

    The first row is taken as the names of the columns if anything in it is neither a number nor
    missing. Blank lines are passed over.

    Parameters
    ----------
    path : Path
        The file, in UTF-8, with or without a byte order mark.
    missing : bool, default=False
        Whether values may be missing, and become NaN.

    Returns
    -------
    rows : ndarray of float64, shape (n_rows, n_columns)
        The numbers. Text says nothing of the type that they once had, so it is always the same.
    columns : tuple of str or None
        The names, if the file has any.

    Raises
    ------
    DataError
        If the file is not there or not UTF-8, or has no rows, and for text, missing values and rows of
        another length, with the line (counted from 1), the column and the text.
    """
    with readable(path):
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                return _read(stream, path, missing=missing)
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not text in UTF-8.") from error
        except csv.Error as error:
            raise DataError(f"{path} is not a CSV file: {error}.") from error


def is_header(fields: list[str]) -> bool:
    """Return whether a first row names the columns, as opposed to being data.

    Examples
    --------
    >>> is_header(["height", "1"]), is_header(["", "1"]), is_header(["2.5", "1e-3"])
    (True, False, False)
    """
    return any(not _is_number(field) and not _is_missing(field) for field in fields)


def _read(stream: TextIO, path: Path, *, missing: bool) -> tuple[NDArray[np.float64], tuple[str, ...] | None]:
    delimiter = _delimiter(list(islice(stream, _SAMPLE_LINES)))
    stream.seek(0)
    first = next(_records(stream, delimiter), None)
    if first is None:
        raise DataError(f"{path} has no rows.")
    columns = tuple(field.strip() for field in first[1]) if is_header(first[1]) else None
    if columns is None:
        stream.seek(0)
    # A line of tabs is a row of missing values, so only spaces make a line blank.
    lines = (line for line in stream if line.strip(" \r\n"))
    head = next(lines, None)
    if head is None:
        raise DataError(f"{path} has the names of columns and no rows.")
    width = len(first[1])
    try:
        # NumPy's parser is in C and takes the lines as they come: the text is never in memory as a whole.
        rows = np.loadtxt(
            chain([head], lines),
            delimiter=delimiter,
            quotechar='"',
            comments=None,
            ndmin=2,
            dtype=np.float64,
            converters=_number_or_gap if missing else None,
        )
    except ValueError as error:
        stream.seek(0)
        raise _fault(stream, path, delimiter, width, columns, missing=missing) from error
    # It reads "nan" as a number and judges a row by the one before it, not by the header.
    if rows.shape[1] != width or (not missing and np.isnan(rows).any()):
        stream.seek(0)
        raise _fault(stream, path, delimiter, width, columns, missing=missing)
    return rows, columns


def _delimiter(lines: list[str]) -> str:
    """Return what separates the fields: a tab or a semicolon if they agree on it, or else a comma."""
    for delimiter in ("\t", ";"):
        widths = [len(fields) for _, fields in islice(_records(iter(lines), delimiter), 2)]
        if widths and widths[0] > 1 and len(set(widths)) == 1:
            return delimiter
    return ","


def _records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the number of its last line."""
    reader = csv.reader(lines, delimiter=delimiter)
    for fields in reader:
        if any(field.strip() for field in fields) or len(fields) > 1:
            yield reader.line_num, fields


def _fault(
    stream: TextIO,
    path: Path,
    delimiter: str,
    width: int,
    columns: tuple[str, ...] | None,
    *,
    missing: bool,
) -> DataError:
    """Return the error that names the first thing that is wrong. Slow, and only needed once."""
    records = _records(stream, delimiter)
    for line, fields in islice(records, 1 if columns else 0, None):
        if len(fields) != width:
            wanted = "the header" if columns else "the first row"
            return DataError(f"{path}, line {line}: {len(fields)} fields, where {wanted} has {width}.")
        for index, field in enumerate(fields):
            where = f"{path}, line {line}, column {repr(columns[index]) if columns else index + 1}"
            if _is_missing(field):
                if missing:
                    continue
                return DataError(f"{where}: a value is missing.")
            if not _is_number(field):
                return DataError(f"{where}: {_shortened(field)} is not a number.")
    return DataError(f"{path} is not a table of numbers separated by {delimiter!r}.")


def _number_or_gap(field: str) -> float:
    return math.nan if _is_missing(field) else float(field)


def _is_missing(field: str) -> bool:
    return field.strip().lstrip("+-").lower() in _MISSING


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    # Python also takes 1_000 and digits of other scripts, and NumPy's parser does not.
    return "_" not in field and field.isascii()


def _shortened(text: str, length: int = 40) -> str:
    return repr(text if len(text) <= length else text[: length - 3] + "...")


def csv_text(array: NDArray[Any], columns: tuple[str, ...] | None) -> Iterator[bytes]:
    """Yield a table as text from which exactly the same numbers can be read.

    Parameters
    ----------
    array : ndarray, shape (n_rows, n_columns)
        Integers, or floating-point numbers of at most 64 bits.
    columns : tuple of str or None
        The names for a first row.

    Yields
    ------
    bytes
        Parts of the text, in UTF-8, with commas between the fields.
    """
    if columns is not None:
        yield _header(columns).encode()
    row = ",".join([_number_format(array.dtype)] * array.shape[1]) + "\n"
    # One formatting call for many numbers: several times faster than one for each.
    n_at_once = max(1, (1 << 16) // array.shape[1])
    for start in range(0, len(array), n_at_once):
        block = array[start : start + n_at_once]
        yield ((row * len(block)) % tuple(block.ravel().tolist())).encode()


def _number_format(dtype: np.dtype[Any]) -> str:
    if dtype.kind != "f":
        return "%d"
    # 9 significant digits tell all float32 apart; for float64, repr is the shortest text that does.
    return "%.9g" if dtype.itemsize <= 4 else "%r"


def _header(columns: tuple[str, ...]) -> str:
    from io import StringIO

    line = StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(columns)
    return line.getvalue()
