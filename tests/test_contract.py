"""scikit-learn's contract: its own checks, and what they leave open."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from helpers import (
    CONFIGURATIONS,
    ESTIMATORS,
    MACHINES,
    SLOW_LEARNERS,
    as_given,
    assert_same_weights,
    by_name,
    linear,
    sse,
    with_slow,
)
from isthmus import Autoencoder, SparseAutoencoder, VariationalAutoencoder
from isthmus.errors import DataError
from isthmus.estimators import _trainer
from isthmus.objectives import L1
from isthmus.training import ResidentBatches

# The models are small and trained for moments; that some units die is not what is tested here.
pytestmark = pytest.mark.filterwarnings(
    "ignore::isthmus.errors.DeadCodeWarning", "ignore::isthmus.errors.CollapseWarning"
)

family = pytest.mark.parametrize("estimator", ESTIMATORS, ids=by_name)
long_family = pytest.mark.parametrize("estimator", with_slow(ESTIMATORS, SLOW_LEARNERS), ids=by_name)

#: Checks that do not hold, by name, each with the reason. None so far.
EXPECTED_FAILURES: dict[str, str] = {}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [estimator(epochs=3) for estimator in ESTIMATORS],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def rows():
    """Return 60 standardised rows that lie near a plane in 8 dimensions."""
    random = np.random.default_rng(0)
    plane = random.normal(size=(60, 2)) @ random.normal(size=(2, 8))
    return plane + 0.1 * random.normal(size=(60, 8))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_clone_keeps_every_parameter(name):
    model = CONFIGURATIONS[name]
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_pickle_gives_the_same_outputs_and_goes_on_learning_alike(name, digits):
    train, test = digits
    model = clone(CONFIGURATIONS[name]).set_params(random_state=0, epochs=2).fit(train[:300])
    model.partial_fit(train[:300])
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(test), model.transform(test))
    assert_same_weights(again.partial_fit(train[300:600]), model.partial_fit(train[300:600]))


def test_codes_in_a_pipeline_carry_the_classes():
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    pipeline = make_pipeline(
        StandardScaler(),
        Autoencoder(16, epochs=20, random_state=0),
        StandardScaler(),
        LogisticRegression(max_iter=500),
    )
    assert pipeline.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.8
    assert list(pipeline[:-1].get_feature_names_out()[:2]) == ["autoencoder0", "autoencoder1"]


def test_grid_search_reaches_into_the_parts(digits):
    grid = {"penalty__weight": [1e-4, 10.0], "optimizer__beta1": [0.5, 0.9]}
    model = Autoencoder(4, penalty="l2", code_activation="identity", epochs=5, random_state=0)
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(digits[0][:400])
    assert search.best_params_["penalty__weight"] == 1e-4
    assert search.best_estimator_.settings_.penalty.weight == 1e-4
    assert search.best_estimator_.settings_.optimizer.beta1 == search.best_params_["optimizer__beta1"]
    # All four differ, so that every setting did arrive.
    assert len(set(search.cv_results_["mean_test_score"])) == 4


def test_nested_parameters_are_listed_and_set():
    model = SparseAutoencoder()
    assert model.get_params()["penalty__weight"] == 1e-4
    assert model.set_params(penalty__weight=0.5).penalty == L1(weight=0.5)
    assert model.set_params(penalty="l2", penalty__on="weights").penalty.on == "weights"
    assert SparseAutoencoder().penalty == L1(weight=1e-4)


@family
def test_codes_as_a_data_frame(estimator, rows):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(rows, columns=list("abcdefgh"), index=np.arange(100, 160))
    model = estimator(2, epochs=2, random_state=0, **linear(estimator)).set_output(transform="pandas")
    codes = model.fit_transform(frame)
    name = estimator.__name__.lower()
    assert list(codes.columns) == list(model.get_feature_names_out()) == [f"{name}0", f"{name}1"]
    assert list(codes.index) == list(frame.index)
    assert list(model.feature_names_in_) == list("abcdefgh")
    np.testing.assert_array_equal(codes, model.set_output(transform="default").transform(frame))
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(frame[list("bacdefgh")])


@long_family
def test_partial_fit_learns(estimator, digits):
    train, test = (as_given(estimator, rows) for rows in digits)
    model = estimator(8, random_state=0, **linear(estimator))
    for _ in range(15):
        for part in np.array_split(train, 4):
            model.partial_fit(part)
    losses = [row["loss"] for row in model.history_]
    untrained = estimator(8, random_state=0, epochs=1, learning_rate=1e-12, **linear(estimator)).fit(train)
    bar = 0.9 if estimator in MACHINES else 0.65  # these are not after reconstructions
    assert np.mean(losses[-4:]) < 0.93 * np.mean(losses[:4])
    assert sse(test, model.reconstruct(test)) < bar * sse(test, untrained.reconstruct(test))
    assert sse(test, model.reconstruct(test)) < sse(test, train.mean(0))
    assert model.n_epochs_ == len(model.history_) == 60
    assert [row["epoch"] for row in model.history_] == list(range(1, 61))


def test_every_pass_of_partial_fit_has_its_own_order(rows, monkeypatch):
    orders = []

    class Recorder(ResidentBatches):
        def epoch(self, number, start=0):
            orders.append(self._order(number, self.seed).tolist())
            return super().epoch(number, start)

    monkeypatch.setattr(_trainer, "ResidentBatches", Recorder)
    model = Autoencoder(2, random_state=0)
    for _ in range(3):
        model.partial_fit(rows)
    assert len({tuple(order) for order in orders}) == len(orders) == 3


TABLE = np.random.default_rng(0).normal(size=(400, 2)) @ np.random.default_rng(1).normal(size=(2, 6))
TABLE = np.array([1e4, 900, 30, 1, 0.02, 0.5]) * (
    TABLE + 0.3 * np.random.default_rng(2).normal(size=(400, 6)) + 5
)


@pytest.mark.parametrize("rows", [TABLE[:1], TABLE[:9], np.repeat(TABLE[:9], 30, axis=0)], ids=len)
@pytest.mark.parametrize(
    "model",
    [
        Autoencoder(2),
        Autoencoder(2, scale="minmax"),
        Autoencoder(2, scale="none"),  # the loss is still open
        Autoencoder(2, scale="none", loss="mse", bottleneck="vq"),
        Autoencoder(2, scale="none", loss="mse", initialization="pca"),
    ],
    ids=str,
)
def test_first_rows_that_are_too_few_are_refused(model, rows):
    model = clone(model)
    with pytest.raises(
        DataError, match=r"first rows given to Autoencoder.partial_fit .* at least 10 different"
    ):
        model.partial_fit(rows)
    assert not hasattr(model, "encoder_")
    model.partial_fit(TABLE[:10]).partial_fit(TABLE[:1])
    assert model.n_epochs_ == 2


@pytest.mark.parametrize(
    ("model", "row"),
    [
        (Autoencoder(2, scale="none", loss="mse"), TABLE[:1]),
        (Autoencoder(2), np.arange(6, dtype=np.uint8)[None]),
        (Autoencoder(2, loss="poisson"), np.arange(6.0)[None]),
    ],
)
def test_a_single_row_will_do_where_nothing_is_left_to_decide(model, row):
    assert clone(model).partial_fit(row).n_epochs_ == 1


@pytest.mark.parametrize("seed", range(3))
def test_ten_first_rows_tell_the_scale_well_enough(seed):
    # With one row the variance that is explained of the standardised columns is -15 to -54.
    rows = TABLE[np.random.default_rng(seed).permutation(len(TABLE))]
    explained = []
    for first in (10, len(rows)):
        model = Autoencoder(2, random_state=0).partial_fit(rows[:first])
        for _ in range(30):
            model.partial_fit(rows)
        errors = (model.reconstruct(rows) - rows) / rows.std(0)
        explained.append(1 - np.square(errors).sum(1).mean() / rows.shape[1])
    assert explained[0] > explained[1] - 0.1 > 0.5


def test_partial_fit_goes_on_from_fit(digits):
    model = Autoencoder(8, epochs=10, random_state=0, code_activation="identity").fit(digits[0])
    before = model.score(digits[0])
    model.partial_fit(digits[0])
    assert model.n_epochs_ == 11
    assert model.score(digits[0]) > before - 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_kept(dtype, rows):
    model = Autoencoder(2, epochs=2, random_state=0).fit(rows.astype(dtype))
    codes = model.transform(rows.astype(dtype))
    assert codes.dtype == dtype
    assert model.inverse_transform(codes).dtype == model.reconstruct(rows.astype(dtype)).dtype == dtype


def test_double_precision_is_double():
    """Rows that only double precision can tell apart have different codes."""
    X = np.random.default_rng(0).random((50, 4))
    model = Autoencoder(2, epochs=2, random_state=0, code_activation="identity", loss="mse").fit(X)
    difference = model.transform(X + 1e-12) - model.transform(X)
    weight = model.encoder_.body[0].weight.detach().numpy().astype(float)
    np.testing.assert_allclose(difference, np.tile(1e-12 * weight.sum(1), (50, 1)), atol=1e-15)


def as_memory_map(rows, folder):
    np.save(folder / "rows.npy", rows)
    return np.load(folder / "rows.npy", mmap_mode="r")


def as_read_only(rows, folder):
    rows = rows.copy()
    rows.flags.writeable = False
    return rows


LAYOUTS = {
    "columns first": lambda rows, folder: np.asfortranarray(rows),
    "every second": lambda rows, folder: np.repeat(np.repeat(rows, 2, axis=0), 2, axis=1)[::2, ::2],
    "backwards": lambda rows, folder: rows[::-1].copy()[::-1],
    "read-only": as_read_only,
    "memory map": as_memory_map,
    "data frame": lambda rows, folder: pytest.importorskip("pandas").DataFrame(
        rows, columns=[f"x{i}" for i in range(rows.shape[1])]
    ),
    "lists": lambda rows, folder: rows.tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_the_input_changes_nothing(layout, rows, tmp_path):
    given = LAYOUTS[layout](rows, tmp_path)
    plain = Autoencoder(2, epochs=3, random_state=0).fit(rows)
    model = Autoencoder(2, epochs=3, random_state=0).fit(given)
    assert_same_weights(model, plain)
    np.testing.assert_array_equal(model.transform(given), plain.transform(rows))
    np.testing.assert_array_equal(model.reconstruct(given), plain.reconstruct(rows))


def test_read_only_single_precision_is_used_in_place_and_unharmed(digits):
    rows = digits[0][:200].astype(np.float32)
    rows.flags.writeable = False
    before = rows.copy()
    model = Autoencoder(4, epochs=2, random_state=0, code_activation="identity").fit(rows)
    assert_same_weights(model, clone(model).fit(before))
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint16, bool])
def test_whole_numbers_are_numbers(dtype):
    X = np.random.default_rng(0).integers(0, 2 if dtype is bool else 100, (40, 5)).astype(dtype)
    model = Autoencoder(2, epochs=2, random_state=0, code_activation="identity").fit(X)
    same = clone(model).fit(X.astype(float))
    assert_same_weights(model, same)
    np.testing.assert_allclose(model.transform(X), same.transform(X.astype(float)), atol=1e-5)


def test_images_keep_their_shape_and_unit(digits):
    pixels = np.rint(digits[0].reshape(-1, 8, 8) * 255).astype(np.uint8)
    model = Autoencoder(16, hidden_layers=(48,), epochs=30, random_state=0).fit(pixels)
    copies = model.inverse_transform(model.transform(pixels))
    assert copies.shape == pixels.shape
    assert copies.min() >= 0
    assert copies.max() <= 255
    assert sse(pixels, copies) < 0.25 * sse(pixels, pixels.mean(0))
    np.testing.assert_array_equal(copies, model.reconstruct(pixels))
    # Flat rows are the same images.
    np.testing.assert_array_equal(model.transform(pixels.reshape(-1, 64)), model.transform(pixels))
    assert model.settings_.loss.name == "bce"


@long_family
def test_one_column(estimator):
    X = np.random.default_rng(0).normal(50, 10, (200, 1))
    model = estimator(1, epochs=60, random_state=0).fit(X)
    assert model.transform(X).shape == (200, 1)
    # A code costs a variational autoencoder more here than it brings: a normal distribution will do.
    # And a Boltzmann machine's Gaussian units are that distribution without any hidden ones.
    modest = estimator in (VariationalAutoencoder, *MACHINES)
    assert model.score(X) > (-0.01 if modest else 0.9)


def test_two_rows():
    X = np.array([[1.0, 20.0, 300.0], [2.0, 10.0, 500.0]])
    model = Autoencoder(1, random_state=0).fit(X)
    np.testing.assert_allclose(model.reconstruct(X), X, rtol=0.05)


@long_family
def test_one_row_at_a_time(estimator, digits):
    train, test = digits
    model = estimator(6, epochs=2, random_state=0).fit(train)
    one_by_one = np.vstack([model.transform(row[None]) for row in test[:20]])
    np.testing.assert_allclose(one_by_one, model.transform(test)[:20], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_codes_do_not_depend_on_the_rows_around(name, dtype, rtol, digits):
    rows = np.vstack([digits[0], digits[0], digits[1]]).astype(dtype)  # more than one block of inference
    model = clone(CONFIGURATIONS[name]).set_params(epochs=1, random_state=0).fit(rows[:500])
    codes = model.transform(rows)
    chosen = np.random.default_rng(0).permutation(len(rows))[:333]
    np.testing.assert_allclose(model.transform(rows[chosen]), codes[chosen], rtol=rtol, atol=rtol)
    copies = model.inverse_transform(codes)
    np.testing.assert_allclose(model.inverse_transform(codes[chosen]), copies[chosen], rtol=rtol, atol=rtol)
