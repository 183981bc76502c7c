"""Models on disk: a folder with ``config.json`` and ``model.safetensors``.

The configuration is plain JSON, the weights are a flat buffer with a JSON header; neither can hold
code. A folder appears whole or not at all.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus._checks import shortened
from isthmus._entries import Anything, Either, Entry, Flag, Listing, Names, Null, Number, Record, Text, Whole
from isthmus._exchange import exchange
from isthmus.errors import DataError, ModelFileError, OutputExistsError

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FORMAT, FORMAT_VERSION = "isthmus-model", 1

#: The most bytes of a configuration, and how many more there may be for each byte of the weights: names and
#: ranges of columns grow with the weights, and nothing else grows much.
MAX_CONFIG_BYTES, CONFIG_BYTES_PER_WEIGHT = 64 * 2**20, 4

#: The most bytes of the header of the weights. It is read before the configuration says what belongs in it.
MAX_HEADER_BYTES = 16 * 2**20

#: The most containers of a configuration: so many, and one for so many bytes. An empty list is 2 bytes in the file
#: and 64 in memory.
FEW_CONTAINERS, BYTES_PER_CONTAINER = 10_000, 8

#: The most values of a row. Convolutions and recurrent layers have few weights for rows of any size.
MOST_FEATURES = 2**28

_SCALARS = (Null(), Flag(), Number(), Text())
_HISTORY_ROW = Names(Either(_SCALARS), required={"epoch": Whole(1), "loss": Number()})
_COLUMNS = Listing(Number(), shortest=1)

#: What each entry of a configuration has to be. The settings and parameters of each class have tables of their own,
#: beside the classes.
ENTRIES: Mapping[str, Entry] = {
    "format": Text(),
    "format_version": Whole(1, FORMAT_VERSION),
    "class": Text(),
    "isthmus": Text(),
    "torch": Text(),
    "parameters": Names(Anything()),
    "settings": Names(Anything()),
    "input_shape": Listing(Whole(1, MOST_FEATURES), shortest=1, longest=8),
    "feature_names": Either((Null(), Listing(Text(None), shortest=1))),
    "code_usage": Listing(Number(minimum=0), shortest=1),
    "history": Listing(_HISTORY_ROW, shortest=1),
    "pretraining_history": Listing(_HISTORY_ROW),
    "best_epoch": Either((Null(), Whole(1))),
    "stop_reason": Either((Null(), Text())),
    "engine": Names(Either(_SCALARS)),
    "training_range": Either(
        (
            Null(),
            Record({"n_rows": Whole(1, 2**62), "low": _COLUMNS, "high": _COLUMNS, "magnitude": _COLUMNS}),
        )
    ),
}

#: Entries that models of earlier versions do not have.
LATER = frozenset({"pretraining_history", "stop_reason", "engine", "training_range"})


def is_model(folder: Path) -> bool:
    """Return whether ``folder`` looks like a saved model of Isthmus, whole or damaged.

    Other libraries use the same two file names, so the start of the configuration is looked at too.
    """
    if not ((folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()):
        return False
    with (folder / CONFIG).open("rb") as file:
        return FORMAT.encode() in file.read(1024)


def check_target(folder: Path, *, overwrite: bool) -> None:
    """Raise unless a model can be written to ``folder``; cheap enough to ask before training."""
    if not folder.parent.is_dir():
        raise DataError(f"Cannot write {folder}: the folder {folder.parent} does not exist. Create it first.")
    if not os.access(folder.parent, os.W_OK):
        raise DataError(f"Cannot write {folder}: no permission to write in {folder.parent}.")
    try:
        exists = folder.exists() or folder.is_symlink()
    except OSError as error:  # a name that the file system does not take
        raise DataError(f"Cannot write {folder}: {error.strerror or error}.") from error
    if not exists:
        return
    if not is_model(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise OutputExistsError(f"{folder} exists and is not a model; choose another name.")
    if is_model(folder) and not overwrite:
        raise OutputExistsError(f"{folder} exists. To replace it, use overwrite=True (--force).")


def write_model(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, overwrite: bool
) -> None:
    """Write a model as one atomic step.

    Parameters
    ----------
    folder : Path
        Where the model is to be.
    config : mapping
        What JSON can hold; format and version are added.
    tensors : mapping of str to Tensor
        The weights.
    overwrite : bool
        Whether an existing model may be replaced. Anything else that exists is never replaced.

    Raises
    ------
    OutputExistsError
        When ``folder`` exists and may not be replaced.
    DataError
        When it cannot be written, or weights are not finite.
    """
    from safetensors.torch import save

    _refuse_non_finite(tensors)
    check_target(folder, overwrite=overwrite)
    if folder.is_symlink():
        folder = folder.resolve()  # the link stays, what it points to is replaced
    header = {"format": FORMAT, "format_version": FORMAT_VERSION, **config}
    fault = Record(ENTRIES, LATER).fault(header, "its")
    if fault is not None:
        raise DataError(f"The model was not saved, since it could not be loaded again: {fault}")
    text = (json.dumps(header, indent=1, allow_nan=False) + "\n").encode()
    n_bytes = sum(tensor.nbytes for tensor in tensors.values())
    if len(text) > most_config_bytes(n_bytes):
        raise DataError(
            f"The model was not saved: its configuration would have {len(text):,} bytes, more than is read. "
            "Shorten its history_, or the names of its columns."
        )
    staging: Path | None = None
    try:
        staging = Path(tempfile.mkdtemp(prefix=".isthmus-", dir=folder.parent))
        staging.chmod(0o777 & ~_umask())
        _write_synced(staging / CONFIG, text)
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        _write_synced(staging / WEIGHTS, save(contiguous))
        _swap(staging, folder)
    except OSError as error:
        raise DataError(f"Cannot write {folder}: {error.strerror or error}.") from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


@dataclass(frozen=True)
class Weights:
    """The weights of a model, of which nothing but the header has been read.

    Parameters
    ----------
    path : Path
        The file.
    shapes : mapping of str to tuple of int
        The shape of each tensor, by name.
    dtypes : mapping of str to str
        The type of each, as safetensors names it: ``"F32"``.
    file : object
        The open file.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]
    file: Any

    @property
    def n_values(self) -> int:
        """The number of values of all tensors together."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def read(self, name: str) -> Tensor:
        """Read one tensor.

        Raises
        ------
        ModelFileError
            When it is missing, or holds values that are not finite.
        """
        if name not in self.shapes:
            raise ModelFileError(f"{self.path} is damaged: {name!r} is missing.")
        tensor: Tensor = self.file.get_tensor(name)
        if not tensor.isfinite().all():
            raise ModelFileError(f"{self.path} holds values that are not finite, in {name!r}.")
        return tensor


@contextmanager
def open_weights(folder: Path) -> Iterator[Weights]:
    """Open the weights of a model; the header is read and checked, and no tensor.

    Raises
    ------
    ModelFileError
        When the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise ModelFileError(
                f"{path} is damaged or truncated: its header is longer than a header can be."
            )
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            yield Weights(path, shapes, {name: part.get_dtype() for name, part in slices.items()}, file)
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path} is damaged or truncated: {error}.") from error


def read_config(folder: Path) -> dict[str, Any]:
    """Read a model's configuration alone, and check each entry; this needs no torch.

    Raises
    ------
    ModelFileError
        When the folder is not a model, or its configuration is damaged or of a newer format.
    """
    if not folder.exists():
        raise ModelFileError(f"{folder} does not exist; a model is a folder with {CONFIG} and {WEIGHTS}.")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelFileError(f"{folder} is not a model: {name} is missing.")
    path = folder / CONFIG
    if path.stat().st_size > most_config_bytes((folder / WEIGHTS).stat().st_size):
        raise ModelFileError(f"{path} is larger than a configuration can be.")
    try:
        config = _parsed(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ModelFileError(f"{path} is not the configuration of an Isthmus model.")
    version = config.get("format_version")
    if not ENTRIES["format_version"].allows(version):
        raise ModelFileError(
            f"{path} has format version {shortened(repr(version), 80)}; this Isthmus reads up to {FORMAT_VERSION}. "
            "Update Isthmus."
        )
    fault = Record(ENTRIES, LATER).fault(config, "its")
    if fault is not None:
        raise ModelFileError(f"{folder} cannot be loaded: its configuration is damaged: {fault}")
    return config


def most_config_bytes(weights_bytes: int) -> int:
    """Return how many bytes a configuration may have beside weights of this size."""
    return MAX_CONFIG_BYTES + CONFIG_BYTES_PER_WEIGHT * weights_bytes


def _parsed(content: bytes) -> Any:
    """Return what JSON says, if that takes no more than a few times the memory of the text."""
    n_containers = content.count(b"[") + content.count(b"{")
    if n_containers > FEW_CONTAINERS + len(content) // BYTES_PER_CONTAINER:
        raise ValueError("it has more lists and objects than a configuration can have")
    return json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"the configuration is damaged, since {name} is not a number of JSON")


def _refuse_non_finite(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise DataError(
                f"The model was not saved: its weights {name!r} are not finite. Fit it anew, with a smaller "
                "learning_rate or gradient_clipping=1.0."
            )


def _swap(staging: Path, folder: Path) -> None:
    """Put ``staging`` in the place of ``folder``; should that fail, put the old one back."""
    if not folder.exists():
        staging.rename(folder)
        return
    if exchange(staging, folder):
        _keep_guests(staging, folder)
        return
    retired = staging.with_name(staging.name + "-old")
    folder.rename(retired)
    try:
        staging.rename(folder)
    except OSError:
        retired.rename(folder)
        raise
    _keep_guests(retired, folder)
    shutil.rmtree(retired, ignore_errors=True)


def _keep_guests(old: Path, folder: Path) -> None:
    """Move to the new folder what the user put beside the old model: it is not ours to remove."""
    for item in old.iterdir():
        if item.name not in (CONFIG, WEIGHTS):
            item.rename(folder / item.name)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _umask() -> int:
    # There is no way to read the mask without setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
