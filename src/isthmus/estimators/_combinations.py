"""Parts that do not go together, refused by name."""

from __future__ import annotations

from typing import Protocol

from isthmus._checks import wrong_parameter
from isthmus.bottlenecks import Bottleneck
from isthmus.errors import InvalidParameterError
from isthmus.networks import Architecture, Dense, units_with
from isthmus.objectives import Contractive, Noise, Penalty, ReconstructionLoss
from isthmus.training import Initialization, PrincipalComponents, Random, Sampler, StackedMachines


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
    def n_components(self) -> int:
        """Width of the code."""
        ...

    @property
    def activation(self) -> str:
        """Activation of the hidden layers."""
        ...

    @property
    def initialization(self) -> Initialization:
        """What the weights start from."""
        ...

    @property
    def sampler(self) -> Sampler | None:
        """Where a Boltzmann machine's own states come from; none for anything else."""
        ...

    @property
    def fills_gaps(self) -> bool:
        """Whether missing values are filled in before the network."""
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
    if parts.sampler is not None and parts.compile is True:
        raise wrong_parameter(
            owner, "compile", "'auto' or False, since what draws has no graph", parts.compile
        )
    if not isinstance(parts.initialization, Random):
        if parts.fills_gaps:
            wanted = (
                f"'refuse' with initialization={parts.initialization.name!r}, which needs rows without gaps"
            )
            raise wrong_parameter(owner, "missing", wanted, "mask")
        _refuse_initialization(parts, parts.initialization, owner)
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


def _refuse_initialization(parts: Combination, initialization: Initialization, owner: str) -> None:
    """Raise where the network cannot start from what it is asked to."""
    name = initialization.name

    def refuse(parameter: str, wanted: str, got: object, advice: str = "") -> InvalidParameterError:
        return wrong_parameter(owner, parameter, f"{wanted} with initialization={name!r}", got, advice)

    if not isinstance(parts.network, Dense):
        raise refuse("network", "'dense'", parts.network.name)
    if not parts.bottleneck.can_be_tied:
        raise refuse("bottleneck", "one that has as many features as components", parts.bottleneck.name)
    if parts.loss.support == "counts":
        raise refuse("loss", "one that is not for counts", parts.loss.name)
    if isinstance(initialization, PrincipalComponents):
        if parts.tied:
            raise refuse("tied", "False", parts.tied)
        if parts.bottleneck.name != "plain":
            raise refuse("bottleneck", "'plain'", parts.bottleneck.name)
        if parts.code_activation != "identity":
            raise refuse("code_activation", "'identity'", parts.code_activation)
        narrow = [width for width in parts.hidden_layers if width < 2 * parts.n_components]
        if narrow:
            advice = "A component takes two units of each, one for each sign."
            raise refuse(
                "hidden_layers", f"at least {2 * parts.n_components} wide", parts.hidden_layers, advice
            )
    if isinstance(initialization, StackedMachines):
        activations = {"code_activation": parts.code_activation}
        if parts.hidden_layers:
            activations["activation"] = parts.activation
        for parameter, activation in activations.items():
            if units_with(activation) is None:
                wanted = "'sigmoid', 'identity', 'relu', 'softplus' or 'truncated_normal'"
                raise refuse(parameter, wanted, activation, "Units of no other kind have an energy here.")
