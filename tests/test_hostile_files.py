"""Files of strangers: what is in them is never run, and what is wrong with them is said."""

import ast
import importlib.util
import io
import json
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import isthmus
from isthmus import Autoencoder, Checkpoint, load
from isthmus.data import read_data
from isthmus.errors import CheckpointError, DataError, InvalidParameterError, ModelFileError
from isthmus.training.checkpoint import read_state, write_state

ROOT = Path(__file__).parents[1]
SOURCES = sorted(Path(isthmus.__file__).parent.rglob("*.py"))


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).random((60, 12)).astype(np.float32)


@pytest.fixture
def saved(X, tmp_path):
    Autoencoder(3, network="transformer", epochs=1, random_state=0).fit(X).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="module")
def fuzz():
    """The benchmark, whose files and damages are used here too."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        specification = importlib.util.spec_from_file_location("fuzz", ROOT / "benchmarks" / "fuzz.py")
        module = importlib.util.module_from_spec(specification)
        sys.modules["fuzz"] = module
        specification.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["compressed", "model", "checkpoint", "csv", "npy", "npz", "parquet"])
def test_damaged_files_are_our_errors_or_results(kind, fuzz):
    if kind in {"parquet", "compressed"}:
        pytest.importorskip({"parquet": "pyarrow", "compressed": "constriction"}[kind])
    tally = fuzz.fuzz(kind, 60, seed=1)
    assert [words for words, _ in tally.faults] == []
    assert tally.slowest < 10
    assert sum(tally.counts.values()) == 60


def test_the_short_run_covers_every_kind(fuzz):
    (marked,) = (
        mark for mark in test_damaged_files_are_our_errors_or_results.pytestmark if mark.name == "parametrize"
    )
    assert marked.args[1] == list(fuzz.KINDS)


# Nothing is run


def called(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield (
                ast.unparse(node.func),
                {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords},
            )


@pytest.mark.parametrize(
    "path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)) if ROOT in path.parents else path.name
)
def test_no_module_unpickles_or_evaluates(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    imported |= {
        (node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    assert not imported & {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "yaml"}
    for name, keywords in called(tree):
        assert name not in {"eval", "exec", "torch.load", "joblib.load", "pandas.read_pickle", "pickle.load"}
        if name in {"np.load", "numpy.load"}:
            assert keywords.get("allow_pickle") == "False"


class Bomb:
    """What tells that it was unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_objects_are_refused(ending, tmp_path, capsys):
    path = tmp_path / f"rows{ending}"
    objects = np.array([[Bomb(), 1.0], [2.0, 3.0]], dtype=object)
    np.save(path, objects) if ending == ".npy" else np.savez(path, X=objects)
    with pytest.raises(DataError, match="holds Python objects, which are never loaded"):
        read_data(path)
    assert capsys.readouterr().out == ""


def test_a_model_of_pickles_is_refused(saved, capsys):
    torch.save({"weights": Bomb()}, saved / "model.safetensors")
    with pytest.raises(ModelFileError, match="damaged or truncated"):
        load(saved)
    assert capsys.readouterr().out == ""


def test_names_in_archives_lead_nowhere(tmp_path):
    (tmp_path / "inside").mkdir()
    content = io.BytesIO()
    np.save(content, np.zeros((3, 2)))
    path = tmp_path / "inside" / "rows.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../outside.npy", content.getvalue())
    assert read_data(path).rows.shape == (3, 2)
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["inside", "rows.npz"]


# Nothing is taken before it is known to be there


def change(saved, **changes):
    path = saved / "config.json"
    config = json.loads(path.read_text())
    for place, value in changes.items():
        *parents, last = place.split("__")
        node = config
        for parent in parents:
            node = node[parent]
        node[last] = value
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    "changes",
    [
        {"settings__n_components": 10**9},
        {"settings__network__n_decoder_layers": 10**30},
        {"settings__network__n_layers": 10**6},
        {"settings__network__width": 4 * 10**9},
        {"settings__network__n_summaries": 10**12},
        {"input_shape": [10**9]},
        {"settings__bottleneck": {"part": "vector-quantized", "n_codes": 10**10}},
    ],
)
def test_a_model_that_promises_too_much_is_refused_at_once(changes, saved):
    change(saved, **changes)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError):
            load(saved)
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(2**40, 8), (10**18, 10**18)])
def test_an_array_that_promises_too_much_is_refused(shape, tmp_path):
    path = tmp_path / "rows.npy"
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
        stream.write(b"\0" * 64)
    with pytest.raises(DataError):
        read_data(path)


# Found by fuzzing


def test_weights_that_overflow_give_no_copies(X, tmp_path):
    path = tmp_path / "model"
    Autoencoder(3, loss="mse", scale="none", epochs=1, random_state=0).fit(X).save(path)
    tensors = load_file(path / "model.safetensors")
    scaled = {name: value * 1e30 if name.startswith("network") else value for name, value in tensors.items()}
    save_file(scaled, path / "model.safetensors")
    with pytest.raises(DataError, match="What the network makes of row 0 is not finite"):
        load(path).reconstruct(X)


@pytest.mark.parametrize(
    "edit",
    [
        lambda saved: saved["identity"].update(environment=0.5),
        lambda saved: saved["identity"].update(learning_rate=[1] * 10_000),
        lambda saved: saved["state"]["now"].update(history=[{"epoch": 1, "loss": None}]),
        lambda saved: saved["state"]["now"].update(history=[{"epoch": 1}]),
        lambda saved: saved["state"]["now"].update(history=[{"epoch": 1, "loss": 10**400}]),
        lambda saved: saved["state"]["now"].update(seconds=10**400),
        lambda saved: saved["state"].update(good=3),
        lambda saved: saved["state"]["now"].update(position="x"),
        lambda saved: saved["state"].pop("now"),
    ],
)
@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")
def test_checkpoints_with_strange_values(edit, X, tmp_path):
    Autoencoder(3, epochs=2, random_state=0).fit(X, checkpoint=Checkpoint(tmp_path, every_seconds=0))
    *_, finished = sorted(tmp_path.glob("stage-*"))
    finished.unlink()
    (path,) = tmp_path.glob("stage-*")
    state = read_state(path)
    edit(state)
    write_state(path, state)
    with pytest.raises(CheckpointError) as caught:
        Autoencoder(3, epochs=2, random_state=0).fit(X, checkpoint=tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_long_names_and_deep_values_take_no_time():
    """Where they were met, the time grew with the square of the length, or Python gave up."""
    for loss in ("x" * 200_000, "mse:" + "[" * 100_000, "(" * 50_000):
        with pytest.raises(InvalidParameterError) as caught:
            Autoencoder(2, loss=loss).fit(np.eye(4))
        assert len(str(caught.value)) < 1000


def test_groups_of_many_channels_are_found_at_once():
    from isthmus.networks.convolutional import _normalization

    assert [_normalization(channels, None).num_groups for channels in (1, 7, 8, 12, 16)] == [1, 1, 1, 2, 2]
    assert _normalization(2**31 - 1, None).num_groups == 2**31 - 1  # a prime


@pytest.mark.parametrize(("entry", "value"), [("code_usage", [1.0]), ("feature_names", ["a", "b"])])
def test_lists_of_another_length_are_refused(entry, value, saved):
    change(saved, **{entry: value})
    with pytest.raises(ModelFileError, match=f"its {entry} has {len(value)} entries"):
        load(saved)
