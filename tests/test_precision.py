"""What is summed in bfloat16 over many rows: a sum in that precision stops at 256, where 256 + 1 is 256."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from helpers import BOTTLENECKS, NETWORKS
from isthmus import Autoencoder
from isthmus.bottlenecks import FiniteScalar, VectorQuantized
from isthmus.estimators._closed_form import ClosedForm
from isthmus.estimators._objectives import ReconstructionObjective
from isthmus.objectives import Workspace
from isthmus.training import Autograd, Batch, FlatParameters

COLUMNS = "transformer:tokens=columns,width=16,n_heads=2,n_layers=1"
#: But the one that lets the activities of a batch compete: among equal rows it keeps a few.
APART = [bottleneck for bottleneck in BOTTLENECKS if getattr(bottleneck, "per", "row") == "row"]
CASES = [{"bottleneck": bottleneck, "hidden_layers": (16,)} for bottleneck in APART]
CASES += [{"network": network} for network in [*NETWORKS, COLUMNS]]


def gradients_of(model, row, n, *, closed):
    """Return the gradient of each parameter, from a batch of ``n`` times the same row."""
    assembly = copy.deepcopy(model._assembly).train()
    objective = ReconstructionObjective(model.settings_.loss)
    rows, keys = row.expand(n, -1).contiguous(), torch.zeros(n, dtype=torch.int64)
    with FlatParameters(assembly, torch.bfloat16) as memory:
        if closed:
            memory.refresh()
            gradient = ClosedForm.of(assembly, objective, memory, Workspace())
            gradient(Batch(rows.bfloat16(), keys))
        else:
            Autograd(assembly, objective, memory)(Batch(rows, keys))
        apart = [
            parameter.grad.clone() for parameter in memory.trained[1:]
        ]  # the weights of recurrent layers
        kept = {id(parameter) for parameter in memory.trained}
        sizes = [one.numel() for one in memory.parameters if id(one) not in kept]
        return [*memory.flat.grad.clone().split(sizes), *apart]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(next(iter(case.values()))))
def test_the_gradient_of_many_equal_rows_is_that_of_one(case):
    """A mean over 1,500 equal rows; a sum that stopped at 256 of them would leave a sixth of it."""
    X = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    model = Autoencoder(8, epochs=1, batch_size=32, random_state=0, **case).fit(X)
    row = torch.from_numpy(X[:1])
    for closed in (False, True) if str(next(iter(case.values()))) in ("plain", "dense") else (False,):
        one, many = (gradients_of(model, row, n, closed=closed) for n in (1, 1500))
        assert sum(float(part.norm()) for part in one) > 1e-3
        for alone, together in zip(one, many, strict=True):
            # Rounding to 8 bits: at most 0.055 for any parameter of these networks.
            assert float((together - alone).norm()) <= 0.3 * float(alone.norm()) + 1e-5


@pytest.mark.parametrize("update", ["ema", "gradient"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_entries_that_more_than_256_vectors_choose_are_counted(update, dtype):
    description = VectorQuantized(n_codes=2, dimension=2, update=update, decay=0.5, revive=False)
    quantizer = description.build(4, nn.Identity(), torch.Generator().manual_seed(0)).train()
    with torch.no_grad():
        quantizer.codebook.copy_(torch.tensor([[[0.0, 0.0], [4.0, 4.0]]]))
        quantizer.usage.fill_(0.0)
    # 1,001 rows of two vectors each: 1,600 beside the first entry, 402 beside the second.
    vectors = torch.tensor([[1.0, -1.0]]).repeat(2002, 1)
    vectors[1600:] = 3.0
    features = vectors.view(1001, 4).to(dtype).requires_grad_()
    bottled = quantizer(features, torch.arange(1001))
    assert quantizer.usage[0].tolist() == [800.0, 201.0]
    shares = torch.tensor([1600, 402]) / 2002
    assert float(bottled.measures["perplexity"]) == pytest.approx(
        float(torch.special.entr(shares).sum().exp())
    )
    if update == "ema":
        torch.testing.assert_close(quantizer.codebook[0], torch.tensor([[1.0, -1.0], [3.0, 3.0]]))
    else:
        bottled.terms["codebook"].backward()
        known = torch.tensor([[-2.0 * 1600, 2.0 * 1600], [2.0 * 402, 2.0 * 402]]) / 1001
        torch.testing.assert_close(quantizer.codebook.grad[0], known, rtol=1e-4, atol=0)


def test_levels_that_more_than_256_vectors_take_are_counted():
    quantizer = FiniteScalar(levels=(2,)).build(1, nn.Identity(), torch.Generator())
    features = torch.full((1200, 1), -3.0, dtype=torch.bfloat16)
    features[1000:] = 3.0
    shares = torch.tensor([1000, 200]) / 1200
    found = float(quantizer(features, torch.arange(1200)).measures["perplexity"])
    assert found == pytest.approx(float(torch.special.entr(shares).sum().exp()))


def test_clusters_that_a_codebook_starts_from_are_means_of_all_their_vectors():
    quantizer = VectorQuantized(n_codes=2, dimension=1).build(1, nn.Identity(), torch.Generator())
    vectors = torch.cat([torch.full((3000, 1), 1.0), torch.full((1000, 1), 5.0)]).bfloat16()
    vectors[::2] += 0.5
    quantizer.start_from(vectors)
    assert sorted(quantizer.codebook.flatten().tolist()) == pytest.approx([1.25, 5.25])
