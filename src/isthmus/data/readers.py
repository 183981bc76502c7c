"""One way to name data: a data set, or a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus._checks import suggestion, wrong_parameter
from isthmus.data._files import ENDINGS, Stamp
from isthmus.data.arrays import read_npy, read_npz
from isthmus.data.bundled import load_mnist
from isthmus.data.csv_files import read_csv
from isthmus.data.fashion import load_fashion_mnist
from isthmus.data.parquet import read_parquet
from isthmus.errors import DataError, InvalidTypeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isthmus.data.download import Progress
    from isthmus.data.splits import Split

DATA_SETS = ("mnist", "fashion-mnist")
SPLITS = ("train", "test")


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """Rows that were read, and what is known of them.

    Parameters
    ----------
    rows : ndarray
        Real numbers: a table of shape (n_rows, n_columns), or a stack of images of shape
        (n, height, width) or (n, channels, height, width).
    columns : tuple of str, optional
        The names of a table's columns.
    labels : ndarray, optional
        The class of each row, as a number or a text, of shape (n_rows,).
    image_shape : tuple of int, optional
        The shape of an image, if rows are images; also when they are flattened, as in MNIST.
    name : str, default=""
        Where they come from, in words.
    stamp : Stamp, optional
        What the file was like, where rows stay in it until they are used.
    notes : tuple of str, default=()
        What was left out in reading, such as labels that do not fit the rows, and why: a sentence each.
    """

    rows: NDArray[Any]
    columns: tuple[str, ...] | None = None
    labels: NDArray[Any] | None = None
    image_shape: tuple[int, ...] | None = None
    name: str = ""
    stamp: Stamp | None = None
    notes: tuple[str, ...] = ()

    def check_unchanged(self) -> None:
        """Raise if the rows come from a file that was changed since it was opened.

        Rows of an ``.npy`` file are read when they are used: ask afterwards, before a result is kept.

        Raises
        ------
        DataError
            If it was.
        """
        if self.stamp is not None:
            self.stamp.check()

    def __repr__(self) -> str:
        """Return the name, the shape and the type, and no numbers."""
        size = " × ".join(map(str, self.rows.shape))
        return f"<{type(self).__name__} {self.name}: {size} {self.rows.dtype}>"


def read_data(
    source: str | Path,
    *,
    key: str | None = None,
    progress: Progress | None = None,
    missing: bool = False,
) -> Data:
    """Read a data set or a file of numbers.

    Parameters
    ----------
    source : str or Path
        A data set: ``mnist`` or ``fashion-mnist``, with ``:train`` (the default) or ``:test`` after
        it. Or a file, by its ending: ``.npy`` (mapped into memory, not read), ``.npz`` (with ``:key``
        after it if it holds several arrays), ``.csv`` or ``.parquet``. A file that is called like a
        data set can be given as ``./mnist``.
    key : str, optional
        The array of an ``.npz`` file, instead of ``:key``.
    progress : callable, optional
        For data sets that are downloaded: called with a file's name, the bytes that have come and the
        bytes to come in all (None if unknown).
    missing : bool, default=False
        Whether values of a ``.csv`` or ``.parquet`` file may be missing, and become NaN.

    Returns
    -------
    Data
        The rows, with names of columns, labels and the shape of images where there are any; its ``notes``
        say which labels of a file could not be used, and why. Integers
        and floating-point numbers keep their type (a CSV file gives float64); booleans become uint8.

    Raises
    ------
    DataError
        If a file is missing, cannot be read, is damaged, or holds anything but rows of real numbers.
    InvalidParameterError
        If ``source`` is neither a data set nor a file of a known ending, or ``key`` does not fit it.
    DownloadError
        If a data set is not in the cache and cannot be fetched.
    MissingDependencyError
        If a ``.parquet`` file is given and pyarrow is not installed.

    Examples
    --------
    >>> data = read_data("mnist:test")
    >>> data
    <Data mnist:test: 10000 × 784 float32>
    >>> data.image_shape
    (28, 28)
    """
    if not isinstance(source, str | Path):
        raise InvalidTypeError(str(_unknown(source)))
    name, _, part = str(source).partition(":")
    if isinstance(source, str) and name in DATA_SETS:
        _refuse_key(key)
        return _read_data_set(name, part or "train", progress)
    path, key = _path_and_key(source, key)
    return _checked(_read_file(path, key, missing=missing))


def _read_data_set(name: str, part: str, progress: Progress | None) -> Data:
    if part not in SPLITS:
        known = [f"{name}:{split}" for split in SPLITS]
        source = f"{name}:{part}"
        raise wrong_parameter(
            "read_data", "source", f"one of {', '.join(map(repr, known))}", source, suggestion(source, known)
        )
    splits = load_mnist() if name == "mnist" else load_fashion_mnist(progress=progress)
    split: Split = splits[SPLITS.index(part)]
    return Data(split.images, labels=split.labels, image_shape=split.image_shape, name=split.name)


def _path_and_key(source: str | Path, key: str | None) -> tuple[Path, str | None]:
    """Return the file, and the array of an .npz file that is meant."""
    before, colon, after = str(source).rpartition(":")
    if isinstance(source, str) and colon and after and before.lower().endswith(".npz"):
        if key is not None and key != after:
            raise wrong_parameter("read_data", "key", f"{after!r}, as in {source!r}, or left out", key)
        return Path(before), after
    return Path(source), key


def _read_file(path: Path, key: str | None, *, missing: bool) -> Data:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise _unknown_file(path)
    if ending == ".npz":
        rows, labels, notes = read_npz(path, key)
        return Data(rows, labels=labels, name=path.name, notes=notes)
    _refuse_key(key)
    if ending == ".npy":
        rows = read_npy(path)
        return Data(rows, name=path.name, stamp=Stamp.of(path))
    read = read_csv if ending == ".csv" else read_parquet
    table, columns = read(path, missing=missing)
    return Data(table, columns=columns, name=path.name)


def _checked(data: Data) -> Data:
    """Return data that is a table, or a stack of images, with something in it."""
    shape = data.rows.shape
    if not 2 <= len(shape) <= 4:
        raise DataError(
            f"{data.name} has the shape {shape}, and a table (n, columns) or a stack of images (n, height, "
            f"width) or (n, channels, height, width) is needed."
        )
    if 0 in shape:
        raise DataError(f"{data.name} has the shape {shape}: there is nothing in it.")
    if len(shape) == 2:
        return data
    return replace(data, image_shape=shape[1:])


def _refuse_key(key: str | None) -> None:
    if key is not None:
        raise wrong_parameter("read_data", "key", "left out unless the source is an .npz file", key)


def _unknown_file(path: Path) -> Exception:
    """Return the error for a file of an ending that is not read, or for a misspelt data set."""
    if path.is_dir():
        return DataError(f"{path} is a folder, and a file was expected.")
    if not path.suffix and not path.exists():
        return _unknown(str(path))
    ending = f"end in {path.suffix!r}" if path.suffix else "have no ending"
    advice = suggestion(path.suffix, ENDINGS)
    return DataError(
        f"{path}: files that {ending} are not read; known endings are {', '.join(ENDINGS)}. {advice}".rstrip()
    )


def _unknown(source: object) -> Exception:
    wanted = f"a data set ({', '.join(DATA_SETS)}) or a file that ends in {', '.join(ENDINGS)}"
    advice = suggestion(source.partition(":")[0], DATA_SETS) if isinstance(source, str) else ""
    return wrong_parameter("read_data", "source", wanted, source, advice)
