"""Refitting a model that others use: they see the old one or the new one, never a half-trained or a mixed one."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA

from helpers import CONFIGURATIONS, as_given, by_name
from isthmus import (
    Autoencoder,
    Compressor,
    DeepBeliefNetwork,
    Map,
    PretrainedClassifier,
    VariationalAutoencoder,
)
from isthmus.errors import DataError
from isthmus.training import Callback

pytestmark = pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")


class During(Callback):
    """Does something after each step of a training, where another thread may do it too."""

    def __init__(self):
        self.act = None

    def on_step_end(self, state):
        if self.act is not None:
            self.act(state)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_what_others_see_during_a_fit_is_the_old_model(name, digits):
    X = as_given(type(CONFIGURATIONS[name]), digits[0][:64].astype(np.float32))
    during = During()
    model = clone(CONFIGURATIONS[name]).set_params(epochs=1, random_state=0, callbacks=[during]).fit(X)
    for again in (model.fit, model.partial_fit, model.partial_fit):
        codes, rows, history = model.transform(X), model.reconstruct(X), list(model.history_)
        seen, inside = [], []

        def look(state, seen=seen, inside=inside):
            seen.append((model.transform(X).tobytes(), model.reconstruct(X).tobytes(), list(model.history_)))
            inside.append(state.model.transform(X).tobytes())

        during.act = look
        model.set_params(random_state=1)
        again(X)
        during.act = None
        assert len(seen) > 1
        assert all(item == (codes.tobytes(), rows.tobytes(), history) for item in seen)
        assert len(set(inside)) > 1  # callbacks do see the weights in training
        if name != "components first":  # where the start was better, it is kept
            assert model.transform(X).tobytes() != codes.tobytes()


def test_a_failed_pass_leaves_what_was_published(digits):
    during = During()
    model = Autoencoder(4, epochs=1, random_state=0, callbacks=[during]).fit(digits[0])
    model.partial_fit(digits[0])
    codes = model.transform(digits[0])

    def fail(state):
        raise RuntimeError("in the middle")

    during.act = fail
    for again in (model.fit, model.partial_fit):
        with pytest.raises(RuntimeError, match="in the middle"):
            again(digits[0])
        np.testing.assert_array_equal(model.transform(digits[0]), codes)
    during.act = None
    model.partial_fit(digits[0])
    assert model.n_epochs_ == 3


@pytest.mark.parametrize(
    "model",
    [
        Autoencoder(epochs=2, random_state=0),
        VariationalAutoencoder(epochs=2, random_state=0),
        DeepBeliefNetwork(hidden_layers=(6,), epochs=2, random_state=0),
    ],
    ids=lambda model: by_name(type(model)),
)
def test_threads_meet_one_model_or_the_other(model, digits):
    # Width, units and columns change from fit to fit: a mixture would raise, or give other numbers.
    X = digits[0][:80]
    tables = {3: X[:, :20], 5: 100 * X[:, :20] + 7}
    known = {
        clone(model).set_params(n_components=width).fit(rows).reconstruct(tables[3]).tobytes()
        for width, rows in tables.items()
    }
    model = clone(model).set_params(n_components=3).fit(tables[3])
    finished, finished_well, seen = threading.Event(), [], []

    def use():
        while not finished.is_set():
            seen.append(model.reconstruct(tables[3]).tobytes())
        finished_well.append(True)

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for width in (5, 3, 5, 3):
        model.set_params(n_components=width).fit(tables[width])
    finished.set()
    for thread in threads:
        thread.join()
    assert finished_well == [True, True]
    assert set(seen) <= known
    assert len(seen) > 4


def test_a_classifier_is_published_at_once(digits):
    X, y = digits[0][:90], np.arange(90) % 3
    during = During()
    model = PretrainedClassifier(
        Autoencoder(4, epochs=1, random_state=0), epochs=2, random_state=0, callbacks=[during]
    ).fit(X, y)
    before, seen = model.predict_proba(X), []
    during.act = lambda state: seen.append((model.predict_proba(X).tobytes(), tuple(model.classes_)))
    model.fit(X, np.array(list("abcd"))[np.arange(90) % 4])
    assert set(seen) == {(before.tobytes(), (0, 1, 2))}
    assert model.predict_proba(X).shape == (90, 4)
    with pytest.raises(DataError, match="one class"):
        model.fit(X, np.zeros(90))
    assert model.predict_proba(X).shape == (90, 4)


@pytest.mark.parametrize(
    ("model", "method"), [(Map("pca"), "transform"), (Compressor(PCA(3), step=0.01), "compress")], ids=str
)
def test_what_stands_on_models_is_published_at_once(model, method, digits, monkeypatch):
    X = digits[0][:80]
    model = clone(model).fit(X)
    use, seen = getattr(model, method), []
    before, looked = np.asarray(use(X)).tobytes(), type(model)._published

    @contextlib.contextmanager
    def watched(self):
        with looked(self) as twin:
            yield twin
            seen.append(np.asarray(use(X)).tobytes())  # everything is learnt, and nothing is shown

    monkeypatch.setattr(type(model), "_published", watched)
    model.fit(np.asarray(X[::-1] * 3 + 1))
    assert seen == [before]
    assert np.asarray(use(X)).tobytes() != before


def test_parameters_set_during_a_fit_stay(digits):
    during = During()
    model = Autoencoder(4, epochs=1, random_state=0, callbacks=[during])
    during.act = lambda state: model.set_params(patience=77)
    model.fit(digits[0])
    assert model.patience == 77
