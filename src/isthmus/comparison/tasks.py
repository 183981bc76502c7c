"""What models are for, where that is not to reconstruct rows: densities, restoration, bounds.

A Boltzmann machine is a model of density, so that its likelihood is what counts. A denoising autoencoder is
judged by what it restores. A variational autoencoder reconstructs, and its bound is reported beside that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from isthmus.comparison.spaces import Space, scaling_of
from isthmus.comparison.verdicts import Spectrum, outcome_of
from isthmus.estimators import (
    DeepBeliefNetwork,
    DenoisingAutoencoder,
    RestrictedBoltzmannMachine,
    VariationalAutoencoder,
)
from isthmus.metrics import bootstrap_interval, ratio_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isthmus.comparison.models import Model

    Array: TypeAlias = NDArray[Any]
    Row: TypeAlias = dict[str, Any]

__all__ = ["Bench", "judge_task"]

#: Rows on which likelihoods, bounds and restorations are found.
TASK_ROWS = 2000
#: Chains and temperatures of annealed importance sampling.
CHAINS, TEMPERATURES = 100, 500
#: A probability that no baseline goes below, in units of one training row.
SMOOTHING = 0.5


@dataclass(frozen=True, eq=False)
class Bench:
    """What tasks are judged on.

    Attributes
    ----------
    train, test : ndarray of shape (n, ...) and (m, ...)
        Rows in the units of the data.
    space : Space
        The space in which errors are counted.
    spectrum : Spectrum
        PCA of the training rows in that space.
    seed : int
        Of the noise, and of what is drawn.
    """

    train: Array
    test: Array
    space: Space
    spectrum: Spectrum
    seed: int = 0


def judge_task(name: str, model: Model, bench: Bench) -> Row | None:
    """Return how well a model does what it is for, if that is not to reconstruct rows.

    Parameters
    ----------
    name : str
        What to call the model.
    model : Model
        A fitted model.
    bench : Bench
        What it is judged on.

    Returns
    -------
    dict or None
        None for models that are judged by their reconstructions alone. Else ``kind`` ("density",
        "restoration" or "bound") and its numbers; for the first two ``outcome``, ``headline`` and ``verdict``,
        which take the place of those by reconstruction; for "bound" ``sentence``, which goes with them.
    """
    if isinstance(model, DeepBeliefNetwork):
        why = "A deep belief network is a model of density, whose likelihood is not known"
        return _not_judged("density", name, why)
    if isinstance(model, RestrictedBoltzmannMachine):
        return _density(name, model, bench)
    if isinstance(model, DenoisingAutoencoder) and model.settings_.paired:
        why = "It was trained on pairs of noisy and clean rows; use its score(noisy, clean)"
        return _not_judged("restoration", name, why)
    if isinstance(model, DenoisingAutoencoder) and model.settings_.noise is not None:
        return _restoration(name, model, bench)
    if isinstance(model, VariationalAutoencoder) and model.settings_.bottleneck.needs_likelihood:
        return _bound(model, bench)
    return None


def _some(X: Array) -> Array:
    return np.asarray(X[:: max(1, -(-len(X) // TASK_ROWS))])


def _density(name: str, machine: RestrictedBoltzmannMachine, bench: Bench) -> Row:
    """Compare the likelihood of a machine with that of independent features."""
    rows = _some(bench.test)
    binary = machine.settings_.loss.support == "unit"
    scaling = scaling_of(machine)
    train, test = (scaling.scale(part).reshape(len(part), -1) for part in (bench.train, rows))
    drawn = ""
    if binary and not np.isin(test, (0, 1)).all():
        test, drawn = _binarized(test, bench.seed), ", on rows of zeros and ones drawn from the grey values"
        rows = scaling.restore(test).reshape(rows.shape)
    if binary:
        baseline, what = _bernoulli(train, test), "independent Bernoulli variables"
    else:
        baseline, what = _normal(train, test), "independent normal variables"
    known = machine.log_partition(n_chains=CHAINS, n_steps=TEMPERATURES, random_state=bench.seed)
    gains = machine.log_likelihood(rows, log_partition=known) - baseline
    low, high = bootstrap_interval(gains)
    if not known.exact:
        # Too short an annealing finds too small a partition function, never too large a one on average.
        doubt = 2 * known.standard_error
        low, high = low - max(doubt, known.upper - known.value), high + doubt
    gain, reference = float(gains.mean()), float(baseline.mean())
    outcome = "better" if low > 0 else "worse" if high < 0 else "unclear"
    how = "exact" if known.exact else "estimated by annealed importance sampling"
    words = {
        "better": f"{gain:.1f} nats per row higher log-likelihood than {what}",
        "worse": f"{-gain:.1f} nats per row lower log-likelihood than {what}",
        "unclear": f"no significant difference in log-likelihood from {what}",
    }
    return {
        "kind": "density",
        "log_likelihood": reference + gain,
        "baseline": reference,
        "interval": [low, high],
        "exact": bool(known.exact),
        "outcome": outcome,
        "headline": f"{gain:+.1f} nats".replace("-", "−"),
        "verdict": f"{name}: {words[outcome]} ({reference + gain:.1f} vs. {reference:.1f}, {how}{drawn}).",
    }


def _not_judged(kind: str, name: str, why: str) -> Row:
    return {"kind": kind, "outcome": "unclear", "headline": "–", "verdict": f"{name}: not judged. {why}."}


def _restoration(name: str, model: DenoisingAutoencoder, bench: Bench) -> Row:
    """Compare what a denoiser restores with the corrupted rows and with the best PCA."""
    clean, space = _some(bench.test), bench.space
    corrupted = np.asarray(model.corrupt(clean, random_state=bench.seed))
    errors = {
        "model": space.row_errors(clean, np.asarray(model.denoise(corrupted))),
        "corrupted": space.row_errors(clean, corrupted),
    }
    width, restored = _restored_by_pca(model, corrupted, bench)
    rivals = {"corrupted": "the corrupted rows"}
    if restored is not None:
        errors["pca"] = ((space.scale(clean).reshape(len(clean), -1).astype(np.float64) - restored) ** 2).sum(
            axis=1
        )
        rivals["pca"] = f"PCA with {width} component{'' if width == 1 else 's'}"
    best = min(rivals, key=lambda rival: float(errors[rival].sum()))
    peak = _range(space.scale(bench.train))
    decibels = {key: _psnr(value, peak, clean[0].size) for key, value in errors.items()}
    beside = "; ".join(f"{words}: {decibels[rival]:.1f} dB" for rival, words in rivals.items())
    gain = decibels["model"] - decibels[best]
    outcome = _outcome(errors["model"], errors[best])
    words = {
        "better": "restores corrupted rows better than",
        "worse": "restores corrupted rows worse than",
        "equal": "restores corrupted rows as well as",
        "unclear": "restores corrupted rows with no significant difference from",
    }
    advice = f" Use {'PCA' if best == 'pca' else 'the rows as they are'}." if outcome == "worse" else ""
    compared = rivals[best] if best == "pca" else "leaving them as they are"
    return {
        "kind": "restoration",
        "psnr": decibels["model"],
        "psnr_corrupted": decibels["corrupted"],
        "psnr_pca": decibels.get("pca"),
        "pca_components": width,
        "outcome": outcome,
        "headline": f"{gain:+.1f} dB".replace("-", "−"),
        "verdict": f"{name}: {words[outcome]} {compared} (PSNR {decibels['model']:.1f} dB; {beside}; {space.words})."
        + advice,
    }


def _restored_by_pca(
    model: DenoisingAutoencoder, corrupted: Array, bench: Bench
) -> tuple[int | None, Array | None]:
    """Return the number of components that restores training rows best, and its restoration, in the space."""
    mean, directions = bench.spectrum.mean, bench.spectrum.directions
    if mean is None or directions is None:
        return None, None
    learnt_from = _some(bench.train)
    noisy = np.asarray(model.corrupt(learnt_from, random_state=bench.seed + 1))

    def components(rows: Array) -> Array:
        flat = bench.space.scale(rows).reshape(len(rows), -1)
        return np.asarray((flat - mean) @ directions.T)

    wanted, seen = components(learnt_from), components(noisy)
    # With k components the first k have the error of the noise, and the others are lost.
    kept, lost = (np.square(wanted - seen).sum(axis=0), np.square(wanted).sum(axis=0))
    errors = np.concatenate([[0.0], np.cumsum(kept)]) + np.concatenate([np.cumsum(lost[::-1])[::-1], [0.0]])
    width = int(np.argmin(errors))
    return width, components(corrupted)[:, :width] @ directions[:width] + mean


def _bound(model: VariationalAutoencoder, bench: Bench) -> Row:
    """Return the evidence lower bound of a variational autoencoder."""
    elbo = float(model.elbo(_some(bench.test))["elbo"].mean())
    of = "" if bench.space.is_raw else " of scaled values"
    return {
        "kind": "bound",
        "elbo": elbo,
        "sentence": f"Evidence lower bound: {elbo:.1f} nats per row{of}.",
    }


def _outcome(errors: Array, reference: Array) -> str:
    interval = ratio_interval(errors, reference) if reference.sum() > 0 else None
    own = {"sse": float(errors.mean()), "interval": interval}
    return outcome_of(own, {"sse": float(reference.mean())})


def _psnr(errors: Array, peak: float, features: int) -> float:
    error = float(errors.mean()) / features
    return float(10 * np.log10(peak**2 / max(error, np.finfo(float).tiny)))


def _range(X: Array) -> float:
    return float(X.max()) - float(X.min()) or 1.0


def _binarized(X: Array, seed: int) -> Array:
    """Return zeros and ones, drawn with the probabilities that grey values stand for."""
    return (np.random.default_rng(seed).random(X.shape) < X).astype(np.float64)


def _bernoulli(train: Array, test: Array) -> Array:
    """Return the log-likelihood of rows of zeros and ones under the training means."""
    share = (train.sum(axis=0, dtype=np.float64) + SMOOTHING) / (len(train) + 2 * SMOOTHING)
    return np.asarray(test @ np.log(share) + (1 - test) @ np.log1p(-share))


def _normal(train: Array, test: Array) -> Array:
    """Return the log-likelihood of rows under independent normal variables."""
    mean = train.mean(axis=0, dtype=np.float64)
    variance = np.maximum(train.var(axis=0, dtype=np.float64), 1e-6)
    return np.asarray(-0.5 * ((test - mean) ** 2 / variance + np.log(2 * np.pi * variance)).sum(axis=1))
