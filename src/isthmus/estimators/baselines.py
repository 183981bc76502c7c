"""What an autoencoder has to be better than, behind its own methods."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from isthmus._checks import check_choice, check_integer, wrong_parameter
from isthmus.errors import IsthmusWarning
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._building import seed_of
from isthmus.estimators._names import refuse_moved_codes
from isthmus.estimators._rows import flatten, shape_of_rows
from isthmus.estimators.boltzmann import RestrictedBoltzmannMachine

Array = NDArray[Any]

KERNEL_ROWS = 2000
RBM_EPOCHS = 10


@dataclass(frozen=True, eq=False)
class Task:
    """What a baseline is to be fitted to.

    Parameters
    ----------
    width : int
        Width of the code.
    seed : int
        For what is drawn.
    rows : ndarray of shape (n, d)
        The rows, flat.
    row_shape : tuple of int
        What they were before.
    """

    width: int
    seed: int
    rows: Array
    row_shape: tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """One baseline.

    Parameters
    ----------
    title : str
        What tables call it.
    build : callable
        Makes an unfitted scikit-learn transformer for a task.
    decodes : bool
        Whether it has a way back of its own; else a linear one is fitted, the best there is.
    needs : {"", "labels", "no negative values", "data in [0, 1]"}
        What it cannot do without.
    most_rows : int, optional
        Rows that it learns from at most, where it compares all with all.
    may_be_wider : bool
        Whether its codes may be wider than rows.
    """

    title: str
    build: Callable[[Task], Any]
    decodes: bool = True
    needs: str = ""
    most_rows: int | None = None
    may_be_wider: bool = False

    def suits(self, rows: Array, y: ArrayLike | None) -> bool:
        """Say whether rows, and labels if any, are as the baseline needs them."""
        if self.needs == "labels":
            labels = np.asarray([] if y is None else y)
            return labels.shape == rows.shape[:1] and len(np.unique(labels)) > 1
        if self.needs == "no negative values":
            return bool(rows.min() >= 0)
        return not self.needs or bool(rows.min() >= 0 and rows.max() <= 1)


class Baseline(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A method that is not an autoencoder, behind the methods of one.

    Parameters
    ----------
    kind : str, default="pca"
        "pca", "incremental-pca", "kernel-pca" (Gaussian kernel, fitted on 2,000 rows), "nmf" (needs
        values that are not negative), "lda" (needs labels; at most one component fewer than classes),
        "random-projection", "dct" (the lowest frequencies; nothing is learnt), "kmeans" (codes say which
        centre is nearest) or "rbm" (:class:`isthmus.RestrictedBoltzmannMachine`; needs data in [0, 1]).
        LDA and random projections have no way back: a linear one is fitted.
    n_components : int, default=32
        Width of the code. More than a method can have becomes what it can.
    random_state : int, default=0
        Seed, where something is drawn.

    Attributes
    ----------
    n_components_ : int
        Width of the code.
    model_ : estimator
        What is behind it: a fitted scikit-learn transformer, where there is one.

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
        rows = self._rows(X, reset=True)
        self.input_shape_ = shape_of_rows(X, rows.shape[1])
        if not kind.suits(rows, y):
            raise wrong_parameter(owner, "kind", f"one that does not need {kind.needs}", self.kind)
        width = min(width, len(rows)) if kind.may_be_wider else min(width, *rows.shape)
        supervised = kind.needs == "labels"
        if supervised:
            width = min(width, len(np.unique(np.asarray(y))) - 1)
        model = kind.build(Task(width, seed, rows, self.input_shape_))
        learnt = rows if kind.most_rows is None else rows[:: max(1, -(-len(rows) // kind.most_rows))]
        with warnings.catch_warnings():
            # A baseline that has not quite settled is still a baseline.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", IsthmusWarning)
            self.model_ = model.fit(learnt, y) if supervised else model.fit(learnt)
        codes = np.asarray(self.model_.transform(rows))
        self.n_components_ = codes.shape[1]
        self.decoder_ = None if kind.decodes else _linear_decoder(codes, rows)
        return self

    def transform(self, X: ArrayLike) -> Array:
        """Return codes, shape (n, n_components_)."""
        check_is_fitted(self)
        return np.asarray(self.model_.transform(self._rows(X)))

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def _rows(self, X: ArrayLike, *, reset: bool = False) -> Array:
        rows: Array = validate_data(self, flatten(X), reset=reset, dtype=[np.float64, np.float32])
        return rows

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Return the rows that codes stand for, in the shape that was fitted."""
        check_is_fitted(self)
        refuse_moved_codes(X, self)
        codes = np.asarray(X)
        if self.decoder_ is None:
            rows = np.asarray(self.model_.inverse_transform(codes))
        else:
            weights, offset = self.decoder_
            rows = codes @ weights.astype(codes.dtype) + offset.astype(codes.dtype)
        return rows.reshape(len(rows), *self.input_shape_)


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
        dtype = self.clusters_.cluster_centers_.dtype
        codes = np.zeros((len(X), self.n_components), dtype=dtype)
        codes[np.arange(len(X)), self.clusters_.predict(X.astype(dtype, copy=False))] = 1
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
    seed = seed_of(twin.random_state)
    twin._initialize(twin._set_up(rows, given, seed), seed)
    twin.history_, twin.n_epochs_, twin.best_epoch_, twin.stop_reason_ = [], 0, None, None
    return twin


def _linear_decoder(codes: Array, rows: Array) -> tuple[Array, Array]:
    """Return the weights and the offset that bring rows back best, in the sense of least squares."""
    mean, centre = codes.mean(axis=0), rows.mean(axis=0)
    weights = np.linalg.lstsq(codes - mean, rows - centre, rcond=None)[0]
    return weights, centre - mean @ weights


def _pca(task: Task) -> Any:
    from sklearn.decomposition import PCA

    return PCA(task.width, random_state=task.seed)


def _incremental_pca(task: Task) -> Any:
    from sklearn.decomposition import IncrementalPCA

    return IncrementalPCA(task.width, batch_size=max(5 * task.rows.shape[1], task.width))


def _kernel_pca(task: Task) -> Any:
    from sklearn.decomposition import KernelPCA

    # The kernel is as wide as the rows lie apart, in the mean.
    spread = float(task.rows.var(axis=0).sum()) or 1.0
    return KernelPCA(
        task.width, kernel="rbf", gamma=1 / (2 * spread), fit_inverse_transform=True, random_state=task.seed
    )


def _nmf(task: Task) -> Any:
    from sklearn.decomposition import MiniBatchNMF

    return MiniBatchNMF(task.width, init="nndsvda", random_state=task.seed, max_no_improvement=5)


def _lda(task: Task) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(n_components=task.width)


def _random_projection(task: Task) -> Any:
    from sklearn.random_projection import GaussianRandomProjection

    return GaussianRandomProjection(task.width, random_state=task.seed)


def _dct(task: Task) -> Any:
    return _Cosines(task.width, task.row_shape)


def _kmeans(task: Task) -> Any:
    return _Nearest(task.width, task.seed)


def _rbm(task: Task) -> Any:
    return RestrictedBoltzmannMachine(task.width, epochs=RBM_EPOCHS, random_state=task.seed)


KINDS: Mapping[str, Kind] = {
    "pca": Kind("PCA", _pca),
    "incremental-pca": Kind("incremental PCA", _incremental_pca),
    "kernel-pca": Kind("kernel PCA", _kernel_pca, most_rows=KERNEL_ROWS),
    "nmf": Kind("NMF", _nmf, needs="no negative values"),
    "lda": Kind("LDA", _lda, decodes=False, needs="labels"),
    "random-projection": Kind("random projection", _random_projection, decodes=False),
    "dct": Kind("DCT", _dct),
    "kmeans": Kind("k-means", _kmeans, may_be_wider=True),
    "rbm": Kind("RBM", _rbm, needs="data in [0, 1]"),
}
