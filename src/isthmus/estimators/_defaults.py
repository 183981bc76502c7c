"""Named defaults: the same constructor with other default values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


def with_defaults(
    constructor: Callable[P, T], *, own: Mapping[str, Any] | None = None, **defaults: Any
) -> Callable[P, T]:
    """Return ``constructor`` with other default values, visible in its signature.

    scikit-learn, ``help()``, the command line and type checkers then see one list of parameters,
    written down once.

    Parameters
    ----------
    constructor : callable
        An ``__init__`` that only stores its arguments.
    own : mapping of str to object, optional
        Parameters that the class has beside those of ``constructor``, and their defaults. They are
        keyword-only and stored as they are.
    **defaults
        The other default values, by name.
    """
    signature, added = inspect.signature(constructor), dict(own or {})
    parameters = [
        parameter.replace(default=defaults.get(name, parameter.default))
        for name, parameter in signature.parameters.items()
    ]
    first = next(
        number for number, parameter in enumerate(parameters) if parameter.kind is parameter.KEYWORD_ONLY
    )
    parameters[first:first] = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value)
        for name, value in added.items()
    ]

    @functools.wraps(constructor)
    def init(*args: P.args, **kwargs: P.kwargs) -> T:
        values = {name: kwargs.pop(name, value) for name, value in added.items()}
        result = constructor(*args, **cast(Any, {**defaults, **kwargs}))
        for name, value in values.items():
            setattr(args[0], name, value)
        return result

    cast(Any, init).__signature__ = signature.replace(parameters=parameters)
    return init
