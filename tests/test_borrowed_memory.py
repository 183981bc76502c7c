"""Rows stay as they are, whatever the parts and modules of the user do with what they are given."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from isthmus import Autoencoder, DenoisingAutoencoder, PretrainedClassifier
from isthmus._device import copied_from
from isthmus.networks import Modules
from isthmus.objectives import GaussianNoise, SquaredError

pytestmark = pytest.mark.filterwarnings(
    "ignore::isthmus.errors.DeadCodeWarning", "ignore::isthmus.errors.CollapseWarning"
)

SHAPE = (40, 6)


class WritingNoise(GaussianNoise):
    """Noise that is added in place, against its interface."""

    def __call__(self, rows, keys, around):
        noisy = super().__call__(rows, keys, around)
        around.pool.fill_(9.0)
        return rows.fill_(9.0).copy_(noisy)


class WritingSquaredError(SquaredError):
    """A loss that leaves nothing of what it compares."""

    def _per_value(self, pre_activations, rows, parameters=None):
        losses = (pre_activations - rows).square()
        with torch.no_grad():
            rows.fill_(9.0)
        return losses


class Writing(nn.Module):
    """A layer that leaves nothing of its input."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_inputs, n_outputs, dtype=torch.float32)

    def forward(self, rows):
        outputs = self.layer(rows.clone())
        with torch.no_grad():
            rows.fill_(9.0)
        return outputs


def values(dtype):
    drawn = np.random.default_rng(0).random(SHAPE)
    return (255 * drawn).astype(dtype) if dtype == "uint8" else drawn.astype(dtype)


def writable(rows, folder):
    return rows


def read_only(rows, folder):
    rows.flags.writeable = False
    return rows


def mapped(rows, folder):
    np.save(folder / "rows.npy", rows)
    # Read-only for NumPy, while the pages can be written to: a write is found, and ends no process.
    rows = np.load(folder / "rows.npy", mmap_mode="r+")
    rows.flags.writeable = False
    return rows


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("held", [writable, read_only, mapped])
@pytest.mark.parametrize(
    "parts",
    [
        {"noise": WritingNoise(0.1)},
        {"loss": WritingSquaredError()},
        {"network": Modules(Writing(6, 2), Writing(2, 6))},
    ],
    ids=lambda parts: next(iter(parts)),
)
def test_parts_that_write_do_not_reach_the_users_rows(parts, held, dtype, tmp_path):
    expected, X = values(dtype), held(values(dtype), tmp_path)
    model = DenoisingAutoencoder(2, **{"noise": None, "scale": "none", **parts}, epochs=2, random_state=0)
    if dtype == "uint8":
        model.set_params(scale="auto")
    model.fit(X, validation_data=X).partial_fit(X)
    for method in (model.transform, model.reconstruct, model.score, model.score_samples):
        method(X)
    if "noise" in parts:
        model.corrupt(X, random_state=0)
    y = np.arange(len(X)) % 2
    if "noise" in parts:
        plain = Autoencoder(2, scale=model.scale, epochs=1)
        PretrainedClassifier(plain, **parts, epochs=1).fit(X, y, validation_data=(X, y)).predict(X)
    np.testing.assert_array_equal(X, expected)
    if held is mapped:
        np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), expected)


def test_a_large_map_is_not_copied_as_a_whole(tmp_path):
    """Neither by methods that pass rows in blocks nor by a training in its own scale."""
    n_bytes = 64 * 2**20
    np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (n_bytes // 1024, 256))[:] = 0.5
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    model = Autoencoder(2, epochs=1, scale="none", batch_size=4096, random_state=0).fit(X[:4096] + 0.0)
    tracemalloc.start()
    model.transform(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n_bytes / 4


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_copy_shares_nothing(order):
    rows = np.asarray(values("float64"), order=order)
    tensor = copied_from(rows[::2])
    assert tensor.is_contiguous()
    assert not np.shares_memory(tensor.numpy(), rows)
    np.testing.assert_array_equal(tensor.numpy(), rows[::2])
