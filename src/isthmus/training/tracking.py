"""Callbacks that write down how a training goes, for other programs to read while it runs."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from isthmus._checks import check_integer, wrong_parameter
from isthmus.errors import DataError, InvalidParameterError, MissingDependencyError
from isthmus.training._claims import Claims
from isthmus.training.callbacks import Callback
from isthmus.training.state import Model, TrainingState

#: Pixels between two pictures.
GAP = 2


class JsonLines(Callback):
    """Write the history to a file, a line of JSON after each epoch, as ``tail -f`` can follow it.

    Each training has a file of its own. The first one takes ``path`` and replaces what was there when the
    callback was made. Trainings with a copy of the callback, as in clones of an estimator and in
    ``GridSearchCV``, and trainings at the same time, take the next free name with a number:
    ``history-2.jsonl``, ``history-3.jsonl``. Another training with the same callback, such as a second ``fit`` or
    a ``partial_fit`` of the same estimator, starts its file anew. A training that goes on from a checkpoint
    writes the epochs before it again. A number that is not finite becomes ``null``.

    Parameters
    ----------
    path : str or Path
        The file; its folder exists.

    Attributes
    ----------
    file : Path or None
        The file of the latest training.

    Examples
    --------
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import Autoencoder
    >>> from isthmus.training import JsonLines
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "history.jsonl")
    ...     model = Autoencoder(8, epochs=3, callbacks=[JsonLines(path)]).fit(load_digits().data)
    ...     rows = [json.loads(line) for line in path.read_text().splitlines()]
    >>> rows == model.history_
    True
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.file: Path | None = None
        self._claims = Claims(self.path)
        self._streams: dict[int, TextIO] = {}

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_streams": {}, "file": None}

    def on_training_start(self, state: TrainingState) -> None:
        """Open a file that is empty."""
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise wrong_parameter("JsonLines", "path", "a file in a folder that exists", str(self.path))
        try:
            self.file, handle = self._claims.file()
        except OSError as error:
            wanted = f"a file that can be written ({error.strerror or error})"
            raise wrong_parameter("JsonLines", "path", wanted, str(self.path)) from error
        self._streams[id(state)] = open(handle, "w", encoding="utf-8", newline="\n")  # noqa: PTH123, SIM115
        for row in state.history.rows:
            self._write(state, row)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Write the epoch's row."""
        self._write(state, state.history.rows[-1])

    def _write(self, state: TrainingState, row: Mapping[str, float]) -> None:
        stream = self._streams.get(id(state))
        if stream is not None:
            finite = {name: _finite_or_none(value) for name, value in row.items()}
            stream.write(json.dumps(finite, allow_nan=False) + "\n")
            stream.flush()

    def on_training_end(self, state: TrainingState) -> None:
        """Close the file."""
        stream = self._streams.pop(id(state), None)
        if stream is not None:
            stream.close()


@dataclass
class _Board:
    """One training's folder, while it is written to."""

    writer: Any
    claim: int | None
    drawn_epoch: int = 0

    def close(self) -> None:
        try:
            self.writer.close()
        finally:
            if self.claim is not None:
                os.close(self.claim)


class TensorBoard(Callback):
    """Write losses, copies of images and codes for TensorBoard, which draws them while training runs.

    Needs ``pip install "isthmus[track]"``; then ``tensorboard --logdir FOLDER`` shows the folders of one
    or more trainings. Each training has a folder of its own. The first one takes ``folder``, and hides what an
    older training wrote there before the callback was made. Trainings with a copy of the callback, as in clones
    of an estimator and in ``GridSearchCV``, and trainings at the same time, take the next free name with a
    number: ``folder-2``, ``folder-3``. Another training with the same callback hides its earlier one.

    Parameters
    ----------
    folder : str or Path
        Where to write; made if it is not there. The step of everything written is the epoch.
        Every epoch has scalars: ``train/loss`` and the other terms, ``validation/loss`` and the
        like, ``learning_rate`` and ``seconds``.
    images : array-like of shape (n, features), or (n, height, width) and the like, optional
        Rows that are drawn above their copies, as ``reconstructions``; about ten are good to look at.
        Grey levels are those of the originals.
    image_shape : tuple of int, optional
        (height, width), (channels, height, width) or (height, width, channels), with 1 or 3
        channels; needed where neither ``images`` nor the model's training rows have the shape of
        images.
    embeddings : array-like of shape (m, features), optional
        Rows whose codes are shown in the projector, as ``codes``.
    labels : sequence of length m, optional
        Their names, or classes.
    every : int, default=1
        Epochs from one picture, and one set of codes, to the next; the last epoch has both anyway.

    Raises
    ------
    MissingDependencyError
        When tensorboard is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import Autoencoder
    >>> from isthmus.training import TensorBoard
    >>> X = load_digits().images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     board = TensorBoard(folder, images=X[:10], embeddings=X[:100], every=5)
    ...     model = Autoencoder(8, epochs=10, callbacks=[board]).fit(X)
    ...     written = sorted(path.name.partition(".")[0] for path in Path(folder).iterdir())
    >>> written
    ['00005', '00010', 'events', 'projector_config']
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        images: ArrayLike | None = None,
        image_shape: Sequence[int] | None = None,
        embeddings: ArrayLike | None = None,
        labels: Sequence[Any] | NDArray[Any] | None = None,
        every: int = 1,
    ) -> None:
        self.folder = Path(folder)
        self.images = images
        self.image_shape = image_shape
        self.embeddings = embeddings
        self.labels = labels
        self.every = check_integer(every, parameter="every", owner="TensorBoard", minimum=1)
        _summary_writer()  # asked for here, before a fit prepares or pretrains anything
        self._claims = Claims(self.folder)
        self._boards: dict[int, _Board] = {}

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_boards": {}}

    def on_training_start(self, state: TrainingState) -> None:
        """Check everything, before the first step is taken, and open the folder."""
        if self.folder.exists() and not self.folder.is_dir():
            wanted = "a folder, or the path of a new one"
            raise wrong_parameter("TensorBoard", "folder", wanted, str(self.folder))
        make_writer = _summary_writer()
        self._check_labels()
        for parameter in ("images", "embeddings"):
            if getattr(self, parameter) is not None and state.model is None:
                raise InvalidParameterError(
                    f"The {parameter!r} parameter of TensorBoard needs an estimator that is being fitted; "
                    "the training loop was called without one (model=None)."
                )
        if state.model is not None:
            with _evaluating(state.network):
                self._try_out(state.model)
        try:
            folder, claim = self._claims.folder()
        except OSError as error:
            wanted = f"a folder that can be written to ({error.strerror or error})"
            raise wrong_parameter("TensorBoard", "folder", wanted, str(self.folder)) from error
        # Events of this step and later ones that an older training left in the folder are hidden.
        self._boards[id(state)] = _Board(make_writer(str(folder), purge_step=0), claim)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Write the epoch's numbers, and pictures and codes if it is their turn."""
        writer = self._boards[id(state)].writer
        for name, value in state.history.rows[-1].items():
            if name != "epoch":
                writer.add_scalar(_tag(name), value, state.epoch)
        if state.epoch % self.every == 0 or state.epoch == state.epochs or state.stop:
            self._draw(state)
        writer.flush()

    def on_training_end(self, state: TrainingState) -> None:
        """Write what the last epoch has not, where nobody knew it was the last, and close the files."""
        if id(state) not in self._boards:
            return
        try:
            # After any other error there is nothing worth drawing, and the error must not be hidden.
            if state.history.rows and (state.stop or state.history.interrupted):
                self._draw(state)
        finally:
            self._boards.pop(id(state)).close()

    def _check_labels(self) -> None:
        if self.labels is None:
            return
        if self.embeddings is None:
            wanted = "None where there are no 'embeddings'"
            raise wrong_parameter("TensorBoard", "labels", wanted, self.labels)
        n_rows = len(np.asarray(self.embeddings))
        if len(self.labels) != n_rows:
            raise DataError(
                f"labels has {len(self.labels)} entries, but TensorBoard is expecting one for each of "
                f"{n_rows} embeddings."
            )

    def _try_out(self, model: Model) -> None:
        """Ask for a first picture and first codes, so that rows that do not fit are found at once."""
        if self.images is not None:
            self._picture(model)
        if self.embeddings is not None:
            model.transform(self.embeddings)

    def _draw(self, state: TrainingState) -> None:
        board = self._boards[id(state)]
        if state.model is None or board.drawn_epoch == state.epoch:
            return
        board.drawn_epoch = state.epoch
        with _evaluating(state.network):
            if self.images is not None:
                picture = self._picture(state.model)
                board.writer.add_image("reconstructions", picture, state.epoch, dataformats="HWC")
            if self.embeddings is not None:
                codes = state.model.transform(self.embeddings)
                self._write_codes(board.writer, codes.reshape(len(codes), -1), state.epoch)

    def _picture(self, model: Model) -> NDArray[np.uint8]:
        """Return originals above copies, shape (2 height + gap, n (width + gap) - gap, channels)."""
        originals = np.asarray(self.images)
        copies = model.reconstruct(self.images)
        shapes = [self.image_shape] if self.image_shape is not None else []
        shapes += [rows.shape[1:] for rows in (originals, copies) if rows.ndim > 2]
        shape = tuple(shapes[0]) if shapes else None
        return _grid(*_grey_levels(_as_images(originals, shape), _as_images(copies, shape)))

    def _write_codes(self, writer: Any, codes: NDArray[Any], epoch: int) -> None:
        labels = None if self.labels is None else [" ".join(str(label).split()) for label in self.labels]
        # It prints a remark where an older training wrote codes of the same epoch.
        with contextlib.redirect_stdout(io.StringIO()):
            writer.add_embedding(codes, metadata=labels, global_step=epoch, tag="codes")


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _tag(name: str) -> str:
    """Return the name of a term as TensorBoard groups it."""
    if name in {"learning_rate", "seconds"}:
        return name
    of_validation = name.startswith("validation_")
    return f"validation/{name.removeprefix('validation_')}" if of_validation else f"train/{name}"


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError(
            'TensorBoard files need tensorboard: pip install "isthmus[track]".', name="tensorboard"
        ) from error
    return SummaryWriter


@contextlib.contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Have the network behave as after training, and as before on leaving."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def _as_images(rows: NDArray[Any], shape: tuple[int, ...] | None) -> NDArray[Any]:
    """Return rows as images of shape (n, height, width, channels)."""
    n_values = math.prod(rows.shape[1:])
    grey = shape is not None and len(shape) == 2
    coloured = shape is not None and len(shape) == 3 and not {1, 3}.isdisjoint({shape[0], shape[-1]})
    if shape is None or not (grey or coloured) or math.prod(shape) != n_values:
        wanted = f"(height, width), with 1 or 3 channels before or after, for images of {n_values} values"
        raise wrong_parameter("TensorBoard", "image_shape", wanted, shape)
    images = rows.reshape(len(rows), *shape)
    if grey:
        return images[..., np.newaxis]
    return np.moveaxis(images, 1, -1) if shape[0] in {1, 3} else images


def _grey_levels(
    originals: NDArray[Any], copies: NDArray[Any]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return both in bytes; black and white are those of the originals, copies beyond are clipped."""
    low, high = float(np.nanmin(originals)), float(np.nanmax(originals))
    if originals.dtype == np.uint8:
        low, high = 0.0, 255.0
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    span = (high - low) or 1.0

    def in_bytes(images: NDArray[Any]) -> NDArray[np.uint8]:
        shares = np.nan_to_num(np.clip((images.astype(float) - low) / span, 0, 1))
        return np.round(shares * 255).astype(np.uint8)

    return in_bytes(originals), in_bytes(copies)


def _grid(*lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return one picture of lines of images of shape (n, height, width, channels)."""
    n_images, height, width, channels = lines[0].shape
    pitch = (height + GAP, width + GAP)
    picture = np.full((len(lines) * pitch[0], n_images * pitch[1], channels), 128, dtype=np.uint8)
    for line, images in enumerate(lines):
        for column, image in enumerate(images):
            top, left = line * pitch[0], column * pitch[1]
            picture[top : top + height, left : left + width] = image
    return picture[:-GAP, :-GAP]
