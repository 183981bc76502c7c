"""Training: how any network learns. One loop, and what is passed to it."""

from isthmus.training.batches import Batches, ResidentBatches
from isthmus.training.callbacks import Callback, EarlyStopping, ProgressBar
from isthmus.training.loop import Objective, fit
from isthmus.training.optimizers import OPTIMIZERS, SGD, Adadelta, Adagrad, Adam, AdamW, Optimizer, RMSprop
from isthmus.training.schedules import SCHEDULES, Constant, Cosine, OneCycle, ReduceOnPlateau, Schedule
from isthmus.training.state import History, TrainingState

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Batches",
    "Callback",
    "Constant",
    "Cosine",
    "EarlyStopping",
    "History",
    "Objective",
    "OneCycle",
    "Optimizer",
    "ProgressBar",
    "RMSprop",
    "ReduceOnPlateau",
    "ResidentBatches",
    "Schedule",
    "TrainingState",
    "fit",
]
