"""Blocks of rows through a fitted model and a range coder, in both directions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from isthmus.codec import (
    LARGEST,
    MOST_VALUES,
    Block,
    Header,
    Reader,
    Writer,
    exact_levels,
    levels_within,
    send_columns,
    send_levels,
)
from isthmus.errors import CompressedDataError, DataError
from isthmus.estimators._model import Model
from isthmus.estimators._quantizing import quantized
from isthmus.estimators._rows import flatten

Array = NDArray[Any]


@dataclass(frozen=True)
class Coding:
    """How the rows of one file become bytes.

    Parameters
    ----------
    model : Model
        A fitted model.
    header : Header
        What the file says of all its rows.
    max_error : float, optional
        How far any value may be from its original; where residuals are written without it, rows come back
        bit for bit.
    """

    model: Model
    header: Header
    max_error: float | None = None

    def encode(self, rows: Array) -> Block:
        """Return rows as bytes."""
        header = self.header
        if rows.dtype.name != header.dtype or rows.shape[1:] != header.row_shape:
            raise DataError(
                f"Rows of {rows.dtype} with shape {rows.shape[1:]} follow rows of {header.dtype} with shape "
                f"{header.row_shape}; all blocks must be alike."
            )
        channel = Writer()
        codes = codes_of(self.model, doubles(rows) if header.residuals else rows)
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.abs(codes / header.steps).max() < LARGEST:
                raise DataError("The codes of these rows are too large for the steps that fit() chose.")
        integers = send_columns(channel, quantized(codes, header.steps), (len(codes), codes.shape[1]))
        if header.residuals:
            levels = exact_levels(rows) if self.max_error is None else levels_within(self.max_error, rows)
            values = levels.of_rows(rows).reshape(len(rows), -1)
            send_levels(channel, levels, rows.dtype)
            levels.send(channel, values, self._copies(integers, np.dtype(np.float64)), header.row_shape)
        return Block(len(rows), channel.content())

    def check_header(self) -> None:
        """Refuse a header that is not of this model, before anything is made of the blocks.

        One code is decoded, since that is what all models can do.

        Raises
        ------
        CompressedDataError
            When the model does not take so many codes, or does not make such rows of them.
        """
        header, model = self.header, cast(Any, self.model)
        n_codes = len(header.exponents)
        fault = CompressedDataError(
            f"the header is damaged: the model does not make rows of {header.features} values of {n_codes} codes."
        )
        if header.whole != has_tokens(model) or (header.whole and math.prod(model.tokens_shape_) != n_codes):
            raise fault
        try:
            with np.errstate(all="ignore"):
                if header.whole:
                    rows = model.from_tokens(np.zeros((1, *model.tokens_shape_), dtype=np.int64))
                else:
                    rows = model.inverse_transform(np.zeros((1, n_codes)))
        except (ValueError, TypeError, LookupError, RuntimeError) as error:
            raise fault from error
        if np.size(rows) != header.features:
            raise fault

    def decode(self, block: Block) -> Array:
        """Return rows from bytes."""
        header, dtype = self.header, np.dtype(self.header.dtype)
        if block.rows * max(header.features, len(header.exponents)) > MOST_VALUES:
            raise CompressedDataError("a block holds more values than a block can.")
        channel = Reader(block.content)
        integers = send_columns(channel, None, (block.rows, len(header.exponents)))
        copies = self._copies(integers, np.dtype(np.float64) if header.residuals else dtype)
        if header.residuals:
            levels = send_levels(channel, None, dtype)
            rows = levels.to_rows(levels.send(channel, None, copies, header.row_shape))
        else:
            rows = _as_type(copies, dtype)
        return rows.reshape(block.rows, *header.row_shape)

    def _copies(self, integers: NDArray[np.int64], dtype: np.dtype[Any]) -> Array:
        """Return the copies of rounded codes, computed in no more precision than the rows need.

        In double precision other machines find the same, but for its last digits.
        """
        if self.header.whole:
            model: Any = self.model
            rows: Array = flatten(model.from_tokens(integers.reshape(len(integers), *model.tokens_shape_)))
            return rows
        precision = np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64
        with np.errstate(over="ignore", invalid="ignore"):
            codes = (integers * self.header.steps).astype(precision)
            copies = (
                flatten(np.asarray(self.model.inverse_transform(codes)))
                if np.isfinite(codes).all()
                else codes
            )
        if not np.isfinite(copies).all():
            raise CompressedDataError("a block holds codes that are larger than the model can decode.")
        return copies


def has_tokens(model: Any) -> bool:
    """Say whether a model's codes are whole numbers, such as the entries of a codebook."""
    return callable(getattr(model, "from_tokens", None))


def codes_of(model: Any, rows: Array) -> Array:
    """Return the codes of rows, shape (n, k)."""
    codes: Array = flatten(np.asarray(model.tokens(rows) if has_tokens(model) else model.transform(rows)))
    return codes


def doubles(rows: Array) -> NDArray[np.float64]:
    """Return rows in double precision, where models compute what machines have to agree on."""
    return rows.astype(np.float64, copy=False)


def _as_type(copies: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "f":
        limit = np.finfo(dtype).max
        return np.clip(copies, -limit, limit).astype(dtype)
    if dtype.kind == "b":
        return copies >= 0.5
    limits = np.iinfo(dtype)
    # 2**63 - 1 is no double: the largest one below it is.
    top = np.nextafter(float(limits.max) + 1, 0) if limits.bits == 64 else limits.max
    return np.clip(np.rint(copies), limits.min, top).astype(dtype)
