"""What every reader asks of a file and of the numbers in it, with one wording for every message."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


ENDINGS = (".npy", ".npz", ".csv", ".parquet")


@dataclass(frozen=True)
class Stamp:
    """What a file was like when it was opened; a file that is written to meanwhile is not like it any more."""

    path: Path
    inode: int
    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Return that of a file."""
        status = path.stat()
        return cls(path, status.st_ino, status.st_size, status.st_mtime_ns)

    def check(self) -> None:
        """Raise a DataError if the file is not what it was."""
        try:
            same = self == Stamp.of(self.path)
        except OSError:
            same = False
        if not same:
            raise DataError(
                f"{self.path} was changed while it was read. Try again when nothing writes to it."
            )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Check that a path is a file with something in it, and word what the system refuses.

    Raises
    ------
    DataError
        If there is no such file, if it is a folder, if it is empty, if it cannot be read, or if it is changed
        meanwhile.
    """
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder, and a file was expected.")
        stamp = Stamp.of(path)
        if stamp.size == 0:
            raise DataError(f"{path} is empty.")
        try:
            yield
        finally:
            stamp.check()  # also where damage was found: it may be half a file that somebody writes
    except FileNotFoundError as error:
        raise DataError(f"The file {path} does not exist.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or 'the system refuses'}.") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory, or its header is damaged.") from error


@contextmanager
def damage_worded(message: str) -> Iterator[None]:
    """Raise a DataError with this message for whatever a parser raises on a damaged file.

    Parsers raise nearly anything then: struct, zlib, Unicode, lookup and type errors have been seen.
    What the operating system or Isthmus reports is left as it is.
    """
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(message) from error


def numbers(array: NDArray[Any], *, name: str) -> NDArray[Any]:
    """Return an array as real numbers in this machine's byte order.

    Integers and floating-point numbers keep their type; booleans become uint8, without a copy.

    Raises
    ------
    DataError
        If the array holds anything else; ``name`` says in the message where it came from.
    """
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind == "c":
        raise DataError(f"{name} holds complex numbers ({array.dtype}), and real numbers are needed.")
    if array.dtype.kind not in "iuf":
        raise DataError(f"{name} holds {_kind_of(array.dtype)}, and numbers are needed.")
    # PyTorch knows native order only.
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _kind_of(dtype: np.dtype[Any]) -> str:
    names = {"O": "Python objects", "U": "text", "S": "bytes", "M": "dates", "m": "durations"}
    return f"{names.get(dtype.kind, 'records')} (dtype {dtype})"
