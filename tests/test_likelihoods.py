"""Likelihoods: each is a probability distribution, and the one that its name says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from helpers import LOSSES, by_name
from isthmus.errors import InvalidParameterError
from isthmus.objectives import (
    BinaryCrossEntropy,
    DiscretizedLogistic,
    GaussianLikelihood,
    LaplaceLikelihood,
    NegativeBinomial,
    PoissonLikelihood,
    SquaredError,
)

losses = pytest.mark.parametrize("loss", LOSSES, ids=by_name)
likelihoods = pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.is_likelihood], ids=by_name)


def value(loss, pre_activation, row, **parameters):
    """Return the loss of one value in double precision."""
    return values(loss, pre_activation, [row], **parameters).item()


def values(loss, pre_activation, rows, **parameters):
    """Return the losses of several values with the same pre-activation, in double precision."""
    rows = torch.as_tensor(rows, dtype=torch.float64).unsqueeze(1)
    pre_activations = torch.full_like(rows, pre_activation)
    learnt = {name: torch.tensor([number], dtype=torch.float64) for name, number in parameters.items()}
    return loss.per_value(pre_activations, rows, learnt).squeeze(1).numpy()


def learnt(loss, features):
    """Return what the loss learns, moved away from its start, in double precision."""
    start = loss.parameters(features)
    return {name: value.double() + 0.2 * torch.arange(len(value)) for name, value in start.items()}


def suitable(loss, n=6, features=4, seed=0):
    """Return pre-activations, and rows that the loss is for."""
    generator = torch.Generator().manual_seed(seed)
    pre_activations = torch.randn(n, features, generator=generator, dtype=torch.float64)
    if loss.support == "counts":
        return pre_activations, torch.randint(12, (n, features), generator=generator).double()
    return pre_activations, torch.rand(n, features, generator=generator, dtype=torch.float64)


# Probabilities add up to one


@pytest.mark.parametrize("mean", [-3.0, 0.0, 40.0])
@pytest.mark.parametrize("spread", [0.03, 1.0, 20.0])
@pytest.mark.parametrize(
    ("loss", "name", "known"),
    [
        (
            GaussianLikelihood(),
            "log_variance",
            lambda mean, spread: scipy.stats.norm(mean, math.sqrt(spread)),
        ),
        (LaplaceLikelihood(), "log_scale", scipy.stats.laplace),
    ],
    ids=["gaussian", "laplace"],
)
def test_densities_integrate_to_one(loss, name, known, mean, spread):
    def density(x):
        return math.exp(-value(loss, mean, x, **{name: math.log(spread)}))

    reach = 40 * max(spread, math.sqrt(spread))
    area, _ = scipy.integrate.quad(density, mean - reach, mean + reach, points=[mean], limit=200)
    assert area == pytest.approx(1, abs=1e-7)
    rows = mean + np.linspace(-3, 3, 7)
    ours = values(loss, mean, rows, **{name: math.log(spread)})
    np.testing.assert_allclose(ours, -known(mean, spread).logpdf(rows), rtol=1e-10)


@pytest.mark.parametrize("logit", [-30.0, -2.0, 0.0, 0.7, 15.0])
def test_probabilities_of_zero_and_one_add_up_to_one(logit):
    costs = values(BinaryCrossEntropy(), logit, [0.0, 1.0])
    assert np.exp(-costs).sum() == pytest.approx(1, rel=1e-12)
    one = 1 / (1 + math.exp(-logit))
    np.testing.assert_allclose(costs, -scipy.stats.bernoulli(one).logpmf([0, 1]), rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("levels", [2, 3, 4, 256])
@pytest.mark.parametrize("centre", [-50.0, -0.3, 0.0, 0.2, 0.5, 127.5 / 255, 1.0, 7.0])
@pytest.mark.parametrize("scale", [1e-3, 0.03, 0.5, 10.0])
def test_probabilities_of_all_levels_add_up_to_one(levels, centre, scale):
    rows = np.linspace(0, 1, levels)
    costs = values(DiscretizedLogistic(levels=levels), centre, rows, log_scale=math.log(scale))
    assert np.isfinite(costs).all()
    scale = max(scale, 0.02 / (levels - 1))  # the least that there is
    assert np.exp(-costs).sum() == pytest.approx(1, abs=1e-9)
    # What lies between the midpoints, and beyond the last ones on both sides, of a logistic distribution.
    borders = np.concatenate([[-np.inf], (rows[1:] + rows[:-1]) / 2, [np.inf]])
    known = scipy.stats.logistic(centre, scale)
    np.testing.assert_allclose(np.exp(-costs), np.diff(known.cdf(borders)), atol=1e-9)


def test_a_level_far_from_the_centre_has_the_probability_of_the_tail():
    """Where the difference of two sigmoids would be zero: log p = -distance / scale, nearly."""
    costs = values(DiscretizedLogistic(), 0.0, [1.0, 0.8], log_scale=math.log(1e-3))
    width = 1 / 255
    assert costs[0] == pytest.approx((1 - width / 2) / 1e-3, rel=1e-9)
    assert costs[1] == pytest.approx(
        (0.8 - width / 2) / 1e-3 - math.log1p(-math.exp(-width / 1e-3)), rel=1e-9
    )


def test_values_between_the_levels_count_as_the_nearest():
    loss, parameters = DiscretizedLogistic(levels=5), {"log_scale": math.log(0.2)}
    between = values(loss, 0.4, [0.02, 0.3, 0.7, 0.99, -0.2, 1.3], **parameters)
    np.testing.assert_array_equal(between, values(loss, 0.4, [0.0, 0.25, 0.75, 1, 0, 1], **parameters))


@pytest.mark.parametrize("mean", [0.01, 0.5, 3.0, 80.0])
def test_poisson_probabilities_are_those_of_scipy_and_add_up_to_one(mean):
    counts = np.arange(400)
    costs = values(PoissonLikelihood(), math.log(mean), counts)
    np.testing.assert_allclose(costs, -scipy.stats.poisson(mean).logpmf(counts), rtol=1e-9, atol=1e-12)
    assert np.exp(-costs).sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("mean", [0.1, 3.0, 40.0])
@pytest.mark.parametrize("r", [0.3, 1.0, 7.5, 99.0, 101.0, 5000.0])
def test_negative_binomial_probabilities_are_those_of_scipy(mean, r):
    counts = np.arange(3000)
    costs = values(NegativeBinomial(), math.log(mean), counts, log_dispersion=math.log(r))
    known = scipy.stats.nbinom(r, r / (r + mean))
    np.testing.assert_allclose(costs, -known.logpmf(counts), rtol=1e-8, atol=1e-9)
    probabilities = np.exp(-costs)
    assert probabilities.sum() == pytest.approx(1, abs=1e-9)
    assert probabilities @ counts == pytest.approx(mean, rel=1e-6)
    variance = probabilities @ (counts - mean) ** 2
    assert variance == pytest.approx(mean + mean**2 / r, rel=1e-6)


def test_negative_binomial_with_large_r_is_poisson_in_single_precision():
    """Counts that scatter no more than Poisson's drive r up, where lgamma(x + r) - lgamma(r) cancels."""
    rows = torch.arange(30.0).unsqueeze(1)
    pre_activations = torch.full_like(rows, math.log(4.0))
    poisson = PoissonLikelihood().per_value(pre_activations, rows)
    for log_r in (16.0, 20.0, 40.0):
        log_dispersion = torch.tensor([log_r], requires_grad=True)
        costs = NegativeBinomial().per_value(pre_activations, rows, {"log_dispersion": log_dispersion})
        torch.testing.assert_close(costs, poisson, rtol=1e-4, atol=1e-4)
        (gradient,) = torch.autograd.grad(costs.sum(), log_dispersion)
        assert gradient.abs() < 1e-2  # nothing is left to be gained


# Gradients


@likelihoods
def test_gradients_agree_with_finite_differences(loss):
    pre_activations, rows = suitable(loss)
    parameters = learnt(loss, 4)

    def cost(pre_activations, *learning):
        return loss.per_value(pre_activations, rows, dict(zip(parameters, learning, strict=True)))

    wanted = [tensor.requires_grad_() for tensor in (pre_activations, *parameters.values())]
    assert torch.autograd.gradcheck(cost, wanted)


@pytest.mark.parametrize("levels", [2, 4, 256])
def test_gradients_of_the_first_and_last_level_agree_with_finite_differences(levels):
    rows = torch.tensor([[0.0, 1.0, 0.0, 1.0, 1 / 3]], dtype=torch.float64)
    centres = torch.tensor([[-0.5, 1.5, 0.4, 0.6, 3.0]], dtype=torch.float64).requires_grad_()
    log_scale = torch.tensor([-1.5], dtype=torch.float64).requires_grad_()

    def cost(centres, log_scale):
        return DiscretizedLogistic(levels=levels).per_value(centres, rows, {"log_scale": log_scale})

    assert torch.autograd.gradcheck(cost, (centres, log_scale))


@pytest.mark.parametrize("r", [0.05, 90.0, 110.0, 1e4])
def test_gradients_of_the_negative_binomial_agree_with_finite_differences(r):
    pre_activations, rows = suitable(NegativeBinomial())
    log_r = torch.full((4,), math.log(r), dtype=torch.float64).requires_grad_()

    def cost(pre_activations, log_r):
        return NegativeBinomial().per_value(pre_activations, rows, {"log_dispersion": log_r})

    assert torch.autograd.gradcheck(cost, (pre_activations.requires_grad_(), log_r), eps=1e-4, atol=1e-6)


# What the best parameters are


@pytest.mark.parametrize(
    ("loss", "name", "best"),
    [
        (GaussianLikelihood(), "log_variance", lambda errors: errors.square().mean()),
        (LaplaceLikelihood(), "log_scale", lambda errors: errors.abs().mean()),
        (GaussianLikelihood("feature"), "log_variance", lambda errors: errors.square().mean(0)),
        (LaplaceLikelihood("feature"), "log_scale", lambda errors: errors.abs().mean(0)),
    ],
    ids=["gaussian", "laplace", "gaussian of features", "laplace of features"],
)
def test_the_likelihood_is_greatest_for_the_spread_of_the_errors(loss, name, best):
    pre_activations, rows = suitable(loss, n=50)
    spread = best(pre_activations - rows).log().reshape(-1).requires_grad_()
    assert spread.shape == loss.parameters(4)[name].shape
    (gradient,) = torch.autograd.grad(loss.per_row(pre_activations, rows, {name: spread}).mean(), spread)
    assert gradient.abs().max() < 1e-12
    at_best = loss.per_row(pre_activations, rows, {name: spread}).mean()
    for step in (-0.1, 0.1):
        assert loss.per_row(pre_activations, rows, {name: spread + step}).mean() > at_best


@pytest.mark.parametrize(
    ("loss", "name", "floor"),
    [
        (GaussianLikelihood(floor=0.01), "log_variance", 0.01),
        (LaplaceLikelihood(floor=0.05), "log_scale", 0.05),
        (DiscretizedLogistic(levels=11), "log_scale", 0.002),
    ],
    ids=by_name,
)
def test_spreads_have_a_floor(loss, name, floor):
    at_floor = values(loss, 0.3, [0.3, 0.5, 1.0], **{name: math.log(floor)})
    np.testing.assert_array_equal(values(loss, 0.3, [0.3, 0.5, 1.0], **{name: -60.0}), at_floor)
    assert (values(loss, 0.3, [0.3, 0.5, 1.0], **{name: math.log(1.1 * floor)}) != at_floor).any()


# Rows, gaps and links


@losses
def test_the_loss_of_a_row_is_the_sum_over_its_values(loss):
    pre_activations, rows = suitable(loss)
    parameters = learnt(loss, 4)
    per_value = loss.per_value(pre_activations, rows, parameters)
    assert per_value.shape == rows.shape
    torch.testing.assert_close(loss.per_row(pre_activations, rows, parameters), per_value.sum(1))
    torch.testing.assert_close(loss.per_row(pre_activations, rows, parameters, gaps=True), per_value.sum(1))
    # Each value has the parameters of its own column.
    for column in range(4):
        own = {
            name: value[column : column + 1] if len(value) > 1 else value
            for name, value in parameters.items()
        }
        alone = loss.per_value(pre_activations[:, column : column + 1], rows[:, column : column + 1], own)
        torch.testing.assert_close(alone, per_value[:, column : column + 1])


@losses
def test_missing_values_cost_nothing_and_have_no_gradient(loss):
    pre_activations, rows = suitable(loss)
    parameters = {name: value.requires_grad_() for name, value in learnt(loss, 4).items()}
    missing = torch.zeros_like(rows, dtype=torch.bool)
    missing[0, 1] = missing[2, 0] = missing[2, 3] = missing[4] = True
    gapped = rows.masked_fill(missing, math.nan)
    wanted = [pre_activations.requires_grad_(), *parameters.values()]
    costs = loss.per_row(pre_activations, gapped, parameters, gaps=True)
    by_hand = torch.where(missing, 0.0, loss.per_value(pre_activations, rows, parameters)).sum(1)
    torch.testing.assert_close(costs, by_hand)
    assert costs[4] == 0
    gradients = torch.autograd.grad(costs.sum(), wanted)
    assert (gradients[0][missing] == 0).all()
    assert (gradients[0][~missing] != 0).all()
    for ours, expected in zip(gradients, torch.autograd.grad(by_hand.sum(), wanted), strict=True):
        torch.testing.assert_close(ours, expected)
    assert loss.per_row(pre_activations, gapped, parameters)[[0, 2, 4]].isnan().all()  # unless one says so


@losses
def test_the_link_undoes_the_inverse_link(loss):
    _, rows = suitable(loss)
    if loss.support == "unit":
        rows = 0.01 + 0.98 * rows
    torch.testing.assert_close(loss.link(loss.inverse_link(rows.clamp(min=0.01))), rows.clamp(min=0.01))
    at_ends = loss.inverse_link(torch.tensor([[0.0, 1.0]]))
    assert at_ends.isfinite().all()
    torch.testing.assert_close(loss.link(at_ends), torch.tensor([[0.0, 1.0]]), atol=0.011, rtol=0)


@likelihoods
def test_the_link_is_the_expectation_or_the_centre(loss):
    """For what is cut off at 0 and 1 it is the centre of the distribution, within the range."""
    pre_activations = torch.tensor([[-0.7, 0.2, 0.9, 2.0]], dtype=torch.float64)
    linked = loss.link(pre_activations)
    expected = {
        "bce": torch.special.expit(pre_activations),
        "poisson": pre_activations.exp(),
        "negative-binomial": pre_activations.exp(),
        "logistic": torch.tensor([[0, 0.2, 0.9, 1]], dtype=torch.float64),
    }.get(loss.name, pre_activations)
    torch.testing.assert_close(linked, expected)


@losses
def test_what_is_shared_is_one_number_and_what_is_not_one_for_each_feature(loss):
    for start in loss.parameters(9).values():
        per_feature = "feature" in loss.get_params().values()
        assert start.shape == ((9,) if per_feature else (1,))
        assert start.dtype == torch.float32
    assert len(loss.parameters(9)) == (loss.is_likelihood and loss.name not in {"bce", "poisson"})


def test_gaussian_likelihood_with_variance_one_half_is_the_squared_error():
    pre_activations, rows = suitable(SquaredError())
    parameters = {"log_variance": torch.tensor([math.log(0.5)], dtype=torch.float64)}
    difference = GaussianLikelihood().per_value(pre_activations, rows, parameters)
    difference = difference - SquaredError().per_value(pre_activations, rows)
    torch.testing.assert_close(difference, torch.full_like(difference, 0.5 * math.log(math.pi)))


@pytest.mark.parametrize(
    ("make", "parameter", "owner"),
    [
        (lambda: GaussianLikelihood(variance="row"), "variance", "GaussianLikelihood"),
        (lambda: GaussianLikelihood(floor=0), "floor", "GaussianLikelihood"),
        (lambda: LaplaceLikelihood(spread="row"), "spread", "LaplaceLikelihood"),
        (lambda: LaplaceLikelihood(floor=-1), "floor", "LaplaceLikelihood"),
        (lambda: DiscretizedLogistic(levels=1), "levels", "DiscretizedLogistic"),
        (lambda: DiscretizedLogistic(spread="all"), "spread", "DiscretizedLogistic"),
        (lambda: NegativeBinomial(dispersion="gene"), "dispersion", "NegativeBinomial"),
    ],
)
def test_bad_settings_are_refused_by_name(make, parameter, owner):
    with pytest.raises(InvalidParameterError, match=f"'{parameter}' parameter of {owner} must be"):
        make()
