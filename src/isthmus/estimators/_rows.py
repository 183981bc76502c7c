"""From what users pass to rows: checked, two-dimensional, and of a known floating type."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from isthmus.errors import DataError
from isthmus.rows import Given, given_rows

#: Floating numbers or unsigned bytes.
Rows = NDArray[Any]

#: Rows passed through a network at a time: enough to keep the cores busy, little enough for the cache.
BLOCK_ROWS = 2048


def check_rows(
    estimator: BaseEstimator,
    X: ArrayLike | Given,
    *,
    reset: bool,
    min_rows: int = 1,
    argument: str = "X",
    gaps: bool = False,
) -> Rows:
    """Return ``X`` as C-ordered rows of float32, float64 or unsigned bytes, shape (n, features).

    Images and other arrays of more than two dimensions are flattened behind the first one. The type of the
    values decides, whatever container they came in: unsigned bytes stay what they are, float16, bfloat16 and
    other integers of at most 16 bits become float32, and every other type but float32 becomes float64.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose ``n_features_in_`` and ``feature_names_in_`` are set (``reset``) or compared.
    X : array-like or Given
        The data.
    reset : bool
        Whether this is a first fit.
    min_rows : int, default=1
        Fewest rows that are accepted.
    argument : str, default="X"
        What the caller calls the data, for messages.
    gaps : bool, default=False
        Whether NaN may stand for a missing value; a row needs at least one that is not.
    """
    owner = f"{argument} of {type(estimator).__name__}"
    given = given_rows(X, owner)
    if not reset:
        _refuse_other_shape(given, estimator, argument)
    rows: Rows = accept(
        estimator,
        given,
        reset=reset,
        dtype=_numbers(given),
        order="C",
        ensure_min_samples=min_rows,
        ensure_all_finite=False,
    )
    advice = (
        ", or leave them out of the training with missing='mask'" if hasattr(estimator, "missing") else ""
    )
    _refuse_non_finite(rows, owner, getattr(estimator, "feature_names_in_", None), advice, gaps=gaps)
    return rows


def accept(estimator: BaseEstimator, given: Given, *, reset: bool, **checks: Any) -> Rows:
    """Return rows that have been checked by scikit-learn, flat, and set or compare the names of their columns.

    Parameters
    ----------
    estimator : BaseEstimator
        Whose ``n_features_in_`` and ``feature_names_in_`` are set (``reset``) or compared.
    given : Given
        The data.
    reset : bool
        Whether this is a first fit.
    **checks : object
        As for :func:`sklearn.utils.check_array`.
    """
    flat = flatten(given.values)
    if given.frame is None:
        return np.asarray(validate_data(estimator, flat, reset=reset, **checks))
    validate_data(estimator, given.frame, reset=reset, skip_check_array=True)  # its names
    return np.asarray(check_array(flat, estimator=estimator, input_name="X", **checks))


def _refuse_other_shape(X: Any, estimator: Any, argument: str) -> None:
    """Raise if rows of more than one dimension are not of the shape that was fitted; flat ones may come."""
    shape, fitted = getattr(X, "shape", ()), estimator.input_shape_
    if len(shape) > 2 and tuple(shape[1:]) != fitted:
        name = type(estimator).__name__
        raise DataError(
            f"{argument} has rows of shape {tuple(shape[1:])}, but {name} is expecting rows of shape {fitted}."
        )


def _refuse_non_finite(
    rows: Rows, owner: str, names: NDArray[Any] | None, advice: str, *, gaps: bool
) -> None:
    # The sum is finite unless a value is not, or the sum overflows: only then is a closer look worth it.
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(rows.sum(dtype=np.float64)):
            return
    finite = np.isfinite(rows)
    if gaps:
        empty = np.isnan(rows).all(axis=1)
        if empty.any():
            raise DataError(
                f"{owner} has nothing but NaN in row {int(np.argmax(empty))}. Drop such rows first."
            )
        finite |= np.isnan(rows)
    if finite.all():
        return
    row, column = (int(index) for index in np.argwhere(~finite)[0])
    what = "NaN" if np.isnan(rows[row, column]) else "infinity (inf)"
    where = f"row {row}, column {column if names is None else repr(str(names[column]))}"
    others = int((~finite).any(axis=1).sum()) - 1
    raise DataError(
        f"{owner} contains {what} in {where}{f', and {others} more such rows' if others else ''}. "
        f"Drop or impute these rows first, for example with sklearn.impute.SimpleImputer"
        f"{advice if what == 'NaN' else ''}."
    )


def check_codes(codes: ArrayLike, n_components: int, owner: str) -> Rows:
    """Return codes as rows of float32 or float64, shape (n, n_components)."""
    codes = given_rows(codes, f"codes of {owner}").values
    with np.errstate(invalid="ignore"):  # large codes of both signs, in the sum that scikit-learn looks at
        rows: Rows = check_array(codes, dtype=_floating(codes), order="C", input_name="codes")
    if rows.shape[1] != n_components:
        raise DataError(
            f"codes has {rows.shape[1]} features, but {owner} is expecting {n_components} features as input: "
            "one for each component, as transform returns them."
        )
    return rows


def shape_of_rows(X: Any, n_features: int) -> tuple[int, ...]:
    """Return the shape of one row as the user sees it: ``(features,)``, ``(height, width)``, ..."""
    if getattr(X, "ndim", 2) > 2:
        return tuple(int(length) for length in X.shape[1:])
    return (n_features,)


def flatten(X: Any) -> Any:
    """Return an array of more than two dimensions with one row each; anything else untouched."""
    if getattr(X, "ndim", 2) > 2:
        array = np.asarray(X)
        return array.reshape(len(array), math.prod(array.shape[1:]))
    return X


def precision_of(rows: Rows) -> np.dtype[Any]:
    """Return the type in which rows are computed with."""
    return np.dtype(np.float32) if rows.dtype == np.uint8 else rows.dtype


def _numbers(X: Any) -> Any:
    return np.uint8 if getattr(X, "dtype", None) == np.uint8 else _floating(X)


def _floating(X: Any) -> Any:
    dtype = getattr(X, "dtype", None)
    small = isinstance(dtype, np.dtype) and dtype.kind in "iuf" and dtype.itemsize <= 2
    return np.float32 if small else [np.float64, np.float32]
