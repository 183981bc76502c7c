"""MNIST, which comes with the package."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from isthmus.data.idx import decompressed, read_idx
from isthmus.data.splits import Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Of the decompressed content: the same for everyone who has MNIST, however it was packed.
_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def load_mnist() -> tuple[Split, Split]:
    """Return MNIST, the handwritten digits, from the package itself.

    No network is needed, and nothing is decoded before it is used: asking for ``train.images`` takes
    about a second and 235 MB, of which 188 MB are the float32 images.

    Returns
    -------
    train, test : Split
        60,000 and 10,000 images of 28 × 28 grey pixels, with the digit (0 to 9) that each one shows.

    Raises
    ------
    DataError
        When an array is asked for whose file in the package is damaged.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86(11), 1998. The images are by Yann LeCun and Corinna
    Cortes, CC BY-SA 3.0.

    Examples
    --------
    >>> train, test = load_mnist()
    >>> len(train), len(test)
    (60000, 10000)
    >>> test.images.shape, test.images.dtype, float(test.images.max())
    ((10000, 784), dtype('float32'), 1.0)
    """
    return _split("mnist:train", "train", 60_000), _split("mnist:test", "t10k", 10_000)


def _split(name: str, prefix: str, n_images: int) -> Split:
    return Split(
        name,
        n_images,
        (28, 28),
        decode_images=partial(_decode, f"{prefix}-images-idx3-ubyte"),
        decode_labels=partial(_decode, f"{prefix}-labels-idx1-ubyte"),
    )


def _decode(name: str) -> NDArray[np.uint8]:
    """Return the content of a file of the package, once its checksum is known to be right."""
    from importlib.resources import files

    packed = f"{name}.xz"
    with (
        files("isthmus.data").joinpath("mnist", packed).open("rb") as stream,
        decompressed(stream, packed) as content,
    ):
        return read_idx(content, name=packed, sha256=_SHA256[name])
