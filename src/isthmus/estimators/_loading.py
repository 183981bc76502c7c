"""Saved models back to estimators: class names from an explicit table, nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from isthmus._checks import shortened
from isthmus._device import choose_device
from isthmus._specification import resolve
from isthmus.errors import IsthmusError, ModelFileError
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._building import build_assembly
from isthmus.estimators._entries import MOST_LAYERS, fault_of
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
from isthmus.persistence import MOST_FEATURES, Weights, open_weights, read_config

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

#: The tensors that belong to no part of the network.
SCALING = ("scaling.offset", "scaling.unit")

#: What safetensors calls numbers that weights can be.
FLOATS = frozenset({"F16", "BF16", "F32", "F64"})


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
    config = read_config(folder)
    try:
        with open_weights(folder) as weights:
            model = _rebuild(config, weights, device, None if network is None else Modules(*network))
    except ModelFileError as error:
        raise error if str(folder) in str(error) else _worded(folder, str(error)) from error
    except IsthmusError as error:
        raise _worded(folder, str(error)) from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise _worded(folder, f"its configuration is damaged ({error!r}).") from error
    return model


def _worded(folder: Path, what: str) -> ModelFileError:
    return ModelFileError(f"{folder} cannot be loaded: {what}")


def _rebuild(
    config: Mapping[str, Any], weights: Weights, device: str, modules: Modules | None
) -> BaseAutoencoder:
    """Return the model; nothing is built before its size is known to be that of the weights."""
    name = config["class"]
    if name not in ESTIMATORS:
        known = ", ".join(ESTIMATORS)
        raise ModelFileError(f"its class {name!r} is not one of {known}. Was it saved by a newer Isthmus?")
    owner = ESTIMATORS[name]
    parameters, saved = dict(config["parameters"]), dict(config["settings"])
    fault = fault_of(saved, parameters, owner)
    if fault is not None:
        raise ModelFileError(f"its configuration is damaged: {fault}")
    if (saved.get("network") or {}).get("part") == Modules.name:
        if modules is None:
            raise ModelFileError(
                "its network is a pair of modules, of which a file holds the weights alone. "
                "Give modules of the same make: load(path, network=(encoder, decoder))."
            )
        del saved["network"]
        parameters.pop("network", None)
    elif modules is not None:
        raise ModelFileError(
            "its network is one of Isthmus, so that network=(encoder, decoder) is not wanted."
        )
    input_shape = tuple(config["input_shape"])
    _check_sizes(config, saved, input_shape, weights)
    model = owner(**_revived(parameters, name))
    settings = Settings(**_revived(saved, name))
    if modules is not None:
        model.network = modules
        settings = dataclasses.replace(settings, network=modules)
    model._install(
        settings,
        _assembly(settings, input_shape, weights),
        _scaling(weights, math.prod(input_shape)),
        choose_device(device, name),
    )
    _remember(model, config, input_shape)
    return model


def _remember(model: BaseAutoencoder, config: Mapping[str, Any], input_shape: tuple[int, ...]) -> None:
    """Give a model what is known of its training."""
    n_features = math.prod(input_shape)
    model._seed = 0
    model.input_shape_ = input_shape
    model.n_features_in_ = n_features
    if config["feature_names"] is not None:
        model.feature_names_in_ = np.asarray(config["feature_names"], dtype=object)
    model.history_ = [dict(row) for row in config["history"]]
    model.n_epochs_ = int(model.history_[-1]["epoch"])
    model.best_epoch_ = config["best_epoch"]
    # The rest is not in files of earlier versions.
    model.pretraining_history_ = [dict(row) for row in config.get("pretraining_history", [])]
    model.stop_reason_ = config.get("stop_reason")
    model.engine_ = dict(config.get("engine", {}))
    spread = config.get("training_range")
    model._training_range = None if spread is None else TrainingRange.from_dict(spread, n_features)
    model.loss_ = model.history_[(model.best_epoch_ or 0) - 1]["loss"]
    model.code_usage_ = np.asarray(config["code_usage"], dtype=np.float64)


def _check_sizes(
    config: Mapping[str, Any], saved: Mapping[str, Any], input_shape: tuple[int, ...], weights: Weights
) -> None:
    """Raise where a configuration asks for more than the weights can be of, before anything is built."""
    n_features, n_tensors, n_values = math.prod(input_shape), len(weights.shapes), weights.n_values
    if n_features > MOST_FEATURES:
        raise ModelFileError(
            f"its rows have {n_features:.3g} values, and can have {MOST_FEATURES} at most: its weights do not fit."
        )
    lengths = {"code_usage": (len(config["code_usage"]), saved["n_components"])}
    if config["feature_names"] is not None:
        lengths["feature_names"] = (len(config["feature_names"]), n_features)
    for entry, (length, wanted) in lengths.items():
        if length != wanted:
            raise ModelFileError(f"its {entry} has {length} entries, but should have {wanted}.")
    if (config["best_epoch"] or 1) > len(config["history"]):
        raise ModelFileError("its best_epoch is none of those of its history.")
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


def _assembly(settings: Settings, input_shape: tuple[int, ...], weights: Weights) -> Assembly:
    """Return the network with its weights; shapes come first, which take no memory."""
    wanted = weights_of(build_assembly(settings, input_shape, None))
    _check_shapes(wanted, weights)
    assembly = build_assembly(settings, input_shape, torch.Generator())
    with torch.no_grad():
        for name, place in weights_of(assembly).items():
            place.copy_(weights.read(name))
    assembly.bottleneck.set_progress(1.0)
    return assembly


def _revived(saved: Mapping[str, Any], owner: str) -> dict[str, Any]:
    return {name: _revive(name, value, owner) for name, value in saved.items()}


def _revive(name: str, value: Any, owner: str) -> Any:
    if isinstance(value, Mapping):
        return resolve(value, PARTS[name], parameter=name, owner=owner)
    return tuple(value) if isinstance(value, list) else value


def _scaling(weights: Weights, n_features: int) -> Scaling:
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


def _check_shapes(places: Mapping[str, Tensor], weights: Weights) -> None:
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
