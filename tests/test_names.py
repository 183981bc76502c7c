"""Columns by their names: a table whose columns are in another order never gives a silent wrong answer."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import ESTIMATORS
from isthmus import Autoencoder, Compressor, Map, PretrainedClassifier, VectorQuantizedAutoencoder
from isthmus.errors import DataError
from isthmus.estimators import Baseline
from isthmus.estimators._names import column_names, refuse_moved_codes, without_names

NAMES = list("abcdef")


@pytest.fixture(params=["pandas", "polars"])
def table(request):
    """A data frame of 60 rows of six columns, in the order of a list of names."""
    frames = pytest.importorskip(request.param)
    rows = np.random.default_rng(0).random((60, 6))

    def build(names=NAMES):
        return frames.DataFrame({name: rows[:, NAMES.index(name)] for name in names})

    return build


def methods_of(model):
    """Return the public methods that take rows."""
    for name in dir(model):
        if not name.startswith("_") and name not in {
            "fit",
            "fit_transform",
            "fit_predict",
            "inverse_transform",
        }:
            method = getattr(model, name)
            if callable(method) and "X" in inspect.signature(method).parameters:
                yield method


@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_method_refuses_moved_columns(estimator, table):
    model = estimator(2, epochs=1, random_state=0)
    moved = table(NAMES[::-1])
    with pytest.raises(ValueError, match="feature names"):
        model.fit(table(), validation_data=moved)
    model.fit(table(), validation_data=table())
    assert list(model.feature_names_in_) == NAMES
    methods = list(methods_of(model))
    assert len(methods) >= 5
    for method in methods:
        with pytest.raises(ValueError, match="feature names"):
            method(moved)


@pytest.mark.parametrize(
    "model",
    [Baseline("pca", 2), Baseline("dct", 2), Map("pca"), Map("pca", model=Autoencoder(2, epochs=1))],
    ids=["pca", "dct", "map", "map of codes"],
)
def test_baselines_and_maps_refuse_moved_columns(model, table):
    if getattr(model, "model", None) is not None:
        model.set_params(model=model.model.fit(table()))
    model.fit(table())
    with pytest.raises(ValueError, match="feature names"):
        model.transform(table(NAMES[::-1]))


def test_a_classifier_refuses_moved_columns(table):
    labels = np.arange(60) % 2
    model = PretrainedClassifier(Autoencoder(2, epochs=1), epochs=1, random_state=0)
    moved = table(NAMES[::-1])
    for arguments in ({"validation_data": (moved, labels)}, {"unlabelled": moved}):
        with pytest.raises(ValueError, match="feature names"):
            model.fit(table(), labels, **arguments)
    with pytest.raises(DataError, match=r"unlabelled of PretrainedClassifier.*5 columns, but X has 6"):
        model.fit(table(), labels, unlabelled=table(NAMES[:5]))
    model.fit(table(), labels, unlabelled=table())
    assert list(model.feature_names_in_) == NAMES
    for method in methods_of(model):
        with pytest.raises(ValueError, match="feature names"):
            method(moved) if method.__name__ != "score" else method(moved, labels)


MODELS = {
    "autoencoder": Autoencoder(2, epochs=2, random_state=0),
    "tokens": VectorQuantizedAutoencoder(4, epochs=2, random_state=0, bottleneck="vq:dimension=2,n_codes=4"),
    "pca": PCA(2),
    "pipeline": make_pipeline(StandardScaler(), PCA(2)),
    "pipeline of frames": make_pipeline(StandardScaler().set_output(transform="pandas"), PCA(2)),
}


@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")
@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_compressor_takes_tables_by_name(model, fitted, table):
    pytest.importorskip("constriction")
    if fitted:
        model = FrozenEstimator(model.fit(table())) if isinstance(model, PCA) else model.fit(table())
    moved, rows = table(NAMES[::-1]), np.asarray(table())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # right use is quiet
        compressor = Compressor(model).fit(table())
        content = compressor.compress(table())
        again = compressor.decompress(content)
        codes = compressor.transform(table())
    assert list(compressor.feature_names_in_) == NAMES
    np.testing.assert_allclose(again, compressor.inverse_transform(codes), atol=1e-6)
    for call in (compressor.compress, compressor.transform, lambda X: compressor.compress_to([X], None)):
        with pytest.raises(ValueError, match="feature names"):
            call(moved)
    if fitted:
        with pytest.raises(ValueError, match="feature names"):
            Compressor(model).fit(moved)
    plain = Compressor(model).fit(table())
    with pytest.warns(UserWarning, match="valid feature names, but Compressor"):
        assert plain.compress(rows) == content
    assert plain.decompress(content).shape == rows.shape


def test_codes_of_a_compressor_have_names(table):
    pytest.importorskip("constriction")
    pytest.importorskip("pandas")
    compressor = Compressor(Autoencoder(3, epochs=1, random_state=0)).fit(table())
    assert list(compressor.get_feature_names_out()) == ["compressor0", "compressor1", "compressor2"]
    plain = compressor.transform(table())
    codes = compressor.set_output(transform="pandas").transform(table())
    assert list(codes.columns) == ["compressor0", "compressor1", "compressor2"]
    np.testing.assert_array_equal(codes, plain)
    np.testing.assert_array_equal(compressor.inverse_transform(codes), compressor.inverse_transform(plain))


@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")
@pytest.mark.parametrize(
    "model",
    [*(estimator(4, epochs=1) for estimator in ESTIMATORS), Baseline("pca", 4), Baseline("lda", 3)],
    ids=repr,
)
def test_codes_in_another_order_are_not_decoded(model):
    pandas = pytest.importorskip("pandas")
    rows = np.random.default_rng(0).random((60, 6))
    model.fit(rows, np.arange(60) % 4 if isinstance(model, Baseline) else None)
    codes = model.set_output(transform="pandas").transform(rows)
    assert list(codes.columns) == list(model.get_feature_names_out())
    plain = model.set_output(transform="default").transform(rows)
    np.testing.assert_array_equal(model.inverse_transform(codes), model.inverse_transform(plain))
    with pytest.raises(DataError, match=r"^The columns of codes must be in the order"):
        model.inverse_transform(codes[codes.columns[::-1]])
    renamed = pandas.DataFrame(plain, columns=[f"x{number}" for number in range(codes.shape[1])])
    np.testing.assert_array_equal(model.inverse_transform(renamed), model.inverse_transform(plain))


def test_what_has_names():
    assert column_names(np.zeros((2, 2))) is None
    assert column_names([[1, 2]]) is None
    pandas = pytest.importorskip("pandas")
    assert column_names(pandas.DataFrame({"a": [1], "b": [2]})) == ["a", "b"]
    assert column_names(pandas.DataFrame([[1, 2]])) is None  # numbers are positions
    refuse_moved_codes(pandas.DataFrame([[1, 2]]), Baseline("pca", 2).fit(np.eye(4)))
    pyarrow = pytest.importorskip("pyarrow")
    assert column_names(pyarrow.table({"a": [1], "b": [2]})) == ["a", "b"]


def test_a_view_without_names_leaves_the_model_alone(table):
    for model in (PCA(2).fit(table()), make_pipeline(StandardScaler(), PCA(2)).fit(table())):
        view = without_names(model)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            codes = view.transform(np.asarray(table()))
        np.testing.assert_array_equal(codes, model.transform(table()))
        assert list(model.feature_names_in_) == NAMES
        with pytest.raises(ValueError, match="feature names"):
            model.transform(table(NAMES[::-1]))
