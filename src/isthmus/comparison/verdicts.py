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

__all__ = ["EQUAL_WITHIN", "OUTCOMES", "Spectrum", "judged", "readable_percent", "verdict"]

EQUAL_WITHIN = 0.005  # below half a percent, another seed could turn the order round
MOST_FEATURES = 4096  # beyond, a covariance of all features takes too long

#: How a model did beside its reference: what a page colours.
OUTCOMES = ("better", "equal", "unclear", "worse")

#: Variances of standardized columns, and errors, below this share of the total are rounding of single precision.
ROUNDING = 1e-12

#: Why PCA has fewer components than a model has code units, where the code is not sparse.
ALL_DIRECTIONS = "the rank of the data"

#: With fewer different test rows there is no interval, and nothing is said for sure.
LEAST_ROWS = 8


class Spectrum:
    """The squared error of PCA for every number of components.

    Parameters
    ----------
    train : ndarray of shape (n, ...)
        The rows that PCA is fitted on.
    X : ndarray of shape (m, ...)
        The rows that are reconstructed.

    Attributes
    ----------
    errors : ndarray of shape (features + 1,), or None
        Squared error per row with 0, 1, ... components; None for more than 4,096 features.
    rank : int
        Number of components after which nothing of the training rows is left.
    rounding : float
        Squared error per row below which two reconstructions differ by rounding alone.
    mean, directions : ndarray of shape (features,) and (components, features), or None
        The mean row and the principal directions, that of the largest variance first.

    References
    ----------
    K. Pearson, "On lines and planes of closest fit to systems of points in space", 1901.

    Examples
    --------
    >>> X = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0], [2.0, 1.0]])
    >>> Spectrum(X, X).errors.round(6).tolist(), Spectrum(X, X).needed(0.3), Spectrum(X, X).rank
    ([1.25, 0.25, 0.0], 1, 2)
    """

    errors: NDArray[np.float64] | None
    mean: NDArray[np.float64] | None
    directions: NDArray[np.float64] | None
    rank: int
    rounding: float

    def __init__(self, train: Array, X: Array) -> None:
        rows = train.reshape(len(train), -1)
        n_features = rows.shape[1]
        self.errors = self.mean = self.directions = None
        self.rank, self.rounding = max(1, min(len(rows) - 1, n_features)), 0.0
        if n_features > MOST_FEATURES:
            return
        found = principal_components(rows, min(rows.shape))
        self.mean, self.directions = found.mean, found.directions
        self.rank = min(self.rank, _rank(rows, found.variances))
        explained, total = np.zeros(n_features), 0.0
        tested = X.reshape(len(X), -1)
        for part in row_blocks(tested):
            centred = tested[part] - found.mean
            # Rows span no more directions than there are rows; more components explain nothing more.
            explained[: len(found.directions)] += np.square(centred @ found.directions.T).sum(axis=0)
            total += float(np.square(centred).sum())
        left = total - np.concatenate([[0.0], np.cumsum(explained)])
        self.errors = np.maximum(left, 0.0) / len(tested)
        self.rounding = ROUNDING * total / len(tested)

    def needed(self, error: float) -> int | None:
        """Return the smallest number of components with at most this error; None if that is not known."""
        if self.errors is None:
            return None
        matched = self.errors <= error + self.rounding
        return int(np.argmax(matched)) if matched.any() else None


def _rank(rows: Array, variances: NDArray[np.float64]) -> int:
    """Return the rank of rows around their mean, which the units of columns do not change."""
    rank = int((variances > ROUNDING * variances[0]).sum())
    if rank < len(variances):
        # Directions of little variance may be columns with a small unit, and no rounding.
        spreads = rows.std(axis=0, dtype=np.float64)
        varied = rows[:, spreads > 0] / spreads[spreads > 0]
        if varied.shape[1]:
            standard = principal_components(varied, min(varied.shape)).variances
            rank = int((standard > ROUNDING * standard[0]).sum())
    return max(1, rank)


def verdict(name: str, model_row: Mapping[str, Any], pca_row: Mapping[str, Any]) -> str:
    """Say in a sentence or two whether a model reconstructs better than PCA.

    Parameters
    ----------
    name : str
        What to call the model.
    model_row, pca_row : mapping
        The numbers of the model and of PCA, from :func:`isthmus.comparison.evaluate`. What else :func:`judged`
        and :func:`isthmus.comparison.compare` add to those of the model is told if it is there: ``interval``,
        ``pca_components``, ``width_reason``, ``space_words``, ``task`` and ``training``.

    Returns
    -------
    str
        A difference of less than half a percent counts as equal, and an interval that leaves the order open is
        said to do so.

    Examples
    --------
    >>> pca = {"sse": 13.19, "n_components": 32}
    >>> verdict("single", {"sse": 7.4}, pca)
    'single: 44% lower squared error than PCA with 32 components (7.40 vs. 13.19).'
    >>> verdict("single", {"sse": 13.2}, pca)
    'single: as good as PCA with 32 components (squared error 13.20 vs. 13.19).'
    >>> verdict("single", {"sse": 15.1}, pca)
    'single: 14% higher squared error than PCA with 32 components (15.10 vs. 13.19). Use PCA.'
    >>> verdict("single", {"sse": 7.4, "interval": (0.555, 0.568), "pca_components": 62}, pca)
    'single: 44% lower squared error than PCA with 32 components (7.40 vs. 13.19; 95% CI 43 to 44%). PCA needs
    62 components to match it.'
    """
    sentences: list[str | None] = [_comparison(name, model_row, pca_row)]
    outcome = outcome_of(model_row, pca_row)
    needed = model_row.get("pca_components")
    if outcome == "better" and needed is not None and needed > pca_row["n_components"]:
        sentences.append(f"PCA needs {needed} components to match it.")
    if outcome == "worse":
        sentences.append("Use PCA.")
    sentences += [(model_row.get("task") or {}).get("sentence"), model_row.get("training")]
    return " ".join(sentence for sentence in sentences if sentence)


def outcome_of(model_row: Mapping[str, Any], pca_row: Mapping[str, Any]) -> str:
    """Return how the squared error of a model compares with that of PCA: one of ``OUTCOMES``."""
    error, reference = model_row["sse"], pca_row["sse"]
    if abs(error - reference) <= max(EQUAL_WITHIN * reference, _rounding(model_row)):
        return "equal"
    if _is_exact(model_row, pca_row):
        # A code with more numbers than the rows have directions is for something else.
        return "unclear" if model_row.get("width_reason") == ALL_DIRECTIONS else "worse"
    interval = model_row.get("interval")
    if model_row.get("few_rows") or (interval is not None and interval[0] <= 1 <= interval[1]):
        return "unclear"
    return "better" if error < reference else "worse"


def _rounding(model_row: Mapping[str, Any]) -> float:
    """Return what errors may differ by without a meaning; nothing where that is not known."""
    return float(model_row.get("rounding") or 0.0)


def _is_exact(model_row: Mapping[str, Any], pca_row: Mapping[str, Any]) -> bool:
    """Return whether PCA has no error left, as far as it is known what rounding does."""
    return model_row.get("rounding") is not None and bool(pca_row["sse"] <= _rounding(model_row))


def _comparison(name: str, model_row: Mapping[str, Any], pca_row: Mapping[str, Any]) -> str:
    error, reference, interval = model_row["sse"], pca_row["sse"], model_row.get("interval")
    numbers = f"{_readable(error)} vs. {_readable(reference)}"
    surely = numbers if interval is None else f"{numbers}; 95% CI {_between(*interval)}"
    pca, outcome = _reference(model_row, pca_row), outcome_of(model_row, pca_row)
    if outcome == "equal":
        return f"{name}: as good as {pca} (squared error {numbers})."
    if outcome == "unclear" and model_row.get("few_rows"):
        return f"{name}: too few different test rows for a comparison with {pca} (squared error {numbers})."
    if _is_exact(model_row, pca_row):
        compared = "not compared, as" if outcome == "unclear" else f"squared error {_readable(error)}, where"
        return f"{name}: {compared} {pca} has no error but for rounding."
    if outcome == "unclear":
        return f"{name}: no significant difference from {pca} on so few rows (squared error {numbers})."
    if outcome == "better":
        lower = readable_percent(1 - error / reference)
        return f"{name}: {lower} lower squared error than {pca} ({surely})."
    if error < 2 * reference:
        higher = readable_percent(error / reference - 1)
        return f"{name}: {higher} higher squared error than {pca} ({surely})."
    # With as many components as features the error of PCA is zero but for rounding.
    times = f"{error / reference:.1f}" if error < 100 * reference else "more than 100"
    return f"{name}: {times} times the squared error of {pca} ({numbers})."


def _reference(model_row: Mapping[str, Any], pca_row: Mapping[str, Any]) -> str:
    """Return what a model is compared with, why with so many components, and in which space."""
    width, reason = pca_row["n_components"], model_row.get("width_reason")
    words = [f"PCA with {width} component{'' if width == 1 else 's'}"]
    words += [f"({reason})"] if reason else []
    words += [model_row["space_words"]] if model_row.get("space_words") else []
    return " ".join(words)


def judged(
    rows: Sequence[Row], errors: Mapping[str, Array], n_models: int, spectrum: Spectrum | None = None
) -> list[Row]:
    """Return rows with how each model compares with PCA.

    Parameters
    ----------
    rows : sequence of dict
        Numbers of models, from :func:`isthmus.comparison.describe`, with a ``name``. The first ``n_models``
        are judged; each has ``compared_width``, and PCA with so many components is among the other rows.
    errors : mapping of str to ndarray of shape (m,)
        The squared error of each row of data, by name.
    n_models : int
        How many are judged.
    spectrum : Spectrum, optional
        To say how many components PCA needs to match a model.

    Returns
    -------
    list of dict
        With ``relative`` (the squared error over PCA's; None where PCA's is zero but for rounding), ``interval``
        (95% of that; None with fewer than 8 different test rows, as ``few_rows`` says), ``rounding`` (errors that
        are no further apart are equal), ``pca_components`` (how many PCA needs), ``outcome`` ("better", "equal",
        "unclear" or "worse") and ``verdict``; all None for what is not judged. Where the ``task`` of a row has a
        verdict of its own, the last two are those of the task.
    """
    by_name = {row["name"]: row for row in rows}
    told = []
    for number, row in enumerate(rows):
        told_of_all = ("relative", "interval", "few_rows", "rounding", "pca_components", "outcome", "verdict")
        added: Row = dict.fromkeys(told_of_all)
        if number < n_models:
            pca = by_name[f"PCA-{row['compared_width']}"]
            pairs = np.column_stack([errors[row["name"]], errors[pca["name"]]])
            added["few_rows"] = len(np.unique(pairs, axis=0)) < LEAST_ROWS
            if pca["sse"] > (0.0 if spectrum is None else spectrum.rounding):
                added["relative"] = row["sse"] / pca["sse"]
                added["interval"] = None if added["few_rows"] else list(ratio_interval(*pairs.T))
            if spectrum is not None:
                added["rounding"], added["pca_components"] = spectrum.rounding, spectrum.needed(row["sse"])
            added["outcome"] = outcome_of({**row, **added}, pca)
            added["verdict"] = verdict(row["name"], {**row, **added}, pca)
            task = row.get("task") or {}
            if "verdict" in task:  # it is for something else, and its reconstructions decide nothing
                added["outcome"] = task["outcome"]
                added["verdict"] = " ".join(filter(None, (task["verdict"], row.get("training"))))
        told.append({**row, **added})
    return told


def readable_percent(share: float) -> str:
    """Return a share as a percentage of two or three digits: 0.7%, 44%, 99.8%."""
    percent = 100 * share
    return f"{percent:.0f}%" if 10 <= percent <= 99 or percent > 100 else f"{percent:.1f}%"


def _readable(number: float) -> str:
    return f"{number:.2f}" if 0.1 <= number < 10_000 else f"{number:.3g}"


def _between(low: float, high: float) -> str:
    """Return how far two ratios are from 1, as percentages: 43 to 45%."""
    ends = [readable_percent(end) for end in sorted((abs(1 - low), abs(1 - high)))]
    return ends[0] if ends[0] == ends[1] else f"{ends[0].removesuffix('%')} to {ends[1]}"
