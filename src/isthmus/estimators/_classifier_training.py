"""How a classifier on an encoder is trained: its settings, its rows, and the loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from isthmus._checks import check_choice, check_flag, check_integer, check_number, check_widths
from isthmus._device import fair_threads
from isthmus._kernels import load_kernels
from isthmus._specification import resolve
from isthmus.estimators._assembly import Encoder
from isthmus.estimators._classifying import Classifier, CrossEntropy, Head
from isthmus.estimators._inference import outputs_of
from isthmus.estimators._objectives import Preparation, untouched
from isthmus.estimators._settings import PRECISIONS, Settings, auto_batch_size, schedule_for
from isthmus.estimators._trainer import VALIDATION_BATCH, batches_on, corruption
from isthmus.networks import ACTIVATIONS
from isthmus.objectives import NOISES, Noise
from isthmus.training import (
    OPTIMIZERS,
    Autograd,
    Callback,
    FlatParameters,
    History,
    Optimizer,
    Schedule,
    StoredRows,
    fit,
)

#: Share of the usual learning rate that weights bear which already mean something.
FINE_TUNING_RATE = 0.2

#: About how many steps a training takes when epochs="auto".
AUTO_STEPS = 3000


@dataclass(frozen=True)
class ClassifierSettings:
    """What a classifier does, after "auto" has been decided."""

    fine_tune: bool
    hidden_layers: tuple[int, ...]
    activation: str
    dropout: float
    noise: Noise | None
    optimizer: Optimizer
    learning_rate: float
    schedule: Schedule
    weight_decay: float
    gradient_clipping: float | None
    epochs: int
    batch_size: int
    patience: int | None
    precision: str


def classifier_settings(
    parameters: Mapping[str, Any], owner: str, *, n_rows: int, encoder: Settings, n_features: int
) -> ClassifierSettings:
    """Check a classifier's parameters and decide what they leave open.

    Parameters
    ----------
    parameters : mapping
        The constructor's parameters.
    owner : str
        Name of the estimator, for messages.
    n_rows, n_features : int
        Number of labelled rows, and of values in one.
    encoder : Settings
        Of the autoencoder.
    """

    def number(name: str, **interval: Any) -> float:
        return check_number(parameters[name], parameter=name, owner=owner, **interval)

    def integer(name: str) -> int:
        return check_integer(parameters[name], parameter=name, owner=owner, minimum=1)

    fine_tune = check_flag(parameters["fine_tune"], parameter="fine_tune", owner=owner)
    hidden_layers = check_widths(parameters["hidden_layers"], parameter="hidden_layers", owner=owner)
    optimizer = resolve(parameters["optimizer"], OPTIMIZERS, parameter="optimizer", owner=owner)
    batch_size = auto_batch_size(n_rows) if parameters["batch_size"] == "auto" else integer("batch_size")
    depth = len(hidden_layers) + 1 + (encoder.network.depth(encoder.hidden_layers) if fine_tune else 0)
    width = n_features if fine_tune else encoder.n_components
    suggested = optimizer.learning_rate(width, depth, bounded=True) * (FINE_TUNING_RATE if fine_tune else 1.0)
    clipping = parameters["gradient_clipping"]
    noise = parameters["noise"]
    precision = check_choice(parameters["precision"], PRECISIONS, parameter="precision", owner=owner)
    return ClassifierSettings(
        fine_tune=fine_tune,
        hidden_layers=hidden_layers,
        activation=check_choice(parameters["activation"], ACTIVATIONS, parameter="activation", owner=owner),
        dropout=number("dropout", minimum=0, maximum=1, open_maximum=True),
        noise=None if noise is None else resolve(noise, NOISES, parameter="noise", owner=owner),
        optimizer=optimizer,
        learning_rate=(
            suggested
            if parameters["learning_rate"] == "auto"
            else number("learning_rate", minimum=0, open_minimum=True)
        ),
        schedule=schedule_for(parameters["schedule"], owner),
        weight_decay=number("weight_decay", minimum=0),
        gradient_clipping=(
            None if clipping is None else number("gradient_clipping", minimum=0, open_minimum=True)
        ),
        epochs=_auto_epochs(n_rows, batch_size) if parameters["epochs"] == "auto" else integer("epochs"),
        batch_size=batch_size,
        patience=None if parameters["patience"] is None else integer("patience"),
        precision="float32" if precision == "auto" else precision,
    )


def _auto_epochs(n_rows: int, batch_size: int) -> int:
    return min(max(round(AUTO_STEPS / math.ceil(n_rows / batch_size)), 10), 200)


@dataclass(frozen=True)
class Labelled:
    """Scaled rows, and the numbers of their classes."""

    rows: StoredRows
    classes: Tensor

    def encoded(self, encoder: Encoder) -> Labelled:
        """Return the codes instead of the rows."""
        coding = _Coding(encoder)
        return Labelled(StoredRows(outputs_of(coding, self.rows)), self.classes)


class _Coding(nn.Module):
    """Scaled rows to codes."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.body, self.bottleneck = encoder.body, encoder.bottleneck

    def forward(self, rows: Tensor) -> Tensor:
        return self.bottleneck.code(self.body(rows))


def train_classifier(
    encoder: Encoder,
    encoder_settings: Settings,
    settings: ClassifierSettings,
    rows: Labelled,
    validation: Labelled | None,
    *,
    input_shape: tuple[int, ...],
    class_weights: Tensor | None,
    n_classes: int,
    device: torch.device,
    seed: int,
    callbacks: Sequence[Callback],
) -> tuple[Classifier, History]:
    """Return a trained classifier, whose encoder is a copy unless it is frozen, and its history."""
    generator = torch.Generator().manual_seed(seed)
    head = Head(
        encoder_settings.n_components,
        n_classes,
        settings.hidden_layers,
        settings.activation,
        settings.dropout,
        generator,
    )
    codes = rows.encoded(encoder)
    # What makes codes louder makes the gradients of an encoder louder too.
    head.start_from(codes.rows.values, least=1.0 if settings.fine_tune else 1e-6)
    own = copy.deepcopy(encoder) if settings.fine_tune else encoder
    classifier = Classifier(own.body, own.bottleneck, head).to(device)
    trained: nn.Module = classifier
    prepare: Preparation = untouched
    if not settings.fine_tune:
        trained, rows = head, codes
        validation = None if validation is None else validation.encoded(encoder)
    elif settings.noise is not None:
        prepare = corruption(settings.noise, encoder_settings, input_shape, rows.rows, device)
    weights = None if class_weights is None else class_weights.to(device)
    objective = CrossEntropy(weights, prepare)
    memory = FlatParameters(trained, getattr(torch, settings.precision))
    kernels = load_kernels() if device.type == "cpu" else None
    optimizer = settings.optimizer.build(
        memory.trained, settings.learning_rate, settings.weight_decay, kernels=kernels
    )
    with memory, fair_threads():
        history = fit(
            trained,
            objective,
            batches_on(device, rows.rows, settings.batch_size, seed, kernels, rows.classes),
            optimizer=optimizer,
            schedule=settings.schedule,
            epochs=settings.epochs,
            gradient=Autograd(trained, objective, memory),
            validation=(
                None
                if validation is None
                else batches_on(device, validation.rows, VALIDATION_BATCH, None, None, validation.classes)
            ),
            gradient_clipping=settings.gradient_clipping,
            callbacks=callbacks,
        )
    return classifier.eval(), history
