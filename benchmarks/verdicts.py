"""The verdict on data with units, in single precision, and for sparse codes.

Run it with ``python benchmarks/verdicts.py``.

For each data set an autoencoder and scikit-learn's PCA of standardized columns are compared with PCA. The second has
to be judged equal to PCA, whatever the units. Every table is then compared once more with its first column
multiplied by 1,000, which has to leave both verdicts as they are. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isthmus import Autoencoder, KSparseAutoencoder
from isthmus.comparison import compare
from recording import machine

Split = tuple[np.ndarray, np.ndarray]


def split(X: np.ndarray, seed: int = 0) -> Split:
    """Return four fifths of the rows, and the others."""
    order = np.random.default_rng(seed).permutation(len(X))
    n_train = round(0.8 * len(X))
    return X[order[:n_train]], X[order[n_train:]]


def measurements() -> Split:
    """Animals of three kinds, measured in millimetres, grams and shares, as penguins are."""
    random = np.random.default_rng(0)
    kind = random.integers(3, size=340)
    size = random.normal(size=340)
    means = np.array([[39, 18, 190, 3700, 0.2], [49, 18, 196, 3730, 0.4], [47, 15, 217, 5080, 0.6]])[kind]
    slopes = np.array([1.7, 0.7, 4.0, 350.0, 0.02])
    noise = np.array([1.8, 0.8, 4.5, 250.0, 0.05]) * random.normal(size=(340, 5))
    return split(means + size[:, None] * slopes + noise)


def pressures() -> Split:
    """Series in single precision whose mean is 600 times their spread."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(5000, 3)) @ random.normal(size=(3, 24)) + 0.1 * random.normal(size=(5000, 24))
    return split((1000 + rows).astype(np.float32))


def activations() -> Split:
    """20,000 rows of 384 values: 32 of 1,024 directions each, with noise."""
    random = np.random.default_rng(0)
    atoms = random.normal(size=(1024, 384)) / np.sqrt(384)
    codes = np.zeros((20_000, 1024), dtype=np.float32)
    for row in codes:
        row[random.choice(1024, 16, replace=False)] = np.abs(random.normal(1, 0.3, 16))
    return split((codes @ atoms + 0.01 * random.normal(size=(20_000, 384))).astype(np.float32))


TABLES: dict[str, Callable[[], Split]] = {
    "wine, 13 columns": lambda: split(load_wine().data),
    "breast cancer, 30 columns": lambda: split(load_breast_cancer().data),
    "diabetes, 10 columns": lambda: split(load_diabetes(scaled=False).data),
    "measurements, 5 columns": measurements,
    "pressures, float32": pressures,
}


def judged(train: np.ndarray, test: np.ndarray, model: Any) -> tuple[str, str, float]:
    """Return the verdicts on the model and on PCA of standardized columns, and the ratio of the latter to PCA."""
    exact = train.astype(np.float64)
    twin = make_pipeline(StandardScaler(), PCA(2, svd_solver="full")).fit(exact)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own, other, *_ = compare({"autoencoder": model.fit(train), "StandardScaler + PCA": twin}, train, test)
    return own["verdict"], other["verdict"], other["relative"]


def tables() -> list[dict[str, Any]]:
    """Compare on tables, as they are and with another unit in the first column."""
    found = []
    for name, make in TABLES.items():
        train, test = make()
        factor = np.r_[1000.0, np.ones(train.shape[1] - 1)].astype(train.dtype)
        own, twin, ratio = judged(train, test, Autoencoder(2, random_state=0))
        moved = judged(train * factor, test * factor, Autoencoder(2, random_state=0))
        found.append(
            {
                "data": name,
                "verdict": own,
                "twin": twin,
                "twin_ratio": ratio,
                "same_in_other_units": (own, twin) == moved[:2],
            }
        )
    return found


def dictionary(epochs: int) -> dict[str, Any]:
    """Compare a dictionary of 2,048 atoms, 32 of them active in a row."""
    train, test = activations()
    model = KSparseAutoencoder(2048, bottleneck="topk:k=32", epochs=epochs, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = compare({"dictionary": model.fit(train)}, train, test)[0]
    return {"data": "dictionary, 2,048 atoms, 32 active", "verdict": row["verdict"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dictionary-epochs", type=int, default=5)
    parser.add_argument("--output", help="write the result to this JSON file")
    options = parser.parse_args()
    found = [*tables(), dictionary(options.dictionary_epochs)]
    for row in found:
        print(f"{row['data']}\n  {row['verdict']}")
        if "twin" in row:
            print(f"  {row['twin']} (ratio {row['twin_ratio']:.4f})")
            print(f"  The same with the first column times 1,000: {row['same_in_other_units']}")
    if options.output:
        text = json.dumps({"machine": machine(), "rows": found}, indent=1)
        Path(options.output).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
