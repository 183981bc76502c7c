"""NumPy's own files, .npy and .npz, without ever running what is in them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus._checks import suggestion
from isthmus.data._files import damage_worded, numbers, readable
from isthmus.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.lib.npyio import NpzFile
    from numpy.typing import NDArray

_NPY_START = b"\x93NUMPY"
_ZIP_START = b"PK"
ROW_KEYS = ("X", "x", "data", "images", "rows")
LABEL_KEYS = ("y", "labels")


class _ObjectsError(DataError):
    """An array holds Python objects, which could run code when they are loaded."""


def read_npy(path: Path) -> NDArray[Any]:
    """Map the array of an .npy file into memory: nothing is read until it is used.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    ndarray
        The array, read-only, in the type it was saved in (booleans as uint8).

    Raises
    ------
    DataError
        If the file is not there, not an .npy file, cut short, or holds anything but real numbers.
    """
    with readable(path):
        with path.open("rb") as stream:
            if stream.read(len(_NPY_START)) != _NPY_START:
                raise DataError(f"{path} is not an .npy file.")
        with _parsing(str(path)):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        return numbers(array, name=str(path))


def read_npz(path: Path, key: str | None = None) -> tuple[NDArray[Any], NDArray[Any] | None, tuple[str, ...]]:
    """Read the rows of an .npz file, and their labels if it has any.

    Only these two arrays are read: what else is in the file need not be readable.

    Parameters
    ----------
    path : Path
        The file.
    key : str, optional
        The name of the array that holds the rows. It can be left out if there is one array alone, or
        if exactly one is called ``X``, ``x``, ``data``, ``images`` or ``rows``.

    Returns
    -------
    rows : ndarray
        The array, in the type it was saved in (booleans as uint8).
    labels : ndarray or None
        The array called ``y`` or ``labels``, if there is exactly one and it has a number or a text for
        each row.
    notes : tuple of str
        Why an array of labels was left out, in words.

    Raises
    ------
    DataError
        If the file is not there, not an .npz file, damaged, has no such array or several that could
        be meant, or if the array holds anything but real numbers.
    """
    # Opened here, because NumPy leaves a damaged archive open.
    with readable(path), path.open("rb") as stream:
        if stream.read(len(_ZIP_START)) != _ZIP_START:
            raise DataError(f"{path} is not an .npz file.")
        stream.seek(0)
        with _parsing(str(path)):
            archive = np.load(stream, allow_pickle=False)
        with archive:
            chosen = _choose(archive.files, key, path)
            rows = numbers(_member(archive, chosen, path), name=f"{path}:{chosen}")
            if rows.ndim == 0:
                raise DataError(f"{path}:{chosen} is a single number, and rows are needed.")
            labels, notes = _labels(archive, chosen, len(rows), path)
            return rows, labels, notes


def _choose(names: list[str], key: str | None, path: Path) -> str:
    """Return the name of the array that holds the rows."""
    held = ", ".join(map(repr, names)) or "nothing"
    if key is not None:
        if key not in names:
            advice = suggestion(key, names)
            raise DataError(f"{path} has no array {key!r}; it holds {held}. {advice}".rstrip())
        return key
    usual = [name for name in ROW_KEYS if name in names]
    candidates = names if len(names) == 1 else usual
    if len(candidates) != 1:
        raise DataError(f"{path} holds {held}: say which one with key=, or as {path.name}:NAME.")
    return candidates[0]


def _labels(
    archive: NpzFile, chosen: str, n_rows: int, path: Path
) -> tuple[NDArray[Any] | None, tuple[str, ...]]:
    """Return the labels, or the reason why those that are there cannot be used."""
    names = [name for name in LABEL_KEYS if name in archive.files and name != chosen]
    if not names:
        return None, ()
    if len(names) > 1:
        return None, (f"{path} holds {' and '.join(map(repr, names))}: no labels were read.",)
    place = f"{path}:{names[0]}"
    try:
        labels = _member(archive, names[0], path)
    except _ObjectsError:
        return None, (
            f"{place} holds Python objects, which are never loaded: no labels. Save texts as np.array(y, str).",
        )
    if labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError:
            return None, (f"{place} holds bytes that are no text: no labels.",)
    if labels.dtype.kind not in "biufU":
        return None, (f"{place} holds {labels.dtype}, and numbers or texts are needed: no labels.",)
    if labels.shape not in {(n_rows,), (n_rows, 1)}:
        return None, (f"{place} has the shape {labels.shape}, and {chosen} has {n_rows} rows: no labels.",)
    return labels.reshape(n_rows), ()


def _member(archive: NpzFile, key: str, path: Path) -> NDArray[Any]:
    with _parsing(f"{path}:{key}"):
        assert archive.zip is not None  # it is open
        member = key if key in archive.zip.namelist() else f"{key}.npy"
        with archive.zip.open(member) as stream:
            if stream.read(len(_NPY_START)) != _NPY_START:
                # NumPy would return its bytes, however many it is decompressed to.
                raise DataError(f"{path}:{key} is not an array: it holds bytes that are no .npy file.")
        return np.asarray(archive[key])


@contextmanager
def _parsing(name: str) -> Iterator[None]:
    with damage_worded(f"{name} is damaged or cut short."):
        try:
            yield
        except ValueError as error:
            # NumPy has no error class of its own for objects; only its messages about them say "object".
            if "object" not in str(error).lower():
                raise
            raise _ObjectsError(
                f"{name} holds Python objects, which are never loaded; save it as numbers."
            ) from error
