"""What a report shows of Boltzmann machines and of networks that were trained layer by layer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from isthmus import Autoencoder, DeepBeliefNetwork, RestrictedBoltzmannMachine, plots
from isthmus.comparison import Reconstruction
from isthmus.report import render, summarise
from isthmus.report.model_pictures import SHOWN_IMAGES, STEPS_OF_CHAINS, pictures_of

pytestmark = pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")


@pytest.fixture(scope="module")
def machine(digits):
    return RestrictedBoltzmannMachine(12, epochs=3, random_state=0).fit(digits[0])


def pictures_for(model, X, image_shape=(8, 8)):
    codes = model.transform(X)
    copies = np.asarray(model.inverse_transform(codes)).reshape(len(X), -1)
    return pictures_of("it", model, X, Reconstruction(codes, copies), image_shape)


def recorded(monkeypatch, name):
    """Return the list of what a plot is going to be called with, in the light theme."""
    calls, draw = [], getattr(plots, name)

    def record(*arguments, theme):
        if theme is plots.LIGHT:
            calls.append(arguments)
        return draw(*arguments, theme=theme)

    monkeypatch.setattr(plots, name, record)
    return calls


def test_weights_chains_and_steps_of_a_machine(machine, digits, monkeypatch):
    grids, strips = recorded(monkeypatch, "filters"), recorded(monkeypatch, "reconstructions")
    test = digits[1]
    drawn = pictures_for(machine, test)
    np.testing.assert_array_equal(grids[0][0], machine.components_)
    assert STEPS_OF_CHAINS[0] == 1
    for (originals, rows, shape), method in zip(strips, (machine.gibbs, machine.reconstruct), strict=True):
        np.testing.assert_array_equal(originals, test[:SHOWN_IMAGES])
        assert shape == (8, 8)
        for n, (label, images) in zip(STEPS_OF_CHAINS, rows.items(), strict=True):
            assert label == f"{n} step{'s' if n > 1 else ''}"
            np.testing.assert_array_equal(images, method(test[:SHOWN_IMAGES], n, random_state=0))
    assert "12 hidden units of it" in drawn["weights"]["alt"]
    assert "1, 10, 100 and 1000 steps" in drawn["chains"]["alt"]
    assert "in the mean" in drawn["steps"]["caption"]


def test_machines_on_rows_that_are_no_images(digits):
    model = RestrictedBoltzmannMachine(5, visible="gaussian", scale="standard", epochs=2, random_state=0)
    assert list(pictures_for(model.fit(digits[0]), digits[1], None)) == [
        "latent-map",
        "activity",
        "correlations",
    ]


def test_others_with_components_are_no_machines(digits):
    drawn = pictures_for(PCA(4).fit(digits[0]), digits[1])
    assert not {"weights", "chains", "steps", "layers"} & set(drawn)


def test_layers_have_curves_where_there_were_any(digits, monkeypatch):
    curves = recorded(monkeypatch, "loss_curves")
    settings = {"hidden_layers": (20,), "epochs": 1, "random_state": 0}
    plain = Autoencoder(4, **settings).fit(digits[0])
    assert "layers" not in pictures_for(plain, digits[1])
    model = Autoencoder(4, initialization="stacked:epochs=3", **settings).fit(digits[0])
    drawn = pictures_for(model, digits[1])
    (by_layer,) = curves[-1]
    assert {name: len(rows) for name, rows in by_layer.items()} == {"layer 1": 3, "layer 2": 3}
    assert [row for rows in by_layer.values() for row in rows] == model.pretraining_history_
    assert "layer 2: from" in drawn["layers"]["alt"]


@pytest.mark.slow
def test_a_page_of_them_all(machine, digits):
    train, test = digits
    models = {
        "plain": Autoencoder(6, hidden_layers=(20,), epochs=2, random_state=0),
        "pretrained": Autoencoder(
            6, hidden_layers=(20,), initialization="stacked:epochs=2", epochs=2, random_state=0
        ),
        "belief": DeepBeliefNetwork(6, hidden_layers=(12,), epochs=2, random_state=0),
    }
    models = {"machine": machine} | {name: model.fit(train) for name, model in models.items()}
    summary = summarise(
        models,
        train,
        test,
        image_shape=(8, 8),
        seconds=dict.fromkeys(models, 1.0),
        settings={name: {} for name in models},
        title="Machines",
    )
    page = render(summary)
    for words in (
        "the weights of all of the 12 hidden units of machine",
        "2 layers of pretrained",
        "Gibbs sampling",
    ):
        assert words in page
    # Learning curves with and without pretraining stand in one picture.
    assert "plain: from" in page
    assert "pretrained: from" in page
