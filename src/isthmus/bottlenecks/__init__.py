"""Bottlenecks: what happens to the code between encoder and decoder."""

from isthmus._specification import table
from isthmus.bottlenecks.description import Bottled, Bottleneck, BottleneckModule
from isthmus.bottlenecks.entropy import Entropy, EntropyBottleneck
from isthmus.bottlenecks.gaussian import Gaussian, GaussianBottleneck, Normal, total_correlation
from isthmus.bottlenecks.plain import Plain, PlainBottleneck
from isthmus.bottlenecks.quantized import (
    FiniteScalar,
    ScalarQuantizer,
    VectorQuantized,
    VectorQuantizer,
    perplexity,
)
from isthmus.bottlenecks.sparse import TopK, TopKBottleneck

BOTTLENECKS = table(Plain, TopK, Gaussian, VectorQuantized, FiniteScalar, Entropy)

__all__ = [
    "BOTTLENECKS",
    "Bottled",
    "Bottleneck",
    "BottleneckModule",
    "Entropy",
    "EntropyBottleneck",
    "FiniteScalar",
    "Gaussian",
    "GaussianBottleneck",
    "Normal",
    "Plain",
    "PlainBottleneck",
    "ScalarQuantizer",
    "TopK",
    "TopKBottleneck",
    "VectorQuantized",
    "VectorQuantizer",
    "perplexity",
    "total_correlation",
]
