"""A folder for one process at a time."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from isthmus.errors import CheckpointError

LOCK = "in-use"


class FolderLock:
    """The right to write to a folder, which the system takes back when the process ends, however it does.

    Parameters
    ----------
    folder : Path
        It exists.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take it.

        Raises
        ------
        CheckpointError
            When another process, or another fit of this one, has it, or the folder cannot be written to.
        """
        try:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint folder {self.path.parent} cannot be written to: {error.strerror or error}."
            ) from error
        if sys.platform == "win32":  # nothing keeps a second process out there
            return
        import fcntl

        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise CheckpointError(
                f"The checkpoint folder {self.path.parent} is in use by another fit. Wait for it, or use another."
            ) from error
        except OSError:  # a file system without locks
            pass

    def release(self) -> None:
        """Give it back."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.close(self._handle)
            self._handle = None
