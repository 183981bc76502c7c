"""Objectives: reconstruction losses, penalties and noise, each a frozen description and a function."""

from isthmus._specification import table
from isthmus.objectives.likelihoods import (
    DiscretizedLogistic,
    GaussianLikelihood,
    LaplaceLikelihood,
    NegativeBinomial,
    PoissonLikelihood,
)
from isthmus.objectives.noise import (
    NOISES,
    Binarization,
    GaussianNoise,
    Masking,
    Noise,
    Patches,
    SaltAndPepper,
    Surroundings,
    Swap,
)
from isthmus.objectives.penalties import (
    L1,
    L2,
    PENALTIES,
    Contractive,
    Elastic,
    Encoding,
    KLSparsity,
    MaximumMeanDiscrepancy,
    Penalty,
    ValuePenalty,
)
from isthmus.objectives.reconstruction import (
    AbsoluteError,
    BinaryCrossEntropy,
    ClosedFormLoss,
    Huber,
    ReconstructionLoss,
    SquaredError,
    Workspace,
)

LOSSES = table(
    BinaryCrossEntropy,
    SquaredError,
    AbsoluteError,
    Huber,
    GaussianLikelihood,
    LaplaceLikelihood,
    DiscretizedLogistic,
    PoissonLikelihood,
    NegativeBinomial,
)

__all__ = [
    "L1",
    "L2",
    "LOSSES",
    "NOISES",
    "PENALTIES",
    "AbsoluteError",
    "Binarization",
    "BinaryCrossEntropy",
    "ClosedFormLoss",
    "Contractive",
    "DiscretizedLogistic",
    "Elastic",
    "Encoding",
    "GaussianLikelihood",
    "GaussianNoise",
    "Huber",
    "KLSparsity",
    "LaplaceLikelihood",
    "Masking",
    "MaximumMeanDiscrepancy",
    "NegativeBinomial",
    "Noise",
    "Patches",
    "Penalty",
    "PoissonLikelihood",
    "ReconstructionLoss",
    "SaltAndPepper",
    "SquaredError",
    "Surroundings",
    "Swap",
    "ValuePenalty",
    "Workspace",
]
