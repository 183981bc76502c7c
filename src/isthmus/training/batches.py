"""Batches: which rows a step sees, as a pure function of (seed, epoch)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from isthmus._kernels import Kernels
from isthmus._random import row_keys


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of a step, and what random numbers for them are drawn by.

    Parameters
    ----------
    rows : Tensor of shape (batch, features)
        The rows, ready for the network; they may be overwritten when the next batch is made.
    keys : Tensor of int64, shape (batch,)
        A key for each row: a function of the seed, the epoch and the row, and of nothing else.
    targets : Tensor of shape (batch, ...), optional
        What is known of each row beside it, such as its class, or the row that is to be made of it.
    """

    rows: Tensor
    keys: Tensor
    targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)


class Batches(Protocol):
    """What the loop asks of a source of rows."""

    @property
    def n_steps(self) -> int:
        """Steps in an epoch."""
        ...

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of epoch ``number`` from ``start`` on; one may be overwritten by the next."""
        ...


#: Rows that are narrowed at a time.
_NARROWED_ROWS = 2048


@dataclass(frozen=True)
class StoredRows:
    """Rows as they are kept: ready for the network, or as bytes that are divided when they are used.

    Parameters
    ----------
    values : Tensor of shape (n, features)
        Floating numbers, or unsigned bytes: a quarter of the memory and of the way to the processor. They may lie in
        the user's own memory, or in a file that is mapped: they are read, and nobody but this class is given them.
        What is no single precision is widened by `blocks`, and by nothing else.
    unit : float, default=1.0
        What bytes are divided by.
    targets : StoredRows, optional
        The row that is to be made of each row, where that is another one.
    """

    values: Tensor
    unit: float = 1.0
    targets: StoredRows | None = None

    @property
    def wanted(self) -> StoredRows:
        """What is to be made of the rows: their targets, or themselves."""
        return self if self.targets is None else self.targets

    def __len__(self) -> int:
        return len(self.values)

    def blocks(self, n_rows: int) -> Iterator[Tensor]:
        """Yield copies of the rows in their order, ready for the network, ``n_rows`` at a time."""
        for block in torch.split(self.values, n_rows):
            rows = block.to(torch.float32, copy=True)
            yield rows.div_(self.unit) if block.dtype == torch.uint8 else rows

    def range(self) -> tuple[float, float]:
        """Return the least and the greatest value, ready for the network; what is missing aside."""
        low, high = (float(value) for value in torch.aminmax(self.values))
        if math.isnan(low):
            observed = self.values[~self.values.isnan()]
            low, high = (float(value) for value in torch.aminmax(observed))
        return (low / self.unit, high / self.unit)

    def every(self, step: int) -> StoredRows:
        """Return each ``step``-th row."""
        return StoredRows(self.values[::step], self.unit, self.targets and self.targets.every(step))

    def to(self, device: torch.device) -> StoredRows:
        """Return the rows in the memory of a device."""
        return StoredRows(self.values.to(device), self.unit, self.targets and self.targets.to(device))

    def narrowed(self, precision: torch.dtype) -> StoredRows:
        """Return the rows in a floating type of less than single precision."""
        values = self.values.new_empty(self.values.shape, dtype=precision)
        places = torch.split(values, _NARROWED_ROWS)
        for place, block in zip(places, self.blocks(_NARROWED_ROWS), strict=True):
            place.copy_(block)
        return StoredRows(values, targets=self.targets and self.targets.narrowed(precision))

    def chosen(self, numbers: Tensor) -> Tensor:
        """Return the rows of these numbers, ready for the network."""
        rows = self.values[numbers]
        return rows.float().div_(self.unit) if rows.dtype == torch.uint8 else rows


class ResidentBatches:
    """Rows that lie in the memory of the training device.

    Parameters
    ----------
    rows : StoredRows or Tensor of shape (n, features)
        All rows.
    batch_size : int
        Rows a step; the last batch of an epoch has what is left.
    seed : int or None
        Seed of the order. ``None`` keeps the order of the rows, as for validation.
    kernels : Kernels, optional
        Compiled functions.
    targets : Tensor of shape (n, ...), optional
        What is known of each row beside it, on the rows' device; the rows' own targets unless given.
    """

    def __init__(
        self,
        rows: StoredRows | Tensor,
        batch_size: int,
        seed: int | None,
        *,
        kernels: Kernels | None = None,
        targets: Tensor | None = None,
    ) -> None:
        self.rows = StoredRows(rows) if isinstance(rows, Tensor) else rows
        self.batch_size = min(batch_size, len(rows))
        self.seed = seed
        self.targets = targets
        values = self.rows.values
        known = values.ndim == 2 and Kernels.fits(values)
        self.kernels = kernels if known else None

    @property
    def n_steps(self) -> int:
        """Steps in an epoch."""
        return math.ceil(len(self.rows) / self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of epoch ``number``, without the first ``start`` of them."""
        values, done = self.rows.values, start * self.batch_size
        if done >= len(values):
            return  # torch.split would make one batch of nothing
        if self.seed is None:
            # Always the same numbers, so that one epoch's validation can be held against another's.
            numbers = torch.arange(done, len(values), device=values.device)
            keys = torch.split(row_keys(0, 0, numbers), self.batch_size)
            blocks = StoredRows(values[done:], self.rows.unit).blocks(self.batch_size)
            for block, chosen, own in zip(blocks, torch.split(numbers, self.batch_size), keys, strict=True):
                yield Batch(block, own, self._targets_of(chosen))
            return
        order = self._order(number, self.seed)[done:]
        keys = torch.split(row_keys(self.seed, number, order), self.batch_size)
        # One buffer for all batches: a fresh allocation a step costs more than the gather itself.
        shape = (self.batch_size, *values.shape[1:])
        buffer = values.new_empty(shape)
        ready = (
            buffer
            if buffer.is_floating_point()
            else torch.empty(shape, dtype=torch.float32, device=values.device)
        )
        for chosen, own in zip(torch.split(order, self.batch_size), keys, strict=True):
            batch = ready if len(chosen) == len(ready) else ready[: len(chosen)]
            if self.kernels is not None:
                self.kernels.gather(values, chosen, self.rows.unit, batch)
            else:
                gathered = torch.index_select(values, 0, chosen, out=buffer[: len(chosen)])
                if ready is not buffer:
                    torch.div(gathered, self.rows.unit, out=batch)
            yield Batch(batch, own, self._targets_of(chosen))

    def _targets_of(self, chosen: Tensor) -> Tensor | None:
        if self.targets is not None:
            return self.targets[chosen]
        return None if self.rows.targets is None else self.rows.targets.chosen(chosen)

    def _order(self, number: int, seed: int) -> Tensor:
        # The seed sequence of a torch generator on the CPU depends on the seed's bits alone, so a
        # well-mixed 63-bit number makes the orders of neighbouring epochs and seeds unrelated.
        mixed = (seed * 0x9E3779B97F4A7C15 + (number + 1) * 0xBF58476D1CE4E5B9) % 2**63
        generator = torch.Generator().manual_seed(mixed)
        return torch.randperm(len(self.rows), generator=generator, device="cpu").to(self.rows.values.device)


class StreamedBatches:
    """Batches from the host's memory, sent to the device one by one.

    Parameters
    ----------
    batches : Batches
        Where they come from.
    device : torch.device
        Where they go.
    """

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self.batches, self.device = batches, device

    @property
    def n_steps(self) -> int:
        """Steps in an epoch."""
        return self.batches.n_steps

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of epoch ``number``, without the first ``start`` of them."""
        for batch in self.batches.epoch(number, start):
            targets = None if batch.targets is None else batch.targets.to(self.device)
            yield Batch(batch.rows.to(self.device), batch.keys.to(self.device), targets)
