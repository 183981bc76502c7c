"""The state of a fitted autoencoder, as pickles hold it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from isthmus.errors import ModelFileError
from isthmus.estimators._assembly import Assembly, Encoder
from isthmus.estimators._entries import fault_of_settings
from isthmus.estimators._pickling import PicklingMixin, arrays_of, device_like, is_of_the_library
from isthmus.estimators._restoring import (
    ArrayWeights,
    assembly_from,
    check_sizes,
    revived_settings,
    scaling_from,
)
from isthmus.estimators._saving import plain_settings, tensors_of
from isthmus.estimators._scaling import Scaling
from isthmus.estimators._settings import PARTS, Settings
from isthmus.estimators._training_range import TrainingRange


class StateMixin(PicklingMixin):
    """Autoencoders whose state holds settings and arrays."""

    input_shape_: tuple[int, ...]
    encoder_: Encoder
    _training_range: TrainingRange | None
    _memory: dict[str, Any]

    #: Attributes that are built from others.
    _BUILT = ("settings_", "encoder_", "decoder_", "_assembly", "_training_range", "_learner")

    def _install(
        self, settings: Settings, assembly: Assembly, scaling: Scaling, device: torch.device
    ) -> None:
        raise NotImplementedError

    def _to_store(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        if not is_rebuildable(state.get("settings_")):
            return None
        assembly, scaling = state["_assembly"], state["encoder_"].scaling
        spread = state.get("_training_range")  # not in models of before there was any
        stored = {
            "settings": plain_settings(state["settings_"]),
            "weights": arrays_of(tensors_of(assembly, scaling)),
            "training_range": None if spread is None else dict(vars(spread)),
            "device": str(assembly.device),
        }
        if "_learner" in state:
            stored["memory"] = arrays_of(state["_learner"][1].state_dict())
        return stored

    def _take_stored(self, stored: Mapping[str, Any]) -> None:
        fault = fault_of_settings(stored["settings"])
        if fault is not None:
            raise ModelFileError(fault)
        shape, weights = tuple(self.input_shape_), ArrayWeights(stored["weights"])
        check_sizes(stored["settings"], shape, weights)
        settings = Settings(**revived_settings(stored["settings"], type(self).__name__))
        n_features, spread = math.prod(shape), stored["training_range"]
        assembly, scaling = assembly_from(settings, shape, weights), scaling_from(weights, n_features)
        self._install(settings, assembly, scaling, device_like(stored["device"]))
        self._training_range = None if spread is None else TrainingRange.from_dict(spread, n_features)
        if "memory" in stored:
            self._memory = stored["memory"]


def is_rebuildable(settings: Settings | None) -> bool:
    """Return whether a network can be built from the settings of a fit, which is not so of a user's own modules."""
    if settings is None:
        return False
    values = {name: getattr(settings, name) for name in PARTS}
    return all(value is None or is_of_the_library(name, value) for name, value in values.items())
