"""The denoising autoencoder: noisy rows to clean ones."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import ArrayLike, NDArray

from isthmus._checks import wrong_parameter
from isthmus._random import row_keys
from isthmus._specification import resolve
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._corrupting import corrupt
from isthmus.estimators._defaults import with_defaults
from isthmus.estimators._inference import explained_variance
from isthmus.estimators._pairs import (
    errors_of_restoration,
    is_same,
    resembles,
    some,
    warn_of_ignored,
    warn_of_restoration,
)
from isthmus.estimators._rows import Rows
from isthmus.estimators._settings import PARTS
from isthmus.estimators._trainer import corruption
from isthmus.objectives import GaussianNoise, Noise
from isthmus.training import Batch, StoredRows


class DenoisingAutoencoder(BaseAutoencoder):
    """An autoencoder that is shown noisy rows and learns to make the clean ones of them.

    With clean rows alone, ``fit(clean)``, the noise is drawn by the model. Where both are known, as in scans of
    one picture at two exposures, ``fit(noisy, clean)`` learns from the pairs.

    Parameters
    ----------
    noise : str, part or None, default=GaussianNoise(std=0.5)
        What the rows are corrupted by, in the scaled data's units: the noise to be removed later, or one
        that makes the code robust. Drawn anew in every epoch. With pairs, the default noise is left out,
        and any other is added to the noisy rows.
    **parameters
        All others as in :class:`Autoencoder`, with the same defaults; ``network="convolutional"`` for
        images.

    Notes
    -----
    A ``y`` of the shape of ``X`` holds clean rows, which `fit` and `partial_fit` then learn to make of those of
    ``X``. The scaling is learnt from the clean rows and applied to both; ``validation_data`` is a pair too; and
    ``score(noisy, clean)`` compares with the clean rows. Labels of shape (n,) are ignored, as scikit-learn's
    pipelines need it, and so is a ``y`` that equals ``X``. Any other array is ignored with a warning.

    A `RestorationWarning` tells when what is made of corrupted rows, held-out ones where there are any, is further
    from the clean rows than the corrupted rows are.

    See Also
    --------
    Autoencoder : The parameters and attributes in full.

    References
    ----------
    P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol, "Extracting and composing robust features
    with denoising autoencoders", ICML, 2008.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import DenoisingAutoencoder
    >>> X = load_digits().data / 16
    >>> model = DenoisingAutoencoder(32, noise="gaussian:std=0.3", epochs=30, random_state=0).fit(X)
    >>> noisy = model.corrupt(X, random_state=1)
    >>> bool(((model.denoise(noisy) - X) ** 2).mean() < 0.5 * ((noisy - X) ** 2).mean())
    True
    """

    __init__ = with_defaults(BaseAutoencoder.__init__, noise=GaussianNoise())

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Return the share of the variance of clean rows that is explained by what is made of ``X``.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows; noisy ones where ``y`` holds the clean ones.
        y : array-like of the shape of X, optional
            The clean rows. Without them, or with labels of shape (n,), the rows of ``X`` themselves.

        Returns
        -------
        score : float
        """
        model = self._snapshot()
        rows = model._checked(X)
        targets = model._accepted(y, argument="y") if resembles(y, rows) else None
        return explained_variance(model.encoder_, model.decoder_, rows, targets)

    def _targets(self, y: Any, X: Rows) -> Rows | None:
        if not resembles(y, X):
            warn_of_ignored(y, X, type(self).__name__, trains_on_pairs=True)
            return None
        return None if is_same(y, X) else self._accepted(y, argument="y")

    def _paired(self, configuration: dict[str, Any]) -> dict[str, Any]:
        owner, given = type(self).__name__, configuration["noise"]
        noise = None if given is None else resolve(given, PARTS["noise"], parameter="noise", owner=owner)
        if noise == GaussianNoise():  # the default: what the rows are corrupted by is in the pairs
            noise = None
        if isinstance(noise, Noise) and noise.changes_target:
            raise wrong_parameter(
                owner, "noise", "None or one that leaves the targets as they are", noise.name
            )
        return {**configuration, "noise": noise}

    def _warn_of_result(self, stored: StoredRows, validation: StoredRows | None) -> None:
        settings, device = self.settings_, self._assembly.device
        rows = some(stored if validation is None else validation).to(device)
        values = next(rows.blocks(len(rows)))
        keys = row_keys(self._seed, 0, torch.arange(len(rows), device=device))
        if settings.paired:
            batch = Batch(values, keys, next(rows.wanted.blocks(len(rows))))
        elif settings.noise is None or settings.noise.changes_target:
            return
        else:
            corrupted = corruption(settings.noise, settings, self.input_shape_, stored, device)
            batch = Batch(corrupted(Batch(values, keys))[0], keys, values)
        judged = "training rows" if validation is None else "held-out rows"
        errors = errors_of_restoration(self._assembly, self.decoder_, batch)
        warn_of_restoration(*errors, judged, type(self).__name__, stacklevel=3)

    def denoise(self, X: ArrayLike) -> NDArray[Any]:
        """Return the rows that noisy ones were made of, as far as the model can tell.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Noisy rows.

        Returns
        -------
        rows : ndarray of shape (n, features), or the shape of the images
            What `reconstruct` returns.
        """
        return self.reconstruct(X)

    def corrupt(self, X: ArrayLike, *, random_state: Any = None) -> NDArray[Any]:
        """Return rows spoilt by the model's own noise.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Clean rows.
        random_state : int, RandomState, Generator or None, default=None
            Seed of the noise.

        Returns
        -------
        rows : ndarray of shape (n, features), or the shape of the images
            In the units of the data.
        """
        model = self._snapshot()
        rows = corrupt(
            model.settings_, model.encoder_.scaling, model.input_shape_, model._checked(X), random_state
        )
        return rows.reshape(len(rows), *model.input_shape_)
