"""Speed beside other ways to do the same job, all of them in turn, medians of several runs.

    python benchmarks/speed.py [--rounds 5] [--peers-python PATH]

The peers on PyTorch run in this environment. Those on JAX need one of their own:

    python -m venv peers && peers/bin/pip install keras jax optax
    python benchmarks/speed.py --peers-python peers/bin/python

Writes benchmarks/speed.json and the table between the marks of benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import Autoencoder
from isthmus.data import load_mnist
from recording import HERE, machine, write_between

DEEP = ("--hidden", "128,64")
#: Title -> the way that all others are compared with, and the ways: script and arguments. "jax:" runs in
#: the peers' environment.
GROUPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "notebook net, seconds per epoch": {
        "hand-written PyTorch": ("torch_sliced.py",),
        "Isthmus, float32": ("isthmus_fit.py",),
        "Isthmus, bfloat16": ("isthmus_fit.py", "--precision", "bfloat16"),
        "Isthmus, nothing compiled": ("isthmus_fit.py", "--compile", "False"),
        "JAX, one scan an epoch": ("jax:jax_scan.py",),
    },
    "deep 128-64-32, seconds per epoch": {
        "hand-written PyTorch": ("torch_sliced.py", *DEEP),
        "Isthmus, float32": ("isthmus_fit.py", *DEEP),
        "Isthmus, bfloat16": ("isthmus_fit.py", *DEEP, "--precision", "bfloat16"),
    },
    "convolutional 16-8-8, seconds per epoch": {
        "hand-written PyTorch": ("torch_convolutional.py",),
        "Isthmus, float32": ("isthmus_fit.py", "--network", "convolutional", "--epochs", "3"),
        "Isthmus, bfloat16": (
            *("isthmus_fit.py", "--network", "convolutional", "--epochs", "3"),
            *("--precision", "bfloat16"),
        ),
    },
    "notebook net, 50 epochs, seconds of the whole process": {
        "Keras on JAX": ("jax:keras_notebook.py", "jax", "50"),
        "Isthmus, float32": ("isthmus_fit.py", "--epochs", "50"),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="groups whose title starts so; other rows are kept")
    parser.add_argument("--peers-python", default=os.environ.get("PEERS_PYTHON", ""))
    arguments = parser.parse_args()
    if not arguments.peers_python:
        print("Without --peers-python the peers on JAX are left out; --help says how to install them.")
    train, test = load_mnist()
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "train.npy", train.images)
        np.save(Path(folder) / "t10k.npy", test.images)
        rows = [
            row
            for title, ways in GROUPS.items()
            if title.startswith(arguments.only)
            for row in measured(title, ways, arguments.rounds, folder, arguments.peers_python)
        ]
    path, at = HERE / "speed.json", commit()
    rows = [{**row, "commit": at} for row in rows]
    if arguments.only:
        record = json.loads(path.read_text(encoding="utf-8"))
        kept = [row for row in record["rows"] if not row["group"].startswith(arguments.only)]
        record["rows"] = [{"commit": record["commit"], **row} for row in kept] + rows
    else:
        record = {
            "made": date.today().isoformat(),
            "machine": machine(),
            "commit": at,
            "rounds": arguments.rounds,
            "rows": rows,
            "import_seconds": import_seconds(arguments.rounds),
            "rows_per_second": inference(train.images),
        }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_table(record)


def measured(
    title: str, ways: Mapping[str, tuple[str, ...]], rounds: int, folder: str, peers_python: str
) -> list[dict[str, Any]]:
    """Run the ways of a group in turn; each gets the ratio of its median to the first one's."""
    ways = {name: way for name, way in ways.items() if peers_python or not way[0].startswith("jax:")}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            runs[name].append(run(way, folder, peers_python))
            print(title, "|", name, "|", runs[name][-1], flush=True)
    key = "process_seconds" if "process" in title else "seconds_per_epoch"
    medians = {name: statistics.median(one[key] for one in results) for name, results in runs.items()}
    reference = next(iter(medians.values()))
    return [
        {
            "group": title,
            "way": name,
            "seconds": round(median, 4),
            "ratio": round(median / reference, 3),
            "fastest": round(min(one[key] for one in runs[name]), 4),
            "slowest": round(max(one[key] for one in runs[name]), 4),
            **{
                extra: round(statistics.median(one[extra] for one in runs[name]), 5)
                for extra in ("test_bce", "first_epoch", "added_mib")
                if extra in runs[name][0]
            },
        }
        for name, median in medians.items()
    ]


def run(way: tuple[str, ...], folder: str, peers_python: str) -> dict[str, float]:
    script, *arguments = way
    python = peers_python if script.startswith("jax:") else sys.executable
    command = [python, str(HERE / "peers" / script.removeprefix("jax:")), *arguments]
    start = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, "MNIST": folder}, capture_output=True, text=True, check=True
    )
    result: dict[str, float] = {"process_seconds": time.perf_counter() - start}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            result |= json.loads(line)
    return result


def import_seconds(rounds: int) -> float:
    """Return the median seconds that a process with ``import isthmus`` takes more than an empty one."""

    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    return round(statistics.median(seconds("import isthmus") - seconds("") for _ in range(rounds)), 4)


def inference(X: np.ndarray) -> dict[str, int]:
    """Return rows per second of the notebook's net."""
    model = Autoencoder(32, epochs=1, batch_size=256, random_state=0, code_activation="identity").fit(X)
    codes = model.transform(X)

    def speed(function: Any, rows: np.ndarray) -> int:
        seconds = []
        for _ in range(7):
            start = time.perf_counter()
            function(rows)
            seconds.append(time.perf_counter() - start)
        return round(len(rows) / statistics.median(seconds))

    return {
        "transform": speed(model.transform, X),
        "inverse_transform": speed(model.inverse_transform, codes),
    }


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - whichever git there is
        capture_output=True,
        text=True,
        cwd=HERE,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def write_table(record: Mapping[str, Any]) -> None:
    """Replace the table between the marks of RESULTS.md."""
    made = (
        f"Made {record['made']} on {record['machine']}; medians of {record['rounds']} runs, in turn, at the "
        "commit in the last column."
    )
    header = "| what | way | seconds | from | to | ratio | test BCE | at |"
    lines = [made, "", header, "|---" * 8 + "|"]
    for row in record["rows"]:
        names = ("group", "way", "seconds", "fastest", "slowest", "ratio", "test_bce", "commit")
        lines.append("| " + " | ".join(str(row.get(name, "–")) for name in names) + " |")
    single = next(row for row in record["rows"] if row["way"] == "Isthmus, float32")
    speeds = record["rows_per_second"]
    lines += [
        "",
        f"`import isthmus` takes {record['import_seconds']} s. The first epoch is done "
        f"{single['first_epoch']:.2f} s after the start of the process, of which most is importing torch and "
        f"scikit-learn. A fit on MNIST, data and imports included, takes {single['added_mib']:.0f} MiB above "
        f"`import torch`; the float32 images alone are 179 MiB. Rows per second: {speeds['transform']:,} "
        f"(`transform`), {speeds['inverse_transform']:,} (`inverse_transform`).",
    ]
    write_between("speed", "end of speed", lines)


if __name__ == "__main__":
    main()
