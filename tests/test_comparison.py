"""Comparisons: the numbers of PCA, and sentences that tell the truth whoever wins."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from isthmus import Autoencoder, comparison
from isthmus.cli import main
from isthmus.data import load_mnist
from isthmus.errors import DataError, InvalidParameterError


@pytest.fixture(scope="module")
def digits():
    X = load_digits().data / 16
    return X[:1200], X[1200:]


class Constant:
    """A model that has learnt nothing: one unit, and always the same copy."""

    def __init__(self, train):
        self.mean = train.mean(axis=0)

    def transform(self, X):
        return np.zeros((len(X), 1))

    def inverse_transform(self, codes):
        return np.tile(self.mean, (len(codes), *[1] * self.mean.ndim))


def test_pca_on_mnist_fixes_the_metric():
    train, test = load_mnist()
    row = comparison.evaluate_pca(train.images, test.images, 30)
    assert row["sse"] == pytest.approx(13.866, abs=0.001)  # Hinton and Salakhutdinov print 13.87
    assert row["sse_clipped"] == pytest.approx(12.590, abs=0.001)
    assert row["n_components"] == 30


def test_evaluate_gives_plain_numbers(digits):
    train, test = digits
    row = comparison.evaluate(PCA(n_components=5).fit(train), test)
    assert json.loads(json.dumps(row)) == row
    assert (row["rows"], row["features"], row["n_components"]) == (len(test), 64, 5)
    assert row["mse"] * 64 == pytest.approx(row["sse"])
    pca = PCA(n_components=5).fit(train)
    copies = pca.inverse_transform(pca.transform(test))
    assert row["sse"] == pytest.approx(((test - copies) ** 2).sum(axis=1).mean())
    assert row["sse_clipped"] == pytest.approx(((test - copies.clip(0, 1)) ** 2).sum(axis=1).mean())
    assert row["codes"]["dead"] == []


def test_what_has_learnt_nothing_explains_nothing(digits):
    train, _ = digits
    row = comparison.evaluate(Constant(train), train)
    assert row["explained_variance"] == pytest.approx(0, abs=1e-12)
    assert row["codes"] == {"mean": 0.0, "zeros": 1.0, "active": 0.0, "dead": [0]}


def test_data_outside_the_unit_interval_have_no_cross_entropy(digits):
    train, test = (16 * rows for rows in digits)
    row = comparison.evaluate_pca(train, test, 5)
    assert row["bce"] is None
    assert row["sse_clipped"] is None
    inside = comparison.evaluate_pca(train / 16, test / 16, 5)
    assert inside["bce"] > 0
    assert row["sse"] == pytest.approx(256 * inside["sse"])


def test_rows_may_be_images(digits):
    train, test = digits
    flat = comparison.evaluate_pca(train, test, 5)
    images = comparison.evaluate_pca(train.reshape(-1, 8, 8), test.reshape(-1, 8, 8), 5)
    assert images == flat


def test_pca_is_no_wider_than_the_data(digits):
    train, test = digits
    assert comparison.evaluate_pca(train, test, 100)["n_components"] == 64
    assert comparison.evaluate_pca(train[:3], test, 100)["n_components"] == 3


def test_a_model_of_another_width_is_refused(digits):
    train, test = digits
    with pytest.raises(
        DataError, match=r"reconstructions of the model have shape \(597, 32\), but rows of shape \(597, 64\)"
    ):
        comparison.evaluate(Constant(train[:, :32]), test)


def verdict_of(error, reference, width=32):
    return comparison.verdict("net", {"sse": error}, {"sse": reference, "n_components": width})


@pytest.mark.parametrize(
    ("error", "reference", "sentence"),
    [
        (7.40, 13.19, "net: 44% lower squared error than PCA with 32 components (7.40 vs. 13.19)."),
        (13.0, 13.19, "net: 1.4% lower squared error than PCA with 32 components (13.00 vs. 13.19)."),
        (13.13, 13.19, "net: as good as PCA with 32 components (squared error 13.13 vs. 13.19)."),
        (13.25, 13.19, "net: as good as PCA with 32 components (squared error 13.25 vs. 13.19)."),
        (
            13.4,
            13.19,
            "net: 1.6% higher squared error than PCA with 32 components (13.40 vs. 13.19). Use PCA.",
        ),
        (
            6,
            2,
            "net: 3.0 times the squared error of PCA with 32 components (6.00 vs. 2.00). Use PCA.",
        ),
        (0, 0, "net: as good as PCA with 32 components (squared error 0 vs. 0)."),
        (0, 5, "net: 100.0% lower squared error than PCA with 32 components (0 vs. 5.00)."),
    ],
)
def test_verdict(error, reference, sentence):
    assert verdict_of(error, reference) == sentence


@pytest.mark.parametrize("reference", [0.0, 1e-28])
def test_verdict_against_a_perfect_pca(reference):
    assert "more than 100 times" in verdict_of(1.0, reference)
    assert verdict_of(1.0, reference).endswith("Use PCA.")


def test_verdict_counts_components():
    assert "PCA with 1 component (" in verdict_of(1, 2, width=1)


def test_compare(digits):
    train, test = digits
    models = {"twin": PCA(n_components=5).fit(train), "nothing": Constant(train)}
    rows = comparison.compare(models, train, test)
    assert [row["name"] for row in rows] == ["twin", "nothing", "PCA-1", "PCA-5"]
    assert json.loads(json.dumps(rows)) == rows
    assert rows[0]["verdict"].startswith("twin: as good as PCA with 5 components")
    assert rows[1]["verdict"].endswith("Use PCA.")
    assert "PCA with 1 component " in rows[1]["verdict"]
    assert rows[2]["verdict"] is rows[3]["verdict"] is None
    assert comparison.evaluate_pca(train, test, 5).items() <= rows[3].items()
    assert rows[1]["pca_components"] == 0  # a constant is what PCA is without components


def test_the_name_of_a_baseline_is_taken(digits):
    train, test = digits
    with pytest.raises(InvalidParameterError, match=r"'models' parameter of compare.*'PCA-1'"):
        comparison.compare({"PCA-1": Constant(train)}, train, test)


def test_not_a_number_is_an_error(digits):
    train, test = digits
    model = Constant(train)
    model.mean = np.full(64, math.nan)
    with pytest.raises(DataError, match="contain NaN or infinity"):
        comparison.evaluate(model, test)


@pytest.fixture(scope="module")
def labelled():
    bunch = load_digits()
    X = (bunch.data / 16).astype(np.float32)
    return X[:1200], X[1200:], bunch.target[:1200], bunch.target[1200:]


@pytest.fixture(scope="module")
def trained(labelled):
    return Autoencoder(12, hidden_layers=(48,), epochs=30, random_state=0).fit(labelled[0])


def test_compare_with_labels_and_baselines(labelled, trained):
    train, test, y_train, y_test = labelled
    rows = comparison.compare(
        {"deep": trained},
        train,
        test,
        y_train=y_train,
        y_test=y_test,
        baselines=["lda", "dct", "untrained"],
        image_shape=(8, 8),
        seconds={"deep": 3.0},
    )
    by_name = {row["name"]: row for row in rows}
    assert list(by_name) == ["deep", "PCA-12", "LDA-9", "DCT-12", "untrained deep"]
    assert json.loads(json.dumps(rows)) == rows
    assert by_name["deep"]["kind"] == "model"
    assert by_name["deep"]["seconds"] == 3.0
    # LDA tells classes apart better than any other linear map of its width, and copies worse.
    assert by_name["LDA-9"]["labels"]["separability"] > by_name["PCA-12"]["labels"]["separability"]
    assert by_name["LDA-9"]["sse"] > by_name["PCA-12"]["sse"]
    assert by_name["deep"]["labels"]["neighbors"] > by_name["untrained deep"]["labels"]["neighbors"]
    assert all(0.5 < row["trustworthiness"] <= 1 for row in rows)


def test_the_verdict_has_an_interval_and_what_pca_needs(labelled, trained):
    train, test, *_ = labelled
    row, pca = comparison.compare({"deep": trained}, train, test)
    low, high = row["interval"]
    assert low < row["relative"] < high < 1
    assert row["relative"] == pytest.approx(row["sse"] / pca["sse"])
    needed = row["pca_components"]
    assert comparison.evaluate_pca(train, test, needed)["sse"] <= row["sse"]
    assert comparison.evaluate_pca(train, test, needed - 1)["sse"] > row["sse"]
    assert f"PCA needs {needed} components" in row["verdict"]


def test_an_interval_that_holds_one_leaves_it_open():
    row = {"sse": 9.5, "interval": (0.9, 1.01)}
    assert "no significant difference from PCA" in comparison.verdict(
        "net", row, {"sse": 10.0, "n_components": 3}
    )


def test_the_spectrum_is_pca_at_every_width(digits):
    train, test = digits
    spectrum = comparison.Spectrum(train, test)
    for width in (1, 7, 20):
        assert spectrum.errors[width] == pytest.approx(
            comparison.evaluate_pca(train, test, width)["sse"], rel=1e-5
        )
    assert spectrum.needed(-1) is None


def test_rates_of_models_and_codecs(labelled, trained):
    pytest.importorskip("constriction")
    train, test, *_ = labelled
    rows = comparison.model_rates({"deep": trained, "PCA-12": comparison.fit_pca(train, 12)}, test)
    for name in ("deep", "PCA-12"):
        own = [row for row in rows if row["name"] == name]
        assert [row["bytes"] for row in own] == sorted((row["bytes"] for row in own), reverse=True)
        assert [row["sse"] for row in own] == sorted(row["sse"] for row in own)
        assert own[0]["model_bytes"] > 0
    rows += comparison.codec_rates(test, (8, 8), ["jpeg"])
    (saving,) = [row for row in comparison.savings(rows) if row["name"] == "deep"]
    assert saving["against"] == "jpeg"
    assert saving["bd_rate"] < 0


@pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")
def test_training_ends_within_its_time(labelled):
    model = comparison.fit_within(Autoencoder(4, random_state=0), labelled[0], 0.5)
    seconds = sum(row["seconds"] for row in model.history_)
    assert model.n_epochs_ > 3
    assert seconds < 5  # these machines are shared


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baselines": ["magic"]}, "'baselines'"),
        ({"y_train": [0, 1]}, "y_train has shape"),
        ({"baselines": ["lda"]}, "labels"),
    ],
)
def test_what_compare_cannot_do_is_said(labelled, trained, options, message):
    with pytest.raises((InvalidParameterError, DataError), match=message):
        comparison.compare({"deep": trained}, *labelled[:2], **options)


@pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")
def test_the_command(labelled, tmp_path, monkeypatch, capsys):
    pytest.importorskip("constriction")
    monkeypatch.chdir(tmp_path)
    train, test, y_train, y_test = labelled
    X = np.concatenate([train, test])
    np.savez("digits.npz", X=X.reshape(-1, 8, 8), y=np.concatenate([y_train, y_test]))
    options = ["--n-components", "6", "--seconds", "0.5", "--baseline", "lda", "--model", "single"]
    assert main(["compare", "digits.npz", *options, "--json", "-o", "numbers.csv"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in told["rows"]] == ["single", "PCA-6", "LDA-6"]
    assert {row["name"] for row in told["rates"]} >= {"single", "PCA-6", "jpeg"}
    assert (tmp_path / "numbers.csv").read_text().startswith("name,")
    assert main(["compare", "digits.npz", *options, "--no-rates", "--report", "page"]) == 0
    assert "PCA with 6 components" in (tmp_path / "page" / "index.html").read_text()
    out = capsys.readouterr().out
    assert "1-NN" in out
    assert "PCA with 6 components" in out
    assert main(["compare", "digits.npz", "--model", "singel"]) == 2
    assert "Did you mean 'single'" in capsys.readouterr().err
