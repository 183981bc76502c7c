"""Networks: torch modules with an encoder body and a decoder body, and their descriptions."""

from isthmus._specification import table
from isthmus.networks.activations import ACTIVATIONS, activation
from isthmus.networks.architecture import Architecture, Network
from isthmus.networks.boltzmann import BoltzmannMachine, log_pseudo_likelihood
from isthmus.networks.convolutional import Convolutional
from isthmus.networks.custom import Modules
from isthmus.networks.dense import Dense, DenseNetwork
from isthmus.networks.partition import (
    LogPartition,
    annealed_log_partition,
    annealed_samples,
    can_be_counted,
    exact_log_partition,
)
from isthmus.networks.recurrent import Recurrent
from isthmus.networks.transformer import Transformer
from isthmus.networks.units import UNITS, Units, units_with

#: The networks that have names. `Modules` has none: nothing in a text or a file stands for a module.
NETWORKS = table(Dense, Convolutional, Recurrent, Transformer)

__all__ = [
    "ACTIVATIONS",
    "NETWORKS",
    "UNITS",
    "Architecture",
    "BoltzmannMachine",
    "Convolutional",
    "Dense",
    "DenseNetwork",
    "LogPartition",
    "Modules",
    "Network",
    "Recurrent",
    "Transformer",
    "Units",
    "activation",
    "annealed_log_partition",
    "annealed_samples",
    "can_be_counted",
    "exact_log_partition",
    "log_pseudo_likelihood",
    "units_with",
]
