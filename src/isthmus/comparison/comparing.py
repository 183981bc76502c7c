"""Models beside baselines, by every number that one may ask for."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus import metrics
from isthmus._checks import check_integer, check_number, wrong_parameter
from isthmus.comparison.contests import Contest, accepted, contest
from isthmus.comparison.models import describe, in_space, reconstruct
from isthmus.comparison.spaces import Space
from isthmus.comparison.verdicts import judged
from isthmus.errors import DataError, NotComparedWarning
from isthmus.estimators import BaseAutoencoder, untrained_twin
from isthmus.estimators._training_range import one_warning
from isthmus.estimators.baselines import KINDS, Baseline
from isthmus.rows import as_array, is_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from isthmus.comparison.models import Model

    Array: TypeAlias = NDArray[Any]
    Row: TypeAlias = dict[str, Any]

__all__ = ["compare", "fit_within", "unsuitable"]

#: Rows that probes learn from and are tested on, and rows whose neighbours are looked at.
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
    space: str = "auto",
    image_shape: Sequence[int] | None = None,
    seconds: Mapping[str, float] | None = None,
    random_state: int = 0,
) -> list[Row]:
    """Compare fitted models with PCA and other baselines.

    Models and baselines are judged by their squared error in one space. Every baseline is fitted in this
    space. Errors in the units of the data are reported beside it and decide nothing.

    Parameters
    ----------
    models : mapping of name to Model
        Fitted models; their widths may differ.
    X_train : array-like of shape (n, ...)
        The rows that they were trained on. The baselines are fitted on them too.
    X_test : array-like of shape (m, ...)
        The rows that everything is judged on.
    y_train, y_test : array-like of shape (n,) and (m,), optional
        Labels. With them codes are also judged by what they tell about labels.
    baselines : sequence of str, optional
        Kinds of :class:`isthmus.estimators.Baseline` beside PCA, which is always there; for each width that
        models are compared at. "untrained" gives each autoencoder its untrained twin.
    space : {"auto", "raw", "standard", "minmax"}, default="auto"
        Where errors are counted: "raw" in the units of the data, "standard" in columns of mean 0 and standard
        deviation 1, "minmax" in columns scaled to [0, 1]. "auto" is the scaling in which the autoencoders were
        trained, if they agree; otherwise "standard" for tables and "raw" for images and for rows in [0, 1].
    image_shape : sequence of int, optional
        The shape of the images that flat rows hold, for the baseline "dct".
    seconds : mapping of name to float, optional
        How long each model took to fit, to be reported with it.
    random_state : int, default=0
        Seed of baselines, of noise, and of the rows that are drawn for probes.

    Returns
    -------
    list of dict
        One row for each model, then one for PCA with each number of components that a model is compared
        with, then one for each other baseline. Each has ``name``, ``kind`` ("model" or "baseline"),
        ``seconds``, the numbers of :func:`isthmus.comparison.describe`, ``trustworthiness`` (of 2,000 rows, 12
        neighbours), and with labels ``labels`` (``neighbors``: accuracy of the nearest neighbour, ``probe``: of
        a logistic regression, both with at most 10,000 rows to learn from; ``separability``). Models also
        have ``compared_width``, ``width_reason``, ``task`` (see :func:`isthmus.comparison.judge_task`),
        ``training`` (epochs, and why training ended) and what :func:`isthmus.comparison.judged` adds, the
        verdict among it.

    Raises
    ------
    InvalidParameterError
        If a model has the name of a baseline, a baseline is not known, or one that was asked for is not
        for such data.
    DataError
        If labels do not fit the rows.

    Warns
    -----
    NotComparedWarning
        When a number cannot be computed, such as the accuracy for labels of one class. It is None then.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> X = np.random.default_rng(0).random((50, 4))
    >>> rows = compare({"twin": PCA(n_components=2).fit(X)}, X, X)
    >>> [row["name"] for row in rows], rows[0]["verdict"][:37]
    (['twin', 'PCA-2'], 'twin: as good as PCA with 2 component')
    """
    check_integer(random_state, parameter="random_state", owner="compare")
    models, train, test = accepted(models, X_train, X_test, "compare")
    labels = _labels(y_train, y_test, len(train), len(test))
    with one_warning():
        return _compared(
            models, train, test, labels, baselines, space, image_shape, dict(seconds or {}), random_state
        )


def _compared(
    models: Mapping[str, Model],
    train: Array,
    test: Array,
    labels: tuple[Array, Array] | None,
    baselines: Sequence[str],
    space: str,
    image_shape: Sequence[int] | None,
    seconds: Mapping[str, float],
    random_state: int,
) -> list[Row]:
    """Return what :func:`compare` returns, of arrays."""
    held = contest(models, train, test, space, image_shape=image_shape, seed=random_state)
    took = {**held.seconds, **seconds}
    contenders = dict(held.contenders)
    for name, model, duration in _others(held, baselines, image_shape, labels, random_state):
        contenders[name], took[name] = model, duration
    view = _View(train, test, labels, random_state, {})
    rows, errors = [], {}
    for name, model in contenders.items():
        row, errors[name] = _row(name, model, view, held.space)
        kind = "model" if name in models else "baseline"
        rows.append({"name": name, "kind": kind, "seconds": took.get(name), **row, **held.beside(name)})
    for what, reason in view.left_out.items():
        warnings.warn(f"The {what} is left out: {reason}", NotComparedWarning, stacklevel=3)
    return judged(rows, errors, len(models), held.spectrum)


def fit_within(model: Any, X: ArrayLike, seconds: float) -> Any:
    """Fit an autoencoder for its own number of epochs, and stop at a time limit.

    Parameters
    ----------
    model : estimator
        An autoencoder of Isthmus.
    X : array-like of shape (n, ...)
        Training rows.
    seconds : float
        The limit. When it is reached, training stops after the epoch that is under way, and ``stop_reason_``
        is "time limit".

    Returns
    -------
    estimator
        The model, fitted.
    """
    from isthmus.training import TimeLimit

    check_number(seconds, parameter="seconds", owner="fit_within", minimum=0, open_minimum=True)
    own = model.callbacks
    try:
        return model.set_params(callbacks=[*(own or []), TimeLimit(seconds)]).fit(X)
    finally:
        model.set_params(callbacks=own)


def unsuitable(kinds: Sequence[str], X: Array, y: ArrayLike | None, space: Space) -> dict[str, str]:
    """Return which baselines cannot be fitted to rows in a space, each with what it needs.

    Parameters
    ----------
    kinds : sequence of str
        Names of baselines.
    X : ndarray of shape (n, ...)
        Training rows in the units of the data.
    y : array-like of shape (n,) or None
        Their labels.
    space : Space
        The space in which they would be fitted.
    """
    rows = space.scale(X).reshape(len(X), -1)
    unfit = [kind for kind in kinds if kind in KINDS and not KINDS[kind].suits(rows, y)]
    return {kind: KINDS[kind].needs for kind in unfit}


@dataclass(frozen=True, eq=False)
class _View:
    """What all contenders are judged on, and what turns out not to be computable on it."""

    train: Array
    test: Array
    labels: tuple[Array, Array] | None
    seed: int
    left_out: dict[str, str]

    def attempt(self, what: str, compute: Callable[[], float]) -> float | None:
        """Return a number; or None, and remember why it cannot be computed."""
        try:
            with warnings.catch_warnings():
                # Labels that may be no classes: the number says so itself.
                warnings.simplefilter("ignore", UserWarning)
                return compute()
        except (ValueError, TypeError) as error:  # labels that cannot be ordered, for one
            self.left_out.setdefault(what, str(error))
            return None

    def drawn(self, rows: int, size: int) -> Array:
        """Return numbers of rows, all of them if there are no more than ``size``."""
        if rows <= size:
            return np.arange(rows)
        return np.sort(np.random.default_rng(self.seed).choice(rows, size, replace=False))


def _row(name: str, model: Model, view: _View, space: Space) -> tuple[Row, Array]:
    result = reconstruct(model, view.test, name)
    row = describe(view.test, result, space)
    near = view.drawn(len(view.test), NEIGHBOUR_ROWS)
    scaled = space.scale(view.test[near])
    row["trustworthiness"] = view.attempt(
        "trustworthiness", lambda: metrics.trustworthiness(scaled, result.codes[near])
    )
    row["labels"] = None if view.labels is None else _told(model, result.codes, view, view.labels)
    return row, space.row_errors(view.test, result.copies)


def _told(model: Model, codes: Array, view: _View, labels: tuple[Array, Array]) -> Row:
    """Return what codes tell about labels."""
    learnt, judged_on = view.drawn(len(view.train), PROBE_ROWS), view.drawn(len(view.test), PROBE_ROWS)
    train_codes = np.asarray(model.transform(view.train[learnt])).reshape(len(learnt), -1)
    y_train, y_test = labels[0][learnt], labels[1][judged_on]
    arguments = (train_codes, y_train, codes[judged_on], y_test)
    separability = view.attempt(
        "class separability", lambda: metrics.class_separability(codes[judged_on], y_test)
    )
    return {
        "neighbors": view.attempt("1-NN accuracy", lambda: metrics.neighbors_accuracy(*arguments)),
        "probe": view.attempt("probe accuracy", lambda: metrics.linear_probe(*arguments)),
        "separability": separability if separability is not None and np.isfinite(separability) else None,
    }


def _labels(
    y_train: ArrayLike | None, y_test: ArrayLike | None, n_train: int, n_test: int
) -> tuple[Array, Array] | None:
    if y_train is None and y_test is None:
        return None
    known = _array(y_train), _array(y_test)
    for labels, rows, name in zip(known, (n_train, n_test), ("y_train", "y_test"), strict=True):
        if labels.shape != (rows,):
            raise DataError(
                f"{name} has shape {labels.shape}, but compare is expecting a label for each of {rows} rows, "
                "for training and test rows or for neither."
            )
    kinds = {
        "text" if labels.dtype.kind in "UST" else "numbers" for labels in known if labels.dtype.kind != "O"
    }
    if len(kinds) > 1:
        raise DataError(
            "y_train and y_test are text and numbers, but compare is expecting labels of one kind."
        )
    return known


def _array(labels: ArrayLike | None) -> Array:
    return as_array(labels, "labels") if is_tensor(labels) else np.asarray(labels)


def _others(
    held: Contest,
    baselines: Sequence[str],
    image_shape: Sequence[int] | None,
    labels: tuple[Array, Array] | None,
    seed: int,
) -> list[tuple[str, Model, float]]:
    """Return the baselines beside PCA, fitted in the space, and how long that took."""
    train, models, space = held.bench.train, held.models, held.space
    scaled = space.scale(train)
    shaped = scaled if image_shape is None else scaled.reshape(len(train), *image_shape)
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
        for width in sorted({width for width, _ in held.widths.values()}):
            started = time.perf_counter()
            baseline = Baseline(kind, width, random_state=seed).fit(
                shaped, None if labels is None else labels[0]
            )
            # Widths that a method cannot have are the same for it.
            name = f"{KINDS[kind].title}-{baseline.n_components_}"
            found.setdefault(name, (in_space(baseline, space), time.perf_counter() - started))
    taken = sorted(models.keys() & found.keys())
    if taken:
        raise wrong_parameter("compare", "models", "without the name of a baseline", taken[0])
    return [(name, model, duration) for name, (model, duration) in found.items()]


def _twins(models: Mapping[str, Model], train: Array) -> dict[str, tuple[Model, float]]:
    autoencoders = {name: model for name, model in models.items() if isinstance(model, BaseAutoencoder)}
    return {
        f"untrained {name}": (untrained_twin(model, train.reshape(len(train), *model.input_shape_)), 0.0)
        for name, model in autoencoders.items()
    }
