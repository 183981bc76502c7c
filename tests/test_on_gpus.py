"""What is done on GPUs, as far as it can be seen without one: what torch is asked for, and in which order."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from isthmus import Autoencoder, SequenceAutoencoder
from isthmus.estimators._trainer import Trainer
from isthmus.training import OPTIMIZERS, Adam, Batch, CapturedStep, CudaGraphs, FlatParameters

pytestmark = pytest.mark.filterwarnings(
    "ignore::isthmus.errors.DeadCodeWarning", "ignore::isthmus.errors.CollapseWarning"
)


class Streams:
    """What CudaGraphs asks of torch.cuda, on a machine without a GPU; says what was done on which stream."""

    def __init__(self, monkeypatch):
        self.log, self.current = [], "default"
        for name in ("Stream", "CUDAGraph", "current_stream", "stream", "graph"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name), raising=False)

    class Stream:
        def __init__(self):
            self.waited_for = []

        def wait_stream(self, other):
            self.waited_for.append(other)

    class CUDAGraph:
        def replay(self):
            pass

    def current_stream(self):
        return self.default if self.current == "default" else self.current

    default = Stream()

    @contextlib.contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextlib.contextmanager
    def graph(self, graph, stream):
        assert stream is self.current  # or else the gradients of earlier steps would be of another stream
        yield
        if getattr(self, "empty", False):
            warnings.warn("The CUDA Graph is empty. This usually means ...", UserWarning, stacklevel=1)


def test_all_that_a_recording_needs_is_on_its_stream(monkeypatch):
    streams = Streams(monkeypatch)
    graphs = CudaGraphs()
    assert "full batches" in graphs.failure
    with graphs.alone():
        assert streams.current is graphs.stream
        assert graphs.stream.waited_for == [streams.default]
        graphs.warm_up(dict)
        assert streams.current is graphs.stream
        graphs.record(dict)
    assert streams.current == "default"
    assert streams.default.waited_for == [graphs.stream]
    assert graphs.failure is None


def test_an_empty_recording_is_none(monkeypatch):
    streams = Streams(monkeypatch)
    streams.empty = True
    graphs = CudaGraphs()
    with graphs.alone():
        step = CapturedStep(lambda batch: {"loss": batch.rows.sum()}, graphs)
        batch = Batch(torch.ones(4, 2), torch.arange(4))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert [float(step(batch)["loss"]) for _ in range(6)] == [8.0] * 6
    assert graphs.failure.startswith("it cannot be recorded: The CUDA Graph is empty")


def reason_on_a_gpu(digits, **parameters):
    """Return why steps would not be recorded if the model were on a GPU."""
    model = Autoencoder(**{"n_components": 6, "epochs": 1, **parameters}).fit(digits[0][:200])
    trainer = Trainer(model._assembly, model.settings_, model.input_shape_, 0.1)
    trainer.device = torch.device("cuda")
    rate = "lr" if model.settings_.optimizer.name in {"adam", "adamw"} else "none"
    for group in trainer.optimizer.param_groups:  # as it is built on a GPU
        group[rate] = torch.tensor(0.1)
    return trainer._why_not_recorded()


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, None),
        ({"optimizer": "adamw", "noise": "gaussian", "penalty": "l1"}, None),
        ({"compile": False}, "compile=False"),
        ({"optimizer": "rmsprop"}, "optimizer='rmsprop' does not read its learning rate from the device"),
        ({"optimizer": "adagrad"}, "optimizer='adagrad' does not read its learning rate from the device"),
        ({"bottleneck": "vq", "n_components": 8}, "how often entries are chosen"),
        ({"bottleneck": "topk:k=2"}, "units that pass"),
        ({"network": "transformer:width=8,n_heads=2,n_layers=1"}, "missing decide"),
        ({"network": "recurrent:n_features=8,width=8"}, "lengths of sequences decide"),
    ],
    ids=str,
)
def test_what_is_not_recorded_says_why(parameters, reason, digits):
    found = reason_on_a_gpu(digits, **parameters)
    if reason is None:
        assert found is None
    else:
        assert reason in found


def test_the_engine_says_whether_steps_were_recorded(digits):
    engine = Autoencoder(6, epochs=1, device="cpu").fit(digits[0][:200]).engine_
    assert engine["recorded"] is False
    assert engine["not_recorded"] == "the device is cpu"


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_torch_takes_every_optimizer_where_it_is_built(name, device):
    """What torch computes in one call on the CPU, it refuses elsewhere for Adagrad."""
    parameter = nn.Parameter(torch.zeros(3, device=device))
    parameter.grad = torch.ones_like(parameter)
    stepper = OPTIMIZERS[name]().build([parameter], 0.1, 0.0)
    fused = stepper.param_groups[0].get("fused")
    if name == "adagrad":
        assert fused is (device == "cpu")
    if device == "cpu":
        stepper.step()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_weights_of_recurrent_layers_stay_where_they_are(cell):
    """cuDNN wants them in one piece of memory, where they are when a network is moved to a GPU."""
    rows = np.random.default_rng(0).normal(size=(60, 6, 2)).astype(np.float32)
    network = f"recurrent:cell={cell},width=5"
    model = SequenceAutoencoder(3, network=network, epochs=1, random_state=0).fit(rows)
    layers = [module for module in model._assembly.modules() if isinstance(module, nn.RNNBase)]
    weights = [weight for layer in layers for weight in layer.parameters()]
    places, before = [weight.data_ptr() for weight in weights], [weight.clone() for weight in weights]
    memory = FlatParameters(model._assembly)
    assert sum(one.numel() for one in memory.trained) == sum(p.numel() for p in model._assembly.parameters())
    optimizer = Adam().build(memory.trained, 0.1, 0.0)
    with memory:
        memory.take([torch.ones_like(parameter) for parameter in memory.parameters])
        optimizer.step()
        assert [weight.data_ptr() for weight in weights] == places
    assert [weight.data_ptr() for weight in weights] == places
    for parameter, old in zip(weights, before, strict=True):
        torch.testing.assert_close(parameter, old - 0.1)
        assert parameter.grad is None


@pytest.mark.slow
def test_the_checks_for_gpus_run_and_hold(tmp_path):
    script = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
    found = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, script, "--device", "cpu", "--only", "checks", "--output", found],
        capture_output=True, text=True, check=False, timeout=600,
        # On one thread, like the other tests: beside busy ones two threads wait for each other.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(row["failures"] for row in json.loads(found.read_text())["checks"])
