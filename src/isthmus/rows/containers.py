"""The border of the library: every kind of container that holds rows becomes one array of the values' own type.

What is learnt from rows depends on their values and the type of these alone, never on what they came in.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus._checks import shortened
from isthmus.errors import DataError, InvalidTypeError
from isthmus.rows.frames import as_frame, as_series, frame_values, is_nested
from isthmus.rows.lists import WANTED, array_of, described, nested_values, stacked, values_of_column
from isthmus.rows.refusals import (
    SPARSE_ADVICE,
    numbers_of,
    refuse_unusable,
)
from isthmus.rows.tensors import as_array, is_tensor

Array = NDArray[Any]


@dataclass(frozen=True)
class Given:
    """What a user gave, as an array.

    Parameters
    ----------
    values : ndarray of shape (n, ...)
        Booleans, integers or floats, in the type in which they were given.
    frame : object or None
        The table whose columns are the features, for their names.
    """

    values: Array
    frame: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions of the array."""
        return self.values.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return self.values.dtype

    def __len__(self) -> int:
        return len(self.values)


def given_rows(X: Any, owner: str) -> Given:
    """Return whatever holds rows as an array that keeps the type of the values.

    Parameters
    ----------
    X : object
        A NumPy array; a tensor of torch, on any device; an array of another library (DLPack or ``__array__``); a
        data frame of pandas, polars, pyarrow or another library that narwhals knows; a Dataset of Hugging Face; a
        TensorDataset of one tensor; or a list of rows, each a list, an array, a tensor, a column or a range.
    owner : str
        What it is called in messages: "X of Autoencoder".

    Returns
    -------
    Given
        The values, which may share memory with ``X`` and are only to be read.

    Raises
    ------
    DataError, InvalidTypeError
        For what holds no rows of real numbers, with row and column or with what to do instead.

    Examples
    --------
    >>> given_rows([range(3), np.array([4, 5, 6])], "X").values
    array([[0, 1, 2],
           [4, 5, 6]])
    """
    if isinstance(X, Given):
        return X
    _refuse_by_name(X, owner)
    values, frame = _opened(X, owner)
    if values.ndim >= 2 or values.dtype.kind not in "OUS":
        refuse_unusable(values, owner)
    values = numbers_of(np.ma.getdata(values), owner)
    refuse_unusable(values, owner)
    return Given(values.astype(values.dtype.newbyteorder("="), copy=False), frame)


def _opened(X: Any, owner: str) -> tuple[Array, Any]:
    """Return the values of any container, and the frame if its columns are the features."""
    if isinstance(X, np.ndarray):
        return X, None
    if is_tensor(X):
        return as_array(X, owner), None
    if isinstance(X, (list, tuple)):
        return stacked(X, owner), None
    X = _unwrapped(X, owner)
    if is_tensor(X):
        return as_array(X, owner), None
    frame = as_frame(X, owner)
    if frame is not None:
        if len(frame.columns) == 1 and is_nested(column := next(frame.iter_columns())):
            return nested_values(column, owner), None  # each entry is a row
        return frame_values(frame, owner), frame.to_native()
    series = as_series(X)
    if series is not None:
        return values_of_column(series, owner), None
    array = array_of(X)
    if array is None and isinstance(X, Sequence):
        array = stacked(list(X), owner)
    if array is None or (array.ndim == 0 and array.dtype.kind == "O"):
        raise InvalidTypeError(f"{owner} must be {WANTED}. Got {described(X)} instead.")
    return array, None


def _unwrapped(X: Any, owner: str) -> Any:
    """Return what holds the rows of a data set of Hugging Face or torch; what holds none is refused by name."""
    kind, package = type(X).__name__, type(X).__module__.partition(".")[0]
    if package == "datasets" and kind == "Dataset":
        return X.with_format("arrow")[:]
    torch = sys.modules.get("torch")
    if torch is None:
        return X
    if isinstance(X, torch.utils.data.TensorDataset):
        if len(X.tensors) > 1:
            raise DataError(
                f"{owner} is a TensorDataset of {len(X.tensors)} tensors. Give the one that holds the "
                "rows: X.tensors[0]."
            )
        return X.tensors[0]
    if isinstance(X, torch.utils.data.DataLoader):
        raise InvalidTypeError(
            f"{owner} is a DataLoader, which draws batches. Give its rows in one array or tensor, such as "
            "torch.cat([batch[0] for batch in X]), or call partial_fit with each batch."
        )
    if isinstance(X, torch.utils.data.Dataset):
        raise InvalidTypeError(
            f"{owner} is a torch Dataset ({kind}). Give its rows in one array or tensor, such as X.data, or "
            "torch.stack([item[0] for item in X])."
        )
    return X


def _refuse_by_name(X: Any, owner: str) -> None:
    """Raise for what holds no rows, or not yet, and say what to do."""
    if X is None or isinstance(X, (str, bytes, Mapping, Set)):
        kind, package = type(X).__name__, type(X).__module__.partition(".")[0]
        if package == "datasets":
            raise InvalidTypeError(
                f"{owner} is a {kind} of several data sets. Choose one, such as X['train']."
            )
        raise InvalidTypeError(f"{owner} must be {WANTED}. Got {shortened(repr(X), 60)} instead.")
    if isinstance(X, PurePath):
        raise InvalidTypeError(
            f"{owner} is a path. Read the file first, for example with isthmus.data.read_data(X).rows."
        )
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise InvalidTypeError(SPARSE_ADVICE.format(owner=owner))
    if isinstance(X, Iterator) or type(X).__name__ in {"IterableDataset", "IterableDatasetDict"}:
        raise InvalidTypeError(
            f"{owner} is an iterator ({type(X).__name__}), whose rows can be read once. Make a list of them first, "
            "list(X), or call partial_fit with batches of them."
        )
