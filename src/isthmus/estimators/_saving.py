"""Between fitted estimators and the files of :mod:`isthmus.persistence`."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import isthmus
from isthmus._specification import Specification
from isthmus.errors import DataError
from isthmus.estimators._assembly import Assembly, Encoder
from isthmus.estimators._entries import NOT_SAVED, fault_of
from isthmus.estimators._scaling import Scaling
from isthmus.estimators._settings import Settings
from isthmus.estimators._training_range import TrainingRange
from isthmus.persistence import write_model


class Fitted(Protocol):
    """What is saved of a fitted estimator."""

    settings_: Settings
    input_shape_: tuple[int, ...]
    code_usage_: NDArray[np.float64]
    history_: list[dict[str, float]]
    pretraining_history_: list[dict[str, float]]
    best_epoch_: int | None
    stop_reason_: str | None
    engine_: dict[str, Any]
    encoder_: Encoder
    _assembly: Assembly
    _training_range: TrainingRange | None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters."""
        ...


def save(model: Fitted, folder: Path, *, overwrite: bool) -> None:
    """Write a fitted estimator to ``folder``.

    Raises
    ------
    DataError
        When it holds something that a file cannot hold, such as a schedule of the user's own.
    """
    names = getattr(model, "feature_names_in_", None)
    config: dict[str, Any] = {
        "class": type(model).__name__,
        "isthmus": isthmus.__version__,
        "torch": torch.__version__,
        "parameters": {name: plain(value, name) for name, value in model.get_params(deep=False).items()},
        "settings": plain_settings(model.settings_),
        "input_shape": list(model.input_shape_),
        "feature_names": None if names is None else [str(name) for name in names],
        "code_usage": model.code_usage_.tolist(),
        "history": model.history_,
        "pretraining_history": model.pretraining_history_,
        "best_epoch": model.best_epoch_,
        "stop_reason": model.stop_reason_,
        "engine": model.engine_,
        "training_range": None if model._training_range is None else model._training_range.to_dict(),
    }
    fault = fault_of(config["settings"], config["parameters"], type(model))
    if fault is not None:
        raise DataError(f"The model was not saved, since it could not be loaded again: {fault}")
    write_model(folder, config, tensors_of(model._assembly, model.encoder_.scaling), overwrite=overwrite)


def plain_settings(settings: Settings) -> dict[str, Any]:
    """Return what was decided for a fit, as JSON can hold it."""
    return {name: plain(value, name) for name, value in settings.to_dict().items()}


def tensors_of(assembly: Assembly, scaling: Scaling) -> dict[str, Tensor]:
    """Return all tensors of a fitted model, by name."""
    return weights_of(assembly) | {"scaling.offset": scaling.offset, "scaling.unit": scaling.unit}


def weights_of(assembly: nn.Module) -> dict[str, Tensor]:
    """Return everything that was learnt, by name: parameters, and what bottlenecks keep beside them."""
    # named_parameters lists a tied weight once, which is also what safetensors wants.
    learnt: dict[str, Tensor] = dict(assembly.named_parameters())
    kept = assembly.state_dict(keep_vars=True)
    return learnt | {name: kept[name] for name, _ in assembly.named_buffers() if name in kept}


def plain(value: Any, name: str) -> Any:
    """Return a parameter's value as JSON can hold it."""
    if name in NOT_SAVED or isinstance(value, (np.random.RandomState, np.random.Generator)):
        return None
    if isinstance(value, Specification):
        return plain(value.to_dict(), name)
    if isinstance(value, dict):
        return {str(key): plain(item, name) for key, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()  # as a text, a long array would lose its middle
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, Sequence):
        return [plain(item, name) for item in value]
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else str(value)
