"""What all bottlenecks share: a description, and a module that stands between encoder and decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from isthmus._specification import Specification


@dataclass(frozen=True)
class Bottled:
    """What comes out of a bottleneck in training.

    Parameters
    ----------
    code : Tensor of shape (batch, n_components)
        What the decoder gets.
    terms : mapping of str to Tensor
        What is added to the loss, by name: means over the rows, in the loss's unit.
    measures : mapping of str to Tensor
        What is only reported.
    """

    code: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    measures: Mapping[str, Tensor] = field(default_factory=dict)


class Bottleneck(Specification):
    """Base of the descriptions."""

    #: Whether it keeps a code that is wider than the row from being a copy.
    restrains: ClassVar[bool] = False
    #: What ``code_activation="auto"`` is; None leaves it to the estimator.
    code_activation: ClassVar[str | None] = None
    #: Whether no other activation makes sense.
    fixed_activation: ClassVar[bool] = False
    #: Whether the encoder gives as many features as the decoder takes.
    can_be_tied: ClassVar[bool] = True
    #: Share of the usual learning rate that it bears: a noisy code wants smaller steps.
    rate: ClassVar[float] = 1.0
    #: Whether its terms are nats, which only a likelihood may be added to.
    needs_likelihood: ClassVar[bool] = False

    @abstractmethod
    def build(
        self, n_components: int, activation: nn.Module, generator: torch.Generator | None
    ) -> BottleneckModule:
        """Return the module.

        Parameters
        ----------
        n_components : int
            Width of the code.
        activation : torch.nn.Module
            What is applied to the encoder's features.
        generator : torch.Generator or None
            Where weights are drawn from. Without one: shapes, no memory.

        Raises
        ------
        InvalidParameterError
            When the code cannot have this width.
        """


class BottleneckModule(nn.Module, ABC):
    """Base of the modules.

    Attributes
    ----------
    n_inputs, n_components : int
        How many features it wants from the encoder, and how many values its code has.
    """

    n_inputs: int
    n_components: int
    #: Why a step cannot be recorded and played back, which is so if anything in it is decided outside of tensors.
    unrecordable: ClassVar[str | None] = None

    @abstractmethod
    def forward(self, features: Tensor, keys: Tensor) -> Bottled:
        """Return what training sees of the features, shape (batch, n_inputs).

        ``keys``, shape (batch,), are what random numbers for the rows are drawn by.
        """

    @abstractmethod
    def code(self, features: Tensor) -> Tensor:
        """Return the code as used for inference: a function of its row alone."""

    def tuned_code(self, features: Tensor, keys: Tensor) -> Bottled:
        """Return the code where the encoder learns another task, with a gradient for every feature it depends on.

        There is nothing to reconstruct, so no noise, no sampling, and no terms but those that keep the code
        meaningful; by default none.
        """
        return Bottled(self.code(features))

    def start_from(self, features: Tensor) -> None:
        """Prepare for features like these, before the first step."""

    @property
    def annealed(self) -> float:
        """Share of a training in which what the module adds to the loss, or lets pass, still changes."""
        return 0.0

    def set_progress(self, share: float) -> None:
        """Set what is annealed to its value at this share of the training.

        Only training mode sees it: in evaluation mode a module uses the values of the end, so that losses of
        validation rows are comparable from epoch to epoch.
        """
