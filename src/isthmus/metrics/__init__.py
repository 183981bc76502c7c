"""How good copies are, what codes look like, and what they are good for.

Textbook definitions in NumPy, SciPy and scikit-learn. Rows may have any shape: an image of shape
(28, 28) counts as 784 features.

    reconstruction.py   copies against originals: squared error, cross-entropy, explained variance, PSNR
    images.py           the same as one sees it: SSIM and MS-SSIM
    codes.py            codes alone: dead and active units, sparsity, perplexity
    embeddings.py       codes against rows or labels: neighbours, probes, clusters
    rates.py            bytes against errors
    intervals.py        how sure a number is
"""

from isthmus.metrics.codes import CodeStatistics, active_units, code_statistics, perplexity, sparsity
from isthmus.metrics.embeddings import (
    class_separability,
    continuity,
    linear_probe,
    neighbors_accuracy,
    silhouette,
    trustworthiness,
    v_measure,
)
from isthmus.metrics.images import multiscale_structural_similarity, structural_similarity
from isthmus.metrics.intervals import bootstrap_interval, ratio_interval
from isthmus.metrics.rates import bits_per_value, bjontegaard_rate
from isthmus.metrics.reconstruction import (
    binary_cross_entropy,
    explained_variance,
    mean_squared_error,
    peak_signal_to_noise,
    row_errors,
    squared_error,
)

__all__ = [
    "CodeStatistics",
    "active_units",
    "binary_cross_entropy",
    "bits_per_value",
    "bjontegaard_rate",
    "bootstrap_interval",
    "class_separability",
    "code_statistics",
    "continuity",
    "explained_variance",
    "linear_probe",
    "mean_squared_error",
    "multiscale_structural_similarity",
    "neighbors_accuracy",
    "peak_signal_to_noise",
    "perplexity",
    "ratio_interval",
    "row_errors",
    "silhouette",
    "sparsity",
    "squared_error",
    "structural_similarity",
    "trustworthiness",
    "v_measure",
]
