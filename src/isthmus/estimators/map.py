"""Rows as points of a picture."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array

from isthmus._checks import check_choice, check_integer, check_number, wrong_parameter
from isthmus._components import fitted_pca, mean_row
from isthmus.errors import DataError, MissingDependencyError
from isthmus.estimators._building import seed_of
from isthmus.estimators._parameters import PublishingMixin
from isthmus.estimators._rows import accept
from isthmus.estimators._tensors import TensorsMixin
from isthmus.rows import given_rows

#: The modules and the packages behind methods that are optional; the extra is called like the method.
PACKAGES = {"tsne": ("openTSNE", "openTSNE"), "umap": ("umap", "umap-learn")}
METHODS = ("tsne", "umap", "pca")
NEIGHBOURS_PER_PERPLEXITY = 3  # how many neighbours of each point t-SNE looks at, by the unit of perplexity
USUAL_PERPLEXITY = 30.0
PLACING_PERPLEXITY = 5.0
LEAST_TSNE_ROWS = 4


class Map(
    TensorsMixin,
    PublishingMixin,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
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
    perplexity : float or "auto", default="auto"
        Perplexity of t-SNE: roughly the number of neighbours of each point that count. At most
        ``(n - 1) / 3`` for ``n`` rows. ``"auto"`` is 30, or that limit where it is lower.
    n_neighbors : int, default=15
        Number of neighbours of each point that UMAP looks at; below the number of rows.
    n_jobs : int, default=1
        Threads of t-SNE. The same map comes with the same number.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Attributes
    ----------
    embedding_ : ndarray of shape (n, n_components)
        Where the rows of `fit` lie.
    mapper_ : object
        openTSNE's embedding, or the fitted UMAP or PCA. t-SNE and UMAP are given rows less their mean,
        divided by their largest deviation from it. None where all rows are equal: the map is then a
        single point.
    perplexity_ : float or None
        The perplexity that t-SNE was given; None for other methods.

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
    perplexity_: float | None
    n_features_in_: int

    def __init__(
        self,
        method: str = "tsne",
        *,
        model: Any = None,
        n_components: int = 2,
        perplexity: float | str = "auto",
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
            When a parameter does not fit the rows, or the method finds no finite place for a row.
        MissingDependencyError
            When the package for the method is not installed.
        """
        owner = type(self).__name__
        check_choice(self.method, METHODS, parameter="method", owner=owner)
        check_integer(self.n_components, parameter="n_components", owner=owner, minimum=1)
        check_integer(self.n_jobs, parameter="n_jobs", owner=owner, minimum=-1)
        if self.model is not None and self.method in PACKAGES:
            _package(self.method)  # asked for before the model encodes anything
        with self._published() as new:
            codes = new._codes(X, reset=True)
            fit = {"tsne": new._fit_tsne, "umap": new._fit_umap, "pca": new._fit_pca}[new.method]
            new.perplexity_ = None
            new._centre = mean_row(codes)
            deviation = float(np.abs(codes - new._centre).max())
            # Equal values may have a mean that differs from them in the last bit.
            equal = bool((codes == codes[0]).all())
            new._unit = 1.0 if equal or new.method == "pca" else deviation
            drawn = fit(codes, equal=equal)
            new.embedding_ = new._checked(drawn, codes, "fit")
        return self

    def fit_transform(self, X: ArrayLike, y: Any = None) -> NDArray[Any]:
        """Draw the map and return where the rows lie, shape (n, n_components)."""
        return self.fit(X).embedding_

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return where new rows lie in the map, shape (n, n_components).

        The map stays as it is. Rows of `fit` come near to their old places, not exactly there, unless the
        method is "pca".
        """
        fitted = self._snapshot()
        codes = fitted._codes(X, reset=False)
        if fitted.mapper_ is None:
            return np.zeros((len(codes), fitted.n_components), dtype=codes.dtype)
        seen = codes.astype(np.float64) if fitted.method == "pca" else fitted._scaled(codes)
        # openTSNE's own value for new rows, but where there are too few old ones.
        options = {"perplexity": min(PLACING_PERPLEXITY, fitted.perplexity_)} if fitted.perplexity_ else {}
        with _quiet():
            placed = fitted.mapper_.transform(seen, **options)
        return fitted._checked(placed, codes, "transform")

    def _scaled(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """Return codes around zero and no further from it than 1, in double precision.

        Neither t-SNE nor UMAP depends on where zero is or on the unit, but their packages compute in
        single precision and fail on large numbers.
        """
        scaled: NDArray[np.float64] = (codes - self._centre) / self._unit
        return scaled

    def _checked(self, places: Any, codes: NDArray[Any], method: str) -> NDArray[Any]:
        """Return the places of rows in the map, if each is finite."""
        found = np.asarray(places)
        if found.shape != (len(codes), self.n_components):
            raise DataError(
                f"{self.method!r} returned places of shape {found.shape} to {type(self).__name__}.{method}, where "
                f"({len(codes)}, {self.n_components}) was expected. Try method='pca'."
            )
        with np.errstate(over="ignore"):
            found = found.astype(codes.dtype)
        finite = np.isfinite(found).all(axis=1)
        if not finite.all():
            others = int((~finite).sum()) - 1
            raise DataError(
                f"{type(self).__name__}.{method} found no finite place for row {int(np.argmin(finite))} of X"
                f"{f', nor for {others} more' if others else ''} with method={self.method!r}. Remove rows that "
                "occur many times and rows far from all others, or use method='pca'."
            )
        return found

    def _codes(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        if self.model is None:
            given = given_rows(X, f"X of {type(self).__name__}")
            least, floats = 2 if reset else 1, [np.float64, np.float32]
            return accept(self, given, reset=reset, dtype=floats, ensure_min_samples=least)
        codes = np.asarray(self.model.transform(X))
        return np.asarray(
            check_array(
                codes.reshape(len(codes), -1),
                dtype=[np.float64, np.float32],
                ensure_min_samples=2 if reset else 1,
                input_name="codes",
            )
        )

    def _fit_tsne(self, codes: NDArray[Any], *, equal: bool) -> Any:
        owner, n_rows = type(self).__name__, len(codes)
        if self.n_components > 2:
            raise wrong_parameter(owner, "n_components", "1 or 2 for t-SNE", self.n_components)
        if n_rows < LEAST_TSNE_ROWS:
            raise DataError(
                f"X has {n_rows} rows, but t-SNE needs at least {LEAST_TSNE_ROWS}. Use method='pca'."
            )
        most = (n_rows - 1) / NEIGHBOURS_PER_PERPLEXITY
        if self.perplexity == "auto":
            self.perplexity_ = min(USUAL_PERPLEXITY, most)
        else:
            given = check_number(self.perplexity, parameter="perplexity", owner=owner, minimum=1)
            if given > most:
                wanted = f"at most {most:.4g}, a third of the other rows, for {n_rows} rows, or 'auto'"
                raise wrong_parameter(owner, "perplexity", wanted, given)
            self.perplexity_ = given
        openTSNE = _package("tsne")
        if equal:
            return self._point(codes)
        # A random state, not a seed: openTSNE draws from it more than once.
        state = np.random.RandomState(self._seed())
        with _quiet():
            self.mapper_ = openTSNE.TSNE(
                n_components=self.n_components,
                perplexity=self.perplexity_,
                n_jobs=self.n_jobs,
                random_state=state,
            ).fit(self._scaled(codes))
        return self.mapper_

    def _fit_umap(self, codes: NDArray[Any], *, equal: bool) -> Any:
        neighbours = check_integer(
            self.n_neighbors, parameter="n_neighbors", owner=type(self).__name__, minimum=2
        )
        least = self.n_components + 2
        if len(codes) < least:
            raise DataError(
                f"X has {len(codes)} rows, but UMAP needs at least {least} for {self.n_components} components. "
                "Use method='pca'."
            )
        if neighbours >= len(codes):
            wanted = f"below {len(codes)}, the number of rows"
            raise wrong_parameter(type(self).__name__, "n_neighbors", wanted, neighbours)
        umap = _package("umap")
        if equal:
            return self._point(codes)
        with _quiet():
            self.mapper_ = umap.UMAP(
                n_components=self.n_components,
                n_neighbors=neighbours,
                n_jobs=1,  # more would draw another map each time
                random_state=self._seed(),
            ).fit(self._scaled(codes))
        return self.mapper_.embedding_

    def _fit_pca(self, codes: NDArray[Any], *, equal: bool) -> Any:
        if self.n_components > min(codes.shape):
            wanted = f"at most {min(codes.shape)} for rows of shape {codes.shape}"
            raise wrong_parameter(type(self).__name__, "n_components", wanted, self.n_components)
        self.mapper_ = fitted_pca(codes, self.n_components, seed=self._seed())
        return self.mapper_.transform(codes.astype(np.float64))

    def _seed(self) -> int:
        return seed_of(self.random_state, type(self).__name__) % 2**32

    def _point(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Return the map of equal rows: they have no directions in which to lie apart."""
        self.mapper_ = None
        return np.zeros((len(codes), self.n_components))

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


def _package(method: str) -> Any:
    """Return the package that draws maps of a method, which may not be installed."""
    module, name = PACKAGES[method]
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"This map needs the package {name}. Install it with: pip install isthmus[{method}]"
        ) from error
