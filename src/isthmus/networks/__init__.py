"""Networks: torch modules with an encoder body and a decoder body, and their descriptions."""

from isthmus._specification import table
from isthmus.networks.activations import ACTIVATIONS, activation
from isthmus.networks.architecture import Architecture, Network
from isthmus.networks.convolutional import Convolutional
from isthmus.networks.custom import Modules
from isthmus.networks.dense import Dense, DenseNetwork
from isthmus.networks.recurrent import Recurrent
from isthmus.networks.transformer import Transformer

#: The networks that have names. `Modules` has none: nothing in a text or a file stands for a module.
NETWORKS = table(Dense, Convolutional, Recurrent, Transformer)

__all__ = [
    "ACTIVATIONS",
    "NETWORKS",
    "Architecture",
    "Convolutional",
    "Dense",
    "DenseNetwork",
    "Modules",
    "Network",
    "Recurrent",
    "Transformer",
    "activation",
]
