"""From settings and weights, wherever they were kept, to the network again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus._checks import shortened
from isthmus._specification import resolve
from isthmus.errors import ModelFileError
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._building import build_assembly
from isthmus.estimators._entries import MOST_LAYERS
from isthmus.estimators._saving import weights_of
from isthmus.estimators._scaling import Scaling
from isthmus.estimators._settings import PARTS, Settings
from isthmus.persistence import MOST_FEATURES

#: The tensors that belong to no part of the network.
SCALING = ("scaling.offset", "scaling.unit")

#: What safetensors calls numbers that weights can be.
FLOATS = frozenset({"F16", "BF16", "F32", "F64"})


class StoredWeights(Protocol):
    """Weights that can be looked at before they are read."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each tensor, by name."""
        ...

    @property
    def dtypes(self) -> Mapping[str, str]:
        """The type of each, as safetensors names it."""
        ...

    @property
    def n_values(self) -> int:
        """The number of values of all tensors together."""
        ...

    def read(self, name: str) -> Tensor:
        """Return one tensor."""
        ...


@dataclass(frozen=True)
class ArrayWeights:
    """Weights in arrays.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Each tensor, by name.
    """

    arrays: Mapping[str, NDArray[Any]]

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each, by name."""
        return {name: array.shape for name, array in self.arrays.items()}

    @property
    def dtypes(self) -> Mapping[str, str]:
        """The type of each, such as "F32"."""
        return {name: f"{a.dtype.kind.upper()}{8 * a.dtype.itemsize}" for name, a in self.arrays.items()}

    @property
    def n_values(self) -> int:
        """The number of values of all together."""
        return sum(array.size for array in self.arrays.values())

    def read(self, name: str) -> Tensor:
        """Return one of them, in memory of its own."""
        return torch.from_numpy(np.array(self.arrays[name]))


def check_sizes(saved: Mapping[str, Any], input_shape: tuple[int, ...], weights: StoredWeights) -> None:
    """Raise where settings ask for more than the weights can be of, before anything is built."""
    n_features, n_tensors, n_values = math.prod(input_shape), len(weights.shapes), weights.n_values
    if n_features > MOST_FEATURES:
        raise ModelFileError(
            f"its rows have {n_features:.3g} values, and can have {MOST_FEATURES} at most: its weights do not fit."
        )
    parts = {"settings": saved, **{name: saved.get(name) or {} for name in ("network", "bottleneck")}}
    for part, settings in parts.items():
        for setting, value in settings.items():
            # Each layer has a weight of its own, and nothing is wider than there are values.
            layers = value if setting.endswith("layers") and isinstance(value, int) else 0
            layers = len(value) if setting in {"hidden_layers", "channels"} and value != "auto" else layers
            widths = value if isinstance(value, list) else []
            if layers > min(n_tensors, MOST_LAYERS) or max(widths, default=0) > max(n_values, n_features):
                raise ModelFileError(
                    f"its weights do not fit its configuration: its {part} have {setting}={shortened(str(value), 60)}."
                )


def assembly_from(settings: Settings, input_shape: tuple[int, ...], weights: StoredWeights) -> Assembly:
    """Return the network with its weights; shapes come first, which take no memory."""
    wanted = weights_of(build_assembly(settings, input_shape, None))
    check_shapes(wanted, weights)
    assembly = build_assembly(settings, input_shape, torch.Generator())
    with torch.no_grad():
        for name, place in weights_of(assembly).items():
            place.copy_(weights.read(name))
    assembly.bottleneck.set_progress(1.0)
    return assembly


def revived_settings(saved: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Return settings or parameters with their parts and tuples, from the form that JSON holds."""
    return {name: _revive(name, value, owner) for name, value in saved.items()}


def _revive(name: str, value: Any, owner: str) -> Any:
    if isinstance(value, Mapping):
        return resolve(value, PARTS[name], parameter=name, owner=owner)
    return tuple(value) if isinstance(value, list) else value


def scaling_from(weights: StoredWeights, n_features: int) -> Scaling:
    """Return the scaling, if it fits the rows."""
    for name in SCALING:
        if weights.shapes.get(name) not in {(1,), (n_features,)}:
            raise ModelFileError(
                "its configuration is damaged: the shapes of its scaling do not fit its rows."
            )
    offset, unit = (weights.read(name).double() for name in SCALING)
    if offset.shape != unit.shape:
        raise ModelFileError("the shapes of its scaling do not fit each other.")
    if not (unit > 0).all():
        raise ModelFileError("its scaling has a unit that is not positive.")
    return Scaling(offset, unit)


def check_shapes(places: Mapping[str, Tensor], weights: StoredWeights) -> None:
    """Compare with what the configuration asks for, before memory is taken for it."""
    wanted = {name: tuple(place.shape) for name, place in places.items()}
    got = {name: shape for name, shape in weights.shapes.items() if name not in SCALING}
    for name in sorted({*wanted, *got}):
        if wanted.get(name) != got.get(name):
            raise ModelFileError(
                f"its weights do not fit its configuration: {name!r} should be {wanted.get(name)}, but is "
                f"{got.get(name)}."
            )
        if places[name].is_floating_point() != (weights.dtypes[name] in FLOATS):
            raise ModelFileError(f"its weights {name!r} are of the type {weights.dtypes[name]}.")
