"""Fashion-MNIST, from a folder, the cache or the network."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from isthmus.data.download import RemoteFile, fetch
from isthmus.data.idx import decompressed, read_idx, read_shape
from isthmus.data.splits import Split
from isthmus.errors import DataError, DownloadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from isthmus.data.download import Progress

OFFICIAL_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"

# In the order in which they are used: training images and labels, test images and labels. The
# checksums are of the .gz files as they are served. Several public sources list them beside the MD5
# of the authors' README, TensorFlow Datasets' fashion_mnist.txt among them. (Code of 2017 and 2018 has
# others, such as 08dc20ab... for the training images, which belong to an earlier version of the files.)
FILES = (
    RemoteFile(
        "train-images-idx3-ubyte.gz",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        26_421_880,
    ),
    RemoteFile(
        "train-labels-idx1-ubyte.gz",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        29_515,
    ),
    RemoteFile(
        "t10k-images-idx3-ubyte.gz",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        4_422_102,
    ),
    RemoteFile(
        "t10k-labels-idx1-ubyte.gz",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        5_148,
    ),
)


def load_fashion_mnist(
    folder: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    base_url: str = OFFICIAL_URL,
    progress: Progress | None = None,
) -> tuple[Split, Split]:
    """Return Fashion-MNIST, pictures of clothes in the format of MNIST.

    The first call downloads four files, 31 MB, into the cache; later calls find them there. A file
    counts only when its SHA-256 is right, in the cache as after a download.

    Parameters
    ----------
    folder : str or Path, optional
        A folder that holds the four files already, as ``.gz`` or unpacked. Nothing is downloaded
        then, and no checksum is asked for, so that other sets in this format, such as KMNIST, can be
        read too.
    cache : str or Path, optional
        Where downloads are kept, in a folder ``fashion-mnist``. By default the environment variable
        ``ISTHMUS_CACHE``, or else the user's cache folder of this system.
    base_url : str, default=OFFICIAL_URL
        The http or https address of the folder to download from.
    progress : callable, optional
        Called during a download with the file's name, the bytes that have come and the bytes to come
        in all (None if unknown).

    Returns
    -------
    train, test : Split
        60,000 and 10,000 images of 28 × 28 grey pixels, with the class (0 to 9) of each.

    Raises
    ------
    DataError
        If ``folder`` lacks one of the files, or if a file is not what its name says.
    DownloadError
        If a file is neither in the cache nor to be had from ``base_url``.
    InvalidParameterError
        If ``base_url`` is neither http nor https.

    References
    ----------
    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms", 2017, arXiv:1708.07747. MIT licence, Zalando SE.

    Examples
    --------
    >>> train, test = load_fashion_mnist()  # doctest: +SKIP
    >>> train  # doctest: +SKIP
    <Split fashion-mnist:train: 60000 images of 28 × 28>
    """
    if folder is not None:
        return splits_of(_in_folder(Path(folder), FILES))
    return splits_of(_in_cache(FILES, cache_folder(cache), base_url, progress))


def cache_folder(cache: str | Path | None = None) -> Path:
    """Return where Fashion-MNIST is kept: under ``cache``, ``ISTHMUS_CACHE`` or the user's cache folder."""
    root = cache or os.environ.get("ISTHMUS_CACHE")
    if not root:
        from platformdirs import user_cache_dir

        root = user_cache_dir("isthmus", appauthor=False)
    return Path(root) / "fashion-mnist"


def _in_cache(
    files: Sequence[RemoteFile], folder: Path, base_url: str, progress: Progress | None
) -> list[Path]:
    """Return the paths of the files in the cache, after downloading what is not there."""
    try:
        return [fetch(file, base_url=base_url, folder=folder, progress=progress) for file in files]
    except DownloadError as error:
        names = ", ".join(file.name for file in files)
        raise DownloadError(
            f"Fashion-MNIST is not in the cache ({folder}) and could not be downloaded: {error} "
            f"Without a network, put {names} in a folder and pass it as folder=; "
            f"to keep downloads elsewhere, pass cache= or set ISTHMUS_CACHE."
        ) from error


def _in_folder(folder: Path, files: Sequence[RemoteFile]) -> list[Path]:
    """Return the paths of the files in a folder, packed or not."""
    if not folder.is_dir():
        raise DataError(f"The folder {folder} does not exist.")
    paths = []
    missing = []
    for file in files:
        candidates = (folder / file.name, folder / file.name.removesuffix(".gz"))
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            missing.append(file.name)
        else:
            paths.append(found)
    if missing:
        raise DataError(f"The folder {folder} lacks {', '.join(missing)} (with or without .gz).")
    return paths


def splits_of(paths: Sequence[Path]) -> tuple[Split, Split]:
    """Return the two splits of four IDX files: training images and labels, test images and labels."""
    train_images, train_labels, test_images, test_labels = paths
    return (
        _split("fashion-mnist:train", train_images, train_labels),
        _split("fashion-mnist:test", test_images, test_labels),
    )


def _split(name: str, images: Path, labels: Path) -> Split:
    """Return a split of two files, of which only the headers are read."""
    shape = _shape(images)
    if len(shape) != 3:
        raise DataError(f"{images} should hold images, in 3 dimensions, and has {len(shape)}.")
    if _shape(labels) != shape[:1]:
        raise DataError(f"{labels} should hold {shape[0]} labels, and has the shape {_shape(labels)}.")
    return Split(name, shape[0], shape[1:], partial(_decode, images), partial(_decode, labels))


def _shape(path: Path) -> tuple[int, ...]:
    with _content(path) as content:
        return read_shape(content, name=str(path))


def _decode(path: Path) -> NDArray[np.uint8]:
    with _content(path) as content:
        return read_idx(content, name=str(path))


@contextmanager
def _content(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as stream, decompressed(stream, str(path)) as content:
            yield content
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
