"""Checkpoints: a training on the disk, so that it goes on after it was stopped, whenever that was.

A folder holds one fit. A fit has one or more trainings (a deep network that is pretrained layer by layer
has one for each layer), which follow each other in the same order each time; each is a stage with files of
its own. A file is written beside its place, brought to the disk and moved; the one before it is removed
only then.
"""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from isthmus._checks import check_flag, check_integer, check_number, shortened
from isthmus.data import DRAFT_PREFIX, replacing
from isthmus.errors import CheckpointError, InvalidTypeError, OutputExistsError
from isthmus.training._locking import FolderLock

FORMAT, FORMAT_VERSION = "isthmus-checkpoint", "1"

#: Saving takes at most this share of the time, where the user leaves open how often it is done.
SHARE = 0.01

#: Seconds from one checkpoint to the next, at least, where the user leaves that open.
SHORTEST = 5.0

#: Files of a stage that are kept: should the disk lose the newest, there is the one before it.
KEPT = 2

_NAME = re.compile(r"stage-(\d{2,6})-(\d{8})\.safetensors")


@runtime_checkable
class Stateful(Protocol):
    """What has a state that a training depends on, in torch's words."""

    def state_dict(self) -> dict[str, Any]:
        """Return it: names, numbers, texts, tensors, and lists and dictionaries of them."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Take it on."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a training is saved.

    A fit that finds a checkpoint of its own there goes on from it, and ends as it would have without being
    stopped: on the same machine, to the bit. The files hold numbers and no code. They stay when the fit is
    done, so that the same fit, asked for again, returns at once; remove the folder when it is not needed.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there. One fit at a time uses it.
    every_seconds : float or "auto", default="auto"
        Seconds from one save to the next. "auto" is as often as takes one percent of the time, and no more
        often than every 5 seconds.
    every_epochs : int or None, default=None
        Save after so many epochs too, whatever that costs.
    resume : bool, default=True
        Whether to go on from a checkpoint that is there; without it, one is refused.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import Autoencoder, Checkpoint
    >>> X = load_digits().data
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = Autoencoder(8, epochs=3, random_state=0).fit(X, checkpoint=Checkpoint(folder, every_epochs=1))
    ...     again = Autoencoder(8, epochs=3, random_state=0).fit(X, checkpoint=folder)
    >>> first.history_ == again.history_
    True
    """

    folder: str | Path
    every_seconds: float | str = "auto"
    every_epochs: int | None = None
    resume: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.folder, str | Path):
            raise InvalidTypeError(
                f"The 'checkpoint' parameter must be a folder or a Checkpoint. Got {self.folder!r} instead."
            )
        if self.every_seconds != "auto":
            check_number(self.every_seconds, parameter="every_seconds", owner="Checkpoint", minimum=0)
        if self.every_epochs is not None:
            check_integer(self.every_epochs, parameter="every_epochs", owner="Checkpoint", minimum=1)
        check_flag(self.resume, parameter="resume", owner="Checkpoint")

    def exists(self) -> bool:
        """Return whether something is saved there."""
        folder = Path(self.folder)
        return folder.is_dir() and any(_NAME.fullmatch(path.name) for path in folder.iterdir())

    @classmethod
    def of(cls, given: str | Path | Checkpoint) -> Checkpoint:
        """Return a checkpoint, of which a folder alone may be given."""
        return given if isinstance(given, Checkpoint) else cls(given)


class OpenCheckpoint:
    """The folder of one fit, while it runs; use it as a context, which keeps other processes out.

    Parameters
    ----------
    description : Checkpoint
        Where and how often.

    Raises
    ------
    CheckpointError
        When the folder cannot be used, or another process uses it.
    OutputExistsError
        When there is a checkpoint that is not to be gone on from.
    """

    def __init__(self, description: Checkpoint) -> None:
        self.description = description
        self.folder = Path(description.folder)
        self.identity: dict[str, Any] = {}
        self.stages = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint folder {self.folder} cannot be made: {error.strerror or error}."
            ) from error
        self.lock = FolderLock(self.folder)

    def __enter__(self) -> OpenCheckpoint:
        self.lock.acquire()
        try:
            if not self.description.resume and self.description.exists():
                raise OutputExistsError(
                    f"{self.folder} holds a checkpoint. Go on from it with resume=True (--resume), or use another "
                    "folder."
                )
            for draft in self.folder.glob(f"{DRAFT_PREFIX}*.part"):
                draft.unlink(missing_ok=True)  # what a process left that was killed while it wrote
            newest = _newest(self.files())
            self.found = None if newest is None else dict(newest[1]["identity"])
        except BaseException:
            self.lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def files(self, stage: int | None = None) -> list[Path]:
        """Return the files of a stage, or of all, from the oldest."""
        found = ((path, _NAME.fullmatch(path.name)) for path in self.folder.iterdir())
        return sorted(path for path, match in found if match and stage in (None, int(match[1])))

    def identify(self, identity: Mapping[str, Any]) -> None:
        """Say which fit this is.

        Raises
        ------
        CheckpointError
            When the files are of another; the message names what differs.
        """
        self.identity = json.loads(json.dumps(identity))
        if self.found is None:
            return
        names = sorted({*self.identity, *self.found})
        differences = [name for name in names if self.identity.get(name) != self.found.get(name)]
        if differences:
            shown = "; ".join(
                _difference(name, self.found.get(name), self.identity.get(name)) for name in differences[:4]
            )
            more = f"; and {len(differences) - 4} more" if len(differences) > 4 else ""
            raise CheckpointError(
                f"The checkpoint in {self.folder} is of another fit: {shown}{more}. "
                "Use another folder, or remove this one."
            )

    def next_stage(self) -> Stage:
        """Return the next training of the fit."""
        self.stages += 1
        return Stage(self, self.stages)


class Stage:
    """One training of a fit, and its files.

    Parameters
    ----------
    owner : OpenCheckpoint
        The folder.
    number : int
        The stage's, from 1.
    """

    def __init__(self, owner: OpenCheckpoint, number: int) -> None:
        self.owner, self.number = owner, number
        self.description = owner.description
        self.counter = 0
        self.cost = 0.0
        self.last = time.monotonic()

    def saved(self) -> dict[str, Any] | None:
        """Return the newest state that is whole, or None where there is none.

        Raises
        ------
        CheckpointError
            When there are files, and all are damaged.
        """
        newest = _newest(self.owner.files(self.number))
        if newest is None:
            return None
        path, found = newest
        match = _NAME.fullmatch(path.name)
        assert match is not None
        self.counter = int(match[2])
        return dict(found["state"])

    def is_due(self, finished_epochs: int | None = None) -> bool:
        """Return whether it is time to save; after an epoch, with the number of those that are done."""
        every = self.description.every_epochs
        if finished_epochs is not None and every is not None and finished_epochs % every == 0:
            return True
        seconds = self.description.every_seconds
        interval = max(SHORTEST, self.cost / SHARE) if seconds == "auto" else float(seconds)
        return time.monotonic() - self.last >= interval

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a state; the last but one is removed when the new one is safe."""
        start = time.monotonic()
        self.counter += 1
        path = self.owner.folder / f"stage-{self.number:02d}-{self.counter:08d}.safetensors"
        write_state(path, {"identity": self.owner.identity, "state": state})
        for old in self.owner.files(self.number)[:-KEPT]:
            with suppress(OSError):  # one file too many does no harm
                old.unlink()
        self.last = time.monotonic()
        self.cost = self.last - start


def _newest(files: Sequence[Path]) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest of some files that is whole, and what is in it; an error where all are damaged."""
    damage: CheckpointError | None = None
    for path in reversed(files):
        try:
            return path, read_state(path)
        except CheckpointError as error:
            damage = error
    if damage is not None:
        raise damage
    return None


def _difference(name: str, was: Any, now: Any) -> str:
    if isinstance(was, str) and isinstance(now, str) and len(was) == len(now) == 64:
        return f"{name} differ"  # two digests tell nobody anything
    return f"{name} was {shortened(repr(was), 120)} and is {shortened(repr(now), 120)}"


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state as one file of safetensors, in which a checksum covers everything.

    Raises
    ------
    CheckpointError
        When it cannot be written; what was there before is as it was.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    text = json.dumps(_packed(state, "", tensors), allow_nan=False)
    header = {"format": FORMAT, "format_version": FORMAT_VERSION, "state": text}
    header["checksum"] = _checksum(text, tensors)
    try:
        with replacing(path) as stream:
            stream.write(save(tensors, header))
    except OSError as error:
        raise CheckpointError(f"Cannot write {path}: {error.strerror or error}.") from error


def read_state(path: Path) -> dict[str, Any]:
    """Read what `write_state` wrote.

    Raises
    ------
    CheckpointError
        When the file is damaged, or of another format.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        if header.get("format") != FORMAT:
            raise CheckpointError(f"{path} is not a checkpoint of Isthmus. Remove it, or use another folder.")
        if header.get("format_version") != FORMAT_VERSION:
            raise CheckpointError(
                f"{path} has format version {header.get('format_version')!r}; this Isthmus reads "
                f"{FORMAT_VERSION}. Use the Isthmus that wrote it, or another folder."
            )
        if header["checksum"] != _checksum(header["state"], tensors):
            raise CheckpointError(f"{path} is damaged: its checksum is wrong. Remove it.")
        found = json.loads(header["state"])
        state = {"identity": found["identity"], "state": _unpacked(found["state"], tensors)}
        if not all(isinstance(part, dict) for part in state.values()):
            raise CheckpointError(f"{path} is damaged: a part is missing. Remove it.")
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is damaged ({error}). Remove it.") from error
    return state


def _packed(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return a state as JSON can hold it; tensors are put aside by name."""
    if isinstance(value, Tensor):
        # A copy: parameters share memory while they are trained, which safetensors does not write.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"__tensor__": name}
    if isinstance(value, Mapping):
        return {str(key): _packed(item, f"{name}/{key}", tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(item, f"{name}/{number}", tensors) for number, item in enumerate(value)]
    return value


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"__tensor__"}:
            return tensors[value["__tensor__"]]
        return {key: _unpacked(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    return value


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    total = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total = zlib.crc32(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode(), total)
        total = zlib.crc32(tensor.flatten().view(torch.uint8).numpy().data, total)
    return f"{total:08x}"
