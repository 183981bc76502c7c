"""Metrics against numbers worked out by hand and against scikit-learn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus import metrics
from isthmus.errors import DataError

PAIRWISE = [
    metrics.row_errors,
    metrics.squared_error,
    metrics.mean_squared_error,
    metrics.binary_cross_entropy,
]


@pytest.fixture
def pair():
    random = np.random.default_rng(0)
    return random.random((300, 17)), random.random((300, 17))


def test_squared_errors_by_hand():
    X, Y = [[0, 0, 0], [1, 2, 3]], [[1, 2, 2], [1, 2, 4]]
    assert metrics.row_errors(X, Y).tolist() == [9, 1]
    assert metrics.squared_error(X, Y) == 5
    assert metrics.mean_squared_error(X, Y) == pytest.approx(10 / 6, abs=1e-15)


def test_binary_cross_entropy_by_hand():
    value = metrics.binary_cross_entropy([[1.0, 0.0, 0.25]], [[0.5, 0.75, 0.5]])
    by_hand = (np.log(2) + np.log(4) + np.log(2)) / 3
    assert value == pytest.approx(by_hand, abs=1e-15)


def test_binary_cross_entropy_of_impossible_copies_is_the_margin():
    assert metrics.binary_cross_entropy([[1.0]], [[0.0]]) == pytest.approx(-np.log(1e-7))
    assert metrics.binary_cross_entropy([[0.0]], [[7.0]]) == pytest.approx(-np.log(1e-7))
    assert metrics.binary_cross_entropy([[1.0]], [[7.0]]) == pytest.approx(1e-7)


def test_agrees_with_scikit_learn(pair):
    X, Y = pair
    mse = sklearn.metrics.mean_squared_error(X, Y)
    assert metrics.mean_squared_error(X, Y) == pytest.approx(mse, abs=1e-12)
    assert metrics.squared_error(X, Y) == pytest.approx(mse * 17, abs=1e-12)
    r2 = sklearn.metrics.r2_score(X, Y, multioutput="variance_weighted")
    assert metrics.explained_variance(X, Y, X.mean(axis=0)) == pytest.approx(r2, abs=1e-12)
    binary = (X > 0.5).astype(float)
    log_loss = sklearn.metrics.log_loss(binary.ravel(), Y.ravel())
    assert metrics.binary_cross_entropy(binary, Y) == pytest.approx(log_loss, abs=1e-12)


def test_blocks_do_not_change_the_numbers(pair, monkeypatch):
    X, Y = pair
    codes = np.maximum(X - 0.5, 0)
    whole = [metric(X, Y) for metric in PAIRWISE] + [metrics.code_statistics(codes)]
    monkeypatch.setattr("isthmus.metrics._arrays.BLOCK_VALUES", 40)  # two rows at a time
    parts = [metric(X, Y) for metric in PAIRWISE] + [metrics.code_statistics(codes)]
    for one, other in zip(whole[:-1], parts[:-1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)
    for field in dataclasses.fields(metrics.CodeStatistics):
        np.testing.assert_allclose(getattr(whole[-1], field.name), getattr(parts[-1], field.name), rtol=1e-12)


def test_float32_is_summed_in_float64():
    X = np.full((200_000, 4), 0.1, dtype=np.float32)
    exact = float(np.float32(0.1)) ** 2
    assert metrics.mean_squared_error(X, np.zeros_like(X)) == pytest.approx(exact, rel=1e-13)


def test_rows_may_be_images(pair):
    X, Y = (values[:, :16] for values in pair)
    for metric in PAIRWISE:
        np.testing.assert_array_equal(metric(X.reshape(300, 4, 4), Y.reshape(300, 4, 4)), metric(X, Y))


def test_explained_variance_of_special_copies(pair):
    X, _ = pair
    mean = X.mean(axis=0)
    assert metrics.explained_variance(X, X, mean) == 1
    assert metrics.explained_variance(X, np.tile(mean, (300, 1)), mean) == 0
    constant = np.ones((3, 2))
    assert metrics.explained_variance(constant, constant, [1, 1]) == 1
    assert metrics.explained_variance(constant, constant + 1, [1, 1]) == 0
    with pytest.raises(DataError, match=r"mean has shape \(3,\).*expecting \(17,\)"):
        metrics.explained_variance(X, X, [1, 2, 3])


@pytest.mark.parametrize("metric", PAIRWISE, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        ([[1, 0]], [[1, 0, 0]], r"Y has shape \(1, 3\), but \w+ is expecting \(1, 2\)"),
        ([[1, 0]], [[1, np.nan]], "Y contains NaN or infinity in row 0"),
        ([[1, 0], [np.inf, 0]], [[1, 0], [1, 0]], "X contains NaN or infinity in row 1"),
        ([["a"]], [[1]], "X holds <U1 values"),
        ([[1j]], [[1]], "X holds complex128 values"),
        (np.empty((0, 3)), np.empty((0, 3)), r"X has shape \(0, 3\)"),
        ([1.0, 0.0], [1.0, 0.0], r"X has shape \(2,\)"),
    ],
)
def test_bad_input_is_named(metric, X, Y, message):
    with pytest.raises(DataError, match=message) as caught:
        metric(X, Y)
    assert metric.__name__ in str(caught.value)


def test_binary_cross_entropy_wants_the_unit_interval():
    with pytest.raises(DataError, match=r"X in \[0, 1\], but X holds values from 0 to 255"):
        metrics.binary_cross_entropy([[0, 255]], [[0, 1]])


def test_code_statistics_by_hand():
    codes = np.array([[0, 2, 0, 1], [0, 2, 3, -1], [0, 2, 0, 1], [0, 2, 4, -1]], dtype=np.float32)
    statistics = metrics.code_statistics(codes)
    assert statistics.mean == pytest.approx(15 / 16)
    assert statistics.zeros == pytest.approx(6 / 16)
    assert statistics.active_share.tolist() == [0, 1, 0.5, 1]
    assert statistics.unit_means.tolist() == [0, 2, 1.75, 0]
    np.testing.assert_allclose(statistics.unit_deviations, codes.astype(float).std(axis=0))
    np.testing.assert_allclose(statistics.typical, [0, 2, np.sqrt(12.5), 1])
    assert statistics.dead == (0, 1)


def test_a_unit_that_differs_in_rounding_alone_is_dead():
    codes = np.ones((4, 2), dtype=np.float32)
    codes[0] = np.nextafter(np.float32(1), np.float32(2))
    codes[1, 1] = 1.001
    assert metrics.code_statistics(codes).dead == (0,)
    assert metrics.code_statistics(codes.astype(float)).dead == ()


def test_nothing_is_dead_in_one_row():
    assert metrics.code_statistics([[0.0, 1.0]]).dead == ()
    with pytest.raises(DataError, match="codes contains NaN"):
        metrics.code_statistics([[np.nan]])


@settings(deadline=None, max_examples=50)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(2, 20), st.integers(1, 6)),
        elements=st.floats(-1e3, 1e3, width=32),
    )
)
def test_code_statistics_agree_with_numpy(codes):
    statistics = metrics.code_statistics(codes)
    exact = codes.astype(float)
    assert statistics.mean == pytest.approx(exact.mean(), rel=1e-9, abs=1e-9)
    assert statistics.zeros == pytest.approx((codes == 0).mean())
    np.testing.assert_allclose(statistics.unit_deviations, exact.std(axis=0), rtol=1e-9, atol=1e-9)
    truly_constant = set(np.flatnonzero(np.ptp(exact, axis=0) == 0).tolist())
    assert truly_constant <= set(statistics.dead)
