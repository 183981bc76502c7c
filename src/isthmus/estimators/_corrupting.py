"""Rows spoilt by a noise, outside of training."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus._checks import wrong_parameter
from isthmus._device import copied_from
from isthmus._random import row_keys
from isthmus.estimators._building import scale_rows, seed_of
from isthmus.estimators._rows import BLOCK_ROWS, Rows, precision_of
from isthmus.estimators._scaling import Scaling
from isthmus.estimators._settings import Settings
from isthmus.estimators._trainer import surroundings


@torch.no_grad()
def corrupt(
    settings: Settings, scaling: Scaling, input_shape: tuple[int, ...], rows: Rows, random_state: Any
) -> NDArray[Any]:
    """Return the rows with noise, in the units of the data.

    Values that are swapped come from these rows.
    """
    if settings.noise is None:
        raise wrong_parameter("DenoisingAutoencoder", "noise", "a noise, to corrupt rows with", None)
    scaling, seed = copy.deepcopy(scaling).cpu(), seed_of(random_state, "DenoisingAutoencoder.corrupt")
    clean = scale_rows(copied_from(rows), scaling)
    observed = clean[~clean.isnan()]
    around = surroundings(settings, input_shape, float(observed.min()), float(observed.max()), clean)
    spoilt = np.empty(rows.shape, dtype=precision_of(rows))
    keys = row_keys(seed, 0, torch.arange(len(clean), device="cpu"))
    for start in range(0, len(clean), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        spoilt[part] = scaling.inverse(settings.noise(clean[part], keys[part], around)).numpy()
    return spoilt
