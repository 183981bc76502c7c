"""Files that are either the old one or the whole new one, never half of it."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator


#: How the names of files begin that are not whole yet.
DRAFT_PREFIX = ".isthmus-"


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Give a new file that takes the place of ``target`` when the ``with`` block ends well.

    It is written beside the target, so that the move stays within a file system, and it is on the
    disk before it is moved. If the block fails, it is removed and the target is as it was.

    Parameters
    ----------
    target : Path
        The file to replace or to create. A link is followed, not replaced.

    Yields
    ------
    binary file
        To write the new content to.

    Raises
    ------
    OSError
        If the file cannot be created, written or moved.
    """
    final = Path(os.path.realpath(target))
    # Opened here rather than by tempfile, which would make it readable by the owner alone.
    temporary = final.with_name(f"{DRAFT_PREFIX}{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(final)
        _sync_folder(final.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where the system lets one: a move is lost with the power otherwise."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
