"""Pictures of the code: where rows lie in it, and what the decoder makes of its points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import wrong_parameter
from isthmus.errors import DataError
from isthmus.plots.figure import DPI, FONT_SIZE, LIGHT, LONGEST_NAME, WIDTH, Theme, blank, quiet
from isthmus.plots.images import TILE, _draw, _images, _rgb, _strips, grey_levels, shades

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
    "denoising",
    "grey_levels",
    "interpolations",
    "latent_scatter",
    "manifold",
    "samples",
]

MOST_POINTS = 5_000  # more than these hide each other
MOST_CLASSES = 20  # more than these are not told apart: ten colours, twice
LEFT, BELOW = 0.7, 0.52  # inches for the numbers and names of the axes
RIGHT = 1.25  # inches for the key
MOST_TICKS = 8

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


def manifold(
    pictures: ArrayLike,
    image_shape: Sequence[int],
    *,
    axes: tuple[ArrayLike, ArrayLike] | None = None,
    levels: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Draw what a decoder makes of a grid of codes of two numbers.

    Parameters
    ----------
    pictures : array-like of shape (rows, columns, ...)
        The decoded images, edge to edge. Code 1 grows with the column, to the right; code 2 with
        the row, upwards: row 0 is at the bottom, so that the picture can be laid over that of
        :func:`latent_scatter`.
    image_shape : tuple of int
        As for :func:`reconstructions`.
    axes : (array-like of shape (columns,), array-like of shape (rows,)), optional
        The values of code 1 and of code 2, to be written along the edges.
    levels : (float, float), optional
        The values drawn black and white, between which others are clipped. Left out: as
        :func:`isthmus.plots.latent.grey_levels` finds them in the pictures.
    theme : Theme
        The colours.

    Returns
    -------
    matplotlib.figure.Figure
        In its one axes, column ``c`` and row ``r`` have their middle at ``(c, r)``.

    Raises
    ------
    InvalidParameterError
        If rows do not have as many values as an image, or there is not one value on an axis for
        each column and row.

    Examples
    --------
    >>> import numpy as np
    >>> grid = np.linspace(0, 1, 2 * 3 * 4).reshape(2, 3, 4)
    >>> figure = manifold(grid, (2, 2), axes=([-1, 0, 1], [0, 5]))
    >>> [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    ['−1.0', '0.0', '1.0']
    """
    array = _table(pictures, "manifold", "rows, columns")
    rows, columns = array.shape[:2]
    tiles = _tiles(array.reshape(rows * columns, *array.shape[2:]), image_shape, levels, "manifold")
    height, width = tiles.shape[1:3]
    upward = tiles.reshape(rows, columns, height, width, 3)[::-1]
    mosaic = upward.swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    frame = _square_frame(mosaic, min(TILE * max(rows, columns), WIDTH - LEFT), theme)
    frame.imshow(
        mosaic, aspect="auto", interpolation="antialiased", extent=(-0.5, columns - 0.5, -0.5, rows - 0.5)
    )
    for axis, values in zip((frame.xaxis, frame.yaxis), _edges(axes, columns, rows), strict=True):
        places = np.arange(0, len(values), math.ceil(len(values) / MOST_TICKS) or 1)
        axis.set_ticks(places, _plainly(values[places]))
    return _figure_of(frame)


def latent_scatter(codes: ArrayLike, labels: ArrayLike | None = None, *, theme: Theme = LIGHT) -> Figure:
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
    known = None if labels is None else _labels(labels, len(points))
    drawn = _mixed(_evenly(len(points)))
    frame = _equal_frame(points[drawn], _key_entries(known), theme)
    size = float(np.clip(25_000 / len(drawn), 6, 30))
    if known is None:
        _scatter(frame, points[drawn], size, color=theme.series[0])
    elif _is_categorical(known):
        _by_class(frame, points[drawn], known, drawn, size, theme)
    else:
        _by_value(frame, points[drawn], known, drawn, size, theme)
    return _figure_of(frame)


def interpolations(
    pictures: ArrayLike,
    image_shape: Sequence[int],
    *,
    levels: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Draw ways from one image to another, one below the other.

    Parameters
    ----------
    pictures : array-like of shape (pairs, steps, ...)
        For each pair the images on the way, both ends included; about ten steps are good to look at.
    image_shape : tuple of int
        As for :func:`reconstructions`.
    levels : (float, float), optional
        As for :func:`manifold`.
    theme : Theme
        The colours.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InvalidParameterError
        If rows do not have as many values as an image, or a way has less than two steps.

    Examples
    --------
    >>> figure = interpolations([[[0, 0], [0, 1], [1, 1]]], (1, 2))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['from', 'to']
    """
    array = _table(pictures, "interpolations", "pairs, at least two steps", least=2)
    pairs, steps = array.shape[:2]
    tiles = _tiles(array.reshape(pairs * steps, *array.shape[2:]), image_shape, levels, "interpolations")
    grid = _draw(list(tiles.reshape(pairs, steps, *tiles.shape[1:])), left=0.0, below=0.26, theme=theme)
    for column, words in ((0, "from"), (steps - 1, "to")):
        grid.write_below(pairs - 1, column, words, theme.muted)
    return grid.figure


def samples(
    pictures: ArrayLike,
    image_shape: Sequence[int],
    *,
    levels: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Draw images that a model made up.

    Parameters
    ----------
    pictures : array-like of shape (n, ...)
        The images, to be read like words: ten in a line, or sixteen if they are more than sixty.
    image_shape : tuple of int
        As for :func:`reconstructions`.
    levels : (float, float), optional
        As for :func:`manifold`.
    theme : Theme
        The colours.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InvalidParameterError
        If there is no image, or rows do not have as many values as one.

    Examples
    --------
    >>> import numpy as np
    >>> samples(np.random.default_rng(0).random((40, 64)), (8, 8)).axes[0].texts[:]
    []
    """
    array = np.asarray(pictures)
    if array.ndim < 2 or len(array) == 0:
        raise wrong_parameter("samples", "pictures", "of shape (at least one image, ...)", array.shape)
    tiles = _tiles(array, image_shape, levels, "samples")
    per_line = 10 if len(tiles) <= 60 else 16
    lines = [tiles[start : start + per_line] for start in range(0, len(tiles), per_line)]
    return _draw(lines, left=0.0, below=0.0, theme=theme).figure


def denoising(
    originals: ArrayLike,
    noisy: ArrayLike,
    restored: ArrayLike,
    image_shape: Sequence[int],
    *,
    theme: Theme = LIGHT,
) -> Figure:
    """Draw noisy images, what a model restored from them, and the originals that it never saw.

    Parameters
    ----------
    originals, noisy, restored : array-like of shape (n, ...)
        The images; about ten are good to look at. Grey levels are those of the originals; what
        noise puts outside their range is clipped.
    image_shape : tuple of int
        As for :func:`reconstructions`.
    theme : Theme
        The colours.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InvalidParameterError
        If rows do not have as many values as an image.
    DataError
        If the three do not have equally many rows.

    Examples
    --------
    >>> figure = denoising([[0, 1]], [[0.4, 0.7]], [[0.1, 0.9]], (1, 2))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['noisy', 'restored', 'original']
    """
    clean = np.asarray(originals)
    levels = grey_levels(clean)
    strips = {"noisy": np.asarray(noisy), "restored": np.asarray(restored), "original": clean}
    for name, rows in strips.items():
        if len(rows) != len(clean):
            raise DataError(f"{name!r} has {len(rows)} rows, but denoising is expecting {len(clean)}.")
    return _strips(strips, image_shape, theme, "denoising", below=0.0, levels=levels).figure


def _table(pictures: ArrayLike, owner: str, wanted: str, least: int = 1) -> Array:
    array = np.asarray(pictures)
    if array.ndim < 3 or array.size == 0 or array.shape[1] < least:
        raise wrong_parameter(owner, "pictures", f"of shape ({wanted}, ...)", array.shape)
    return array


def _tiles(rows: Array, image_shape: Sequence[int], levels: tuple[float, float] | None, owner: str) -> Array:
    """Return rows as colours, of shape (n, height, width, 3)."""
    images = _images(rows, image_shape, owner)
    between = grey_levels(images) if levels is None else levels
    if not (len(between) == 2 and np.isfinite(between).all() and between[0] < between[1]):
        raise wrong_parameter(owner, "levels", "two numbers, the lower one first", levels)
    return _rgb(shades(images, between))


def _edges(axes: tuple[ArrayLike, ArrayLike] | None, columns: int, rows: int) -> tuple[Vector, Vector]:
    """Return the values to be written along a grid, none if none are given."""
    if axes is None:
        return np.empty(0), np.empty(0)
    along, up = (np.asarray(values, dtype=np.float64) for values in axes)
    if along.shape != (columns,) or up.shape != (rows,) or not np.isfinite([*along, *up]).all():
        wanted = f"{columns} numbers for the columns and {rows} for the rows"
        raise wrong_parameter("manifold", "axes", wanted, axes)
    return along, up


def _square_frame(mosaic: Array, room: float, theme: Theme) -> Axes:
    """Return axes for a mosaic that is at most so many inches long on either side."""
    side = max(mosaic.shape[:2])
    # Whole pixels, as for all pictures of pictures; a mosaic of more pixels than there are shrinks.
    zoom = max(1, int(room * DPI // side))
    inches = min(room, side * zoom / DPI)
    across, down = (inches * mosaic.shape[axis] / side for axis in (1, 0))
    return _frame(across, down, 0.0, theme)


def _equal_frame(points: Vector, key_entries: int, theme: Theme) -> Axes:
    """Return axes on which a unit is equally long across and up, for points and a key beside them."""
    lowest, highest = points.min(axis=0), points.max(axis=0)
    spans = 1.06 * (highest - lowest)
    spans[spans == 0] = spans.max() or 1.0
    right = RIGHT if key_entries else 0.1
    across = WIDTH - LEFT - RIGHT
    down = float(np.clip(across * spans[1] / spans[0], max(2.4, 0.215 * key_entries), across))
    frame = _frame(across, down, right, theme)
    frame.grid(axis="both", color=theme.faint, linewidth=0.8, linestyle="-", alpha=1)
    scale = max(spans[0] / across, spans[1] / down)
    middle = (lowest + highest) / 2
    frame.set_xlim(middle[0] - across * scale / 2, middle[0] + across * scale / 2)
    frame.set_ylim(middle[1] - down * scale / 2, middle[1] + down * scale / 2)
    frame.set_aspect("equal")
    return frame


def _frame(across: float, down: float, right: float, theme: Theme) -> Axes:
    """Return axes of that size in inches in a figure of their own, named after the code."""
    top = 0.1  # half a line of writing, for a number at the very top
    width, height = LEFT + across + right, BELOW + down + top
    figure = blank(height, theme, width)
    frame = figure.add_axes((LEFT / width, BELOW / height, across / width, down / height))
    quiet(frame, theme)
    frame.grid(visible=False)
    frame.set_xlabel("code 1", color=theme.text, fontsize=FONT_SIZE)
    frame.set_ylabel("code 2", color=theme.text, fontsize=FONT_SIZE)
    return frame


def _figure_of(frame: Axes) -> Figure:
    figure: Figure = frame.figure  # type: ignore[assignment]  # it is in no figure within a figure
    return figure


def _plainly(values: Vector) -> list[str]:
    """Return numbers as text with as many decimals as tell them apart."""
    span = float(np.ptp(values)) if values.size else 0.0
    decimals = max(0, 1 - math.floor(math.log10(span))) if span else 2
    rounded = (round(float(value), decimals) + 0.0 for value in values)  # the sum makes -0.0 plain zero
    return [f"{value:.{decimals}f}".replace("-", "−") for value in rounded]


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


def _labels(labels: ArrayLike, rows: int) -> Array:
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


def _is_categorical(labels: Array) -> bool:
    return labels.dtype.kind != "f" and len(np.unique(labels)) <= MOST_CLASSES


def _key_entries(labels: Array | None) -> int:
    """Return how many lines the key needs; a colour bar needs no more than a small picture has."""
    if labels is None:
        return 0
    return len(np.unique(labels)) if _is_categorical(labels) else 1


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
        text.set_text(_short(str(name)))
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
    figure = _figure_of(frame)
    key = figure.add_axes((box.x1 + 0.15 / figure.get_figwidth(), box.y0, 0.022, box.height))
    bar = figure.colorbar(shown, cax=key)
    if bar.solids is not None:  # the points let others through, their colours here do not
        bar.solids.set_alpha(1)
    bar.outline.set_visible(False)
    if worded:
        places = np.linspace(0, len(names) - 1, 5).round().astype(int)
        bar.set_ticks(places.tolist(), labels=[_short(str(name)) for name in names[places]])
        for text in key.get_yticklabels():
            text.set_parse_math(False)
    elif labels.dtype.kind != "f":
        bar.locator = MaxNLocator(6, integer=True)
        bar.update_ticks()
    key.tick_params(which="both", length=0, pad=4, labelsize=FONT_SIZE - 1, labelcolor=theme.muted)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _palette(theme: Theme) -> tuple[str, ...]:
    return ON_DARK if _is_dark(theme) else ON_LIGHT


def _is_dark(theme: Theme) -> bool:
    from matplotlib.colors import to_rgb

    return sum(to_rgb(theme.background)) < 1.5
