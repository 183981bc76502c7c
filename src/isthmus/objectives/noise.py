"""Noise: what is done to rows before the encoder sees them, so that it must learn what belongs together.

A noise draws its random numbers by the keys of the rows, so that what happens to a row in an epoch does
not depend on the rows around it, on the device or on the order of the work. It acts on scaled rows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from isthmus import _random
from isthmus._checks import check_flag, check_integer, check_number
from isthmus._specification import Specification, table


@dataclass(frozen=True)
class Surroundings:
    """What a noise has to know of the data.

    Parameters
    ----------
    low, high : float
        Their least and greatest value.
    gap : float
        What stands for a hidden value: NaN where the network looks past it, 0 elsewhere.
    pool : Tensor of shape (some, features)
        Rows of the data.
    tiles : callable
        From the side of a tile to the number of the tile of each value of a row, shape (features,).
    """

    low: float
    high: float
    gap: float
    pool: Tensor
    tiles: Callable[[int], Tensor]


class Noise(Specification):
    """Base of the descriptions."""

    #: Whether what it makes is the target, too.
    changes_target: ClassVar[bool] = False
    #: Whether it is for data between 0 and 1 alone.
    unit_interval: ClassVar[bool] = False
    #: Whether it is for rows as they were given, and not for the codes of a layer.
    for_rows_only: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, rows: Tensor, keys: Tensor, around: Surroundings) -> Tensor:
        """Return noisy rows; those given are left as they are.

        Parameters
        ----------
        rows : Tensor of shape (batch, features)
            Scaled rows.
        keys : Tensor of int64, shape (batch,)
            What random numbers for the rows are drawn by.
        around : Surroundings
            What is known of the data.
        """

    def _check_share(self, share: float) -> None:
        check_number(share, parameter="share", owner=type(self).__name__, minimum=0, maximum=1)


@dataclass(frozen=True)
class GaussianNoise(Noise):
    """Normally distributed noise is added to each value.

    Parameters
    ----------
    std : float, default=0.5
        Its standard deviation, in units of the (scaled) data. For data between 0 and 1 the default is
        what the Keras text uses, 0.5.
    clip : bool, default=True
        Whether what leaves the range of the data is put at its end.

    References
    ----------
    P. Vincent, "A connection between score matching and denoising autoencoders", Neural Computation,
    2011. F. Chollet, "Building autoencoders in Keras", 2016.
    """

    std: float = 0.5
    clip: bool = True
    name: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        check_number(self.std, parameter="std", owner="GaussianNoise", minimum=0)
        check_flag(self.clip, parameter="clip", owner="GaussianNoise")

    def __call__(self, rows: Tensor, keys: Tensor, around: Surroundings) -> Tensor:
        """Return noisy rows."""
        noise = _random.normal(keys, rows.shape[1:], _random.NOISE).to(rows.dtype)
        noisy = noise.mul_(self.std).add_(rows)
        return noisy.clamp_(around.low, around.high) if self.clip else noisy


@dataclass(frozen=True)
class Masking(Noise):
    """Each value is hidden by chance: zero in its place, or nothing where the network looks past gaps.

    Parameters
    ----------
    share : float, default=0.25
        Share of the values.

    References
    ----------
    P. Vincent et al., "Stacked denoising autoencoders", JMLR, 2010.
    """

    share: float = 0.25
    name: ClassVar[str] = "masking"

    def __post_init__(self) -> None:
        self._check_share(self.share)

    def __call__(self, rows: Tensor, keys: Tensor, around: Surroundings) -> Tensor:
        """Return rows with gaps."""
        hidden = _random.uniform(keys, rows.shape[1:], _random.NOISE) < self.share
        return rows.masked_fill(hidden, around.gap)


@dataclass(frozen=True)
class SaltAndPepper(Noise):
    """Each value is put at the least or the greatest value of the data by chance.

    Parameters
    ----------
    share : float, default=0.25
        Share of the values, half of them at each end.

    References
    ----------
    P. Vincent et al., "Stacked denoising autoencoders", JMLR, 2010.
    """

    share: float = 0.25
    name: ClassVar[str] = "salt-and-pepper"

    def __post_init__(self) -> None:
        self._check_share(self.share)

    def __call__(self, rows: Tensor, keys: Tensor, around: Surroundings) -> Tensor:
        """Return noisy rows."""
        draws = _random.uniform(keys, rows.shape[1:], _random.NOISE)
        noisy = rows.masked_fill(draws < self.share / 2, around.low)
        return noisy.masked_fill_(draws > 1 - self.share / 2, around.high)


@dataclass(frozen=True)
class Swap(Noise):
    """Each value is exchanged by chance for the same column's value of another row: noise for tables.

    Parameters
    ----------
    share : float, default=0.15
        Share of the values.

    References
    ----------
    P. Vincent et al. (JMLR, 2010) for the principle; known from M. Jahrer's winning solution of Porto
    Seguro's Safe Driver Prediction, 2017.
    """

    share: float = 0.15
    name: ClassVar[str] = "swap"

    def __post_init__(self) -> None:
        self._check_share(self.share)

    def __call__(self, rows: Tensor, keys: Tensor, around: Surroundings) -> Tensor:
        """Return rows with values of others."""
        width = rows.shape[1:]
        swapped = _random.uniform(keys, width, _random.NOISE) < self.share
        others = _random.integers(keys, width, len(around.pool), _random.OTHER_ROWS)
        return torch.where(swapped, around.pool.gather(0, others).to(rows.dtype), rows)


@dataclass(frozen=True)
class Patches(Noise):
    """Whole patches are hidden: squares of an image, spans of a sequence, columns of a table.

    Parameters
    ----------
    share : float, default=0.5
        Share of the patches that each row loses.
    size : int, default=4
        Side of a square in pixels, or length of a span. A transformer's patches have its own size, and the
        columns of a table are hidden one by one.

    References
    ----------
    K. He et al., "Masked autoencoders are scalable vision learners", CVPR, 2022.
    """

    share: float = 0.5
    size: int = 4
    name: ClassVar[str] = "patches"
    for_rows_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._check_share(self.share)
        check_integer(self.size, parameter="size", owner="Patches", minimum=1)

    def __call__(self, rows: Tensor, keys: Tensor, around: Surroundings) -> Tensor:
        """Return rows with gaps."""
        tiles = around.tiles(self.size).to(rows.device)
        n_tiles = int(tiles.max()) + 1
        n_hidden = round(self.share * n_tiles)
        draws = _random.uniform(keys, (n_tiles,), _random.NOISE)
        hidden = torch.zeros(len(rows), n_tiles, dtype=torch.bool, device=rows.device)
        hidden.scatter_(1, draws.topk(n_hidden, dim=1).indices, value=True)
        return rows.masked_fill(hidden[:, tiles], around.gap)


@dataclass(frozen=True)
class Binarization(Noise):
    """Each value becomes 1 with itself as the probability, else 0: for input and target alike.

    In every epoch anew: what the literature calls dynamic binarisation of grey images, where the
    Bernoulli likelihood is that of data and not a cross-entropy.

    References
    ----------
    R. Salakhutdinov and I. Murray, "On the quantitative analysis of deep belief networks", ICML, 2008.
    """

    name: ClassVar[str] = "binarization"
    for_rows_only: ClassVar[bool] = True
    changes_target: ClassVar[bool] = True
    unit_interval: ClassVar[bool] = True

    def __call__(self, rows: Tensor, keys: Tensor, around: Surroundings) -> Tensor:
        """Return rows of zeros and ones; what is missing stays missing."""
        ones = (_random.uniform(keys, rows.shape[1:], _random.NOISE) < rows).to(rows.dtype)
        return torch.where(rows.isnan(), rows, ones)


NOISES = table(GaussianNoise, Masking, SaltAndPepper, Swap, Patches, Binarization)
