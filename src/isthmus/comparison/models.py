"""Fitted models and their reconstructions in numbers, and PCA beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import wrong_parameter
from isthmus.comparison.spaces import RAW, ScaledModel, Space, space_of
from isthmus.comparison.verdicts import ALL_DIRECTIONS
from isthmus.errors import DataError
from isthmus.estimators import Baseline, Model
from isthmus.estimators._names import without_names
from isthmus.metrics import binary_cross_entropy, code_statistics, squared_error
from isthmus.rows import given_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Row: TypeAlias = dict[str, Any]

__all__ = [
    "Model",
    "Reconstruction",
    "compared_width",
    "describe",
    "evaluate",
    "evaluate_pca",
    "fit_pca",
    "reconstruct",
    "with_pca",
]

#: Rows from which the mean number of active code units is taken.
ACTIVITY_ROWS = 2000
#: A code is sparse where a row uses at most this share of its units.
SPARSE_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """The codes and reconstructions of some rows.

    Attributes
    ----------
    codes : ndarray of shape (n, n_components)
    copies : ndarray with the shape of the rows
        The reconstructions, in the units of the data.
    """

    codes: Array
    copies: Array


def reconstruct(model: Model, X: Array, name: str = "the model") -> Reconstruction:
    """Encode and decode the rows of X.

    Parameters
    ----------
    model : Model
        A fitted model.
    X : ndarray of shape (n, ...)
        Rows of the shape that the model was fitted on.
    name : str, default="the model"
        What to call the model in errors.

    Returns
    -------
    Reconstruction
        The reconstructions have the shape of X, also where the model works on flat rows.

    Raises
    ------
    DataError
        If the model cannot encode or decode the rows, or its reconstructions are not finite or of another size.
    """
    try:
        codes = np.asarray(model.transform(X))
        copies = np.asarray(model.inverse_transform(codes))
    except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise DataError(
            f"Rows cannot be reconstructed by {name} ({type(model).__name__}): {error}"
        ) from error
    if copies.size != X.size:
        raise DataError(
            f"The reconstructions of {name} have shape {copies.shape}, but rows of shape {X.shape} were given."
        )
    for what, values in (("codes", codes), ("reconstructions", copies)):
        if not np.isfinite(values).all():
            raise DataError(f"The {what} of {name} contain NaN or infinity.")
    return Reconstruction(codes=codes.reshape(len(codes), -1), copies=copies.reshape(X.shape))


def compared_width(model: Model, X: Array, rank: int) -> tuple[int, str]:
    """Return the number of components of the PCA that a model is compared with, and why it is not the model's.

    This is the number of code units. For a sparse code, in which a row uses half of the units or fewer, it is
    the mean number of units that are not zero, rounded up. It is never above the rank of the data, at which PCA
    has no error left.

    Parameters
    ----------
    model : Model
        A fitted model.
    X : ndarray of shape (n, ...)
        Test rows, of which at most 2,000 are used.
    rank : int
        The rank of the training rows.

    Returns
    -------
    width : int
    reason : str
        Empty where ``width`` is the number of code units.

    Examples
    --------
    >>> X = np.eye(4)
    >>> compared_width(Baseline("kmeans", 4).fit(X), X, rank=3)
    (1, 'the mean number of active code units')
    """
    some = X[:: max(1, -(-len(X) // ACTIVITY_ROWS))]
    codes = np.asarray(model.transform(some)).reshape(len(some), -1)
    units = codes.shape[1]
    active = float((codes != 0).sum(axis=1).mean())
    if units > 1 and (active <= SPARSE_SHARE * units or (units > rank > active)):
        return min(max(1, math.ceil(active)), rank), "the mean number of active code units"
    return (units, "") if units <= rank else (rank, ALL_DIRECTIONS)


def describe(X: Array, reconstruction: Reconstruction, space: Space = RAW) -> Row:
    """Return the numbers of one model on X.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        The originals, in the units of the data.
    reconstruction : Reconstruction
        Their codes and reconstructions.
    space : Space, default=RAW
        The space in which errors are counted.

    Returns
    -------
    dict
        Plain Python numbers, ready for JSON:

        - ``rows``, ``features``, ``n_components``, and ``space``, the name of the space;
        - in the space: ``sse`` (squared error per row), ``mse`` (per value), ``explained_variance`` (share of
          the squared distance to the mean of X; None where rows do not differ);
        - ``column_rmse``: the root mean squared error of each feature in the units of the data; None in the
          space "raw";
        - ``sse_clipped`` (with reconstructions clipped to [0, 1]) and ``bce`` (nats per value), both None
          unless X lies in [0, 1] and the space is "raw";
        - ``codes``: ``mean``, ``zeros`` (share), ``active`` (mean number of units of a row that are not
          zero), ``dead`` (list of unit numbers, from 0).

    Raises
    ------
    DataError
        If a value is not a finite number.
    """
    copies = reconstruction.copies
    errors = space.row_errors(X, copies)
    mean = np.broadcast_to(X.mean(axis=0, dtype=np.float64), X.shape)
    differ = bool((X[:1] != X).any())
    statistics = code_statistics(reconstruction.codes)
    as_pixels = space.is_raw and bool(X.min() >= 0 and X.max() <= 1)
    features = X.size // len(X)
    return {
        "rows": len(X),
        "features": features,
        "n_components": reconstruction.codes.shape[1],
        "space": space.name,
        "sse": float(errors.mean()),
        "sse_clipped": squared_error(X, np.clip(copies, 0, 1)) if as_pixels else None,
        "mse": float(errors.mean()) / features,
        "bce": binary_cross_entropy(X, copies) if as_pixels else None,
        "explained_variance": _explained(errors, space.row_errors(X, mean)) if differ else None,
        "column_rmse": None if space.is_raw else _column_errors(X, copies),
        "codes": {
            "mean": statistics.mean,
            "zeros": statistics.zeros,
            "active": float((reconstruction.codes != 0).sum(axis=1).mean()),
            "dead": list(statistics.dead),
        },
    }


def evaluate(model: Model, X: Array, space: Space | None = None) -> Row:
    """Return how well a fitted model reconstructs the rows of X.

    Parameters
    ----------
    model : Model
        A fitted model.
    X : ndarray of shape (n, ...)
        Rows, preferably ones that it was not trained on.
    space : Space, optional
        The space in which errors are counted. Left out, it is the one in which the model was trained, in which
        ``explained_variance`` equals the model's own ``score``.

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
    >>> round(numbers["explained_variance"], 2)
    0.99
    """
    rows = given_rows(X, "X of evaluate").values
    result = reconstruct(without_names(model), rows)
    return describe(rows, result, space_of(model) if space is None else space)


def fit_pca(train: Array, n_components: int, space: Space = RAW) -> Model:
    """Return PCA of the training rows in a space, with at most as many components as they allow.

    Parameters
    ----------
    train : ndarray of shape (n, ...)
        The rows to fit it on, in the units of the data.
    n_components : int
        The number of components.
    space : Space, default=RAW
        The space in which the components are found.

    Returns
    -------
    Model
        It takes and returns rows in the units of the data.
    """
    return in_space(Baseline("pca", n_components).fit(space.scale(train)), space)


def in_space(model: Model, space: Space) -> Model:
    """Return a model that was fitted in a space as one of rows in the units of the data."""
    return model if space.is_raw else ScaledModel(model, space)


def evaluate_pca(train: Array, X: Array, n_components: int, space: Space = RAW) -> Row:
    """Fit PCA on training rows and return how well it reconstructs the rows of X.

    Parameters
    ----------
    train : ndarray of shape (n, ...)
        The rows to fit it on.
    X : ndarray of shape (m, ...)
        The rows to reconstruct.
    n_components : int
        The number of components.
    space : Space, default=RAW
        The space in which PCA is fitted and its errors are counted.

    Returns
    -------
    dict
        The same numbers as :func:`evaluate`. PCA does not know that pixels end at 0 and 1: ``sse`` is that of
        its reconstructions as they are, ``sse_clipped`` and ``bce`` are those of the clipped ones.
    """
    return evaluate(fit_pca(np.asarray(train), n_components, space), X, space)


def with_pca(
    models: Mapping[str, Model], widths: Mapping[str, int], train: Array, space: Space = RAW
) -> dict[str, Model]:
    """Return the models, and after them PCA with each number of components, called ``PCA-32`` and so on.

    Parameters
    ----------
    models : mapping of name to Model
        Fitted models.
    widths : mapping of name to int
        The number of components of the PCA that each model is compared with.
    train : ndarray of shape (n, ...)
        The rows that PCA is fitted on.
    space : Space, default=RAW
        The space in which it is fitted.

    Raises
    ------
    InvalidParameterError
        If a model has a name that is reserved for PCA.
    """
    names = {f"PCA-{width}": width for width in sorted(set(widths.values()))}
    for taken in models.keys() & names.keys():
        raise wrong_parameter("compare", "models", "without the name of a baseline", taken)
    return {**models, **{name: fit_pca(train, width, space) for name, width in names.items()}}


def _explained(errors: Array, distances: Array) -> float | None:
    """Return the share of the squared distances to the mean that is explained, if there are any."""
    total = float(distances.sum())
    return None if total == 0 else 1 - float(errors.sum()) / total


def _column_errors(X: Array, copies: Array) -> list[float]:
    differences = X.reshape(len(X), -1).astype(np.float64) - copies.reshape(len(X), -1)
    return [float(error) for error in np.sqrt(np.square(differences).mean(axis=0))]
