"""The families: a new member is one line here, and every family test then covers it.

``test_specification.py`` fails when a part that users can name is missing from these lists.
"""

from __future__ import annotations

import numpy as np

from isthmus import Autoencoder, SparseAutoencoder, networks, objectives, training

ESTIMATORS = [Autoencoder, SparseAutoencoder]

LOSSES = [
    objectives.BinaryCrossEntropy(),
    objectives.SquaredError(),
    objectives.AbsoluteError(),
    objectives.Huber(),
    objectives.Huber(delta=0.25),
    objectives.GaussianLikelihood(),
    objectives.GaussianLikelihood(variance="feature", floor=1e-3),
]

PENALTIES = [
    objectives.L1(weight=0.3),
    objectives.L1(weight=0.3, on="weights", per="row"),
    objectives.L2(weight=0.2),
    objectives.L2(weight=0.2, on="weights"),
    objectives.Elastic(weight=0.5, l1_ratio=0.25, per="row"),
]

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
}


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
