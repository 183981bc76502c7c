"""Rows as points of a picture."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from isthmus._checks import check_choice, check_integer, check_number, wrong_parameter
from isthmus._components import fitted_pca
from isthmus.errors import MissingDependencyError
from isthmus.estimators._building import seed_of

METHODS = ("tsne", "umap", "pca")
NEIGHBOURS_PER_PERPLEXITY = 3  # so many neighbours of each point t-SNE looks at


class Map(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A picture of rows, or of their codes, in two dimensions; new rows find their place in it.

    Parameters
    ----------
    method : {"tsne", "umap", "pca"}, default="tsne"
        t-SNE, by openTSNE (``pip install isthmus[tsne]``); UMAP, by umap-learn (``isthmus[umap]``); or
        the first components of PCA.
    model : estimator, optional
        A fitted model whose codes are mapped instead of the rows: an autoencoder, scikit-learn's PCA. It
        is used as it is. Distances between codes of a few dozen units are found fast, and say more.
    n_components : int, default=2
        Dimensions of the map; t-SNE has at most 2.
    perplexity : float, default=30.0
        Of t-SNE: how many neighbours of each point count, about. Below a third of the rows.
    n_neighbors : int, default=15
        Of UMAP: the same.
    n_jobs : int, default=1
        Threads of t-SNE. The same map comes with the same number.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Attributes
    ----------
    embedding_ : ndarray of shape (n, n_components)
        Where the rows of `fit` lie.
    mapper_ : object
        openTSNE's embedding, or the fitted UMAP or PCA.

    References
    ----------
    L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 9, 2008. P. G. Poličar,
    M. Stražar and B. Zupan, "openTSNE: a modular Python library for t-SNE dimensionality reduction and
    embedding", 2019. L. McInnes, J. Healy and J. Melville, "UMAP", 2018.

    Examples
    --------
    >>> from isthmus import Map
    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> plane = Map("pca").fit(X)
    >>> plane.embedding_.shape, plane.transform(X[:3]).shape, list(plane.get_feature_names_out())
    ((60, 2), (3, 2), ['map0', 'map1'])
    """

    embedding_: NDArray[Any]
    mapper_: Any
    n_features_in_: int

    def __init__(
        self,
        method: str = "tsne",
        *,
        model: Any = None,
        n_components: int = 2,
        perplexity: float = 30.0,
        n_neighbors: int = 15,
        n_jobs: int = 1,
        random_state: Any = None,
    ) -> None:
        self.method = method
        self.model = model
        self.n_components = n_components
        self.perplexity = perplexity
        self.n_neighbors = n_neighbors
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Draw the map.

        Parameters
        ----------
        X : array-like of shape (n, features), or as the model takes rows
            Rows.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            When a parameter does not fit the rows.
        MissingDependencyError
            When the package for the method is not installed.
        """
        owner = type(self).__name__
        check_choice(self.method, METHODS, parameter="method", owner=owner)
        check_integer(self.n_components, parameter="n_components", owner=owner, minimum=1)
        check_integer(self.n_jobs, parameter="n_jobs", owner=owner, minimum=-1)
        codes = self._codes(X, reset=True)
        drawn = {"tsne": self._fit_tsne, "umap": self._fit_umap, "pca": self._fit_pca}[self.method](codes)
        self.embedding_ = np.asarray(drawn, dtype=codes.dtype)
        return self

    def fit_transform(self, X: ArrayLike, y: Any = None) -> NDArray[Any]:
        """Draw the map and return where the rows lie, shape (n, n_components)."""
        return self.fit(X).embedding_

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return where new rows lie in the map, shape (n, n_components).

        The map stays as it is. Rows of `fit` come near to their old places, not exactly there, unless the
        method is "pca".
        """
        check_is_fitted(self)
        codes = self._codes(X, reset=False)
        with _quiet():
            placed = self.mapper_.transform(codes)
        return np.asarray(placed, dtype=codes.dtype)

    def _codes(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        if self.model is None:
            return np.asarray(
                validate_data(
                    self, X, reset=reset, dtype=[np.float64, np.float32], ensure_min_samples=2 if reset else 1
                )
            )
        codes = np.asarray(self.model.transform(X))
        return codes.reshape(len(codes), -1)

    def _fit_tsne(self, codes: NDArray[Any]) -> NDArray[Any]:
        owner = type(self).__name__
        if self.n_components > 2:
            raise wrong_parameter(owner, "n_components", "1 or 2 for t-SNE", self.n_components)
        most = (len(codes) - 1) / NEIGHBOURS_PER_PERPLEXITY
        check_number(self.perplexity, parameter="perplexity", owner=owner, minimum=1, maximum=max(1.0, most))
        try:
            import openTSNE
        except ImportError as error:
            raise _missing("tsne", "openTSNE") from error
        # A random state, not a seed: openTSNE draws from it more than once.
        state = np.random.RandomState(seed_of(self.random_state) % 2**32)
        with _quiet():
            self.mapper_ = openTSNE.TSNE(
                n_components=self.n_components,
                perplexity=self.perplexity,
                n_jobs=self.n_jobs,
                random_state=state,
            ).fit(codes)
        return np.asarray(self.mapper_)

    def _fit_umap(self, codes: NDArray[Any]) -> NDArray[Any]:
        neighbours = check_integer(
            self.n_neighbors, parameter="n_neighbors", owner=type(self).__name__, minimum=2
        )
        if neighbours >= len(codes):
            wanted = f"below {len(codes)}, the number of rows"
            raise wrong_parameter(type(self).__name__, "n_neighbors", wanted, neighbours)
        try:
            import umap
        except ImportError as error:
            raise _missing("umap", "umap-learn") from error
        with _quiet():
            self.mapper_ = umap.UMAP(
                n_components=self.n_components,
                n_neighbors=neighbours,
                n_jobs=1,  # more would draw another map each time
                random_state=seed_of(self.random_state) % 2**32,
            ).fit(codes)
        return np.asarray(self.mapper_.embedding_)

    def _fit_pca(self, codes: NDArray[Any]) -> NDArray[Any]:
        if self.n_components > min(codes.shape):
            wanted = f"at most {min(codes.shape)} for rows of shape {codes.shape}"
            raise wrong_parameter(type(self).__name__, "n_components", wanted, self.n_components)
        self.mapper_ = fitted_pca(codes, self.n_components, seed=seed_of(self.random_state) % 2**32)
        return np.asarray(self.mapper_.transform(codes.astype(np.float64)))

    @property
    def _n_features_out(self) -> int:
        return int(self.embedding_.shape[1])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _quiet() -> Any:
    """Keep the packages' own warnings, of how they are built, from users who cannot do anything about them."""
    return warnings.catch_warnings(action="ignore")


def _missing(extra: str, package: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"This map needs the package {package}. Install it with: pip install isthmus[{extra}]"
    )
