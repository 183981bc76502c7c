"""The constant that makes densities of a Boltzmann machine sum to one: exact, or estimated from both sides."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from isthmus._random import GIBBS, row_keys
from isthmus.networks.boltzmann import BoltzmannMachine
from isthmus.networks.units import Bernoulli, Gaussian

#: Most binary units whose states are counted one by one.
MOST_COUNTED = 20

#: States that are counted at a time.
_BLOCK_BITS = 12

#: Steps after which two chains from one state have parted.
_PARTING = 10


@dataclass(frozen=True)
class LogPartition:
    """The logarithm of a partition function, in nats, and how well it is known.

    Parameters
    ----------
    value : float
        The logarithm: exact, or the estimate by annealed importance sampling, whose error is on the low
        side.
    standard_error : float
        Of ``value``, as far as the weights of the samples show it; 0 where it is exact.
    upper : float
        The estimate by annealing backwards, whose error is on the high side; far above ``value`` where
        the samples missed something.
    exact : bool, default=False
        Whether nothing was estimated.
    """

    value: float
    standard_error: float
    upper: float
    exact: bool = False


def can_be_counted(machine: BoltzmannMachine) -> bool:
    """Return whether `exact_log_partition` can say something."""
    n_hidden, n_visible = machine.weights.shape
    few_visible = isinstance(machine.visible, Bernoulli) and n_visible <= MOST_COUNTED
    few_hidden = isinstance(machine.hidden, Bernoulli) and n_hidden <= MOST_COUNTED
    return few_visible or few_hidden or _is_normal(machine)


@torch.no_grad()
def exact_log_partition(machine: BoltzmannMachine) -> float:
    """Return the logarithm of the partition function.

    The states of one layer, of at most `MOST_COUNTED` binary units, are gone through, and the other layer
    is summed out in closed form; a machine of Gaussian units alone is one normal distribution.

    Parameters
    ----------
    machine : BoltzmannMachine
        One that `can_be_counted`, at the inverse temperature 1; its tensors had better be of double
        precision.
    """
    if _is_normal(machine):
        return _normal_log_partition(machine)
    n_hidden, n_visible = machine.weights.shape
    if not (isinstance(machine.visible, Bernoulli) and n_visible <= MOST_COUNTED) or (
        isinstance(machine.hidden, Bernoulli) and n_hidden < n_visible
    ):
        machine = machine.transposed()
    n = machine.weights.shape[1]
    bits = torch.arange(n, device=machine.weights.device)
    parts = []
    for numbers in torch.split(torch.arange(1 << n, device=machine.weights.device), 1 << _BLOCK_BITS):
        states = (numbers[:, None] >> bits & 1).to(machine.weights.dtype)
        parts.append((-machine.free_energy(states)).logsumexp(0))
    return float(torch.stack(parts).logsumexp(0))


def _is_normal(machine: BoltzmannMachine) -> bool:
    return isinstance(machine.visible, Gaussian) and isinstance(machine.hidden, Gaussian)


def _normal_log_partition(machine: BoltzmannMachine) -> float:
    """Return that of a normal distribution over both layers; infinite where there is none."""
    n_hidden, n_visible = machine.weights.shape
    n = n_hidden + n_visible
    precision = torch.eye(n, dtype=machine.weights.dtype, device=machine.weights.device)
    precision[:n_visible, n_visible:] = -machine.weights.t()
    precision[n_visible:, :n_visible] = -machine.weights
    linear = torch.cat([machine.visible_bias, machine.hidden_bias])
    factor, failed = torch.linalg.cholesky_ex(precision)
    if failed:
        return math.inf
    whitened = torch.linalg.solve_triangular(factor, linear[:, None], upper=False)
    volume = factor.diagonal().log().sum()
    return float(0.5 * n * math.log(2 * math.pi) - volume + 0.5 * whitened.square().sum())


@torch.no_grad()
def annealed_log_partition(
    machine: BoltzmannMachine, *, n_chains: int, n_steps: int, seed: int
) -> LogPartition:
    """Estimate the logarithm of the partition function by annealed importance sampling, there and back.

    Chains start from independent units, whose partition function is known, and are led to the machine
    through ``n_steps`` temperatures; the products of what each step changes are their weights. States
    that are drawn from the ends of the chains by these weights then go the way back.

    Parameters
    ----------
    machine : BoltzmannMachine
        With the ``base_bias`` to start from.
    n_chains, n_steps : int
        How many chains, at least two, and how many temperatures they go through.
    seed : int
        Of the draws.

    Returns
    -------
    estimate : LogPartition

    References
    ----------
    R. M. Neal, "Annealed importance sampling", Statistics and Computing, 2001. R. Salakhutdinov and
    I. Murray, "On the quantitative analysis of deep belief networks", ICML, 2008. R. Grosse,
    Z. Ghahramani and R. P. Adams, "Sandwiching the marginal likelihood using bidirectional Monte Carlo",
    arXiv:1511.02543, 2015.
    """
    machine = _from_both_ends(machine, n_chains)
    nothing = machine.hidden_bias.new_zeros(())
    known = machine.visible.log_normalizer(machine.at(0.0).tempered_visible_bias()).sum(1).double()
    known += len(machine.hidden_bias) * machine.hidden.log_normalizer(nothing)
    keys, ends, gains = _annealed(machine, n_chains, n_steps, seed)
    gains += known
    value, error = _log_mean(gains)
    chosen = _drawn_by_weight(machine, ends, gains, keys, n_steps + 1, seed)
    _, losses = _led(machine, chosen, _ladder(n_steps)[::-1], keys, n_steps + 1 + _PARTING)
    return LogPartition(value, error, -_log_mean(losses - known)[0])


def _from_both_ends(machine: BoltzmannMachine, n_chains: int) -> BoltzmannMachine:
    """Let half of the chains start from the machine's base, and half from hidden units without an opinion.

    What the one misses the other may find, and an estimate by both is no less right.
    """
    given = machine.at(0.0).tempered_visible_bias()
    idle = machine.hidden.mean(torch.zeros_like(machine.hidden_bias))[None]
    other = replace(machine, base_bias=None).visible_inputs(idle)[0]
    bases = torch.stack([given, other])[torch.arange(n_chains, device=given.device) % 2]
    return replace(machine, base_bias=bases)


@torch.no_grad()
def annealed_samples(machine: BoltzmannMachine, *, n_samples: int, n_steps: int, seed: int) -> Tensor:
    """Draw states of the visible units as `annealed_log_partition` does on the way there.

    Returns
    -------
    states : Tensor of shape (n_samples, n_visible)
        The nearer to samples of the machine, the more steps.
    """
    # Without regard to their weights: of few samples these would leave one, over and over again.
    keys, states, _ = _annealed(machine, n_samples, n_steps, seed)
    return _led_apart(machine, states, keys, n_steps + 1)


def _annealed(
    machine: BoltzmannMachine, n_chains: int, n_steps: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the chains' keys, their ends, and the logarithms of their weights."""
    keys = row_keys(seed, 0, torch.arange(n_chains, device=machine.weights.device))
    inputs = machine.at(0.0).tempered_visible_bias().expand(n_chains, -1)
    start = machine.visible.sample(inputs, keys, GIBBS)
    return keys, *_led(machine, start, _ladder(n_steps), keys, 1)


def _ladder(n_steps: int) -> list[float]:
    return [step / n_steps for step in range(n_steps + 1)]


def _led(
    machine: BoltzmannMachine, states: Tensor, temperatures: list[float], keys: Tensor, number: int
) -> tuple[Tensor, Tensor]:
    """Lead states through inverse temperatures; return where they end, and the logarithms of their weights.

    Each is a state of the first temperature. It is weighed by what the next one makes of its density,
    and moves there, but at the last.
    """
    gains = torch.zeros(len(states), dtype=torch.float64, device=states.device)
    for before, after in itertools.pairwise(temperatures):
        inputs = functional.linear(states, machine.weights, machine.hidden_bias)
        there = machine.at(after)
        gains += machine.at(before).free_energy_of(states, inputs).double()
        gains -= there.free_energy_of(states, inputs).double()
        states = there.gibbs_step(states, keys, number)
        number += 1
    return states, gains


def _log_mean(logarithms: Tensor) -> tuple[float, float]:
    """Return the logarithm of the mean of exponentials, and its standard error by the delta method."""
    n = len(logarithms)
    weights = (logarithms - logarithms.max()).exp()
    mean = weights.mean()
    error = weights.std() / mean / math.sqrt(n)
    return float(mean.log() + logarithms.max()), float(error)


def _drawn_by_weight(
    machine: BoltzmannMachine, states: Tensor, logarithms: Tensor, keys: Tensor, number: int, seed: int
) -> Tensor:
    """Return as many states, drawn by their weights, and led apart where they were drawn twice."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(
        logarithms.cpu().softmax(0), len(states), replacement=True, generator=generator
    )
    return _led_apart(machine, states[chosen.to(states.device)], keys, number)


def _led_apart(machine: BoltzmannMachine, states: Tensor, keys: Tensor, number: int) -> Tensor:
    """Return the states after some more steps."""
    for step in range(number, number + _PARTING):
        states = machine.gibbs_step(states, keys, step)
    return states
