"""Pictures of what a decoder makes: of a grid of codes, of ways between them, of chance and of noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import wrong_parameter
from isthmus.errors import DataError
from isthmus.plots.figure import DPI, LEFT, LIGHT, WIDTH, Theme, figure_of, framed
from isthmus.plots.images import TILE, _draw, _strips, as_images, as_rgb, grey_levels, shades

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    Array: TypeAlias = NDArray[Any]
    Vector: TypeAlias = NDArray[np.float64]

__all__ = [
    "denoising",
    "grey_levels",
    "interpolations",
    "manifold",
    "samples",
]

MOST_TICKS = 8


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
    return figure_of(frame)


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
    images = as_images(rows, image_shape, owner)
    between = grey_levels(images) if levels is None else levels
    if not (len(between) == 2 and np.isfinite(between).all() and between[0] < between[1]):
        raise wrong_parameter(owner, "levels", "two numbers, the lower one first", levels)
    return as_rgb(shades(images, between))


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
    return framed(across, down, 0.0, theme)


def _plainly(values: Vector) -> list[str]:
    """Return numbers as text with as many decimals as tell them apart."""
    span = float(np.ptp(values)) if values.size else 0.0
    decimals = max(0, 1 - math.floor(math.log10(span))) if span else 2
    rounded = (round(float(value), decimals) + 0.0 for value in values)  # the sum makes -0.0 plain zero
    return [f"{value:.{decimals}f}".replace("-", "−") for value in rounded]
