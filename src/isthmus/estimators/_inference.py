"""Passes over rows without learning, in blocks of bounded memory."""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isthmus._device import as_tensor
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._rows import BLOCK_ROWS, Rows
from isthmus.objectives import ReconstructionLoss

Module = TypeVar("Module", bound=nn.Module)

#: Rows that say how much each code unit is used.
USAGE_ROWS = 10_000


@torch.inference_mode()
def apply_in_blocks(module: nn.Module, rows: Rows, n_outputs: int) -> Rows:
    """Return ``module(rows)`` as an array of the precision of ``rows``.

    Double-precision rows are computed in double precision with the same weights, so that a result
    hardly depends on the rows around it.
    """
    parameter = next(module.parameters())
    source = as_tensor(rows)
    module = _in_precision(module, source.dtype)
    outputs = np.empty((len(rows), n_outputs), dtype=rows.dtype)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = source[start : start + BLOCK_ROWS].to(parameter.device)
        outputs[start : start + BLOCK_ROWS] = module(block).cpu().numpy()
    return outputs


def _in_precision(module: Module, dtype: torch.dtype) -> Module:
    if next(module.parameters()).dtype == dtype:
        return module
    return copy.deepcopy(module).to(dtype)


@torch.inference_mode()
def loss_of_rows(assembly: Assembly, loss: ReconstructionLoss, rows: Tensor) -> NDArray[np.float64]:
    """Return the reconstruction loss of each scaled row, shape (n,), in the precision of the rows."""
    assembly = _in_precision(assembly, rows.dtype)
    blocks = [
        loss.per_row(assembly(block)[0], block, assembly.learnt()) for block in torch.split(rows, BLOCK_ROWS)
    ]
    return np.asarray(torch.cat(blocks).double().cpu().numpy())


@torch.inference_mode()
def code_usage(assembly: Assembly, rows: Tensor) -> NDArray[np.float64]:
    """Return for each code unit the share of rows in which it is not zero; 0 if it never changes."""
    step = max(len(rows) // USAGE_ROWS, 1)
    codes = torch.cat([assembly(block)[1] for block in torch.split(rows[::step], BLOCK_ROWS)])
    low, high = torch.aminmax(codes, dim=0)
    constant = high - low <= 1e-6 * torch.maximum(low.abs(), high.abs())
    share = (codes != 0).double().mean(0).masked_fill(constant, 0.0)
    return np.asarray(share.cpu().numpy())
