"""A classifier that starts from an autoencoder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, assert_all_finite, check_consistent_length, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import nn

from isthmus._checks import check_flag, check_number, wrong_parameter
from isthmus._device import choose_device
from isthmus.errors import DataError, InvalidTypeError, TrainingInterruptedWarning
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._building import seed_of, store_rows
from isthmus.estimators._classifier_training import Labelled, classifier_settings, train_classifier
from isthmus.estimators._classifying import classifier_of, stored_classifier
from isthmus.estimators._inference import apply_in_blocks
from isthmus.estimators._names import refuse_other_columns
from isthmus.estimators._parameters import PartsMixin
from isthmus.estimators._pickling import PicklingMixin
from isthmus.estimators._rows import Rows
from isthmus.estimators._settings import check_callbacks
from isthmus.estimators._states import is_rebuildable
from isthmus.estimators._tensors import TensorsMixin
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.rows import Given, as_array, given_rows, is_tensor
from isthmus.training import Callback, EarlyStopping, History, ProgressBar


class PretrainedClassifier(TensorsMixin, PartsMixin, PicklingMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier on the codes of an autoencoder, which is trained first, without labels.

    With few labels and many rows the autoencoder learns from all rows what the labels alone would not
    teach. Frozen, it is a probe: how much do its codes say about the classes? Fine-tuned, encoder and head
    learn together from where the autoencoder left off. With ``initialization="stacked"`` and noise in the
    autoencoder this is the stacked denoising autoencoder of Vincent et al.; with a
    :class:`DeepBeliefNetwork`, the deep belief network of Hinton et al.

    Parameters
    ----------
    encoder : estimator or None, default=None
        An autoencoder of Isthmus. It is cloned and fitted; one that is fitted already is taken as it is if it
        comes in scikit-learn's ``FrozenEstimator``, and left unharmed. ``None`` is ``Autoencoder()``.
    fine_tune : bool, default=True
        Whether the encoder's weights learn from the labels too.
    hidden_layers : tuple of int, default=()
        Widths of layers between codes and classes; without any the head is logistic regression.
    activation : str, default="relu"
        What follows each of them.
    dropout : float, default=0.0
        Share of codes, and of the values of hidden layers, that is left out in training.
    noise : str, part or None, default=None
        What is done to the encoder's input in fine-tuning, as in :class:`Autoencoder`.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss; ``"balanced"`` gives all classes the same say.
    optimizer : str or part, default="adam"
        As in :class:`Autoencoder`.
    learning_rate : float or "auto", default="auto"
        Peak learning rate; ``"auto"`` asks the optimiser, and takes a fifth in fine-tuning.
    schedule : str or part, default="one-cycle"
        As in :class:`Autoencoder`.
    weight_decay : float, default=0.0
        Weight decay of the optimiser.
    gradient_clipping : float or None, default=None
        Largest norm of the gradient.
    epochs : int or "auto", default="auto"
        Passes over the labelled rows; ``"auto"`` makes about 3,000 steps, in 10 to 200 passes.
    batch_size : int or "auto", default="auto"
        Rows a step; ``"auto"`` is 256, fewer below 4,096 rows.
    validation_fraction : float or None, default=None
        Share of the labelled rows to hold out, evenly from all classes, where `fit` gets no
        ``validation_data``.
    patience : int or None, default=10
        With validation data: epochs without a smaller validation loss before training stops; the
        weights of the best epoch are kept.
    device, precision, callbacks, random_state, verbose
        As in :class:`Autoencoder`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    autoencoder_ : estimator
        The fitted autoencoder, which fine-tuning leaves as it is.
    network_ : torch.nn.Module
        Rows in the units of the data to logits, shape (batch, n_classes).
    history_ : list of dict
        One row an epoch: ``epoch``, ``loss`` in nats, ``accuracy``, the same of the validation rows,
        ``learning_rate``, ``seconds``.
    n_epochs_ : int
        Epochs trained.
    best_epoch_ : int or None
        The epoch whose weights were kept, where the validation loss chose them.
    loss_ : float
        Training loss of the epoch whose weights were kept.
    n_features_in_ : int
        Number of values in a row.
    feature_names_in_ : ndarray of str
        Column names, where ``X`` had them.

    References
    ----------
    G. E. Hinton, S. Osindero and Y.-W. Teh, "A fast learning algorithm for deep belief nets", Neural
    Computation, 2006. P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio and P.-A. Manzagol, "Stacked denoising
    autoencoders", JMLR, 2010. D. Erhan et al., "Why does unsupervised pre-training help deep learning?",
    JMLR, 2010.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.frozen import FrozenEstimator
    >>> from isthmus import Autoencoder, PretrainedClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> encoder = Autoencoder(16, hidden_layers=(64,), epochs=30, random_state=0).fit(X / 16)
    >>> probe = PretrainedClassifier(FrozenEstimator(encoder), fine_tune=False, random_state=0)
    >>> probe.fit(X[:900] / 16, y[:900]).score(X[900:] / 16, y[900:]) > 0.8
    True
    >>> tuned = PretrainedClassifier(FrozenEstimator(encoder), random_state=0)
    >>> tuned.fit(X[:900] / 16, y[:900]).score(X[900:] / 16, y[900:]) > 0.85
    True
    """

    def __init__(
        self,
        encoder: Any = None,
        *,
        fine_tune: bool = True,
        hidden_layers: tuple[int, ...] = (),
        activation: str = "relu",
        dropout: float = 0.0,
        noise: Any = None,
        class_weight: Any = None,
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
        callbacks: Any = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.encoder = encoder
        self.fine_tune = fine_tune
        self.hidden_layers = hidden_layers
        self.activation = activation
        self.dropout = dropout
        self.noise = noise
        self.class_weight = class_weight
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
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        unlabelled: ArrayLike | None = None,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Self:
        """Learn to tell the classes of rows.

        Parameters
        ----------
        X : array-like of shape (n, features), or images as the autoencoder takes them
            Labelled rows.
        y : array-like of shape (n,)
            Their labels: numbers or strings, of two classes at least.
        unlabelled : array-like of shape (m, features), optional
            More rows for an autoencoder that is still to be fitted.
        validation_data : tuple of rows and labels, optional
            On which loss and accuracy are computed after each epoch.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            When a parameter or the data cannot be used; the message says what to do.
        """
        owner = type(self).__name__
        with self._published() as model:
            seed = seed_of(model.random_state, owner)
            labels = _labels(y, owner)
            check_consistent_length(X, labels)
            model.classes_, numbers = np.unique(labels, return_inverse=True)
            if len(model.classes_) == 1:
                raise DataError(
                    f"y of {owner} has one class, {model.classes_.tolist()[0]!r}, but two at least are needed."
                )
            model._take_encoder(X, unlabelled, seed)
            rows, validation = model._rows(X, numbers, validation_data, seed)
            history = model._train(rows, validation, seed)
            model.history_ = history.rows
            model.n_epochs_ = len(history.rows)
            model.best_epoch_ = history.best_epoch
            model.loss_ = model.history_[(model.best_epoch_ or 0) - 1]["loss"]
        if history.interrupted:
            warnings.warn(
                f"Training of {owner} was interrupted after epoch {self.n_epochs_}; the weights so far were kept.",
                TrainingInterruptedWarning,
                stacklevel=2,
            )
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logits of the classes.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        logits : ndarray of shape (n, n_classes), or (n,) for two classes
            For two, that of the second class less that of the first.
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logarithms of the classes' probabilities.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        logarithms : ndarray of shape (n, n_classes)
        """
        return np.asarray(log_softmax(self._logits(X), axis=1))

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes_``.
        """
        return np.asarray(np.exp(self.predict_log_proba(X)))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the likeliest class of each row.

        Parameters
        ----------
        X : array-like of shape (n, features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n,)
        """
        model = self._snapshot()
        return np.asarray(model.classes_[model._logits(X).argmax(axis=1)])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = self._inner()
        tags.input_tags.allow_nan = isinstance(inner, BaseAutoencoder) and inner._sees_gaps
        return cast(Tags, tags)

    def _inner(self) -> Any:
        """Return the autoencoder that the parameter stands for, fitted or not."""
        if isinstance(self.encoder, FrozenEstimator):
            return self.encoder.estimator
        return Autoencoder() if self.encoder is None else self.encoder

    def _take_encoder(self, X: ArrayLike, unlabelled: ArrayLike | None, seed: int) -> None:
        """Set the fitted autoencoder, and what it knows of the columns."""
        inner, owner = self._inner(), type(self).__name__
        if not isinstance(inner, BaseAutoencoder):
            wanted = "None, an autoencoder of Isthmus, or a fitted one in FrozenEstimator"
            raise InvalidTypeError(str(wrong_parameter(owner, "encoder", wanted, inner)))
        frozen = isinstance(self.encoder, FrozenEstimator)
        if frozen:
            check_is_fitted(inner)
            if unlabelled is not None:
                raise wrong_parameter(
                    owner, "encoder", "one that is still to be fitted with unlabelled rows", self.encoder
                )
        else:
            inner = clone(inner)
            if inner.random_state is None:
                inner.set_params(random_state=seed % 2**32)
            if unlabelled is None:
                inner.fit(X)
            else:
                refuse_other_columns(X, unlabelled, "unlabelled", owner)
                inner.fit(_joined(X, unlabelled, owner))
        self.autoencoder_ = inner
        self.n_features_in_ = inner.n_features_in_
        self.__dict__.pop("feature_names_in_", None)
        if hasattr(inner, "feature_names_in_"):
            self.feature_names_in_ = inner.feature_names_in_

    def _rows(
        self,
        X: ArrayLike,
        numbers: NDArray[Any],
        validation_data: tuple[ArrayLike, ArrayLike] | None,
        seed: int,
    ) -> tuple[Labelled, Labelled | None]:
        """Return the rows to train on, and those that are held out if any are."""
        owner, rows = type(self).__name__, self.autoencoder_._checked(X)
        if validation_data is not None:
            if not (isinstance(validation_data, tuple) and len(validation_data) == 2):
                raise InvalidTypeError(
                    f"The 'validation_data' of {owner}.fit must be a pair of rows and labels."
                )
            labels = _labels(validation_data[1], owner)
            unknown = np.setdiff1d(labels, self.classes_)
            if len(unknown):
                raise DataError(
                    f"validation_data of {owner} has classes that y has not, such as {unknown.tolist()[0]!r}."
                )
            others = self.autoencoder_._checked(validation_data[0], argument="validation_data")
            check_consistent_length(others, labels)
            return self._labelled(rows, numbers), self._labelled(
                others, np.searchsorted(self.classes_, labels)
            )
        if self.validation_fraction is None:
            return self._labelled(rows, numbers), None
        interval = {"minimum": 0, "maximum": 1, "open_minimum": True, "open_maximum": True}
        share = check_number(
            self.validation_fraction, parameter="validation_fraction", owner=owner, **cast(Any, interval)
        )
        rows, others, numbers, held_out = train_test_split(
            rows, numbers, test_size=share, random_state=seed % 2**32, stratify=numbers
        )
        return self._labelled(rows, numbers), self._labelled(others, held_out)

    def _labelled(self, rows: Rows, numbers: NDArray[Any]) -> Labelled:
        classes = torch.from_numpy(np.ascontiguousarray(numbers, dtype=np.int64))
        return Labelled(store_rows(np.ascontiguousarray(rows), self.autoencoder_.encoder_.scaling), classes)

    def _train(self, rows: Labelled, validation: Labelled | None, seed: int) -> History:
        owner, model = type(self).__name__, self.autoencoder_
        settings = classifier_settings(
            self.get_params(deep=False),
            owner,
            n_rows=len(rows.rows),
            encoder=model.settings_,
            n_features=model.n_features_in_,
        )
        device = choose_device(self.device, owner)
        callbacks: list[Callback] = check_callbacks(self.callbacks, owner)
        if validation is not None and settings.patience is not None:
            callbacks.insert(0, EarlyStopping(settings.patience))
        if check_flag(self.verbose, parameter="verbose", owner=owner):
            callbacks.append(ProgressBar(owner))
        classifier, history = train_classifier(
            model.encoder_.to(device),
            model.settings_,
            settings,
            rows,
            validation,
            input_shape=model.input_shape_,
            class_weights=self._weights(rows.classes.numpy()),
            n_classes=len(self.classes_),
            device=device,
            seed=seed,
            callbacks=callbacks,
        )
        self.network_ = nn.Sequential(model.encoder_.scaling, classifier).eval()
        return history

    _BUILT = ("network_",)

    def _to_store(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        encoder = state["autoencoder_"] if "network_" in state else None
        if encoder is None or not is_rebuildable(encoder.settings_):
            return None  # with a user's own modules it is stored as it is
        return stored_classifier(state["network_"][1], encoder.encoder_)

    def _take_stored(self, stored: Mapping[str, Any]) -> None:
        encoder = self.autoencoder_.encoder_
        classifier = classifier_of(stored, encoder, self.autoencoder_.settings_.n_components)
        self.network_ = nn.Sequential(encoder.scaling, classifier).eval()

    def _weights(self, numbers: NDArray[Any]) -> torch.Tensor | None:
        if self.class_weight is None:
            return None
        if not (self.class_weight == "balanced" or isinstance(self.class_weight, dict)):
            wanted = "None, 'balanced' or a dict from classes to weights"
            raise wrong_parameter(type(self).__name__, "class_weight", wanted, self.class_weight)
        weights = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[numbers])
        return torch.from_numpy(weights.astype(np.float32))

    def _logits(self, X: ArrayLike) -> NDArray[Any]:
        model = self._snapshot()
        return apply_in_blocks(model.network_, model.autoencoder_._checked(X), len(model.classes_))


def _labels(y: Any, owner: str) -> NDArray[Any]:
    """Return labels as one column."""
    if y is None:
        raise DataError(f"{owner} requires y to be passed, but the target y is None.")
    labels = column_or_1d(as_array(y, f"y of {owner}") if is_tensor(y) else y, warn=True)
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    return np.asarray(labels)


def _joined(X: Any, unlabelled: Any, owner: str) -> Given:
    """Return both tables as one, with the column names of the first."""
    one, other = given_rows(X, f"X of {owner}"), given_rows(unlabelled, f"unlabelled of {owner}")
    return Given(np.concatenate([one.values, other.values]), one.frame)
