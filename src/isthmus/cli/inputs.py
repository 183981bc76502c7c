"""What commands are given: data and models, checked against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isthmus.cli.console import note
from isthmus.data import ENDINGS, Data, check_target, read_data
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
    console = Console(stderr=True)
    # Earlier versions of rich write an empty line for a bar that is disabled.
    if not console.is_terminal:
        data = read_data(source, missing=missing)
    else:
        columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            tasks: dict[str, Any] = {}

            def advance(name: str, done: int, total: int | None) -> None:
                if name not in tasks:
                    tasks[name] = progress.add_task(name, total=total)
                progress.update(tasks[name], completed=done, total=total)

            data = read_data(source, progress=advance, missing=missing)
    for line in data.notes:
        note(line)
    return data


def load_model(path: str, device: str = "auto") -> BaseAutoencoder:
    """Load a saved model."""
    from isthmus.estimators import load

    if not Path(path).exists():
        raise ModelFileError(f"The model {path} does not exist. Train one with 'isthmus fit DATA -o {path}'.")
    return load(path, device=device)


def check_output(output: str, *, force: bool) -> None:
    """Refuse a file that a command could not write its rows to; asked before the work."""
    check_target(Path(output), ENDINGS, overwrite=force)


def names_of(model: BaseAutoencoder) -> list[str] | None:
    """Return the names of the columns that a model was fitted on, if they had any."""
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def takes_gaps(model: BaseAutoencoder) -> bool:
    """Return whether the model takes rows in which values are missing."""
    from sklearn.utils import get_tags

    return bool(get_tags(model).input_tags.allow_nan)


def rows_for(model: BaseAutoencoder, data: Data) -> NDArray[Any]:
    """Return the rows of ``data`` with their columns in the order in which the model was fitted on them.

    Rows without names are taken by position, which a line on standard error says.

    Raises
    ------
    DataError
        If a column that the model was fitted on is missing.
    """
    names, whose = names_of(model), "the model was fitted on"
    _say_positions(data, names is not None, whose)
    return _in_order(data, names, whose)


def codes_for(model: BaseAutoencoder, data: Data) -> NDArray[Any]:
    """Return codes with their columns in the order of the model's components, by the names that they have.

    Raises
    ------
    DataError
        If the columns have names, and one of the components is not among them.
    """
    return _in_order(
        data, [str(name) for name in model.get_feature_names_out()], "that codes of the model have"
    )


def aligned(reference: Data, other: Data) -> Data:
    """Return ``other`` with the columns of ``reference``, in its order; called before any work is done.

    Parameters
    ----------
    reference : Data
        The rows that a command starts from, such as training rows.
    other : Data
        Rows that are used together with them, such as validation rows. Columns that the reference does not have
        are left out, which a line on standard error says.

    Raises
    ------
    DataError
        If a column of the reference is missing, or the rows are of another size.
    """
    whose = f"of {reference.name}"
    _say_positions(other, reference.columns is not None, whose)
    rows = _in_order(other, reference.columns, whose)
    if math.prod(rows.shape[1:]) != math.prod(reference.rows.shape[1:]):
        raise DataError(
            f"{other.name} has rows of shape {rows.shape[1:]}, but those of {reference.name} have the shape "
            f"{reference.rows.shape[1:]}."
        )
    return replace(other, rows=rows, columns=reference.columns)


def _say_positions(data: Data, named: bool, whose: str) -> None:
    if named and data.columns is None:
        note(f"{data.name} has no names of columns: they are taken in the order of those {whose}.")


def _in_order(data: Data, names: Sequence[str] | None, whose: str) -> NDArray[Any]:
    """Return the columns of a table that are called ``names``, in that order.

    Rows without names, or where no names are known, are taken by position.
    """
    if names is None or data.columns is None or list(names) == list(data.columns):
        return data.rows
    positions = {name: position for position, name in enumerate(data.columns)}
    missing = [name for name in names if name not in positions]
    if missing:
        raise DataError(
            f"{data.name} lacks {len(missing)} of the {len(names)} columns {whose}: {_listed(missing)}."
        )
    if len(positions) < len(data.columns):
        twice = next(name for name in data.columns if data.columns.count(name) > 1)
        raise DataError(f"{data.name} has two columns called {twice!r}. Give each its own name.")
    others = sorted(set(positions) - set(names), key=positions.__getitem__)
    if others:
        number = f"{len(others)} columns" if len(others) > 1 else "a column"
        note(f"{data.name} has {number} beside the {len(names)} {whose}, left out here: {_listed(others)}.")
    return np.ascontiguousarray(data.rows[:, [positions[name] for name in names]])


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(map(repr, names[:5]))}{', ...' if len(names) > 5 else ''}"
