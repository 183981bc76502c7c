"""A file or a folder for each training, also where copies of one callback write at the same time.

scikit-learn clones an estimator, with its callbacks, for each fit of a search, and joblib sends it to other
processes. All copies have the same path. The first training takes the path itself, and the others take it with a
number: what one training has written is never mixed with, or replaced by, what another one writes.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

#: How the names of TensorBoard's files begin.
EVENTS = "events.out.tfevents"


class Claims:
    """What a callback may write to.

    A training takes the path if nothing is there, or what is there was left before the callback was made, or by an
    earlier training of this very callback. Otherwise, and while another training writes there, it takes the first
    path with a number that is free or its own. A copy of the callback owns nothing yet.

    Parameters
    ----------
    path : Path
        The file or folder that was asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = _signature(path)
        self._own: set[Path] = set()

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_own": set()}

    def file(self) -> tuple[Path, int]:
        """Take a file, and return its path and an open, empty descriptor; closing that ends the claim."""
        for path in _numbered(self.path, self.path.suffix):
            handle = self._try_file(path)
            if handle is not None:
                self._own.add(path)
                return path, handle
        raise AssertionError("the numbers are endless")

    def folder(self) -> tuple[Path, int | None]:
        """Take a folder, and return its path and a descriptor whose closing ends the claim, if the system has any."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for path in _numbered(self.path, ""):
            try:
                path.mkdir()
                fresh = True
            except FileExistsError:
                fresh = False
            if not (fresh or self._is_ours(path, _signature(path))):
                continue
            handle = None if sys.platform == "win32" else os.open(path, os.O_RDONLY)
            if handle is not None and not _locked(handle):
                os.close(handle)
            # Another training may have come and gone since the first look.
            elif fresh or self._is_ours(path, _signature(path)):
                self._own.add(path)
                return path, handle
            elif handle is not None:
                os.close(handle)
        raise AssertionError("the numbers are endless")

    def _try_file(self, path: Path) -> int | None:
        """Return a descriptor of an empty file, if this training may have it."""
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            if not self._is_ours(path, _signature(path)):
                return None
            handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return handle  # a pipe or a terminal: nothing to empty, and nobody else's
            # Looked at again with the lock: another training may have come and gone since.
            if not (_locked(handle) and self._is_ours(path, _signature(path))):
                os.close(handle)
                return None
            os.ftruncate(handle, 0)
            return handle
        # Nobody takes a file that is newer than their callback, locked or not yet.
        _locked(handle)
        return handle

    def _is_ours(self, path: Path, signature: object) -> bool:
        return path in self._own or (path == self.path and signature == self._before)


def _numbered(path: Path, suffix: str) -> Iterator[Path]:
    yield path
    name = path.name.removesuffix(suffix)
    for number in count(2):
        yield path.with_name(f"{name}-{number}{suffix}") if name else path / str(number)


def _signature(path: Path) -> object:
    """Return what tells a file or folder from one that was written to since; of a folder, TensorBoard's files count."""
    try:
        if path.is_dir():
            return sorted(name for name in os.listdir(path) if name.startswith(EVENTS))  # noqa: PTH208
        status = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return status.st_ino  # a pipe or a terminal: written to by many, and never left behind
    return status.st_ino, status.st_size, status.st_mtime_ns


def _locked(handle: int) -> bool:
    """Return whether nobody else has the file or folder now; from here on it is locked until it is closed."""
    if sys.platform == "win32":  # nothing keeps a second process out there
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True
