"""Errors at equal bytes: models by their codes, images by the codecs that everybody has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus.comparison.models import Model
from isthmus.comparison.spaces import RAW, Space
from isthmus.errors import DataError
from isthmus.metrics import bits_per_value, bjontegaard_rate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Row: TypeAlias = dict[str, Any]

__all__ = ["all_rates", "codec_rates", "model_rates", "rate_point", "savings"]

#: How much coarser than the step that hardly costs anything codes are rounded.
COARSENESS = (0.5, 1.0, 2.0, 4.0, 8.0)
QUALITIES = (1, 5, 15, 30, 60, 90)


def rate_point(
    name: str,
    X: Array,
    copies: Array,
    n_bytes: int,
    *,
    kind: str = "model",
    model_bytes: int | None = 0,
    space: Space = RAW,
) -> Row:
    """Return what one way to compress costs and loses.

    Parameters
    ----------
    name : str
        What it is called; points of the same name are one curve.
    X, copies : ndarray of shape (n, ...)
        Rows, and what came back.
    n_bytes : int
        What they took.
    kind : {"model", "codec"}
        Whether a model is needed to read them.
    model_bytes : int or None
        The model's own size, which is not in the bytes: whoever reads them has it already. None if it is
        not known.
    space : Space, default=RAW
        The space in which the error is counted.

    Returns
    -------
    dict
        ``name``, ``kind``, ``bytes``, ``bits_per_value``, ``sse`` and ``model_bytes``.
    """
    return {
        "name": name,
        "kind": kind,
        "bytes": n_bytes,
        "bits_per_value": bits_per_value(n_bytes, X.size),
        "sse": float(space.row_errors(X, copies).mean()),
        "model_bytes": model_bytes,
    }


def all_rates(
    models: Mapping[str, Model], X: Array, image_shape: Sequence[int] | None, space: Space = RAW
) -> list[Row]:
    """Return bytes and errors of models, and of image codecs where rows are grey images.

    Parameters
    ----------
    models : mapping of name to Model
        Fitted models.
    X : ndarray of shape (n, ...)
        Rows to compress.
    image_shape : sequence of int or None
        The shape of the images that rows hold.
    space : Space, default=RAW
        The space in which errors are counted. Image codecs have their place beside models in "raw" alone.

    Returns
    -------
    list of dict
        From :func:`model_rates` and :func:`codec_rates`.

    Raises
    ------
    MissingDependencyError
        Where the package constriction is not installed.
    """
    found = model_rates(models, X, space)
    if not space.is_raw:
        return found
    grey = image_shape is not None and len(image_shape) == 2
    if grey and X.min() >= 0 and (X.max() <= 1 or X.dtype == np.uint8):
        assert image_shape is not None
        found += codec_rates(X, image_shape)
    return found


def model_rates(models: Mapping[str, Model], X: Array, space: Space = RAW) -> list[Row]:
    """Return bytes and errors of models at several steps of their codes.

    Parameters
    ----------
    models : mapping of name to Model
        Fitted models.
    X : ndarray of shape (n, ...)
        Rows to compress.
    space : Space, default=RAW
        The space in which errors are counted.

    Returns
    -------
    list of dict
        As from :func:`rate_point`.
    """
    from isthmus.estimators import Compressor, model_size

    rows = []
    for name, model in models.items():
        base = Compressor(model).fit(X)
        if base.whole_:
            continue
        own = model_size(model)
        for factor in COARSENESS:
            compressor = base.with_step(base.step_ * factor)
            content = compressor.compress(X)
            copies = compressor.decompress(content)
            rows.append(rate_point(name, X, copies, len(content), model_bytes=own, space=space))
    return rows


def codec_rates(
    X: Array, image_shape: Sequence[int], formats: Sequence[str] | None = None, *, mosaic: bool = True
) -> list[Row]:
    """Return bytes and errors of image codecs at several qualities.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        Images in [0, 1], or bytes.
    image_shape : sequence of int
        (height, width).
    formats : sequence of str, optional
        Which codecs; all that Pillow has here by default.
    mosaic : bool, default=True
        One file for all images side by side, which saves hundreds of bytes for each; else one for each.

    Returns
    -------
    list of dict
        As from :func:`model_rates`, of the kind "codec".
    """
    from isthmus.estimators.codecs import ImageCodec, available_formats

    rows, images = [], X.reshape(len(X), *image_shape)
    for name in available_formats() if formats is None else formats:
        title = name if mosaic else f"{name}, single files"
        for quality in QUALITIES:
            codec = ImageCodec(name, quality=quality, mosaic=mosaic).fit(images)
            files = codec.compress(images)
            rows.append(
                rate_point(title, images, codec.decompress(files), sum(map(len, files)), kind="codec")
            )
    return rows


def savings(rows: Sequence[Row]) -> list[Row]:
    """Return for each model how many bytes more than each codec it needs at equal error.

    Parameters
    ----------
    rows : sequence of dict
        From :func:`model_rates` and :func:`codec_rates`.

    Returns
    -------
    list of dict
        ``name``, ``against`` and ``bd_rate`` (-0.4 for 40% fewer bytes; None where no error is reached by
        both).
    """
    curves: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        curves.setdefault((row["kind"], row["name"]), []).append(row)
    found = []
    for (kind, name), own in curves.items():
        for (other_kind, other), theirs in curves.items():
            if kind != "model" or other_kind != "codec":
                continue
            found.append({"name": name, "against": other, "bd_rate": _rate(own, theirs)})
    return found


def _rate(own: Sequence[Row], theirs: Sequence[Row]) -> float | None:
    def column(rows: Sequence[Row], key: str) -> Array:
        return np.array([row[key] for row in rows if row["sse"] > 0])

    try:
        rates, other_rates = (column(rows, "bits_per_value") for rows in (own, theirs))
        return bjontegaard_rate(rates, column(own, "sse"), other_rates, column(theirs, "sse"))
    except DataError:  # no error in common
        return None
