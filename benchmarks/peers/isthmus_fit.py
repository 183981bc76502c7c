"""The same job by Isthmus.
usage: isthmus_fit.py [--hidden 128,64] [--network convolutional] [--epochs 6] [--precision float32] [--compile auto]"""

import argparse
import time

start = time.perf_counter()
from pathlib import Path

import torch  # noqa: F401 - so that what Isthmus adds to its memory can be told


def peak_mib():
    """Return this process's largest resident memory so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


with_torch = peak_mib()
from isthmus import Autoencoder
from isthmus.training import Callback
from mnist import load, report

p = argparse.ArgumentParser()
p.add_argument("--hidden", default="")
p.add_argument("--network", default="dense")
p.add_argument("--epochs", type=int, default=6)
p.add_argument("--precision", default="float32")
p.add_argument("--compile", default="auto")
a = p.parse_args()


class FirstEpoch(Callback):
    seconds = 0.0

    def on_epoch_end(self, state):
        self.seconds = self.seconds or time.perf_counter() - start


first = FirstEpoch()
model = Autoencoder(
    32 if a.network == "dense" else "auto",
    network=a.network,
    hidden_layers=tuple(int(width) for width in a.hidden.split(",") if width),
    epochs=a.epochs,
    batch_size=256,
    precision=a.precision,
    compile=a.compile if a.compile == "auto" else a.compile == "True",
    callbacks=[first],
    random_state=0,
)
model.fit(load("train"))
total = time.perf_counter() - start
added = peak_mib() - with_torch
test = load("t10k")
report("isthmus", [row["seconds"] for row in model.history_], -model.score_samples(test).mean() / 784, total)
print(f'{{"first_epoch": {first.seconds:.3f}, "added_mib": {added:.0f}}}')
