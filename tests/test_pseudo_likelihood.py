"""The probability of each unit of a Boltzmann machine given the others, against sums and fine grids."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from isthmus.estimators._contrastive import MachineObjective
from isthmus.networks import UNITS, boltzmann, log_pseudo_likelihood
from machines import enumerated, fitted, keys_of, machine_of, random_rows


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
@pytest.mark.parametrize("distance", [0.0, 5.0, 15.0, 40.0, -40.0])
def test_densities_of_gaussian_units_are_integrated_also_around_outliers(hidden, distance):
    """Outliers are what `score_samples` is asked for: the conditional is not where their hidden means are."""
    machine = machine_of("gaussian", hidden, n_visible=3, n_hidden=3, size=0.4)
    machine = replace(machine, weights=0.85 * machine.weights / torch.linalg.matrix_norm(machine.weights, 2))
    row = torch.tensor([0.3 + distance, -1.2, 0.8], dtype=torch.float64)
    known = sum(naive_density_of_unit(machine, row, unit) for unit in range(3))
    assert float(log_pseudo_likelihood(machine, row[None])) == pytest.approx(known, abs=1e-7)


def test_densities_of_a_gaussian_unit_with_strong_ties_are_integrated():
    """Three binary units that move a Gaussian one by four standard deviations each."""
    machine = machine_of("gaussian", "bernoulli", n_visible=2, n_hidden=3, size=1.0)
    machine = replace(machine, weights=torch.full((3, 2), 4.0, dtype=torch.float64))
    machine = replace(machine, hidden_bias=torch.full((3,), -24.0, dtype=torch.float64))
    for row in ([0.2, -0.4], [11.0, 12.5], [5.0, 7.0]):
        values = torch.tensor(row, dtype=torch.float64)
        known = sum(naive_density_of_unit(machine, values, unit) for unit in range(2))
        assert float(log_pseudo_likelihood(machine, values[None])) == pytest.approx(known, abs=1e-7)


@pytest.mark.parametrize("hidden", UNITS)
def test_densities_stay_finite_at_immense_values(hidden):
    machine = machine_of("gaussian", hidden, n_visible=3, n_hidden=3, size=0.2)
    for immense in (1e8, 1e20, -1e30):
        row = torch.tensor([[immense, 0.0, 1.0]], dtype=torch.float64)
        # The log-density falls with the square of the value, by no more than half of it.
        ratio = float(log_pseudo_likelihood(machine, row)) / immense**2
        assert -1.5 < ratio < -0.1


def test_there_is_no_density_where_units_excite_each_other_without_end():
    machine = replace(machine_of("gaussian", "gaussian"), weights=torch.eye(2, dtype=torch.float64))
    assert log_pseudo_likelihood(machine, random_rows(3, 2)).tolist() == [-math.inf] * 3
    assert log_pseudo_likelihood(machine, random_rows(0, 2)).shape == (0,)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_pseudo_likelihoods_do_not_depend_on_the_block(visible, monkeypatch):
    machine = machine_of(visible, "bernoulli", n_visible=4)
    rows = random_rows(11, 4)
    whole = log_pseudo_likelihood(machine, rows)
    monkeypatch.setattr(boltzmann, "_VALUES", 3 * 2)
    torch.testing.assert_close(log_pseudo_likelihood(machine, rows), whole)


def test_the_reported_loss_is_on_average_minus_the_pseudo_likelihood():
    model = fitted("bernoulli", "bernoulli")
    machine, row = model._machine(torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    rows = row.expand(20_000, -1)
    objective = MachineObjective(model.settings_)
    loss = objective.measured(machine, rows, machine.hidden_inputs(rows), keys_of(len(rows)))
    assert float(loss.detach()) == pytest.approx(
        -float(log_pseudo_likelihood(machine, row).detach()), rel=0.02
    )
