"""What every estimator does with its parameters and its state, whatever it learns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from sklearn.utils.validation import check_is_fitted

from isthmus._checks import NamedArguments
from isthmus._device import own_work
from isthmus._specification import resolve
from isthmus.errors import InvalidParameterError
from isthmus.estimators._settings import PARTS

Estimator = TypeVar("Estimator")


class PublishingMixin:
    """Fits that show their results all at once, and methods that see one fit or another, never parts of both.

    Other threads may use an estimator while it is fitted again. So `fit` works on a twin, and what became of the
    twin is then published by one assignment. Methods that need what was learnt look at a snapshot.
    """

    @contextmanager
    def _published(self) -> Iterator[Self]:
        """Give a twin to work on, and take on what changed of it; nothing if what is inside fails."""
        before = dict(self.__dict__)
        twin = _twin(self, dict(before))
        with own_work():
            yield twin
        after = twin.__dict__
        gone = before.keys() - after.keys()
        changed = {
            name: value for name, value in after.items() if name not in before or before[name] is not value
        }
        kept = {name: value for name, value in self.__dict__.items() if name not in gone}
        self.__dict__ = {**kept, **changed}

    def _snapshot(self) -> Self:
        """Return the estimator as it is now, which a later fit does not change.

        Raises
        ------
        NotFittedError
            When it is not fitted.
        """
        twin = _twin(self, dict(self.__dict__))
        check_is_fitted(twin)
        return twin


class PartsMixin(NamedArguments, PublishingMixin):
    """Parameters that are parts, and fits that are published at once; to stand before BaseEstimator."""

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``part__setting`` changes one setting of a part, such as ``penalty__weight``.

        Parameters
        ----------
        **params : dict
            Parameters by name.

        Returns
        -------
        self : object
            The estimator.
        """
        nested = {
            name: value for name, value in params.items() if name.partition("__")[0] in PARTS and "__" in name
        }
        super().set_params(  # type: ignore[misc]
            **{name: value for name, value in params.items() if name not in nested}
        )
        for name, value in nested.items():
            parameter, _, setting = name.partition("__")
            current, owner = getattr(self, parameter), type(self).__name__
            if current in (None, "auto"):
                raise InvalidParameterError(
                    f"{owner} has {parameter}={current!r}, so {name!r} cannot be set. "
                    f"Name the part first, such as {parameter}={next(iter(PARTS[parameter]))!r}."
                )
            part = resolve(current, PARTS[parameter], parameter=parameter, owner=owner)
            setattr(self, parameter, part.replace(**{setting: value}))
        return self


def _twin(estimator: Estimator, state: dict[str, Any]) -> Estimator:
    """Return an estimator of the same class with this state."""
    twin = object.__new__(type(estimator))
    twin.__dict__ = state
    return twin
