"""What is asked of a model by what uses one, whoever made it."""

from __future__ import annotations

from typing import Any, Protocol


class Model(Protocol):
    """Whatever turns rows into codes and codes into rows again, already fitted."""

    def transform(self, X: Any, /) -> Any:
        """Return the codes of the rows of X, shape (n, n_components)."""

    def inverse_transform(self, codes: Any, /) -> Any:
        """Return the rows that the codes stand for."""
