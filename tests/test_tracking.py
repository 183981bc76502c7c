"""What is written down while a model trains, and the trial that finds a learning rate."""

from __future__ import annotations

import io
import json
import math
import pickle
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from torch import nn

from helpers import assert_same_weights, state_of
from isthmus import Autoencoder
from isthmus.errors import (
    DataError,
    DeadCodeWarning,
    DivergenceError,
    DivergenceWarning,
    InvalidParameterError,
    InvalidTypeError,
    MissingDependencyError,
    TrainingInterruptedWarning,
)
from isthmus.estimators import _rate_finder
from isthmus.estimators._rate_finder import find_learning_rate
from isthmus.training import (
    SGD,
    Autograd,
    Callback,
    Constant,
    EarlyStopping,
    JsonLines,
    ResidentBatches,
    TensorBoard,
    TrainingState,
    fit,
)
from isthmus.training.state import History


@pytest.fixture(autouse=True)
def _tensorboard(request):
    """Skip what uses TensorBoard where it is not installed."""
    if "TensorBoard" in request.function.__code__.co_names:
        pytest.importorskip("tensorboard")


class Fail(Callback):
    """Raise after an epoch, or in the middle of the one after it."""

    def __init__(self, error, epoch, *, within=False):
        self.error, self.epoch, self.within = error, epoch, within

    def on_epoch_end(self, state):
        if not self.within and state.epoch == self.epoch:
            raise self.error

    def on_step_end(self, state):
        if self.within and state.epoch == self.epoch:
            raise self.error


class StopAfter(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, state):
        state.stop = state.epoch == self.epoch


def learner(*callbacks, **parameters):
    defaults = {"epochs": 4, "random_state": 0, "code_activation": "identity"}
    return Autoencoder(6, callbacks=list(callbacks), **{**defaults, **parameters})


def fit_without_a_model(*callbacks):
    """Use the loop as it is, without an estimator."""
    line = nn.Linear(2, 2)

    def objective(network, batch):
        rows = getattr(batch, "rows", batch)
        return {"loss": (network(rows) - rows).square().mean()}

    optimizer = SGD(momentum=0).build(line.parameters(), 0.1, 0.0)
    batches = ResidentBatches(torch.ones(4, 2), 2, 0)
    gradient = Autograd(line, objective)
    return fit(
        line, objective, batches, gradient=gradient, optimizer=optimizer, schedule=Constant(), epochs=2,
        callbacks=callbacks,
    )  # fmt: skip


# JSON lines


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_lines_are_the_history(tmp_path, digits):
    path = tmp_path / "history.jsonl"
    model = learner(JsonLines(path), validation_fraction=0.2).fit(digits[0])
    assert lines_of(path) == model.history_
    assert [row["epoch"] for row in lines_of(path)] == [1, 2, 3, 4]
    assert "validation_loss" in lines_of(path)[0]


def test_every_line_is_there_as_soon_as_its_epoch_is_over(tmp_path, digits):
    path, seen = tmp_path / "history.jsonl", []

    class Tail(Callback):
        def on_epoch_end(self, state):
            seen.append((lines_of(path), list(state.history.rows)))

    learner(JsonLines(path), Tail()).fit(digits[0])
    assert len(seen) == 4
    assert all(lines == rows for lines, rows in seen)


def test_nothing_of_an_older_training_stays(tmp_path, digits):
    callback = JsonLines(str(tmp_path / "history.jsonl"))
    learner(callback, epochs=7).fit(digits[0])
    model = learner(callback, epochs=2).fit(digits[0])
    assert lines_of(callback.path) == model.history_


@pytest.mark.parametrize("within", [False, True])
def test_a_training_that_fails_leaves_what_it_had(within, tmp_path, digits):
    path = tmp_path / "history.jsonl"
    with pytest.raises(RuntimeError, match="no more"):
        learner(JsonLines(path), Fail(RuntimeError("no more"), 2, within=within)).fit(digits[0])
    assert [row["epoch"] for row in lines_of(path)] == [1, 2]


@pytest.mark.filterwarnings("ignore::isthmus.errors.DivergenceWarning")
def test_a_training_that_diverges_leaves_a_readable_file(tmp_path, digits):
    path = tmp_path / "history.jsonl"
    with pytest.raises(DivergenceError):
        learner(JsonLines(path), learning_rate=1e30, optimizer="sgd").fit(digits[0])
    assert lines_of(path) == []


def test_ctrl_c_leaves_the_finished_epochs(tmp_path, digits):
    path = tmp_path / "history.jsonl"
    with pytest.warns(TrainingInterruptedWarning):
        model = learner(JsonLines(path), Fail(KeyboardInterrupt(), 3, within=True)).fit(digits[0])
    assert lines_of(path) == model.history_
    assert len(model.history_) == 3


def test_numbers_that_are_not_finite_become_null(tmp_path):
    callback = JsonLines(tmp_path / "history.jsonl")
    state = TrainingState(nn.Identity(), History(), epochs=1, n_steps=1)
    callback.on_training_start(state)
    state.history.rows.append({"epoch": 1, "loss": math.nan, "other": -math.inf, "more": 0.5})
    callback.on_epoch_end(state)
    callback.on_training_end(state)
    assert lines_of(callback.path) == [{"epoch": 1, "loss": None, "other": None, "more": 0.5}]


@pytest.mark.parametrize("name", ["", "missing/history.jsonl"], ids=["a folder", "in no folder"])
def test_a_path_that_cannot_be_written_is_refused_before_the_training(name, tmp_path, digits):
    steps = []

    class Count(Callback):
        def on_step_end(self, state):
            steps.append(state.step)

    with pytest.raises(InvalidParameterError, match=r"'path' parameter of JsonLines must be a file in a fol"):
        learner(JsonLines(tmp_path / name), Count()).fit(digits[0])
    assert steps == []


def test_json_lines_need_no_estimator(tmp_path):
    history = fit_without_a_model(JsonLines(tmp_path / "history.jsonl"))
    assert lines_of(tmp_path / "history.jsonl") == history.rows


def test_callbacks_can_be_cloned_and_pickled_after_a_training(tmp_path, digits):
    pytest.importorskip("tensorboard")
    model = learner(JsonLines(tmp_path / "history.jsonl"), TensorBoard(tmp_path / "board")).fit(digits[0])
    pickle.loads(pickle.dumps(model)).fit(digits[0])
    assert len(clone(model).fit(digits[0]).history_) == 4


# TensorBoard


def events_of(folder):
    """Return what TensorBoard reads from a folder."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return events.Reload()


def pictures_of(folder):
    """Return the pictures in a folder, as arrays by epoch."""
    events = events_of(folder).Images("reconstructions")
    return {event.step: np.asarray(Image.open(io.BytesIO(event.encoded_image_string))) for event in events}


def codes_in(folder, epoch):
    return np.loadtxt(folder / f"{epoch:05}" / "codes" / "tensors.tsv", ndmin=2)


def test_scalars_are_the_history(tmp_path, digits):
    board = TensorBoard(tmp_path / "new" / "board")
    model = learner(board, validation_fraction=0.2, epochs=5, penalty="l1:weight=0.01").fit(digits[0])
    events = events_of(board.folder)
    tags = {
        "train/loss": "loss",
        "train/reconstruction": "reconstruction",
        "validation/loss": "validation_loss",
        "validation/reconstruction": "validation_reconstruction",
        "learning_rate": "learning_rate",
        "seconds": "seconds",
    }
    penalties = set(model.history_[0]) - {"epoch", *tags.values()}
    assert len(penalties) == 2
    assert len(events.Tags()["scalars"]) == len(tags) + len(penalties)
    assert set(tags) <= set(events.Tags()["scalars"])
    for tag, name in tags.items():
        scalars = events.Scalars(tag)
        assert [event.step for event in scalars] == [1, 2, 3, 4, 5]
        wanted = [row[name] for row in model.history_]
        np.testing.assert_allclose([event.value for event in scalars], wanted, rtol=1e-6)


def test_an_older_training_in_the_same_folder_is_hidden(tmp_path, digits):
    learner(TensorBoard(tmp_path, embeddings=digits[1][:5]), epochs=6).fit(digits[0])
    model = learner(TensorBoard(tmp_path, embeddings=digits[1][:5]), epochs=2, random_state=1).fit(digits[0])
    scalars = events_of(tmp_path).Scalars("train/loss")
    assert [event.value for event in scalars] == pytest.approx([row["loss"] for row in model.history_])
    assert (tmp_path / "projector_config.pbtxt").read_text().count("tensor_name") == 2


def test_nothing_is_printed(tmp_path, digits, capfd):
    for _ in range(2):
        learner(TensorBoard(tmp_path, images=digits[1][:3], image_shape=(8, 8), embeddings=digits[1])).fit(
            digits[0]
        )
    assert capfd.readouterr() == ("", "")


def test_pictures_are_originals_above_their_copies(tmp_path, digits):
    originals = digits[1][:5]
    model = learner(TensorBoard(tmp_path, images=originals, image_shape=(8, 8)), epochs=3).fit(digits[0])
    pictures = pictures_of(tmp_path)
    assert list(pictures) == [1, 2, 3]
    copies = model.reconstruct(originals).reshape(5, 8, 8)
    for picture in pictures.values():
        assert picture.shape == (8 + 2 + 8, 5 * 8 + 4 * 2, 3)
        assert (picture == picture[..., :1]).all()  # grey
    last = pictures[3][..., 0].astype(float) / 255
    for number in range(5):
        left = number * 10
        np.testing.assert_allclose(
            last[:8, left : left + 8], originals[number].reshape(8, 8), atol=0.5 / 255 + 1e-9
        )
        np.testing.assert_allclose(last[10:, left : left + 8], copies[number], atol=1.5 / 255)
    assert not np.array_equal(pictures[1], pictures[3])
    assert np.array_equal(pictures[1][:8], pictures[3][:8])


@pytest.mark.parametrize(
    ("images", "rows", "image_shape"),
    [
        ((4, 8, 8), (8, 8), None),
        ((4, 64), (8, 8), None),
        ((4, 64), (64,), [8, 8]),
        ((4, 64), (64,), (1, 8, 8)),
        ((4, 64), (8, 8), (8, 8, 1)),
    ],
)
def test_the_shape_of_the_images_is_found(images, rows, image_shape, tmp_path, digits):
    board = TensorBoard(tmp_path, images=digits[1][:4].reshape(images), image_shape=image_shape, every=9)
    learner(board).fit(digits[0].reshape(-1, *rows))
    assert {epoch: picture.shape for epoch, picture in pictures_of(tmp_path).items()} == {4: (18, 38, 3)}


@pytest.mark.parametrize("last", [True, False])
def test_colours_stay_colours(last, tmp_path):
    images = np.zeros((40, 5, 6, 3))
    images[..., 0] = np.random.default_rng(0).random((40, 5, 6))
    if not last:
        images = np.moveaxis(images, -1, 1)
    learner(TensorBoard(tmp_path, images=images[:2]), epochs=1).fit(images)
    picture = pictures_of(tmp_path)[1]
    assert picture.shape == (5 + 2 + 5, 6 + 2 + 6, 3)
    assert picture[:5, :6, 0].max() > 200
    assert picture[:5, :6, 1:].max() == 0


def test_bytes_and_other_ranges_have_grey_levels(tmp_path, digits):
    for name, rows in {"bytes": (digits[0] * 64).astype(np.uint8), "wide": digits[0] * 100 - 30}.items():
        board = TensorBoard(tmp_path / name, images=rows[:3], image_shape=(8, 8))
        learner(board, epochs=1, loss="mse").fit(rows)
    originals = {name: pictures_of(tmp_path / name)[1][:8] for name in ("bytes", "wide")}
    # Bytes are what they are; anything else is spread from black to white.
    np.testing.assert_array_equal(originals["bytes"][:, :8, 0].ravel(), (digits[0][0] * 64).astype(np.uint8))
    assert (originals["wide"].min(), originals["wide"].max()) == (0, 255)


@pytest.mark.parametrize(("every", "epochs"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (5, [5]), (99, [5])])
def test_pictures_and_codes_come_every_so_many_epochs_and_at_the_end(every, epochs, tmp_path, digits):
    board = TensorBoard(
        tmp_path, images=digits[1][:2], image_shape=(8, 8), embeddings=digits[1][:3], every=every
    )
    learner(board, epochs=5).fit(digits[0])
    assert list(pictures_of(tmp_path)) == epochs
    assert sorted(int(path.name) for path in tmp_path.iterdir() if path.is_dir()) == epochs
    assert len(events_of(tmp_path).Scalars("train/loss")) == 5


@pytest.mark.parametrize("first", [True, False])
def test_a_training_that_is_stopped_has_a_last_picture(first, tmp_path, digits):
    board = TensorBoard(tmp_path, images=digits[1][:2], image_shape=(8, 8), every=99)
    callbacks = [StopAfter(3), board] if first else [board, StopAfter(3)]
    learner(*callbacks, epochs=50).fit(digits[0])
    assert list(pictures_of(tmp_path)) == [3]


def test_early_stopping_has_a_last_picture(tmp_path, digits):
    board = TensorBoard(tmp_path, images=digits[1][:2], image_shape=(8, 8), every=99)
    model = learner(
        board, epochs=60, hidden_layers=(64,), learning_rate=0.01, schedule="constant", patience=3
    )
    model.fit(digits[0][:40], validation_data=digits[1][:100])
    assert model.n_epochs_ < 60
    assert list(pictures_of(tmp_path)) == [model.n_epochs_]


def test_ctrl_c_has_a_last_picture_and_an_error_has_none(tmp_path, digits):
    for name, error in {"stopped": KeyboardInterrupt(), "broken": RuntimeError("no more")}.items():
        board = TensorBoard(tmp_path / name, images=digits[1][:2], image_shape=(8, 8), every=99)
        with pytest.warns(TrainingInterruptedWarning) if name == "stopped" else pytest.raises(RuntimeError):
            learner(board, Fail(error, 2, within=True)).fit(digits[0])
        assert len(events_of(tmp_path / name).Scalars("train/loss")) == 2
    assert list(pictures_of(tmp_path / "stopped")) == [2]
    assert not events_of(tmp_path / "broken").Tags()["images"]


def test_codes_are_those_of_the_model(tmp_path, digits):
    rows = digits[1][:20]
    labels = [f"digit\t{number}\nof many" for number in range(20)]
    model = learner(TensorBoard(tmp_path, embeddings=rows, labels=labels, every=2)).fit(digits[0])
    np.testing.assert_allclose(codes_in(tmp_path, 4), model.transform(rows), rtol=1e-6)
    assert codes_in(tmp_path, 2).shape == (20, 6)
    metadata = (tmp_path / "00004" / "codes" / "metadata.tsv").read_text().splitlines()
    assert metadata == [f"digit {number} of many" for number in range(20)]
    config = (tmp_path / "projector_config.pbtxt").read_text()
    assert config.count("tensor_path") == config.count("metadata_path") == 2


def test_labels_may_be_an_array_or_absent(tmp_path, digits):
    rows = digits[1][:4]
    learner(TensorBoard(tmp_path / "with", embeddings=rows, labels=np.arange(4)), epochs=1).fit(digits[0])
    learner(TensorBoard(tmp_path / "without", embeddings=rows), epochs=1).fit(digits[0])
    assert (tmp_path / "with/00001/codes/metadata.tsv").read_text() == "0\n1\n2\n3\n"
    assert not (tmp_path / "without/00001/codes/metadata.tsv").exists()
    assert codes_in(tmp_path / "without", 1).shape == (4, 6)


def test_watching_changes_nothing(tmp_path, digits):
    board = TensorBoard(tmp_path, images=digits[1][:3], image_shape=(8, 8), embeddings=digits[1])
    modes = []

    class Modes(Callback):
        def on_step_end(self, state):
            modes.append(all(module.training for module in state.network.modules()))

    watched = learner(board, JsonLines(tmp_path / "lines"), Modes(), hidden_layers=(16,)).fit(digits[0])
    assert_same_weights(watched, learner(hidden_layers=(16,)).fit(digits[0]))
    assert all(modes)


def test_a_callback_can_be_used_again(tmp_path, digits):
    board = TensorBoard(tmp_path, images=digits[1][:2], image_shape=(8, 8), every=99)
    learner(board, epochs=3).fit(digits[0])
    learner(board, epochs=3).fit(digits[0])
    assert list(pictures_of(tmp_path)) == [3]


def test_tensorboard_without_an_estimator_writes_scalars(tmp_path):
    history = fit_without_a_model(TensorBoard(tmp_path))
    scalars = events_of(tmp_path).Scalars("train/loss")
    assert [event.value for event in scalars] == pytest.approx([row["loss"] for row in history.rows])


@pytest.mark.parametrize("parameter", ["images", "embeddings"])
def test_pictures_and_codes_need_an_estimator(parameter, tmp_path):
    pytest.importorskip("tensorboard")
    message = f"'{parameter}' parameter of TensorBoard needs an estimator that is being fitted"
    with pytest.raises(InvalidParameterError, match=message):
        fit_without_a_model(TensorBoard(tmp_path, **{parameter: np.ones((3, 2))}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"images": np.ones((2, 64))},
            InvalidParameterError,
            r"'image_shape' parameter of TensorBoard must be \(height, width\), .* of 64 values. Got None",
        ),
        ({"images": np.ones((2, 64)), "image_shape": (8, 9)}, InvalidParameterError, r"Got \(8, 9\) instead"),
        ({"images": np.ones((2, 64)), "image_shape": (4, 4, 4)}, InvalidParameterError, r"Got \(4, 4, 4\)"),
        ({"images": np.ones((2, 49)), "image_shape": (7, 7)}, ValueError, "49 features, but Autoencoder"),
        ({"embeddings": np.ones((2, 63))}, ValueError, "63 features, but Autoencoder"),
        ({"embeddings": np.ones((2, 64)), "labels": [1]}, DataError, "labels has 1 entries, but TensorBoard"),
        ({"labels": [1]}, InvalidParameterError, "'labels' parameter of TensorBoard must be None where"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_training(options, error, message, tmp_path, digits):
    pytest.importorskip("tensorboard")
    with pytest.raises(error, match=message):
        learner(TensorBoard(tmp_path, **options)).fit(digits[0])
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path, digits):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidParameterError, match="'folder' parameter of TensorBoard must be a folder"):
        learner(TensorBoard(tmp_path / "file")).fit(digits[0])
    with pytest.raises(InvalidParameterError, match="'every' parameter of TensorBoard must be an integer"):
        TensorBoard(tmp_path, every=0)


def test_without_tensorboard_the_message_says_what_to_install(tmp_path, digits, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "isthmus\[track\]"') as caught:
        learner(TensorBoard(tmp_path / "board")).fit(digits[0])
    assert caught.value.name == "tensorboard"
    assert not (tmp_path / "board").exists()


# The learning rate


def loss_with(model, rate, X):
    """Return the loss that a rate ends with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadCodeWarning)
        try:
            return clone(model).set_params(learning_rate=rate).fit(X).history_[-1]["loss"]
        except (DivergenceError, DivergenceWarning):
            return math.inf


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"optimizer": "sgd"},
        *(
            pytest.param(parameters, marks=pytest.mark.slow)
            for parameters in (
                {"optimizer": "rmsprop"},
                {"hidden_layers": (64, 32)},
                {"loss": "mse", "schedule": "cosine"},
                {"loss": "huber", "tied": True},
                {"penalty": "l1:weight=0.003"},
            )
        ),
    ],
    ids=str,
)
def test_the_suggestion_trains_nearly_as_well_as_the_best_of_a_grid(parameters, digits):
    model = learner(**parameters, random_state=0, epochs=20)
    found = find_learning_rate(model, digits[0])
    losses = [loss_with(model, rate, digits[0]) for rate in np.geomspace(1e-5, 10, 13)]
    untrained, best = max(filter(math.isfinite, losses[:4])), min(losses)
    bearable = best + 0.1 * (untrained - best)
    assert sum(loss > bearable for loss in losses) >= 6  # about half of the rates do not do
    assert loss_with(model, found.suggestion, digits[0]) < bearable


@pytest.mark.parametrize("seed", range(3))
def test_noisy_tables_do_not_mislead(seed):
    from sklearn.datasets import load_breast_cancer

    X, model = load_breast_cancer().data, Autoencoder(4, epochs=20, random_state=seed)
    assert 3e-3 < find_learning_rate(model, X).suggestion < 0.3


@pytest.mark.parametrize("parameters", [{}, {"optimizer": "sgd"}, {"hidden_layers": (32,)}], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, list])
def test_what_is_returned(parameters, dtype, digits):
    X = digits[0].tolist() if dtype is list else digits[0].astype(dtype) * 20 - 7
    found = find_learning_rate(learner(**parameters), X, lowest=1e-5, highest=1.0, steps=80)
    assert found.rates.shape == found.losses.shape
    assert 10 < len(found.rates) <= 80
    assert np.isfinite(found.rates).all()
    assert np.isfinite(found.losses).all()
    ratios = found.rates[1:] / found.rates[:-1]
    np.testing.assert_allclose(ratios, 1e5 ** (1 / 79))
    assert found.rates[0] == pytest.approx(1e-5)
    assert found.suggestion in found.rates
    assert isinstance(found.suggestion, float)
    with pytest.raises(AttributeError):
        found.suggestion = 1.0


@pytest.mark.parametrize("batch_size", [1400, 500, 32, 8])
def test_each_step_has_its_rate(batch_size, digits, monkeypatch):
    """However many steps an epoch has; the training ends with the trial, in the middle of an epoch."""
    from isthmus.training.run import Run

    seen, set_rate = [], Run.set_rate

    def spy(run, factor):
        seen.append(run.peaks[0] * factor)
        set_rate(run, factor)

    monkeypatch.setattr(Run, "set_rate", spy)
    found = find_learning_rate(
        learner(batch_size=batch_size), digits[0], lowest=1e-4, highest=0.02, steps=150
    )
    assert len(found.rates) == 150
    assert len(seen) == 151  # one puts the peak back
    np.testing.assert_allclose(seen[:150], found.rates)


def test_the_model_is_left_as_it_is(tmp_path, digits):
    class Never(Callback):
        def on_training_start(self, state):
            pytest.fail("the model's own callbacks are not for a trial")

    model = learner(Never(), learning_rate=0.5, schedule="cosine", validation_fraction=0.2, verbose=True)
    before = dict(vars(model))
    find_learning_rate(model, digits[0])
    assert vars(model) == before
    fitted = learner().fit(digits[0])
    weights, history = state_of(fitted), list(fitted.history_)
    one, other = find_learning_rate(fitted, digits[0]), find_learning_rate(learner(), digits[0])
    assert fitted.history_ == history
    for name, value in state_of(fitted).items():
        np.testing.assert_array_equal(value, weights[name])
    # A trial starts from new weights, and the same seed gives the same trial.
    np.testing.assert_array_equal(one.losses, other.losses)


@pytest.mark.parametrize("highest", [1e3, 1e25])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_trial_that_diverges_ends_early_and_well(highest, optimizer, digits):
    model = learner(optimizer=optimizer, loss="mse", hidden_layers=(32,))
    found = find_learning_rate(model, digits[0], lowest=1e-6, highest=highest, steps=400)
    assert len(found.rates) < 400
    assert np.isfinite(found.losses).all()
    assert math.isfinite(loss_with(model, found.suggestion, digits[0]))


def test_early_stopping_is_no_part_of_a_trial(digits):
    model = learner(EarlyStopping(1), validation_fraction=0.5, patience=1)
    assert len(find_learning_rate(model, digits[0], lowest=1e-4, highest=0.02).rates) == 100


@pytest.mark.parametrize(("lowest", "highest"), [(1e-12, 1e-9), (100, 1000)])
def test_a_range_without_a_good_rate_is_an_error(lowest, highest, digits):
    with pytest.raises(
        InvalidParameterError, match=r"loss of Autoencoder fell at none of the learning rates from"
    ):
        find_learning_rate(learner(), digits[0], lowest=lowest, highest=highest)


def test_ctrl_c_is_passed_on(digits, monkeypatch):
    on_step_end = _rate_finder._Trial.on_step_end

    def interrupted(trial, state):
        if len(trial.losses) == 30:
            raise KeyboardInterrupt
        on_step_end(trial, state)

    monkeypatch.setattr(_rate_finder._Trial, "on_step_end", interrupted)
    with pytest.warns(TrainingInterruptedWarning), pytest.raises(KeyboardInterrupt):
        find_learning_rate(learner(), digits[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lowest": 0}, InvalidParameterError, "'lowest' parameter of find_learning_rate must be a number"),
        ({"lowest": 1.0, "highest": 0.5}, InvalidParameterError, "'highest' parameter .* Got 0.5"),
        ({"highest": "big"}, InvalidTypeError, "'highest' parameter"),
        ({"steps": 5}, InvalidParameterError, "'steps' parameter .* at least 20"),
        (
            {"model": "autoencoder"},
            InvalidTypeError,
            "'model' parameter .* must be an autoencoder of Isthmus",
        ),
        ({"X": [[1.0, math.nan]] * 9}, ValueError, "NaN"),
    ],
)
def test_bad_arguments_are_refused(options, error, message, digits):
    arguments = {"model": learner(), "X": digits[0], **options}
    with pytest.raises(error, match=message):
        find_learning_rate(arguments.pop("model"), arguments.pop("X"), **arguments)
