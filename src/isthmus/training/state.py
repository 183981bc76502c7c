"""What a training has come to: its history, and the state that callbacks see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor, nn


class Model(Protocol):
    """What callbacks may ask of the estimator that is being fitted."""

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the codes of rows."""
        ...

    def reconstruct(self, X: Any) -> NDArray[Any]:
        """Return the copies of rows."""
        ...


@dataclass
class History:
    """What happened in a training.

    Attributes
    ----------
    rows : list of dict
        One row an epoch: ``epoch`` (from 1), every term of the objective averaged over the training
        rows as they were met, ``validation_`` and the same names where validation data were given,
        ``learning_rate`` at the end of the epoch, and ``seconds`` of the training pass.
    interrupted : bool
        Whether Ctrl-C ended it; the epoch it came in has no row.
    best_epoch : int or None
        The epoch whose weights were kept, where they were chosen by the validation loss.
    stop_reason : str or None
        Why the training ended: "epochs" (all of them were done), "early stopping", "time limit", "interrupted",
        or "callback". None where that is not known.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False
    best_epoch: int | None = None
    stop_reason: str | None = None

    @property
    def monitored(self) -> list[float]:
        """The loss after each epoch: on the validation data if there are any."""
        return [row.get("validation_loss", row["loss"]) for row in self.rows]


@dataclass
class TrainingState:
    """What callbacks see.

    Attributes
    ----------
    network : torch.nn.Module
        What learns.
    history : History
        The finished epochs.
    epochs, n_steps : int
        Epochs asked for, and steps in each.
    epoch, step : int
        Finished epochs, and finished steps over all epochs.
    stop : bool
        Set it to end the training after the epoch.
    stop_reason : str
        Why ``stop`` was set, in a word or two.
    retries : int
        How often a training that diverges may go back and try a smaller learning rate.
    annealed_epochs : int
        Epochs at the start in which the objective itself changes, such as by a penalty that is faded in. A
        training is not judged by the losses of these epochs.
    terms : mapping of str to Tensor
        The terms of the last step, on the device; reading one makes it wait.
    model : Model or None
        The estimator that is being fitted; None where the loop is used without one.
    """

    network: nn.Module
    history: History
    epochs: int
    n_steps: int
    epoch: int = 0
    step: int = 0
    stop: bool = False
    stop_reason: str = "callback"
    retries: int = 3
    annealed_epochs: int = 0
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    model: Model | None = None

    @property
    def comparable_losses(self) -> list[float]:
        """The losses, as in `History.monitored`, of the epochs in which the objective stayed the same."""
        return self.history.monitored[self.annealed_epochs :]
