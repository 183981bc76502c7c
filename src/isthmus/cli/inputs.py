"""What commands are given: data and models, checked against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.data import Data, read_data
from isthmus.errors import DataError, ModelFileError
from isthmus.persistence import is_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isthmus.estimators import BaseAutoencoder


def read_rows(source: str, *, missing: bool = False) -> Data:
    """Read DATA, with a bar on standard error while something is downloaded; ``missing`` values may be."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    if is_model(Path(source)):
        raise DataError(f"{source} is a saved model, and data were expected: the order is MODEL DATA.")
    columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, Any] = {}

        def advance(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        return read_data(source, progress=advance, missing=missing)


def load_model(path: str, device: str = "auto") -> BaseAutoencoder:
    """Load a saved model."""
    from isthmus.estimators import load

    if not Path(path).exists():
        raise ModelFileError(f"The model {path} does not exist. Train one with 'isthmus fit DATA -o {path}'.")
    return load(path, device=device)


def takes_gaps(model: BaseAutoencoder) -> bool:
    """Return whether the model takes rows in which values are missing."""
    from sklearn.utils import get_tags

    return bool(get_tags(model).input_tags.allow_nan)


def rows_for(model: BaseAutoencoder, data: Data) -> NDArray[Any]:
    """Return the rows, if their columns are those the model was fitted on, in its order.

    A table whose columns merely moved is put in order; one that lacks a column is refused.
    """
    names = getattr(model, "feature_names_in_", None)
    if names is None or data.columns is None:
        return data.rows
    missing = [name for name in names if name not in data.columns]
    if missing:
        raise DataError(
            f"{data.name} lacks {len(missing)} of the {len(names)} columns the model was fitted on: "
            f"{', '.join(map(repr, missing[:5]))}{', ...' if len(missing) > 5 else ''}."
        )
    if list(names) == list(data.columns):
        return data.rows
    order = [data.columns.index(name) for name in names]
    return np.ascontiguousarray(data.rows[:, order])
