"""Damaged files of every kind: nothing but our own errors, within 2 seconds and 64 MiB a file.

    python benchmarks/fuzz.py [--files 20000] [--seed 0] [--jobs 1] [--kind model] [--keep FOLDER] [--no-record]

Files that Isthmus reads (see ``mutations.py``) are damaged at random: their bytes, and, where they have a structure,
each of its entries, with checksums and lengths made right again. Each is read, and what was read is used. A fault is
any error but one of Isthmus's in one line, a result that is not finite, more than 2 seconds of processor time, or more
than 64 MiB of memory. Faults can be kept. What is done to a file depends on the seed, its kind and its number alone,
and not on how many processes share the work. Writes the counts into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np

from isthmus.errors import IsthmusError, IsthmusWarning
from mutations import KINDS, PLACES, Kind
from recording import machine, write_between

#: Seconds of processor time, and MiB of memory beyond what the process had, that a file may take.
SECONDS, MEBIBYTES = 2.0, 64.0

#: Seconds after which a file is given up, and bytes of address space that the process may have in all.
PATIENCE, ROOM = 20, 4 * 2**30

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"

#: Files that a process reads before the next one takes over.
CHUNK = 250


@dataclass
class Tally:
    """What came of the files of one kind."""

    counts: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, bytes]] = field(default_factory=list)
    slowest: float = 0.0
    grown: float = 0.0

    def add(self, other: Tally) -> None:
        """Add what came of other files."""
        self.counts += other.counts
        self.places += other.places
        self.faults += other.faults
        self.slowest, self.grown = max(self.slowest, other.slowest), max(self.grown, other.grown)


class Hang(BaseException):
    """A file took too long."""


def fuzz(name: str, numbers: range, seed: int) -> Tally:
    """Damage and read the files of one kind that have these numbers."""
    kind, tally = _kind(name), Tally()
    for number in numbers:
        random = np.random.default_rng([seed, number, *name.encode()])
        damage = kind.damages[number % len(kind.damages)]
        PLACES.clear()
        data = damage(kind.files[int(random.integers(len(kind.files)))], kind.files, random)
        tally.places += PLACES
        grown, start = _Growth(), time.process_time()
        came, fault = read(kind, data)
        seconds, mebibytes = time.process_time() - start, grown.mebibytes()
        tally.counts[came] += 1
        tally.slowest, tally.grown = max(tally.slowest, seconds), max(tally.grown, mebibytes)
        if fault is None and seconds > SECONDS:
            fault = f"took {seconds:.1f} s"
        if fault is None and mebibytes > MEBIBYTES:
            fault = f"took {mebibytes:.0f} MiB"
        if fault is not None:
            tally.faults.append((f"{fault} (file {number})", data))
    return tally


def read(kind: Kind, data: bytes) -> tuple[str, str | None]:
    """Read a file; return what came of it in a word, and what was wrong with that."""
    try:
        with warnings.catch_warnings(), _patience():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", IsthmusWarning)
            return kind.read(data), None
    except IsthmusError as error:
        name = next(kind.__name__ for kind in type(error).__mro__ if not kind.__name__.startswith("_"))
        return name, f"more than a line: {error}" if "\n" in str(error) else None
    except (Exception, Hang) as error:  # noqa: BLE001 - anything else is what is looked for
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "fault", f"{error!r:.200} in {Path(place.filename).name}:{place.lineno}"


_kinds: dict[str, Kind] = {}


def _kind(name: str) -> Kind:
    """Return a kind; its files are made once, and read once, so that what that takes is not a file's."""
    if name not in _kinds:
        _kinds[name] = KINDS[name]()
        for data in _kinds[name].files:
            came, fault = read(_kinds[name], data)
            assert fault is None and not came.endswith("Error"), f"a whole {name} file: {came}, {fault}"  # noqa: PT018
    return _kinds[name]


class _Growth:
    """How much the process grows; 0 where the system does not say."""

    def __init__(self) -> None:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # so that memory that was freed before is not used unseen
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
        self.before = _peak()

    def mebibytes(self) -> float:
        """Return the growth so far at its peak."""
        return max(0.0, _peak() - self.before)


def _peak() -> float:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0


class _patience:  # noqa: N801 - a context
    """Raise `Hang` after `PATIENCE` seconds."""

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def _ring(self, *_: object) -> None:
        raise Hang(f"not done after {PATIENCE} seconds")

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


def limited(task: tuple[str, range, int]) -> Tally:
    """Do so in a process that cannot take all the memory of the machine."""
    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (ROOM + 2**34, resource.RLIM_INFINITY))
    return fuzz(*task)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--kind", choices=KINDS, action="append", help="of all of them unless given")
    parser.add_argument("--keep", type=Path, help="folder for files that were not read as they should be")
    parser.add_argument("--no-record", action="store_true", help="leave docs/reliability.md as it is")
    arguments = parser.parse_args()
    names = arguments.kind or list(KINDS)
    n_files = -(-arguments.files // len(names))
    lines = [f"{machine()}; {date.today().isoformat()}, seed {arguments.seed}.", ""]
    lines += ["| kind | files | entries | what came | slowest | most memory | faults |"]
    lines += ["|---|---|---|---|---|---|---|"]
    faults = 0
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        for name in names:
            chunks = [range(start, min(start + CHUNK, n_files)) for start in range(0, n_files, CHUNK)]
            tally = Tally()
            for part in pool.imap_unordered(limited, [(name, chunk, arguments.seed) for chunk in chunks]):
                tally.add(part)
            came = ", ".join(f"{count:,} {what}" for what, count in tally.counts.most_common())
            cells = (f"{n_files:,}", str(len(tally.places)), came, f"{tally.slowest:.2f} s")
            cells += (f"{tally.grown:.0f} MiB", str(len(tally.faults)))
            lines.append(f"| {name} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
            faults += len(tally.faults)
            _report(name, tally, arguments.keep)
    if not arguments.no_record:
        write_between("fuzz", "end of fuzz", lines, PAGE)
    return int(faults > 0)


def _report(name: str, tally: Tally, keep: Path | None) -> None:
    """Show the faults of a kind, and keep their files."""
    for words, _ in tally.faults[:10]:
        print(f"    {words}", flush=True)
    if keep is not None and tally.faults:
        keep.mkdir(parents=True, exist_ok=True)
        for number, (_, data) in enumerate(tally.faults):
            (keep / f"{name}-{number}").write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
