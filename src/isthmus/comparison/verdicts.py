"""Whether a model was worth it, in one honest sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._components import principal_components, row_blocks
from isthmus.metrics import ratio_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Row: TypeAlias = dict[str, Any]

__all__ = ["EQUAL_WITHIN", "Spectrum", "judged", "readable_percent", "verdict"]

EQUAL_WITHIN = 0.005  # below half a percent, another seed could turn the order round
MOST_FEATURES = 4096  # beyond, a covariance of all features takes too long


class Spectrum:
    """The squared error of PCA at every width.

    Parameters
    ----------
    train : ndarray of shape (n, ...)
        The rows that it is fitted on.
    X : ndarray of shape (m, ...)
        The rows that are judged.

    Attributes
    ----------
    errors : ndarray of shape (features + 1,), or None
        Squared error per row with 0, 1, ... components; None for more than 4,096 features.

    References
    ----------
    K. Pearson, "On lines and planes of closest fit to systems of points in space", 1901.

    Examples
    --------
    >>> X = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0], [2.0, 1.0]])
    >>> Spectrum(X, X).errors.round(6).tolist(), Spectrum(X, X).needed(0.3)
    ([1.25, 0.25, 0.0], 1)
    """

    errors: NDArray[np.float64] | None

    def __init__(self, train: Array, X: Array) -> None:
        rows = train.reshape(len(train), -1)
        self.errors = None
        n_features = rows.shape[1]
        if n_features > MOST_FEATURES:
            return
        found = principal_components(rows, min(rows.shape))
        explained, total = np.zeros(n_features), 0.0
        tested = X.reshape(len(X), -1)
        for part in row_blocks(tested):
            centred = tested[part] - found.mean
            # Rows span no more directions than there are rows; more components explain nothing more.
            explained[: len(found.directions)] += np.square(centred @ found.directions.T).sum(axis=0)
            total += float(np.square(centred).sum())
        left = total - np.concatenate([[0.0], np.cumsum(explained)])
        self.errors = np.maximum(left, 0.0) / len(tested)

    def needed(self, error: float) -> int | None:
        """Return the least number of components that copy as well; None if that is not known."""
        if self.errors is None or not (self.errors <= error).any():
            return None
        return int(np.argmax(self.errors <= error))


def verdict(name: str, model_row: Mapping[str, Any], pca_row: Mapping[str, Any]) -> str:
    """Say in one sentence whether a model was worth it.

    Parameters
    ----------
    name : str
        What to call the model.
    model_row, pca_row : mapping
        The numbers of the model and of PCA, from :func:`isthmus.comparison.evaluate`; those of the model
        with ``interval`` and ``pca_components``, as :func:`judged` adds them, if they are to be told.

    Returns
    -------
    str
        Less than half a percent apart counts as equal; and what the interval leaves open is left open.

    Examples
    --------
    >>> pca = {"sse": 13.19, "n_components": 32}
    >>> verdict("single", {"sse": 7.4}, pca)
    'single: 44% less squared error than PCA with 32 components (7.40 against 13.19).'
    >>> verdict("single", {"sse": 13.2}, pca)
    'single: as good as PCA with 32 components (squared error 13.20 against 13.19).'
    >>> verdict("single", {"sse": 15.1}, pca)
    'single: 14% more squared error than PCA with 32 components (15.10 against 13.19): use PCA.'
    >>> verdict("single", {"sse": 7.4, "interval": (0.555, 0.568), "pca_components": 62}, pca)
    'single: 44% less squared error than PCA with 32 components (43 to 44%; 7.40 against 13.19). PCA needs
    62 components for the same.'
    """
    error, reference = model_row["sse"], pca_row["sse"]
    width = pca_row["n_components"]
    pca = f"PCA with {width} component{'' if width == 1 else 's'}"
    numbers = f"{_readable(error)} against {_readable(reference)}"
    interval = model_row.get("interval")
    if abs(error - reference) <= EQUAL_WITHIN * reference:
        return f"{name}: as good as {pca} (squared error {numbers})."
    if interval is not None and interval[0] <= 1 <= interval[1]:
        return f"{name}: not to be told from {pca} on so few rows (squared error {numbers})."
    surely = numbers if interval is None else f"{_between(*interval)}; {numbers}"
    if error < reference:
        less = readable_percent(1 - error / reference)
        needed = model_row.get("pca_components")
        same = "" if needed is None or needed <= width else f" PCA needs {needed} components for the same."
        return f"{name}: {less} less squared error than {pca} ({surely}).{same}"
    if error < 2 * reference:
        more = readable_percent(error / reference - 1)
        return f"{name}: {more} more squared error than {pca} ({surely}): use PCA."
    # With as many components as features the error of PCA is zero but for rounding.
    times = f"{error / reference:.1f}" if error < 100 * reference else "more than 100"
    return f"{name}: {times} times the squared error of {pca} ({numbers}): use PCA."


def judged(
    rows: Sequence[Row], errors: Mapping[str, Array], n_models: int, spectrum: Spectrum | None = None
) -> list[Row]:
    """Return rows with what can be said of them beside PCA.

    Parameters
    ----------
    rows : sequence of dict
        Numbers of models, from :func:`isthmus.comparison.describe`, with a ``name``: the first
        ``n_models`` are judged, PCA of each of their widths is among the others.
    errors : mapping of str to ndarray of shape (m,)
        The squared error of each row of data, by name.
    n_models : int
        How many are judged.
    spectrum : Spectrum, optional
        To say how many components PCA needs for the same.

    Returns
    -------
    list of dict
        With ``relative`` (the squared error over PCA's; None where PCA's is zero), ``interval`` (95% of
        that), ``pca_components`` (how many PCA needs) and ``verdict``; all None for what is not judged.
    """
    by_name = {row["name"]: row for row in rows}
    told = []
    for number, row in enumerate(rows):
        added: Row = {"relative": None, "interval": None, "pca_components": None, "verdict": None}
        if number < n_models:
            pca = by_name[f"PCA-{row['n_components']}"]
            if pca["sse"] > 0:
                added["relative"] = row["sse"] / pca["sse"]
                added["interval"] = list(ratio_interval(errors[row["name"]], errors[pca["name"]]))
            added["pca_components"] = None if spectrum is None else spectrum.needed(row["sse"])
            added["verdict"] = verdict(row["name"], {**row, **added}, pca)
        told.append({**row, **added})
    return told


def readable_percent(share: float) -> str:
    """Return a share as a percentage of two or three digits: 0.7%, 44%, 99.8%."""
    percent = 100 * share
    return f"{percent:.0f}%" if 10 <= percent <= 99 or percent > 100 else f"{percent:.1f}%"


def _readable(number: float) -> str:
    return f"{number:.2f}" if 0.1 <= number < 10_000 else f"{number:.3g}"


def _between(low: float, high: float) -> str:
    """Return how far two shares are from 1, as percentages, the sign of them said once: 43 to 45%."""
    ends = [readable_percent(end) for end in sorted((abs(1 - low), abs(1 - high)))]
    return ends[0] if ends[0] == ends[1] else f"{ends[0].removesuffix('%')} to {ends[1]}"
