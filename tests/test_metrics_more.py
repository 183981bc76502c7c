"""Images, neighbours, probes, rates and intervals against scikit-learn, by hand, and by their own laws."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.manifold import trustworthiness as reference_trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from isthmus import metrics
from isthmus.errors import DataError, InvalidParameterError

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits():
    return load_digits().data / 16, load_digits().target


@pytest.fixture(scope="module")
def codes(digits):
    return PCA(2).fit_transform(digits[0])


@pytest.mark.parametrize("k", [1, 5, 12])
def test_trustworthiness_is_scikit_learns(k):
    X, places = RNG.normal(size=(400, 6)), RNG.normal(size=(400, 2))
    places[:, 0] += X[:, 0]
    ours = metrics.trustworthiness(X, places, n_neighbors=k)
    assert ours == pytest.approx(reference_trustworthiness(X, places, n_neighbors=k), abs=1e-12)
    back = metrics.continuity(X, places, n_neighbors=k)
    assert back == pytest.approx(reference_trustworthiness(places, X, n_neighbors=k), abs=1e-12)


def test_trustworthiness_in_blocks_is_the_same(monkeypatch, digits, codes):
    whole = metrics.trustworthiness(digits[0][:300], codes[:300])
    monkeypatch.setattr("isthmus.metrics.embeddings.BLOCK_DISTANCES", 1000)
    assert metrics.trustworthiness(digits[0][:300], codes[:300]) == pytest.approx(whole, abs=1e-12)


def test_a_map_that_keeps_everything_is_trusted_and_a_shuffled_one_is_not():
    X = RNG.normal(size=(300, 3))
    assert metrics.trustworthiness(X, 7 * X) == 1
    assert metrics.trustworthiness(X, RNG.permutation(X)) < 0.6


@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_are_scikit_learns(digits, k):
    X, y = digits
    ours = metrics.neighbors_accuracy(X[:900], y[:900], X[900:], y[900:], n_neighbors=k)
    assert ours == pytest.approx(
        KNeighborsClassifier(k).fit(X[:900], y[:900]).score(X[900:], y[900:]), abs=2e-3
    )
    assert metrics.neighbors_accuracy(X, y) > 0.98


def test_leaving_one_out_does_not_find_oneself():
    X = np.arange(10.0)[:, None]
    assert metrics.neighbors_accuracy(X, np.arange(10) % 2) == 0  # every neighbour is of the other class


def test_probe_silhouette_and_clusters(digits, codes):
    X, y = digits
    assert 0.9 < metrics.linear_probe(X[:900], y[:900], X[900:], y[900:]) < 1
    assert metrics.silhouette(codes, y) == pytest.approx(silhouette_score(codes, y), abs=1e-9)
    blobs = np.repeat(np.eye(3) * 50, 20, axis=0) + RNG.normal(size=(60, 3))
    assert metrics.v_measure(blobs, np.repeat(["a", "b", "c"], 20)) == pytest.approx(1)
    assert metrics.v_measure(RNG.normal(size=(500, 3)), RNG.integers(3, size=500)) < 0.05


def test_separability_is_what_lda_makes_largest(digits):
    X, y = digits
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=None)
    X = X[:, X.std(axis=0) > 0.05]
    projected = lda.fit(X, y).transform(X)
    assert metrics.class_separability(projected, y) == pytest.approx(
        metrics.class_separability(X, y), rel=1e-6
    )
    assert metrics.class_separability(PCA(9).fit_transform(X), y) < metrics.class_separability(projected, y)


def test_separability_does_not_mind_linear_maps(digits, codes):
    mixed = codes @ np.array([[2.0, 1.0], [-1.0, 30.0]]) + 5
    y = digits[1]
    assert metrics.class_separability(mixed, y) == pytest.approx(metrics.class_separability(codes, y))
    assert metrics.class_separability([[0.0], [0.0], [1.0]], [0, 0, 1]) == np.inf


def naive_ssim(x, y):
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    found = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (image[top : top + 11, left : left + 11] for image in (x, y))
            ma, mb = (window * a).sum(), (window * b).sum()
            va, vb = (window * a * a).sum() - ma**2, (window * b * b).sum() - mb**2
            cov = (window * a * b).sum() - ma * mb
            c1, c2 = 0.01**2, 0.03**2
            found.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return np.mean(found)


def test_ssim_is_what_a_double_loop_finds():
    X = RNG.random((3, 17, 14))
    Y = np.clip(X + RNG.normal(0, 0.2, X.shape), 0, 1)
    expected = np.mean([naive_ssim(x, y) for x, y in zip(X, Y, strict=True)])
    assert metrics.structural_similarity(X, Y) == pytest.approx(expected, abs=1e-10)
    assert metrics.structural_similarity(X[:, None], Y[:, None]) == pytest.approx(expected, abs=1e-10)
    assert metrics.structural_similarity(255 * X, 255 * Y, data_range=255) == pytest.approx(
        expected, abs=1e-10
    )


def test_ssim_sees_structure_where_squares_do_not():
    X = np.kron(RNG.random((1, 8, 8)), np.ones((1, 4, 4)))
    darker, noisy = X * 0.8, X + RNG.normal(0, np.sqrt(((0.2 * X) ** 2).mean()), X.shape)
    assert metrics.structural_similarity(X, darker) > metrics.structural_similarity(X, noisy) + 0.05


def test_multiscale_ssim():
    X = RNG.random((2, 176, 180))
    Y = X + RNG.normal(0, 0.1, X.shape)
    assert metrics.multiscale_structural_similarity(X, X) == pytest.approx(1)
    one = metrics.multiscale_structural_similarity(X, Y, scales=1)
    assert one == pytest.approx(metrics.structural_similarity(X, Y), abs=1e-12)
    worse = X + RNG.normal(0, 0.3, X.shape)
    five = [metrics.multiscale_structural_similarity(X, other) for other in (Y, worse)]
    assert 1 > five[0] > five[1] > 0
    with pytest.raises(DataError, match="at least 176 by 176"):
        metrics.multiscale_structural_similarity(X[:, :100], Y[:, :100])
    with pytest.raises(InvalidParameterError, match="'scales'"):
        metrics.multiscale_structural_similarity(X, Y, scales=6)


def test_psnr_by_hand():
    X = np.zeros((2, 50))
    assert metrics.peak_signal_to_noise(X, X + 0.1) == pytest.approx(20)
    assert metrics.peak_signal_to_noise(X, X + 25.5, data_range=255) == pytest.approx(20)
    assert metrics.peak_signal_to_noise(X, X) == np.inf


def test_bd_rate_of_a_fifth_less_and_of_itself():
    errors = np.array([8.0, 4.0, 2.0, 1.0, 0.3])
    rates = np.array([50.0, 90.0, 200.0, 500.0, 900.0])
    assert metrics.bjontegaard_rate(rates, errors, rates, errors) == pytest.approx(0)
    assert metrics.bjontegaard_rate(0.8 * rates, errors, rates, errors) == pytest.approx(-0.2)
    assert metrics.bjontegaard_rate(rates[::-1], errors[::-1], 0.5 * rates, errors) == pytest.approx(1)
    with pytest.raises(DataError, match="no error in common"):
        metrics.bjontegaard_rate(rates, errors, rates, errors / 1000)
    with pytest.raises(DataError, match="positive"):
        metrics.bjontegaard_rate([0, 1], [1, 2], [1, 2], [1, 2])


def test_codes_by_hand():
    assert metrics.sparsity(np.eye(5)) == pytest.approx(1)
    assert metrics.sparsity(np.ones((3, 5)) * 1e-200) == pytest.approx(0)
    assert metrics.sparsity(np.zeros((3, 5))) == 1
    assert metrics.active_units(RNG.normal(0, [0.0, 0.05, 0.2, 3], size=(1000, 4))) == 2
    assert metrics.perplexity(np.zeros((4, 2), dtype=int)) == 1
    assert metrics.perplexity([0] * 90 + [1] * 10) == pytest.approx(np.exp(0.325083))
    with pytest.raises(DataError, match="whole numbers"):
        metrics.perplexity([0.5])


def test_intervals_cover_what_they_say():
    covered = 0
    for seed in range(200):
        low, high = metrics.bootstrap_interval(
            np.random.default_rng(seed).exponential(size=80), n_resamples=400
        )
        covered += low <= 1 <= high
    assert 0.87 < covered / 200 < 0.98


def test_pairs_make_an_interval_narrow():
    hard = RNG.exponential(size=2000)  # what makes a row hard for both
    ours, theirs = 0.6 * hard * RNG.uniform(0.95, 1.05, 2000), hard
    low, high = metrics.ratio_interval(ours, theirs)
    assert 0.59 < low < 0.6 < high < 0.61
    assert (low, high) == metrics.ratio_interval(ours, theirs)
    apart = metrics.ratio_interval(ours, RNG.permutation(theirs))
    assert apart[1] - apart[0] > 5 * (high - low)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.trustworthiness(np.ones((9, 2)), np.ones((9, 2))), "more than 24 rows"),
        (lambda: metrics.trustworthiness(np.ones((9, 2)), np.ones((8, 2))), "9 rows and 8 codes"),
        (lambda: metrics.neighbors_accuracy(np.ones((9, 2)), np.ones(9)), "one class"),
        (lambda: metrics.silhouette(np.ones((9, 2)), np.arange(8)), "one for each of 9"),
        (lambda: metrics.v_measure(np.full((9, 2), np.nan), np.arange(9)), "NaN"),
        (lambda: metrics.linear_probe([[0.0], [1.0]], [0, 1], [[0.0]], [0, 1]), "1 test codes"),
        (lambda: metrics.neighbors_accuracy([[0.0], [1.0]], [0, 1], n_neighbors=2), "more than 2"),
        (lambda: metrics.structural_similarity(np.ones((2, 5, 5)), np.ones((2, 5, 5))), "11 by 11"),
        (lambda: metrics.ratio_interval([1.0], [0.0]), "not all zero"),
        (lambda: metrics.bootstrap_interval([]), "finite number for each row"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(DataError, match=message):
        call()
