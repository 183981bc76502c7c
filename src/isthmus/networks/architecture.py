"""What all descriptions of networks share."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from isthmus._specification import Specification
from isthmus.errors import DataError

#: Numbers of channels that pictures have: grey, colours, and colours with transparency.
CHANNELS = (1, 3, 4)


class Image(NamedTuple):
    """Shape of an image."""

    channels: int
    height: int
    width: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Image:
        """Return the image in a row of this shape.

        Flat rows are square images if their length is a square, and lines of one pixel's height
        otherwise.
        """
        if len(shape) == 1:
            side = math.isqrt(shape[0])
            return cls(1, side, side) if side * side == shape[0] else cls(1, 1, shape[0])
        return cls(math.prod(shape[:-2]), *shape[-2:])

    def tiles(self, height: int, width: int) -> Tensor:
        """Return the number of the tile of each value, shape (features,), for tiles of this size."""
        rows = torch.arange(self.height, device="cpu") // height
        columns = torch.arange(self.width, device="cpu") // width
        numbers = rows[:, None] * math.ceil(self.width / width) + columns
        return numbers.expand(self).flatten()


def refuse_channels_last(shape: tuple[int, ...], owner: str) -> None:
    """Raise for images whose channels seem to be the last axis, or could be: they would be read as other pictures.

    Parameters
    ----------
    shape : tuple of int
        Shape of a row, to be read as (channels, height, width) where it has three axes.
    owner : str
        What reads it, for the message.

    Raises
    ------
    DataError
        For shapes like (height, width, 3), with what to do.
    """
    if len(shape) != 3 or shape[-1] not in CHANNELS:
        return
    first, middle, last = shape
    advice = "np.moveaxis(X, -1, 1) puts the channels first"
    if first not in CHANNELS and min(first, middle) > max(CHANNELS):
        raise DataError(
            f"Rows of shape {shape} have their channels last, but {owner} is expecting (channels, height, width). "
            f"{advice}."
        )
    # Square pictures, and a line of grey pixels, are the same or plain either way.
    if first in CHANNELS and middle != last and (first, last) != (1, 1):
        raise DataError(
            f"Rows of shape {shape} may have their channels first or last, and {owner} is expecting (channels, height, "
            f"width). If they are last, {advice}; if they are first, say so with "
            f"network=Convolutional(image_shape={shape})."
        )


class Network(Protocol):
    """Two torch modules over flat rows, knowing nothing of losses."""

    @property
    def encoder(self) -> nn.Module:
        """Return the body that makes features, shape (batch, n_code_inputs), of rows."""
        ...

    @property
    def decoder(self) -> nn.Module:
        """Return the body that makes pre-activations, shape (batch, features), of codes."""
        ...

    def start_at(self, mean: Tensor, pre_activations: Tensor) -> None:
        """Start from data with this mean row, and from these pre-activations for it."""
        ...


class Architecture(Specification):
    """Base of the descriptions.

    Every network takes rows of shape (batch, features), whatever the shape they were given in: it
    knows that shape, and arranges the values as it needs them.
    """

    #: Whether rows may have gaps, written as NaN, that the network looks past.
    sees_gaps: ClassVar[bool] = False
    #: Whether the values of a row are steps of time, which all have one unit.
    is_sequential: ClassVar[bool] = False
    #: Why a step cannot be recorded and played back, which is so if anything in it is decided outside of tensors.
    unrecordable: ClassVar[str | None] = None
    #: Whether the decoder can use the encoder's weights.
    can_be_tied: ClassVar[bool] = False
    #: Whether ``hidden_layers`` and ``activation`` of the estimator mean anything to it.
    has_hidden_layers: ClassVar[bool] = True

    def natural_width(self, input_shape: tuple[int, ...]) -> int | None:
        """Return the width of code that the network would choose, or None where any will do."""
        return None

    def tiles(self, input_shape: tuple[int, ...], size: int) -> Tensor:
        """Return which patch of side ``size`` each value of a row belongs to, shape (features,)."""
        refuse_channels_last(input_shape, type(self).__name__)
        return Image.of(input_shape).tiles(size, size)

    def learning_rate(self, suggested: float) -> float:
        """Return a good peak rate, where ``suggested`` is good for a dense network."""
        return suggested

    def depth(self, hidden_layers: tuple[int, ...]) -> int:
        """Return the number of layers of the encoder."""
        return len(hidden_layers) + 1

    @abstractmethod
    def build(
        self,
        input_shape: tuple[int, ...],
        n_code_inputs: int,
        n_components: int,
        *,
        hidden_layers: tuple[int, ...],
        activation: str,
        tied: bool,
        generator: torch.Generator | None,
    ) -> Network:
        """Return the network.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one row as it was given.
        n_code_inputs : int
            How many features the bottleneck wants from the encoder, a multiple of ``n_components``.
        n_components : int
            How many values the code has, which is what the decoder starts from.
        hidden_layers, activation, tied
            As in :class:`isthmus.Autoencoder`.
        generator : torch.Generator or None
            Where the weights are drawn from. Without one: shapes, no memory.

        Raises
        ------
        DataError
            When rows of this shape are nothing for this network.
        """
