"""Fetching known files: checked before they are kept, tried again when that may help."""

from __future__ import annotations

import hashlib
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from isthmus.data._atomic import replacing
from isthmus.errors import DownloadError, InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    Progress: TypeAlias = Callable[[str, int, int | None], None]

_BLOCK = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A file whose content is known beforehand.

    Parameters
    ----------
    name : str
        Its name, both at the address and in the cache.
    sha256 : str
        The SHA-256 of its bytes as they are transferred, in hexadecimal.
    size : int
        How many bytes it has; no more than that is ever taken from the network.
    """

    name: str
    sha256: str
    size: int


class _TransientError(DownloadError):
    """A failure that may be gone at the next attempt."""


def fetch(
    file: RemoteFile,
    *,
    base_url: str,
    folder: Path,
    progress: Progress | None = None,
    attempts: int = 3,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> Path:
    """Return the path of a file in a folder, after downloading it if it is not there.

    A file that is there is taken if its checksum is right and replaced otherwise. A new one appears
    in the folder only when it is complete and its checksum is right.

    Parameters
    ----------
    file : RemoteFile
        What to fetch.
    base_url : str
        The http or https address of the folder that holds it.
    folder : Path
        Where to keep it; made if need be.
    progress : callable, optional
        Called with the file's name, the bytes that have come and the bytes to come in all.
    attempts : int, default=3
        How often to try when the connection fails or the server reports an error of its own (5xx).
    pause : float, default=1.0
        Seconds before the second attempt; twice as long before each further one.
    timeout : float, default=30.0
        Seconds to wait for a connection, and for each part of the answer.

    Returns
    -------
    Path
        The file in the folder.

    Raises
    ------
    InvalidParameterError
        If ``base_url`` is neither http nor https.
    DownloadError
        If the file could not be fetched, if what came was not it, or if it could not be kept.
    """
    if not base_url.startswith(("http://", "https://")):
        raise InvalidParameterError(
            f"The 'base_url' parameter must be an http or https address. Got {base_url!r} instead."
        )
    target = folder / file.name
    url = f"{base_url.rstrip('/')}/{file.name}"
    try:
        if is_intact(target, file):
            return target
        folder.mkdir(parents=True, exist_ok=True)
        _with_retries(lambda: _download(url, file, target, progress, timeout), attempts, pause)
    except DownloadError:  # an OSError too, and clear already
        raise
    except OSError as error:
        raise DownloadError(f"{target} cannot be kept: {error.strerror or error}.") from error
    return target


def is_intact(path: Path, file: RemoteFile) -> bool:
    """Return whether a path holds exactly the content of ``file``."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256


def _with_retries(action: Callable[[], None], attempts: int, pause: float) -> None:
    for attempt in range(1, attempts + 1):
        try:
            action()
        except _TransientError as error:
            if attempt == attempts:
                raise DownloadError(f"{error} ({attempts} attempts)") from error
            time.sleep(pause * 2 ** (attempt - 1))
        else:
            return


def _download(url: str, file: RemoteFile, target: Path, progress: Progress | None, timeout: float) -> None:
    """Download once; ``target`` comes into being only if what came is the file."""
    digest = hashlib.sha256()
    done = 0
    with replacing(target) as stream, closing(_blocks(url, timeout)) as blocks:
        for block in blocks:
            done += len(block)
            if done > file.size:
                raise DownloadError(f"{url} is not the expected file: it is larger than {file.size} bytes.")
            digest.update(block)
            stream.write(block)
            if progress is not None:
                progress(file.name, done, file.size)
        if done < file.size:
            raise _TransientError(f"{url} ended after {done} of {file.size} bytes.")
        if digest.hexdigest() != file.sha256:
            raise DownloadError(
                f"{url} is not the expected file: its SHA-256 is {digest.hexdigest()}, "
                f"and should be {file.sha256}."
            )


def _blocks(url: str, timeout: float) -> Generator[bytes]:
    """Yield what the address answers, with every failure of the network as a DownloadError."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    request = Request(url, headers={"User-Agent": "isthmus"})  # noqa: S310 - fetch admits http and https only
    try:
        with urlopen(request, timeout=timeout) as answer:  # noqa: S310
            while True:
                block = answer.read(_BLOCK)
                if not block:
                    break
                yield block
    except HTTPError as error:
        error.close()
        kind = _TransientError if error.code >= 500 else DownloadError
        raise kind(f"{url} was answered with {error.code} {error.reason}.") from error
    except URLError as error:
        raise _TransientError(f"{url} cannot be reached: {_reason(error.reason)}.") from error
    except (OSError, HTTPException) as error:
        raise _TransientError(f"{url} broke off: {_reason(error)}.") from error


def _reason(error: object) -> str:
    """Return what went wrong in words, also for errors that have none, such as a timeout."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
