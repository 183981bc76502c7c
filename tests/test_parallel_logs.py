"""A file and a folder for each training, also of clones, of threads and of processes."""

from __future__ import annotations

import json
import pickle
import sys
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from helpers import with_slow
from isthmus import Autoencoder, Checkpoint
from isthmus.errors import CheckpointError, InvalidParameterError
from isthmus.training import Callback, JsonLines, TensorBoard, TrainingState
from isthmus.training.state import History


class Act(Callback):
    """Call something after an epoch."""

    def __init__(self, action, epoch):
        self.action, self.epoch = action, epoch

    def on_epoch_end(self, state):
        if state.epoch == self.epoch:
            self.action()


def learner(*callbacks, epochs=4):
    return Autoencoder(
        2, callbacks=list(callbacks), epochs=epochs, random_state=0, code_activation="identity"
    )


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def logs_in(folder):
    """Return the epochs of each file, by its name; every line must be whole."""
    return {path.name: [row["epoch"] for row in lines_of(path)] for path in sorted(folder.glob("*.jsonl"))}


@pytest.mark.parametrize(
    ("n_jobs", "backend"), with_slow([(1, "loky"), (2, "threading"), (2, "loky")], [(2, "loky")])
)
def test_every_fit_of_a_search_has_a_file_of_its_own(n_jobs, backend, tmp_path, digits):
    path = tmp_path / "log.jsonl"
    path.write_text("left by an older program\n")
    model = learner(JsonLines(path), epochs=10)
    search = GridSearchCV(model, {"random_state": [0, 1, 2]}, cv=2, n_jobs=n_jobs)
    with parallel_config(backend):
        search.fit(digits[0][:60])
    # Six fits, and the last one on all rows.
    names = ["log.jsonl", *(f"log-{number}.jsonl" for number in range(2, 8))]
    assert sorted(logs_in(tmp_path)) == sorted(names)
    assert all(epochs == list(range(1, 11)) for epochs in logs_in(tmp_path).values())
    best = search.best_estimator_
    assert lines_of(best.callbacks[0].file) == best.history_
    best.fit(digits[0][:60])
    assert len(logs_in(tmp_path)) == 7  # the same callback again: its own file anew


def test_clones_and_copies_leave_what_the_first_one_wrote(tmp_path, digits):
    path = tmp_path / "log.jsonl"
    first = learner(JsonLines(path), epochs=5).fit(digits[0])
    for number, copy in enumerate((clone(first), pickle.loads(pickle.dumps(first)), deepcopy(first)), 2):
        copy.set_params(epochs=number).fit(digits[0])
        assert copy.callbacks[0].file == tmp_path / f"log-{number}.jsonl"
    assert [len(epochs) for epochs in logs_in(tmp_path).values()] == [2, 3, 4, 5]
    assert lines_of(path) == first.history_
    # The same path in a new callback is a new program: it starts anew.
    again = learner(JsonLines(path), epochs=1).fit(digits[0])
    assert lines_of(path) == again.history_


def test_one_callback_in_two_trainings_at_once(tmp_path, digits):
    callback = JsonLines(tmp_path / "log.jsonl")
    inner = learner(callback, epochs=3)

    outer = learner(callback, Act(lambda: inner.fit(digits[0]), 2), epochs=6).fit(digits[0])
    assert lines_of(tmp_path / "log.jsonl") == outer.history_
    assert lines_of(tmp_path / "log-2.jsonl") == inner.history_


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks of files")
def test_a_file_that_another_program_writes_to_is_left_alone(tmp_path, digits):
    path = tmp_path / "log.jsonl"
    state = TrainingState(nn.Identity(), History(), epochs=1, n_steps=1)
    other = JsonLines(path)
    other.on_training_start(state)
    state.history.rows.append({"epoch": 1, "loss": 0.5})
    other.on_epoch_end(state)
    model = learner(JsonLines(path), epochs=2).fit(digits[0])
    other.on_training_end(state)
    assert lines_of(path) == [{"epoch": 1, "loss": 0.5}]
    assert lines_of(tmp_path / "log-2.jsonl") == model.history_


def test_names_that_users_took_themselves_are_skipped(tmp_path, digits):
    (tmp_path / "log-2.jsonl").write_text("mine\n")
    first = learner(JsonLines(tmp_path / "log.jsonl"), epochs=1).fit(digits[0])
    assert clone(first).fit(digits[0]).history_
    assert (tmp_path / "log-2.jsonl").read_text() == "mine\n"
    assert (tmp_path / "log-3.jsonl").exists()


def test_a_checkpoint_goes_on_in_the_same_file(tmp_path, digits):
    path, folder = tmp_path / "log.jsonl", tmp_path / "saved"

    def fail():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        learner(JsonLines(path), Act(fail, 3)).fit(digits[0], checkpoint=Checkpoint(folder, every_epochs=1))
    model = learner(JsonLines(path)).fit(digits[0], checkpoint=folder)
    assert lines_of(path) == model.history_
    assert len(logs_in(tmp_path)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes and devices")
def test_a_device_is_no_file_to_be_replaced(digits):
    model = learner(JsonLines("/dev/null"), epochs=1)
    assert clone(model.fit(digits[0])).fit(digits[0]).callbacks[0].file == Path("/dev/null")


def test_a_search_does_not_share_a_checkpoint(tmp_path, digits):
    search = GridSearchCV(learner(epochs=2), {"random_state": [0, 1]}, cv=2, error_score="raise")
    with pytest.raises(CheckpointError, match="another"):
        search.fit(digits[0][:60], checkpoint=tmp_path / "saved")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_fit_of_a_search_has_a_folder_of_its_own(n_jobs, tmp_path, digits):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tmp_path / "board"
    model = learner(TensorBoard(folder, embeddings=digits[1][:5]), epochs=3)
    with parallel_config("threading"):
        search = GridSearchCV(model, {"random_state": [0, 1]}, cv=2, n_jobs=n_jobs).fit(digits[0][:60])
    folders = sorted(path.name for path in tmp_path.iterdir())
    assert folders == ["board", *(f"board-{number}" for number in range(2, 6))]
    for name in folders:
        losses = [
            event.value
            for event in accumulator.EventAccumulator(str(tmp_path / name)).Reload().Scalars("train/loss")
        ]
        assert len(losses) == 3
        assert (tmp_path / name / "projector_config.pbtxt").read_text().count("tensor_name") == 3
    search.best_estimator_.fit(digits[0][:60])
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="needs permissions")
def test_what_the_system_refuses_is_worded(tmp_path, digits):
    kinds = [JsonLines] if find_spec("tensorboard") is None else [JsonLines, TensorBoard]
    for callback in (kind("/proc/log") for kind in kinds):
        with pytest.raises(InvalidParameterError, match="can be written"):
            learner(callback).fit(digits[0])
