"""The bottleneck of learnt compression: codes that are to be rounded, and take few bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from isthmus import _random
from isthmus._checks import check_number
from isthmus._device import device_of
from isthmus.bottlenecks.description import Bottled, Bottleneck, BottleneckModule

COMPONENTS = 3  # of the mixture that each unit's density is
#: Standard deviation of a code at the start, in steps: rounding is then a small disturbance.
START = 4.0
LEAST_PROBABILITY = 1e-9
LEAST_SCALE = 0.05


@dataclass(frozen=True)
class Entropy(Bottleneck):
    """A code that will be rounded to multiples of a step and coded by their entropy.

    Training adds uniform noise as wide as a step, which stands for the rounding, and adds to the loss how
    many nats the code takes by densities that are learnt with it: what is paid for is rate and distortion
    together. :class:`isthmus.Compressor` then rounds to these steps.

    Parameters
    ----------
    weight : float, default=1.0
        What a nat of code costs, in the unit of the loss: 1 beside a likelihood makes the loss minus an
        evidence lower bound; less of it more bits and less error.

    References
    ----------
    J. Ballé, V. Laparra and E. P. Simoncelli, "End-to-end optimized image compression", ICLR, 2017.
    L. Theis et al., "Lossy image compression with compressive autoencoders", ICLR, 2017.
    """

    weight: float = 1.0
    name: ClassVar[str] = "entropy"
    restrains: ClassVar[bool] = True
    code_activation: ClassVar[str | None] = "identity"
    fixed_activation: ClassVar[bool] = True
    rate: ClassVar[float] = 0.5

    def __post_init__(self) -> None:
        check_number(self.weight, parameter="weight", owner="Entropy", minimum=0)

    def build(
        self, n_components: int, activation: nn.Module, generator: torch.Generator | None
    ) -> EntropyBottleneck:
        """Return the module."""
        return EntropyBottleneck(n_components, self, generator)


class EntropyBottleneck(BottleneckModule):
    """What :class:`Entropy` describes.

    Parameters
    ----------
    n_components : int
        Number of code units.
    description : Entropy
        The settings.
    generator : torch.Generator or None
        Without one: shapes, no memory.

    Attributes
    ----------
    step : Tensor of shape (n_components,)
        How far apart two rounded values of each unit are; chosen at the start, when the encoder can still
        make its features as large as they need to be.
    """

    step: Tensor

    def __init__(self, n_components: int, description: Entropy, generator: torch.Generator | None) -> None:
        super().__init__()
        self.n_components = self.n_inputs = n_components
        self.description = description
        device = device_of(generator)
        places = torch.linspace(-START, START, COMPONENTS, dtype=torch.float32, device=device)[:, None]
        self.locations = nn.Parameter(places.repeat(1, n_components))
        self.log_scales = nn.Parameter(
            torch.zeros(COMPONENTS, n_components, dtype=torch.float32, device=device)
        )
        self.logits = nn.Parameter(torch.zeros(COMPONENTS, n_components, dtype=torch.float32, device=device))
        self.register_buffer("step", torch.ones(n_components, dtype=torch.float32, device=device))

    def start_from(self, features: Tensor) -> None:
        """Choose steps that are a quarter of the features' standard deviations."""
        spread = features.std(dim=0, correction=0)
        self.step.copy_(spread.clamp_min(1e-3 * float(spread.mean()) + 1e-6) / START)
        with torch.no_grad():
            self.locations.add_(features.mean(dim=0) / self.step)

    def forward(self, features: Tensor, keys: Tensor) -> Bottled:
        """Return the code with noise in the place of its rounding, and what it costs."""
        noise = _random.uniform(keys, (self.n_components,), _random.BOTTLENECK).to(features.dtype)
        noisy = features + (noise - 0.5) * self.step
        nats = self.nats(noisy).sum(dim=1).mean()
        return Bottled(noisy, {"rate": self.description.weight * nats}, {"rate_nats": nats.detach()})

    def code(self, features: Tensor) -> Tensor:
        """Return the code before it is rounded: the features as they are."""
        return features

    def nats(self, code: Tensor) -> Tensor:
        """Return how many nats each value takes: minus the logarithm of the probability of a step around it."""
        scales = functional.softplus(self.log_scales) + LEAST_SCALE
        distance = (code / self.step).unsqueeze(1) - self.locations
        # Both ends on the side where a logistic function is small: differences of ones would be nothing.
        sign = -distance.sign().detach()
        upper, lower = (sign * (distance + end) / scales for end in (0.5, -0.5))
        within = (upper.sigmoid() - lower.sigmoid()).abs()
        probability = (self.logits.softmax(dim=0) * within).sum(dim=1)
        return -probability.clamp_min(LEAST_PROBABILITY).log()
