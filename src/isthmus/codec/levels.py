"""Rows as integers, and a model's copies as predictions that every machine agrees on."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import wrong_parameter
from isthmus.codec.residuals import LEVELS, send_bytes, send_residuals
from isthmus.errors import CompressedDataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from isthmus.codec.channel import Channel

    Array: TypeAlias = NDArray[Any]
    Integers: TypeAlias = NDArray[np.int64]

__all__ = ["Levels", "exact_levels", "levels_within", "send_levels"]

#: "integers": as they are; "bytes": floats that are k / 255; "bits": floats by their bit patterns;
#: "steps": floats as multiples of a step.
KINDS = ("integers", "bytes", "bits", "steps")

#: How near to a rounding's edge, relative to its size, a copy may be of which two machines could make
#: different predictions. Those are told. Models compute in double precision here.
UNSAFE = 1e-9
LARGEST_MULTIPLE = float(1 << 52)
EXACT = 1 << 23  # up to here single precision tells integers apart
_EXACT_BITS = int(np.array(EXACT, dtype=np.float32).view(np.int32))
LARGEST_PREDICTION = float(1 << 62)


@dataclass(frozen=True)
class Levels:
    """How rows are turned into integers of 64 bits and back.

    Parameters
    ----------
    kind : {"integers", "bytes", "bits", "steps"}
        See `KINDS`.
    dtype : dtype
        Of the rows.
    step : float
        Of the kind "steps", in the unit of the data.
    """

    kind: str
    dtype: np.dtype[Any]
    step: float = 1.0

    def of_rows(self, rows: Array) -> Integers:
        """Return rows as integers."""
        if self.kind == "integers":
            return _ordered_unsigned(rows) if self.dtype == np.uint64 else rows.astype(np.int64)
        if self.kind == "bits":
            return _ordered_bits(rows)
        return np.rint(rows.astype(np.float64) / self._unit).astype(np.int64)

    def to_rows(self, levels: Integers) -> Array:
        """Return integers as rows."""
        if self.kind == "integers":
            return (
                (levels.view(np.uint64) ^ np.uint64(1 << 63))
                if self.dtype == np.uint64
                else levels.astype(self.dtype)
            )
        if self.kind == "bits":
            return _from_ordered_bits(levels, self.dtype)
        if self.kind == "bytes":
            bytes_: Array = levels.astype(self.dtype) / self.dtype.type(LEVELS - 1)
            return bytes_
        return (levels * self.step).astype(self.dtype)

    def send(
        self,
        channel: Channel,
        values: Integers | None,
        copies: NDArray[np.float64],
        row_shape: Sequence[int],
    ) -> Integers:
        """Pass the integers of rows through a channel, given the model's copies of these rows."""
        predictions = self._send_predictions(channel, copies, known=values is not None)
        few = self.kind == "bytes" or self.dtype in (np.uint8, np.bool_)
        send = send_bytes if few else send_residuals
        return send(channel, values, predictions, row_shape)

    def _send_predictions(self, channel: Channel, copies: NDArray[np.float64], *, known: bool) -> Integers:
        """Return what both sides expect: where rounding could differ, the writer's word is taken."""
        predictions = self._rounded(copies)
        slack = UNSAFE * np.maximum(np.abs(copies), self._unit)
        unsafe = np.flatnonzero((self._rounded(copies - slack) != self._rounded(copies + slack)).ravel())
        count = int(channel.bits(np.array([len(unsafe)]) if known else None, 32, 1)[0])
        if count > copies.size:
            raise CompressedDataError("a block corrects more predictions than it has values.")
        width = max(1, (copies.size - 1).bit_length())
        places = channel.bits(unsafe if known else None, width, count)
        if len(places) and int(places.max()) >= copies.size:
            raise CompressedDataError("a block corrects a prediction that it does not have.")
        flat = predictions.ravel()
        told = channel.bits(flat[places] & 3 if known else None, 2, count)
        flat[places] += (told - (flat[places] & 3) + 1) % 4 - 1
        checksum = zlib.crc32(flat.astype("<i8").tobytes())
        if int(channel.bits(np.array([checksum]) if known else None, 32, 1)[0]) != checksum:
            raise CompressedDataError(
                "the model computes otherwise here than where the file was made, beyond rounding. "
                "Decompress it with the same versions of Isthmus and PyTorch."
            )
        return self._levels_of(flat.reshape(copies.shape))

    @property
    def _unit(self) -> float:
        return {"bytes": 1 / (LEVELS - 1), "steps": self.step}.get(self.kind, 1.0)

    @property
    def _predicted_dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float16) if self.dtype == np.float16 else np.dtype(np.float32)

    def _rounded(self, copies: NDArray[np.float64]) -> Integers:
        """Return copies as integers, no finer than single precision: below it, machines differ."""
        if self.kind == "bits":
            largest = float(np.finfo(self._predicted_dtype).max)
            return _ordered_bits(np.clip(copies, -largest, largest).astype(self._predicted_dtype))
        multiples = copies / self._unit - (float(1 << 63) if self.dtype == np.uint64 else 0.0)
        sizes = np.minimum(np.abs(multiples), LARGEST_PREDICTION)
        coarse = EXACT + _ordered_bits(sizes.astype(np.float32)) - _EXACT_BITS
        exact = np.floor(np.clip(multiples, -EXACT, EXACT) + 0.5).astype(np.int64)
        return np.where(sizes <= EXACT, exact, np.where(multiples < 0, -coarse, coarse))

    def _levels_of(self, predictions: Integers) -> Integers:
        """Return rounded copies as levels."""
        if self.kind == "bits":
            values = _from_ordered_bits(predictions, self._predicted_dtype)
            return _ordered_bits(values.astype(self.dtype))
        sizes = np.maximum(np.abs(predictions) - EXACT, 0) + _EXACT_BITS
        coarse = _from_ordered_bits(sizes, np.dtype(np.float32)).astype(np.int64)
        large = np.where(predictions < 0, -coarse, coarse)
        return np.where(np.abs(predictions) <= EXACT, predictions, large)


def send_levels(channel: Channel, levels: Levels | None, dtype: np.dtype[Any]) -> Levels:
    """Pass how the rows of a block are integers through a channel.

    Parameters
    ----------
    channel : Channel
        Where it goes through.
    levels : Levels or None
        What is sent, where it is known.
    dtype : dtype
        Of the rows.

    Raises
    ------
    CompressedDataError
        If what comes is not for rows of this type.
    """
    known = None if levels is None else np.array([KINDS.index(levels.kind)])
    kind = KINDS[int(channel.bits(known, 2, 1)[0])]
    if (kind == "integers") == (dtype.kind == "f"):
        raise CompressedDataError(f"a block has levels of the kind {kind!r}, which {dtype} rows cannot have.")
    if kind != "steps":
        return Levels(kind, dtype)
    patterns = None if levels is None else np.array([levels.step]).view(np.int64)
    step = float(channel.bits(patterns, 63, 1).view(np.float64)[0])  # positive: without its sign
    if not 0 < step < np.inf:
        raise CompressedDataError("a block has a step that is not a positive number.")
    return Levels(kind, dtype, step)


def exact_levels(rows: Array) -> Levels:
    """Return the levels that bring rows of real numbers back bit for bit."""
    dtype = rows.dtype
    if dtype.kind in "biu":
        return Levels("integers", dtype)
    if rows.size and rows.min() >= 0 and rows.max() <= 1:
        of_bytes = Levels("bytes", dtype)
        again = of_bytes.to_rows(of_bytes.of_rows(rows))
        if np.array_equal(_ordered_bits(again), _ordered_bits(rows)):
            return of_bytes
    return Levels("bits", dtype)


def levels_within(max_error: float, rows: Array) -> Levels:
    """Return the levels that keep every value within ``max_error`` of its original.

    Raises
    ------
    InvalidParameterError
        If numbers of the rows' type cannot come that near to each other.
    """
    dtype = rows.dtype
    if dtype.kind in "biu":
        raise wrong_parameter(
            "Compressor", "max_error", f"None for {dtype} rows", max_error, "Use lossless=True, or floats."
        )
    largest = float(np.abs(rows).max(initial=0))
    # What the result's own rounding may add, and the rounding of the division.
    rounding = largest * float(np.finfo(dtype).eps) + largest * 2**-50
    step = 2 * (max_error - rounding)
    if step <= 0 or largest / step >= LARGEST_MULTIPLE:
        raise wrong_parameter(
            "Compressor",
            "max_error",
            f"above {rounding:.3g}, the precision of {dtype} at values up to {largest:.3g}",
            max_error,
            "For rows without any error use lossless=True.",
        )
    return Levels("steps", dtype, step)


def _ordered_unsigned(rows: Array) -> Integers:
    return (rows ^ np.uint64(1 << 63)).view(np.int64)


def _ordered_bits(rows: Array) -> Integers:
    """Return the bit patterns of floats as integers in the order of the floats."""
    width = rows.dtype.itemsize * 8
    patterns = np.ascontiguousarray(rows).view(f"i{rows.dtype.itemsize}").astype(np.int64)
    return np.where(patterns < 0, patterns ^ ((1 << (width - 1)) - 1), patterns)


def _from_ordered_bits(levels: Integers, dtype: np.dtype[Any]) -> Array:
    width = dtype.itemsize * 8
    patterns = np.where(levels < 0, levels ^ ((1 << (width - 1)) - 1), levels)
    return patterns.astype(f"i{dtype.itemsize}").view(dtype)
