"""Numbers do not depend on how large the mean of the rows is beside their spread, in float32 either."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from isthmus import Autoencoder, Map
from isthmus._components import fitted_pca, principal_components
from isthmus.comparison import Spectrum, fit_pca
from isthmus.estimators import Baseline
from isthmus.estimators.baselines import KINDS
from isthmus.metrics import neighbors_accuracy, silhouette, squared_error, trustworthiness

OFFSETS = [0.0, 1.0, 1e3, 1e6]
EQUIVARIANT = ["pca", "incremental-pca", "kernel-pca", "lda", "random-projection", "kmeans"]


def series(offset, n=600, d=12, seed=0):
    """Return rows of rank 3 plus noise with a standard deviation of about 1, rounded as float32 rounds them."""
    rng = np.random.default_rng(seed)
    hidden, labels = rng.normal(size=(n, 3)), rng.integers(3, size=n)
    hidden[:, 0] += 2 * labels
    rows = hidden @ rng.normal(size=(3, d))
    rows = rows / rows.std() + 0.2 * rng.normal(size=(n, d))
    return (rows + offset).astype(np.float32), labels


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].needs != "data in [0, 1]"])
def test_baselines_of_float32_rows_are_those_of_the_same_rows_as_float64(kind, offset):
    X, y = series(offset + 8)  # no negative values, for NMF
    single, double = Baseline(kind, 3).fit(X, y), Baseline(kind, 3).fit(X.astype(np.float64), y)
    codes, expected = single.transform(X), double.transform(X.astype(np.float64))
    assert codes.dtype == np.float32
    np.testing.assert_allclose(codes, expected, rtol=1e-6, atol=1e-5)
    again = single.inverse_transform(expected.astype(np.float64))
    np.testing.assert_allclose(again, double.inverse_transform(expected), rtol=1e-12)
    assert single.inverse_transform(codes).dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_baselines_of_float32_shares_are_those_of_the_same_rows_as_float64(kind):
    X, y = series(0.0)
    X = np.float32(0.9) + np.float32(0.002) * X
    single, double = Baseline(kind, 3).fit(X, y), Baseline(kind, 3).fit(X.astype(np.float64), y)
    expected = double.transform(X.astype(np.float64))
    np.testing.assert_allclose(single.transform(X), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", EQUIVARIANT)
def test_baselines_do_not_depend_on_the_mean(kind):
    X, y = series(1e6)
    moved = X.astype(np.float64) - 1e6
    here, there = Baseline(kind, 3).fit(X, y), Baseline(kind, 3).fit(moved, y)
    codes = there.transform(moved)
    np.testing.assert_allclose(here.transform(X), codes, rtol=1e-5, atol=1e-5)
    copies = here.inverse_transform(codes) - 1e6
    np.testing.assert_allclose(copies, there.inverse_transform(codes), atol=1e-6)


@pytest.mark.parametrize("offset", OFFSETS)
def test_pca_of_float32_rows_is_the_textbooks(offset):
    X, _ = series(offset)
    expected = PCA(3, svd_solver="full").fit(X.astype(np.float64) - offset)
    left = (
        X.astype(np.float64)
        - offset
        - expected.inverse_transform(expected.transform(X.astype(float) - offset))
    )
    error = float((left**2).sum(axis=1).mean())
    pca = fit_pca(X, 3)
    codes = pca.transform(X.astype(np.float64))
    np.testing.assert_allclose(codes, expected.transform(X.astype(np.float64) - offset), atol=1e-6)
    assert squared_error(X, pca.inverse_transform(codes)) == pytest.approx(error, rel=1e-6)
    np.testing.assert_allclose(pca.model_.explained_variance_, expected.explained_variance_, rtol=1e-6)
    assert Spectrum(X, X).errors[3] == pytest.approx(error, rel=1e-6)
    plane = Map("pca", n_components=2).fit(X)
    np.testing.assert_allclose(plane.embedding_, codes[:, :2], rtol=1e-5, atol=1e-5)
    assert plane.embedding_.dtype == np.float32
    np.testing.assert_array_equal(plane.transform(X), plane.embedding_)
    start = Autoencoder(3, initialization="pca", epochs=1, learning_rate=1e-12, random_state=0).fit(X)
    scaled = (X.astype(np.float64) - offset) / X.std(axis=0, dtype=np.float64)
    best = PCA(3, svd_solver="full").fit(scaled).explained_variance_ratio_.sum()
    # The rows of a network are rounded to single precision once they are scaled.
    assert start.score(X.astype(np.float64)) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.parametrize("hidden", [(), (16,)])
def test_a_start_from_components_of_shares_that_hardly_vary(loss, hidden):
    X = np.float32(0.9) + np.float32(0.002) * series(0.0)[0]
    model = Autoencoder(
        3,
        hidden_layers=hidden,
        initialization="pca",
        loss=loss,
        epochs=1,
        learning_rate=1e-12,
        random_state=0,
    ).fit(X)
    unexplained = 1 - PCA(3, svd_solver="full").fit(X.astype(np.float64)).explained_variance_ratio_.sum()
    assert 1 - model.score(X) < unexplained * (1.001 if loss == "mse" else 1.3)


@pytest.mark.parametrize("shape", [(3000, 300), (300, 3000), (40, 60), (60, 40), (7, 3)])
def test_every_way_to_components_is_the_same(shape):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(shape[0], 8)) @ rng.normal(size=(8, shape[1])) + 50).astype(np.float32)
    X += rng.normal(size=shape).astype(np.float32)
    width = min(5, *shape)
    expected = PCA(width, svd_solver="full").fit(X.astype(np.float64))
    ours = fitted_pca(X, width)
    for name, value in vars(expected).items():
        if name.endswith("_") and not name.startswith("_") and isinstance(value, np.ndarray | float | int):
            np.testing.assert_allclose(getattr(ours, name), value, rtol=1e-6, atol=1e-7, err_msg=name)


def test_components_of_large_tables_are_found_by_projections():
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(2100, 4)) @ rng.normal(size=(4, 2100)) + 1000).astype(np.float32)
    X += 0.1 * rng.normal(size=X.shape).astype(np.float32)
    found = principal_components(X, 4)
    centred = X - X.mean(axis=0, dtype=np.float64)
    left = np.square(centred).sum() - np.square(centred @ found.directions.T).sum()
    assert left / centred.size == pytest.approx(0.01, rel=0.02)
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(4), atol=1e-6)
    assert found.total_variance == pytest.approx(np.square(centred).sum() / 2099)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160])
def test_components_of_numbers_whose_squares_are_none(scale):
    X = series(0.0)[0].astype(np.float64)
    plain, scaled = principal_components(X, 3), principal_components(X * scale, 3)
    np.testing.assert_allclose(scaled.directions, plain.directions, atol=1e-9)


def test_components_of_equal_rows_are_orthonormal():
    found = principal_components(np.full((50, 6), 3.5, np.float32), 4)
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(4), atol=1e-12)
    assert (found.variances == 0).all()


def test_more_components_than_rows_explain_nothing_more():
    rng = np.random.default_rng(0)
    errors = Spectrum(rng.normal(size=(10, 30)), rng.normal(size=(20, 30))).errors
    assert errors.shape == (31,)
    np.testing.assert_array_equal(errors[10:], errors[10])
    assert errors[10] > 1


def test_neighbours_do_not_depend_on_the_mean():
    X, y = series(0.0, n=200)
    X = X.astype(np.float64)
    codes = X[:, :2]
    for function in (
        lambda offset: trustworthiness(X + offset, codes + offset),
        lambda offset: silhouette(X + offset, y),
        lambda offset: neighbors_accuracy(np.tile(X, 3) + offset, y),
    ):
        assert function(2.0**27) == pytest.approx(function(0.0), abs=1e-6)
