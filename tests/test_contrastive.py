"""How Boltzmann machines learn: chains, gradients, the estimators, and what starts from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from sklearn.neural_network import BernoulliRBM

from helpers import INITIALIZATIONS, SAMPLERS, sse, state_of, with_slow
from isthmus import (
    Autoencoder,
    DeepBeliefNetwork,
    DenoisingAutoencoder,
    RestrictedBoltzmannMachine,
    find_learning_rate,
    load,
)
from isthmus._random import GIBBS, row_keys
from isthmus.errors import InvalidParameterError, NoImprovementWarning
from isthmus.estimators._contrastive import LikelihoodGradient, MachineObjective
from isthmus.networks import exact_log_partition
from isthmus.objectives import KLSparsity
from isthmus.training import (
    Batch,
    ContrastiveDivergence,
    FlatParameters,
    ParallelTempering,
    PersistentContrastiveDivergence,
)
from test_boltzmann import machine, probabilities, states

pytestmark = pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")


def batch_of(rows, seed=0):
    return Batch(rows, row_keys(seed, 0, torch.arange(len(rows))))


def total_variation(drawn, visible, known):
    powers = 2.0 ** torch.arange(visible.shape[1] - 1, -1, -1, dtype=visible.dtype)
    counts = torch.bincount((drawn @ powers).long(), minlength=len(visible)).double()
    return float((counts / counts.sum() - known).abs().sum() / 2)


# Chains


def test_contrastive_divergence_is_gibbs_sampling_from_the_rows():
    m, batch = machine(4, 6), batch_of(torch.rand(9, 6, dtype=torch.float64))
    drawn = m.hidden.sample(m.hidden_inputs(batch.rows), batch.keys, GIBBS)
    for k in (1, 3):
        expected = batch.rows
        for number in range(k):
            expected = m.gibbs_step(expected, batch.keys, number)
        found = ContrastiveDivergence(n_steps=k).start(0)(m, batch, drawn)
        assert torch.equal(found, expected)


def test_persistent_chains_go_on_where_they_were():
    m, batch = machine(4, 6), batch_of(torch.rand(9, 6, dtype=torch.float64))
    once = PersistentContrastiveDivergence(n_steps=2, n_chains=5).start(7)
    twice = PersistentContrastiveDivergence(n_steps=1, n_chains=5).start(7)
    for _ in range(3):
        far = once(m, batch, batch.rows)
        twice(m, batch, batch.rows)
        assert torch.equal(far, twice(m, batch, batch.rows))
    assert far.shape == (5, 6)


@pytest.mark.parametrize("sampler", SAMPLERS[2:], ids=str)
def test_persistent_chains_reach_the_distribution(sampler):
    m = machine(3, 4, size=1.0)
    visible, known = probabilities(m)
    chains, drawn = sampler.start(0), []
    for number in range(1200):
        found = chains(m, batch_of(visible), visible)
        if number >= 50:
            drawn.append(found)
    assert total_variation(torch.cat(drawn), visible, known) < 0.02


def test_tempered_chains_cross_where_others_stay():
    """Two far modes, all off and all on, that are equally likely."""
    strong = machine(1, 6, size=0.0)
    m = type(strong)(
        torch.full((1, 6), 9.0, dtype=torch.float64),
        torch.tensor([-27.0], dtype=torch.float64),
        torch.full((6,), -4.5, dtype=torch.float64),
        strong.visible,
        strong.hidden,
    )
    visible, known = probabilities(m)
    on = (known * (visible.sum(1) > 3)).sum()
    assert on == pytest.approx(0.5, abs=0.01)
    # The chains start from the first rows, which are all off; the other half says that this is not all.
    start = batch_of(torch.cat([torch.zeros(20, 6), torch.ones(20, 6)]).double())
    shares = {}
    for kind in (PersistentContrastiveDivergence, ParallelTempering):
        sampler = kind(n_chains=20)
        chains = sampler.start(0)
        drawn = torch.cat([chains(m, start, start.rows) for _ in range(600)][100:])
        shares[sampler.name] = float((drawn.sum(1) > 3).double().mean())
    assert shares["pcd"] < 0.1
    assert shares["pt"] == pytest.approx(0.5, abs=0.08)


# The gradient


class Everything:
    """All states of the visible units, as often as the machine would draw them."""

    def __init__(self, n, times=4000):
        self.visible, self.times = states(n), times

    def __call__(self, m, batch, hidden):
        chances = (-m.free_energy(self.visible.to(m.weights.dtype))).softmax(0)
        counts = (chances * self.times).round().long()
        return self.visible.to(m.weights.dtype).repeat_interleave(counts, 0)


def fitted(n_hidden=3, n_visible=4, **parameters):
    """Return a fitted machine whose weights are large, so that nothing is nearly zero."""
    rows = (np.random.default_rng(0).random((60, n_visible)) > 0.6).astype(np.float32)
    settings = {"visible": "bernoulli", "epochs": 1, "random_state": 0, **parameters}
    model = RestrictedBoltzmannMachine(n_hidden, **settings).fit(rows)
    with torch.no_grad():
        for parameter in model._assembly.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model, torch.from_numpy(rows)


def gradient_of(model, rows, chains, **settings):
    """Return the gradient of a step as (weights, hidden biases, visible biases)."""
    memory = FlatParameters(model._assembly)
    with memory:
        step = LikelihoodGradient(
            model._assembly,
            MachineObjective(model.settings_),
            chains,
            memory,
            **{"centred": False, **settings},
        )
        step(batch_of(rows))
        found = [part.clone() for part in step.gradients]
        return (*found, memory.flat.grad.clone())


def test_with_all_states_the_gradient_is_that_of_the_likelihood():
    model, rows = fitted()
    found = gradient_of(model, rows, Everything(4))
    m = model._machine(torch.float64)
    parts = [part.detach().requires_grad_() for part in (m.weights, m.hidden_bias, m.visible_bias)]
    alone = type(m)(*parts, m.visible, m.hidden)
    log_partition = (-alone.free_energy(states(4))).logsumexp(0)
    loss = alone.free_energy(rows.double()).mean() + log_partition
    for ours, known in zip(found, torch.autograd.grad(loss, parts), strict=False):
        torch.testing.assert_close(ours.double(), known, atol=2e-3, rtol=0)


def test_the_centred_gradient_is_that_of_a_machine_with_offsets():
    """E = -(v - mu) W (h - lambda) - (v - mu) b - (h - lambda) c, turned back into ours."""
    model, rows = fitted()
    weights, hidden_bias, visible_bias, _ = gradient_of(model, rows, Everything(4), centred=True)
    plain = [part.double() for part in gradient_of(model, rows, Everything(4))]
    m = model._machine(torch.float64)
    mu = rows.double().mean(0)
    lam = m.hidden.mean(m.hidden_inputs(rows.double())).mean(0).detach()
    centred = plain[0] - torch.outer(lam, plain[2]) - torch.outer(plain[1], mu)
    torch.testing.assert_close(weights.double(), centred, atol=1e-5, rtol=0)
    torch.testing.assert_close(hidden_bias.double(), plain[1] - centred @ mu, atol=1e-5, rtol=0)
    torch.testing.assert_close(visible_bias.double(), plain[2] - centred.t() @ lam, atol=1e-5, rtol=0)


def test_data_and_their_negatives_are_learnt_alike_when_centred():
    random = np.random.default_rng(0)
    modes = (random.random((4, 9)) < 0.2).astype(np.float32)
    X = np.abs(modes[random.integers(4, size=400)] - (random.random((400, 9)) < 0.05))
    gaps = {}
    for centred in (True, False):
        scores = [
            RestrictedBoltzmannMachine(
                6, visible="bernoulli", sampler="cd:n_steps=5", centred=centred, epochs=60, random_state=0
            )
            .fit(rows)
            .log_likelihood(rows)
            .mean()
            for rows in (X, 1 - X)
        ]
        gaps[centred] = abs(scores[0] - scores[1])
    assert gaps[True] < 0.3
    assert gaps[False] > 2 * gaps[True]


def test_weight_decay_is_for_weights_alone():
    model, rows = fitted()
    plain, decayed = (gradient_of(model, rows, Everything(4), weight_decay=decay) for decay in (0.0, 0.1))
    weights = model._machine().weights.detach()
    torch.testing.assert_close(decayed[0] - plain[0], 0.1 * weights, atol=1e-6, rtol=0)
    assert torch.equal(decayed[1], plain[1])
    assert torch.equal(decayed[2], plain[2])


def test_a_penalty_adds_its_own_gradient():
    model, rows = fitted()
    penalty = KLSparsity(weight=0.7, target=0.2)
    plain, penalised = (gradient_of(model, rows, Everything(4), penalty=part)[3] for part in (None, penalty))
    m = model._machine()
    mean = m.hidden.mean(m.hidden_inputs(rows)).mean(0)
    value = 0.7 * (0.2 * (0.2 / mean).log() + 0.8 * (0.8 / (1 - mean)).log()).sum()
    parameters = list(model._assembly.parameters())
    known = torch.autograd.grad(value, parameters, allow_unused=True)
    flat = torch.cat(
        [
            torch.zeros_like(p).flatten() if g is None else g.flatten()
            for p, g in zip(parameters, known, strict=True)
        ]
    )
    torch.testing.assert_close(penalised - plain, flat, atol=1e-5, rtol=1e-4)


# The machine as an estimator


@pytest.fixture(scope="module")
def stripes():
    """Return 400 rows of all stripes and bars of three by three pixels, and their entropy in nats."""
    lines = states(3)[1:-1]
    rows = torch.cat(
        [line.repeat(3, 1).t().flatten()[None] for line in lines] + [line.repeat(3)[None] for line in lines]
    )
    rows = torch.cat([rows, torch.zeros(1, 9), torch.ones(1, 9)]).numpy().astype(np.float32)
    return np.tile(rows, (30, 1)), math.log(len(rows))


@pytest.mark.parametrize(
    "sampler",
    with_slow(
        ["cd:n_steps=10", "pcd:n_steps=5", "pt:n_temperatures=6,n_steps=2"],
        ["cd:n_steps=10", "pt:n_temperatures=6,n_steps=2"],
    ),
)
def test_a_small_world_is_learnt_nearly_to_its_entropy(sampler, stripes):
    X, entropy = stripes
    model = RestrictedBoltzmannMachine(16, sampler=sampler, epochs=300, batch_size=42, random_state=0).fit(X)
    reached = model.log_likelihood(X).mean()
    mean = X.mean(0)
    independent = (X * np.log(mean) + (1 - X) * np.log(1 - mean)).sum(1).mean()
    assert independent < -6
    assert reached > -entropy - 0.6
    everything = states(9).numpy().astype(np.float32)
    assert np.exp(model.log_likelihood(everything)).sum() == pytest.approx(1.0, abs=1e-6)


def test_scikit_learns_machine_is_beaten_in_as_many_epochs(digits):
    X, X_test = digits[0].astype(np.float32), digits[1].astype(np.float32)
    ours = RestrictedBoltzmannMachine(32, epochs=15, batch_size=10, random_state=0).fit(X)
    theirs = BernoulliRBM(32, learning_rate=0.05, n_iter=15, random_state=0).fit(X)
    scores = ours.score_samples(X_test).mean()
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        assert getattr(ours, name).shape == getattr(theirs, name).shape
    other = type(ours._machine())(
        *(
            torch.from_numpy(np.array(getattr(theirs, name)))
            for name in ("components_", "intercept_hidden_", "intercept_visible_")
        ),
        ours._machine().visible,
        ours._machine().hidden,
    )
    from isthmus.networks import log_pseudo_likelihood

    assert scores > float(log_pseudo_likelihood(other, torch.from_numpy(X_test)).mean())


def test_gaussian_machines_find_the_principal_subspace():
    random = np.random.default_rng(0)
    X = random.normal(size=(2000, 3)) @ random.normal(size=(3, 10)) + 0.3 * random.normal(size=(2000, 10))
    model = RestrictedBoltzmannMachine(
        3, visible="gaussian", hidden="gaussian", scale="standard", epochs=100, random_state=0
    ).fit(X)
    standard = (X - X.mean(0)) / X.std(0)
    angles = subspace_angles(model.components_.T, PCA(3).fit(standard).components_.T)
    assert np.degrees(angles).max() < 10
    assert math.isfinite(model.log_partition().value)


def test_a_sparsity_target_is_met(digits):
    for target in (0.05, 0.3):
        model = RestrictedBoltzmannMachine(
            20, penalty=KLSparsity(weight=1.0, target=target), epochs=40, random_state=0
        ).fit(digits[0])
        assert model.transform(digits[0]).mean() == pytest.approx(target, abs=0.05)


def test_the_annealed_partition_function_is_the_exact_one(digits):
    model = RestrictedBoltzmannMachine(16, sampler="pcd", epochs=30, random_state=0).fit(digits[0])
    exact, annealed = model.log_partition(), model.log_partition(method="annealing", n_chains=200)
    assert exact.exact
    assert exact.value == exact_log_partition(model._machine(torch.float64))
    assert abs(annealed.value - exact.value) < 0.3
    assert annealed.value - 0.3 < exact.value < annealed.upper + 0.3
    with pytest.raises(InvalidParameterError, match="'annealing' or 'auto' for a machine without a layer"):
        RestrictedBoltzmannMachine(30, epochs=1).fit(digits[0]).log_partition(method="exact")


def test_steps_of_reconstruction_lead_from_the_row_to_the_model(digits):
    model = RestrictedBoltzmannMachine(32, epochs=40, random_state=0).fit(digits[0])
    X = digits[1][:100]
    np.testing.assert_array_equal(model.reconstruct(X), model.inverse_transform(model.transform(X)))
    errors = [sse(X, model.reconstruct(X, n_steps, random_state=0)) for n_steps in (1, 2, 20)]
    assert errors == sorted(errors)
    np.testing.assert_array_equal(model.gibbs(X, 3, random_state=1), model.gibbs(X, 3, random_state=1))
    assert not np.array_equal(model.gibbs(X, 3, random_state=1), model.gibbs(X, 3, random_state=2))
    assert set(np.unique(model.gibbs(X))) == {0.0, 1.0}
    drawn = model.sample(400, n_steps=200, random_state=0)
    assert np.abs(drawn.mean(0) - digits[0].mean(0)).mean() < 0.06
    noise = np.random.default_rng(0).permuted(X, axis=1)
    assert model.free_energy(X).mean() < model.free_energy(noise).mean() - 10


def test_learnt_parameters_are_there_after_fit(digits, tmp_path):
    model = RestrictedBoltzmannMachine(8, epochs=2, random_state=0)
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        assert not hasattr(model, name)
    model.fit(digits[0])
    assert model.components_.shape == (8, 64)
    expected = 1 / (1 + np.exp(-(digits[1] @ model.components_.T.astype(float) + model.intercept_hidden_)))
    np.testing.assert_allclose(model.transform(digits[1]), expected, rtol=1e-5)
    model.save(tmp_path / "machine")
    again = load(tmp_path / "machine")
    np.testing.assert_array_equal(again.free_energy(digits[1]), model.free_energy(digits[1]))
    assert again.settings_.sampler == model.settings_.sampler


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"visible": "binary"}, "'visible' parameter of RestrictedBoltzmannMachine must be one of 'auto'"),
        ({"hidden": "gausian"}, "'hidden' .* Did you mean 'gaussian'"),
        ({"sampler": "cdd"}, "'sampler' .* one of 'cd', 'pcd', 'pt'"),
        ({"sampler": "cd:n_steps=0"}, "'n_steps' parameter of ContrastiveDivergence"),
        ({"sampler": "pcd:n_chains=0"}, "'n_chains' parameter of PersistentContrastiveDivergence"),
        ({"sampler": "pt:n_temperatures=1"}, "'n_temperatures' parameter of ParallelTempering"),
        ({"centred": "yes"}, "'centred' .* True or False"),
        ({"penalty": "kl", "hidden": "gaussian"}, "'sigmoid' with penalty='kl'"),
        ({"compile": True}, "'compile' .* 'auto' or False"),
    ],
    ids=str,
)
def test_wrong_parameters_are_named(parameters, message, digits):
    with pytest.raises(InvalidParameterError, match=message):
        RestrictedBoltzmannMachine(4, epochs=1, **parameters).fit(digits[0])


def test_no_learning_rate_is_found_where_no_loss_is_followed(digits):
    for model in (RestrictedBoltzmannMachine(4), DeepBeliefNetwork(4)):
        with pytest.raises(InvalidParameterError, match="which a Boltzmann machine does not"):
            find_learning_rate(model, digits[0])


# Belief networks, and starts


def test_a_belief_network_is_its_machines_one_after_the_other(digits):
    X = digits[0].astype(np.float32)
    settings = {"epochs": 5, "visible": "bernoulli"}
    deep = DeepBeliefNetwork(6, hidden_layers=(20,), random_state=0, **settings).fit(X)
    network = deep._assembly.network
    lower = 1 / (
        1
        + np.exp(
            -(X @ network.encoder[0].weight.detach().numpy().T + network.encoder[0].bias.detach().numpy())
        )
    )
    upper = deep._top()
    np.testing.assert_allclose(
        deep.transform(X), upper.hidden.mean(upper.hidden_inputs(torch.from_numpy(lower))).detach(), rtol=1e-4
    )
    assert [row["layer"] for row in deep.history_] == [1] * 5 + [2] * 5
    assert deep.sample(3, n_steps=20, random_state=0).shape == (3, 64)


@pytest.mark.parametrize(
    "activation", ["identity", "relu", "silu", "gelu", "softplus", "leaky_relu", "elu", "selu"]
)
@pytest.mark.parametrize("hidden_layers", [(), (24,), (30, 16)], ids=str)
def test_a_network_can_start_as_pca(activation, hidden_layers, digits):
    train, test = digits
    pca = PCA(5).fit(train)
    copies = pca.inverse_transform(pca.transform(test))
    model = Autoencoder(
        5,
        hidden_layers=hidden_layers,
        activation=activation,
        initialization="pca",
        loss="mse",
        scale="none",
        epochs=1,
        learning_rate=1e-12,
        random_state=0,
    ).fit(train)
    np.testing.assert_allclose(model.reconstruct(test), copies, atol=2e-3)
    np.testing.assert_allclose(np.abs(model.transform(test)), np.abs(pca.transform(test)), atol=2e-3)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_saturating_layers_start_close_to_pca(activation, digits):
    train, test = digits
    pca = PCA(5).fit(train)
    model = Autoencoder(
        5,
        hidden_layers=(24,),
        activation=activation,
        initialization="pca",
        loss="mse",
        scale="none",
        epochs=1,
        learning_rate=1e-12,
        random_state=0,
    ).fit(train)
    assert sse(test, model.reconstruct(test)) < 1.02 * sse(test, pca.inverse_transform(pca.transform(test)))


@pytest.mark.parametrize("loss", ["bce", "mse", "gaussian", "huber"])
@pytest.mark.parametrize("rate", ["auto", 0.3])
@pytest.mark.filterwarnings("ignore::isthmus.errors.NoImprovementWarning")
def test_from_pca_training_never_ends_below_it(loss, rate, digits):
    """Also where the learning rate is far too high."""
    train, _ = digits
    pca = PCA(5).fit(train)
    copies = pca.inverse_transform(pca.transform(train))
    model = Autoencoder(
        5,
        hidden_layers=(24,),
        initialization="pca",
        loss=loss,
        scale="none",
        epochs=20,
        learning_rate=rate,
        random_state=0,
    ).fit(train)
    if loss == "bce":
        kept = np.clip(copies, 1e-7, 1 - 1e-7)
        assert (
            -model.score_samples(train).mean()
            <= -(train * np.log(kept) + (1 - train) * np.log(1 - kept)).sum(1).mean()
        )
    else:
        assert sse(train, model.reconstruct(train)) <= sse(train, copies) * (1 + 1e-4)


def test_a_training_that_ruins_the_start_is_taken_back_and_told(digits):
    with pytest.warns(NoImprovementWarning, match="above the .* that it started from"):
        model = Autoencoder(
            5, initialization="pca", loss="mse", scale="none", epochs=2, learning_rate=5.0
        ).fit(digits[0])
    assert model.score(digits[0]) == pytest.approx(
        PCA(5).fit(digits[0]).explained_variance_ratio_.sum(), abs=1e-3
    )


@pytest.mark.parametrize("initialization", INITIALIZATIONS[1:], ids=str)
def test_sigmoid_layers_learn_sooner_from_a_start(initialization, digits):
    train, test = digits
    models = [
        Autoencoder(
            8, hidden_layers=(48, 24), activation="sigmoid", epochs=5, initialization=start, random_state=0
        ).fit(train)
        for start in ("random", initialization)
    ]
    assert sse(test, models[1].reconstruct(test)) < 0.9 * sse(test, models[0].reconstruct(test))
    assert models[0].pretraining_history_ == []
    layers = sorted({row["layer"] for row in models[1].pretraining_history_})
    assert layers == ([] if initialization.name == "pca" else [1, 2, 3])


def test_layers_are_trained_with_the_noise_of_the_whole(digits):
    X = digits[0].astype(np.float32)
    settings = {
        "hidden_layers": (24,),
        "initialization": "stacked:epochs=4",
        "epochs": 1,
        "learning_rate": 1e-12,
    }
    plain = Autoencoder(6, random_state=0, **settings).fit(X)
    noisy = DenoisingAutoencoder(6, noise="masking:share=0.5", random_state=0, **settings).fit(X)
    for layer in (1, 2):
        one, other = (
            [row["loss"] for row in model.pretraining_history_ if row["layer"] == layer]
            for model in (plain, noisy)
        )
        assert other[-1] > 1.02 * one[-1]
        assert other[-1] < other[0]


def test_unrolled_machines_reconstruct_before_any_fine_tuning(digits):
    train, test = digits
    still = {"epochs": 1, "learning_rate": 1e-12, "random_state": 0}
    for tied in (False, True):
        model = Autoencoder(
            16, hidden_layers=(48,), activation="sigmoid", tied=tied, initialization="rbm:epochs=30", **still
        ).fit(train)
        assert model.score(test) > 0.3
        weights = state_of(model)
        if not tied:
            np.testing.assert_allclose(
                weights["network.decoder.0.weight"], weights["network.encoder.2.weight"].T, atol=1e-6
            )


def test_what_cannot_start_so_is_refused_by_name(digits):
    cases = {
        "'network' .* 'dense' with initialization='pca'": {
            "initialization": "pca",
            "network": "recurrent:n_features=8",
        },
        "'tied' .* False with initialization='pca'": {"initialization": "pca", "tied": True},
        "'code_activation' .* 'identity' with initialization='pca'": {
            "initialization": "pca",
            "code_activation": "relu",
        },
        "'hidden_layers' .* at least 12 wide with initialization='pca'": {
            "initialization": "pca",
            "hidden_layers": (20, 11),
        },
        "'activation' .* with initialization='rbm'": {
            "initialization": "rbm",
            "activation": "tanh",
            "hidden_layers": (9,),
        },
        "'bottleneck' .* with initialization='stacked'": {
            "initialization": "stacked",
            "bottleneck": "gaussian",
        },
        "'loss' .* with initialization='stacked'": {"initialization": "stacked", "loss": "poisson"},
    }
    for message, parameters in cases.items():
        with pytest.raises(InvalidParameterError, match=message):
            Autoencoder(6, epochs=1, **parameters).fit(digits[0])
