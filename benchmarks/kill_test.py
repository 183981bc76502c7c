"""Trainings that are killed: resumed, they end as if nothing had been.

    python benchmarks/kill_test.py [--runs 100] [--seed 0] [--no-record]

Each run trains one of several models with a checkpoint after every step or two, in a process of its own that is
killed by SIGKILL after a random time, again and again, until one gets to the end. At every second kill the hand of
fate is led: the process is killed while a checkpoint is being written. Then weights, history and codes are compared,
bit by bit, with those of the same training left alone. Writes the counts into benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from isthmus import (
    Autoencoder,
    Checkpoint,
    DeepBeliefNetwork,
    KSparseAutoencoder,
    RestrictedBoltzmannMachine,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
)
from isthmus.errors import IsthmusWarning
from isthmus.estimators import BaseAutoencoder
from isthmus.training import checkpoint as checkpoint_module
from recording import machine, write_between

#: What is trained: optimisers, ways to a gradient and kinds of state that a checkpoint has to know.
MODELS: dict[str, Callable[[], BaseAutoencoder]] = {
    "single layer": lambda: Autoencoder(16, epochs=8, batch_size=60, random_state=0),
    "deep, early stopping": lambda: Autoencoder(
        8,
        hidden_layers=(32,),
        epochs=12,
        validation_fraction=0.2,
        patience=2,
        learning_rate=0.05,
        random_state=0,
    ),
    "momentum, plateau": lambda: Autoencoder(
        8, optimizer="sgd", schedule="plateau", epochs=8, batch_size=60, random_state=0
    ),
    "bfloat16": lambda: Autoencoder(16, precision="bfloat16", epochs=8, batch_size=60, random_state=0),
    "variational": lambda: VariationalAutoencoder(8, epochs=6, batch_size=60, random_state=0),
    "vector-quantised": lambda: VectorQuantizedAutoencoder(8, epochs=6, batch_size=60, random_state=0),
    "k-sparse": lambda: KSparseAutoencoder(32, epochs=6, batch_size=60, random_state=0),
    "machine, persistent chains": lambda: RestrictedBoltzmannMachine(
        16, sampler="pcd", epochs=8, batch_size=60, random_state=0
    ),
    "belief network": lambda: DeepBeliefNetwork(
        8, hidden_layers=(16,), epochs=4, batch_size=60, random_state=0
    ),
    "stacked": lambda: Autoencoder(
        8, hidden_layers=(32,), initialization="stacked", epochs=4, batch_size=60, random_state=0
    ),
    "diverging": lambda: Autoencoder(
        8, optimizer="sgd", learning_rate=1e4, loss="mse", epochs=6, batch_size=60, random_state=0
    ),
}


@dataclass
class Outcome:
    """How a run ended: whether as it should have, and how often it was killed."""

    same: bool
    answer: str
    kills: int
    while_saving: int


def digest(model: BaseAutoencoder, rows: NDArray[np.float32]) -> str:
    """Return a hash of what a fit leaves behind, apart from the time that it took."""
    found = hashlib.sha256()
    for name, value in sorted(model._assembly.state_dict().items()):
        found.update(name.encode() + value.numpy().tobytes())
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in model.history_]
    found.update(json.dumps([history, model.n_epochs_, model.best_epoch_]).encode())
    found.update(model.transform(rows).tobytes())
    return found.hexdigest()


def train(kind: str, rows: NDArray[np.float32], folder: str | None, *, die_while_saving: int = 0) -> str:
    """Fit a model and return its digest."""
    if die_while_saving:
        _die_in_write(die_while_saving)
    saved = None if folder is None else Checkpoint(folder, every_seconds=0.002, every_epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsthmusWarning)
        return digest(MODELS[kind]().fit(rows, checkpoint=saved), rows)


def _die_in_write(number: int) -> None:
    """Have this process be killed within the ``number``-th file that it writes, when half of it is there."""
    replacing, counter = checkpoint_module.replacing, iter(range(1, 10**9))

    class Half:
        def __init__(self, target: Path) -> None:
            self.whole, self.fatal = replacing(target), next(counter) == number

        def __enter__(self) -> Half:
            self.stream = self.whole.__enter__()
            return self

        def write(self, content: bytes) -> None:
            if self.fatal:
                self.stream.write(content[: len(content) // 2])
                self.stream.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            self.stream.write(content)

        def __exit__(self, *error: object) -> None:
            self.whole.__exit__(*error)

    checkpoint_module.replacing = Half  # type: ignore[assignment]


def killed_run(
    kind: str, rows: NDArray[np.float32], wanted: str, alone: float, generator: np.random.Generator
) -> Outcome:
    """Kill and resume a training until it is done, which took ``alone`` seconds when it was left alone."""
    kills = while_saving = 0
    with tempfile.TemporaryDirectory() as folder:
        while True:
            last = kills >= 12
            fatal = 0 if last or generator.random() < 0.5 else int(generator.integers(1, 6))
            patience = None if last or fatal else float(generator.uniform(0, alone))
            status, answer = _in_a_process(
                lambda fatal=fatal: train(kind, rows, folder, die_while_saving=fatal), patience
            )
            if not os.WIFSIGNALED(status):
                return Outcome(answer == wanted, answer, kills, while_saving)
            kills += 1
            while_saving += fatal > 0


def _in_a_process(work: Callable[[], str], patience: float | None) -> tuple[int, str]:
    """Do work in a fork of this process, which is killed after a time; return its status and what it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            os.write(writing, work().encode())
            code = 0
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent is to hear of it
            os.write(writing, repr(error)[:2000].encode())
        finally:
            os._exit(code)
    os.close(writing)
    if patience is not None:
        time.sleep(patience)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as stream:
        answer = stream.read()
    return os.waitpid(child, 0)[1], answer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-record", action="store_true", help="leave RESULTS.md as it is")
    arguments = parser.parse_args()
    # Forks inherit no threads; this process must not have started any before it forks.
    torch.set_num_threads(1)
    rows = (load_digits().data / 16).astype(np.float32)[:600]
    generator = np.random.default_rng(arguments.seed)
    references: dict[str, tuple[str, float]] = {}
    counts: Counter[str] = Counter()
    for number in range(arguments.runs):
        kind = list(MODELS)[number % len(MODELS)]
        if kind not in references:
            start = time.perf_counter()
            _, wanted = _in_a_process(lambda kind=kind: train(kind, rows, None), None)
            references[kind] = wanted, time.perf_counter() - start
        outcome = killed_run(kind, rows, *references[kind], generator)
        counts.update(
            same=outcome.same, other=not outcome.same, kills=outcome.kills, while_saving=outcome.while_saving
        )
        if not outcome.same:
            print(f"run {number}, {kind}: {outcome.answer}")
    lines = [
        f"{machine()}; {date.today().isoformat()}, seed {arguments.seed}.",
        "",
        f"{arguments.runs} trainings of {len(MODELS)} kinds ({', '.join(MODELS)}) were killed {counts['kills']} times "
        f"by SIGKILL, {counts['while_saving']} times in the middle of writing a checkpoint, and resumed each time: "
        f"{counts['same']} ended with bit for bit the result of the same training left alone, "
        f"{counts['other']} with another.",
    ]
    print("\n".join(lines))
    if not arguments.no_record:
        write_between("kill test", "end of kill test", lines)
    return int(counts["other"] > 0)


if __name__ == "__main__":
    sys.exit(main())
