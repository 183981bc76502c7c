"""The k-sparse bottleneck: only the largest activities pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from isthmus._checks import check_choice, check_integer, check_number, wrong_parameter
from isthmus.bottlenecks.description import Bottled, Bottleneck, BottleneckModule


@dataclass(frozen=True)
class TopK(Bottleneck):
    """Of each row, or of each batch, only the largest activities pass; all others are zero.

    In the first half of a training more units pass, from all of them down to ``k``, so that every unit
    learns something before they have to compete.

    Parameters
    ----------
    k : int or "auto", default="auto"
        Units that are active in a row; with ``per="batch"`` on average. ``"auto"`` is a quarter of
        ``n_components``.
    per : {"row", "batch"}, default="row"
        Whether each row keeps its ``k`` largest, or a batch the ``k`` times its size largest of all.
        In use, where a code may not depend on the other rows, a batch's choice becomes a threshold:
        a moving average of the smallest activity among each batch's ``k`` times its size largest.
    alpha : float, default=1.0
        With ``per="row"``, ``alpha`` times ``k`` units pass in use: more than in training can make
        better features.

    References
    ----------
    A. Makhzani and B. Frey, "k-sparse autoencoders", ICLR, 2014. B. Bussmann, P. Leask and N. Nanda,
    "BatchTopK sparse autoencoders", 2024.
    """

    k: int | str = "auto"
    per: str = "row"
    alpha: float = 1.0
    name: ClassVar[str] = "topk"
    restrains: ClassVar[bool] = True
    code_activation: ClassVar[str | None] = "identity"

    def __post_init__(self) -> None:
        if self.k != "auto":
            check_integer(self.k, parameter="k", owner="TopK", minimum=1)
        check_choice(self.per, ("row", "batch"), parameter="per", owner="TopK")
        check_number(self.alpha, parameter="alpha", owner="TopK", minimum=1)

    def build(
        self, n_components: int, activation: nn.Module, generator: torch.Generator | None
    ) -> TopKBottleneck:
        """Return the module."""
        k = math.ceil(n_components / 4) if isinstance(self.k, str) else self.k
        if k > n_components:
            raise wrong_parameter("TopK", "k", f"at most n_components, {n_components}", k)
        in_use = min(round(self.alpha * k), n_components)
        return TopKBottleneck(n_components, activation, k, in_use, per_batch=self.per == "batch")


class TopKBottleneck(BottleneckModule):
    """What :class:`TopK` describes.

    Parameters
    ----------
    n_components : int
        Number of code units.
    activation : torch.nn.Module
        What is applied to the encoder's features before the choice.
    k, in_use : int
        Active units of a row, in training and later.
    per_batch : bool
        Whether rows share.
    """

    #: Share of the old threshold in the new one.
    DECAY = 0.9

    #: Share of the training in which the number of active units comes down to ``k``.
    ANNEALED = 0.5

    threshold: Tensor

    unrecordable: ClassVar[str | None] = "the number of units that pass changes from step to step"

    def __init__(
        self, n_components: int, activation: nn.Module, k: int, in_use: int, *, per_batch: bool
    ) -> None:
        super().__init__()
        self.n_components = self.n_inputs = n_components
        self.activation, self.k, self.per_batch = activation, k, per_batch
        self.passing, self.in_use = k, in_use
        if per_batch:
            self.register_buffer("threshold", torch.zeros((), dtype=torch.float32, device="cpu"))

    def forward(self, features: Tensor, keys: Tensor) -> Bottled:
        """Return the sparse code; it adds nothing to the loss."""
        if not self.training:
            return Bottled(self.code(features))
        activities: Tensor = self.activation(features)
        if not self.per_batch:
            return Bottled(_largest(activities, self.passing))
        flat = activities.flatten()
        values, places = flat.topk(self.passing * len(features))
        # Followed from the first step, though more may pass yet, so that short trainings get there.
        smallest = values[self.k * len(features) - 1].detach()
        self.threshold.lerp_(smallest.to(self.threshold.dtype), 1 - self.DECAY)
        return Bottled(torch.zeros_like(flat).scatter(0, places, values).view(activities.shape))

    def code(self, features: Tensor) -> Tensor:
        """Return the sparse code of each row by itself."""
        activities: Tensor = self.activation(features)
        if self.per_batch:
            return activities * (activities > self.threshold)
        return _largest(activities, self.in_use)

    @torch.no_grad()
    def start_from(self, features: Tensor) -> None:
        """Start the threshold where these features put it."""
        if self.per_batch:
            flat = self.activation(features).flatten()
            self.threshold.copy_(flat.topk(self.k * len(features)).values[-1])

    @property
    def annealed(self) -> float:
        """Share of a training in which more than ``k`` units pass."""
        return self.ANNEALED if self.k < self.n_components else 0.0

    def set_progress(self, share: float) -> None:
        """Let as many units pass as at this time of the training."""
        left = max(0.0, 1 - share / self.ANNEALED)
        self.passing = self.k + round((self.n_components - self.k) * left)


def _largest(activities: Tensor, n: int) -> Tensor:
    """Return the ``n`` largest activities of each row, and zeros."""
    values, places = activities.topk(n, dim=1)
    return torch.zeros_like(activities).scatter(1, places, values)
