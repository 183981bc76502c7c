"""Pretraining, measured: what it is worth, then and now; and what Boltzmann machines reach.

    python benchmarks/pretraining.py [--only gain deep] [--eras 2006 modern] [--starts rbm] [--seeds 0 1 2]
        [--minutes 2]

Writes benchmarks/pretraining.json and the tables between the marks of benchmarks/RESULTS.md; with ``--only``
the rows of the other experiments are kept. All on MNIST, where the test images choose nothing: every model
trains to its last epoch and keeps its last weights.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import BernoulliRBM

from isthmus import (
    Autoencoder,
    DeepBeliefNetwork,
    DenoisingAutoencoder,
    PretrainedClassifier,
    RestrictedBoltzmannMachine,
)
from isthmus.data import load_mnist
from isthmus.errors import DivergenceError
from isthmus.estimators import BaseAutoencoder
from isthmus.metrics import squared_error
from recording import HERE, machine, write_between

Row = dict[str, Any]

LABELS = (60_000, 10_000, 1000, 100)
#: Passes over the labelled rows: 2,400 to 4,200 steps.
PASSES = {60_000: 15, 10_000: 60, 1000: 200, 100: 600}
#: Layers of the networks that are compared, and passes of their pretraining for each layer.
WIDTHS, WIDTH, LAYER_EPOCHS = (500, 500), 250, 10
#: One pass that changes nothing: the weights stay what they start from.
STILL = {"epochs": 1, "learning_rate": 1e-12}

STARTS = ("random", "rbm", "stacked denoising", "deep autoencoder")

ERAS: dict[str, dict[str, Any]] = {
    # Layers of sigmoid units, and gradient descent with momentum at a constant rate.
    "2006": {
        "activation": "sigmoid",
        "tuning": {"optimizer": "sgd:momentum=0.9", "schedule": "constant", "learning_rate": 0.1},
    },
    # Rectified units, and Adam whose rate goes up and down again.
    "modern": {
        "activation": "relu",
        "tuning": {"optimizer": "adam", "schedule": "one-cycle", "learning_rate": 0.002},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(EXPERIMENTS), choices=list(EXPERIMENTS))
    parser.add_argument("--eras", nargs="+", default=list(ERAS), choices=list(ERAS))
    parser.add_argument("--starts", nargs="+", default=list(STARTS), choices=list(STARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=2.0, help="for each network of the deep autoencoder")
    arguments = parser.parse_args()
    train, test = load_mnist()
    for name in arguments.only:
        for row in EXPERIMENTS[name](train, test, arguments):
            print(json.dumps({"experiment": name, **row}), flush=True)
            record(name, row)


# What it is worth for classification


def gain(train: Any, test: Any, arguments: argparse.Namespace) -> Iterator[Row]:
    """Compare starts of the same classifier, by the number of labels; all rows are there without labels."""
    for era in arguments.eras:
        for seed in arguments.seeds:
            order = np.random.default_rng(seed).permutation(len(train.images))
            for start, encoder in starts(era, seed).items():
                if start not in arguments.starts:
                    continue
                begun = time.perf_counter()
                try:
                    encoder.fit(train.images)
                except DivergenceError:
                    yield from (
                        {"era": era, "start": start, "labels": n, "seed": seed, "error": None} for n in LABELS
                    )
                    continue
                seconds = time.perf_counter() - begun
                for n_labels in LABELS:
                    chosen = np.sort(order[:n_labels])
                    model = PretrainedClassifier(
                        FrozenEstimator(encoder),
                        epochs=PASSES[n_labels],
                        random_state=seed,
                        **ERAS[era]["tuning"],
                    ).fit(train.images[chosen], train.labels[chosen])
                    yield {
                        "era": era,
                        "start": start,
                        "labels": n_labels,
                        "seed": seed,
                        "error": error(model, test),
                        "pretraining_seconds": round(seconds, 1),
                    }


def starts(era: str, seed: int) -> dict[str, BaseAutoencoder]:
    """Return encoders of one shape: untrained, trained as a whole, and layer by layer in two ways."""
    activation = ERAS[era]["activation"]
    shape: dict[str, Any] = {
        "hidden_layers": WIDTHS,
        "activation": activation,
        "code_activation": activation,
        "random_state": seed,
    }
    if activation == "sigmoid":
        machines: BaseAutoencoder = DeepBeliefNetwork(
            WIDTH, hidden_layers=WIDTHS, epochs=LAYER_EPOCHS, random_state=seed
        )
    else:
        machines = Autoencoder(WIDTH, initialization=f"rbm:epochs={LAYER_EPOCHS}", **shape, **STILL)
    stacked = f"stacked:epochs={LAYER_EPOCHS}"
    return {
        "random": Autoencoder(WIDTH, **shape, **STILL),
        "rbm": machines,
        "stacked denoising": DenoisingAutoencoder(
            WIDTH, noise="masking:share=0.25", initialization=stacked, **shape, **STILL
        ),
        "deep autoencoder": Autoencoder(WIDTH, epochs=2 * LAYER_EPOCHS, **shape),
    }


def stacked(train: Any, test: Any, arguments: argparse.Namespace) -> Iterator[Row]:
    """Compare stacked denoising autoencoders with plain ones, both fine-tuned on 10,000 digits."""
    X, y = train.images[:10_000], train.labels[:10_000]
    for name, noise in (("stacked denoising", "masking:share=0.25"), ("plain stacked", None)):
        for seed in arguments.seeds:
            encoder = Autoencoder(
                500,
                hidden_layers=(1000, 1000),
                activation="relu",
                code_activation="relu",
                noise=noise,
                initialization="stacked:epochs=20",
                random_state=seed,
                **STILL,
            ).fit(X)
            model = PretrainedClassifier(
                FrozenEstimator(encoder), dropout=0.5, noise="masking:share=0.2", epochs=50, random_state=seed
            ).fit(X, y)
            yield {"model": name, "seed": seed, "error": error(model, test)}


# What it is worth for reconstruction


def deep(train: Any, test: Any, arguments: argparse.Namespace) -> Iterator[Row]:
    """Train the autoencoder of Hinton and Salakhutdinov from several starts, in the same time each."""
    for era, start in (
        ("modern", "random"),
        ("modern", "pca"),
        ("2006", "random"),
        ("2006", "rbm:epochs=5"),
    ):
        shape: dict[str, Any] = {
            "hidden_layers": (1000, 500, 250),
            "activation": "silu" if era == "modern" else "sigmoid",
            "optimizer": "adamw",
            "weight_decay": 0.1 if era == "modern" else 0.0,
            "precision": "bfloat16",
            "random_state": 0,
        }
        trial = Autoencoder(30, initialization=start, epochs=2, **shape)
        begun = time.perf_counter()
        trial.fit(train.images)
        once = trial.history_[-1]["seconds"]
        before = time.perf_counter() - begun - 2 * once
        epochs = max(2, int((60 * arguments.minutes - before) / once))
        begun = time.perf_counter()
        model = Autoencoder(30, initialization=start, epochs=epochs, **shape).fit(train.images)
        yield {
            "model": f"784-1000-500-250-30, {shape['activation']}, {start}",
            "epochs": epochs,
            "pretraining_seconds": round(sum(row["seconds"] for row in model.pretraining_history_)),
            "seconds": round(time.perf_counter() - begun),
            "sse": round(squared_error(test.images, model.reconstruct(test.images)), 3),
            "train_sse": round(squared_error(train.images, model.reconstruct(train.images)), 3),
        }


def longest(train: Any, test: Any, arguments: argparse.Namespace) -> Iterator[Row]:
    """Go for the record of the same network: each digit also a pixel higher, lower, and to each side."""
    images = np.rint(train.images.reshape(-1, 28, 28) * 255).astype(np.uint8)
    moved = [np.roll(images, shift, axis) for shift, axis in ((0, 1), (1, 1), (-1, 1), (1, 2), (-1, 2))]
    rows = np.concatenate(moved).reshape(-1, 784)
    begun = time.perf_counter()
    model = Autoencoder(
        30,
        hidden_layers=(1000, 500, 250),
        activation="silu",
        optimizer="adamw",
        weight_decay=0.02,
        precision="bfloat16",
        epochs=max(2, round(15 * arguments.minutes)),
        random_state=0,
    ).fit(rows)
    bytes_ = np.rint(test.images * 255).astype(np.uint8)
    yield {
        "model": "784-1000-500-250-30, silu, random, five shifts of each digit",
        "epochs": model.n_epochs_,
        "pretraining_seconds": 0,
        "seconds": round(time.perf_counter() - begun),
        "sse": round(squared_error(test.images, model.reconstruct(bytes_) / 255), 3),
        "train_sse": round(squared_error(rows[:60_000] / 255, model.reconstruct(rows[:60_000]) / 255), 3),
    }


# What Boltzmann machines reach


def likelihood(train: Any, test: Any, arguments: argparse.Namespace) -> Iterator[Row]:
    """Compute the exact likelihood of binarised digits under machines of 16 hidden units."""
    X, X_test = ((split.images > 0.5).astype(np.float32) for split in (train, test))
    for name, parameters in {
        "plain, CD-1": {"centred": False, "learning_rate": 0.02},
        "plain, PCD": {"centred": False, "sampler": "pcd", "learning_rate": 0.02},
        "centred, CD-1": {},
        "centred, PCD": {"sampler": "pcd"},
        "centred, parallel tempering": {"sampler": "pt:n_chains=25", "epochs": 10},
    }.items():
        for seed in arguments.seeds:
            settings: dict[str, Any] = {"epochs": 40, "batch_size": 100, **parameters}
            begun = time.perf_counter()
            model = RestrictedBoltzmannMachine(16, random_state=seed, **settings).fit(X)
            seconds = time.perf_counter() - begun
            exact, annealed = model.log_partition(), model.log_partition(method="annealing")
            yield {
                "model": name,
                "seed": seed,
                "test_nats": round(float(model.log_likelihood(X_test, log_partition=exact).mean()), 2),
                "annealing_off_by": round(annealed.value - exact.value, 3),
                "annealing_standard_error": round(annealed.standard_error, 3),
                "annealing_from_above_off_by": round(annealed.upper - exact.value, 3),
                "seconds": round(seconds),
            }


def features(train: Any, test: Any, arguments: argparse.Namespace) -> Iterator[Row]:
    """Classify by 1024 hidden units: by logistic regression, and fine-tuned."""
    begun = time.perf_counter()
    machine_ = RestrictedBoltzmannMachine(
        1024, penalty="kl:target=0.1,weight=0.2", epochs=40, random_state=arguments.seeds[0]
    ).fit(train.images)
    seconds = round(time.perf_counter() - begun)
    codes, codes_test = (machine_.transform(split.images.astype(np.float32)) for split in (train, test))
    regression = LogisticRegression(C=0.1, max_iter=300).fit(codes, train.labels)
    wrong = 100 * float(np.mean(regression.predict(codes_test) != test.labels))
    yield {"model": "RBM-1024, logistic regression", "error": round(wrong, 2), "seconds": seconds}
    tuned = PretrainedClassifier(
        FrozenEstimator(machine_), dropout=0.5, noise="masking:share=0.2", epochs=40, random_state=0
    ).fit(train.images, train.labels)
    yield {"model": "RBM-1024, fine-tuned", "error": error(tuned, test), "seconds": seconds}


def speed(train: Any, test: Any, arguments: argparse.Namespace) -> Iterator[Row]:
    """Time scikit-learn's machine and ours to the same pseudo-likelihood of the test images."""
    X, X_test = train.images.astype(np.float32), test.images.astype(np.float32)
    for seed in arguments.seeds:
        begun = time.perf_counter()
        theirs = BernoulliRBM(256, learning_rate=0.05, batch_size=10, n_iter=5, random_state=seed).fit(X)
        their_seconds = time.perf_counter() - begun
        bar = pseudo_likelihood(
            theirs.components_, theirs.intercept_hidden_, theirs.intercept_visible_, X_test
        )
        for epochs in (1, 2, 3, 5, 8, 12, 20):
            begun = time.perf_counter()
            ours = RestrictedBoltzmannMachine(256, batch_size=100, epochs=epochs, random_state=seed).fit(X)
            seconds = time.perf_counter() - begun
            reached = pseudo_likelihood(
                ours.components_, ours.intercept_hidden_, ours.intercept_visible_, X_test
            )
            if reached >= bar:
                break
        yield {
            "seed": seed,
            "sklearn_seconds": round(their_seconds, 1),
            "sklearn_nats": round(bar, 2),
            "seconds": round(seconds, 1),
            "nats": round(reached, 2),
            "epochs": epochs,
            "ratio": round(seconds / their_seconds, 3),
        }


def pseudo_likelihood(
    weights: np.ndarray, hidden_bias: np.ndarray, visible_bias: np.ndarray, X: np.ndarray
) -> float:
    """Return the mean log pseudo-likelihood of 500 rows, the same way for both libraries."""
    total, rows = 0.0, X[:500].astype(np.float64)
    inputs = rows @ weights.T + hidden_bias
    own = np.logaddexp(0, inputs).sum(1)
    for unit in range(rows.shape[1]):
        change = 1 - 2 * rows[:, unit]
        gain_ = np.logaddexp(0, inputs + change[:, None] * weights[:, unit]).sum(1) - own
        total -= np.logaddexp(0, gain_ + change * visible_bias[unit]).mean()
    return float(total)


def error(model: PretrainedClassifier, test: Any) -> float:
    return round(100 * (1 - model.score(test.images, test.labels)), 2)


# Where the results go


def record(name: str, row: Row) -> None:
    path = HERE / "pretraining.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    rows = results.setdefault(name, [])
    key = [part for part in ("era", "start", "labels", "seed", "model") if part in row]
    rows[:] = [old for old in rows if any(old.get(part) != row[part] for part in key)] + [row]
    results["machine"], results["date"] = machine(), str(date.today())
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_between("pretraining", "/pretraining", list(tables(results)))


def tables(results: dict[str, Any]) -> Iterator[str]:
    yield f"{results['machine']}; {results['date']}."
    for name, layout in LAYOUTS.items():
        if name in results:
            yield ""
            yield from layout(results[name])


def gain_table(rows: list[Row]) -> Iterator[str]:
    seeds = sorted({row["seed"] for row in rows})
    named = ", ".join(map(str, seeds))
    yield f"Test error in %, mean and standard deviation of seeds {named}; in brackets the gain over random:"
    yield ""
    yield "| era | start | " + " | ".join(f"{n:,} labels" for n in LABELS) + " |"
    yield "|---|---|" + "---|" * len(LABELS)
    for era in ERAS:
        plain: dict[int, float] = {}
        for start in STARTS:
            cells = []
            for n in LABELS:
                errors = [
                    row["error"]
                    for row in rows
                    if (row["era"], row["start"], row["labels"]) == (era, start, n)
                ]
                found = [value for value in errors if value is not None]
                if not found:
                    cells.append("diverged" if errors else "")
                    continue
                mean = float(np.mean(found))
                cell = f"{mean:.2f} ± {np.std(found):.2f}"
                if start == "random":
                    plain[n] = mean
                elif n in plain:
                    cell += f" ({plain[n] - mean:+.2f})"
                lost = len(errors) - len(found)
                cells.append(f"{cell}, {lost} diverged" if lost else cell)
            if any(cells):
                yield f"| {era} | {start} | " + " | ".join(cells) + " |"


def plain_table(rows: list[Row]) -> Iterator[str]:
    names = list(rows[0])
    yield "| " + " | ".join(name.replace("_", " ") for name in names) + " |"
    yield "|" + "---|" * len(names)
    for row in rows:
        yield "| " + " | ".join(str(row.get(name, "")) for name in names) + " |"


EXPERIMENTS: dict[str, Callable[[Any, Any, argparse.Namespace], Iterator[Row]]] = {
    "gain": gain,
    "stacked": stacked,
    "deep": deep,
    "longest": longest,
    "likelihood": likelihood,
    "features": features,
    "speed": speed,
}

LAYOUTS: dict[str, Callable[[list[Row]], Iterator[str]]] = {
    **dict.fromkeys(EXPERIMENTS, plain_table),
    "gain": gain_table,
}

if __name__ == "__main__":
    main()
