"""Chains that a Boltzmann machine is followed by while it learns: where its own states are drawn from.

The gradient of a machine's log-likelihood is the difference of two means, over the data and over the
machine's own states. The second would take a chain without end; these are three ways to cut it short.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from isthmus._checks import check_integer
from isthmus._random import GIBBS, row_keys, uniform
from isthmus._specification import Specification, table
from isthmus.networks import BoltzmannMachine
from isthmus.training.batches import Batch


class Chains(Protocol):
    """Chains on their way."""

    def __call__(self, machine: BoltzmannMachine, batch: Batch, hidden: Tensor) -> Tensor:
        """Return states of the visible units, shape (n_chains, n_visible).

        Parameters
        ----------
        machine : BoltzmannMachine
            As it is now.
        batch : Batch
            The rows that it learns from.
        hidden : Tensor of shape (batch, n_hidden)
            Hidden units drawn for these rows.
        """
        ...


@dataclass(frozen=True)
class Sampler(Specification):
    """Base of the descriptions.

    Parameters
    ----------
    n_steps : int, default=1
        Gibbs steps for each step of the training.
    """

    n_steps: int = 1

    def __post_init__(self) -> None:
        check_integer(self.n_steps, parameter="n_steps", owner=type(self).__name__, minimum=1)

    @abstractmethod
    def start(self, seed: int) -> Chains:
        """Return chains that are about to start."""


@dataclass(frozen=True)
class ContrastiveDivergence(Sampler):
    """Chains that start at the rows themselves, in each step anew: CD-k.

    References
    ----------
    G. E. Hinton, "Training products of experts by minimizing contrastive divergence", Neural
    Computation, 2002.
    """

    name: ClassVar[str] = "cd"

    def start(self, seed: int) -> Chains:
        """Return chains; what they draw depends on the rows' keys alone."""
        return self._run

    def _run(self, machine: BoltzmannMachine, batch: Batch, hidden: Tensor) -> Tensor:
        states = machine.visible_given(hidden, batch.keys, 0)
        for number in range(1, self.n_steps):
            states = machine.gibbs_step(states, batch.keys, number)
        return states


@dataclass(frozen=True)
class PersistentContrastiveDivergence(Sampler):
    """Chains that go on from where the last step left them: PCD, or stochastic maximum likelihood.

    They get far from the data, and so find what a machine wrongly believes in; a small learning rate
    lets them keep up with it.

    Parameters
    ----------
    n_chains : int or None, default=None
        How many chains; as many as a batch has rows unless given.

    References
    ----------
    L. Younes, "On the convergence of Markovian stochastic algorithms with rapidly decreasing ergodicity
    rates", 1999. T. Tieleman, "Training restricted Boltzmann machines using approximations to the
    likelihood gradient", ICML, 2008.
    """

    n_chains: int | None = None
    name: ClassVar[str] = "pcd"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_chains is not None:
            check_integer(self.n_chains, parameter="n_chains", owner=type(self).__name__, minimum=1)

    def start(self, seed: int) -> Chains:
        """Return chains that start from the first batch."""
        return _Persistent(self, seed)


class _Persistent:
    def __init__(self, sampler: PersistentContrastiveDivergence, seed: int) -> None:
        self.sampler, self.seed, self.number = sampler, seed, 0
        self.states: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number, "states": self.states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.number, self.states = int(state["number"]), state["states"]
        if self.states is not None:
            self.keys = _chain_keys(self.states, self.seed)

    def __call__(self, machine: BoltzmannMachine, batch: Batch, hidden: Tensor) -> Tensor:
        if self.states is None:
            self.states = _repeated(batch.rows, self.sampler.n_chains or len(batch))
            self.keys = _chain_keys(self.states, self.seed)
        for _ in range(self.sampler.n_steps):
            self.states = machine.gibbs_step(self.states, self.keys, self.number)
            self.number += 1
        return self.states


@dataclass(frozen=True)
class ParallelTempering(Sampler):
    """Persistent chains at several temperatures, whose states are exchanged.

    At high temperatures, where the layers are hardly tied and the units are on as often as in the first
    batch, a chain crosses valleys that it would be caught between at the machine's own.

    Parameters
    ----------
    n_chains : int or None, default=None
        How many chains at each temperature; as many as a batch has rows unless given.
    n_temperatures : int, default=10
        Inverse temperatures, evenly from 0 to 1.

    References
    ----------
    G. Desjardins, A. Courville, Y. Bengio, P. Vincent and O. Delalleau, "Tempered Markov chain Monte
    Carlo for training of restricted Boltzmann machines", AISTATS, 2010.
    """

    n_chains: int | None = None
    n_temperatures: int = 10
    name: ClassVar[str] = "pt"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_chains is not None:
            check_integer(self.n_chains, parameter="n_chains", owner="ParallelTempering", minimum=1)
        check_integer(self.n_temperatures, parameter="n_temperatures", owner="ParallelTempering", minimum=2)

    def start(self, seed: int) -> Chains:
        """Return chains that start from the first batch."""
        return _Tempered(self, seed)


class _Tempered:
    def __init__(self, sampler: ParallelTempering, seed: int) -> None:
        self.sampler, self.seed, self.number = sampler, seed, 0
        self.states: Tensor | None = None
        self.mean: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number, "states": self.states, "mean": self.mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.number, self.states, self.mean = int(state["number"]), state["states"], state["mean"]
        if self.states is not None:
            self._lay_out(self.states)

    def __call__(self, machine: BoltzmannMachine, batch: Batch, hidden: Tensor) -> Tensor:
        if self.states is None:
            self._begin(batch.rows)
        assert self.states is not None
        assert self.mean is not None
        machine = replace(machine, base_bias=machine.visible.input_for(self.mean))
        tempered = machine.at(self.temperatures)
        for _ in range(self.sampler.n_steps):
            self.states = tempered.gibbs_step(self.states, self.keys, self.number)
            self.states = self.exchanged(machine, self.states)
            self.number += 1
        return self.states[-self.n_chains :]

    def _begin(self, rows: Tensor) -> None:
        n_chains = self.sampler.n_chains or len(rows)
        self.states = _repeated(rows, n_chains).repeat(self.sampler.n_temperatures, 1)
        self.mean = rows.mean(0)
        self._lay_out(self.states)

    def _lay_out(self, states: Tensor) -> None:
        n_temperatures = self.sampler.n_temperatures
        self.n_chains = len(states) // n_temperatures
        self.keys = _chain_keys(states, self.seed)
        ladder = torch.linspace(0, 1, n_temperatures, dtype=states.dtype, device=states.device)
        self.temperatures = ladder.repeat_interleave(self.n_chains)[:, None]

    def exchanged(self, machine: BoltzmannMachine, states: Tensor) -> Tensor:
        """Return the states after neighbours in temperature were offered each other's; odd pairs in turn."""
        lower = torch.arange(self.number % 2, self.sampler.n_temperatures - 1, 2, device=states.device)
        place = torch.arange(self.n_chains, device=states.device)
        ours = (lower[:, None] * self.n_chains + place).flatten()
        theirs = ours + self.n_chains
        partner = torch.arange(len(states), device=states.device)
        partner[ours], partner[theirs] = theirs, ours

        inputs = machine.hidden_inputs(states)
        here = machine.at(self.temperatures).free_energy_of(states, inputs)
        there = machine.at(self.temperatures[partner]).free_energy_of(states, inputs)
        loss = there - here
        draws = uniform(self.keys[ours], (1,), GIBBS - 1 - self.number)[:, 0]
        accepted = draws.log() < -(loss[ours] + loss[theirs])
        source = torch.arange(len(states), device=states.device)
        source[ours] = torch.where(accepted, theirs, ours)
        source[theirs] = torch.where(accepted, ours, theirs)
        return states[source]


def _repeated(rows: Tensor, n: int) -> Tensor:
    """Return ``n`` rows, the given ones over and over again."""
    return rows[torch.arange(n, device=rows.device) % len(rows)].clone()


def _chain_keys(states: Tensor, seed: int) -> Tensor:
    return row_keys(seed, 0, torch.arange(len(states), device=states.device))


SAMPLERS = table(ContrastiveDivergence, PersistentContrastiveDivergence, ParallelTempering)
