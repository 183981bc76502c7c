"""Nothing depends on torch's global defaults of precision and device, and nothing changes them."""

from __future__ import annotations

import contextlib
import inspect

import numpy as np
import pytest
import torch
from sklearn.base import clone

from helpers import CONFIGURATIONS, as_given, state_of
from isthmus import Autoencoder, Map, PretrainedClassifier, networks, objectives

pytestmark = pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")


@contextlib.contextmanager
def other_defaults():
    """Have torch make double-precision numbers, on a device without memory, where nothing else is said."""
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        yield
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


def everything_of(make, X):
    """Return all that a fitted model says of rows, as bytes."""
    model = make().fit(X)
    codes = model.transform(X)
    rows = {"codes": codes, "rows": model.inverse_transform(codes), "scores": model.score_samples(X)}
    few = {"random_state": 0, "n_steps": 9, "n_samples": 3, "n_chains": 8}
    for name in ("sample", "corrupt", "denoise", "log_likelihood", "log_partition", "free_energy"):
        method = getattr(model, name, None)
        if method is None or (name == "log_likelihood" and hasattr(model, "log_partition")):
            continue  # the latter is a part of the former, and can be had in a few steps
        wanted = inspect.signature(method).parameters
        given = {key: value for key, value in few.items() if key in wanted}
        found = method(X, **given) if "X" in wanted else method(**given)
        rows[name] = getattr(found, "value", found)
    model.partial_fit(X)
    return {name: np.asarray(value).tobytes() for name, value in {**rows, **state_of(model)}.items()}


EXTRA = {
    "recurrent, both ways": Autoencoder(
        6, network="recurrent:width=8,cell=gru,bidirectional=True,n_features=8", epochs=1
    ),
    "normalised": Autoencoder(
        6, network=networks.Convolutional(channels=(8,), downsampling="stride", normalization="group")
    ),
    "transformer": Autoencoder(6, network="transformer:width=16,n_heads=2,n_layers=1"),
    "entropy": Autoencoder(6, bottleneck="entropy"),
    "batch top": Autoencoder(12, bottleneck="topk:k=3,per=batch"),
    "laplace": Autoencoder(6, loss="laplace", scale="standard"),
    "discretised": Autoencoder(6, loss="logistic"),
    "counts": Autoencoder(6, loss="negative-binomial", scale="none", noise="masking"),
    "contractive, deep": Autoencoder(6, hidden_layers=(12,), penalty="contractive"),
    "mmd": Autoencoder(6, penalty=objectives.MaximumMeanDiscrepancy()),
    "bfloat16": Autoencoder(6, precision="bfloat16"),
    "gaps": Autoencoder(6, missing="mask"),
    "torch's Adam": Autoencoder(6, compile=False, hidden_layers=(12,)),
    "adadelta": Autoencoder(6, optimizer="adadelta"),
}


@pytest.mark.parametrize("name", [*CONFIGURATIONS, *EXTRA])
def test_a_fit_gives_the_same_bits_whatever_the_defaults_are(name, digits):
    model = {**CONFIGURATIONS, **EXTRA}[name]
    X = as_given(type(model), digits[0][:48].astype(np.float32))
    if name == "counts":
        X = np.round(16 * X)

    def make():
        return clone(model).set_params(epochs=2, random_state=0)

    expected = everything_of(make, X)
    with other_defaults():
        found = everything_of(make, X)
    assert found.keys() == expected.keys()
    assert [key for key, value in expected.items() if found[key] != value] == []


def test_what_stands_on_models_is_the_same_too(digits, tmp_path):
    import isthmus

    X, y = digits[0][:60].astype(np.float32), np.arange(60) % 3
    inner = Autoencoder(6, epochs=2, random_state=0)

    def results():
        classifier = PretrainedClassifier(inner, epochs=2, dropout=0.1, noise="masking", random_state=0)
        mapped = Map("pca", model=clone(inner).fit(X), random_state=0).fit_transform(X)
        model = clone(inner).fit(X)
        model.save(tmp_path / "model", overwrite=True)
        loaded = isthmus.load(tmp_path / "model")
        compressed = isthmus.Compressor(model).fit(X).compress(X)
        probabilities = classifier.fit(X, y).predict_proba(X)
        return [probabilities.tobytes(), mapped.tobytes(), loaded.transform(X).tobytes(), bytes(compressed)]

    expected = results()
    with other_defaults():
        assert results() == expected
