"""Batches: which rows a step sees, as a pure function of (seed, epoch)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor


class Batches(Protocol):
    """What the loop asks of a source of rows."""

    @property
    def n_steps(self) -> int:
        """Steps in an epoch."""
        ...

    def epoch(self, number: int) -> Iterator[Tensor]:
        """Yield the batches of epoch ``number``; a batch may be overwritten by the next one."""
        ...


class ResidentBatches:
    """Rows that lie in the memory of the training device.

    Parameters
    ----------
    rows : Tensor of shape (n, features)
        All rows, ready for the network.
    batch_size : int
        Rows a step; the last batch of an epoch has what is left.
    seed : int or None
        Seed of the order. ``None`` keeps the order of the rows, as for validation.
    """

    def __init__(self, rows: Tensor, batch_size: int, seed: int | None) -> None:
        self.rows = rows
        self.batch_size = min(batch_size, len(rows))
        self.seed = seed

    @property
    def n_steps(self) -> int:
        """Steps in an epoch."""
        return math.ceil(len(self.rows) / self.batch_size)

    def epoch(self, number: int) -> Iterator[Tensor]:
        """Yield the batches of epoch ``number``."""
        if self.seed is None:
            yield from torch.split(self.rows, self.batch_size)
            return
        order = self._order(number, self.seed)
        # One buffer for all batches: a fresh allocation a step costs more than the gather itself.
        buffer = self.rows.new_empty((self.batch_size, *self.rows.shape[1:]))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            yield torch.index_select(self.rows, 0, chosen, out=buffer[: len(chosen)])

    def _order(self, number: int, seed: int) -> Tensor:
        # The seed sequence of a torch generator on the CPU depends on the seed's bits alone, so a
        # well-mixed 63-bit number makes the orders of neighbouring epochs and seeds unrelated.
        mixed = (seed * 0x9E3779B97F4A7C15 + (number + 1) * 0xBF58476D1CE4E5B9) % 2**63
        generator = torch.Generator().manual_seed(mixed)
        return torch.randperm(len(self.rows), generator=generator).to(self.rows.device)
