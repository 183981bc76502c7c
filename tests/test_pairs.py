"""Denoising by pairs: noisy rows and the clean ones that are to be made of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import isthmus
from helpers import ESTIMATORS, as_given, assert_same_weights, by_name
from isthmus import Autoencoder, Checkpoint, DenoisingAutoencoder
from isthmus.errors import (
    CheckpointError,
    DataError,
    DataRangeWarning,
    IgnoredTargetWarning,
    InvalidParameterError,
    InvalidTypeError,
    RestorationWarning,
)
from isthmus.objectives import Masking
from isthmus.training import Autograd, CapturedStep, ResidentBatches, StoredRows
from test_engine import Tape


def error(restored, clean):
    """Return the squared error of a row."""
    return float(np.square(np.asarray(restored, float) - clean).reshape(len(clean), -1).sum(1).mean())


def speckled(crops, random):
    """Return photographs out of focus, with noise that grows with the brightness, in 16 grey values."""
    wide = np.pad(crops, ((0, 0), (1, 1), (1, 1)), mode="edge")
    blurred = sum(wide[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)) / 9
    noisy = blurred * (1 + 0.25 * random.normal(size=blurred.shape))
    return np.round(np.clip(noisy, 0, 1) * 15) / 15


def photographs(random):
    from sklearn.datasets import load_sample_images

    images = [image.mean(axis=2) / 255 for image in load_sample_images().images]
    places = zip(*(random.integers(0, limit, 1600) for limit in (2, 427 - 8, 640 - 8)), strict=True)
    crops = np.stack([images[which][y : y + 8, x : x + 8] for which, y, x in places])
    return speckled(crops, random), crops


def series(random):
    """Return waves, and the same with a drift and spikes."""
    waves = random.uniform(0.5, 2, (1600, 1)) * np.sin(
        2 * np.pi * random.uniform(1, 4, (1600, 1)) * np.linspace(0, 1, 40) + random.uniform(0, 6, (1600, 1))
    )
    drift = np.cumsum(0.25 * random.normal(size=waves.shape), axis=1)
    return waves + drift + 3 * (random.random(waves.shape) < 0.05), waves


def pages(random):
    """Return digits, and the same with strokes that have lost a third of their points."""
    from sklearn.datasets import load_digits

    clean = load_digits().data[:1600] / 16
    return np.where(random.random(clean.shape) < 0.33, 0, clean), clean


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("data", [photographs, series, pages])
def test_pairs_restore_what_the_noise_model_does_not_know(data, seed):
    # Over three seeds: photographs .32 to .35 of .91, and 1.7 without pairs; series 4.5 of 64, and 10.
    noisy, clean = data(np.random.default_rng(seed))
    settings = {"hidden_layers": (48,), "epochs": 25, "loss": "mse", "random_state": seed}
    model = DenoisingAutoencoder(24, **settings).fit(noisy[:1300], clean[:1300])
    without = DenoisingAutoencoder(24, **settings).fit(clean[:1300])
    restored = error(model.denoise(noisy[1300:]), clean[1300:])
    assert restored < 0.6 * error(noisy[1300:], clean[1300:])
    assert restored < 0.95 * error(without.denoise(noisy[1300:]), clean[1300:])
    assert model.denoise(noisy).shape == clean.shape
    share = 1 - restored / np.square(clean[1300:] - clean[1300:].mean(0)).reshape(300, -1).sum(1).mean()
    if data is not series:  # whose columns are scaled
        assert model.score(noisy[1300:], clean[1300:]) == pytest.approx(share, rel=1e-4)


@pytest.fixture(scope="module")
def pair():
    noisy, clean = pages(np.random.default_rng(7))
    return noisy[:320].astype(np.float32), clean[:320].astype(np.float32)


def small(**settings):
    return DenoisingAutoencoder(**{"n_components": 8, "epochs": 3, "random_state": 0, **settings})


def test_the_target_is_what_the_loss_is_of(pair):
    noisy, clean = pair
    model = small(loss="mse", epochs=1, learning_rate=1e-30).fit(noisy, clean, validation_data=pair)
    expected = error(model.denoise(noisy), clean)
    assert model.history_[0]["loss"] == pytest.approx(expected, rel=1e-4)
    assert model.history_[0]["validation_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("hidden", [(), (16,)])
@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_all_ways_to_the_gradient_agree(hidden, loss, pair):
    settings = {"hidden_layers": hidden, "loss": loss, "code_activation": "identity"}
    exact = small(**settings).fit(*pair)
    assert exact.engine_["gradient"] == "closed form"
    plain = small(**settings, compile=False).fit(*pair)
    differentiated = small(**settings, penalty="contractive:weight=0.0").fit(*pair)
    assert differentiated.engine_["gradient"] == "autograd"
    for other in (plain, differentiated):
        np.testing.assert_allclose(other.denoise(pair[0]), exact.denoise(pair[0]), atol=1e-4)


def test_a_recorded_step_has_the_targets_of_its_batch():
    network, tape, seen = torch.nn.Linear(3, 3), Tape(), []
    rows = StoredRows(torch.randn(23, 3), targets=StoredRows(torch.arange(69).view(23, 3).byte(), 3.0))

    def objective(network, batch):
        return {"loss": (network(batch.rows) - batch.targets).square().mean()}

    gradient = Autograd(network, objective)
    step = CapturedStep(lambda batch: {**gradient(batch), "seen": batch.targets.sum()}, tape)
    for batch in ResidentBatches(rows, 4, seed=1).epoch(0):
        seen.append((float(step(batch)["seen"]), float(batch.targets.sum())))
    assert all(found == wanted for found, wanted in seen)
    assert sum(wanted for _, wanted in seen) == pytest.approx(sum(range(69)) / 3)


def test_images_bytes_frames_and_lists_are_the_same_pairs(pair):
    noisy, clean = (np.round(255 * rows).astype(np.uint8) for rows in pair)
    model = small().fit(noisy, clean)
    names = [f"p{n}" for n in range(64)]
    for given in (
        (noisy.reshape(-1, 8, 8), clean.reshape(-1, 8, 8)),
        (pd.DataFrame(noisy, columns=names), pd.DataFrame(clean, columns=names)),
        (torch.from_numpy(noisy), torch.from_numpy(clean)),
        (noisy.reshape(-1, 8, 8), clean),
    ):
        assert_same_weights(model, small().fit(*given))
    assert small().fit(noisy.reshape(-1, 8, 8), clean).denoise(noisy).shape == (320, 8, 8)


def test_the_scaling_is_that_of_the_clean_rows(pair):
    random = np.random.default_rng(0)
    clean = random.normal(size=(400, 6)) * [1, 10, 100, 1e3, 1, 1] + 5
    noisy = clean + random.standard_t(2, size=clean.shape) * [1, 10, 100, 1e3, 1, 1]
    model = DenoisingAutoencoder(3, epochs=2, random_state=0).fit(noisy, clean)
    np.testing.assert_allclose(model.encoder_.scaling.offset, clean.mean(0))
    np.testing.assert_allclose(model.encoder_.scaling.unit, clean.std(0))
    model.denoise(noisy)  # inside the range that was trained on: no warning


def test_gaps_on_either_side(pair):
    noisy, clean = (rows.copy() for rows in pair)
    random = np.random.default_rng(0)
    holes = np.where(random.random(noisy.shape) < 0.2, np.nan, noisy)
    unknown = np.where(random.random(clean.shape) < 0.2, np.nan, clean)
    for X, y in ((holes, clean), (noisy, unknown), (holes, unknown)):
        model = small(missing="mask", loss="mse", epochs=30).fit(X, y)
        assert np.isfinite(model.history_[-1]["loss"])
        assert error(model.denoise(X), clean) < 0.8 * error(noisy, clean)
    with pytest.raises(DataError, match="NaN"):
        small().fit(noisy, unknown)


def test_both_arrays_belong_to_a_checkpoint(pair, tmp_path):
    noisy, clean = pair
    first = small().fit(noisy, clean, validation_data=pair, checkpoint=Checkpoint(tmp_path, every_epochs=1))
    again = small().fit(noisy, clean, validation_data=pair, checkpoint=tmp_path)
    assert_same_weights(first, again)
    other = clean.copy()
    other[3, 5] += 0.25
    with pytest.raises(CheckpointError, match="the values of y differ"):
        small().fit(noisy, other, validation_data=pair, checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match="the targets of validation_data differ"):
        small().fit(noisy, clean, validation_data=(noisy, other), checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match="paired was True"):
        small().fit(noisy, checkpoint=tmp_path)


def test_early_stopping_and_a_share_for_validation_keep_pairs_together(pair):
    model = small(validation_fraction=0.25, patience=2, epochs=40, learning_rate=0.05).fit(*pair)
    assert "validation_loss" in model.history_[0]
    # A model that had lost which row belongs to which could do no better than the mean.
    assert model.score(*pair) > 0.4


def test_training_in_parts(pair, tmp_path):
    noisy, clean = pair
    model = small(loss="mse")
    for _ in range(150):
        model.partial_fit(noisy, clean)
    assert error(model.denoise(noisy), clean) < 0.8 * error(noisy, clean)
    model.save(tmp_path / "model")
    loaded = isthmus.load(tmp_path / "model").partial_fit(noisy, clean)
    assert loaded.settings_.paired
    for trained in (model, loaded):
        with pytest.raises(DataError, match="on pairs so far, and partial_fit got no y of the shape of X"):
            trained.partial_fit(noisy)
    with pytest.raises(DataError, match="without targets so far, and partial_fit got a y of the shape of X"):
        small().fit(clean).partial_fit(noisy, clean)


@pytest.mark.parametrize("initialization", ["pca", "stacked:epochs=1"])
def test_a_start_that_is_trained_knows_the_clean_rows(initialization, pair):
    model = small(
        initialization=initialization, hidden_layers=(16,), activation="silu", loss="mse", epochs=20
    )
    assert error(model.fit(*pair).denoise(pair[0]), pair[1]) < error(*pair)


def test_noise_beside_pairs_is_what_was_asked_for(pair):
    assert small().fit(*pair).settings_.noise is None
    assert small(noise=Masking(0.1)).fit(*pair).settings_.noise == Masking(0.1)
    with pytest.raises(
        InvalidParameterError, match=r"'noise' .* leaves the targets as they are. Got 'binarization'"
    ):
        small(noise="binarization", loss="bce").fit(*pair)
    with pytest.raises(InvalidParameterError, match="noise"):
        small().fit(*pair).corrupt(pair[1])


def test_a_wide_code_may_learn_from_pairs(pair):
    assert small(n_components=80).fit(*pair).transform(pair[0]).shape == (320, 80)


# What is no pair


def test_labels_are_ignored_as_in_pipelines(pair):
    clean, labels = pair[1], np.arange(320) % 10
    model = small().fit(clean)
    for y in (labels, labels.astype(str), list(labels), pd.Series(labels), clean):
        assert_same_weights(model, small().fit(clean, y))
    pipeline = make_pipeline(small(), LogisticRegression(max_iter=50)).fit(clean, labels)
    assert_same_weights(model, pipeline[0])
    search = GridSearchCV(small(), {"noise": ["masking", "gaussian:std=0.1"]}, cv=2).fit(clean, labels)
    plain = GridSearchCV(small(), {"noise": ["masking", "gaussian:std=0.1"]}, cv=2).fit(clean)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])


def test_a_search_scores_by_the_clean_rows(pair):
    search = GridSearchCV(small(loss="mse"), {"epochs": [1, 40]}, cv=2).fit(*pair)
    assert search.best_params_ == {"epochs": 40}
    assert search.best_estimator_.settings_.paired


def test_a_target_of_another_shape_is_told(pair):
    noisy, clean = pair
    with pytest.warns(
        IgnoredTargetWarning, match=r"y of shape \(320, 63\) .* is ignored. Clean rows have the shape"
    ):
        small().fit(noisy, clean[:, :63])


@pytest.mark.parametrize(
    "estimator", [kind for kind in ESTIMATORS if kind is not DenoisingAutoencoder], ids=by_name
)
@pytest.mark.filterwarnings(
    "ignore::isthmus.errors.DeadCodeWarning", "ignore::isthmus.errors.CollapseWarning"
)
def test_the_other_families_say_that_they_do_not_learn_from_pairs(estimator, pair):
    noisy, clean = (as_given(estimator, rows[:40]) for rows in pair)
    model = estimator(4, epochs=1, random_state=0)
    with pytest.warns(IgnoredTargetWarning, match=r"is ignored. To learn .* use DenoisingAutoencoder"):
        model.fit(noisy, clean)
    for y in (None, noisy, np.arange(40), np.zeros((40, 3))):
        assert_same_weights(model, clone(model).fit(noisy, y))


def test_validation_data_are_of_the_kind_of_the_training_data(pair):
    noisy, clean = pair
    for y, validation_data, words in (
        (None, (noisy, clean), "rows like those of X, not a pair"),
        (clean, noisy, "a pair of rows and targets"),
        (clean, (noisy, clean, clean), "a pair of rows and targets"),
    ):
        with pytest.raises(
            InvalidTypeError, match=f"'validation_data' of DenoisingAutoencoder.fit must be {words}"
        ):
            small().fit(noisy, y, validation_data=validation_data)
    with pytest.raises(ValueError, match="inconsistent"):
        small().fit(noisy, clean, validation_data=(noisy, clean[:9]))


# What makes rows worse


def test_rows_that_are_made_worse_are_warned_of(digits):
    train, test = digits
    weak = DenoisingAutoencoder(2, noise="gaussian:std=0.05", epochs=5, random_state=0)
    with pytest.warns(RestorationWarning) as caught:
        weak.fit(train, validation_data=test)
    (warning,) = caught
    assert warning.filename == __file__
    words = str(warning.message)
    assert "on held-out rows" in words
    before, after = (float(part.split()[0]) for part in words.split("is ")[1].split(" before and "))
    noisy = weak.corrupt(test, random_state=0)
    assert before == pytest.approx(error(noisy, test), rel=0.1)
    assert after == pytest.approx(error(weak.denoise(noisy), test), rel=0.1)
    with pytest.warns(RestorationWarning, match="on training rows"):
        weak.fit(train)
    with pytest.warns(RestorationWarning, match="on held-out rows"):
        clone(weak).fit(train + 0.001, train, validation_data=(test + 0.001, test))


@pytest.mark.filterwarnings("error")
def test_rows_that_are_made_better_are_no_reason_to_warn(digits):
    DenoisingAutoencoder(32, noise="gaussian:std=0.3", epochs=10, random_state=0).fit(digits[0])


@pytest.mark.filterwarnings("error")
def test_a_plain_autoencoder_with_noise_is_not_judged_by_it(digits):
    Autoencoder(2, noise="gaussian:std=0.05", epochs=5, random_state=0).fit(digits[0])


@pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")
def test_targets_in_another_unit_are_warned_about(digits):
    X = digits[0][:200]
    with pytest.warns(DataRangeWarning, match="X of DenoisingAutoencoder has values up to"):
        DenoisingAutoencoder(8, epochs=1, random_state=0).fit(X, 1000 * X + 5000)
