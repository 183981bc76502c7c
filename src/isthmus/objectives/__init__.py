"""Objectives: reconstruction losses and penalties, each a frozen description and a function."""

from isthmus.objectives.penalties import L1, L2, PENALTIES, Elastic, Penalty
from isthmus.objectives.reconstruction import (
    LOSSES,
    AbsoluteError,
    BinaryCrossEntropy,
    ClosedFormLoss,
    GaussianLikelihood,
    Huber,
    ReconstructionLoss,
    SquaredError,
    Workspace,
)

__all__ = [
    "L1",
    "L2",
    "LOSSES",
    "PENALTIES",
    "AbsoluteError",
    "BinaryCrossEntropy",
    "ClosedFormLoss",
    "Elastic",
    "GaussianLikelihood",
    "Huber",
    "Penalty",
    "ReconstructionLoss",
    "SquaredError",
    "Workspace",
]
