"""What everybody compresses with already, behind the methods of :class:`isthmus.Compressor`."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from isthmus._checks import NamedArguments, check_choice, check_flag, check_number, wrong_parameter
from isthmus.errors import CompressedDataError, DataError, MissingDependencyError

Array = NDArray[Any]

#: Names of image formats, and what Pillow calls them.
FORMATS: Mapping[str, str] = {
    "jpeg": "JPEG",
    "jpeg2000": "JPEG2000",
    "webp": "WEBP",
    "avif": "AVIF",
    "jpegxl": "JXL",
}
LARGEST_SIDE = 16_000  # WebP ends at 16,383


def available_formats() -> tuple[str, ...]:
    """Return the image formats that can be written and read here."""
    from PIL import Image

    Image.init()
    return tuple(name for name, pillow in FORMATS.items() if pillow in Image.SAVE and pillow in Image.OPEN)


class ImageCodec(NamedArguments, BaseEstimator):  # type: ignore[misc]
    """Images by one of Pillow's codecs, for comparison.

    Parameters
    ----------
    format : {"jpeg", "jpeg2000", "webp", "avif", "jpegxl"}, default="jpeg"
        The codec. JPEG XL needs a plugin of Pillow.
    quality : float, default=75
        0 to 100, as the codec understands it; for JPEG 2000, decibels of PSNR from 20 to 50.
    mosaic : bool, default=True
        Whether images are laid side by side in one file, or each has a file of its own, with a header of
        its own.

    References
    ----------
    ISO/IEC 10918-1 (JPEG), 15444-1 (JPEG 2000), RFC 9649 (WebP), AOM AV1 Image File Format.

    Examples
    --------
    >>> X = np.zeros((4, 16, 16), dtype=np.uint8)
    >>> codec = ImageCodec("jpeg", mosaic=False).fit(X)
    >>> files = codec.compress(X)
    >>> len(files), codec.decompress(files).shape
    (4, (4, 16, 16))
    """

    dtype_: np.dtype[Any]
    image_shape_: tuple[int, ...]

    def __init__(self, format: str = "jpeg", *, quality: float = 75, mosaic: bool = True) -> None:
        self.format = format
        self.quality = quality
        self.mosaic = mosaic

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Remember the shape and type of images; there is nothing to learn.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, 3)
            Images: bytes, or floats in [0, 1].
        y : None
            Ignored.
        """
        owner = type(self).__name__
        check_choice(self.format, FORMATS, parameter="format", owner=owner)
        check_number(self.quality, parameter="quality", owner=owner, minimum=0, maximum=100)
        check_flag(self.mosaic, parameter="mosaic", owner=owner)
        if self.format not in available_formats():
            raise MissingDependencyError(f"This Pillow cannot write {self.format} files.")
        images = self._images(np.asarray(X))
        self.dtype_, self.image_shape_ = np.asarray(X).dtype, images.shape[1:]
        return self

    def compress(self, X: ArrayLike) -> list[bytes]:
        """Return images as files: one, or one for each."""
        check_is_fitted(self)
        images = self._images(np.asarray(X))
        self._count = len(images)
        pictures = [_side_by_side(images)] if self.mosaic else list(images)
        return [self._file(picture) for picture in pictures]

    def decompress(self, files: Sequence[bytes], n_images: int | None = None) -> Array:
        """Return images from files.

        Parameters
        ----------
        files : sequence of bytes
            What :meth:`compress` returned.
        n_images : int, optional
            How many images a mosaic holds; by default as many as were compressed last.
        """
        check_is_fitted(self)
        pictures = [self._pixels(file) for file in files]
        if self.mosaic:
            count = self._count if n_images is None else n_images
            pictures = list(_apart(pictures[0], self.image_shape_)[:count])
        images: Array = np.stack(pictures)
        if self.dtype_.kind == "f":
            images = images.astype(self.dtype_) / self.dtype_.type(255)
        return images

    def _images(self, X: Array) -> NDArray[np.uint8]:
        owner = type(self).__name__
        colours = X.ndim == 4 and X.shape[-1] == 3
        if (X.ndim != 3 and not colours) or 0 in X.shape:
            raise DataError(
                f"X has shape {X.shape}, but {owner} is expecting grey images or (n, height, width, 3). "
                "Channels that are first are put last by np.moveaxis(X, 1, -1)."
            )
        if X.dtype == np.uint8:
            return np.asarray(X, dtype=np.uint8)
        if X.dtype.kind != "f" or not (X.min() >= 0 and X.max() <= 1):
            raise DataError(f"X of {X.dtype} is not for {owner}: images are bytes, or floats in [0, 1].")
        pixels: NDArray[np.uint8] = np.rint(X * 255).astype(np.uint8)
        return pixels

    def _file(self, picture: NDArray[np.uint8]) -> bytes:
        from PIL import Image

        options: dict[str, Any] = {"quality": round(self.quality)}
        if self.format == "jpeg2000":
            options = {
                "quality_mode": "dB",
                "quality_layers": [20 + 0.3 * self.quality],
                "irreversible": True,
            }
        elif self.format == "jpeg":
            options["optimize"] = True
        elif self.format == "webp":
            options["method"] = 6
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, FORMATS[self.format], **options)
        return stream.getvalue()

    def _pixels(self, file: bytes) -> NDArray[np.uint8]:
        from PIL import Image

        try:
            with Image.open(io.BytesIO(file), formats=[FORMATS[self.format]]) as picture:
                return np.asarray(picture.convert("L" if len(self.image_shape_) == 2 else "RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise CompressedDataError(f"a {self.format} file is damaged: {error}.") from error


class ByteCodec(NamedArguments, BaseEstimator):  # type: ignore[misc]
    """The bytes of rows by a general compressor, for comparison: nothing is lost.

    Parameters
    ----------
    format : {"gzip", "bz2", "lzma", "zstd"}, default="lzma"
        The compressor, at its strongest. Zstandard needs the package zstandard.

    Examples
    --------
    >>> X = np.zeros((100, 50))
    >>> codec = ByteCodec("gzip").fit(X)
    >>> files = codec.compress(X)
    >>> len(files[0]) < 200, bool((codec.decompress(files) == X).all())
    (True, True)
    """

    _CODECS: ClassVar[Mapping[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]]] = {
        "gzip": (lambda content: gzip.compress(content, 9, mtime=0), gzip.decompress),
        "bz2": (lambda content: bz2.compress(content, 9), bz2.decompress),
        "lzma": (lambda content: lzma.compress(content, preset=9 | lzma.PRESET_EXTREME), lzma.decompress),
        "zstd": (
            lambda content: bytes(_zstandard().ZstdCompressor(level=22).compress(content)),
            lambda content: bytes(_zstandard().ZstdDecompressor().decompress(content)),
        ),
    }

    dtype_: np.dtype[Any]
    row_shape_: tuple[int, ...]

    def __init__(self, format: str = "lzma") -> None:
        self.format = format

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Remember the shape and type of rows; there is nothing to learn."""
        check_choice(self.format, self._CODECS, parameter="format", owner=type(self).__name__)
        rows = np.asarray(X)
        self.dtype_, self.row_shape_ = rows.dtype, rows.shape[1:]
        return self

    def compress(self, X: ArrayLike) -> list[bytes]:
        """Return rows as one file."""
        check_is_fitted(self)
        return [self._CODECS[self.format][0](np.ascontiguousarray(X, dtype=self.dtype_).tobytes())]

    def decompress(self, files: Sequence[bytes]) -> Array:
        """Return rows from a file."""
        check_is_fitted(self)
        content = self._CODECS[self.format][1](files[0])
        return np.frombuffer(content, dtype=self.dtype_).reshape(-1, *self.row_shape_).copy()


class AudioCodec(NamedArguments, BaseEstimator):  # type: ignore[misc]
    """Series by MP3 or Opus, for comparison; each row is a sound of its own, in one file for all.

    Parameters
    ----------
    format : {"mp3", "opus"}, default="mp3"
        The codec, by the package soundfile.
    quality : float, default=0.5
        0 to 1, higher is better.
    sample_rate : int, default=16000
        Values of a row that make a second. Opus takes 8000, 12000, 16000, 24000 and 48000.

    Examples
    --------
    >>> X = np.sin(np.arange(32_000) / 20).reshape(2, 16_000)
    >>> codec = AudioCodec("mp3").fit(X)  # doctest: +SKIP
    """

    scale_: float
    row_shape_: tuple[int, ...]
    dtype_: np.dtype[Any]

    def __init__(self, format: str = "mp3", *, quality: float = 0.5, sample_rate: int = 16_000) -> None:
        self.format = format
        self.quality = quality
        self.sample_rate = sample_rate

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Remember the shape, type and range of series."""
        owner = type(self).__name__
        check_choice(self.format, ("mp3", "opus"), parameter="format", owner=owner)
        check_number(self.quality, parameter="quality", owner=owner, minimum=0, maximum=1)
        _soundfile()
        rows = np.asarray(X)
        if rows.ndim != 2 or rows.dtype.kind != "f" or not np.isfinite(rows).all():
            raise DataError(f"X has shape {rows.shape}, but {owner} is expecting finite series (n, time).")
        self.scale_ = float(np.abs(rows).max()) or 1.0
        self.dtype_, self.row_shape_ = rows.dtype, rows.shape[1:]
        return self

    def compress(self, X: ArrayLike) -> list[bytes]:
        """Return series as one file."""
        check_is_fitted(self)
        soundfile, stream = _soundfile(), io.BytesIO()
        container, subtype = ("MP3", "MPEG_LAYER_III") if self.format == "mp3" else ("OGG", "OPUS")
        sound = np.clip(np.asarray(X).ravel() / self.scale_, -1, 1)
        level = {"compression_level": 1 - self.quality}
        try:
            soundfile.write(stream, sound, self.sample_rate, format=container, subtype=subtype, **level)
        except (RuntimeError, ValueError) as error:
            raise wrong_parameter(
                type(self).__name__, "sample_rate", f"one that {self.format} takes", self.sample_rate
            ) from error
        return [stream.getvalue()]

    def decompress(self, files: Sequence[bytes]) -> Array:
        """Return series from a file; what a codec put before or after them is cut off."""
        check_is_fitted(self)
        try:
            sound, _ = _soundfile().read(io.BytesIO(files[0]))
        except RuntimeError as error:
            raise CompressedDataError(f"an {self.format} file is damaged: {error}.") from error
        length = math.prod(self.row_shape_)
        whole = -(-len(sound) // length) if len(sound) % length > length // 2 else len(sound) // length
        padded = np.zeros(whole * length)
        padded[: min(len(sound), len(padded))] = sound[: len(padded)]
        return (padded * self.scale_).astype(self.dtype_).reshape(-1, *self.row_shape_)


def _side_by_side(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images as one, in rows and columns, black where there are none left."""
    count, height, width = images.shape[:3]
    columns = min(math.ceil(math.sqrt(count)), LARGEST_SIDE // width)
    rows = -(-count // columns)
    if rows * height > LARGEST_SIDE:
        raise DataError(f"{count} images of {height} by {width} are too many for a mosaic.")
    full = np.zeros((rows * columns, *images.shape[1:]), dtype=np.uint8)
    full[:count] = images
    grid = full.reshape(rows, columns, *images.shape[1:]).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, *images.shape[3:])


def _apart(picture: NDArray[np.uint8], image_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    height, width = image_shape[:2]
    rows, columns = picture.shape[0] // height, picture.shape[1] // width
    grid = picture.reshape(rows, height, columns, width, *picture.shape[2:]).swapaxes(1, 2)
    return grid.reshape(rows * columns, *image_shape)


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise MissingDependencyError(
            "Zstandard needs the package zstandard. Install it with: pip install isthmus[codec]"
        ) from error
    return zstandard


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            "MP3 and Opus need the package soundfile. Install it with: pip install isthmus[audio]"
        ) from error
    return soundfile
