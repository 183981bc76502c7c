"""Penalties on slopes and on distributions of codes, against Jacobians, loops and sampling."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from isthmus._random import row_keys
from isthmus.errors import InvalidParameterError, InvalidTypeError
from isthmus.networks import ACTIVATIONS
from isthmus.objectives import Contractive, Encoding, KLSparsity, MaximumMeanDiscrepancy
from isthmus.objectives.penalties import discrepancy


def keys_of(n, *, seed=0, epoch=0):
    """Return the keys of the first rows."""
    return row_keys(seed, epoch, torch.arange(n))


def numbers(*shape, seed=0, dtype=torch.float64):
    """Return standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def encoding_of(body, activate, inputs, *, keys=None, single_layer=None):
    """Return what a penalty looks at, for an encoder of these two parts."""
    return Encoding(
        inputs=inputs,
        code=activate(body(inputs)),
        keys=keys_of(len(inputs)) if keys is None else keys,
        weights=[parameter for parameter in body.parameters() if parameter.dim() == 2],
        body=body,
        activate=activate,
        single_layer=single_layer,
    )


def dense(*widths, activation=nn.Tanh, seed=0):
    """Return fully connected layers in double precision."""
    layers = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1]).double()


def norm_of_jacobians(body, activate, inputs):
    """Return the mean over rows of the squared Frobenius norm, one Jacobian at a time."""
    jacobians = [torch.autograd.functional.jacobian(lambda x: activate(body(x)), row) for row in inputs]
    return torch.stack([jacobian.square().sum() for jacobian in jacobians]).mean()


def differentiable_norm(body, activate, inputs):
    """Return the same, as a function of the weights."""
    total = 0.0
    for row in inputs:
        jacobian = torch.autograd.functional.jacobian(lambda x: activate(body(x)), row, create_graph=True)
        total = total + jacobian.square().sum() / len(inputs)
    return total


# Contractive


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_norm_of_a_single_layer_is_exact(name):
    body, activate, inputs = dense(5, 4), ACTIVATIONS[name](), numbers(6, 5)
    penalty = Contractive(weight=0.3)(encoding_of(body, activate, inputs, single_layer=body[0].weight))
    expected = norm_of_jacobians(body, activate, inputs)
    torch.testing.assert_close(penalty.detach(), 0.3 * expected)
    gradients = torch.autograd.grad(penalty, body.parameters(), allow_unused=True, materialize_grads=True)
    exact = torch.autograd.grad(
        0.3 * differentiable_norm(body, activate, inputs),
        body.parameters(),
        allow_unused=True,
        materialize_grads=True,
    )
    for one, other in zip(gradients, exact, strict=True):
        torch.testing.assert_close(one, other)


def test_the_norm_of_a_sigmoid_layer_is_the_formula_of_rifai():
    body, inputs = dense(5, 4), numbers(6, 5)
    h, weight = torch.sigmoid(body(inputs)), body[0].weight
    formula = ((h * (1 - h)).square() * weight.square().sum(1)).sum(1).mean()
    penalty = Contractive(weight=2.0)(encoding_of(body, nn.Sigmoid(), inputs, single_layer=weight))
    torch.testing.assert_close(penalty, 2 * formula)


def test_the_estimate_for_a_deep_encoder_averages_to_the_norm():
    """2000 times 4 projections: within 2 %, and the exact value within four standard errors."""
    body, activate, inputs = dense(6, 8, 5), nn.Sigmoid(), numbers(4, 6)
    exact = norm_of_jacobians(body, activate, inputs).item()
    penalty = Contractive(weight=1.0, n_projections=4)
    estimates = np.array(
        [
            penalty(encoding_of(body, activate, inputs, keys=keys_of(4, epoch=epoch))).item()
            for epoch in range(2000)
        ]
    )
    assert estimates.std() > 0.01 * exact  # an estimate, or the test says nothing
    assert estimates.mean() == pytest.approx(exact, rel=0.02)
    assert abs(estimates.mean() - exact) < 4 * estimates.std() / math.sqrt(2000)


def test_the_estimate_is_exact_in_expectation(monkeypatch):
    """Over all combinations of signs, which are equally likely, the mean is the norm: no sampling left."""
    body, activate, inputs = dense(6, 8, 5), nn.Sigmoid(), numbers(3, 6)
    signs = torch.cartesian_prod(*[torch.tensor([0.25, 0.75])] * 5)  # (32, 5)
    monkeypatch.setattr(
        "isthmus._random.uniform", lambda keys, shape, stream: signs.expand(len(keys), *shape)
    )
    penalty = Contractive(weight=0.7, n_projections=32)(encoding_of(body, activate, inputs))
    torch.testing.assert_close(penalty.detach(), 0.7 * norm_of_jacobians(body, activate, inputs))
    gradients = torch.autograd.grad(penalty, body.parameters(), allow_unused=True, materialize_grads=True)
    exact = torch.autograd.grad(
        0.7 * differentiable_norm(body, activate, inputs),
        body.parameters(),
        allow_unused=True,
        materialize_grads=True,
    )
    for one, other in zip(gradients, exact, strict=True):
        torch.testing.assert_close(one, other)


def test_the_gradient_of_the_estimate_agrees_with_finite_differences():
    body, activate, inputs = dense(4, 5, 3), nn.Sigmoid(), numbers(3, 4)
    names = [name for name, _ in body.named_parameters()]

    def penalty(*values):
        def changed(x):
            return torch.func.functional_call(body, dict(zip(names, values, strict=True)), (x,))

        encoding = Encoding(inputs, activate(changed(inputs)), keys_of(3), [], changed, activate)
        return Contractive(weight=1.3, n_projections=2)(encoding)

    values = tuple(value.detach().clone().requires_grad_() for value in body.parameters())
    assert torch.autograd.gradcheck(penalty, values)


@pytest.mark.parametrize("widths", [(5, 4), (5, 6, 4)])
def test_without_gradients_the_value_is_the_same(widths):
    body, activate, inputs = dense(*widths), nn.Sigmoid(), numbers(6, 5)
    single = body[0].weight if len(body) == 1 else None
    encoding = encoding_of(body, activate, inputs, single_layer=single)
    penalty = Contractive(n_projections=3)
    value = penalty(encoding)
    assert value.requires_grad
    with torch.no_grad():
        quiet = penalty(encoding)
    assert torch.equal(quiet, value.detach())
    assert not quiet.requires_grad
    assert not inputs.requires_grad
    assert all(parameter.grad is None for parameter in body.parameters())


def test_the_estimate_of_a_row_depends_on_its_key_alone():
    body, activate, inputs = dense(5, 6, 4), nn.Sigmoid(), numbers(8, 5)
    penalty, keys = Contractive(), keys_of(8)
    together = penalty(encoding_of(body, activate, inputs, keys=keys))
    alone = [penalty(encoding_of(body, activate, inputs[i : i + 1], keys=keys[i : i + 1])) for i in range(8)]
    torch.testing.assert_close(together, torch.stack(alone).mean())
    other = penalty(encoding_of(body, activate, inputs, keys=keys_of(8, epoch=1)))
    assert not torch.isclose(together, other)


# Sparsity by the Kullback-Leibler divergence


def sparsity(code, **settings):
    """Return the penalty of codes."""
    return KLSparsity(**settings)(Encoding(code, code, keys_of(len(code)), [], nn.Identity(), nn.Identity()))


def test_sparsity_is_the_formula_summed_over_the_units():
    code = torch.tensor([[0.1, 0.5, 0.9], [0.3, 0.1, 0.9]], dtype=torch.float64)
    expected = 0.0
    for mean in (0.2, 0.3, 0.9):
        expected += 0.05 * math.log(0.05 / mean) + 0.95 * math.log(0.95 / (1 - mean))
    assert sparsity(code, weight=3.0).item() == pytest.approx(3 * expected)
    coins = [torch.distributions.Bernoulli(probs) for probs in (torch.full((3,), 0.2), code.float().mean(0))]
    divergence = torch.distributions.kl_divergence(*coins).sum()
    assert sparsity(code, target=0.2).item() == pytest.approx(divergence.item(), rel=1e-5)


@pytest.mark.parametrize("target", [0.01, 0.05, 0.5, 0.9])
def test_sparsity_is_zero_at_the_target_and_only_there(target):
    code = torch.full((10, 4), target, dtype=torch.float64).requires_grad_()
    at_target = sparsity(code, target=target)
    assert at_target.item() == pytest.approx(0, abs=1e-12)
    assert torch.autograd.grad(at_target, code)[0].abs().max() < 1e-12
    for mean in (0.5 * target, target + 0.5 * (1 - target)):
        assert sparsity(torch.full((10, 4), mean), target=target) > 0.01 * target
    # The mean over the rows counts, not the single activities.
    spread = torch.tensor([[0.0], [2 * target]]) if target < 0.5 else torch.tensor([[2 * target - 1], [1.0]])
    assert sparsity(spread.double(), target=target).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_sparsity_of_units_that_never_change_is_finite(mean):
    assert sparsity(torch.full((5, 2), mean)).isfinite()


# Maximum mean discrepancy


def mmd(code, *, keys=None, **settings):
    """Return the penalty of codes."""
    keys = keys_of(len(code)) if keys is None else keys
    return MaximumMeanDiscrepancy(**settings)(Encoding(code, code, keys, [], nn.Identity(), nn.Identity()))


def kernel(x, y):
    """Return the inverse multiquadrics of two codes, summed over scales of 2 n_components."""
    squared = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
    scales = [2 * len(x) * factor for factor in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
    return sum(scale / (scale + squared) for scale in scales)


def test_discrepancy_is_what_a_naive_double_loop_computes():
    one, other = (0.5 * numbers(12, 3) + 1).tolist(), numbers(12, 3, seed=1).tolist()
    total = 0.0
    for i in range(12):
        for j in range(12):
            if i != j:
                total += (kernel(one[i], one[j]) + kernel(other[i], other[j])) / (12 * 11)
            total -= 2 * kernel(one[i], other[j]) / 144
    ours = discrepancy(torch.tensor(one, dtype=torch.float64), torch.tensor(other, dtype=torch.float64))
    assert ours.item() == pytest.approx(total, rel=1e-10)


def estimates(make, n_batches=400, batch=50, **settings):
    """Return the penalties of many batches of codes."""
    return np.array(
        [
            mmd(make(numbers(batch, 3, seed=seed)), keys=keys_of(batch, epoch=seed), **settings).item()
            for seed in range(n_batches)
        ]
    )


def test_discrepancy_of_normal_codes_is_zero_on_average():
    """Without bias: 400 batches, within four standard errors of 0, and below 0 as often as not, nearly."""
    values = estimates(lambda codes: codes, weight=1.0)
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(400)
    assert values.std() > 0.005
    assert 0.2 < (values < 0).mean() < 0.8


@pytest.mark.parametrize(
    "change",
    [
        lambda codes: codes + 1,
        lambda codes: 0.3 * codes,
        lambda codes: 3 * codes,
        lambda codes: codes[:, [0, 0, 0]],
    ],
    ids=["shifted", "shrunk", "blown up", "copies"],
)
def test_discrepancy_of_other_codes_is_clearly_positive(change):
    usual = estimates(lambda codes: codes, n_batches=40, weight=1.0)
    values = estimates(change, n_batches=40, weight=1.0)
    assert values.mean() > 5 * usual.std()
    assert values.min() > 0


def test_discrepancy_draws_codes_to_the_prior():
    codes = (0.2 * numbers(100, 2) + 2).requires_grad_()
    optimizer = torch.optim.Adam([codes], lr=0.05)
    for epoch in range(300):
        optimizer.zero_grad()
        mmd(codes, keys=keys_of(100, epoch=epoch)).backward()
        optimizer.step()
    assert codes.mean(0).abs().max() < 0.3
    assert codes.std(0).detach().numpy() == pytest.approx(1, abs=0.3)


def test_discrepancy_is_scaled_by_its_weight_and_drawn_by_the_keys():
    codes = numbers(30, 3) + 1
    torch.testing.assert_close(mmd(codes, weight=5.0), 5 * mmd(codes, weight=1.0))
    assert torch.equal(mmd(codes), mmd(codes))
    assert mmd(codes) != mmd(codes, keys=keys_of(30, epoch=1))


@pytest.mark.parametrize("n_samples", [1, 3])
def test_discrepancy_of_a_single_row_is_zero(n_samples):
    codes = numbers(n_samples, 3).requires_grad_()
    value = mmd(codes, keys=keys_of(1))
    assert value.item() == 0
    assert (torch.autograd.grad(value, codes)[0] == 0).all()


def test_discrepancy_of_several_samples_is_that_of_the_first():
    codes = numbers(60, 3) + 1
    assert torch.equal(mmd(codes, keys=keys_of(20)), mmd(codes[:20], keys=keys_of(20)))


@pytest.mark.parametrize(
    ("make", "error", "parameter", "owner"),
    [
        (lambda: Contractive(weight=-1), InvalidParameterError, "weight", "Contractive"),
        (lambda: Contractive(n_projections=0), InvalidParameterError, "n_projections", "Contractive"),
        (lambda: Contractive(n_projections=1.5), InvalidTypeError, "n_projections", "Contractive"),
        (lambda: KLSparsity(target=0), InvalidParameterError, "target", "KLSparsity"),
        (lambda: KLSparsity(target=1.0), InvalidParameterError, "target", "KLSparsity"),
        (lambda: KLSparsity(weight=math.nan), InvalidParameterError, "weight", "KLSparsity"),
        (
            lambda: MaximumMeanDiscrepancy(weight=-1),
            InvalidParameterError,
            "weight",
            "MaximumMeanDiscrepancy",
        ),
    ],
)
def test_bad_settings_are_refused_by_name(make, error, parameter, owner):
    with pytest.raises(error, match=f"'{parameter}' parameter of {owner} must be"):
        make()
