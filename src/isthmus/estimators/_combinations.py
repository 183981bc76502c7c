"""Parts that do not go together, refused by name."""

from __future__ import annotations

from typing import Protocol

from isthmus._checks import wrong_parameter
from isthmus.bottlenecks import Bottleneck
from isthmus.networks import Architecture
from isthmus.objectives import Contractive, Noise, Penalty, ReconstructionLoss


class Combination(Protocol):
    """What is joined."""

    @property
    def network(self) -> Architecture:
        """The network."""
        ...

    @property
    def bottleneck(self) -> Bottleneck:
        """What happens to the code."""
        ...

    @property
    def loss(self) -> ReconstructionLoss:
        """The distance."""
        ...

    @property
    def penalty(self) -> Penalty | None:
        """What is added to it."""
        ...

    @property
    def noise(self) -> Noise | None:
        """What is done to the input."""
        ...

    @property
    def hidden_layers(self) -> tuple[int, ...]:
        """Widths of hidden layers."""
        ...

    @property
    def code_activation(self) -> str:
        """Activation of the code."""
        ...

    @property
    def tied(self) -> bool:
        """Whether the decoder has the encoder's weights."""
        ...

    @property
    def compile(self) -> bool | str:
        """What is compiled."""
        ...


def refuse_nonsense(parts: Combination, owner: str) -> None:
    """Raise where two parts do not go together, naming both.

    Raises
    ------
    InvalidParameterError
        With what to do.
    """
    network, bottleneck, penalty, noise = parts.network, parts.bottleneck, parts.penalty, parts.noise
    if parts.tied and not (network.can_be_tied and bottleneck.can_be_tied):
        which = f"network={network.name!r}" if not network.can_be_tied else f"bottleneck={bottleneck.name!r}"
        wanted = f"False with {which}, whose encoder and decoder are no mirror images"
        raise wrong_parameter(owner, "tied", wanted, parts.tied)
    if parts.hidden_layers and not network.has_hidden_layers:
        wanted = f"() with network={network.name!r}, which has settings of its own"
        raise wrong_parameter(owner, "hidden_layers", wanted, parts.hidden_layers)
    if bottleneck.needs_likelihood and not parts.loss.is_likelihood:
        raise wrong_parameter(
            owner,
            "loss",
            f"a likelihood with bottleneck={bottleneck.name!r}, whose divergence is in nats",
            parts.loss.name,
            "Use 'bce', 'gaussian', 'laplace', 'logistic', 'poisson' or 'negative-binomial'.",
        )
    if bottleneck.fixed_activation and parts.code_activation != bottleneck.code_activation:
        wanted = f"{bottleneck.code_activation!r} with bottleneck={bottleneck.name!r}"
        raise wrong_parameter(owner, "code_activation", wanted, parts.code_activation)
    if penalty is not None:
        _refuse_penalty(parts, penalty, owner)
    if noise is not None and noise.unit_interval and parts.loss.support != "unit":
        raise wrong_parameter(
            owner,
            "noise",
            f"another one than {noise.name!r} with loss={parts.loss.name!r}: its values are probabilities",
            noise.name,
            "It goes with data between 0 and 1 and loss='bce'.",
        )


def _refuse_penalty(parts: Combination, penalty: Penalty, owner: str) -> None:
    if penalty.bottlenecks is not None and parts.bottleneck.name not in penalty.bottlenecks:
        raise wrong_parameter(
            owner,
            "penalty",
            f"another one than {penalty.name!r} with bottleneck={parts.bottleneck.name!r}",
            penalty.name,
            f"It goes with {' and '.join(map(repr, penalty.bottlenecks))}.",
        )
    if penalty.fixed_activation and parts.code_activation != penalty.code_activation:
        wanted = f"{penalty.code_activation!r} with penalty={penalty.name!r}"
        raise wrong_parameter(owner, "code_activation", wanted, parts.code_activation)
    if isinstance(penalty, Contractive) and parts.compile is True:
        wanted = "'auto' or False with penalty='contractive', which torch.compile cannot differentiate twice"
        raise wrong_parameter(owner, "compile", wanted, parts.compile)
