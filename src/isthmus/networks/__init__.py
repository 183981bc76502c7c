"""Networks: torch modules with an encoder body and a decoder body."""

from isthmus.networks.activations import ACTIVATIONS, activation
from isthmus.networks.dense import DenseNetwork

__all__ = ["ACTIVATIONS", "DenseNetwork", "activation"]
