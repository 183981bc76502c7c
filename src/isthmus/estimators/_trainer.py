"""What a fit runs on: device, precision, compiled code, and the way to the gradient."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from isthmus._device import fair_threads, is_short_of_memory
from isthmus._kernels import Kernels, load_kernels
from isthmus.bottlenecks import GaussianBottleneck
from isthmus.errors import DeviceMemoryWarning, MemoryShortError
from isthmus.estimators._assembly import Assembly
from isthmus.estimators._closed_form import ClosedForm
from isthmus.estimators._contrastive import LikelihoodGradient, MachineObjective
from isthmus.estimators._objectives import (
    Corruption,
    ImportanceWeightedObjective,
    Preparation,
    ReconstructionObjective,
    untouched,
)
from isthmus.estimators._settings import Settings
from isthmus.objectives import Noise, Surroundings, Workspace
from isthmus.training import (
    Autograd,
    Batches,
    Callback,
    Chains,
    CudaGraphs,
    FlatParameters,
    Gradient,
    History,
    Model,
    Objective,
    OpenCheckpoint,
    ResidentBatches,
    Schedule,
    Stateful,
    StoredRows,
    StreamedBatches,
    TrainingState,
    fit,
    load_optimizer,
    on_device,
    optimizer_state,
)

#: Rows among which noise finds values to swap.
POOL_ROWS = 8192

#: Rows of a validation pass at a time.
VALIDATION_BATCH = 1024


class Trainer:
    """Trains an assembly, once or again and again, by what the settings and the machine allow.

    Parameters
    ----------
    assembly : Assembly
        What learns, on its device.
    settings : Settings
        How.
    input_shape : tuple of int
        Shape of a row.
    learning_rate : float
        The peak rate.

    Attributes
    ----------
    engine : dict
        What the last training ran on: ``device``, ``precision``, ``gradient`` ("closed form" or
        "autograd"), ``compiled`` (what was compiled, or None), ``recorded`` (whether steps were recorded as CUDA
        graphs), ``not_recorded`` (if not, why), ``threads``.
    """

    _seed = 0  # of the chains

    def __init__(
        self, assembly: Assembly, settings: Settings, input_shape: tuple[int, ...], learning_rate: float
    ) -> None:
        self.assembly, self.settings, self.input_shape = assembly, settings, input_shape
        self.memory = FlatParameters(assembly, getattr(torch, settings.precision))
        self.device = self.memory.flat.device
        self.kernels = load_kernels() if self.device.type == "cpu" and settings.compile is not False else None
        # A Boltzmann machine's biases do not decay; its gradient sees to the weights.
        decay = settings.weight_decay if settings.sampler is None else 0.0
        self.optimizer = settings.optimizer.build(
            self.memory.trained, learning_rate, decay, kernels=self.kernels
        )
        self.chains: Chains | None = None
        self.engine: dict[str, Any] = {}

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
        """Train for some epochs on scaled rows in the host's memory; the parameters are as in `fit`.

        With ``anneal``, what is faded in over a training is; otherwise it is there from the start. The
        training is the next stage of the ``checkpoint``.
        """
        workspace = Workspace(self.kernels)
        objective = self._objective(rows, workspace)
        self.assembly.bottleneck.set_progress(1.0)
        if anneal:
            callbacks = [*callbacks, _Progress(self.assembly)]
        reason = self._why_not_recorded()
        graphs = CudaGraphs() if reason is None else None
        with self.memory, fair_threads(), nullcontext() if graphs is None else graphs.alone():
            gradient = self._gradient(objective, workspace, seed)
            if not isinstance(gradient, Autograd) and self.memory.precision != torch.float32:
                rows = rows.narrowed(self.memory.precision)
            history = fit(
                self.assembly,
                objective,
                batches_on(self.device, rows, self.settings.batch_size, seed, self.kernels),
                optimizer=self.optimizer,
                schedule=schedule,
                epochs=epochs,
                gradient=gradient,
                recorder=graphs,
                validation=(
                    None
                    if validation is None
                    else batches_on(self.device, validation, VALIDATION_BATCH, None, None)
                ),
                gradient_clipping=self.settings.gradient_clipping,
                callbacks=callbacks,
                model=model,
                checkpoint=None if checkpoint is None else checkpoint.next_stage(),
                annealed=self.assembly.bottleneck.annealed if anneal else 0.0,
            )
            self._describe(gradient, reason if graphs is None else graphs.failure)
        return history

    def state_dict(self) -> dict[str, Any]:
        """Return what the next training goes on with, beside the weights: of the optimiser and the chains."""
        chains = self.chains.state_dict() if isinstance(self.chains, Stateful) else None
        return {"optimizer": optimizer_state(self.optimizer), "chains": chains, "seed": self._seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it on."""
        load_optimizer(self.optimizer, state["optimizer"])
        self._seed, sampler = state["seed"], self.settings.sampler
        if state["chains"] is not None and sampler is not None:
            self.chains = sampler.start(self._seed)
            if isinstance(self.chains, Stateful):
                self.chains.load_state_dict(on_device(self.device, state["chains"]))

    def _objective(self, rows: StoredRows, workspace: Workspace) -> Objective:
        settings = self.settings
        prepare: Preparation = untouched
        if settings.noise is not None:
            prepare = corruption(settings.noise, settings, self.input_shape, rows, self.device)
        gaps = settings.sees_gaps and bool(rows.values.isnan().any() or rows.wanted.values.isnan().any())
        if settings.sampler is not None:
            return MachineObjective(settings, prepare)
        bottleneck = self.assembly.bottleneck
        if isinstance(bottleneck, GaussianBottleneck) and bottleneck.description.bound != "elbo":
            doubly = bottleneck.description.bound == "dreg"
            return ImportanceWeightedObjective(settings.loss, doubly, settings.penalty, prepare, gaps)
        kept = None if settings.compile is True else workspace
        return ReconstructionObjective(settings.loss, settings.penalty, kept, prepare, gaps)

    def _why_not_recorded(self) -> str | None:
        """Return why steps are not recorded as CUDA graphs; None if they are to be."""
        settings = self.settings
        if self.device.type != "cuda":
            return f"the device is {self.device.type}"
        if settings.compile != "auto":
            return f"compile={settings.compile}"
        if settings.sampler is not None:
            return "the gradient is sampled"
        # A rate that is a number would be recorded with the step, and the schedule be without effect.
        if not all(isinstance(group["lr"], torch.Tensor) for group in self.optimizer.param_groups):
            return f"optimizer={settings.optimizer.name!r} does not read its learning rate from the device"
        return settings.network.unrecordable or self.assembly.bottleneck.unrecordable

    def _gradient(self, objective: Objective, workspace: Workspace, seed: int) -> Gradient:
        settings = self.settings
        if settings.sampler is not None:
            assert isinstance(objective, MachineObjective)
            if self.chains is None:
                self.chains, self._seed = settings.sampler.start(seed), seed
            return LikelihoodGradient(
                self.assembly,
                objective,
                self.chains,
                self.memory,
                centred=settings.centred,
                weight_decay=settings.weight_decay,
                penalty=settings.penalty,
                compiled=self.kernels,
            )
        if self.settings.compile is True:
            return Autograd(self.assembly, torch.compile(objective), self.memory)
        closed = None
        if isinstance(objective, ReconstructionObjective):
            closed = ClosedForm.of(self.assembly, objective, self.memory, workspace)
        return closed or Autograd(self.assembly, objective, self.memory)

    def _describe(self, gradient: Gradient, unrecorded: str | None) -> None:
        compiled = "kernels" if self.kernels is not None else None
        if self.settings.compile is True:
            compiled = "torch.compile"
        elif unrecorded is None:
            compiled = "CUDA graphs"
        self.engine = {
            "device": str(self.device),
            "precision": self.settings.precision,
            "gradient": _NAMES[type(gradient)],
            "compiled": compiled,
            "recorded": unrecorded is None,
            "not_recorded": unrecorded,
            "threads": torch.get_num_threads(),
        }


#: What `engine_` calls the ways to a gradient.
_NAMES: dict[type[Gradient], str] = {
    ClosedForm: "closed form",
    LikelihoodGradient: "sampled",
    Autograd: "autograd",
}


class _Progress(Callback):
    """Tells the bottleneck how far the training has come."""

    def __init__(self, assembly: Assembly) -> None:
        self.bottleneck = assembly.bottleneck
        self.share = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return how far it had come."""
        return {"share": self.share}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Be there again."""
        self._move_to(float(state["share"]))

    def on_training_start(self, state: TrainingState) -> None:
        """Begin, or go on from where the training was left."""
        self.on_step_end(state)

    def on_step_end(self, state: TrainingState) -> None:
        """Move on."""
        self._move_to(state.step / (state.epochs * state.n_steps))

    def _move_to(self, share: float) -> None:
        self.share = share
        self.bottleneck.set_progress(share)

    def on_training_end(self, state: TrainingState) -> None:
        """Finish, wherever it ended."""
        self.bottleneck.set_progress(1.0)


def corruption(
    noise: Noise, settings: Settings, input_shape: tuple[int, ...], rows: StoredRows, device: torch.device
) -> Preparation:
    """Return a noise for scaled rows of an autoencoder with these settings."""
    sample = rows.every(max(len(rows) // POOL_ROWS, 1))
    pool = torch.cat(list(sample.blocks(POOL_ROWS))).to(device)
    return Corruption(noise, surroundings(settings, input_shape, *rows.range(), pool))


def surroundings(
    settings: Settings, input_shape: tuple[int, ...], low: float, high: float, pool: Tensor
) -> Surroundings:
    """Return what a noise has to know of scaled rows in this range."""
    if settings.loss.support == "unit":
        low, high = 0.0, 1.0
    tiles = functools.cache(functools.partial(settings.network.tiles, input_shape))
    return Surroundings(low, high, math.nan if settings.network.sees_gaps else 0.0, pool, tiles)


@contextmanager
def memory_worded(owner: str, batch_size: int) -> Iterator[None]:
    """Word what is raised where a training does not fit into memory.

    Raises
    ------
    MemoryShortError
        With what to do.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_short_of_memory(error):
            raise
        raise MemoryShortError(
            f"There is not enough memory to train {owner} on batches of {batch_size} rows. Use a smaller batch_size or "
            "network, or fewer rows."
        ) from error


def batches_on(
    device: torch.device,
    rows: StoredRows,
    batch_size: int,
    seed: int | None,
    kernels: Kernels | None,
    targets: Tensor | None = None,
) -> Batches:
    """Return batches from the device's memory, or from the host's where they do not fit.

    Warns
    -----
    DeviceMemoryWarning
        When they do not.
    """
    try:
        there = None if targets is None else targets.to(device)
        return ResidentBatches(rows.to(device), batch_size, seed, kernels=kernels, targets=there)
    except torch.OutOfMemoryError:
        size = rows.values.numel() * rows.values.element_size()
        warnings.warn(
            f"{size / 2**30:.1f} GiB of training rows do not fit into the memory of {device}; they are sent "
            "batch by batch, which is slower. Fewer rows, or unsigned bytes instead of floats, may fit.",
            DeviceMemoryWarning,
            stacklevel=5,
        )
        return StreamedBatches(ResidentBatches(rows, batch_size, seed, targets=targets), device)
