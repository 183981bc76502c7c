"""Models on disk: a folder with ``config.json`` and ``model.safetensors``.

The configuration is plain JSON, the weights are a flat buffer with a JSON header; neither can hold
code. A folder appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus._exchange import exchange
from isthmus.errors import DataError, ModelFileError, OutputExistsError

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FORMAT, FORMAT_VERSION = "isthmus-model", 1
MAX_CONFIG_BYTES = 64 * 2**20


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
    staging: Path | None = None
    try:
        staging = Path(tempfile.mkdtemp(prefix=".isthmus-", dir=folder.parent))
        staging.chmod(0o777 & ~_umask())
        _write_synced(staging / CONFIG, (json.dumps(header, indent=1, allow_nan=False) + "\n").encode())
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        _write_synced(staging / WEIGHTS, save(contiguous))
        _swap(staging, folder)
    except OSError as error:
        raise DataError(f"Cannot write {folder}: {error.strerror or error}.") from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def read_model(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a model's configuration and weights, and check that both are whole.

    Raises
    ------
    ModelFileError
        When a file is missing, damaged, of a newer format, or holds values that are not finite.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = read_config(folder)
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"{folder / WEIGHTS} is damaged or truncated: {error}.") from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ModelFileError(f"{folder / WEIGHTS} holds values that are not finite, in {name!r}.")
    return config, tensors


def read_config(folder: Path) -> dict[str, Any]:
    """Read a model's configuration alone; this needs no torch.

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
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ModelFileError(f"{path} is larger than a configuration can be.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ModelFileError(f"{path} is not the configuration of an Isthmus model.")
    version = config.get("format_version")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version!r}; this Isthmus reads up to {FORMAT_VERSION}. Update Isthmus."
        )
    return config


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
