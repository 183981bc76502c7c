"""From constructor parameters to what will be built: every "auto" decided, every name resolved."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isthmus._checks import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_widths,
    wrong_parameter,
)
from isthmus._specification import Part, Specification, resolve
from isthmus.bottlenecks import BOTTLENECKS, Bottleneck, Plain
from isthmus.errors import InvalidTypeError
from isthmus.estimators._combinations import refuse_nonsense
from isthmus.networks import ACTIVATIONS, NETWORKS, UNITS, Architecture, Dense, Modules, Units, units_with
from isthmus.objectives import LOSSES, NOISES, PENALTIES, Noise, Penalty, ReconstructionLoss
from isthmus.training import (
    INITIALIZATIONS,
    OPTIMIZERS,
    SAMPLERS,
    SCHEDULES,
    Callback,
    Initialization,
    Optimizer,
    PrincipalComponents,
    Random,
    Sampler,
    Schedule,
)

#: The parameters that are parts, and the parts that fit.
PARTS: Mapping[str, Mapping[str, type[Specification]]] = {
    "network": NETWORKS,
    "bottleneck": BOTTLENECKS,
    "loss": LOSSES,
    "penalty": PENALTIES,
    "noise": NOISES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "sampler": SAMPLERS,
    "initialization": INITIALIZATIONS,
}

#: What is done about missing values.
MISSING = ("auto", "refuse", "mask")

PRECISIONS = ("auto", "float32", "bfloat16")

#: What torch.compile works with.
COMPILERS = (os.environ.get("CXX", "c++"), "g++", "clang++")

#: About how many steps a training takes when epochs="auto": the notebook's 50 epochs of MNIST.
AUTO_STEPS = 12_000

#: code_activation="auto" is "relu" in the notebook's case alone: a single layer on pixels, with at least
#: this many features for each unit. Elsewhere a linear code is better. Behind hidden layers it
#: reconstructs better; with few features a ReLU, which sees one side of its threshold, loses too much or
#: dies; and a single layer with squared error is at its best where it equals PCA.
RELU_FEATURES_PER_UNIT = 10


@dataclasses.dataclass(frozen=True)
class Settings:
    """What an estimator does, after "auto" has been decided for its data."""

    n_components: int
    hidden_layers: tuple[int, ...]
    activation: str
    code_activation: str
    tied: bool
    loss: ReconstructionLoss
    penalty: Penalty | None
    optimizer: Optimizer
    learning_rate: float
    schedule: Schedule
    weight_decay: float
    gradient_clipping: float | None
    epochs: int
    batch_size: int
    patience: int | None
    precision: str = "float32"
    compile: bool | str = "auto"
    network: Architecture = Dense()  # noqa: RUF009 (frozen)
    bottleneck: Bottleneck = Plain()  # noqa: RUF009
    noise: Noise | None = None
    sampler: Sampler | None = None
    centred: bool = False
    initialization: Initialization = Random()  # noqa: RUF009
    missing: str = "auto"
    paired: bool = False

    @property
    def sees_gaps(self) -> bool:
        """Whether values of a row may be missing."""
        return takes_gaps(self.missing, self.network)

    @property
    def fills_gaps(self) -> bool:
        """Whether missing values are filled in before the network, which cannot look past them."""
        return self.missing == "mask" and not self.network.sees_gaps

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: value.to_dict() if isinstance(value, Specification) else value
            for name, value in values.items()
        }


def settings_for(
    parameters: Mapping[str, Any],
    owner: str,
    *,
    n_rows: int,
    input_shape: tuple[int, ...],
    unit_interval: bool,
    paired: bool = False,
) -> Settings:
    """Check an estimator's parameters and decide what they leave open.

    Parameters
    ----------
    parameters : mapping
        The constructor's parameters.
    owner : str
        Name of the estimator, for messages.
    n_rows : int
        Number of training rows.
    input_shape : tuple of int
        Shape of one.
    unit_interval : bool
        Whether the scaled data lie between 0 and 1, and later ones will.
    paired : bool, default=False
        Whether rows have targets of their own to learn from, which keeps a wide code from copying its input.

    Returns
    -------
    settings : Settings
    """

    def number(name: str, **interval: Any) -> float:
        return check_number(parameters[name], parameter=name, owner=owner, **interval)

    def integer(name: str, **limits: Any) -> int:
        return check_integer(parameters[name], parameter=name, owner=owner, **limits)

    def part(name: str, parts: Mapping[str, type[Part]]) -> Part:
        return resolve(parameters[name], parts, parameter=name, owner=owner)

    n_features = math.prod(input_shape)
    hidden_layers = check_widths(parameters["hidden_layers"], parameter="hidden_layers", owner=owner)
    network = network_for(parameters["network"], owner)
    bottleneck = part("bottleneck", BOTTLENECKS)
    penalty = None if parameters["penalty"] is None else part("penalty", PENALTIES)
    noise = None if parameters["noise"] is None else part("noise", NOISES)
    if parameters["loss"] == "auto":
        likely = "gaussian" if bottleneck.needs_likelihood else "mse"
        loss = resolve("bce" if unit_interval else likely, LOSSES, parameter="loss", owner=owner)
    else:
        loss = part("loss", LOSSES)
    initialization = part("initialization", INITIALIZATIONS)
    optimizer = part("optimizer", OPTIMIZERS)
    batch_size = (
        auto_batch_size(n_rows) if parameters["batch_size"] == "auto" else integer("batch_size", minimum=1)
    )
    sampler = None if parameters.get("sampler") is None else part("sampler", SAMPLERS)
    restrained = (
        bottleneck.restrains
        or noise is not None
        or paired
        or sampler is not None
        or (penalty is not None and penalty.restrains)
    )
    n_components = _n_components(
        parameters["n_components"], owner, n_features, network.natural_width(input_shape), restrained
    )
    code_activation = _code_activation(
        parameters["code_activation"],
        owner,
        bottleneck,
        penalty,
        # the notebook's case
        rectified=isinstance(network, Dense)
        and not hidden_layers
        and not isinstance(initialization, PrincipalComponents)
        and loss.support == "unit"
        and n_features >= RELU_FEATURES_PER_UNIT * n_components,
    )
    clipping = None
    if sampler is not None:
        learning_rate, clipping = machine_rate(optimizer, loss, code_activation)
    else:
        depth = network.depth(hidden_layers)
        suggested = optimizer.learning_rate(n_features, depth, bounded=loss.bounded)
        learning_rate = bottleneck.rate * network.learning_rate(suggested)
    if parameters["learning_rate"] != "auto":
        learning_rate = number("learning_rate", minimum=0, open_minimum=True)
    if parameters["gradient_clipping"] is not None:
        clipping = number("gradient_clipping", minimum=0, open_minimum=True)
    settings = Settings(
        n_components=n_components,
        hidden_layers=hidden_layers,
        activation=check_choice(parameters["activation"], ACTIVATIONS, parameter="activation", owner=owner),
        code_activation=code_activation,
        tied=check_flag(parameters["tied"], parameter="tied", owner=owner),
        loss=loss,
        penalty=penalty,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule_for(parameters["schedule"], owner),
        weight_decay=number("weight_decay", minimum=0),
        gradient_clipping=clipping,
        epochs=(
            auto_epochs(n_rows, batch_size)
            if parameters["epochs"] == "auto"
            else integer("epochs", minimum=1)
        ),
        batch_size=batch_size,
        patience=None if parameters["patience"] is None else integer("patience", minimum=1),
        precision=_precision(parameters["precision"], owner),
        compile=_compile(parameters["compile"], owner),
        network=network,
        bottleneck=bottleneck,
        noise=noise,
        sampler=sampler,
        centred=check_flag(parameters.get("centred", False), parameter="centred", owner=owner),
        initialization=initialization,
        paired=paired,
        missing=check_choice(parameters.get("missing", "auto"), MISSING, parameter="missing", owner=owner),
    )
    refuse_nonsense(settings, owner)
    return settings


def takes_gaps(missing: object, network: Architecture) -> bool:
    """Return whether rows may have gaps: as ``missing`` says, or as the network can bear."""
    return missing == "mask" or (missing == "auto" and network.sees_gaps)


def network_for(network: object, owner: str) -> Architecture:
    """Return the description that the parameter ``network`` stands for."""
    if isinstance(network, Modules):
        return network
    if isinstance(network, tuple) and len(network) == 2:
        return Modules(*network)
    return resolve(network, NETWORKS, parameter="network", owner=owner)


def support_of(loss: object, owner: str) -> str:
    """Return what the loss is defined for; "auto" is defined for the data, whatever they are."""
    return "real" if loss == "auto" else resolve(loss, LOSSES, parameter="loss", owner=owner).support


def auto_batch_size(n_rows: int) -> int:
    """Return 256, less for small data so that an epoch still has several steps."""
    return max(min(n_rows // 16, 256), 16)


def auto_epochs(n_rows: int, batch_size: int) -> int:
    """Return how many epochs make about ``AUTO_STEPS`` steps: 10 for millions of rows, 500 for fifty."""
    return min(max(round(AUTO_STEPS / math.ceil(n_rows / batch_size)), 10), 500)


def check_callbacks(callbacks: object, owner: str) -> list[Callback]:
    """Return the callbacks as a list."""
    if callbacks is None:
        return []
    if isinstance(callbacks, Sequence) and all(isinstance(item, Callback) for item in callbacks):
        return list(callbacks)
    wanted = "None or a list of isthmus.training.Callback"
    raise InvalidTypeError(str(wrong_parameter(owner, "callbacks", wanted, callbacks)))


def _n_components(value: object, owner: str, n_features: int, natural: int | None, restrained: bool) -> int:
    if value == "auto":
        if natural is not None and natural < n_features:
            return natural
        return min(32, max(1, math.ceil(n_features / 2)))
    n_components = check_integer(value, parameter="n_components", owner=owner, minimum=1)
    if n_components > n_features and not restrained:
        raise wrong_parameter(
            owner,
            "n_components",
            f"at most the number of features, {n_features}",
            n_components,
            "A wider code can simply copy its input; to use one, restrain it: SparseAutoencoder, "
            "KSparseAutoencoder, penalty='l1', or noise.",
        )
    return n_components


def _code_activation(
    value: object, owner: str, bottleneck: Bottleneck, penalty: Penalty | None, *, rectified: bool
) -> str:
    if value != "auto":
        choices = ["auto", *ACTIVATIONS]
        return check_choice(value, choices, parameter="code_activation", owner=owner)
    wanted = bottleneck.code_activation or (penalty and penalty.code_activation)
    return wanted or ("relu" if rectified else "identity")


def units_of(loss: ReconstructionLoss, code_activation: str) -> tuple[Units, Units]:
    """Return the visible and the hidden units of the Boltzmann machine with this loss and activation."""
    visible = "bernoulli" if loss.support == "unit" else "gaussian"
    hidden = units_with(code_activation)
    assert hidden is not None
    return UNITS[visible], hidden


def machine_rate(
    optimizer: Optimizer, loss: ReconstructionLoss, code_activation: str
) -> tuple[float, float | None]:
    """Return a good learning rate for a Boltzmann machine, and the largest gradient that it bears.

    Where neither layer has bounds, each feeds on the other: a step that is too long is answered by a longer one;
    and so it is with units that all say more where one does.
    """
    visible, hidden = units_of(loss, code_activation)
    rate = optimizer.likelihood_rate(visible.rate * hidden.rate)
    if visible.bounded or hidden.bounded:
        return rate, 10.0 if hidden.excitable else None
    return rate, 1.0


def schedule_for(value: object, owner: str) -> Schedule:
    """Return one of the schedules with a name, or whatever else is one."""
    if isinstance(value, Schedule):
        return value
    return resolve(value, SCHEDULES, parameter="schedule", owner=owner)


def _precision(value: object, owner: str) -> str:
    chosen = check_choice(value, PRECISIONS, parameter="precision", owner=owner)
    return "float32" if chosen == "auto" else chosen


def _compile(value: object, owner: str) -> bool | str:
    if value == "auto":
        return "auto"
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidTypeError(str(wrong_parameter(owner, "compile", "'auto', True or False", value)))
    if value and not any(map(shutil.which, COMPILERS)):
        raise wrong_parameter(
            owner,
            "compile",
            "'auto' or False where there is no C++ compiler",
            value,
            "Or install one, such as g++.",
        )
    return bool(value)
