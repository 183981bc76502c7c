"""What estimators refuse, and in which words; what they decide for themselves."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from helpers import ESTIMATORS, assert_same_weights, by_name, linear
from isthmus import Autoencoder, KSparseAutoencoder, SparseAutoencoder, estimators, load
from isthmus.bottlenecks import TopK
from isthmus.errors import DataError, InvalidParameterError, InvalidTypeError, IsthmusError
from isthmus.estimators import BaseAutoencoder
from isthmus.estimators._inference import summary_of_codes
from isthmus.estimators._settings import auto_batch_size, auto_epochs
from isthmus.objectives import L1
from isthmus.training import StoredRows

# The models are small and trained for moments; that some units die is not what is tested here.
pytestmark = pytest.mark.filterwarnings(
    "ignore::isthmus.errors.DeadCodeWarning", "ignore::isthmus.errors.CollapseWarning"
)

family = pytest.mark.parametrize("estimator", ESTIMATORS, ids=by_name)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(40, 5))


@pytest.fixture(scope="module")
def fitted(rows):
    return Autoencoder(2, epochs=1, random_state=0).fit(rows)


def with_value(rows, value, *places):
    rows = rows.copy()
    for place in places:
        rows[place] = value
    return rows


# Data


@family
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("value", "name"), [(np.nan, "NaN"), (np.inf, r"infinity \(inf\)"), (-np.inf, r"infinity \(inf\)")]
)
def test_what_is_not_finite_is_found(estimator, value, name, dtype, rows):
    bad = with_value(rows, value, (7, 3), (9, 0), (9, 1)).astype(dtype)
    if np.isnan(value) and estimator()._sees_gaps:
        assert np.isfinite(
            estimator(2, epochs=1).fit(with_value(rows, value, (7, 3))).reconstruct(rows)
        ).all()
        return
    message = (
        rf"X of {estimator.__name__} contains {name} in row 7, column 3, and 1 more such rows. Drop or impute"
    )
    with pytest.raises(DataError, match=message):
        estimator(2).fit(bad)
    with pytest.raises(DataError, match=message):
        estimator(2).partial_fit(bad)


@pytest.mark.parametrize("method", ["transform", "reconstruct", "score", "score_samples", "partial_fit"])
def test_every_method_finds_it(method, fitted, rows):
    import copy

    with pytest.raises(DataError, match=r"contains NaN in row 3, column 4. Drop"):
        getattr(copy.deepcopy(fitted), method)(with_value(rows, np.nan, (3, 4)))


def test_the_column_is_named(rows):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        with_value(rows, np.nan, (7, 3)), columns=["age", "height", "weight", "pulse", "shoe"]
    )
    with pytest.raises(DataError, match="in row 7, column 'pulse'"):
        Autoencoder(2).fit(frame)


def test_opposite_infinities_and_large_sums_are_told_apart(rows):
    with pytest.raises(DataError, match="row 0, column 0"):
        Autoencoder(2).fit(with_value(with_value(rows, np.inf, (0, 0)), -np.inf, (1, 0)))
    large = with_value(rows, 1.5e308, (0, 0), (1, 0))  # their sum is infinite, they are not
    assert np.isfinite(Autoencoder(2, epochs=1).fit(large).transform(large)).all()
    large[2, 0] = -1.5e308
    with pytest.raises(DataError, match=r"cannot scale column 0: its values reach 1.5e"):
        Autoencoder(2, scale="minmax").fit(large)  # their range is infinite


def test_validation_data_are_named_and_checked(rows):
    with pytest.raises(DataError, match="validation_data of Autoencoder contains NaN in row 2, column 1"):
        Autoencoder(2).fit(rows, validation_data=with_value(rows, np.nan, (2, 1)))
    with pytest.raises(ValueError, match="4 features, but Autoencoder is expecting 5 features"):
        Autoencoder(2).fit(rows, validation_data=rows[:, :4])
    with pytest.raises(
        InvalidTypeError,
        match=r"'validation_data' .* not a pair: without a y of the shape of X",
    ):
        Autoencoder(2).fit(rows, validation_data=(rows, rows))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([["a", "b"], ["c", "d"]], r"'a' in row 0, column 0, which is no number"),
        ([], "Expected 2D array"),
        (np.empty((0, 3)), r"0 sample\(s\)"),
        (np.empty((0, 3, 3)), r"0 sample\(s\)"),
        (np.empty((5, 0)), r"0 feature\(s\)"),
        (np.ones(4), "Expected 2D array, got 1D array"),
        (np.ones((1, 4)), "minimum of 2 is required"),
        (np.ones((4, 3)) * 1j, "Complex data not supported"),
        (5, "must be an array, a table or a list of rows of numbers"),
    ],
    ids=[
        "text",
        "nothing",
        "no rows",
        "no images",
        "no columns",
        "a vector",
        "one row",
        "complex",
        "a number",
    ],
)
@family
def test_what_are_no_rows_is_refused(estimator, X, message):
    with pytest.raises(ValueError, match=message):
        estimator(1).fit(X)


@family
def test_sparse_matrices_are_refused_with_advice(estimator, rows):
    with pytest.raises(TypeError, match=r"[Ss]parse .*dense data is required"):
        estimator(2).fit(scipy.sparse.csr_array(rows))


@family
def test_another_width_is_refused(estimator, rows):
    model = estimator(2, epochs=1, random_state=0, **linear(estimator)).fit(rows)
    message = f"X has 4 features, but {estimator.__name__} is expecting 5 features as input"
    for method in (model.transform, model.reconstruct, model.score, model.score_samples, model.partial_fit):
        with pytest.raises(ValueError, match=message):
            method(rows[:, :4])


def test_codes_are_checked(fitted):
    with pytest.raises(
        DataError, match=r"codes has 3 features, but Autoencoder is expecting 2 features .* transform"
    ):
        fitted.inverse_transform(np.ones((4, 3)))
    with pytest.raises(ValueError, match="codes contains NaN"):
        fitted.inverse_transform(np.full((4, 2), np.nan))
    with pytest.raises(ValueError, match="Expected 2D array"):
        fitted.inverse_transform(np.ones(2))


@pytest.mark.parametrize(
    "method", ["transform", "inverse_transform", "reconstruct", "score", "score_samples"]
)
def test_an_unfitted_model_says_so(method, rows):
    with pytest.raises(ValueError, match="This Autoencoder instance is not fitted yet"):
        getattr(Autoencoder(), method)(rows)


def test_cross_entropy_needs_data_between_0_and_1(rows):
    message = (
        r"X of Autoencoder has \(scaled\) values from -.*, but loss='bce' is defined only between 0 and 1"
    )
    with pytest.raises(DataError, match=message):
        Autoencoder(2, loss="bce", epochs=1).fit(rows)
    Autoencoder(2, loss="bce", scale="minmax", epochs=1, code_activation="identity").fit(
        rows
    )  # as the message says


def test_a_table_of_constants():
    """There is nothing to learn: the constants come back."""
    X = np.tile([3.0, 0.0, -1e6], (20, 1))
    np.testing.assert_allclose(
        Autoencoder(1, epochs=5, random_state=0).fit(X).reconstruct(X), X, rtol=1e-2, atol=0.5
    )


# Parameters

BAD_PARAMETERS = {
    "n_components": [
        (0, "an integer of at least 1. Got 0 instead"),
        (-1, "an integer of at least 1"),
        (2.0, "an integer of at least 1. Got 2.0 instead"),
        (True, "an integer of at least 1. Got True instead"),
        ("two", "an integer of at least 1. Got 'two' instead"),
        (6, "at most the number of features, 5. Got 6 instead. .*SparseAutoencoder"),
    ],
    "hidden_layers": [
        (12, r"a sequence of widths such as \(128, 64\)"),
        ("12", "a sequence of widths"),
        ((8, 0), "an integer of at least 1"),
        ((8.5,), "an integer of at least 1"),
    ],
    "activation": [("rulu", "Did you mean 'relu'"), (None, "one of 'identity', 'relu'")],
    "missing": [("drop", "must be one of 'auto', 'refuse', 'mask'"), (None, "must be one of")],
    "initialization": [
        ("rmb", "Did you mean 'rbm'"),
        (3, "one of 'random', 'pca', 'stacked', 'rbm'"),
        ("stacked:epochs=0", "setting|'epochs' parameter of Stacked must be an integer of at least 1"),
    ],
    "code_activation": [("sigmiod", "Did you mean 'sigmoid'"), (3, "one of 'auto', 'identity'")],
    "network": [
        ("convolutionel", "Did you mean 'convolutional'"),
        (7, "one of 'dense', 'convolutional', 'recurrent', 'transformer' or one of Dense"),
        ("dense:depth=3", "no setting 'depth'"),
    ],
    "bottleneck": [("gausian", "Did you mean 'gaussian'"), (None, "one of 'plain', 'topk'")],
    "noise": [("gausian", "Did you mean 'gaussian'"), (0.5, "one of 'gaussian', 'masking'")],
    "loss": [
        ("bec", "Did you mean 'bce'"),
        (None, "one of 'bce', 'mse'"),
        ("mse:weight=2", "no setting 'weight'"),
    ],
    "penalty": [
        ("l3", "Did you mean"),
        (0.1, "one of 'l1', 'l2', 'elastic', 'kl', 'contractive', 'mmd' or one of L1"),
    ],
    "tied": [("yes", "True or False"), (1, "True or False")],
    "scale": [("standrad", "Did you mean 'standard'"), (None, "one of 'auto', 'none'")],
    "optimizer": [("adamm", "Did you mean 'adam'"), (torch.optim.Adam, "one of 'adam', 'adamw'")],
    "learning_rate": [
        (0, r"a number in \(0, inf\]"),
        ("fast", "Got 'fast' instead"),
        (float("nan"), "Got nan"),
    ],
    "schedule": [("onecycle", "Did you mean 'one-cycle'"), ("cosin", "Did you mean 'cosine'")],
    "weight_decay": [(-1, r"a number in \[0, inf\]"), (None, "a number")],
    "gradient_clipping": [(0, r"a number in \(0, inf\]"), (True, "Got True")],
    "epochs": [(0, "an integer of at least 1"), (1.5, "an integer of at least 1"), ("many", "Got 'many'")],
    "batch_size": [(0, "an integer of at least 1"), ("big", "Got 'big'")],
    "validation_fraction": [
        (0, r"a number in \(0, 1\)"),
        (1, r"a number in \(0, 1\)"),
        ("0.1", "Got '0.1'"),
        (0.99, "small enough to leave 2 of 40 rows"),
    ],
    "patience": [(0, "an integer of at least 1"), (2.5, "an integer")],
    "device": [
        ("gpu", "'auto', 'cpu', 'cuda', 'cuda:0' or"),
        ("cuda:99", "'auto', 'cpu'"),
        (7, "'auto', 'cpu'"),
    ],
    "precision": [("float16", "'auto', 'float32', 'bfloat16'"), (32, "Got 32")],
    "compile": [("yes", "'auto', True or False"), (1, "Got 1")],
    "callbacks": [
        (print, "None or a list of isthmus.training.Callback"),
        ([print], "None or a list of isthmus.training.Callback"),
    ],
    "verbose": [("yes", "True or False")],
}


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [(name, value, message) for name, cases in BAD_PARAMETERS.items() for value, message in cases],
)
def test_bad_parameters_are_refused_by_name(parameter, value, message, rows):
    model = Autoencoder(**{"n_components": 2, "epochs": 1, parameter: value})  # the constructor only stores
    with pytest.raises(InvalidParameterError, match=message) as caught:
        model.fit(rows)
    assert "\n" not in str(caught.value)
    if "setting" not in message:
        assert str(caught.value).startswith(f"The '{parameter}' parameter of Autoencoder")


def test_every_parameter_has_a_bad_value_above():
    assert set(Autoencoder().get_params(deep=False)) - set(BAD_PARAMETERS) == {"random_state"}
    with pytest.raises(ValueError, match="'random_state' parameter of Autoencoder must be an integer"):
        Autoencoder(random_state="lucky").fit(np.eye(3))


def test_errors_are_those_of_scikit_learn_too():
    assert issubclass(InvalidTypeError, (TypeError, ValueError))
    for error in (DataError, InvalidParameterError, InvalidTypeError):
        assert issubclass(error, IsthmusError)
        assert issubclass(error, ValueError)


def test_a_wide_code_needs_something_that_restrains_it(rows):
    assert SparseAutoencoder(9, epochs=1).fit(rows).settings_.n_components == 9
    with pytest.raises(InvalidParameterError, match="at most the number of features"):
        SparseAutoencoder(9, penalty="l2:on=weights").fit(rows)


# Decisions


def test_automatic_batches_and_epochs():
    assert [auto_batch_size(n) for n in (2, 50, 1000, 4096, 60_000, 10**6)] == [16, 16, 62, 256, 256, 256]
    assert auto_epochs(60_000, 256) == 51
    assert auto_epochs(50, 16) == 500
    assert auto_epochs(10**7, 256) == 10


@pytest.mark.parametrize(("width", "expected"), [(1, 1), (2, 1), (5, 3), (64, 32), (784, 32)])
def test_automatic_width(width, expected):
    X = np.random.default_rng(0).normal(size=(20, width))
    assert Autoencoder(epochs=1).fit(X).settings_.n_components == expected


def test_automatic_loss_and_scale():
    random = np.random.default_rng(0)
    cases = [
        (random.random((30, 6)), "bce", True),
        (random.integers(0, 2, (30, 6)).astype(bool), "bce", True),
        (random.integers(0, 255, (30, 6), dtype=np.uint8), "bce", False),
        (random.normal(size=(30, 6)), "mse", False),
        (random.normal(size=(30, 3, 2)), "mse", False),
    ]
    for X, loss, left_alone in cases:
        model = Autoencoder(2, epochs=1, code_activation="identity", random_state=0).fit(X)
        assert (model.settings_.loss.name, model.encoder_.scaling.trivial) == (loss, left_alone)


def test_sparse_is_a_named_default():
    same = Autoencoder(8, penalty=SparseAutoencoder().penalty, code_activation="relu")
    X = np.random.default_rng(0).normal(size=(50, 6))
    models = [model.set_params(epochs=2, random_state=0) for model in (same, SparseAutoencoder(8))]
    assert_same_weights(*[model.fit(X) for model in models])
    assert repr(SparseAutoencoder(8)) == "SparseAutoencoder(n_components=8)"
    assert SparseAutoencoder(penalty=None).penalty is None


@pytest.mark.filterwarnings("ignore::isthmus.errors.DataRangeWarning")
def test_a_second_fit_forgets_the_first(rows):
    model = Autoencoder(2, epochs=2, random_state=0).fit(rows * 100)
    model.partial_fit(rows)
    again = model.fit(rows)
    assert_same_weights(again, Autoencoder(2, epochs=2, random_state=0).fit(rows))
    assert len(again.history_) == again.n_epochs_ == 2


def test_fit_does_not_change_parameters_or_data(rows):
    X = rows.copy()
    model = SparseAutoencoder(8, hidden_layers=[7], penalty="l1:weight=0.1", loss="auto", epochs=2)
    before = model.get_params()
    model.fit(X)
    model.reconstruct(X)
    np.testing.assert_array_equal(X, rows)
    assert model.get_params() == before


def test_score_of_rows_without_variance(fitted, rows):
    assert np.isnan(fitted.score(rows[:1]))
    assert fitted.score(np.repeat(rows[:1], 3, axis=0)) == -np.inf


def test_the_worst_rows_have_the_lowest_scores(digits):
    """Noise among digits is what score_samples finds."""
    noise = np.random.default_rng(0).random((40, 64))
    model = Autoencoder(8, hidden_layers=(32,), epochs=20, random_state=0).fit(digits[0])
    scores = np.concatenate([model.score_samples(digits[1]), model.score_samples(noise)])
    assert (np.argsort(scores)[:40] >= len(digits[1])).mean() > 0.9


def test_the_usage_of_codes_is_that_of_all_training_rows():
    X = np.random.default_rng(0).normal(size=(20_481, 6)).astype(np.float32)
    model = Autoencoder(4, code_activation="relu", epochs=1, random_state=0).fit(X)
    codes = model.transform(X)
    np.testing.assert_allclose(model.code_usage_, (codes != 0).mean(axis=0), atol=2 / len(X))
    assert 0 < model.code_usage_.min() < 1
    # A unit that answers to a single row, whichever it is, is not dead.
    with torch.no_grad():
        model.encoder_.body[0].weight[0], model.encoder_.body[0].bias[0] = 0, 0
        model.encoder_.body[0].weight[0, 0] = 1
        model.encoder_.body[0].bias[0] = -0.999 * float(X[:, 0].max())
    stored = StoredRows(torch.from_numpy(X))
    summary = summary_of_codes(model._assembly, stored)
    assert summary.usage[0] == 1 / len(X)


def test_the_variance_of_codes_far_from_zero():
    X = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32)
    model = Autoencoder(2, scale="none", epochs=1, random_state=0).fit(X)
    with torch.no_grad():
        model.encoder_.body[0].bias += 3000
    variance = summary_of_codes(model._assembly, StoredRows(torch.from_numpy(X))).variance
    np.testing.assert_allclose(variance, model.transform(X).var(axis=0, dtype=np.float64), rtol=1e-6)


PUBLIC = [
    getattr(estimators, name) for name in estimators.__all__ if inspect.isclass(getattr(estimators, name))
]
PUBLIC = [kind for kind in PUBLIC if kind not in (BaseAutoencoder, estimators.Model, estimators.RateRange)]


@pytest.mark.parametrize("kind", [*PUBLIC, TopK, L1], ids=lambda kind: kind.__name__)
def test_unknown_arguments_are_refused_in_the_name_of_the_class(kind):
    with pytest.raises(TypeError, match=rf"^{kind.__name__} got an unexpected keyword argument 'foo'"):
        kind(foo=1)
    known = list(inspect.signature(kind).parameters)[-1]
    with pytest.raises(InvalidTypeError, match=f"Did you mean '{known}'"):
        kind(**{known + "s": 1})
    with pytest.raises(TypeError, match=rf"^{kind.__name__} takes at most \d positional arguments"):
        kind(*range(9))


def test_k_is_a_parameter_of_k_sparse_autoencoders(rows, tmp_path):
    model = KSparseAutoencoder(20, k=3, epochs=2, random_state=0).fit(rows)
    assert ((model.transform(rows) != 0).sum(axis=1) == 3).all()
    assert model.get_params()["k"] == 3
    assert model.settings_.bottleneck == TopK(k=3)
    same = KSparseAutoencoder(20, bottleneck="topk:k=3", epochs=2, random_state=0).fit(rows)
    assert same.k == "auto"
    assert np.array_equal(same.transform(rows), model.transform(rows))
    assert clone(model).k == 3
    assert list(inspect.signature(KSparseAutoencoder).parameters)[:2] == ["n_components", "k"]
    assert KSparseAutoencoder().fit(rows).settings_.bottleneck == TopK()
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.k == 3
    assert np.array_equal(again.transform(rows), model.transform(rows))
    # Models that were saved before there was a k.
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    del config["parameters"]["k"]
    path.write_text(json.dumps(config))
    old = load(tmp_path / "model")
    assert old.k == "auto"
    assert np.array_equal(old.transform(rows), model.transform(rows))


def test_k_with_other_settings_and_in_a_search(rows):
    model = KSparseAutoencoder(8, k=np.int64(2), bottleneck=TopK(alpha=2.0), epochs=1, random_state=0)
    assert ((model.fit_transform(rows) != 0).sum(axis=1) == 4).all()
    search = GridSearchCV(KSparseAutoencoder(8, epochs=20, random_state=0), {"k": [1, 5]}, cv=2).fit(rows)
    assert search.best_params_ == {"k": 5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "'k' parameter of KSparseAutoencoder"),
        ({"k": 1.5}, "'k' parameter of KSparseAutoencoder"),
        ({"k": 9}, "'k' parameter of KSparseAutoencoder must be at most n_components, 8"),
        ({"k": 2, "bottleneck": "topk:k=3"}, "'k' parameter of KSparseAutoencoder must be the 3 of"),
        ({"k": 2, "bottleneck": "vq"}, "'bottleneck' parameter of KSparseAutoencoder must be 'topk'"),
    ],
)
def test_a_k_that_cannot_be_is_refused(rows, options, message):
    with pytest.raises(ValueError, match=message):
        KSparseAutoencoder(8, **options).fit(rows)
