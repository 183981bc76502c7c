"""Means over an epoch that do not make the device wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Means:
    """Means of named terms over rows, gathered on the device and read once."""

    #: Values that are kept before they are added up, so that an epoch of millions of steps stays small.
    KEPT = 1024

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = {}
        self.weights: list[int] = []
        self.sums: dict[str, Tensor] = {}
        self.n_rows = 0

    def add(self, terms: Mapping[str, Tensor], n_rows: int) -> bool:
        """Take the terms of a batch; return whether a good number of them have just been added up."""
        for name, value in terms.items():
            self.values.setdefault(name, []).append(value)
        self.weights.append(n_rows)
        if len(self.weights) < self.KEPT:
            return False
        self._add_up()
        return True

    def result(self) -> dict[str, float]:
        """Return the means so far, which waits for the device."""
        self._add_up()
        if not self.sums:
            return {}
        values = torch.stack(list(self.sums.values())).tolist()
        return {name: value / self.n_rows for name, value in zip(self.sums, values, strict=True)}

    def gathered(self) -> list[Tensor]:
        """Return all numbers that were gathered."""
        return [*self.sums.values(), *(torch.stack(values) for values in self.values.values() if values)]

    def state_dict(self) -> dict[str, Any]:
        """Return what was gathered, as it is: adding it up earlier than otherwise would round otherwise."""
        # In double precision, which holds each value exactly and is what they are added up in.
        pending = {name: torch.stack(values).double() for name, values in self.values.items()}
        return {
            "pending": pending,
            "weights": self.weights[:],
            "sums": dict(self.sums),
            "n_rows": self.n_rows,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it on."""
        self.values = {name: list(values.unbind()) for name, values in state["pending"].items()}
        self.weights = [int(weight) for weight in state["weights"]]
        self.sums, self.n_rows = dict(state["sums"]), int(state["n_rows"])

    def _add_up(self) -> None:
        if not self.weights:
            return
        for name, values in self.values.items():
            # Double, because a mean over millions of rows would lose digits in single precision.
            stacked = torch.stack([value.double() for value in values])
            weights = torch.tensor(self.weights, dtype=torch.float64, device=stacked.device)
            self.sums[name] = self.sums.get(name, 0.0) + torch.dot(stacked, weights)
        self.n_rows += sum(self.weights)
        self.values, self.weights = {}, []
