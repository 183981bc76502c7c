"""Reconstruction losses: the distance between the input and what the decoder makes of the code.

One scale for all: the loss of a row is a *sum* over its features, the loss of a batch is the *mean*
over its rows. Likelihoods are negative log-likelihoods in nats, constants included, so that losses
of different models of the same data can be compared and added to a KL divergence.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from isthmus._checks import check_number
from isthmus._kernels import Kernels
from isthmus._specification import Specification

NO_PARAMETERS: Mapping[str, Tensor] = {}

#: The least and the greatest value of each support.
LIMITS: Mapping[str, tuple[float, float]] = {
    "real": (-math.inf, math.inf),
    "unit": (0.0, 1.0),
    "counts": (0.0, math.inf),
}


class ReconstructionLoss(Specification):
    """A loss on pre-activations, together with the link that turns them into a reconstruction."""

    #: The values that the loss is meant for: "real" numbers, the "unit" interval, or "counts".
    support: ClassVar[str] = "real"
    #: Whether the link keeps reconstructions within bounds.
    bounded: ClassVar[bool] = False
    #: Whether it is minus the logarithm of a probability (density), and so may be added to nats.
    is_likelihood: ClassVar[bool] = False

    def link(self, pre_activations: Tensor) -> Tensor:
        """Return the reconstruction that the pre-activations stand for."""
        return pre_activations

    def inverse_link(self, rows: Tensor) -> Tensor:
        """Return pre-activations that stand for the rows, or nearly where none does exactly."""
        return rows

    def parameters(self, n_features: int, device: torch.device | None = None) -> dict[str, Tensor]:
        """Return the start values of what the loss itself learns, by name; on the CPU unless told otherwise."""
        return {}

    def nearest(self, rows: Tensor) -> Tensor:
        """Return the nearest rows within the support; rows within it are returned as they are."""
        low, high = LIMITS[self.support]
        return rows if (low, high) == LIMITS["real"] else rows.clamp(low, high)

    def beyond(self, rows: Tensor) -> Tensor:
        """Return the price of each value's distance to the support, shape (batch, features).

        It is twice the squared distance. By Pinsker's inequality a Bernoulli divergence is at least twice
        the squared difference of its probabilities, so this continues the cross-entropy beyond 0 and 1: a
        value that moves further outside always costs more.
        """
        return 2 * (rows - self.nearest(rows)).square()

    def per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the loss of each value, shape (batch, features); differentiable by autograd.

        It is defined for every finite value. A value outside the support has the loss of the nearest value
        within, plus `beyond`.
        """
        return self._continued(self._per_value, pre_activations, rows, parameters)

    def excess_per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the loss of each value without the part that the value alone decides.

        Where the loss of a perfect reconstruction depends on the value, it is subtracted: the entropy of a grey
        value, or the log-probability of a count given its own size. What is left is a divergence or half a
        deviance, which is 0 for a perfect reconstruction and never negative. The densities with a learnt spread
        are at their greatest for every perfect reconstruction alike, and remain as they are, so that models
        with different spreads can be compared.
        """
        return self._continued(self._excess_per_value, pre_activations, rows, parameters)

    def _continued(
        self,
        within: Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor],
        pre_activations: Tensor,
        rows: Tensor,
        parameters: Mapping[str, Tensor],
    ) -> Tensor:
        """Return what ``within`` returns, continued beyond the support."""
        if LIMITS[self.support] == LIMITS["real"]:
            return within(pre_activations, rows, parameters)
        return within(pre_activations, self.nearest(rows), parameters) + self.beyond(rows)

    @abstractmethod
    def _per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the loss of values within the support."""

    def _excess_per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the excess of values within the support: the loss itself, where its least value is constant."""
        return self._per_value(pre_activations, rows, parameters)

    def per_row(
        self,
        pre_activations: Tensor,
        rows: Tensor,
        parameters: Mapping[str, Tensor] = NO_PARAMETERS,
        *,
        gaps: bool = False,
    ) -> Tensor:
        """Return the loss of each row, shape (batch,); differentiable by autograd.

        With ``gaps``, values of ``rows`` may be NaN: they are missing, and cost nothing.
        """
        return _summed(self.per_value, pre_activations, rows, parameters, gaps=gaps)

    def excess_per_row(
        self,
        pre_activations: Tensor,
        rows: Tensor,
        parameters: Mapping[str, Tensor] = NO_PARAMETERS,
        *,
        gaps: bool = False,
    ) -> Tensor:
        """Return the sum of `excess_per_value` over each row, shape (batch,); the parameters are as in `per_row`."""
        return _summed(self.excess_per_value, pre_activations, rows, parameters, gaps=gaps)

    def batch_mean(
        self,
        pre_activations: Tensor,
        rows: Tensor,
        parameters: Mapping[str, Tensor] = NO_PARAMETERS,
        workspace: Workspace | None = None,
    ) -> Tensor:
        """Return the mean loss of the rows, a scalar; what training minimises.

        With a workspace, ``pre_activations`` may be overwritten where nothing needs them any more.
        """
        return self.per_row(pre_activations, rows, parameters).mean()


def _summed(
    values_of: Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor],
    pre_activations: Tensor,
    rows: Tensor,
    parameters: Mapping[str, Tensor],
    *,
    gaps: bool,
) -> Tensor:
    """Return the sum over each row, without what is missing."""
    if not gaps:
        return values_of(pre_activations, rows, parameters).sum(1)
    missing = rows.isnan()
    values = values_of(pre_activations, rows.masked_fill(missing, 0.0), parameters)
    return values.masked_fill(missing, 0.0).sum(1)


def log_mixture(share: Tensor, exponent: Tensor) -> Tensor:
    """Return log(1 - share + share * exp(exponent)), exact near 0 and without overflow.

    Parameters
    ----------
    share : Tensor
        Between 0 and 1.
    exponent : Tensor of the same shape
        Any finite numbers.
    """
    small = torch.log1p(share * torch.expm1(exponent.clamp(max=1.0)))
    large = torch.logaddexp(torch.log1p(-share), share.log() + exponent)
    return torch.where(exponent > 1, large, small)


class Workspace:
    """What a training keeps from step to step: memory that stays warm in the cache, and compiled passes.

    Parameters
    ----------
    kernels : Kernels, optional
        Compiled functions, used where they fit.
    """

    def __init__(self, kernels: Kernels | None = None) -> None:
        self.kernels = kernels
        self._buffer = torch.empty(0, dtype=torch.float32, device="cpu")

    def like(self, tensor: Tensor) -> Tensor:
        """Return a buffer of the tensor's shape, with anything in it; the next call returns it again."""
        size = tensor.numel()
        fits = self._buffer.dtype == tensor.dtype and self._buffer.device == tensor.device
        if not fits or self._buffer.numel() < size:
            self._buffer = torch.empty(size, dtype=tensor.dtype, device=tensor.device)
        return self._buffer[:size].view(tensor.shape)


class ClosedFormLoss(ReconstructionLoss):
    """A loss without parameters whose gradient is known: one pass gives value and gradient."""

    def mean_and_gradient(
        self, pre_activations: Tensor, rows: Tensor, workspace: Workspace, bias: Tensor | None = None
    ) -> Tensor:
        """Return the mean loss of the rows, and leave its gradient in ``pre_activations``.

        Parameters
        ----------
        pre_activations : Tensor of shape (batch, features)
            Overwritten. Sums are computed in single precision at least.
        rows : Tensor of shape (batch, features)
            The targets, of the same type.
        workspace : Workspace
            Where intermediate results go.
        bias : Tensor of shape (features,), optional
            What is still to be added to the pre-activations.
        """
        if bias is not None:
            pre_activations += bias
        if pre_activations.dtype != torch.bfloat16:
            return self._in_place(pre_activations, rows, workspace)
        precise = pre_activations.float()
        mean = self._in_place(precise, rows.float(), workspace)
        pre_activations.copy_(precise)
        return mean

    @abstractmethod
    def _in_place(self, pre_activations: Tensor, rows: Tensor, workspace: Workspace) -> Tensor:
        """Do the same, for tensors of single precision at least and without a bias."""

    def batch_mean(
        self,
        pre_activations: Tensor,
        rows: Tensor,
        parameters: Mapping[str, Tensor] = NO_PARAMETERS,
        workspace: Workspace | None = None,
    ) -> Tensor:
        """Return the mean loss of the rows, a scalar; with a workspace, by the closed form."""
        if workspace is None or not (torch.is_grad_enabled() and pre_activations.requires_grad):
            return super().batch_mean(pre_activations, rows, parameters)
        if not _is_expendable(pre_activations):
            pre_activations = pre_activations.clone()
        mean: Tensor = _BatchMean.apply(pre_activations, rows, self, workspace)  # type: ignore[no-untyped-call]
        return mean


def _is_expendable(tensor: Tensor) -> bool:
    """Return whether nothing needs the tensor's values any more: a linear layer made it."""
    return tensor.grad_fn is not None and tensor.grad_fn.name() in {"AddmmBackward0", "ConvolutionBackward0"}


class _BatchMean(torch.autograd.Function):
    """The mean loss of a batch with the gradient in closed form."""

    @staticmethod
    def forward(
        ctx: Any, pre_activations: Tensor, rows: Tensor, loss: ClosedFormLoss, workspace: Workspace
    ) -> Tensor:
        # In place: what a step costs here is traffic between cache and memory, and every further
        # buffer of the batch's size adds to it.
        ctx.gradient = pre_activations
        return loss.mean_and_gradient(pre_activations, rows, workspace)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None, None]:
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None:
            raise RuntimeError("the gradient of this loss was already used; compute the loss again")
        return gradient.mul_(outer), None, None, None


@dataclass(frozen=True)
class BinaryCrossEntropy(ClosedFormLoss):
    """Bernoulli negative log-likelihood in nats, for data between 0 and 1; the link is the sigmoid.

    For grey values it is the cross-entropy, whose minimum is the entropy of the data and not 0.

    Examples
    --------
    >>> import torch
    >>> from isthmus.objectives import BinaryCrossEntropy
    >>> BinaryCrossEntropy().per_row(torch.zeros(1, 784), torch.ones(1, 784)) / 784
    tensor([0.6931])
    """

    name: ClassVar[str] = "bce"
    support: ClassVar[str] = "unit"
    bounded: ClassVar[bool] = True
    is_likelihood: ClassVar[bool] = True

    def link(self, pre_activations: Tensor) -> Tensor:
        """Return probabilities."""
        return torch.sigmoid(pre_activations)

    def inverse_link(self, rows: Tensor) -> Tensor:
        """Return log-odds, as if no probability were beyond 1 in 100."""
        return torch.logit(rows, eps=0.01)

    def _per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the cross-entropy of each value in nats, stable for any pre-activation."""
        # Not by softplus, which torch cuts short above 20.
        return functional.binary_cross_entropy_with_logits(pre_activations, rows, reduction="none")

    def _excess_per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the Kullback-Leibler divergence of each value in nats."""
        # With u = z - logit(x) it is log(1 - x + x exp(u)) - x u, where nothing cancels.
        inside = (rows > 0) & (rows < 1)
        distance = pre_activations - rows.masked_fill(~inside, 0.5).logit()
        divergence = (log_mixture(rows, distance) - rows * distance).clamp_min(0)
        ends = functional.softplus(torch.where(rows > 0, -pre_activations, pre_activations))
        return torch.where(inside, divergence, ends)

    def mean_and_gradient(
        self, pre_activations: Tensor, rows: Tensor, workspace: Workspace, bias: Tensor | None = None
    ) -> Tensor:
        """Return the mean cross-entropy; the gradient of a value is sigmoid(z) - x."""
        kernels = workspace.kernels
        known = rows.dtype == pre_activations.dtype and rows.dtype in {torch.float32, torch.bfloat16}
        if kernels is None or not (known and kernels.fits(pre_activations, rows)):
            return super().mean_and_gradient(pre_activations, rows, workspace, bias)
        return kernels.cross_entropy(pre_activations, rows, bias)

    def _in_place(self, pre_activations: Tensor, rows: Tensor, workspace: Workspace) -> Tensor:
        # softplus(z) = max(z, 0) - log max(p, 1 - p): one logarithm instead of log1p and another exp,
        # and exact where p rounds to 0 or 1.
        scratch = workspace.like(rows)
        value = torch.clamp_min(pre_activations, 0, out=scratch).sum()
        value -= torch.dot(pre_activations.flatten(), rows.flatten())
        probabilities = pre_activations.sigmoid_()
        value -= torch.sub(probabilities, 0.5, out=scratch).abs_().add_(0.5).log_().sum()
        probabilities.sub_(rows).div_(len(rows))
        return value / len(rows)


@dataclass(frozen=True)
class SquaredError(ClosedFormLoss):
    """Squared error, summed over the features; the link is the identity."""

    name: ClassVar[str] = "mse"

    def _per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the squared error of each value."""
        return (pre_activations - rows).square()

    def _in_place(self, pre_activations: Tensor, rows: Tensor, workspace: Workspace) -> Tensor:
        flat = pre_activations.sub_(rows).flatten()
        value = torch.dot(flat, flat) / len(rows)
        pre_activations.mul_(2 / len(rows))
        return value


@dataclass(frozen=True)
class AbsoluteError(ClosedFormLoss):
    """Absolute error, summed over the features; the link is the identity. Forgives outliers."""

    name: ClassVar[str] = "l1"

    def _per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return the absolute error of each value."""
        return (pre_activations - rows).abs()

    def _in_place(self, pre_activations: Tensor, rows: Tensor, workspace: Workspace) -> Tensor:
        value = torch.abs(pre_activations.sub_(rows), out=workspace.like(rows)).sum() / len(rows)
        pre_activations.sign_().div_(len(rows))
        return value


@dataclass(frozen=True)
class Huber(ClosedFormLoss):
    """Huber's loss: squared for errors below ``delta``, absolute above; the link is the identity.

    Parameters
    ----------
    delta : float, default=1.0
        Where the loss turns from quadratic to linear, in units of the (scaled) data.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics, 1964.
    """

    delta: float = 1.0
    name: ClassVar[str] = "huber"

    def __post_init__(self) -> None:
        check_number(self.delta, parameter="delta", owner="Huber", minimum=0, open_minimum=True)

    def _per_value(
        self, pre_activations: Tensor, rows: Tensor, parameters: Mapping[str, Tensor] = NO_PARAMETERS
    ) -> Tensor:
        """Return Huber's loss of each value."""
        return functional.huber_loss(pre_activations, rows, reduction="none", delta=self.delta)

    def _in_place(self, pre_activations: Tensor, rows: Tensor, workspace: Workspace) -> Tensor:
        value = functional.huber_loss(pre_activations, rows, reduction="sum", delta=self.delta) / len(rows)
        pre_activations.sub_(rows).clamp_(-self.delta, self.delta).div_(len(rows))
        return value
