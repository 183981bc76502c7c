"""Series and their copies as curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus.errors import DataError
from isthmus.plots.figure import FONT_SIZE, LIGHT, Theme, blank, quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["MOST_CHANNELS", "series_copies"]

MOST_CHANNELS = 3  # more curves than these in one panel cross each other too often
PANEL = 1.15  # inches


def series_copies(
    originals: ArrayLike, copies: ArrayLike, words: Sequence[str], *, theme: Theme = LIGHT
) -> Figure:
    """Draw series and, over them, their copies: one below the other.

    Parameters
    ----------
    originals, copies : array-like of shape (n, time) or (n, time, channels)
        The pairs. Of more than three channels the three in which the originals vary most are drawn.
    words : sequence of n str
        What to write above each pair.
    theme : Theme
        The colours: a pair of lines for each channel, the original pale and wide, its copy thin.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    DataError
        If there are no series, or not equally many originals, copies and words.

    Examples
    --------
    >>> figure = series_copies([[0, 1, 0], [1, 0, 1]], [[0, 0.5, 0], [1, 0, 1]], ["worst", "best"])
    >>> [len(axes.lines) for axes in figure.axes]
    [2, 2]
    """
    before, after = (_with_channels(values) for values in (originals, copies))
    if before.shape != after.shape or before.size == 0 or len(words) != len(before):
        raise DataError(
            f"series_copies is expecting equally many originals, copies and words, at least one. Got "
            f"{before.shape}, {after.shape} and {len(words)}."
        )
    shown = _liveliest(before)
    head, foot = 0.3, 0.52
    height = head + foot + PANEL * len(before) + 0.3 * (len(before) - 1)
    figure = blank(height, theme)
    first: Axes | None = None
    for number, text in enumerate(words):
        top = head + number * (PANEL + 0.3)
        box = (0.09, 1 - (top + PANEL) / height, 0.9, PANEL / height)
        axes = figure.add_axes(box, sharex=first, sharey=first)
        first = first or axes
        quiet(axes, theme)
        axes.set_title(text, loc="left", color=theme.text, fontsize=FONT_SIZE - 1, parse_math=False)
        for place, channel in enumerate(shown):
            colour = theme.series[place]
            axes.plot(before[number, :, channel], color=colour, alpha=0.4, linewidth=3.2)
            axes.plot(after[number, :, channel], color=colour, linewidth=1.2)
        axes.tick_params(labelbottom=number == len(words) - 1)
    figure.axes[-1].set_xlabel("step", color=theme.text, fontsize=FONT_SIZE)
    _explain(figure.axes[0], theme)
    return figure


def _with_channels(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    return array[..., np.newaxis] if array.ndim == 2 else array


def _liveliest(series: Array) -> list[int]:
    spread = np.nan_to_num(np.nanvar(series, axis=(0, 1)))
    return sorted(np.argsort(-spread, kind="stable")[:MOST_CHANNELS].tolist())


def _explain(axes: Axes, theme: Theme) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=theme.muted, linewidth=3.2, alpha=0.4, label="original"),
        Line2D([], [], color=theme.muted, linewidth=1.2, label="copy"),
    ]
    axes.legend(
        handles=lines, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2,
        labelcolor=theme.text, fontsize=FONT_SIZE - 1, handlelength=1.8,
    )  # fmt: skip
