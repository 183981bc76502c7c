"""Run tests as other processors would, and list those whose verdict changes.

Sums differ in their last bits from one instruction set, thread count or compiler to the next, and a training
amplifies that to another model that is as good. A test may not depend on it, nor on one lucky seed:

    python tests/portable.py                            # the fast tests, under everything below
    python tests/portable.py tests/test_learning.py -k pca --under default --under seed
    python tests/portable.py --list

Whatever is not an option of this script goes to pytest. The exit status is 1 if a verdict changes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
COMPILER = re.compile(r"(.*-)?(cc|gcc|clang|tcc|icx|icc|c89|c99|c\+\+|g\+\+|clang\+\+)(-[\d.]+)?")
WORST = ["passed", "skipped", "failed"]


@dataclass(frozen=True)
class Conditions:
    """What a run is told, and its name and meaning for readers."""

    name: str
    meaning: str
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    compiler: bool = True


PLAIN = Conditions("plain", "this processor as it is, 1 thread")
OTHERS = [
    Conditions(
        "default",
        "the instructions that every x86-64 processor has",
        {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
    ),
    Conditions(
        "mixed",
        "no vectors in torch's own functions, AVX2 in oneDNN's",
        {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    ),
    Conditions(
        "avx2",
        "AVX2, without AVX-512 and AMX",
        {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"},
    ),
    Conditions("threads", "2 threads", arguments=("--threads=2",)),
    Conditions("no-compiler", "no C compiler on PATH", {"CC": "", "CXX": ""}, compiler=False),
    Conditions("seed", "another seed for each training", arguments=("--shift-seeds=1",)),
    Conditions("seed-2", "a third seed for each training", arguments=("--shift-seeds=2",)),
]


def path_without_compilers(folder: Path) -> str:
    """Fill a folder with links to the programs on PATH that are no compilers, and return it as a PATH."""
    for place in map(Path, os.get_exec_path()):
        for program in place.iterdir() if place.is_dir() else ():
            link = folder / program.name
            if not COMPILER.fullmatch(program.name) and not os.path.lexists(link):
                link.symlink_to(program)
    found = [name for name in ("cc", "gcc", "clang", "c++", "g++") if shutil.which(name, path=str(folder))]
    assert not found, f"{found} are still on PATH"
    return str(folder)


def gist(message: str) -> str:
    """Return what a failure says in one line; a doctest shows its source before that."""
    expected = message.find("Expected:")
    return message.strip().split("\n")[0] if expected < 0 else " ".join(message[expected:].split())


def outcomes(report: Path) -> dict[str, tuple[str, str]]:
    """Return verdict and message of each test from a report in JUnit's format."""
    found: dict[str, tuple[str, str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 (written by our own pytest)
        verdict, message = "passed", ""
        for trouble in case:
            if trouble.tag in ("failure", "error", "skipped"):
                verdict = "skipped" if trouble.tag == "skipped" else "failed"
                message = gist(trouble.get("message") or "")
        name = f"{case.get('classname')}::{case.get('name')}"
        # A test that passes and whose fixture fails afterwards appears twice.
        found[name] = max(
            found.get(name, ("passed", "")), (verdict, message), key=lambda o: WORST.index(o[0])
        )
    return found


def run(conditions: Conditions, arguments: list[str]) -> dict[str, tuple[str, str]]:
    """Run pytest under conditions, show a line about it, and return the verdicts."""
    with tempfile.TemporaryDirectory(prefix="portable-") as name:
        folder = Path(name)
        environment = {**os.environ, **conditions.environment}
        if not conditions.compiler:
            (folder / "bin").mkdir()
            environment["PATH"] = path_without_compilers(folder / "bin")
            # Kernels of earlier runs are in the user's cache.
            environment["XDG_CACHE_HOME"] = str(folder / "cache")
            environment["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
        environment = {key: value for key, value in environment.items() if value}
        report = folder / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, *conditions.arguments, *arguments],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        # 1 says that tests failed; more, that pytest itself did, or was given something wrong.
        if done.returncode > 1 or done.returncode < 0 or not report.exists():
            sys.exit(f"{done.stdout[-4000:]}\npytest ended with {done.returncode} under {conditions.name}")
        found = outcomes(report)
    counts = Counter(verdict for verdict, _ in found.values())
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in WORST)
    print(
        f"{conditions.name:12} {summary}, {time.perf_counter() - start:.0f} s  ({conditions.meaning})",
        flush=True,
    )
    return found


def changed(plain: dict[str, tuple[str, str]], other: dict[str, tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the tests that pass in one run and fail in the other, each with what it says."""
    lines = []
    for name in sorted(plain.keys() | other.keys()):
        before, after = (run.get(name, ("missing", "")) for run in (plain, other))
        # A test that needs a compiler is skipped without one: that is no other verdict.
        if before[0] != after[0] and "skipped" not in (before[0], after[0]):
            lines.append((name, f"{before[0]} → {after[0]}: {after[1] or before[1]}"))
    return lines


def main() -> int:
    """Run, compare, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--under", action="append", choices=[one.name for one in OTHERS], metavar="NAME")
    parser.add_argument("--list", action="store_true", help="show the conditions, and end")
    options, arguments = parser.parse_known_args()
    if options.list:
        for one in OTHERS:
            settings = [f"{key}={value}" for key, value in one.environment.items() if value]
            print(f"{one.name:12} {one.meaning:52} {' '.join([*settings, *one.arguments])}")
        return 0
    plain = run(PLAIN, arguments)
    findings = {
        one.name: changed(plain, run(one, arguments))
        for one in OTHERS
        if options.under is None or one.name in options.under
    }
    failing = [name for name, (verdict, _) in plain.items() if verdict == "failed"]
    for name in failing:
        print(f"\nfails everywhere or only here: {name}\n    {plain[name][1]}")
    for conditions, lines in findings.items():
        for name, verdict in lines:
            print(f"\n{conditions}: {name}\n    {verdict}")
    total = sum(map(len, findings.values()))
    print(f"\n{len(plain)} tests, {total} changes of verdict")
    return int(total > 0 or bool(failing))


if __name__ == "__main__":
    sys.exit(main())
