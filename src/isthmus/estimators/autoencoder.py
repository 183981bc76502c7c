"""The autoencoder, and its named defaults."""

from __future__ import annotations

from typing import Any

from isthmus._checks import check_integer, wrong_parameter
from isthmus._specification import resolve
from isthmus.bottlenecks import TopK
from isthmus.estimators._base import BaseAutoencoder
from isthmus.estimators._defaults import with_defaults
from isthmus.estimators._settings import PARTS
from isthmus.objectives import L1, Contractive, Patches


class Autoencoder(BaseAutoencoder):
    """Non-linear dimensionality reduction by a network that copies its input through a narrow code.

    Used like :class:`sklearn.decomposition.PCA`. With its defaults it is the single-layer autoencoder
    on data between 0 and 1, and on other data the best linear one, which is PCA; ``hidden_layers``
    makes it deep, and then it can do what PCA cannot.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Width of the code. ``"auto"`` is 32, or half the number of features if that is less. More than
        the number of features needs a penalty on the activities.
    hidden_layers : tuple of int, default=()
        Widths of the fully connected layers between input and code, or between a convolutional or
        recurrent network and the code; the decoder mirrors them.
    activation : str, default="relu"
        Activation of the hidden layers: "identity", "relu", "leaky_relu", "elu", "selu", "gelu",
        "silu", "sigmoid", "tanh", "softplus" or "truncated_normal" (a smooth ReLU, the mean of the
        rectified units of Boltzmann machines).
    code_activation : str, default="auto"
        Activation of the code. ``"auto"`` is what bottleneck or penalty ask for; "relu" for a single
        layer on data between 0 and 1 with at least ten features for each code unit, as in the
        notebook; and "identity" otherwise: a linear code reconstructs as well or better and has no
        dead units.
    network : str, part or pair of torch.nn.Module, default="dense"
        "dense", "convolutional", "recurrent", "transformer", a part of :mod:`isthmus.networks` with
        other settings such as ``Convolutional(channels=(32, 16))``, or an encoder and a decoder of
        your own (see :class:`isthmus.networks.Modules`).
    bottleneck : str or part, default="plain"
        What happens to the code: "plain", "topk" (only the largest activities), "gaussian" (the
        variational autoencoder's), "vq" (vectors of a learnt codebook), "fsq" (a few fixed values), or
        a part of :mod:`isthmus.bottlenecks` with other settings.
    loss : str or part, default="auto"
        Distance between input and reconstruction: "bce" (cross-entropy in nats; data between 0 and
        1), "mse", "l1", "huber", a likelihood with something learnt ("gaussian", "laplace",
        "logistic" for values of one byte), one for counts ("poisson", "negative-binomial"), or a part
        of :mod:`isthmus.objectives` with other settings. Summed over the features of a row and
        averaged over rows, in the scaled data's units. ``"auto"`` is "bce" for data between 0 and 1
        and for unsigned bytes, else "mse"; with a Gaussian bottleneck, "gaussian".
    penalty : str, part or None, default=None
        "l1", "l2" or "elastic", on code activities or on weights; "kl" (a target for each unit's mean
        activity), "contractive" (the encoder's slope), "mmd" (codes like a normal distribution); or a
        part such as ``L1(weight=1e-4)``; as text also "l1:weight=1e-4,on=weights".
    noise : str, part or None, default=None
        What is done to the encoder's input in training: "gaussian", "masking", "salt-and-pepper",
        "swap" (values of other rows), "patches", "binarization", or a part of
        :mod:`isthmus.objectives` with other settings, in the scaled data's units.
    tied : bool, default=False
        Whether the decoder uses the transposed weights of the encoder.
    scale : str, default="auto"
        Scaling learnt from the training data and undone by `inverse_transform`: "none", "standard"
        (each column to mean 0 and standard deviation 1), "sequence" (the same for each feature over all
        steps of (time, features)), "minmax" (each column to [0, 1]) or "range" (all values by one range
        to [0, 1]; 255 for unsigned bytes). ``"auto"`` leaves data in [0, 1]
        alone, takes "sequence" for recurrent networks, "range" for images and unsigned bytes, and
        "standard" for everything else.
    missing : {"auto", "refuse", "mask"}, default="auto"
        What to do about NaN. "mask" trains on what is observed: a missing value is left out of the loss, and
        the encoder is given the mean of its column; codes and copies of rows with gaps are found likewise, so
        that `reconstruct` fills them in. "refuse" is an error that names row and column. "auto" refuses, but
        for networks that look past gaps ("transformer", "lstm" and their like).
    initialization : str or part, default="random"
        What the weights start from: "random"; "pca", the principal components, below which training then
        never falls; "stacked", layers trained one by one as (with noise, denoising) autoencoders; "rbm",
        layers trained one by one as Boltzmann machines; or a part such as ``Stacked(epochs=20)`` of
        :mod:`isthmus.training`. All but the first need ``network="dense"``.
    optimizer : str or part, default="adam"
        "adam", "adamw", "sgd", "rmsprop", "adagrad", "adadelta", or a part such as
        ``SGD(momentum=0.5)``. Adadelta's rate of 1.0 means 1.0, unlike in Keras 3.
    learning_rate : float or "auto", default="auto"
        Peak learning rate; ``"auto"`` asks the optimiser for one that suits depth and width.
    schedule : str or part, default="one-cycle"
        "one-cycle", "cosine", "constant" or "plateau" (halved when the loss stalls).
    weight_decay : float, default=0.0
        Weight decay of the optimiser.
    gradient_clipping : float or None, default=None
        Largest norm of the gradient.
    epochs : int or "auto", default="auto"
        Passes over the training rows; ``"auto"`` makes about 12,000 steps: 51 on MNIST, never fewer
        than 10 nor more than 500.
    batch_size : int or "auto", default="auto"
        Rows a step; ``"auto"`` is 256, fewer below 4,096 rows.
    validation_fraction : float or None, default=None
        Share of the rows to hold out where `fit` gets no ``validation_data``.
    patience : int or None, default=10
        With validation data: epochs without a smaller validation loss before training stops; the
        weights of the best epoch are kept. ``None`` trains to the end and keeps the last weights.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", ...; ``"auto"`` is CUDA where there is one.
    precision : str, default="auto"
        What training computes with: "float32", or "bfloat16", whose products are faster on processors
        made for it, beside weights kept in float32. ``"auto"`` is "float32". Trained models compute in
        the precision of the rows they get.
    compile : bool or "auto", default="auto"
        ``"auto"`` uses what is compiled in no time: a few functions in C where this machine has a C
        compiler, CUDA graphs on a GPU. ``True`` has ``torch.compile`` compile the whole objective, which
        takes some 20 seconds and a C++ compiler; ``False`` compiles nothing. The results are equal
        within rounding.
    callbacks : list of Callback or None, default=None
        See :class:`isthmus.training.Callback`.
    random_state : int, RandomState, Generator or None, default=None
        Seed of weights and order. An int gives the same result every time on the same machine;
        ``None`` draws fresh entropy and leaves NumPy's global generator alone.
    verbose : bool, default=False
        Whether to show a progress bar on standard error.

    Attributes
    ----------
    encoder_, decoder_ : torch.nn.Module
        The two halves, usable alone on tensors in the units of the data.
    history_ : list of dict
        One row an epoch: ``epoch``, ``loss`` and its terms, ``validation_loss`` and its terms,
        ``learning_rate``, ``seconds`` of the training pass.
    pretraining_history_ : list of dict
        The same for each ``layer`` that was trained before the whole, where the initialization asks for it.
    n_epochs_ : int
        Epochs trained.
    best_epoch_ : int or None
        The epoch whose weights were kept, where the validation loss chose them.
    stop_reason_ : str or None
        Why training ended: "epochs" (all of them were done), "early stopping", "time limit" (see
        :class:`isthmus.training.TimeLimit`), "interrupted" or "callback". None after `partial_fit`.
    loss_ : float
        Training loss of the epoch whose weights were kept.
    code_usage_ : ndarray of shape (n_components,)
        Share of the training rows in which a code unit is not zero; 0 for dead units.
    engine_ : dict
        What the training ran on: "device", "precision", "gradient" ("closed form" or "autograd"),
        "compiled" ("kernels", "CUDA graphs", "torch.compile" or None) and "threads".
    settings_ : Settings
        The parameters with every "auto" decided.
    input_shape_ : tuple of int
        Shape of a row as it was given.
    n_features_in_ : int
        Number of values in a row.
    feature_names_in_ : ndarray of str
        Column names, where ``X`` had them.

    See Also
    --------
    SparseAutoencoder : Codes in which few units are active.
    isthmus.load : Read a saved model.

    References
    ----------
    D. E. Rumelhart, G. E. Hinton and R. J. Williams, "Learning internal representations by error
    propagation", 1986. P. Baldi and K. Hornik, "Neural networks and principal component analysis",
    Neural Networks, 1989. G. E. Hinton and R. R. Salakhutdinov, "Reducing the dimensionality of data
    with neural networks", Science, 2006.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import Autoencoder
    >>> X = load_digits().data / 16
    >>> model = Autoencoder(n_components=8, hidden_layers=(32,), epochs=30, random_state=0).fit(X)
    >>> codes = model.transform(X)
    >>> codes.shape
    (1797, 8)
    >>> model.inverse_transform(codes).shape
    (1797, 64)
    >>> model.score(X) > 0.7
    True
    """


class SparseAutoencoder(BaseAutoencoder):
    """An autoencoder with a ReLU code and an L1 penalty on its activities.

    The penalty makes codes smaller, and with enough weight or enough units most of them zero. With the default
    weight a narrow code stays dense: of 32 units on MNIST, between 5% and 12% of the values are zero, depending on the
    training; of 512 units, about 80% are. A large weight also leaves units that are never active, which `fit` warns
    about. For a given number of active units use :class:`KSparseAutoencoder`.

    The default weight is 1e-4 per feature. It corresponds to 1e-4 in Keras, where the penalty is added to a loss
    averaged over the features; here the loss is their sum, so that for 784 features the penalty counts 0.0784 times.
    Neither form depends on the batch size.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Width of the code; it may exceed the number of features.
    penalty : str or part, default=L1(weight=1e-4)
        See :mod:`isthmus.objectives.penalties`.
    code_activation : str, default="relu"
        The activation that can be exactly zero.
    **parameters
        All others as in :class:`Autoencoder`, with the same defaults.

    See Also
    --------
    Autoencoder : The parameters and attributes in full.

    References
    ----------
    A. Ng, "Sparse autoencoder", CS294A lecture notes, 2011. F. Chollet, "Building autoencoders in
    Keras", 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import Autoencoder, SparseAutoencoder
    >>> X = load_digits().data / 16
    >>> settings = {"code_activation": "softplus", "epochs": 30, "random_state": 0}
    >>> plain = Autoencoder(16, **settings).fit_transform(X)
    >>> sparse = SparseAutoencoder(16, penalty="l1:weight=1e-3", **settings).fit_transform(X)
    >>> bool(sparse.mean() < plain.mean() / 2)
    True
    """

    __init__ = with_defaults(BaseAutoencoder.__init__, penalty=L1(), code_activation="relu")


class KSparseAutoencoder(BaseAutoencoder):
    """An autoencoder of whose code units only the ``k`` largest pass.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Width of the code; it may exceed the number of features.
    k : int or "auto", default="auto"
        Number of units that are active in a row. ``"auto"`` is the ``k`` of ``bottleneck``, which is a
        quarter of the units where it names none.
    bottleneck : str or part, default="topk"
        The other settings, such as "topk:per=batch" or ``TopK(alpha=2.0)``. ``TopK(k=25)`` is the same as
        ``k=25``; two different values are refused.
    **parameters
        All others as in :class:`Autoencoder`, with the same defaults.

    See Also
    --------
    Autoencoder : The parameters and attributes in full.

    References
    ----------
    A. Makhzani and B. Frey, "k-sparse autoencoders", ICLR, 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import KSparseAutoencoder
    >>> X = load_digits().data / 16
    >>> model = KSparseAutoencoder(32, k=8, epochs=40, random_state=0)
    >>> int((model.fit_transform(X) != 0).sum(axis=1).max())
    8
    """

    k: int | str

    __init__ = with_defaults(BaseAutoencoder.__init__, own={"k": "auto"}, bottleneck="topk")

    def _configuration(self) -> dict[str, Any]:
        """Return the parameters of an autoencoder, with ``k`` where its bottleneck has it."""
        configuration = super()._configuration()
        k, owner = configuration.pop("k"), type(self).__name__
        if k == "auto":
            return configuration
        k = check_integer(k, parameter="k", owner=owner, minimum=1)
        width = self.n_components
        if isinstance(width, int) and k > width:
            raise wrong_parameter(owner, "k", f"at most n_components, {width}", k)
        part = resolve(self.bottleneck, PARTS["bottleneck"], parameter="bottleneck", owner=owner)
        if not isinstance(part, TopK):
            raise wrong_parameter(owner, "bottleneck", "'topk' where k is given", part.name)
        if part.k not in ("auto", k):
            raise wrong_parameter(owner, "k", f"the {part.k} of its bottleneck, or one of both 'auto'", k)
        configuration["bottleneck"] = part.replace(k=k)
        return configuration


class ContractiveAutoencoder(BaseAutoencoder):
    """An autoencoder whose code changes little with its input, except along the data.

    The penalty is the squared Frobenius norm of the encoder's Jacobian: exact for a single layer,
    estimated for a deep one. The decoder shares the weights of the encoder, which could otherwise
    shrink them and leave it to the decoder to make up for it.

    Parameters
    ----------
    penalty : str or part, default=Contractive(weight=0.1)
        Such as ``Contractive(weight=0.01)``.
    code_activation : str, default="sigmoid"
        An activation that saturates, so that a code can be insensitive.
    tied : bool, default=True
        Whether the decoder uses the transposed weights of the encoder.
    **parameters
        All others as in :class:`Autoencoder`, with the same defaults.

    See Also
    --------
    Autoencoder : The parameters and attributes in full.

    References
    ----------
    S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive auto-encoders: explicit
    invariance during feature extraction", ICML, 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import ContractiveAutoencoder
    >>> X = load_digits().data / 16
    >>> model = ContractiveAutoencoder(32, epochs=10, random_state=0).fit(X)
    >>> 0 < model.history_[-1]["penalty"] < model.history_[-1]["loss"]
    True
    """

    __init__ = with_defaults(
        BaseAutoencoder.__init__, penalty=Contractive(), code_activation="sigmoid", tied=True
    )


class ConvolutionalAutoencoder(BaseAutoencoder):
    """An autoencoder of images, by convolutions.

    Rows are images of shape (height, width) or (channels, height, width); flat rows are square images
    where their length is a square. With the default width the code is the last map of the encoder, for
    28 x 28 pixels 4 x 4 positions of 8 channels.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Width of the code. ``"auto"`` is the size of the last map where that is less than a row; another
        width adds fully connected layers.
    network : str or part, default="convolutional"
        Such as ``Convolutional(channels=(32, 64), downsampling="stride", normalization="group")``.
    activation : str, default="gelu"
        Activation of the hidden layers; on images a smooth one copies better than "relu".
    **parameters
        All others as in :class:`Autoencoder`, with the same defaults.

    See Also
    --------
    Autoencoder : The parameters and attributes in full.

    References
    ----------
    J. Masci, U. Meier, D. Cireşan and J. Schmidhuber, "Stacked convolutional auto-encoders for
    hierarchical feature extraction", ICANN, 2011. F. Chollet, "Building autoencoders in Keras", 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from isthmus import ConvolutionalAutoencoder
    >>> X = load_digits().images / 16
    >>> model = ConvolutionalAutoencoder(network="convolutional:channels=(16,4)", epochs=10, random_state=0)
    >>> model.fit_transform(X).shape  # 2 x 2 positions of 4 channels
    (1797, 16)
    >>> model.reconstruct(X).shape
    (1797, 8, 8)
    """

    __init__ = with_defaults(BaseAutoencoder.__init__, network="convolutional", activation="gelu")


class MaskedAutoencoder(BaseAutoencoder):
    """A transformer that is shown a part of each row and learns to fill in the rest.

    Rows are images, sequences or tables. Missing values, written as NaN, may be in the training rows and
    in later ones: `reconstruct` fills them in.

    Parameters
    ----------
    network : str or part, default="transformer"
        Such as ``Transformer(tokens="columns", width=32)``.
    noise : str or part, default=Patches(share=0.5)
        What is hidden in training: patches of an image, spans of a sequence, or single columns of a table.
    activation : str, default="gelu"
        Activation of the hidden layers.
    **parameters
        All others as in :class:`Autoencoder`, with the same defaults.

    See Also
    --------
    Autoencoder : The parameters and attributes in full.

    References
    ----------
    K. He, X. Chen, S. Xie, Y. Li, P. Dollár and R. Girshick, "Masked autoencoders are scalable vision
    learners", CVPR, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from isthmus import MaskedAutoencoder
    >>> hidden = np.random.default_rng(0).normal(size=(300, 1))
    >>> X = hidden + 0.1 * np.random.default_rng(1).normal(size=(300, 6))  # six views of one number
    >>> network = "transformer:width=32,n_layers=1,n_heads=2"
    >>> model = MaskedAutoencoder(1, network=network, epochs=40, random_state=0).fit(X)
    >>> gaps = np.where(np.arange(6) < 3, X, np.nan)
    >>> bool(np.abs(model.reconstruct(gaps) - X)[:, 3:].mean() < 0.5 * np.abs(X[:, 3:]).mean())
    True
    """

    __init__ = with_defaults(
        BaseAutoencoder.__init__, network="transformer", noise=Patches(), activation="gelu"
    )
