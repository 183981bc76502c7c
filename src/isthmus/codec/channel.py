"""Integers to bytes and back, through a range coder.

What is sent is said once, by functions that work in both directions: a :class:`Writer` is given the
values and returns them, a :class:`Reader` returns those that were written. A model of the data that is
written this way cannot read something else than it wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from isthmus.errors import CompressedDataError, MissingDependencyError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers: TypeAlias = NDArray[np.int64]

__all__ = ["Channel", "Reader", "Writer", "categorical"]

PIECE = 16  # bits that the coder takes at once, where every value is as likely as another


class Channel(Protocol):
    """What integers go through."""

    def symbols(self, values: Integers | None, model: Any, count: int) -> Integers:
        """Pass ``count`` symbols that follow ``model``, from :func:`categorical`."""

    def bits(self, values: Integers | None, width: int, count: int) -> Integers:
        """Pass ``count`` integers in [0, 2**width), each as likely as another."""


class Writer:
    """A channel that takes values."""

    def __init__(self) -> None:
        self._coder = require_coder().stream.queue.RangeEncoder()

    def symbols(self, values: Integers | None, model: Any, count: int) -> Integers:
        """Write symbols."""
        assert values is not None
        assert len(values) == count
        self._coder.encode(values.astype(np.int32), model)
        return values

    def bits(self, values: Integers | None, width: int, count: int) -> Integers:
        """Write integers without a model."""
        assert values is not None
        for shift in range(0, width, PIECE):
            piece = min(PIECE, width - shift)
            self.symbols((values >> shift) & ((1 << piece) - 1), _uniform(piece), count)
        return values

    def content(self) -> bytes:
        """Return what was written, in words of 32 bits, little-endian."""
        words: NDArray[np.uint32] = self._coder.get_compressed()
        return words.astype("<u4").tobytes()


class Reader:
    """A channel that gives the values of a :class:`Writer` back.

    Parameters
    ----------
    content : bytes
        What :meth:`Writer.content` returned.
    """

    def __init__(self, content: bytes) -> None:
        if len(content) % 4:
            raise CompressedDataError("a block is not a whole number of words.")
        words = np.frombuffer(content, dtype="<u4").astype(np.uint32)
        self._coder = require_coder().stream.queue.RangeDecoder(words)

    def symbols(self, values: Integers | None, model: Any, count: int) -> Integers:
        """Read symbols."""
        try:
            return np.asarray(self._coder.decode(model, count), dtype=np.int64)
        except AssertionError as error:  # the coder's own way to say so
            raise CompressedDataError("a block holds what no compressor writes.") from error

    def bits(self, values: Integers | None, width: int, count: int) -> Integers:
        """Read integers without a model."""
        result = np.zeros(count, dtype=np.int64)
        for shift in range(0, width, PIECE):
            result |= self.symbols(None, _uniform(min(PIECE, width - shift)), count) << shift
        return result


def categorical(frequencies: NDArray[np.int64]) -> Any:
    """Return a model of symbols from integers that sum to a power of two.

    The shares are exact in double precision, and so are their sums: every machine gets the same model.
    """
    shares = frequencies / float(frequencies.sum())
    return require_coder().stream.model.Categorical(shares, perfect=False)


def _uniform(width: int) -> Any:
    return require_coder().stream.model.Uniform(1 << width)


def require_coder() -> Any:
    """Return the package of the range coder; asked for before work whose result is to be compressed.

    Raises
    ------
    MissingDependencyError
        If constriction is not installed.
    """
    try:
        import constriction
    except ImportError as error:
        raise MissingDependencyError(
            "Compression needs the package constriction. Install it with: pip install isthmus[codec]"
        ) from error
    return constriction
