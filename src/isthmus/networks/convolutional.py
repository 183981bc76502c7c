"""Convolutional networks for images of any size and number of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from isthmus._checks import check_choice, check_integer, check_widths, wrong_parameter
from isthmus._device import device_of
from isthmus.errors import DataError
from isthmus.networks.activations import activation as make_activation
from isthmus.networks.architecture import Architecture, Image, refuse_channels_last
from isthmus.networks.dense import stack
from isthmus.networks.layers import Convolution, Linear

DOWNSAMPLING = ("pool", "stride")
NORMALIZATION = ("none", "group")

#: The smallest longer side of a map that ``channels="auto"`` halves again.
_HALVED_SIDE = 7

#: Channels that group normalisation takes together, at most.
_GROUP = 8


@dataclass(frozen=True)
class Convolutional(Architecture):
    """Convolutions that halve the image, mirrored by convolutions that double it.

    Each stage is a convolution, halving, and the estimator's ``activation``. The decoder repeats each
    value of an image before it convolves, which leaves no checkerboard. Where the width of the code is
    that of the last map (``n_components="auto"``: with the defaults 4 x 4 x 8 = 128 for 28 x 28 pixels)
    and there are no ``hidden_layers``, the map is the code, position by position; otherwise fully
    connected layers lead to the code and back.

    Parameters
    ----------
    channels : tuple of int or "auto", default="auto"
        Channels of each stage. ``"auto"`` halves until the longer side is less than 7 pixels, with 16
        channels, and 8 in the last two stages: (16, 8, 8) for 28 pixels.
    kernel_size : int, default=3
        Side of the kernels, odd.
    downsampling : {"pool", "stride"}, default="pool"
        Whether the largest of four values is kept, or convolutions step over every second.
    normalization : {"none", "group"}, default="none"
        Group normalisation in each stage. It knows one image at a time, so that a code never depends
        on the batch.
    image_shape : tuple of int or "auto", default="auto"
        Shape of the image in a row: (height, width), or (channels, height, width). ``"auto"`` is the
        shape that the rows come in; images whose channels are last, or could be, are refused. Flat rows
        are square images if their length is a square, and lines of one pixel's height otherwise.

    References
    ----------
    J. Masci, U. Meier, D. Cireşan and J. Schmidhuber, "Stacked convolutional auto-encoders for
    hierarchical feature extraction", ICANN, 2011. F. Chollet, "Building autoencoders in Keras", 2016.
    A. Odena, V. Dumoulin and C. Olah, "Deconvolution and checkerboard artifacts", Distill, 2016. Y. Wu
    and K. He, "Group normalization", ECCV, 2018.
    """

    channels: tuple[int, ...] | str = "auto"
    kernel_size: int = 3
    downsampling: str = "pool"
    normalization: str = "none"
    image_shape: tuple[int, ...] | str = "auto"
    name: ClassVar[str] = "convolutional"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        if self.channels != "auto":
            channels = check_widths(self.channels, parameter="channels", owner=owner, at_least_one=True)
            object.__setattr__(self, "channels", channels)
        if check_integer(self.kernel_size, parameter="kernel_size", owner=owner, minimum=1) % 2 == 0:
            raise wrong_parameter(owner, "kernel_size", "an odd number", self.kernel_size)
        check_choice(self.downsampling, DOWNSAMPLING, parameter="downsampling", owner=owner)
        check_choice(self.normalization, NORMALIZATION, parameter="normalization", owner=owner)
        if self.image_shape != "auto":
            shape = check_widths(self.image_shape, parameter="image_shape", owner=owner, at_least_one=True)
            if len(shape) not in {2, 3}:
                wanted = "(height, width), (channels, height, width) or 'auto'"
                raise wrong_parameter(owner, "image_shape", wanted, self.image_shape)
            object.__setattr__(self, "image_shape", shape)

    def natural_width(self, input_shape: tuple[int, ...]) -> int:
        """Return the number of values in the last map."""
        image = self.image(input_shape)
        return math.prod(self.sizes(image)[-1]) * self.channels_for(image)[-1]

    def tiles(self, input_shape: tuple[int, ...], size: int) -> Tensor:
        """Return which square of side ``size`` each pixel belongs to, shape (features,)."""
        return self.image(input_shape).tiles(size, size)

    def learning_rate(self, suggested: float) -> float:
        """Return more for few channels: their kernels have few weights, and bear larger steps."""
        widest = 16 if isinstance(self.channels, str) else max(self.channels)
        return suggested * min(2.0, 32 / widest)

    def depth(self, hidden_layers: tuple[int, ...]) -> int:
        """Return the number of layers of the encoder."""
        stages = 3 if isinstance(self.channels, str) else len(self.channels)
        return stages + len(hidden_layers)

    def image(self, input_shape: tuple[int, ...]) -> Image:
        """Return the image in a row that was given in this shape."""
        n_features = math.prod(input_shape)
        shape = input_shape if self.image_shape == "auto" else self.image_shape
        assert not isinstance(shape, str)
        if self.image_shape == "auto":
            refuse_channels_last(shape, type(self).__name__)
        if math.prod(shape) != n_features:
            raise DataError(
                f"Rows have {n_features} values, but the image_shape={shape} of Convolutional has "
                f"{math.prod(shape)}. Give the shape of the images, or image_shape='auto'."
            )
        if len(shape) > 3:
            raise DataError(
                f"Rows of shape {shape} are no images for Convolutional: give (n, height, width) or "
                "(n, channels, height, width)."
            )
        return Image.of(shape)

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
    ) -> ConvolutionalNetwork:
        """Return the network."""
        return ConvolutionalNetwork(
            self,
            self.image(input_shape),
            n_code_inputs,
            n_components,
            hidden_layers=hidden_layers,
            activation=activation,
            generator=generator,
        )

    def channels_for(self, image: Image) -> tuple[int, ...]:
        """Return the channels of each stage for images of this shape."""
        if not isinstance(self.channels, str):
            return self.channels
        stages, side = 1, (max(image.height, image.width) + 1) // 2
        while side >= _HALVED_SIDE:
            stages, side = stages + 1, (side + 1) // 2
        return (16,) * (stages - 2) + (8, 8)[:stages]

    def sizes(self, image: Image) -> list[tuple[int, int]]:
        """Return height and width before the first stage and after each."""
        sizes = [(image.height, image.width)]
        for _ in self.channels_for(image):
            height, width = sizes[-1]
            sizes.append(((height + 1) // 2, (width + 1) // 2))
        return sizes


class ConvolutionalNetwork(nn.Module):
    """What :class:`Convolutional` describes.

    Parameters
    ----------
    architecture : Convolutional
        The description.
    image : Image
        What a row is.
    n_code_inputs, n_components, hidden_layers, activation, generator
        As for :meth:`Architecture.build`.
    """

    def __init__(
        self,
        architecture: Convolutional,
        image: Image,
        n_code_inputs: int,
        n_components: int,
        *,
        hidden_layers: Sequence[int],
        activation: str,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        channels, kernel = architecture.channels_for(image), architecture.kernel_size
        sizes = architecture.sizes(image)
        last = Image(channels[-1], *sizes[-1])
        is_map = n_components == math.prod(last) and not hidden_layers
        pooled = architecture.downsampling == "pool"
        normalized = architecture.normalization == "group"

        stages: list[nn.Module] = [Unflatten(image)]
        for n_in, n_out in pairwise([image.channels, *channels]):
            stages.append(Convolution(n_in, n_out, kernel, generator, stride=1 if pooled else 2))
            # Pooled first, activated then: for the usual activations it is the same, and four times fewer.
            stages += [nn.MaxPool2d(2, ceil_mode=True)] if pooled else []
            stages += [_normalization(n_out, generator)] if normalized else []
            stages.append(make_activation(activation))
        ratio = n_code_inputs // n_components
        if is_map and ratio == 1:
            stages.pop()  # the activation of the code is the bottleneck's
        elif is_map:
            stages.append(Convolution(channels[-1], channels[-1] * ratio, 1, generator))
        stages.append(Flatten(ratio if is_map else 1))

        widths = [math.prod(last), *hidden_layers]
        if not is_map:
            going_in = [Linear(m, n, generator) for m, n in pairwise([*widths, n_code_inputs])]
            stages.append(stack(going_in, activation))
        self.encoder = nn.Sequential(*stages)

        growing: list[nn.Module] = []
        if not is_map:
            going_out = [Linear(m, n, generator) for m, n in pairwise([n_components, *widths[::-1]])]
            growing += [stack(going_out, activation), make_activation(activation)]
        growing += [Unflatten(last, positions_first=True)]
        growing.append(Convolution(channels[-1], channels[-1], kernel, generator))
        outputs = [*channels[::-1], image.channels]
        for (n_in, n_out), size in zip(pairwise(outputs), sizes[-2::-1], strict=True):
            growing += [_normalization(n_in, generator)] if normalized else []
            growing += [
                make_activation(activation),
                DoublingConvolution(n_in, n_out, kernel, size, generator),
            ]
        growing.append(nn.Flatten())
        self.decoder = nn.Sequential(*growing)
        self.image = image

    @torch.no_grad()
    def start_at(self, mean: Tensor, pre_activations: Tensor) -> None:
        """Start from what stands for the mean of each channel."""
        last = self.decoder[-2]
        assert isinstance(last, DoublingConvolution)
        last.bias.copy_(pre_activations.view(self.image.channels, -1).mean(1))


class Unflatten(nn.Module):
    """Flat rows to images.

    Parameters
    ----------
    image : Image
        Their shape.
    positions_first : bool, default=False
        Whether the channels of a position lie side by side, as in a code.
    """

    def __init__(self, image: Image, *, positions_first: bool = False) -> None:
        super().__init__()
        self.image, self.positions_first = image, positions_first

    def forward(self, rows: Tensor) -> Tensor:
        """Return images of shape (batch, channels, height, width)."""
        channels, height, width = self.image
        # Channels last in memory, which every convolution behind this one keeps to: on a CPU its own
        # layout takes three quarters of the time. One channel is last anyway, if the strides say so.
        if self.positions_first or channels == 1:
            return rows.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
        images = rows.reshape(-1, channels, height, width)
        return images.contiguous(memory_format=torch.channels_last)


class Flatten(nn.Module):
    """Maps to flat features, position by position.

    Parameters
    ----------
    ratio : int, default=1
        Features of a code value, such as mean and variance: all of one kind before all of the next.
    """

    def __init__(self, ratio: int = 1) -> None:
        super().__init__()
        self.ratio = ratio

    def forward(self, maps: Tensor) -> Tensor:
        """Return features of shape (batch, ratio * height * width * channels)."""
        parts = maps.chunk(self.ratio, dim=1)
        return torch.cat([part.permute(0, 2, 3, 1).flatten(1) for part in parts], dim=1)


class DoublingConvolution(nn.Module):
    """Each value of an image repeated two by two, and then a convolution.

    Both are one transposed convolution, whose kernel is the convolution's own, summed over pairs of
    neighbours: less than half the arithmetic, and the repeated image is never written.

    Parameters
    ----------
    n_inputs, n_outputs, kernel_size : int
        As for a convolution.
    size : tuple of int
        Height and width of the result, of which one row or column less than double is cut off.
    generator : torch.Generator or None
        Where the weights are drawn from.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        kernel_size: int,
        size: tuple[int, int],
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        convolution = Convolution(n_inputs, n_outputs, kernel_size, generator)
        assert convolution.bias is not None
        self.weight, self.bias = convolution.weight, convolution.bias
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """Return images of the size."""
        kernel = self.weight.flip(2, 3).transpose(0, 1)
        kernel = functional.pad(kernel, (1, 1, 1, 1))
        kernel = kernel[..., 1:, :] + kernel[..., :-1, :]
        kernel = kernel[..., 1:] + kernel[..., :-1]
        doubled = functional.conv_transpose2d(
            images, kernel, self.bias, stride=2, padding=self.weight.shape[-1] // 2
        )
        height, width = self.size
        return doubled[..., :height, :width]


def _normalization(channels: int, generator: torch.Generator | None) -> nn.GroupNorm:
    together = next(size for size in range(_GROUP, 0, -1) if channels % size == 0)
    return nn.GroupNorm(channels // together, channels, device=device_of(generator), dtype=torch.float32)
