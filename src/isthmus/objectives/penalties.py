"""Penalties: what is added to the reconstruction loss to shape codes or weights.

A penalty on activities is its weight times the batch mean of a sum over the code units; one on
weights is its weight times a sum over the weight matrices (biases are left alone). Neither depends
on the batch size. With ``per="row"`` that is added to a loss summed over the features of a row;
with ``per="feature"`` it is added to a loss averaged over the features, which is Keras's convention
(there, 1e-4 on MNIST means 784 times 1e-4 beside the summed loss).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from isthmus._checks import check_choice, check_number
from isthmus._specification import Specification, table


@dataclass(frozen=True)
class Penalty(Specification):
    """What all penalties share: how much, on what, and beside which loss.

    Parameters
    ----------
    weight : float, default=1e-4
        Factor of the penalty.
    on : {"activity", "weights"}, default="activity"
        Whether code activities or weight matrices are penalised.
    per : {"row", "feature"}, default="feature"
        Whether ``weight`` is meant beside the loss of a row (summed over its features) or beside the
        loss per feature. The latter is the former times the number of features.
    """

    weight: float = 1e-4
    on: str = "activity"
    per: str = "feature"

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_number(self.weight, parameter="weight", owner=owner, minimum=0)
        check_choice(self.on, ("activity", "weights"), parameter="on", owner=owner)
        check_choice(self.per, ("row", "feature"), parameter="per", owner=owner)

    def __call__(self, code: Tensor, weights: Iterable[Tensor], n_features: int) -> Tensor:
        """Return the penalty as a scalar in the unit of the loss of a row.

        Parameters
        ----------
        code : Tensor of shape (batch, n_components)
        weights : iterable of Tensor
            The weight matrices of the network.
        n_features : int
            Number of features of a row.
        """
        if self.on == "activity":
            total = self.measure(code) / len(code)
        else:
            first, *others = map(self.measure, weights)
            total = sum(others, start=first)
        return total * self.factor(n_features)

    def factor(self, n_features: int) -> float:
        """Return the weight beside the loss of a row."""
        return self.weight * (n_features if self.per == "feature" else 1)

    @abstractmethod
    def measure(self, values: Tensor) -> Tensor:
        """Return the unweighted penalty of all values, summed."""

    @abstractmethod
    def slope(self, values: Tensor) -> Tensor:
        """Return the derivative of `measure` with respect to each value."""


@dataclass(frozen=True)
class L1(Penalty):
    """Sum of absolute values: drives values to exactly zero, hence sparse codes."""

    name: ClassVar[str] = "l1"

    def measure(self, values: Tensor) -> Tensor:
        """Return the sum of absolute values."""
        return values.abs().sum()

    def slope(self, values: Tensor) -> Tensor:
        """Return the signs, 0 for 0."""
        return values.sign()


@dataclass(frozen=True)
class L2(Penalty):
    """Sum of squares: keeps values small without making them zero."""

    name: ClassVar[str] = "l2"

    def measure(self, values: Tensor) -> Tensor:
        """Return the sum of squares."""
        return values.square().sum()

    def slope(self, values: Tensor) -> Tensor:
        """Return twice the values."""
        return 2 * values


@dataclass(frozen=True)
class Elastic(Penalty):
    """A blend of both: ``l1_ratio`` times the absolute values and the rest times the squares.

    Parameters
    ----------
    l1_ratio : float, default=0.5
        Share of the absolute values, between 0 and 1.

    References
    ----------
    H. Zou and T. Hastie, "Regularization and variable selection via the elastic net", JRSS B, 2005.
    """

    l1_ratio: float = 0.5
    name: ClassVar[str] = "elastic"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.l1_ratio, parameter="l1_ratio", owner="Elastic", minimum=0, maximum=1)

    def measure(self, values: Tensor) -> Tensor:
        """Return the blend."""
        return self.l1_ratio * values.abs().sum() + (1 - self.l1_ratio) * values.square().sum()

    def slope(self, values: Tensor) -> Tensor:
        """Return the blend of both slopes."""
        return self.l1_ratio * values.sign() + 2 * (1 - self.l1_ratio) * values


PENALTIES = table(L1, L2, Elastic)
