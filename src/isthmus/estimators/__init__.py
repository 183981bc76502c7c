"""Estimators: the scikit-learn surface, and the only place that joins parts."""

from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._loading import ESTIMATORS, load
from isthmus.estimators._model import Model
from isthmus.estimators._rate_finder import RateRange, find_learning_rate
from isthmus.estimators.autoencoder import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalAutoencoder,
    KSparseAutoencoder,
    MaskedAutoencoder,
    SparseAutoencoder,
)
from isthmus.estimators.baselines import Baseline, untrained_twin
from isthmus.estimators.belief import DeepBeliefNetwork
from isthmus.estimators.boltzmann import RestrictedBoltzmannMachine
from isthmus.estimators.classifier import PretrainedClassifier
from isthmus.estimators.codecs import AudioCodec, ByteCodec, ImageCodec
from isthmus.estimators.compressor import Compressor, model_size
from isthmus.estimators.denoising import DenoisingAutoencoder
from isthmus.estimators.map import Map
from isthmus.estimators.quantized import VectorQuantizedAutoencoder
from isthmus.estimators.sequences import SequenceAutoencoder
from isthmus.estimators.variational import VariationalAutoencoder

__all__ = [
    "ESTIMATORS",
    "AudioCodec",
    "Autoencoder",
    "BaseAutoencoder",
    "Baseline",
    "ByteCodec",
    "Compressor",
    "ContractiveAutoencoder",
    "ConvolutionalAutoencoder",
    "DeepBeliefNetwork",
    "DenoisingAutoencoder",
    "ImageCodec",
    "KSparseAutoencoder",
    "Map",
    "MaskedAutoencoder",
    "Model",
    "PretrainedClassifier",
    "RateRange",
    "RestrictedBoltzmannMachine",
    "SequenceAutoencoder",
    "SparseAutoencoder",
    "VariationalAutoencoder",
    "VectorQuantizedAutoencoder",
    "find_learning_rate",
    "load",
    "model_size",
    "untrained_twin",
]
