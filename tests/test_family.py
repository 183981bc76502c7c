"""Every network with every bottleneck, loss, penalty and noise that goes with it: one test for all."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from helpers import BOTTLENECKS, LOSSES, NETWORKS, NOISES, PENALTIES
from isthmus import Autoencoder, load
from isthmus.bottlenecks import Gaussian, Plain, VectorQuantized
from isthmus.errors import InvalidParameterError
from isthmus.networks import Convolutional, Dense, Recurrent, Transformer
from isthmus.objectives import BinaryCrossEntropy, Masking, Patches

# That a unit dies or a code collapses in a few steps on a few digits is not the subject here.
pytestmark = pytest.mark.filterwarnings("ignore::isthmus.errors.DeadCodeWarning")


@cache
def images():
    """Return 400 digits to train on and 100 others, of 8 x 8 pixels, 0 or 1."""
    pixels = (load_digits().images > 8).astype(float)
    return pixels[:400], pixels[400:500]


def variant(network, **parts):
    """Return an estimator of these parts that learns in a second."""
    settings = {"epochs": 16, "batch_size": 25, "learning_rate": 0.01, "random_state": 0}
    if network.has_hidden_layers:
        settings["hidden_layers"] = (32,)
    return Autoencoder(8, network=network, **settings, **parts)


#: The quickest of each kind of network, for parts that know nothing of networks.
QUICK = [NETWORKS[0], NETWORKS[2], NETWORKS[3], NETWORKS[5]]


def combinations():
    """Yield what makes sense: each network with each bottleneck, and with every other kind of part."""
    for network in NETWORKS:
        for bottleneck in BOTTLENECKS:
            # The tight bounds need more steps than there are here to move a slow network.
            if getattr(bottleneck, "bound", "elbo") == "elbo" or network in (NETWORKS[0], NETWORKS[2]):
                yield network, {"bottleneck": bottleneck}
    for network in QUICK:
        for noise in NOISES:
            yield network, {"noise": noise}
        for penalty in PENALTIES:
            if getattr(penalty, "weight", 0) < 0.2 or network in QUICK[:2]:
                yield network, {"penalty": penalty.replace(weight=penalty.weight * MILD.get(penalty.name, 1))}
    for loss in LOSSES:
        if loss.support != "counts":
            yield NETWORKS[2], {"loss": loss}
            for bottleneck in BOTTLENECKS:
                tight = getattr(bottleneck, "bound", "elbo") != "elbo"
                if (loss.is_likelihood or not bottleneck.needs_likelihood) and (loss.bounded or not tight):
                    yield Dense(), {"loss": loss, "bottleneck": bottleneck}


#: Factors that make penalties a hindrance and not a veto.
MILD = {"l1": 0.01, "l2": 0.01, "elastic": 0.01}


def readable(value):
    if isinstance(value, dict):
        return " ".join(f"{name}={part}" for name, part in value.items())
    return str(value)


#: What stands for its kind with the slower networks and with every loss.
TYPICAL = {Plain(), Gaussian(beta=0.1), VectorQuantized(n_codes=32), Masking(share=0.2), BinaryCrossEntropy()}


def is_quick(network, parts):
    """Return whether a combination is among the fast tests: all of dense nets, and the typical of the others."""
    if len(parts) == 2:
        return parts["bottleneck"] in TYPICAL and not isinstance(parts["bottleneck"], VectorQuantized)
    return network == Dense() or TYPICAL.issuperset(parts.values())


@pytest.mark.parametrize(
    ("network", "parts"),
    [
        pytest.param(
            *both, marks=[] if is_quick(*both) else pytest.mark.slow, id=" ".join(map(readable, both))
        )
        for both in combinations()
    ],
)
def test_the_family(network, parts, tmp_path):
    train, test = images()
    model = variant(network, **parts).fit(train)
    twin = clone(model).set_params(epochs=1, learning_rate=1e-12).fit(train)

    assert model.score_samples(test).mean() > twin.score_samples(test).mean() + 0.5, (
        "no better than untrained"
    )
    if model.settings_.loss.name not in {"l1", "laplace"}:  # which copy the median, not the mean
        assert model.score(test) > max(0.0, twin.score(test)), "no better than the mean"

    before = dict(twin._assembly.named_parameters())
    for name, weight in model._assembly.named_parameters():
        assert not np.array_equal(weight.detach(), before[name].detach()), f"{name} has not moved"

    codes = model.transform(test)
    assert codes.dtype == np.float64
    chosen = np.random.default_rng(0).permutation(len(test))[:7]
    np.testing.assert_allclose(model.transform(test[chosen]), codes[chosen], rtol=1e-9, atol=1e-11)
    single = model.transform(test.astype(np.float32))
    assert single.dtype == np.float32
    # Near the border of two entries, rounding decides.
    assert np.isclose(single, codes, rtol=1e-3, atol=1e-4).mean() > 0.97

    assert model.inverse_transform(codes).shape == test.shape
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.transform(test), codes)
    np.testing.assert_array_equal(again.reconstruct(test), model.reconstruct(test))
    assert again.settings_ == model.settings_
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.support == "counts"], ids=str)
@pytest.mark.parametrize("bottleneck", ["plain", "gaussian"])
def test_the_family_on_counts(loss, bottleneck):
    random = np.random.default_rng(0)
    hidden = random.normal(size=(600, 2))
    rates = np.exp(hidden @ random.normal(size=(2, 12)) * 0.7 + 1)
    counts = random.poisson(rates)
    model = Autoencoder(
        2, hidden_layers=(24,), loss=loss, bottleneck=bottleneck, epochs=40, random_state=0
    ).fit(counts[:500])
    assert model.encoder_.scaling.trivial
    copies = model.reconstruct(counts[500:])
    assert (copies > 0).all()
    # What is copied is the rate behind a count: nearer to it than the mean of all rows is.
    error = np.abs(np.log(copies) - np.log(rates[500:])).mean()
    assert error < 0.6 * np.abs(np.log(counts[:500].mean(0)) - np.log(rates[500:])).mean()


REFUSED = {
    "tied convolutions": ({"network": "convolutional", "tied": True}, "'tied' .* network='convolutional'"),
    "tied Gaussian": ({"bottleneck": "gaussian", "tied": True}, "'tied' .* bottleneck='gaussian'"),
    "hidden layers of a transformer": (
        {"network": "transformer", "hidden_layers": (8,)},
        r"'hidden_layers' .* must be \(\) with network='transformer'",
    ),
    "nats and squares": (
        {"bottleneck": "gaussian", "loss": "mse"},
        "'loss' .* likelihood .* Use 'bce', 'gaussian'",
    ),
    "a rectified mean": (
        {"bottleneck": "gaussian", "code_activation": "relu"},
        "'code_activation' .* 'identity' with bottleneck='gaussian'",
    ),
    "KL without a sigmoid": ({"penalty": "kl", "code_activation": "relu"}, "'sigmoid' with penalty='kl'"),
    "KL of entries": (
        {"penalty": "kl", "bottleneck": "vq"},
        "'kl' with bottleneck='vq'.* It goes with 'plain'",
    ),
    "slope of entries": ({"penalty": "contractive", "bottleneck": "topk"}, "with bottleneck='topk'"),
    "entries like a normal distribution": (
        {"penalty": "mmd", "bottleneck": "fsq:levels=(3,3)"},
        "'plain' and 'gaussian'",
    ),
    "slope, compiled": ({"penalty": "contractive", "compile": True}, "'compile' .* penalty='contractive'"),
    "binary numbers": ({"noise": "binarization", "loss": "mse"}, "'noise' .* 'binarization' with loss='mse'"),
    "too many active": ({"bottleneck": "topk:k=9"}, "'k' parameter of TopK must be at most n_components, 8"),
    "vectors that do not fit": (
        {"bottleneck": "vq:dimension=3"},
        "'dimension' .* a divisor of n_components, 8",
    ),
    "levels that do not fit": ({"bottleneck": "fsq:levels=(4,4,4)"}, "'levels' .* divide n_components, 8"),
    "a bound with beta": (
        {"bottleneck": {"part": "gaussian", "bound": "iwae", "beta": 2.0}},
        "'bound' .* 'elbo' where beta",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused_by_name(name):
    parts, message = REFUSED[name]
    with pytest.raises(InvalidParameterError, match=message) as caught:
        Autoencoder(8, epochs=1, **parts).fit(images()[0])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (Recurrent(), (3, 4, 5), r"Rows of shape \(3, 4, 5\) are no sequences for Recurrent"),
        (Recurrent(n_features=7), (12,), "with n_features=7, which does not divide them"),
        (Convolutional(), (2, 3, 4, 5), r"are no images for Convolutional: give \(n, height, width\)"),
        (Convolutional(image_shape=(5, 5)), (24,), r"have 24 values, but the image_shape=\(5, 5\) .* has 25"),
        (Transformer(tokens="patches"), (24,), "are no images for Transformer.* tokens='columns'"),
    ],
    ids=str,
)
def test_shapes_that_suit_no_network_are_named(network, shape, message):
    rows = np.random.default_rng(0).random((20, *shape))
    with pytest.raises(ValueError, match=message):
        Autoencoder(2, network=network, epochs=1).fit(rows)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_images_come_back_in_their_shape_and_others_are_named(network):
    train, test = images()
    model = variant(network).set_params(epochs=1).fit(train)
    assert model.input_shape_ == (8, 8)
    np.testing.assert_array_equal(model.transform(test.reshape(-1, 64)), model.transform(test))
    with pytest.raises(
        ValueError, match=r"X has rows of shape \(4, 16\), but Autoencoder is expecting .* \(8, 8\)"
    ):
        model.transform(test.reshape(-1, 4, 16))


def test_colour_images_of_any_size():
    random = np.random.default_rng(0)
    colours = random.random((200, 3, 1, 1)) * np.ones((1, 1, 13, 10))
    for network in (
        Convolutional(),
        Convolutional(channels=(6,), downsampling="stride"),
        Transformer(width=16),
    ):
        model = Autoencoder(3, network=network, epochs=30, random_state=0).fit(colours)
        assert model.reconstruct(colours).shape == (200, 3, 13, 10)
        assert model.score(colours) > 0.5, network


def test_the_same_seed_gives_the_same_bits_whatever_is_drawn():
    train, _ = images()
    for parts in ({"bottleneck": Gaussian()}, {"noise": Patches(size=2)}, {"bottleneck": "vq:n_codes=16"}):
        one, other = (
            variant(Dense(), **parts).set_params(epochs=2, random_state=5).fit(train) for _ in range(2)
        )
        np.testing.assert_array_equal(one.transform(train), other.transform(train))
        assert [row["loss"] for row in one.history_] == [row["loss"] for row in other.history_]


def test_defaults_are_the_parts_of_before():
    """Files of before networks, bottlenecks and noise were parts say nothing of them."""
    settings = (
        Autoencoder(2, epochs=1, random_state=0).fit(np.random.default_rng(0).random((30, 6))).settings_
    )
    assert (settings.network, settings.bottleneck, settings.noise) == (Dense(), Plain(), None)
    names = {field.name: field.default for field in dataclasses.fields(settings)}
    assert (names["network"], names["bottleneck"], names["noise"]) == (Dense(), Plain(), None)
    assert settings.loss == BinaryCrossEntropy()
