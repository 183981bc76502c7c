"""Training: how any network learns. One loop, and what is passed to it."""

from isthmus.training.batches import Batch, Batches, ResidentBatches, StoredRows, StreamedBatches
from isthmus.training.callbacks import Callback, EarlyStopping, ProgressBar, TimeLimit
from isthmus.training.capture import CapturedStep, CudaGraphs, Recorder
from isthmus.training.chains import (
    SAMPLERS,
    Chains,
    ContrastiveDivergence,
    ParallelTempering,
    PersistentContrastiveDivergence,
    Sampler,
)
from isthmus.training.checkpoint import Checkpoint, OpenCheckpoint, Stage, Stateful
from isthmus.training.gradients import Autograd, Gradient, Objective
from isthmus.training.loop import fit
from isthmus.training.optimizers import (
    OPTIMIZERS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    Stepper,
)
from isthmus.training.parameters import FlatParameters
from isthmus.training.pretraining import (
    INITIALIZATIONS,
    Initialization,
    PrincipalComponents,
    Random,
    Stacked,
    StackedMachines,
)
from isthmus.training.run import load_optimizer, on_device, optimizer_state
from isthmus.training.schedules import SCHEDULES, Constant, Cosine, OneCycle, ReduceOnPlateau, Schedule
from isthmus.training.state import History, Model, TrainingState
from isthmus.training.tracking import JsonLines, TensorBoard

__all__ = [
    "INITIALIZATIONS",
    "OPTIMIZERS",
    "SAMPLERS",
    "SCHEDULES",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Autograd",
    "Batch",
    "Batches",
    "Callback",
    "CapturedStep",
    "Chains",
    "Checkpoint",
    "Constant",
    "ContrastiveDivergence",
    "Cosine",
    "CudaGraphs",
    "EarlyStopping",
    "FlatParameters",
    "Gradient",
    "History",
    "Initialization",
    "JsonLines",
    "Model",
    "Objective",
    "OneCycle",
    "OpenCheckpoint",
    "Optimizer",
    "ParallelTempering",
    "PersistentContrastiveDivergence",
    "PrincipalComponents",
    "ProgressBar",
    "RMSprop",
    "Random",
    "Recorder",
    "ReduceOnPlateau",
    "ResidentBatches",
    "Sampler",
    "Schedule",
    "Stacked",
    "StackedMachines",
    "Stage",
    "Stateful",
    "Stepper",
    "StoredRows",
    "StreamedBatches",
    "TensorBoard",
    "TimeLimit",
    "TrainingState",
    "fit",
    "load_optimizer",
    "on_device",
    "optimizer_state",
]
