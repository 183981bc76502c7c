"""What a fit starts from: the joined parts, scaled rows, and a seed."""

from __future__ import annotations

import copy
import math
import secrets
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from isthmus._device import as_tensor
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._rows import Rows
from isthmus.estimators._scaling import Scaling
from isthmus.estimators._settings import Settings
from isthmus.networks import activation
from isthmus.training import StoredRows

#: Rows that are summed at a time; torch makes a copy of them in double precision.
_SUMMED_ROWS = 256


def build_assembly(
    settings: Settings, input_shape: tuple[int, ...], generator: torch.Generator | None
) -> Assembly:
    """Join the parts that the settings name; without a generator, shapes only."""
    bottleneck = settings.bottleneck.build(
        settings.n_components, activation(settings.code_activation), generator
    )
    network = settings.network.build(
        input_shape,
        bottleneck.n_inputs,
        bottleneck.n_components,
        hidden_layers=settings.hidden_layers,
        activation=settings.activation,
        tied=settings.tied,
        generator=generator,
    )
    return Assembly(network, bottleneck, settings.loss.parameters(math.prod(input_shape)))


def store_rows(rows: Rows, scaling: Scaling) -> StoredRows:
    """Return scaled rows as training keeps them: bytes as they are where one division scales them."""
    tensor = as_tensor(rows)
    if tensor.dtype == torch.uint8 and len(scaling.unit) == 1 and not scaling.offset.any():
        return StoredRows(tensor, float(scaling.unit))
    return StoredRows(scale_rows(tensor, scaling).float())


def scale_rows(rows: torch.Tensor, scaling: Scaling) -> torch.Tensor:
    """Return scaled rows on the CPU, in their own precision (bytes: single); no copy where nothing changes."""
    rows = rows.float() if rows.dtype == torch.uint8 else rows
    return rows if scaling.trivial else copy.deepcopy(scaling).cpu()(rows)


def mean_of(rows: StoredRows) -> torch.Tensor:
    """Return the mean row, summed in double precision; 0 for columns in which nothing is observed."""
    total = torch.zeros(rows.values.shape[1], dtype=torch.float64)
    for block in rows.blocks(_SUMMED_ROWS):
        total += block.sum(0, dtype=torch.float64)
    if not total.isnan().any():
        return (total / len(rows)).float()
    return torch.nanmean(rows.values.double(), dim=0).nan_to_num().float()


def within_unit_interval(low: float, high: float) -> bool:
    """Return whether values of this range may be probabilities."""
    return low >= 0 and high <= 1


def seed_of(random_state: Any) -> int:
    """Return a seed for this fit.

    ``None`` takes fresh entropy: NumPy's global generator, which scikit-learn would draw from, is
    left as it is.
    """
    if random_state is None:
        return secrets.randbits(31)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(check_random_state(random_state).randint(2**31 - 1))
