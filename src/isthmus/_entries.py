"""What the entries of a file have to be: type, range and length, checked before anything is made of them."""

from __future__ import annotations

import math
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: The greatest integer that any entry may be: sizes and counts of torch and NumPy end there.
LARGEST = 2**31 - 1

#: The greatest length of a text that is a name, an option or a version.
LONGEST_NAME = 10_000

#: How many lists and objects may lie within each other where anything else is allowed.
DEEPEST = 10


class Entry(ABC):
    """What one entry has to be."""

    @property
    @abstractmethod
    def wanted(self) -> str:
        """What it has to be, in words that follow "must be"."""

    @abstractmethod
    def allows(self, value: object) -> bool:
        """Return whether a value, without what it may contain, is allowed."""

    def fault(self, value: Any, place: str) -> str | None:
        """Return what is wrong with a value in one sentence, or None.

        Parameters
        ----------
        value : object
            What JSON can hold.
        place : str
            What the entry is called.
        """
        return None if self.allows(value) else f"{place} must be {self.wanted}, but is {_short(value)}."


@dataclass(frozen=True)
class Whole(Entry):
    """An integer in a range."""

    minimum: int = 0
    maximum: int = LARGEST

    @property
    def wanted(self) -> str:
        """What it has to be."""
        return f"an integer from {self.minimum} to {self.maximum}"

    def allows(self, value: object) -> bool:
        """Return whether the value is allowed."""
        return (
            isinstance(value, int) and not isinstance(value, bool) and self.minimum <= value <= self.maximum
        )


@dataclass(frozen=True)
class Number(Entry):
    """A finite number in a range; an integer is one, too."""

    minimum: float = -math.inf
    maximum: float = math.inf
    open_minimum: bool = False

    @property
    def wanted(self) -> str:
        """What it has to be."""
        start = "more than" if self.open_minimum else "at least"
        limits = [f"{start} {self.minimum:g}"] if self.minimum > -math.inf else []
        limits += [f"at most {self.maximum:g}"] if self.maximum < math.inf else []
        return "a finite number" + (f" of {' and '.join(limits)}" if limits else "")

    def allows(self, value: object) -> bool:
        """Return whether the value is allowed."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        try:
            number = float(value)
        except OverflowError:  # an integer beyond all floats
            return False
        above = number > self.minimum if self.open_minimum else number >= self.minimum
        return math.isfinite(number) and above and number <= self.maximum


@dataclass(frozen=True)
class Flag(Entry):
    """True or false."""

    @property
    def wanted(self) -> str:
        """What it has to be."""
        return "true or false"

    def allows(self, value: object) -> bool:
        """Return whether the value is allowed."""
        return isinstance(value, bool)


@dataclass(frozen=True)
class Anything(Entry):
    """Whatever JSON can hold, unless it is nested deeply; something else says what it has to be."""

    @property
    def wanted(self) -> str:
        """What it has to be."""
        return f"nested at most {DEEPEST} levels deep"

    def allows(self, value: object) -> bool:
        """Return whether the value is allowed."""
        level = [value]
        for _ in range(DEEPEST):
            containers = [item for item in level if isinstance(item, list | dict)]
            level = [
                inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)
            ]
            if not level:
                return True
        return False


@dataclass(frozen=True)
class Null(Entry):
    """Nothing."""

    @property
    def wanted(self) -> str:
        """What it has to be."""
        return "null"

    def allows(self, value: object) -> bool:
        """Return whether the value is allowed."""
        return value is None


@dataclass(frozen=True)
class Text(Entry):
    """A text of limited length; without a limit, it may be as long as the file."""

    longest: int | None = LONGEST_NAME

    @property
    def wanted(self) -> str:
        """What it has to be."""
        return "a text" + ("" if self.longest is None else f" of at most {self.longest} characters")

    def allows(self, value: object) -> bool:
        """Return whether the value is allowed."""
        return isinstance(value, str) and (self.longest is None or len(value) <= self.longest)


@dataclass(frozen=True)
class Choice(Entry):
    """One of some texts."""

    names: tuple[str, ...]

    @property
    def wanted(self) -> str:
        """What it has to be."""
        return "one of " + ", ".join(map(repr, self.names))

    def allows(self, value: object) -> bool:
        """Return whether the value is allowed."""
        return isinstance(value, str) and value in self.names


@dataclass(frozen=True)
class Listing(Entry):
    """A list of entries of one kind."""

    item: Entry
    shortest: int = 0
    longest: int | None = None

    @property
    def wanted(self) -> str:
        """What it has to be."""
        most = "" if self.longest is None else f" to {self.longest}"
        length = f" of {self.shortest}{most} entries" if self.shortest or most else ""
        return f"a list{length}"

    def allows(self, value: object) -> bool:
        """Return whether the value is a list of an allowed length."""
        long_enough = isinstance(value, list) and len(value) >= self.shortest
        return long_enough and (self.longest is None or len(value) <= self.longest)  # type: ignore[arg-type]

    def fault(self, value: Any, place: str) -> str | None:
        """Return what is wrong with the list, or with the first of its entries that is not allowed."""
        found = super().fault(value, place)
        if found is not None:
            return found
        faults = (self.item.fault(item, f"{place}[{number}]") for number, item in enumerate(value))
        return next((fault for fault in faults if fault is not None), None)


@dataclass(frozen=True)
class Names(Entry):
    """An object whose keys are any names, and whose values are entries of one kind.

    Parameters
    ----------
    item : Entry
        What a value has to be.
    required : mapping of str to Entry
        Keys that have to be there, and what their values have to be.
    """

    item: Entry
    required: Mapping[str, Entry] = field(default_factory=dict)

    @property
    def wanted(self) -> str:
        """What it has to be."""
        return "an object" + (f" with {', '.join(map(repr, self.required))}" if self.required else "")

    def allows(self, value: object) -> bool:
        """Return whether the value is an object with these keys."""
        return isinstance(value, dict) and all(name in value for name in self.required)

    def fault(self, value: Any, place: str) -> str | None:
        """Return what is wrong with the object, or with the first of its entries that is not allowed."""
        found = super().fault(value, place)
        if found is not None:
            return found
        for name, item in value.items():
            if len(name) > LONGEST_NAME:
                return f"{place} has a name of {len(name)} characters."
            found = self.required.get(name, self.item).fault(item, f"{place}[{_short(name)}]")
            if found is not None:
                return found
        return None


@dataclass(frozen=True)
class Record(Entry):
    """An object with these keys and no others.

    Parameters
    ----------
    entries : mapping of str to Entry
        What each has to be.
    optional : collection of str
        The keys that files of earlier versions do not have.
    """

    entries: Mapping[str, Entry]
    optional: frozenset[str] = field(default_factory=frozenset)

    @property
    def wanted(self) -> str:
        """What it has to be."""
        return "an object"

    def allows(self, value: object) -> bool:
        """Return whether the value is an object."""
        return isinstance(value, dict)

    def fault(self, value: Any, place: str) -> str | None:
        """Return what is wrong with the object, or with the first of its entries that is not allowed."""
        found = super().fault(value, place)
        if found is not None:
            return found
        unknown = sorted(set(value) - set(self.entries))
        if unknown:
            return f"{place} {_short(unknown)} are not known. Was it saved by a newer Isthmus?"
        missing = sorted(set(self.entries) - set(value) - self.optional)
        if missing:
            return f"{place} {_short(missing)} are missing."
        faults = (self.entries[name].fault(item, f"{place} {name!r}") for name, item in value.items())
        return next((fault for fault in faults if fault is not None), None)


@dataclass(frozen=True)
class Either(Entry):
    """One of several kinds of entry."""

    options: tuple[Entry, ...]

    @classmethod
    def of(cls, options: Iterable[Entry]) -> Entry:
        """Return the one option, or the choice between several."""
        options = tuple(options)
        return options[0] if len(options) == 1 else cls(options)

    @property
    def wanted(self) -> str:
        """What it has to be."""
        return " or ".join(option.wanted for option in self.options)

    def allows(self, value: object) -> bool:
        """Return whether one of the options allows the value."""
        return any(option.allows(value) for option in self.options)

    def fault(self, value: Any, place: str) -> str | None:
        """Return None where one option has no fault, or else the fault of the kind that the value is of."""
        faults = [option.fault(value, place) for option in self.options]
        if None in faults:
            return None
        inner = [fault for option, fault in zip(self.options, faults, strict=True) if option.allows(value)]
        return inner[0] if inner else super().fault(value, place)


def _short(value: object) -> str:
    """Return a value in a few words, however large or deep it is."""
    return " ".join(reprlib.repr(value).split())
