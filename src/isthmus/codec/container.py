"""The file around compressed rows; FORMAT.md describes it byte by byte."""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from isthmus.errors import CompressedDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = [
    "MOST_ROWS",
    "MOST_VALUES",
    "VERSION",
    "Block",
    "Header",
    "count_rows",
    "exponents_of",
    "header_bytes",
    "read_blocks",
    "read_header",
    "steps_of",
    "write_block",
    "write_end",
]

MAGIC = b"\x89ISTH\r\n\x1a"  # not text, and damaged by whatever takes it for text
VERSION = 1
MOST_ROWS = 65_536  # in a block
MOST_VALUES = 1 << 27  # in the rows of a block
MOST_COMPONENTS = 1 << 20
STEPS_PER_DOUBLING = 32
LARGEST_EXPONENT = 1000 * STEPS_PER_DOUBLING
LONGEST_HEADER = 1 << 24
CONTAINERS = 3  # of a header: the whole of it, the shape of a row and the exponents
LONGEST_BLOCK = 1 << 30
PIECE = 1 << 20  # bytes that are read at a time: a file that promises more than it has costs nothing
PREAMBLE = struct.Struct("<8sHI")
BLOCK = struct.Struct("<4sIII")
END = struct.Struct("<4sQI")
BLOCK_MARK, END_MARK = b"ROWS", b"END."
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
DTYPES = (*INTEGERS, "bool", "float16", "float32", "float64")


@dataclass(frozen=True)
class Header:
    """What holds for all rows of a file.

    Parameters
    ----------
    model : str
        Fingerprint of the model, 32 hexadecimal digits.
    dtype : str
        Of the rows, as NumPy names it.
    row_shape : tuple of int
        The shape of a row.
    exponents : tuple of int
        What one unit of each quantised code stands for, in 32nds of a binary logarithm.
    whole : bool
        Whether the model's codes are whole numbers, which are not rounded.
    residuals : bool
        Whether blocks also hold what copies miss.
    """

    model: str
    dtype: str
    row_shape: tuple[int, ...]
    exponents: tuple[int, ...]
    whole: bool = False
    residuals: bool = False

    @property
    def features(self) -> int:
        """Number of values of a row."""
        return math.prod(self.row_shape)

    @property
    def steps(self) -> NDArray[np.float64]:
        """What one unit of each quantised code stands for."""
        return steps_of(self.exponents)


@dataclass(frozen=True)
class Block:
    """Some rows: how many, and what a :class:`isthmus.codec.channel.Writer` made of them."""

    rows: int
    content: bytes


def exponents_of(steps: NDArray[np.float64]) -> tuple[int, ...]:
    """Return steps as a header has them, to the next 32nd of a binary logarithm."""
    exponents = np.rint(STEPS_PER_DOUBLING * np.log2(steps)).clip(-LARGEST_EXPONENT, LARGEST_EXPONENT)
    return tuple(int(exponent) for exponent in exponents)


def steps_of(exponents: Sequence[int]) -> NDArray[np.float64]:
    """Return what exponents of a header stand for."""
    return np.asarray(np.exp2(np.array(exponents) / STEPS_PER_DOUBLING))


def header_bytes(header: Header) -> bytes:
    """Return the beginning of a file."""
    text = json.dumps(asdict(header), allow_nan=False, separators=(",", ":")).encode()
    packed = zlib.compress(text, 9)
    start = PREAMBLE.pack(MAGIC, VERSION, len(packed)) + packed
    return start + struct.pack("<I", zlib.crc32(start))


def write_block(file: BinaryIO, block: Block) -> None:
    """Write some rows."""
    assert 1 <= block.rows <= MOST_ROWS
    checksum = zlib.crc32(block.content, block.rows)
    file.write(BLOCK.pack(BLOCK_MARK, block.rows, len(block.content), checksum) + block.content)


def write_end(file: BinaryIO, rows: int) -> None:
    """Write the end of a file, which says that nothing is missing."""
    file.write(END.pack(END_MARK, rows, zlib.crc32(struct.pack("<Q", rows))))


def read_header(file: BinaryIO) -> Header:
    """Read the beginning of a file.

    Raises
    ------
    CompressedDataError
        If it is none of ours, of a newer version, or damaged.
    """
    start = _read(file, PREAMBLE.size)
    magic, version, length = PREAMBLE.unpack(start)
    if magic != MAGIC:
        raise CompressedDataError("these are not rows compressed by Isthmus: they begin otherwise.")
    if version != VERSION:
        raise CompressedDataError(
            f"the format version is {version}; this Isthmus reads version {VERSION}. Update Isthmus."
        )
    if length > LONGEST_HEADER:
        raise CompressedDataError("the header is damaged: it is longer than a header can be.")
    packed = _read(file, length)
    if struct.unpack("<I", _read(file, 4))[0] != zlib.crc32(start + packed):
        raise CompressedDataError("the header is damaged: its checksum does not fit.")
    try:
        text = zlib.decompressobj().decompress(packed, LONGEST_HEADER)
        if text.count(b"[") + text.count(b"{") > CONTAINERS:  # which take much more memory than text
            raise CompressedDataError("the header is damaged: it has more parts than a header.")
        return _checked(json.loads(text))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, zlib.error) as error:
        raise CompressedDataError(f"the header is damaged: {error}.") from error


def count_rows(file: BinaryIO) -> int:
    """Return how many rows a file that can be searched says it has; it is then where it was.

    Raises
    ------
    CompressedDataError
        If its end is damaged or missing.
    """
    place = file.tell()
    if file.seek(0, os.SEEK_END) < END.size:
        raise CompressedDataError("the data end too early: they are truncated.")
    file.seek(-END.size, os.SEEK_END)
    mark, rows, checksum = END.unpack(_read(file, END.size))
    file.seek(place)
    if mark != END_MARK or checksum != zlib.crc32(struct.pack("<Q", rows)):
        raise CompressedDataError("the end is damaged or missing: they are truncated.")
    return int(rows)


def read_blocks(file: BinaryIO) -> Iterator[Block]:
    """Read the rows after the header, block by block, until the end.

    Raises
    ------
    CompressedDataError
        If a part is damaged or missing, or something follows the end.
    """
    rows = 0
    while (mark := _read(file, 4)) == BLOCK_MARK:
        _, count, length, checksum = BLOCK.unpack(mark + _read(file, BLOCK.size - 4))
        if not 1 <= count <= MOST_ROWS or length > LONGEST_BLOCK:
            raise CompressedDataError(f"the block after row {rows} is damaged: it cannot be that long.")
        content = _read(file, length)
        if zlib.crc32(content, count) != checksum:
            raise CompressedDataError(f"the block after row {rows} is damaged: its checksum does not fit.")
        rows += count
        yield Block(count, content)
    if mark != END_MARK:
        raise CompressedDataError(f"what follows row {rows} is neither rows nor the end.")
    _, total, checksum = END.unpack(mark + _read(file, END.size - 4))
    if zlib.crc32(struct.pack("<Q", total)) != checksum or total != rows:
        raise CompressedDataError(f"the end is damaged, or blocks are missing: {rows} rows came.")
    if file.read(1):
        raise CompressedDataError("something follows the end.")


def _read(file: BinaryIO, length: int) -> bytes:
    pieces: list[bytes] = []
    missing = length
    while missing:
        piece = file.read(min(missing, PIECE))
        if not piece:
            raise CompressedDataError("the data end too early: they are truncated.")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _checked(saved: Mapping[str, Any]) -> Header:
    """Return a header whose parts are what parts of a header can be."""
    if not isinstance(saved, dict) or set(saved) != {field.name for field in fields(Header)}:
        raise ValueError("its entries are not those of a header")
    header = Header(
        model=_text(saved, "model", 128),
        dtype=_text(saved, "dtype", 10),
        row_shape=_integers(saved, "row_shape", 8),
        exponents=_integers(saved, "exponents", MOST_COMPONENTS),
        whole=_flag(saved, "whole"),
        residuals=_flag(saved, "residuals"),
    )
    if header.dtype not in DTYPES:
        raise ValueError(f"rows of {header.dtype!r} are not known")
    if min(header.row_shape) < 1 or header.features > MOST_VALUES:
        raise ValueError("rows cannot have such a shape")
    if max(map(abs, header.exponents)) > LARGEST_EXPONENT:
        raise ValueError("the steps of the codes are not such as codes have")
    return header


def _text(saved: Mapping[str, Any], name: str, longest: int) -> str:
    value = saved[name]
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError(f"its {name} is not a text of at most {longest} characters")
    return value


def _flag(saved: Mapping[str, Any], name: str) -> bool:
    value = saved[name]
    if not isinstance(value, bool):
        raise ValueError(f"its {name} is neither true nor false")
    return value


def _integers(saved: Mapping[str, Any], name: str, longest: int) -> tuple[int, ...]:
    value = saved[name]
    if not isinstance(value, list) or not 1 <= len(value) <= longest:
        raise ValueError(f"its {name} is not a list of 1 to {longest} integers")
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in value):
        raise ValueError(f"its {name} holds something else than integers")
    return tuple(value)
