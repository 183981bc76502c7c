"""Parts as parameters: small frozen descriptions that scikit-learn, JSON and the command line share.

A part (a loss, a penalty, an optimiser, ...) is a frozen dataclass that derives from
:class:`Specification`. Because it never changes, ``clone`` may hand on the same object and it may be
the default value of a constructor. It has one text form and one JSON form::

    L1(weight=0.01)  <->  "l1:weight=0.01"  <->  {"part": "l1", "weight": 0.01}
"""

from __future__ import annotations

import ast
import dataclasses
import re
from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar, cast

from isthmus._checks import NamedArguments, suggestion, wrong_parameter
from isthmus.errors import InvalidParameterError, InvalidTypeError


class Specification(NamedArguments, ABC):
    """Base of the parts; every subclass is a frozen dataclass with a ``name``."""

    name: ClassVar[str]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings by name, as scikit-learn asks for them."""
        return {name: getattr(self, name) for name in self.settings()}

    @classmethod
    def settings(cls) -> tuple[str, ...]:
        """Return the names of the settings."""
        return tuple(field.name for field in dataclasses.fields(cast(Any, cls)))

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some settings changed."""
        return build(type(self), {**self.get_params(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: the name of the part and its settings."""
        return {"part": self.name, **self.get_params()}

    def __str__(self) -> str:
        settings = ",".join(f"{key}={value}" for key, value in self.get_params().items())
        return f"{self.name}:{settings}" if settings else self.name

    def __sklearn_clone__(self) -> Self:
        return self


Part = TypeVar("Part", bound=Specification)


def table(*parts: type[Part]) -> Mapping[str, type[Part]]:
    """Return the parts by name: the names a parameter accepts."""
    return {part.name: part for part in parts}


def build(part: type[Part], settings: Mapping[str, Any]) -> Part:
    """Return ``part(**settings)``, naming a setting it does not have."""
    for setting in settings:
        if setting not in part.settings():
            known = ", ".join(map(repr, part.settings())) or "no settings"
            advice = suggestion(setting, part.settings())
            raise InvalidParameterError(
                f"{part.name!r} has no setting {setting!r}; it has {known}. {advice}".rstrip()
            )
    return part(**settings)


def resolve(value: object, parts: Mapping[str, type[Part]], *, parameter: str, owner: str) -> Part:
    """Return the part that ``value`` stands for.

    Parameters
    ----------
    value : part, str or mapping
        A part is returned as it is. A string is the name of a part, alone (``"l1"``) or with
        settings (``"l1:weight=0.01,on=weights"``). A mapping is the JSON form.
    parts : mapping of str to type
        The parts that fit, by name.
    parameter, owner : str
        Who asks, for the message.

    Returns
    -------
    part : Specification
    """
    if isinstance(value, tuple(parts.values())):
        return cast(Part, value)
    if isinstance(value, str):
        name, settings = _from_text(value, parameter, owner)
    elif isinstance(value, Mapping) and isinstance(value.get("part"), str):
        name, settings = value["part"], {key: item for key, item in value.items() if key != "part"}
    else:
        wanted = f"one of {_names(parts)} or one of {', '.join(part.__name__ for part in parts.values())}"
        raise InvalidTypeError(str(wrong_parameter(owner, parameter, wanted, value)))
    if name not in parts:
        raise wrong_parameter(owner, parameter, f"one of {_names(parts)}", name, suggestion(name, parts))
    return build(parts[name], settings)


def _names(parts: Mapping[str, type[Part]]) -> str:
    return ", ".join(map(repr, parts))


def _from_text(text: str, parameter: str, owner: str) -> tuple[str, dict[str, Any]]:
    name, _, rest = text.partition(":")
    settings: dict[str, Any] = {}
    for item in filter(None, _OUTER_COMMA.split(rest)):
        key, equals, literal = item.partition("=")
        if not equals:
            raise wrong_parameter(owner, parameter, "written as 'name:setting=value,setting=value'", text)
        settings[key.strip()] = _literal(literal.strip())
    return name.strip(), settings


#: A comma that is not within a tuple.
_OUTER_COMMA = re.compile(r",(?![^()]*\))")


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    # The last two where it is nested too deeply.
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
