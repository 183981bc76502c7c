"""Which units of a code say the same: their correlations as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isthmus._checks import wrong_parameter
from isthmus.plots.figure import FONT_SIZE, LIGHT, Theme, blank, quiet

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

__all__ = ["code_correlations"]

SIDE = 3.6  # inches


def code_correlations(correlations: ArrayLike, *, theme: Theme = LIGHT) -> Figure:
    """Draw the correlations of code units as a square of colours.

    Parameters
    ----------
    correlations : array-like of shape (k, k)
        Between -1 and 1. NaN, as for units that never change, is left empty.
    theme : Theme
        The colours; its ``diverging`` ones.

    Returns
    -------
    matplotlib.figure.Figure
        The diagonal, which is 1 for any code, is left empty too.

    Raises
    ------
    InvalidParameterError
        If the table is not square, or a value lies outside [-1, 1].

    Examples
    --------
    >>> figure = code_correlations([[1, -0.5], [-0.5, 1]])
    >>> figure.axes[0].get_images()[0].get_array().tolist()
    [[None, -0.5], [-0.5, None]]
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    table = np.array(correlations, dtype=np.float64)
    square = table.ndim == 2 and table.shape[0] == table.shape[1] > 0
    if not square or (abs(table[np.isfinite(table)]) > 1 + 1e-6).any():
        wanted = "a square table of numbers between -1 and 1"
        raise wrong_parameter("code_correlations", "correlations", wanted, table.shape)
    np.fill_diagonal(table, np.nan)
    across, down, left, below = SIDE + 1.5, SIDE + 0.6, 0.6, 0.52
    figure = blank(down, theme, across)
    axes = figure.add_axes((left / across, below / down, SIDE / across, SIDE / down))
    quiet(axes, theme)
    axes.grid(visible=False)
    colours = LinearSegmentedColormap.from_list("isthmus", list(theme.diverging))
    shown = axes.imshow(np.ma.masked_invalid(table), cmap=colours, vmin=-1, vmax=1, interpolation="nearest")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(9, integer=True, min_n_ticks=1))
    axes.set_xlim(-0.5, len(table) - 0.5)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_xlabel("code unit", color=theme.text, fontsize=FONT_SIZE)
    axes.set_ylabel("code unit", color=theme.text, fontsize=FONT_SIZE)
    key = figure.add_axes(((left + SIDE + 0.2) / across, below / down, 0.13 / across, SIDE / down))
    bar = figure.colorbar(shown, cax=key, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.ax.set_yticklabels(["−1", "−0.5", "0", "0.5", "1"])
    bar.outline.set_visible(False)
    key.tick_params(which="both", length=0, pad=4, labelsize=FONT_SIZE - 1, labelcolor=theme.muted)
    return figure
