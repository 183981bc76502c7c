"""Saved models back to estimators: class names from an explicit table, nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from isthmus._device import choose_device, own_work
from isthmus.errors import IsthmusError, ModelFileError
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._entries import fault_of
from isthmus.estimators._restoring import assembly_from, check_sizes, revived_settings, scaling_from
from isthmus.estimators._settings import Settings
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
from isthmus.persistence import Weights, open_weights, read_config

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
    config = read_config(folder)
    try:
        with own_work(), open_weights(folder) as weights:
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
    _check_lengths(config, saved, input_shape)
    check_sizes(saved, input_shape, weights)
    model = owner(**revived_settings(parameters, name))
    settings = Settings(**revived_settings(saved, name))
    if modules is not None:
        model.network = modules
        settings = dataclasses.replace(settings, network=modules)
    model._install(
        settings,
        assembly_from(settings, input_shape, weights),
        scaling_from(weights, math.prod(input_shape)),
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


def _check_lengths(
    config: Mapping[str, Any],
    saved: Mapping[str, Any],
    input_shape: tuple[int, ...],
) -> None:
    """Raise where a configuration does not fit itself, before anything is built."""
    n_features = math.prod(input_shape)
    lengths = {"code_usage": (len(config["code_usage"]), saved["n_components"])}
    if config["feature_names"] is not None:
        lengths["feature_names"] = (len(config["feature_names"]), n_features)
    for entry, (length, wanted) in lengths.items():
        if length != wanted:
            raise ModelFileError(f"its {entry} has {length} entries, but should have {wanted}.")
    if (config["best_epoch"] or 1) > len(config["history"]):
        raise ModelFileError("its best_epoch is none of those of its history.")
