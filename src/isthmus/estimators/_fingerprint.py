"""What a fitted model is, in 32 digits: two models with the same digits decode alike."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator

from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._saving import plain, weights_of


def fingerprint(model: Any) -> str:
    """Return a hash of everything that decides what a fitted model computes.

    Parameters
    ----------
    model : estimator
        An autoencoder: its class, network and weights count, and not where it computes or how it was
        trained. Any other scikit-learn estimator: its parameters and what it learnt.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    digest = hashlib.sha256()
    _add(digest, _essence(model))
    return digest.hexdigest()[:32]


def _essence(model: Any) -> Any:
    if not isinstance(model, BaseAutoencoder):
        return (type(model).__name__, vars(model))
    scaling = model.encoder_.scaling
    weights = {name: value.detach().cpu().numpy() for name, value in weights_of(model._assembly).items()}
    built = {name: plain(getattr(model.settings_, name), name) for name in ("network", "bottleneck", "loss")}
    return (
        type(model).__name__,
        built,
        model.input_shape_,
        weights,
        scaling.offset.cpu().numpy(),
        scaling.unit.cpu().numpy(),
    )


def _add(digest: Any, part: Any) -> None:
    """Feed a digest with a value, so that different values feed it differently."""
    digest.update(f"{type(part).__name__}:".encode())
    if isinstance(part, np.ndarray) and part.dtype.kind != "O":
        digest.update(f"{part.dtype.str}{part.shape}".encode() + np.ascontiguousarray(part).tobytes())
    elif isinstance(part, Mapping):
        for key in sorted(part, key=str):
            _add(digest, str(key))
            _add(digest, part[key])
    elif isinstance(part, (list, tuple, np.ndarray)):
        digest.update(f"{len(part)}:".encode())
        for item in part:
            _add(digest, item)
    elif isinstance(part, BaseEstimator):
        _add(digest, _essence(part))
    elif isinstance(part, (str, int, float, bool, np.generic, type(None))):
        text = repr(part).encode()
        digest.update(f"{len(text)}:".encode() + text)
    elif isinstance(part, FunctionType | BuiltinFunctionType | np.ufunc):
        # Its name: what a function does has no bytes that last from one Python to the next.
        _add(digest, f"{getattr(part, '__module__', '')}.{getattr(part, '__qualname__', part.__name__)}")
    elif issparse(part):
        whole = part.tocoo()
        _add(digest, [part.shape, whole.row, whole.col, whole.data])
    # Anything else, such as a random generator, has no bytes that last: its type has to do.
