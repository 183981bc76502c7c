"""Optimisers: frozen descriptions that build torch's optimisers.

``learning_rate="auto"`` of an estimator asks the optimiser for a rate that suits the problem. Adam's
shrinks with the depth of the network; plain gradient descent's also with the number of features,
because the loss of a row is a sum over them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from isthmus._checks import check_flag, check_number
from isthmus._kernels import Kernels
from isthmus._specification import Specification, table
from isthmus.training._adam import SweepingAdam


class Stepper(Protocol):
    """What the loop asks of a built optimiser: each of torch's is one."""

    param_groups: list[dict[str, Any]]

    def step(self) -> Any:
        """Move the parameters down the gradients they hold."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers, under ``"state"``."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Take it on."""
        ...


class Optimizer(Specification):
    """Base of the descriptions."""

    @abstractmethod
    def learning_rate(self, n_features: int, n_layers: int, *, bounded: bool) -> float:
        """Return a good peak learning rate.

        Parameters
        ----------
        n_features, n_layers : int
            Width of a row and depth of the encoder.
        bounded : bool
            Whether the reconstruction is bounded, as probabilities are.
        """

    def likelihood_rate(self, share: float) -> float:
        """Return a good peak learning rate for a Boltzmann machine, whose gradient is a difference of means.

        Parameters
        ----------
        share : float
            What its units bear of the rate that suits binary ones.
        """
        return 0.5 * share * self.learning_rate(1, 1, bounded=True)

    def build(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        weight_decay: float,
        *,
        kernels: Kernels | None = None,
    ) -> Stepper:
        """Return torch's optimiser, or one that equals it and is compiled.

        Parameters
        ----------
        parameters : iterable of torch.nn.Parameter
            What it moves.
        learning_rate, weight_decay : float
            As torch means them.
        kernels : Kernels, optional
            Compiled functions; they need parameters of type float32 in the CPU's memory.
        """
        return self._build(list(parameters), kernels, lr=learning_rate, weight_decay=weight_decay)

    @abstractmethod
    def _build(self, parameters: list[nn.Parameter], kernels: Kernels | None, **shared: Any) -> Stepper:
        """Do so; ``shared`` are the arguments that all of torch's optimisers have."""

    def _check_shares(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            check_number(
                value, parameter=name, owner=type(self).__name__, minimum=0, maximum=1, open_maximum=True
            )

    def _check_epsilon(self, epsilon: float) -> None:
        check_number(epsilon, parameter="epsilon", owner=type(self).__name__, minimum=0, open_minimum=True)


@dataclass(frozen=True)
class _AdamFamily(Optimizer):
    """What Adam and AdamW share.

    Parameters
    ----------
    beta1, beta2 : float, default=0.9 and 0.999
        Decay of the running means of the gradient and of its square.
    epsilon : float, default=1e-8
        Added to the denominator.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    decoupled: ClassVar[bool]

    def __post_init__(self) -> None:
        self._check_shares("beta1", "beta2")
        self._check_epsilon(self.epsilon)

    def learning_rate(self, n_features: int, n_layers: int, *, bounded: bool) -> float:
        """Return 0.02 for a single layer, less for a deep network or for wide rows without bounds."""
        # Linear reconstructions of 784 pixels, moved by 0.02 in every weight at once, never settle;
        # at 0.005 they reach PCA's error to four digits.
        width = 1.0 if bounded else max(1.0, n_features / 50)
        return 0.02 / math.sqrt(n_layers * width)

    def _build(self, parameters: list[nn.Parameter], kernels: Kernels | None, **shared: Any) -> Stepper:
        arguments: dict[str, Any] = {
            **shared,
            "betas": (self.beta1, self.beta2),
            "eps": self.epsilon,
            "decoupled_weight_decay": self.decoupled,
        }
        if kernels is not None and all(map(_sweeps, parameters)):
            return SweepingAdam(parameters, kernels, **arguments)
        if any(parameter.is_cuda for parameter in parameters):
            # Recorded steps read the rate from the device and keep their count there.
            rate = torch.tensor(shared["lr"], dtype=torch.float32, device=parameters[0].device)
            arguments |= {"lr": rate, "capturable": True}
        return torch.optim.Adam(parameters, fused=True, **arguments)


def _sweeps(parameter: nn.Parameter) -> bool:
    return parameter.dtype == torch.float32 and Kernels.fits(parameter)


@dataclass(frozen=True)
class Adam(_AdamFamily):
    """Adam. Weight decay is added to the gradient; :class:`AdamW` decouples it.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR, 2015.
    """

    name: ClassVar[str] = "adam"
    decoupled: ClassVar[bool] = False


@dataclass(frozen=True)
class AdamW(_AdamFamily):
    """Adam with decoupled weight decay; the parameters are those of :class:`Adam`.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR, 2019.
    """

    name: ClassVar[str] = "adamw"
    decoupled: ClassVar[bool] = True


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    Parameters
    ----------
    momentum : float, default=0.9
        Share of the last step that is taken again.
    nesterov : bool, default=True
        Whether the gradient is looked up ahead of the step. Needs momentum.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of initialization and momentum
    in deep learning", ICML, 2013.
    """

    momentum: float = 0.9
    nesterov: bool = True
    name: ClassVar[str] = "sgd"

    def __post_init__(self) -> None:
        self._check_shares("momentum")
        check_flag(self.nesterov, parameter="nesterov", owner="SGD")

    def learning_rate(self, n_features: int, n_layers: int, *, bounded: bool) -> float:
        """Return a rate that a loss summed over ``n_features`` bears."""
        # Momentum adds up 1 / (1 - momentum) steps; at 0.9 the numerator is 1.
        return math.sqrt(10 * (1 - self.momentum)) / (n_features + 20) / math.sqrt(n_layers)

    def likelihood_rate(self, share: float) -> float:
        """Return 0.5 for binary units without momentum; less for what momentum adds up."""
        return 0.5 * share * (1 - self.momentum)

    def _build(self, parameters: list[nn.Parameter], kernels: Kernels | None, **shared: Any) -> Stepper:
        nesterov = self.nesterov and self.momentum > 0
        return torch.optim.SGD(
            parameters,
            momentum=self.momentum,
            nesterov=nesterov,
            **shared,
            fused=True,
        )


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop.

    Parameters
    ----------
    decay : float, default=0.99
        Decay of the running mean of the squared gradient.
    momentum : float, default=0.0
        Share of the last step that is taken again.
    epsilon : float, default=1e-8
        Added to the denominator.

    References
    ----------
    T. Tieleman and G. Hinton, "Lecture 6.5: rmsprop", Neural Networks for Machine Learning, 2012.
    """

    decay: float = 0.99
    momentum: float = 0.0
    epsilon: float = 1e-8
    name: ClassVar[str] = "rmsprop"

    def __post_init__(self) -> None:
        self._check_shares("decay", "momentum")
        self._check_epsilon(self.epsilon)

    def learning_rate(self, n_features: int, n_layers: int, *, bounded: bool) -> float:
        """Return 0.005 for a single layer, less for a deep network."""
        return 0.005 / math.sqrt(n_layers)

    def _build(self, parameters: list[nn.Parameter], kernels: Kernels | None, **shared: Any) -> Stepper:
        return torch.optim.RMSprop(
            parameters,
            alpha=self.decay,
            momentum=self.momentum,
            eps=self.epsilon,
            **shared,
        )


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Adagrad.

    Parameters
    ----------
    epsilon : float, default=1e-10
        Added to the denominator.

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods", JMLR, 2011.
    """

    epsilon: float = 1e-10
    name: ClassVar[str] = "adagrad"

    def __post_init__(self) -> None:
        self._check_epsilon(self.epsilon)

    def learning_rate(self, n_features: int, n_layers: int, *, bounded: bool) -> float:
        """Return 0.1 for a single layer, less for a deep network."""
        return 0.1 / math.sqrt(n_layers)

    def _build(self, parameters: list[nn.Parameter], kernels: Kernels | None, **shared: Any) -> Stepper:
        # torch has it in one call on the CPU alone, and refuses it elsewhere.
        fused = all(parameter.device.type == "cpu" for parameter in parameters)
        return torch.optim.Adagrad(parameters, eps=self.epsilon, fused=fused, **shared)


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """Adadelta, with the learning rate of the paper: 1.0 means 1.0.

    A trap lies in the name. Adadelta finds its own step sizes, so the paper has no learning rate, and
    the first Keras multiplied by 1.0. ``tf.keras`` and Keras 3 multiply by 0.001 unless told
    otherwise; the notebook's line ``optimizer="adadelta"`` then hardly trains at all (on MNIST the
    loss stands at .69 after 10 epochs instead of reaching about .13).

    Parameters
    ----------
    decay : float, default=0.95
        Decay of the running means of squared gradients and squared steps.
    epsilon : float, default=1e-6
        Added to both running means.

    References
    ----------
    M. D. Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701, 2012.
    """

    decay: float = 0.95
    epsilon: float = 1e-6
    name: ClassVar[str] = "adadelta"

    def __post_init__(self) -> None:
        self._check_shares("decay")
        self._check_epsilon(self.epsilon)

    def learning_rate(self, n_features: int, n_layers: int, *, bounded: bool) -> float:
        """Return 1.0, the paper's."""
        return 1.0

    def _build(self, parameters: list[nn.Parameter], kernels: Kernels | None, **shared: Any) -> Stepper:
        return torch.optim.Adadelta(parameters, rho=self.decay, eps=self.epsilon, **shared)


OPTIMIZERS = table(Adam, AdamW, SGD, RMSprop, Adagrad, Adadelta)
