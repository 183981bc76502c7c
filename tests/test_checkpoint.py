"""Trainings that are stopped and go on, and trainings that diverge and come back."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers import with_slow
from isthmus import (
    Autoencoder,
    Checkpoint,
    DeepBeliefNetwork,
    KSparseAutoencoder,
    RestrictedBoltzmannMachine,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
)
from isthmus.cli import main
from isthmus.data import write_data
from isthmus.errors import (
    CheckpointError,
    DivergenceError,
    DivergenceWarning,
    InvalidTypeError,
    IsthmusWarning,
    OutputExistsError,
    ReproducibilityWarning,
    TrainingInterruptedWarning,
)
from isthmus.objectives import L2
from isthmus.training import Callback, JsonLines
from isthmus.training.checkpoint import read_state, write_state

ROOT = Path(__file__).parents[1]


class Stop(Exception):  # noqa: N818 (nothing went wrong)
    """What a process that is killed has instead."""


class StopAt(Callback):
    """Break the training off after a step, counted over all its stages."""

    def __init__(self, step):
        self.left = step

    def on_step_end(self, state):
        self.left -= 1
        if self.left == 0:
            raise Stop


@pytest.fixture(scope="module")
def X():
    from sklearn.datasets import load_digits

    return (load_digits().data / 16).astype(np.float32)[:400]


def result_of(model, X):
    """Return everything that a fit leaves behind, apart from the time that it took."""
    weights = {name: value.numpy().tobytes() for name, value in model._assembly.state_dict().items()}
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in model.history_]
    return weights, rows, model.n_epochs_, model.best_epoch_, model.transform(X).tobytes()


def small(model=Autoencoder, n_components=8, **parameters):
    own = {"n_components": n_components, "epochs": 4, "batch_size": 50, "random_state": 0, **parameters}
    return lambda **more: model(**{**own, **more})


#: Whatever a training may depend on: a new member of the family is one more line.
MODELS = {
    "single layer": small(),
    "torch's Adam": small(compile=False),
    "bfloat16": small(precision="bfloat16"),
    "adamw": small(optimizer="adamw", weight_decay=0.01),
    "momentum": small(optimizer="sgd"),
    "rmsprop": small(optimizer="rmsprop"),
    "adagrad": small(optimizer="adagrad"),
    "adadelta": small(optimizer="adadelta"),
    "deep, early stopping": small(
        hidden_layers=(32,), epochs=20, validation_fraction=0.2, patience=1, learning_rate=0.1
    ),
    "plateau": small(schedule="plateau"),
    "noise, penalty": small(noise="gaussian", penalty="l1"),
    "variational": small(VariationalAutoencoder),
    "vector-quantised": small(VectorQuantizedAutoencoder),
    "k-sparse": small(KSparseAutoencoder, 32),
    "entropy": small(bottleneck="entropy"),
    "transformer": small(network="transformer", epochs=1),
    "from components": small(hidden_layers=(16,), initialization="pca"),
    "stacked": small(hidden_layers=(16,), initialization="stacked", epochs=2),
    "machine": small(RestrictedBoltzmannMachine),
    "machine, persistent chains": small(RestrictedBoltzmannMachine, sampler="pcd"),
    "machine, tempering": small(RestrictedBoltzmannMachine, sampler="pt"),
    "machine, rectified units": small(RestrictedBoltzmannMachine, visible="gaussian", hidden="rectified"),
    "belief network": small(DeepBeliefNetwork, hidden_layers=(16,), epochs=2),
}


@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")
@pytest.mark.parametrize("name", with_slow(MODELS, ["stacked", "transformer"]))
def test_what_was_stopped_ends_as_what_was_not(name, X, tmp_path):
    make = MODELS[name]
    alone = make().fit(X)
    steps = [5] if name == "transformer" else [1, 5, 8, 13]  # within an epoch, and at the end of one
    for number, step in enumerate(steps):
        folder = tmp_path / str(number)
        with pytest.raises(Stop):
            make(callbacks=[StopAt(step)]).fit(X, checkpoint=Checkpoint(folder, every_seconds=0))
        resumed = make().fit(X, checkpoint=folder)
        assert result_of(resumed, X) == result_of(alone, X)


def test_it_is_indeed_gone_on_from(X, tmp_path):
    class Count(Callback):
        def __init__(self):
            self.steps = 0

        def on_step_end(self, state):
            self.steps += 1

    with pytest.raises(Stop):
        MODELS["single layer"](callbacks=[StopAt(21)]).fit(
            X, checkpoint=Checkpoint(tmp_path, every_seconds=0)
        )
    count = Count()
    MODELS["single layer"](callbacks=[count]).fit(X, checkpoint=tmp_path)
    assert count.steps == 32 - 20
    MODELS["single layer"](callbacks=[count]).fit(X, checkpoint=tmp_path)
    assert count.steps == 32 - 20  # nothing is left to do


def test_many_stops_are_like_one(X, tmp_path):
    make = MODELS["deep, early stopping"]
    for _ in range(100):
        try:
            model = make(callbacks=[StopAt(3)]).fit(X, checkpoint=Checkpoint(tmp_path, every_seconds=0))
            break
        except Stop:
            continue
    assert result_of(model, X) == result_of(make().fit(X), X)


@pytest.mark.slow
def test_trainings_killed_in_a_process_of_their_own():
    script = ROOT / "benchmarks" / "kill_test.py"
    run = subprocess.run(
        [sys.executable, script, "--runs", "3", "--seed", "1", "--no-record"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 ended with bit for bit the result" in run.stdout


def test_a_seed_that_was_not_given_is_the_checkpoints(X, tmp_path):
    make = small(random_state=None)
    with pytest.raises(Stop):
        make(callbacks=[StopAt(9)]).fit(X, checkpoint=Checkpoint(tmp_path, every_seconds=0))
    model = make().fit(X, checkpoint=tmp_path)
    again = make().fit(X, checkpoint=tmp_path)
    assert result_of(model, X) == result_of(again, X)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint32, lambda seed: seed])
def test_an_integer_of_any_type_is_the_same_seed(kind, X, tmp_path):
    first = small()(random_state=0).fit(X, checkpoint=tmp_path)
    again = small()(random_state=kind(0)).fit(X, checkpoint=tmp_path)
    assert result_of(first, X) == result_of(again, X)
    with pytest.raises(CheckpointError, match="seed was"):
        small()(random_state=kind(1)).fit(X, checkpoint=tmp_path)


@pytest.mark.parametrize("generator", [np.random.RandomState, np.random.default_rng])
def test_a_generator_that_draws_another_seed_is_told_that_it_is_not_used(generator, X, tmp_path):
    first = small()(random_state=generator(0)).fit(X, checkpoint=tmp_path)
    again = small()(random_state=generator(0)).fit(X, checkpoint=tmp_path)  # in another process, say
    with pytest.warns(ReproducibilityWarning, match="the seed of the checkpoint is used"):
        other = small()(random_state=generator(1)).fit(X, checkpoint=tmp_path)
    assert result_of(first, X) == result_of(again, X) == result_of(other, X)


def test_numbers_of_numpy_are_the_numbers_that_they_hold(X, tmp_path):
    given = {
        "learning_rate": 0.02,
        "tied": True,
        "hidden_layers": (16,),
        "penalty": L2(2.0**-12),
        "patience": 3,
    }
    same = {
        "learning_rate": np.float64(0.02),
        "tied": np.True_,
        "hidden_layers": (np.int64(16),),
        "penalty": L2(np.float32(2.0**-12)),
        "patience": np.int16(3),
    }
    other = {
        "learning_rate": np.float64(0.03),
        "tied": np.False_,
        "hidden_layers": (np.int64(17),),
        "penalty": L2(np.float32(2.0**-11)),
        "patience": np.int16(4),
    }
    small(n_components=np.int32(8))(**given).fit(X, checkpoint=tmp_path)
    small()(**same).fit(X, checkpoint=tmp_path)
    for name, value in other.items():
        with pytest.raises(CheckpointError, match=f"{name} was"):
            small()(**{**same, name: value}).fit(X, checkpoint=tmp_path)


def test_the_weights_of_modules_and_the_shape_of_rows_tell_fits_apart(X, tmp_path):
    def modules(seed):
        torch.manual_seed(seed)
        return torch.nn.Linear(64, 8), torch.nn.Linear(8, 64)

    with torch.random.fork_rng():
        first, other = modules(0), modules(1)
    small(network=first, n_components=8)().fit(X, checkpoint=tmp_path / "modules")
    with pytest.raises(CheckpointError, match="the weights of the modules differ"):
        small(network=other)().fit(X, checkpoint=tmp_path / "modules")
    small(epochs=1)().fit(X.reshape(-1, 8, 8), checkpoint=tmp_path / "shape")
    with pytest.raises(CheckpointError, match=r"input_shape was \[8, 8\] and is \[4, 16\]"):
        small(epochs=1)().fit(X.reshape(-1, 4, 16), checkpoint=tmp_path / "shape")


def test_a_callback_goes_on_with_what_it_remembered(X, tmp_path):
    class Remember(Callback):
        def __init__(self):
            self.losses = []

        def on_epoch_end(self, state):
            self.losses.append(state.history.rows[-1]["loss"])

        def state_dict(self):
            return {"losses": self.losses}

        def load_state_dict(self, state):
            self.losses = state["losses"]

    make, kept = small(), Remember()
    with pytest.raises(Stop):
        make(callbacks=[Remember(), StopAt(20)]).fit(X, checkpoint=Checkpoint(tmp_path, every_seconds=0))
    model = make(callbacks=[JsonLines(tmp_path / "lines"), kept]).fit(X, checkpoint=tmp_path)
    assert kept.losses == [row["loss"] for row in model.history_]
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    assert lines == model.history_


# What is refused


@pytest.fixture
def stopped(X, tmp_path):
    with pytest.raises(Stop):
        small(callbacks=[StopAt(20)])().fit(X, checkpoint=Checkpoint(tmp_path, every_seconds=0))
    return tmp_path


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"n_components": 9}, "n_components was 8 and is 9"),
        ({"learning_rate": 0.5}, "learning_rate was 0.02 and is 0.5"),
        ({"optimizer": "sgd"}, "learning_rate was .*; optimizer was"),
        ({"random_state": 1}, "seed was"),
        ({"random_state": np.int64(1)}, "seed was"),
        ({"random_state": np.uint8(1)}, "seed was"),
        ({"epochs": 5}, "epochs was 4 and is 5"),
        ({"validation_fraction": 0.2}, "the values of X differ; the values of validation_data"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_by_name(other, words, stopped, X):
    before = sorted(stopped.iterdir())
    with pytest.raises(CheckpointError, match=f"is of another fit: {words}"):
        small()(**other).fit(X, checkpoint=stopped)
    assert sorted(stopped.iterdir()) == before


def test_a_checkpoint_of_another_class_or_other_data_is_refused(stopped, X):
    other = X.copy()
    other[17, 3] += 0.25
    with pytest.raises(CheckpointError, match="the values of X differ"):
        small()().fit(other, checkpoint=stopped)
    with pytest.raises(CheckpointError, match="class was 'Autoencoder' and is 'VariationalAutoencoder'"):
        small(VariationalAutoencoder)().fit(X, checkpoint=stopped)


def test_a_checkpoint_of_another_version_is_refused(stopped, X, monkeypatch):
    monkeypatch.setattr("isthmus.__version__", "99.0")
    with pytest.raises(CheckpointError, match=r"version of isthmus was '.*' and is '99.0'"):
        small()().fit(X, checkpoint=stopped)


def test_another_machine_is_worth_a_warning(stopped, X):
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.warns(ReproducibilityWarning, match="the number of threads was"):
            small()().fit(X, checkpoint=stopped)
    finally:
        torch.set_num_threads(threads)


def test_an_existing_checkpoint_is_refused_where_it_is_not_to_be_used(stopped, X):
    with pytest.raises(OutputExistsError, match="holds a checkpoint"):
        small()().fit(X, checkpoint=Checkpoint(stopped, resume=False))


def test_two_fits_do_not_share_a_folder(X, tmp_path):
    class Meanwhile(Callback):
        def on_epoch_end(self, state):
            with pytest.raises(CheckpointError, match="in use by another fit"):
                small()().fit(X, checkpoint=tmp_path)

    small(callbacks=[Meanwhile()])().fit(X, checkpoint=tmp_path)
    small()().fit(X, checkpoint=tmp_path)  # free again


def test_what_is_no_folder_is_refused(X, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be made"):
        small()().fit(X, checkpoint=tmp_path / "file")
    with pytest.raises(InvalidTypeError, match="must be a folder or a Checkpoint"):
        small()().fit(X, checkpoint=3)


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_the_one_before_is_used_where_the_newest_is_damaged(damage, stopped, X):
    *_, before, newest = sorted(stopped.glob("stage-*"))
    content = bytearray(newest.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[-100] ^= 4
    else:
        content = b""
    newest.write_bytes(content)
    assert result_of(small()().fit(X, checkpoint=stopped), X) == result_of(small()().fit(X), X)
    before.unlink(missing_ok=True)


def test_where_all_are_damaged_that_is_an_error(stopped, X):
    for path in stopped.glob("stage-*"):
        path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match="is damaged"):
        small()().fit(X, checkpoint=stopped)


def test_a_file_of_another_kind_is_no_checkpoint(stopped, X):
    for path in stopped.glob("stage-*"):
        save_file(load_file(path), path)
    with pytest.raises(CheckpointError, match="is not a checkpoint of Isthmus"):
        small()().fit(X, checkpoint=stopped)


@pytest.mark.parametrize(
    "change",
    [
        lambda now: now["network"].popitem(),
        lambda now: now["network"].update({name: value[:1] for name, value in now["network"].items()}),
        lambda now: now.update(epoch="many"),
        lambda now: now.pop("means"),
        lambda now: now.update(history=3),
        lambda now: now.update(optimizer={"state": {}}),
    ],
)
def test_a_state_that_does_not_fit_is_our_error(change, stopped, X):
    for path in stopped.glob("stage-*"):
        state = read_state(path)
        change(state["state"]["now"])
        write_state(path, state)
    with pytest.raises(CheckpointError, match="does not fit this training"):
        small()().fit(X, checkpoint=stopped)


# Signals


class Signal(Callback):
    """Send this process a signal in the middle of an epoch."""

    def __init__(self, number, step=20):
        self.number, self.step = number, step

    def on_step_end(self, state):
        if state.step == self.step:
            signal.raise_signal(self.number)


@pytest.fixture(autouse=True)
def ctrl_c():
    """Have Ctrl-C do what it does, also where the tests were started with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_saves_and_the_same_fit_goes_on(X, tmp_path):
    with pytest.warns(TrainingInterruptedWarning, match="The same fit goes on from the checkpoint in"):
        model = small(callbacks=[Signal(signal.SIGINT)])().fit(X, checkpoint=tmp_path)
    assert model.n_epochs_ == 2
    assert result_of(small()().fit(X, checkpoint=tmp_path), X) == result_of(small()().fit(X), X)


def test_ctrl_c_in_the_first_epoch_saves_too(X, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        small(callbacks=[Signal(signal.SIGINT, 3)])().fit(X, checkpoint=tmp_path)
    assert Checkpoint(tmp_path).exists()
    assert result_of(small()().fit(X, checkpoint=tmp_path), X) == result_of(small()().fit(X), X)


def test_sigterm_saves_before_it_does_what_it_does(X, tmp_path):
    def end(*_):
        raise Stop

    before = signal.signal(signal.SIGTERM, end)
    try:
        with pytest.raises(Stop):
            small(callbacks=[Signal(signal.SIGTERM)])().fit(X, checkpoint=tmp_path)
        assert signal.getsignal(signal.SIGTERM) is end
    finally:
        signal.signal(signal.SIGTERM, before)
    assert read_state(sorted(tmp_path.glob("stage-*"))[-1])["state"]["now"]["step"] == 20
    assert result_of(small()().fit(X, checkpoint=tmp_path), X) == result_of(small()().fit(X), X)


def test_a_signal_in_the_last_step_is_not_forgotten(X, tmp_path):
    with pytest.warns(TrainingInterruptedWarning):
        small(callbacks=[Signal(signal.SIGINT, 32)])().fit(X, checkpoint=tmp_path)
    assert result_of(small()().fit(X, checkpoint=tmp_path), X) == result_of(small()().fit(X), X)


class SignalAtTheEnd(Callback):
    def on_training_end(self, state):
        signal.raise_signal(signal.SIGINT)


def test_a_signal_after_the_last_step_is_not_forgotten(X, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        small(callbacks=[SignalAtTheEnd()])().fit(X, checkpoint=tmp_path)
    assert result_of(small()().fit(X, checkpoint=tmp_path), X) == result_of(small()().fit(X), X)


def test_signals_are_as_before_after_a_fit(X, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    small()().fit(X, checkpoint=tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_fit_in_a_thread_has_checkpoints_too(X, tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(small()().fit(X, checkpoint=tmp_path)))
    thread.start()
    thread.join()
    assert result_of(found[0], X) == result_of(small()().fit(X), X)


# The command line


@pytest.fixture
def table(X, tmp_path):
    path = tmp_path / "rows.npy"
    write_data(X, path)
    return path


def fitting(table, name, *more):
    return [
        "fit",
        str(table),
        "-o",
        str(table.with_name(name)),
        "--n-components",
        "8",
        "--random-state",
        "0",
        *more,
    ]


def test_the_command_goes_on_after_sigterm(table, tmp_path, capsys):
    folder = tmp_path / "saved"
    more = ["--epochs", "4000", "--batch-size", "50", "--checkpoint", str(folder)]
    command = [sys.executable, "-m", "isthmus", *fitting(table, "model", *more)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not folder.exists():
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "the same command with --resume goes on from there" in words
    assert "Traceback" not in words
    assert not (tmp_path / "model").exists()
    assert Checkpoint(folder).exists()


def test_the_command_resumes(table, tmp_path, capsys):
    folder = tmp_path / "saved"
    saving = ["--epochs", "3", "--checkpoint", str(folder)]
    assert main(fitting(table, "one", *saving)) == 0
    assert main(fitting(table, "two", *saving)) == 2
    assert "holds a checkpoint" in capsys.readouterr().err
    assert main(fitting(table, "two", *saving, "--resume")) == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert main(fitting(table, "three", *saving, "--resume", "--tied")) == 2
    assert "is of another fit" in capsys.readouterr().err
    assert main(fitting(table, "three", "--resume")) == 2
    assert "Name its folder: --checkpoint FOLDER" in capsys.readouterr().err


# Cost


def test_saving_takes_its_share_of_the_time_and_no_more(X, tmp_path, monkeypatch):
    from isthmus.training import checkpoint

    monkeypatch.setattr(checkpoint, "SHORTEST", 0.0)
    spent = []

    def timed(*arguments):
        start = time.monotonic()
        write_state(*arguments)
        time.sleep(0.01)
        spent.append(time.monotonic() - start)

    monkeypatch.setattr(checkpoint, "write_state", timed)
    start = time.monotonic()
    small(epochs=400)().fit(X, checkpoint=tmp_path)
    elapsed = time.monotonic() - start
    assert len(spent) <= 2 + elapsed * checkpoint.SHARE / min(
        spent
    )  # the first one and the last come as they come


# Divergence


def test_a_training_that_diverges_comes_back(X):
    model = small(optimizer="sgd", loss="mse", epochs=10, learning_rate=5.0)()
    with pytest.warns(
        DivergenceWarning, match=r"diverged: .*not finite.* It goes on from epoch 1 with"
    ) as seen:
        model.fit(X)
    assert str(seen[0].message).endswith("with 0.5.")
    rates = [float(str(warning.message).rsplit(" ", 1)[1].rstrip(".")) for warning in seen]
    assert len(model.history_) == 10
    assert max(row["learning_rate"] for row in model.history_) <= rates[-1]
    assert model.score(X) > 0.2  # it has learnt


@pytest.mark.filterwarnings("ignore::isthmus.errors.DivergenceWarning")
def test_what_cannot_be_saved_is_an_error_that_says_where(X):
    rows = X.astype(np.float64)
    rows[:, 5] *= 1e30
    with pytest.raises(
        DivergenceError, match=r"In step 1 of epoch 1, .* column 5 of these rows reaches 1e\+30"
    ):
        small(loss="mse", scale="none", learning_rate=1e4)().fit(rows)


def test_a_training_that_diverges_late_keeps_what_it_learnt(X):
    class Poison(Callback):
        """Spoil a weight once, as an overflow would."""

        def __init__(self):
            self.done = False

        def on_step_end(self, state):
            if state.step == 150 and not self.done:
                self.done = True
                with torch.no_grad():
                    next(state.network.parameters())[0, 0] = float("inf")

    with pytest.warns(DivergenceWarning, match="No single step was found to be at fault"):
        model = small(epochs=40, callbacks=[Poison()])().fit(X)
    assert len(model.history_) == 40
    assert [row["epoch"] for row in model.history_] == list(range(1, 41))
    assert np.isfinite(model.transform(X)).all()
    assert model.history_[-1]["loss"] < model.history_[0]["loss"]


@pytest.mark.filterwarnings("ignore::isthmus.errors.DivergenceWarning")
def test_a_pass_that_diverges_leaves_the_weights_of_before(X):
    model = small()().fit(X)
    before = model.transform(X)
    model.set_params(callbacks=[_Spoil()])
    with pytest.raises(DivergenceError):
        model.partial_fit(X)
    assert np.array_equal(model.transform(X), before)


class _Spoil(Callback):
    def on_step_end(self, state):
        with torch.no_grad():
            next(state.network.parameters()).fill_(float("nan"))


def test_no_model_that_is_not_finite_is_saved(X, tmp_path):
    model = small()().fit(X)
    with torch.no_grad():
        model.encoder_.body[0].weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"'network\.encoder\.0\.weight' .* not finite"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_never_holds_what_is_not_finite(X, tmp_path):
    rows = X.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsthmusWarning)
        small(optimizer="sgd", loss="mse", learning_rate=5.0, epochs=3)().fit(
            rows, checkpoint=Checkpoint(tmp_path, every_seconds=0)
        )
    for path in tmp_path.glob("stage-*"):
        assert all(value.isfinite().all() for value in load_file(path).values())


def test_drafts_of_a_process_that_was_killed_are_removed(X, tmp_path):
    (tmp_path / ".isthmus-0123456789abcdef.part").write_bytes(b"half")
    small()().fit(X, checkpoint=tmp_path)
    assert not list(tmp_path.glob(".isthmus-*"))
