"""Bounds on the log-likelihood of rows under a variational autoencoder, in bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus._random import content_keys
from isthmus.bottlenecks import GaussianBottleneck
from isthmus.estimators._assembly import Assembly, Encoder
from isthmus.estimators._inference import blocks, in_precision, torch_precision
from isthmus.estimators._objectives import log_weights
from isthmus.estimators._rows import Rows
from isthmus.objectives import ReconstructionLoss

#: Values of reconstructions that are in memory at a time.
_VALUES = 1 << 23


@dataclass(frozen=True)
class Bounds:
    """What is known of the log-likelihood of each row, in nats.

    Parameters
    ----------
    elbo, kl, reconstruction : ndarray of shape (n,)
        The evidence lower bound, and its parts: ``elbo = -reconstruction - kl``.
    importance_weighted : ndarray of shape (n,)
        The tighter bound by all samples together.
    """

    elbo: NDArray[np.float64]
    kl: NDArray[np.float64]
    reconstruction: NDArray[np.float64]
    importance_weighted: NDArray[np.float64]


@torch.inference_mode()
def bounds_of_rows(
    assembly: Assembly, encoder: Encoder, loss: ReconstructionLoss, rows: Rows, n_samples: int
) -> Bounds:
    """Return bounds for each row, from ``n_samples`` codes each.

    What is drawn for a row depends on its values alone, so that its bounds do not depend on the rows
    around it.
    """
    assembly = in_precision(assembly, torch_precision(rows))
    bottleneck = assembly.bottleneck
    assert isinstance(bottleneck, GaussianBottleneck)
    # Whatever the number of rows: what is drawn depends on how the samples are cut.
    at_a_time = max(1, min(n_samples, _VALUES // rows.shape[1] // 128))
    results: list[Tensor] = []
    for _, block in blocks(assembly, rows):
        for part in torch.split(encoder.scaling(block), max(1, _VALUES // rows.shape[1] // at_a_time)):
            results.append(_bounds(assembly, bottleneck, loss, part, n_samples, at_a_time))
    elbo, kl, reconstruction, weighted = torch.cat(results, dim=1).cpu().numpy()
    return Bounds(elbo, kl, reconstruction, weighted)


def _bounds(
    assembly: Assembly,
    bottleneck: GaussianBottleneck,
    loss: ReconstructionLoss,
    rows: Tensor,
    n_samples: int,
    at_a_time: int,
) -> Tensor:
    """Return ELBO, divergence, reconstruction loss and weighted bound of the rows, shape (4, n)."""
    posterior = bottleneck.posterior(assembly.network.encoder(rows))
    gaps = bool(rows.isnan().any())
    total = torch.full((len(rows),), -math.inf, dtype=torch.float64, device=rows.device)
    distance = torch.zeros_like(total)
    for start in range(0, n_samples, at_a_time):
        count = min(at_a_time, n_samples - start)
        codes = bottleneck.draw(posterior, content_keys(torch.nan_to_num(rows), start + 1), count)
        weights, distances = log_weights(assembly, loss, codes, rows, posterior, gaps=gaps)
        total = torch.logaddexp(total, weights.double().logsumexp(0))
        distance += distances.double().sum(0)
    kl = posterior.divergence(bottleneck.prior).double().sum(1)
    distance /= n_samples
    return torch.stack([-distance - kl, kl, distance, total - math.log(n_samples)])
