"""What runs out, goes away or is shared: disks, folders, memory, files that are written to, processes."""

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import with_slow
from isthmus import Autoencoder, Checkpoint, load
from isthmus.cli import main
from isthmus.data import _atomic, read_data, write_data
from isthmus.errors import DataError, IsthmusError, MemoryShortError
from isthmus.estimators import _inference
from isthmus.estimators._inference import done_in_blocks
from isthmus.training import Callback


@pytest.fixture(scope="module")
def X():
    from sklearn.datasets import load_digits

    return (load_digits().data / 16).astype(np.float32)[:300]


@pytest.fixture(scope="module")
def model(X):
    return Autoencoder(8, hidden_layers=(32,), epochs=3, random_state=0).fit(X)


def everything_in(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Disk full, folder gone

#: Whatever writes: what it is called, and how it writes to a folder what replaces what it wrote before.
WRITERS = {
    "model": lambda model, X, folder: model.save(folder / "model", overwrite=True),
    "npy": lambda model, X, folder: write_data(X, folder / "rows.npy", overwrite=True),
    "npz": lambda model, X, folder: write_data(X, folder / "rows.npz", overwrite=True),
    "csv": lambda model, X, folder: write_data(X, folder / "rows.csv", overwrite=True),
    "checkpoint": lambda model, X, folder: Autoencoder(8, epochs=2, random_state=len(X)).fit(
        X, checkpoint=Checkpoint(folder / "saved", every_epochs=1)
    ),
    "compressed": lambda model, X, folder: _command(
        "compress",
        folder.parent / "kept",
        folder.parent / "rows.npy",
        "-o",
        folder / "rows.isthmus",
        "--force",
    ),
    "codes": lambda model, X, folder: _command(
        "transform", folder.parent / "kept", folder.parent / "rows.npy", "-o", folder / "codes.csv", "--force"
    ),
    "comparison": lambda model, X, folder: _command(
        *("compare", folder.parent / "rows.npy", "--saved", folder.parent / "kept", "--no-rates"),
        *("--baseline", "random-projection", "-o", folder / "table.csv", "--force"),
    ),
}


def _command(*words):
    if main([str(word) for word in words]) != 0:
        raise DataError("the command said so")


@pytest.fixture
def folder(model, X, tmp_path):
    model.save(tmp_path / "kept")
    write_data(X, tmp_path / "rows.npy")
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_what_was_there(name, model, X, folder, monkeypatch):
    if name == "compressed":
        pytest.importorskip("constriction")
    write = WRITERS[name]
    if name != "checkpoint":
        write(model, X, folder)
    before = everything_in(folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IsthmusError):
        write(model, X[:200], folder)
    left = {path: content for path, content in everything_in(folder).items() if not path.endswith("in-use")}
    assert left == before


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
@pytest.mark.parametrize("name", with_slow(["model", "npy", "csv", "checkpoint"], ["npy", "checkpoint"]))
def test_a_file_that_may_not_grow_leaves_what_was_there(name, folder):
    """The system's own refusal, in a process of its own, which it would otherwise end."""
    script = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
from pathlib import Path
import test_resources
from isthmus import load
from isthmus.errors import IsthmusError
folder = Path({str(folder)!r})
model, X = load(folder.parent / "kept"), np.load(folder.parent / "rows.npy")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
try:
    test_resources.WRITERS[{name!r}](model, X, folder)
except IsthmusError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert any(words in done.stdout for words in ("Cannot write", "cannot be written"))
    assert [name for name in everything_in(folder) if not name.endswith("in-use")] == []


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_is_gone_is_named(name, model, X, folder):
    folder.rmdir()
    if name == "checkpoint":
        WRITERS[name](model, X, folder)  # makes its folder
        return
    with pytest.raises(IsthmusError):
        WRITERS[name](model, X, folder)
    assert not folder.exists()


def test_a_checkpoint_folder_that_vanishes_is_an_error_and_no_hang(X, tmp_path):
    class Remove(Callback):
        def on_epoch_end(self, state):
            if state.epoch == 3:
                for path in (tmp_path / "saved").iterdir():
                    path.unlink()
                (tmp_path / "saved").rmdir()

    with pytest.raises(IsthmusError, match=r"Cannot write .*stage-01.*No such file"):
        Autoencoder(8, epochs=5, callbacks=[Remove()]).fit(
            X, checkpoint=Checkpoint(tmp_path / "saved", every_epochs=1)
        )


# Memory


def test_short_memory_makes_blocks_smaller(model, X, monkeypatch):
    wide, sizes = np.tile(X, (10, 1)).astype(np.float64), []
    expected = model.transform(wide)

    class Hungry(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, rows):
            sizes.append(len(rows))
            if len(rows) > 100:
                raise RuntimeError(
                    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
                )
            return self.module(rows)

    hungry = Hungry(_inference.in_precision(model.encoder_, torch.float64))
    assert np.allclose(_inference.apply_in_blocks(hungry, wide, 8), expected, atol=1e-12)
    assert sizes[0] > 100 >= sizes[-1]


def test_no_memory_at_all_is_a_clear_error(X):
    def refuse(rows):
        raise MemoryError

    with pytest.raises(MemoryShortError, match="not enough memory on cpu to pass a single row"):
        list(done_in_blocks(torch.nn.Linear(64, 2), X, refuse))
    with pytest.raises(RuntimeError, match="something else"):
        list(done_in_blocks(torch.nn.Linear(64, 2), X, lambda rows: _raise(RuntimeError("something else"))))


def _raise(error):
    raise error


def test_a_training_that_does_not_fit_says_what_to_do(X):
    class Refuse(Callback):
        def on_step_end(self, state):
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"
            )

    with pytest.raises(MemoryShortError, match=r"batches of 18 rows\. Use a smaller batch_size"):
        Autoencoder(8, epochs=2, callbacks=[Refuse()]).fit(X)


# Files that are written to while they are read


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    path.write_text("1,2\n3,4\n")
    loadtxt = np.loadtxt

    def meanwhile(*arguments, **settings):
        rows = loadtxt(*arguments, **settings)
        path.write_text("1,2\n3,4\n5,6\n")
        return rows

    monkeypatch.setattr(np, "loadtxt", meanwhile)
    with pytest.raises(DataError, match="was changed while it was read"):
        read_data(path)


@pytest.mark.parametrize("change", ["written to", "replaced", "removed"])
def test_a_mapped_file_that_changes_gives_no_result(change, folder, monkeypatch, capsys):
    from isthmus.estimators import BaseAutoencoder

    path, transform = folder.parent / "rows.npy", BaseAutoencoder.transform

    def meanwhile(self, X):
        codes = transform(self, X)
        if change == "written to":
            with path.open("r+b") as stream:
                stream.seek(-4, os.SEEK_END)
                stream.write(b"\0\0\0\0")
            os.utime(path, ns=(1, 1))
        elif change == "replaced":
            write_data(np.zeros((3, 64), np.float32), path, overwrite=True)
        else:
            path.unlink()
        return codes

    monkeypatch.setattr(BaseAutoencoder, "transform", meanwhile)
    assert main(["transform", str(folder.parent / "kept"), str(path), "-o", str(folder / "codes.npy")]) == 2
    assert "was changed while it was read" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


# Two at the same output


def test_models_saved_over_each_other_are_always_whole(model, X, tmp_path):
    other = Autoencoder(8, hidden_layers=(32,), epochs=1, random_state=1).fit(X)
    codes = {tuple(one.transform(X[:1])[0]) for one in (model, other)}
    model.save(tmp_path / "model")
    failures, stop = [], threading.Event()

    def save_again(one):
        for _ in range(25):
            try:
                one.save(tmp_path / "model", overwrite=True)
            except DataError:
                pass  # the other was faster; what counts is what is there
            except Exception as error:  # noqa: BLE001 - to be raised where it is seen
                failures.append(error)

    def look():
        while not stop.is_set():
            try:
                found = tuple(load(tmp_path / "model").transform(X[:1])[0])
            except IsthmusError:
                continue  # configuration and weights were read at two moments
            if found not in codes:
                failures.append(found)

    writers = [threading.Thread(target=save_again, args=(one,)) for one in (model, other)]
    reader = threading.Thread(target=look)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert failures == []
    assert tuple(load(tmp_path / "model").transform(X[:1])[0]) in codes
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_files_written_over_each_other_are_always_whole(tmp_path):
    path, failures = tmp_path / "rows.npy", []
    ones, twos = np.full((200, 50), 1.0), np.full((300, 50), 2.0)

    def write_again(rows):
        for _ in range(50):
            write_data(rows, path, overwrite=True)
            found = np.load(path)
            if len(set(found.ravel().tolist())) != 1 or len(found) != found[0, 0] * 100 + 100:
                failures.append(found.shape)

    threads = [threading.Thread(target=write_again, args=(rows,)) for rows in (ones, twos)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [item.name for item in tmp_path.iterdir()] == ["rows.npy"]


def test_what_is_moved_into_place_is_on_the_disk(tmp_path, monkeypatch):
    """The content is synced before the move, the folder's names after it."""
    order, fsync, replace = [], os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), fsync(handle))[1])
    monkeypatch.setattr(
        Path, "replace", lambda path, target: (order.append("move"), replace(path, target))[1]
    )
    with _atomic.replacing(tmp_path / "file") as stream:
        stream.write(b"content")
    assert order == ["sync", "move", "sync"]


# Threads and processes


def test_transform_from_several_threads(model, X):
    rows = [
        np.ascontiguousarray(np.roll(X, shift, axis=0)).astype(dtype) for shift in range(8) for dtype in "fd"
    ]
    expected = [model.transform(part).tobytes() for part in rows]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda part: model.transform(part).tobytes(), rows))
    assert found == expected


CHILD = """
import multiprocessing, sys
import numpy as np
import torch
from sklearn.datasets import load_digits
from isthmus import Autoencoder

X = load_digits().data / 16
wide = np.tile(X, (4, 1))

def codes(model):
    return model.transform(wide), torch.get_num_threads()

def trained(seed):
    model = Autoencoder(4, epochs=1, random_state=seed).fit(X)
    return model.transform(X), model.engine_["threads"]

def idle(_):
    return torch.get_num_threads()

if __name__ == "__main__":
    torch.set_num_threads(2)
    model = Autoencoder(32, hidden_layers=(128,), epochs=1, random_state=0).fit(X)
    expected = model.transform(wide)
    if sys.argv[1] == "joblib":
        from joblib import Parallel, delayed
        found = Parallel(n_jobs=2)(delayed(codes)(model) for _ in range(4))
    else:
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            print(set(pool.map(idle, range(4))))
            found = pool.map(codes, [model] * 4)
            for seed, (result, threads) in enumerate(pool.map(trained, range(2))):
                assert np.allclose(result, trained(seed)[0], atol=1e-4)
                print(threads)
    assert all(np.allclose(result, expected, atol=1e-12) for result, _ in found)
    print(torch.get_num_threads(), sorted({threads for _, threads in found}))
"""


WAYS = ["joblib", *(way for way in ("fork", "spawn") if way in multiprocessing.get_all_start_methods())]


@pytest.mark.parametrize("way", with_slow(WAYS, ["joblib"]))
def test_transform_and_fit_from_several_processes(way, tmp_path):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    done = subprocess.run(
        [sys.executable, script, way], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *before, last = done.stdout.strip().splitlines()
    own, children = last.split(" ", 1)
    assert own == "2"
    if way == "fork":
        # The parent's threads are not there for what Isthmus computes; nothing else is limited.
        assert before == ["{2}", "1", "1"]
        assert children == "[2]"


def test_threads_are_as_the_user_set_them(X):
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            model = Autoencoder(4, epochs=1, code_activation="identity", random_state=0).fit(X)
            model.transform(X)
            assert torch.get_num_threads() == threads
            assert model.engine_["threads"] <= threads
    finally:
        torch.set_num_threads(before)
