"""The variational autoencoder: a code with a density, so that rows have likelihoods and can be drawn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from isthmus._checks import check_integer, check_number, wrong_parameter
from isthmus._random import PRIOR, normal, row_keys
from isthmus.bottlenecks import GaussianBottleneck
from isthmus.errors import CollapseWarning, DataError
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._building import seed_of
from isthmus.estimators._defaults import with_defaults
from isthmus.estimators._inference import CodeSummary, apply_in_blocks
from isthmus.estimators._likelihood import Bounds, bounds_of_rows
from isthmus.estimators._training_range import one_warning

#: A unit is active if the variance of its mean over the rows is greater than this (Burda et al., 2016).
ACTIVE_VARIANCE = 0.01

#: Samples of a code for the ELBO of a row.
ELBO_SAMPLES = 16


class VariationalAutoencoder(BaseAutoencoder):
    """An autoencoder whose codes are distributions, trained to make the data likely.

    The loss is minus the evidence lower bound in nats a row; `transform` gives the means of the codes.
    New rows can be drawn, and the likelihood of given ones bounded. `fit` gives a `CollapseWarning` when the
    codes carry hardly anything.

    Parameters
    ----------
    hidden_layers : tuple of int, default=(256,)
        Widths of the layers between input and code.
    bottleneck : str or part, default="gaussian"
        Such as ``Gaussian(beta=4)``, ``Gaussian(prior="learnt")`` or
        ``Gaussian(n_samples=5, bound="iwae")``.
    loss : str or part, default="auto"
        A likelihood. ``"auto"`` is "bce" for data between 0 and 1 and for unsigned bytes, else
        "gaussian".
    **parameters
        All others as in :class:`Autoencoder`, with the same defaults.

    See Also
    --------
    Autoencoder : The parameters and attributes in full.
    isthmus.bottlenecks.Gaussian : The settings of the bottleneck.

    References
    ----------
    D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR, 2014. D. J. Rezende, S. Mohamed
    and D. Wierstra, "Stochastic backpropagation and approximate inference in deep generative models",
    ICML, 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import VariationalAutoencoder
    >>> X = load_digits().data / 16
    >>> model = VariationalAutoencoder(2, epochs=20, random_state=0).fit(X)
    >>> model.sample(5, random_state=0).shape
    (5, 64)
    >>> parts = model.elbo(X)
    >>> bool((abs(parts["elbo"] + parts["kl"] + parts["reconstruction"]) < 1e-9).all())
    True
    >>> bool(model.score_samples(X, n_importance=50).mean() >= parts["elbo"].mean())
    True
    """

    __init__ = with_defaults(BaseAutoencoder.__init__, hidden_layers=(256,), bottleneck="gaussian")

    def sample(self, n_samples: int = 1, *, random_state: Any = None) -> NDArray[Any]:
        """Draw rows from the model: codes from the prior, decoded.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        random_state : int, RandomState, Generator or None, default=None
            Seed.

        Returns
        -------
        rows : ndarray of shape (n_samples, features), or the shape of the images
            What the likelihood expects for each code, in the units of the data.
        """
        model = self._snapshot()
        owner = f"{type(self).__name__}.sample"
        check_integer(n_samples, parameter="n_samples", owner=owner, minimum=1)
        keys = row_keys(seed_of(random_state, owner), 0, torch.arange(n_samples, device="cpu"))
        bottleneck = model._gaussian()
        noise = normal(keys, (bottleneck.n_components,), PRIOR)
        with torch.no_grad():
            codes = bottleneck.prior.sample(noise.to(bottleneck.prior_mean.device)).cpu()
        return model.inverse_transform(codes.numpy())

    def interpolate(self, start: ArrayLike, end: ArrayLike, n_steps: int = 10) -> NDArray[Any]:
        """Return the way from rows to other rows, along straight lines between their codes.

        Parameters
        ----------
        start, end : array-like of shape (n, features)
            Rows in pairs.
        n_steps : int, default=10
            Points of each way, both ends included.

        Returns
        -------
        rows : ndarray of shape (n, n_steps, features), or images in their shape
        """
        owner = f"{type(self).__name__}.interpolate"
        check_integer(n_steps, parameter="n_steps", owner=owner, minimum=2)
        model = self._snapshot()
        with one_warning():
            one, other = model.transform(start), model.transform(end)
        if len(one) != len(other):
            raise DataError(
                f"{owner} takes rows in pairs, but got {len(one)} to start from and {len(other)} to end at."
            )
        shares = np.linspace(0, 1, n_steps, dtype=one.dtype)[None, :, None]
        codes = one[:, None] * (1 - shares) + other[:, None] * shares
        rows = model.inverse_transform(codes.reshape(len(one) * n_steps, -1))
        return rows.reshape(len(one), n_steps, *model.input_shape_)

    def manifold(self, n_steps: int = 15, *, share: float = 0.9) -> NDArray[Any]:
        """Return what lies where in a code of two units: a grid of decoded rows.

        The grid has equal shares of the prior between its lines.

        Parameters
        ----------
        n_steps : int, default=15
            Points along each side.
        share : float, default=0.9
            Share of the prior that each side spans.

        Returns
        -------
        rows : ndarray of shape (n_steps, n_steps, features), or images in their shape
            The first index goes with the second code unit, the second index with the first, both
            upwards.
        """
        model = self._snapshot()
        owner = f"{type(self).__name__}.manifold"
        check_integer(n_steps, parameter="n_steps", owner=owner, minimum=2)
        check_number(
            share, parameter="share", owner=owner, minimum=0, maximum=1, open_minimum=True, open_maximum=True
        )
        bottleneck = model._gaussian()
        if bottleneck.n_components != 2:
            raise wrong_parameter(owner, "n_components", "2 for a grid", bottleneck.n_components)
        quantiles = ndtri(np.linspace((1 - share) / 2, (1 + share) / 2, n_steps))
        mean = bottleneck.prior_mean.detach().cpu().double().numpy()
        deviation = np.exp(0.5 * bottleneck.prior_log_variance.detach().cpu().double().numpy())
        first, second = np.meshgrid(*(mean[i] + deviation[i] * quantiles for i in range(2)))
        rows = model.inverse_transform(np.column_stack([first.ravel(), second.ravel()]).astype(np.float32))
        return rows.reshape(n_steps, n_steps, *model.input_shape_)

    def latent_distribution(self, X: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return mean and standard deviation of the code of each row.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        mean, std : ndarray of shape (n, n_components)
        """
        model = self._snapshot()
        rows, width = model._checked(X), model.settings_.n_components
        features = apply_in_blocks(model.encoder_.featuring, rows, 2 * width)
        with torch.no_grad():
            posterior = model._gaussian().posterior(torch.from_numpy(features))
        return posterior.mean.numpy().copy(), np.exp(0.5 * posterior.log_variance.numpy())

    def elbo(self, X: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return the evidence lower bound of each row and its parts.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        parts : dict of ndarray of shape (n,)
            In nats: "elbo", "kl" (the divergence between code and prior) and "reconstruction" (minus the
            log-likelihood, averaged over 16 codes), with ``elbo = -reconstruction - kl``.
        """
        bounds = self._bounds(X, ELBO_SAMPLES)
        return {"elbo": bounds.elbo, "kl": bounds.kl, "reconstruction": bounds.reconstruction}

    def score_samples(self, X: ArrayLike, *, n_importance: int | None = None) -> NDArray[np.float64]:
        """Return a lower bound on the log-likelihood of each row; the lowest rows are anomalies.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.
        n_importance : int or None, default=None
            Codes by which the likelihood is estimated: the more, the nearer the bound. ``None`` gives
            the evidence lower bound.

        Returns
        -------
        scores : ndarray of shape (n,)
            In nats; of the scaled data, where the likelihood is a density. This bound is not measured from a
            perfect reconstruction as `Autoencoder.score_samples` is. A value that the likelihood is not
            defined for, such as 1.1 with "bce", is taken as the nearest one that it is defined for, and costs
            twice its squared distance to it.

        References
        ----------
        Y. Burda, R. Grosse and R. Salakhutdinov, "Importance weighted autoencoders", ICLR, 2016.
        """
        if n_importance is None:
            return self._bounds(X, ELBO_SAMPLES).elbo
        owner = f"{type(self).__name__}.score_samples"
        check_integer(n_importance, parameter="n_importance", owner=owner, minimum=1)
        return self._bounds(X, n_importance).importance_weighted

    def active_units(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Return which code units carry anything about the rows.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        active : ndarray of bool, shape (n_components,)
            Whether the variance of the unit's mean over the rows is above 0.01.

        References
        ----------
        Y. Burda, R. Grosse and R. Salakhutdinov, "Importance weighted autoencoders", ICLR, 2016.
        """
        return np.asarray(self.transform(X).var(axis=0, dtype=np.float64) > ACTIVE_VARIANCE)

    def _gaussian(self) -> GaussianBottleneck:
        bottleneck = self._assembly.bottleneck
        if not isinstance(bottleneck, GaussianBottleneck):
            raise wrong_parameter(
                type(self).__name__, "bottleneck", "a Gaussian one for this", self.settings_.bottleneck.name
            )
        return bottleneck

    def _bounds(self, X: ArrayLike, n_samples: int) -> Bounds:
        model = self._snapshot()
        model._gaussian()
        rows = model._checked(X)
        return bounds_of_rows(model._assembly, model.encoder_, model.settings_.loss, rows, n_samples)

    def _warn_of_codes(self, summary: CodeSummary) -> None:
        active, width = (
            int((summary.variance > ACTIVE_VARIANCE).sum()),
            self.settings_.n_components,
        )
        if isinstance(self._assembly.bottleneck, GaussianBottleneck) and active < max(1, width / 10):
            warnings.warn(
                f"The code of {type(self).__name__} has collapsed: {active} of {width} units depend on the row, "
                "the others are left at the prior. Try Gaussian(warm_up=0.5), free_bits=0.1 or a smaller beta, "
                "a smaller learning_rate, or a weaker decoder.",
                CollapseWarning,
                stacklevel=3,
            )
