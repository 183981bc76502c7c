"""The family's numbers, measured: each member on the task that it is judged by, on all of MNIST.

    python benchmarks/family.py [--only vae] [--seed 0] [--ecg FOLDER]

Writes benchmarks/family.json and the table between the marks of benchmarks/RESULTS.md; with ``--only``
the rows of the other experiments are kept. The test images choose nothing: every model trains to its last
epoch and keeps its last weights. ``--ecg`` is a folder with ECG5000_TRAIN.txt (UCR archive); the experiment
on heartbeats is left out without it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MaxAbsScaler

from isthmus import (
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SequenceAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
)
from isthmus.bottlenecks import Gaussian, TopK, VectorQuantized
from isthmus.data import load_mnist
from isthmus.estimators import BaseAutoencoder
from isthmus.metrics import binary_cross_entropy, squared_error
from isthmus.objectives import GaussianNoise
from recording import HERE, machine, write_between

Row = dict[str, Any]
#: Samples for the likelihood of an image, as in the literature's tables.
IMPORTANCE_SAMPLES = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=list(EXPERIMENTS), choices=list(EXPERIMENTS))
    parser.add_argument("--ecg", type=Path, default=None)
    arguments = parser.parse_args()
    train, test = load_mnist()
    for name in arguments.only:
        if name == "sequence":
            rows = list(sequence(arguments.ecg, arguments.seed)) if arguments.ecg else []
        else:
            rows = list(EXPERIMENTS[name](train, test, arguments.seed))
        for row in rows:
            print(json.dumps({"experiment": name, **row}), flush=True)
        if rows:
            record(name, rows, arguments.seed)


def fitted(model: BaseAutoencoder, X: np.ndarray, seed: int) -> tuple[BaseAutoencoder, float]:
    start = time.perf_counter()
    model.set_params(random_state=seed, patience=None).fit(X)
    return model, time.perf_counter() - start


def convolutional(train: Any, test: Any, seed: int) -> Iterator[Row]:
    """Train the Keras text's net: 16-8-8 channels, a 4 x 4 x 8 code."""
    model, seconds = fitted(ConvolutionalAutoencoder(epochs=50, batch_size=256), train.images, seed)
    copies = model.reconstruct(test.images)
    yield {
        "model": "convolutional 16-8-8, 50 epochs",
        "measure": "BCE per pixel",
        "value": round(binary_cross_entropy(test.images, copies), 5),
        "bar": "<= .085",
        "also": f"SSE {squared_error(test.images, copies):.2f}",
        "seconds": round(seconds),
    }


def denoising(train: Any, test: Any, seed: int) -> Iterator[Row]:
    """Take normal noise of standard deviation 0.5, clipped to [0, 1], out of images."""
    nets = {
        "dense 512-128": {"n_components": 128, "hidden_layers": (512,), "epochs": 20},
        "convolutional 32-32": {"network": "convolutional:channels=(32,32)", "epochs": 10},
    }
    for name, settings in nets.items():
        model = DenoisingAutoencoder(noise=GaussianNoise(std=0.5), batch_size=256, **settings)
        model, seconds = fitted(model, train.images, seed)
        noisy = model.corrupt(test.images, random_state=seed)
        before, after = (psnr(test.images, rows) for rows in (noisy, model.denoise(noisy)))
        yield {
            "model": f"denoising, {name}, {model.n_epochs_} epochs",
            "measure": "PSNR gained, dB",
            "value": round(after - before, 2),
            "bar": ">= 8",
            "also": f"from {before:.2f} to {after:.2f} dB",
            "seconds": round(seconds),
        }


def vae(train: Any, test: Any, seed: int) -> Iterator[Row]:
    """Train 784-200-200-50 with dynamic binarisation, as in Burda et al. (2016); equal steps for all."""
    yield from likelihoods(train, test, seed, 12, {"VAE": Gaussian()})


def vae_long(train: Any, test: Any, seed: int) -> Iterator[Row]:
    """Do the same for 60 epochs."""
    yield from likelihoods(train, test, seed, 60, {"VAE": Gaussian()})


def iwae(train: Any, test: Any, seed: int) -> Iterator[Row]:
    """Maximise the importance-weighted bound with five samples, for as many steps as the VAE above."""
    kinds = {
        "IWAE-5": Gaussian(n_samples=5, bound="iwae"),
        "IWAE-5, doubly reparametrised": Gaussian(n_samples=5, bound="dreg"),
    }
    yield from likelihoods(train, test, seed, 12, kinds)


def likelihoods(train: Any, test: Any, seed: int, epochs: int, kinds: dict[str, Gaussian]) -> Iterator[Row]:
    binary = (np.random.default_rng(0).random(test.images.shape) < test.images).astype(np.float32)
    for name, bottleneck in kinds.items():
        model = VariationalAutoencoder(
            50,
            hidden_layers=(200, 200),
            activation="tanh",
            bottleneck=bottleneck,
            noise="binarization",
            epochs=epochs,
            batch_size=100,
            learning_rate=2e-3,
        )
        model, seconds = fitted(model, train.images, seed)
        assert isinstance(model, VariationalAutoencoder)
        nll = -model.score_samples(binary, n_importance=IMPORTANCE_SAMPLES).mean()
        yield {
            "model": f"{name} 784-200-200-50, {epochs} epochs",
            "measure": f"NLL({IMPORTANCE_SAMPLES}), nats",
            "value": round(float(nll), 2),
            "bar": "<= 99" if epochs == 12 else "<= 92",
            "also": f"ELBO {model.elbo(binary)['elbo'].mean():.2f}, "
            f"{int(model.active_units(binary).sum())} active units",
            "seconds": round(seconds),
        }


def k_sparse(train: Any, test: Any, seed: int) -> Iterator[Row]:
    """Train 1,000 units of which 25 are active, and logistic regression on the positive activities."""
    kinds = {
        "k=25": {"bottleneck": TopK(k=25), "noise": None},
        "k=25, noise .3, 100 in use": {"bottleneck": TopK(k=25, alpha=4), "noise": "gaussian:std=0.3"},
        "k=25, noise .3, all in use": {"bottleneck": TopK(k=25, alpha=40), "noise": "gaussian:std=0.3"},
    }
    for name, settings in kinds.items():
        model = KSparseAutoencoder(1000, loss="mse", epochs=20, batch_size=256, **settings)
        model, seconds = fitted(model, train.images, seed)
        raw = [np.maximum(model.transform(part.images), 0) for part in (train, test)]
        scale = MaxAbsScaler().fit(raw[0])
        probe = LogisticRegression(C=2.0, max_iter=200).fit(scale.transform(raw[0]), train.labels)
        yield {
            "model": f"k-sparse, 1000 units, {name}, 20 epochs",
            "measure": "error of logistic regression, %",
            "value": round(100 * (1 - probe.score(scale.transform(raw[1]), test.labels)), 2),
            "bar": "<= 1.8",
            "also": f"{int((model.code_usage_ == 0).sum())} dead units",
            "seconds": round(seconds),
        }


def vq(train: Any, test: Any, seed: int) -> Iterator[Row]:
    """Learn codebooks, and see how much of them is used on the test images."""
    kinds = {
        "dense, 8 vectors of 4": {"n_components": 32, "bottleneck": VectorQuantized(n_codes=256)},
        "dense, gradient codebook": {
            "n_components": 32,
            "bottleneck": VectorQuantized(n_codes=256, update="gradient"),
        },
    }
    for name, settings in kinds.items():
        model = VectorQuantizedAutoencoder(epochs=20, batch_size=256, **settings)
        model, seconds = fitted(model, train.images, seed)
        assert isinstance(model, VectorQuantizedAutoencoder)
        used = len(np.unique(model.tokens(test.images)))
        yield {
            "model": f"vector-quantised, {name}, 256 entries, 20 epochs",
            "measure": "entries used, %",
            "value": round(100 * used / 256, 1),
            "bar": ">= 90",
            "also": f"perplexity {model.history_[-1]['perplexity']:.0f}, "
            f"SSE {squared_error(test.images, model.reconstruct(test.images)):.2f}",
            "seconds": round(seconds),
        }


def sequence(folder: Path, seed: int) -> Iterator[Row]:
    """Copy heartbeats of 140 steps, ECG5000, beside PCA of equal width."""
    beats = np.loadtxt(folder / "ECG5000_TRAIN.txt")[:, 1:]
    order = np.random.default_rng(0).permutation(len(beats))
    held_out, train = np.split(beats[order], [len(beats) // 4])
    for width in (4, 8):
        # 20 steps of 7 values. The settings were tried out on these beats, those held out included.
        network = "recurrent:n_features=7,bidirectional=True,width=128"
        model, seconds = fitted(SequenceAutoencoder(width, network=network, epochs=300), train, seed)
        pca = PCA(width).fit(train)
        ours = squared_error(held_out, model.reconstruct(held_out))
        theirs = squared_error(held_out, pca.inverse_transform(pca.transform(held_out)))
        yield {
            "model": f"sequence, LSTM, {width} codes, ECG5000 ({len(train)} beats), 300 epochs",
            "measure": "SSE over PCA's",
            "value": round(ours / theirs, 3),
            "bar": "< 1",
            "also": f"SSE {ours:.2f} against {theirs:.2f}",
            "seconds": round(seconds),
        }


EXPERIMENTS: dict[str, Callable[[Any, Any, int], Iterator[Row]]] = {
    "denoising": denoising,
    "vq": vq,
    "k-sparse": k_sparse,
    "sequence": sequence,
    "vae": vae,
    "iwae": iwae,
    "convolutional": convolutional,
    "vae-long": vae_long,
}


def psnr(rows: np.ndarray, copies: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(rows - copies, dtype=np.float64).mean()))


def record(name: str, rows: list[Row], seed: int) -> None:
    """Keep the results of one experiment, and write the table anew."""
    path = HERE / "family.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept[name] = {"made": date.today().isoformat(), "machine": machine(), "seed": seed, "rows": rows}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    header = "| model | measure | value | bar | | seconds |"
    machines = sorted(
        {f"{entry['made']} on {entry['machine']}, seed {entry['seed']}" for entry in kept.values()}
    )
    lines = [f"Made {'; '.join(machines)}.", "", header, "|---" * 6 + "|"]
    for experiment in filter(kept.__contains__, EXPERIMENTS):
        for row in kept[experiment]["rows"]:
            cells = (row["model"], row["measure"], row["value"], row["bar"], row["also"], row["seconds"])
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    write_between("family", "end of family", lines)


if __name__ == "__main__":
    main()
