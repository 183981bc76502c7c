"""From fitted models and data to everything that a report says, as one plain dict."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import wrong_parameter
from isthmus.comparison import Space, accepted, contest, describe, judged, reconstruct
from isthmus.errors import DataError
from isthmus.report import maps as planes
from isthmus.report import pictures, tables
from isthmus.report.model_pictures import SHOWN_IMAGES, pictures_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from isthmus.comparison import Model

    Array: TypeAlias = NDArray[Any]
    Summary: TypeAlias = dict[str, Any]
    Pictures: TypeAlias = dict[str, dict[str, Any]]

__all__ = ["summarise"]


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
    series: bool | None = None,
    feature_names: Sequence[str] | None = None,
    maps: Mapping[str, Array] | None = None,
    rates: Sequence[Mapping[str, Any]] | None = None,
    space: str = "auto",
) -> Summary:
    """Compare fitted models with PCA and gather all that a report says.

    Models are judged one at a time, so that the reconstructions of one are in memory, not those of all.

    Parameters
    ----------
    models : mapping of name to Model
        Fitted models, in the order of the report. Where they have a ``history_``, it is shown.
    X_train, X_test : ndarray of shape (n, ...) and (m, ...)
        The rows that the models were trained on, for PCA, and those to judge by.
    image_shape : tuple of int or None
        How to picture a row, as for :func:`isthmus.plots.reconstructions`; None if rows are not
        images: then they are series or rows of a table.
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
        them: they colour the maps.
    series : bool, optional
        Whether rows that are not images are series, of shape (time,) or (time, channels), to be
        drawn as curves. Left out: if they have the second of these shapes.
    feature_names : sequence of str, optional
        For rows of a table, a name for each feature.
    maps : mapping of name to ndarray of shape (m, 2), optional
        Where to draw each test row on the map of a model, by t-SNE for example. Left out: at its
        code, if it is two numbers wide, or at the first two principal components of the codes.
    rates : sequence of mapping, optional
        What files cost and lose: as for :func:`isthmus.plots.rate_distortion`, and ``bytes`` in
        each for the table.
    space : {"auto", "raw", "standard", "minmax"}, default="auto"
        Where errors are counted; see :func:`isthmus.comparison.compare`.

    Returns
    -------
    dict
        Ready for JSON, but for the bytes in ``pictures``:

        - ``title``, ``notes`` and ``lead``, one sentence on what was done;
        - ``verdicts``, a sentence for each model;
        - ``data``: ``kind`` ("images", "series" or "table"), ``train_rows``, ``test_rows``, ``features``,
          ``image_shape``, ``space`` (in words), and ``train_print`` and ``test_print``, fingerprints that change
          if a value does;
        - ``rows``: as :func:`isthmus.comparison.compare` returns them, PCA last, and in each
          ``relative`` (its squared error over PCA's; None for PCA itself or where PCA's is 0),
          ``outcome`` ("better", "equal", "unclear", "worse"; None for PCA), ``epochs``, ``seconds``,
          ``seconds_per_epoch`` (median, without the first epoch; None where not known);
        - ``overview``, a list of keys into ``pictures``;
        - ``sections``, one for each model: ``name``, ``codes``, ``pictures`` (a list of such keys), ``map``
          (for images, as :func:`isthmus.report.maps.hover_map` returns it, else None) and
          ``features`` (for tables, as :func:`isthmus.report.tables.feature_table` returns it, else empty);
        - ``pictures``: by file name without ending, ``alt``, ``caption``, ``width`` and ``height``
          in CSS pixels, and PNG bytes ``light`` and ``dark``; for images also ``thumbnails``, the sheet
          that the maps show parts of;
        - ``rates``: ``name``, ``kind``, ``bytes``, ``bits_per_value`` and ``sse`` of each file;
        - ``settings``: for each parameter ``parameter``, ``values`` (text by model) and ``same``;
        - ``versions``: text by name.

    Raises
    ------
    InvalidParameterError
        If there is no model, a name is PCA's, a map is of no model, rows are not of the image shape,
        or a rate cannot be drawn.
    DataError
        If a value is not a finite number, or there is not one label, or one point on a map, for each
        test row, or not one name for each feature.

    Examples
    --------
    >>> from sklearn.decomposition import PCA
    >>> X = np.random.default_rng(0).random((50, 4))
    >>> summary = summarise(
    ...     {"twin": PCA(n_components=2).fit(X)}, X, X,
    ...     image_shape=None, seconds={"twin": 0.1}, settings={"twin": {"n_components": 2}}, title="Twins",
    ... )  # fmt: skip
    >>> summary["verdicts"][0][:32], summary["settings"][0]["values"]
    ('twin: as good as PCA with 2 comp', {'twin': '2'})
    >>> summary["sections"][0]["pictures"]
    ['twin-errors', 'twin-latent-map', 'twin-activity', 'twin-correlations']
    """
    if not models:
        raise wrong_parameter("summarise", "models", "at least one fitted model", dict(models))
    models, X_train, X_test = accepted(models, X_train, X_test, "summarise")
    held = contest(models, X_train, X_test, space, image_shape=image_shape, owner="summarise")
    contenders = held.contenders
    view = _View(
        X=X_test,
        space=held.space,
        kind=_kind(X_test, image_shape, series),
        image_shape=image_shape,
        labels=None if labels is None else _checked_labels(labels, len(X_test)),
        names=tables.checked_names(feature_names, X_test[0].size),
    )
    rated = tables.rates_table(rates)
    # Drawn before the models are judged, so that a wrong rate is told at once.
    rates_picture = {"rates": pictures.rates(rated)} if rated else {}
    given = planes.checked_maps(maps, list(contenders), len(X_test))
    stems = _file_names(contenders)
    looks: dict[str, _Look] = {}
    # The baselines first: the errors of a model are shown beside those of its baseline.
    for name in sorted(contenders, key=lambda name: name in models):
        reference = None if name not in models else f"PCA-{held.widths[name][0]}"
        beside = {} if reference is None else {reference: looks[reference]}
        looks[name] = _look_at(name, contenders[name], view, stems[name], given.get(name), beside)
    looks = {name: looks[name] for name in contenders}
    histories = {name: list(getattr(model, "history_", ())) for name, model in contenders.items()}
    rows = [
        {**look.row, **_effort(histories[name], seconds.get(name)), **held.beside(name)}
        for name, look in looks.items()
    ]
    errors = {name: look.errors for name, look in looks.items()}
    rows = judged(rows, errors, len(models), held.spectrum)
    overview = _overview(view, looks, histories) | rates_picture
    drawn = {key: picture for look in looks.values() for key, picture in look.pictures.items()}
    sheet = {}
    if image_shape is not None and any(look.section["map"] for look in looks.values()):
        sheet["thumbnails"] = planes.thumbnails(X_test, image_shape)
    return {
        "title": title,
        "lead": _lead(rows, len(models), len(X_train), image_shape),
        "verdicts": [row["verdict"] for row in rows if row["verdict"]],
        "data": {
            "kind": view.kind,
            "train_rows": len(X_train),
            "test_rows": len(X_test),
            "features": rows[0]["features"],
            "image_shape": None if image_shape is None else [int(side) for side in image_shape],
            "space": held.space.words,
            "train_print": tables.fingerprint(X_train),
            "test_print": tables.fingerprint(X_test),
        },
        "rows": rows,
        "overview": list(overview),
        "sections": [look.section for look in looks.values()],
        "pictures": overview | drawn | sheet,
        "rates": rated,
        "settings": tables.settings_table(settings),
        "versions": tables.versions(),
        "notes": list(notes),
    }


@dataclass(frozen=True, eq=False)
class _View:
    """What all models of a report are judged on, and how it is shown."""

    X: Array
    space: Space
    kind: str
    image_shape: Sequence[int] | None
    labels: Array | None
    names: Sequence[str]


@dataclass(frozen=True, eq=False)
class _Look:
    """What is known of one model once its reconstructions are forgotten."""

    row: dict[str, Any]
    section: dict[str, Any]
    pictures: Pictures
    first_copies: Array
    errors: Array
    explained: Array


def _look_at(
    name: str,
    model: Model,
    view: _View,
    stem: str,
    given: Array | None,
    baseline: Mapping[str, _Look],
) -> _Look:
    result = reconstruct(model, view.X, name)
    row = {"name": name, **describe(view.X, result, view.space)}
    errors = view.space.row_errors(view.X, result.copies)
    plane = planes.plane_of(result.codes, given)
    explained = tables.explained_by_feature(view.X, result.copies) if view.kind == "table" else np.empty(0)
    beside = {other: look.errors for other, look in baseline.items()}
    own = pictures_of(
        name, model, view.X, result, view.image_shape, view.labels,
        series=view.kind == "series", plane=plane, errors={name: errors, **beside} if beside else {},
    )  # fmt: skip
    drawn = {f"{stem}-{part}": picture for part, picture in own.items()}
    hovered = None
    if view.kind == "images" and plane is not None:
        hovered = planes.hover_map(plane, view.labels, f"{stem}-latent-map")
    section = {
        "name": name,
        "codes": row["codes"],
        "pictures": list(drawn),
        "map": hovered,
        "reference": next(iter(baseline), None),
        "features": tables.feature_table(
            view.X, result.copies, view.names, next((look.explained for look in baseline.values()), None)
        )
        if view.kind == "table"
        else [],
    }
    # A view of the first reconstructions would keep all of them.
    return _Look(row, section, drawn, result.copies[:SHOWN_IMAGES].copy(), errors, explained)


def _overview(
    view: _View, looks: Mapping[str, _Look], histories: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Pictures:
    overview: Pictures = {}
    if view.image_shape is not None:
        copies = {name: look.first_copies for name, look in looks.items()}
        overview["reconstructions"] = pictures.copies(view.X[:SHOWN_IMAGES], copies, view.image_shape)
    if any(histories.values()):
        overview["loss-curves"] = pictures.losses(
            {name: history for name, history in histories.items() if history}
        )
    return overview


def _kind(X: Array, image_shape: Sequence[int] | None, series: bool | None) -> str:
    if image_shape is not None:
        if series:
            raise wrong_parameter("summarise", "series", "None or False for images", series)
        return "images"
    if series and X.ndim not in {2, 3}:
        wanted = "left out for rows of other shapes than (time,) and (time, channels)"
        raise wrong_parameter("summarise", "series", wanted, series)
    return "series" if series or (series is None and X.ndim == 3) else "table"


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


def _lead(
    rows: Sequence[Mapping[str, Any]], n_models: int, n_train: int, image_shape: Sequence[int] | None
) -> str:
    widths = sorted({row["n_components"] for row in rows[:n_models]})
    models, pronoun = (
        ("One model encodes", "It was") if n_models == 1 else (f"{n_models} models encode", "They were")
    )
    row = "image" if image_shape is not None else "row"
    codes = " or ".join(map(str, widths))
    return (
        f"{models} each {row} of {rows[0]['features']:,} values in {codes} numbers. {pronoun} trained on "
        f"{n_train:,} {row}s and compared with PCA on {rows[0]['rows']:,} test {row}s."
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
