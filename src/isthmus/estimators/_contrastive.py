"""How a Boltzmann machine learns: the gradient of its likelihood, by chains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from isthmus._random import FLIPS, GIBBS, BinarySampler, integers
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._objectives import Preparation, encoding_of, untouched
from isthmus.estimators._settings import Settings, units_of
from isthmus.networks import BoltzmannMachine, DenseNetwork
from isthmus.networks.backpropagation import Place
from isthmus.objectives import Penalty
from isthmus.training import Batch, Chains, FlatParameters, Stateful

#: Share of a batch in the running means of a centred machine.
PACE = 0.05

#: Largest singular value of the weights between two layers of units without bounds. From 1 on, the two excite
#: each other without end, and there is no density.
LARGEST = 0.9


def machine_of(assembly: Assembly, settings: Settings) -> BoltzmannMachine:
    """Return the Boltzmann machine that a tied single-layer autoencoder is; it shares its weights."""
    network = assembly.network
    assert isinstance(network, DenseNetwork)
    (encoder,), (decoder,) = network.encoder, network.decoder
    visible, hidden = units_of(settings.loss, settings.code_activation)
    return BoltzmannMachine(encoder.weight, encoder.bias, decoder.bias, visible, hidden)  # type: ignore[arg-type]


@dataclass(frozen=True)
class MachineObjective:
    """What is reported while a machine learns, which is not what it follows: its likelihood is out of reach.

    With binary visible units minus the log pseudo-likelihood of a row, estimated from one unit of each
    (J. Besag, "Statistical analysis of non-lattice data", 1975); with Gaussian ones the squared error of the
    reconstruction.

    Parameters
    ----------
    settings : Settings
        What the units are; and the loss by which a machine with Gaussian ones is judged.
    prepare : callable
        Noise.
    """

    settings: Settings
    prepare: Preparation = untouched

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return ``"loss"``, a mean over the rows."""
        assert isinstance(network, Assembly)
        machine, given, loss = machine_of(network, self.settings), self.prepare(batch)[0], self.settings.loss
        rows = loss.nearest(given)  # validation rows may lie outside
        measured = self.measured(machine, rows, machine.hidden_inputs(rows), batch.keys)
        return {"loss": measured + loss.beyond(given).sum(1).mean()}

    def measured(self, machine: BoltzmannMachine, rows: Tensor, inputs: Tensor, keys: Tensor) -> Tensor:
        """Return the loss where the hidden units' inputs are known."""
        if machine.visible.name == "bernoulli":
            n_visible = rows.shape[1]
            chosen = integers(keys, (1,), n_visible, FLIPS)[:, 0]
            return -n_visible * machine.log_conditional(rows, inputs, chosen).float().mean()
        copies = machine.visible_inputs(machine.hidden.mean(inputs))
        return self.settings.loss.per_row(copies.float(), rows.float(), {}, gaps=False).mean()


class LikelihoodGradient:
    """The gradient of minus the log-likelihood: what the machine's states say, less what the data say.

    Centred, it is that of a machine whose units are offset by their means over the data: with it, a
    machine learns data and their negatives alike.

    Parameters
    ----------
    assembly : Assembly
        The machine, as a tied single-layer autoencoder.
    objective : MachineObjective
        What is reported.
    chains : Chains
        Where the machine's states come from.
    memory : FlatParameters
        Entered; where the gradient goes.
    centred : bool
        Whether it is centred.
    weight_decay : float
        What of the weights, but not of the biases, is added.
    penalty : Penalty, optional
        What else is.
    compiled : BinarySampler, optional
        What draws binary units fast.

    References
    ----------
    G. Montavon and K.-R. Müller, "Deep Boltzmann machines and the centering trick", 2012. J. Melchior,
    A. Fischer and L. Wiskott, "How to center deep Boltzmann machines", JMLR, 2016.
    """

    def __init__(
        self,
        assembly: Assembly,
        objective: MachineObjective,
        chains: Chains,
        memory: FlatParameters,
        *,
        centred: bool,
        weight_decay: float = 0.0,
        penalty: Penalty | None = None,
        compiled: BinarySampler | None = None,
    ) -> None:
        self.assembly, self.objective, self.chains, self.memory = assembly, objective, chains, memory
        self.centred, self.weight_decay, self.penalty = centred, weight_decay, penalty
        own = machine_of(assembly, objective.settings)
        pairs = map(Place, memory.values, memory.gradients)
        places: dict[Tensor, Place] = dict(zip(memory.parameters, pairs, strict=True))
        parts = [places[part] for part in (own.weights, own.hidden_bias, own.visible_bias)]
        weights, hidden_bias, visible_bias = (part.value for part in parts)
        self.machine = replace(
            own,
            weights=weights,
            hidden_bias=hidden_bias,
            visible_bias=visible_bias,
            compiled=compiled,
        )
        self.gradients = [part.gradient for part in parts]
        self.offsets: tuple[Tensor, Tensor] | None = None
        self.direction: Tensor | None = None

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the terms, and leave the gradient in ``memory``, whose precision the rows have."""
        if not (self.machine.visible.bounded or self.machine.hidden.bounded):
            self._tame()
        self.memory.refresh()
        machine, rows = self.machine, self.objective.prepare(batch)[0]
        inputs = machine.hidden_inputs(rows)
        terms = {"loss": self.objective.measured(machine, rows, inputs, batch.keys)}
        hidden, drawn = machine.hidden.mean_and_sample(inputs, batch.keys, GIBBS, machine.compiled)
        states = self.chains(machine, Batch(rows, batch.keys), drawn)
        answers = machine.hidden.mean(machine.hidden_inputs(states))

        weights, hidden_bias, visible_bias = self.gradients
        torch.mm(answers.t(), states / len(states), out=weights)
        weights.addmm_(hidden.t(), rows, alpha=-1 / len(rows))
        ours, theirs = (hidden.mean(0), rows.mean(0)), (answers.mean(0), states.mean(0))
        torch.sub(theirs[0], ours[0], out=hidden_bias)
        torch.sub(theirs[1], ours[1], out=visible_bias)
        if self.centred:
            self._centre(*ours)
        if self.weight_decay:
            weights.add_(machine.weights, alpha=self.weight_decay)
        self.memory.collect()
        if self.penalty is not None:
            terms |= self._penalise(self.penalty, batch.keys, rows, terms["loss"])
        return terms

    def state_dict(self) -> dict[str, Any]:
        """Return what was gathered on the way, and where the chains are."""
        chains = self.chains.state_dict() if isinstance(self.chains, Stateful) else {}
        return {"offsets": self.offsets, "direction": self.direction, "chains": chains}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it on."""
        offsets = state["offsets"]
        self.offsets = None if offsets is None else (offsets[0], offsets[1])
        self.direction = state["direction"]
        if isinstance(self.chains, Stateful):
            self.chains.load_state_dict(state["chains"])

    def _tame(self) -> None:
        """Keep the largest singular value of the weights, found by power iteration, within bounds."""
        weights = self.machine.weights
        start = torch.ones_like(weights[0]) if self.direction is None else self.direction
        for _ in range(20 if self.direction is None else 1):
            start = functional.normalize(weights.t() @ (weights @ start), dim=0)
        self.direction = start
        largest = (weights @ start).norm()
        # Without a look at the number: the device is not kept waiting.
        weights.mul_((LARGEST / largest).clamp_max(1.0))

    def _centre(self, hidden_mean: Tensor, visible_mean: Tensor) -> None:
        """Turn the gradient into that of the centred machine, written for this one."""
        if self.offsets is None:
            self.offsets = hidden_mean, visible_mean
        else:
            means = zip(self.offsets, (hidden_mean, visible_mean), strict=True)
            self.offsets = tuple(offset.lerp(mean, PACE) for offset, mean in means)  # type: ignore[assignment]
        assert self.offsets is not None
        hidden_offset, visible_offset = self.offsets
        weights, hidden_bias, visible_bias = self.gradients
        weights.addr_(hidden_offset, visible_bias, alpha=-1).addr_(hidden_bias, visible_offset, alpha=-1)
        hidden_bias.sub_(weights @ visible_offset)
        visible_bias.sub_(weights.t() @ hidden_offset)

    @torch.enable_grad()
    def _penalise(self, penalty: Penalty, keys: Tensor, rows: Tensor, loss: Tensor) -> dict[str, Tensor]:
        """Add the penalty's gradient, by autograd, and return the terms that it changes."""
        rows = rows.float()
        code = self.assembly.bottleneck.code(self.assembly.network.encoder(rows))
        value = penalty(encoding_of(self.assembly, rows, code, keys))
        found = torch.autograd.grad(value, self.memory.parameters, allow_unused=True)
        self.memory.add(found)
        return {"penalty": value.detach()}
