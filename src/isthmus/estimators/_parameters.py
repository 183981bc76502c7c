"""What every estimator does with its parameters and its state, whatever it learns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from isthmus._checks import NamedArguments
from isthmus._specification import resolve
from isthmus.errors import InvalidParameterError
from isthmus.estimators._settings import PARTS


class PartsMixin(NamedArguments):
    """Parameters that are parts, and fits that succeed or leave no trace; to stand before BaseEstimator."""

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

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Leave the estimator as it was, fitted or not, if what is inside fails or is interrupted."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
