"""Recurrent networks for sequences: one reads, the code in between, another one writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from isthmus._checks import check_choice, check_flag, check_integer
from isthmus._device import device_of, multiplies_bfloat16
from isthmus.errors import DataError
from isthmus.networks.architecture import Architecture, Image
from isthmus.networks.dense import stack
from isthmus.networks.layers import Linear

CELLS = ("lstm", "gru")


@dataclass(frozen=True)
class Recurrent(Architecture):
    """A recurrent encoder, whose last state becomes the code, and a recurrent decoder that unrolls it.

    The decoder gets the code at every time step and nothing else: it never sees the true values of
    earlier steps (no teacher forcing), so everything it writes comes from the code. Rows have the shape
    (time, features); flat rows are sequences of single values. Shorter sequences end in NaN: the
    encoder stops at their end, and the loss counts what is there.

    Parameters
    ----------
    width : int, default=64
        Units of a layer.
    cell : {"lstm", "gru"}, default="lstm"
        Long short-term memory, or gated recurrent units.
    n_layers : int, default=1
        Recurrent layers on each side.
    bidirectional : bool, default=False
        Whether the encoder also reads from the end.
    backwards : bool, default=True
        Whether the decoder writes the last step first, so that what it starts with is what the encoder
        saw last.
    n_features : int, default=1
        Values of a step where rows are flat: 8 makes 8 steps of rows of 64 values.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation, 1997. K. Cho et al.,
    "Learning phrase representations using RNN encoder-decoder for statistical machine translation",
    EMNLP, 2014. N. Srivastava, E. Mansimov and R. Salakhutdinov, "Unsupervised learning of video
    representations using LSTMs", ICML, 2015.
    """

    width: int = 64
    cell: str = "lstm"
    n_layers: int = 1
    bidirectional: bool = False
    backwards: bool = True
    n_features: int = 1
    name: ClassVar[str] = "recurrent"
    sees_gaps: ClassVar[bool] = True
    is_sequential: ClassVar[bool] = True
    unrecordable: ClassVar[str | None] = "the lengths of sequences decide what is computed"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_integer(self.width, parameter="width", owner=owner, minimum=1)
        check_choice(self.cell, CELLS, parameter="cell", owner=owner)
        check_integer(self.n_layers, parameter="n_layers", owner=owner, minimum=1)
        check_integer(self.n_features, parameter="n_features", owner=owner, minimum=1)
        check_flag(self.bidirectional, parameter="bidirectional", owner=owner)
        check_flag(self.backwards, parameter="backwards", owner=owner)

    def tiles(self, input_shape: tuple[int, ...], size: int) -> Tensor:
        """Return which span of ``size`` steps each value belongs to, shape (features,)."""
        time, features = self._shape(input_shape)
        return Image(1, time, features).tiles(size, features)

    def learning_rate(self, suggested: float) -> float:
        """Return a third of it: a weight acts at every step."""
        return suggested / 3

    def depth(self, hidden_layers: tuple[int, ...]) -> int:
        """Return the number of layers of the encoder."""
        return self.n_layers + len(hidden_layers)

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
    ) -> RecurrentNetwork:
        """Return the network; ``hidden_layers`` lie between the last state and the code."""
        time, features = self._shape(input_shape)
        directions = 2 if self.bidirectional else 1
        going_in = [self.width * directions, *hidden_layers, n_code_inputs]
        going_out = [n_components, *reversed(hidden_layers)]
        return RecurrentNetwork(
            SequenceEncoder(
                _Recurrence(self.cell, features, self.width, self.n_layers, directions, generator),
                stack([Linear(m, n, generator) for m, n in pairwise(going_in)], activation),
                (time, features),
            ),
            SequenceDecoder(
                stack([Linear(m, n, generator) for m, n in pairwise(going_out)], activation),
                _Recurrence(self.cell, going_out[-1], self.width, self.n_layers, 1, generator),
                Linear(self.width, features, generator),
                time,
                backwards=self.backwards,
            ),
        )

    def _shape(self, input_shape: tuple[int, ...]) -> tuple[int, int]:
        if len(input_shape) > 2:
            raise DataError(
                f"Rows of shape {input_shape} are no sequences for Recurrent: give (n, time, features)."
            )
        if len(input_shape) == 2:
            return (input_shape[0], input_shape[1])
        if input_shape[0] % self.n_features:
            raise DataError(
                f"Rows of {input_shape[0]} values are no sequences for Recurrent with n_features="
                f"{self.n_features}, which does not divide them."
            )
        return (input_shape[0] // self.n_features, self.n_features)


class RecurrentNetwork(nn.Module):
    """What :class:`Recurrent` describes.

    Parameters
    ----------
    encoder : SequenceEncoder
        Sequences to features.
    decoder : SequenceDecoder
        Codes to sequences.
    """

    def __init__(self, encoder: SequenceEncoder, decoder: SequenceDecoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    @torch.no_grad()
    def start_at(self, mean: Tensor, pre_activations: Tensor) -> None:
        """Start from what stands for the mean of each feature over time."""
        features = self.decoder.head.out_features
        self.decoder.head.bias.copy_(pre_activations.view(-1, features).mean(0))


class SequenceEncoder(nn.Module):
    """Flat sequences, shorter ones padded with NaN, to the features of their last states.

    Parameters
    ----------
    recurrence : torch.nn.Module
        What reads.
    head : torch.nn.Module
        Last state to features.
    shape : tuple of int
        Time steps, and features of each.
    """

    def __init__(self, recurrence: _Recurrence, head: nn.Module, shape: tuple[int, int]) -> None:
        super().__init__()
        self.recurrence, self.head, self.shape = recurrence, head, shape

    def forward(self, rows: Tensor) -> Tensor:
        """Return the features, shape (batch, n_code_inputs)."""
        sequences = rows.reshape(-1, *self.shape)
        observed = ~sequences.isnan().all(2)
        numbers = torch.arange(1, self.shape[0] + 1, device=rows.device)
        lengths = (observed * numbers).amax(1).clamp(min=1)
        state = self.recurrence.last_state(torch.nan_to_num(sequences), lengths)
        features: Tensor = self.head(state)
        return features


class SequenceDecoder(nn.Module):
    """Codes to flat sequences: the code at every step, a recurrence, and a linear layer.

    Parameters
    ----------
    body : torch.nn.Module
        From the code to what is repeated.
    recurrence : torch.nn.Module
        What writes.
    head : Linear
        States to pre-activations.
    time : int
        Steps.
    backwards : bool
        Whether the last step comes first.
    """

    def __init__(
        self, body: nn.Module, recurrence: _Recurrence, head: Linear, time: int, *, backwards: bool
    ) -> None:
        super().__init__()
        self.body, self.recurrence, self.head = body, recurrence, head
        self.time, self.backwards = time, backwards

    def forward(self, codes: Tensor) -> Tensor:
        """Return pre-activations, shape (batch, time * features)."""
        repeated = self.body(codes).unsqueeze(1).expand(-1, self.time, -1)
        steps = self.head(self.recurrence(repeated))
        return cast(Tensor, (steps.flip(1) if self.backwards else steps).flatten(1))


class _Recurrence(nn.Module):
    """torch's recurrent layers with weights from a generator: Glorot-uniform in, orthogonal across time."""

    def __init__(
        self,
        cell: str,
        n_inputs: int,
        width: int,
        n_layers: int,
        directions: int,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        kind = _LSTM if cell == "lstm" else _GRU
        self.layers = kind(
            n_inputs,
            width,
            n_layers,
            batch_first=True,
            bidirectional=directions == 2,
            device=device_of(generator),
            dtype=torch.float32,
        )
        self.top = (width, directions)
        if generator is not None:
            self._draw(generator)

    @torch.no_grad()
    def _draw(self, generator: torch.Generator) -> None:
        width, _ = self.top
        for name, weight in self.layers.named_parameters():
            if name.startswith("bias"):
                weight.zero_()
            if name.startswith("bias_ih") and isinstance(self.layers, nn.LSTM):
                weight[width : 2 * width] = 1.0  # what was remembered is kept at first
            for gate in torch.split(weight, width) if name.startswith("weight") else ():
                if name.startswith("weight_hh"):
                    nn.init.orthogonal_(gate, generator=generator)
                else:
                    nn.init.xavier_uniform_(gate, generator=generator)

    def forward(self, steps: Tensor) -> Tensor:
        """Return the state at each step."""
        with _in_a_precision_that_exists(steps) as known:
            states: Tensor = self.layers(known)[0]
        return states

    def last_state(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Return the state after the last step of each sequence: of both directions, where there are two."""
        ragged = bool((lengths < steps.shape[1]).any())
        with _in_a_precision_that_exists(steps) as known:
            inputs: Tensor | PackedSequence = known
            if ragged:
                inputs = pack_padded_sequence(known, lengths.cpu(), batch_first=True, enforce_sorted=False)
            state = self.layers(inputs)[1]
        hidden: Tensor = state[0] if isinstance(state, tuple) else state
        width, directions = self.top
        return hidden[-directions:].transpose(0, 1).reshape(-1, directions * width)


@contextmanager
def _in_a_precision_that_exists(steps: Tensor) -> Iterator[Tensor]:
    """Compute in single precision where half was asked for and the processor has no instructions for it.

    Torch hands recurrent layers to oneDNN, which then refuses them.
    """
    if steps.is_cpu and torch.is_autocast_enabled("cpu") and not multiplies_bfloat16():
        with torch.autocast("cpu", enabled=False):
            yield steps.float()
    else:
        yield steps


class _LSTM(nn.LSTM):
    def reset_parameters(self) -> None:
        """Draw nothing: torch calls this with a generator that is not ours."""


class _GRU(nn.GRU):
    def reset_parameters(self) -> None:
        """Draw nothing: torch calls this with a generator that is not ours."""
