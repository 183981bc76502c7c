"""Boltzmann machines of all pairs of units, against sums and integrals over both of their layers."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch

from isthmus import RestrictedBoltzmannMachine
from isthmus._random import GIBBS, row_keys
from isthmus.estimators._contrastive import PACE, LikelihoodGradient, MachineObjective
from isthmus.networks import (
    UNITS,
    BoltzmannMachine,
    annealed_log_partition,
    annealed_samples,
    boltzmann,
    can_be_counted,
    exact_log_partition,
    log_pseudo_likelihood,
    partition,
)
from isthmus.training import Batch, FlatParameters, ParallelTempering, PersistentContrastiveDivergence

PAIRS = list(itertools.product(UNITS, UNITS))

#: A test of a true claim fails by chance once in this many seeds; the seeds are fixed, so it never does.
RARE = 1e-4


def machine_of(visible, hidden, *, n_visible=2, n_hidden=2, size=0.35, seed=0):
    """Return a machine with random weights in double precision."""
    random = np.random.default_rng(seed)
    parts = (size * random.normal(size=shape) for shape in [(n_hidden, n_visible), n_hidden, n_visible])
    weights, hidden_bias, visible_bias = map(torch.from_numpy, parts)
    return BoltzmannMachine(weights, hidden_bias, visible_bias, UNITS[visible], UNITS[hidden])


def nodes_of(name):
    """Return values of a unit, and the logarithms of what each stands for in a sum or an integral."""
    if name == "bernoulli":
        return np.array([0.0, 1.0]), np.zeros(2)
    low = {"gaussian": -9.0, "rectified": 0.0}[name]
    points, shares = np.polynomial.legendre.leggauss(44)
    return low + (9 - low) * (points + 1) / 2, np.log(shares * (9 - low) / 2)


def states_of(name, n):
    """Return all states of ``n`` units, shape (states, n), and the logarithm of what each stands for."""
    values, shares = nodes_of(name)
    places = np.array(list(itertools.product(range(len(values)), repeat=n)))
    return values[places], shares[places].sum(1)


def naive_energies(machine, visible, hidden):
    """Return the energies of all pairs of states, shape (visible states, hidden states), unit by unit."""
    beta = machine.inverse_temperature
    base = machine.visible_bias if machine.base_bias is None else machine.base_bias
    energies = np.zeros((len(visible), len(hidden)))
    for i in range(visible.shape[1]):
        values = visible[:, i, None]
        energies -= values * (beta * float(machine.visible_bias[i]) + (1 - beta) * float(base[i]))
        energies += 0.0 if machine.visible.name == "bernoulli" else values**2 / 2
    for j in range(hidden.shape[1]):
        values = hidden[None, :, j]
        energies -= beta * values * float(machine.hidden_bias[j])
        energies += 0.0 if machine.hidden.name == "bernoulli" else values**2 / 2
        for i in range(visible.shape[1]):
            energies -= beta * float(machine.weights[j, i]) * visible[:, i, None] * values
    return energies


def enumerated(machine):
    """Return visible states, hidden ones, their joint probabilities, and the log partition function."""
    n_hidden, n_visible = machine.weights.shape
    visible, visible_shares = states_of(machine.visible.name, n_visible)
    hidden, hidden_shares = states_of(machine.hidden.name, n_hidden)
    logarithms = visible_shares[:, None] + hidden_shares - naive_energies(machine, visible, hidden)
    total = float(np.logaddexp.reduce(logarithms, axis=None))
    return visible, hidden, np.exp(logarithms - total), total


def draws_of(machine, n):
    """Return ``n`` states of the visible units that are spread as the machine would spread them."""
    visible, _, joint, _ = enumerated(machine)
    borders = joint.sum(1).cumsum()
    places = np.searchsorted(borders / borders[-1], (np.arange(n) + 0.5) / n)
    return torch.from_numpy(visible[places])


def keys_of(n, seed=0):
    return row_keys(seed, 0, torch.arange(n))


def batch_of(rows, seed=0):
    return Batch(rows, keys_of(len(rows), seed))


def counts_of(rows):
    """Return how often each state of binary units is there, the first unit's bit the highest."""
    n = rows.shape[1]
    numbers = (rows.long() * (1 << torch.arange(n - 1, -1, -1))).sum(1)
    return np.bincount(numbers.numpy(), minlength=1 << n)


def assert_same_moments(drawn, visible, chances, slack=0.0):
    """Assert that means and second moments are those of weighted states, but for chance."""
    for function in (lambda v: v, np.square, lambda v: v[:, :1] * v[:, 1:]):
        known = chances @ function(visible)
        spread = np.sqrt(chances @ np.square(function(visible) - known))
        found = function(drawn.numpy()).mean(0)
        assert (np.abs(found - known) < 4.5 * spread / math.sqrt(len(drawn)) + slack).all()


# Units


@pytest.mark.parametrize("name", UNITS)
def test_means_are_slopes_far_below_zero_and_above(name):
    units, inputs = UNITS[name], torch.linspace(-34, 10, 89, dtype=torch.float64)
    step = 1e-4
    slopes = (units.log_normalizer(inputs + step) - units.log_normalizer(inputs - step)) / (2 * step)
    torch.testing.assert_close(units.mean(inputs), slopes, rtol=1e-5, atol=1e-8)


def test_truncated_means_are_those_of_mpmath_all_the_way():
    mpmath = pytest.importorskip("mpmath")
    inputs = torch.linspace(-40, 10, 201, dtype=torch.float64)
    with mpmath.workdps(60):
        known = [float(x + mpmath.npdf(x) / mpmath.ncdf(x)) for x in map(mpmath.mpf, inputs.tolist())]
    known = torch.tensor(known, dtype=torch.float64)
    torch.testing.assert_close(UNITS["rectified"].mean(inputs), known, rtol=1e-4, atol=0)
    single = UNITS["rectified"].mean(inputs.float())
    torch.testing.assert_close(single.double(), known, rtol=1e-3, atol=0)
    assert (single.diff() > 0).all()


@pytest.mark.parametrize("x", [-34.0, -20.0, -12.5, -8.0])
def test_rectified_draws_are_right_far_below_zero(x):
    drawn = UNITS["rectified"].sample(torch.full((2000, 5), x), keys_of(2000), GIBBS).double().numpy().ravel()
    # The tail of a normal distribution, by the logarithm of its survival function.
    ends = np.exp(scipy.stats.norm.logsf(drawn - x) - scipy.stats.norm.logsf(-x))
    assert scipy.stats.kstest(ends, "uniform").pvalue > RARE
    assert drawn.min() >= 0


@pytest.mark.parametrize("name", UNITS)
def test_inputs_for_a_mean_have_it(name):
    means = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    units = UNITS[name]
    # For rectified units only about.
    tolerance = 1.0 if name == "rectified" else 1e-9
    torch.testing.assert_close(units.mean(units.input_for(means)), means, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("x", [-3.0, 0.4, 2.0])
def test_mean_and_variance_of_draws_are_slope_and_curvature(name, x):
    units = UNITS[name]
    at = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(units.log_normalizer(at), at, create_graph=True)
    curvature = float(torch.autograd.grad(slope, at)[0])
    drawn = units.sample(torch.full((4000, 10), x, dtype=torch.float64), keys_of(4000), GIBBS)
    assert drawn.dtype == torch.float64
    assert float(drawn.mean()) == pytest.approx(float(slope), abs=4 * math.sqrt(curvature / 40_000))
    assert float(drawn.var()) == pytest.approx(curvature, rel=0.06)


# The machine


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
@pytest.mark.parametrize("beta", [1.0, 0.6, 0.0])
@pytest.mark.parametrize("based", [False, True])
def test_energies_free_energies_and_conditionals_are_those_of_the_formula(visible, hidden, beta, based):
    machine = machine_of(visible, hidden, size=0.5).at(beta)
    if based:
        machine = replace(machine, base_bias=torch.tensor([0.8, -1.1], dtype=torch.float64))
    v, v_shares = states_of(visible, 2)
    h, h_shares = states_of(hidden, 2)
    energies = naive_energies(machine, v, h)
    some = (
        np.random.default_rng(0).integers(len(v), size=30),
        np.random.default_rng(1).integers(len(h), size=30),
    )
    ours = machine.energy(torch.from_numpy(v[some[0]]), torch.from_numpy(h[some[1]]))
    np.testing.assert_allclose(ours, energies[some], atol=1e-12)
    rows, codes = v[:: max(len(v) // 40, 1)], h[:: max(len(h) // 40, 1)]
    rows, codes = rows[np.abs(rows).max(1) < 4], codes[np.abs(codes).max(1) < 4]
    given_rows = h_shares - naive_energies(machine, rows, h)
    free = -np.logaddexp.reduce(given_rows, axis=1)
    np.testing.assert_allclose(machine.free_energy(torch.from_numpy(rows)), free, atol=1e-6)
    chances = np.exp(given_rows + free[:, None])
    means = machine.hidden.mean(machine.hidden_inputs(torch.from_numpy(rows)))
    np.testing.assert_allclose(means, chances @ h, atol=1e-6)
    given_codes = v_shares[:, None] - naive_energies(machine, v, codes)
    chances = np.exp(given_codes - np.logaddexp.reduce(given_codes, axis=0))
    means = machine.visible.mean(machine.visible_inputs(torch.from_numpy(codes)))
    np.testing.assert_allclose(means, chances.T @ v, atol=1e-6)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_layers_change_places(visible, hidden):
    machine = machine_of(visible, hidden, n_visible=3)
    turned, random = machine.transposed(), np.random.default_rng(0)
    v, h = (torch.from_numpy(random.random((8, n))) for n in (3, 2))
    torch.testing.assert_close(turned.energy(h, v), machine.energy(v, h))
    torch.testing.assert_close(turned.hidden_inputs(h), machine.visible_inputs(h))
    assert (turned.visible, turned.hidden) == (machine.hidden, machine.visible)


@pytest.mark.parametrize("hidden", UNITS)
def test_rows_of_their_own_temperatures_are_as_each_alone(hidden):
    base = torch.tensor([0.5, -0.5, 1.0], dtype=torch.float64)
    machine = replace(machine_of("bernoulli", hidden, n_visible=3), base_bias=base)
    betas = torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=torch.float64)[:, None]
    rows, keys = torch.rand(4, 3, dtype=torch.float64).round(), keys_of(4)
    together = machine.at(betas)
    for place, beta in enumerate(betas[:, 0].tolist()):
        alone, row, key = machine.at(beta), rows[place : place + 1], keys[place : place + 1]
        torch.testing.assert_close(together.free_energy(rows)[place], alone.free_energy(row)[0])
        torch.testing.assert_close(
            together.gibbs_step(rows, keys, 3)[place], alone.gibbs_step(row, key, 3)[0]
        )


def test_at_temperature_zero_the_units_know_nothing_of_each_other():
    base = torch.tensor([0.5, -0.5], dtype=torch.float64)
    machine = replace(machine_of("bernoulli", "bernoulli", size=3.0), base_bias=base).at(0.0)
    visible, hidden, joint, total = enumerated(machine)
    on = 1 / (1 + np.exp(-base.numpy()))
    independent = np.prod(visible * on + (1 - visible) * (1 - on), axis=1) / len(hidden)
    np.testing.assert_allclose(joint, np.tile(independent[:, None], len(hidden)))
    assert total == pytest.approx(np.log1p(np.exp(base.numpy())).sum() + 2 * math.log(2))


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_long_chains_forget_their_start(visible, hidden):
    machine = machine_of(visible, hidden)
    states, _, joint, _ = enumerated(machine)
    drawn, keys = torch.ones(6000, 2, dtype=torch.float64), keys_of(6000)
    for number in range(40):
        drawn = machine.gibbs_step(drawn, keys, number)
    assert_same_moments(drawn, states, joint.sum(1))


def test_long_chains_of_binary_units_visit_each_state_as_often_as_they_should():
    machine = machine_of("bernoulli", "bernoulli", n_visible=4, n_hidden=3, size=1.0)
    drawn, keys = torch.ones(20_000, 4, dtype=torch.float64), keys_of(20_000)
    for number in range(40):
        drawn = machine.gibbs_step(drawn, keys, number)
    known = enumerated(machine)[2].sum(1) * len(drawn)
    assert scipy.stats.chisquare(counts_of(drawn), known).pvalue > RARE


# The partition function


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
@pytest.mark.parametrize(("n_visible", "n_hidden"), [(2, 2), (1, 2), (2, 1)])
def test_the_exact_partition_function_is_the_sum_over_both_layers(visible, hidden, n_visible, n_hidden):
    machine = machine_of(visible, hidden, n_visible=n_visible, n_hidden=n_hidden, size=0.5)
    countable = "bernoulli" in (visible, hidden) or visible == hidden == "gaussian"
    assert can_be_counted(machine) == countable
    if countable:
        assert exact_log_partition(machine) == pytest.approx(enumerated(machine)[3], abs=1e-6)


@pytest.mark.parametrize("block_bits", [0, 1, 3])
def test_states_are_all_counted_whatever_the_block(block_bits, monkeypatch):
    machine = machine_of("bernoulli", "bernoulli", n_visible=5, n_hidden=6)
    monkeypatch.setattr(partition, "_BLOCK_BITS", block_bits)
    assert exact_log_partition(machine) == pytest.approx(enumerated(machine)[3])


@pytest.mark.parametrize(("visible", "hidden"), [("bernoulli", "gaussian"), ("gaussian", "bernoulli")])
def test_the_layer_that_can_be_counted_is_counted(visible, hidden):
    sizes = {"bernoulli": 3, "gaussian": 40}
    machine = machine_of(visible, hidden, n_visible=sizes[visible], n_hidden=sizes[hidden], size=0.2)
    binary = machine if visible == "bernoulli" else machine.transposed()
    total = [
        float(binary.visible_bias @ state)
        + float((binary.weights @ state + binary.hidden_bias).square().sum()) / 2
        + 40 * math.log(2 * math.pi) / 2
        for state in torch.from_numpy(states_of("bernoulli", 3)[0])
    ]
    assert exact_log_partition(machine) == pytest.approx(np.logaddexp.reduce(total))
    many = replace(binary, weights=binary.weights[:, :1].expand(40, 21))
    assert not can_be_counted(many)


def test_a_machine_of_gaussian_units_is_a_normal_distribution():
    machine = machine_of("gaussian", "gaussian", n_visible=5, n_hidden=3, size=0.25)
    weights = machine.weights.numpy()
    covariance = np.linalg.inv(np.eye(5) - weights.T @ weights)
    mean = covariance @ (machine.visible_bias.numpy() + weights.T @ machine.hidden_bias.numpy())
    rows = np.random.default_rng(0).normal(size=(20, 5))
    known = scipy.stats.multivariate_normal(mean, covariance).logpdf(rows)
    ours = -machine.free_energy(torch.from_numpy(rows)) - exact_log_partition(machine)
    np.testing.assert_allclose(ours, known, atol=1e-9)


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
@pytest.mark.parametrize("based", [False, True])
def test_annealing_finds_the_integral_over_both_layers(visible, hidden, based):
    machine = machine_of(visible, hidden)
    exact = enumerated(machine)[3]
    if based:
        machine = replace(machine, base_bias=torch.tensor([0.6, -0.4], dtype=torch.float64))
    found = annealed_log_partition(machine, n_chains=400, n_steps=60, seed=1)
    assert 0 < found.standard_error < 0.05
    assert abs(found.value - exact) < 4 * found.standard_error
    assert abs(found.upper - exact) < 5 * found.standard_error


def test_annealed_estimates_are_right_on_average_and_know_their_error():
    """The mean of exp(value) is the partition function, even by few steps; it spreads as it says."""
    machine = machine_of("bernoulli", "bernoulli", n_visible=4, n_hidden=4, size=1.5)
    exact = enumerated(machine)[3]
    runs = [annealed_log_partition(machine, n_chains=100, n_steps=4, seed=seed) for seed in range(150)]
    ratios = np.exp([run.value - exact for run in runs])
    assert abs(ratios.mean() - 1) < 4 * ratios.std() / math.sqrt(len(runs))
    told = np.mean([run.standard_error for run in runs])
    assert np.std([run.value for run in runs]) == pytest.approx(told, rel=0.25)
    assert np.mean([run.value for run in runs]) < exact < np.mean([run.upper for run in runs])


def test_errors_of_annealing_fall_with_the_steps_and_the_chains():
    machine = machine_of("bernoulli", "bernoulli", n_visible=10, n_hidden=8, size=1.0)
    exact = exact_log_partition(machine)

    def error(n_chains, n_steps):
        runs = [
            annealed_log_partition(machine, n_chains=n_chains, n_steps=n_steps, seed=seed).value
            for seed in range(12)
        ]
        return float(np.sqrt(np.mean(np.square(np.array(runs) - exact))))

    few = error(20, 3)
    assert error(20, 100) < 0.4 * few
    assert error(500, 3) < 0.5 * few


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_annealed_samples_have_the_moments_of_the_machine(visible, hidden):
    machine = machine_of(visible, hidden)
    states, _, joint, _ = enumerated(machine)
    assert_same_moments(annealed_samples(machine, n_samples=6000, n_steps=40, seed=2), states, joint.sum(1))


# The pseudo-likelihood


@pytest.mark.parametrize("hidden", UNITS)
def test_the_probability_of_a_binary_unit_given_the_others_is_that_of_two_states(hidden):
    machine = machine_of("bernoulli", hidden, n_visible=3, size=0.7)
    visible, _, joint, _ = enumerated(machine)
    chances = dict(zip(map(tuple, visible), joint.sum(1), strict=True))
    rows = torch.from_numpy(visible)
    for unit in range(3):
        ours = machine.log_conditional(rows, machine.hidden_inputs(rows), torch.full((8,), unit))
        for row, value in zip(visible, ours.tolist(), strict=True):
            other = row.copy()
            other[unit] = 1 - row[unit]
            known = chances[tuple(row)] / (chances[tuple(row)] + chances[tuple(other)])
            assert value == pytest.approx(math.log(known), abs=1e-6)


def naive_density_of_unit(machine, row, unit):
    """Return the log-density of one value given the others, by a grid where its density is."""
    grid = torch.linspace(-100, 100, 40_001, dtype=torch.float64)
    rows = row.expand(len(grid), -1).clone()
    rows[:, unit] = grid
    inside = torch.cat([-machine.free_energy(block) for block in rows.split(10_000)])
    total = float(inside.logsumexp(0)) + math.log(float(grid[1] - grid[0]))
    return -float(machine.free_energy(row[None])) - total


@pytest.mark.parametrize("hidden", UNITS)
@pytest.mark.parametrize("distance", [0.0, 5.0, 15.0, 40.0])
def test_densities_of_gaussian_units_are_integrated_also_around_outliers(hidden, distance):
    """Outliers are what `score_samples` is asked for: the conditional is not where their hidden means are."""
    machine = machine_of("gaussian", hidden, n_visible=3, n_hidden=3, size=0.4)
    machine = replace(machine, weights=0.85 * machine.weights / torch.linalg.matrix_norm(machine.weights, 2))
    row = torch.tensor([0.3 + distance, -1.2, 0.8], dtype=torch.float64)
    known = sum(naive_density_of_unit(machine, row, unit) for unit in range(3))
    assert float(log_pseudo_likelihood(machine, row[None])) == pytest.approx(known, rel=1e-3, abs=1e-4)


def test_densities_of_a_gaussian_unit_with_strong_ties_are_integrated():
    """Three binary units that move a Gaussian one by four standard deviations each."""
    machine = machine_of("gaussian", "bernoulli", n_visible=2, n_hidden=3, size=1.0)
    machine = replace(machine, weights=torch.full((3, 2), 4.0, dtype=torch.float64))
    machine = replace(machine, hidden_bias=torch.full((3,), -24.0, dtype=torch.float64))
    for row in ([0.2, -0.4], [11.0, 12.5], [5.0, 7.0]):
        values = torch.tensor(row, dtype=torch.float64)
        known = sum(naive_density_of_unit(machine, values, unit) for unit in range(2))
        assert float(log_pseudo_likelihood(machine, values[None])) == pytest.approx(known, rel=0.02)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_pseudo_likelihoods_do_not_depend_on_the_block(visible, monkeypatch):
    machine = machine_of(visible, "bernoulli", n_visible=4)
    rows = torch.rand(11, 4, dtype=torch.float64)
    whole = log_pseudo_likelihood(machine, rows)
    monkeypatch.setattr(boltzmann, "_VALUES", 3 * 2 * boltzmann._POINTS)
    torch.testing.assert_close(log_pseudo_likelihood(machine, rows), whole)


def test_the_reported_loss_is_on_average_minus_the_pseudo_likelihood():
    model = fitted("bernoulli", "bernoulli")
    machine, row = model._machine(torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    rows = row.expand(20_000, -1)
    objective = MachineObjective(model.settings_)
    loss = objective.measured(machine, rows, machine.hidden_inputs(rows), keys_of(len(rows)))
    assert float(loss) == pytest.approx(-float(log_pseudo_likelihood(machine, row)), rel=0.02)


# Chains


@pytest.mark.parametrize("kind", [PersistentContrastiveDivergence, ParallelTempering])
def test_persistent_steps_add_up(kind):
    machine = machine_of("bernoulli", "bernoulli", n_visible=4, size=1.0)
    batch = batch_of(torch.rand(7, 4, dtype=torch.float64).round())
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
    rows = torch.rand(1, 4, dtype=torch.float64).round()
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


def fitted(visible, hidden, n_visible=2, n_hidden=2, seed=0):
    """Return a fitted estimator with weights that are not small."""
    random = np.random.default_rng(seed)
    X = random.random((40, n_visible)).round()
    parameters = {"visible": visible, "hidden": hidden, "scale": "none", "epochs": 1, "random_state": 0}
    model = RestrictedBoltzmannMachine(n_hidden, **parameters).fit(X)
    known = machine_of(visible, hidden, n_visible=n_visible, n_hidden=n_hidden, seed=seed)
    own = model._machine()
    with torch.no_grad():
        for name in ("weights", "hidden_bias", "visible_bias"):
            getattr(own, name).copy_(getattr(known, name))
    model._assembly.double()
    return model


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
    _, pull = torch.func.vjp(ours_of, *parts)
    _, pushed = torch.func.jvp(ours_of, tuple(parts), pull(tuple(plain)))
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
    return RestrictedBoltzmannMachine(6, sampler="pcd:n_steps=3", epochs=60, random_state=0).fit(mixture[0])


def test_learnt_probabilities_are_those_of_the_world(learnt, mixture):
    everything = states_of("bernoulli", 6)[0].astype(np.float32)
    learnt_chances = np.exp(learnt.log_likelihood(everything))
    assert learnt_chances.sum() == pytest.approx(1, abs=1e-9)
    patterns = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]])
    wrong = np.abs(everything[:, None] - patterns).sum(2)
    known = (0.05**wrong * 0.95 ** (6 - wrong)) @ [0.3, 0.7]
    assert np.abs(learnt_chances - known).sum() / 2 < 0.1
    mean = mixture[0].mean(0)
    independent = (mixture[1] * np.log(mean) + (1 - mixture[1]) * np.log1p(-mean)).sum(1).mean()
    entropy = -(known * np.log(known)).sum()
    assert independent + 0.8 < learnt.log_likelihood(mixture[1]).mean() < -entropy + 0.1
    assert learnt.log_likelihood(mixture[1]).mean() > -entropy - 0.1
    pseudo = log_pseudo_likelihood(learnt._machine(torch.float64), torch.from_numpy(mixture[1]).double())
    np.testing.assert_allclose(learnt.score_samples(mixture[1]), pseudo.detach(), rtol=1e-6)


def test_samples_are_spread_as_the_machine_says(learnt):
    drawn = learnt.sample(3000, n_steps=100, random_state=0)
    everything = states_of("bernoulli", 6)[0].astype(np.float32)
    chances = np.exp(learnt.log_likelihood(everything))
    np.testing.assert_allclose(drawn.mean(0), chances @ everything, atol=0.03)
    # Means of the visible units of these samples' codes: the second moments of different units are the same.
    second = (everything * chances[:, None]).T @ everything
    off = ~np.eye(6, dtype=bool)
    np.testing.assert_allclose((drawn.T @ drawn / len(drawn))[off], second[off], atol=0.04)
    np.testing.assert_array_equal(drawn[:50], learnt.sample(3000, n_steps=100, random_state=0)[:50])
    assert not np.array_equal(drawn, learnt.sample(3000, n_steps=100, random_state=1))


def test_a_long_way_from_anywhere_leads_to_the_data(learnt, mixture):
    start = np.zeros((2000, 6), np.float32)
    drawn = learnt.gibbs(start, 200, random_state=0)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.mean(0), mixture[0].mean(0), atol=0.06)
    by_one = learnt.gibbs(start, 1, random_state=0)
    np.testing.assert_allclose(
        learnt.reconstruct(start, 2, random_state=0), learnt.inverse_transform(learnt.transform(by_one))
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
    model = RestrictedBoltzmannMachine(6, sampler=sampler, learning_rate=0.5, batch_size=50, random_state=0)
    before = model.partial_fit(X).log_likelihood(X).mean()
    chains = model._trainer.chains
    for n_calls in range(2, 30):
        model.partial_fit(X)
        assert model._trainer.chains is chains
        assert chains.number == n_calls * 20
    assert model.log_likelihood(X).mean() > before + 0.3


def test_gaussian_machines_give_densities_of_the_scaled_data():
    random = np.random.default_rng(0)
    X = random.normal(size=(1500, 1)) * [2.0, 1.5, -1.0, 0.0] + random.normal(size=(1500, 4)) + 5
    settings = {
        "visible": "gaussian",
        "hidden": "gaussian",
        "sampler": "pcd",
        "epochs": 60,
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
