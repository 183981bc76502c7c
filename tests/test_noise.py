"""Noise: a pure function of seed, epoch and row, with the statistics that it claims."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch

from helpers import NOISES, by_name
from isthmus._random import row_keys
from isthmus.errors import InvalidParameterError, InvalidTypeError
from isthmus.networks import Convolutional, Dense, Recurrent, Transformer
from isthmus.objectives import (
    Binarization,
    GaussianNoise,
    Masking,
    Patches,
    SaltAndPepper,
    Surroundings,
    Swap,
)

noises = pytest.mark.parametrize("noise", NOISES, ids=by_name)

N, SHAPE, FEATURES = 400, (8, 8), 64


def keys_of(rows=N, *, seed=0, epoch=0):
    """Return the keys of the first rows, or of those given."""
    return row_keys(seed, epoch, torch.arange(rows) if isinstance(rows, int) else rows)


def grey(n=N, features=FEATURES, seed=0):
    """Return rows between 0 and 1, none of whose values is 0 or 1."""
    return 0.1 + 0.8 * torch.rand(n, features, generator=torch.Generator().manual_seed(seed))


def around(*, low=0.0, high=1.0, gap=0.0, pool=None, network=None, shape=SHAPE):
    """Return surroundings for rows of a shape."""
    pool = grey(100, math.prod(shape), seed=1) if pool is None else pool
    return Surroundings(low, high, gap, pool, functools.partial((network or Dense()).tiles, shape))


def within(values, share, n):
    """Return whether a share of n draws is within five standard errors of what it should be."""
    return abs(values - share) < 5 * math.sqrt(share * (1 - share) / n)


# What noise depends on


@noises
def test_noise_of_a_row_does_not_depend_on_the_rows_around_it(noise):
    rows, surroundings = grey(), around()
    noisy = noise(rows, keys_of(), surroundings)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    assert torch.equal(noise(rows[order], keys_of(order), surroundings), noisy[order])
    for part in (order[:1], order[10:17]):
        assert torch.equal(noise(rows[part], keys_of(part), surroundings), noisy[part])


@noises
def test_noise_is_the_same_again_for_the_same_seed_and_epoch_and_another_for_others(noise):
    rows, surroundings = grey(), around()
    noisy = noise(rows, keys_of(), surroundings)
    assert torch.equal(noise(rows, keys_of(), surroundings), noisy)
    assert not torch.equal(noisy, rows)
    changed = (noisy != rows).double().mean().item()
    for keys in (keys_of(seed=1), keys_of(epoch=1), keys_of(torch.arange(N, 2 * N))):
        other = noise(rows, keys, surroundings)
        assert not torch.equal(other, noisy)
        # What is changed is chosen anew: in both as often as by chance.
        in_both = ((other != rows) & (noisy != rows)).double().mean().item()
        assert in_both == pytest.approx(changed**2, abs=0.02)


@noises
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_leaves_the_rows_alone_and_keeps_their_type(noise, dtype):
    rows = grey().to(dtype)
    before, pool = rows.clone(), grey(100, seed=1)
    surroundings = around(pool=pool)
    noisy = noise(rows, keys_of(), surroundings)
    assert torch.equal(rows, before)
    assert torch.equal(pool, grey(100, seed=1))
    assert noisy.dtype == dtype
    assert noisy.shape == rows.shape


@noises
def test_noise_leaves_the_global_generator_alone(noise):
    before = torch.random.get_rng_state()
    noise(grey(), keys_of(), around())
    assert torch.equal(torch.random.get_rng_state(), before)


@noises
def test_the_noise_of_neighbouring_rows_is_unrelated(noise):
    rows = grey(1).expand(2000, -1)
    change = (noise(rows, keys_of(2000), around()) - rows).double().numpy()
    change -= change.mean(0)
    assert abs(np.corrcoef(change[:-1].ravel(), change[1:].ravel())[0, 1]) < 0.02


# Gaussian


@pytest.mark.parametrize("std", [0.1, 0.5, 2.0])
def test_gaussian_noise_is_normal_with_its_deviation(std):
    rows = grey()
    change = (GaussianNoise(std=std, clip=False)(rows, keys_of(), around()) - rows).double() / std
    assert scipy.stats.kstest(change.flatten().numpy(), "norm").pvalue > 1e-3
    assert change.std().item() == pytest.approx(1, abs=5 / math.sqrt(2 * N * FEATURES))
    assert np.abs(np.corrcoef(change.numpy().T) - np.eye(FEATURES)).max() < 6 / math.sqrt(N)


def test_gaussian_noise_is_clipped_to_the_range_of_the_data():
    rows, surroundings = grey(), around(low=-0.25, high=1.5)
    free = GaussianNoise(std=1.0, clip=False)(rows, keys_of(), surroundings)
    clipped = GaussianNoise(std=1.0)(rows, keys_of(), surroundings)
    assert free.min() < -0.25
    assert free.max() > 1.5
    assert torch.equal(clipped, free.clamp(-0.25, 1.5))
    nothing = GaussianNoise(std=0.0)(rows, keys_of(), surroundings)
    assert torch.equal(nothing, rows)


# Masking, salt and pepper, swaps


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("gap", [0.0, math.nan])
def test_masking_hides_its_share_of_the_values(share, gap):
    rows = grey()
    noisy = Masking(share=share)(rows, keys_of(), around(gap=gap))
    hidden = noisy.isnan() if math.isnan(gap) else noisy == 0
    assert within(hidden.double().mean().item(), share, N * FEATURES) or share in {0.0, 1.0}
    assert share not in {0.0, 1.0} or (hidden == bool(share)).all()
    assert torch.equal(noisy[~hidden], rows[~hidden])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_salt_and_pepper_take_half_of_the_share_each(share):
    rows = grey()
    noisy = SaltAndPepper(share=share)(rows, keys_of(), around(low=-2.0, high=3.0))
    pepper, salt = noisy == -2, noisy == 3
    for grain in (pepper, salt):
        assert within(grain.double().mean().item(), share / 2, N * FEATURES) or share == 0
    assert share not in {0.0, 1.0} or ((pepper | salt) == bool(share)).all()
    assert torch.equal(noisy[~(pepper | salt)], rows[~(pepper | salt)])


@pytest.mark.parametrize("share", [0.0, 0.15, 1.0])
def test_swapped_values_come_from_the_same_column(share):
    # The number of the column is the whole part of a value, and that of the row the rest.
    columns = torch.arange(FEATURES).double()
    pool = columns + torch.arange(50).unsqueeze(1) / 100
    rows = columns + 0.5 + torch.arange(N).unsqueeze(1) / 1000
    noisy = Swap(share=share)(rows, keys_of(), around(pool=pool))
    assert torch.equal(noisy.floor(), rows.floor())
    swapped = noisy != rows
    assert within(swapped.double().mean().item(), share, N * FEATURES) or share in {0.0, 1.0}
    assert share not in {0.0, 1.0} or (swapped == bool(share)).all()
    if share == 0.15:
        donors = ((noisy - noisy.floor())[swapped] * 100).round().long()
        counts = torch.bincount(donors, minlength=50)
        assert len(counts) == 50  # only rows of the pool
        assert scipy.stats.chisquare(counts.numpy()).pvalue > 1e-4  # and all alike
        # Two values of a row come from different rows.
        places = swapped.sum(1).argmax()
        assert len(((noisy - noisy.floor())[places][swapped[places]] * 100).round().unique()) > 3


def test_what_is_swapped_has_nothing_to_do_with_where_it_comes_from():
    pool = torch.arange(1000.0).unsqueeze(1).expand(-1, FEATURES)
    noisy = Swap(share=0.5)(torch.full((N, FEATURES), -1.0), keys_of(), around(pool=pool))
    swapped = noisy[noisy >= 0]
    assert swapped.mean().item() == pytest.approx(499.5, abs=5 * 289 / math.sqrt(len(swapped)))
    assert scipy.stats.kstest(swapped.numpy() / 1000, "uniform").pvalue > 1e-4


# Patches


def tiles_by_hand(n_channels, height, width, tile_height, tile_width):
    """Return the number of the tile of each value, counted row by row, in loops."""
    per_row = math.ceil(width / tile_width)
    return [
        (row // tile_height) * per_row + column // tile_width
        for _, row, column in itertools.product(range(n_channels), range(height), range(width))
    ]


@pytest.mark.parametrize(
    ("network", "shape", "size", "expected"),
    [
        (Dense(), (8, 8), 4, tiles_by_hand(1, 8, 8, 4, 4)),
        (Dense(), (64,), 4, tiles_by_hand(1, 8, 8, 4, 4)),
        (Dense(), (3, 8, 6), 2, tiles_by_hand(3, 8, 6, 2, 2)),
        (Dense(), (7, 5), 3, tiles_by_hand(1, 7, 5, 3, 3)),
        (Dense(), (10,), 1, list(range(10))),
        (Dense(), (10,), 4, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]),
        (Convolutional(), (8, 8), 4, tiles_by_hand(1, 8, 8, 4, 4)),
        (Convolutional(), (2, 8, 8), 3, tiles_by_hand(2, 8, 8, 3, 3)),
        (Convolutional(image_shape=(2, 4, 8)), (64,), 4, tiles_by_hand(2, 4, 8, 4, 4)),
        (Recurrent(), (6, 3), 2, [0] * 6 + [1] * 6 + [2] * 6),
        (Recurrent(), (10,), 4, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]),
        (Recurrent(n_features=2), (12,), 3, [0] * 6 + [1] * 6),
        (Transformer(patch_size=2), (8, 8), 4, tiles_by_hand(1, 8, 8, 2, 2)),
        (Transformer(patch_size=4), (3, 8, 8), 1, tiles_by_hand(3, 8, 8, 4, 4)),
        (Transformer(patch_size=4), (9, 10), 1, tiles_by_hand(1, 9, 10, 4, 4)),
        (Transformer(tokens="steps"), (6, 3), 2, [0] * 6 + [1] * 6 + [2] * 6),
        # Columns of a table one by one, whatever the size; a series of single values by spans.
        (Transformer(tokens="columns"), (6,), 4, list(range(6))),
        (Transformer(), (6,), 4, list(range(6))),
        (Transformer(tokens="steps"), (6, 1), 4, [0] * 4 + [1] * 2),
    ],
    ids=lambda value: str(value) if not isinstance(value, list) else "",
)
def test_patches_are_squares_spans_or_columns(network, shape, size, expected):
    tiles = network.tiles(shape, size)
    assert tiles.tolist() == expected
    assert sorted(set(expected)) == list(range(max(expected) + 1))
    # And what noise hides are whole tiles, exactly so many of them.
    surroundings = around(network=network, shape=shape)
    rows, n_tiles = grey(200, math.prod(shape)), max(expected) + 1
    for share in (0.0, 0.3, 0.5, 0.75, 1.0):
        hidden = Patches(share=share, size=size)(rows, keys_of(200), surroundings) == 0
        whole = torch.stack([hidden[:, tiles == tile].all(1) for tile in range(n_tiles)], dim=1)
        assert torch.equal(hidden, whole[:, tiles])
        assert (whole.sum(1) == round(share * n_tiles)).all()


def test_every_patch_is_hidden_as_often_as_any_other():
    surroundings = around()
    hidden = Patches(share=0.25, size=2)(grey(3000), keys_of(3000), surroundings) == 0
    corners = hidden.view(3000, 8, 8)[:, ::2, ::2].flatten(1).double()
    assert corners.shape == (3000, 16)
    assert (corners.sum(1) == 4).all()
    assert all(within(share, 0.25, 3000) for share in corners.mean(0).tolist())
    # Four of sixteen at once: each pair as often as without order, 4 * 3 / (16 * 15).
    pairs = (corners.T @ corners / 3000)[~torch.eye(16, dtype=torch.bool)]
    assert (pairs - 0.05).abs().max() < 5 * math.sqrt(0.05 * 0.95 / 3000)


def test_patches_leave_what_they_do_not_hide():
    rows = grey()
    noisy = Patches(share=0.5, size=2)(rows, keys_of(), around(gap=math.nan))
    assert torch.equal(noisy[~noisy.isnan()], rows[~noisy.isnan()])
    assert (noisy.isnan().sum(1) == 32).all()


# Binarization


def test_binarization_gives_ones_with_the_probability_of_the_value():
    rows = torch.linspace(0, 1, 11).expand(20_000, -1)
    binary = Binarization()(rows, keys_of(20_000), around())
    assert set(binary.unique().tolist()) == {0.0, 1.0}
    shares = binary.double().mean(0).tolist()
    for share, probability in zip(shares[1:-1], rows[0, 1:-1].tolist(), strict=True):
        assert within(share, probability, 20_000)
    assert shares[0] == 0
    assert shares[-1] == 1


# Gaps that the data have already


@noises
def test_rows_with_gaps_keep_to_their_other_values(noise):
    """For networks that look past NaN: the noise of what is there is the same as without the gaps."""
    rows = grey()
    missing = torch.rand(N, FEATURES, generator=torch.Generator().manual_seed(3)) < 0.2
    noisy = noise(rows, keys_of(), around(gap=math.nan))
    gapped = noise(rows.masked_fill(missing, math.nan), keys_of(), around(gap=math.nan))
    torch.testing.assert_close(gapped[~missing], noisy[~missing], equal_nan=True)


def test_what_is_missing_is_no_zero_for_binarization():
    """It is the target, too, and what is missing must not be learnt."""
    rows = grey().masked_fill(torch.eye(N, FEATURES, dtype=torch.bool), math.nan)
    binary = Binarization()(rows, keys_of(), around(gap=math.nan))
    assert torch.equal(binary.isnan(), rows.isnan())


# Bad settings


@pytest.mark.parametrize(
    ("make", "error", "parameter", "owner"),
    [
        (lambda: GaussianNoise(std=-1), InvalidParameterError, "std", "GaussianNoise"),
        (lambda: GaussianNoise(clip="yes"), InvalidTypeError, "clip", "GaussianNoise"),
        (lambda: Masking(share=1.5), InvalidParameterError, "share", "Masking"),
        (lambda: Masking(share=math.nan), InvalidParameterError, "share", "Masking"),
        (lambda: SaltAndPepper(share=-0.1), InvalidParameterError, "share", "SaltAndPepper"),
        (lambda: Swap(share="half"), InvalidTypeError, "share", "Swap"),
        (lambda: Patches(share=2), InvalidParameterError, "share", "Patches"),
        (lambda: Patches(size=0), InvalidParameterError, "size", "Patches"),
    ],
)
def test_bad_settings_are_refused_by_name(make, error, parameter, owner):
    with pytest.raises(error, match=f"'{parameter}' parameter of {owner} must be"):
        make()
