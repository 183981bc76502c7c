"""Was it worth it? Models beside what they have to be better than.

models.py      any fitted model, what it makes of rows, PCA of equal width
verdicts.py    one honest sentence, with an interval
comparing.py   models and baselines by all metrics, at equal width or in equal time
rates.py       errors at equal bytes
"""

from isthmus.comparison.comparing import compare, fit_within
from isthmus.comparison.models import (
    Model,
    Reconstruction,
    code_width,
    describe,
    evaluate,
    evaluate_pca,
    fit_pca,
    reconstruct,
    with_pca,
)
from isthmus.comparison.rates import all_rates, codec_rates, model_rates, rate_point, savings
from isthmus.comparison.verdicts import EQUAL_WITHIN, Spectrum, judged, readable_percent, verdict

__all__ = [
    "EQUAL_WITHIN",
    "Model",
    "Reconstruction",
    "Spectrum",
    "all_rates",
    "code_width",
    "codec_rates",
    "compare",
    "describe",
    "evaluate",
    "evaluate_pca",
    "fit_pca",
    "fit_within",
    "judged",
    "model_rates",
    "rate_point",
    "readable_percent",
    "reconstruct",
    "savings",
    "verdict",
    "with_pca",
]
