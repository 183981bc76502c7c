"""What an autoencoder has to be better than, behind its own methods."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from isthmus._checks import check_choice, check_integer, wrong_parameter
from isthmus._components import fitted_pca, mean_row, total_variance
from isthmus.errors import IsthmusWarning
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._building import seed_of
from isthmus.estimators._names import refuse_moved_codes
from isthmus.estimators._rows import accept, check_codes, shape_of_rows
from isthmus.estimators._tensors import TensorsMixin
from isthmus.estimators.boltzmann import RestrictedBoltzmannMachine
from isthmus.rows import Given, given_rows

Array = NDArray[Any]

KERNEL_ROWS = 2000
RBM_EPOCHS = 10
PART_VALUES = 1 << 22  # passed through a baseline at a time: 32 MiB in double precision


@dataclass(frozen=True, eq=False)
class Task:
    """What a baseline is fitted to.

    Parameters
    ----------
    width : int
        Width of the code.
    seed : int
        Seed of what is drawn.
    rows : ndarray of shape (n, d)
        The rows, flat, in their own precision.
    row_shape : tuple of int
        The shape of a row as it was given.
    labels : array-like of shape (n,), optional
        The class of each row.
    """

    width: int
    seed: int
    rows: Array
    row_shape: tuple[int, ...]
    labels: ArrayLike | None = None

    @property
    def doubles(self) -> Array:
        """The rows in double precision."""
        return self.rows.astype(np.float64)

    @property
    def centred(self) -> Array:
        """The rows less their mean, in double precision."""
        return self.rows - mean_row(self.rows)


@dataclass(frozen=True)
class Kind:
    """One baseline.

    Parameters
    ----------
    title : str
        The name that tables show.
    learn : callable
        Returns a fitted transformer for a task.
    centred : bool
        Whether it is fitted to rows less their mean. Methods that compare distances lose digits where the
        mean is large beside the spread, and none of these depends on the mean.
    decodes : bool
        Whether it has an ``inverse_transform``; otherwise the best linear decoder is fitted.
    needs : {"", "labels", "data without negative values", "data in [0, 1]"}
        What the data must have.
    may_be_wider : bool
        Whether its codes may be wider than rows.
    """

    title: str
    learn: Callable[[Task], Any]
    centred: bool = False
    decodes: bool = True
    needs: str = ""
    may_be_wider: bool = False

    def suits(self, rows: Array, y: ArrayLike | None) -> bool:
        """Return whether rows, and labels if any, are as the baseline needs them."""
        if self.needs == "labels":
            return _are_classes([] if y is None else y, len(rows))
        if self.needs == "data without negative values":
            return bool(rows.min() >= 0)
        return not self.needs or bool(rows.min() >= 0 and rows.max() <= 1)


def _are_classes(y: ArrayLike, n_rows: int) -> bool:
    """Return whether labels are of at least two classes, and fewer than there are rows."""
    labels = np.asarray(y)
    if labels.shape != (n_rows,) or (labels.dtype.kind == "f" and (labels != np.round(labels)).any()):
        return False
    try:
        return 1 < len(np.unique(labels)) < n_rows
    except TypeError:  # text and None have no order
        return False


class Baseline(TensorsMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A method that is not an autoencoder, behind the methods of one.

    Parameters
    ----------
    kind : str, default="pca"
        "pca", "incremental-pca", "kernel-pca" (Gaussian kernel, fitted on 2,000 rows), "nmf" (needs
        values that are not negative), "lda" (needs labels; at most one component fewer than classes),
        "random-projection", "dct" (the lowest frequencies; nothing is learnt), "kmeans" (codes say which
        centre is nearest) or "rbm" (:class:`isthmus.RestrictedBoltzmannMachine`; needs data in [0, 1]).
        For LDA and random projections, which have no inverse, the best linear decoder is fitted.
    n_components : int, default=32
        Width of the code. More than a method can have becomes what it can.
    random_state : int, default=0
        Seed, where something is drawn.

    Attributes
    ----------
    n_components_ : int
        Width of the code.
    model_ : estimator
        The fitted scikit-learn transformer behind it, in double precision.
    centre_ : ndarray of shape (features,) or None
        The mean row, which is subtracted before ``model_`` sees rows and added afterwards; None for
        methods that see the rows themselves.

    Notes
    -----
    Everything is computed in double precision, so that float32 rows give the numbers that the same rows
    give as float64. Codes and reconstructions of float32 rows are float32.

    References
    ----------
    K. Pearson, 1901 (PCA); B. Schölkopf, A. Smola and K.-R. Müller, "Nonlinear component analysis as a
    kernel eigenvalue problem", 1998; D. Lee and H. S. Seung, "Learning the parts of objects by
    non-negative matrix factorization", 1999; R. A. Fisher, "The use of multiple measurements in taxonomic
    problems", 1936 (LDA); W. Johnson and J. Lindenstrauss, 1984 (random projections); N. Ahmed, T. Natarajan
    and K. R. Rao, "Discrete cosine transform", 1974; S. Lloyd, "Least squares quantization in PCM", 1982.

    Examples
    --------
    >>> from isthmus.estimators import Baseline
    >>> X = np.random.default_rng(0).normal(size=(100, 5))
    >>> baseline = Baseline("pca", 2).fit(X)
    >>> baseline.transform(X).shape, baseline.inverse_transform(baseline.transform(X)).shape
    ((100, 2), (100, 5))
    """

    model_: Any
    n_components_: int
    centre_: Array | None
    input_shape_: tuple[int, ...]
    decoder_: tuple[Array, Array] | None

    def __init__(self, kind: str = "pca", n_components: int = 32, *, random_state: int = 0) -> None:
        self.kind = kind
        self.n_components = n_components
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit the method.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows of any shape.
        y : array-like of shape (n,), optional
            Labels, for "lda".

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            When the method is not for such rows; the message says why.
        """
        owner = type(self).__name__
        kind = KINDS[check_choice(self.kind, KINDS, parameter="kind", owner=owner)]
        width = check_integer(self.n_components, parameter="n_components", owner=owner, minimum=1)
        seed = check_integer(self.random_state, parameter="random_state", owner=owner)
        given = self._given(X)
        rows = self._rows(given, reset=True)
        self.input_shape_ = shape_of_rows(given, rows.shape[1])
        if not kind.suits(rows, y):
            raise wrong_parameter(
                owner, "kind", f"a method for such rows; {self.kind!r} needs {kind.needs}", self.kind
            )
        width = min(width, len(rows)) if kind.may_be_wider else min(width, *rows.shape)
        if kind.needs == "labels":
            width = min(width, len(np.unique(np.asarray(y))) - 1)
        self.centre_ = mean_row(rows) if kind.centred else None
        with warnings.catch_warnings():
            # A baseline that has not quite converged is still a baseline.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", IsthmusWarning)
            self.model_ = kind.learn(Task(width, seed, rows, self.input_shape_, y))
        self.n_components_ = self._encode(rows[:1]).shape[1]
        self.decoder_ = None if kind.decodes else self._linear_decoder(rows)
        return self

    def transform(self, X: ArrayLike) -> Array:
        """Return codes, shape (n, n_components_)."""
        check_is_fitted(self)
        rows = self._rows(X)
        codes = np.empty((len(rows), self.n_components_), rows.dtype)
        for part in _parts(rows):
            codes[part] = self._encode(rows[part])
        return codes

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Return the rows that codes stand for, in the shape that was fitted."""
        check_is_fitted(self)
        refuse_moved_codes(X, self)
        codes = check_codes(X, self.n_components_, type(self).__name__)
        rows = np.empty((len(codes), math.prod(self.input_shape_)), codes.dtype)
        for part in _parts(rows):
            rows[part] = self._decode(codes[part].astype(np.float64))
        return rows.reshape(len(rows), *self.input_shape_)

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def _rows(self, X: ArrayLike | Given, *, reset: bool = False) -> Array:
        return accept(self, self._given(X), reset=reset, dtype=[np.float64, np.float32])

    def _given(self, X: ArrayLike | Given) -> Given:
        return given_rows(X, f"X of {type(self).__name__}")

    def _encode(self, rows: Array) -> Array:
        """Return the codes of some rows in double precision."""
        seen = rows.astype(np.float64) if self.centre_ is None else rows - self.centre_
        return np.asarray(self.model_.transform(seen))

    def _decode(self, codes: Array) -> Array:
        """Return the rows of some codes in double precision."""
        if self.decoder_ is not None:
            weights, offset = self.decoder_
            return codes @ weights + offset
        rows = np.asarray(self.model_.inverse_transform(codes))
        return rows if self.centre_ is None else rows + self.centre_

    def _linear_decoder(self, rows: Array) -> tuple[Array, Array]:
        """Return weights and offset of the linear decoder with the least squared error."""
        codes = np.concatenate([self._encode(rows[part]) for part in _parts(rows)])
        mean, centre = codes.mean(axis=0), mean_row(rows)
        orthonormal, triangle = np.linalg.qr(codes - mean)
        shares = sum(orthonormal[part].T @ (rows[part] - centre) for part in _parts(rows))
        weights = np.linalg.lstsq(triangle, shares, rcond=None)[0]
        return weights, centre - mean @ weights


def _parts(rows: Array) -> Iterator[slice]:
    """Yield slices of rows that are passed through a baseline at a time."""
    step = max(64, PART_VALUES // rows.shape[1])
    for start in range(0, len(rows), step):
        yield slice(start, start + step)


class _Cosines(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The lowest frequencies of an orthonormal discrete cosine transform of rows of a shape."""

    def __init__(self, n_components: int, row_shape: tuple[int, ...]) -> None:
        self.n_components = n_components
        self.row_shape = row_shape

    def fit(self, X: Array, y: Any = None) -> Self:
        frequencies = np.indices(self.row_shape).reshape(len(self.row_shape), -1)
        relative = (frequencies / np.array(self.row_shape)[:, None]).sum(axis=0)
        self.chosen_ = np.argsort(relative, kind="stable")[: self.n_components]
        return self

    def transform(self, X: Array) -> Array:
        from scipy.fft import dctn

        axes = tuple(range(1, len(self.row_shape) + 1))
        found = dctn(X.reshape(-1, *self.row_shape), axes=axes, norm="ortho")
        return np.asarray(found.reshape(len(X), -1)[:, self.chosen_])

    def inverse_transform(self, codes: Array) -> Array:
        from scipy.fft import idctn

        axes = tuple(range(1, len(self.row_shape) + 1))
        full = np.zeros((len(codes), math.prod(self.row_shape)), dtype=codes.dtype)
        full[:, self.chosen_] = codes
        rows = idctn(full.reshape(-1, *self.row_shape), axes=axes, norm="ortho")
        return np.asarray(rows.reshape(len(codes), -1))


class _Nearest(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """k-means: a one at the nearest centre, and zeros."""

    def __init__(self, n_components: int, seed: int) -> None:
        self.n_components = n_components
        self.seed = seed

    def fit(self, X: Array, y: Any = None) -> Self:
        from sklearn.cluster import MiniBatchKMeans

        self.clusters_ = MiniBatchKMeans(
            self.n_components, batch_size=2048, n_init=3, random_state=self.seed
        ).fit(X)
        return self

    def transform(self, X: Array) -> Array:
        codes = np.zeros((len(X), self.n_components))
        codes[np.arange(len(X)), self.clusters_.predict(X)] = 1
        return codes

    def inverse_transform(self, codes: Array) -> Array:
        return np.asarray(self.clusters_.cluster_centers_[np.argmax(codes, axis=1)])


def untrained_twin(model: BaseAutoencoder, X: ArrayLike) -> BaseAutoencoder:
    """Return an autoencoder like a given one, with the weights that its training would start from.

    What its codes are good for, no training is to be thanked for.

    Parameters
    ----------
    model : BaseAutoencoder
        Fitted or not; with ``random_state=None`` the twin draws weights of its own.
    X : array-like of shape (n, features)
        The training rows, for what is decided by the data: scaling, loss, width.

    References
    ----------
    A. M. Saxe et al., "On random weights and unsupervised feature learning", ICML, 2011.

    Examples
    --------
    >>> from isthmus import Autoencoder
    >>> X = np.random.default_rng(0).random((50, 6))
    >>> twin = untrained_twin(Autoencoder(2, random_state=0), X)
    >>> twin.transform(X).shape, twin.history_
    ((50, 2), [])
    """
    twin: BaseAutoencoder = clone(model)
    given = twin._arranged(X, reset=True)
    rows = twin._checked(given, reset=True, min_rows=2)
    twin.input_shape_ = shape_of_rows(given, rows.shape[1])
    seed = seed_of(twin.random_state, type(twin).__name__)
    twin._initialize(twin._set_up(rows, seed), seed)
    twin.history_, twin.n_epochs_, twin.best_epoch_, twin.stop_reason_ = [], 0, None, None
    return twin


def _pca(task: Task) -> Any:
    return fitted_pca(task.rows, task.width, seed=task.seed)


def _incremental_pca(task: Task) -> Any:
    from sklearn.decomposition import IncrementalPCA

    n_features = task.rows.shape[1]
    model = IncrementalPCA(task.width)
    # The last batch may be longer: each needs as many rows as there are components.
    for part in gen_batches(len(task.rows), max(5 * n_features, task.width), min_batch_size=task.width):
        model.partial_fit(task.rows[part].astype(np.float64))
    return model


def _kernel_pca(task: Task) -> Any:
    from sklearn.decomposition import KernelPCA

    centre = mean_row(task.rows)
    # The kernel is as wide as the rows lie apart, in the mean.
    spread = total_variance(task.rows, centre) or 1.0
    model = KernelPCA(
        task.width, kernel="rbf", gamma=1 / (2 * spread), fit_inverse_transform=True, random_state=task.seed
    )
    return model.fit(task.rows[:: max(1, -(-len(task.rows) // KERNEL_ROWS))] - centre)


def _nmf(task: Task) -> Any:
    from sklearn.decomposition import MiniBatchNMF

    model = MiniBatchNMF(task.width, init="nndsvda", random_state=task.seed, max_no_improvement=5)
    return model.fit(task.doubles)


def _lda(task: Task) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(n_components=task.width).fit(task.centred, task.labels)


def _random_projection(task: Task) -> Any:
    from sklearn.random_projection import GaussianRandomProjection

    # It looks at the shape and the type of the rows, not at their values.
    shape = np.broadcast_to(np.zeros(1), task.rows.shape)
    return GaussianRandomProjection(task.width, random_state=task.seed).fit(shape)


def _dct(task: Task) -> Any:
    return _Cosines(task.width, task.row_shape).fit(task.rows)


def _kmeans(task: Task) -> Any:
    return _Nearest(task.width, task.seed).fit(task.centred)


def _rbm(task: Task) -> Any:
    machine = RestrictedBoltzmannMachine(task.width, epochs=RBM_EPOCHS, random_state=task.seed)
    return machine.fit(task.rows)


KINDS: Mapping[str, Kind] = {
    "pca": Kind("PCA", _pca),
    "incremental-pca": Kind("incremental PCA", _incremental_pca),
    "kernel-pca": Kind("kernel PCA", _kernel_pca, centred=True),
    "nmf": Kind("NMF", _nmf, needs="data without negative values"),
    "lda": Kind("LDA", _lda, centred=True, decodes=False, needs="labels"),
    "random-projection": Kind("random projection", _random_projection, centred=True, decodes=False),
    "dct": Kind("DCT", _dct),
    "kmeans": Kind("k-means", _kmeans, centred=True, may_be_wider=True),
    "rbm": Kind("RBM", _rbm, needs="data in [0, 1]"),
}
