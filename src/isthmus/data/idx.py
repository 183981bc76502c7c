"""IDX, the file format of MNIST and of the data sets that took its place.

A file is two zero bytes, a byte for the type of number, a byte for the number of dimensions, each
dimension as a big-endian 32-bit integer, and then the numbers. Only unsigned bytes (type 8) occur
in the data sets read here, and nothing else is accepted.

References
----------
Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", 1998, section
"File formats for the MNIST database".
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import math
import struct
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from isthmus.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_UNSIGNED_BYTE = 8
_BLOCK = 1 << 20


@contextmanager
def decompressed(stream: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Give the decompressed content of a stream, by the ending of its name.

    Parameters
    ----------
    stream : binary file
        Where the bytes come from. It stays open.
    name : str
        Its file name: ``.gz`` and ``.xz`` are decompressed, anything else is given as it is.

    Yields
    ------
    binary file
        The content.

    Raises
    ------
    DataError
        If what is read inside the ``with`` block turns out to be damaged.
    """
    try:
        if name.endswith(".gz"):
            with gzip.GzipFile(fileobj=stream) as content:
                yield cast("IO[bytes]", content)
        elif name.endswith(".xz"):
            with lzma.LZMAFile(stream) as content:
                yield content
        else:
            yield stream
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DataError(f"{name} is damaged or cut short: it cannot be decompressed.") from error


def read_shape(stream: IO[bytes], *, name: str) -> tuple[int, ...]:
    """Read the header of an IDX file and leave the stream at its first number.

    Parameters
    ----------
    stream : binary file
        Decompressed content, at its start.
    name : str
        What messages call it.

    Returns
    -------
    tuple of int
        The dimensions, as the header states them.

    Raises
    ------
    DataError
        If it is not an IDX header, or one of another type than unsigned bytes.

    Examples
    --------
    >>> import io
    >>> read_shape(io.BytesIO(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])), name="three-labels")
    (3,)
    """
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[3] == 0:
        raise DataError(f"{name} is not an IDX file: it starts with {magic!r}.")
    if magic[2] != _UNSIGNED_BYTE:
        raise DataError(
            f"{name} holds numbers of IDX type {magic[2]:#04x}; only unsigned bytes (0x08) are read."
        )
    n_dimensions = magic[3]
    header = stream.read(4 * n_dimensions)
    if len(header) < 4 * n_dimensions:
        raise DataError(f"{name} is cut short: it ends inside its header.")
    return struct.unpack(f">{n_dimensions}I", header)


def read_idx(stream: IO[bytes], *, name: str, sha256: str | None = None) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Memory is taken as bytes arrive, never because a header claims them, so that a damaged header
    costs nothing.

    Parameters
    ----------
    stream : binary file
        Decompressed content, at its start.
    name : str
        What messages call it.
    sha256 : str, optional
        What the SHA-256 of the whole content must be, in hexadecimal.

    Returns
    -------
    ndarray of uint8
        The numbers, in the shape that the header states.

    Raises
    ------
    DataError
        If the header is wrong, if there are fewer or more bytes than it states, or if the checksum
        is another.
    """
    shape = read_shape(stream, name=name)
    expected = math.prod(shape)
    content = _read_up_to(stream, expected + 1)
    if len(content) != expected:
        surplus = len(content) > expected
        held = "more" if surplus else f"only {len(content)}"
        raise DataError(f"{name} should hold {expected} numbers ({_times(shape)}) and holds {held}.")
    if sha256 is not None:
        digest = hashlib.sha256(struct.pack(f">BBBB{len(shape)}I", 0, 0, _UNSIGNED_BYTE, len(shape), *shape))
        digest.update(content)
        if digest.hexdigest() != sha256:
            raise DataError(
                f"{name} is damaged: its SHA-256 is {digest.hexdigest()}, and should be {sha256}."
            )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_up_to(stream: IO[bytes], limit: int) -> bytearray:
    """Return what is left of the stream, at most ``limit`` bytes of it."""
    content = bytearray()
    while len(content) < limit:
        block = stream.read(min(_BLOCK, limit - len(content)))
        if not block:
            break
        content += block
    return content


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
