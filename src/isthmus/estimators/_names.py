"""Names of columns: compared where tables come in, and left out where the rows are known to be in order."""

from __future__ import annotations

from typing import Any

import narwhals as nw
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from isthmus.errors import DataError

FEATURE_NAMES = "feature_names_in_"
KNOWN_NAMES = "_names_of_columns"


def column_names(X: Any) -> list[str] | None:
    """Return the names of the columns of a table, if it is one with names that are all text.

    Parameters
    ----------
    X : object
        A data frame of pandas or polars, a table of pyarrow, or anything else.
    """
    names = getattr(X, "column_names", None)
    if names is None and nw.dependencies.is_into_dataframe(X):
        names = X.columns
    if names is None:
        return None
    names = list(names)
    return names if names and all(isinstance(name, str) for name in names) else None


def refuse_moved_codes(codes: Any, estimator: Any) -> None:
    """Raise if codes are the columns that ``transform`` returns, in another order.

    Codes without names, or with other names, are taken by position.

    Parameters
    ----------
    codes : object
        What ``inverse_transform`` was given.
    estimator : estimator
        Whose codes they are; it has ``get_feature_names_out``.

    Raises
    ------
    DataError
        With the first column that is in another place.
    """
    names = column_names(codes)
    if names is None:
        return
    own = [str(name) for name in estimator.get_feature_names_out()]
    if names != own and sorted(names) == sorted(own):
        got, wanted = next(pair for pair in zip(names, own, strict=True) if pair[0] != pair[1])
        raise DataError(
            f"The columns of codes must be in the order in which {type(estimator).__name__}.transform returns "
            f"them. Got {got!r} in the place of {wanted!r}; select them with codes[model.get_feature_names_out()]."
        )


def refuse_other_columns(X: Any, other: Any, argument: str, owner: str) -> None:
    """Raise if two tables that are used together have other columns, or the same in another order.

    Parameters
    ----------
    X, other : object
        What was given; tables without names are taken by position.
    argument, owner : str
        What ``other`` is called, and by whom.

    Raises
    ------
    DataError
        With the first column that differs.
    """
    names, others = column_names(X), column_names(other)
    if names is None or others is None or names == others:
        return
    place = next((i for i, pair in enumerate(zip(names, others, strict=False)) if pair[0] != pair[1]), None)
    what = (
        f"{len(others)} columns, but X has {len(names)}"
        if place is None
        else f"the column {others[place]!r} where X has {names[place]!r}"
    )
    raise DataError(
        f"The feature names of {argument} of {owner} should match those of X, in the same order: it has {what}."
    )


def without_names(model: Any) -> Any:
    """Return a view of a fitted model that takes plain arrays, and returns them, without a warning.

    scikit-learn warns of each array that is given to a model that was fitted on a table. Where the names
    have been compared already, that is noise. The view shares everything with the model but the names and
    what ``set_output`` chose.

    Parameters
    ----------
    model : object
        A fitted model. One that does not keep the names itself is returned as it is.
    """
    if isinstance(model, Pipeline):
        return _with(model, steps=[(name, without_names(step)) for name, step in model.steps])
    if isinstance(model, FrozenEstimator):
        return FrozenEstimator(without_names(model.estimator))
    if not isinstance(model, BaseEstimator):
        return model
    view = _with(model, _sklearn_output_config={"transform": "default"})
    names = view.__dict__.pop(FEATURE_NAMES, None)
    if names is not None:
        view.__dict__[KNOWN_NAMES] = names  # for messages
    return view


def _with(model: Any, **attributes: Any) -> Any:
    """Return an object that shares the attributes of a model, but for some; its methods for copying are not asked."""
    view = object.__new__(type(model))
    view.__dict__.update(vars(model) | attributes)
    return view
