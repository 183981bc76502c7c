"""Tensors in, tensors out: methods that are given a tensor of torch return tensors on its device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from isthmus._checks import NamedArguments
from isthmus._device import does_own_work, own_work
from isthmus.rows import as_array, is_tensor, tensors_like

#: The methods whose results are of the kind of their rows or codes, wherever a class defines them.
METHODS = (
    "transform",
    "fit_transform",
    "inverse_transform",
    "reconstruct",
    "denoise",
    "corrupt",
    "gibbs",
    "interpolate",
    "tokens",
    "from_tokens",
    "score",
    "score_samples",
    "elbo",
    "free_energy",
    "log_likelihood",
    "latent_distribution",
    "active_units",
    "decision_function",
    "predict",
    "predict_proba",
    "predict_log_proba",
)

#: The methods that see to that themselves: warnings of theirs name the line that called them.
PUBLISHED = ("fit", "partial_fit")


class TensorsMixin(NamedArguments):
    """Has the methods of a class compute as Isthmus promises to, and return tensors where they are given one.

    The type of the input decides, whether or not scikit-learn's ``array_api_dispatch`` is on; where
    ``set_output`` asks for a data frame, a data frame is returned. To be the first of the bases, so that results
    are seen after scikit-learn has put them into a frame.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, method in list(vars(cls).items()):
            if name in METHODS:
                setattr(cls, name, _answering_in_kind(method))
            elif isinstance(method, FunctionType) and not name.startswith("_") and name not in PUBLISHED:
                setattr(cls, name, does_own_work(method))


def _answering_in_kind(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that computes with arrays, and returns tensors where it was given one."""

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **options: Any) -> Any:
        given = next((value for value in (*args, *options.values()) if is_tensor(value)), None)
        with own_work():
            if given is None:
                return method(self, *args, **options)
            owner = f"X of {type(self).__name__}"
            args = tuple(_arrays(args, owner))
            options = dict(zip(options, _arrays(options.values(), owner), strict=True))
            return tensors_like(method(self, *args, **options), given)

    return wrapped


def _arrays(values: Iterable[Any], owner: str) -> list[Any]:
    return [as_array(value, owner) if is_tensor(value) else value for value in values]
