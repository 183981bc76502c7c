"""Without the optional packages: what needs one says so before any work, and nothing else needs any."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from isthmus import Autoencoder, Compressor, Map
from isthmus.cli import main
from isthmus.errors import MissingDependencyError
from isthmus.training import TensorBoard

OPTIONAL = ["constriction", "openTSNE", "pandas", "pyarrow", "soundfile", "tensorboard", "umap", "zstandard"]


@pytest.fixture
def plain(monkeypatch):
    """Make the optional packages look as if they were not installed."""
    for name in list(sys.modules):
        if name.partition(".")[0] in OPTIONAL or name.startswith("torch.utils.tensorboard"):
            monkeypatch.delitem(sys.modules, name)
    for name in OPTIONAL:
        monkeypatch.setitem(sys.modules, name, None)


class NeverAsked(Autoencoder):
    """A model that must not be asked to work."""

    def fit(self, X, y=None, **_):
        pytest.fail("it was trained in vain")

    def transform(self, X):
        pytest.fail("it encoded in vain")


ASKING = {
    "a compressor": (lambda: Compressor(NeverAsked(2)).fit(np.eye(4)), "codec"),
    "t-SNE": (lambda: Map("tsne", model=NeverAsked(2)).fit(np.eye(9)), "tsne"),
    "UMAP": (lambda: Map("umap", model=NeverAsked(2), n_neighbors=2).fit(np.eye(9)), "umap"),
    "TensorBoard": (lambda: TensorBoard("folder"), "track"),
}


@pytest.mark.parametrize(("ask", "extra"), ASKING.values(), ids=ASKING)
def test_an_optional_package_is_asked_for_before_the_work(ask, extra, plain):
    with pytest.raises(MissingDependencyError, match=rf"pip install \"?isthmus\[{extra}\]"):
        ask()


def test_every_command_works_without_extras(plain, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).random((80, 6))
    lines = [",".join("abcdef"), *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    fitted = ["--n-components", "2", "--epochs", "3", "--random-state", "0"]
    for command in (
        ["fit", "table.csv", "-o", "model", "--validation", "table.csv", *fitted],
        ["transform", "model", "table.csv", "-o", "codes.csv"],
        ["inverse-transform", "model", "codes.csv", "-o", "rows.npz"],
        ["reconstruct", "model", "table.csv", "-o", "copies.csv"],
        ["evaluate", "model", "table.csv", "--reference", "table.csv"],
        ["info", "model"],
        ["info"],
    ):
        assert main(command) == 0, capsys.readouterr().err


def test_the_package_is_imported_without_extras():
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL})); from isthmus import *; "
        "import isthmus.report, isthmus.comparison, isthmus.cli.demo, isthmus.cli.compressing"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
