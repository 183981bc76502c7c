"""The families: a new member is one line here, and every family test then covers it.

``test_specification.py`` fails when a part that users can name is missing from these lists.
"""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from isthmus import (
    Autoencoder,
    ContractiveAutoencoder,
    ConvolutionalAutoencoder,
    DeepBeliefNetwork,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    MaskedAutoencoder,
    RestrictedBoltzmannMachine,
    SequenceAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
    bottlenecks,
    networks,
    objectives,
    training,
)

ESTIMATORS = [
    Autoencoder,
    SparseAutoencoder,
    KSparseAutoencoder,
    DenoisingAutoencoder,
    ContractiveAutoencoder,
    VariationalAutoencoder,
    ConvolutionalAutoencoder,
    VectorQuantizedAutoencoder,
    MaskedAutoencoder,
    SequenceAutoencoder,
    RestrictedBoltzmannMachine,
    DeepBeliefNetwork,
]

NETWORKS = [
    networks.Dense(),
    networks.Convolutional(),
    networks.Convolutional(channels=(16,), downsampling="stride", normalization="group"),
    networks.Recurrent(width=16, n_features=8),
    networks.Recurrent(width=12, cell="gru", bidirectional=True, backwards=False, n_features=8),
    networks.Transformer(width=32, n_heads=2, n_layers=1),
]

BOTTLENECKS = [
    bottlenecks.Plain(),
    bottlenecks.Entropy(weight=0.01),
    bottlenecks.TopK(),
    bottlenecks.TopK(k=3, per="batch"),
    bottlenecks.Gaussian(beta=0.1),
    bottlenecks.Gaussian(beta=0.5, total_correlation=1.0, warm_up=0.5, free_bits=0.05, prior="learnt"),
    bottlenecks.Gaussian(n_samples=3, bound="iwae"),
    bottlenecks.Gaussian(n_samples=3, bound="dreg"),
    bottlenecks.VectorQuantized(n_codes=32),
    bottlenecks.VectorQuantized(n_codes=16, dimension=2, n_levels=2, update="gradient"),
    bottlenecks.FiniteScalar(levels=(5, 4)),
]

NOISES = [
    objectives.GaussianNoise(std=0.2),
    objectives.Masking(share=0.2),
    objectives.SaltAndPepper(share=0.1),
    objectives.Swap(),
    objectives.Patches(share=0.25, size=2),
    objectives.Binarization(),
]

LOSSES = [
    objectives.BinaryCrossEntropy(),
    objectives.SquaredError(),
    objectives.AbsoluteError(),
    objectives.Huber(),
    objectives.Huber(delta=0.25),
    objectives.GaussianLikelihood(),
    objectives.GaussianLikelihood(variance="feature", floor=1e-3),
    objectives.LaplaceLikelihood(),
    objectives.LaplaceLikelihood(spread="feature"),
    objectives.DiscretizedLogistic(levels=17),
    objectives.PoissonLikelihood(),
    objectives.NegativeBinomial(),
]

PENALTIES = [
    objectives.L1(weight=0.3),
    objectives.L1(weight=0.3, on="weights", per="row"),
    objectives.L2(weight=0.2),
    objectives.L2(weight=0.2, on="weights"),
    objectives.Elastic(weight=0.5, l1_ratio=0.25, per="row"),
    objectives.KLSparsity(weight=0.2, target=0.1),
    objectives.Contractive(weight=0.02),
    objectives.MaximumMeanDiscrepancy(weight=1.0),
]

#: The penalties on single values, which have a closed form.
VALUE_PENALTIES = [penalty for penalty in PENALTIES if isinstance(penalty, objectives.ValuePenalty)]

OPTIMIZERS = [
    training.Adam(),
    training.AdamW(),
    training.SGD(),
    training.SGD(momentum=0.0),
    training.RMSprop(),
    training.Adagrad(),
    training.Adadelta(),
]

SCHEDULES = [
    training.OneCycle(),
    training.Cosine(),
    training.Constant(),
    training.ReduceOnPlateau(patience=2),
]

SAMPLERS = [
    training.ContrastiveDivergence(),
    training.ContrastiveDivergence(n_steps=3),
    training.PersistentContrastiveDivergence(n_chains=50),
    training.ParallelTempering(n_chains=20, n_temperatures=4),
]

INITIALIZATIONS = [
    training.Random(),
    training.PrincipalComponents(),
    training.Stacked(epochs=3),
    training.StackedMachines(epochs=20),
]

ACTIVATIONS = list(networks.ACTIVATIONS)

#: Estimators as users set them up, each with another combination of parts.
CONFIGURATIONS = {
    "plain": Autoencoder(6),
    "deep": Autoencoder(6, hidden_layers=(20, 12), activation="silu"),
    "tied": Autoencoder(6, hidden_layers=(20,), tied=True, loss="mse"),
    "gaussian": Autoencoder(6, loss=objectives.GaussianLikelihood(variance="feature"), scale="standard"),
    "minmax": Autoencoder(6, scale="minmax", loss="huber:delta=0.5", code_activation="tanh"),
    "parts": Autoencoder(
        6,
        penalty=objectives.Elastic(weight=1e-3, on="weights"),
        optimizer=training.SGD(momentum=0.5),
        schedule=training.ReduceOnPlateau(patience=3),
        code_activation="softplus",
    ),
    "sparse": SparseAutoencoder(70, penalty="l1:weight=1e-3"),
    "k-sparse": KSparseAutoencoder(70, bottleneck=bottlenecks.TopK(k=5, per="batch")),
    "denoising": DenoisingAutoencoder(6, hidden_layers=(20,), noise="swap"),
    "contractive": ContractiveAutoencoder(6, hidden_layers=(20,)),
    "variational": VariationalAutoencoder(6, bottleneck="gaussian:prior=learnt,warm_up=0.5"),
    "importance weighted": VariationalAutoencoder(
        6, bottleneck="gaussian:n_samples=3,bound=dreg", loss="gaussian", scale="standard"
    ),
    "convolutional": ConvolutionalAutoencoder(6, hidden_layers=(20,)),
    "convolutional variational": VariationalAutoencoder(
        16, network="convolutional:channels=(8,4),normalization=group", hidden_layers=()
    ),
    "quantised": VectorQuantizedAutoencoder(8, bottleneck="vq:n_codes=16,dimension=2,n_levels=2"),
    "finite": VectorQuantizedAutoencoder(8, bottleneck="fsq:levels=(5,4)"),
    "masked": MaskedAutoencoder(6, network="transformer:tokens=patches,patch_size=2,width=16,n_heads=2"),
    "sequence": SequenceAutoencoder(6, network="recurrent:width=24,n_features=8"),
    "machine": RestrictedBoltzmannMachine(20, penalty="kl:target=0.2", weight_decay=1e-4),
    "tempered machine": RestrictedBoltzmannMachine(
        12, hidden="gaussian", sampler="pt:n_temperatures=4,n_chains=20", centred=False, optimizer="adam"
    ),
    "Gaussian machine": RestrictedBoltzmannMachine(20, visible="gaussian", scale="standard", sampler="pcd"),
    "rectified machine": RestrictedBoltzmannMachine(20, hidden="rectified"),
    "belief": DeepBeliefNetwork(12, hidden_layers=(30,), sampler="cd:n_steps=2"),
    "components first": Autoencoder(6, hidden_layers=(20,), initialization="pca", activation="silu"),
    "stacked denoising": DenoisingAutoencoder(6, hidden_layers=(20,), initialization="stacked:epochs=2"),
    "machines first": Autoencoder(
        6, hidden_layers=(20,), activation="sigmoid", initialization="rbm:epochs=2,sampler=pcd"
    ),
}


#: What needs rows of more than one dimension to show what it can.
OF_IMAGES = (ConvolutionalAutoencoder, MaskedAutoencoder, SequenceAutoencoder)


#: Those whose trainings take longest.
SLOW_LEARNERS = (MaskedAutoencoder, SequenceAutoencoder)


def with_slow(values, slow):
    """Return values for ``parametrize``, of which some are for ``make test-all`` alone."""
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            marks=[pytest.mark.slow] if value in slow else [],
        )
        for value in values
    ]


def as_given(estimator, digits):
    """Return digits in the shape that suits an estimator: as images, or flat."""
    return digits.reshape(-1, 8, 8) if estimator in OF_IMAGES else digits


#: Models of density with binary hidden units, which reconstruct by the way.
MACHINES = (RestrictedBoltzmannMachine, DeepBeliefNetwork)


def linear(estimator):
    """Return the parameters for a code that learns at once and has no activation, where there is a choice."""
    if estimator is DeepBeliefNetwork:
        return {"hidden_layers": ()}  # an upper machine would wait for the lower one
    return {} if estimator in MACHINES else {"code_activation": "identity"}


def by_name(part):
    """Return a readable test id for a part or a class."""
    return part.__name__ if isinstance(part, type) else str(part)


def sse(X, copies):
    """Return the squared error of a row, summed over its features and averaged over the rows."""
    return float(np.square(np.asarray(X, float) - copies).reshape(len(X), -1).sum(1).mean())


def state_of(model):
    """Return all weights of a fitted estimator by name, as arrays."""
    return {name: value.detach().cpu().numpy().copy() for name, value in model._assembly.state_dict().items()}


def assert_same_weights(one, other):
    """Assert that two fitted estimators have the same weights, bit for bit."""
    one, other = state_of(one), state_of(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


class Reader(HTMLParser):
    """Collects what a page holds, and that its elements are closed in order."""

    VOID = frozenset({"meta", "link", "img", "input", "source", "br", "hr"})

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())
