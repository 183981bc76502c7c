"""How much error is left at which number of bytes: curves of rate and distortion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus._checks import check_choice, check_number, wrong_parameter
from isthmus.plots.figure import FONT_SIZE, LIGHT, Theme, blank, quiet, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["rate_distortion"]

OWNER = "rate_distortion"
KINDS = {"model": ("-", "o"), "codec": ("--", "s")}


def rate_distortion(points: Sequence[Mapping[str, Any]], *, theme: Theme = LIGHT) -> Figure:
    """Draw the squared error over the bits that a value costs, for models and for codecs.

    Parameters
    ----------
    points : sequence of mapping
        In each ``name``, ``bits_per_value`` and ``sse``, and ``kind``, which is "model" (a solid
        line with dots; also where it is left out) or "codec" (dashed, with squares). Points of the
        same name are one curve, in the order of their rates.
    theme : Theme
        The colours.

    Returns
    -------
    matplotlib.figure.Figure
        Both axes are logarithmic. An error of 0, of a lossless codec, is drawn at the lower edge as
        an open mark.

    Raises
    ------
    InvalidParameterError
        If there is no point, or a rate is not positive, or an error negative.

    Examples
    --------
    >>> point = {"name": "single", "bits_per_value": 0.3, "sse": 4.2}
    >>> figure = rate_distortion([point, {**point, "bits_per_value": 0.1, "sse": 9.0}])
    >>> figure.axes[0].lines[0].get_xydata().tolist()
    [[0.1, 9.0], [0.3, 4.2]]
    """
    curves = _curves(points)
    positive = [error for curve in curves.values() for _, error in curve["points"] if error > 0]
    floor = min(positive, default=1.0) / 2
    figure = blank(3.6, theme)
    axes = figure.add_axes((0.09, 0.14, 0.72, 0.775))
    quiet(axes, theme)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for index, curve in enumerate(curves.values()):
        _draw_one(axes, curve, floor, index, theme)
    _plain_numbers(axes)
    axes.set_xlabel("bits per value", color=theme.text, fontsize=FONT_SIZE)
    axes.set_title("squared error per row", loc="left", color=theme.text, fontsize=FONT_SIZE)
    legend = axes.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, borderaxespad=0, handlelength=2.4,
        labelcolor=theme.text, fontsize=FONT_SIZE - 1,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), curves, strict=True):
        # Written afterwards: a legend treats names in its own way that begin with an underscore.
        text.set_text(shortened(name))
        text.set_parse_math(False)
        text.set_fontsize((FONT_SIZE - 1) * min(1.0, 11 / max(1, len(text.get_text()))))
    return figure


def _curves(points: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    curves: dict[str, dict[str, Any]] = {}
    for point in points:
        bits = check_number(
            point["bits_per_value"], parameter="bits_per_value", minimum=0, open_minimum=True, owner=OWNER
        )
        error = check_number(point["sse"], parameter="sse", minimum=0, owner=OWNER)
        kind = check_choice(point.get("kind", "model"), KINDS, parameter="kind", owner=OWNER)
        curve = curves.setdefault(str(point["name"]), {"kind": kind, "points": []})
        curve["points"].append((bits, error))
    if not curves:
        raise wrong_parameter(OWNER, "points", "at least one point", list(points))
    return curves


def _draw_one(axes: Axes, curve: Mapping[str, Any], floor: float, index: int, theme: Theme) -> None:
    colour = theme.series[index % len(theme.series)]
    style, marker = KINDS[curve["kind"]]
    rates, errors = np.array(sorted(curve["points"])).T
    exact = errors == 0
    (line,) = axes.plot(
        rates, np.maximum(errors, floor), style, color=colour, linewidth=1.6, marker=marker, markersize=4.5,
        label=f"{index}",
    )  # fmt: skip
    if exact.all():
        line.set_markerfacecolor(theme.background)
    elif exact.any():
        marks = rates[exact], np.full(int(exact.sum()), floor)
        axes.plot(*marks, marker, color=colour, markersize=4.5, markerfacecolor=theme.background)


def _plain_numbers(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 500 * low else (1,)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
