"""The deep belief network: restricted Boltzmann machines on top of each other."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from isthmus._checks import check_choice, check_integer
from isthmus._random import GIBBS, row_keys
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._building import seed_of
from isthmus.estimators._rows import Rows
from isthmus.estimators._settings import units_of
from isthmus.estimators._stacking import Scheme, Stack
from isthmus.estimators.boltzmann import DEFAULTS, LOSS_OF_VISIBLE
from isthmus.networks import UNITS, BoltzmannMachine, DenseNetwork, annealed_samples
from isthmus.training import StoredRows

BINARY = UNITS["bernoulli"]


class DeepBeliefNetwork(BaseAutoencoder):
    """Restricted Boltzmann machines on top of each other, each trained on the codes of the one below.

    Used as an autoencoder, rows go up through the machines' means to the code and down again by the same
    weights. As a model of density, the topmost machine draws codes, which are led down.

    As the starting weights of a deep autoencoder see ``Autoencoder(initialization="rbm")``, of a classifier
    ``PretrainedClassifier(DeepBeliefNetwork())``.

    Parameters
    ----------
    n_components : int, default=256
        Number of hidden units of the topmost machine.
    hidden_layers : tuple of int, default=(256,)
        Numbers of hidden units of the machines below it, from the lowest; all units are binary.
    visible : str, default="auto"
        Units of the lowest layer: "bernoulli" for data between 0 and 1, or "gaussian". ``"auto"`` is
        "bernoulli" for data between 0 and 1 and for unsigned bytes.
    sampler : str or part, default="cd"
        "cd", "pcd", "pt" or a part, for every machine; see :class:`RestrictedBoltzmannMachine`.
    centred : bool, default=True
        Whether the gradient is the centred one.
    weight_decay : float, default=0.0
        What is taken from the weights, but not from the biases.
    learning_rate : float or "auto", default="auto"
        Peak learning rate of every machine.
    epochs : int or "auto", default="auto"
        Passes over the rows for each machine.
    scale, optimizer, schedule, gradient_clipping, batch_size
        As in :class:`RestrictedBoltzmannMachine`.
    validation_fraction, patience
        As in :class:`Autoencoder`, for each machine.
    device, compile, callbacks, random_state, verbose
        As in :class:`Autoencoder`.

    Attributes
    ----------
    history_ : list of dict
        One row for each epoch of each machine, with the number of its ``layer``.

    See Also
    --------
    Autoencoder : The other attributes.
    RestrictedBoltzmannMachine : A single one.

    References
    ----------
    G. E. Hinton, S. Osindero and Y.-W. Teh, "A fast learning algorithm for deep belief nets", Neural
    Computation, 2006.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import DeepBeliefNetwork
    >>> X = load_digits().data / 16
    >>> model = DeepBeliefNetwork(16, hidden_layers=(64,), epochs=10, random_state=0).fit(X)
    >>> model.transform(X).shape
    (1797, 16)
    >>> [row["layer"] for row in model.history_] == [1] * 10 + [2] * 10
    True
    >>> model.sample(3, random_state=0).shape
    (3, 64)
    """

    def __init__(
        self,
        n_components: int = 256,
        *,
        hidden_layers: tuple[int, ...] = (256,),
        visible: str = "auto",
        sampler: Any = "cd",
        centred: bool = True,
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
        self.hidden_layers = hidden_layers
        self.visible = visible
        self.sampler = sampler
        self.centred = centred
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

    def sample(self, n_samples: int = 1, *, n_steps: int = 1000, random_state: Any = None) -> NDArray[Any]:
        """Draw rows: states of the topmost machine, led down to means of the visible units.

        Parameters
        ----------
        n_samples : int, default=1
            How many.
        n_steps : int, default=1000
            Temperatures through which the topmost machine is led to each state.
        random_state : int, RandomState, Generator or None, default=None
            Seed.

        Returns
        -------
        rows : ndarray of shape (n_samples, features), or the shape of the images
            In the units of the data.
        """
        model = self._snapshot()
        owner = f"{type(self).__name__}.sample"
        check_integer(n_samples, parameter="n_samples", owner=owner, minimum=1)
        check_integer(n_steps, parameter="n_steps", owner=owner, minimum=1)
        seed, top = seed_of(random_state, owner), model._top()
        with torch.no_grad():
            states = annealed_samples(top, n_samples=n_samples, n_steps=n_steps, seed=seed)
            keys = row_keys(seed, 1, torch.arange(n_samples, device=states.device))
            codes = top.hidden.sample(top.hidden_inputs(states), keys, GIBBS)
        return model.inverse_transform(codes.cpu().numpy())

    def _configuration(self) -> dict[str, Any]:
        fixed = {
            "tied": True,
            "activation": BINARY.activation,
            "code_activation": BINARY.activation,
            "loss": LOSS_OF_VISIBLE.get(self.visible, "auto"),
        }
        return {**DEFAULTS, **self.get_params(deep=False), **fixed}

    def _set_up(self, X: Rows, seed: int, targets: Rows | None = None) -> StoredRows:
        check_choice(self.visible, LOSS_OF_VISIBLE, parameter="visible", owner=type(self).__name__)
        return super()._set_up(X, seed, targets)

    def _make_trainer(self, share: float, *, fresh: bool) -> Stack:
        settings = self.settings_
        given = None if self.learning_rate == "auto" else settings.learning_rate
        scheme = Scheme(settings.optimizer, given, share, settings.sampler, settings.centred)
        return Stack(self._assembly, settings, self.input_shape_, scheme, fresh=fresh)

    def _top(self) -> BoltzmannMachine:
        """Return the topmost machine."""
        network = self._assembly.network
        assert isinstance(network, DenseNetwork)
        encoder, decoder = network.encoder[-1], network.decoder[0]
        below = (
            BINARY if self.settings_.hidden_layers else units_of(self.settings_.loss, BINARY.activation)[0]
        )
        with torch.no_grad():
            mean = network.encoder[:-1](self._assembly.get_buffer("mean"))
        return BoltzmannMachine(
            encoder.weight,  # type: ignore[arg-type]
            encoder.bias,  # type: ignore[arg-type]
            decoder.bias,  # type: ignore[arg-type]
            below,
            BINARY,
            base_bias=below.input_for(mean),
        )
