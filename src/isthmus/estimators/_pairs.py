"""Rows in pairs: what the network sees, and what it is to make of it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sized
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.errors import DataError, IgnoredTargetWarning, RestorationWarning
from isthmus.estimators._assembly import Assembly, Decoder
from isthmus.estimators._building import store_rows
from isthmus.estimators._rows import Rows
from isthmus.estimators._scaling import Scaling
from isthmus.training import Batch, StoredRows

#: Rows at most by which a restoration is judged at the end of a fit.
JUDGED_ROWS = 1000


@dataclass(frozen=True, eq=False)
class Pair:
    """Rows, and the rows that are to be made of them; None where these are the rows themselves."""

    rows: Rows
    targets: Rows | None = None

    def chosen(self, places: NDArray[np.intp]) -> Pair:
        """Return some of the pairs."""
        return Pair(self.rows[places], None if self.targets is None else self.targets[places])

    def stored(self, scaling: Scaling) -> StoredRows:
        """Return scaled rows as training keeps them, with their targets in the same space."""
        rows = store_rows(self.rows, scaling)
        return rows if self.targets is None else replace(rows, targets=store_rows(self.targets, scaling))


def shape_of(y: Any) -> tuple[int, ...] | None:
    """Return the shape of what came as y, or None where it has none."""
    shape = getattr(y, "shape", None)
    if shape is not None:
        return tuple(shape)
    if not isinstance(y, Sized) or isinstance(y, str | bytes):
        return None
    try:
        return tuple(np.shape(cast(Any, y)))
    except ValueError:  # sequences of different lengths
        return None


def resembles(y: Any, X: Rows) -> bool:
    """Return whether y has a row for each row of X with as many values, as labels of shape (n,) have not."""
    shape = shape_of(y)
    return shape is not None and len(shape) > 1 and shape[0] == len(X) and math.prod(shape[1:]) == X.shape[1]


def is_same(y: Any, X: Rows) -> bool:
    """Return whether y holds the values of X."""
    if y is X:
        return True
    try:
        return bool(np.array_equal(np.asarray(y, dtype=np.float64).reshape(X.shape), X, equal_nan=True))
    except (TypeError, ValueError):
        return False


def warn_of_ignored(y: Any, X: Rows, owner: str, *, trains_on_pairs: bool) -> None:
    """Say that y is not used, where it looks as if it were meant to be; called by what `fit` calls."""
    shape = shape_of(y)
    if shape is None or len(shape) < 2:
        return
    if trains_on_pairs:
        advice = f"Clean rows have the shape of X, ({', '.join(map(str, X.shape))}); labels have shape ({len(X)},)."
    elif resembles(y, X) and not is_same(y, X):
        advice = "To learn to make the rows of y of those of X, use DenoisingAutoencoder."
    else:
        return
    warnings.warn(
        f"The y of shape ({', '.join(map(str, shape))}) given to {owner} is ignored. {advice}",
        IgnoredTargetWarning,
        stacklevel=4,
    )


def refuse_other_kind(paired: bool, given: bool, owner: str) -> None:
    """Raise if a training in parts that began with pairs goes on without, or the other way round."""
    if paired == given:
        return
    raise DataError(
        f"{owner} was trained {'on pairs' if paired else 'without targets'} so far, and partial_fit got "
        f"{'a y' if given else 'no y'} of the shape of X. Go on with the same kind of data, or fit anew."
    )


@torch.no_grad()
def errors_of_restoration(assembly: Assembly, decoder: Decoder, batch: Batch) -> tuple[float, float]:
    """Return the squared error of corrupted scaled rows, and of what is made of them, both for a row."""
    assert batch.targets is not None
    targets = batch.targets.double()

    def error(rows: Tensor) -> float:
        return float((rows.double() - targets).square().nansum(1).mean())

    restored = decoder.loss.link(assembly(batch.rows)[0])
    return error(batch.rows), error(restored)


def warn_of_restoration(before: float, after: float, judged: str, owner: str, stacklevel: int) -> None:
    """Say that rows are restored worse than they came, if they are."""
    if not after > before:
        return
    warnings.warn(
        f"{owner} makes corrupted rows worse: on {judged} the squared error of a row, in scaled units, is "
        f"{before:.4g} before and {after:.4g} after denoising. Try more epochs, a larger n_components, a network "
        "that suits the rows, or a noise as strong as the one to be removed.",
        RestorationWarning,
        stacklevel=stacklevel + 1,
    )


def some(rows: StoredRows) -> StoredRows:
    """Return rows that are enough to judge by, evenly chosen."""
    return rows.every(max(1, math.ceil(len(rows) / JUDGED_ROWS)))
