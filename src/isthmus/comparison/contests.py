"""Models and the PCA that each is compared with, in one space."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from sklearn.utils.validation import check_is_fitted

from isthmus._checks import wrong_parameter
from isthmus.comparison.models import compared_width, describe, reconstruct, with_pca
from isthmus.comparison.spaces import Space, choose_space
from isthmus.comparison.tasks import Bench, judge_task
from isthmus.comparison.verdicts import Spectrum, judged
from isthmus.errors import DataError, InvalidTypeError
from isthmus.estimators import BaseAutoencoder
from isthmus.estimators._names import FEATURE_NAMES, column_names, refuse_other_columns, without_names
from isthmus.estimators._training_range import one_warning
from isthmus.rows import given_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from isthmus.comparison.models import Model

    Array: TypeAlias = NDArray[Any]
    Row: TypeAlias = dict[str, Any]

__all__ = ["Contest", "accepted", "contest", "evaluate_with_pca", "training_words"]


@dataclass(frozen=True, eq=False)
class Contest:
    """Models and the PCA that each is compared with, in one space.

    Attributes
    ----------
    models : dict of name to Model
        The models that are judged.
    contenders : dict of name to Model
        The models, and after them PCA with each number of components that is needed.
    bench : Bench
        Rows, space and spectrum.
    widths : dict of name to (int, str)
        The number of components that each model is compared with, and why it is not the model's own.
    seconds : dict of name to float
        How long it took to fit PCA.
    """

    models: Mapping[str, Model]
    contenders: Mapping[str, Model]
    bench: Bench
    widths: Mapping[str, tuple[int, str]]
    seconds: Mapping[str, float]

    @property
    def space(self) -> Space:
        """The space of the comparison."""
        return self.bench.space

    @property
    def spectrum(self) -> Spectrum:
        """PCA of the training rows in this space."""
        return self.bench.spectrum

    def beside(self, name: str) -> Row:
        """Return what a verdict has to know of a model beside its errors; nothing for a baseline."""
        if name not in self.models:
            return {}
        model, (width, reason) = self.models[name], self.widths[name]
        return {
            "compared_width": width,
            "width_reason": reason,
            "space_words": self.space.words,
            "task": judge_task(name, model, self.bench),
            "training": training_words(model),
        }


def accepted(
    models: Mapping[str, Model], X_train: Any, X_test: Any, owner: str
) -> tuple[dict[str, Model], Array, Array]:
    """Return models and rows as they are compared: plain arrays, whose columns are those of the models.

    Parameters
    ----------
    models : mapping of name to Model
        Fitted models.
    X_train, X_test : array-like or data frame
        Rows in any container that an autoencoder takes.
    owner : str
        The function that was called, for messages.

    Raises
    ------
    DataError
        If two tables, or a table and a model, have other columns, or the same in another order.
    """
    if not isinstance(models, Mapping):
        raise InvalidTypeError(
            str(wrong_parameter(owner, "models", "a mapping of names to fitted models", models))
        )
    refuse_other_columns(X_train, X_test, "the test rows", owner)
    names = column_names(X_train)
    for name, model in models.items():
        if isinstance(model, BaseAutoencoder):
            check_is_fitted(model)
        own = getattr(model, FEATURE_NAMES, None)
        if names is not None and own is not None and list(own) != names:
            raise DataError(
                f"The feature names of the training rows of {owner} should match those that {name} was fitted on, in "
                "the same order."
            )
    bare = {name: without_names(model) for name, model in models.items()}
    train, test = _complete(X_train, f"X_train of {owner}"), _complete(X_test, f"X_test of {owner}")
    return bare, train, test


def _complete(X: Any, owner: str) -> Array:
    """Return rows as an array, if no value is missing."""
    rows = given_rows(X, owner).values
    if rows.dtype.kind == "f" and not np.isfinite(rows.sum(dtype=np.float64)):
        missing = ~np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
        if missing.any():
            raise DataError(
                f"{owner} has NaN or infinity in row {int(np.argmax(missing))}, and {int(missing.sum()) - 1} more such "
                "rows. A comparison with PCA needs complete rows: leave these out, or impute them first. Models with "
                "missing='mask' have score(), which counts what is observed."
            )
    return rows


def contest(
    models: Mapping[str, Model],
    train: Array,
    test: Array,
    space: str = "auto",
    *,
    image_shape: Sequence[int] | None = None,
    seed: int = 0,
    owner: str = "compare",
) -> Contest:
    """Choose a space, fit PCA in it for each model, and return all that are to be judged.

    Parameters
    ----------
    models : mapping of name to Model
        Fitted models.
    train, test : ndarray of shape (n, ...) and (m, ...)
        Rows in the units of the data.
    space, image_shape
        As for :func:`compare`.
    seed : int
        Of noise, and of what is drawn.
    owner : str
        The function that was called, for messages.
    """
    chosen = choose_space(models, train, space, image_shape=image_shape, owner=owner)
    started = time.perf_counter()
    spectrum = Spectrum(chosen.scale(train), chosen.scale(test))
    widths = {name: compared_width(model, test, spectrum.rank) for name, model in models.items()}
    contenders = with_pca(models, {name: width for name, (width, _) in widths.items()}, train, chosen)
    took = time.perf_counter() - started
    return Contest(
        models=dict(models),
        contenders=contenders,
        bench=Bench(train, test, chosen, spectrum, seed),
        widths=widths,
        seconds=dict.fromkeys(contenders.keys() - models.keys(), took),
    )


def training_words(model: object) -> str:
    """Return how many epochs a model was trained for and why that ended, in a sentence; empty if not known."""
    if not isinstance(model, BaseAutoencoder) or not model.n_epochs_:
        return ""
    done, planned = model.n_epochs_, model.settings_.epochs
    of = f"{done} of {planned} epochs" if planned > done else f"{done} epoch{'' if done == 1 else 's'}"
    return {
        "early stopping": f"Training stopped after {of}, as the validation loss no longer fell.",
        "time limit": f"Training stopped after {of} at the time limit; more time may lower the error.",
        "interrupted": f"Training was interrupted after {of}.",
        "callback": f"A callback stopped training after {of}.",
    }.get(model.stop_reason_ or "", f"Trained for {of}.")


def evaluate_with_pca(
    name: str,
    model: Model,
    X_train: ArrayLike,
    X: ArrayLike,
    *,
    space: str = "auto",
    image_shape: Sequence[int] | None = None,
) -> tuple[Row, Row]:
    """Return the numbers of a model on X with its verdict, and those of the PCA that it is compared with.

    Parameters
    ----------
    name : str
        What to call the model.
    model : Model
        A fitted model.
    X_train : array-like of shape (n, ...)
        The rows that it was trained on.
    X : array-like of shape (m, ...)
        The rows to judge it on.
    space, image_shape
        As for :func:`compare`.

    Returns
    -------
    model_row, pca_row : dict
        As in the result of :func:`compare`, without what codes tell about neighbours and labels.
    """
    models, train, test = accepted({name: model}, X_train, X, "evaluate_with_pca")
    with one_warning():
        return _evaluated(models, train, test, space, image_shape)


def _evaluated(
    models: Mapping[str, Model], train: Array, test: Array, space: str, image_shape: Sequence[int] | None
) -> tuple[Row, Row]:
    held = contest(models, train, test, space, image_shape=image_shape, owner="evaluate_with_pca")
    rows, errors = [], {}
    for contender, fitted in held.contenders.items():
        result = reconstruct(fitted, test, contender)
        errors[contender] = held.space.row_errors(test, result.copies)
        row = describe(test, result, held.space)
        rows.append({"name": contender, **row, **held.beside(contender)})
    own, pca = judged(rows, errors, 1, held.spectrum)
    return own, pca
