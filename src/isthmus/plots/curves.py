"""Curves and bars: losses over epochs, activity of code units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus.plots.figure import FONT_SIZE, LIGHT, Theme, blank, quiet, write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    History: TypeAlias = Sequence[Mapping[str, Any]]

__all__ = ["code_activity", "loss_curves"]

LABEL_HEIGHT = 0.085  # of the axes: the least distance at which two names can be read


def loss_curves(histories: Mapping[str, History], *, theme: Theme = LIGHT) -> Figure:
    """Draw the loss of each model over the epochs: training solid, validation dashed.

    Parameters
    ----------
    histories : mapping of name to list of dict
        For each epoch a dict with ``epoch``, ``loss`` and, where there was validation,
        ``validation_loss``, in the unit of the loss (nats or squared error per row).
    theme : Theme
        The colours.

    Returns
    -------
    matplotlib.figure.Figure
        The loss axis is logarithmic if the losses span more than a factor of two.

    Examples
    --------
    >>> history = [{"epoch": 1, "loss": 9.0}, {"epoch": 2, "loss": 5.0, "validation_loss": 5.5}]
    >>> axes = loss_curves({"single": history}).axes[0]
    >>> [line.get_ydata().tolist() for line in axes.lines]
    [[9.0, 5.0], [5.5]]
    """
    figure = blank(3.4, theme)
    axes = figure.add_axes((0.07, 0.145, 0.76, 0.755))
    quiet(axes, theme)
    ends: list[tuple[str, str, float]] = []
    for index, (name, history) in enumerate(histories.items()):
        colour = theme.series[index % len(theme.series)]
        for key, style in (("loss", "-"), ("validation_loss", "--")):
            points = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
            if points:
                epochs, losses = zip(*points, strict=True)
                marker = "o" if len(points) == 1 else ""
                axes.plot(epochs, losses, style, color=colour, linewidth=1.6, marker=marker, markersize=4)
        if history:
            ends.append((name, colour, float(history[-1]["loss"])))
    _scale_losses(axes)
    _whole_numbers(axes)
    axes.set_xlabel("epoch", color=theme.text, fontsize=FONT_SIZE)
    axes.set_title("loss", loc="left", color=theme.text, fontsize=FONT_SIZE)
    _label_ends(axes, ends)
    if any(row.get("validation_loss") is not None for rows in histories.values() for row in rows):
        _explain_styles(axes, theme)
    return figure


def code_activity(
    means: ArrayLike,
    active_share: ArrayLike,
    deviations: ArrayLike | None = None,
    *,
    theme: Theme = LIGHT,
) -> Figure:
    """Draw how strong each code unit is and in how many rows it is on.

    Parameters
    ----------
    means : array-like of shape (k,)
        The mean code of each unit.
    active_share : array-like of shape (k,)
        The share of rows in which it is not zero.
    deviations : array-like of shape (k,), optional
        Its standard deviation, drawn as a thin line above the mean.
    theme : Theme
        The colours.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = code_activity([3.0, 0.5], [1.0, 0.2])
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['mean code', 'rows active']
    """
    heights, shares = np.asarray(means, dtype=float), np.asarray(active_share, dtype=float)
    units = np.arange(len(heights))
    figure = blank(2.9, theme)
    upper = figure.add_axes((0.115, 0.56, 0.88, 0.42))
    lower = figure.add_axes((0.115, 0.165, 0.88, 0.28), sharex=upper)
    for axes, values, label in ((upper, heights, "mean code"), (lower, 100 * shares, "rows active")):
        quiet(axes, theme)
        axes.bar(units, values, width=0.72, color=theme.series[0], linewidth=0)
        axes.set_ylabel(label, color=theme.text, fontsize=FONT_SIZE)
    if deviations is not None:
        spread = np.asarray(deviations, dtype=float)
        # Only above: codes are often not negative, and a line below zero would suggest they are.
        upper.vlines(units, heights, heights + spread, color=theme.muted, linewidth=0.9)
    upper.axhline(0, color=theme.muted, linewidth=0.6)
    upper.tick_params(labelbottom=False)
    _whole_numbers(lower)
    lower.set_ylim(0, 100)
    lower.set_yticks([0, 50, 100], ["0%", "50%", "100%"])
    lower.set_xlim(-0.6, len(units) - 0.4)
    lower.set_xlabel("code unit", color=theme.text, fontsize=FONT_SIZE)
    figure.align_ylabels([upper, lower])
    return figure


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _scale_losses(axes: Axes) -> None:
    """Use a logarithmic axis, with plain numbers, where losses would crowd at the bottom."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    losses = np.concatenate(
        [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines] or [np.ones(1)]
    )
    losses = losses[np.isfinite(losses)]
    if losses.size == 0 or losses.min() <= 0 or losses.max() < 2 * losses.min():
        return
    steps = (1, 2, 5) if losses.max() > 10 * losses.min() else (1, 1.2, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _label_ends(axes: Axes, ends: Sequence[tuple[str, str, float]]) -> None:
    """Write each name where its curve ends, pushed up where names would overlap."""
    to_axes = axes.transData + axes.transAxes.inverted()
    axes.autoscale_view()
    heights = [(float(to_axes.transform((1.0, value))[1]), name, colour) for name, colour, value in ends]
    free = -np.inf
    for height, name, colour in sorted(heights):
        free = max(height, free + LABEL_HEIGHT)
        write(axes, (1.015, free), name, color=colour, va="center", transform=axes.transAxes)


def _explain_styles(axes: Axes, theme: Theme) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=theme.muted, linewidth=1.6, label="training"),
        Line2D([], [], color=theme.muted, linewidth=1.6, linestyle="--", label="validation"),
    ]
    axes.legend(
        handles=lines, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2,
        labelcolor=theme.text, fontsize=FONT_SIZE - 1, handlelength=2.2,
    )  # fmt: skip
