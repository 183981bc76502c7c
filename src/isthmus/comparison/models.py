"""Models and what they make of rows, in numbers; PCA of equal width beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import wrong_parameter
from isthmus.errors import DataError
from isthmus.estimators import Baseline, Model
from isthmus.metrics import (
    binary_cross_entropy,
    code_statistics,
    explained_variance,
    mean_squared_error,
    squared_error,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Row: TypeAlias = dict[str, Any]

__all__ = [
    "Model",
    "Reconstruction",
    "code_width",
    "describe",
    "evaluate",
    "evaluate_pca",
    "fit_pca",
    "reconstruct",
    "with_pca",
]


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What a model made of some rows.

    Attributes
    ----------
    codes : ndarray of shape (n, n_components)
    copies : ndarray with the shape of the rows
    """

    codes: Array
    copies: Array


def reconstruct(model: Model, X: Array) -> Reconstruction:
    """Send the rows of X through the model.

    Parameters
    ----------
    model : Model
        A fitted model.
    X : ndarray of shape (n, ...)
        Rows of the shape that the model was fitted on.

    Returns
    -------
    Reconstruction
        The copies have the shape of X, also where the model works on flat rows.
    """
    codes = np.asarray(model.transform(X))
    copies = np.asarray(model.inverse_transform(codes))
    if copies.size != X.size:
        raise DataError(f"The copies have shape {copies.shape} where {X.shape} was expected.")
    return Reconstruction(codes=codes.reshape(len(codes), -1), copies=copies.reshape(X.shape))


def code_width(model: Model, X: Array) -> int:
    """Return how many numbers the model makes of a row, asked with the first row of X."""
    return int(np.asarray(model.transform(X[:1])).size)


def describe(X: Array, reconstruction: Reconstruction) -> Row:
    """Return the numbers of one model on X.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        The originals.
    reconstruction : Reconstruction
        What the model made of them.

    Returns
    -------
    dict
        Plain Python numbers, ready for JSON:

        - ``rows``, ``features``, ``n_components``;
        - ``sse`` (squared error per row), ``mse`` (per value), ``explained_variance`` (share, against
          the mean of X);
        - ``sse_clipped`` (the copies clipped to [0, 1] first) and ``bce`` (nats per value), both
          None unless X lies in [0, 1];
        - ``codes``: ``mean``, ``zeros`` (share), ``dead`` (list of unit numbers, from 0).

    Raises
    ------
    DataError
        If a value is not a finite number.
    """
    copies = reconstruction.copies
    statistics = code_statistics(reconstruction.codes)
    in_unit_interval = bool(X.min() >= 0 and X.max() <= 1)
    return {
        "rows": len(X),
        "features": X.size // len(X),
        "n_components": reconstruction.codes.shape[1],
        "sse": squared_error(X, copies),
        "sse_clipped": squared_error(X, np.clip(copies, 0, 1)) if in_unit_interval else None,
        "mse": mean_squared_error(X, copies),
        "bce": binary_cross_entropy(X, copies) if in_unit_interval else None,
        "explained_variance": explained_variance(X, copies, X.mean(axis=0, dtype=np.float64)),
        "codes": {
            "mean": statistics.mean,
            "zeros": statistics.zeros,
            "dead": list(statistics.dead),
        },
    }


def evaluate(model: Model, X: Array) -> Row:
    """Return how well a fitted model copies the rows of X.

    Parameters
    ----------
    model : Model
        A fitted model.
    X : ndarray of shape (n, ...)
        Rows that it should copy, best ones that it was not trained on.

    Returns
    -------
    dict
        Plain Python numbers, as :func:`describe` lists them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> X = np.array([[0.0, 0.0], [1.0, 0.2], [0.0, 0.1], [1.0, 0.1]])
    >>> numbers = evaluate(PCA(n_components=1).fit(X), X)
    >>> round(numbers["sse"], 4), round(numbers["explained_variance"], 3)
    (0.0025, 0.99)
    """
    X = np.asarray(X)
    return describe(X, reconstruct(model, X))


def fit_pca(train: Array, n_components: int) -> Baseline:
    """Fit scikit-learn's PCA, the best linear code of its width, on rows of any shape.

    Parameters
    ----------
    train : ndarray of shape (n, ...)
        The rows that the model to be compared was trained on.
    n_components : int
        Its width. More than PCA can have (the number of features, or of rows) becomes what it can.

    Returns
    -------
    Baseline

    References
    ----------
    K. Pearson, "On lines and planes of closest fit to systems of points in space", 1901.
    """
    return Baseline("pca", n_components).fit(train)


def evaluate_pca(train: Array, X: Array, n_components: int) -> Row:
    """Return the numbers of PCA fitted on ``train``, for the rows of X.

    Parameters
    ----------
    train : ndarray of shape (n, ...)
        The rows to fit it on.
    X : ndarray of shape (m, ...)
        The rows to copy.
    n_components : int
        The width of the model that it is held against.

    Returns
    -------
    dict
        The same numbers as :func:`evaluate`. PCA does not know that pixels end at 0 and 1:
        ``sse`` is the textbook's, of its copies as they are, ``sse_clipped`` and ``bce`` are those
        of the clipped ones.
    """
    return evaluate(fit_pca(np.asarray(train), n_components), X)


def with_pca(models: Mapping[str, Model], train: Array, X: Array) -> dict[str, Model]:
    """Return the models, and after them PCA for each of their widths, called ``PCA-32``.

    Parameters
    ----------
    models : mapping of name to Model
        Fitted models.
    train : ndarray of shape (n, ...)
        The rows that PCA is fitted on.
    X : ndarray of shape (m, ...)
        Rows for the models, of which one is used to ask for the widths.

    Raises
    ------
    InvalidParameterError
        If a model has a name that is kept for PCA.
    """
    widths = sorted({code_width(model, X) for model in models.values()})
    baselines = {f"PCA-{width}": fit_pca(train, width) for width in widths}
    for taken in models.keys() & baselines.keys():
        raise wrong_parameter("compare", "models", "without the name of a baseline", taken)
    return {**models, **baselines}
