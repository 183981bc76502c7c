"""The autoencoder with finitely many codes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array

from isthmus._checks import wrong_parameter
from isthmus.bottlenecks import ScalarQuantizer, VectorQuantizer
from isthmus.errors import DataError
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._defaults import with_defaults
from isthmus.estimators._inference import apply_in_blocks
from isthmus.estimators._rows import BLOCK_ROWS


class VectorQuantizedAutoencoder(BaseAutoencoder):
    """An autoencoder whose code is made of entries of a codebook, and so can be written as whole numbers.

    Parameters
    ----------
    hidden_layers : tuple of int, default=(128,)
        Widths of the layers between input and code.
    bottleneck : str or part, default="vq"
        Such as ``VectorQuantized(n_codes=512, dimension=8)``, ``VectorQuantized(n_levels=4)`` for
        residual quantisation, or ``FiniteScalar(levels=(8, 5, 5, 5))``.
    **parameters
        All others as in :class:`Autoencoder`, with the same defaults. With
        ``network="convolutional", hidden_layers=()`` and as many channels as a vector is long, each
        position of the map is a vector.

    See Also
    --------
    Autoencoder : The parameters and attributes in full.
    isthmus.bottlenecks.VectorQuantized : The settings of the bottleneck.

    References
    ----------
    A. van den Oord, O. Vinyals and K. Kavukcuoglu, "Neural discrete representation learning", NeurIPS,
    2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import VectorQuantizedAutoencoder
    >>> X = load_digits().data / 16
    >>> model = VectorQuantizedAutoencoder(
    ...     16, bottleneck="vq:n_codes=64,dimension=4", epochs=20, random_state=0
    ... ).fit(X)
    >>> tokens = model.tokens(X)
    >>> tokens.shape, bool(tokens.max() < 64)
    ((1797, 4, 1), True)
    >>> bool((model.from_tokens(tokens) == model.reconstruct(X)).all())
    True
    """

    __init__ = with_defaults(BaseAutoencoder.__init__, hidden_layers=(128,), bottleneck="vq")

    def tokens(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return the code of each row as whole numbers.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        tokens : ndarray of int64, shape (n, vectors, levels)
            The numbers of the entries of the codebooks.
        """
        model = self._snapshot()
        quantizer, rows = model._quantizer(), model._checked(X)
        features = torch.from_numpy(
            apply_in_blocks(model.encoder_.featuring, rows, model.settings_.n_components)
        )
        with torch.no_grad():
            parts = [quantizer.to(features.dtype).tokens(part) for part in torch.split(features, BLOCK_ROWS)]
        return np.asarray(torch.cat(parts).numpy())

    def from_tokens(self, tokens: ArrayLike) -> NDArray[Any]:
        """Return the rows that tokens stand for.

        Parameters
        ----------
        tokens : array-like of int, shape (n, vectors, levels)
            As `tokens` returns them.

        Returns
        -------
        rows : ndarray of shape (n, features), or the shape of the images
            Reconstructions in the units of the data.
        """
        model = self._snapshot()
        quantizer, owner = model._quantizer(), type(self).__name__
        numbers = check_array(tokens, dtype=np.int64, allow_nd=True, ensure_2d=False, input_name="tokens")
        if numbers.shape[1:] != quantizer.tokens_shape:
            raise DataError(
                f"tokens has shape {numbers.shape}, but {owner} is expecting (n, "
                f"{', '.join(map(str, quantizer.tokens_shape))}), as tokens() returns them."
            )
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < quantizer.n_codes):
            raise DataError(
                f"tokens has numbers from {numbers.min()} to {numbers.max()}, but {owner} has entries 0 to "
                f"{quantizer.n_codes - 1}."
            )
        with torch.no_grad():
            codes = quantizer.double().entries(torch.from_numpy(numbers))
        return model.inverse_transform(codes.numpy())

    @property
    def tokens_shape_(self) -> tuple[int, int]:
        """The shape of the tokens of one row: (vectors, levels)."""
        model = self._snapshot()
        vectors, levels = model._quantizer().tokens_shape
        return vectors, levels

    def _quantizer(self) -> VectorQuantizer | ScalarQuantizer:
        bottleneck = self._assembly.bottleneck
        if not isinstance(bottleneck, VectorQuantizer | ScalarQuantizer):
            raise wrong_parameter(
                type(self).__name__, "bottleneck", "'vq' or 'fsq' for tokens", self.settings_.bottleneck.name
            )
        return copy.deepcopy(bottleneck).cpu()
