"""Was it worth it? Models beside what they have to be better than.

spaces.py      the space in which errors are compared
models.py      any fitted model, its reconstructions in numbers, PCA beside it
verdicts.py    one honest sentence, with an interval
tasks.py       what models are for, where that is not to reconstruct
contests.py    models and the PCA that each is compared with
comparing.py   models and baselines by all metrics
rates.py       errors at equal bytes
"""

from isthmus.comparison.comparing import compare, fit_within, unsuitable
from isthmus.comparison.contests import Contest, accepted, contest, evaluate_with_pca, training_words
from isthmus.comparison.models import (
    Model,
    Reconstruction,
    compared_width,
    describe,
    evaluate,
    evaluate_pca,
    fit_pca,
    reconstruct,
    with_pca,
)
from isthmus.comparison.rates import all_rates, codec_rates, model_rates, rate_point, savings
from isthmus.comparison.spaces import RAW, SPACES, Space, choose_space, space_of
from isthmus.comparison.tasks import judge_task
from isthmus.comparison.verdicts import (
    EQUAL_WITHIN,
    OUTCOMES,
    Spectrum,
    judged,
    outcome_of,
    readable_percent,
    verdict,
)

__all__ = [
    "EQUAL_WITHIN",
    "OUTCOMES",
    "RAW",
    "SPACES",
    "Contest",
    "Model",
    "Reconstruction",
    "Space",
    "Spectrum",
    "accepted",
    "all_rates",
    "choose_space",
    "codec_rates",
    "compare",
    "compared_width",
    "contest",
    "describe",
    "evaluate",
    "evaluate_pca",
    "evaluate_with_pca",
    "fit_pca",
    "fit_within",
    "judge_task",
    "judged",
    "model_rates",
    "outcome_of",
    "rate_point",
    "readable_percent",
    "reconstruct",
    "savings",
    "space_of",
    "training_words",
    "unsuitable",
    "verdict",
    "with_pca",
]
