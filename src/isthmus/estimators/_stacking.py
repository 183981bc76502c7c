"""Greedy training: a deep network, layer by layer, each on the codes of the one before it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.bottlenecks import Plain
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._building import mean_of
from isthmus.estimators._inference import outputs_of
from isthmus.estimators._settings import Settings, machine_rate
from isthmus.estimators._trainer import Trainer
from isthmus.networks import DenseNetwork, activation
from isthmus.networks.layers import TiedLinear
from isthmus.objectives import BinaryCrossEntropy, SquaredError
from isthmus.training import (
    Callback,
    History,
    Model,
    OpenCheckpoint,
    Optimizer,
    Random,
    Sampler,
    Schedule,
    StoredRows,
)

#: Activations whose values a linear layer makes well enough without the activation behind it.
_LINEAR = ("identity", "relu", "leaky_relu")


@dataclass(frozen=True)
class Scheme:
    """How each layer is trained.

    Parameters
    ----------
    optimizer : Optimizer
        What moves the weights.
    learning_rate : float, optional
        The peak; what suits the layer unless given.
    share : float, default=1.0
        Factor on that.
    sampler : Sampler, optional
        The layers are Boltzmann machines with it, and autoencoders without.
    centred : bool, default=True
        Whether the machines' gradient is.
    """

    optimizer: Optimizer
    learning_rate: float | None = None
    share: float = 1.0
    sampler: Sampler | None = None
    centred: bool = True


class Stack:
    """The layers of a dense network as single-layer autoencoders or machines, which share its weights.

    It is used as a :class:`isthmus.estimators._trainer.Trainer` of the whole is.

    Parameters
    ----------
    assembly : Assembly
        What is trained: a dense network.
    settings : Settings
        Of the whole.
    input_shape : tuple of int
        Shape of a row.
    scheme : Scheme
        How it is trained.
    fresh : bool, default=True
        Whether the layers are to start from their rows' mean; not where they have been trained.

    Attributes
    ----------
    engine : dict
        What the last layer was trained on.
    """

    def __init__(
        self,
        assembly: Assembly,
        settings: Settings,
        input_shape: tuple[int, ...],
        scheme: Scheme,
        *,
        fresh: bool = True,
    ) -> None:
        network = assembly.network
        assert isinstance(network, DenseNetwork)
        encoding = [layer for layer in network.encoder if isinstance(layer, nn.Linear)]
        decoding = [layer for layer in network.decoder if isinstance(layer, nn.Linear | TiedLinear)][::-1]
        self.fresh = fresh
        self.layers: list[_Layer] = []
        for number, (encoder, decoder) in enumerate(zip(encoding, decoding, strict=True)):
            last = number == len(encoding) - 1
            own = settings.code_activation if last else settings.activation
            before = settings.activation if number else None
            shape = (encoder.in_features,) if number else input_shape
            parts = _settings_of_layer(settings, scheme, encoder, before, own)
            self.layers.append(_Layer(encoder, decoder, parts, before, shape))

    @property
    def engine(self) -> dict[str, Any]:
        """What the last layer was trained on."""
        return self.layers[-1].trainer.engine

    def train(
        self,
        rows: StoredRows,
        *,
        seed: int,
        schedule: Schedule,
        epochs: int,
        validation: StoredRows | None = None,
        callbacks: Sequence[Callback] = (),
        model: Model | None = None,
        anneal: bool = True,
        checkpoint: OpenCheckpoint | None = None,
    ) -> History:
        """Train all layers, from the first to the last; the parameters are those of a trainer.

        Returns
        -------
        history : History
            A row for each epoch of each layer, with the number of its ``layer``, from 1.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C before the last layer.
        """
        whole = History()
        for number, layer in enumerate(self.layers, 1):
            ready = layer.prepared(rows)
            if self.fresh:
                layer.start(mean_of(ready))
            history = layer.trainer.train(
                ready,
                seed=seed + number,
                schedule=schedule,
                epochs=epochs,
                validation=validation and layer.prepared(validation),
                callbacks=callbacks,
                model=model,
                anneal=anneal,
                checkpoint=checkpoint,
            )
            layer.assembly.eval()
            layer.hand_over()
            whole.rows += [{"layer": number, **row} for row in history.rows]
            whole.interrupted, whole.stop_reason = history.interrupted, history.stop_reason
            if number < len(self.layers):
                if history.interrupted:
                    raise KeyboardInterrupt
                rows, validation = layer.codes(rows), validation and layer.codes(validation)
        self.fresh = False
        return whole

    def state_dict(self) -> dict[str, Any]:
        """Return what the next training goes on with, beside the weights of the whole."""
        return {"layers": [layer.state_dict() for layer in self.layers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it on."""
        for layer, saved in zip(self.layers, state["layers"], strict=True):
            layer.load_state_dict(saved)


def _settings_of_layer(
    settings: Settings, scheme: Scheme, encoder: nn.Linear, before: str | None, own: str
) -> Settings:
    """Return the settings by which one layer is trained; ``before`` is the activation of its rows."""
    loss, clipping = settings.loss, settings.gradient_clipping
    if before is not None:
        loss = BinaryCrossEntropy() if before == "sigmoid" else SquaredError()
    if scheme.learning_rate is not None:
        rate = scheme.learning_rate
    elif scheme.sampler is not None:
        rate, suggested = machine_rate(scheme.optimizer, loss, own)
        clipping = clipping or suggested
    else:
        rate = scheme.optimizer.learning_rate(encoder.in_features, 1, bounded=loss.bounded)
    noise = settings.noise
    if before is not None and noise is not None and noise.for_rows_only:
        noise = None
    return dataclasses.replace(
        settings,
        n_components=encoder.out_features,
        hidden_layers=(),
        code_activation=own,
        loss=loss,
        penalty=None,
        noise=noise,
        bottleneck=Plain(),
        optimizer=scheme.optimizer,
        learning_rate=scheme.share * rate,
        gradient_clipping=clipping,
        sampler=scheme.sampler,
        centred=scheme.centred,
        precision="float32" if scheme.sampler else settings.precision,
        compile="auto" if scheme.sampler and settings.compile is True else settings.compile,
        initialization=Random(),
    )


class _Layer:
    """One layer each way, as an assembly of its own.

    A machine's rows have variance 1, so the codes of rectified and other unbounded units are brought to
    it, and the weights afterwards back; such a machine is trained once.
    """

    def __init__(
        self,
        encoder: nn.Linear,
        decoder: nn.Linear | TiedLinear,
        settings: Settings,
        before: str | None,
        input_shape: tuple[int, ...],
    ) -> None:
        self.encoder, self.decoder, self.settings, self.input_shape = encoder, decoder, settings, input_shape
        self.is_machine = settings.sampler is not None
        self.offset: Tensor | None = None
        self.unit: Tensor | None = None
        self.standardized = self.is_machine and before is not None and settings.loss.support != "unit"
        self.trained: nn.Linear | TiedLinear = decoder
        if self.is_machine and isinstance(decoder, nn.Linear):
            self.trained = TiedLinear(encoder)
        going_out: list[nn.Module] = [self.trained]
        if not self.is_machine and before not in {None, "sigmoid", *_LINEAR}:
            assert before is not None
            going_out.append(activation(before))
        bottleneck = Plain().build(encoder.out_features, activation(settings.code_activation), None)
        network = DenseNetwork.of(nn.Sequential(encoder), nn.Sequential(*going_out))
        learnt = settings.loss.parameters(math.prod(input_shape)) if before is None else {}
        self.coding = nn.Sequential(encoder, activation(settings.code_activation))
        self.assembly = Assembly(network, bottleneck, learnt).to(encoder.weight.device)
        self.trainer = Trainer(self.assembly, settings, input_shape, settings.learning_rate)

    def prepared(self, rows: StoredRows) -> StoredRows:
        """Return rows as the layer is trained on them; the first ones decide how."""
        if not self.standardized:
            return rows
        if self.offset is None or self.unit is None:
            self.offset, self.unit = _moments(rows)
        return StoredRows((rows.values - self.offset) / self.unit)

    def codes(self, rows: StoredRows) -> StoredRows:
        """Return what the layer makes of rows, for the next one to learn from."""
        return StoredRows(outputs_of(self.coding, rows))

    def state_dict(self) -> dict[str, Any]:
        """Return what it goes on with: also what it learns that the whole does not have, or has otherwise."""
        moments = None if self.offset is None else [self.offset, self.unit]
        weights = dict(self.assembly.named_parameters())
        return {"weights": weights, "moments": moments, "trainer": self.trainer.state_dict()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it on."""
        for name, parameter in self.assembly.named_parameters():
            parameter.copy_(state["weights"][name])
        if state["moments"] is not None:
            self.offset, self.unit = state["moments"]
        self.trainer.load_state_dict(state["trainer"])

    @torch.no_grad()
    def start(self, mean: Tensor) -> None:
        """Start from the mean row, as a whole network does."""
        mean = mean.to(self.encoder.weight.device)
        self.encoder.bias.copy_(-(self.encoder.weight @ mean))
        self.trained.bias.copy_(self.settings.loss.inverse_link(mean))

    @torch.no_grad()
    def hand_over(self) -> None:
        """Give the network's own decoder what a machine has learnt, for rows as they were."""
        if self.trained is not self.decoder:
            self.decoder.weight.copy_(self.encoder.weight.t())
            self.decoder.bias.copy_(self.trained.bias)
        if self.offset is None or self.unit is None:
            return
        offset, unit = self.offset.to(self.encoder.weight.device), self.unit.to(self.encoder.weight.device)
        self.encoder.weight.div_(unit)
        self.encoder.bias.sub_(self.encoder.weight @ offset)
        self.decoder.weight.mul_(unit[:, None])
        self.decoder.bias.mul_(unit).add_(offset)


def _moments(rows: StoredRows) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each column; more than that where little varies."""
    unit, offset = torch.std_mean(rows.values, dim=0)
    # What a unit says in one row of thousands would otherwise be a hundred deviations.
    return offset, torch.maximum(unit, 0.2 * unit.mean()).clamp_min(1e-6)
