"""What a pass over the rows costs, against their number and their width.

    python benchmarks/scaling.py

Writes the table between the marks of benchmarks/RESULTS.md.
"""

from __future__ import annotations

import statistics
import warnings
from datetime import date

import numpy as np

from isthmus import Autoencoder
from isthmus.errors import DeadCodeWarning
from recording import machine, write_between

#: Rows and features; the first ones vary the rows, the others the width.
SIZES = [
    (1_000, 64),
    (10_000, 64),
    (100_000, 64),
    (1_000_000, 64),
    (20_000, 32),
    (20_000, 256),
    (20_000, 2048),
]


def main() -> None:
    lines = [
        f"Made {date.today().isoformat()} on {machine()}; medians of 5 epochs after the first.",
        "",
        "| rows | features | s per epoch | µs per row | ns per value |",
        "|---|---|---|---|---|",
    ]
    for n_rows, n_features in SIZES:
        seconds = seconds_per_epoch(n_rows, n_features)
        per_row = seconds / n_rows
        cells = (
            f"{n_rows:,}",
            n_features,
            f"{seconds:.4f}",
            f"{1e6 * per_row:.2f}",
            f"{1e9 * per_row / n_features:.1f}",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
        print(lines[-1], flush=True)
    write_between("scaling", "end of scaling", lines)


def seconds_per_epoch(n_rows: int, n_features: int) -> float:
    X = np.random.default_rng(0).random((n_rows, n_features), dtype=np.float32)
    model = Autoencoder(16, batch_size=256, epochs=6, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadCodeWarning)  # there is nothing to learn in noise
        model.fit(X)
    return statistics.median(row["seconds"] for row in model.history_[1:])


if __name__ == "__main__":
    main()
