"""Rows wildly outside the range of the training data: one warning, and none for ordinary outliers."""

from __future__ import annotations

import io
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import MinMaxScaler

from isthmus import (
    Autoencoder,
    Compressor,
    DenoisingAutoencoder,
    PretrainedClassifier,
    RestrictedBoltzmannMachine,
    VariationalAutoencoder,
    load,
)
from isthmus.cli import main
from isthmus.errors import DataRangeWarning, ModelFileError
from isthmus.estimators._training_range import SAMPLE_ROWS, TrainingRange

pytestmark = pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")

random = np.random.default_rng(0)

#: Tables, and whether all their columns are in one unit.
TABLES = {
    "wine": (load_wine().data, False),
    "breast cancer": (load_breast_cancer().data, False),
    "iris": (load_iris().data, False),
    "diabetes": (load_diabetes().data, False),
    "money": (np.exp(random.normal([3, 7, 11], 1.0, (900, 3))), False),
    "heavy tails": (np.exp(random.normal(0, 2.0, (900, 12))), False),
    "t, 2 degrees of freedom": (random.standard_t(2, (900, 12)), False),
    "Cauchy": (random.standard_cauchy((900, 12)), False),
    "sparse counts": (random.poisson(random.gamma(0.1, 1.0, (600, 60))).astype(float), False),
    "categories": (
        np.c_[np.eye(9)[random.integers(0, 9, 500)], random.normal(size=(500, 2)) * [1, 1e4]],
        False,
    ),
}


def halves(X, seed):
    order = np.random.default_rng(seed).permutation(len(X))
    return X[order[: len(X) // 2]], X[order[len(X) // 2 :]]


def is_reported(known, rows):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        known.warn_of(rows, "X of Test", None)
    return bool(caught)


# What is known alone


@pytest.mark.parametrize("name", [*TABLES, "digits", "digits as a table"])
@pytest.mark.parametrize("n_rows", [1, 3, 10, 10_000])
def test_held_out_rows_are_not_reported(name, n_rows, digits):
    X, together = TABLES.get(name, (np.concatenate(digits), name == "digits"))
    alarms = [
        is_reported(TrainingRange.of(train, together=together), test[:n_rows])
        for train, test in (halves(X, seed) for seed in range(100))
    ]
    assert sum(alarms) == 0


@pytest.mark.parametrize("n_rows", [2, 10, 40])
def test_a_range_of_few_rows_is_not_trusted(n_rows, digits):
    for X in (np.concatenate(digits) * 255, TABLES["money"][0], TABLES["wine"][0]):
        for seed in range(30):
            train, test = halves(X, seed)
            assert not is_reported(TrainingRange.of(train[:n_rows], together=False), test)


@pytest.mark.parametrize("name", [*TABLES, "digits", "digits as a table"])
@pytest.mark.parametrize("factor", [255, 1000, 1e6, 1 / 255, 1 / 1000])
def test_another_unit_for_all_columns_is_reported(name, factor, digits):
    X, together = TABLES.get(name, (np.concatenate(digits), name == "digits"))
    for seed in range(5):
        train, test = halves(X, seed)
        assert is_reported(TrainingRange.of(train, together=together), test * factor)


@pytest.mark.parametrize("name", ["wine", "breast cancer", "iris", "diabetes", "money"])
@pytest.mark.parametrize("factor", [255, 1000, -1000, 1 / 1000])
def test_another_unit_for_one_column_is_reported(name, factor):
    X = TABLES[name][0]
    train, test = halves(X, 0)
    for column in range(X.shape[1]):
        changed = test.copy()
        changed[:, column] *= factor
        assert is_reported(TrainingRange.of(train, together=False), changed)


@pytest.mark.parametrize("name", ["wine", "breast cancer", "money"])
def test_raw_rows_for_a_model_of_scaled_ones_and_swapped_columns_are_reported(name):
    X = TABLES[name][0]
    train, test = halves(X, 0)
    mean, std = train.mean(0), train.std(0)
    assert is_reported(TrainingRange.of((train - mean) / std, together=False), test)
    assert is_reported(TrainingRange.of(train, together=False), (test - mean) / std)
    assert is_reported(TrainingRange.of(train, together=False), test[:, ::-1])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2])
def test_outliers_among_other_rows_are_not_reported(share, digits):
    train, test = digits
    changed = test.copy()
    changed[: int(share * len(test))] *= 255
    for together in (True, False):
        assert not is_reported(TrainingRange.of(train, together=together), changed)


def test_what_is_the_same_in_every_unit_is_not_reported(digits):
    known = TrainingRange.of(digits[0], together=True)
    assert not is_reported(known, np.zeros((50, 64)))
    assert not is_reported(known, np.repeat(digits[1][:1], 50, axis=0))
    constant = TrainingRange.of(np.zeros((90, 3)), together=False)
    assert not is_reported(constant, np.eye(3)[random.integers(0, 3, 100)])  # categories not seen before
    assert is_reported(constant, np.full((20, 3), 50.0))


def test_gaps_are_left_aside():
    X = random.normal(size=(200, 4))
    X[random.random(X.shape) < 0.4] = np.nan
    X[:, 3] = np.nan
    known = TrainingRange.of(X[:100], together=False)
    assert not is_reported(known, X[100:])
    assert is_reported(known, X[100:] * 1000)


def test_any_finite_values_can_be_compared():
    for size in (1e-300, 1e300, 1.5e308):
        X = size * random.choice([-1, 1], (60, 3)) * random.random((60, 3))
        assert not is_reported(TrainingRange.of(X[:30], together=False), X[30:])
        restored = TrainingRange.from_dict(
            json.loads(json.dumps(TrainingRange.of(X, together=False).to_dict())), 3
        )
        np.testing.assert_array_equal(restored.high, X.max(0))


def test_few_of_many_rows_are_looked_at(monkeypatch):
    """Not all: that would take longer than the network does."""
    X = random.random((20_000, 10))
    known = TrainingRange.of(X, together=True)
    seen = []
    original = TrainingRange._shrunk
    monkeypatch.setattr(
        TrainingRange, "_shrunk", lambda self, sample: (seen.append(len(sample)), original(self, sample))[1]
    )
    assert not is_reported(known, X)
    assert seen
    assert seen[0] <= SAMPLE_ROWS


# What estimators say


def test_bytes_for_a_model_of_shares_are_named(digits):
    train, test = digits
    model = Autoencoder(8, epochs=2, random_state=0).fit(train)
    words = r"X of Autoencoder has values up to 255 where the training data reached 1. Were they divided by 255 before"
    with pytest.warns(DataRangeWarning, match=words):
        model.transform(np.rint(test * 255).astype(np.uint8))
    model = Autoencoder(8, epochs=2, random_state=0).fit(np.rint(train * 255).astype(np.uint8))
    words = (
        r"has values up to 1 where the training data reached 255. Were these divided by 255, and the training"
    )
    with pytest.warns(DataRangeWarning, match=words):
        model.transform(test)


def test_a_column_in_another_unit_is_named():
    wine = load_wine(as_frame=True).data
    model = Autoencoder(2, epochs=2, random_state=0).fit(wine[::2])
    moved = wine[1::2].assign(magnesium=wine["magnesium"] * 1000)
    words = r"values from \d.* to .* where the training data had .* to .* in column 'magnesium'. Is it in another unit"
    with pytest.warns(DataRangeWarning, match=words):
        model.score_samples(moved)
    swapped = wine[1::2].copy()
    swapped[["ash", "proline"]] = swapped[["proline", "ash"]].to_numpy()
    with pytest.warns(DataRangeWarning, match=r"in 2 columns, such as column 'ash': .* in the same order"):
        model.score(swapped)


METHODS = ("transform", "reconstruct", "score", "score_samples", "partial_fit")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_warns_once_and_names_the_callers_line(method, digits):
    train, test = digits
    for container in ("default", "pandas"):
        model = (
            Autoencoder(4, epochs=1, random_state=0, loss="mse").fit(train).set_output(transform=container)
        )
        call = getattr(model, method)
        with pytest.warns(DataRangeWarning) as caught:
            call(test * 255)
        assert [warning.category for warning in caught] == [DataRangeWarning]
        assert caught[0].filename == __file__


@pytest.mark.parametrize("method", METHODS)
def test_a_row_of_a_batch_that_is_a_little_outside_is_no_matter(method):
    """A row at 1.13 after MinMaxScaler once made a whole batch unscorable."""
    wine = load_wine().data
    scaler = MinMaxScaler().fit(wine[::3])
    train, test = np.clip(scaler.transform(wine[::3]), 0, 1), scaler.transform(wine[1::3])
    assert test.max() > 1
    model = Autoencoder(3, loss="bce" if method != "partial_fit" else "mse", epochs=2, random_state=0)
    result = getattr(model.fit(train, validation_data=test), method)(test)
    if method != "partial_fit":
        assert np.isfinite(result).all()


def variants(train):
    settings = {"epochs": 1, "random_state": 0}
    vae = VariationalAutoencoder(2, **settings).fit(train)
    machine = RestrictedBoltzmannMachine(4, **settings).fit(train)
    denoiser = DenoisingAutoencoder(4, **settings).fit(train)
    encoder = Autoencoder(4, **settings).fit(train)
    labels = np.arange(len(train)) % 2
    classifier = PretrainedClassifier(FrozenEstimator(encoder), epochs=1, random_state=0).fit(train, labels)
    compressor = Compressor(encoder).fit(train)
    return {
        "elbo": vae.elbo,
        "latent distribution": vae.latent_distribution,
        "interpolate": lambda X: vae.interpolate(X, X),
        "gibbs": machine.gibbs,
        "chain": lambda X: machine.reconstruct(X, 3, random_state=0),
        "energy": machine.free_energy,
        "corrupt": denoiser.corrupt,
        "denoise": denoiser.denoise,
        "classes": classifier.predict_proba,
        "compressed": compressor.compress,
        "compressed in blocks": lambda X: compressor.compress_to([X, X, X], io.BytesIO()),
        "rounded": compressor.transform,
        "another compressor": lambda X: Compressor(encoder, lossless=True).fit(X),
        "validation": lambda X: Autoencoder(4, **settings).fit(train, validation_data=X),
    }


@pytest.mark.filterwarnings("ignore::isthmus.errors.CollapseWarning")
def test_everything_else_that_takes_rows_warns_once(digits):
    train, test = digits
    for name, call in variants(train).items():
        call(test)
        with pytest.warns(DataRangeWarning) as caught:
            call(test * 255)
        found = [warning for warning in caught if warning.category is DataRangeWarning]
        assert [warning.filename for warning in found] == [__file__], name


def test_warnings_as_errors_lose_nothing(digits):
    train, test = digits
    model = Autoencoder(4, epochs=1, random_state=0, loss="mse").fit(train)
    before, history = model.transform(test), list(model.history_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for call in (
            model.transform,
            model.partial_fit,
            lambda X: model.fit(train[:100], validation_data=X),
        ):
            with pytest.raises(DataRangeWarning):
                call(test * 255)
            np.testing.assert_array_equal(model.transform(test), before)
            assert model.history_ == history


def test_a_fit_forgets_the_range_of_the_last_one(digits):
    train, test = digits
    model = Autoencoder(4, epochs=1, random_state=0, loss="mse").fit(train)
    model.fit(train * 255, validation_data=test * 255).transform(test * 255)
    with pytest.warns(DataRangeWarning):
        model.transform(test)


def test_later_batches_widen_the_range(digits):
    train, test = digits
    model = Autoencoder(4, epochs=1, random_state=0, loss="mse").partial_fit(train[:200])
    with pytest.warns(DataRangeWarning):
        model.partial_fit(train[200:600] * 255)
    model.transform(test * 255)
    assert model._training_range.n_rows == 600


def test_images_share_one_range_and_sequences_have_one_for_each_value(digits):
    images = np.concatenate(digits).reshape(-1, 8, 8)
    model = Autoencoder(4, epochs=1, random_state=0).fit(images)
    assert model._training_range.low.shape == (1,)
    with pytest.warns(DataRangeWarning, match="up to 255"):
        model.transform(images * 255)


# What is saved


def test_the_range_is_saved_and_older_models_do_not_warn(digits, tmp_path):
    train = digits[0]
    frame = pd.DataFrame(train * np.linspace(1, 5, 64), columns=[f"c{number}" for number in range(64)])
    for X in (train, frame):
        model = Autoencoder(4, epochs=1, random_state=0).fit(X)
        model.save(tmp_path / "model", overwrite=True)
        again = load(tmp_path / "model")
        for name in ("low", "high", "magnitude"):
            kept = getattr(again._training_range, name)
            np.testing.assert_array_equal(kept, getattr(model._training_range, name))
        with pytest.warns(DataRangeWarning):
            again.transform(X * 1000)
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    without = {name: value for name, value in config.items() if name != "training_range"}
    path.write_text(json.dumps(without))
    older = load(tmp_path / "model")
    older.transform(frame * 1000)
    older.partial_fit(frame)
    older.save(tmp_path / "again")
    load(tmp_path / "again").transform(frame * 1000)
    for damage in (
        {"low": [0.0]},
        {"low": [9.0] * 64, "high": [1.0] * 64},
        {"high": ["much"] * 64},
        {"n_rows": 0},
        {"n_rows": "all"},
        {"magnitude": None},
    ):
        path.write_text(json.dumps({**config, "training_range": {**config["training_range"], **damage}}))
        with pytest.raises(ModelFileError, match="damaged"):
            load(tmp_path / "model")


def test_the_command_line_says_it_in_one_line(digits, tmp_path, capsys, monkeypatch):
    train, test = digits
    Autoencoder(4, epochs=1, random_state=0).fit(train).save(tmp_path / "model")
    np.save(tmp_path / "rows.npy", test * 255)
    codes = tmp_path / "codes.npy"
    command = ["transform", str(tmp_path / "model"), str(tmp_path / "rows.npy"), "-o", str(codes), "--force"]
    for action in ("default", "error"):  # as with PYTHONWARNINGS=error
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            assert main(command) == 0
        said = capsys.readouterr().err
        assert said.count("Warning: X of Autoencoder has values up to 255") == 1
        assert len(np.load(codes)) == len(test)
