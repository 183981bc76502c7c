"""Bottlenecks against closed forms, naive loops, torch's distributions and Monte Carlo."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import nn

from helpers import BOTTLENECKS
from isthmus import VariationalAutoencoder
from isthmus._random import row_keys
from isthmus.bottlenecks import (
    FiniteScalar,
    Gaussian,
    Normal,
    Plain,
    TopK,
    VectorQuantized,
    perplexity,
    total_correlation,
)
from isthmus.errors import InvalidParameterError, InvalidTypeError


def numbers(*shape, seed=0, dtype=torch.float32):
    """Return standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def keys_of(n, *, epoch=0):
    """Return the keys of the first rows."""
    return row_keys(0, epoch, torch.arange(n))


def built(description, n_components, activation=None):
    """Return the module, ready to be trained."""
    module = description.build(n_components, activation or nn.Identity(), torch.Generator().manual_seed(0))
    return module.train()


def features_of(mean, log_variance):
    """Return what an encoder gives for these distributions."""
    return torch.cat([mean, log_variance], dim=1)


# Plain


def test_plain_code_is_the_activation_of_the_features():
    module = built(Plain(), 4, nn.Tanh())
    features = numbers(5, 4)
    bottled = module(features, keys_of(5))
    assert torch.equal(bottled.code, features.tanh())
    assert torch.equal(module.code(features), features.tanh())
    assert not bottled.terms
    assert not bottled.measures


# Gaussian


def gaussian_parts(n=6, units=3, prior="standard", **settings):
    """Return a bottleneck with some prior, features, and posterior and prior as torch knows them."""
    module = built(Gaussian(prior=prior, **settings), units)
    if prior == "learnt":
        with torch.no_grad():
            module.prior_mean.copy_(torch.linspace(-1, 1, units))
            module.prior_log_variance.copy_(torch.linspace(-0.5, 0.7, units))
    mean, log_variance = numbers(n, units), 0.5 * numbers(n, units, seed=1)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    known = torch.distributions.Normal(module.prior_mean, (0.5 * module.prior_log_variance).exp())
    return module, features_of(mean, log_variance), posterior, known


@pytest.mark.parametrize("prior", ["standard", "learnt"])
def test_divergence_is_the_mean_over_rows_of_what_torch_computes(prior):
    module, features, posterior, known = gaussian_parts(prior=prior)
    bottled = module(features, keys_of(6))
    expected = torch.distributions.kl_divergence(posterior, known).sum(1).mean()
    torch.testing.assert_close(bottled.terms["kl"], expected)
    torch.testing.assert_close(bottled.measures["kl_nats"], expected.detach())
    assert set(bottled.terms) == {"kl"}


@pytest.mark.parametrize("prior", ["standard", "learnt"])
def test_divergence_is_the_expected_log_ratio_of_the_densities(prior):
    """Monte Carlo with 200 000 samples of each code, within five standard errors."""
    module, features, _, _ = gaussian_parts(n=2, units=3, prior=prior)
    posterior = module.posterior(features)
    samples = module.draw(posterior, keys_of(2), 200_000)
    ratios = (posterior.log_density(samples) - module.prior.log_density(samples)).detach().double().sum(2)
    error = 5 * ratios.std(0) / math.sqrt(len(ratios))
    exact = posterior.divergence(module.prior).sum(1).double()
    assert ((ratios.mean(0) - exact).abs() < error).all()
    assert (error < 0.02 * exact).all()  # the test can tell a wrong formula from a right one


def test_log_density_is_that_of_scipy():
    mean, log_variance, values = (numbers(50, seed=seed, dtype=torch.float64) for seed in range(3))
    ours = Normal(mean, log_variance).log_density(values)
    theirs = scipy.stats.norm(mean.numpy(), np.exp(0.5 * log_variance.numpy())).logpdf(values.numpy())
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12)


def test_divergence_of_a_distribution_from_itself_is_zero():
    one = Normal(numbers(10), numbers(10, seed=1))
    torch.testing.assert_close(one.divergence(one), torch.zeros(10))


def test_samples_have_the_moments_of_the_posterior():
    module, features, posterior, _ = gaussian_parts(n=4, n_samples=50_000)
    code = module(features, keys_of(4)).code.view(50_000, 4, 3).double()
    deviation = posterior.stddev.double()
    assert ((code.mean(0) - posterior.mean).abs() < 5 * deviation / math.sqrt(50_000)).all()
    torch.testing.assert_close(
        code.var(0) / deviation.square(), torch.ones_like(deviation), rtol=0, atol=0.04
    )
    scaled = (code[:, 0] - posterior.mean[0]) / deviation[0]
    assert np.abs(np.corrcoef(scaled.numpy().T) - np.eye(3)).max() < 0.03


def test_gradient_reaches_mean_and_variance_through_the_samples():
    """A sample is mean + deviation * noise: by hand, the noise being the sample of a standard normal."""
    module = built(Gaussian(), 3)
    noise = module(torch.zeros(5, 6), keys_of(5)).code
    features = numbers(5, 6).requires_grad_()
    code = module(features, keys_of(5)).code
    weight = numbers(5, 3, seed=2)
    (gradient,) = torch.autograd.grad((code * weight).sum(), features)
    deviation = (0.5 * features[:, 3:]).exp().detach()
    torch.testing.assert_close(gradient, torch.cat([weight, weight * 0.5 * deviation * noise], dim=1))


def test_all_rows_of_the_first_sample_come_first():
    module, features, posterior, _ = gaussian_parts(n=6, n_samples=4)
    code = module(features, keys_of(6)).code
    assert code.shape == (24, 3)
    rows = [
        built(Gaussian(n_samples=4), 3)(features[row : row + 1], keys_of(6)[row : row + 1]).code
        for row in range(6)
    ]
    torch.testing.assert_close(code, torch.stack(rows, dim=1).flatten(0, 1))
    # Where the variance is nothing, each of the four is a copy of the means.
    certain = features_of(posterior.mean, torch.full((6, 3), -20.0))
    torch.testing.assert_close(
        module(certain, keys_of(6)).code, posterior.mean.repeat(4, 1), atol=1e-3, rtol=0
    )


def test_code_is_the_mean_whatever_the_mode():
    module, features, posterior, _ = gaussian_parts(prior="learnt", n_samples=3)
    assert torch.equal(module.code(features), posterior.mean)
    assert torch.equal(module.eval().code(features), posterior.mean)


def test_beta_scales_the_term_and_not_what_is_reported():
    module, features, _, _ = gaussian_parts(prior="learnt")
    plain = module(features, keys_of(6))
    for beta in (0.0, 0.25, 4.0):
        bottled = gaussian_parts(prior="learnt", beta=beta)[0](features, keys_of(6))
        torch.testing.assert_close(bottled.terms["kl"], beta * plain.terms["kl"])
        assert torch.equal(bottled.measures["kl_nats"], plain.measures["kl_nats"])
        assert torch.equal(bottled.code, plain.code)


def test_warm_up_fades_the_divergence_in():
    module, features, _, _ = gaussian_parts(warm_up=0.4, beta=2.0)
    full = gaussian_parts()[0](features, keys_of(6)).terms["kl"]
    assert module(features, keys_of(6)).terms["kl"] == 0
    for share, factor in ((0.0, 0), (0.1, 0.25), (0.2, 0.5), (0.4, 1), (0.7, 1), (1.0, 1)):
        module.set_progress(share)
        bottled = module(features, keys_of(6))
        torch.testing.assert_close(bottled.terms["kl"], 2 * factor * full)
        torch.testing.assert_close(bottled.measures["kl_nats"], full)
    without = gaussian_parts()[0]
    without.set_progress(0.0)
    assert without(features, keys_of(6)).terms["kl"] == full


def test_free_bits_are_free_for_each_unit_on_average_over_the_batch():
    mean = torch.tensor([[0.1, 1.0, 3.0], [-0.1, 1.0, 0.0]])
    features = features_of(mean, torch.zeros(2, 3)).requires_grad_()
    # With variance one the divergence of a unit is half the squared mean: .005, .5 and (4.5 + 0) / 2.
    for free, expected in ((0.0, 0.005 + 0.5 + 2.25), (0.3, 0.3 + 0.5 + 2.25), (1.0, 1 + 1 + 2.25)):
        bottled = built(Gaussian(free_bits=free), 3)(features, keys_of(2))
        assert bottled.terms["kl"].item() == pytest.approx(expected)
        assert bottled.measures["kl_nats"].item() == pytest.approx(2.755)
    (gradient,) = torch.autograd.grad(bottled.terms["kl"], features)
    torch.testing.assert_close(gradient[:, :3], torch.tensor([[0, 0, 1.5], [0, 0, 0]]))


def correlated(n, correlation, variance):
    """Return posteriors whose means are a normal distribution with correlated units, and a sample of each."""
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]])
    mean = numbers(n, 2) @ torch.linalg.cholesky(covariance).T
    posterior = Normal(mean, torch.full((n, 2), math.log(variance)))
    return posterior.sample(numbers(n, 2, seed=1)), posterior


def test_total_correlation_of_independent_units_is_about_zero():
    samples, posterior = correlated(1500, 0.0, 0.5)
    assert total_correlation(samples, posterior).item() == pytest.approx(0, abs=0.03)
    # All posteriors the same: the product of the units is the joint density, exactly.
    same = Normal(torch.zeros(200, 3), torch.zeros(200, 3))
    assert total_correlation(numbers(200, 3), same).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("correlation", [0.8, -0.95])
def test_total_correlation_of_correlated_units_is_that_of_the_normal_distribution(correlation):
    """Over the rows, codes are normal with variance 1 + .25: minus half the log of 1 - rho^2, within .05."""
    samples, posterior = correlated(1500, correlation, 0.25)
    exact = -0.5 * math.log(1 - (correlation / 1.25) ** 2)
    assert exact > 0.2
    assert total_correlation(samples, posterior).item() == pytest.approx(exact, abs=0.05)


def test_total_correlation_is_what_a_naive_loop_computes():
    samples, posterior = correlated(20, 0.5, 0.25)
    total = 0.0
    for sample in samples:
        each = torch.distributions.Normal(posterior.mean, (0.5 * posterior.log_variance).exp()).log_prob(
            sample
        )
        joint, by_unit = each.sum(1).exp().mean(), each.exp().mean(0)
        total += (joint.log() - by_unit.log().sum()).item() / 20
    assert total_correlation(samples, posterior).item() == pytest.approx(total, rel=1e-4)


def test_total_correlation_is_a_term_of_its_own():
    settings = {"total_correlation": 3.0, "n_samples": 2}
    module, features, _, _ = gaussian_parts(n=30, **settings)
    bottled = module(features, keys_of(30))
    posterior = module.posterior(features)
    expected = 3 * total_correlation(bottled.code[:30], posterior)
    torch.testing.assert_close(bottled.terms["total_correlation"], expected)
    plain = gaussian_parts(n=30)[0](features, keys_of(30))
    torch.testing.assert_close(bottled.terms["kl"], plain.terms["kl"])


def test_extreme_features_give_finite_samples_and_terms():
    features = features_of(numbers(4, 2), torch.tensor([[1e4, -1e4]]).repeat(4, 1)).requires_grad_()
    bottled = built(Gaussian(total_correlation=1.0), 2)(features, keys_of(4))
    assert bottled.code.isfinite().all()
    (gradient,) = torch.autograd.grad(sum(bottled.terms.values()) + bottled.code.sum(), features)
    assert gradient.isfinite().all()


@pytest.fixture(scope="module")
def one_unit():
    """Rows, and a linear model of them with a single code unit, whose likelihood is an integral over it."""
    line = np.linspace(-1, 2, 60)[:, None] * [[1.0, -2.0, 0.5]]
    rows = line + 0.3 * np.random.default_rng(0).normal(size=(60, 3))
    settings = {"loss": "gaussian", "hidden_layers": (), "scale": "standard", "random_state": 0}
    return VariationalAutoencoder(1, epochs=60, learning_rate=0.02, **settings).fit(rows), rows


def log_likelihood(model, rows):
    """Return the log-likelihood of scaled rows by quadrature over the code."""
    codes = np.linspace(-8, 8, 2001)
    variance = math.exp(model._assembly.learnt()["log_variance"].item())
    scale = np.asarray(rows, float).std(0)
    errors = (model.inverse_transform(codes[:, None])[None] - rows[:, None]) / scale
    densities = scipy.stats.norm(0, math.sqrt(variance)).logpdf(errors).sum(2) + scipy.stats.norm.logpdf(
        codes
    )
    return scipy.special.logsumexp(densities, axis=1) + math.log(codes[1] - codes[0])


def test_bounds_are_below_the_likelihood_and_near_it(one_unit):
    model, rows = one_unit
    exact, elbo = log_likelihood(model, rows), model.score_samples(rows)
    weighted = model.score_samples(rows, n_importance=2000)
    assert elbo.mean() < exact.mean() < elbo.mean() + 0.5
    np.testing.assert_allclose(weighted, exact, atol=0.1)
    assert weighted.mean() == pytest.approx(exact.mean(), abs=0.01)


def test_bounds_of_a_row_do_not_depend_on_the_rows_around_it(one_unit, monkeypatch):
    model, rows = one_unit
    # So little memory that the samples are drawn in several goes.
    monkeypatch.setattr("isthmus.estimators._likelihood._VALUES", 128 * 3 * 7)
    together = model.score_samples(rows, n_importance=20)
    assert together.mean() == pytest.approx(log_likelihood(model, rows).mean(), abs=0.1)
    for part in (rows[:1], rows[:13]):
        np.testing.assert_allclose(
            model.score_samples(part, n_importance=20), together[: len(part)], rtol=1e-9
        )
    np.testing.assert_allclose(model.score_samples(rows[::-1], n_importance=20)[::-1], together, rtol=1e-9)


# Top k


def largest_by_hand(activities, k):
    """Return a row in which all but the k largest values are zero."""
    kept = sorted(range(len(activities)), key=lambda place: -activities[place])[:k]
    return [value if place in kept else 0.0 for place, value in enumerate(activities)]


@pytest.mark.parametrize("k", [1, 3, 8])
def test_the_largest_of_each_row_pass(k):
    module, features = built(TopK(k=k), 8, nn.Tanh()), numbers(20, 8)
    by_hand = torch.tensor([largest_by_hand(row, k) for row in features.tanh().tolist()])
    bottled = module(features, keys_of(20))
    assert torch.equal(bottled.code, by_hand)
    assert not bottled.terms
    assert torch.equal(module.code(features), by_hand)
    assert torch.equal(module.eval()(features, keys_of(20)).code, by_hand)


def test_the_largest_of_a_batch_pass_in_training():
    module, features = built(TopK(k=3, per="batch"), 8), numbers(20, 8)
    by_hand = torch.tensor(largest_by_hand(features.flatten().tolist(), 60)).view(20, 8)
    code = module(features, keys_of(20)).code
    assert torch.equal(code, by_hand)
    assert (code != 0).sum() == 60
    assert len((code != 0).sum(1).unique()) > 1  # other numbers in other rows: else nothing is tested
    transposed = features.t().contiguous().t()
    assert torch.equal(module(transposed, keys_of(20)).code, by_hand)


def test_the_threshold_follows_the_smallest_activity_that_passes():
    module = built(TopK(k=2, per="batch"), 8)
    module.start_from(numbers(40, 8))
    expected = sorted(numbers(40, 8).flatten().tolist())[-80]
    assert module.threshold.item() == pytest.approx(expected)
    for step in range(1, 30):
        module.set_progress(step / 30)  # whatever passes meanwhile
        features = numbers(40, 8, seed=step) + step / 10
        module(features, keys_of(40))
        expected = 0.9 * expected + 0.1 * sorted(features.flatten().tolist())[-80]
        assert module.threshold.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("k", [1, 4, 6])
def test_in_use_as_many_pass_on_average_as_in_training(k):
    """With k=6 of 8 even negative activities are among the largest: the threshold is below zero."""
    module = built(TopK(k=k, per="batch"), 8)
    for step in range(100):
        module(numbers(64, 8, seed=step), keys_of(64))
    active = (module.code(numbers(2000, 8, seed=1000)) != 0).sum(1).float().mean()
    assert active.item() == pytest.approx(k, abs=0.15)


def test_a_code_in_use_does_not_depend_on_the_batch():
    module = built(TopK(k=3, per="batch"), 8)
    for step in range(5):
        module(numbers(20, 8, seed=step), keys_of(20))
    module.eval()
    features, before = numbers(20, 8, seed=9), module.threshold.clone()
    code = module(features, keys_of(20)).code
    assert torch.equal(code, features * (features > module.threshold))
    assert torch.equal(code, torch.cat([module.code(row) for row in features.split(1)]))
    assert torch.equal(module.threshold, before)


@pytest.mark.parametrize("per", ["row", "batch"])
def test_gradient_passes_through_the_chosen_alone(per):
    module = built(TopK(k=3, per=per), 8, nn.Tanh())
    features, weight = numbers(20, 8).requires_grad_(), numbers(20, 8, seed=1)
    code = module(features, keys_of(20)).code
    (gradient,) = torch.autograd.grad((code * weight).sum(), features)
    slopes = weight * (1 - features.tanh().square())
    torch.testing.assert_close(gradient, torch.where(code != 0, slopes, 0.0))
    assert (gradient == 0).sum() == 100


@pytest.mark.parametrize(("n_components", "k"), [(1, 1), (4, 1), (5, 2), (64, 16), (66, 17)])
def test_auto_is_a_quarter_of_the_units(n_components, k):
    code = built(TopK(), n_components).code(numbers(3, n_components))
    assert ((code != 0).sum(1) == k).all()


@pytest.mark.parametrize("per", ["row", "batch"])
def test_the_number_that_passes_comes_down_in_the_first_half(per):
    module, features = built(TopK(k=2, per=per), 10), numbers(30, 10)
    assert (module(features, keys_of(30)).code != 0).sum() == 60
    for share, passing in ((0.0, 10), (0.125, 8), (0.25, 6), (0.5, 2), (0.8, 2), (1.0, 2)):
        module.set_progress(share)
        assert (module(features, keys_of(30)).code != 0).sum() == 30 * passing
    module.set_progress(0.0)
    if per == "row":
        assert ((module.code(features) != 0).sum(1) == 2).all()  # in use always k


@pytest.mark.parametrize("description", BOTTLENECKS, ids=str)
def test_a_code_in_use_has_a_gradient_and_the_same_bits_with_it(description):
    module = built(description, 8).eval()
    features = numbers(40, module.n_inputs)
    module.start_from(features)
    code = module.code(features)
    learnt = features.clone().requires_grad_()
    again = module.code(learnt)
    assert torch.equal(again, code)
    again.square().sum().backward()
    assert (learnt.grad.abs().sum(0)[:8] > 0).all()


@pytest.mark.parametrize("description", BOTTLENECKS, ids=str)
def test_what_is_annealed_is_at_its_end_in_evaluation_mode(description):
    # Losses of validation rows are then comparable from epoch to epoch.
    module = built(description, 8)
    features = numbers(40, module.n_inputs)
    module.start_from(features)
    found = {}
    for training in (True, False):
        module.train(training)
        for share in (0.0, 0.2, 1.0):
            module.set_progress(share)
            with torch.no_grad():
                bottled = copy.deepcopy(module)(features, keys_of(40))
            found[training, share] = torch.cat(
                [bottled.code.flatten(), *[t[None] for t in bottled.terms.values()]]
            )
    assert torch.equal(found[False, 0.0], found[False, 1.0])
    assert torch.equal(found[False, 0.2], found[False, 1.0])
    changes = not torch.equal(found[True, 0.0], found[True, 1.0])
    assert changes == (module.annealed > 0)


# Vector quantisation


def quantizer(n_components=6, *, entries=None, **settings):
    """Return a quantiser with random or given entries."""
    settings = {"n_codes": 5, "dimension": 2, **settings}
    module = built(VectorQuantized(**settings), n_components)
    with torch.no_grad():
        module.codebook.copy_(numbers(*module.codebook.shape, seed=3) if entries is None else entries)
    return module


def quantized_by_hand(features, codebook, dimension):
    """Return code, tokens, the squared distances summed over levels and vectors, and counts, in loops."""
    codes, tokens, distance = [], [], 0.0
    counts = [[0] * len(level) for level in codebook]
    for row in features.tolist():
        code, numbers_of_row = [], []
        for start in range(0, len(row), dimension):
            rest, total, chosen = row[start : start + dimension], [0.0] * dimension, []
            for number, level in enumerate(codebook.tolist()):
                distances = [sum((a - b) ** 2 for a, b in zip(rest, entry, strict=True)) for entry in level]
                best = distances.index(min(distances))
                distance += distances[best]
                counts[number][best] += 1
                chosen.append(best)
                rest = [a - b for a, b in zip(rest, level[best], strict=True)]
                total = [a + b for a, b in zip(total, level[best], strict=True)]
            code += total
            numbers_of_row.append(chosen)
        codes.append(code)
        tokens.append(numbers_of_row)
    return codes, tokens, distance, counts


def perplexity_by_hand(counts):
    """Return the exponential of the entropy of the shares."""
    shares = [count / sum(counts) for count in counts if count]
    return math.exp(-sum(share * math.log(share) for share in shares))


@pytest.mark.parametrize("update", ["ema", "gradient"])
@pytest.mark.parametrize(("n_levels", "dimension"), [(1, 2), (1, 3), (3, 2), (2, 6)])
def test_quantisation_is_what_a_naive_loop_computes(update, n_levels, dimension):
    settings = {"n_levels": n_levels, "dimension": dimension, "commitment": 0.4, "update": update}
    module, features = quantizer(**settings).eval(), numbers(20, 6)
    code, tokens, distance, counts = quantized_by_hand(features, module.codebook, dimension)
    bottled = module(features, keys_of(20))
    torch.testing.assert_close(bottled.code, torch.tensor(code))
    torch.testing.assert_close(module.code(features), torch.tensor(code))
    assert module.tokens(features).tolist() == tokens
    assert module.tokens(features).shape[1:] == module.tokens_shape == (6 // dimension, n_levels)
    assert bottled.terms["commitment"].item() == pytest.approx(0.4 * distance / 20, rel=1e-5)
    if update == "gradient":
        assert bottled.terms["codebook"].item() == pytest.approx(distance / 20, rel=1e-5)
    assert set(bottled.terms) == ({"commitment"} if update == "ema" else {"commitment", "codebook"})
    mean = sum(map(perplexity_by_hand, counts)) / n_levels
    assert bottled.measures["perplexity"].item() == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("n_levels", [1, 3])
def test_gradient_of_the_code_passes_unchanged(n_levels):
    module = quantizer(n_levels=n_levels, update="gradient")
    features, weight = numbers(20, 6).requires_grad_(), numbers(20, 6, seed=1)
    code = module(features, keys_of(20)).code
    (gradient, entries) = torch.autograd.grad(
        (code * weight).sum(), [features, module.codebook], allow_unused=True
    )
    assert torch.equal(gradient, weight)
    assert entries is None


def test_commitment_draws_vectors_and_the_codebook_term_draws_entries():
    module = quantizer(update="gradient", commitment=0.4, revive=False)
    features = numbers(20, 6).requires_grad_()
    bottled = module(features, keys_of(20))
    code, chosen = module.code(features).detach(), module.tokens(features).flatten()
    wanted = [features, module.codebook]
    drawn, nothing = torch.autograd.grad(bottled.terms["commitment"], wanted, allow_unused=True)
    torch.testing.assert_close(drawn, 0.4 * 2 * (features.detach() - code) / 20)
    assert nothing is None
    nothing, drawn = torch.autograd.grad(bottled.terms["codebook"], wanted, allow_unused=True)
    assert nothing is None
    expected = torch.zeros(5, 2)
    for vector, number in zip(features.detach().view(-1, 2), chosen, strict=True):
        expected[number] += 2 * (module.codebook[0, number].detach() - vector) / 20
    torch.testing.assert_close(drawn[0], expected)


def test_gradient_of_the_commitment_over_levels_agrees_with_finite_differences():
    module = quantizer(n_levels=3, update="gradient").eval().double()
    features = numbers(3, 6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: module(x, keys_of(3)).terms["commitment"], (features,))


def test_residual_levels_come_nearer_to_the_vectors():
    errors = []
    for n_levels in (1, 2, 4):
        module, features = (
            built(VectorQuantized(n_codes=8, dimension=2, n_levels=n_levels), 6),
            numbers(300, 6),
        )
        module.start_from(features)
        errors.append((module.code(features) - features).square().sum(1).mean().item())
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_perplexity_by_hand():
    assert perplexity(torch.full((7,), 3.0)).item() == pytest.approx(7)
    assert perplexity(torch.tensor([0.0, 9.0, 0.0])).item() == pytest.approx(1)
    assert perplexity(torch.tensor([1.0, 1.0, 2.0])).item() == pytest.approx(2**1.5)


@pytest.mark.parametrize(("n_used", "expected"), [(5, 5.0), (1, 1.0)])
def test_perplexity_of_a_batch_that_uses_so_many_entries_evenly(n_used, expected):
    module = quantizer().eval()
    vectors = module.codebook[0, :n_used].repeat(30 // n_used, 1)
    bottled = module(vectors.reshape(10, 6), keys_of(10))
    assert bottled.measures["perplexity"].item() == pytest.approx(expected, rel=1e-5)
    assert bottled.terms["commitment"].item() == pytest.approx(0, abs=1e-6)


def test_entries_are_the_textbooks_moving_averages():
    """Oord et al., appendix A.1: N and m decay separately, and an entry is m / N."""
    module = quantizer(n_levels=2, decay=0.8, revive=False)
    count = torch.ones(2, 5)
    sums = module.codebook.clone()
    for step in range(8):
        features = numbers(20, 6, seed=10 + step)
        entries = sums / count.unsqueeze(2)
        _, tokens, _, _ = quantized_by_hand(features, entries, 2)
        for level in range(2):
            new_count, new_sum = torch.zeros(5), torch.zeros(5, 2)
            for vector, chosen in zip(features.view(-1, 2), itertools.chain(*tokens), strict=True):
                rest = vector - sum(entries[before, chosen[before]] for before in range(level))
                new_count[chosen[level]] += 1
                new_sum[chosen[level]] += rest
            count[level] = 0.8 * count[level] + 0.2 * new_count
            sums[level] = 0.8 * sums[level] + 0.2 * new_sum
        module(features, keys_of(20))
        torch.testing.assert_close(module.codebook, sums / count.unsqueeze(2), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(module.usage, count)


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_in_use_nothing_is_learnt(update):
    module = quantizer(update=update).eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module(numbers(20, 6), keys_of(20))
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def test_an_average_that_is_chosen_stays_where_its_vectors_are():
    module = quantizer(entries=torch.tensor([[[0.0, 0], [9, 9], [9, -9], [-9, 9], [-9, -9]]]), revive=False)
    vectors = torch.tensor([[0.1, 0.0], [8.0, 9.0], [10.0, 9.0]]).repeat(10, 1).view(10, 6)
    for _ in range(1500):
        module(vectors, keys_of(10))
    expected = torch.tensor([[0.1, 0.0], [9, 9], [9, -9], [-9, 9], [-9, -9]])
    torch.testing.assert_close(module.codebook[0], expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_clusters_are_a_better_start_than_random_vectors(update):
    """Features in 16 clusters, 16 entries: at most half the distortion of 16 vectors picked at random."""
    centres = 4 * numbers(16, 4, seed=5)
    features = centres[torch.arange(800) % 16] + 0.3 * numbers(800, 4, seed=6)
    module = built(VectorQuantized(n_codes=16, dimension=4, update=update), 4)
    module.start_from(features)
    distortion = (module.code(features) - features).square().sum(1).mean().item()
    picked = []
    for seed in range(5):
        order = torch.randperm(800, generator=torch.Generator().manual_seed(seed))[:16]
        picked.append(squared_distances(features, features[order]).min(1).values.mean().item())
    assert distortion < 0.5 * min(picked)
    # Where each entry is the mean of its vectors there is nothing to gain.
    tokens = module.tokens(features).flatten()
    for number in tokens.unique():
        mean = features[tokens == number].mean(0)
        torch.testing.assert_close(module.codebook[0, number].detach(), mean, atol=1e-3, rtol=0)


def squared_distances(one, other):
    """Return exact ones: those of torch.cdist come from products from 26 rows on, and cancel."""
    return (one[:, None] - other).square().sum(2)


@pytest.mark.parametrize("offset", [0.0, 64.0, 4096.0])
def test_the_nearest_entry_is_found_far_from_zero(offset):
    entries, vectors = ((numbers(n, 4, seed=n) * 64).round() / 64 for n in (200, 300))
    module = quantizer(4, entries=(entries + offset)[None], n_codes=200, dimension=4)
    expected = squared_distances(vectors, entries).min(1).values
    found = (vectors - entries[module.tokens(vectors + offset).flatten()]).square().sum(1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_start_from_fewer_vectors_than_entries_repeats_them():
    module, features = built(VectorQuantized(n_codes=64, dimension=2), 2), numbers(5, 2)
    module.start_from(features)
    torch.testing.assert_close(module.code(features), features)
    assert (module.codebook[0][:, None] - features).abs().sum(2).min(1).values.max() < 1e-5


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_entries_that_nothing_chooses_are_revived(update):
    far = torch.cat([numbers(1, 2, 2, seed=3), torch.full((1, 3, 2), 100.0)], dim=1)
    module, features = quantizer(entries=far, update=update, decay=0.5), numbers(50, 6)
    assert set(module.tokens(features).unique().tolist()) <= {0, 1}
    for step in range(20):
        module(features, keys_of(50, epoch=step))
    vectors = features.view(-1, 2)
    assert (module.codebook[0].abs() < 10).all()
    assert len(module.tokens(features).unique()) == 5
    if update == "gradient":  # where nothing else moves them, they are vectors of the batch
        assert (squared_distances(module.codebook[0, 2:], vectors).min(1).values < 1e-10).all()
    without = quantizer(entries=far, update=update, decay=0.5, revive=False)
    for step in range(20):
        without(features, keys_of(50, epoch=step))
    assert torch.equal(without.codebook[0, 2:].detach(), far[0, 2:])


def test_entries_in_use_are_not_revived():
    module, features = quantizer(update="gradient", decay=0.5), numbers(50, 6)
    assert len(module.tokens(features).unique()) == 5
    before = module.codebook.detach().clone()
    for step in range(20):
        module(features, keys_of(50, epoch=step))
    assert torch.equal(module.codebook, before)


@pytest.mark.parametrize("n_levels", [1, 3])
def test_tokens_are_the_code(n_levels):
    module, features = quantizer(n_levels=n_levels), numbers(20, 6)
    tokens = module.tokens(features)
    assert torch.equal(module.entries(tokens), module.code(features))
    assert 0 <= tokens.min() <= tokens.max() < module.n_codes
    assert torch.equal(module.code(features)[7:9], module.code(features[7:9]))


@pytest.mark.parametrize(("n_components", "dimension"), [(8, 4), (6, 2), (7, 1), (12, 4)])
def test_auto_is_the_greatest_divisor_up_to_four(n_components, dimension):
    module = built(VectorQuantized(), n_components)
    assert module.tokens_shape == (n_components // dimension, 1)


# Finite scalars


@pytest.mark.parametrize("levels", [(2,), (3,), (5,), (8,), (8, 5, 5, 5), (2, 7)])
def test_units_take_so_many_evenly_spaced_values(levels):
    module = built(FiniteScalar(levels=levels), 2 * len(levels))
    features = torch.linspace(-12, 12, 4001).unsqueeze(1).expand(-1, 2 * len(levels))
    code = module.code(features)
    for unit, n in enumerate(levels * 2):
        np.testing.assert_allclose(code[:, unit].unique().numpy(), np.linspace(-1, 1, n), atol=1e-6)
    # Each is the value nearest to where the sigmoid puts the feature.
    smooth = 2 * torch.sigmoid(features) - 1
    spacing = 2 / (torch.tensor(levels * 2) - 1)
    assert ((code - smooth).abs() <= spacing / 2 + 1e-6).all()


@pytest.mark.parametrize("levels", [(4,), (8, 5, 5, 5), (3, 2)])
def test_all_tokens_are_reachable_and_come_back_as_the_code(levels):
    module = built(FiniteScalar(levels=levels), len(levels))
    grids = [np.linspace(0.02, 0.98, n) for n in levels]
    shares = torch.tensor(list(itertools.product(*grids)))
    features = torch.logit(shares)
    tokens = module.tokens(features)
    assert sorted(tokens.flatten().tolist()) == list(range(math.prod(levels)))
    assert module.n_codes == math.prod(levels)
    torch.testing.assert_close(module.entries(tokens), module.code(features))


def test_tokens_of_several_vectors_are_the_code():
    module, features = built(FiniteScalar(levels=(5, 4, 3)), 12), 2 * numbers(50, 12)
    tokens = module.tokens(features)
    assert tokens.shape == (50, *module.tokens_shape) == (50, 4, 1)
    torch.testing.assert_close(module.entries(tokens).float(), module.code(features))
    # A vector's token does not depend on the vectors beside it.
    alone = built(FiniteScalar(levels=(5, 4, 3)), 3).tokens(features[:, 3:6])
    assert torch.equal(tokens[:, 1:2], alone)


def test_gradient_of_finite_scalars_is_that_of_the_sigmoid():
    module = built(FiniteScalar(levels=(5, 4)), 6, nn.Tanh())
    features, weight = numbers(20, 6).requires_grad_(), numbers(20, 6, seed=1)
    bottled = module(features, keys_of(20))
    torch.testing.assert_close(bottled.code, module.code(features))
    (ours,) = torch.autograd.grad((bottled.code * weight).sum(), features)
    smooth = 2 * torch.sigmoid(features.tanh()) - 1
    (theirs,) = torch.autograd.grad((smooth * weight).sum(), features)
    torch.testing.assert_close(ours, theirs)
    assert not bottled.terms


def test_perplexity_of_finite_scalars_counts_vectors():
    module = built(FiniteScalar(levels=(2, 2)), 4)
    low, high = -5.0, 5.0
    features = torch.tensor([[low, low, high, high], [low, high, high, low]])
    assert module(features, keys_of(2)).measures["perplexity"].item() == pytest.approx(4)
    assert module(features[:1, [0, 1, 0, 1]], keys_of(1)).measures["perplexity"].item() == pytest.approx(1)


def test_far_more_codes_than_memory_are_no_trouble():
    module = built(FiniteScalar(levels=(2,) * 62), 62)
    features = 3 * numbers(10, 62)
    assert module.n_codes == 2**62
    assert module(features, keys_of(10)).measures["perplexity"].item() == pytest.approx(10)
    torch.testing.assert_close(module.entries(module.tokens(features)).float(), module.code(features))


# Bad settings


@pytest.mark.parametrize(
    ("make", "error", "parameter", "owner"),
    [
        (lambda: Gaussian(beta=-1), InvalidParameterError, "beta", "Gaussian"),
        (lambda: Gaussian(beta=math.inf), InvalidParameterError, "beta", "Gaussian"),
        (lambda: Gaussian(beta="much"), InvalidTypeError, "beta", "Gaussian"),
        (lambda: Gaussian(total_correlation=-0.1), InvalidParameterError, "total_correlation", "Gaussian"),
        (lambda: Gaussian(free_bits=-1), InvalidParameterError, "free_bits", "Gaussian"),
        (lambda: Gaussian(warm_up=1.1), InvalidParameterError, "warm_up", "Gaussian"),
        (lambda: Gaussian(prior="learned"), InvalidParameterError, "prior", "Gaussian"),
        (lambda: Gaussian(n_samples=0), InvalidParameterError, "n_samples", "Gaussian"),
        (lambda: Gaussian(bound="vae"), InvalidParameterError, "bound", "Gaussian"),
        (lambda: Gaussian(bound="iwae", beta=2), InvalidParameterError, "bound", "Gaussian"),
        (lambda: Gaussian(bound="dreg", warm_up=0.5), InvalidParameterError, "bound", "Gaussian"),
        (lambda: Gaussian(bound="dreg", free_bits=0.5), InvalidParameterError, "bound", "Gaussian"),
        (lambda: Gaussian(bound="iwae", total_correlation=1), InvalidParameterError, "bound", "Gaussian"),
        (lambda: TopK(k=0), InvalidParameterError, "k", "TopK"),
        (lambda: TopK(k=2.5), InvalidTypeError, "k", "TopK"),
        (lambda: TopK(k="all"), InvalidTypeError, "k", "TopK"),
        (lambda: TopK(per="column"), InvalidParameterError, "per", "TopK"),
        (lambda: built(TopK(k=9), 8), InvalidParameterError, "k", "TopK"),
        (lambda: VectorQuantized(n_codes=1), InvalidParameterError, "n_codes", "VectorQuantized"),
        (lambda: VectorQuantized(dimension=0), InvalidParameterError, "dimension", "VectorQuantized"),
        (lambda: VectorQuantized(n_levels=0), InvalidParameterError, "n_levels", "VectorQuantized"),
        (lambda: VectorQuantized(update="adam"), InvalidParameterError, "update", "VectorQuantized"),
        (lambda: VectorQuantized(commitment=-1), InvalidParameterError, "commitment", "VectorQuantized"),
        (lambda: VectorQuantized(decay=1.0), InvalidParameterError, "decay", "VectorQuantized"),
        (lambda: VectorQuantized(revive=1), InvalidTypeError, "revive", "VectorQuantized"),
        (
            lambda: built(VectorQuantized(dimension=3), 8),
            InvalidParameterError,
            "dimension",
            "VectorQuantized",
        ),
        (lambda: FiniteScalar(levels=()), InvalidTypeError, "levels", "FiniteScalar"),
        (lambda: FiniteScalar(levels=(5, 1)), InvalidParameterError, "levels", "FiniteScalar"),
        (lambda: FiniteScalar(levels=(2,) * 63), InvalidParameterError, "levels", "FiniteScalar"),
        (lambda: built(FiniteScalar(levels=(5, 5, 5)), 8), InvalidParameterError, "levels", "FiniteScalar"),
    ],
)
def test_bad_settings_are_refused_by_name(make, error, parameter, owner):
    with pytest.raises(error, match=f"'{parameter}' parameter of {owner} must be"):
        make()
