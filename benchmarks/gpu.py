"""What has to hold on a GPU, checked and timed in a few minutes on one card.

    python benchmarks/gpu.py [--device cuda] [--only checks] [--output FILE]

Every member of the family is trained on the device, with all warnings as errors, and compared with the same
training on the CPU; codes of a row alone with those in a batch; saved and stored models with themselves. Then
the networks of the notebook are timed beside a plain loop of torch's. Prints what it finds, and ends with 1 if a
check fails; on a GPU it also writes benchmarks/gpu.json and the table between the marks of benchmarks/RESULTS.md.
With ``--device cpu`` the same code runs on small sizes, to see that it runs.
"""

from __future__ import annotations

import argparse
import copy
import json
import pickle
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch.nn import functional

from isthmus import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalAutoencoder,
    DeepBeliefNetwork,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    MaskedAutoencoder,
    PretrainedClassifier,
    RestrictedBoltzmannMachine,
    SequenceAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
    load,
)
from isthmus.data import load_mnist
from isthmus.errors import CollapseWarning, DeadCodeWarning, RestorationWarning
from recording import HERE, machine, write_between

Row = dict[str, Any]

#: Of the score on the CPU: weights are learnt by other bits, and random numbers and noise are the same.
SCORE_TOLERANCE = 0.03
#: Of the largest code: float32, not TF32, which errs by 1e-3.
CODE_TOLERANCE = 1e-5
#: Of a model that was learnt on the device and computes on the CPU.
DEVICE_TOLERANCE = 1e-4
BATCH = 256

MEMBERS = {
    "Autoencoder": Autoencoder(8),
    "deep": Autoencoder(8, hidden_layers=(32, 16)),
    "tied": Autoencoder(8, hidden_layers=(32,), tied=True),
    "bfloat16": Autoencoder(8, hidden_layers=(32,), precision="bfloat16"),
    "Gaussian likelihood": Autoencoder(8, loss="gaussian", scale="standard"),
    "SparseAutoencoder": SparseAutoencoder(70),
    "KSparseAutoencoder": KSparseAutoencoder(70, k=5),
    "DenoisingAutoencoder": DenoisingAutoencoder(8, hidden_layers=(32,)),
    "ContractiveAutoencoder": ContractiveAutoencoder(8, hidden_layers=(32,)),
    "VariationalAutoencoder": VariationalAutoencoder(8),
    "ConvolutionalAutoencoder": ConvolutionalAutoencoder(8, hidden_layers=(32,)),
    "VectorQuantizedAutoencoder": VectorQuantizedAutoencoder(8, bottleneck="vq:n_codes=16,dimension=2"),
    "finite scalars": VectorQuantizedAutoencoder(8, bottleneck="fsq:levels=(5,4)"),
    "MaskedAutoencoder": MaskedAutoencoder(
        8, network="transformer:tokens=patches,patch_size=2,width=16,n_heads=2"
    ),
    "SequenceAutoencoder": SequenceAutoencoder(8, network="recurrent:width=24,n_features=8"),
    "GRU": SequenceAutoencoder(8, network="recurrent:cell=gru,width=24,n_features=8,bidirectional=True"),
    "RestrictedBoltzmannMachine": RestrictedBoltzmannMachine(20),
    "persistent chains": RestrictedBoltzmannMachine(20, sampler="pcd"),
    "DeepBeliefNetwork": DeepBeliefNetwork(12, hidden_layers=(30,)),
    **{
        f"optimizer={name}": Autoencoder(8, hidden_layers=(32,), optimizer=name)
        for name in ("adamw", "sgd", "rmsprop", "adagrad", "adadelta")
    },
    "schedule=plateau": Autoencoder(8, hidden_layers=(32,), schedule="plateau"),
}

NETS = {
    "notebook, 784-32": Autoencoder(32),
    "deep, 128-64-32": Autoencoder(32, hidden_layers=(128, 64)),
    "convolutional, 16-8-8": ConvolutionalAutoencoder(128, network="convolutional:channels=(16,8,8)"),
    "variational, 784-200-200-50": VariationalAutoencoder(50, hidden_layers=(200, 200)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", choices=["checks", "times"], default=None)
    parser.add_argument("--output", type=Path, default=None)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("torch finds no GPU here. To see that the checks run: --device cpu", file=sys.stderr)
        return 2
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    result: Row = {
        "device": name,
        "machine": machine(),
        "cuda": torch.version.cuda,
        "date": str(date.today()),
    }
    print(f"{name}; {result['machine']}")
    if arguments.only != "times":
        result["checks"] = [checked(name, model, device) for name, model in MEMBERS.items()]
        result["checks"] += [checked_classifier(device), checked_settings(device)]
    if arguments.only != "checks":
        result["times"] = [timed(name, model, device) for name, model in NETS.items()]
    output = arguments.output or (HERE / "gpu.json" if device.type == "cuda" else None)
    if output is not None:
        output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.output is None and device.type == "cuda":
        write_between("gpu", "end of gpu", table(result))
    failed = [row["name"] for row in result.get("checks", []) if row["failures"]]
    print(f"{len(failed)} failed: {', '.join(failed)}" if failed else "All checks hold.")
    return bool(failed)


def table(result: Row) -> list[str]:
    """Return the results as RESULTS.md shows them."""
    lines = [f"{result['device']}, CUDA {result['cuda']}, {result['date']}; {result['machine']}."]
    if "times" in result:
        lines += ["", "| seconds per epoch | float32 | bfloat16 | plain torch loop |", "|---|---|---|---|"]
        for row in result["times"]:
            seconds = (f"{row[way]:.4f}" for way in ("float32", "bfloat16", "plain torch"))
            lines.append(f"| {row['name']} | {' | '.join(seconds)} |")
    if "checks" in result:
        lines += [
            "",
            "| trained | score, on the CPU | row alone | recorded | failures |",
            "|---|---|---|---|---|",
        ]
        for row in result["checks"]:
            scores = f"{row['score']:.4f}, {row['score on the CPU']:.4f}" if "score" in row else ""
            alone = f"{row['alone against batch']:.0e}" if "alone against batch" in row else ""
            engine = row.get("engine", {})
            recorded = "yes" if engine.get("recorded") else engine.get("not_recorded") or ""
            lines.append(
                f"| {row['name']} | {scores} | {alone} | {recorded} | {'; '.join(row['failures'])} |"
            )
    return lines


def images() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return (data.images / 16).astype(np.float32), data.target


def checked(name: str, model: Any, device: torch.device) -> Row:
    """Return what became of one member, and which checks failed."""
    rows, _ = images()
    rows = rows if "Masked" in name or "Convolutional" in name else rows.reshape(len(rows), -1)
    train, test = rows[:1400], rows[1400:]
    settings = {"epochs": 10, "random_state": 0}

    def work(row: Row) -> dict[str, bool]:
        fitted = clone(model).set_params(device=str(device), **settings).fit(train)
        on_cpu = clone(model).set_params(device="cpu", **settings).fit(train)
        codes = fitted.transform(test)
        alone = np.concatenate([fitted.transform(test[number : number + 1]) for number in range(20)])
        again = pickle.loads(pickle.dumps(fitted))  # noqa: S301
        with tempfile.TemporaryDirectory() as folder:
            fitted.save(f"{folder}/model")
            loaded = load(f"{folder}/model", device=str(device))
            moved = load(f"{folder}/model", device="cpu")
        scale = float(np.abs(codes).max()) or 1.0
        row |= {
            "score": fitted.score(test),
            "score on the CPU": on_cpu.score(test),
            "alone against batch": float(np.abs(alone - codes[:20]).max()) / scale,
            "moved to the CPU": float(np.abs(moved.transform(test) - codes).max()) / scale,
            "engine": fitted.engine_,
        }
        fitted.partial_fit(train[:256])
        again.partial_fit(train[:256])
        quantized = "Quantized" in name or "finite" in name  # an entry more or less is a step, not a rounding
        return {
            "trained there": fitted.engine_["device"].startswith(device.type),
            "scores": abs(row["score"] - row["score on the CPU"]) <= SCORE_TOLERANCE,
            "row alone": row["alone against batch"] <= CODE_TOLERANCE,
            "saved": np.array_equal(loaded.transform(test), codes),
            "moved": quantized or row["moved to the CPU"] <= DEVICE_TOLERANCE,
            "pickled": np.abs(again.transform(test) - fitted.transform(test)).max() / scale
            <= DEVICE_TOLERANCE,
            "says why": fitted.engine_["recorded"] or bool(fitted.engine_["not_recorded"]),
        }

    return told(name, work)


def checked_classifier(device: torch.device) -> Row:
    """Return the same for a classifier on an encoder."""
    rows, labels = images()
    rows = rows.reshape(len(rows), -1)

    def work(row: Row) -> dict[str, bool]:
        accuracies, models = {}, {}
        for where in (str(device), "cpu"):
            inner = Autoencoder(16, hidden_layers=(64,), epochs=10, device=where, random_state=0)
            models[where] = PretrainedClassifier(inner, epochs=10, device=where, random_state=0)
            models[where].fit(rows[:1400], labels[:1400])
            accuracies[where] = models[where].score(rows[1400:], labels[1400:])
        row |= {"score": accuracies[str(device)], "score on the CPU": accuracies["cpu"]}
        fitted = models[str(device)]
        again = pickle.loads(pickle.dumps(fitted))  # noqa: S301
        return {
            "scores": abs(row["score"] - row["score on the CPU"]) <= SCORE_TOLERANCE,
            "pickled": np.array_equal(again.predict_proba(rows), fitted.predict_proba(rows)),
        }

    return told("PretrainedClassifier", work)


def checked_settings(device: torch.device) -> Row:
    """Return whether torch is left as it was."""

    def state() -> list[Any]:
        backends = torch.backends
        return [
            backends.cudnn.allow_tf32,
            backends.cuda.matmul.allow_tf32,
            torch.get_float32_matmul_precision(),
            torch.get_num_threads(),
        ]

    def work(_: Row) -> dict[str, bool]:
        rows = images()[0]
        failures = {}
        for precision in ("highest", "high"):
            torch.set_float32_matmul_precision(precision)
            before = state()
            ConvolutionalAutoencoder(8, epochs=1, device=str(device)).fit(rows).transform(rows)
            failures[precision] = state() == before
        torch.set_float32_matmul_precision("highest")
        return failures

    return told("settings of torch", work)


def told(name: str, work: Callable[[Row], dict[str, bool]]) -> Row:
    """Do some checks with warnings as errors, print a line, and return what was found."""
    row: Row = {"name": name}
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for expected in (
            DeadCodeWarning,
            CollapseWarning,
            RestorationWarning,
        ):  # small models, trained for moments
            warnings.simplefilter("ignore", expected)
        try:
            row["failures"] = [what for what, holds in work(row).items() if not holds]
        except Exception as error:  # noqa: BLE001 - whatever it is, the next member is checked all the same
            row["failures"] = [f"{type(error).__name__}: {error}"]
    row["seconds"] = time.perf_counter() - start
    scores = f"{row['score']:.4f} / {row['score on the CPU']:.4f}" if "score" in row else ""
    alone = f"{row['alone against batch']:.0e}" if "alone against batch" in row else ""
    engine = row.get("engine", {})
    recorded = "recorded" if engine.get("recorded") else engine.get("not_recorded") or ""
    print(f"{name:28} {scores:17} {alone:6} {'; '.join(row['failures']) or 'ok'}  {recorded}", flush=True)
    return row


def timed(name: str, model: Any, device: torch.device) -> Row:
    """Return seconds per epoch of a network, and of the same network in a plain loop of torch's."""
    train = load_mnist()[0].images
    small = device.type == "cpu"
    rows, epochs = (train[:2000], 3) if small else (train, 12)
    rows = rows.reshape(-1, 28, 28) if "convolutional" in name else rows
    row: Row = {"name": name, "rows": len(rows)}
    for precision in ("float32", "bfloat16"):
        fitted = clone(model).set_params(
            device=str(device), precision=precision, epochs=epochs, batch_size=BATCH, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeadCodeWarning)
            warnings.simplefilter("ignore", CollapseWarning)
            start = time.perf_counter()
            fitted.fit(rows)
            row[f"fit, {precision}"] = time.perf_counter() - start
        # The first epochs compile, choose algorithms and record.
        row[precision] = float(np.median([one["seconds"] for one in fitted.history_[1:]]))
        row[f"engine, {precision}"] = fitted.engine_
    row["plain torch"] = plain_epoch(fitted, rows.reshape(len(rows), -1), device, epochs)
    row["ratio"] = row["float32"] / row["plain torch"]
    engine = row["engine, float32"]
    print(
        f"{name:28} float32 {row['float32']:.4f}  bfloat16 {row['bfloat16']:.4f}  plain torch "
        f"{row['plain torch']:.4f}  ratio {row['ratio']:.2f}  {engine['compiled']}",
        flush=True,
    )
    return row


def plain_epoch(fitted: Any, rows: np.ndarray, device: torch.device, epochs: int) -> float:
    """Return the median seconds of an epoch of the same network: resident rows, a permutation, fused Adam."""
    assembly = copy.deepcopy(fitted._assembly).to(device).train()
    values = torch.from_numpy(np.array(rows)).to(device)
    keys = torch.arange(len(values), device=device)
    optimizer = torch.optim.Adam(assembly.parameters(), lr=1e-4, fused=True)
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        order = torch.randperm(len(values), device=device)
        for chosen in torch.split(order, BATCH):
            batch = values[chosen]
            bottled = assembly.bottleneck(assembly.network.encoder(batch), keys[chosen])
            outputs = assembly.network.decoder(bottled.code)
            loss = functional.binary_cross_entropy_with_logits(outputs, batch, reduction="sum") / len(batch)
            for term in bottled.terms.values():
                loss = loss + term
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        float(loss.detach())  # waits for the device
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


if __name__ == "__main__":
    sys.exit(main())
