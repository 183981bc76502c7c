"""Random numbers by key: against SplitMix64 in whole numbers, and against the distributions they claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from isthmus import _random

WORD = 2**64
GOLDEN = 0x9E3779B97F4A7C15

#: A test of a true claim fails by chance once in this many seeds; the seeds are fixed, so it never does.
RARE = 1e-4


def keys_of(n, *, seed=0, epoch=0):
    """Return the keys of the first rows."""
    return _random.row_keys(seed, epoch, torch.arange(n))


def splitmix64(state):
    """Return the output for a state, as Steele, Lea and Flood print it, with unsigned whole numbers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % WORD
    return state ^ (state >> 31)


def signed(number):
    """Return 64 bits as torch reads them."""
    number %= WORD
    return number - WORD if number >= WORD // 2 else number


def correlation(one, other):
    """Return the correlation of two tensors' values."""
    return np.corrcoef(one.flatten().numpy(), other.flatten().numpy())[0, 1]


@given(states=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_hash_is_splitmix64(states):
    ours = _random._mixed(torch.tensor(states))
    assert ours.tolist() == [signed(splitmix64(state % WORD)) for state in states]


def test_hash_gives_the_published_sequence():
    """The first outputs of the reference implementation (S. Vigna, splitmix64.c) for the seed 1234567."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    states = torch.tensor([signed(1234567 + place * GOLDEN) for place in range(1, 5)])
    assert _random._mixed(states).tolist() == [signed(number) for number in published]


def test_hash_leaves_its_argument_alone():
    states = torch.arange(5)
    _random._mixed(states)
    assert states.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (1, 0), (0, 1), (2**63 + 12345, 999)])
def test_numbers_of_a_row_are_those_of_the_written_formula(seed, epoch):
    """Keys and uniform numbers once more, in Python's whole numbers: what a stored seed stands for."""
    start = (seed * 0xD1342543DE82EF95 + epoch * 0xAF251AF3B0F025B5 + 1) % 2**63
    rows, stream, n = [0, 1, 77, 10**9], 3, 6
    keys = [splitmix64(splitmix64((row * GOLDEN + start) % WORD)) for row in rows]
    ours = _random.row_keys(seed, epoch, torch.tensor(rows))
    assert ours.tolist() == [signed(key) for key in keys]
    numbers = []
    for key in keys:
        own = splitmix64((key + stream * 0xBF58476D1CE4E5B9) % WORD)
        hashes = [splitmix64((own + place * GOLDEN) % WORD) for place in range(1, n // 2 + 1)]
        upper = [hashed >> 41 for hashed in hashes]
        middle = [(hashed >> 18) % 2**23 for hashed in hashes]
        numbers.append([(bits + 0.5) / 2**23 for bits in upper + middle])
    assert _random.uniform(ours, (n,), stream).tolist() == numbers


def test_uniform_numbers_are_never_0_or_1(monkeypatch):
    for bits, bound in ((0, 2.0**-24), (-1, 1 - 2.0**-24)):
        monkeypatch.setattr(_random, "_mixed", lambda values, bits=bits: torch.full_like(values, bits))
        numbers = _random.uniform(torch.arange(3), (4,), _random.NOISE)
        assert numbers.dtype == torch.float32
        assert (numbers == bound).all()
        assert 0 < numbers.min() <= numbers.max() < 1
        assert _random.normal(torch.arange(3), (4,), _random.NOISE).isfinite().all()


@pytest.mark.parametrize("stream", range(1, 6))
def test_uniform_numbers_are_evenly_distributed(stream):
    numbers = _random.uniform(keys_of(2000), (50,), stream).double().flatten().numpy()
    assert numbers.min() > 0
    assert numbers.max() < 1
    # 100 000 numbers: four standard errors of the mean and of the variance.
    assert numbers.mean() == pytest.approx(1 / 2, abs=4 * math.sqrt(1 / 12 / 1e5))
    assert numbers.var() == pytest.approx(1 / 12, abs=4 * math.sqrt(1 / 180 / 1e5))
    assert scipy.stats.kstest(numbers, "uniform").pvalue > RARE
    shares = np.histogram(numbers, bins=256, range=(0, 1))[0]
    assert RARE < scipy.stats.chisquare(shares).pvalue < 1 - RARE


@pytest.mark.parametrize("stream", range(1, 6))
def test_normal_numbers_are_standard_normal(stream):
    numbers = _random.normal(keys_of(2000), (50,), stream).double().flatten().numpy()
    assert numbers.mean() == pytest.approx(0, abs=4 / math.sqrt(1e5))
    assert numbers.var() == pytest.approx(1, abs=4 * math.sqrt(2 / 1e5))
    assert scipy.stats.kstest(numbers, "norm").pvalue > RARE
    assert scipy.stats.kurtosis(numbers) == pytest.approx(0, abs=4 * math.sqrt(24 / 1e5))


@pytest.mark.parametrize("draw", [_random.uniform, _random.normal])
def test_numbers_of_a_row_have_nothing_to_do_with_each_other(draw):
    """The two halves come from the same hashes (and pairs of normal ones from the same radius)."""
    numbers = draw(keys_of(20_000), (8,), _random.NOISE).double()
    for values in (numbers, numbers.square(), (numbers - numbers.mean()).abs()):
        off = np.corrcoef(values.numpy().T) - np.eye(8)
        assert abs(off).max() < 5 / math.sqrt(20_000)


@pytest.mark.parametrize("draw", [_random.uniform, _random.normal])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (2, 3, 5)])
def test_numbers_have_the_shape_that_is_asked_for(draw, shape):
    numbers = draw(keys_of(7), shape, _random.NOISE)
    assert numbers.shape == (7, *shape)
    assert numbers.dtype == torch.float32
    assert len(numbers.unique()) == numbers.numel()


DRAWS = {
    "uniform": _random.uniform,
    "normal": _random.normal,
    "integers": lambda keys, shape, stream: _random.integers(keys, shape, 1000, stream),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_numbers_of_a_row_do_not_depend_on_the_rows_around_it(draw):
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    numbers = draw(keys_of(50), (6,), _random.NOISE)
    shuffled = draw(_random.row_keys(0, 0, order), (6,), _random.NOISE)
    assert torch.equal(shuffled, numbers[order])
    for row in (0, 17, 49):
        alone = draw(_random.row_keys(0, 0, torch.tensor([row])), (6,), _random.NOISE)
        assert torch.equal(alone[0], numbers[row])


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_other_seeds_epochs_rows_and_streams_give_unrelated_numbers(draw):
    n, shape = 2000, (10,)

    def drawn(seed=0, epoch=0, first=0, stream=_random.NOISE):
        keys = _random.row_keys(seed, epoch, torch.arange(first, first + n))
        return draw(keys, shape, stream).double()

    usual = drawn()
    others = [drawn(seed=1), drawn(seed=2**40), drawn(epoch=1), drawn(epoch=7), drawn(first=n)]
    others += [drawn(stream=stream) for stream in range(2, 6)]
    # The neighbour's numbers, those one place on, and those of swapped seed and epoch.
    others += [usual.roll(1, 0), usual.roll(1, 1), drawn(seed=3, epoch=5)]
    for one, other in [(usual, other) for other in others] + [(drawn(seed=5, epoch=3), others[-1])]:
        assert abs(correlation(one, other)) < 5 / math.sqrt(n * shape[0])
        assert (one == other).double().mean() < 0.01


def test_keys_of_many_rows_seeds_and_epochs_are_all_different():
    keys = [keys_of(1000, seed=seed, epoch=epoch) for seed in range(10) for epoch in range(10)]
    assert len(torch.cat(keys).unique()) == 100_000


@pytest.mark.parametrize("below", [1, 2, 3, 7, 10, 100])
def test_whole_numbers_are_evenly_distributed(below):
    numbers = _random.integers(keys_of(1000), (50,), below, _random.OTHER_ROWS)
    assert numbers.shape == (1000, 50)
    assert numbers.dtype == torch.int64
    counts = torch.bincount(numbers.flatten(), minlength=below)
    assert len(counts) == below
    if below > 1:
        assert RARE < scipy.stats.chisquare(counts.numpy()).pvalue < 1 - RARE


def test_keys_by_content_are_equal_for_equal_rows_wherever_they_are():
    rows = torch.rand(30, 5, generator=torch.Generator().manual_seed(0))
    keys = _random.content_keys(rows)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    assert torch.equal(_random.content_keys(rows[order]), keys[order])
    assert torch.equal(_random.content_keys(rows[3:4]), keys[3:4])
    assert torch.equal(_random.content_keys(rows.t().contiguous().t()), keys)
    assert torch.equal(_random.content_keys(rows.double()), keys)
    # The two zeros are equal numbers, too.
    assert torch.equal(_random.content_keys(-torch.zeros(1, 5)), _random.content_keys(torch.zeros(1, 5)))


def test_keys_by_content_are_different_for_different_rows():
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(1000, 5, generator=generator)
    one_value_changed = rows.clone()
    one_value_changed[:, 2] += 1e-6
    swapped = rows[:, [1, 0, 2, 3, 4]]
    together = torch.cat([rows, one_value_changed, swapped, -rows, torch.zeros(1, 5)])
    assert len(_random.content_keys(together).unique()) == len(together)
    # Grey images: few values, most of them equal.
    images = torch.randint(2, (2000, 64), generator=generator).float().unique(dim=0)
    assert len(_random.content_keys(images).unique()) == len(images)


def test_keys_by_content_give_unrelated_numbers_for_other_rows_and_seeds():
    rows = torch.rand(5000, 4, generator=torch.Generator().manual_seed(0))
    near = rows.clone()
    near[:, 0] += 1e-6

    def drawn(rows, seed):
        return _random.normal(_random.content_keys(rows, seed), (4,), _random.BOTTLENECK)

    usual = drawn(rows, 0)
    for other in (drawn(near, 0), drawn(rows, 1), drawn(rows, 2), usual.roll(1, 0)):
        assert abs(correlation(usual, other)) < 5 / math.sqrt(usual.numel())
    assert scipy.stats.kstest(usual.flatten().numpy(), "norm").pvalue > RARE


def test_no_generator_of_torch_moves_on():
    before = torch.random.get_rng_state()
    keys = keys_of(10)
    _random.content_keys(torch.ones(3, 4), 1)
    for draw in DRAWS.values():
        draw(keys, (4,), _random.NOISE)
    assert torch.equal(torch.random.get_rng_state(), before)
