"""Variational autoencoders against what is known exactly: probabilistic PCA, and linear Gaussian models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm
from sklearn.decomposition import PCA

from isthmus import VariationalAutoencoder
from isthmus.bottlenecks import Gaussian
from isthmus.errors import CollapseWarning, DataError, InvalidParameterError
from isthmus.estimators import _likelihood


@pytest.fixture(scope="module")
def plane():
    """Return 2,000 rows of 8 numbers that 3 hidden ones explain but for noise."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=(2000, 3)) * [3.0, 2.0, 1.0]
    rows = hidden @ random.normal(size=(3, 8)) + 0.7 * random.normal(size=(2000, 8))
    return (rows - rows.mean(0)) / rows.std(0)


def linear(**settings):
    fixed = {"hidden_layers": (), "loss": "gaussian", "scale": "none", "random_state": 0}
    return VariationalAutoencoder(3, **(fixed | {"learning_rate": 0.02} | settings))


@pytest.fixture(scope="module")
def fitted(plane):
    return linear(epochs=150).fit(plane)


@pytest.fixture(scope="module")
def halfway(plane):
    """Return a model whose posteriors are still far from right."""
    return linear(epochs=2).fit(plane)


def exact_log_likelihood(model, X):
    """Return log p(x) of the linear decoder: a normal distribution, integrated by hand."""
    layer = model.decoder_.body[0]
    weight, bias = (value.detach().double().numpy() for value in (layer.weight, layer.bias))
    variance = model._assembly.loss_parameters["log_variance"].exp().item()
    return multivariate_normal(bias, weight @ weight.T + variance * np.eye(len(bias))).logpdf(X)


def test_a_linear_one_reaches_the_likelihood_of_probabilistic_pca(fitted, plane):
    # Tipping and Bishop's maximum likelihood, which scikit-learn's PCA computes in closed form.
    optimum = PCA(3).fit(plane).score(plane)
    assert fitted.elbo(plane)["elbo"].mean() == pytest.approx(optimum, rel=0.005)
    assert fitted.score_samples(plane, n_importance=200).mean() == pytest.approx(optimum, rel=0.005)
    assert exact_log_likelihood(fitted, plane).mean() == pytest.approx(optimum, rel=0.005)


def test_the_bound_rises_with_the_samples_to_the_exact_likelihood(halfway, plane):
    X = plane[:300]
    exact = exact_log_likelihood(halfway, X)
    bounds = [halfway.elbo(X)["elbo"].mean()]
    bounds += [halfway.score_samples(X, n_importance=k).mean() for k in (5, 50, 500, 5000)]
    assert bounds == sorted(bounds)
    assert bounds[0] < exact.mean() - 0.3
    assert bounds[-1] == pytest.approx(exact.mean(), abs=0.05)
    assert (np.array(bounds) < exact.mean() + 0.02).all()


def test_the_elbo_is_the_expected_weight_and_its_parts_are_exact(halfway, plane):
    X = plane[:50]
    parts = halfway.elbo(X)
    np.testing.assert_allclose(parts["elbo"], -parts["kl"] - parts["reconstruction"])
    mean, std = halfway.latent_distribution(X)
    np.testing.assert_allclose(parts["kl"], 0.5 * (mean**2 + std**2 - 1 - np.log(std**2)).sum(1), rtol=1e-9)
    # E[-log p(x | z)] for a linear decoder: the mean's error, and the spread of the code through the weights.
    layer = halfway.decoder_.body[0]
    weight = layer.weight.detach().double().numpy()
    variance = halfway._assembly.loss_parameters["log_variance"].exp().item()
    errors = np.square(X - halfway.inverse_transform(mean)).sum(1) + (std**2 @ (weight**2).T).sum(1)
    expected = 0.5 * (errors / variance + 8 * np.log(2 * np.pi * variance))
    np.testing.assert_allclose(parts["reconstruction"].mean(), expected.mean(), rtol=0.03)


def test_the_density_of_the_prior_is_what_samples_come_from(fitted, plane):
    rows = fitted.sample(20_000, random_state=0)
    assert rows.shape == (20_000, 8)
    np.testing.assert_array_equal(rows[:100], fitted.sample(100, random_state=0))
    assert not np.array_equal(rows[:100], fitted.sample(100, random_state=1))
    weight = fitted.decoder_.body[0].weight.detach().double().numpy()
    np.testing.assert_allclose(np.cov(rows.T), weight @ weight.T, atol=0.05 * np.trace(weight @ weight.T) / 8)
    np.testing.assert_allclose(rows.mean(0), plane.mean(0), atol=0.2)


@pytest.mark.filterwarnings("ignore::isthmus.errors.CollapseWarning")
@pytest.mark.parametrize("side", [4, 8, 28])
def test_beta_one_is_the_elbo_at_any_size_of_the_image(side):
    random = np.random.default_rng(0)
    images = (random.random((300, side, side)) < random.random((300, 1, 1))).astype(np.float32)
    model = VariationalAutoencoder(2, epochs=3, random_state=0, patience=None)
    model.fit(images, validation_data=images)
    last = model.history_[-1]
    assert last["validation_loss"] == pytest.approx(last["validation_reconstruction"] + last["validation_kl"])
    assert last["validation_kl"] == pytest.approx(last["validation_kl_nats"])
    parts = model.elbo(images)
    assert last["validation_loss"] == pytest.approx(-parts["elbo"].mean(), rel=0.02)
    # In nats an image: of the order of its number of pixels.
    assert 0.3 * side**2 < -parts["elbo"].mean() < 0.75 * side**2


def test_an_importance_weighted_objective_is_its_own_bound(plane):
    for bound in ("iwae", "dreg"):
        bottleneck = Gaussian(n_samples=5, bound=bound)
        model = linear(bottleneck=bottleneck, epochs=60, patience=None).fit(plane, validation_data=plane)
        five = model.score_samples(plane, n_importance=5).mean()
        assert model.history_[-1]["validation_loss"] == pytest.approx(-five, rel=0.01)
        assert five == pytest.approx(PCA(3).fit(plane).score(plane), rel=0.01)


def test_doubly_reparametrised_gradients_are_right_on_average():
    """The decoder's gradient is the same; the encoder's has the same expectation."""
    random = np.random.default_rng(0)
    X = random.normal(size=(64, 4)) @ random.normal(size=(4, 4))
    gradients = {}
    for bound in ("iwae", "dreg"):
        model = VariationalAutoencoder(
            2, hidden_layers=(), loss="gaussian", scale="none", epochs=1, random_state=0, learning_rate=1e-12,
            bottleneck=Gaussian(n_samples=8, bound=bound),
        ).fit(X)  # fmt: skip
        gradients[bound] = _many_gradients(model, torch.tensor(X, dtype=torch.float32), 400)
    decoder, encoder = ("decoder.0.weight", "encoder.0.weight")
    torch.testing.assert_close(gradients["iwae"][decoder], gradients["dreg"][decoder], rtol=1e-4, atol=1e-4)
    means = [gradients[bound][encoder].mean(0) for bound in ("iwae", "dreg")]
    error = sum(gradients[bound][encoder].var(0) / 400 for bound in ("iwae", "dreg")).sqrt()
    assert ((means[0] - means[1]).abs() < 4.5 * error).all()
    # And different they are, draw by draw.
    assert not torch.allclose(gradients["iwae"][encoder], gradients["dreg"][encoder], rtol=0.1)


def _many_gradients(model, rows, n):
    from isthmus._random import row_keys
    from isthmus.estimators._objectives import ImportanceWeightedObjective
    from isthmus.training import Batch

    assembly = model._assembly
    objective = ImportanceWeightedObjective(model.settings_.loss, model.settings_.bottleneck.bound == "dreg")
    names = dict(assembly.network.named_parameters())
    collected = {name: [] for name in names}
    for epoch in range(n):
        batch = Batch(rows, row_keys(1, epoch, torch.arange(len(rows))))
        found = torch.autograd.grad(objective(assembly, batch)["loss"], list(names.values()))
        for name, gradient in zip(names, found, strict=True):
            collected[name].append(gradient)
    return {name: torch.stack(values) for name, values in collected.items()}


def test_scores_depend_on_the_row_alone_and_memory_is_bounded(halfway, plane, monkeypatch):
    whole = halfway.score_samples(plane[:200], n_importance=100)
    chosen = [150, 3, 77]
    np.testing.assert_allclose(
        halfway.score_samples(plane[chosen], n_importance=100), whole[chosen], rtol=1e-9
    )
    twice = np.vstack([plane[:10], plane[:10]])
    scores = halfway.score_samples(twice, n_importance=10)
    np.testing.assert_array_equal(scores[:10], scores[10:])
    largest = []
    decoder = halfway._assembly.network.decoder
    handle = decoder.register_forward_pre_hook(lambda module, args: largest.append(args[0].shape[0] * 8))
    monkeypatch.setattr(_likelihood, "_VALUES", 1 << 12)
    try:
        single = halfway.score_samples(plane[:200].astype(np.float32), n_importance=100)
    finally:
        handle.remove()
    assert max(largest) <= 1 << 12
    assert np.corrcoef(single, whole)[0, 1] > 0.99


def test_interpolation_goes_from_copy_to_copy(fitted, plane):
    way = fitted.interpolate(plane[:4], plane[4:8], n_steps=5)
    assert way.shape == (4, 5, 8)
    np.testing.assert_allclose(way[:, 0], fitted.reconstruct(plane[:4]))
    np.testing.assert_allclose(way[:, -1], fitted.reconstruct(plane[4:8]))
    np.testing.assert_allclose(way[:, 2], (way[:, 0] + way[:, -1]) / 2, atol=1e-9)  # a linear decoder
    with pytest.raises(DataError, match="takes rows in pairs, but got 3 to start from and 4"):
        fitted.interpolate(plane[:3], plane[:4])


def test_the_manifold_is_a_grid_of_quantiles(plane):
    model = linear(epochs=20).set_params(n_components=2).fit(plane)
    grid = model.manifold(5, share=0.8)
    assert grid.shape == (5, 5, 8)
    quantiles = norm.ppf([0.1, 0.3, 0.5, 0.7, 0.9])
    # The first index goes with the second unit.
    expected = model.inverse_transform(np.array([[quantiles[3], quantiles[1]]], dtype=np.float32))
    np.testing.assert_allclose(grid[1, 3], expected[0], rtol=1e-5)
    with pytest.raises(InvalidParameterError, match=r"'n_components' .* 2 for a grid. Got 3"):
        linear(epochs=1).fit(plane).manifold()


def test_a_collapse_is_said_with_advice(plane):
    model = linear(bottleneck=Gaussian(beta=1000.0), epochs=20)
    with pytest.warns(CollapseWarning, match=r"collapsed: 0 of 3 units .* Try Gaussian\(warm_up=0.5\)"):
        model.fit(plane)
    assert not model.active_units(plane).any()


def test_active_units_are_those_whose_mean_varies(fitted, plane):
    assert fitted.active_units(plane).all()
    variances = fitted.transform(plane).var(axis=0)
    np.testing.assert_array_equal(fitted.active_units(plane), variances > 0.01)


def test_warm_up_saves_units_that_would_give_up():
    random = np.random.default_rng(0)
    images = (random.random((400, 16)) < random.dirichlet(np.ones(3), 400) @ random.random((3, 16))).astype(
        float
    )
    warmth = []

    from isthmus.training import Callback

    class Watch(Callback):
        def on_step_end(self, state):
            warmth.append(float(state.network.bottleneck.warmth))

    model = VariationalAutoencoder(
        2, bottleneck=Gaussian(warm_up=0.5, beta=1e-3), epochs=4, callbacks=[Watch()], random_state=0
    ).fit(images)
    assert warmth[0] < 0.1
    assert warmth[-1] == 1.0
    assert warmth == sorted(warmth)
    assert float(model._assembly.bottleneck.warmth) == 1.0
    assert model.history_[0]["kl"] < 1e-3 * model.history_[0]["kl_nats"]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_early_stopping_with_warm_up_ends_where_training_without_it_does(seed, digits):
    # A bound that is judged by the weight of its epoch rises as the weight does: 26.4 nats for 24.4.
    train, test = digits
    settings = {
        "hidden_layers": (32,),
        "epochs": 40,
        "bottleneck": Gaussian(warm_up=0.5),
        "random_state": seed,
    }
    stopped, whole = (
        VariationalAutoencoder(8, patience=patience, **settings).fit(train, validation_data=test)
        for patience in (5, None)
    )
    assert stopped.best_epoch_ > 20
    assert stopped.score_samples(test).mean() > whole.score_samples(test).mean() - 0.1
    judged = [row["validation_kl"] / row["validation_kl_nats"] for row in stopped.history_]
    np.testing.assert_allclose(judged, 1, rtol=1e-5)


def test_what_needs_a_gaussian_says_so(plane):
    model = VariationalAutoencoder(4, bottleneck="fsq:levels=(5,)", loss="mse", epochs=1, random_state=0)
    with pytest.raises(InvalidParameterError, match=r"'bottleneck' .* a Gaussian one for this. Got 'fsq'"):
        model.fit(plane).sample(3)
