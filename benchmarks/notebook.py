"""The notebook's numbers, measured: trains each variant on all of MNIST and judges it on the test images.

    python benchmarks/notebook.py [--seeds 0 1 2] [--only single]

Writes benchmarks/notebook.json and the table between the marks of benchmarks/RESULTS.md. The test images
choose nothing: every model trains to its last epoch and keeps its last weights.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from isthmus import Autoencoder, SparseAutoencoder
from isthmus.comparison import evaluate
from isthmus.data import load_mnist
from isthmus.estimators import BaseAutoencoder
from recording import HERE, machine, write_between

SHARED: dict[str, Any] = {"batch_size": 256, "patience": None}
VARIANTS: dict[str, Callable[[int], BaseAutoencoder]] = {
    "single, 10 epochs": lambda seed: Autoencoder(32, epochs=10, random_state=seed, **SHARED),
    "single, 50 epochs": lambda seed: Autoencoder(32, epochs=50, random_state=seed, **SHARED),
    "sparse 1e-4, 50 epochs": lambda seed: SparseAutoencoder(32, epochs=50, random_state=seed, **SHARED),
    "sparse 1e-4, 50 epochs, batch 64": lambda seed: SparseAutoencoder(
        32, epochs=50, random_state=seed, **{**SHARED, "batch_size": 64}
    ),
    "deep 128-64-32, 50 epochs": lambda seed: Autoencoder(
        32, hidden_layers=(128, 64), epochs=50, random_state=seed, **SHARED
    ),
    "single, Adadelta 1.0, 50 epochs": lambda seed: Autoencoder(
        32, optimizer="adadelta", schedule="constant", epochs=50, random_state=seed, **SHARED
    ),
    "linear, 30 codes, 20 epochs": lambda seed: Autoencoder(
        30, loss="mse", code_activation="identity", epochs=20, random_state=seed, **SHARED
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", default="", help="variants whose name starts with this")
    arguments = parser.parse_args()
    train, test = load_mnist()
    rows = [pca_row(train.images, test.images, width) for width in (30, 32)]
    for name, make in VARIANTS.items():
        for seed in arguments.seeds if name.startswith(arguments.only) else ():
            rows.append(trained_row(name, seed, make(seed), train.images, test.images))
            print(json.dumps(rows[-1]), flush=True)
    record = {"made": date.today().isoformat(), "machine": machine(), "rows": rows}
    (HERE / "notebook.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_table(record)


def pca_row(train: np.ndarray, test: np.ndarray, width: int) -> dict[str, Any]:
    return {"name": f"PCA-{width}", "seed": None, **judged(PCA(width).fit(train), test)}


def trained_row(
    name: str, seed: int, model: BaseAutoencoder, train: np.ndarray, test: np.ndarray
) -> dict[str, Any]:
    start = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - start
    row = {"name": name, "seed": seed, **judged(model, test), "seconds": round(seconds, 1)}
    row["seconds_per_epoch"] = round(statistics.median(r["seconds"] for r in model.history_[1:]), 3)
    if name.startswith("linear"):
        row["largest_angle_to_pca"] = round(angle_to_pca(model, train), 2)
    return row


def judged(model: Any, test: np.ndarray) -> dict[str, Any]:
    numbers = evaluate(model, test)
    codes = numbers["codes"]
    return {
        "bce": round(numbers["bce"], 5),
        "sse": round(numbers["sse"], 3),
        "mean_code": round(codes["mean"], 3),
        "zeros": round(codes["zeros"], 3),
        "dead": len(codes["dead"]),
    }


def angle_to_pca(model: BaseAutoencoder, train: np.ndarray) -> float:
    """Return the largest principal angle between the decoder's columns and PCA's, in degrees."""
    (layer,) = model.decoder_.body
    width = layer.weight.shape[1]
    angles = subspace_angles(layer.weight.detach().double().numpy(), PCA(width).fit(train).components_.T)
    return float(np.degrees(angles.max()))


def write_table(record: dict[str, Any]) -> None:
    """Replace the table between the marks of RESULTS.md."""
    header = (
        "| model | seed | BCE per pixel | SSE per image | mean code | zeros | dead | s per epoch | seconds |"
    )
    lines = [f"Made {record['made']} on {record['machine']}.", "", header, "|---" * 9 + "|"]
    for row in record["rows"]:
        angle = row.get("largest_angle_to_pca")
        name = row["name"] + ("" if angle is None else f" (largest angle to PCA {angle}°)")
        cells = (
            name,
            "–" if row["seed"] is None else row["seed"],
            f"{row['bce']:.4f}",
            f"{row['sse']:.2f}",
            f"{row['mean_code']:.2f}",
            f"{row['zeros']:.0%}",
            row["dead"],
            row.get("seconds_per_epoch", "–"),
            row.get("seconds", "–"),
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    write_between("notebook", "end", lines)


if __name__ == "__main__":
    main()
