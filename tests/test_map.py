"""Maps keep apart what is apart, and new rows find their place."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from isthmus import Map
from isthmus.errors import InvalidParameterError
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
        ({"perplexity": 60}, r"'perplexity'.*\[1, 13"),
        ({"n_components": 3}, "1 or 2 for t-SNE"),
        ({"method": "umap", "n_neighbors": 50}, "below 40"),
        ({"method": "pca", "n_components": 11}, "at most 10"),
        ({"n_components": 0}, "'n_components'"),
    ],
)
def test_wrong_parameters_are_named(clusters, options, message):
    with pytest.raises(InvalidParameterError, match=message):
        Map(**options).fit(clusters[0][:40])
