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
from isthmus.bottlenecks import PlainBottleneck
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._rows import Rows
from isthmus.estimators._scaling import Scaling
from isthmus.estimators._settings import Settings
from isthmus.networks import DenseNetwork, activation


def build_assembly(
    settings: Settings, input_shape: tuple[int, ...], generator: torch.Generator | None
) -> Assembly:
    """Join the parts that the settings name; without a generator, shapes only."""
    bottleneck = PlainBottleneck(settings.n_components, activation(settings.code_activation))
    network = DenseNetwork(
        input_shape,
        bottleneck.n_inputs,
        bottleneck.n_components,
        hidden_layers=settings.hidden_layers,
        activation=settings.activation,
        tied=settings.tied,
        generator=generator,
    )
    return Assembly(network, bottleneck, settings.loss.parameters(math.prod(input_shape)))


def scale_rows(rows: Rows, scaling: Scaling) -> torch.Tensor:
    """Return scaled rows on the CPU, in their own precision; not a copy where nothing changes."""
    tensor = as_tensor(rows)
    return tensor if scaling.trivial else copy.deepcopy(scaling).cpu()(tensor)


def in_unit_interval(rows: torch.Tensor) -> bool:
    low, high = torch.aminmax(rows)
    return bool(low >= 0) and bool(high <= 1)


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
