"""Transformers over the parts of a row: patches of an image, steps of a sequence, columns of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from isthmus._checks import check_choice, check_integer, wrong_parameter
from isthmus._device import device_of
from isthmus.errors import DataError
from isthmus.networks.activations import activation as make_activation
from isthmus.networks.architecture import Architecture, Image, refuse_channels_last
from isthmus.networks.layers import Linear, constant, drawn

TOKENS = ("auto", "patches", "steps", "columns")

#: The widest flat rows of which each column becomes a token by itself.
_MOST_COLUMNS = 128


@dataclass(frozen=True)
class Transformer(Architecture):
    """Self-attention over the tokens of a row; what is missing (NaN) is not looked at.

    The encoder reads the tokens that are there, together with a few summary tokens, whose final states
    become the code. The decoder starts from summaries made of the code and from one query for each
    token's place, and writes all tokens, the missing ones too. Beside a noise that hides tokens
    (:class:`isthmus.objectives.Patches`, :class:`isthmus.objectives.Masking`) it is a masked
    autoencoder, and hidden tokens cost the encoder nothing.

    Parameters
    ----------
    tokens : {"auto", "patches", "steps", "columns"}, default="auto"
        What a token is: a square patch of an image, a step of a sequence, or a column of a table.
        ``"auto"`` takes patches for rows of more than one dimension, columns for flat rows of at most
        128 values, and patches for longer ones that are square images.
    patch_size : int, default=4
        Side of a patch; images are padded to a multiple of it.
    width : int, default=64
        Width of a token's state.
    n_layers, n_decoder_layers : int, default=2 and 1
        Blocks of attention on each side.
    n_heads : int, default=4
        Heads of attention; a divisor of ``width``.
    n_summaries : int, default=4
        Summary tokens.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS, 2017. K. He et al., "Masked autoencoders
    are scalable vision learners", CVPR, 2022. Y. Gorishniy et al., "Revisiting deep learning models for
    tabular data", NeurIPS, 2021.
    """

    tokens: str = "auto"
    patch_size: int = 4
    width: int = 64
    n_layers: int = 2
    n_decoder_layers: int = 1
    n_heads: int = 4
    n_summaries: int = 4
    name: ClassVar[str] = "transformer"
    sees_gaps: ClassVar[bool] = True
    unrecordable: ClassVar[str | None] = "the values that are missing decide what is computed"
    has_hidden_layers: ClassVar[bool] = False

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_choice(self.tokens, TOKENS, parameter="tokens", owner=owner)
        for name in ("patch_size", "width", "n_layers", "n_decoder_layers", "n_heads", "n_summaries"):
            check_integer(getattr(self, name), parameter=name, owner=owner, minimum=1)
        if self.width % self.n_heads:
            raise wrong_parameter(owner, "n_heads", f"a divisor of width={self.width}", self.n_heads)

    def tiles(self, input_shape: tuple[int, ...], size: int) -> Tensor:
        """Return which tile each value belongs to: a patch, ``size`` steps, or one column of a table."""
        cut = self.cut(input_shape)
        if self._are_columns(input_shape):
            # Neighbouring columns have no more to do with each other than others: any of them may be missing.
            return torch.arange(cut.shape[0], device="cpu")
        if cut.image is None:
            return Image(1, *cut.shape).tiles(size, cut.shape[1])
        return Image(*cut.image[:3]).tiles(self.patch_size, self.patch_size)

    def learning_rate(self, suggested: float) -> float:
        """Return a rate that attention bears."""
        return min(suggested / 5, 2e-3)

    def depth(self, hidden_layers: tuple[int, ...]) -> int:
        """Return the number of layers of the encoder."""
        return self.n_layers

    def cut(self, input_shape: tuple[int, ...]) -> Cut:
        """Return how rows of this shape become tokens."""
        n_features, kind = math.prod(input_shape), self.tokens
        side = math.isqrt(n_features)
        flat = len(input_shape) == 1
        if self._are_columns(input_shape):
            return Cut((n_features, 1), None)
        if kind == "steps":
            time = input_shape[0]
            return Cut((time, n_features // time), None)
        if len(input_shape) > 3 or (flat and side * side != n_features):
            raise DataError(
                f"Rows of shape {input_shape} are no images for Transformer. Give (n, height, width) or "
                "(n, channels, height, width), or choose tokens='columns' or tokens='steps'."
            )
        refuse_channels_last(input_shape, type(self).__name__)
        shape = (side, side) if flat else input_shape
        channels, height, width = shape if len(shape) == 3 else (1, *shape)
        patch = self.patch_size
        n_tokens = math.ceil(height / patch) * math.ceil(width / patch)
        return Cut((n_tokens, channels * patch * patch), (channels, height, width, patch))

    def _are_columns(self, input_shape: tuple[int, ...]) -> bool:
        narrow = len(input_shape) == 1 and input_shape[0] <= _MOST_COLUMNS
        return self.tokens == "columns" or (self.tokens == "auto" and narrow)

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
    ) -> TransformerNetwork:
        """Return the network."""
        cut = self.cut(input_shape)
        # Values of a patch mean the same everywhere; columns of a table do not.
        separate = cut.image is None and cut.shape[1] == 1
        encoder = TokenEncoder(self, cut, n_code_inputs, activation, separate, generator)
        decoder = TokenDecoder(self, cut, n_components, activation, separate, generator)
        return TransformerNetwork(encoder, decoder)


@dataclass(frozen=True)
class Cut:
    """How flat rows become tokens, and tokens rows.

    Parameters
    ----------
    shape : tuple of int
        Number of tokens, and values of each.
    image : tuple of int or None
        Channels, height, width and side of the patches, where tokens are patches.
    """

    shape: tuple[int, int]
    image: tuple[int, int, int, int] | None

    def __call__(self, rows: Tensor) -> Tensor:
        """Return tokens of shape (batch, tokens, values)."""
        if self.image is None:
            return rows.reshape(-1, *self.shape)
        channels, height, width, patch = self.image
        images = rows.reshape(-1, channels, height, width)
        images = functional.pad(images, (0, -width % patch, 0, -height % patch), value=math.nan)
        return functional.unfold(images, patch, stride=patch).transpose(1, 2)

    def joined(self, tokens: Tensor) -> Tensor:
        """Return flat rows of tokens."""
        if self.image is None:
            return tokens.flatten(1)
        _, height, width, patch = self.image
        padded = (height + -height % patch, width + -width % patch)
        images = functional.fold(tokens.transpose(1, 2), padded, patch, stride=patch)
        return images[..., :height, :width].flatten(1)


class TransformerNetwork(nn.Module):
    """What :class:`Transformer` describes.

    Parameters
    ----------
    encoder : TokenEncoder
        Rows to features.
    decoder : TokenDecoder
        Codes to rows.
    """

    def __init__(self, encoder: TokenEncoder, decoder: TokenDecoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    @torch.no_grad()
    def start_at(self, mean: Tensor, pre_activations: Tensor) -> None:
        """Start from what stands for the mean row."""
        self.decoder.bias.copy_(pre_activations)


class TokenEncoder(nn.Module):
    """Rows, with NaN for what is missing, to the features of their summaries.

    Parameters
    ----------
    architecture : Transformer
        The description.
    cut : Cut
        Rows to tokens.
    n_outputs : int
        Number of features.
    activation : str
        Activation within the blocks.
    separate : bool
        Whether each token's place has weights of its own.
    generator : torch.Generator or None
        Where the weights are drawn from.
    """

    def __init__(
        self,
        architecture: Transformer,
        cut: Cut,
        n_outputs: int,
        activation: str,
        separate: bool,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        n_tokens, n_values = cut.shape
        width, n_summaries = architecture.width, architecture.n_summaries
        self.cut, self.separate = cut, separate
        places = n_tokens if separate else 1
        self.weight = drawn((places, n_values, width), 1 / math.sqrt(n_values), generator)
        self.places = drawn((n_tokens, width), 0.5, generator)
        self.summaries = drawn((n_summaries, width), 0.5, generator)
        self.blocks = _blocks(architecture.n_layers, width, architecture.n_heads, activation, generator)
        self.norm = nn.LayerNorm(width, device=self.weight.device, dtype=torch.float32)
        self.head = Linear(width * n_summaries, n_outputs, generator)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the features, shape (batch, n_outputs)."""
        tokens = self.cut(rows)
        there = ~tokens.isnan().all(2)
        states = _embedded(torch.nan_to_num(tokens), self.weight) + self.places
        states, there = _gathered(states, there)
        n_rows, n_summaries = len(rows), len(self.summaries)
        states = torch.cat([self.summaries.expand(n_rows, -1, -1), states], dim=1)
        there = functional.pad(there, (n_summaries, 0), value=True)
        mask = None if bool(there.all()) else there[:, None, None, :]
        for block in self.blocks:
            states = block(states, mask)
        return cast(Tensor, self.head(self.norm(states[:, :n_summaries]).flatten(1)))


class TokenDecoder(nn.Module):
    """Codes to pre-activations of all tokens; the parameters are as for `TokenEncoder`."""

    def __init__(
        self,
        architecture: Transformer,
        cut: Cut,
        n_inputs: int,
        activation: str,
        separate: bool,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        n_tokens, n_values = cut.shape
        width, self.n_summaries = architecture.width, architecture.n_summaries
        self.cut = cut
        self.start = Linear(n_inputs, width * self.n_summaries, generator)
        self.queries = drawn((n_tokens, width), 0.5, generator)
        depth = architecture.n_decoder_layers
        self.blocks = _blocks(depth, width, architecture.n_heads, activation, generator)
        self.norm = nn.LayerNorm(width, device=self.queries.device, dtype=torch.float32)
        places = n_tokens if separate else 1
        self.weight = drawn((places, width, n_values), 1 / math.sqrt(width), generator)
        n_features = n_tokens * n_values if cut.image is None else math.prod(cut.image[:3])
        self.bias = constant((n_features,), 0.0, generator)

    def forward(self, codes: Tensor) -> Tensor:
        """Return pre-activations, shape (batch, features)."""
        summaries = self.start(codes).unflatten(1, (self.n_summaries, -1))
        states = torch.cat([summaries, self.queries.expand(len(codes), -1, -1)], dim=1)
        for block in self.blocks:
            states = block(states, None)
        tokens = _embedded(self.norm(states[:, self.n_summaries :]), self.weight)
        return self.cut.joined(tokens) + self.bias


def _embedded(tokens: Tensor, weight: Tensor) -> Tensor:
    """Return tokens times the weights of their places, or those that all places share."""
    if len(weight) == 1:
        return tokens @ weight[0]
    return torch.einsum("btv,tvw->btw", tokens, weight)


def _gathered(states: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return the tokens that are there, first in each row, and nothing of those missing in every row."""
    longest = int(there.sum(1).max())
    if longest == there.shape[1]:
        return states, there
    order = there.byte().argsort(dim=1, descending=True, stable=True)[:, :longest]
    chosen = order.unsqueeze(2).expand(-1, -1, states.shape[2])
    return states.gather(1, chosen), there.gather(1, order)


class _Block(nn.Module):
    """Attention and a small network, each on normalised states and added to them."""

    def __init__(
        self, width: int, n_heads: int, activation: str, share: float, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norms = nn.ModuleList(
            nn.LayerNorm(width, device=device_of(generator), dtype=torch.float32) for _ in range(2)
        )
        self.attention_in, self.attention_out = (
            Linear(width, 3 * width, generator),
            Linear(width, width, generator),
        )
        self.wide, self.narrow = Linear(width, 2 * width, generator), Linear(2 * width, width, generator)
        self.activation = make_activation(activation)
        with torch.no_grad():
            # Each block adds its part to the same sum, which is not to grow with their number.
            self.attention_out.weight.mul_(share)
            self.narrow.weight.mul_(share)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """Return the states after the block; where ``mask`` is False, nothing looks."""
        queries, keys, values = (
            part.unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for part in self.attention_in(self.norms[0](states)).chunk(3, dim=2)
        )
        seen = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        states = states + self.attention_out(seen.transpose(1, 2).flatten(2))
        return cast(Tensor, states + self.narrow(self.activation(self.wide(self.norms[1](states)))))


def _blocks(
    n_layers: int, width: int, n_heads: int, activation: str, generator: torch.Generator | None
) -> nn.ModuleList:
    share = 1 / math.sqrt(2 * n_layers)
    blocks: Sequence[nn.Module] = [
        _Block(width, n_heads, activation, share, generator) for _ in range(n_layers)
    ]
    return nn.ModuleList(blocks)
