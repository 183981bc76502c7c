"""Autoencoders with scikit-learn's contract.

>>> from isthmus import Autoencoder
>>> Autoencoder(n_components=32)
Autoencoder(n_components=32)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.estimators import (
        Autoencoder,
        Compressor,
        ContractiveAutoencoder,
        ConvolutionalAutoencoder,
        DeepBeliefNetwork,
        DenoisingAutoencoder,
        KSparseAutoencoder,
        Map,
        MaskedAutoencoder,
        PretrainedClassifier,
        RestrictedBoltzmannMachine,
        SequenceAutoencoder,
        SparseAutoencoder,
        VariationalAutoencoder,
        VectorQuantizedAutoencoder,
        find_learning_rate,
        load,
    )
    from isthmus.training import Checkpoint

__version__ = "0.1.0.dev0"

__all__ = [
    "Autoencoder",
    "Checkpoint",
    "Compressor",
    "ContractiveAutoencoder",
    "ConvolutionalAutoencoder",
    "DeepBeliefNetwork",
    "DenoisingAutoencoder",
    "KSparseAutoencoder",
    "Map",
    "MaskedAutoencoder",
    "PretrainedClassifier",
    "RestrictedBoltzmannMachine",
    "SequenceAutoencoder",
    "SparseAutoencoder",
    "VariationalAutoencoder",
    "VectorQuantizedAutoencoder",
    "__version__",
    "find_learning_rate",
    "load",
]

# The public names and where they live; loaded on first use, so that `import isthmus` costs nothing.
_HOMES = dict.fromkeys((name for name in __all__ if not name.startswith("_")), "isthmus.estimators")
_HOMES["Checkpoint"] = "isthmus.training"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
