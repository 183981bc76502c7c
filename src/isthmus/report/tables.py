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
    "explained_by_feature",
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


def explained_by_feature(X: Array, copies: Array) -> NDArray[np.float64]:
    """Return the share of the variance of each feature that is explained; NaN for one that never changes."""
    variances, errors = _moments(X, copies)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variances > 0, 1 - errors / variances, np.nan)


def feature_table(
    X: Array, copies: Array, names: Sequence[str], reference: NDArray[np.float64] | None = None
) -> Rows:
    """Return the features that are reconstructed worst, worst first.

    The order is by the share of variance that is not explained, which does not depend on units.

    Parameters
    ----------
    X, copies : ndarray of shape (n, ...)
        Rows and their reconstructions, in the units of the data.
    names : sequence of str
        A name for each value of a row.
    reference : ndarray of shape (features,), optional
        What a baseline explains of each feature, from :func:`explained_by_feature`.

    Returns
    -------
    list of dict
        At most 20, each with ``name``, ``std`` and ``rmse`` (standard deviation and root mean squared error, in
        the unit of the feature), ``explained`` (share of its variance; None for a feature that never changes) and
        ``reference`` (the same for the baseline).

    Examples
    --------
    >>> X = np.array([[0.0, 1.0], [2.0, 1.0]])
    >>> feature_table(X, np.array([[0.5, 1.0], [1.5, 1.0]]), ["a", "b"])
    [{'name': 'a', 'std': 1.0, 'rmse': 0.5, 'explained': 0.75, 'reference': None},
     {'name': 'b', 'std': 0.0, 'rmse': 0.0, 'explained': None, 'reference': None}]
    """
    variances, errors = _moments(X, copies)
    explained = explained_by_feature(X, copies)
    beside = np.full(len(explained), np.nan) if reference is None else reference
    worst = np.argsort(explained, kind="stable")[:SHOWN_FEATURES]  # NaN comes last
    return [
        {
            "name": names[feature],
            "std": float(np.sqrt(variances[feature])),
            "rmse": float(np.sqrt(errors[feature])),
            "explained": _or_none(explained[feature]),
            "reference": _or_none(beside[feature]),
        }
        for feature in worst.tolist()
    ]


def _moments(X: Array, copies: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return variance and mean squared error of each feature."""
    flat, back = (np.asarray(rows, dtype=np.float64).reshape(len(rows), -1) for rows in (X, copies))
    return flat.var(axis=0), ((flat - back) ** 2).mean(axis=0)


def _or_none(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


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
