"""How the errors of a model are spread over the rows, beside those of a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import wrong_parameter
from isthmus.errors import DataError
from isthmus.plots.figure import FONT_SIZE, LIGHT, Theme, blank, quiet, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    Vector: TypeAlias = NDArray[np.float64]

__all__ = ["error_histogram"]

BINS = 60
WIDE = 10.0  # 98% of the errors within this factor fit on a linear axis


def error_histogram(errors: Mapping[str, ArrayLike], *, theme: Theme = LIGHT) -> Figure:
    """Draw how many rows have which error.

    Parameters
    ----------
    errors : mapping of name to array-like of shape (n,)
        The squared error of each row. The first is drawn as an area, the others, such as PCA's, as
        lines over it.
    theme : Theme
        The colours.

    Returns
    -------
    matplotlib.figure.Figure
        The error axis is logarithmic if all errors are positive and spread over more than a decade.
        A short line marks each median.

    Raises
    ------
    InvalidParameterError
        If there is nothing to draw.
    DataError
        If an error is negative or not a finite number.

    Examples
    --------
    >>> figure = error_histogram({"single": [1.0, 2.0, 3.0], "PCA-2": [3.0, 4.0, 6.0]})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['single, median 2', 'PCA-2, median 4']
    """
    known = {name: _checked(name, values) for name, values in errors.items()}
    if not known or any(values.size == 0 for values in known.values()):
        raise wrong_parameter("error_histogram", "errors", "at least one name with one error", dict(errors))
    every = np.concatenate(list(known.values()))
    edges, logarithmic = _edges(every)
    figure = blank(2.8, theme)
    axes = figure.add_axes((0.09, 0.175, 0.90, 0.69))
    quiet(axes, theme)
    for index, values in enumerate(known.values()):
        _draw_one(axes, values, edges, index, theme)
    if logarithmic:
        _scale(axes)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("squared error of a row", color=theme.text, fontsize=FONT_SIZE)
    axes.set_title("rows", loc="left", color=theme.text, fontsize=FONT_SIZE)
    legend = axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2,
        labelcolor=theme.text, fontsize=FONT_SIZE - 1, handlelength=1.6,
    )  # fmt: skip
    for text, (name, values) in zip(legend.get_texts(), known.items(), strict=True):
        # Written afterwards: a legend treats names in its own way that begin with an underscore.
        text.set_parse_math(False)
        text.set_text(f"{shortened(name)}, median {np.median(values):.3g}")
    return figure


def _checked(name: str, values: ArrayLike) -> Vector:
    errors = np.asarray(values, dtype=np.float64).reshape(-1)
    if not np.isfinite(errors).all() or (errors < 0).any():
        raise DataError(f"The errors of {name!r} must be finite numbers of at least 0.")
    return errors


def _edges(errors: Vector) -> tuple[Vector, bool]:
    """Return the borders of the bins, and whether each is wider than the one before by a factor."""
    lowest, highest = float(errors.min()), float(errors.max())
    if highest == lowest:
        room = abs(highest) / 2 or 0.5
        return np.linspace(max(0.0, lowest - room), highest + room, BINS + 1), False
    early, late = np.quantile(errors, [0.01, 0.99])
    if lowest > 0 and late > WIDE * early:
        return np.geomspace(lowest, highest, BINS + 1), True
    return np.linspace(lowest, highest, BINS + 1), False


def _draw_one(axes: Axes, errors: Vector, edges: Vector, index: int, theme: Theme) -> None:
    colour = theme.series[index % len(theme.series)]
    counts, _ = np.histogram(errors, edges)
    style: dict[str, Any] = {"label": str(index), "color": colour}
    if index == 0:
        axes.stairs(counts, edges, fill=True, alpha=0.55, linewidth=0, **style)
    else:
        axes.stairs(counts, edges, linewidth=1.6, **style)
    axes.axvline(float(np.median(errors)), ymax=0.06, color=colour, linewidth=2.2)


def _scale(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
