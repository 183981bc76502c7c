"""Between fitted estimators and the files of :mod:`isthmus.persistence`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import isthmus
from isthmus._specification import Specification
from isthmus.persistence import write_model

if TYPE_CHECKING:
    from isthmus.estimators._base import BaseAutoencoder

#: Parameters that are not configuration: what they hold stays with the program that made it.
NOT_SAVED = ("callbacks",)


def save(model: BaseAutoencoder, folder: Path, *, overwrite: bool) -> None:
    """Write a fitted estimator to ``folder``."""
    names = getattr(model, "feature_names_in_", None)
    config = {
        "class": type(model).__name__,
        "isthmus": isthmus.__version__,
        "torch": torch.__version__,
        "parameters": {name: plain(value, name) for name, value in model.get_params(deep=False).items()},
        "settings": {name: plain(value, name) for name, value in model.settings_.to_dict().items()},
        "input_shape": list(model.input_shape_),
        "feature_names": None if names is None else [str(name) for name in names],
        "code_usage": model.code_usage_.tolist(),
        "history": model.history_,
    }
    # named_parameters lists a tied weight once, which is also what safetensors wants.
    tensors = dict(model._assembly.named_parameters())
    scaling = model.encoder_.scaling
    tensors |= {"scaling.offset": scaling.offset, "scaling.unit": scaling.unit}  # type: ignore[dict-item]
    write_model(folder, config, tensors, overwrite=overwrite)


def plain(value: Any, name: str) -> Any:
    """Return a parameter's value as JSON can hold it."""
    if name in NOT_SAVED or isinstance(value, (np.random.RandomState, np.random.Generator)):
        return None
    if isinstance(value, Specification):
        return value.to_dict()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list)):
        return [plain(item, name) for item in value]
    return value if isinstance(value, (str, int, float, bool, dict, type(None))) else str(value)
