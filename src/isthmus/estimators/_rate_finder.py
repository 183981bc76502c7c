"""A short trial in which the learning rate grows: which rate to train with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from isthmus._checks import check_integer, check_number, wrong_parameter
from isthmus.errors import DivergenceError, InvalidParameterError, InvalidTypeError
from isthmus.estimators._base import BaseAutoencoder
from isthmus.training import Callback, Schedule, TrainingState

#: Who speaks in the messages.
OWNER = "find_learning_rate"

#: The fewest steps from which a slope can be read.
FEWEST_STEPS = 20

#: The fewest losses that a trial which ended early must have left for that.
FEWEST_LOSSES = 5

#: Weight of the past in the running mean of the losses that says when to stop.
MEMORY = 0.8

#: The trial is over when the loss has risen to this many times its best.
DIVERGED = 4.0

#: Share of the steps at the start, where the rates should be too small to matter.
START = 0.1

# In decades of the rate, as wide as they are in any trial. The losses of single batches are noisy, all
# the more for tables with outlying rows, so they are smoothed with a bell, and then by a running mean. The
# bell alone leaves steps of pure noise as the steepest. The running mean lags, and so moves the suggestion
# up by a factor of about two: towards what a schedule that is at its peak only for a moment does best with.

#: Standard deviation of the bell.
BELL = 0.2

#: Length of the running mean's memory.
LAG = 0.7

#: Share of the whole fall of the loss that must have happened before a descent counts.
BEGUN = 0.2


@dataclass(frozen=True, eq=False)
class RateRange:
    """What a trial with a growing learning rate showed.

    Attributes
    ----------
    rates : ndarray of shape (n,)
        The learning rates, each a constant factor above the one before.
    losses : ndarray of shape (n,)
        The smoothed training loss at each; all finite. A trial that ended early has fewer than the
        steps that were asked for.
    suggestion : float
        The rate at which the smoothed loss fell most steeply over the logarithm of the rate.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    suggestion: float


def find_learning_rate(
    model: BaseAutoencoder, X: ArrayLike, *, lowest: float = 1e-6, highest: float = 10.0, steps: int = 100
) -> RateRange:
    """Find a good peak learning rate by a short trial in which the rate grows from step to step.

    A copy of the model takes ``steps`` steps on rows of ``X``, with rates that grow geometrically.
    Where the rate is too small nothing happens, then the loss falls, and where the rate is too large
    it rises. The trial ends early when the loss, smoothed, has risen to several times its best, or is
    not finite.

    So few steps show where learning is fast, not what a long training survives. With loss="gaussian"
    they show little more than how fast the variance is learnt, and the suggestion may be several times
    too high.

    Parameters
    ----------
    model : estimator
        An autoencoder, fitted or not; it is left as it is. Its own ``learning_rate``, ``schedule``,
        ``epochs``, ``callbacks`` and ``validation_fraction`` play no part.
    X : array-like of shape (n, features), or (n, height, width) and the like
        Training rows.
    lowest, highest : float, default=1e-6 and 10
        The first and the last rate.
    steps : int, default=100
        How many rates are tried. With fewer than ten for each factor of ten in the rate, little can be
        seen through the noise of the batches.

    Returns
    -------
    range : RateRange
        ``rates``, ``losses`` and the ``suggestion``, a value for ``learning_rate``.

    Raises
    ------
    ValueError
        When a parameter or the data cannot be used, or the loss fell at none of the rates.

    References
    ----------
    L. N. Smith, "Cyclical learning rates for training neural networks", WACV, 2017, section 3.3. The
    point of steepest descent is the choice of J. Howard and S. Gugger, "fastai: a layered API for deep
    learning", Information, 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import Autoencoder, find_learning_rate
    >>> X, model = load_digits().data / 16, Autoencoder(n_components=8, random_state=0)
    >>> found = find_learning_rate(model, X)
    >>> 1e-3 < found.suggestion < 0.3
    True
    >>> model = model.set_params(learning_rate=found.suggestion).fit(X)
    """
    if not isinstance(model, BaseAutoencoder):
        raise InvalidTypeError(str(wrong_parameter(OWNER, "model", "an autoencoder of Isthmus", model)))
    if "sampler" in model.get_params(deep=False):
        wanted = "one that follows the loss it reports, which a Boltzmann machine does not"
        raise wrong_parameter(OWNER, "model", wanted, model)
    steps = check_integer(steps, parameter="steps", owner=OWNER, minimum=FEWEST_STEPS)
    lowest = check_number(lowest, parameter="lowest", owner=OWNER, minimum=0, open_minimum=True)
    highest = check_number(highest, parameter="highest", owner=OWNER, minimum=lowest, open_minimum=True)
    trial = _Trial(np.geomspace(lowest, highest, steps))
    _run(clone(model), X, trial)
    rates, raw = trial.rates[: len(trial.losses)], np.array(trial.losses)
    if len(raw) >= FEWEST_LOSSES:
        start = max(round(START * steps), 1)
        losses = _smoothed(raw, start, steps / math.log10(highest / lowest))
        fall = losses[:start].mean() - losses.min()
        if fall > np.median(np.abs(np.diff(raw))):  # the noise of single batches
            return RateRange(rates, losses, _steepest(rates, losses, start))
    raise InvalidParameterError(
        f"The loss of {type(model).__name__} fell at none of the learning rates from {lowest:g} to "
        f"{trial.rates[max(len(raw) - 1, 0)]:g} that {OWNER} tried. Give it another 'lowest' or 'highest', "
        "or more 'steps'."
    )


class _TrialOver(Exception):  # noqa: N818 (nothing went wrong)
    """Ends a training in the middle of an epoch; never seen outside."""


class _Trial(Callback):
    """Remember the loss of every step, and end the training when enough is known."""

    def __init__(self, rates: NDArray[np.float64]) -> None:
        self.rates = rates
        self.losses: list[float] = []
        self._mean = self._weight = 0.0
        self._first, self._best = math.inf, math.inf

    def on_training_start(self, state: TrainingState) -> None:
        """Have the end of the trial be the end."""
        state.retries = 0

    def on_step_end(self, state: TrainingState) -> None:
        """Read the loss, which has the device wait; the steps are few."""
        loss = float(state.terms["loss"])
        if not math.isfinite(loss):
            raise _TrialOver
        self.losses.append(loss)
        if len(self.losses) == len(self.rates) or self._rose(loss):
            raise _TrialOver

    def _rose(self, loss: float) -> bool:
        """Return whether the running mean is now several times its best, and above where it began."""
        self._mean = MEMORY * self._mean + (1 - MEMORY) * loss
        self._weight = MEMORY * self._weight + (1 - MEMORY)
        mean = self._mean / self._weight
        if len(self.losses) == 1:
            self._first = mean
        self._best = min(self._best, mean)
        # A likelihood may be negative, or cross zero, where "several times" means little.
        rise = max((DIVERGED - 1) * abs(self._best), self._first - self._best)
        return mean - self._best > rise


@dataclass(frozen=True)
class _Growing(Schedule):
    """The rate of the step that comes next in a trial, as a factor on the highest."""

    trial: _Trial
    name: ClassVar[str] = "growing"

    def factor(self, progress: float, losses: Sequence[float]) -> float:
        """Return the factor; counted by the trial, so that each loss belongs to its rate."""
        rates = self.trial.rates
        return float(rates[len(self.trial.losses)] / rates[-1])


def _run(model: BaseAutoencoder, X: ArrayLike, trial: _Trial) -> None:
    """Train until the trial is over."""
    model.set_params(
        learning_rate=float(trial.rates[-1]),
        schedule=_Growing(trial),
        epochs=len(trial.rates),  # an epoch has at least one step
        validation_fraction=None,
        callbacks=[trial],
        verbose=False,
    )
    try:
        model.fit(X)
    except (_TrialOver, DivergenceError):
        return
    raise KeyboardInterrupt  # the trial ends every training but one that was interrupted


def _smoothed(losses: NDArray[np.float64], start: int, per_decade: float) -> NDArray[np.float64]:
    """Return the losses without the noise of the batches; the first ``start`` of them are level."""
    # A single loss of a million, where the trial ended, would be all that is left of its neighbours.
    level = losses[:start].mean()
    losses = np.minimum(losses, level + DIVERGED * (level - losses.min()))
    places = np.arange(len(losses))
    weights = np.exp(-0.5 * ((places[:, np.newaxis] - places) / (BELL * per_decade)) ** 2)
    bells = weights @ losses / weights.sum(axis=1)
    share = min(1 / (LAG * per_decade), 1.0)
    mean, means = bells[:start].mean(), np.empty(len(losses))
    for place, loss in enumerate(bells):
        mean += share * (loss - mean)
        means[place] = mean
    return means


def _steepest(rates: NDArray[np.float64], losses: NDArray[np.float64], start: int) -> float:
    """Return the rate of the steepest descent of smoothed losses, within their fall to the smallest."""
    bottom, level = int(losses.argmin()), losses[:start].mean()
    above = losses[: bottom + 1] > level - BEGUN * (level - losses[bottom])
    begun = int(np.flatnonzero(above)[-1]) if above.any() else 0
    slopes = np.gradient(losses, np.log(rates))[begun : bottom + 1]
    return float(rates[begun + slopes.argmin()])
