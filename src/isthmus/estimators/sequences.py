"""The autoencoder of sequences, which need not be equally long."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._defaults import with_defaults


class SequenceAutoencoder(BaseAutoencoder):
    """A recurrent network that reads a sequence into a code, and one that writes it again from the code.

    Rows are sequences: an array of shape (n, time, features), one of shape (n, time) for sequences of
    single values, or a list of arrays of different lengths. In an array, shorter sequences end in NaN.

    Parameters
    ----------
    network : str or part, default="recurrent"
        Such as ``Recurrent(cell="gru", width=128, bidirectional=True)``. Long sequences of single values
        are learnt faster and better in pieces: ``Recurrent(n_features=7)`` reads 140 values as 20 steps.
    gradient_clipping : float or None, default=1.0
        Largest norm of the gradient, which can explode over many steps.
    **parameters
        All others as in :class:`Autoencoder`, with the same defaults.

    See Also
    --------
    Autoencoder : The parameters and attributes in full.

    References
    ----------
    I. Sutskever, O. Vinyals and Q. V. Le, "Sequence to sequence learning with neural networks",
    NeurIPS, 2014. N. Srivastava, E. Mansimov and R. Salakhutdinov, "Unsupervised learning of video
    representations using LSTMs", ICML, 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from isthmus import SequenceAutoencoder
    >>> random = np.random.default_rng(0)
    >>> time = np.arange(20)
    >>> waves = [np.sin(0.5 * time[:length] + phase) for length, phase in
    ...          zip(random.integers(12, 21, 200), random.uniform(0, 6, 200))]
    >>> model = SequenceAutoencoder(4, epochs=2, random_state=0).fit(waves)
    >>> model.transform(waves).shape
    (200, 4)
    >>> copies = model.reconstruct(waves)
    >>> len(copies[0]) == len(waves[0])
    True
    """

    __init__ = with_defaults(BaseAutoencoder.__init__, network="recurrent", gradient_clipping=1.0)

    def reconstruct(self, X: Any) -> Any:
        """Return what is left of sequences after encoding and decoding.

        Parameters
        ----------
        X : array-like of shape (n, time, features), or list of arrays
            Sequences.

        Returns
        -------
        sequences : ndarray of the shape that was fitted, or list of ndarray
            Reconstructions; for a list of sequences a list, each as long as the original.
        """
        copies = super().reconstruct(X)
        if not _is_ragged(X):
            return copies
        return [copy[: len(sequence)] for copy, sequence in zip(copies, X, strict=True)]

    def _arranged(self, X: Any, *, reset: bool) -> Any:
        fitted = None if reset else getattr(self, "input_shape_", None)
        shape: tuple[int, ...] = getattr(X, "shape", ())
        shorter = fitted is not None and len(shape) == len(fitted) + 1 == 3 and shape[1] < fitted[0]
        if not (_is_ragged(X) or shorter):
            return X
        return _padded(X, fitted, type(self).__name__)


def _is_ragged(X: Any) -> bool:
    """Return whether ``X`` is a list of arrays that are no equally long vectors."""
    if not isinstance(X, (list, tuple)) or not X or not all(isinstance(row, np.ndarray) for row in X):
        return False
    return X[0].ndim == 2 or len({len(row) for row in X if row.ndim}) > 1


def _padded(sequences: Any, shape: tuple[int, ...] | None, owner: str) -> NDArray[Any]:
    """Return sequences as one array, shorter ones with NaN at their end."""
    rows = [np.asarray(row) for row in sequences]
    ends = {row.shape[1:] for row in rows}
    if len(ends) > 1 or rows[0].ndim not in {1, 2}:
        raise DataError(
            f"The sequences given to {owner} must all have shape (time,), or all (time, features) with the "
            f"same features. Got {', '.join(str(row.shape) for row in rows[:3])}, ..."
        )
    longest = max(len(row) for row in rows) if shape is None else shape[0]
    dtype = np.result_type(np.float32, *{row.dtype for row in rows})
    padded = np.full((len(rows), longest, *rows[0].shape[1:]), np.nan, dtype=dtype)
    for number, row in enumerate(rows):
        if len(row) > longest:
            raise DataError(
                f"Sequence {number} has {len(row)} steps, but {owner} was fitted on at most {longest}."
            )
        padded[number, : len(row)] = row
    return padded
