"""Whether the models learn what theory says they can: on digits, on tables, on MNIST."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA

from helpers import ESTIMATORS, MACHINES, SLOW_LEARNERS, as_given, by_name, sse, with_slow
from isthmus import Autoencoder, SparseAutoencoder, metrics
from isthmus.data import load_mnist
from isthmus.errors import DataError, DeadCodeWarning, DivergenceError, DivergenceWarning
from isthmus.objectives import L1, GaussianLikelihood

linear = {"loss": "mse", "code_activation": "identity", "random_state": 0}


def pca_sse(train, test, n_components):
    pca = PCA(n_components).fit(train)
    return sse(test, pca.inverse_transform(pca.transform(test)))


def decoder_matrix(model):
    """Return what each code unit of a linear decoder adds to the reconstruction, as columns."""
    n = model.settings_.n_components
    return (model.inverse_transform(np.eye(n)) - model.inverse_transform(np.zeros((n, n)))).T


# PCA is the linear optimum


@pytest.mark.parametrize("tied", [False, True])
def test_a_linear_autoencoder_is_pca_on_digits(tied, digits, device):
    train, _ = digits
    model = Autoencoder(8, tied=tied, device=device, **linear).fit(train)
    optimum = pca_sse(train, train, 8)
    assert optimum * 0.9999 < sse(train, model.reconstruct(train)) < optimum * 1.005
    angles = subspace_angles(decoder_matrix(model), PCA(8).fit(train).components_.T)
    assert np.degrees(angles.max()) < 10


def test_a_linear_autoencoder_is_pca_on_a_standardised_table(device):
    X = load_breast_cancer().data  # columns between 1e-3 and 4e3
    model = Autoencoder(5, scale="standard", epochs=150, device=device, **linear).fit(X)
    standard = (X - X.mean(0)) / X.std(0)
    copies = (model.reconstruct(X) - X.mean(0)) / X.std(0)
    optimum = pca_sse(standard, standard, 5)
    assert optimum * 0.9999 < sse(standard, copies) < optimum * 1.005
    angles = subspace_angles(decoder_matrix(model) / X.std(0)[:, None], PCA(5).fit(standard).components_.T)
    assert np.degrees(angles.max()) < 10
    assert model.score(X) == pytest.approx(PCA(5).fit(standard).explained_variance_ratio_.sum(), abs=0.002)


def test_the_defaults_on_a_table_are_that_linear_model():
    model = Autoencoder(5, epochs=1, random_state=0).fit(load_breast_cancer().data)
    assert (model.settings_.loss.name, model.settings_.code_activation) == ("mse", "identity")


@pytest.mark.slow  # by the library in test_comparison.py
def test_pca_30_of_mnist_fixes_the_metric():
    """Hinton and Salakhutdinov's 13.87: the same data, the same split, the same sum."""
    train, test = load_mnist()
    X, Y = train.images, test.images
    mean = X.mean(0, dtype=np.float64)
    _, vectors = np.linalg.eigh(np.cov(X.T))
    components = vectors[:, -30:]
    copies = (Y - mean) @ components @ components.T + mean
    assert metrics.squared_error(Y, copies) == pytest.approx(13.866, abs=0.01)


# Better than not learning, better than PCA where there is more to learn


@pytest.mark.parametrize("estimator", with_slow(ESTIMATORS, SLOW_LEARNERS), ids=by_name)
@pytest.mark.filterwarnings(
    "ignore::isthmus.errors.DeadCodeWarning", "ignore::isthmus.errors.CollapseWarning"
)
def test_every_estimator_learns_by_its_defaults(estimator, digits, device):
    train, test = (as_given(estimator, rows) for rows in digits)
    model = estimator(16, random_state=0, epochs=40, device=device).fit(train)
    twin = estimator(16, random_state=0, epochs=1, learning_rate=1e-12, device=device).fit(train)
    error = sse(test, model.reconstruct(test))
    bar = 0.7 if estimator in MACHINES else 0.5  # 16 bits, and not after reconstructions
    assert error < bar * sse(test, train.mean(0))
    assert error < bar * sse(test, twin.reconstruct(test))
    assert model.score(test) == pytest.approx(1 - error / sse(test, test.mean(0)))
    assert model.score_samples(test).mean() > twin.score_samples(test).mean()
    losses = [row["loss"] for row in model.history_ if row.get("layer", 1) == 1]
    assert losses[-1] < 0.9 * losses[0]
    assert model.loss_ == model.history_[-1]["loss"]


def test_a_deep_autoencoder_beats_pca_on_digits(digits, device):
    train, test = digits
    model = Autoencoder(4, hidden_layers=(96, 48), epochs=60, random_state=0, device=device).fit(train)
    assert sse(test, model.reconstruct(test)) < 0.85 * pca_sse(train, test, 4)


def test_a_curve_needs_one_number_where_pca_needs_two(device):
    angle = np.random.default_rng(0).uniform(-2, 2, 600)
    X = np.column_stack([np.sin(angle), np.cos(angle)])
    model = Autoencoder(
        1, hidden_layers=(32, 32), activation="tanh", random_state=0, device=device, epochs=100
    )
    assert model.fit(X).score(X) > 0.99
    assert PCA(1).fit(X).explained_variance_ratio_.sum() < 0.9


def test_mnist_in_a_few_epochs(device):
    train, test = load_mnist()
    X, Y = train.images[:10_000], test.images[:2000]
    model = Autoencoder(32, epochs=10, random_state=0, device=device).fit(X)
    copies = model.reconstruct(Y)
    assert metrics.squared_error(Y, copies) < 0.85 * pca_sse(X, Y, 32)
    assert metrics.binary_cross_entropy(Y, copies) < 0.11  # the mean image: .2625; an untrained net: .7
    assert (model.code_usage_ > 0).all()


# Sparsity


dead_codes_allowed = pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")


@dead_codes_allowed
def test_sparse_codes_are_less_than_half_as_large_at_any_batch_size(digits, device):
    mean = {}
    for batch_size in (64, 256):
        for name, model in {
            "plain": Autoencoder(16, code_activation="relu"),
            "sparse": SparseAutoencoder(16, penalty=L1(weight=2e-3)),
        }.items():
            # As many epochs as rows in a batch: equally many steps.
            model.set_params(batch_size=batch_size, epochs=batch_size, random_state=0, device=device)
            mean[name, batch_size] = model.fit(digits[0]).transform(digits[1]).mean()
            assert model.score(digits[1]) > 0.5
        assert mean["sparse", batch_size] < 0.5 * mean["plain", batch_size]
    assert mean["sparse", 64] == pytest.approx(mean["sparse", 256], rel=0.25)


@dead_codes_allowed
def test_a_stronger_penalty_gives_smaller_and_rarer_activities(digits):
    codes = [
        SparseAutoencoder(32, penalty=L1(weight=weight), epochs=30, random_state=0)
        .fit(digits[0])
        .transform(digits[1])
        for weight in (0, 1e-3, 1e-2)
    ]
    means = [code.mean() for code in codes]
    zeros = [(code == 0).mean() for code in codes]
    assert means == sorted(means, reverse=True)
    assert zeros == sorted(zeros)


def test_a_weight_penalty_shrinks_the_weights(digits):
    norms = [
        np.square(decoder_matrix(Autoencoder(8, penalty=penalty, epochs=20, **linear).fit(digits[0]))).sum()
        for penalty in (None, "l2:weight=1e-3,on=weights", "l2:weight=1e-2,on=weights")
    ]
    assert norms[0] > 1.05 * norms[1] > 1.05**2 * norms[2]


@dead_codes_allowed
def test_history_adds_up(digits):
    model = SparseAutoencoder(16, epochs=3, random_state=0, validation_fraction=0.1, penalty=L1(weight=1e-3))
    for row in model.fit(digits[0]).history_:
        assert row["loss"] == pytest.approx(row["reconstruction"] + row["penalty"])
        assert row["validation_loss"] == pytest.approx(
            row["validation_reconstruction"] + row["validation_penalty"]
        )
        assert row["penalty"] > 0
        assert row["seconds"] > 0


# Likelihoods


@pytest.mark.parametrize("noise", with_slow([0.05, 0.5], [0.5]))
def test_the_gaussian_loss_finds_the_variance_of_the_noise(noise, device):
    random = np.random.default_rng(0)
    plane = random.normal(size=(2000, 3)) @ random.normal(size=(3, 20))
    X = plane + noise * random.normal(size=(2000, 20))
    model = Autoencoder(
        3,
        loss="gaussian",
        scale="none",
        code_activation="identity",
        epochs=200,
        random_state=0,
        device=device,
    ).fit(X)
    learnt = model._assembly.loss_parameters["log_variance"].exp().item()
    assert learnt == pytest.approx(np.square(X - model.reconstruct(X)).mean(), rel=0.05)
    assert learnt == pytest.approx(noise**2 * 17 / 20, rel=0.1)  # three of twenty directions are explained
    # In nats: the density of a Gaussian with that variance.
    entropy = 10 * (np.log(2 * np.pi * learnt) + 1)
    assert -model.score_samples(X).mean() == pytest.approx(entropy, abs=0.5)


def test_a_variance_for_each_feature(device):
    random = np.random.default_rng(0)
    noise = np.repeat([0.1, 1.0], 10)
    X = random.normal(size=(2000, 2)) @ random.normal(size=(2, 20)) + noise * random.normal(size=(2000, 20))
    model = Autoencoder(
        2, loss=GaussianLikelihood(variance="feature", floor=1e-3), scale="none", code_activation="identity",
        epochs=200, random_state=0, device=device,
    ).fit(X)  # fmt: skip
    learnt = model._assembly.loss_parameters["log_variance"].exp().detach().cpu().numpy()
    residual = np.square(X - model.reconstruct(X)).mean(0)
    # A unit may copy one of the quiet features as it is: what the floor is for.
    np.testing.assert_allclose(np.maximum(learnt, 1e-3), np.maximum(residual, 1e-3), rtol=0.1)
    np.testing.assert_allclose(learnt[10:], 1.0, rtol=0.2)


# Scaling


def test_wild_units_are_learnt_in_every_column(device):
    """Every column is a copy of one of two hidden numbers, in its own unit."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=(500, 2))
    units, offsets = np.array([1e-6, 1.0, 1e9, 1e-6, 1.0, 1e9]), np.array([0, 5, 1e12, 1e-3, -2, 0])
    X = np.repeat(hidden, 3, axis=1) * units + offsets
    X = np.column_stack([X, np.full(500, 42.0)])
    model = Autoencoder(2, random_state=0, epochs=40, device=device).fit(X)
    copies = model.reconstruct(X)
    explained = 1 - np.square(X - copies)[:, :6].mean(0) / X[:, :6].var(0)
    assert (explained > 0.98).all()
    np.testing.assert_allclose(copies[:, 6], 42, atol=0.05)
    assert model.score(X) > 0.98


def test_data_between_0_and_1_are_left_alone(digits):
    model = Autoencoder(4, epochs=1, random_state=0, code_activation="identity").fit(digits[0])
    scaling = model.encoder_.scaling
    assert scaling.trivial
    assert (scaling.offset.item(), scaling.unit.item()) == (0, 1)
    assert model.settings_.loss.name == "bce"


@pytest.mark.parametrize("scale", ["none", "standard", "sequence", "minmax", "range"])
def test_every_scale_is_undone(scale, digits):
    """With as many components as features a linear model can copy; then units and offsets must fit."""
    X = digits[0][:300, 10:30] * 8 + 3
    model = Autoencoder(20, scale=scale, epochs=60, **linear).fit(X)
    assert sse(X, model.reconstruct(X)) < 0.1 * sse(X, X.mean(0))


def test_scales_by_hand():
    X = np.array([[0.0, 10.0, 7.0], [4.0, 20.0, 7.0]])
    expected = {
        "none": ([0], [1]),
        "standard": ([2, 15, 7], [2, 5, 1]),
        "minmax": ([0, 10, 7], [4, 10, 1]),
        "range": ([0], [20]),
    }
    for scale, (offset, unit) in expected.items():
        scaling = Autoencoder(1, scale=scale, epochs=1, **linear).fit(X).encoder_.scaling
        np.testing.assert_array_equal(scaling.offset, offset)
        np.testing.assert_array_equal(scaling.unit, unit)


def test_limits_learnt_from_the_training_rows_need_not_hold_for_others():
    """Defaults must not choose a loss that the next row breaks."""
    images = np.random.default_rng(0).normal(100, 30, (200, 4, 4))
    images[150] = 500
    model = Autoencoder(4, epochs=2, random_state=0).fit(images[:150], validation_data=images[150:])
    assert np.isfinite(model.score_samples(images)).all()
    rows = images.reshape(200, 16)
    minmax = Autoencoder(4, epochs=2, scale="minmax", validation_fraction=0.5, random_state=0).fit(rows)
    assert minmax.score_samples(rows).argmin() == 150


@pytest.mark.parametrize("largest", [1e38, 1e150, 1e300, 1e308])
@pytest.mark.parametrize("scale", ["auto", "none", "minmax", "range"])
def test_enormous_values_give_finite_copies_or_our_error(largest, scale):
    X = np.random.default_rng(0).uniform(-1, 1, (60, 4))
    X[:, 1] *= largest
    X[:2, 1] = largest, -largest
    model = Autoencoder(2, scale=scale, epochs=3, random_state=0, code_activation="identity", loss="mse")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)
            model.fit(X)
    except (DataError, DivergenceError):
        pass
    else:
        assert np.isfinite(model.transform(X)).all()
        assert np.isfinite(model.reconstruct(X)).all()


def test_enormous_values_in_single_precision():
    X = (np.random.default_rng(0).normal(size=(100, 3)) * [1, 5e37, 1e-38]).astype(np.float32)
    model = Autoencoder(3, epochs=150, random_state=0).fit(X)
    explained = 1 - np.square((X - model.reconstruct(X).astype(float)) / X.astype(float).std(0)).mean(0)
    assert (explained > 0.9).all()


def test_fifty_rows_and_nothing_set():
    random = np.random.default_rng(0)
    X = random.normal(size=(50, 3)) @ random.normal(size=(3, 6)) * [1, 10, 100, 1, 1, 1] + 5
    model = Autoencoder(random_state=0).fit(X)
    assert model.settings_.n_components == 3
    assert model.score(X) > 0.99


# Dead codes


def test_dead_codes_are_found_and_advice_given(digits):
    model = SparseAutoencoder(8, penalty="l1:weight=10", epochs=10, random_state=0)
    with pytest.warns(
        DeadCodeWarning, match=r"8 of 8 code units of SparseAutoencoder are dead: .* penalty, or fewer"
    ):
        model.fit(digits[0])
    assert (model.code_usage_ == 0).all()


@pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")  # which units die is chance
def test_usage_is_the_share_of_rows_in_which_a_unit_is_active(digits):
    model = SparseAutoencoder(16, penalty="l1:weight=1e-3", epochs=30, random_state=1)
    codes = model.fit_transform(digits[0])
    np.testing.assert_allclose(model.code_usage_, (codes != 0).mean(0), atol=2e-3)
    assert 0.1 < model.code_usage_.mean() < 0.95
