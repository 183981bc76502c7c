"""Codes on a plane: where a report puts each test row, and the map whose points show their images."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import suggestion, wrong_parameter
from isthmus.errors import DataError
from isthmus.plots.images import as_images, as_rgb, grey_levels, shades
from isthmus.plots.scatter import is_categorical, known_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["MOST_THUMBNAILS", "Plane", "checked_maps", "hover_map", "plane_of", "shown_rows", "thumbnails"]

MOST_THUMBNAILS = 600  # points on a page must be hit with a finger, and each costs a hundred bytes
PER_LINE = 25
LARGEST = 32  # pixels along the longer side of a thumbnail
FLATTEST = 0.4  # height of a map over its width
MOST_TICKS = 6
RANGE = (0.12, 0.9)  # of viridis: what is seen on a white page and on a black one


@dataclass(frozen=True, eq=False)
class Plane:
    """Where rows lie.

    Attributes
    ----------
    points : ndarray of shape (n, 2)
    names : tuple of two str
        What the axes are called.
    caption : str
        The first words of a sentence that says how the points came there.
    """

    points: Array
    names: tuple[str, str]
    caption: str


def plane_of(codes: Array, given: Array | None = None) -> Plane | None:
    """Return a plane for codes: the one that was made for them, they themselves, or two directions.

    Parameters
    ----------
    codes : ndarray of shape (n, k)
        The codes of all rows.
    given : ndarray of shape (n, 2), optional
        Coordinates made elsewhere, by t-SNE for example.

    Returns
    -------
    Plane or None
        Of codes wider than two the first two principal components; None for codes of one number.

    Examples
    --------
    >>> plane_of(np.array([[0.0, 1.0], [2.0, 3.0]])).names
    ('code 1', 'code 2')
    >>> plane_of(np.eye(4)).caption[:36]
    'Where the test rows lie along the tw'
    """
    if given is not None:
        return Plane(
            given, ("map 1", "map 2"), "Where the test rows lie on the map that came with the models"
        )
    width = codes.shape[1]
    if width < 2:
        return None
    if width == 2:
        return Plane(codes, ("code 1", "code 2"), "Where the test rows lie in its code of two numbers")
    centred = codes.astype(np.float64)
    centred -= centred.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    total = float(variances.sum())
    share = f"{float(variances[-2:].sum()) / total:.0%}" if total > 0 else "none"
    return Plane(
        centred @ directions[:, :-3:-1],
        ("direction 1", "direction 2"),
        f"Where the test rows lie along the two directions in which its codes of {width} numbers vary most: their "
        f"first principal components, with {share} of the variance",
    )


def checked_maps(maps: Mapping[str, Any] | None, names: Sequence[str], rows: int) -> dict[str, Array]:
    """Return coordinates by model, of which each row has two finite ones."""
    known = {}
    for name, coordinates in (maps or {}).items():
        if name not in names:
            wanted = "coordinates by the names of models"
            raise wrong_parameter("summarise", "maps", wanted, name, suggestion(name, names))
        points = np.asarray(coordinates, dtype=np.float64)
        if points.shape != (rows, 2) or not np.isfinite(points).all():
            raise DataError(
                f"The map of {name!r} has shape {points.shape}, but summarise is expecting two finite "
                f"numbers for each of {rows} test rows."
            )
        known[name] = points
    return known


def shown_rows(rows: int) -> Array:
    """Return the rows that have a point on the page, evenly taken."""
    return np.linspace(0, rows - 1, min(rows, MOST_THUMBNAILS)).round().astype(np.intp)


def thumbnails(X: Array, image_shape: Sequence[int]) -> dict[str, Any]:
    """Return small images of the shown rows on one sheet, as a picture of the report.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        All test rows.
    image_shape : tuple of int
        How to picture one.

    Returns
    -------
    dict
        As any picture, and ``columns`` and ``lines``, how many images the sheet is wide and high.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    rows = shown_rows(len(X))
    images = as_images(X[rows], image_shape, "summarise").astype(np.float64)
    tiles = (255 * as_rgb(shades(images, grey_levels(X))) + 0.5).astype(np.uint8)
    height, width = tiles.shape[1:3]
    shrink = min(1.0, LARGEST / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    columns = min(PER_LINE, len(rows))
    lines = math.ceil(len(rows) / columns)
    sheet = Image.new("RGB", (columns * size[0], lines * size[1]))
    for number, tile in enumerate(tiles):
        line, column = divmod(number, columns)
        small = Image.fromarray(tile).resize(size, Image.Resampling.BOX)
        sheet.paste(small, (column * size[0], line * size[1]))
    if images.shape[-1] == 1:
        sheet = sheet.convert("L")
    ours = PngInfo()
    ours.add_text("Software", "Isthmus")
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True, pnginfo=ours)
    return {
        "alt": f"{len(rows)} small test images on one sheet, {columns} in a line.",
        "caption": "The test images that the points of the maps stand for.",
        "width": sheet.width,
        "height": sheet.height,
        "light": buffer.getvalue(),
        "dark": buffer.getvalue(),
        "columns": columns,
        "lines": lines,
    }


def hover_map(plane: Plane, labels: Array | None, picture: str) -> dict[str, Any]:
    """Return a map whose points can be named and pointed at, ready for JSON.

    Parameters
    ----------
    plane : Plane
        Where all test rows lie.
    labels : ndarray of shape (n,), optional
        To colour the points by, as :func:`isthmus.plots.latent_scatter` does.
    picture : str
        The key of the picture in whose place it stands on the page.

    Returns
    -------
    dict
        ``picture``; ``caption``; ``names`` of the axes; ``height``, over the width; ``points``, each with ``x`` and
        ``y`` in percent, ``place`` on the sheet of thumbnails, ``row``, ``label`` (text or None), and
        how it looks: ``mark`` (the number of its class) or ``colour``; ``key``, the classes with
        ``name`` and ``mark``, or ``scale`` (``low``, ``high`` and ``colours``); ``ticks`` along both axes.
    """
    rows = shown_rows(len(plane.points))
    points = plane.points[rows].astype(np.float64)
    lowest, highest = points.min(axis=0), points.max(axis=0)
    spans = highest - lowest
    spans[spans == 0] = spans.max() or 1.0
    height = float(np.clip(spans[1] / spans[0], FLATTEST, 1.0))
    # A unit is equally long on both axes.
    scale = 1.06 * max(spans[0], spans[1] / height)
    sides = np.array([scale, scale * height])
    corner = (lowest + highest - sides) / 2
    percent = 100 * (points - corner) / sides
    looks, legend = _looks(labels, rows)
    drawn = [
        {"x": round(float(x), 1), "y": round(float(y), 1), "place": place, "row": int(row), **look}
        for place, (row, (x, y), look) in enumerate(zip(rows, percent, looks, strict=True))
    ]
    # Arrow keys go through the points in this order: class by class, from left to right.
    drawn.sort(key=lambda point: (point["mark"] or 0, point["x"]))
    ticks = [_ticks(corner[axis], sides[axis]) for axis in (0, 1)]
    shown = {"picture": picture, "names": list(plane.names), "height": round(height, 3), "points": drawn}
    colours = "" if labels is None else ", coloured by label"
    caption = (
        f"{plane.caption}{colours}. To see the image of one of these {len(rows):,} rows, point at it, tap it, or "
        "go through them with the arrow keys."
    )
    return {**shown, "ticks": ticks, "caption": caption, **legend}


def _looks(labels: Array | None, rows: Array) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return how each shown row looks, and what explains it."""
    if labels is None:
        return [{"label": None, "mark": None, "colour": None} for _ in rows], {"key": [], "scale": None}
    known = known_labels(labels, len(labels))
    names, order = np.unique(known, return_inverse=True)
    words = [str(name) for name in known[rows]]
    if is_categorical(known):
        looks = [
            {"label": word, "mark": int(mark), "colour": None}
            for word, mark in zip(words, order[rows], strict=True)
        ]
        key = [{"name": str(name), "mark": mark} for mark, name in enumerate(names)]
        return looks, {"key": key, "scale": None}
    values = order.astype(np.float64) if known.dtype.kind in "US" else known.astype(np.float64)
    span = float(np.ptp(values)) or 1.0
    shares = (values - values.min()) / span
    colours = _colours(shares[rows])
    looks = [
        {"label": word, "mark": None, "colour": colour} for word, colour in zip(words, colours, strict=True)
    ]
    ends = {"low": str(names[0]), "high": str(names[-1]), "colours": _colours(np.linspace(0, 1, 9))}
    return looks, {"key": [], "scale": ends}


def _colours(shares: Array) -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    low, high = RANGE
    return [to_hex(colour) for colour in colormaps["viridis"](low + (high - low) * shares)]


def _ticks(start: float, length: float) -> list[dict[str, Any]]:
    from matplotlib.ticker import MaxNLocator

    values = MaxNLocator(MOST_TICKS).tick_values(start, start + length)
    inside = [float(value) for value in values if start <= value <= start + length]
    return [
        {"at": round(100 * (value - start) / length, 2), "text": f"{value + 0.0:g}".replace("-", "−")}
        for value in inside
    ]
