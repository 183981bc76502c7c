"""Penalties: what is added to the reconstruction loss to shape codes, weights or the encoder's slope.

A penalty on activities is its weight times the batch mean of a sum over the code units; one on
weights is its weight times a sum over the weight matrices (biases are left alone). Neither depends
on the batch size. With ``per="row"`` that is added to a loss summed over the features of a row;
with ``per="feature"`` it is added to a loss averaged over the features, which is Keras's convention
(there, 1e-4 on MNIST means 784 times 1e-4 beside the summed loss).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from isthmus import _random
from isthmus._checks import check_choice, check_integer, check_number
from isthmus._specification import Specification, table


@dataclass(frozen=True)
class Encoding:
    """What a penalty may look at.

    Parameters
    ----------
    inputs : Tensor of shape (batch, features)
        What the encoder got.
    code : Tensor of shape (batch, n_components)
        What the decoder gets.
    keys : Tensor of shape (batch,)
        What random numbers for the rows are drawn by.
    weights : sequence of Tensor
        The weight matrices of the network.
    body, activate : callable
        Inputs to features, and features to codes, both deterministic.
    single_layer : Tensor or None
        The weights, shape (n_components, features), of an encoder that is one fully connected layer.
    """

    inputs: Tensor
    code: Tensor
    keys: Tensor
    weights: Sequence[Tensor]
    body: Callable[[Tensor], Tensor]
    activate: Callable[[Tensor], Tensor]
    single_layer: Tensor | None = None


@dataclass(frozen=True)
class Penalty(Specification):
    """What all penalties share: how much, and beside which loss.

    Parameters
    ----------
    weight : float, default=1e-4
        Factor of the penalty.
    """

    weight: float = 1e-4

    @property
    def restrains(self) -> bool:
        """Whether it keeps a code that is wider than the row from being a copy."""
        return True

    #: What it makes of ``code_activation="auto"``; None leaves it to the estimator.
    code_activation: ClassVar[str | None] = None
    #: Whether no other activation makes sense.
    fixed_activation: ClassVar[bool] = False
    #: The bottlenecks it can be used with; None is any.
    bottlenecks: ClassVar[tuple[str, ...] | None] = None

    def __post_init__(self) -> None:
        check_number(self.weight, parameter="weight", owner=type(self).__name__, minimum=0)

    @abstractmethod
    def __call__(self, encoding: Encoding) -> Tensor:
        """Return the penalty as a scalar in the unit of the loss of a row."""


@dataclass(frozen=True)
class ValuePenalty(Penalty):
    """What the penalties on single values share.

    Parameters
    ----------
    on : {"activity", "weights"}, default="activity"
        Whether code activities or weight matrices are penalised.
    per : {"row", "feature"}, default="feature"
        Whether ``weight`` is meant beside the loss of a row (summed over its features) or beside the
        loss per feature. The latter is the former times the number of features.
    """

    on: str = "activity"
    per: str = "feature"

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = type(self).__name__
        check_choice(self.on, ("activity", "weights"), parameter="on", owner=owner)
        check_choice(self.per, ("row", "feature"), parameter="per", owner=owner)

    def __call__(self, encoding: Encoding) -> Tensor:
        """Return the penalty as a scalar in the unit of the loss of a row."""
        return self.total(encoding.code, encoding.weights, encoding.inputs.shape[1])

    def total(self, code: Tensor, weights: Sequence[Tensor], n_features: int) -> Tensor:
        """Return the same from what it depends on: codes, weight matrices and the width of a row."""
        if self.on == "activity":
            total = self.measure(code) / len(code)
        else:
            first, *others = map(self.measure, weights)
            total = sum(others, start=first)
        return total * self.factor(n_features)

    @property
    def restrains(self) -> bool:
        """Whether it keeps a code that is wider than the row from being a copy."""
        return self.on == "activity"

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
class L1(ValuePenalty):
    """Sum of absolute values: drives values to exactly zero, hence sparse codes."""

    name: ClassVar[str] = "l1"

    def measure(self, values: Tensor) -> Tensor:
        """Return the sum of absolute values."""
        return values.abs().sum()

    def slope(self, values: Tensor) -> Tensor:
        """Return the signs, 0 for 0."""
        return values.sign()


@dataclass(frozen=True)
class L2(ValuePenalty):
    """Sum of squares: keeps values small without making them zero."""

    name: ClassVar[str] = "l2"

    def measure(self, values: Tensor) -> Tensor:
        """Return the sum of squares."""
        return values.square().sum()

    def slope(self, values: Tensor) -> Tensor:
        """Return twice the values."""
        return 2 * values


@dataclass(frozen=True)
class Elastic(ValuePenalty):
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


@dataclass(frozen=True)
class KLSparsity(Penalty):
    """Each code unit is to be active in a share ``target`` of the rows, on average over a batch.

    The Kullback-Leibler divergence between two coins, one that shows a unit's mean activity and one
    that shows the target, summed over the units. Activities must be between 0 and 1, so the code's
    activation is the sigmoid. Beside the loss of a row.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the penalty.
    target : float, default=0.05
        Mean activity of a unit.

    References
    ----------
    A. Ng, "Sparse autoencoder", CS294A lecture notes, 2011.
    """

    weight: float = 1.0
    target: float = 0.05
    name: ClassVar[str] = "kl"
    code_activation: ClassVar[str | None] = "sigmoid"
    fixed_activation: ClassVar[bool] = True
    bottlenecks: ClassVar[tuple[str, ...] | None] = ("plain",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(
            self.target,
            parameter="target",
            owner="KLSparsity",
            minimum=0,
            maximum=1,
            open_minimum=True,
            open_maximum=True,
        )

    def __call__(self, encoding: Encoding) -> Tensor:
        """Return the penalty as a scalar in the unit of the loss of a row."""
        # A unit that is off to the last bit would make the logarithm infinite.
        mean = encoding.code.mean(0).clamp(1e-6, 1 - 1e-6)
        on, off = self.target * (self.target / mean).log(), (1 - self.target) / (1 - mean)
        return self.weight * (on + (1 - self.target) * off.log()).sum()


@dataclass(frozen=True)
class Contractive(Penalty):
    """The squared Frobenius norm of the encoder's Jacobian: codes are to change little with the input.

    Exact for a single fully connected layer; for other encoders an unbiased estimate from random
    projections (Hutchinson's). Beside the loss of a row.

    Parameters
    ----------
    weight : float, default=0.1
        Factor of the penalty.
    n_projections : int, default=1
        Random projections of the estimate for each row.

    References
    ----------
    S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive auto-encoders: explicit
    invariance during feature extraction", ICML, 2011. M. F. Hutchinson, "A stochastic estimator of the
    trace of the influence matrix for Laplacian smoothing splines", Communications in Statistics, 1990.
    """

    weight: float = 0.1
    n_projections: int = 1
    name: ClassVar[str] = "contractive"
    code_activation: ClassVar[str | None] = "sigmoid"
    bottlenecks: ClassVar[tuple[str, ...] | None] = ("plain",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self.n_projections, parameter="n_projections", owner="Contractive", minimum=1)

    def __call__(self, encoding: Encoding) -> Tensor:
        """Return the penalty as a scalar in the unit of the loss of a row."""
        training = torch.is_grad_enabled()
        # The quick kernels of attention have no second derivative.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            inputs = encoding.inputs.detach().requires_grad_()
            features = encoding.body(inputs)
            code = encoding.activate(features)
            if encoding.single_layer is None:
                norms = self._estimated(inputs, code, encoding.keys, graph=training)
            else:
                norms = _exact(features, code, encoding.single_layer, graph=training)
        return self.weight * (norms if training else norms.detach()).mean()

    def _estimated(self, inputs: Tensor, code: Tensor, keys: Tensor, *, graph: bool) -> Tensor:
        """Return an estimate for each row: the mean squared length of random combinations of the slopes."""
        draws = _random.uniform(keys, (self.n_projections, code.shape[1]), _random.PENALTY)
        signs = 2 * (draws >= 0.5).to(code.dtype) - 1
        total = inputs.new_zeros(len(inputs))
        for number in range(self.n_projections):
            combined = (code * signs[:, number]).sum()
            (slope,) = torch.autograd.grad(combined, inputs, create_graph=graph, retain_graph=True)
            total = total + slope.square().sum(1)
        return total / self.n_projections


def _exact(features: Tensor, code: Tensor, weight: Tensor, *, graph: bool) -> Tensor:
    """Return the norm for each row of h = s(W x + b): each row of W, times the slope of its unit."""
    (slopes,) = torch.autograd.grad(code.sum(), features, create_graph=graph)
    return slopes.square() @ weight.square().sum(1)


@dataclass(frozen=True)
class MaximumMeanDiscrepancy(Penalty):
    """The distance between the codes of a batch and a standard normal distribution.

    With it an autoencoder is a Wasserstein autoencoder: as a whole its codes are distributed like the
    prior, so that samples can be decoded, while each row's code stays a point. The kernel is the
    inverse multiquadric at seven scales, and the estimate is without bias. Beside the loss of a row.

    Parameters
    ----------
    weight : float, default=10.0
        Factor of the penalty.

    References
    ----------
    A. Gretton et al., "A kernel two-sample test", JMLR, 2012. I. Tolstikhin, O. Bousquet, S. Gelly and
    B. Schölkopf, "Wasserstein auto-encoders", ICLR, 2018.
    """

    weight: float = 10.0
    name: ClassVar[str] = "mmd"
    code_activation: ClassVar[str | None] = "identity"
    bottlenecks: ClassVar[tuple[str, ...] | None] = ("plain", "gaussian")

    def __call__(self, encoding: Encoding) -> Tensor:
        """Return the penalty as a scalar in the unit of the loss of a row."""
        codes = encoding.code
        if len(encoding.keys) < 2:
            return 0.0 * codes.sum()
        prior = _random.normal(encoding.keys, codes.shape[1:], _random.PENALTY).to(codes.dtype)
        return self.weight * discrepancy(codes[: len(prior)], prior)


def discrepancy(one: Tensor, other: Tensor) -> Tensor:
    """Return an unbiased estimate of the squared maximum mean discrepancy of two equally large samples."""
    n = len(one)
    within = _kernel(one, one) + _kernel(other, other)
    within = within.sum() - within.diagonal().sum()
    return within / (n * (n - 1)) - 2 * _kernel(one, other).mean()


def _kernel(one: Tensor, other: Tensor) -> Tensor:
    # Not by a matrix product, whose rounding can make the distance of near neighbours negative.
    distances = (one.unsqueeze(1) - other.unsqueeze(0)).square().sum(2)
    total = torch.zeros_like(distances)
    for scale in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0):
        width = 2.0 * one.shape[1] * scale
        total = total + width / (width + distances)
    return total


PENALTIES = table(L1, L2, Elastic, KLSparsity, Contractive, MaximumMeanDiscrepancy)
