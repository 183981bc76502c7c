"""Units of Boltzmann machines: means, draws and normalisers against each other and against mpmath."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.special import erfcx

from isthmus import RestrictedBoltzmannMachine
from isthmus._random import GIBBS
from isthmus.networks import UNITS
from machines import RARE, keys_of


@pytest.mark.parametrize("name", UNITS)
def test_means_are_slopes_far_below_zero_and_above(name):
    units, inputs = UNITS[name], torch.linspace(-34, 10, 89, dtype=torch.float64)
    step = 1e-4
    slopes = (units.log_normalizer(inputs + step) - units.log_normalizer(inputs - step)) / (2 * step)
    # The difference quotient: rounding of 1e-15 / step, and a sixth of the squared step times the third derivative.
    torch.testing.assert_close(units.mean(inputs), slopes, rtol=1e-8, atol=1e-9)


def test_truncated_means_are_those_of_mpmath_all_the_way():
    mpmath = pytest.importorskip("mpmath")
    inputs = torch.linspace(-40, 10, 201, dtype=torch.float64)
    with mpmath.workdps(60):
        known = [float(x + mpmath.npdf(x) / mpmath.ncdf(x)) for x in map(mpmath.mpf, inputs.tolist())]
    known = torch.tensor(known, dtype=torch.float64)
    torch.testing.assert_close(UNITS["rectified"].mean(inputs), known, rtol=1e-11, atol=0)
    single = UNITS["rectified"].mean(inputs.float())
    # The inputs are rounded too, which the mean magnifies by at most 64 between -8 and 0: 64 * 6e-8 = 4e-6, and
    # as much again from the sum of the two.
    torch.testing.assert_close(single.double(), known, rtol=3e-5, atol=0)
    assert (single.diff() > 0).all()


def test_normalizers_of_rectified_units_are_those_of_mpmath_all_the_way():
    mpmath = pytest.importorskip("mpmath")
    inputs = torch.linspace(-200, 40, 241, dtype=torch.float64)
    with mpmath.workdps(60):
        root = mpmath.sqrt(2 * mpmath.pi)
        known = [mpmath.log(root * mpmath.ncdf(x)) + x * x / 2 for x in map(mpmath.mpf, inputs.tolist())]
    known = torch.tensor([float(value) for value in known], dtype=torch.float64)
    torch.testing.assert_close(UNITS["rectified"].log_normalizer(inputs), known, rtol=1e-14, atol=1e-14)
    single = UNITS["rectified"].log_normalizer(inputs.float())
    torch.testing.assert_close(single.double(), known, rtol=2e-6, atol=2e-6)


def test_gradients_of_rectified_means_are_their_variances():
    inputs = torch.linspace(-100, 100, 401, dtype=torch.float64, requires_grad=True)
    means = UNITS["rectified"].mean(inputs)
    (found,) = torch.autograd.grad(means.sum(), inputs)
    # E[v²] = 1 + x E[v], for a normal distribution truncated at zero; it cancels by x**4 far below.
    known = (1 + (inputs - means) * means).detach()
    torch.testing.assert_close(found, known, rtol=0, atol=1e-9)
    for far in (-1e30, 1e30):
        at = torch.tensor(far, requires_grad=True)
        (slope,) = torch.autograd.grad(UNITS["rectified"].mean(at), at)
        assert float(slope) == pytest.approx(float(far > 0), abs=1e-6)


@pytest.mark.parametrize("x", [-1e6, -100.0, -34.0, -20.0, -12.5, -11.5, -8.5, -8.0])
def test_rectified_draws_are_right_far_below_zero(x):
    drawn = UNITS["rectified"].sample(torch.full((2000, 5), x), keys_of(2000), GIBBS).double().numpy().ravel()
    # The share of the tail above each draw v: exp(x v - v² / 2) erfcx((v - x) / sqrt(2)) / erfcx(-x / sqrt(2)).
    scaled = erfcx((drawn - x) / math.sqrt(2)) / erfcx(-x / math.sqrt(2))
    shares = np.exp(x * drawn - drawn**2 / 2) * scaled
    assert scipy.stats.kstest(shares, "uniform").pvalue > RARE
    assert drawn.min() >= 0
    assert len(np.unique(drawn)) > 9000


def test_rectified_machines_learn_from_data_that_shut_their_units_off():
    """Inputs of the hidden units far below zero: their draws were infinite, and the weights NaN."""
    X = np.random.default_rng(0).random((60, 4)).round()
    model = RestrictedBoltzmannMachine(3, hidden="rectified", epochs=1, random_state=0).fit(X)
    model._machine().hidden_bias.data.fill_(-20.0)
    assert np.isfinite(model.gibbs(X, 3, random_state=0)).all()
    assert np.isfinite(model.sample(5, n_steps=5, random_state=0)).all()
    model.partial_fit(X)
    assert np.isfinite(model.components_).all()


@pytest.mark.parametrize("name", UNITS)
def test_inputs_for_a_mean_have_it(name):
    means = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    units = UNITS[name]
    found = units.mean(units.input_for(means))
    if name == "rectified":
        # Only about: what is truncated moves the mean up, most of all for an input of 0, by sqrt(2 / pi).
        assert ((found > means) & (found < means + math.sqrt(2 / math.pi))).all()
    else:
        torch.testing.assert_close(found, means, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("x", [-3.0, 0.4, 2.0])
def test_mean_and_variance_of_draws_are_slope_and_curvature(name, x):
    units = UNITS[name]
    at = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(units.log_normalizer(at), at, create_graph=True)
    curvature = float(torch.autograd.grad(slope, at)[0])
    drawn = units.sample(torch.full((4000, 10), x, dtype=torch.float64), keys_of(4000), GIBBS)
    assert drawn.dtype == torch.float64
    assert float(drawn.mean()) == pytest.approx(float(slope.detach()), abs=4 * math.sqrt(curvature / 40_000))
    assert float(drawn.var()) == pytest.approx(curvature, rel=0.06)
