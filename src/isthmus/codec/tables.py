"""Tables of integer frequencies that learn while they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus.codec.channel import categorical

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from isthmus.codec.channel import Channel

    Integers: TypeAlias = NDArray[np.int64]

__all__ = ["MOST_SYMBOLS", "AdaptiveTables", "frequencies", "stretches"]

PRECISION = 20  # frequencies sum to 2**20: the rarest symbol costs 20 bits
MOST_SYMBOLS = 4096
#: What one symbol seen weighs beside the 1 that every symbol has from the start.
WEIGHT = 16
LONGEST_STRETCH = 4096  # symbols between two looks at what came


def frequencies(counts: Integers) -> Integers:
    """Return integers of at least 1 that sum to 2**20, in the proportion of the counts.

    Only integers are added, multiplied and divided, so that every machine finds the same.

    Parameters
    ----------
    counts : ndarray of int64, shape (n_symbols,)
        None negative, at least one positive; together below 2**40.

    Examples
    --------
    >>> frequencies(np.array([3, 1, 0]))
    array([786431, 262144,      1])
    """
    free = (1 << PRECISION) - len(counts)
    shares: Integers = 1 + counts * free // counts.sum()
    shares[np.argmax(shares)] += (1 << PRECISION) - shares.sum()
    return shares


class AdaptiveTables:
    """How often each symbol came in each context, learnt on both sides from what went through.

    No table is stored: the reader has seen what the writer had, whenever it needs one.

    Parameters
    ----------
    n_contexts : int
        Number of tables.
    n_symbols : int
        Symbols are the integers from 0 on; at most `MOST_SYMBOLS`.

    References
    ----------
    J. G. Cleary and I. H. Witten, "Data compression using adaptive coding and partial string matching",
    1984.
    """

    def __init__(self, n_contexts: int, n_symbols: int) -> None:
        assert 1 <= n_symbols <= MOST_SYMBOLS
        self.n_symbols = n_symbols
        self._counts = np.ones((n_contexts, n_symbols), dtype=np.int64)
        self._models: dict[int, Any] = {}

    def send(self, channel: Channel, values: Integers | None, contexts: Integers) -> Integers:
        """Pass one symbol for each context through the channel, and learn from them.

        Parameters
        ----------
        channel : Channel
            Where they go through.
        values : ndarray of int64, shape (n,), or None
            The symbols, where they are known.
        contexts : ndarray of int64, shape (n,)
            The number of the table for each.

        Returns
        -------
        ndarray of int64, shape (n,)
            The symbols.
        """
        if self.n_symbols == 1:
            return np.zeros(len(contexts), dtype=np.int64)
        order = np.argsort(contexts, kind="stable")
        present, starts = np.unique(contexts[order], return_index=True)
        ends = [*starts[1:].tolist(), len(contexts)]
        passed = np.empty(len(contexts), dtype=np.int64)
        for context, start, end in zip(present.tolist(), starts.tolist(), ends, strict=True):
            rows = order[start:end]
            known = None if values is None else values[rows]
            passed[rows] = channel.symbols(known, self._model(context), end - start)
        self._learn(contexts, passed)
        return passed

    def heirs(self) -> AdaptiveTables:
        """Return new tables that start from what these have learnt, and give it up as easily."""
        new = AdaptiveTables(len(self._counts), self.n_symbols)
        totals = self._counts.sum(axis=1, keepdims=True)
        new._counts += WEIGHT * self.n_symbols * self._counts // totals
        return new

    def _model(self, context: int) -> Any:
        if context not in self._models:
            self._models[context] = categorical(frequencies(self._counts[context]))
        return self._models[context]

    def _learn(self, contexts: Integers, symbols: Integers) -> None:
        np.add.at(self._counts, (contexts, symbols), WEIGHT)
        for context in np.unique(contexts).tolist():
            self._models.pop(context, None)


def stretches(count: int) -> Iterator[slice]:
    """Yield slices of ``range(count)`` that grow as what was learnt from those before does."""
    start = 0
    while start < count:
        stop = min(count, start + min(max(1, start // 2), LONGEST_STRETCH))
        yield slice(start, stop)
        start = stop
