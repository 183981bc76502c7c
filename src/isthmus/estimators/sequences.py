"""The autoencoder of sequences, which need not be equally long."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._defaults import with_defaults
from isthmus.rows import Given, given_rows, refuse_inexact, row_values


class SequenceAutoencoder(BaseAutoencoder):
    """A recurrent network that reads a sequence into a code, and one that writes it again from the code.

    Rows are sequences: an array of shape (n, time, features), one of shape (n, time) for sequences of
    single values, or a list with an array of shape (time, features) or (time,) for each sequence, also for one
    alone. The sequences of a list may have different lengths; in an array, shorter sequences end in NaN. Later
    sequences are at most as long as the longest one in training.

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
            Sequences, at most as long as the longest one in training.

        Returns
        -------
        sequences : ndarray of shape (n, time, features), or list of ndarray
            Reconstructions, as long as the longest sequence in training; for a list of sequences a list, each
            as long as the original.
        """
        copies = super().reconstruct(X)
        sequences = _listed(X)
        if sequences is None:
            return copies
        return [copy[: len(sequence)] for copy, sequence in zip(copies, sequences, strict=True)]

    def _arranged(self, X: Any, *, reset: bool, argument: str = "X") -> Given:
        owner = type(self).__name__
        fitted = None if reset else self.input_shape_
        sequences = _listed(X)
        if sequences is not None:
            for number, sequence in enumerate(sequences):
                refuse_inexact(sequence[None], f"{argument} of {owner}", first_row=number)
            flat = fitted is not None and len(fitted) == 2
            if flat and all(sequence.shape == (math.prod(fitted or ()),) for sequence in sequences):
                return given_rows(np.stack(sequences), f"{argument} of {owner}")
            return given_rows(_padded(sequences, fitted, owner), f"{argument} of {owner}")
        given = given_rows(X, f"{argument} of {owner}")
        shape = given.shape
        if fitted is not None and len(shape) == 2 and shape[1] != math.prod(fitted):
            one = len(fitted) == 2 and shape[1] == fitted[1]
            raise DataError(
                f"X has {shape[1]} features, but {owner} is expecting {math.prod(fitted)} features as input. "
                + (
                    "Put a single sequence in a list: [X]."
                    if one
                    else "Give shorter sequences as a list of arrays."
                )
            )
        if fitted is not None and len(shape) == len(fitted) + 1 == 3 and shape[1] < fitted[0]:
            return Given(_padded(list(given.values), fitted, owner))
        return given


def _listed(X: Any) -> list[NDArray[Any]] | None:
    """Return the sequences of a list, or of an array of objects, one by one; None for anything else."""
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1:
        X = list(X)
    if not isinstance(X, (list, tuple)) or not X:
        return None
    try:
        found = [row_values(sequence, "X") for sequence in X]
    except (ValueError, TypeError):  # steps of different lengths
        return None
    sequences = [sequence for sequence in found if sequence is not None]
    numeric = all(sequence.ndim in {1, 2} and sequence.dtype.kind in "biuf" for sequence in sequences)
    return sequences if numeric and len(sequences) == len(X) else None


def _padded(sequences: list[NDArray[Any]], shape: tuple[int, ...] | None, owner: str) -> NDArray[Any]:
    """Return sequences as one array, shorter ones with NaN at their end.

    Parameters
    ----------
    sequences : list of ndarray
        Each of shape (time,) or (time, features).
    shape : tuple of int or None
        That of the sequences in training, once there was one; (time,) is taken for (time, 1), and the other way
        round.
    owner : str
        Whose sequences they are, for messages.
    """
    if len({sequence.shape[1:] for sequence in sequences}) > 1:
        raise DataError(
            f"The sequences given to {owner} must all have shape (time,), or all (time, features) with the "
            f"same features. Got {', '.join(str(sequence.shape) for sequence in sequences[:3])}, ..."
        )
    ending = sequences[0].shape[1:]
    if shape is not None and ending != shape[1:]:
        if math.prod(ending) != math.prod(shape[1:]):
            raise DataError(
                f"The sequences given to {owner} have {math.prod(ending)} features in a step, but {owner} was "
                f"fitted on {math.prod(shape[1:])}."
            )
        ending = shape[1:]
    longest = max(map(len, sequences)) if shape is None else shape[0]
    if all(sequence.shape == (longest, *ending) for sequence in sequences):
        return np.stack(sequences)  # in the type of the values
    dtype = np.result_type(np.float32, *{sequence.dtype for sequence in sequences})
    padded = np.full((len(sequences), longest, *ending), np.nan, dtype=dtype)
    for number, sequence in enumerate(sequences):
        if not 0 < len(sequence) <= longest:
            raise DataError(
                f"Sequence {number} has {len(sequence)} steps, but {owner} "
                + (f"was fitted on at most {longest}." if len(sequence) else "needs at least one.")
            )
        padded[number, : len(sequence)] = sequence.reshape(len(sequence), *ending)
    return padded
