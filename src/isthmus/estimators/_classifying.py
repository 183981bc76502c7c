"""An encoder with a head that tells classes apart, and what it learns by."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from isthmus._device import device_of
from isthmus._random import DROPOUT, uniform
from isthmus.bottlenecks import BottleneckModule
from isthmus.estimators._assembly import Encoder
from isthmus.estimators._objectives import Preparation, untouched
from isthmus.estimators._pickling import arrays_of
from isthmus.estimators._restoring import ArrayWeights, check_shapes
from isthmus.estimators._saving import weights_of
from isthmus.networks import activation
from isthmus.networks.layers import Linear
from isthmus.training import Batch


class Head(nn.Module):
    """Codes, brought to mean 0 and variance 1, to logits of classes.

    Parameters
    ----------
    n_components, n_classes : int
        Width of a code, and number of logits.
    hidden_layers : sequence of int
        Widths of the layers between.
    activation_name : str
        What follows each of them.
    dropout : float
        Share of the inputs of each layer that is left out in training.
    generator : torch.Generator
        Where the weights are drawn from.
    """

    offset: Tensor
    unit: Tensor

    def __init__(
        self,
        n_components: int,
        n_classes: int,
        hidden_layers: Sequence[int],
        activation_name: str,
        dropout: float,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        widths = [n_components, *hidden_layers, n_classes]
        self.layers = nn.ModuleList(Linear(m, n, generator) for m, n in pairwise(widths))
        self.activation, self.activation_name = activation(activation_name), activation_name
        self.dropout = dropout
        self.register_buffer(
            "offset", torch.zeros(n_components, dtype=torch.float32, device=device_of(generator))
        )
        self.register_buffer(
            "unit", torch.ones(n_components, dtype=torch.float32, device=device_of(generator))
        )

    @torch.no_grad()
    def start_from(self, codes: Tensor, least: float) -> None:
        """Learn mean and standard deviation of codes, for good; and start without an opinion.

        No unit is taken for one of a smaller deviation than ``least``, nor than a twentieth of the mean:
        what hardly varies is not made to shout.
        """
        unit, offset = torch.std_mean(codes, dim=0, correction=0)
        self.offset.copy_(offset)
        self.unit.copy_(torch.maximum(unit, 0.05 * unit.mean()).clamp_min(least))
        last = self.layers[-1]
        assert isinstance(last, Linear)
        last.weight.zero_()

    def forward(self, codes: Tensor, keys: Tensor | None = None) -> Tensor:
        """Return the logits; with a key for each row, as in training."""
        values = (codes - self.offset) / self.unit
        left_out = None if keys is None or not self.dropout else self._left_out(keys)
        for number, layer in enumerate(self.layers):
            values = self.activation(values) if number else values
            if left_out is not None:
                values = values.masked_fill(left_out[number], 0.0) / (1 - self.dropout)
            values = layer(values)
        return values

    def _left_out(self, keys: Tensor) -> Sequence[Tensor]:
        widths = [layer.in_features for layer in self.layers]
        return torch.split(uniform(keys, (sum(widths),), DROPOUT) < self.dropout, widths, dim=1)  # type: ignore[arg-type]


class Classifier(nn.Module):
    """Scaled rows to logits: what is trained as a whole when the encoder is fine-tuned.

    Parameters
    ----------
    body : torch.nn.Module
        Scaled rows to features.
    bottleneck : BottleneckModule
        Features to codes.
    head : Head
        Codes to logits.
    """

    def __init__(self, body: nn.Module, bottleneck: BottleneckModule, head: Head) -> None:
        super().__init__()
        self.body, self.bottleneck, self.head = body, bottleneck, head

    def forward(self, rows: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.bottleneck.code(self.body(rows)))
        return logits

    def learning(self, rows: Tensor, keys: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the logits as in training, by a key for each row, and what the bottleneck adds to the loss."""
        bottled = self.bottleneck.tuned_code(self.body(rows), keys)
        return self.head(bottled.code, keys), bottled.terms


@dataclass(frozen=True)
class CrossEntropy:
    """The mean weighted cross-entropy of the rows' classes, in nats, and the share that is told right.

    In training, what the bottleneck adds to keep its code meaningful is a part of the loss.

    Parameters
    ----------
    weights : Tensor of shape (n_classes,), optional
        Of the classes; all 1 without.
    prepare : callable
        Noise.
    """

    weights: Tensor | None = None
    prepare: Preparation = untouched

    def __call__(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Return ``"loss"`` and ``"accuracy"``."""
        assert batch.targets is not None
        terms: Mapping[str, Tensor] = {}
        if not network.training:
            logits = network(batch.rows)
        elif isinstance(network, Classifier):
            logits, terms = network.learning(self.prepare(batch)[0], batch.keys)
        else:  # a head alone, on codes
            logits = network(batch.rows, batch.keys)
        logits = logits.float()
        losses = functional.cross_entropy(logits, batch.targets, self.weights, reduction="none")
        right = (logits.detach().argmax(1) == batch.targets).float().mean()
        loss = sum(terms.values(), start=losses.mean())
        return {"loss": loss, "accuracy": right, **terms}


def stored_classifier(classifier: Classifier, encoder: Encoder) -> dict[str, Any] | None:
    """Return a classifier as settings and arrays; of an encoder that is not its own, nothing."""
    head = classifier.head
    if not hasattr(head, "activation_name"):
        return None  # from a pickle of before it was known
    own = classifier.body is not encoder.body
    trained: nn.Module = classifier if own else head
    return {
        "layers": [cast(Linear, layer).out_features for layer in head.layers],
        "activation": head.activation_name,
        "dropout": head.dropout,
        "own_encoder": own,
        "weights": arrays_of(weights_of(trained)),
    }


def classifier_of(stored: Mapping[str, Any], encoder: Encoder, n_components: int) -> Classifier:
    """Build a classifier on an encoder from what `stored_classifier` returned.

    Raises
    ------
    ValueError
        When its weights are not of the shapes that its settings ask for.
    """
    *hidden, n_classes = (int(width) for width in stored["layers"])
    own = copy.deepcopy(encoder) if stored["own_encoder"] else encoder

    def classifier(generator: torch.Generator | None) -> tuple[Classifier, nn.Module]:
        head = Head(n_components, n_classes, hidden, stored["activation"], stored["dropout"], generator)
        whole = Classifier(own.body, own.bottleneck, head)
        return whole, whole if stored["own_encoder"] else head

    weights = ArrayWeights(stored["weights"])
    check_shapes(weights_of(classifier(None)[1]), weights)
    built, trained = classifier(torch.Generator())
    with torch.no_grad():
        for name, place in weights_of(trained).items():
            place.copy_(weights.read(name))
    return built.to(encoder.scaling.offset.device)
