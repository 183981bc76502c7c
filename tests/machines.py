"""Small Boltzmann machines, and everything that is known of them by sums and integrals over both layers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from scipy.special import logsumexp

from isthmus import RestrictedBoltzmannMachine
from isthmus._random import row_keys
from isthmus.networks import UNITS, BoltzmannMachine
from isthmus.training import Batch

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
    points, shares = np.polynomial.legendre.leggauss(30)
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
    return energies - beta * (visible @ machine.weights.t().numpy() @ hidden.T)


def enumerated(machine):
    """Return visible states, hidden ones, their joint probabilities, and the log partition function."""
    n_hidden, n_visible = machine.weights.shape
    visible, visible_shares = states_of(machine.visible.name, n_visible)
    hidden, hidden_shares = states_of(machine.hidden.name, n_hidden)
    logarithms = visible_shares[:, None] + hidden_shares - naive_energies(machine, visible, hidden)
    total = float(logsumexp(logarithms))
    return visible, hidden, np.exp(logarithms - total), total


def draws_of(machine, n):
    """Return ``n`` states of the visible units that are spread as the machine would spread them."""
    visible, _, joint, _ = enumerated(machine)
    borders = joint.sum(1).cumsum()
    places = np.searchsorted(borders / borders[-1], (np.arange(n) + 0.5) / n)
    return torch.from_numpy(visible[places])


def keys_of(n, seed=0):
    return row_keys(seed, 0, torch.arange(n))


def random_rows(n, n_visible, seed=0):
    """Return rows of numbers between 0 and 1."""
    return torch.from_numpy(np.random.default_rng(seed).random((n, n_visible)))


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


def fitted(visible, hidden, n_visible=2, n_hidden=2, seed=0, size=0.35):
    """Return a fitted estimator with the weights of `machine_of`."""
    random = np.random.default_rng(seed)
    X = random.random((40, n_visible)).round()
    parameters = {"visible": visible, "hidden": hidden, "scale": "none", "epochs": 1, "random_state": 0}
    model = RestrictedBoltzmannMachine(n_hidden, **parameters).fit(X)
    known = machine_of(visible, hidden, n_visible=n_visible, n_hidden=n_hidden, seed=seed, size=size)
    own = model._machine()
    with torch.no_grad():
        for name in ("weights", "hidden_bias", "visible_bias"):
            getattr(own, name).copy_(getattr(known, name))
    model._assembly.double()
    return model
