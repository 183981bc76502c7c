"""Named defaults: the same constructor with other default values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


def with_defaults(constructor: Callable[P, T], **defaults: Any) -> Callable[P, T]:
    """Return ``constructor`` with other default values, visible in its signature.

    scikit-learn, ``help()``, the command line and type checkers then see one list of parameters,
    written down once.
    """
    signature = inspect.signature(constructor)
    parameters = [
        parameter.replace(default=defaults.get(name, parameter.default))
        for name, parameter in signature.parameters.items()
    ]

    @functools.wraps(constructor)
    def init(*args: P.args, **kwargs: P.kwargs) -> T:
        return constructor(*args, **cast(Any, {**defaults, **kwargs}))

    cast(Any, init).__signature__ = signature.replace(parameters=parameters)
    return init
