"""Checks of parameters, with one wording for every message."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from isthmus.errors import InvalidParameterError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Iterable


def wrong_parameter(
    owner: str, parameter: str, wanted: str, got: object, advice: str = ""
) -> InvalidParameterError:
    """Return the error that says which parameter of what is wrong, and what to do."""
    message = f"The {parameter!r} parameter of {owner} must be {wanted}. Got {shortened(repr(got))} instead."
    return InvalidParameterError(f"{message} {advice}".rstrip())


def shortened(text: str, length: int = 300) -> str:
    r"""Return text as one line of at most ``length`` characters: what comes from files may be of any size.

    Examples
    --------
    >>> shortened("a name\nin two lines"), shortened("x" * 100, length=9)
    ('a name in two lines', 'xxxxxx...')
    """
    line = " ".join(text[: 2 * length].split())
    return line if len(line) <= length and len(text) <= 2 * length else line[: length - 3] + "..."


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``Did you mean 'x'?`` for the nearest known name, or an empty string."""
    # The time that it takes grows with the square of the length, and so long a name is like no known one.
    close = difflib.get_close_matches(name[:100].lower(), list(known), n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else ""


class NamedArguments:
    """Mixin of classes whose constructor refuses unknown arguments in the name of the class."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        check_arguments(cls, args, kwargs)
        return super().__new__(cls)


def check_arguments(kind: type, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    """Refuse arguments that the constructor of a class does not have, in the name of that class.

    Python's own message names the class that defines the constructor, which may be a base class.
    """
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]  # type: ignore[misc]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    names = [parameter.name for parameter in parameters]
    for name in kwargs:
        if name not in names:
            message = (
                f"{kind.__name__} got an unexpected keyword argument {name!r}. {suggestion(name, names)}"
            )
            raise InvalidTypeError(message.rstrip())
    positional = [
        parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    if len(args) > len(positional):
        raise InvalidTypeError(
            f"{kind.__name__} takes at most {len(positional)} positional arguments "
            f"({', '.join(positional) or 'none'}), but {len(args)} were given. Pass the others by name."
        )


def check_choice(value: object, choices: Iterable[str], *, parameter: str, owner: str) -> str:
    """Return ``value`` if it is one of ``choices``."""
    names = list(choices)
    if isinstance(value, str) and value in names:
        return value
    advice = suggestion(value, names) if isinstance(value, str) else ""
    raise wrong_parameter(owner, parameter, "one of " + ", ".join(map(repr, names)), value, advice)


def check_number(
    value: object,
    *,
    parameter: str,
    owner: str,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    open_minimum: bool = False,
    open_maximum: bool = False,
) -> float:
    """Return ``value`` as a float if it is a finite real number in the interval."""
    wanted = (
        f"a number in {'(' if open_minimum else '['}{minimum:g}, {maximum:g}{')' if open_maximum else ']'}"
    )
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidTypeError(str(wrong_parameter(owner, parameter, wanted, value)))
    number = float(value)
    below = number <= minimum if open_minimum else number < minimum
    above = number >= maximum if open_maximum else number > maximum
    if not math.isfinite(number) or below or above:
        raise wrong_parameter(owner, parameter, wanted, value)
    return number


def check_integer(value: object, *, parameter: str, owner: str, minimum: int = 0, advice: str = "") -> int:
    """Return ``value`` as an int if it is an integer of at least ``minimum``."""
    wanted = f"an integer of at least {minimum}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidTypeError(str(wrong_parameter(owner, parameter, wanted, value, advice)))
    if value < minimum:
        raise wrong_parameter(owner, parameter, wanted, value, advice)
    return int(value)


def check_flag(value: Any, *, parameter: str, owner: str) -> bool:
    """Return ``value`` as a bool if it is one."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidTypeError(str(wrong_parameter(owner, parameter, "True or False", value)))
    return bool(value)


def check_widths(value: object, *, parameter: str, owner: str, at_least_one: bool = False) -> tuple[int, ...]:
    """Return ``value`` as a tuple if it is a sequence of positive integers."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence) or (at_least_one and not value):
        wanted = "a sequence of widths such as (128, 64)"
        raise InvalidTypeError(str(wrong_parameter(owner, parameter, wanted, value)))
    return tuple(check_integer(width, parameter=parameter, owner=owner, minimum=1) for width in value)
