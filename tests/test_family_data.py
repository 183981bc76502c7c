"""Every estimator on data that are not digits: tables with units, photographs, series, embeddings, spectra."""

from __future__ import annotations

import numpy as np
import pytest

from data_sets import DATASETS, money_and_shares
from helpers import ESTIMATORS
from isthmus import DeepBeliefNetwork, MaskedAutoencoder, SequenceAutoencoder, load

# That a unit dies in a short training is not the subject here.
pytestmark = pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.__name__)

#: Trainings here are short; a transformer and a recurrent network take longer over an epoch.
EPOCHS = {MaskedAutoencoder: 5, SequenceAutoencoder: 5}

#: Where so short a training does not beat the mean row, and why.
NOT_YET = {
    **{
        (MaskedAutoencoder, name): "a transformer needs more steps"
        for name in DATASETS
        if name != "photographs"
    },
    (SequenceAutoencoder, "embeddings"): "columns of embeddings are in no order of time",
    (
        DeepBeliefNetwork,
        "money_and_shares",
    ): "Gaussian units of a deep belief network need more steps on a table",
}


@every_estimator
@pytest.mark.parametrize("name", DATASETS)
def test_every_family_learns_any_data(estimator, name, tmp_path):
    train, test = DATASETS[name]()
    row_shape = train.shape[1:]
    width = min(8, int(np.prod(row_shape)) // 2)
    model = estimator(width, epochs=EPOCHS.get(estimator, 15), batch_size=32, random_state=0).fit(train)

    codes = model.transform(test)
    copies = model.reconstruct(test)
    assert codes.shape == (len(test), width)
    assert copies.shape == (len(test), *row_shape)
    precision = np.float64 if train.dtype == np.float64 else np.float32
    assert codes.dtype == copies.dtype == precision
    assert np.isfinite(codes).all()
    assert np.isfinite(copies).all()
    np.testing.assert_array_equal(model.inverse_transform(codes).shape, copies.shape)
    assert list(model.get_feature_names_out()) == [f"{estimator.__name__.lower()}{i}" for i in range(width)]

    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.transform(test), codes)
    assert again.input_shape_ == row_shape

    # The least of two seeds is .14, of a sparse code on embeddings .47; most explain more than .8.
    if (estimator, name) not in NOT_YET:
        assert model.score(test) > 0.1


@every_estimator
@pytest.mark.parametrize("column", [0, 4, 7], ids=["money", "a share", "a count"])
def test_the_unit_of_a_column_changes_nothing(estimator, column):
    if estimator is SequenceAutoencoder:
        pytest.skip("the values of a series have one unit, and are scaled together")
    train, test = money_and_shares()
    unit = np.where(np.arange(8) == column, 1000.0, 1.0)
    parameters = {"epochs": 3, "batch_size": 32, "random_state": 0}
    model = estimator(4, **parameters).fit(train)
    other = estimator(4, **parameters).fit(train * unit)
    codes = model.transform(test)
    # Equal but for the last digits, which a few steps of training do not multiply to more than this.
    np.testing.assert_allclose(other.transform(test * unit), codes, atol=1e-3 * codes.std())
    spread = train.std(axis=0)
    np.testing.assert_allclose(
        other.reconstruct(test * unit) / unit / spread, model.reconstruct(test) / spread, atol=1e-3
    )
    assert other.score(test * unit) == pytest.approx(model.score(test), abs=1e-3)
