"""Pickles hold settings and arrays, so that tools which accept nothing else take every fitted estimator."""

from __future__ import annotations

import copy
import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from helpers import CONFIGURATIONS, assert_same_weights
from isthmus import Autoencoder, Compressor, Map, PretrainedClassifier, RestrictedBoltzmannMachine
from isthmus.errors import ModelFileError
from isthmus.estimators import Baseline
from isthmus.networks import Modules
from isthmus.objectives import L1, GaussianNoise
from isthmus.training import TimeLimit

# The models are small and trained for moments; that some units die is not what is tested here.
pytestmark = pytest.mark.filterwarnings(
    "ignore::isthmus.errors.DeadCodeWarning", "ignore::isthmus.errors.CollapseWarning"
)


@pytest.fixture(scope="module")
def X():
    """Return 120 rows of 12 columns, near a space of 4 dimensions, between 0 and 1."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(120, 4)) @ random.normal(size=(4, 12))
    return (rows - rows.min()) / np.ptp(rows)


@pytest.fixture(scope="module")
def y(X):
    return (X[:, 0] > np.median(X[:, 0])).astype(int) + (X[:, 1] > np.median(X[:, 1]))


@pytest.fixture(scope="module")
def fitted(X):
    return Autoencoder(3, hidden_layers=(8,), epochs=2, random_state=0).fit(X)


def round_trip(model):
    """Return a model by way of skops, and the types that it does not know."""
    skops = pytest.importorskip("skops.io")
    content = skops.dumps(model)
    unknown = skops.get_untrusted_types(data=content)
    return skops.loads(content, trusted=unknown), unknown


def name_of(model):
    return f"{type(model).__module__}.{type(model).__name__}"


def leaves(tree):
    """Yield the type of everything in a state."""
    yield type(tree)
    for part in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ():
        yield from leaves(part)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_state_is_of_arrays_and_plain_values_and_learns_on_alike(name, digits):
    train, test = digits
    model = clone(CONFIGURATIONS[name]).set_params(random_state=0, epochs=1).fit(train[:200])
    model.partial_fit(train[:200])
    kinds = set(leaves(model.__getstate__()))
    assert kinds <= {dict, list, tuple, str, int, float, bool, type(None), np.ndarray}
    again, unknown = round_trip(model)
    assert unknown == [name_of(model)]
    np.testing.assert_array_equal(again.transform(test), model.transform(test))
    # The state of the optimiser and of chains is there as well.
    assert_same_weights(again.partial_fit(train[200:400]), model.partial_fit(train[200:400]))


def test_everything_that_is_known_of_a_fit_comes_back(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    assert again.__dict__.keys() == fitted.__dict__.keys()
    for name in ("settings_", "history_", "input_shape_", "engine_", "n_epochs_", "loss_", "_seed"):
        assert getattr(again, name) == getattr(fitted, name)
    np.testing.assert_array_equal(again.code_usage_, fitted.code_usage_)
    for name in ("low", "high", "magnitude", "n_rows"):
        np.testing.assert_array_equal(
            getattr(again._training_range, name), getattr(fitted._training_range, name)
        )


@pytest.mark.parametrize("fine_tune", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_classifier_keeps_its_encoder(fine_tune, frozen, fitted, X, y):
    encoder = FrozenEstimator(fitted) if frozen else clone(fitted)
    model = PretrainedClassifier(
        encoder, fine_tune=fine_tune, hidden_layers=(5,), activation="tanh", epochs=2, random_state=0
    )
    again, unknown = round_trip(model.fit(X, y))
    assert unknown == sorted(map(name_of, (fitted, model)))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    shared = again.network_[1].body is again.autoencoder_.encoder_.body
    assert shared is not fine_tune
    if frozen:
        assert again.encoder.estimator is again.autoencoder_


def test_pipelines_compressors_maps_and_searches(fitted, X, y):
    pipeline = make_pipeline(StandardScaler(), clone(fitted), LogisticRegression()).fit(X, y)
    again, unknown = round_trip(pipeline)
    assert unknown == [name_of(fitted)]
    np.testing.assert_array_equal(again.predict_proba(X), pipeline.predict_proba(X))

    plane = Map("pca", model=fitted).fit(X)
    np.testing.assert_array_equal(round_trip(plane)[0].transform(X), plane.transform(X))

    search = GridSearchCV(clone(fitted).set_params(penalty="l2"), {"penalty__weight": [0.1, 0.2]}, cv=2)
    again, _ = round_trip(search.fit(X))
    assert again.best_estimator_.penalty == search.best_estimator_.penalty
    np.testing.assert_array_equal(again.transform(X), search.transform(X))


def test_a_compressor_reads_what_it_wrote_before(fitted, X):
    pytest.importorskip("constriction")
    for model in (fitted, PCA(3)):
        compressor = Compressor(model, max_error=0.01).fit(X)
        again, _ = round_trip(compressor)
        np.testing.assert_array_equal(
            again.decompress(compressor.compress(X)), compressor.decompress(again.compress(X))
        )


@pytest.mark.parametrize(
    "kind", ["pca", "kernel-pca", "nmf", "lda", "random-projection", "dct", "kmeans", "rbm"]
)
def test_baselines(kind, X, y):
    model = Baseline(kind, n_components=2).fit(X, y)
    again, unknown = round_trip(model)
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    assert all(name.startswith("isthmus.") for name in unknown)


def test_parameters_that_are_parts_stay_parts(X):
    model = Autoencoder(2, penalty=L1(0.5), noise=GaussianNoise(0.25), optimizer="sgd:momentum=0.5", epochs=1)
    for one in (model, clone(model).fit(X)):
        for again in (round_trip(one)[0], pickle.loads(pickle.dumps(one))):
            assert again.get_params() == one.get_params()
            assert again.penalty == L1(0.5)
            assert again.optimizer == "sgd:momentum=0.5"


def test_what_a_user_adds_comes_back(X):
    model = Autoencoder(2, epochs=1, random_state=np.random.RandomState(0), callbacks=[TimeLimit(1000)])
    model.set_output(transform="pandas").fit(X).note = {"sold to": "nobody"}
    again = pickle.loads(pickle.dumps(model))
    assert again.note == {"sold to": "nobody"}
    assert again.callbacks[0].seconds == 1000
    assert list(again.transform(X).columns) == ["autoencoder0", "autoencoder1"]
    assert again.random_state.randint(1000) == model.random_state.randint(1000)


class Doubled(nn.Module):
    """What no settings describe."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_inputs, n_outputs, dtype=torch.float32)
        self.factor = 2.0

    def forward(self, rows):
        return self.factor * self.layer(rows)


def test_modules_of_the_user_are_pickled_as_they_are(X, y):
    network = Modules(Doubled(12, 2), Doubled(2, 12))
    model = Autoencoder(2, network=network, epochs=1, random_state=0).fit(X)
    model._assembly.network.encoder.module.factor = 3.0  # nothing that weights or settings would show
    classifier = PretrainedClassifier(FrozenEstimator(model), fine_tune=False, epochs=1, random_state=0)
    classifier.fit(X, y)
    again, other = pickle.loads(pickle.dumps((model, classifier)))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    np.testing.assert_array_equal(other.predict_proba(X), classifier.predict_proba(X))
    assert other.autoencoder_ is again


class Louder(GaussianNoise):
    """A part of the user's."""


def test_parts_of_the_user_are_pickled_as_they_are(X):
    model = Autoencoder(2, noise=Louder(0.1), epochs=1, random_state=0).fit(X)
    again = pickle.loads(pickle.dumps(model))
    assert type(again.noise) is type(again.settings_.noise) is Louder
    np.testing.assert_array_equal(again.transform(X), model.transform(X))


def test_pickles_of_whole_networks_are_read_as_well(fitted, X, y):
    """So pickles were before they held arrays; a parameter that came later is at its default."""
    classifier = PretrainedClassifier(FrozenEstimator(fitted), epochs=1, random_state=0).fit(X, y)
    for model, method in ((fitted, "transform"), (classifier, "predict_proba")):
        state = pickle.loads(pickle.dumps(dict(model.__dict__)))
        del state["precision"]
        again = object.__new__(type(model))
        again.__setstate__(state)
        assert again.precision == "auto"
        np.testing.assert_array_equal(getattr(again, method)(X), getattr(model, method)(X))
        once_more = pickle.loads(pickle.dumps(again))
        np.testing.assert_array_equal(getattr(once_more, method)(X), getattr(model, method)(X))


def test_copies_in_memory_share_what_copies_should(fitted, X):
    shallow, deep = copy.copy(fitted), copy.deepcopy(fitted)
    assert shallow.encoder_ is fitted.encoder_
    assert deep.encoder_ is not fitted.encoder_
    assert deep.encoder_.body is deep._assembly.network.encoder
    np.testing.assert_array_equal(deep.transform(X), fitted.transform(X))
    before = fitted.transform(X)
    deep.partial_fit(X)
    np.testing.assert_array_equal(fitted.transform(X), before)


def test_joblib_may_map_the_arrays(fitted, X, tmp_path):
    joblib.dump(fitted, tmp_path / "model")
    again = joblib.load(tmp_path / "model", mmap_mode="r")
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    again.partial_fit(X)  # the weights are not in the file


@pytest.mark.slow
def test_searches_in_parallel_find_the_same(fitted, X):
    grid = {"learning_rate": [1e-3, 1e-2], "noise": [None, GaussianNoise(0.1)]}
    one, two = (
        GridSearchCV(clone(fitted), grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(X)
        for n_jobs in (1, 2)
    )
    np.testing.assert_allclose(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"], rtol=1e-5, atol=1e-6
    )


def test_a_state_without_the_compiler_of_its_maker_goes_on(X, monkeypatch):
    """The compiled optimiser and torch's remember the same by other names."""
    model = Autoencoder(2, epochs=1, random_state=0).fit(X).partial_fit(X)
    plain, compiled = pickle.loads(pickle.dumps(model)), pickle.loads(pickle.dumps(model))
    monkeypatch.setattr("isthmus.estimators._trainer.load_kernels", lambda: None)
    plain.partial_fit(X)
    back = pickle.loads(pickle.dumps(plain))
    monkeypatch.undo()
    compiled.partial_fit(X)
    np.testing.assert_allclose(plain.transform(X), compiled.transform(X), rtol=1e-4, atol=1e-5)
    fresh = pickle.loads(pickle.dumps(plain))
    fresh.__dict__.pop("_memory")  # what it remembers makes a difference
    back.partial_fit(X), compiled.partial_fit(X), fresh.partial_fit(X)
    np.testing.assert_allclose(back.transform(X), compiled.transform(X), rtol=1e-4, atol=1e-5)
    assert np.abs(fresh.transform(X) - compiled.transform(X)).max() > 1e-4


@pytest.mark.parametrize(
    "damage",
    [
        lambda stored: stored["settings"].update(hidden_layers=[10**9]),
        lambda stored: stored["settings"].update(network={"part": "os.system"}),
        lambda stored: stored["settings"].update(a_later_setting=1),
        lambda stored: stored["weights"].update({"scaling.unit": np.zeros(12)}),
        lambda stored: stored["weights"].popitem(),
        lambda stored: stored["weights"].update({"scaling.offset": np.array([print] * 12)}),
        lambda stored: stored.clear(),
    ],
)
def test_damaged_states_are_refused_by_name(damage, fitted):
    state = copy.deepcopy(fitted.__getstate__())
    damage(state["_stored"])
    with pytest.raises(ModelFileError, match=r"This Autoencoder was stored by Isthmus .* cannot be restored"):
        Autoencoder().__setstate__(state)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of mlflow about itself
def test_mlflow_stores_and_loads(X, y, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow = pytest.importorskip("mlflow", minversion="3.17")
    pytest.importorskip("mlflow.sklearn")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file:{tmp_path}/runs")
    mlflow.set_experiment("isthmus")
    models = [
        make_pipeline(StandardScaler(), Autoencoder(3, epochs=1), LogisticRegression()).fit(X, y),
        PretrainedClassifier(Autoencoder(3, epochs=1), epochs=1).fit(X, y),
        RestrictedBoltzmannMachine(3, epochs=1).fit(X),
    ]
    for model in models:
        trusted = round_trip(model)[1]
        with mlflow.start_run():
            logged = mlflow.sklearn.log_model(
                model, name="model", skops_trusted_types=trusted, pip_requirements=[]
            )
        again = mlflow.sklearn.load_model(logged.model_uri)
        method = "predict_proba" if hasattr(model, "predict_proba") else "transform"
        np.testing.assert_array_equal(getattr(again, method)(X), getattr(model, method)(X))
