"""What codes keep of rows, and what they tell about labels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import check_integer
from isthmus.errors import DataError
from isthmus.metrics._arrays import labels_for, table_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Vector: TypeAlias = NDArray[np.float64]

BLOCK_DISTANCES = 1 << 22
PROBE_ITERATIONS = 1000


def trustworthiness(X: ArrayLike, codes: ArrayLike, *, n_neighbors: int = 12) -> float:
    """Return how far rows that are neighbours as codes are neighbours as rows.

    1 where all are; each that is not counts by how far down the row's list of neighbours it stands.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Rows.
    codes : array-like of shape (n, k)
        Their codes, or their places on a map.
    n_neighbors : int, default=12
        How many neighbours of each row count; fewer than half of the rows.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    DataError
        If there is not one code for each row, there are too few rows, or a value is not finite.

    References
    ----------
    J. Venna and S. Kaski, "Local multidimensional scaling", Neural Networks 19, 2006.

    Examples
    --------
    >>> trustworthiness([[0.0], [1.0], [3.0], [7.0]], [[0.0], [2.0], [6.0], [14.0]], n_neighbors=1)
    1.0
    """
    return _trust(
        table_of(X, "X", "trustworthiness"), table_of(codes, "codes", "trustworthiness"), n_neighbors
    )


def continuity(X: ArrayLike, codes: ArrayLike, *, n_neighbors: int = 12) -> float:
    """Return how far rows that are neighbours stay neighbours as codes.

    :func:`trustworthiness` with rows and codes exchanged; its parameters, errors and source.

    Examples
    --------
    >>> continuity([[0.0], [1.0], [3.0], [7.0]], [[0.0], [2.0], [6.0], [14.0]], n_neighbors=1)
    1.0
    """
    return _trust(table_of(codes, "codes", "continuity"), table_of(X, "X", "continuity"), n_neighbors)


def _trust(rows: Vector, places: Vector, n_neighbors: int) -> float:
    n = len(rows)
    rows, places = rows - _middle(rows), places - _middle(places)
    check_integer(n_neighbors, parameter="n_neighbors", owner="trustworthiness", minimum=1)
    if len(places) != n:
        raise DataError(f"There are {n} rows and {len(places)} codes; one code for each row is needed.")
    if n_neighbors >= n / 2:
        raise DataError(f"{n_neighbors} neighbours need more than {2 * n_neighbors} rows; there are {n}.")
    penalty = 0
    for start in range(0, n, max(1, BLOCK_DISTANCES // n)):
        block = slice(start, start + max(1, BLOCK_DISTANCES // n))
        near = np.argpartition(_distances(places, block), n_neighbors, axis=1)[:, :n_neighbors]
        distances = _distances(rows, block)
        own = np.take_along_axis(distances, near, axis=1)
        distances.sort(axis=1)
        # The rank of a neighbour is how many rows are as near or nearer; the row itself is at infinity.
        ranks = np.stack(
            [np.searchsorted(line, mine, side="right") for line, mine in zip(distances, own, strict=True)]
        )
        penalty += int(np.maximum(ranks - n_neighbors, 0).sum())
    return 1 - penalty * 2 / (n * n_neighbors * (2 * n - 3 * n_neighbors - 1))


def _distances(table: Vector, block: slice) -> Vector:
    """Return squared distances of some rows to all, infinite to themselves."""
    part = table[block]
    squares = (table**2).sum(axis=1)
    found: Vector = squares[block, None] + squares - 2 * part @ table.T
    found[np.arange(len(part)), np.arange(block.start, block.start + len(part))] = np.inf
    return found


def _middle(table: Vector) -> Vector:
    """Return a value from the middle of each column, to be subtracted before distances are found from squares.

    The squares of values far from zero would leave no digits for their differences. A value that occurs, not
    the mean, so that rows that are equally far apart stay so.
    """
    half = len(table) // 2
    middle: Vector = np.partition(table, half, axis=0)[half]
    return middle


def neighbors_accuracy(
    codes: ArrayLike,
    labels: ArrayLike,
    test_codes: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
    *,
    n_neighbors: int = 1,
) -> float:
    """Return how often the label of a row is that of most of its nearest neighbours.

    Parameters
    ----------
    codes : array-like of shape (n, k)
        Codes among which neighbours are looked for.
    labels : array-like of shape (n,)
        Their labels.
    test_codes, test_labels : array-like of shape (m, k) and (m,), optional
        Rows to be judged on; without them each row is judged by the others.
    n_neighbors : int, default=1
        How many neighbours vote.

    Returns
    -------
    float
        A share.

    Raises
    ------
    DataError
        If labels do not fit, or there are fewer rows than neighbours.

    References
    ----------
    T. Cover and P. Hart, "Nearest neighbor pattern classification", 1967.

    Examples
    --------
    >>> neighbors_accuracy([[0.0], [0.1], [5.0], [5.1]], ["a", "a", "b", "b"])
    1.0
    """
    from sklearn.neighbors import NearestNeighbors

    caller = "neighbors_accuracy"
    table = table_of(codes, "codes", caller)
    known, numbers = np.unique(labels_for(labels, len(table), caller), return_inverse=True)
    check_integer(n_neighbors, parameter="n_neighbors", owner=caller, minimum=1)
    if n_neighbors >= len(table):
        raise DataError(
            f"{n_neighbors} neighbours need more than {n_neighbors} rows; there are {len(table)}."
        )
    centre = _middle(table)
    index = NearestNeighbors(n_neighbors=n_neighbors).fit(table - centre)
    if test_codes is None:
        found, truth = index.kneighbors(return_distance=False), known[numbers]
    else:
        tested, truth = _tested(test_codes, test_labels, caller)
        found = index.kneighbors(tested - centre, return_distance=False)
    votes = np.zeros((len(found), len(known)))
    np.add.at(votes, (np.arange(len(found))[:, None], numbers[found]), 1)
    return float((known[votes.argmax(axis=1)] == truth).mean())


def linear_probe(codes: ArrayLike, labels: ArrayLike, test_codes: ArrayLike, test_labels: ArrayLike) -> float:
    """Return the accuracy of a logistic regression on standardised codes.

    Parameters
    ----------
    codes, labels : array-like of shape (n, k) and (n,)
        What it learns from.
    test_codes, test_labels : array-like of shape (m, k) and (m,)
        What it is judged on.

    Returns
    -------
    float
        A share.

    Raises
    ------
    DataError
        If labels do not fit.

    References
    ----------
    G. Alain and Y. Bengio, "Understanding intermediate layers using linear classifier probes", 2016.

    Examples
    --------
    >>> linear_probe([[0.0], [0.1], [5.0], [5.1]], [0, 0, 1, 1], [[0.2], [4.0]], [0, 1])
    1.0
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = table_of(codes, "codes", "linear_probe")
    known = labels_for(labels, len(table), "linear_probe")
    tested, truth = _tested(test_codes, test_labels, "linear_probe")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=PROBE_ITERATIONS))
    with warnings.catch_warnings():
        # On separable classes the weights grow without end, and what they say no longer changes.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(table, known)
    return float(probe.score(tested, truth))


def _tested(codes: ArrayLike, labels: ArrayLike | None, caller: str) -> tuple[Vector, NDArray[Any]]:
    """Return codes to be judged on and their labels, of which some may be of classes never seen."""
    table, known = table_of(codes, "test_codes", caller), np.asarray(labels)
    if known.shape != (len(table),):
        raise DataError(f"There are {len(table)} test codes and labels of shape {known.shape}.")
    return table, known


def silhouette(
    codes: ArrayLike, labels: ArrayLike, *, sample_size: int | None = None, random_state: int = 0
) -> float:
    """Return how much nearer rows are to their own class than to the next one: scikit-learn's score.

    Parameters
    ----------
    codes : array-like of shape (n, k)
        Codes.
    labels : array-like of shape (n,)
        Their labels.
    sample_size : int, optional
        Draw so many rows, since all pairs of rows are looked at.
    random_state : int, default=0
        Seed of the draw.

    Returns
    -------
    float
        In [-1, 1].

    References
    ----------
    P. J. Rousseeuw, "Silhouettes", Journal of Computational and Applied Mathematics 20, 1987.

    Examples
    --------
    >>> round(silhouette([[0.0], [0.0], [4.0], [4.0]], [0, 0, 1, 1]), 6)
    1.0
    """
    from sklearn.metrics import silhouette_score

    check_integer(random_state, parameter="random_state", owner="silhouette")
    table = table_of(codes, "codes", "silhouette")
    known = labels_for(labels, len(table), "silhouette")
    size = None if sample_size is None or sample_size >= len(table) else sample_size
    table = table - _middle(table)
    return float(silhouette_score(table, known, sample_size=size, random_state=random_state))


def v_measure(codes: ArrayLike, labels: ArrayLike, *, random_state: int = 0) -> float:
    """Return how well the clusters of codes are the classes.

    k-means finds as many clusters as there are labels; the harmonic mean of their homogeneity and their
    completeness is returned.

    Parameters
    ----------
    codes : array-like of shape (n, k)
        Codes.
    labels : array-like of shape (n,)
        Their labels.
    random_state : int, default=0
        Seed of k-means.

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    A. Rosenberg and J. Hirschberg, "V-measure", EMNLP, 2007.

    Examples
    --------
    >>> round(v_measure([[0.0], [0.1], [5.0], [5.1]], ["a", "a", "b", "b"]), 6)
    1.0
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import v_measure_score

    check_integer(random_state, parameter="random_state", owner="v_measure")
    table = table_of(codes, "codes", "v_measure")
    known = labels_for(labels, len(table), "v_measure")
    clusters = KMeans(len(np.unique(known)), n_init=4, random_state=random_state).fit_predict(table)
    return float(v_measure_score(known, clusters))


def class_separability(codes: ArrayLike, labels: ArrayLike) -> float:
    """Return how far the classes' means lie apart, measured by the spread within the classes.

    The trace of the scatter between classes times the inverse of the scatter within: what LDA makes as
    large as can be. Linear maps of the codes do not change it.

    Parameters
    ----------
    codes : array-like of shape (n, k)
        Codes.
    labels : array-like of shape (n,)
        Their labels.

    Returns
    -------
    float
        Not negative; infinity if classes differ where they have no spread.

    References
    ----------
    K. Fukunaga, "Introduction to statistical pattern recognition", 1990.

    Examples
    --------
    >>> round(class_separability([[0.0], [2.0], [4.0], [6.0]], [0, 0, 1, 1]), 6)
    4.0
    """
    table = table_of(codes, "codes", "class_separability")
    known = labels_for(labels, len(table), "class_separability")
    centred: Any = table - table.mean(axis=0)
    scale = centred.std(axis=0)
    centred = centred[:, scale > 0] / scale[scale > 0]
    between = np.zeros((centred.shape[1],) * 2)
    within = np.zeros_like(between)
    for label in np.unique(known):
        members = centred[known == label]
        mean = members.mean(axis=0)
        between += len(members) * np.outer(mean, mean)
        within += (members - mean).T @ (members - mean)
    values, directions = np.linalg.eigh(within)
    flat = values <= 1e-12 * max(float(np.trace(within + between)), 1.0)
    spread = np.einsum("ij,ik,kj->j", directions, between, directions)
    if (spread[flat] > 1e-9 * len(table)).any():
        return float("inf")
    return float((spread[~flat] / values[~flat]).sum())
