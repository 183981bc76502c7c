"""Saved models back to estimators: class names from an explicit table, nothing else."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from isthmus._device import choose_device
from isthmus._specification import Specification, resolve
from isthmus.errors import IsthmusError, ModelFileError
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._building import build_assembly
from isthmus.estimators._saving import weights_of
from isthmus.estimators._scaling import Scaling
from isthmus.estimators._settings import PARTS, Settings
from isthmus.estimators._training_range import TrainingRange
from isthmus.estimators.autoencoder import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalAutoencoder,
    KSparseAutoencoder,
    MaskedAutoencoder,
    SparseAutoencoder,
)
from isthmus.estimators.belief import DeepBeliefNetwork
from isthmus.estimators.boltzmann import RestrictedBoltzmannMachine
from isthmus.estimators.denoising import DenoisingAutoencoder
from isthmus.estimators.quantized import VectorQuantizedAutoencoder
from isthmus.estimators.sequences import SequenceAutoencoder
from isthmus.estimators.variational import VariationalAutoencoder
from isthmus.networks import Modules
from isthmus.persistence import read_model

ESTIMATORS: Mapping[str, type[BaseAutoencoder]] = {
    estimator.__name__: estimator
    for estimator in (
        Autoencoder,
        SparseAutoencoder,
        KSparseAutoencoder,
        DenoisingAutoencoder,
        ContractiveAutoencoder,
        VariationalAutoencoder,
        ConvolutionalAutoencoder,
        VectorQuantizedAutoencoder,
        MaskedAutoencoder,
        SequenceAutoencoder,
        RestrictedBoltzmannMachine,
        DeepBeliefNetwork,
    )
}


def load(
    path: str | Path,
    *,
    device: str = "auto",
    network: tuple[nn.Module, nn.Module] | None = None,
) -> BaseAutoencoder:
    """Read a model that `save` wrote.

    Nothing in the files is run: the configuration is JSON, the weights are safetensors, and only
    classes and parts of Isthmus are built.

    Parameters
    ----------
    path : str or Path
        The model's folder.
    device : str, default="auto"
        Where the model is to compute.
    network : pair of torch.nn.Module, optional
        Encoder and decoder like those that the model was made with, where it was made with modules of
        one's own; their weights are replaced by the saved ones.

    Returns
    -------
    model : estimator
        As it was saved; ``callbacks``, and a ``random_state`` that is not a number, come back as None.

    Raises
    ------
    ValueError
        When the folder is not a whole model.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from isthmus import Autoencoder, load
    >>> X = np.random.default_rng(0).normal(size=(40, 6))
    >>> model = Autoencoder(2, epochs=2, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/six-to-two")
    ...     again = load(f"{folder}/six-to-two")
    >>> bool((again.transform(X) == model.transform(X)).all())
    True
    """
    folder = Path(path)
    config, tensors = read_model(folder)
    try:
        model = _rebuild(config, tensors, device, None if network is None else Modules(*network))
    except IsthmusError as error:
        raise ModelFileError(f"{folder} cannot be loaded: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise ModelFileError(
            f"{folder} cannot be loaded: its configuration is damaged ({error!r})."
        ) from error
    return model


def _rebuild(
    config: Mapping[str, Any], tensors: dict[str, Tensor], device: str, modules: Modules | None
) -> BaseAutoencoder:
    name = config["class"]
    if name not in ESTIMATORS:
        known = ", ".join(ESTIMATORS)
        raise ModelFileError(f"its class {name!r} is not one of {known}. Was it saved by a newer Isthmus?")
    owner = ESTIMATORS[name]
    parameters, saved = dict(config["parameters"]), dict(config["settings"])
    if saved.get("network", {}).get("part") == Modules.name:
        if modules is None:
            raise ModelFileError(
                "its network is a pair of modules, of which a file holds the weights alone. "
                "Give modules of the same make: load(path, network=(encoder, decoder))."
            )
        del parameters["network"], saved["network"]
    elif modules is not None:
        raise ModelFileError(
            "its network is one of Isthmus, so that network=(encoder, decoder) is not wanted."
        )
    _refuse_impossible_sizes(saved, tensors)
    model = owner(**_parameters(owner, parameters))
    settings = _settings(saved, name)
    if modules is not None:
        model.network = modules
        settings = dataclasses.replace(settings, network=modules)
    input_shape = tuple(int(length) for length in config["input_shape"])
    n_features = math.prod(input_shape)
    scaling = _scaling(tensors, n_features)

    shapes = weights_of(build_assembly(settings, input_shape, None))
    _check_shapes({key: value.shape for key, value in shapes.items()}, tensors)
    assembly = build_assembly(settings, input_shape, torch.Generator())
    with torch.no_grad():
        for key, place in weights_of(assembly).items():
            place.copy_(tensors[key])
    assembly.bottleneck.set_progress(1.0)

    model._install(settings, assembly, scaling, choose_device(device, name))
    model._seed = 0
    model.input_shape_ = input_shape
    model.n_features_in_ = n_features
    if config["feature_names"] is not None:
        model.feature_names_in_ = np.asarray(config["feature_names"], dtype=object)
    model.history_ = [{str(key): value for key, value in row.items()} for row in config["history"]]
    model.n_epochs_ = int(model.history_[-1]["epoch"])
    # not in files of before there was any
    model.pretraining_history_ = [dict(row) for row in config.get("pretraining_history", [])]
    model.best_epoch_ = config["best_epoch"]
    model.stop_reason_ = config.get("stop_reason")  # not in files of before it was known
    model.engine_ = dict(config.get("engine", {}))  # not in files of before it was known
    spread = config.get("training_range")  # not in files of before there was any
    model._training_range = None if spread is None else TrainingRange.from_dict(spread, n_features)
    model.loss_ = model.history_[(model.best_epoch_ or 0) - 1]["loss"]
    model.code_usage_ = np.asarray(config["code_usage"], dtype=np.float64)
    lengths = {"code_usage": (len(model.code_usage_), settings.n_components)}
    if config["feature_names"] is not None:
        lengths["feature_names"] = (len(config["feature_names"]), n_features)
    for entry, (length, wanted) in lengths.items():
        if length != wanted:
            raise ModelFileError(f"its {entry} has {length} entries, but should have {wanted}.")
    return model


def _refuse_impossible_sizes(saved: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raise where a configuration asks for more than the weights can be of, before it is built."""
    n_values = sum(tensor.numel() for tensor in tensors.values())
    for part in ("network", "bottleneck"):
        for setting, value in dict(saved.get(part) or {}).items():
            # Each layer has a weight of its own; nothing else is counted in more than there are numbers.
            most = len(tensors) if setting.endswith("layers") else n_values + 1000
            if isinstance(value, int) and value > most:
                raise ModelFileError(f"its {part} has {setting}={value:.3g}, which its weights cannot be of.")


def _parameters(owner: type[BaseAutoencoder], saved: Mapping[str, Any]) -> dict[str, Any]:
    known = inspect.signature(owner).parameters
    unknown = sorted(set(saved) - set(known))
    if unknown:
        raise ModelFileError(f"its parameters {unknown} are not known. Was it saved by a newer Isthmus?")
    return {name: _revive(name, value, owner.__name__) for name, value in saved.items()}


def _settings(saved: Mapping[str, Any], owner: str) -> Settings:
    return Settings(**{name: _revive(name, value, owner) for name, value in saved.items()})


def _revive(name: str, value: Any, owner: str) -> Any:
    if isinstance(value, Mapping):
        return _part(name, value, owner)
    return tuple(value) if isinstance(value, list) else value


def _part(name: str, value: Mapping[str, Any], owner: str) -> Specification:
    return resolve(value, PARTS[name], parameter=name, owner=owner)


def _scaling(tensors: dict[str, Tensor], n_features: int) -> Scaling:
    offset, unit = tensors.pop("scaling.offset").double(), tensors.pop("scaling.unit").double()
    if offset.shape != unit.shape or tuple(offset.shape) not in {(1,), (n_features,)}:
        raise ModelFileError("the shapes of its scaling do not fit its number of features.")
    if not (unit > 0).all():
        raise ModelFileError("its scaling has a unit that is not positive.")
    return Scaling(offset, unit)


def _check_shapes(wanted: Mapping[str, torch.Size], tensors: Mapping[str, Tensor]) -> None:
    """Compare with what the configuration asks for, before memory is taken for it."""
    got = {name: tensor.shape for name, tensor in tensors.items()}
    for name in sorted({*wanted, *got}):
        if wanted.get(name) != got.get(name):
            sizes = [tuple(shapes[name]) if name in shapes else None for shapes in (wanted, got)]
            raise ModelFileError(
                f"its weights do not fit its configuration: {name!r} should be {sizes[0]}, but is {sizes[1]}."
            )
