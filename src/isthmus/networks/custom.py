"""Bring your own: any two torch modules as encoder and decoder."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from isthmus._checks import wrong_parameter
from isthmus.errors import DataError, InvalidTypeError
from isthmus.networks.architecture import Architecture


@dataclass(frozen=True, eq=False)
class Modules(Architecture):
    """Two torch modules of the user's.

    `fit` trains copies of them, from the weights they have, and leaves the originals alone. Files hold
    the weights but no code, so that `isthmus.load` has to be given the modules again.

    Parameters
    ----------
    encoder : torch.nn.Module
        Rows in the shape they were given in, (batch, *shape), to features that flatten to
        (batch, n_components), or to as many as the bottleneck asks for: twice that for a Gaussian one.
    decoder : torch.nn.Module
        Codes of shape (batch, n_components) to pre-activations that flatten to (batch, features). No
        sigmoid at its end: the loss has it.
    """

    encoder: nn.Module
    decoder: nn.Module
    name: ClassVar[str] = "modules"
    has_hidden_layers: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("encoder", "decoder"):
            value = getattr(self, name)
            if not isinstance(value, nn.Module):
                raise InvalidTypeError(str(wrong_parameter("Modules", name, "a torch.nn.Module", value)))

    def to_dict(self) -> dict[str, Any]:
        """Return what can be said of the modules in a file: what they look like."""
        return {"part": self.name, "encoder": repr(self.encoder), "decoder": repr(self.decoder)}

    def __str__(self) -> str:
        return self.name

    def learning_rate(self, suggested: float) -> float:
        """Return a cautious rate: nothing is known of the modules."""
        return min(suggested, 1e-3)

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
    ) -> CustomNetwork:
        """Return copies of the modules behind the library's own interface."""
        encoder, decoder = copy.deepcopy(self.encoder).cpu(), copy.deepcopy(self.decoder).cpu()
        n_features = math.prod(input_shape)
        network = CustomNetwork(
            Shaped(encoder, input_shape, n_code_inputs, "encoder", "the bottleneck asks for"),
            Shaped(decoder, (n_components,), n_features, "decoder", "a row has"),
        )
        if generator is None:
            return network.to("meta")
        with torch.no_grad():
            network.eval()
            network.encoder(torch.zeros(2, n_features, dtype=torch.float32, device="cpu"))
            network.decoder(torch.zeros(2, n_components, dtype=torch.float32, device="cpu"))
        return network


class CustomNetwork(nn.Module):
    """What :class:`Modules` describes.

    Parameters
    ----------
    encoder, decoder : Shaped
        The two halves over flat rows.
    """

    def __init__(self, encoder: Shaped, decoder: Shaped) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def start_at(self, mean: Tensor, pre_activations: Tensor) -> None:
        """Leave the weights as they were given."""


class Shaped(nn.Module):
    """A module that is given rows in its own shape, and whose results are flattened and checked.

    Parameters
    ----------
    module : torch.nn.Module
        Somebody else's.
    shape : tuple of int
        Shape of a row for it.
    n_outputs : int
        How many values it must return for a row.
    name, reason : str
        Which one it is, and who wants that many, for the message.
    """

    def __init__(
        self, module: nn.Module, shape: tuple[int, ...], n_outputs: int, name: str, reason: str
    ) -> None:
        super().__init__()
        self.module, self.shape, self.n_outputs = module, shape, n_outputs
        self.name, self.reason = name, reason

    def forward(self, rows: Tensor) -> Tensor:
        """Return flat outputs."""
        try:
            # A copy, for modules that write into their input: it may be the user's own memory, or read-only.
            outputs: Tensor = self.module(rows.reshape(-1, *self.shape).clone()).flatten(1)
        except (RuntimeError, TypeError, AttributeError) as error:
            shape = ", ".join(map(str, self.shape))
            raise DataError(
                f"The {self.name} of Modules cannot take rows of shape (batch, {shape}): {error}"
            ) from error
        if outputs.shape != (len(rows), self.n_outputs):
            raise DataError(
                f"The {self.name} of Modules returns {tuple(outputs.shape[1:])} values for a row, but "
                f"{self.reason} {self.n_outputs}."
            )
        return outputs
