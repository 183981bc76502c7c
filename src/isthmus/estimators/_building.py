"""What a fit starts from: the joined parts, scaled rows, and a seed."""

from __future__ import annotations

import copy
import math
import secrets
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isthmus._checks import check_number, wrong_parameter
from isthmus._device import device_of, shared_with
from isthmus.bottlenecks import BottleneckModule
from isthmus.errors import DataError, InvalidTypeError
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._rows import BLOCK_ROWS, Rows
from isthmus.estimators._scaling import Scaling
from isthmus.estimators._settings import Settings
from isthmus.networks import activation
from isthmus.objectives import ReconstructionLoss
from isthmus.training import Random, StoredRows

#: Share of the usual weights that a Boltzmann machine starts from. Between two layers without bounds, larger
#: ones make each pass louder than the one before, and there is no density.
MACHINE_START = 0.1

#: How far a count may be from a whole number.
WHOLE = 1e-3

#: Different rows that the first call of partial_fit needs. The unit of a column is then off by a quarter at most
#: where its values are normal, which costs a few hundredths of the explained variance; with one row it is unknown.
FIRST_ROWS = 10

#: Rows that are summed at a time; torch makes a copy of them in double precision.
_SUMMED_ROWS = 256


class Logarithms(nn.Module):
    """Counts to log(1 + count): what an encoder can tell small and large ones apart by."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the logarithms."""
        return rows.clamp(min=0).log1p()  # later rows may have negative values


class Filling(nn.Module):
    """Rows with gaps to rows without: a missing value becomes the mean of its column.

    Parameters
    ----------
    mean : Tensor of shape (features,)
        The means.
    """

    mean: Tensor

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone())

    def forward(self, rows: Tensor) -> Tensor:
        """Return the filled rows."""
        return torch.where(rows.isnan(), self.mean, rows)


def build_assembly(
    settings: Settings,
    input_shape: tuple[int, ...],
    generator: torch.Generator | None,
    mean: torch.Tensor | None = None,
) -> Assembly:
    """Join the parts that the settings name; without a generator, shapes only.

    With the mean row of the data, the network starts from it.
    """
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
    if settings.sampler is not None and generator is not None:
        assert isinstance(network, nn.Module)
        weaken(network)
    counts = settings.loss.support == "counts"
    if mean is not None:
        network.start_at(mean.log1p() if counts else mean, settings.loss.inverse_link(mean))
    n_features = math.prod(input_shape)
    before: list[nn.Module] = []
    if settings.fills_gaps:
        before.append(
            Filling(
                torch.zeros(n_features, dtype=torch.float32, device=device_of(generator))
                if mean is None
                else mean
            )
        )
    if counts:
        before.append(Logarithms())
    if before:
        assert isinstance(network, nn.Module)
        network.add_module("encoder", nn.Sequential(*before, network.encoder))
    assembly = Assembly(network, bottleneck, settings.loss.parameters(n_features, device_of(generator)))
    if settings.sampler is not None:
        # What a machine's likelihood is found from: units that are on as often as in the data, and not tied.
        kept = (
            torch.zeros(n_features, dtype=torch.float32, device=device_of(generator))
            if mean is None
            else mean.clone()
        )
        assembly.register_buffer("mean", kept)
    return assembly


@torch.no_grad()
def weaken(network: nn.Module) -> None:
    """Make weights as small as Boltzmann machines start from."""
    for parameter in network.parameters():
        parameter.mul_(MACHINE_START)


def store_rows(rows: Rows, scaling: Scaling) -> StoredRows:
    """Return scaled rows as training keeps them: bytes as they are where one division scales them."""
    tensor = shared_with(rows)
    if tensor.dtype == torch.uint8 and len(scaling.unit) == 1 and not scaling.offset.any():
        return StoredRows(tensor, float(scaling.unit))
    return StoredRows(scale_rows(tensor, scaling).float())


def scale_rows(rows: torch.Tensor, scaling: Scaling) -> torch.Tensor:
    """Return scaled rows on the CPU, in their own precision (bytes: single); no copy where nothing changes."""
    rows = rows.float() if rows.dtype == torch.uint8 else rows
    return rows if scaling.trivial else copy.deepcopy(scaling).cpu()(rows)


def mean_of(rows: StoredRows) -> torch.Tensor:
    """Return the mean row, summed in double precision; 0 for columns in which nothing is observed."""
    total = torch.zeros(rows.values.shape[1], dtype=torch.float64, device="cpu")
    for block in rows.blocks(_SUMMED_ROWS):
        total += block.sum(0, dtype=torch.float64)
    if not total.isnan().any():
        return (total / len(rows)).float()
    return torch.nanmean(rows.values.double(), dim=0).nan_to_num().float()


def refuse_outside(loss: ReconstructionLoss, low: float, high: float, subject: str) -> None:
    """Raise if a model cannot be trained with this loss on values in this range."""
    if loss.support == "counts" and low < 0:
        raise DataError(
            f"{subject} has (scaled) values down to {low:.4g}, but loss={loss.name!r} is for counts. "
            "Use loss='gaussian', or leave scale='auto'."
        )
    if loss.support == "unit" and not within_unit_interval(low, high):
        raise DataError(
            f"{subject} has (scaled) values from {low:.4g} to {high:.4g}, but loss={loss.name!r} is defined "
            "only between 0 and 1. Use loss='mse', or scale='minmax' when fitting."
        )


def refuse_fractions(
    loss: ReconstructionLoss, rows: StoredRows, subject: str, names: NDArray[Any] | None
) -> None:
    """Raise if the loss is for counts and a scaled row has a value that is not a whole number."""
    if loss.support != "counts" or rows.values.dtype == torch.uint8:
        return
    for start, block in zip(range(0, len(rows), BLOCK_ROWS), rows.blocks(BLOCK_ROWS), strict=True):
        fractional = (block - block.round()).abs() > WHOLE
        if fractional.any():
            row, column = (int(index) for index in fractional.nonzero()[0])
            name = column if names is None else repr(str(names[column]))
            raise DataError(
                f"{subject} has the (scaled) value {float(block[row, column]):.6g} in row {start + row}, column "
                f"{name}, but loss={loss.name!r} is for counts: whole numbers. Use the counts as they were before any "
                "normalisation, with scale='auto', or use loss='gaussian'."
            )


def refuse_too_few(
    rows: Rows, parameters: Mapping[str, Any], settings: Settings, bottleneck: BottleneckModule, owner: str
) -> None:
    """Raise if the first rows of a training in parts are too few to decide what they are to decide for good.

    Nothing is refused where there is nothing to decide: bytes, or a given scale and loss.
    """
    scaled = parameters["scale"] == "none" or settings.loss.support == "counts"
    bytes_ = rows.dtype == np.uint8 and parameters["scale"] in {"auto", "none", "range"}
    decided = bytes_ or (scaled and parameters["loss"] != "auto")
    starts = type(bottleneck).start_from is not BottleneckModule.start_from
    if decided and not starts and isinstance(settings.initialization, Random):
        return
    different: set[bytes] = set()
    for row in rows:
        different.add(row.tobytes())
        if len(different) >= FIRST_ROWS:
            return
    raise DataError(
        f"The first rows given to {owner}.partial_fit decide the scaling and what the network starts from, for which "
        f"at least {FIRST_ROWS} different rows are needed. Got {len(different)}. Collect more rows for the first call; "
        "later calls may have any number. Or scale the rows yourself and set scale='none' and a loss, such as 'mse'."
    )


def within_unit_interval(low: float, high: float) -> bool:
    """Return whether values of this range may be probabilities."""
    return low >= 0 and high <= 1


def split_places(
    n: int, fraction: float | None, seed: int, owner: str
) -> tuple[NDArray[np.intp], NDArray[np.intp] | None]:
    """Return which of ``n`` rows to train on, and which are held out, if any are to be."""
    if fraction is None:
        return np.arange(n), None
    fraction = check_number(
        fraction,
        parameter="validation_fraction",
        owner=owner,
        minimum=0,
        maximum=1,
        open_minimum=True,
        open_maximum=True,
    )
    n_held_out = max(1, round(fraction * n))
    if n - n_held_out < 2:
        wanted = f"small enough to leave 2 of {n} rows to train on"
        raise wrong_parameter(owner, "validation_fraction", wanted, fraction)
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


def seed_of(random_state: Any, owner: str) -> int:
    """Return a seed.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        ``None`` takes fresh entropy: NumPy's global generator, which scikit-learn would draw from, is left
        as it is.
    owner : str
        Whose parameter it is, for messages.

    Raises
    ------
    InvalidParameterError
        When it is nothing of these.
    """
    if random_state is None:
        return secrets.randbits(31)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    wanted = "an integer from 0 to 2**32 - 1, a numpy RandomState or Generator, or None"
    error = wrong_parameter(owner, "random_state", wanted, random_state)
    if isinstance(random_state, (bool, np.bool_)) or not isinstance(random_state, Integral):
        raise InvalidTypeError(str(error))
    if not 0 <= int(random_state) < 2**32:
        raise error
    return int(np.random.RandomState(int(random_state)).randint(2**31 - 1))
