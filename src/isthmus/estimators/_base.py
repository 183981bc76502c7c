"""What all autoencoders share: scikit-learn's surface over the parts and the loop."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_consistent_length

from isthmus._checks import check_flag
from isthmus._device import choose_device
from isthmus.errors import InvalidTypeError
from isthmus.estimators import _saving
from isthmus.estimators._assembly import Assembly, Decoder, Encoder
from isthmus.estimators._building import (
    build_assembly,
    mean_of,
    refuse_fractions,
    refuse_outside,
    refuse_too_few,
    seed_of,
    split_places,
    within_unit_interval,
)
from isthmus.estimators._inference import (
    CodeSummary,
    apply_in_blocks,
    excess_of_rows,
    explained_variance,
    summary_of_codes,
)
from isthmus.estimators._initializing import initialize, kept_at_least
from isthmus.estimators._names import FEATURE_NAMES, KNOWN_NAMES, refuse_moved_codes
from isthmus.estimators._pairs import Pair, refuse_other_kind, warn_of_ignored
from isthmus.estimators._parameters import PartsMixin
from isthmus.estimators._pickling import revived_tensors
from isthmus.estimators._resuming import identify, opened, seed_for
from isthmus.estimators._rows import Rows, check_codes, check_rows, shape_of_rows
from isthmus.estimators._scaling import Scaling, learn_scaling
from isthmus.estimators._settings import (
    Settings,
    check_callbacks,
    network_for,
    settings_for,
    support_of,
    takes_gaps,
)
from isthmus.estimators._stacking import Stack
from isthmus.estimators._states import StateMixin
from isthmus.estimators._tensors import TensorsMixin
from isthmus.estimators._trainer import Trainer, memory_worded
from isthmus.estimators._training_range import TrainingRange
from isthmus.estimators._warnings import warn_of_dead_codes, warn_of_interruption
from isthmus.rows import Given, given_rows
from isthmus.training import (
    Checkpoint,
    Constant,
    EarlyStopping,
    History,
    OpenCheckpoint,
    ProgressBar,
    StoredRows,
)

#: ``partial_fit`` has no end to anneal towards, so it goes at a share of the peak rate throughout.
PARTIAL_FIT_RATE = 0.1

#: Rows from whose features a bottleneck starts.
START_ROWS = 4096


class BaseAutoencoder(
    TensorsMixin,
    PartsMixin,
    StateMixin,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Base of the autoencoders; see :class:`isthmus.Autoencoder` for the parameters."""

    encoder_: Encoder
    decoder_: Decoder
    history_: list[dict[str, float]]
    pretraining_history_: list[dict[str, float]]
    code_usage_: NDArray[np.float64]
    input_shape_: tuple[int, ...]
    settings_: Settings
    n_epochs_: int
    best_epoch_: int | None
    stop_reason_: str | None
    loss_: float
    engine_: dict[str, Any]
    n_features_in_: int
    _assembly: Assembly
    _training_range: TrainingRange | None
    _learner: tuple[Assembly, Trainer | Stack]  # of `partial_fit`
    _memory: dict[str, Any]  # what the learner remembered when this estimator was stored

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        hidden_layers: tuple[int, ...] = (),
        activation: str = "relu",
        code_activation: str = "auto",
        network: Any = "dense",
        bottleneck: Any = "plain",
        loss: Any = "auto",
        penalty: Any = None,
        noise: Any = None,
        tied: bool = False,
        scale: str = "auto",
        missing: str = "auto",
        initialization: Any = "random",
        optimizer: Any = "adam",
        learning_rate: float | str = "auto",
        schedule: Any = "one-cycle",
        weight_decay: float = 0.0,
        gradient_clipping: float | None = None,
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        validation_fraction: float | None = None,
        patience: int | None = 10,
        device: str = "auto",
        precision: str = "auto",
        compile: bool | str = "auto",
        callbacks: Any = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.n_components = n_components
        self.hidden_layers = hidden_layers
        self.activation = activation
        self.code_activation = code_activation
        self.network = network
        self.bottleneck = bottleneck
        self.loss = loss
        self.penalty = penalty
        self.noise = noise
        self.tied = tied
        self.scale = scale
        self.missing = missing
        self.initialization = initialization
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.gradient_clipping = gradient_clipping
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        *,
        validation_data: Any = None,
        checkpoint: str | Path | Checkpoint | None = None,
    ) -> Self:
        """Learn to encode and decode the rows of ``X``.

        Parameters
        ----------
        X : array-like of shape (n, features), or (n, height, width) and the like
            Training rows. The shape of a row is remembered and given back by `inverse_transform`.
        y : None
            Ignored; here for scikit-learn's pipelines. Only :class:`isthmus.DenoisingAutoencoder` learns from
            pairs of rows; elsewhere a ``y`` of the shape of ``X`` raises a warning.
        validation_data : array-like, optional
            Rows like those of ``X`` on which the loss is computed after each epoch; a pair of rows and targets
            where ``y`` holds targets. With ``patience`` set, the weights of the epoch with the smallest such loss
            are kept.
        checkpoint : str, Path or Checkpoint, optional
            A folder in which the training is saved as it goes, and from which it goes on when the same fit
            is asked for again; see :class:`isthmus.Checkpoint`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            When a parameter, the data or the checkpoint cannot be used; the message says what to do.
        FloatingPointError
            When the loss is not finite, with a thousandth of the learning rate either.
        """
        owner = type(self).__name__
        with opened(checkpoint) as there, self._published() as model:
            given = model._arranged(X, reset=True)
            X = model._checked(given, reset=True, min_rows=2)
            model.input_shape_ = shape_of_rows(given, X.shape[1])
            seed = seed_for(model.random_state, there, owner)
            pair, held_out = model._split(Pair(X, model._targets(y, X)), validation_data, seed)
            stored = model._set_up(pair.rows, seed, pair.targets)
            if pair.targets is not None:
                model._warn_of_range(pair.rows, "X")  # of which the targets may be in another unit
            if held_out is not None:
                model._warn_of_range(held_out.rows, "validation_data")
            validation = None if held_out is None else held_out.stored(model.encoder_.scaling)
            identify(
                there,
                owner=owner,
                settings=model.settings_,
                input_shape=model.input_shape_,
                seed=seed,
                rows={
                    "X": stored,
                    "y": stored.targets,
                    "validation_data": validation,
                    "the targets of validation_data": validation and validation.targets,
                },
                device=model._assembly.device,
            )
            model._initialize(stored, seed, there)
            history = model._train(stored, validation, seed, there)
            model.history_ = history.rows
            model.n_epochs_ = int(history.rows[-1]["epoch"])
            model.best_epoch_ = history.best_epoch
            model.stop_reason_ = history.stop_reason
            summary = model._describe_codes(stored)
        warn_of_dead_codes(model.code_usage_, owner, stacklevel=2)
        model._warn_of_codes(summary)
        model._warn_of_result(stored, validation)
        if history.interrupted:
            warn_of_interruption(history, owner, model.settings_.epochs, there)
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Make one pass over the rows of ``X``, starting from what is already learnt.

        The first call decides the scaling and everything that is ``"auto"``, for good. It needs at least 10
        different rows, unless the rows are unsigned bytes or both ``scale="none"`` and a ``loss`` are given, and
        its rows should be typical; later calls may have any number. The learning rate is constant, a tenth
        of the one that `fit` peaks at.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.
        y : None
            Ignored, as by `fit`.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            When the first rows are too few, or the data cannot be used.
        """
        try:
            with self._published() as model:
                first = not hasattr(model, "encoder_")
                given = model._arranged(X, reset=first)
                X = model._checked(given, reset=first)
                if first:
                    model.input_shape_ = shape_of_rows(given, X.shape[1])
                targets = model._targets(y, X)
                if first:
                    model.history_, model.n_epochs_, model.best_epoch_ = [], 0, None
                    seed = seed_of(model.random_state, type(self).__name__)
                    stored = model._set_up(X, seed, targets)
                    owner, bottleneck = type(self).__name__, model._assembly.bottleneck
                    refuse_too_few(X, model._configuration(), model.settings_, bottleneck, owner)
                    model._initialize(stored, seed)
                else:
                    refuse_other_kind(model.settings_.paired, targets is not None, type(self).__name__)
                    stored = Pair(X, targets).stored(model.encoder_.scaling)
                    model._refuse_untrainable(stored)
                assembly, trainer = model._take_learner(fresh=first)
                history = trainer.train(
                    stored,
                    seed=model._seed + model.n_epochs_,
                    schedule=Constant(),
                    epochs=1,
                    callbacks=check_callbacks(model.callbacks, type(self).__name__),
                    model=model,
                    anneal=False,
                )
                # What others use is a copy, which the next pass does not touch.
                model._install(
                    model.settings_, copy.deepcopy(assembly), model.encoder_.scaling, assembly.device
                )
                model.engine_ = trainer.engine
                model.n_epochs_ += 1
                model.best_epoch_ = model.stop_reason_ = None
                if not first and model._training_range is not None:
                    model._training_range = model._training_range.joined(model._range_of(X))
                rows = [{**row, "epoch": model.n_epochs_} for row in history.rows]
                model.history_ = model.history_ + rows
                model._describe_codes(stored)
        except BaseException:
            self.__dict__.pop("_learner", None)  # half-trained; the next pass begins at what was published
            raise
        return self

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return the codes of the rows of ``X``.

        A code depends on its row alone, not on the rows it came with.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows; images also in the shape they were fitted in.

        Returns
        -------
        codes : ndarray of shape (n, n_components)
            float32 for float32 rows, float64 otherwise.
        """
        model = self._snapshot()
        return model._encode(model._checked(X))

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return the rows that codes stand for.

        Parameters
        ----------
        X : array-like of shape (n, n_components)
            Codes.

        Returns
        -------
        rows : ndarray of shape (n, features), or (n, height, width) where it was fitted on images
            Reconstructions in the units of the data.
        """
        model = self._snapshot()
        refuse_moved_codes(X, model)
        rows = model._decode(check_codes(X, model.settings_.n_components, type(self).__name__))
        return rows.reshape(len(rows), *model.input_shape_)

    def reconstruct(self, X: ArrayLike) -> NDArray[Any]:
        """Return what is left of the rows of ``X`` after encoding and decoding.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        rows : ndarray of shape (n, features), or the shape of the images
            Reconstructions in the units of the data.
        """
        model = self._snapshot()
        rows = model._decode(model._encode(model._checked(X)))
        return rows.reshape(len(rows), *model.input_shape_)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Return the share of the variance of ``X`` that the reconstruction explains.

        1 is perfect, 0 is what the mean row of ``X`` achieves; like the sum of PCA's
        ``explained_variance_ratio_``. It is computed on the scaled data, so that every column of a
        standardised table counts alike, and compares models whatever their loss.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows; at least two different ones.
        y : None
            Ignored.

        Returns
        -------
        score : float
        """
        model = self._snapshot()
        return explained_variance(model.encoder_, model.decoder_, model._checked(X))

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return how well each row is reconstructed; the rows with the lowest scores are anomalies.

        The score is minus the row's loss, without the part of it that no reconstruction can avoid. For "bce" it
        is minus the cross-entropy plus the entropy of the row itself, for "poisson", "negative-binomial" and
        "logistic" minus half the deviance, and for squared error minus the squared error: 0 is the score of
        a perfect reconstruction. For "gaussian" and "laplace" it is the log-density, whose greatest value is
        the same for every row. So rows are ranked by how well they are reconstructed, not by how grey or how
        large they are. The losses in ``history_`` are the whole ones.

        Every finite row has a score. Values that the loss is not defined for, such as 1.1 with "bce" or -1
        with "poisson", are taken as the nearest ones that it is defined for, and cost twice their squared
        distance to them.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n,)
            Summed over the (scaled) features: nats for likelihoods, squared units for squared error. A row so
            large that its loss overflows gets the lowest finite number.
        """
        model = self._snapshot()
        rows = model._checked(X)
        return -excess_of_rows(model._assembly, model.encoder_, model.settings_.loss, rows)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the fitted model to a folder: ``config.json`` and ``model.safetensors``.

        Parameters
        ----------
        path : str or Path
            The folder. It appears whole or not at all.
        overwrite : bool, default=False
            Whether a model that is already there may be replaced.

        Raises
        ------
        FileExistsError
            When something is already there.
        """
        model = self._snapshot()
        _saving.save(model, Path(path), overwrite=overwrite)

    @property
    def _n_features_out(self) -> int:
        return self.settings_.n_components

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = self._sees_gaps
        return cast(Tags, tags)

    @property
    def _sees_gaps(self) -> bool:
        configuration = self._configuration()
        network = network_for(configuration["network"], type(self).__name__)
        return takes_gaps(configuration.get("missing", "auto"), network)

    def _configuration(self) -> dict[str, Any]:
        """Return a value for every parameter of an autoencoder: this family's own, and what it leaves no choice in."""
        return dict(self.get_params(deep=False))

    def _checked(
        self, X: ArrayLike | Given, *, reset: bool = False, min_rows: int = 1, argument: str = "X"
    ) -> Rows:
        """Return ``X`` as rows of what this estimator computes with; warn if they are wildly out of range."""
        rows = self._accepted(X, reset=reset, min_rows=min_rows, argument=argument)
        if not reset:
            self._warn_of_range(rows, argument)
        return rows

    def _accepted(
        self, X: ArrayLike | Given, *, reset: bool = False, min_rows: int = 1, argument: str = "X"
    ) -> Rows:
        """Return ``X`` as rows of what this estimator computes with."""
        arranged = self._arranged(X, reset=reset, argument=argument)
        return check_rows(
            self, arranged, reset=reset, min_rows=min_rows, argument=argument, gaps=self._sees_gaps
        )

    def _warn_of_range(self, rows: Rows, argument: str) -> None:
        known = getattr(self, "_training_range", None)  # not in models of before there was any
        if known is not None:
            subject = f"{argument} of {type(self).__name__}"
            names = getattr(self, FEATURE_NAMES, getattr(self, KNOWN_NAMES, None))
            known.warn_of(rows, subject, names)

    def _range_of(self, rows: Rows) -> TrainingRange:
        """Return the range of training rows: of all columns together where they are in one unit."""
        images = len(self.input_shape_) > 1 and not self.settings_.network.is_sequential
        return TrainingRange.of(rows, together=images or len(self.encoder_.scaling.unit) == 1)

    def _arranged(self, X: Any, *, reset: bool, argument: str = "X") -> Given:
        """Return ``X`` as an array, whatever container it came in."""
        return given_rows(X, f"{argument} of {type(self).__name__}")

    def _targets(self, y: Any, X: Rows) -> Rows | None:
        """Return the rows that are to be made of those of ``X``, where ``y`` holds such; here it is ignored."""
        warn_of_ignored(y, X, type(self).__name__, trains_on_pairs=False)
        return None

    def _paired(self, configuration: dict[str, Any]) -> dict[str, Any]:
        """Return the configuration by which a model is trained that has pairs to learn from."""
        return configuration

    def _split(self, pair: Pair, validation_data: Any, seed: int) -> tuple[Pair, Pair | None]:
        """Return training rows and validation rows, each with its targets where there are any."""
        owner, paired = type(self).__name__, pair.targets is not None
        if validation_data is None:
            fraction = self._configuration()["validation_fraction"]
            train, held_out = split_places(len(pair.rows), fraction, seed, owner)
            return (pair, None) if held_out is None else (pair.chosen(train), pair.chosen(held_out))
        if isinstance(validation_data, tuple) != paired or (paired and len(validation_data) != 2):
            wanted = (
                "a pair of rows and targets, as X and y are"
                if paired
                else "rows like those of X, not a pair: without a y of the shape of X, the target is the input"
            )
            raise InvalidTypeError(f"The 'validation_data' of {owner}.fit must be {wanted}.")
        if not paired:
            return pair, Pair(self._accepted(validation_data, argument="validation_data"))
        rows, targets = (self._accepted(part, argument="validation_data") for part in validation_data)
        check_consistent_length(rows, targets)
        return pair, Pair(rows, targets)

    def _set_up(self, X: Rows, seed: int, targets: Rows | None = None) -> StoredRows:
        """Decide the settings, build the network, and return the scaled rows."""
        owner, configuration = type(self).__name__, self._configuration()
        if targets is not None:
            configuration = self._paired(configuration)
        check_flag(self.verbose, parameter="verbose", owner=owner)
        device = choose_device(self.device, owner)
        wanted = X if targets is None else targets  # the space is that of what the decoder makes
        is_bytes = wanted.dtype == np.uint8
        counts = support_of(configuration["loss"], owner) == "counts"
        scale = "none" if counts and self.scale == "auto" else self.scale
        scaling = learn_scaling(
            wanted,
            scale,
            shape=self.input_shape_,
            sequential=network_for(configuration["network"], owner).is_sequential,
            bytes_=is_bytes,
            owner=owner,
        )
        stored = Pair(X, targets).stored(scaling)
        low, high = stored.wanted.range()
        # Limits learnt from the training rows do not hold for others, which the cross-entropy must not
        # meet; that of bytes does.
        limits_known = scaling.trivial or (is_bytes and self.scale in {"auto", "range"})
        settings = settings_for(
            configuration,
            owner,
            n_rows=len(X),
            input_shape=self.input_shape_,
            unit_interval=limits_known and within_unit_interval(low, high),
            paired=targets is not None,
        )
        generator = torch.Generator().manual_seed(seed)
        assembly = build_assembly(settings, self.input_shape_, generator, mean_of(stored.wanted))
        self._install(settings, assembly, scaling, device)
        self._start_bottleneck(stored)
        self._seed = seed
        self._training_range = self._range_of(X)
        if targets is not None:
            self._training_range = self._training_range.joined(self._range_of(targets))
        for name in ("_learner", "_memory"):
            self.__dict__.pop(name, None)
        self._refuse_untrainable(stored)
        return stored

    def _initialize(self, stored: StoredRows, seed: int, checkpoint: OpenCheckpoint | None = None) -> None:
        """Set the weights to what training starts from."""
        self.pretraining_history_ = initialize(
            self._assembly, self.settings_, self.input_shape_, stored, seed, checkpoint
        )

    def _start_bottleneck(self, stored: StoredRows) -> None:
        """Let the bottleneck see the features that it starts from."""
        sample = stored.every(max(len(stored) // START_ROWS, 1)).blocks(START_ROWS)
        with torch.no_grad():
            features = self._assembly.network.encoder(next(sample).to(self._assembly.device))
            self._assembly.bottleneck.start_from(features)

    def _install(
        self, settings: Settings, assembly: Assembly, scaling: Scaling, device: torch.device
    ) -> None:
        """Take an assembly as this estimator's, and expose its halves."""
        self.settings_ = settings
        self._assembly = assembly.to(device).eval()
        scaling = scaling.to(device)
        self.encoder_ = Encoder(scaling, assembly.network.encoder, assembly.bottleneck).eval()
        self.decoder_ = Decoder(assembly.network.decoder, settings.loss, scaling).eval()

    def _train(
        self,
        rows: StoredRows,
        validation: StoredRows | None,
        seed: int,
        checkpoint: OpenCheckpoint | None,
    ) -> History:
        settings = self.settings_
        callbacks = check_callbacks(self.callbacks, type(self).__name__)
        if validation is not None and settings.patience is not None:
            # First, so that it has seen an epoch whatever the other callbacks do, Ctrl-C included, and
            # they find the best weights in place when the training ends.
            callbacks.insert(0, EarlyStopping(settings.patience))
        if self.verbose:
            callbacks.append(ProgressBar(type(self).__name__))
        trainer = self._make_trainer(1.0, fresh=True)
        owner = type(self).__name__
        with kept_at_least(self._assembly, settings, rows, owner), memory_worded(owner, settings.batch_size):
            history = trainer.train(
                rows,
                seed=seed,
                schedule=settings.schedule,
                epochs=settings.epochs,
                validation=validation,
                callbacks=callbacks,
                model=self,
                checkpoint=checkpoint,
            )
        self.engine_ = trainer.engine
        return history

    def _make_trainer(self, share: float, *, fresh: bool) -> Trainer | Stack:
        """Return what trains the assembly, at a share of the learning rate; ``fresh`` if nothing has yet."""
        rate = share * self.settings_.learning_rate
        return Trainer(self._assembly, self.settings_, self.input_shape_, rate)

    def _take_learner(self, *, fresh: bool) -> tuple[Assembly, Trainer | Stack]:
        """Return the weights that `partial_fit` trains, installed here, and what trains them."""
        if not hasattr(self, "_learner"):
            assembly = copy.deepcopy(self._assembly)
            self._install(self.settings_, assembly, self.encoder_.scaling, assembly.device)
            self._learner = assembly, self._make_trainer(PARTIAL_FIT_RATE, fresh=fresh)
            memory = self.__dict__.pop("_memory", None)
            if memory is not None:
                self._learner[1].load_state_dict(revived_tensors(memory))
        assembly, trainer = self._learner
        self._install(self.settings_, assembly, self.encoder_.scaling, assembly.device)
        return assembly, trainer

    def _describe_codes(self, stored: StoredRows) -> CodeSummary:
        """Set what is known after training, the last loss and how much each code unit is used; return the rest."""
        self.loss_ = self.history_[(self.best_epoch_ or 0) - 1]["loss"]
        summary = summary_of_codes(self._assembly, stored)
        self.code_usage_ = summary.usage
        return summary

    def _warn_of_codes(self, summary: CodeSummary) -> None:
        """Warn of what else this family can tell from the codes of its training rows."""

    def _encode(self, rows: Rows) -> Rows:
        return apply_in_blocks(self.encoder_, rows, self.settings_.n_components)

    def _decode(self, codes: Rows) -> Rows:
        return apply_in_blocks(self.decoder_, codes, math.prod(self.input_shape_))

    def _refuse_untrainable(self, stored: StoredRows) -> None:
        """Raise if the loss is not defined for rows that are to be trained on."""
        owner, loss = type(self).__name__, self.settings_.loss
        subject = f"X of {owner}" if stored.targets is None else f"y of {owner}"
        refuse_outside(loss, *stored.wanted.range(), subject)
        refuse_fractions(loss, stored.wanted, subject, getattr(self, "feature_names_in_", None))
        if stored.targets is not None and loss.support == "counts":
            refuse_outside(loss, *stored.range(), f"X of {owner}")  # the encoder sees logarithms of counts

    def _warn_of_result(self, stored: StoredRows, validation: StoredRows | None) -> None:
        """Warn of what else this family can tell from what it makes of rows."""
