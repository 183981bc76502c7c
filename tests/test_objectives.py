"""Losses and penalties against closed forms, exact arithmetic and automatic differentiation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import LOSSES, VALUE_PENALTIES, by_name
from isthmus.errors import InvalidParameterError, InvalidTypeError
from isthmus.objectives import (
    L1,
    L2,
    AbsoluteError,
    BinaryCrossEntropy,
    Elastic,
    GaussianLikelihood,
    Huber,
    SquaredError,
    Workspace,
)
from isthmus.objectives.reconstruction import ClosedFormLoss

losses = pytest.mark.parametrize("loss", LOSSES, ids=by_name)
penalties = pytest.mark.parametrize("penalty", VALUE_PENALTIES, ids=by_name)


def batch(n=7, features=5, seed=0, dtype=torch.float64):
    """Return pre-activations that ask for gradients, and rows between 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    pre_activations = 3 * torch.randn(n, features, generator=generator, dtype=dtype)
    return pre_activations.requires_grad_(), torch.rand(n, features, generator=generator, dtype=dtype)


def learnt(loss, features=5):
    """Return what the loss learns, moved away from its start."""
    return {
        name: (value.double() + 0.3).requires_grad_() for name, value in loss.parameters(features).items()
    }


def as_in_training(loss, pre_activations, rows, parameters):
    """Return the loss as a training step computes it: in closed form, in place, where there is one."""
    return loss.batch_mean(pre_activations + 0.0, rows, parameters, Workspace())


@losses
def test_loss_of_a_batch_is_the_mean_over_its_rows(loss):
    pre_activations, rows = batch()
    parameters = learnt(loss)
    per_row = loss.per_row(pre_activations, rows, parameters)
    assert per_row.shape == (7,)
    torch.testing.assert_close(loss.batch_mean(pre_activations, rows, parameters), per_row.mean())
    torch.testing.assert_close(as_in_training(loss, pre_activations, rows, parameters), per_row.mean())
    with torch.no_grad():
        torch.testing.assert_close(as_in_training(loss, pre_activations, rows, parameters), per_row.mean())


@losses
def test_gradient_is_that_of_automatic_differentiation(loss):
    pre_activations, rows = batch()
    parameters = learnt(loss)
    wanted = [pre_activations, *parameters.values()]
    # Times three: the factor from further up must reach the gradient.
    ours = torch.autograd.grad(3 * as_in_training(loss, pre_activations, rows, parameters), wanted)
    reference = torch.autograd.grad(3 * loss.per_row(pre_activations, rows, parameters).mean(), wanted)
    for one, other in zip(ours, reference, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@losses
def test_loss_of_a_row_agrees_with_finite_differences(loss):
    pre_activations, rows = batch(n=3)
    parameters = learnt(loss)

    def of_rows(values, *learning):
        return loss.per_row(values, rows, dict(zip(parameters, learning, strict=True)))

    assert torch.autograd.gradcheck(of_rows, (pre_activations, *parameters.values()))


@losses
def test_a_workspace_serves_batches_of_any_size(loss):
    workspace, parameters = Workspace(), learnt(loss)
    for n in (7, 3, 11):
        pre_activations, rows = batch(n=n, seed=n)
        value = loss.batch_mean(pre_activations + 0.0, rows, parameters, workspace)
        reference = loss.per_row(pre_activations, rows, parameters).mean()
        torch.testing.assert_close(value, reference)
        ours, theirs = (torch.autograd.grad(mean, pre_activations)[0] for mean in (value, reference))
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if isinstance(loss, ClosedFormLoss)], ids=by_name)
def test_a_gradient_cannot_be_taken_twice_unnoticed(loss):
    pre_activations, rows = batch()
    value = as_in_training(loss, pre_activations, rows, {})
    value.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="already used; compute the loss again"):
        value.backward()


@losses
def test_loss_leaves_its_arguments_alone(loss):
    pre_activations, rows = batch()
    before = pre_activations.detach().clone(), rows.clone()
    loss.batch_mean(pre_activations, rows, learnt(loss)).backward()
    assert torch.equal(pre_activations, before[0])
    assert torch.equal(rows, before[1])


@losses
def test_the_link_of_the_best_pre_activation_is_the_row(loss):
    """Gradient descent on the pre-activations alone leads to the row itself."""
    pre_activations, rows = batch(n=4)
    rows = rows.clamp(0.1, 0.9)
    optimizer = torch.optim.Adam([pre_activations], lr=0.05)
    parameters = {name: value.detach() for name, value in learnt(loss).items()}
    for _ in range(1500):
        optimizer.zero_grad()
        loss.batch_mean(pre_activations, rows, parameters).backward()
        optimizer.step()
    torch.testing.assert_close(loss.link(pre_activations), rows, atol=0.05, rtol=0)


def exact_cross_entropy(z, x):
    return max(z, 0) - z * x + math.log1p(math.exp(-abs(z)))


@given(z=st.floats(-100, 100), x=st.floats(0, 1))
def test_cross_entropy_is_exact_in_double_precision(z, x):
    given_z = torch.tensor([[z]], dtype=torch.float64, requires_grad=True)
    given_x = torch.tensor([[x]], dtype=torch.float64)
    for value in (
        as_in_training(BinaryCrossEntropy(), given_z, given_x, {}),
        BinaryCrossEntropy().per_row(given_z, given_x)[0],
    ):
        assert value.item() == pytest.approx(exact_cross_entropy(z, x), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("z", [-100.0, -30.0, 0.0, 30.0, 100.0])
@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_cross_entropy_at_extremes_in_single_precision(z, x):
    pre_activations = torch.full((2, 3), z, requires_grad=True)
    value = as_in_training(BinaryCrossEntropy(), pre_activations, torch.full((2, 3), x), {})
    assert value.item() == pytest.approx(3 * exact_cross_entropy(z, x), rel=1e-6, abs=1e-6)
    value.backward()
    sigmoid = 1 / (1 + math.exp(-z))
    torch.testing.assert_close(pre_activations.grad, torch.full((2, 3), (sigmoid - x) / 2))


def test_cross_entropy_of_grey_values_is_never_below_their_entropy():
    pre_activations, rows = batch(n=50)
    entropy = -(rows * rows.log() + (1 - rows) * (-rows).log1p()).sum(1)
    assert (BinaryCrossEntropy().per_row(pre_activations, rows) >= entropy).all()
    torch.testing.assert_close(BinaryCrossEntropy().per_row(rows.logit(), rows), entropy)


def test_errors_by_hand():
    copies, rows = torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([[0.0, 1.0, 0.75]])
    assert SquaredError().per_row(copies, rows).item() == 1 + 9 + 0.0625
    assert AbsoluteError().per_row(copies, rows).item() == 1 + 3 + 0.25
    assert Huber(delta=2.0).per_row(copies, rows).item() == 0.5 + 2 * (3 - 1) + 0.03125


def test_gaussian_likelihood_is_the_textbook_density():
    copies, rows = batch()
    variances = np.array([0.5, 1.0, 2.0, 0.1, 3.0])
    density = scipy.stats.norm(copies.detach().numpy(), np.sqrt(variances)).logpdf(rows.numpy())
    value = GaussianLikelihood("feature").per_row(
        copies, rows, {"log_variance": torch.from_numpy(np.log(variances))}
    )
    np.testing.assert_allclose(value.detach().numpy(), -density.sum(1), rtol=1e-12)


def test_gaussian_variance_has_a_floor():
    rows = torch.zeros(1, 4)
    loss = GaussianLikelihood(floor=0.01)
    at_floor = loss.per_row(rows, rows, {"log_variance": torch.tensor([math.log(0.01)])})
    below = loss.per_row(rows, rows, {"log_variance": torch.tensor([-50.0])})
    torch.testing.assert_close(below, at_floor)


def test_penalties_by_hand():
    code = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    weights = [torch.tensor([[1.0, -1.0]]), torch.tensor([[2.0], [0.0]])]
    # Sum of absolute codes 6, of their squares 14, over two rows; of the weights 4 and 6.
    by_hand = {
        L1(weight=0.5, per="row"): 0.5 * 3,
        L2(weight=0.5, per="row"): 0.5 * 7,
        Elastic(weight=2.0, l1_ratio=0.25, per="row"): 2 * (0.25 * 3 + 0.75 * 7),
        L1(weight=0.5, on="weights", per="row"): 0.5 * 4,
        L2(weight=0.5, on="weights", per="row"): 0.5 * 6,
        L1(weight=0.5): 0.5 * 3 * 10,
        L2(weight=0.5, on="weights"): 0.5 * 6 * 10,
    }
    for penalty, value in by_hand.items():
        assert penalty.total(code, weights, 10).item() == pytest.approx(value), penalty


@penalties
def test_penalty_does_not_depend_on_the_batch_size(penalty):
    code = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    weights = [torch.ones(3, 4), torch.ones(4, 3)]
    once = penalty.total(code, weights, 4)
    torch.testing.assert_close(penalty.total(code.repeat(5, 1), weights, 4), once)
    mean_of_halves = (penalty.total(code[:4], weights, 4) + penalty.total(code[4:], weights, 4)) / 2
    torch.testing.assert_close(mean_of_halves, once)


@penalties
def test_penalty_has_a_gradient_on_what_it_penalises(penalty):
    code = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = [torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()]
    penalty.total(code, weights, 4).backward()
    penalised, other = (code, weights[0]) if penalty.on == "activity" else (weights[0], code)
    assert (penalised.grad * penalised.detach() > 0).all()  # towards zero
    assert other.grad is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: L1(weight=-1),
            InvalidParameterError,
            r"'weight' parameter of L1 must be a number in \[0, inf\]",
        ),
        (lambda: L1(weight=math.nan), InvalidParameterError, "Got nan instead"),
        (lambda: L2(weight="much"), InvalidTypeError, "Got 'much' instead"),
        (lambda: L1(on="activities"), InvalidParameterError, "Did you mean 'activity'"),
        (lambda: L1(per="batch"), InvalidParameterError, "'row', 'feature'"),
        (lambda: Elastic(l1_ratio=1.5), InvalidParameterError, "'l1_ratio' parameter of Elastic"),
        (lambda: Huber(delta=0), InvalidParameterError, "'delta' parameter of Huber"),
        (lambda: GaussianLikelihood(variance="row"), InvalidParameterError, "'shared', 'feature'"),
        (lambda: GaussianLikelihood(floor=0), InvalidParameterError, "'floor' parameter"),
    ],
)
def test_bad_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@losses
def test_values_that_their_maker_still_needs_are_not_overwritten(loss):
    raw, rows = batch()
    parameters = learnt(loss)
    # The sigmoid's own gradient is computed from its result.
    (ours,) = torch.autograd.grad(loss.batch_mean(raw.sigmoid(), rows, parameters, Workspace()), raw)
    (reference,) = torch.autograd.grad(loss.per_row(raw.sigmoid(), rows, parameters).mean(), raw)
    torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-14)
