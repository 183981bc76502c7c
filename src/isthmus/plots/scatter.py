"""Where rows lie in the code: each row a point, coloured by its label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import wrong_parameter
from isthmus.errors import DataError
from isthmus.plots.figure import FONT_SIZE, LEFT, LIGHT, RIGHT, WIDTH, Theme, figure_of, framed, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    Array: TypeAlias = NDArray[Any]
    Vector: TypeAlias = NDArray[np.float64]

__all__ = [
    "MOST_POINTS",
    "ON_DARK",
    "ON_LIGHT",
    "is_categorical",
    "known_labels",
    "latent_scatter",
]

MOST_POINTS = 5_000  # more than these hide each other
MOST_CLASSES = 20  # more than these are not told apart: ten colours, twice

# Ten colours for ten classes, for pages of either kind. Any two are at least ten hundredths apart in
# OKLab (B. Ottosson, "A perceptual color space for image processing", 2020), also as the three kinds
# of dichromats see them (G. Machado, M. Oliveira and L. Fernandes, "A Physiologically-based Model for
# Simulation of Color Vision Deficiency", 2009); the first of them are the furthest apart. They were
# found by annealing, and tests/test_plots_latent.py measures them again.
ON_LIGHT = (
    "#6397ff", "#551631", "#df6511", "#924009", "#7651c4",
    "#29077f", "#ceb94b", "#848d86", "#0a5778", "#27d1c4",
)  # fmt: skip
ON_DARK = (
    "#496ed0", "#e8f978", "#e8714e", "#cab7ff", "#9ffbfd",
    "#f3b122", "#a5428a", "#73a1aa", "#36da9d", "#736513",
)  # fmt: skip


def latent_scatter(
    codes: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    names: Sequence[str] = ("code 1", "code 2"),
    theme: Theme = LIGHT,
) -> Figure:
    """Draw each row as a point at the first two numbers of its code.

    Parameters
    ----------
    codes : array-like of shape (n, k)
        At least two numbers for each row. Of more than 5,000 rows that many are drawn, evenly
        taken, the first and the last among them.
    labels : array-like of shape (n,), optional
        What to colour the points by. Up to 20 different whole numbers or words have a colour each,
        and a key; the second ten have triangles in the colours of the first. Floats, and more
        labels than that, run through a continuous range of colours, words in alphabetical order.
    names : sequence of two str
        What the axes are called.
    theme : Theme
        The colours. Those of classes are of the library's own, for light and for dark pages.

    Returns
    -------
    matplotlib.figure.Figure
        One unit is equally long on both axes. Points are drawn in a mixed order that is always the
        same, so that in sorted rows the last class does not cover the others.

    Raises
    ------
    InvalidParameterError
        If a code has less than two numbers.
    DataError
        If a value is not a finite number, or there is not one label for each row.

    Examples
    --------
    >>> figure = latent_scatter([[0, 1], [2, 3], [4, 5]], ["cat", "dog", "cat"])
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['cat', 'dog']
    """
    points = np.asarray(codes)
    if points.ndim != 2 or points.shape[1] < 2 or len(points) == 0:
        raise wrong_parameter("latent_scatter", "codes", "of shape (rows, two numbers or more)", points.shape)
    points = _finite(points[:, :2], "codes")
    known = None if labels is None else known_labels(labels, len(points))
    drawn = _mixed(_evenly(len(points)))
    frame = _equal_frame(points[drawn], _key_entries(known), names, theme)
    size = float(np.clip(25_000 / len(drawn), 6, 30))
    if known is None:
        _scatter(frame, points[drawn], size, color=theme.series[0])
    elif is_categorical(known):
        _by_class(frame, points[drawn], known, drawn, size, theme)
    else:
        _by_value(frame, points[drawn], known, drawn, size, theme)
    return figure_of(frame)


def _equal_frame(points: Vector, key_entries: int, names: Sequence[str], theme: Theme) -> Axes:
    """Return axes on which a unit is equally long across and up, for points and a key beside them."""
    lowest, highest = points.min(axis=0), points.max(axis=0)
    spans = 1.06 * (highest - lowest)
    spans[spans == 0] = spans.max() or 1.0
    right = RIGHT if key_entries else 0.1
    across = WIDTH - LEFT - RIGHT
    down = float(np.clip(across * spans[1] / spans[0], max(2.4, 0.215 * key_entries), across))
    frame = framed(across, down, right, theme, names)
    frame.grid(axis="both", color=theme.faint, linewidth=0.8, linestyle="-", alpha=1)
    scale = max(spans[0] / across, spans[1] / down)
    middle = (lowest + highest) / 2
    frame.set_xlim(middle[0] - across * scale / 2, middle[0] + across * scale / 2)
    frame.set_ylim(middle[1] - down * scale / 2, middle[1] + down * scale / 2)
    frame.set_aspect("equal")
    return frame


def _finite(values: Array, name: str) -> Vector:
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {values.dtype} values, but latent_scatter is expecting real numbers.")
    numbers = values.astype(np.float64)
    finite = np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise DataError(
            f"{name} contains NaN or infinity in row {row}, but latent_scatter is expecting finite numbers."
        )
    return numbers


def known_labels(labels: ArrayLike, rows: int) -> Array:
    """Return labels as an array of booleans, numbers or text."""
    known = np.asarray(labels)
    if known.shape != (rows,):
        raise DataError(
            f"labels has shape {known.shape}, but latent_scatter is expecting one for each of {rows} rows."
        )
    if known.dtype.kind == "O":  # a column of a table: numbers or words in a box each
        known = np.asarray(known.tolist())
    if known.dtype.kind not in "biuf":
        return known.astype(str)
    if known.dtype.kind == "f":
        _finite(known, "labels")
    return known


def is_categorical(labels: Array) -> bool:
    """Say whether labels get a colour each: few whole numbers or words."""
    return labels.dtype.kind != "f" and len(np.unique(labels)) <= MOST_CLASSES


def _key_entries(labels: Array | None) -> int:
    """Return how many lines the key needs; a colour bar needs no more than a small picture has."""
    if labels is None:
        return 0
    return len(np.unique(labels)) if is_categorical(labels) else 1


def _evenly(rows: int) -> Array:
    return np.linspace(0, rows - 1, min(rows, MOST_POINTS)).round().astype(np.intp)


def _mixed(rows: Array) -> Array:
    return np.random.default_rng(0).permutation(rows)


def _scatter(frame: Axes, points: Vector, size: float, **style: Any) -> PathCollection:
    return frame.scatter(points[:, 0], points[:, 1], s=size, linewidths=0, alpha=0.85, **style)


def _by_class(frame: Axes, points: Vector, labels: Array, drawn: Array, size: float, theme: Theme) -> None:
    """Draw a colour for each label, and the key; labels of which no row is drawn are in the key too."""
    from matplotlib.lines import Line2D

    names, members = np.unique(labels, return_inverse=True)
    members = members[drawn]
    palette = _palette(theme)
    handles = []
    for marker, start in (("o", 0), ("^", len(palette))):
        own = (members >= start) & (members < start + len(palette))
        if own.any():
            colours = [palette[member - start] for member in members[own]]
            _scatter(frame, points[own], size, color=colours, marker=marker)
        handles += [
            Line2D([], [], color=colour, marker=marker, markersize=6, linewidth=0, markeredgewidth=0)
            for colour, _ in zip(palette, names[start:], strict=False)
        ]
    legend = frame.legend(
        handles, [str(number) for number in range(len(names))], loc="upper left", bbox_to_anchor=(1.01, 1.0),
        frameon=False, borderaxespad=0, handlelength=1, handletextpad=0.5, labelspacing=0.45,
        labelcolor=theme.text, fontsize=FONT_SIZE - 1,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        # Written afterwards: a legend treats names in its own way that begin with an underscore.
        text.set_text(shortened(str(name)))
        text.set_parse_math(False)
        text.set_fontsize((FONT_SIZE - 1) * min(1.0, 11 / max(1, len(text.get_text()))))


def _by_value(frame: Axes, points: Vector, labels: Array, drawn: Array, size: float, theme: Theme) -> None:
    """Draw colours along a range, and the bar that explains them."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap
    from matplotlib.ticker import MaxNLocator

    names, order = np.unique(labels, return_inverse=True)
    worded = labels.dtype.kind in "US"
    values = order if worded else labels.astype(np.float64)
    # The end of the range that would be lost on the page is left away.
    ends = (0.12, 1.0) if _is_dark(theme) else (0.0, 0.9)
    colours = ListedColormap(colormaps["viridis"](np.linspace(*ends, 256)))
    limits = {"vmin": values.min(), "vmax": values.max()}
    shown = _scatter(frame, points, size, c=values[drawn], cmap=colours, **limits)
    box = frame.get_position()
    figure = figure_of(frame)
    key = figure.add_axes((box.x1 + 0.15 / figure.get_figwidth(), box.y0, 0.022, box.height))
    bar = figure.colorbar(shown, cax=key)
    if bar.solids is not None:  # the points let others through, their colours here do not
        bar.solids.set_alpha(1)
    bar.outline.set_visible(False)
    if worded:
        places = np.linspace(0, len(names) - 1, 5).round().astype(int)
        bar.set_ticks(places.tolist(), labels=[shortened(str(name)) for name in names[places]])
        for text in key.get_yticklabels():
            text.set_parse_math(False)
    elif labels.dtype.kind != "f":
        bar.locator = MaxNLocator(6, integer=True)
        bar.update_ticks()
    key.tick_params(which="both", length=0, pad=4, labelsize=FONT_SIZE - 1, labelcolor=theme.muted)


def _palette(theme: Theme) -> tuple[str, ...]:
    return ON_DARK if _is_dark(theme) else ON_LIGHT


def _is_dark(theme: Theme) -> bool:
    from matplotlib.colors import to_rgb

    return sum(to_rgb(theme.background)) < 1.5
