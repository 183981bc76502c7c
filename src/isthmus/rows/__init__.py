"""Acceptance: whatever holds rows becomes one NumPy array, and what cannot be rows is refused by name."""

from isthmus.rows.containers import Given, given_rows
from isthmus.rows.lists import row_values
from isthmus.rows.refusals import refuse_inexact
from isthmus.rows.tensors import as_array, is_tensor, tensors_like

__all__ = [
    "Given",
    "as_array",
    "given_rows",
    "is_tensor",
    "refuse_inexact",
    "row_values",
    "tensors_like",
]
