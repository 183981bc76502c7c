"""Fitted estimators as pickles hold them: settings and NumPy arrays, like the files of `save`.

Tools such as skops, and mlflow with it, store objects of known types only. Modules and tensors of torch are not
among them; dictionaries, strings, numbers and arrays are. So the state of an estimator is made of these, and its
networks are built from it again.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

import isthmus
from isthmus._device import does_own_work
from isthmus._specification import Specification, resolve
from isthmus.errors import ModelFileError
from isthmus.estimators._settings import PARTS
from isthmus.networks import Modules

#: Under which name the state holds what networks are built from.
STORED = "_stored"

#: Marks a part of the library in a state.
_PART = "isthmus.part"


class PicklingMixin:
    """Estimators whose state, once fitted, holds neither modules nor tensors; to stand before BaseEstimator.

    Copies in memory are made without that detour.
    """

    #: Attributes that are built from what is stored.
    _BUILT: tuple[str, ...]

    @does_own_work
    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)  # of one fit, even if another thread publishes the next one meanwhile
        stored = self._to_store(state)
        if stored is not None:
            state = {name: value for name, value in state.items() if name not in self._BUILT}
            state[STORED] = {"isthmus": isthmus.__version__, **stored}
        return {name: described(name, value) for name, value in state.items()}

    @does_own_work
    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {name: revived(name, value, type(self).__name__) for name, value in state.items()}
        stored = state.pop(STORED, None)
        self.__dict__.update(_defaults(type(self)) | state)
        if stored is None:  # not fitted, or with modules that are stored as they are
            return
        try:
            self._take_stored(stored)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ModelFileError(
                f"This {type(self).__name__} was stored by Isthmus {stored.get('isthmus', 'of an unknown version')} "
                f"and cannot be restored by Isthmus {isthmus.__version__}: {error}"
            ) from error

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    @does_own_work
    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def _to_store(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what the networks can be built from, or None where there are none or they cannot be built."""
        raise NotImplementedError

    def _take_stored(self, stored: Mapping[str, Any]) -> None:
        """Build the networks."""
        raise NotImplementedError


def _defaults(kind: type) -> dict[str, Any]:
    """Return the default of each parameter: in states of earlier versions, later parameters are missing."""
    parameters = inspect.signature(kind.__init__).parameters.values()  # type: ignore[misc]
    return {known.name: known.default for known in parameters if known.default is not inspect.Parameter.empty}


def is_of_the_library(name: str, value: Any) -> bool:
    """Return whether the value of a parameter is a part that its settings describe."""
    own = isinstance(value, Specification) and not isinstance(value, Modules) and name in PARTS
    return own and PARTS[name].get(value.name) is type(value)


def described(name: str, value: Any) -> Any:
    """Return a part of the library as a dictionary, and anything else as it is."""
    return {_PART: value.to_dict()} if is_of_the_library(name, value) else value


def revived(name: str, value: Any, owner: str) -> Any:
    """Return what `described` was given."""
    if not (isinstance(value, dict) and set(value) == {_PART} and name in PARTS):
        return value
    return resolve(value[_PART], PARTS[name], parameter=name, owner=owner)


def arrays_of(tree: Any) -> Any:
    """Return a nested state with arrays in the place of its tensors."""
    if isinstance(tree, Tensor):
        return tree.detach().cpu().numpy().copy()
    if isinstance(tree, Mapping):
        return {str(name): arrays_of(value) for name, value in tree.items()}
    return [arrays_of(value) for value in tree] if isinstance(tree, list | tuple) else tree


def revived_tensors(tree: Any) -> Any:
    """Return a nested state with tensors in the place of its arrays, in memory of their own."""
    if isinstance(tree, np.ndarray):
        return torch.from_numpy(np.array(tree))
    if isinstance(tree, Mapping):
        return {name: revived_tensors(value) for name, value in tree.items()}
    return [revived_tensors(value) for value in tree] if isinstance(tree, list) else tree


def device_like(name: str) -> torch.device:
    """Return the device of that name if this machine has it, and otherwise the CPU."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        return torch.device("cpu")
    return device
