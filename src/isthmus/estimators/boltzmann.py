"""The restricted Boltzmann machine: the earliest autoencoder, and a model of its data's density."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from isthmus._checks import check_choice, check_integer, wrong_parameter
from isthmus._random import GIBBS, row_keys
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._building import seed_of
from isthmus.estimators._contrastive import machine_of
from isthmus.estimators._inference import blocks, in_precision, torch_precision
from isthmus.estimators._rows import BLOCK_ROWS, Rows, precision_of
from isthmus.estimators._training_range import one_warning
from isthmus.networks import (
    UNITS,
    BoltzmannMachine,
    LogPartition,
    annealed_log_partition,
    annealed_samples,
    can_be_counted,
    exact_log_partition,
    log_pseudo_likelihood,
)
from isthmus.training import StoredRows

#: The loss whose link is the mean of the visible units.
LOSS_OF_VISIBLE = {"auto": "auto", "bernoulli": "bce", "gaussian": "mse"}

#: Every parameter of an autoencoder with its default: what a machine has no parameter for.
DEFAULTS = {
    name: parameter.default for name, parameter in inspect.signature(BaseAutoencoder).parameters.items()
}


class RestrictedBoltzmannMachine(BaseAutoencoder):
    """A restricted Boltzmann machine: two layers of units that are tied to each other by their weights.

    A model of the density of its data, of which rows can be drawn and which says how likely given ones
    are. Used as an autoencoder, the hidden units' means are the code of a row, and the visible units'
    means given a code its reconstruction: a single layer each way with the same weights. It does not
    learn by its reconstructions, however, but by what it draws when left alone.

    Parameters
    ----------
    n_components : int, default=256
        Number of hidden units; it may exceed the number of features.
    visible : str, default="auto"
        "bernoulli" for data between 0 and 1, which are taken for probabilities, or "gaussian" with
        variance 1. ``"auto"`` is "bernoulli" for data between 0 and 1 and for unsigned bytes.
    hidden : str, default="bernoulli"
        "bernoulli", "gaussian", or "rectified": a normal distribution cut off at zero, whose mean is a
        smooth ReLU.
    sampler : str or part, default="cd"
        Where the machine's own states come from in training: "cd" (contrastive divergence), "pcd"
        (persistent chains), "pt" (persistent chains at several temperatures), or a part such as
        ``PersistentContrastiveDivergence(n_steps=5)``; as text also "cd:n_steps=10".
    centred : bool, default=True
        Whether the gradient is the centred one, by which data and their negatives are learnt alike.
    noise : str, part or None, default=None
        What is done to the rows in training; "binarization" draws zeros and ones from grey values.
    penalty : str, part or None, default=None
        "kl" is a sparsity target: ``KLSparsity(target=0.05)``. Also "l1", "l2" or "elastic".
    weight_decay : float, default=0.0
        What is taken from the weights, but not from the biases.
    scale : str, default="auto"
        As in :class:`Autoencoder`; Gaussian units have variance 1, which suits "standard".
    optimizer : str or part, default="sgd"
        ``SGD(momentum=0.9)``, or another one.
    learning_rate : float or "auto", default="auto"
        Peak learning rate, of a gradient of the mean log-likelihood of a row.
    schedule : str or part, default="one-cycle"
        As in :class:`Autoencoder`.
    gradient_clipping : float or None, default=None
        Largest norm of the gradient; ``None`` is 1 where neither layer has bounds, 10 with rectified hidden
        units elsewhere, and none with others.
    epochs : int or "auto", default="auto"
        Passes over the training rows; ``"auto"`` makes about 12,000 steps.
    batch_size : int or "auto", default="auto"
        Rows a step.
    validation_fraction, patience, device, callbacks, random_state, verbose
        As in :class:`Autoencoder`.
    compile : bool or "auto", default="auto"
        As in :class:`Autoencoder`, but for ``True``: what draws has no graph that could be compiled.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The weights, of the scaled data.
    intercept_hidden_ : ndarray of shape (n_components,)
        Biases of the hidden units.
    intercept_visible_ : ndarray of shape (n_features,)
        Biases of the visible units.
    history_ : list of dict
        ``loss`` is minus the log pseudo-likelihood of a row, from one value of each; with Gaussian
        visible units, the squared error of the reconstruction.

    See Also
    --------
    Autoencoder : The other attributes.
    DeepBeliefNetwork : Several machines on top of each other.
    sklearn.neural_network.BernoulliRBM : Binary units and persistent chains only.

    References
    ----------
    P. Smolensky, "Information processing in dynamical systems: foundations of harmony theory", 1986.
    G. E. Hinton, "Training products of experts by minimizing contrastive divergence", Neural
    Computation, 2002, and "A practical guide to training restricted Boltzmann machines", 2012.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import RestrictedBoltzmannMachine
    >>> X = load_digits().data / 16
    >>> model = RestrictedBoltzmannMachine(16, epochs=20, random_state=0).fit(X)
    >>> model.transform(X).shape
    (1797, 16)
    >>> model.sample(5, random_state=0).shape
    (5, 64)
    >>> model.log_partition().exact
    True
    >>> bool(model.log_likelihood(X).mean() > model.log_likelihood(1 - X).mean())
    True
    """

    def __init__(
        self,
        n_components: int = 256,
        *,
        visible: str = "auto",
        hidden: str = "bernoulli",
        sampler: Any = "cd",
        centred: bool = True,
        noise: Any = None,
        penalty: Any = None,
        weight_decay: float = 0.0,
        scale: str = "auto",
        optimizer: Any = "sgd",
        learning_rate: float | str = "auto",
        schedule: Any = "one-cycle",
        gradient_clipping: float | None = None,
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        validation_fraction: float | None = None,
        patience: int | None = 10,
        device: str = "auto",
        compile: bool | str = "auto",
        callbacks: Any = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.n_components = n_components
        self.visible = visible
        self.hidden = hidden
        self.sampler = sampler
        self.centred = centred
        self.noise = noise
        self.penalty = penalty
        self.weight_decay = weight_decay
        self.scale = scale
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.gradient_clipping = gradient_clipping
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.compile = compile
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    @property
    def components_(self) -> NDArray[Any]:
        """The weights, shape (n_components, n_features)."""
        return self._array(lambda machine: machine.weights)

    @property
    def intercept_hidden_(self) -> NDArray[Any]:
        """The hidden units' biases, shape (n_components,)."""
        return self._array(lambda machine: machine.hidden_bias)

    @property
    def intercept_visible_(self) -> NDArray[Any]:
        """The visible units' biases, shape (n_features,)."""
        return self._array(lambda machine: machine.visible_bias)

    def gibbs(self, X: ArrayLike, n_steps: int = 1, *, random_state: Any = None) -> NDArray[Any]:
        """Draw rows by Gibbs sampling that starts from given ones.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.
        n_steps : int, default=1
            How often all hidden units are drawn given the visible ones, and these given those.
        random_state : int, RandomState, Generator or None, default=None
            Seed.

        Returns
        -------
        rows : ndarray of shape (n, features), or the shape of the images
            In the units of the data.
        """
        model = self._snapshot()
        owner = f"{type(self).__name__}.gibbs"
        check_integer(n_steps, parameter="n_steps", owner=owner, minimum=1)
        rows = model._checked(X)
        drawn = np.empty(rows.shape, dtype=precision_of(rows))
        keys = row_keys(seed_of(random_state, owner), 0, torch.arange(len(rows), device="cpu"))
        machine, scaling = model._machine(torch_precision(rows)), model.encoder_.scaling
        with torch.no_grad():
            for start, block in blocks(model.encoder_, rows):
                states, part = scaling(block), slice(start, start + BLOCK_ROWS)
                for number in range(n_steps):
                    states = machine.gibbs_step(states, keys[part].to(states.device), number)
                drawn[part] = scaling.inverse(states).cpu().numpy()
        return drawn.reshape(len(drawn), *model.input_shape_)

    def reconstruct(self, X: ArrayLike, n_steps: int = 1, *, random_state: Any = None) -> NDArray[Any]:
        """Return what the machine makes of rows after some steps.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.
        n_steps : int, default=1
            Steps, all but the last one of Gibbs sampling. The last one is of means, so that a single
            step draws nothing.
        random_state : int, RandomState, Generator or None, default=None
            Seed.

        Returns
        -------
        rows : ndarray of shape (n, features), or the shape of the images
            In the units of the data.
        """
        model = self._snapshot()
        owner = f"{type(self).__name__}.reconstruct"
        if check_integer(n_steps, parameter="n_steps", owner=owner, minimum=1) == 1:
            return super().reconstruct(X)
        with one_warning():
            return BaseAutoencoder.reconstruct(model, model.gibbs(X, n_steps - 1, random_state=random_state))

    def sample(self, n_samples: int = 1, *, n_steps: int = 1000, random_state: Any = None) -> NDArray[Any]:
        """Draw rows from the machine.

        Each is the end of a chain that starts with independent units and is led to the machine through
        ``n_steps`` temperatures: a single chain at the machine's own would stay where it starts.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        n_steps : int, default=1000
            Steps of each chain.
        random_state : int, RandomState, Generator or None, default=None
            Seed.

        Returns
        -------
        rows : ndarray of shape (n_samples, features), or the shape of the images
            Means of the visible units in the last step, in the units of the data.
        """
        model = self._snapshot()
        owner = f"{type(self).__name__}.sample"
        check_integer(n_samples, parameter="n_samples", owner=owner, minimum=1)
        check_integer(n_steps, parameter="n_steps", owner=owner, minimum=1)
        machine, seed = model._machine(), seed_of(random_state, owner)
        with torch.no_grad():
            states = annealed_samples(machine, n_samples=n_samples, n_steps=n_steps, seed=seed)
            codes = machine.hidden.sample(
                machine.hidden_inputs(states),
                row_keys(seed, 1, torch.arange(n_samples, device=states.device)),
                GIBBS,
            )
        return model.inverse_transform(codes.cpu().numpy())

    def free_energy(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the free energy of each row: minus its log-likelihood, up to a constant.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        energies : ndarray of shape (n,)
            In nats; of the scaled data.
        """
        return -self._of_rows(X, lambda machine, rows: -machine.free_energy(rows))

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the log pseudo-likelihood of each row; the lowest rows are anomalies.

        The sum over the features of the log-probability of each value given all the others: exact with
        binary visible units, by quadrature with Gaussian ones. It takes one pass for each feature.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n,)
            In nats; of the scaled data.

        References
        ----------
        J. Besag, "Statistical analysis of non-lattice data", The Statistician, 1975.
        """
        return self._of_rows(X, log_pseudo_likelihood)

    def log_partition(
        self, *, method: str = "auto", n_chains: int = 1000, n_steps: int = 1000, random_state: Any = 0
    ) -> LogPartition:
        """Return the logarithm of the partition function, which makes likelihoods of free energies.

        Parameters
        ----------
        method : str, default="auto"
            "exact" goes through the states of one layer of at most 20 binary units; "annealing" is
            annealed importance sampling. ``"auto"`` is the first where it can be done.
        n_chains, n_steps : int, default=1000
            Chains of the annealing, and temperatures that each is led through. Many chains find more of the places
            where a machine has its mass than long ones do.
        random_state : int, RandomState, Generator or None, default=0
            Seed of the annealing.

        Returns
        -------
        log_partition : isthmus.networks.LogPartition
            With ``value``, ``standard_error`` and ``upper``, the estimate from the other side.

        References
        ----------
        R. Salakhutdinov and I. Murray, "On the quantitative analysis of deep belief networks", ICML,
        2008. R. Grosse, Z. Ghahramani and R. P. Adams, "Sandwiching the marginal likelihood using
        bidirectional Monte Carlo", arXiv:1511.02543, 2015.
        """
        model = self._snapshot()
        owner = f"{type(self).__name__}.log_partition"
        check_choice(method, ("auto", "exact", "annealing"), parameter="method", owner=owner)
        check_integer(n_chains, parameter="n_chains", owner=owner, minimum=2)
        check_integer(n_steps, parameter="n_steps", owner=owner, minimum=1)
        machine = model._machine(torch.float64)
        countable = can_be_counted(machine)
        if method == "exact" and not countable:
            wanted = "'annealing' or 'auto' for a machine without a layer of at most 20 binary units"
            raise wrong_parameter(owner, "method", wanted, method)
        if countable and method != "annealing":
            value = exact_log_partition(machine)
            return LogPartition(value, 0.0, value, exact=True)
        seed = seed_of(random_state, owner)
        return annealed_log_partition(machine, n_chains=n_chains, n_steps=n_steps, seed=seed)

    def log_likelihood(
        self, X: ArrayLike, *, log_partition: LogPartition | None = None
    ) -> NDArray[np.float64]:
        """Return the log-likelihood of each row.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.
        log_partition : LogPartition, optional
            What `log_partition` returned; it is asked unless given.

        Returns
        -------
        log_likelihoods : ndarray of shape (n,)
            In nats; of the scaled data, where the likelihood is a density. As exact as the partition
            function.
        """
        model = self._snapshot()
        known = model.log_partition() if log_partition is None else log_partition
        return -model.free_energy(X) - known.value

    def _configuration(self) -> dict[str, Any]:
        own = self.get_params(deep=False)
        units = UNITS.get(self.hidden)
        fixed = {
            "tied": True,
            "loss": LOSS_OF_VISIBLE.get(self.visible, "auto"),
            "code_activation": "identity" if units is None else units.activation,
        }
        return {**DEFAULTS, **own, **fixed}

    def _set_up(self, X: Rows, seed: int, targets: Rows | None = None) -> StoredRows:
        owner = type(self).__name__
        check_choice(self.visible, LOSS_OF_VISIBLE, parameter="visible", owner=owner)
        check_choice(self.hidden, UNITS, parameter="hidden", owner=owner)
        return super()._set_up(X, seed, targets)

    def _machine(self, precision: torch.dtype = torch.float32) -> BoltzmannMachine:
        """Return the machine in some precision; it shares the weights in their own."""
        assembly = in_precision(self._assembly, precision)
        machine = machine_of(assembly, self.settings_)
        return replace(machine, base_bias=machine.visible.input_for(assembly.get_buffer("mean")))

    def _array(self, part: Callable[[BoltzmannMachine], Tensor]) -> NDArray[Any]:
        if not hasattr(self, "_assembly"):
            raise AttributeError(f"This {type(self).__name__} is not fitted yet. Call fit first.")
        return np.asarray(part(self._snapshot()._machine()).detach().cpu().numpy())

    @torch.no_grad()
    def _of_rows(
        self, X: ArrayLike, function: Callable[[BoltzmannMachine, Tensor], Tensor]
    ) -> NDArray[np.float64]:
        """Return a log-probability for each row, in double precision.

        Values outside the units' support are taken as the nearest ones within, and lower the result by twice
        their squared distance to them.
        """
        model = self._snapshot()
        rows = model._checked(X)
        machine, scaling, loss = model._machine(torch.float64), model.encoder_.scaling, model.settings_.loss
        results = np.empty(len(rows))
        for start, block in blocks(model.encoder_, rows):
            scaled = scaling(block.double())
            values = function(machine, loss.nearest(scaled)) - loss.beyond(scaled).sum(1)
            results[start : start + BLOCK_ROWS] = values.cpu().numpy()
        return results
