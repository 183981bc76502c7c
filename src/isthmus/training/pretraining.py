"""What the weights of a deep network start from: descriptions; what they mean is done where parts are joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isthmus._checks import check_choice, check_integer
from isthmus._specification import Specification, table
from isthmus.training.chains import SAMPLERS, Sampler


class Initialization(Specification):
    """Base of the descriptions."""


@dataclass(frozen=True)
class Random(Initialization):
    """Random weights.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS, 2010.
    """

    name: ClassVar[str] = "random"


@dataclass(frozen=True)
class PrincipalComponents(Initialization):
    """The solution of principal component analysis, so that training goes on from there.

    Every component runs through the hidden layers in a pair of units, one for each sign; the other units
    start at random and without a say. What training makes worse than this start is not kept.

    References
    ----------
    P. Baldi and K. Hornik, "Neural networks and principal component analysis", Neural Networks, 1989.
    """

    name: ClassVar[str] = "pca"


@dataclass(frozen=True)
class Stacked(Initialization):
    """Layer by layer: each is trained as an autoencoder of the codes of the one before it.

    With the estimator's noise these are denoising ones.

    Parameters
    ----------
    epochs : int, default=10
        Passes over the rows for each layer.

    References
    ----------
    Y. Bengio, P. Lamblin, D. Popovici and H. Larochelle, "Greedy layer-wise training of deep networks",
    NIPS, 2006. P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio and P.-A. Manzagol, "Stacked denoising
    autoencoders", JMLR, 2010.
    """

    epochs: int = 10
    name: ClassVar[str] = "stacked"

    def __post_init__(self) -> None:
        check_integer(self.epochs, parameter="epochs", owner="Stacked", minimum=1)


@dataclass(frozen=True)
class StackedMachines(Initialization):
    """Layer by layer: each is trained as a restricted Boltzmann machine of the codes of the one before it.

    Parameters
    ----------
    epochs : int, default=10
        Passes over the rows for each layer.
    sampler : str, default="cd"
        "cd", "pcd" or "pt"; see :class:`isthmus.RestrictedBoltzmannMachine`.
    n_steps : int, default=1
        Gibbs steps for each step of the training.

    References
    ----------
    G. E. Hinton and R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks",
    Science, 2006.
    """

    epochs: int = 10
    sampler: str = "cd"
    n_steps: int = 1
    name: ClassVar[str] = "rbm"

    def __post_init__(self) -> None:
        check_integer(self.epochs, parameter="epochs", owner="StackedMachines", minimum=1)
        check_choice(self.sampler, SAMPLERS, parameter="sampler", owner="StackedMachines")
        check_integer(self.n_steps, parameter="n_steps", owner="StackedMachines", minimum=1)

    def chains(self) -> Sampler:
        """Return the sampler."""
        return SAMPLERS[self.sampler](n_steps=self.n_steps)


INITIALIZATIONS = table(Random, PrincipalComponents, Stacked, StackedMachines)
