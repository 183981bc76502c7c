"""What the settings and parameters in a model's configuration have to be.

The tables are made from the signatures of the estimators, of `Settings` and of the parts, so that none is left out.
Only the ranges are given here.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from inspect import signature
from typing import Any

from isthmus._entries import (
    Anything,
    Choice,
    Either,
    Entry,
    Flag,
    Listing,
    Null,
    Number,
    Record,
    Text,
    Whole,
)
from isthmus._specification import Specification
from isthmus.estimators._settings import MISSING, PARTS, PRECISIONS, Settings
from isthmus.networks import ACTIVATIONS, Modules

#: Parameters that are not configuration: what they hold stays with the program that made it.
NOT_SAVED = ("callbacks",)

#: The most layers of one kind. The time to build them is known before the weights are looked at.
MOST_LAYERS = 10_000

_WIDTHS = Listing(Whole(1), longest=MOST_LAYERS)

#: What an annotation asks for.
_TYPES: Mapping[Any, Entry] = {
    int: Whole(),
    float: Number(),
    bool: Flag(),
    str: Text(),
    type(None): Null(),
    tuple[int, ...]: _WIDTHS,
}

#: The settings of which the type alone does not say enough.
_RANGES: Mapping[str, Entry] = {
    "n_components": Whole(1),
    "activation": Choice(tuple(ACTIVATIONS)),
    "code_activation": Choice(tuple(ACTIVATIONS)),
    "learning_rate": Number(minimum=0, open_minimum=True),
    "weight_decay": Number(minimum=0),
    "gradient_clipping": Either((Null(), Number(minimum=0, open_minimum=True))),
    "epochs": Whole(1),
    "batch_size": Whole(1),
    "patience": Either((Null(), Whole(1))),
    "precision": Choice(PRECISIONS),
    "compile": Either((Flag(), Choice(("auto",)))),
    "missing": Choice(MISSING),
}


@dataclasses.dataclass(frozen=True)
class PartEntry(Entry):
    """The JSON form of a part: its name and its settings."""

    parts: Mapping[str, type[Specification]]

    @property
    def wanted(self) -> str:
        """What it has to be."""
        return f"an object whose 'part' is one of {', '.join(map(repr, self.parts))}"

    def allows(self, value: object) -> bool:
        """Return whether the value names a part."""
        return isinstance(value, dict) and isinstance(value.get("part"), str)

    def fault(self, value: Any, place: str) -> str | None:
        """Return what is wrong with the part or with the first of its settings that is not allowed."""
        if not self.allows(value) or value["part"] not in self.parts:
            return Choice(tuple(self.parts)).fault(
                value.get("part") if isinstance(value, dict) else value, f"{place} part"
            )
        name, settings = value["part"], {key: item for key, item in value.items() if key != "part"}
        entries = part_entries(self.parts[name])
        unknown = next((setting for setting in settings if setting not in entries), None)
        if unknown is not None:
            return f"{place} part {name!r} has no setting {unknown[:100]!r}. Was it saved by a newer Isthmus?"
        return Record(entries, frozenset(entries)).fault(settings, f"{place} part {name!r}")


@cache
def part_entries(part: type[Specification]) -> Mapping[str, Entry]:
    """Return what each setting of a part has to be; its constructor knows the ranges."""
    hints = typing.get_type_hints(part)
    return {name: entry_for(hints[name]) for name in part.settings()}


@cache
def settings_entries() -> Mapping[str, Entry]:
    """Return what each setting of a fitted model has to be."""
    hints = typing.get_type_hints(Settings)
    entries: dict[str, Entry] = {}
    for name in (item.name for item in dataclasses.fields(Settings)):
        if name in PARTS:
            optional = [Null()] if type(None) in typing.get_args(hints[name]) else []
            entries[name] = Either.of([*optional, PartEntry(PARTS[name])])
        else:
            entries[name] = _RANGES[name] if name in _RANGES else entry_for(hints[name])
    return entries


@cache
def parameter_entries(owner: type) -> Mapping[str, Entry]:
    """Return what each parameter of an estimator has to be; `fit` knows the ranges."""
    hints = {**typing.get_type_hints(owner), **typing.get_type_hints(owner.__init__)}  # type: ignore[misc]
    entries: dict[str, Entry] = {}
    for name in signature(owner).parameters:
        if name in NOT_SAVED:
            entries[name] = Null()
        elif name in PARTS:
            entries[name] = Either((Null(), Text(), PartEntry(PARTS[name])))
        elif name == "random_state":
            entries[name] = Either((Null(), Whole(0, 2**32 - 1)))
        else:
            entries[name] = entry_for(hints[name])
    return entries


def entry_for(hint: Any) -> Entry:
    """Return what a value with this annotation has to be in a file.

    Raises
    ------
    TypeError
        When the annotation is of no kind that is known here.
    """
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    unknown = [option for option in options if option not in _TYPES]
    if unknown:
        raise TypeError(f"{unknown[0]} is the type of no entry of a file. Add it to the types in {__name__}.")
    return Either.of(_TYPES[option] for option in options)


def fault_of(settings: Mapping[str, Any], parameters: Mapping[str, Any], owner: type) -> str | None:
    """Return which setting or parameter a model of a class cannot have, in one sentence, or None."""
    entries = parameter_entries(owner)
    return fault_of_settings(settings) or _fault(parameters, entries, frozenset(entries), "its parameters")


def fault_of_settings(settings: Mapping[str, Any]) -> str | None:
    """Return which setting a fitted model cannot have, in one sentence, or None."""
    defaults = {item.name for item in dataclasses.fields(Settings) if item.default is not dataclasses.MISSING}
    return _fault(settings, settings_entries(), frozenset(defaults), "its settings")


def _fault(
    saved: Mapping[str, Any], entries: Mapping[str, Entry], optional: frozenset[str], place: str
) -> str | None:
    network = saved.get("network")
    own_modules = isinstance(network, (dict, list)) and _is_modules(network)
    return Record({**entries, "network": Anything()} if own_modules else entries, optional).fault(
        saved, place
    )


def _is_modules(network: Any) -> bool:
    """Return whether this stands for a user's own modules: a description, or the text of each."""
    if isinstance(network, dict):
        return bool(network.get("part") == Modules.name)
    return len(network) == 2 and all(isinstance(text, str) for text in network)
