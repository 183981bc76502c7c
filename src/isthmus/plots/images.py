"""Pictures of pictures: copies and what they miss, and what code units add and look for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from isthmus._checks import wrong_parameter
from isthmus.errors import DataError
from isthmus.plots.figure import DPI, LIGHT, WIDTH, Theme, blank, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["differences", "exemplars", "filters", "reconstructions", "worst_reconstructions"]

GAP = 0.06  # between two pictures, as a share of the width of one
LINE = 0.18  # inches from one line of words to the next
TILE = 0.9  # inches: a picture is drawn no larger, however few there are


def reconstructions(
    originals: ArrayLike,
    copies: Mapping[str, ArrayLike],
    image_shape: Sequence[int],
    *,
    theme: Theme = LIGHT,
) -> Figure:
    """Draw originals above the copies that each model made of them.

    Parameters
    ----------
    originals : array-like of shape (n, ...)
        One column is drawn for each; about ten are good to look at.
    copies : mapping of name to array-like of the same shape
        A row of pictures for each model. Grey levels are those of the originals; what lies outside
        their range is clipped.
    image_shape : tuple of int
        (height, width), (channels, height, width) or (height, width, channels), with 1 or 3
        channels.
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
        If copies do not match the originals.

    Examples
    --------
    >>> import numpy as np
    >>> digits = np.random.default_rng(0).random((10, 64))
    >>> figure = reconstructions(digits, {"single": digits / 2}, (8, 8))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['original', 'single']
    """
    strips = {"original": originals, **copies}
    return _strips(strips, image_shape, theme, "reconstructions", below=0.0).figure


def worst_reconstructions(
    originals: ArrayLike,
    copies: ArrayLike,
    errors: ArrayLike,
    image_shape: Sequence[int],
    *,
    theme: Theme = LIGHT,
) -> Figure:
    """Draw originals above their copies, with the error of each pair below it.

    Parameters
    ----------
    originals, copies : array-like of shape (n, ...)
        The pairs, in the order in which they are to be drawn.
    errors : array-like of shape (n,)
        The squared error of each pair.
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
        If there is not one copy and one error for each original.

    Examples
    --------
    >>> figure = worst_reconstructions([[0, 1, 1, 0]], [[0, 1, 0, 0]], [1.0], (2, 2))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['original', 'copy', '1.0']
    """
    values = np.asarray(errors, dtype=float)
    if values.shape != np.shape(originals)[:1]:
        raise DataError(
            f"errors has shape {values.shape}, but worst_reconstructions is expecting one for each "
            f"of {len(np.asarray(originals))} originals."
        )
    strips = {"original": originals, "copy": copies}
    grid = _strips(strips, image_shape, theme, "worst_reconstructions", below=0.26)
    for column, value in enumerate(values):
        grid.write_below(1, column, f"{value:.1f}" if value >= 1 else f"{value:.2g}", theme.muted)
    return grid.figure


def filters(
    columns: ArrayLike,
    image_shape: Sequence[int],
    dead: Iterable[int] = (),
    *,
    theme: Theme = LIGHT,
) -> Figure:
    """Draw what each code unit adds to the picture.

    Parameters
    ----------
    columns : array-like of shape (k, ...)
        One image for each unit. All share one scale, symmetric around 0; the strongest half
        percent of the values saturate, so that a single pixel does not fade all others.
    image_shape : tuple of int
        As for :func:`reconstructions`.
    dead : iterable of int
        Units to be marked as dead.
    theme : Theme
        The colours.

    Returns
    -------
    matplotlib.figure.Figure
        Units in reading order; the number of the first unit stands before each line.

    Raises
    ------
    InvalidParameterError
        If rows do not have as many values as an image.

    Examples
    --------
    >>> figure = filters([[1, 0, 0, -1], [0, 0, 0, 0]], (2, 2), dead=[1])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0', 'dead']
    """
    tiles = as_images(columns, image_shape, "filters").astype(float)
    strongest = float(np.quantile(abs(tiles), 0.995)) or float(abs(tiles).max()) or 1.0
    around_half = np.clip(tiles / (2 * strongest) + 0.5, 0, 1)
    per_line = 8 if len(tiles) <= 32 else 16
    pixels = _diverging_pixels(around_half, theme)
    lines = [pixels[start : start + per_line] for start in range(0, len(pixels), per_line)]
    grid = _draw(lines, left=0.38, below=0.0, theme=theme)
    for number in range(len(lines)):
        grid.write_before(number, str(number * per_line), theme.muted)
    for unit in dead:
        line, column = divmod(unit, per_line)
        grid.write_at(line, column, "dead", theme.muted)
    return grid.figure


def differences(
    originals: ArrayLike,
    copies: ArrayLike,
    words: Sequence[str],
    image_shape: Sequence[int],
    *,
    theme: Theme = LIGHT,
) -> Figure:
    """Draw originals, their copies, and where the two differ.

    Parameters
    ----------
    originals, copies : array-like of shape (n, ...)
        The pairs, in the order in which they are to be drawn.
    words : sequence of n str
        What to write below each pair; several lines are possible.
    image_shape : tuple of int
        As for :func:`reconstructions`. Of colour images the difference is averaged over the channels.
    theme : Theme
        The colours.

    Returns
    -------
    matplotlib.figure.Figure
        The differences share one scale, symmetric around 0, which the largest of them fills.

    Raises
    ------
    InvalidParameterError
        If rows do not have as many values as an image.
    DataError
        If there is not one copy for each original, or not words for each.

    Examples
    --------
    >>> figure = differences([[0, 1, 1, 0]], [[0, 1, 0, 0]], ["worst"], (2, 2))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['original', 'copy', 'difference', 'worst']
    """
    rows = [as_images(values, image_shape, "differences").astype(float) for values in (originals, copies)]
    if rows[0].shape != rows[1].shape or len(words) != len(rows[0]):
        raise DataError(
            f"There are {len(rows[0])} originals, {len(rows[1])} copies and words for {len(words)}, but "
            "differences is expecting equally many."
        )
    apart = (rows[1] - rows[0]).mean(axis=-1, keepdims=True)
    largest = float(abs(apart).max()) or 1.0
    levels = grey_levels(rows[0])
    lines = [as_rgb(shades(values, levels)) for values in rows]
    lines.append(_diverging_pixels(apart / (2 * largest) + 0.5, theme))
    below = 0.08 + LINE * max((text.count("\n") + 1 for text in words), default=1)
    grid = _draw(lines, left=1.05, below=below, theme=theme)
    for number, name in enumerate(("original", "copy", "difference")):
        grid.write_before(number, name, theme.text)
    for column, text in enumerate(words):
        for number, line in enumerate(text.split("\n")):
            grid.write_below(2, column, line, theme.muted, number)
    return grid.figure


def exemplars(
    pictures: ArrayLike,
    units: Sequence[int],
    image_shape: Sequence[int],
    *,
    levels: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Draw for each code unit the images that drive it hardest, two units to a line.

    Parameters
    ----------
    pictures : array-like of shape (units, n, ...)
        For each unit its images, the strongest first; about eight are good to look at.
    units : sequence of int
        The numbers of the units, written before their images.
    image_shape : tuple of int
        As for :func:`reconstructions`.
    levels : (float, float), optional
        The values drawn black and white. Left out: as :func:`grey_levels` finds them.
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
        If there are not images for each unit.

    Examples
    --------
    >>> import numpy as np
    >>> figure = exemplars(np.zeros((3, 4, 9)), [0, 7, 5], (3, 3))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0', '7', '5']
    """
    array = np.asarray(pictures)
    if array.ndim < 3 or len(array) != len(units):
        raise DataError(
            f"pictures has shape {array.shape}, but exemplars is expecting (units, images, ...) for "
            f"{len(units)} units."
        )
    count = array.shape[1]
    tiles = as_images(array.reshape(-1, *array.shape[2:]), image_shape, "exemplars")
    shown = as_rgb(shades(tiles, grey_levels(tiles) if levels is None else levels))
    of_unit = shown.reshape(len(units), count, *shown.shape[1:])
    # An empty column between the two, for the number of the second.
    empty = _canvas(shown.shape[1], shown.shape[2], theme)[np.newaxis]
    lines = [
        np.concatenate([of_unit[first], empty, *of_unit[first + 1 : first + 2]])
        for first in range(0, len(units), 2)
    ]
    grid = _draw(lines, left=0.38, below=0.0, theme=theme)
    for place, unit in enumerate(units):
        if place % 2:
            grid.write_at(place // 2, count, str(unit), theme.muted)
        else:
            grid.write_before(place // 2, str(unit), theme.muted)
    return grid.figure


@dataclass(frozen=True)
class _Grid:
    """Axes that show lines of pictures, in pixels of the mosaic, and room around them for words."""

    axes: Axes
    pitch: tuple[int, int]  # pixels from one picture to the next, down and across
    gap: int

    @property
    def figure(self) -> Figure:
        return cast("Figure", self.axes.figure)

    def _middle(self, step: float, axis: int) -> float:
        return (step + 0.5) * self.pitch[axis] - self.gap / 2

    def write_at(self, line: int, column: int, words: str, colour: str) -> None:
        centre = self._middle(column, 1), self._middle(line, 0)
        self._write(centre, words, color=colour, ha="center", va="center")

    def write_before(self, line: int, words: str, colour: str) -> None:
        left = -2 * self.gap, self._middle(line, 0)
        self._write(left, words, color=colour, ha="right", va="center")

    def write_below(self, line: int, column: int, words: str, colour: str, further: int = 0) -> None:
        foot = self._middle(column, 1), (line + 1) * self.pitch[0] + further * LINE * DPI
        self._write(foot, words, color=colour, ha="center", va="top")

    def _write(self, place: tuple[float, float], words: str, **style: Any) -> None:
        write(self.axes, place, words, **style)


def grey_levels(values: ArrayLike) -> tuple[float, float]:
    """Return the values to be drawn black and white.

    Parameters
    ----------
    values : array-like
        Of any shape, at least one.

    Returns
    -------
    (float, float)
        0 and 1 if all values lie between them, otherwise the lowest and the highest.

    Examples
    --------
    >>> grey_levels([0.2, 0.7]), grey_levels([0, 16]), grey_levels([7, 7])
    ((0.0, 1.0), (0.0, 16.0), (7.0, 8.0))
    """
    array = np.asarray(values)
    lowest, highest = float(array.min()), float(array.max())
    if lowest >= 0 and highest <= 1:
        return 0.0, 1.0
    return lowest, highest if highest > lowest else lowest + 1


def shades(values: Array, levels: tuple[float, float]) -> Array:
    """Return values as shades from 0, black, to 1, white."""
    lowest, highest = levels
    clipped: Array = np.clip((values - lowest) / (highest - lowest), 0, 1)
    return clipped


def _strips(
    strips: Mapping[str, ArrayLike],
    image_shape: Sequence[int],
    theme: Theme,
    owner: str,
    below: float,
    levels: tuple[float, float] | None = None,
) -> _Grid:
    """Draw one line of pictures for each name; the first sets the grey levels unless they are given."""
    originals, *_ = images = [as_images(rows, image_shape, owner) for rows in strips.values()]
    for name, copies in zip(strips, images, strict=True):
        if copies.shape != originals.shape:
            raise DataError(f"{name!r} has {len(copies)} rows, but {owner} is expecting {len(originals)}.")
    between = grey_levels(originals) if levels is None else levels
    lines = [as_rgb(shades(copies, between)) for copies in images]
    grid = _draw(lines, left=1.05, below=below, theme=theme)
    for number, name in enumerate(strips):
        grid.write_before(number, name, theme.text)
    return grid


def _draw(lines: Sequence[Array], *, left: float, below: float, theme: Theme) -> _Grid:
    """Draw lines of pictures, leaving inches free on the left and below."""
    columns, height, width = (max(len(line) for line in lines), *lines[0].shape[1:3])
    room = min(TILE, (WIDTH - left) / columns) * DPI / (1 + GAP)
    # Whole pixels, so that every pixel of a small image is drawn equally large.
    zoom = max(1, int(room // width))
    gap = max(2, round(GAP * width * zoom))
    pitch = (height * zoom + gap, width * zoom + gap)
    canvas = _canvas(len(lines) * pitch[0] - gap, columns * pitch[1] - gap, theme)
    for number, line in enumerate(lines):
        for column, picture in enumerate(line):
            y, x = number * pitch[0], column * pitch[1]
            zoomed = picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
            canvas[y : y + height * zoom, x : x + width * zoom] = zoomed
    inches = min(canvas.shape[1] / DPI, WIDTH - left)
    across, down = left + inches, inches * canvas.shape[0] / canvas.shape[1]
    figure = blank(down + below, theme, across)
    axes = figure.add_axes((left / across, below / (down + below), inches / across, down / (down + below)))
    axes.set_axis_off()
    axes.imshow(
        canvas, aspect="auto", interpolation="antialiased", extent=(0, canvas.shape[1], canvas.shape[0], 0)
    )
    return _Grid(axes, pitch, gap)


def _canvas(height: int, width: int, theme: Theme) -> Array:
    from matplotlib.colors import to_rgb

    return np.full((height, width, 3), to_rgb(theme.background), dtype=np.float32)


def as_images(rows: ArrayLike, image_shape: Sequence[int], owner: str) -> Array:
    """Return rows as an array of shape (n, height, width, channels)."""
    array, shape = np.asarray(rows), tuple(image_shape)
    values = math.prod(array.shape[1:])
    colours = len(shape) == 3 and (shape[0] in {1, 3} or shape[-1] in {1, 3})
    if not (len(shape) == 2 or colours) or math.prod(shape) != values:
        wanted = f"(height, width), with 1 or 3 channels before or after, for rows of {values} values"
        raise wrong_parameter(owner, "image_shape", wanted, shape)
    if colours and {shape[0], shape[-1]} in ({1, 3}, {3}) and shape[1] != shape[2]:
        wanted = (
            "one that says whether the channels are first or last, such as (height, width) for one channel"
        )
        raise wrong_parameter(owner, "image_shape", wanted, shape)
    images = array.reshape(len(array), *shape)
    if len(shape) == 2:
        return images[..., np.newaxis]
    return np.moveaxis(images, 1, -1) if shape[0] in {1, 3} else images


def as_rgb(images: Array) -> Array:
    """Return images of one or three channels with three."""
    return images if images.shape[-1] == 3 else images.repeat(3, axis=-1)


def _diverging_pixels(images: Array, theme: Theme) -> Array:
    """Return colours for values in [0, 1] with the middle at 0.5; colour images are left as they are."""
    from matplotlib.colors import LinearSegmentedColormap

    if images.shape[-1] == 3:
        return images
    colours = LinearSegmentedColormap.from_list("isthmus", list(theme.diverging))
    return np.asarray(colours(images[..., 0]))[..., :3]
