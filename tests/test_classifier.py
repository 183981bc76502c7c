"""Classifiers that start from an autoencoder: what freezing, fine-tuning and labels do."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, recall_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from helpers import BOTTLENECKS, MACHINES, NETWORKS, assert_same_weights, by_name, state_of, with_slow
from isthmus import Autoencoder, PretrainedClassifier, SparseAutoencoder, VariationalAutoencoder
from isthmus._random import row_keys
from isthmus.errors import DataError, InvalidParameterError
from isthmus.estimators._classifying import CrossEntropy, Head
from isthmus.training import Batch, ResidentBatches

pytestmark = pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")


@pytest.fixture(scope="module")
def labelled():
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return X[:1200], y[:1200], X[1200:], y[1200:]


@pytest.fixture(scope="module")
def encoder(labelled):
    return Autoencoder(16, hidden_layers=(64,), epochs=60, random_state=0).fit(labelled[0])


def probe(encoder, **parameters):
    return PretrainedClassifier(FrozenEstimator(encoder), fine_tune=False, random_state=0, **parameters)


def tuned(encoder, **parameters):
    return PretrainedClassifier(FrozenEstimator(encoder), random_state=0, **parameters)


CHECKED = PretrainedClassifier(SparseAutoencoder(8, epochs=20, random_state=0), random_state=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([CHECKED])
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([clone(CHECKED).set_params(fine_tune=False)])
def test_scikit_learn_on_a_probe(estimator, check):
    check(estimator)


# The two ways


def test_a_probe_is_logistic_regression_on_the_codes(labelled):
    X, y, X_test, _ = labelled
    encoder = Autoencoder(4, epochs=20, random_state=0, code_activation="identity").fit(X)
    codes, codes_test = encoder.transform(X), encoder.transform(X_test)
    mean, deviation = codes.mean(0), codes.std(0)
    regression = LogisticRegression(C=1e6, max_iter=5000).fit((codes - mean) / deviation, y)
    model = probe(encoder, epochs=200, schedule="cosine").fit(X, y)
    best = log_loss(y, regression.predict_proba((codes - mean) / deviation))
    assert best - 1e-4 < log_loss(y, model.predict_proba(X)) < 1.05 * best
    assert (model.predict(X_test) == regression.predict((codes_test - mean) / deviation)).mean() > 0.95


def test_a_frozen_encoder_stays_and_a_tuned_one_is_a_copy(encoder, labelled):
    X, y, *_ = labelled
    before, codes = state_of(encoder), encoder.transform(X)
    frozen, fine = probe(encoder, epochs=5).fit(X, y), tuned(encoder, epochs=5).fit(X, y)
    assert frozen.autoencoder_ is fine.autoencoder_ is encoder
    for name, value in state_of(encoder).items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_array_equal(encoder.transform(X), codes)
    own = frozen.network_[1].body[0].weight, fine.network_[1].body[0].weight
    assert torch.equal(own[0], encoder.encoder_.body[0].weight)
    assert not torch.equal(own[1], encoder.encoder_.body[0].weight)


def test_fine_tuning_tells_more_than_a_probe(encoder, labelled):
    X, y, X_test, y_test = labelled
    frozen, fine = probe(encoder).fit(X, y), tuned(encoder).fit(X, y)
    assert fine.loss_ < 0.5 * frozen.loss_
    assert fine.score(X_test, y_test) > frozen.score(X_test, y_test)


@pytest.mark.parametrize("part", [*BOTTLENECKS, *NETWORKS], ids=str)
def test_fine_tuning_moves_every_weight_of_the_encoder(part, labelled):
    X, y = labelled[0][:200], labelled[1][:200]
    name = "bottleneck" if part in BOTTLENECKS else "network"
    settings = {"loss": "gaussian", "scale": "standard", name: part}
    model = Autoencoder(8, epochs=1, random_state=0, **settings).fit(X)
    classifier = tuned(model, epochs=2).fit(X, y)
    before = dict(model.encoder_.body.named_parameters())
    after = dict(classifier.network_[1].body.named_parameters())
    assert [name for name, value in before.items() if torch.equal(value, after[name])] == []


@pytest.mark.parametrize("bottleneck", with_slow(["fsq", "vq"], ["vq"]))
def test_fine_tuning_reaches_through_what_is_rounded(bottleneck, labelled):
    # Over three seeds: .89 to .93 where a frozen encoder has .87 to .91; without a gradient .81 to .87.
    X, y, others, answers = labelled
    model = Autoencoder(16, hidden_layers=(64,), bottleneck=bottleneck, epochs=30, random_state=0).fit(X)
    frozen = probe(model, epochs=40).fit(X, y).score(others, answers)
    learnt = tuned(model, epochs=40).fit(X, y)
    assert learnt.score(others, answers) > max(frozen, 0.88)
    coding = learnt.network_[1]
    with torch.no_grad():
        features = coding.body(torch.from_numpy(others))
        codes = coding.bottleneck.code(features)
        entries = coding.bottleneck.entries(coding.bottleneck.tokens(features))
        torch.testing.assert_close(codes, entries.float())


@pytest.mark.slow
def test_rows_without_labels_help_where_labels_are_few(labelled):
    """As in 2006: sigmoid layers, which labels alone hardly move."""
    X, y, X_test, y_test = labelled
    gains = []
    for seed in range(3):
        few = np.random.default_rng(seed).choice(len(X), 100, replace=False)
        start = Autoencoder(
            32, hidden_layers=(64,), activation="sigmoid", code_activation="sigmoid", random_state=seed
        )
        cold = clone(start).set_params(epochs=1, learning_rate=1e-9)
        warm = start.set_params(initialization="stacked:epochs=20", epochs=30)
        scores = [
            PretrainedClassifier(encoder, learning_rate=0.003, random_state=seed)
            .fit(X[few], y[few], unlabelled=X)
            .score(X_test, y_test)
            for encoder in (warm, cold)
        ]
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) > 0.01


@pytest.mark.parametrize("encoder_class", [VariationalAutoencoder, *MACHINES], ids=by_name)
def test_any_autoencoder_will_do(encoder_class, labelled):
    X, y, X_test, y_test = labelled
    start = encoder_class(32, epochs=30, random_state=0)
    model = PretrainedClassifier(start, epochs=40, random_state=0).fit(X, y)
    assert model.score(X_test, y_test) > 0.8
    assert model.score(X, y) > 0.9


def test_images_keep_their_shape(labelled):
    X, y, X_test, _ = labelled
    start = Autoencoder(16, network="convolutional:channels=(8,4)", epochs=3, random_state=0)
    model = PretrainedClassifier(start, epochs=3, random_state=0).fit(X.reshape(-1, 8, 8), y)
    np.testing.assert_array_equal(model.predict(X_test.reshape(-1, 8, 8)), model.predict(X_test))


# Outputs


def test_probabilities_are_those_of_the_network(encoder, labelled):
    X, y, X_test, _ = labelled
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    model = tuned(encoder, epochs=5).fit(X, names[y])
    assert list(model.classes_) == sorted(names)
    with torch.no_grad():
        logits = model.network_(torch.from_numpy(X_test))
    np.testing.assert_allclose(model.predict_proba(X_test), logits.softmax(1).numpy(), atol=1e-6)
    np.testing.assert_allclose(
        np.exp(model.predict_log_proba(X_test)), model.predict_proba(X_test), rtol=1e-6
    )
    np.testing.assert_allclose(model.decision_function(X_test), logits.numpy(), atol=1e-5)
    np.testing.assert_array_equal(model.predict(X_test), model.classes_[logits.argmax(1).numpy()])


def test_two_classes_have_one_decision(encoder, labelled):
    X, y, X_test, _ = labelled
    model = tuned(encoder, epochs=5).fit(X, y > 4)
    decision, chance = model.decision_function(X_test), model.predict_proba(X_test)[:, 1]
    np.testing.assert_allclose(chance, 1 / (1 + np.exp(-decision)), rtol=1e-4)
    np.testing.assert_array_equal(model.predict(X_test), decision > 0)


# What it learns by


def test_the_cross_entropy_is_the_formula():
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(6, 3, generator=generator), torch.tensor([0, 2, 1, 1, 0, 2])
    weights = torch.tensor([1.0, 2.0, 0.5])
    terms = CrossEntropy(weights)(torch.nn.Identity().eval(), Batch(logits, row_keys(0, 0, targets), targets))
    chances = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
    expected = np.mean([-weights[t] * torch.log(chances[i, t]) for i, t in enumerate(targets)])
    assert float(terms["loss"]) == pytest.approx(expected, rel=1e-6)
    assert float(terms["accuracy"]) == pytest.approx(np.mean(logits.argmax(1).numpy() == targets.numpy()))


def test_balanced_weights_hear_the_rare_class(encoder, labelled):
    X, y, X_test, y_test = labelled
    chosen = np.flatnonzero((y != 8) | (np.arange(len(y)) % 12 == 0))
    X, y = X[chosen], y[chosen] == 8
    plain, fair = (probe(encoder, class_weight=weight).fit(X, y) for weight in (None, "balanced"))
    share = y.mean()
    by_hand = probe(encoder, class_weight={False: 0.5 / (1 - share), True: 0.5 / share}).fit(X, y)
    recalls = [recall_score(y_test == 8, model.predict(X_test)) for model in (plain, fair)]
    assert recalls[1] > recalls[0] + 0.05
    np.testing.assert_allclose(fair.decision_function(X_test), by_hand.decision_function(X_test), rtol=1e-5)


def test_labels_follow_their_rows():
    rows = torch.arange(50.0)[:, None].repeat(1, 3)
    batches = ResidentBatches(rows, 8, 3, targets=torch.arange(50))
    orders = []
    for number in (0, 1):
        seen = []
        for batch in batches.epoch(number):
            assert torch.equal(batch.rows[:, 0].long(), batch.targets)
            seen += batch.targets.tolist()
        assert sorted(seen) == list(range(50))
        orders.append(seen)
    assert orders[0] != orders[1]
    still = ResidentBatches(rows, 8, None, targets=torch.arange(50))
    assert torch.cat([batch.targets for batch in still.epoch(0)]).tolist() == list(range(50))


def test_dropout_depends_on_the_row_alone_and_keeps_the_mean():
    head = Head(400, 2, (300,), "identity", 0.25, torch.Generator().manual_seed(0)).train()
    codes, keys = torch.ones(200, 400), row_keys(0, 0, torch.arange(200))
    order = torch.randperm(200)
    torch.testing.assert_close(head(codes, keys)[order], head(codes[order], keys[order]))
    assert not torch.equal(head(codes, keys), head(codes, row_keys(0, 1, torch.arange(200))))
    left_out = torch.cat(list(head._left_out(keys)), 1)
    assert left_out.float().mean() == pytest.approx(0.25, abs=0.01)
    torch.testing.assert_close(head(codes, keys).mean(0), head(codes)[0], atol=0.15, rtol=0)
    assert torch.equal(head(codes), head(codes))


def test_the_best_epoch_is_kept(encoder, labelled):
    X, y, X_test, y_test = labelled
    model = tuned(encoder, epochs=60, learning_rate=0.02, patience=5, dropout=0.2)
    model.fit(X[:200], y[:200], validation_data=(X_test, y_test))
    losses = [row["validation_loss"] for row in model.history_]
    assert model.best_epoch_ == 1 + int(np.argmin(losses))
    assert model.n_epochs_ == len(losses) <= model.best_epoch_ + 5
    assert model.history_[model.best_epoch_ - 1]["validation_accuracy"] == pytest.approx(
        model.score(X_test, y_test)
    )
    chances = model.predict_proba(X_test)[np.arange(len(y_test)), y_test]
    assert losses[model.best_epoch_ - 1] == pytest.approx(-np.log(chances).mean(), rel=1e-3)


def test_a_share_is_held_out_of_all_classes(encoder, labelled):
    X, y, *_ = labelled
    model = tuned(encoder, validation_fraction=0.25, epochs=3).fit(X, y)
    assert {"validation_loss", "validation_accuracy"} <= set(model.history_[0])


def test_noise_and_dropout_change_what_is_learnt_and_nothing_else(encoder, labelled):
    X, y, *_ = labelled
    losses = {
        name: tuned(encoder, epochs=5, **parts).fit(X, y).loss_
        for name, parts in {
            "plain": {},
            "noise": {"noise": "masking:share=0.4"},
            "drop": {"dropout": 0.5},
        }.items()
    }
    assert losses["noise"] > 1.2 * losses["plain"]
    assert losses["drop"] > 1.05 * losses["plain"]


def test_the_same_seed_gives_the_same_bits(labelled):
    X, y, X_test, _ = labelled
    start = Autoencoder(8, epochs=3)
    one, other = (
        PretrainedClassifier(start, dropout=0.3, noise="gaussian:std=0.1", epochs=3, random_state=7).fit(X, y)
        for _ in range(2)
    )
    assert_same_weights(one.autoencoder_, other.autoencoder_)
    np.testing.assert_array_equal(one.decision_function(X_test), other.decision_function(X_test))


# As an estimator


def test_grid_search_reaches_into_the_encoder(labelled):
    X, y, *_ = labelled
    model = PretrainedClassifier(Autoencoder(4, epochs=10, random_state=0), epochs=10, random_state=0)
    search = GridSearchCV(model, {"encoder__n_components": [1, 12], "optimizer__beta1": [0.9]}, cv=2)
    search.fit(X[:600], y[:600])
    assert search.best_params_["encoder__n_components"] == 12
    assert search.best_estimator_.autoencoder_.settings_.n_components == 12


def test_pickle_and_column_names(labelled):
    X, y, X_test, _ = labelled
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    model = PretrainedClassifier(Autoencoder(8, epochs=2, random_state=0), epochs=2, random_state=0)
    model.fit(frame, y, unlabelled=X_test)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
    assert list(model.feature_names_in_) == list(frame.columns)


def test_a_failed_fit_leaves_no_trace(encoder, labelled):
    X, y, X_test, _ = labelled
    model = tuned(encoder, epochs=2).fit(X, y)
    before = model.predict_proba(X_test)
    with pytest.raises(InvalidParameterError):
        model.set_params(epochs=0).fit(X, y > 4)
    np.testing.assert_array_equal(model.predict_proba(X_test), before)
    assert len(model.classes_) == 10


WRONG = {
    "encoder": (LogisticRegression(), "None, an autoencoder of Isthmus, or a fitted one in FrozenEstimator"),
    "fine_tune": ("yes", "True or False"),
    "hidden_layers": (3, "a sequence of widths"),
    "activation": ("rleu", "Did you mean 'relu'"),
    "dropout": (1.0, r"a number in \[0, 1\)"),
    "noise": ("maskin", "Did you mean 'masking'"),
    "class_weight": ("fair", "None, 'balanced' or a dict"),
    "optimizer": ("adma", "Did you mean 'adam'"),
    "learning_rate": (0, r"a number in \(0, inf\]"),
    "schedule": ("cosin", "Did you mean 'cosine'"),
    "weight_decay": (-1, r"a number in \[0, inf\]"),
    "gradient_clipping": (0, r"a number in \(0, inf\]"),
    "epochs": (0, "an integer of at least 1"),
    "batch_size": (0, "an integer of at least 1"),
    "validation_fraction": (1.5, r"a number in \(0, 1\)"),
    "patience": (0, "an integer of at least 1"),
    "device": ("gpu", "'auto', 'cpu'"),
    "precision": ("half", "one of 'auto'"),
    "callbacks": (3, "a list of isthmus.training.Callback"),
    "verbose": ("loud", "True or False"),
}


@pytest.mark.parametrize("parameter", WRONG)
def test_wrong_parameters_are_named(parameter, encoder, labelled):
    value, message = WRONG[parameter]
    model = tuned(encoder, epochs=1).set_params(**{parameter: value})
    with pytest.raises(
        InvalidParameterError, match=f"The '{parameter}' parameter of PretrainedClassifier.*{message}"
    ):
        model.fit(labelled[0], labelled[1])


def test_every_parameter_has_a_wrong_value_above():
    assert set(PretrainedClassifier().get_params(deep=False)) - set(WRONG) == {"random_state"}


def test_data_that_do_not_fit_are_named(encoder, labelled):
    X, y, X_test, y_test = labelled
    model = tuned(encoder, epochs=1)
    with pytest.raises(DataError, match="y of PretrainedClassifier has one class, 3"):
        model.fit(X, np.full(len(X), 3))
    with pytest.raises(
        DataError, match="validation_data of PretrainedClassifier has classes that y has not, such as 9"
    ):
        model.fit(X[y < 9], y[y < 9], validation_data=(X_test, y_test))
    with pytest.raises(TypeError, match="must be a pair of rows and labels"):
        model.fit(X, y, validation_data=X_test)
    with pytest.raises(InvalidParameterError, match="still to be fitted with unlabelled rows"):
        model.fit(X, y, unlabelled=X_test)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])
    with pytest.raises(DataError, match="contains NaN in row 0, column 0"):
        model.fit(np.where(np.arange(64) == 0, np.nan, X), y)
