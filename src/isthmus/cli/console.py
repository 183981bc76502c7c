"""What commands say: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from isthmus.errors import IsthmusWarning

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143
PIPE_WIDTH = 200


def failure(message: str, code: int = BAD_INPUT) -> int:
    """Say what went wrong in one line on standard error, and return the exit code."""
    sys.stderr.write(f"isthmus: {' '.join(message.split())}\n")
    return code


def note(message: str) -> None:
    """Say something in one line on standard error."""
    sys.stderr.write(f"{message}\n")


@contextmanager
def last_words() -> Iterator[None]:
    """Turn Python warnings into one line each on standard error."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        note(f"Warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = cast(Any, show)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        # Said, not raised, whatever PYTHONWARNINGS asks for: what is being written must not be lost.
        warnings.simplefilter("default", IsthmusWarning)
        # Column names are compared by the commands themselves, before rows become plain arrays.
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        yield


class Terminated(BaseException):
    """The process was asked to end; raised where it is, so that what is half done is taken back."""


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Turn SIGTERM into an exception."""

    def end(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(json.dumps(result, allow_nan=False) + "\n")


def print_lines(*lines: str) -> None:
    """Print lines on standard output."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def say_shape(output: str, shape: Sequence[int], json: bool) -> None:
    """Say which file was written, and how large an array is in it."""
    if json:
        print_json({"output": output, "shape": list(shape)})
    else:
        print_lines(f"{output}: {' x '.join(map(str, shape))}")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on standard output, numbers to the right."""
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # A pipe has no width, and what is cut off there is lost.
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def readable(value: float | None, digits: int = 4) -> str:
    """Return a number as text with so many significant digits, a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def percent(share: float | None) -> str:
    """Return a share as text, a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f}%"
