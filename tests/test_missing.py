"""Rows with gaps: refused by name, or trained on what is observed."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer

from isthmus import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    RestrictedBoltzmannMachine,
    SparseAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
    load,
)
from isthmus.cli import main
from isthmus.errors import DataError, InvalidParameterError
from isthmus.estimators._building import store_rows
from isthmus.estimators._trainer import Trainer

MODELS = [
    Autoencoder,
    VariationalAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    KSparseAutoencoder,
    ContractiveAutoencoder,
    VectorQuantizedAutoencoder,
]


@pytest.fixture(scope="module")
def whole():
    return load_breast_cancer().data[:300]


@pytest.fixture(scope="module")
def holes(whole):
    return np.random.default_rng(0).random(whole.shape) < 0.3


@pytest.fixture(scope="module")
def gappy(whole, holes):
    return np.where(holes, np.nan, whole)


def masking(model=Autoencoder, **parameters):
    return model(
        6, **{"missing": "mask", "hidden_layers": (64,), "epochs": 60, "random_state": 0, **parameters}
    )


@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")
@pytest.mark.parametrize("model", MODELS)
def test_what_is_missing_is_filled_in_better_than_by_means(model, whole, gappy, holes):
    fitted = masking(model).fit(gappy)
    unit = whole.std(axis=0)

    def error(filled):
        return np.square((filled - whole) / unit)[holes].mean()

    assert error(fitted.reconstruct(gappy)) < 0.6 * error(SimpleImputer().fit_transform(gappy))
    assert np.isfinite(fitted.transform(gappy)).all()
    assert np.isfinite(fitted.score_samples(gappy)).all()
    assert fitted.score(gappy) > 0.5


def test_what_is_missing_has_no_say(whole, holes, gappy, monkeypatch):
    """A value that is not observed has no gradient, whatever the network says in its place."""
    model = masking(epochs=1).fit(gappy)
    rows = store_rows(gappy[:20].astype(np.float32), model.encoder_.scaling)
    objective = Trainer(model._assembly, model.settings_, (30,), 0.1)._objective(rows, None)
    values = rows.values.clone().requires_grad_()
    import torch

    from isthmus.training import Batch

    loss = objective(model._assembly, Batch(values, torch.arange(20)))["loss"]
    loss.backward()
    assert torch.equal(values.grad[values.isnan()], torch.zeros(int(holes[:20].sum())))
    assert values.grad[~values.isnan()].abs().min() > 0


def test_rows_without_gaps_train_alike(whole):
    """Up to rounding: the way to the gradient is another."""
    plain = masking(missing="refuse", epochs=3).fit(whole)
    masked = masking(epochs=3).fit(whole)
    assert np.allclose(plain.transform(whole), masked.transform(whole), atol=1e-3)


def test_a_saved_model_fills_gaps_alike(gappy, tmp_path):
    model = masking(epochs=5).fit(gappy)
    model.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").reconstruct(gappy), model.reconstruct(gappy))


def test_counts_with_gaps():
    rng = np.random.default_rng(0)
    X = rng.poisson(np.exp(rng.normal(size=(200, 2)) @ rng.normal(size=(2, 12)))).astype(float)
    gappy = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    model = Autoencoder(
        2, loss="poisson", missing="mask", hidden_layers=(32,), epochs=60, random_state=0
    ).fit(gappy)
    copies = model.reconstruct(gappy)
    hidden = np.isnan(gappy)
    mean = np.broadcast_to(np.nanmean(gappy, axis=0), X.shape)
    assert np.square(np.log1p(copies) - np.log1p(X))[hidden].mean() < (
        0.7 * np.square(np.log1p(mean) - np.log1p(X))[hidden].mean()
    )


def test_gaps_are_refused_otherwise(gappy):
    pattern = r"contains NaN in row 0, column \d+, and \d+ more such rows\. .*missing='mask'\."
    with pytest.raises(DataError, match=pattern):
        Autoencoder(6).fit(gappy)
    with pytest.raises(DataError, match="SimpleImputer"):
        RestrictedBoltzmannMachine(6).fit(gappy)
    with pytest.raises(DataError, match="contains NaN"):
        Autoencoder(6, network="transformer", missing="refuse", epochs=1).fit(gappy)
    infinite = gappy.copy()
    infinite[3, 2] = np.inf
    with pytest.raises(DataError, match=r"infinity \(inf\) in row 3, column 2"):
        masking().fit(infinite)


def test_rows_of_nothing_are_refused(gappy):
    empty = gappy.copy()
    empty[7] = np.nan
    with pytest.raises(DataError, match="nothing but NaN in row 7"):
        masking().fit(empty)


def test_what_needs_whole_rows_is_refused_by_name(gappy):
    for start in ("pca", "stacked", "rbm"):
        with pytest.raises(InvalidParameterError, match=f"'missing' .*initialization='{start}'"):
            Autoencoder(6, missing="mask", initialization=start, activation="sigmoid").fit(gappy)
    with pytest.raises(InvalidParameterError, match=r"'missing' parameter .* must be one of"):
        Autoencoder(6, missing="drop").fit(np.nan_to_num(gappy))


def test_a_frame_with_missing_values(gappy):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(gappy, columns=[f"c{number}" for number in range(30)])
    model = masking(epochs=3).fit(frame)
    assert np.array_equal(model.transform(frame), masking(epochs=3).fit(gappy).transform(gappy))
    column = str(frame.columns[np.flatnonzero(np.isnan(gappy[0]))[0]])
    with pytest.raises(DataError, match=f"row 0, column '{column}'"):
        Autoencoder(6).fit(frame)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_commands_take_gaps(kind, gappy, tmp_path, capsys):
    path = tmp_path / f"rows.{kind}"
    if kind == "csv":
        lines = (",".join("" if np.isnan(value) else repr(value) for value in row.tolist()) for row in gappy)
        path.write_text("\n".join(lines))
    else:
        pandas = pytest.importorskip("pandas")
        pandas.DataFrame(gappy).rename(columns=str).to_parquet(path)
    model, out = str(tmp_path / "model"), str(tmp_path / "filled.npy")
    command = ["fit", str(path), "-o", model, "--n-components", "6", "--epochs", "3"]
    if kind == "csv":
        assert main(command) == 2
        assert "a value is missing" in capsys.readouterr().err
    assert main([*command, "--missing", "mask", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)["train"]
    assert numbers["explained_variance"] > 0
    assert numbers["sse"] is None
    assert main(["reconstruct", model, str(path), "-o", out]) == 0
    assert np.isfinite(np.load(out)).all()
