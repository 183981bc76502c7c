"""From fitted models and data to everything that a report says, as one plain dict."""

from __future__ import annotations

import os
import platform
import re
import statistics
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import wrong_parameter
from isthmus.comparison import describe, judged, reconstruct, with_pca
from isthmus.errors import DataError
from isthmus.report import pictures
from isthmus.report.model_pictures import SHOWN_IMAGES, pictures_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from isthmus.comparison import Model

    Array: TypeAlias = NDArray[Any]
    Summary: TypeAlias = dict[str, Any]
    Pictures: TypeAlias = dict[str, dict[str, Any]]

__all__ = ["summarise"]

PACKAGES = ("isthmus", "torch", "numpy", "scikit-learn", "matplotlib")


def summarise(
    models: Mapping[str, Model],
    X_train: Array,
    X_test: Array,
    *,
    image_shape: Sequence[int] | None,
    seconds: Mapping[str, float],
    settings: Mapping[str, Mapping[str, object]],
    title: str,
    notes: Sequence[str] = (),
    labels: Array | None = None,
) -> Summary:
    """Judge fitted models beside PCA and gather all that a report says.

    One model at a time, so that the copies of one are in memory, not those of all.

    Parameters
    ----------
    models : mapping of name to Model
        Fitted models, in the order of the report. Where they have a ``history_``, it is shown.
    X_train, X_test : ndarray of shape (n, ...) and (m, ...)
        The rows that the models were trained on, for PCA, and those to judge by.
    image_shape : tuple of int or None
        How to picture a row, as for :func:`isthmus.plots.reconstructions`; None if rows are not
        images: then the report has tables and curves only.
    seconds : mapping of name to float
        How long each model took to fit.
    settings : mapping of name to mapping
        The parameters of each model, to make it again.
    title : str
        The title of the page.
    notes : sequence of str
        Sentences to be read with the numbers.
    labels : ndarray of shape (m,), optional
        A label for each test row, as for :func:`isthmus.plots.latent_scatter`. Nothing is judged by
        them: they colour the map of a code of two numbers.

    Returns
    -------
    dict
        Ready for JSON, but for the bytes in ``pictures``:

        - ``title``, ``notes`` and ``lead``, one sentence on what was done;
        - ``verdicts``, a sentence for each model;
        - ``data``: ``train_rows``, ``test_rows``, ``features``, ``image_shape``;
        - ``rows``: as :func:`isthmus.comparison.compare` returns them, PCA last, and in each
          ``relative`` (its squared error over PCA's; None for PCA itself or where PCA's is 0),
          ``epochs``, ``seconds``, ``seconds_per_epoch`` (median, without the first epoch; None
          where not known);
        - ``overview`` and, for each of ``sections`` (``name``, ``codes``), a list ``pictures`` of
          keys into
        - ``pictures``: by file name without ending, ``alt``, ``caption``, ``width`` and ``height``
          in CSS pixels, and PNG bytes ``light`` and ``dark``;
        - ``settings``: for each parameter ``parameter``, ``values`` (text by model) and ``same``;
        - ``versions``: text by name.

    Raises
    ------
    InvalidParameterError
        If there is no model, a name is PCA's, or rows are not of the image shape.
    DataError
        If a value is not a finite number, or there is not one label for each test row.

    Examples
    --------
    >>> from sklearn.decomposition import PCA
    >>> X = np.random.default_rng(0).random((50, 4))
    >>> summary = summarise(
    ...     {"twin": PCA(n_components=2).fit(X)}, X, X,
    ...     image_shape=None, seconds={"twin": 0.1}, settings={"twin": {"n_components": 2}}, title="Twins",
    ... )  # fmt: skip
    >>> summary["verdicts"][0][:32], summary["settings"][0]["values"], sorted(summary["pictures"])
    ('twin: as good as PCA with 2 comp', {'twin': '2'},
     ['pca-2-activity', 'pca-2-latent-map', 'twin-activity', 'twin-latent-map'])
    """
    if not models:
        raise wrong_parameter("summarise", "models", "at least one fitted model", dict(models))
    X_train, X_test = np.asarray(X_train), np.asarray(X_test)
    known = None if labels is None else _checked_labels(labels, len(X_test))
    contenders = with_pca(models, X_train, X_test)
    histories = {name: list(getattr(model, "history_", ())) for name, model in contenders.items()}
    stems = _file_names(contenders)
    drawn: Pictures = {}
    rows, sections, first_copies = [], [], {}
    for name, model in contenders.items():
        result = reconstruct(model, X_test)
        first_copies[name] = result.copies[:SHOWN_IMAGES].copy()  # a view would keep all of them
        rows.append({"name": name, **describe(X_test, result), **_effort(histories[name], seconds.get(name))})
        own = pictures_of(name, model, X_test, result, image_shape, known)
        drawn |= {f"{stems[name]}-{kind}": picture for kind, picture in own.items()}
        sections.append(
            {
                "name": name,
                "codes": rows[-1]["codes"],
                "pictures": [f"{stems[name]}-{kind}" for kind in own],
            }
        )
    overview: Pictures = {}
    if image_shape is not None:
        overview["reconstructions"] = pictures.copies(X_test[:SHOWN_IMAGES], first_copies, image_shape)
    if any(histories.values()):
        overview["loss-curves"] = pictures.losses(
            {name: history for name, history in histories.items() if history}
        )
    rows = _with_relative(judged(rows, len(models)))
    return {
        "title": title,
        "lead": _lead(rows, len(models), len(X_train), image_shape),
        "verdicts": [row["verdict"] for row in rows if row["verdict"]],
        "data": {
            "train_rows": len(X_train),
            "test_rows": len(X_test),
            "features": rows[0]["features"],
            "image_shape": None if image_shape is None else [int(side) for side in image_shape],
        },
        "rows": rows,
        "overview": list(overview),
        "sections": sections,
        "pictures": overview | drawn,
        "settings": _settings_table(settings),
        "versions": _versions(),
        "notes": list(notes),
    }


def _checked_labels(labels: Array, rows: int) -> Array:
    known = np.asarray(labels)
    if known.shape != (rows,):
        raise DataError(
            f"labels has shape {known.shape}, but summarise is expecting one for each of {rows} test rows."
        )
    # Before anything is judged or drawn, which may take minutes.
    if known.dtype.kind == "f" and not np.isfinite(known).all():
        raise DataError("labels contains NaN or infinity, but summarise is expecting finite numbers.")
    return known


def _effort(history: Sequence[Mapping[str, Any]], seconds: float | None) -> dict[str, Any]:
    # The first epoch also warms caches up and starts threads.
    later = [float(row["seconds"]) for row in history[1:] if "seconds" in row]
    return {
        "epochs": len(history) or None,
        "seconds": None if seconds is None else float(seconds),
        "seconds_per_epoch": statistics.median(later) if later else None,
    }


def _with_relative(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    pca = {row["n_components"]: row["sse"] for row in rows if row["verdict"] is None}

    def relative(row: Mapping[str, Any]) -> float | None:
        reference = pca.get(row["n_components"])
        return row["sse"] / reference if row["verdict"] and reference else None

    return [{**row, "relative": relative(row)} for row in rows]


def _lead(
    rows: Sequence[Mapping[str, Any]], n_models: int, n_train: int, image_shape: Sequence[int] | None
) -> str:
    widths = sorted({row["n_components"] for row in rows[:n_models]})
    models = "One model squeezes" if n_models == 1 else f"{n_models} models squeeze"
    row = "image" if image_shape is not None else "row"
    codes = " or ".join(map(str, widths))
    return (
        f"{models} each {row} of {rows[0]['features']:,} values through {codes} and back. Trained on "
        f"{n_train:,} {row}s, judged on {rows[0]['rows']:,}, beside PCA of the same width."
    )


def _file_names(names: Mapping[str, object]) -> dict[str, str]:
    """Return a file name for each model name: plain, and different for each."""
    stems: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-") or "model"
        stem, number = plain, 2
        while stem in stems.values():
            stem, number = f"{plain}-{number}", number + 1
        stems[name] = stem
    return stems


def _settings_table(settings: Mapping[str, Mapping[str, object]]) -> list[dict[str, Any]]:
    """Turn settings by model into one line for each parameter of any of them."""
    parameters = dict.fromkeys(parameter for values in settings.values() for parameter in values)
    lines = []
    for parameter in parameters:
        values = {name: repr(own[parameter]) if parameter in own else None for name, own in settings.items()}
        lines.append({"parameter": parameter, "values": values, "same": len(set(values.values())) == 1})
    return lines


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    found["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return found
