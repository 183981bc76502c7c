"""Damaged files of every kind: nothing but our own errors, in bounded memory and time.

    python benchmarks/fuzz.py [--files 10000] [--seed 0] [--kind model] [--keep FOLDER] [--no-record]

Files that Isthmus reads (see ``mutations.py``) are damaged at random: their bytes, and, where they have a structure,
its values, with checksums made right again. Each is read, and what was read is used. Whatever is not a result or one
of Isthmus's errors is a fault, and kept. Each kind has a process of its own, which may take so much memory and no
more, and no file more than ten seconds. Writes the counts into benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np

from isthmus.errors import IsthmusError, IsthmusWarning
from mutations import KINDS
from recording import machine, write_between

#: Seconds for one file, and bytes of memory beyond what the process has when it starts.
PATIENCE, ROOM = 10, 4 * 2**30


@dataclass
class Tally:
    """What came of the files of one kind."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, bytes]] = field(default_factory=list)
    slowest: float = 0.0
    grown: float = 0.0


class Hang(BaseException):
    """A file took too long."""


def fuzz(name: str, n_files: int, seed: int) -> Tally:
    """Damage and read files of one kind."""
    kind, random, tally = KINDS[name](), np.random.default_rng([seed, *name.encode()]), Tally()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(n_files):
        damage = kind.damages[number % len(kind.damages)]
        data = damage(kind.files[int(random.integers(len(kind.files)))], kind.files, random)
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", IsthmusWarning)
                tally.counts[kind.read(data)] += 1
        except IsthmusError as error:
            tally.counts[type(error).__name__] += 1
            if "\n" in str(error):
                tally.faults.append((f"more than a line: {error}", data))
        except (Exception, Hang) as error:  # noqa: BLE001 - anything else is what is looked for
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            tally.faults.append((f"{error!r:.200} in {where}", data))
        tally.slowest = max(tally.slowest, time.perf_counter() - start)
    tally.grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return tally


def limited(name: str, n_files: int, seed: int) -> Tally:
    """Do so with limits, in a process of its own."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, resource.RLIM_INFINITY))
    with _patience():
        return fuzz(name, n_files, seed)


class _patience:  # noqa: N801 - a context
    """Raise `Hang` in what takes longer than `PATIENCE` between two ticks of the clock."""

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)
        self.last = 0.0

    def _ring(self, *_: object) -> None:
        # The same line of work at two ticks: processor time alone does not tell a hang from a slow machine.
        frame = sys._getframe()
        while frame is not None and frame.f_code is not fuzz.__code__:
            frame = frame.f_back  # type: ignore[assignment]
        start = frame.f_locals.get("start", 0.0) if frame is not None else 0.0
        if start and time.perf_counter() - start > PATIENCE:
            raise Hang

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, action="append", help="of all of them unless given")
    parser.add_argument("--keep", type=Path, help="folder for files that were not read as they should be")
    parser.add_argument("--no-record", action="store_true", help="leave RESULTS.md as it is")
    arguments = parser.parse_args()
    names = arguments.kind or list(KINDS)
    lines = [f"{machine()}; {date.today().isoformat()}, seed {arguments.seed}.", ""]
    lines += ["| kind | files | what came | slowest | memory grew by | faults |", "|---|---|---|---|---|---|"]
    faults = 0
    for name in names:
        n_files = -(-arguments.files // len(names))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            tally = pool.apply(limited, (name, n_files, arguments.seed))
        came = ", ".join(f"{count:,} {what}" for what, count in tally.counts.most_common())
        faults += len(tally.faults)
        cells = (
            f"{n_files:,}",
            came,
            f"{tally.slowest:.2f} s",
            f"{tally.grown:.0f} MiB",
            str(len(tally.faults)),
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
        for words, count in Counter(words for words, _ in tally.faults).most_common(10):
            print(f"    {count} x {words}", flush=True)
        if arguments.keep is not None and tally.faults:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for number, (_, data) in enumerate(tally.faults):
                (arguments.keep / f"{name}-{number}").write_bytes(data)
    if not arguments.no_record:
        write_between("fuzz", "end of fuzz", lines)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
