"""The restricted Boltzmann machine: two layers of units, and an energy for every pair of their states."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from isthmus._random import GIBBS, BinarySampler
from isthmus.networks.units import Bernoulli, Units


@dataclass(frozen=True)
class BoltzmannMachine:
    """A restricted Boltzmann machine: ``exp(-energy(visible, hidden))`` is the density of a state.

    Everything is a function of its tensors, which it shares with whoever made it. At an inverse
    temperature below 1 the layers are tied less, and at 0 they are independent: the hidden units without
    an input, and the visible ones with ``base_bias`` as theirs.

    Parameters
    ----------
    weights : Tensor of shape (n_hidden, n_visible)
        How strongly a hidden and a visible unit are tied.
    hidden_bias, visible_bias : Tensor of shape (n_hidden,) and (n_visible,)
        Inputs of the units without the other layer.
    visible, hidden : Units
        What the units are.
    inverse_temperature : float or Tensor of shape (n, 1), default=1.0
        One for all states, or one for each.
    base_bias : Tensor of shape (n_visible,), optional
        ``visible_bias`` where it is not given.
    compiled : BinarySampler, optional
        What draws binary units faster than torch, in the CPU's memory.

    References
    ----------
    P. Smolensky, "Information processing in dynamical systems: foundations of harmony theory", 1986.
    Y. Freund and D. Haussler, "Unsupervised learning of distributions of binary vectors using two-layer
    networks", NIPS, 1991.
    """

    weights: Tensor
    hidden_bias: Tensor
    visible_bias: Tensor
    visible: Units
    hidden: Units
    inverse_temperature: float | Tensor = 1.0
    base_bias: Tensor | None = None
    compiled: BinarySampler | None = None

    def at(self, inverse_temperature: float | Tensor) -> BoltzmannMachine:
        """Return the machine at another inverse temperature."""
        return replace(self, inverse_temperature=inverse_temperature)

    def transposed(self) -> BoltzmannMachine:
        """Return the same machine with the layers' names exchanged; at the inverse temperature 1."""
        return BoltzmannMachine(
            self.weights.t(), self.visible_bias, self.hidden_bias, self.hidden, self.visible
        )

    def hidden_inputs(self, visible: Tensor) -> Tensor:
        """Return the inputs of the hidden units, shape (n, n_hidden)."""
        return self._tempered(functional.linear(visible, self.weights, self.hidden_bias))

    def visible_inputs(self, hidden: Tensor) -> Tensor:
        """Return the inputs of the visible units, shape (n, n_visible)."""
        return self._tempered(functional.linear(hidden, self.weights.t())) + self.tempered_visible_bias()

    def energy(self, visible: Tensor, hidden: Tensor) -> Tensor:
        """Return the energy of each state, shape (n,)."""
        tied = (hidden * self.hidden_inputs(visible)).sum(1)
        alone = (visible * self.tempered_visible_bias()).sum(1)
        return self.visible.base(visible).sum(1) + self.hidden.base(hidden).sum(1) - tied - alone

    def free_energy(self, visible: Tensor) -> Tensor:
        """Return minus the logarithm of each visible state's density, up to a constant, shape (n,)."""
        return self.free_energy_of(visible, functional.linear(visible, self.weights, self.hidden_bias))

    def free_energy_of(self, visible: Tensor, untempered: Tensor) -> Tensor:
        """Return the same where the hidden units' inputs at the inverse temperature 1 are known."""
        alone = (visible * self.tempered_visible_bias() - self.visible.base(visible)).sum(1)
        return -alone - self.hidden.log_normalizer(self._tempered(untempered)).sum(1)

    def gibbs_step(self, visible: Tensor, keys: Tensor, number: int) -> Tensor:
        """Draw the hidden units given the visible ones, and these again given those.

        ``keys``, shape (n,), and ``number``, of the step, are what the draws depend on.
        """
        inputs = self.hidden_inputs(visible)
        hidden = self.hidden.sample(inputs, keys, GIBBS + 2 * number, self.compiled)
        return self.visible_given(hidden, keys, number)

    def visible_given(self, hidden: Tensor, keys: Tensor, number: int) -> Tensor:
        """Draw the visible units given the hidden ones, as `gibbs_step` number ``number`` would."""
        inputs = self.visible_inputs(hidden)
        return self.visible.sample(inputs, keys, GIBBS + 2 * number + 1, self.compiled)

    def log_conditional(self, visible: Tensor, hidden_inputs: Tensor, chosen: Tensor) -> Tensor:
        """Return the log-probability of one visible unit of each row given its other ones, shape (n,).

        Parameters
        ----------
        visible : Tensor of shape (n, n_visible)
            Rows of binary units, or of numbers between 0 and 1 that are taken for them.
        hidden_inputs : Tensor of shape (n, n_hidden)
            What `hidden_inputs` returns for them.
        chosen : Tensor of int64, shape (n,)
            Which unit.
        """
        value = visible.gather(1, chosen[:, None])
        change = 1 - 2 * value
        turned = hidden_inputs + change * self.weights.t()[chosen]
        gain = self.hidden.log_normalizer(turned) - self.hidden.log_normalizer(hidden_inputs)
        return functional.logsigmoid(-(gain.sum(1) + (change[:, 0] * self.visible_bias[chosen])))

    def tempered_visible_bias(self) -> Tensor:
        """Return the inputs of the visible units without the hidden ones."""
        if self.base_bias is None:
            return self.visible_bias
        return self.base_bias + self._tempered(self.visible_bias - self.base_bias)

    def _tempered(self, values: Tensor) -> Tensor:
        unchanged = isinstance(self.inverse_temperature, float) and self.inverse_temperature == 1.0
        return values if unchanged else values * self.inverse_temperature


#: Standard deviations of a unit beyond which an integral over its values is cut off: of a normal distribution, a
#: share of 1e-9 lies there on each side.
_REACH = 6.0

#: The most steps in which the ends of an integral are sought, and how little a last one moves them.
_ROUNDS, _STILL = 200, 0.5

#: Values that are in memory at a time.
_VALUES = 1 << 24


def log_pseudo_likelihood(machine: BoltzmannMachine, visible: Tensor) -> Tensor:
    """Return the sum of the log-probabilities of each visible unit given the others, shape (n,).

    Binary units have two states. The density of a Gaussian unit is integrated numerically over its values, with
    a relative error of about 1e-8. It is 0, and its logarithm minus infinity, where the hidden units have no
    bounds either and the unit's weights have a norm of 1 or more: there is no density then.

    Parameters
    ----------
    machine : BoltzmannMachine
        With binary or Gaussian visible units.
    visible : Tensor of shape (n, n_visible)
        Rows.
    """
    binary = isinstance(machine.visible, Bernoulli)
    totals = [visible.new_zeros(0)]
    for rows in torch.split(visible, max(1, _VALUES // machine.weights.shape[0])):
        if not len(rows):
            break
        inputs = machine.hidden_inputs(rows)
        total = rows.new_zeros(len(rows))
        for unit in range(rows.shape[1]):
            if binary:
                chosen = torch.full((len(rows),), unit, device=rows.device)
                total += machine.log_conditional(rows, inputs, chosen)
            else:
                total += _log_density_of_unit(machine, rows[:, unit], inputs, unit)
        totals.append(total)
    return torch.cat(totals)


def _log_density_of_unit(machine: BoltzmannMachine, values: Tensor, inputs: Tensor, unit: int) -> Tensor:
    """Return the log-density of one Gaussian unit given the others, where the hidden inputs are known.

    Given the hidden units the value is normal with variance 1, so that its density is a mixture of such normal
    distributions. Of each of them, a sum at points that are 1 apart gives the integral with a relative error of
    ``2 exp(-2 pi²)``, or 5e-9, wherever its mean lies.
    """
    weights, bias = machine.weights[:, unit], machine.visible_bias[unit]
    slope = 1 - weights.square().sum()
    if not machine.hidden.bounded and slope <= 0:
        return torch.full_like(values, -math.inf)
    others = torch.addcmul(inputs, values[:, None], weights, value=-1)
    low, high = _ends_of_unit(machine, others, unit)
    # The ends are at least and at most so far apart, but for the rounding of immense values.
    length = (high - low).clamp_min(2 * _REACH)
    longest = (
        2 * _REACH + weights.abs().sum() if machine.hidden.bounded else (2 * _REACH + 2 * _STILL) / slope
    )
    n_points = int(min(float(longest), float(length.max()))) + 2
    spacing = length / (n_points - 1)

    def exponents(points: Tensor) -> Tensor:
        """Return the logarithms of the density, up to a constant, at points of shape (n, points)."""
        there = machine.hidden.log_normalizer(others[:, None] + points[:, :, None] * weights)
        return there.sum(2) + bias * points - 0.5 * points.square()

    points = low[:, None] + spacing[:, None] * torch.arange(n_points, device=low.device)
    parts = torch.split(points, max(1, _VALUES // inputs.numel()), dim=1)
    integral = torch.stack([exponents(part).logsumexp(1) for part in parts]).logsumexp(0) + spacing.log()
    return exponents(values[:, None])[:, 0] - integral


def _ends_of_unit(machine: BoltzmannMachine, others: Tensor, unit: int) -> tuple[Tensor, Tensor]:
    """Return values of a Gaussian unit, shape (n,) each, that it is below and above with hardly any probability.

    The slope of the log-density at ``v`` is ``pull(v) - v``, where ``pull(v)`` is the unit's mean given the hidden
    units' means and rises with ``v``. The share above the last ``v`` with ``v - pull(v) = c`` is at most that of a
    standard normal distribution above about ``c``: from there on the slope is below ``-c``, and before it rises
    by no more than ``v`` falls. The same holds below.

    Parameters
    ----------
    machine : BoltzmannMachine
        With Gaussian visible units.
    others : Tensor of shape (n, n_hidden)
        The inputs of the hidden units without this one.
    unit : int
        Which unit.
    """
    weights, bias = machine.weights[:, unit], machine.visible_bias[unit]

    def pull(ends: Tensor) -> Tensor:
        return machine.hidden.mean(others + ends[:, None] * weights) @ weights + bias

    reach = others.new_tensor([[-_REACH], [_REACH]])
    if machine.hidden.bounded:
        # The means are between 0 and 1.
        furthest = torch.stack([weights.clamp_max(0).sum(), weights.clamp_min(0).sum()])
        ends = (reach + bias + furthest[:, None]).expand(-1, len(others))
    else:
        # The means rise by at most 1 with their inputs, so that the slope of v - pull(v) is between this and 1.
        slope = 1 - weights.square().sum()
        step = reach + pull(others.new_zeros(len(others)))
        ends = torch.stack([torch.minimum(step[0], step[0] / slope), torch.maximum(step[1], step[1] / slope)])
    # Each step stays outside of what is sought, because `pull` rises: to stop early makes the integral longer.
    for _ in range(_ROUNDS):
        closer = reach + torch.stack([pull(end) for end in ends])
        moved = (closer - ends).abs().max()
        ends = closer
        if moved < _STILL:
            break
    return ends[0], ends[1]
