"""Scores of rows: what a perfect reconstruction is worth, and what lies outside of what a loss is for."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import torch
from sklearn.metrics import roc_auc_score

from helpers import LOSSES, by_name
from isthmus import Autoencoder, RestrictedBoltzmannMachine, VariationalAutoencoder
from isthmus.errors import DataError
from isthmus.objectives import (
    BinaryCrossEntropy,
    DiscretizedLogistic,
    NegativeBinomial,
    PoissonLikelihood,
)

losses = pytest.mark.parametrize("loss", LOSSES, ids=by_name)
limited = pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.support != "real"], ids=by_name)

#: Values of all sizes that each kind of loss is meant for.
SUITABLE = {
    "real": [-30.0, -1.0, 0.0, 1e-3, 0.5, 2.0, 1e3],
    "unit": [0.0, 1 / 16, 0.02, 0.25, 0.5, 0.98, 1.0],
    "counts": [0.0, 1.0, 2.0, 7.0, 50.0, 1e3, 1e6],
}


#: Losses whose least value depends on what they have learnt, and not on the row.
DENSITIES = {"gaussian", "laplace"}


def learnt(loss, features):
    """Return what the loss learns, moved away from its start and different in each feature."""
    start = loss.parameters(features)
    return {name: value.double() + 0.2 * torch.arange(len(value)) for name, value in start.items()}


def exact_pre_activations(loss, rows):
    """Return pre-activations whose link gives the rows."""
    if loss.name == "bce":
        return torch.logit(rows).clamp(-800, 800)
    return rows.log().clamp(min=-800) if loss.support == "counts" else rows


# The loss beyond that of a perfect reconstruction


@losses
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_perfect_reconstruction_has_no_excess_whatever_the_row(loss, dtype):
    rows = torch.tensor([SUITABLE[loss.support]], dtype=dtype).T.expand(-1, 5)
    parameters = {name: value.to(dtype) for name, value in learnt(loss, 5).items()}
    exact = exact_pre_activations(loss, rows)
    torch.testing.assert_close(loss.link(exact), rows)
    excess = loss.excess_per_row(exact, rows, parameters)
    if loss.name in DENSITIES:
        excess = excess - excess[0]  # the greatest density, which depends on the spread alone
    assert (excess >= 0).all()
    assert (excess < 1e-4 * (1 + rows.abs().sum(1)) * torch.finfo(dtype).eps ** 0.5).all()
    for error in (-1.0, -0.3, 0.3, 1.0):  # and nothing is better
        worse = loss.excess_per_row(exact + error, rows, parameters)
        assert (worse >= loss.excess_per_row(exact, rows, parameters)).all()


@losses
def test_the_excess_is_the_loss_less_its_least_value(loss):
    rows = torch.tensor([SUITABLE[loss.support]], dtype=torch.float64)
    parameters = learnt(loss, rows.shape[1])
    exact = exact_pre_activations(loss, rows)
    best = loss.per_value(exact, rows, parameters)
    for error in (0.0, 0.2, 1.0, 30.0):  # away from where a logistic saturates
        away = exact + (error if loss.name != "logistic" else error * torch.where(rows < 0.5, 1.0, -1.0))
        expected = loss.per_value(away, rows, parameters) - best
        excess = loss.excess_per_value(away, rows, parameters)
        torch.testing.assert_close(loss.excess_per_row(away, rows, parameters), excess.sum(1))
        if loss.name in DENSITIES:
            excess = excess - best
        torch.testing.assert_close(excess, expected, rtol=1e-7, atol=1e-9)


@losses
def test_what_is_missing_has_no_excess(loss):
    rows = torch.tensor([SUITABLE[loss.support]] * 2, dtype=torch.float64)
    parameters = learnt(loss, rows.shape[1])
    whole = loss.excess_per_value(torch.ones_like(rows), rows, parameters)
    rows[0, 2:] = torch.nan
    excess = loss.excess_per_row(torch.ones_like(rows), rows, parameters, gaps=True)
    torch.testing.assert_close(excess, torch.stack([whole[0, :2].sum(), whole[1].sum()]))


def test_the_excess_is_the_divergence_and_the_deviance_of_scipy():
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(200, 3, generator=generator, dtype=torch.float64)
    outputs = 5 * torch.randn(200, 3, generator=generator, dtype=torch.float64)
    p, x = torch.sigmoid(outputs).numpy(), rows.numpy()
    expected = scipy.special.rel_entr(x, p) + scipy.special.rel_entr(1 - x, 1 - p)
    np.testing.assert_allclose(BinaryCrossEntropy().excess_per_value(outputs, rows), expected, rtol=1e-9)
    counts = (100 * rows).round()
    excess = PoissonLikelihood().excess_per_value(outputs, counts).numpy()
    np.testing.assert_allclose(
        excess, scipy.special.kl_div(counts.numpy(), np.exp(outputs.numpy())), rtol=1e-9
    )


def test_the_excess_of_a_negative_binomial_tends_to_that_of_a_poisson():
    rows, outputs = torch.tensor([[0.0, 1.0, 40.0]]).double(), torch.tensor([[0.3, 1.0, 3.0]]).double()
    excess = NegativeBinomial().excess_per_value(
        outputs, rows, {"log_dispersion": torch.tensor([25.0]).double()}
    )
    torch.testing.assert_close(excess, PoissonLikelihood().excess_per_value(outputs, rows), rtol=1e-6, atol=0)


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), NegativeBinomial()], ids=by_name)
@pytest.mark.parametrize("output", [-1e4, -100.0, 100.0, 1e4])
def test_the_excess_of_extreme_reconstructions_is_finite(loss, output):
    rows = torch.tensor([SUITABLE[loss.support]])
    parameters = {name: value.float() for name, value in learnt(loss, rows.shape[1]).items()}
    excess = loss.excess_per_value(torch.full_like(rows, output), rows, parameters)
    assert (excess.isfinite() & (excess >= 0)).all()


# Outside of what the loss is for


@limited
def test_moving_further_outside_never_lowers_the_loss(loss):
    distances = torch.tensor([0.0, 1e-6, 0.01, 0.1, 1.0, 50.0, 1e4], dtype=torch.float64)[:, None]
    inside = {"unit": [(0.0, -1), (1.0, 1)], "counts": [(0.0, -1)]}[loss.support]
    for end, direction in inside:
        rows = end + direction * distances
        for output in (-6.0, 0.0, 1.0, 6.0):
            outputs = torch.full_like(rows, output)
            for loss_of in (loss.per_row, loss.excess_per_row):
                values = loss_of(outputs, rows, learnt(loss, 1))
                assert values.isfinite().all()
                assert (values.diff() >= 0).all()
            assert values[-1] > values[0] + 1e6


@limited
def test_inside_nothing_is_added(loss):
    rows = torch.tensor([SUITABLE[loss.support]])
    assert loss.nearest(rows).equal(rows)
    assert not loss.beyond(rows).any()


def test_the_cross_entropy_never_rewards_what_is_outside():
    """A cross-entropy that is not continued falls without end: a large value likes a large output."""
    rows, outputs = torch.tensor([[1.5], [300.0]]), torch.full((2, 1), 20.0)
    torch.testing.assert_close(BinaryCrossEntropy().per_row(outputs, rows), torch.tensor([0.5, 2 * 299.0**2]))


# What estimators make of it


def greys(level, n, seed):
    return np.clip(level + 0.002 * np.random.default_rng(seed).normal(size=(n, 30)), 0, 1)


def test_scores_do_not_rank_by_greyness():
    """Normal rows are dark or grey; outliers are dark in one half and lighter in the other."""
    normal = np.r_[greys(0.02, 200, 0), greys(0.5, 200, 1)]
    outliers = greys(0.02, 60, 2)
    outliers[:, ::2] += 0.28
    model = Autoencoder(2, loss="bce", scale="none", epochs=60, random_state=0, code_activation="identity")
    model.fit(normal)
    scores = np.r_[model.score_samples(normal), model.score_samples(outliers)]
    is_normal = np.r_[np.ones(len(normal)), np.zeros(len(outliers))]
    assert (scores <= 0).all()
    assert roc_auc_score(is_normal, scores) > 0.99
    dark, grey = -scores[:200].mean(), -scores[200:400].mean()
    assert max(dark, grey) < 3  # nats of 30 values; the entropy of a grey row alone is 20.8


@pytest.mark.parametrize("loss", ["poisson", "negative-binomial"])
def test_scores_do_not_rank_by_the_size_of_counts(loss):
    random = np.random.default_rng(0)
    level = np.where(np.arange(600) < 300, 3.0, 300.0)[:, None]
    shares = random.dirichlet(np.ones(2), 600) @ random.dirichlet(np.ones(20), 2) * 20
    X = random.poisson(level * shares).astype(float)
    outliers = X[::6][:, random.permutation(20)]
    model = Autoencoder(3, loss=loss, epochs=60, random_state=0).fit(X)
    large = np.arange(0, 600, 6) >= 300
    assert (
        roc_auc_score(
            np.r_[np.ones(300), np.zeros(50)],
            np.r_[model.score_samples(X[300:]), model.score_samples(outliers[large])],
        )
        > 0.95
    )
    assert (model.score_samples(X) <= 0).all()
    assert model.history_[-1]["loss"] > -model.score_samples(X).mean() + 10  # which has the constants


@pytest.fixture(scope="module")
def on_unit_interval(digits):
    return Autoencoder(8, loss="bce", epochs=3, random_state=0).fit(digits[0])


def test_a_value_just_outside_has_a_score_and_lowers_it_the_more(on_unit_interval, digits):
    rows = np.repeat(digits[1][:1], 6, axis=0)
    rows[:, 20] = [1.0, 1.001, 1.13, 2.0, 100.0, 1e30]
    scores = on_unit_interval.score_samples(rows)
    assert (np.diff(scores) < 0).all()
    assert np.isfinite(scores).all()
    assert scores[0] - scores[2] == pytest.approx(2 * 0.13**2, rel=1e-6)
    rows[:, 20] = [0.0, -0.001, -0.13, -2.0, -100.0, -1e30]
    assert (np.diff(on_unit_interval.score_samples(rows)) < 0).all()


def test_rows_whose_loss_overflows_get_the_lowest_number():
    X = np.random.default_rng(0).normal(size=(60, 4))
    model = Autoencoder(2, epochs=1, random_state=0).fit(X)
    with np.errstate(all="raise"), pytest.warns(UserWarning, match="range of the training data|reached"):
        scores = model.score_samples(np.r_[X[:3], np.full((9, 4), 1e300)])
    assert np.isfinite(scores).all()
    assert scores[3:].max() < scores[:3].min()


@pytest.mark.parametrize(
    "model", [Autoencoder, VariationalAutoencoder, RestrictedBoltzmannMachine], ids=by_name
)
def test_validation_rows_may_lie_outside(model, digits):
    train, test = digits
    outside = test.copy()
    outside[:, 20] = 1.5
    at_the_end = test.copy()
    at_the_end[:, 20] = 1.0
    known = model().get_params()
    settings = {"epochs": 2, "random_state": 0, **({"loss": "bce"} if "loss" in known else {})}
    far, near = (
        model(8, **settings).fit(train, validation_data=rows).history_[-1]["validation_loss"]
        for rows in (outside, at_the_end)
    )
    assert np.isfinite(far)
    assert far > near + 0.2  # 2 * 0.5**2, and a little for the code, which differs
    fitted = model(8, **settings).fit(train)
    assert np.isfinite(fitted.score_samples(outside)).all()
    assert fitted.score_samples(outside).mean() < fitted.score_samples(at_the_end).mean()


def test_the_energy_of_a_machine_rises_outside(digits):
    machine = RestrictedBoltzmannMachine(8, epochs=1, random_state=0).fit(digits[0])
    rows = np.repeat(digits[1][:1], 4, axis=0)
    for ends in ([1.0, 1.5, 2.0, 9.0], [0.0, -0.5, -1.0, -8.0]):
        rows[:, 20] = ends
        energies = machine.free_energy(rows)
        np.testing.assert_allclose(energies - energies[0], 2 * np.square([0, 0.5, 1, 8]), rtol=1e-9)


def test_training_rows_outside_are_still_refused(digits, on_unit_interval):
    outside = digits[0][:100].copy()
    outside[3, 5] = 1.13
    words = r"X of Autoencoder has \(scaled\) values from 0 to 1.13, but loss='bce' is defined only between"
    with pytest.raises(DataError, match=words):
        Autoencoder(8, loss="bce", scale="none", epochs=1).fit(outside)
    model = Autoencoder(8, loss="bce", epochs=1, random_state=0).partial_fit(digits[0])
    before = model.transform(digits[0])
    with pytest.raises(DataError, match=words):
        model.partial_fit(outside)
    np.testing.assert_array_equal(model.transform(digits[0]), before)


# Counts


@pytest.mark.parametrize("loss", ["poisson", "negative-binomial"])
def test_counts_are_whole_numbers(loss):
    X = np.random.default_rng(0).poisson(3, (60, 4)).astype(float)
    for dtype in (float, np.float32, np.int64, np.uint8):
        Autoencoder(2, loss=loss, epochs=1, random_state=0).fit(X.astype(dtype))
    model = Autoencoder(2, loss=loss, epochs=1, random_state=0).fit(X + 1e-7)
    fractions = X.copy()
    fractions[7, 2] = 2.37
    words = (
        rf"X of Autoencoder has the \(scaled\) value 2.37 in row 7, column 2, but loss='{loss}' is for counts"
    )
    for method in (Autoencoder(2, loss=loss, epochs=1).fit, model.partial_fit):
        with pytest.raises(DataError, match=words):
            method(fractions)
    assert np.isfinite(model.score_samples(fractions)).all()  # later rows are only scored
    fractions[7, 2] = -4.0
    assert np.isfinite(model.transform(fractions)).all()
    assert model.score_samples(fractions).argmin() == 7


def test_counts_name_their_column():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"genes": [1.0, 2.0, 3.0], "shares": [0.0, 1.0, 0.25], "more": [1.0, 0.0, 2.0]})
    with pytest.raises(DataError, match=r"value 0.25 in row 2, column 'shares'"):
        Autoencoder(1, loss="negative-binomial", epochs=1).fit(frame)
    with pytest.raises(DataError, match=r"\(scaled\) value 0.\d+ in row"):
        Autoencoder(1, loss="poisson", scale="minmax", epochs=1).fit(np.arange(12.0).reshape(4, 3))


def test_levels_of_a_logistic_have_no_excess_of_their_own():
    loss, parameters = DiscretizedLogistic(levels=17), {"log_scale": torch.tensor([-1.0])}
    rows = torch.tensor([[0.0], [0.5], [1.0]])
    assert not loss.excess_per_row(rows, rows, parameters).any()
    assert not loss.excess_per_row(torch.tensor([[-3.0], [0.5], [4.0]]), rows, parameters).any()
