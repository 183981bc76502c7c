"""The space in which reconstruction errors are compared.

Squared errors of columns in different units cannot be added up: the column with the largest unit would decide
alone. Models and their baselines are therefore fitted and judged in one space, which has a name: the units of
the data, or the scaling in which the models were trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import check_choice
from isthmus.estimators import BaseAutoencoder
from isthmus.estimators._scaling import learn_scaling
from isthmus.metrics import row_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from isthmus.estimators import Model
    from isthmus.estimators._scaling import Scaling

    Array: TypeAlias = NDArray[Any]
    Vector: TypeAlias = NDArray[np.float64]

__all__ = ["RAW", "SPACES", "ScaledModel", "Space", "choose_space", "scaling_of", "space_of"]

#: What the parameter ``space`` may be.
SPACES = ("auto", "raw", "standard", "minmax")

#: How sentences and tables name a space.
WORDS = {
    "raw": "in the units of the data",
    "standard": "in standardized columns",
    "sequence": "in standardized features",
    "minmax": "in columns scaled to [0, 1]",
}

BLOCK_VALUES = 1 << 20


@dataclass(frozen=True, eq=False)
class Space:
    """A scaling of rows, ``(x - offset) / unit`` for each feature, with a name.

    Attributes
    ----------
    name : {"raw", "standard", "sequence", "minmax"}
        "raw" stands for the units of the data.
    offset, unit : ndarray of shape (features,) or (1,)
        In the units of the data; 0 and 1 for "raw".

    Examples
    --------
    >>> space = Space("standard", np.array([10.0, 0.0]), np.array([5.0, 0.1]))
    >>> space.scale(np.array([[15.0, 0.2]])), space.row_errors(np.array([[15.0, 0.2]]), np.array([[10.0, 0.2]]))
    (array([[1., 2.]]), array([1.]))
    """

    name: str
    offset: Vector = field(default_factory=lambda: np.zeros(1))
    unit: Vector = field(default_factory=lambda: np.ones(1))

    @property
    def is_raw(self) -> bool:
        """Whether rows stay as they are."""
        return self.name == "raw"

    @property
    def words(self) -> str:
        """The name of the space as sentences have it, such as "in standardized columns"."""
        return WORDS[self.name]

    def scale(self, X: Array) -> Array:
        """Return rows in this space: in their own floating type, computed in double precision."""
        if self.is_raw:
            return X
        scaled = np.empty(X.shape, dtype=X.dtype if X.dtype == np.float32 else np.float64)
        for rows in _blocks(X):
            flat = X[rows].reshape(len(X[rows]), -1).astype(np.float64)
            scaled[rows] = ((flat - self.offset) / self.unit).reshape(X[rows].shape)
        return scaled

    def restore(self, X: Array) -> Array:
        """Return rows of this space in the units of the data, in double precision."""
        if self.is_raw:
            return X
        flat = X.reshape(len(X), -1).astype(np.float64)
        return np.asarray((flat * self.unit + self.offset).reshape(X.shape))

    def row_errors(self, X: Array, Y: Array) -> Vector:
        """Return the squared error of each row in this space, summed over its features.

        Parameters
        ----------
        X, Y : ndarray of shape (n, ...)
            Rows and their reconstructions, in the units of the data.

        Returns
        -------
        ndarray of shape (n,)
        """
        return row_errors(X, Y) if self.is_raw else row_errors(X, Y, unit=self.unit)


#: The units of the data.
RAW = Space("raw")


class ScaledModel:
    """A model of scaled rows that takes and returns rows in the units of the data.

    Parameters
    ----------
    model : Model
        A fitted model of rows in ``space``.
    space : Space
        The space.
    """

    def __init__(self, model: Model, space: Space) -> None:
        self.model = model
        self.space = space

    def transform(self, X: Any, /) -> Array:
        """Return the codes of rows in the units of the data, shape (n, n_components)."""
        return np.asarray(self.model.transform(self.space.scale(np.asarray(X))))

    def inverse_transform(self, codes: Any, /) -> Array:
        """Return the rows that codes stand for, in the units of the data."""
        return self.space.restore(np.asarray(self.model.inverse_transform(codes)))


def space_of(model: object) -> Space:
    """Return the space in which a model was trained: its own scaling for an autoencoder of Isthmus, else raw.

    One unit for all features does not change how errors compare, so that such a scaling counts as raw.
    """
    if not isinstance(model, BaseAutoencoder):
        return RAW
    by_default = "sequence" if model.settings_.network.is_sequential else "standard"
    return _space(model.encoder_.scaling, by_default if model.scale == "auto" else str(model.scale))


def scaling_of(model: BaseAutoencoder) -> Space:
    """Return the scaling that an autoencoder applies to its rows, whatever its unit."""
    scaling = model.encoder_.scaling
    return Space("standard", scaling.offset.cpu().numpy(), scaling.unit.cpu().numpy())


def choose_space(
    models: Mapping[str, Model],
    X_train: Array,
    space: str = "auto",
    *,
    image_shape: Sequence[int] | None = None,
    owner: str = "compare",
) -> Space:
    """Return the space in which models and baselines are to be compared.

    Parameters
    ----------
    models : mapping of name to Model
        Fitted models.
    X_train : ndarray of shape (n, ...)
        Training rows in the units of the data.
    space : {"auto", "raw", "standard", "minmax"}
        "auto" is the scaling in which the autoencoders among the models were trained, if they agree. If they do
        not, or if there is none, it is what ``Autoencoder(scale="auto")`` would choose for these rows:
        standardized columns for tables, raw values for images and for rows in [0, 1].
    image_shape : sequence of int, optional
        The shape of the images that flat rows hold.
    owner : str
        The function that was called, for messages.

    Returns
    -------
    Space

    Examples
    --------
    >>> X = np.array([[0.5, 1000.0], [0.7, 3000.0]])
    >>> choose_space({}, X).name, choose_space({}, X / 3000).name, choose_space({}, X, "raw").name
    ('standard', 'raw', 'raw')
    """
    check_choice(space, SPACES, parameter="space", owner=owner)
    if space == "auto":
        own = [space_of(model) for model in models.values() if isinstance(model, BaseAutoencoder)]
        if own and all(_same(own[0], other) for other in own[1:]):
            return own[0]
    shape = X_train.shape[1:] if image_shape is None else tuple(image_shape)
    flat = X_train.reshape(len(X_train), -1)
    bytes_ = X_train.dtype == np.uint8
    floating = flat if bytes_ or flat.dtype.kind == "f" else flat.astype(np.float64)
    scale = "none" if space == "raw" else space
    scaling = learn_scaling(floating, scale, shape=shape, sequential=False, bytes_=bytes_, owner=owner)
    return _space(scaling, "standard" if space == "auto" else space)


def _space(scaling: Scaling, name: str) -> Space:
    offset, unit = scaling.offset.cpu().numpy(), scaling.unit.cpu().numpy()
    if (unit == unit[0]).all():
        return RAW
    return Space(name, offset, unit)


def _same(one: Space, other: Space) -> bool:
    return (
        one.name == other.name
        and np.array_equal(one.offset, other.offset)
        and np.array_equal(one.unit, other.unit)
    )


def _blocks(X: Array) -> Iterator[slice]:
    size = max(1, BLOCK_VALUES // math.prod(X.shape[1:]))
    for start in range(0, len(X), size):
        yield slice(start, start + size)
