"""random_state wherever it is a parameter: what it may be, and the one error for what it may not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from helpers import ESTIMATORS, by_name
from isthmus import (
    Autoencoder,
    DeepBeliefNetwork,
    DenoisingAutoencoder,
    Map,
    PretrainedClassifier,
    RestrictedBoltzmannMachine,
    VariationalAutoencoder,
    metrics,
)
from isthmus.cli import main
from isthmus.comparison import compare
from isthmus.errors import InvalidParameterError
from isthmus.estimators.baselines import Baseline, untrained_twin

pytestmark = pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")

WRONG = [1.5, "x", -1, True, 2**32, [1], np.float64(2)]
X = np.random.default_rng(0).random((30, 6))


def refused(call, owner):
    for value in WRONG:
        with pytest.raises(
            InvalidParameterError, match=rf"'random_state' parameter of {owner} must be .*Got "
        ) as caught:
            call(value)
        assert repr(value) in str(caught.value)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, Map], ids=by_name)
def test_every_estimator_names_it(estimator):
    rows = X.reshape(-1, 2, 3) if estimator.__name__ in {"ConvolutionalAutoencoder"} else X
    settings = {"epochs": 1} if "epochs" in estimator().get_params() else {"method": "pca"}
    refused(lambda value: estimator(random_state=value, **settings).fit(rows), estimator.__name__)


def test_every_other_function_names_it():
    settings = {"epochs": 1, "random_state": 0}
    vae = VariationalAutoencoder(2, **settings).fit(X)
    machine = RestrictedBoltzmannMachine(2, **settings).fit(X)
    large = RestrictedBoltzmannMachine(24, **settings).fit(np.random.default_rng(0).random((30, 24)))
    belief = DeepBeliefNetwork(2, hidden_layers=(3,), **settings).fit(X)
    denoiser = DenoisingAutoencoder(2, **settings).fit(X)
    model = Autoencoder(2, **settings).fit(X)
    labels = np.arange(30) % 2
    refused(lambda value: vae.sample(2, random_state=value), "VariationalAutoencoder.sample")
    refused(
        lambda value: machine.sample(2, n_steps=2, random_state=value), "RestrictedBoltzmannMachine.sample"
    )
    refused(lambda value: machine.gibbs(X, random_state=value), "RestrictedBoltzmannMachine.gibbs")
    refused(lambda value: machine.reconstruct(X, 2, random_state=value), "RestrictedBoltzmannMachine.gibbs")
    refused(
        lambda value: large.log_partition(n_chains=2, n_steps=2, random_state=value),
        "RestrictedBoltzmannMachine.log_partition",
    )
    refused(lambda value: belief.sample(2, n_steps=2, random_state=value), "DeepBeliefNetwork.sample")
    refused(lambda value: denoiser.corrupt(X, random_state=value), "DenoisingAutoencoder.corrupt")
    refused(
        lambda value: PretrainedClassifier(Autoencoder(2, epochs=1), epochs=1, random_state=value).fit(
            X, labels
        ),
        "PretrainedClassifier",
    )
    refused(lambda value: Autoencoder(2, epochs=1, random_state=value).partial_fit(X), "Autoencoder")
    refused(lambda value: untrained_twin(clone(model).set_params(random_state=value), X), "Autoencoder")


def test_what_takes_integers_alone_names_it_too():
    model, labels = Autoencoder(2, epochs=1, random_state=0).fit(X), np.arange(30) % 2
    calls = {
        "Baseline": lambda value: Baseline("pca", 2, random_state=value).fit(X),
        "silhouette": lambda value: metrics.silhouette(X, labels, random_state=value),
        "v_measure": lambda value: metrics.v_measure(X, labels, random_state=value),
        "bootstrap_interval": lambda value: metrics.bootstrap_interval(X[0], random_state=value),
        "ratio_interval": lambda value: metrics.ratio_interval(X[0], X[1], random_state=value),
        "compare": lambda value: compare({"one": model}, X, X, baselines=("k-means",), random_state=value),
    }
    for owner, call in calls.items():
        for value in (1.5, "x", -1, True):
            with pytest.raises(InvalidParameterError, match=rf"'random_state' parameter of {owner} must be "):
                call(value)


def test_generators_and_integers_of_all_types_are_taken():
    def codes(value):
        return Autoencoder(2, epochs=1, random_state=value).fit_transform(X)

    for kind in (np.int64, np.int32, np.uint8, np.uint32):
        np.testing.assert_array_equal(codes(kind(7)), codes(7))
    np.testing.assert_array_equal(codes(np.random.default_rng(7)), codes(np.random.default_rng(7)))
    np.testing.assert_array_equal(codes(np.random.RandomState(7)), codes(np.random.RandomState(7)))
    assert not np.array_equal(codes(np.random.default_rng(7)), codes(np.random.default_rng(8)))
    assert np.isfinite(codes(2**32 - 1)).all()


@pytest.mark.parametrize("value", ["1.5", "x", "-1", "True"])
def test_the_command_line_names_it(value, tmp_path, capsys):
    np.save(tmp_path / "rows.npy", X)
    arguments = ["fit", str(tmp_path / "rows.npy"), "-o", str(tmp_path / "model"), "--random-state", value]
    assert main([*arguments, "--epochs", "1"]) == 2
    said = capsys.readouterr().err
    assert "The 'random_state' parameter of Autoencoder must be an integer" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "model").exists()
