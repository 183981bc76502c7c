"""A part of a labelled image set, decoded when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from isthmus.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One part of a labelled set of grey images, such as the training images of MNIST.

    Nothing is read until an array is asked for; each array is decoded once and then kept.

    Parameters
    ----------
    name : str
        What it is called, for example ``"mnist:train"``.
    n_images : int
        How many images there are.
    image_shape : tuple of int
        Height and width of an image, in pixels.
    decode_images, decode_labels : callable
        Return the uint8 images, of shape ``(n_images, *image_shape)``, and the uint8 labels, of shape
        ``(n_images,)``. :func:`~isthmus.data.load_mnist` and
        :func:`~isthmus.data.load_fashion_mnist` supply them.

    Examples
    --------
    >>> from isthmus.data import load_mnist
    >>> train, test = load_mnist()
    >>> test
    <Split mnist:test: 10000 images of 28 × 28>
    >>> test.labels[:4]
    array([7, 2, 1, 0])
    """

    name: str
    n_images: int
    image_shape: tuple[int, ...]
    decode_images: Callable[[], NDArray[np.uint8]]
    decode_labels: Callable[[], NDArray[np.uint8]]

    def __len__(self) -> int:
        """Return the number of images."""
        return self.n_images

    def __repr__(self) -> str:
        """Return the name, the number of images and their size."""
        size = " × ".join(map(str, self.image_shape))
        return f"<{type(self).__name__} {self.name}: {len(self)} images of {size}>"

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """The images as they are stored: uint8 of shape (n, height × width), 0 to 255."""
        stored = self.decode_images()
        self._check(stored.shape, (len(self), *self.image_shape), "images")
        return stored.reshape(len(self), -1)

    @cached_property
    def images(self) -> NDArray[np.float32]:
        """The images to learn from: float32 of shape (n, height × width), in [0, 1]."""
        # NumPy converts in small blocks as it divides: no second float array is made.
        return np.divide(self.pixels, np.float32(255))

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The class of each image: int64 of shape (n,)."""
        stored = self.decode_labels()
        self._check(stored.shape, (len(self),), "labels")
        return stored.astype(np.int64)

    def _check(self, shape: tuple[int, ...], wanted: tuple[int, ...], what: str) -> None:
        if shape != wanted:
            raise DataError(f"The {what} of {self.name} have the shape {shape} where {wanted} was expected.")
