"""The fully connected network: one layer each way, or a stack mirrored in the decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from isthmus.networks.activations import activation as make_activation
from isthmus.networks.architecture import Architecture
from isthmus.networks.layers import Linear, TiedLinear


@dataclass(frozen=True)
class Dense(Architecture):
    """Fully connected layers: the estimator's ``hidden_layers``, mirrored in the decoder.

    References
    ----------
    G. E. Hinton and R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks",
    Science, 2006.
    """

    name: ClassVar[str] = "dense"
    can_be_tied: ClassVar[bool] = True

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
    ) -> DenseNetwork:
        """Return the network."""
        return DenseNetwork(
            input_shape,
            n_code_inputs,
            n_components,
            hidden_layers=hidden_layers,
            activation=activation,
            tied=tied,
            generator=generator,
        )


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
        self.encoder = stack(going_in, activation)
        self.decoder = stack(going_out, activation)

    @classmethod
    def of(cls, encoder: nn.Sequential, decoder: nn.Sequential) -> DenseNetwork:
        """Return the network that these layers are; they are shared, and not copied."""
        network = cls.__new__(cls)
        nn.Module.__init__(network)
        network.encoder, network.decoder = encoder, decoder
        return network

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


def stack(layers: Sequence[nn.Module], activation: str) -> nn.Sequential:
    """Return the layers with the activation between them, none after the last."""
    modules: list[nn.Module] = []
    for layer in layers:
        modules += [make_activation(activation), layer] if modules else [layer]
    return nn.Sequential(*modules)
