"""The fully connected network: one layer each way, or a stack mirrored in the decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from isthmus.networks.activations import activation as make_activation


class Linear(nn.Linear):
    """A linear layer with Glorot-uniform weights and zero biases from a generator of its own.

    torch's own default draws from the global generator, and its scale leaves about a quarter of
    the code units of a single-layer ReLU autoencoder dead from the start.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS, 2010.
    """

    def __init__(self, n_inputs: int, n_outputs: int, generator: torch.Generator | None) -> None:
        super().__init__(n_inputs, n_outputs, device="meta" if generator is None else generator.device)
        if generator is not None:
            nn.init.xavier_uniform_(self.weight, generator=generator)
            nn.init.zeros_(self.bias)

    def reset_parameters(self) -> None:
        """Draw nothing: torch calls this with a generator that is not ours."""


class TiedLinear(nn.Module):
    """A linear layer whose weights are the transposed weights of another one; the biases are its own."""

    def __init__(self, partner: nn.Linear) -> None:
        super().__init__()
        self.weight = partner.weight
        self.bias = nn.Parameter(torch.zeros(partner.in_features, device=partner.weight.device))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``inputs @ weight + bias``."""
        return functional.linear(inputs, self.weight.t(), self.bias)


class DenseNetwork(nn.Module):
    """Fully connected encoder and its mirror image as the decoder.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one row; anything but a vector is read as one.
    n_code_inputs : int
        How many features the bottleneck wants from the encoder.
    n_components : int
        How many values the code has, which is what the decoder starts from.
    hidden_layers : sequence of int, default=()
        Widths between input and code; the decoder has them in reverse.
    activation : str, default="relu"
        Activation after each hidden layer, one of :data:`isthmus.networks.ACTIVATIONS`.
    tied : bool, default=False
        Whether each decoder layer uses the transposed weights of its encoder layer.
        Needs ``n_code_inputs == n_components``.
    generator : torch.Generator or None
        Where the weights are drawn from. Without one they are on the meta device: shapes, no memory.

    Attributes
    ----------
    encoder : torch.nn.Sequential
        Rows of shape (batch, features) to encoder features of shape (batch, n_code_inputs), before
        any code activation.
    decoder : torch.nn.Sequential
        Codes of shape (batch, n_components) to pre-activations of shape (batch, features).
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_code_inputs: int,
        n_components: int,
        *,
        hidden_layers: Sequence[int] = (),
        activation: str = "relu",
        tied: bool = False,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        n_features = math.prod(input_shape)
        going_in = [Linear(m, n, generator) for m, n in pairwise([n_features, *hidden_layers, n_code_inputs])]
        if tied:
            going_out: list[nn.Module] = [TiedLinear(layer) for layer in reversed(going_in)]
        else:
            widths = [n_components, *reversed(hidden_layers), n_features]
            going_out = [Linear(m, n, generator) for m, n in pairwise(widths)]
        self.encoder = _stack(going_in, activation)
        self.decoder = _stack(going_out, activation)

    @torch.no_grad()
    def start_at(self, mean: Tensor, pre_activations: Tensor) -> None:
        """Set the first biases so that the mean row gives zero, and the last so that zero gives it back.

        Each unit of the first layer then starts active on about half of the rows: with zero biases,
        data that are all positive put whole units on the dead side of a ReLU from the start. And
        training starts from the mean row, not from nothing.

        Parameters
        ----------
        mean : Tensor of shape (features,)
            Mean of the training rows.
        pre_activations : Tensor of shape (features,)
            What the loss's link turns into the mean.
        """
        first, last = self.encoder[0], self.decoder[-1]
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear | TiedLinear)
        first.bias.copy_(-(first.weight @ mean))
        last.bias.copy_(pre_activations)

    def encode_features(self, rows: Tensor) -> Tensor:
        """Return what the bottleneck starts from."""
        features: Tensor = self.encoder(rows)
        return features

    def decode_features(self, codes: Tensor) -> Tensor:
        """Return pre-activations: the reconstruction before the loss's link function."""
        pre_activations: Tensor = self.decoder(codes)
        return pre_activations


def _stack(layers: Sequence[nn.Module], activation: str) -> nn.Sequential:
    """Return the layers with the activation between them, none after the last."""
    first, *rest = layers
    modules = [first]
    for layer in rest:
        modules += [make_activation(activation), layer]
    return nn.Sequential(*modules)
