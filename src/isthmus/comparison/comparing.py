"""Models beside baselines, by every number that one may ask for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus import metrics
from isthmus._checks import check_integer, check_number, wrong_parameter
from isthmus.comparison.models import code_width, describe, reconstruct, with_pca
from isthmus.comparison.verdicts import Spectrum, judged
from isthmus.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from isthmus.comparison.models import Model

    Array: TypeAlias = NDArray[Any]
    Row: TypeAlias = dict[str, Any]

__all__ = ["compare", "fit_within"]

#: Rows that probes learn from and are judged on, and rows whose neighbours are looked at.
PROBE_ROWS = 10_000
NEIGHBOUR_ROWS = 2_000


def compare(
    models: Mapping[str, Model],
    X_train: ArrayLike,
    X_test: ArrayLike,
    *,
    y_train: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    baselines: Sequence[str] = (),
    image_shape: Sequence[int] | None = None,
    seconds: Mapping[str, float] | None = None,
    random_state: int = 0,
) -> list[Row]:
    """Hold fitted models against PCA and other baselines of equal width.

    Parameters
    ----------
    models : mapping of name to Model
        Fitted models; their widths may differ.
    X_train : array-like of shape (n, ...)
        The rows that they were trained on, for baselines to be fitted on too.
    X_test : array-like of shape (m, ...)
        The rows to be judged on.
    y_train, y_test : array-like of shape (n,) and (m,), optional
        Labels. With them codes are also judged by what they tell about labels.
    baselines : sequence of str, optional
        Kinds of :class:`isthmus.estimators.Baseline` beside PCA, which is always there; for each width
        of a model. "untrained" gives each autoencoder its untrained twin.
    image_shape : sequence of int, optional
        What flat rows are pictures of, for the baseline "dct".
    seconds : mapping of name to float, optional
        How long each model took to fit, to be told with it.
    random_state : int, default=0
        Seed of baselines and of the rows that are drawn for probes.

    Returns
    -------
    list of dict
        One row for each model, then one for PCA at each of their widths, then for other baselines. Each
        has ``name``, ``kind`` ("model" or "baseline"), ``seconds``, the numbers of
        :func:`isthmus.comparison.describe`, ``trustworthiness`` (of 2,000 rows, 12 neighbours), with
        labels ``labels`` (``neighbors``: accuracy of the nearest neighbour, ``probe``: of a logistic
        regression, both with at most 10,000 rows to learn from; ``separability``), and what
        :func:`isthmus.comparison.judged` adds, the verdict among it.

    Raises
    ------
    InvalidParameterError
        If a model has the name of a baseline, a baseline is not known, or one that was asked for is not
        for such data.
    DataError
        If labels do not fit the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> X = np.random.default_rng(0).random((50, 4))
    >>> rows = compare({"twin": PCA(n_components=2).fit(X)}, X, X)
    >>> [row["name"] for row in rows], rows[0]["verdict"][:37]
    (['twin', 'PCA-2'], 'twin: as good as PCA with 2 component')
    """
    train, test = np.asarray(X_train), np.asarray(X_test)
    labels = _labels(y_train, y_test, len(train), len(test))
    started = time.perf_counter()
    contenders = with_pca(models, train, test)
    took = dict.fromkeys(contenders.keys() - models.keys(), time.perf_counter() - started) | dict(
        seconds or {}
    )
    shaped = train if image_shape is None else train.reshape(len(train), *image_shape)
    for name, model, duration in _others(models, baselines, shaped, test, labels, random_state):
        contenders[name], took[name] = model, duration
    view = _View(train, test, labels, random_state)
    rows, errors = [], {}
    for name, model in contenders.items():
        row, errors[name] = _row(model, view)
        kind = "model" if name in models else "baseline"
        rows.append({"name": name, "kind": kind, "seconds": took.get(name), **row})
    return judged(rows, errors, len(models), Spectrum(train, test))


def fit_within(model: Any, X: ArrayLike, seconds: float) -> Any:
    """Fit an autoencoder for as many epochs as fit into a time.

    Parameters
    ----------
    model : estimator
        An autoencoder of Isthmus; its ``epochs`` are set.
    X : array-like of shape (n, ...)
        Training rows.
    seconds : float
        The time; at least one epoch is trained.

    Returns
    -------
    estimator
        The model, fitted.
    """
    from sklearn.base import clone

    check_number(seconds, parameter="seconds", owner="fit_within", minimum=0, open_minimum=True)
    trial = clone(model).set_params(epochs=2, callbacks=None).fit(X)
    # The first epoch also warms caches up.
    pace = float(trial.history_[-1]["seconds"])
    return model.set_params(epochs=max(1, int(seconds / max(pace, 1e-6)))).fit(X)


@dataclass(frozen=True, eq=False)
class _View:
    """What all contenders are judged on."""

    train: Array
    test: Array
    labels: tuple[Array, Array] | None
    seed: int

    def drawn(self, rows: int, size: int) -> Array:
        """Return numbers of rows, all of them if there are no more than ``size``."""
        if rows <= size:
            return np.arange(rows)
        return np.sort(np.random.default_rng(self.seed).choice(rows, size, replace=False))


def _row(model: Model, view: _View) -> tuple[Row, Array]:
    result = reconstruct(model, view.test)
    row = describe(view.test, result)
    near = view.drawn(len(view.test), NEIGHBOUR_ROWS)
    enough = len(near) > 24
    row["trustworthiness"] = metrics.trustworthiness(view.test[near], result.codes[near]) if enough else None
    row["labels"] = None if view.labels is None else _told(model, result.codes, view, view.labels)
    return row, metrics.row_errors(view.test, result.copies)


def _told(model: Model, codes: Array, view: _View, labels: tuple[Array, Array]) -> Row:
    """Return what codes tell about labels."""
    learnt, judged_on = view.drawn(len(view.train), PROBE_ROWS), view.drawn(len(view.test), PROBE_ROWS)
    train_codes = np.asarray(model.transform(view.train[learnt]))
    train_codes = train_codes.reshape(len(learnt), -1)
    y_train, y_test = labels[0][learnt], labels[1][judged_on]
    arguments = (train_codes, y_train, codes[judged_on], y_test)
    separability = metrics.class_separability(codes[judged_on], y_test)
    return {
        "neighbors": metrics.neighbors_accuracy(*arguments),
        "probe": metrics.linear_probe(*arguments),
        "separability": separability if np.isfinite(separability) else None,
    }


def _labels(
    y_train: ArrayLike | None, y_test: ArrayLike | None, n_train: int, n_test: int
) -> tuple[Array, Array] | None:
    if y_train is None and y_test is None:
        return None
    known = (np.asarray(y_train), np.asarray(y_test))
    for labels, rows, name in zip(known, (n_train, n_test), ("y_train", "y_test"), strict=True):
        if labels.shape != (rows,):
            raise DataError(
                f"{name} has shape {labels.shape}, but compare is expecting a label for each of {rows} rows, "
                "for training and test rows or for neither."
            )
    return known


def _others(
    models: Mapping[str, Model],
    baselines: Sequence[str],
    train: Array,
    test: Array,
    labels: tuple[Array, Array] | None,
    seed: int,
) -> list[tuple[str, Model, float]]:
    """Return the baselines beside PCA, fitted, and how long that took."""
    from isthmus.estimators.baselines import KINDS, Baseline

    check_integer(seed, parameter="random_state", owner="compare")
    widths = sorted({code_width(model, test) for model in models.values()})
    found: dict[str, tuple[Model, float]] = {}
    for kind in baselines:
        if kind == "pca":
            continue
        if kind != "untrained" and kind not in KINDS:
            known = ", ".join(map(repr, [*KINDS, "untrained"]))
            raise wrong_parameter("compare", "baselines", f"some of {known}", kind)
        if kind == "untrained":
            found |= _twins(models, train)
            continue
        for width in widths:
            started = time.perf_counter()
            baseline = Baseline(kind, width, random_state=seed).fit(
                train, None if labels is None else labels[0]
            )
            # Widths that a method cannot have are the same for it.
            name = f"{KINDS[kind].title}-{baseline.n_components_}"
            found.setdefault(name, (baseline, time.perf_counter() - started))
    taken = sorted(models.keys() & found.keys())
    if taken:
        raise wrong_parameter("compare", "models", "without the name of a baseline", taken[0])
    return [(name, model, duration) for name, (model, duration) in found.items()]


def _twins(models: Mapping[str, Model], train: Array) -> dict[str, tuple[Model, float]]:
    from isthmus.estimators import BaseAutoencoder, untrained_twin

    autoencoders = {name: model for name, model in models.items() if isinstance(model, BaseAutoencoder)}
    return {
        f"untrained {name}": (untrained_twin(model, train.reshape(len(train), *model.input_shape_)), 0.0)
        for name, model in autoencoders.items()
    }
