"""Estimators: scikit-learn's surface, and the only place that joins the parts."""

from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._loading import ESTIMATORS, load
from isthmus.estimators.autoencoder import Autoencoder, SparseAutoencoder

__all__ = ["ESTIMATORS", "Autoencoder", "BaseAutoencoder", "SparseAutoencoder", "load"]
