"""Files of strangers: what is in them is never run, and what is wrong with them is said."""

import ast
import contextlib
import dataclasses
import importlib.util
import inspect
import io
import json
import shutil
import struct
import sys
import tracemalloc
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.decomposition import PCA
from torch import nn

import isthmus
from isthmus import Autoencoder, Checkpoint, Compressor, load
from isthmus.cli import main
from isthmus.codec import (
    Block,
    Header,
    Writer,
    header_bytes,
    read_header,
    send_columns,
    write_block,
    write_end,
)
from isthmus.data import read_data
from isthmus.errors import (
    CheckpointError,
    CompressedDataError,
    DataError,
    InvalidParameterError,
    ModelFileError,
)
from isthmus.estimators._entries import (
    _RANGES,
    entry_for,
    parameter_entries,
    part_entries,
    settings_entries,
)
from isthmus.estimators._loading import ESTIMATORS
from isthmus.estimators._settings import PARTS, Settings
from isthmus.persistence import ENTRIES
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
    tally = fuzz.fuzz(kind, range(60), seed=1)
    assert [words for words, _ in tally.faults] == []
    assert tally.slowest < fuzz.SECONDS
    assert tally.grown < fuzz.MEBIBYTES
    assert sum(tally.counts.values()) == 60


def test_damage_depends_on_the_number_of_the_file_alone(fuzz):
    together, apart = fuzz.fuzz("csv", range(20), seed=3), fuzz.fuzz("csv", range(12), seed=3)
    apart.add(fuzz.fuzz("csv", range(12, 20), seed=3))
    assert apart.counts == together.counts
    assert set(together.counts) > {"read"}


@pytest.mark.filterwarnings("ignore")
def test_the_limits_of_a_file_can_be_exceeded(fuzz, monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 0.0)
    assert all("took" in words for words, _ in fuzz.fuzz("npy", range(4), seed=0).faults)
    monkeypatch.setattr(fuzz, "SECONDS", 100.0)
    kind = fuzz.Kind([b""], lambda _: str(len(np.ones(10_000_000)))[:0] + "read", (lambda data, *_: data,))
    monkeypatch.setitem(fuzz._kinds, "npy", kind)
    (fault,) = fuzz.fuzz("npy", range(1), seed=0).faults
    assert "MiB" in fault[0]


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


STORED = Path(__file__).parent / "stored_models"

#: A stored model, and a change to its configuration that asks for far more than its weights.
ENORMOUS = {
    "a million hidden layers": ("dense", {"settings__hidden_layers": [1] * 10**6}),
    "as many layers as are allowed": ("dense", {"settings__hidden_layers": [1] * 10_000}),
    "200,000 channels": ("convolutional", {"settings__network__channels": [1] * 200_000}),
    "a billion components": ("fsq", {"settings__n_components": 10**9}),
    "a billion features of a loss": (
        "convolutional",
        {"settings__loss": {"part": "gaussian", "variance": "feature"}, "input_shape": [2**14, 2**14]},
    ),
    "a long row": ("sequence", {"input_shape": [2**31 - 1]}),
    "a long row of many axes": ("sequence", {"input_shape": [2**27] * 8}),
    "a large codebook": ("vq", {"settings__bottleneck__n_codes": 2**31 - 1}),
    "many levels": ("vq", {"settings__bottleneck__n_levels": 2**31 - 1}),
    "a wide state": ("sequence", {"settings__network__width": 2**31 - 1}),
    "a large kernel": ("convolutional", {"settings__network__kernel_size": 2**31 - 1}),
    "many summaries": ("masked", {"settings__network__n_summaries": 2**31 - 1}),
    "many wide layers": ("machine", {"settings__hidden_layers": [10**9] * 3}),
    "lists of nothing": ("dense", {"history": [[]] * 10**6}),
    "a deep value": ("dense", {"settings__loss": json.loads("[" * 500 + "]" * 500)}),
}


@pytest.mark.parametrize("case", ENORMOUS)
def test_sizes_are_compared_with_the_weights_before_anything_is_built(case, tmp_path):
    name, changes = ENORMOUS[case]
    saved = shutil.copytree(STORED / name, tmp_path / "model")
    change(saved, **changes)
    built = Counter()
    with (
        mock.patch.object(nn.Module, "__init__", counted(nn.Module.__init__, built)),
        limited_memory() as peak,
        pytest.raises(ModelFileError) as caught,
    ):
        load(saved)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)
    assert built["modules"] < 1000
    assert peak() < 64


def counted(function, counts):
    def wrapper(*args, **kwargs):
        counts["modules"] += 1
        return function(*args, **kwargs)

    return wrapper


@contextlib.contextmanager
def limited_memory():
    """Give a function that says how much the process has grown at most, in MiB; 0 where Linux does not say."""

    def peak():
        try:
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
        except OSError:
            return 0.0

    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    yield lambda: peak() - before


def test_what_a_model_may_have_is_known_for_every_parameter():
    """The tables are made from signatures; a type that they do not know would be an error here."""
    for estimator in ESTIMATORS.values():
        assert parameter_entries(estimator).keys() == inspect.signature(estimator).parameters.keys()
    assert settings_entries().keys() == {item.name for item in dataclasses.fields(Settings)}
    assert set(_RANGES) <= set(settings_entries())
    for parts in PARTS.values():
        for part in parts.values():
            assert part_entries(part).keys() == set(part.settings())
    with pytest.raises(TypeError, match="is the type of no entry"):
        entry_for(complex)


@pytest.mark.parametrize("name", sorted(path.name for path in STORED.iterdir()))
def test_everything_that_is_saved_is_in_the_tables(name, tmp_path):
    """A new entry that is saved but not in the tables could not be loaded again."""
    load(STORED / name).save(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config.keys() == ENTRIES.keys()
    load(tmp_path / "model")


@pytest.mark.parametrize("place", [(), ("settings",), ("parameters",), ("settings", "loss")])
def test_unknown_entries_are_refused(place, tmp_path):
    saved = shutil.copytree(STORED / "dense", tmp_path / "model")
    change(saved, **{"__".join((*place, "surprise")): 1})
    with pytest.raises(ModelFileError, match=r"surprise.*Was it saved by a newer Isthmus\?"):
        load(saved)


def places_in(tree, above=()):
    """Yield the place of every entry of a JSON value; of a list, of its first entry alone."""
    for key in tree if isinstance(tree, dict) else range(min(1, len(tree))):
        yield (*above, key)
        if isinstance(tree[key], dict | list):
            yield from places_in(tree[key], (*above, key))


STRANGE = [
    None,
    True,
    -1,
    0.5,
    2**63,
    10**400,
    1e308,
    "",
    "x" * 20_000,
    [],
    [[]],
    {},
    {"part": "dense"},
    "\x1b[2J",
]


@pytest.mark.parametrize("name", ["dense", "convolutional", "vq", "machine"])
def test_info_describes_or_refuses_whatever_an_entry_is(name, tmp_path, capsys):
    saved = shutil.copytree(STORED / name, tmp_path / "model")
    whole = (saved / "config.json").read_text()
    told = 0
    for number, place in enumerate(places_in(json.loads(whole))):
        tree = node = json.loads(whole)
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = STRANGE[number % len(STRANGE)]
        (saved / "config.json").write_text(json.dumps(tree))
        code = main(["info", str(saved), *(["--json"] if number % 2 else [])])
        output = capsys.readouterr()
        assert code == (2 if output.err else 0), output.err
        assert "\x1b" not in output.out + output.err
        assert output.err.count("\n") <= 1
        told += code == 0
    assert 0 < told < number


def test_a_header_that_is_not_of_the_model_is_refused_before_its_blocks_are_read():
    pytest.importorskip("constriction")
    rows = np.random.default_rng(0).random((50, 8)).astype(np.float32)
    compressor = Compressor(PCA(3)).fit(rows)

    def file(n_codes, n_rows, **more):
        channel = Writer()
        send_columns(channel, np.zeros((n_rows, n_codes), dtype=np.int64), (n_rows, n_codes))
        header = Header(compressor.fingerprint_, "float32", (8,), (0,) * n_codes, **more)
        stream = io.BytesIO()
        stream.write(header_bytes(header))
        write_block(stream, Block(n_rows, channel.content()))
        write_end(stream, n_rows)
        return stream.getvalue()

    assert compressor.decompress(file(3, 7)).shape == (7, 8)
    small = file(512, 65_536)
    assert len(small) < 2000
    with limited_memory() as peak, pytest.raises(CompressedDataError, match="header is damaged: the model"):
        compressor.decompress(small)
    assert peak() < 64
    with pytest.raises(
        CompressedDataError, match="header is damaged: the model does not make rows of 8 values"
    ):
        compressor.decompress(file(3, 7, whole=True))


def test_a_header_with_more_parts_than_a_header_is_not_parsed():
    text = zlib.compress(b'{"row_shape": [' + b"[]," * 5_000_000 + b"[]]}")
    start = struct.pack("<8sHI", b"\x89ISTH\r\n\x1a", 1, len(text)) + text
    with limited_memory() as peak, pytest.raises(CompressedDataError, match="more parts than a header"):
        read_header(io.BytesIO(start + struct.pack("<I", zlib.crc32(start))))
    assert peak() < 64


def test_a_single_number_in_an_archive_is_no_rows(tmp_path):
    np.savez(tmp_path / "rows.npz", X=3.0, y=np.arange(3))
    with pytest.raises(DataError, match="X is a single number, and rows are needed"):
        read_data(tmp_path / "rows.npz")


def test_a_member_of_an_archive_that_is_no_array_is_not_decompressed(tmp_path):
    path = tmp_path / "rows.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", b"\0" * 100_000_000)
    with limited_memory() as peak, pytest.raises(DataError, match="X is not an array"):
        read_data(path)
    assert peak() < 64


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
        lambda saved: saved["state"]["now"].update(history=[], epoch=2),
        lambda saved: saved["state"]["now"].update(history=[], epoch=0, stop=True),
        lambda saved: saved["state"]["now"].update(epoch=-1),
        lambda saved: saved["state"]["now"].update(position=10**9),
        lambda saved: saved["state"]["now"].update(tries=-(10**9)),
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
