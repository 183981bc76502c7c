"""The tables of a report that are not about models as a whole: features, rates, settings, versions."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus._checks import wrong_parameter
from isthmus.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from isthmus.estimators import BaseAutoencoder

    Array: TypeAlias = NDArray[Any]
    Rows: TypeAlias = list[dict[str, Any]]

__all__ = [
    "checked_names",
    "feature_table",
    "fingerprint",
    "rates_table",
    "settings_of",
    "settings_table",
    "versions",
]

PACKAGES = ("isthmus", "torch", "numpy", "scipy", "scikit-learn", "matplotlib", "pillow")
SHOWN_FEATURES = 20
BLOCK_ROWS = 4096


def checked_names(names: Sequence[str] | None, features: int) -> list[str]:
    """Return a name for each feature: the given ones, or numbers from 0."""
    if names is None:
        return [str(number) for number in range(features)]
    known = [str(name) for name in names]
    if len(known) != features:
        raise DataError(
            f"feature_names has {len(known)} names, but summarise is expecting one for each of "
            f"{features} features."
        )
    return known


def feature_table(X: Array, copies: Array, names: Sequence[str]) -> Rows:
    """Return the features that are copied worst, worst first.

    Parameters
    ----------
    X, copies : ndarray of shape (n, ...)
        Rows and what came back.
    names : sequence of str
        A name for each value of a row.

    Returns
    -------
    list of dict
        At most 20, each with ``name``, ``variance``, ``error`` (mean square) and ``explained``: the
        share of its variance, None for a feature that never changes.

    Examples
    --------
    >>> X = np.array([[0.0, 1.0], [2.0, 1.0]])
    >>> feature_table(X, np.array([[0.5, 1.0], [1.5, 1.0]]), ["a", "b"])
    [{'name': 'a', 'variance': 1.0, 'error': 0.25, 'explained': 0.75},
     {'name': 'b', 'variance': 0.0, 'error': 0.0, 'explained': None}]
    """
    flat, back = (np.asarray(rows, dtype=np.float64).reshape(len(rows), -1) for rows in (X, copies))
    variances, errors = flat.var(axis=0), ((flat - back) ** 2).mean(axis=0)
    worst = np.argsort(-errors, kind="stable")[:SHOWN_FEATURES]
    return [
        {
            "name": names[feature],
            "variance": float(variances[feature]),
            "error": float(errors[feature]),
            "explained": float(1 - errors[feature] / variances[feature]) if variances[feature] > 0 else None,
        }
        for feature in worst.tolist()
    ]


def rates_table(rates: Sequence[Mapping[str, Any]] | None) -> Rows:
    """Return what files of codes and of codecs cost and lose, curve by curve, small files first."""
    for row in rates or ():
        if not {"name", "bits_per_value", "sse"} <= row.keys():
            wanted = "rows with a name, bits_per_value and sse"
            raise wrong_parameter("summarise", "rates", wanted, dict(row))
    rows = [
        {
            "name": str(row["name"]),
            "kind": str(row.get("kind", "model")),
            "bytes": None if row.get("bytes") is None else int(row["bytes"]),
            "bits_per_value": float(row["bits_per_value"]),
            "sse": float(row["sse"]),
        }
        for row in rates or ()
    ]
    places = {name: place for place, name in enumerate(dict.fromkeys(row["name"] for row in rows))}
    return sorted(rows, key=lambda row: (places[row["name"]], row["bits_per_value"]))


def settings_of(model: BaseAutoencoder) -> dict[str, object]:
    """Return what makes the model again: its parameters, those left open as they were decided."""
    parameters = model.get_params(deep=False)
    decided = {name: getattr(model.settings_, name, value) for name, value in parameters.items()}
    shown = {name: str(value) for name, value in decided.items() if name not in {"callbacks", "verbose"}}
    return {"estimator": type(model).__name__, **shown}


def settings_table(settings: Mapping[str, Mapping[str, object]]) -> Rows:
    """Turn settings by model into one line for each parameter of any of them."""
    parameters = dict.fromkeys(parameter for values in settings.values() for parameter in values)
    lines = []
    for parameter in parameters:
        values = {name: repr(own[parameter]) if parameter in own else None for name, own in settings.items()}
        lines.append({"parameter": parameter, "values": values, "same": len(set(values.values())) == 1})
    return lines


def versions() -> dict[str, str]:
    """Return the versions of what computes, and the kind of machine."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    found["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return found


def fingerprint(X: Array) -> str:
    """Return sixteen letters that change if a value, the type or the shape of X does.

    Examples
    --------
    >>> fingerprint(np.zeros((2, 3))) == fingerprint(np.zeros((3, 2)))
    False
    """
    digest = hashlib.sha256(f"{X.dtype.str} {X.shape}".encode())
    for start in range(0, len(X), BLOCK_ROWS):
        digest.update(np.ascontiguousarray(X[start : start + BLOCK_ROWS]).data)
    return digest.hexdigest()[:16]
