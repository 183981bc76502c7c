"""What the weights of an autoencoder start from: the doing of :mod:`isthmus.training.pretraining`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from isthmus.errors import NoImprovementWarning
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._building import weaken
from isthmus.estimators._inference import mean_loss
from isthmus.estimators._principal import start_from_components
from isthmus.estimators._settings import Settings
from isthmus.estimators._stacking import Scheme, Stack
from isthmus.networks import DenseNetwork
from isthmus.training import (
    SGD,
    OneCycle,
    OpenCheckpoint,
    PrincipalComponents,
    Random,
    Stacked,
    StackedMachines,
    StoredRows,
)

#: Share of the loss by which training must end above its start for that to be worth a word: a linear network
#: cannot end below it.
NOTICEABLE = 0.01


def initialize(
    assembly: Assembly,
    settings: Settings,
    input_shape: tuple[int, ...],
    rows: StoredRows,
    seed: int,
    checkpoint: OpenCheckpoint | None = None,
) -> list[dict[str, float]]:
    """Set the weights to what training is to start from.

    Parameters
    ----------
    assembly : Assembly
        With random weights, on its device.
    settings : Settings
        Among them the initialization.
    input_shape : tuple of int
        Shape of a row.
    rows : StoredRows
        The scaled training rows.
    seed : int
        Of what is drawn on the way.
    checkpoint : OpenCheckpoint, optional
        Where the training of each layer is saved.

    Returns
    -------
    history : list of dict
        A row for each epoch of each layer that was trained.
    """
    kind, network = settings.initialization, assembly.network
    rows = rows.wanted  # the start copies rows; to correct them is left to the training
    if isinstance(kind, PrincipalComponents):
        start_from_components(assembly, settings, rows, seed)
        return []
    if isinstance(kind, Random):
        return []
    assert isinstance(network, DenseNetwork)
    if isinstance(kind, Stacked):
        scheme, schedule = Scheme(settings.optimizer), settings.schedule
    else:
        assert isinstance(kind, StackedMachines)
        weaken(network)
        scheme, schedule = Scheme(SGD(), sampler=kind.chains()), OneCycle()
    stack = Stack(assembly, settings, input_shape, scheme)
    history = stack.train(rows, seed=seed, schedule=schedule, epochs=kind.epochs, checkpoint=checkpoint)
    if history.interrupted:
        raise KeyboardInterrupt
    return history.rows


@contextmanager
def kept_at_least(assembly: Assembly, settings: Settings, rows: StoredRows, owner: str) -> Iterator[None]:
    """Take back what is done inside if it is worse for these rows than the principal components before it.

    Where training did not start from them, nothing is done.

    Warns
    -----
    NoImprovementWarning
        When it does.
    """
    if not isinstance(settings.initialization, PrincipalComponents):
        yield
        return
    before, kept = mean_loss(assembly, settings.loss, rows), copy.deepcopy(assembly.state_dict())
    yield
    after = mean_loss(assembly, settings.loss, rows)
    if after > before:
        assembly.load_state_dict(kept)
    if after < before * (1 + NOTICEABLE):
        return
    warnings.warn(
        f"Training of {owner} ended with a reconstruction loss of {after:.6g} a row, above the {before:.6g} that "
        "it started from, so that the principal components it started from were kept. Try a smaller learning_rate, "
        "more epochs or a weaker penalty.",
        NoImprovementWarning,
        stacklevel=5,
    )
