"""How Boltzmann machines learn, in small worlds where everything can be counted: chains, gradients, estimators."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch

from isthmus import RestrictedBoltzmannMachine
from isthmus.estimators._contrastive import PACE, LikelihoodGradient, MachineObjective
from isthmus.networks import UNITS, BoltzmannMachine, exact_log_partition, log_pseudo_likelihood
from isthmus.training import FlatParameters, ParallelTempering, PersistentContrastiveDivergence
from machines import (
    RARE,
    assert_same_moments,
    batch_of,
    counts_of,
    draws_of,
    enumerated,
    fitted,
    machine_of,
    random_rows,
    states_of,
)

# Chains


@pytest.mark.parametrize("kind", [PersistentContrastiveDivergence, ParallelTempering])
def test_persistent_steps_add_up(kind):
    machine = machine_of("bernoulli", "bernoulli", n_visible=4, size=1.0)
    batch = batch_of(random_rows(7, 4).round())
    one, three = kind(n_steps=1).start(5), kind(n_steps=3).start(5)
    for _ in range(4):
        for _ in range(3):
            small = one(machine, batch, batch.rows)
        assert torch.equal(small, three(machine, batch, batch.rows))


@pytest.mark.parametrize("hidden", UNITS)
def test_each_temperature_has_the_distribution_of_its_own(hidden):
    """The exchanges leave the joint distribution of all temperatures as it is."""
    machine = machine_of("bernoulli", hidden, n_visible=3, size=0.9 if hidden == "bernoulli" else 0.5)
    rows = torch.tensor([[1.0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)
    chains = ParallelTempering(n_chains=8000, n_temperatures=4).start(3)
    for _ in range(30):
        coldest = chains(machine, batch_of(rows), rows)
    assert torch.equal(coldest, chains.states[-8000:])
    based = replace(machine, base_bias=machine.visible.input_for(rows.mean(0)))
    for beta, states in zip((0.0, 1 / 3, 2 / 3, 1.0), chains.states.split(8000), strict=True):
        known = enumerated(based.at(beta))[2].sum(1) * len(states)
        assert scipy.stats.chisquare(counts_of(states), known).pvalue > RARE


def test_chains_of_neighbouring_temperatures_are_exchanged_and_no_other():
    machine = machine_of("bernoulli", "bernoulli", n_visible=4, size=0.0)
    rows = random_rows(1, 4).round()
    chains = ParallelTempering(n_chains=1, n_temperatures=5).start(0)
    chains(machine, batch_of(rows), rows)
    labels = torch.arange(5, dtype=torch.float64)[:, None].expand(-1, 4)
    # Without ties and biases all states are equal, so that every offer is taken.
    for number, order in ((0, [1, 0, 3, 2, 4]), (1, [0, 2, 1, 4, 3])):
        chains.number = number
        assert chains.exchanged(machine, labels)[:, 0].tolist() == order


# The gradient


class Exact:
    """Chains that are at their end: what the machine would draw, spread evenly."""

    def __init__(self, n=40_000):
        self.n = n

    def __call__(self, machine, batch, hidden):
        parts = (part.double() for part in (machine.weights, machine.hidden_bias, machine.visible_bias))
        plain = BoltzmannMachine(*parts, machine.visible, machine.hidden)
        return draws_of(plain, self.n).to(batch.rows.dtype)


def gradient_of(model, batches, **settings):
    """Return the gradient of the last of these steps: of the weights, the hidden and the visible biases."""
    with FlatParameters(model._assembly, torch.float64) as memory:
        objective = MachineObjective(model.settings_)
        step = LikelihoodGradient(model._assembly, objective, Exact(), memory, **settings)
        for rows in batches:
            step(batch_of(rows))
        return [part.clone() for part in step.gradients]


def rows_for(visible, n=30, n_visible=2, seed=1):
    random = np.random.default_rng(seed)
    rows = (
        random.random((n, n_visible)) > 0.35 if visible == "bernoulli" else random.normal(size=(n, n_visible))
    )
    return torch.from_numpy(rows.astype(float))


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("hidden", UNITS)
def test_with_exact_states_the_gradient_is_that_of_the_exact_likelihood(visible, hidden):
    model, rows = fitted(visible, hidden), rows_for(visible)
    found = gradient_of(model, [rows], centred=False)
    machine, step = machine_of(visible, hidden), 1e-4

    def loss(name, place, change):
        parts = {part: getattr(machine, part).clone() for part in ("weights", "hidden_bias", "visible_bias")}
        parts[name][place] += change
        moved = replace(machine, **parts)
        return float(moved.free_energy(rows).mean()) + enumerated(moved)[3]

    for name, ours in zip(("weights", "hidden_bias", "visible_bias"), found, strict=True):
        for place in itertools.product(*map(range, ours.shape)):
            slope = (loss(name, place, step) - loss(name, place, -step)) / (2 * step)
            # The weights were rounded to single precision, and the states are 40,000.
            assert float(ours[place]) == pytest.approx(slope, abs=2e-3)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_the_centred_gradient_is_a_step_of_the_machine_with_offsets(visible):
    """To first order: that machine's parameters are moved, and written as ours again."""
    model, rows = fitted(visible, "bernoulli"), rows_for(visible)
    found = gradient_of(model, [rows], centred=True)
    plain = gradient_of(model, [rows], centred=False)
    machine = machine_of(visible, "bernoulli")
    mu = rows.mean(0)
    lam = machine.hidden.mean(machine.hidden_inputs(rows)).mean(0)
    parts = [
        machine.weights,
        machine.hidden_bias + machine.weights @ mu,
        machine.visible_bias + machine.weights.t() @ lam,
    ]

    def ours_of(weights, hidden_bias, visible_bias):
        return weights, hidden_bias - weights @ mu, visible_bias - weights.t() @ lam

    # The gradient of the centred parameters is the transposed Jacobian's; the step in ours the Jacobian's.
    _, pulled = torch.autograd.functional.vjp(ours_of, tuple(parts), tuple(plain))
    _, pushed = torch.autograd.functional.jvp(ours_of, tuple(parts), pulled)
    for ours, known in zip(found, pushed, strict=True):
        torch.testing.assert_close(ours, known, atol=1e-6, rtol=0)


def test_offsets_follow_the_means_of_the_batches():
    model = fitted("bernoulli", "bernoulli")
    batches = [rows_for("bernoulli", seed=seed) for seed in range(3)]
    found = gradient_of(model, batches, centred=True)
    plain = gradient_of(model, batches[-1:], centred=False)
    machine = model._machine(torch.float64)
    mu = lam = None
    for rows in batches:
        ours, theirs = rows.mean(0), machine.hidden.mean(machine.hidden_inputs(rows)).mean(0).detach()
        mu = ours if mu is None else (1 - PACE) * mu + PACE * ours
        lam = theirs if lam is None else (1 - PACE) * lam + PACE * theirs
    weights = plain[0] - torch.outer(lam, plain[2]) - torch.outer(plain[1], mu)
    torch.testing.assert_close(found[0], weights)
    torch.testing.assert_close(found[1], plain[1] - weights @ mu)
    torch.testing.assert_close(found[2], plain[2] - weights.t() @ lam)


def test_exact_centred_steps_are_the_same_for_negatives_and_uncentred_ones_are_not():
    """From a start and its mirror image, the likelihoods of rows and of their negatives go together."""
    rows = rows_for("bernoulli", n_visible=3, seed=4)
    rows[:, 0] = 1 - rows[:, 1]
    curves = {}
    for centred, flipped in itertools.product((True, False), (False, True)):
        model = fitted("bernoulli", "bernoulli", n_visible=3)
        machine, X = model._machine(torch.float64), 1 - rows if flipped else rows
        if flipped:
            with torch.no_grad():
                machine.hidden_bias.add_(machine.weights.sum(1))
                machine.weights.neg_()
                machine.visible_bias.neg_()
        curve = []
        with FlatParameters(model._assembly, torch.float64) as memory:
            objective = MachineObjective(model.settings_)
            step = LikelihoodGradient(model._assembly, objective, Exact(20_000), memory, centred=centred)
            for _ in range(60):
                step(batch_of(X))
                memory.flat.data.add_(memory.flat.grad, alpha=-0.5)
                own = replace(step.machine, compiled=None)
                curve.append(float(-own.free_energy(X).mean()) - exact_log_partition(own))
        curves[centred, flipped] = np.array(curve)
    assert curves[True, False][-1] > curves[True, False][0] + 0.2
    np.testing.assert_allclose(curves[True, True], curves[True, False], atol=5e-3)
    assert np.abs(curves[False, True] - curves[False, False]).max() > 0.03


# The estimator


@pytest.fixture(scope="module")
def mixture():
    """Return rows of two noisy patterns of six binary values, and another 2,000 of them."""
    random = np.random.default_rng(0)
    patterns = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]])
    rows = patterns[(random.random(3000) < 0.7).astype(int)]
    rows = np.abs(rows - (random.random(rows.shape) < 0.05)).astype(np.float32)
    return rows[:1000], rows[1000:]


@pytest.fixture(scope="module")
def learnt(mixture):
    return RestrictedBoltzmannMachine(6, sampler="cd:n_steps=10", epochs=40, random_state=0).fit(mixture[0])


def test_learnt_probabilities_are_those_of_the_world(learnt, mixture):
    everything = states_of("bernoulli", 6)[0].astype(np.float32)
    learnt_chances = np.exp(learnt.log_likelihood(everything))
    assert learnt_chances.sum() == pytest.approx(1, abs=1e-9)
    patterns = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]])
    wrong = np.abs(everything[:, None] - patterns).sum(2)
    known = (0.05**wrong * 0.95 ** (6 - wrong)) @ [0.3, 0.7]
    # Over six seeds the distance was between 0.046 and 0.064.
    assert np.abs(learnt_chances - known).sum() / 2 < 0.1
    mean = mixture[0].mean(0)
    independent = (mixture[1] * np.log(mean) + (1 - mixture[1]) * np.log1p(-mean)).sum(1).mean()
    entropy = -(known * np.log(known)).sum()
    assert independent + 0.8 < learnt.log_likelihood(mixture[1]).mean() < -entropy + 0.1
    assert learnt.log_likelihood(mixture[1]).mean() > -entropy - 0.1
    pseudo = log_pseudo_likelihood(learnt._machine(torch.float64), torch.from_numpy(mixture[1]).double())
    np.testing.assert_allclose(learnt.score_samples(mixture[1]), pseudo.detach(), rtol=1e-6)


def test_samples_are_spread_as_the_machine_says():
    model = fitted("bernoulli", "bernoulli", n_visible=5, n_hidden=4, size=1.0)
    drawn = model.sample(4000, n_steps=200, random_state=0)
    everything, _, joint, _ = enumerated(
        machine_of("bernoulli", "bernoulli", n_visible=5, n_hidden=4, size=1.0)
    )
    chances = joint.sum(1)
    # Means of the visible units given the hidden ones: their means, and the second moments of different units, are
    # those of the units. Their spread is at most 0.5, and 4.5 standard errors are 0.036.
    np.testing.assert_allclose(drawn.mean(0), chances @ everything, atol=0.036)
    second = (everything * chances[:, None]).T @ everything
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose((drawn.T @ drawn / len(drawn))[off], second[off], atol=0.036)
    np.testing.assert_array_equal(drawn[:50], model.sample(4000, n_steps=200, random_state=0)[:50])
    assert not np.array_equal(drawn, model.sample(4000, n_steps=200, random_state=1))


def test_a_long_way_from_anywhere_leads_to_the_machine():
    model = fitted("bernoulli", "bernoulli", n_visible=5, n_hidden=4, size=1.0)
    start = np.zeros((4000, 5), np.float32)
    drawn = model.gibbs(start, 60, random_state=0)
    states, _, joint, _ = enumerated(machine_of("bernoulli", "bernoulli", n_visible=5, n_hidden=4, size=1.0))
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert_same_moments(torch.from_numpy(drawn).double(), states, joint.sum(1))
    by_one = model.gibbs(start, 1, random_state=0)
    np.testing.assert_allclose(
        model.reconstruct(start, 2, random_state=0),
        model.inverse_transform(model.transform(by_one)),
        rtol=1e-5,
    )


def test_a_given_partition_function_is_not_asked_for_again(learnt, mixture):
    annealed = learnt.log_partition(method="annealing", n_chains=50, n_steps=50)
    given = learnt.log_likelihood(mixture[1], log_partition=annealed)
    np.testing.assert_allclose(given, -learnt.free_energy(mixture[1]) - annealed.value)
    exact = learnt.log_partition()
    assert exact == learnt.log_partition(method="exact")
    assert (exact.standard_error, exact.upper, exact.exact) == (0.0, exact.value, True)
    assert abs(annealed.value - exact.value) < 5 * annealed.standard_error


@pytest.mark.parametrize("sampler", ["pcd:n_chains=30", "pt:n_chains=30,n_temperatures=3"])
def test_chains_go_on_from_one_partial_fit_to_the_next(sampler, mixture):
    X = mixture[0]
    # A machine that moves faster than one Gibbs step mixes leaves its chains behind in one of the two patterns: at
    # five times this rate "pcd" swings between them, which more steps or temperatures calm.
    model = RestrictedBoltzmannMachine(6, sampler=sampler, learning_rate=0.1, batch_size=50, random_state=0)
    before = model.partial_fit(X).log_likelihood(X).mean()
    chains = model._learner[1].chains
    for n_calls in range(2, 30):
        model.partial_fit(X)
        assert model._learner[1].chains is chains
        assert chains.number == n_calls * 20
    # Over seeds and data sets the gain was between 1.0 and 1.6.
    assert model.log_likelihood(X).mean() > before + 0.5


def test_gaussian_machines_give_densities_of_the_scaled_data():
    random = np.random.default_rng(0)
    X = random.normal(size=(600, 1)) * [2.0, 1.5, -1.0, 0.0] + random.normal(size=(600, 4)) + 5
    settings = {
        "visible": "gaussian",
        "hidden": "gaussian",
        "sampler": "pcd",
        "epochs": 20,
        "random_state": 0,
    }
    model = RestrictedBoltzmannMachine(1, scale="none", **settings).fit(X - X.mean(0))
    machine = model._machine(torch.float64)
    weights = machine.weights.detach().numpy()
    covariance = np.linalg.inv(np.eye(4) - weights.T @ weights)
    bias = (machine.visible_bias + machine.weights.t() @ machine.hidden_bias).detach().numpy()
    known = scipy.stats.multivariate_normal(covariance @ bias, covariance).logpdf(X - X.mean(0))
    np.testing.assert_allclose(model.log_likelihood(X - X.mean(0)), known, atol=1e-6)
    standard = RestrictedBoltzmannMachine(1, scale="standard", **settings).fit(X)
    scaled = RestrictedBoltzmannMachine(1, scale="none", **settings).fit((X - X.mean(0)) / X.std(0))
    np.testing.assert_allclose(
        standard.free_energy(X), scaled.free_energy((X - X.mean(0)) / X.std(0)), rtol=1e-2, atol=1e-2
    )
    np.testing.assert_allclose(standard.sample(2000, random_state=0).mean(0), X.mean(0), atol=0.3)
