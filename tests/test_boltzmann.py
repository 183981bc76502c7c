"""Boltzmann machines against enumeration, quadrature and naive loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from sklearn.neural_network import BernoulliRBM

from isthmus._kernels import load_kernels
from isthmus._random import GIBBS, binary, row_keys
from isthmus.networks import (
    UNITS,
    BoltzmannMachine,
    annealed_log_partition,
    annealed_samples,
    can_be_counted,
    exact_log_partition,
    log_pseudo_likelihood,
    units_with,
)

PAIRS = list(itertools.product(UNITS, UNITS))


def machine(n_hidden, n_visible, visible="bernoulli", hidden="bernoulli", *, size=0.4, seed=0):
    """Return a machine with random weights in double precision."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        return size * torch.randn(*shape, generator=generator, dtype=torch.float64)

    return BoltzmannMachine(
        drawn(n_hidden, n_visible), drawn(n_hidden), drawn(n_visible), UNITS[visible], UNITS[hidden]
    )


def states(n):
    """Return all states of ``n`` binary units."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


def probabilities(tiny):
    """Return the probabilities of all visible states of a binary machine, by summing over both layers."""
    visible, hidden = states(tiny.weights.shape[1]), states(tiny.weights.shape[0])
    energies = torch.stack([tiny.energy(visible, h.expand(len(visible), -1)) for h in hidden])
    return visible, (-energies).logsumexp(0).softmax(0)


def values_of(units):
    """Return values with weights whose weighted sums are sums or integrals over the units' values."""
    if units.name == "bernoulli":
        return torch.tensor([0.0, 1.0], dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    low = 0.0 if units.name == "rectified" else -14.0
    points = torch.linspace(low, 14.0, 20001, dtype=torch.float64)
    weights = torch.full_like(points, float(points[1] - points[0]))
    weights[[0, -1]] /= 2
    return points, weights


# Units


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("x", [-6.0, -1.0, 0.0, 0.7, 4.0])
def test_units_are_the_density_that_they_say(name, x):
    units, inputs = UNITS[name], torch.tensor([x], dtype=torch.float64)
    values, weights = values_of(units)
    density = weights * (x * values - units.base(values)).exp()
    assert float(units.log_normalizer(inputs)) == pytest.approx(math.log(density.sum()), abs=1e-5)
    assert float(units.mean(inputs)) == pytest.approx(
        float((density * values).sum() / density.sum()), abs=1e-6
    )
    inputs.requires_grad_()
    slope = torch.autograd.grad(units.log_normalizer(inputs).sum(), inputs)[0]
    assert float(slope) == pytest.approx(float(units.mean(inputs.detach())), abs=1e-5)


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("x", [-5.0, -0.5, 1.5])
def test_draws_are_from_that_density(name, x):
    units, keys = UNITS[name], row_keys(3, 1, torch.arange(400))
    mean, drawn = units.mean_and_sample(torch.full((400, 25), x), keys, GIBBS)
    drawn = drawn.double().numpy().ravel()
    if name == "bernoulli":
        assert set(drawn) == {0.0, 1.0}
        assert stats.binomtest(int(drawn.sum()), len(drawn), 1 / (1 + math.exp(-x))).pvalue > 1e-3
    else:
        low = 0.0 if name == "rectified" else -np.inf
        known = stats.truncnorm(low - x, np.inf, loc=x)
        assert stats.kstest(drawn, known.cdf).pvalue > 1e-3
        assert float(mean[0, 0]) == pytest.approx(known.mean(), abs=1e-4)


def test_the_mean_of_rectified_units_is_right_far_below_zero():
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 60
    for x in (-40.0, -12.0, -8.01, -7.99, -3.0, 5.0):
        expected = float(x + mpmath.npdf(x) / mpmath.ncdf(x))
        for dtype, tolerance in ((torch.float64, 1e-4), (torch.float32, 1e-3)):
            assert float(UNITS["rectified"].mean(torch.tensor(x, dtype=dtype))) == pytest.approx(
                expected, rel=tolerance
            )


@pytest.mark.parametrize(("n", "width"), [(1, 1), (7, 5), (64, 100), (33, 257)])
def test_compiled_draws_are_the_plain_ones(n, width):
    kernels = load_kernels()
    if kernels is None:
        pytest.skip("this machine has no C compiler")
    inputs, keys = 5 * torch.randn(n, width), row_keys(5, 2, torch.arange(n))
    for stream in (3, GIBBS, GIBBS + 11):
        plain, compiled = binary(inputs, keys, stream), binary(inputs, keys, stream, kernels)
        torch.testing.assert_close(compiled[0], plain[0], atol=1e-6, rtol=1e-5)
        assert (compiled[1] != plain[1]).float().mean() < 1e-3
        assert set(compiled[1].unique().tolist()) <= {0.0, 1.0}


def test_activations_know_their_units():
    assert [units_with(name).name for name in ("sigmoid", "identity", "truncated_normal", "relu")] == [
        "bernoulli",
        "gaussian",
        "rectified",
        "rectified",
    ]
    assert units_with("tanh") is None


# The machine


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_the_energy_is_the_sum_over_pairs(visible, hidden):
    m = machine(3, 4, visible, hidden)
    random = np.random.default_rng(0)
    v, h = random.random((5, 4)), random.random((5, 3))
    for row, energy in enumerate(m.energy(torch.from_numpy(v), torch.from_numpy(h))):
        total = -sum(float(m.visible_bias[i]) * v[row, i] for i in range(4))
        total -= sum(float(m.hidden_bias[j]) * h[row, j] for j in range(3))
        total -= sum(float(m.weights[j, i]) * v[row, i] * h[row, j] for i in range(4) for j in range(3))
        total += sum(0.5 * v[row, i] ** 2 for i in range(4)) if visible != "bernoulli" else 0.0
        total += sum(0.5 * h[row, j] ** 2 for j in range(3)) if hidden != "bernoulli" else 0.0
        assert float(energy) == pytest.approx(total)


@pytest.mark.parametrize("hidden", UNITS)
def test_the_free_energy_sums_the_hidden_units_out(hidden):
    m = machine(1, 3, hidden=hidden)
    values, weights = values_of(m.hidden)
    for v in states(3):
        energies = m.energy(v.expand(len(values), -1), values[:, None])
        expected = -math.log(float((weights * (-energies).exp()).sum()))
        assert float(m.free_energy(v[None])) == pytest.approx(expected, abs=1e-6)


def test_conditionals_are_those_of_the_energy():
    m = machine(3, 4, size=1.0)
    visible, hidden = states(4), states(3)
    joint = torch.stack([-m.energy(visible, h.expand(16, -1)) for h in hidden], 1).exp()
    given_visible = joint @ hidden / joint.sum(1, keepdim=True)
    torch.testing.assert_close(m.hidden.mean(m.hidden_inputs(visible)), given_visible)
    given_hidden = joint.t() @ visible / joint.sum(0)[:, None]
    torch.testing.assert_close(m.visible.mean(m.visible_inputs(hidden)), given_hidden)
    turned = m.transposed()
    torch.testing.assert_close(turned.energy(hidden[:8], visible[:8]), m.energy(visible[:8], hidden[:8]))


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_a_temperature_weakens_the_ties(beta):
    m = machine(3, 4, size=1.0)
    base = torch.linspace(-1, 1, 4, dtype=torch.float64)
    warm = BoltzmannMachine(*(m.weights, m.hidden_bias, m.visible_bias), m.visible, m.hidden, beta, base)
    bias = base + beta * (m.visible_bias - base)
    by_hand = BoltzmannMachine(beta * m.weights, beta * m.hidden_bias, bias, m.visible, m.hidden)
    v = states(4)
    torch.testing.assert_close(warm.free_energy(v), by_hand.free_energy(v))
    torch.testing.assert_close(warm.hidden_inputs(v), by_hand.hidden_inputs(v))
    each = m.at(torch.full((16, 1), beta, dtype=torch.float64))
    torch.testing.assert_close(each.free_energy(v), m.at(beta).free_energy(v))


def test_gibbs_steps_keep_the_distribution():
    m = machine(3, 4, size=1.5)
    visible, known = probabilities(m)
    drawn = visible[torch.multinomial(known, 20_000, True, generator=torch.Generator().manual_seed(0))]
    keys = row_keys(1, 0, torch.arange(len(drawn)))
    for number in range(3):
        drawn = m.gibbs_step(drawn, keys, number)
    counts = torch.bincount(
        (drawn @ (2.0 ** torch.arange(3, -1, -1, dtype=torch.float64))).long(), minlength=16
    )
    assert stats.chisquare(counts.numpy(), (known * len(drawn)).numpy()).pvalue > 1e-3


def test_draws_belong_to_their_row():
    m, keys = machine(6, 5), row_keys(0, 0, torch.arange(40))
    rows, order = torch.rand(40, 5, dtype=torch.float64), torch.randperm(40)
    torch.testing.assert_close(m.gibbs_step(rows, keys, 2)[order], m.gibbs_step(rows[order], keys[order], 2))
    assert not torch.equal(m.gibbs_step(rows, keys, 2), m.gibbs_step(rows, keys, 3))


# The partition function


@pytest.mark.parametrize(("n_hidden", "n_visible"), [(3, 5), (5, 3), (4, 4)])
def test_counting_one_layer_is_counting_both(n_hidden, n_visible):
    m = machine(n_hidden, n_visible, size=1.0)
    energies = [-float(m.energy(v[None], h[None])) for v in states(n_visible) for h in states(n_hidden)]
    assert exact_log_partition(m) == pytest.approx(
        float(torch.tensor(energies, dtype=torch.float64).logsumexp(0))
    )


def test_a_machine_of_one_gaussian_unit_is_integrated():
    m = machine(2, 1, "gaussian")
    value, _ = integrate.quad(
        lambda v: math.exp(-float(m.free_energy(torch.tensor([[v]], dtype=torch.float64)))), -12, 12
    )
    assert exact_log_partition(m) == pytest.approx(math.log(value), abs=1e-7)
    both = machine(1, 1, "gaussian", "gaussian")
    value, _ = integrate.quad(
        lambda v: math.exp(-float(both.free_energy(torch.tensor([[v]], dtype=torch.float64)))), -30, 30
    )
    assert exact_log_partition(both) == pytest.approx(math.log(value), abs=1e-7)


def test_gaussian_units_that_are_tied_too_strongly_have_no_density():
    assert exact_log_partition(machine(3, 3, "gaussian", "gaussian", size=5.0)) == math.inf


@pytest.mark.parametrize(("visible", "hidden"), PAIRS)
def test_annealing_meets_the_exact_value_from_both_sides(visible, hidden):
    m = machine(4, 6, visible, hidden, size=0.25)
    estimate = annealed_log_partition(m, n_chains=200, n_steps=300, seed=0)
    assert estimate.standard_error < 0.02
    assert estimate.upper == pytest.approx(estimate.value, abs=0.05)
    if can_be_counted(m):
        exact = exact_log_partition(m)
        assert estimate.value == pytest.approx(exact, abs=0.03)
        assert not estimate.exact


def test_more_steps_of_annealing_are_nearer():
    m = machine(12, 14, size=1.2)
    exact = exact_log_partition(m)
    gaps = []
    for n_steps in (5, 500):
        found = annealed_log_partition(m, n_chains=100, n_steps=n_steps, seed=1)
        gaps.append(found.upper - found.value)
        assert found.value - 4 * found.standard_error < exact
    assert gaps[1] < 0.3 * gaps[0]
    assert abs(found.value - exact) < 0.2


def test_annealed_samples_have_the_means_of_the_machine():
    m = machine(4, 6, size=1.0)
    visible, known = probabilities(m)
    drawn = annealed_samples(m, n_samples=4000, n_steps=100, seed=0)
    torch.testing.assert_close(drawn.mean(0), known @ visible, atol=0.04, rtol=0)


# The pseudo-likelihood


def test_the_pseudo_likelihood_of_binary_units_is_that_of_each_given_the_others():
    m = machine(3, 4, size=1.0)
    visible, known = probabilities(m)
    index = {tuple(v.tolist()): float(p) for v, p in zip(visible, known, strict=True)}
    found = log_pseudo_likelihood(m, visible)
    for v, value in zip(visible.tolist(), found, strict=True):
        expected = 0.0
        for unit in range(4):
            turned = tuple(1 - x if i == unit else x for i, x in enumerate(v))
            expected += math.log(index[tuple(v)] / (index[tuple(v)] + index[turned]))
        assert float(value) == pytest.approx(expected)


@pytest.mark.parametrize("hidden", UNITS)
def test_the_pseudo_likelihood_of_gaussian_units_is_integrated(hidden):
    m = machine(3, 2, "gaussian", hidden, size=0.3)
    rows = torch.tensor([[0.3, -1.2], [2.0, 0.1]], dtype=torch.float64)
    grid = torch.linspace(-15, 15, 6001, dtype=torch.float64)
    for row, value in zip(rows, log_pseudo_likelihood(m, rows), strict=True):
        expected = 0.0
        for unit in range(2):
            others = row.expand(len(grid), -1).clone()
            others[:, unit] = grid
            total = (-m.free_energy(others)).exp().sum() * (grid[1] - grid[0])
            expected += -float(m.free_energy(row[None])) - math.log(float(total))
        assert float(value) == pytest.approx(expected, abs=1e-5)


def test_free_energies_are_those_of_scikit_learn(digits):
    theirs = BernoulliRBM(12, n_iter=2, random_state=0).fit(digits[0])
    ours = BoltzmannMachine(
        *(
            torch.from_numpy(np.array(part))
            for part in (theirs.components_, theirs.intercept_hidden_, theirs.intercept_visible_)
        ),
        UNITS["bernoulli"],
        UNITS["bernoulli"],
    )
    rows = digits[1][:50].copy()
    np.testing.assert_allclose(ours.free_energy(torch.from_numpy(rows)), theirs._free_energy(rows))
    np.testing.assert_allclose(
        ours.hidden.mean(ours.hidden_inputs(torch.from_numpy(rows))), theirs.transform(rows)
    )
    # Theirs takes one unit at random, times their number: the mean of many draws is the sum over all.
    theirs.random_state = np.random.RandomState(1)
    draws = np.mean([theirs.score_samples(rows).mean() for _ in range(400)])
    assert float(log_pseudo_likelihood(ours, torch.from_numpy(rows)).mean()) == pytest.approx(draws, rel=0.02)
