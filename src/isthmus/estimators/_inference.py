"""Passes over rows without learning, in blocks of bounded memory."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isthmus._device import copied_from, is_short_of_memory
from isthmus.errors import DataError, MemoryShortError
from isthmus.estimators._assembly import Assembly, Decoder, Encoder
from isthmus.estimators._rows import BLOCK_ROWS, Rows, precision_of
from isthmus.objectives import ReconstructionLoss
from isthmus.training import StoredRows

Module = TypeVar("Module", bound=nn.Module)


@torch.inference_mode()
def apply_in_blocks(module: nn.Module, rows: Rows, n_outputs: int) -> Rows:
    """Return ``module(rows)`` as an array of the precision of ``rows``.

    Double-precision rows are computed in double precision with the same weights, so that a result
    hardly depends on the rows around it.
    """
    outputs = np.empty((len(rows), n_outputs), dtype=precision_of(rows))
    target = torch.from_numpy(outputs)
    module = in_precision(module, target.dtype)
    for chosen, part in done_in_blocks(module, rows, module):
        target[chosen].copy_(part)
    _refuse_overflow(outputs)
    return outputs


def _refuse_overflow(outputs: Rows) -> None:
    # As with rows that come in, the sum tells in nearly all cases.
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(outputs.sum(dtype=np.float64)):
            return
    finite = np.isfinite(outputs).all(axis=1)
    if not finite.all():
        raise DataError(
            f"What the network makes of row {int(np.argmin(finite))} is not finite: values of the row, or weights, are "
            f"too large for {outputs.dtype}. Look for values far beyond those of the training data."
        )


@torch.inference_mode()
def excess_of_rows(
    assembly: Assembly, encoder: Encoder, loss: ReconstructionLoss, rows: Rows
) -> NDArray[np.float64]:
    """Return the loss of each row without the part that the row alone decides, shape (n,).

    A row outside the loss's support is encoded as the nearest row within, so that its reconstruction stays
    the same however far outside it lies. Where the loss overflows, the largest finite number is returned.
    """
    excess = np.empty(len(rows))
    assembly = in_precision(assembly, torch_precision(rows))

    def excess_of(block: Tensor) -> Tensor:
        scaled = encoder.scaling(block)
        gaps = bool(scaled.isnan().any())
        outputs = assembly(loss.nearest(scaled))[0]
        return loss.excess_per_row(outputs, scaled, assembly.learnt(), gaps=gaps)

    for chosen, part in done_in_blocks(assembly, rows, excess_of):
        excess[chosen] = part.double().cpu().numpy()
    largest = np.finfo(np.float64).max
    return np.nan_to_num(excess, copy=False, nan=largest, posinf=largest)


@torch.inference_mode()
def explained_variance(encoder: Encoder, decoder: Decoder, rows: Rows, targets: Rows | None = None) -> float:
    """Return the share of the variance of the scaled rows, or of targets, that the reconstruction explains."""
    targets = rows if targets is None else targets
    precision = torch_precision(rows)
    encoder, decoder = in_precision(encoder, precision), in_precision(decoder, precision)
    scaling = encoder.scaling
    sums = sum(scaling(block).nansum(0, dtype=torch.float64) for _, block in blocks(encoder, targets))
    counts = sum((~block.isnan()).sum(0) for _, block in blocks(encoder, targets))
    mean = sums / counts
    unexplained = total = 0.0
    for (_, block), (_, wanted) in zip(blocks(encoder, rows), blocks(encoder, targets), strict=True):
        scaled = scaling(wanted.to(precision)).double()
        copies = scaling(decoder(encoder(block))).double()
        # What is missing counts on neither side.
        unexplained += float((scaled - copies).square().nansum())
        total += float((scaled - mean).square().nansum())
    # The mean of equal rows may differ from them by rounding.
    if total == 0 or bool((targets == targets[:1]).all()):
        return 1.0 if unexplained == 0 else -math.inf if len(rows) > 1 else math.nan
    return 1 - unexplained / total


@dataclass(frozen=True, eq=False)
class CodeSummary:
    """What the codes of some rows say about each code unit.

    Parameters
    ----------
    usage : ndarray of shape (n_components,)
        Share of rows in which the unit is not zero; 0 if it never changes.
    variance : ndarray of shape (n_components,)
        Variance of the unit over the rows.
    """

    usage: NDArray[np.float64]
    variance: NDArray[np.float64]


@torch.inference_mode()
def summary_of_codes(assembly: Assembly, rows: StoredRows) -> CodeSummary:
    """Return what the codes of all rows say about each unit, of which only a block is kept at a time."""
    device, network, bottleneck = assembly.device, assembly.network, assembly.bottleneck
    blocks_of_codes = (
        bottleneck.code(network.encoder(block.to(device))) for block in rows.blocks(BLOCK_ROWS)
    )
    first = next(blocks_of_codes)
    shift, low, high = first[0], first.amin(0), first.amax(0)
    active = torch.zeros(len(shift), dtype=torch.int64, device=device)
    total = torch.zeros(len(shift), dtype=torch.float64, device=device)
    squares = torch.zeros_like(total)
    for codes in itertools.chain([first], blocks_of_codes):
        low, high = torch.minimum(low, codes.amin(0)), torch.maximum(high, codes.amax(0))
        active += torch.count_nonzero(codes, dim=0)
        # From one of the codes, so that a large mean leaves digits for the variance.
        distances = (codes - shift).double()
        total += distances.sum(0)
        squares += distances.square().sum(0)
    constant = high - low <= 1e-6 * torch.maximum(low.abs(), high.abs())
    usage = torch.where(constant, 0.0, active.double() / len(rows))
    variance = (squares / len(rows) - (total / len(rows)).square()).clamp_min(0)
    return CodeSummary(usage.cpu().numpy(), variance.cpu().numpy())


@torch.inference_mode()
def outputs_of(module: nn.Module, rows: StoredRows) -> Tensor:
    """Return what a module makes of scaled rows, in the host's memory."""
    device = next(module.parameters()).device
    return torch.cat([module(block.to(device)).cpu() for block in rows.blocks(BLOCK_ROWS)]).clone()


@torch.inference_mode()
def mean_loss(assembly: Assembly, loss: ReconstructionLoss, rows: StoredRows) -> float:
    """Return the mean loss of what is made of scaled rows."""
    total = 0.0
    for block, wanted in zip(rows.blocks(BLOCK_ROWS), rows.wanted.blocks(BLOCK_ROWS), strict=True):
        targets = wanted.to(assembly.device)
        gaps = bool(targets.isnan().any())
        losses = loss.per_row(assembly(block.to(assembly.device))[0], targets, assembly.learnt(), gaps=gaps)
        total += float(losses.sum(dtype=torch.float64))
    return total / len(rows)


def blocks(module: nn.Module, rows: Rows) -> Iterator[tuple[int, Tensor]]:
    """Yield blocks of floating rows on the module's device, each with the number of its first row."""
    device, precision = next(module.parameters()).device, torch_precision(rows)
    for start in range(0, len(rows), BLOCK_ROWS):
        yield start, copied_from(rows[start : start + BLOCK_ROWS]).to(device, precision)


def done_in_blocks(
    module: nn.Module, rows: Rows, work: Callable[[Tensor], Tensor]
) -> Iterator[tuple[slice, Tensor]]:
    """Yield what work makes of blocks of rows on the module's device, each with its place.

    Where memory is short, blocks become smaller.

    Raises
    ------
    MemoryShortError
        When a single row does not fit.
    """
    device, precision = next(module.parameters()).device, torch_precision(rows)
    start, size = 0, BLOCK_ROWS
    while start < len(rows):
        chosen = slice(start, start + size)
        try:
            result = work(copied_from(rows[chosen]).to(device, precision))
        except (RuntimeError, MemoryError) as error:
            if not is_short_of_memory(error):
                raise
            if size == 1:
                raise MemoryShortError(
                    f"There is not enough memory on {device} to pass a single row through the network. Free some, or "
                    "use a smaller network."
                ) from error
            size = max(1, min(size, len(rows) - start) // 4)
            continue
        yield chosen, result
        start += size


def torch_precision(rows: Rows) -> torch.dtype:
    precision: torch.dtype = getattr(torch, precision_of(rows).name)
    return precision


def in_precision(module: Module, dtype: torch.dtype) -> Module:
    if next(module.parameters()).dtype == dtype:
        return module
    return copy.deepcopy(module).to(dtype)
