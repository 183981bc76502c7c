"""Maps keep apart what is apart, and new rows find their place."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from isthmus import Map
from isthmus.errors import DataError, InvalidParameterError
from isthmus.metrics import neighbors_accuracy

PACKAGES = {"tsne": "openTSNE", "umap": "umap", "pca": "sklearn"}


@pytest.fixture(params=PACKAGES)
def method(request):
    pytest.importorskip(PACKAGES[request.param])
    return request.param


@pytest.fixture(scope="module")
def clusters():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 10)) * 8
    y = rng.integers(3, size=240)
    return (centres[y] + rng.normal(size=(240, 10))).astype(np.float32), y


@parametrize_with_checks([Map("pca")])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def test_clusters_stay_apart_and_new_rows_find_theirs(method, clusters):
    X, y = clusters
    plane = Map(method, perplexity=10, random_state=0).fit(X[:180])
    assert plane.embedding_.shape == (180, 2)
    assert plane.embedding_.dtype == np.float32
    assert neighbors_accuracy(plane.embedding_, y[:180]) == 1
    placed = plane.transform(X[180:])
    assert neighbors_accuracy(plane.embedding_, y[:180], placed, y[180:]) >= 0.95
    again = clone(plane).fit_transform(X[:180])
    assert np.array_equal(again, plane.embedding_)
    assert list(plane.get_feature_names_out()) == ["map0", "map1"]


def test_pca_is_scikit_learns(clusters):
    X = clusters[0].astype(np.float64)
    pca = PCA(2).fit(X)
    np.testing.assert_allclose(Map("pca").fit(X).transform(X), pca.transform(X), atol=1e-6)


def test_a_model_lends_its_codes(clusters):
    X, _ = clusters
    pca = PCA(5, random_state=0).fit(X)
    through = Map("pca", model=pca).fit(X)
    np.testing.assert_allclose(through.embedding_, Map("pca").fit(pca.transform(X)).embedding_, atol=1e-4)
    assert through.transform(X[:3]).shape == (3, 2)


def test_in_a_pipeline(clusters):
    placed = (
        make_pipeline(StandardScaler(), Map("pca")).set_output(transform="default").fit_transform(clusters[0])
    )
    assert placed.shape == (240, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "tnse"}, "Did you mean 'tsne'"),
        ({"perplexity": 60}, r"'perplexity' .*at most 13, .* for 40 rows, or 'auto'. Got 60"),
        ({"perplexity": 0.5}, "'perplexity'"),
        ({"perplexity": "most"}, "'perplexity'"),
        ({"n_components": 3}, "1 or 2 for t-SNE"),
        ({"method": "umap", "n_neighbors": 50}, "below 40"),
        ({"method": "pca", "n_components": 11}, "at most 10"),
        ({"n_components": 0}, "'n_components'"),
    ],
)
def test_wrong_parameters_are_named(clusters, options, message):
    with pytest.raises(InvalidParameterError, match=message):
        Map(**options).fit(clusters[0][:40])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rows_have_a_map(method, dtype):
    X = np.full((60, 5), 0.1, dtype=dtype)
    plane = Map(method, random_state=0).fit(X)
    assert plane.embedding_.dtype == dtype
    np.testing.assert_allclose(plane.embedding_, np.zeros((60, 2)), atol=1e-12)
    placed = plane.transform(np.eye(5, dtype=dtype))
    assert placed.shape == (5, 2)
    assert np.isfinite(placed).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda X: np.repeat(X[:5], 12, axis=0),
        lambda X: np.where(np.arange(60)[:, None] < 40, X[0], X),
        lambda X: np.repeat(X[:2], 30, axis=0),
        lambda X: X + 1e6,
        lambda X: X * 1e-30,
        lambda X: X.astype(np.float64) * 1e60,
        lambda X: np.concatenate([X[:59], X[:1] + 1e9]),
    ],
    ids=["five rows", "one row often", "two rows", "far", "small", "large", "an outlier"],
)
def test_maps_are_finite(method, clusters, change):
    X = change(clusters[0][:60])
    plane = Map(method, random_state=0).fit(X)
    assert np.isfinite(plane.embedding_).all()
    assert np.ptp(plane.embedding_) > 0
    placed = plane.transform(X[:5])
    assert placed.shape == (5, 2)
    assert np.isfinite(placed).all()


def test_no_map_depends_on_the_unit(method, clusters):
    X, y = clusters[0].astype(np.float64), clusters[1]
    for scale, offset in ((1e-20, 0.0), (1e20, 0.0), (1.0, 1e9)):
        plane = Map(method, random_state=0).fit(X * scale + offset)
        assert neighbors_accuracy(plane.embedding_, y) == 1


@pytest.mark.parametrize(("n", "expected"), [(4, 1.0), (10, 3.0), (60, 59 / 3), (92, 30.0)])
def test_the_perplexity_fits_the_rows(clusters, n, expected, capfd):
    pytest.importorskip("openTSNE")
    plane = Map(random_state=0).fit(clusters[0][:n])
    assert plane.perplexity_ == pytest.approx(expected)
    assert np.isfinite(plane.embedding_).all()
    assert np.isfinite(plane.transform(clusters[0][:2])).all()
    assert Map("pca").fit(clusters[0]).perplexity_ is None
    assert capfd.readouterr() == ("", "")  # openTSNE would log that its perplexity is too high


@pytest.mark.parametrize(("name", "least"), [("tsne", 4), ("umap", 4)])
def test_too_few_rows_are_refused(clusters, name, least):
    if name == "umap":
        pytest.importorskip("umap")
    with pytest.raises(DataError, match=f"3 rows, but .* at least {least}.*'pca'"):
        Map(name, n_neighbors=2).fit(clusters[0][:3])


class Elsewhere:
    """Stands for a package whose map has places for some rows only."""

    def __init__(self, places):
        self.embedding_ = places

    def transform(self, rows, **options):
        return self.embedding_


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (
            np.array([[0.0, 1.0], [np.nan, 0.0], [np.inf, 0.0]]),
            "no finite place for row 1 of X, nor for 1 more",
        ),
        (np.zeros((3, 3)), r"shape \(3, 3\) to Map.transform, where \(3, 2\)"),
        (np.zeros((2, 2)), r"shape \(2, 2\)"),
        (np.full((3, 2), 1e300), "no finite place for row 0 of X, nor for 2 more"),
    ],
)
def test_what_a_package_returns_is_checked(clusters, monkeypatch, places, message):
    plane = Map("pca").fit(clusters[0])
    monkeypatch.setattr(plane, "mapper_", Elsewhere(places))
    with pytest.raises(DataError, match=message + ".*'pca'"):
        plane.transform(clusters[0][:3])
    monkeypatch.setattr("isthmus.estimators.map.fitted_pca", lambda *_, **__: Elsewhere(places))
    with pytest.raises(DataError, match=message.replace("transform", "fit")):
        Map("pca").fit_transform(clusters[0][:3])


def test_codes_that_are_not_finite_are_refused(clusters):
    class Broken:
        def transform(self, X):
            return np.full((len(X), 3), np.nan)

    with pytest.raises(ValueError, match="codes contains NaN"):
        Map("pca", model=Broken()).fit(clusters[0])
