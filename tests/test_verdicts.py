"""The verdict is right whatever the units, the width and the purpose of a model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.decomposition import PCA, KernelPCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_sets import DATASETS, embeddings, money_and_shares, photographs, spectra_float32
from isthmus import (
    Autoencoder,
    DeepBeliefNetwork,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    RestrictedBoltzmannMachine,
    SparseAutoencoder,
    VariationalAutoencoder,
    comparison,
    load,
)
from isthmus.cli import main
from isthmus.errors import DataError, InvalidParameterError, MissingDependencyError, NotComparedWarning
from isthmus.estimators import Baseline
from isthmus.report import render, summarise
from isthmus.training import TimeLimit

pytestmark = pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")


def halves(X):
    order = np.random.default_rng(0).permutation(len(X))
    return X[order[::2]], X[order[1::2]]


TABLES = {
    "wine": lambda: halves(load_wine().data),
    "breast cancer": lambda: halves(load_breast_cancer().data),
    "diabetes": lambda: halves(load_diabetes(scaled=False).data),
    "money and shares": money_and_shares,
    "pressures": spectra_float32,
}


def standardized_pca(train, width):
    return make_pipeline(StandardScaler(), PCA(width, svd_solver="full")).fit(train)


class Constant:
    """A model of one code unit that has learnt nothing."""

    def __init__(self, train):
        self.mean = train.mean(0)

    def transform(self, X):
        return np.zeros((len(X), 1))

    def inverse_transform(self, codes):
        return np.tile(self.mean, (len(codes), 1))


# The space


@pytest.mark.parametrize("name", TABLES)
def test_pca_of_standardized_columns_is_as_good_as_pca(name):
    train, test = TABLES[name]()
    model = Autoencoder(2, epochs=5, random_state=0).fit(train)
    own, twin, pca = comparison.compare(
        {"model": model, "twin": standardized_pca(train.astype(float), 2)}, train, test
    )
    assert twin["sse"] == pytest.approx(pca["sse"], rel=0.01)
    assert twin["verdict"].startswith(
        "twin: as good as PCA with 2 components in standardized columns (squared error"
    )
    assert {row["space"] for row in (own, twin, pca)} == {"standard"}
    assert own["explained_variance"] == pytest.approx(model.score(test), abs=1e-6)
    reference = standardized_pca(train.astype(float), 2)
    errors = test.astype(float) - reference.inverse_transform(reference.transform(test.astype(float)))
    assert pca["sse"] == pytest.approx(
        ((errors / train.std(axis=0, dtype=float)) ** 2).sum(1).mean(), rel=1e-4
    )
    np.testing.assert_allclose(pca["column_rmse"], np.sqrt((errors**2).mean(0)), rtol=1e-3)


@pytest.mark.parametrize("name", ["wine", "money and shares"])
def test_the_unit_of_a_column_does_not_change_the_verdict(name):
    found = []
    for factor in (1, 1000, 0.001):
        train, test = (rows * np.r_[factor, np.ones(rows.shape[1] - 1)] for rows in TABLES[name]())
        model = Autoencoder(2, hidden_layers=(16,), epochs=20, random_state=0).fit(train)
        rows = comparison.compare({"model": model}, train, test, baselines=["kmeans", "random-projection"])
        found.append((rows[0]["verdict"], [round(row["sse"], 6) for row in rows]))
    assert found[0] == found[1] == found[2]


def test_one_unit_for_all_columns_is_no_scaling():
    train, test = photographs()
    rows, bytes_ = [], Autoencoder(8, epochs=2, random_state=0).fit(train)
    assert comparison.space_of(bytes_).is_raw
    for factor in (1, 1 / 255):
        scaled = {"twin": Baseline("pca", 8).fit(train * factor)}
        rows.append(comparison.compare(scaled, train * factor, test * factor)[0])
    assert [row["space"] for row in rows] == ["raw", "raw"]
    assert [row["outcome"] for row in rows] == ["equal", "equal"]


def test_models_of_different_scalings_are_compared_in_the_space_that_is_asked_for():
    train, test = money_and_shares()
    models = {
        "standard": Autoencoder(2, epochs=3, random_state=0).fit(train),
        "minmax": Autoencoder(2, scale="minmax", epochs=3, random_state=0).fit(train),
    }
    assert comparison.choose_space(models, train).name == "standard"
    assert comparison.choose_space({"minmax": models["minmax"]}, train).name == "minmax"
    raw = comparison.compare(models, train, test, space="raw")
    assert "PCA with 2 components in the units of the data (" in raw[0]["verdict"]
    assert raw[-1]["sse"] == pytest.approx(comparison.evaluate_pca(train, test, 2)["sse"])
    standard = comparison.compare(models, train, test)
    assert "in standardized columns" in standard[1]["verdict"]
    with pytest.raises(
        InvalidParameterError, match=r"'space' parameter of compare .* Did you mean 'standard'"
    ):
        comparison.compare(models, train, test, space="standart")


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("space", ["auto", "raw", "standard", "minmax"])
def test_every_baseline_is_fitted_and_judged_in_the_space(name, space):
    train, test = DATASETS[name]()
    train, test = (rows.reshape(len(rows), -1)[:150].astype(np.float64) for rows in (train, test))
    models = {"twin": Baseline("pca", 3).fit(train)}
    chosen = comparison.choose_space(models, train, space)
    kinds = ["incremental-pca", "kernel-pca", "dct", "kmeans", "random-projection", "nmf"]
    kinds = [kind for kind in kinds if kind not in comparison.unsuitable(kinds, train, None, chosen)]
    rows = comparison.compare(models, train, test, baselines=kinds, space=space)
    for row in rows:
        if row["name"].startswith(("PCA", "k-means", "DCT")):
            kind = {"PCA": "pca", "k-m": "kmeans", "DCT": "dct"}[row["name"][:3]]
            own = Baseline(kind, 3).fit(chosen.scale(train))
            scaled = chosen.scale(test)
            error = ((own.inverse_transform(own.transform(scaled)) - scaled) ** 2).sum(1).mean()
            assert row["sse"] == pytest.approx(error, rel=1e-6), row["name"]
    (twin, incremental) = (row["sse"] for row in rows if row["name"] in ("PCA-3", "incremental PCA-3"))
    assert incremental == pytest.approx(twin, rel=0.05)


# The width


def test_a_sparse_code_is_compared_with_as_many_numbers_as_are_active():
    train, test = embeddings()
    model = KSparseAutoencoder(192, bottleneck="topk:k=8", epochs=60, random_state=0).fit(train)
    row, pca = comparison.compare({"dictionary": model}, train, test)
    assert row["codes"]["active"] == pytest.approx(8)
    assert (row["compared_width"], pca["name"]) == (8, "PCA-8")
    assert "PCA with 8 components (the mean number of active code units)" in row["verdict"]


def test_pca_never_has_more_components_than_the_rank_of_the_data():
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 3)) @ random.normal(size=(3, 12))
    row, pca = comparison.compare({"wide": PCA(12).fit(X + random.normal(size=X.shape))}, X, X, space="raw")
    assert pca["name"] == "PCA-3"
    assert row["verdict"].startswith("wide: as good as PCA with 3 components (the rank of the data)")
    assert comparison.Spectrum(X, X).rank == 3


# Why training ended


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"epochs": 2}, "Trained for 2 epochs."),
        (
            {"epochs": 90, "callbacks": [TimeLimit(1e-9)]},
            "Training stopped after 1 of 90 epochs at the time limit",
        ),
        (
            {"epochs": 400, "validation_fraction": 0.3, "patience": 1},
            "epochs, as the validation loss no longer fell.",
        ),
    ],
)
def test_the_verdict_says_how_long_a_model_was_trained(parameters, words):
    train, test = money_and_shares()
    model = Autoencoder(2, random_state=0, **parameters).fit(train)
    assert words in comparison.compare({"model": model}, train, test)[0]["verdict"]


def test_a_time_limit_does_not_change_what_is_trained_within_it():
    train, _ = money_and_shares()
    model = Autoencoder(2, epochs=4, random_state=0)
    limited = comparison.fit_within(Autoencoder(2, epochs=4, random_state=0), train, 1000)
    np.testing.assert_array_equal(limited.transform(train), model.fit(train).transform(train))
    assert limited.callbacks is None
    assert limited.stop_reason_ == "epochs"


# What models are for


def two_patterns(n, seed):
    """Return rows of 12 zeros and ones around two opposite patterns."""
    random = np.random.default_rng(seed)
    patterns = np.array([[1] * 6 + [0] * 6, [0] * 6 + [1] * 6])
    flipped = random.random((n, 12)) < 0.1
    return np.abs(patterns[random.integers(2, size=n)] - flipped).astype(float)


def test_a_machine_is_judged_by_its_likelihood():
    train, test = two_patterns(1000, 0), two_patterns(400, 1)
    machine = RestrictedBoltzmannMachine(4, epochs=60, random_state=0).fit(train)
    row = comparison.compare({"machine": machine}, train, test)[0]
    share = np.clip(train.mean(0), 1e-3, 1 - 1e-3)
    independent = (test * np.log(share) + (1 - test) * np.log(1 - share)).sum(1).mean()
    assert row["task"]["kind"] == "density"
    assert row["task"]["baseline"] == pytest.approx(independent, abs=0.01)
    assert row["task"]["log_likelihood"] == pytest.approx(machine.log_likelihood(test).mean())
    # The rows carry log 2 + 12 h(.1) = 4.6 nats, where independent bits of 1/2 have 12 log 2 = 8.3.
    assert row["outcome"] == "better"
    assert row["task"]["log_likelihood"] - independent > 2
    assert "higher log-likelihood than independent Bernoulli variables" in row["verdict"]
    assert "PCA" not in row["verdict"]


def test_a_machine_that_has_learnt_nothing_is_not_better():
    train, test = two_patterns(1000, 0), two_patterns(400, 1)
    machine = RestrictedBoltzmannMachine(4, epochs=1, learning_rate=1e-9, random_state=0).fit(train)
    row = comparison.compare({"machine": machine}, train, test)[0]
    assert row["outcome"] in {"unclear", "worse"}


def test_a_machine_of_grey_values_is_judged_on_zeros_and_ones():
    train, test = (rows.reshape(len(rows), -1)[:, :16] / 255 for rows in photographs())
    machine = RestrictedBoltzmannMachine(6, epochs=3, random_state=0).fit(train)
    task = comparison.compare({"machine": machine}, train, test)[0]["task"]
    assert "zeros and ones drawn from the grey values" in task["verdict"]
    assert -16 * np.log(2) * 1.5 < task["baseline"] < 0


def test_a_gaussian_machine_is_compared_with_normal_variables():
    train, test = money_and_shares()
    machine = RestrictedBoltzmannMachine(4, visible="gaussian", epochs=5, random_state=0).fit(train)
    task = comparison.compare({"machine": machine}, train, test)[0]["task"]
    scaled = StandardScaler().fit(train).transform(test)
    assert task["baseline"] == pytest.approx(-0.5 * (scaled**2 + np.log(2 * np.pi)).sum(1).mean(), rel=1e-6)
    assert "independent normal variables" in task["verdict"]


def test_a_belief_network_is_not_judged():
    train, test = two_patterns(200, 0), two_patterns(100, 1)
    model = DeepBeliefNetwork(4, hidden_layers=(6,), epochs=2, random_state=0).fit(train)
    row = comparison.compare({"belief": model}, train, test)[0]
    assert row["outcome"] == "unclear"
    assert "not judged" in row["verdict"]


@pytest.mark.parametrize("name", ["photographs", "series"])
def test_a_denoiser_is_judged_by_what_it_restores(name):
    train, test = DATASETS[name]()
    train, test = (
        rows.reshape(len(rows), -1) / (255.0 if name == "photographs" else 1.0) for rows in (train, test)
    )
    model = DenoisingAutoencoder(
        8, noise="gaussian:std=0.2", scale="none", loss="mse", epochs=5, random_state=0
    )
    task = comparison.compare({"model": model.fit(train)}, train, test)[0]["task"]
    noisy = model.corrupt(test, random_state=0)
    peak = train.max() - train.min()

    def psnr(rows):
        return 10 * np.log10(peak**2 / ((rows - test) ** 2).mean())

    assert task["psnr_corrupted"] == pytest.approx(psnr(noisy))
    assert task["psnr"] == pytest.approx(psnr(model.denoise(noisy)))
    by_width = []
    for width in range(1, 41):
        pca = PCA(width).fit(train)
        by_width.append(psnr(pca.inverse_transform(pca.transform(noisy))))
    assert task["psnr_pca"] == pytest.approx(by_width[task["pca_components"] - 1], abs=1e-6)
    # The number of components is chosen on training rows, and nearly the best one for these.
    assert task["psnr_pca"] > max(by_width) - 0.2
    assert "dB" in task["headline"]


def test_a_variational_autoencoder_also_has_its_bound():
    train, test = money_and_shares()
    model = VariationalAutoencoder(2, epochs=5, random_state=0).fit(train)
    row = comparison.compare({"model": model}, train, test)[0]
    assert row["task"]["elbo"] == pytest.approx(model.elbo(test)["elbo"].mean(), rel=1e-6)
    assert "Evidence lower bound: " in row["verdict"]
    assert "PCA with 2 components" in row["verdict"]


# The page and the commands


def test_a_bad_verdict_does_not_look_like_a_good_one():
    train, test = money_and_shares()

    deep = Autoencoder(1, hidden_layers=(32,), epochs=60, random_state=0).fit(train)
    summary = summarise(
        {"deep": deep, "constant": Constant(train)},
        train, test, image_shape=None, seconds={}, settings={}, title="Money", feature_names=list("abcdefgh"),
    )  # fmt: skip
    assert [row["outcome"] for row in summary["rows"]] == ["better", "worse", None]
    page = render(summary)
    assert page.count('<strong class="better">') == page.count('<strong class="worse">') == 1
    for theme in page.split("--worse: ")[1:]:
        assert theme[:7] not in page[page.index("--accent: ") :][:30]
    assert "in standardized columns" in page
    assert "by PCA-1" in page


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Run in a folder with a table."""
    monkeypatch.chdir(tmp_path)
    train, _ = money_and_shares()
    header = "income,savings,rent,renting,rural,health,children,trips"
    np.savetxt("table.csv", train[:200], delimiter=",", header=header, comments="")
    return tmp_path


QUICK = ["--model", "single", "--n-components", "2", "--epochs", "3"]


@pytest.mark.parametrize("rare", [0, 1, 2])
def test_rare_classes_cost_a_number_and_not_the_run(rare, written, capsys):
    labels = np.r_[np.zeros(200 - rare, dtype=int), np.ones(rare, dtype=int)]
    np.savez("rare.npz", X=money_and_shares()[0][:200], y=labels)
    assert main(["compare", "rare.npz", *QUICK, "--json", "--no-rates"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"][0]["verdict"].startswith("single: ")
    in_test = np.random.default_rng(0).permutation(200)[:40]
    if len(np.unique(labels[in_test])) < 2:
        assert all(row["labels"]["separability"] is None for row in told["rows"])
        assert any(line.startswith("The class separability is left out: ") for line in told["notes"])
    if rare == 0:
        assert "The baseline lda is left out: it needs labels of at least two classes." in told["notes"]
        assert any(line.startswith("The probe accuracy is left out: ") for line in told["notes"])


def test_what_cannot_be_computed_is_none_and_a_warning():
    train, test = money_and_shares()
    twin, labels = {"twin": Baseline("pca", 2).fit(train)}, [np.zeros(len(rows)) for rows in (train, test)]
    with pytest.warns(NotComparedWarning) as caught:
        rows = comparison.compare(twin, train, test[:20], y_train=labels[0], y_test=labels[1][:20])
    told = [str(warning.message).partition(" is left out")[0] for warning in caught]
    assert told == [
        "The trustworthiness",
        "The class separability",
        "The 1-NN accuracy",
        "The probe accuracy",
    ]
    assert rows[0]["trustworthiness"] is None
    assert set(rows[0]["labels"].values()) == {None}


def test_compare_does_its_work_without_the_codec(written, capsys, monkeypatch):
    def missing(*_, **__):
        raise MissingDependencyError("Compression needs the package constriction.")

    monkeypatch.setattr(comparison, "all_rates", missing)
    assert main(["compare", "table.csv", *QUICK, "--report", "page", "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["rates"] == []
    assert "Compressed sizes are left out: Compression needs the package constriction." in told["notes"]
    assert "Compressed sizes are left out" in err
    assert (written / "page" / "index.html").exists()


def test_the_commands_name_the_space_and_the_unit_of_each_column(written, capsys):
    pd = pytest.importorskip("pandas")
    assert main(["compare", "table.csv", *QUICK, "--no-rates", "-o", "numbers.csv"]) == 0
    out = capsys.readouterr().out
    assert "in standardized columns" in out
    assert "RMSE in the unit of each column" in out
    assert "health" in out
    assert (
        main(
            ["fit", "table.csv", "-o", "model", "--n-components", "2", "--epochs", "3", "--random-state", "0"]
        )
        == 0
    )
    printed = capsys.readouterr().out
    score = load("model").score(pd.read_csv("table.csv"))
    assert f"{100 * score:.1f}% of the variance explained, in standardized columns" in printed
    assert main(["evaluate", "model", "table.csv", "--reference", "table.csv", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["explained_variance"] == pytest.approx(score)
    assert told["pca"]["space"] == told["space"] == "standard"
    assert main(["evaluate", "model", "table.csv", "--reference", "table.csv", "--space", "raw"]) == 0
    assert "in the units of the data" in capsys.readouterr().out
    assert main(["evaluate", "model", "table.csv", "--space", "raw"]) == 2


def test_a_limit_that_is_reached_is_named(written, capsys):
    options = ["--model", "deep", "--n-components", "2", "--seconds", "0.001", "--no-rates"]
    assert main(["compare", "table.csv", *options]) == 0
    assert "Training stopped after 1 of " in capsys.readouterr().out


def test_frames_are_compared_by_their_names():
    pd = pytest.importorskip("pandas")
    train, test = (pd.DataFrame(rows, columns=list("abcdefgh")) for rows in money_and_shares())
    model = Autoencoder(2, epochs=2, random_state=0).fit(train)
    framed = comparison.compare({"model": model}, train, test)
    plain = comparison.compare({"model": model}, train.to_numpy(), test.to_numpy())  # and no warning
    assert framed[0] == plain[0]
    assert comparison.evaluate(model, test)["sse"] == framed[0]["sse"]
    with pytest.raises(
        DataError, match=r"the test rows of compare should match .* the column 'h' where X has 'a'"
    ):
        comparison.compare({"model": model}, train, test[list("hbcdefga")])
    with pytest.raises(DataError, match="should match those that model was fitted on"):
        comparison.compare({"model": model}, train[list("hbcdefga")], test[list("hbcdefga")])


def test_tensors_are_compared_like_arrays():
    torch = pytest.importorskip("torch")
    train, test = photographs()
    model = Autoencoder(4, epochs=1, random_state=0).fit(train)
    tensors = comparison.compare({"model": model}, torch.tensor(train), torch.tensor(test))
    assert tensors[0] == comparison.compare({"model": model}, train, test)[0]


# At the edges


def verdict_of_pca(X, width=1, **options):
    half = 2 * len(X) // 3
    model = {"p": PCA(width, svd_solver="full").fit(X[:half])}
    return comparison.compare(model, X[:half], X[half:], **options)[0]


@pytest.mark.parametrize("factor", [1.0, 1e5, 1e9, 1e-9])
def test_the_rank_does_not_depend_on_units(factor):
    X = np.random.default_rng(0).normal(size=(300, 5)) * [factor, 1, 1, 1, 1]
    row = verdict_of_pca(X, 3, space="raw")
    assert (row["compared_width"], row["width_reason"], row["outcome"]) == (3, "", "equal")
    assert comparison.Spectrum(X, X).rank == 5


@pytest.mark.filterwarnings("ignore::isthmus.errors.NotComparedWarning")
def test_rounding_decides_nothing():
    one = np.random.default_rng(0).normal(size=(60, 1))
    # One column is the other in other units: the rank is 1, and PCA has no error but for rounding.
    row = verdict_of_pca(np.hstack([one, 1000 * one + 5]), space="standard")
    assert row["outcome"] == "equal"
    assert row["width_reason"] == ""
    assert row["relative"] is None
    worse = comparison.compare({"c": Constant(one)}, one, one, space="raw")[0]
    assert worse["outcome"] == "worse"
    assert worse["verdict"].endswith("has no error but for rounding. Use PCA.")


@pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")
def test_pca_of_as_many_components_as_the_rank_is_no_reference_for_wider_codes():
    random = np.random.default_rng(0)
    X = np.c_[random.normal(size=(300, 2)), np.eye(3)[random.integers(0, 3, 300)]]  # rank 4
    models = {"twin": standardized_pca(X, 4), "short": standardized_pca(X, 3)}
    models["narrow"] = Autoencoder(4, epochs=2, random_state=0).fit(X)
    models["wide"] = SparseAutoencoder(9, code_activation="identity", epochs=2, random_state=0).fit(X)
    twin, short, narrow, wide, *_ = comparison.compare(models, X, X)
    assert (twin["outcome"], short["outcome"], narrow["outcome"]) == ("equal", "equal", "worse")
    assert (wide["outcome"], wide["compared_width"]) == ("unclear", 4)
    assert "wide: not compared, as PCA with 4 components (the rank of the data)" in wide["verdict"]


def test_a_denoiser_of_pairs_is_not_judged_without_its_clean_rows():
    train, test = (rows.reshape(len(rows), -1) / 255 for rows in photographs())
    noisy = np.clip(train + 0.1 * np.random.default_rng(0).normal(size=train.shape), 0, 1)
    model = DenoisingAutoencoder(8, epochs=2, random_state=0).fit(noisy, train)
    assert (
        "not judged. It was trained on pairs" in comparison.compare({"d": model}, train, test)[0]["verdict"]
    )


@pytest.mark.parametrize("labels", ["one each", "numbers", "None among them"])
def test_labels_that_are_no_classes_cost_numbers_and_not_the_run(labels, written, capsys):
    y = {"one each": np.arange(200), "numbers": np.random.default_rng(0).normal(size=200)}.get(labels)
    if y is None:
        train, test = money_and_shares()
        y = np.array([None, "a"] * 250, dtype=object)
        with pytest.warns(NotComparedWarning):
            comparison.compare({"p": Baseline("pca", 2).fit(train)}, train, test, y_train=y, y_test=y[:100])
        return
    np.savez("labelled.npz", X=money_and_shares()[0][:200], y=y)
    assert main(["compare", "labelled.npz", *QUICK, "--no-rates", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert any(line.startswith("The baseline lda is left out") for line in told["notes"])


@pytest.mark.filterwarnings("ignore::isthmus.errors.NotComparedWarning")
@pytest.mark.parametrize("rows", [1, 3, "30 copies of one"])
def test_a_few_rows_make_no_verdict(rows):
    train, test = money_and_shares()
    model = {"k": Baseline("kmeans", 2).fit(train)}
    few = np.repeat(test[:1], 30, axis=0) if isinstance(rows, str) else test[:rows]
    row = comparison.compare(model, train, few)[0]
    assert (row["outcome"], row["interval"]) == ("unclear", None)
    assert "too few different test rows" in row["verdict"]
    if rows != 3:
        assert row["explained_variance"] is None
        model = Autoencoder(2, epochs=2, random_state=0).fit(train)
        assert not np.isfinite(model.score(few))


@pytest.mark.parametrize(
    ("models", "train", "error", "message"),
    [
        ([1], 0, InvalidParameterError, "a mapping of names to fitted models"),
        ({"a": Autoencoder(2)}, 0, NotFittedError, "Autoencoder"),
        ({"a": KernelPCA(2)}, 0, DataError, "cannot be reconstructed by a \\(KernelPCA\\)"),
        ({}, np.nan, DataError, "X_train of compare has NaN or infinity in row 3"),
    ],
)
def test_what_cannot_be_compared_is_named(models, train, error, message):
    X = money_and_shares()[0][:60].copy()
    for model in models.values() if isinstance(models, dict) else ():
        if isinstance(model, KernelPCA):
            model.fit(X)
    X[3] += train
    with pytest.raises(error, match=message):
        comparison.compare(models, X, X)


def test_labels_of_two_kinds_are_refused():
    train, test = money_and_shares()
    with pytest.raises(DataError, match="text and numbers"):
        comparison.compare(
            {"p": Baseline("pca", 2).fit(train)}, train, test, y_train=["a"] * 500, y_test=np.zeros(100)
        )


def test_baselines_that_cannot_be_fitted_are_refused_before_training(written, capsys):
    assert main(["compare", "table.csv", *QUICK, "--baseline", "nmf"]) == 2
    err = capsys.readouterr().err
    assert (
        "The baseline nmf needs data without negative values, which table.csv in standardized columns" in err
    )
    assert "epochs" not in err
    assert main(["compare", "table.csv", *QUICK, "--baseline", "nmf", "--space", "minmax", "--no-rates"]) == 0


def test_a_mistake_of_units_is_told_once_and_by_name(written, capsys):
    _, test = money_and_shares()
    header = "income,savings,rent,renting,rural,health,children,trips"
    np.savetxt("moved.csv", test * np.r_[1, 1000, np.ones(6)], delimiter=",", header=header, comments="")
    assert main(["compare", "table.csv", *QUICK, "--test", "moved.csv", "--no-rates", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err.count("'savings'") == 1
    assert sum("'savings'" in line for line in json.loads(out)["notes"]) == 1
