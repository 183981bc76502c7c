"""Networks beyond the dense one: known answers, gaps, shapes, and modules of the user's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from torch import nn
from torch.nn import functional

from helpers import sse
from isthmus import (
    Autoencoder,
    ConvolutionalAutoencoder,
    MaskedAutoencoder,
    SequenceAutoencoder,
    VariationalAutoencoder,
    load,
)
from isthmus.errors import DataError, InvalidParameterError, InvalidTypeError, ModelFileError
from isthmus.networks import Convolutional, Dense, Modules, Recurrent, Transformer
from isthmus.networks.architecture import Image
from isthmus.networks.convolutional import DoublingConvolution, Flatten, Unflatten
from isthmus.networks.transformer import Cut

generator = torch.Generator().manual_seed(0)


def built(architecture, shape, n_components=4, n_inputs=None, hidden=(), activation="relu"):
    return architecture.build(
        shape, n_inputs or n_components, n_components,
        hidden_layers=hidden, activation=activation, tied=False, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip


# Convolutions


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("size", [(10, 8), (9, 7), (10, 7)], ids=str)
def test_doubling_is_repeating_each_value_and_then_convolving(kernel_size, size):
    layer = DoublingConvolution(3, 5, kernel_size, size, generator).double()
    images = torch.randn(2, 3, 5, 4, dtype=torch.float64, generator=generator)
    repeated = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    wanted = functional.conv2d(repeated, layer.weight, layer.bias, padding=kernel_size // 2)
    torch.testing.assert_close(layer(images), wanted[..., : size[0], : size[1]])


def test_a_flat_image_stays_flat_through_a_doubling():
    """No checkerboard: what is the same everywhere comes out the same everywhere, but at the border."""
    layer = DoublingConvolution(2, 1, 3, (12, 12), generator)
    doubled = layer(torch.ones(1, 2, 6, 6))[..., 1:-1, 1:-1]
    torch.testing.assert_close(doubled, doubled[..., :1, :1].expand_as(doubled))


def test_the_net_of_the_text_has_its_code_and_its_shapes():
    network = built(Convolutional(channels=(16, 8, 8)), (28, 28), 128)
    assert Convolutional().natural_width((28, 28)) == Convolutional().natural_width((784,)) == 128
    kernels = [tuple(p.shape) for name, p in network.named_parameters() if name.endswith("weight")]
    assert kernels == [
        (16, 1, 3, 3), (8, 16, 3, 3), (8, 8, 3, 3),
        (8, 8, 3, 3), (8, 8, 3, 3), (16, 8, 3, 3), (1, 16, 3, 3),
    ]  # fmt: skip
    assert network.encoder(torch.rand(3, 784)).shape == (3, 128)
    assert network.decoder(torch.rand(3, 128)).shape == (3, 784)


def test_a_map_lies_position_by_position_in_the_code():
    maps = torch.arange(24.0).view(1, 4, 2, 3)  # channels, height, width
    code = Flatten()(maps)
    assert code[0, :4].tolist() == maps[0, :, 0, 0].tolist()
    torch.testing.assert_close(Unflatten(Image(4, 2, 3), positions_first=True)(code), maps)
    means, variances = Flatten(2)(maps).chunk(2, dim=1)
    assert means[0, :2].tolist() == maps[0, :2, 0, 0].tolist()
    assert variances[0, :2].tolist() == maps[0, 2:, 0, 0].tolist()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((28, 28), (16, 8, 8)),
        ((64, 64), (16, 16, 8, 8)),
        ((8, 8), (8,)),
        ((5,), (8,)),
        ((3, 32, 20), (16, 8, 8)),
    ],
    ids=str,
)
def test_automatic_channels(shape, expected):
    architecture = Convolutional()
    assert architecture.channels_for(architecture.image(shape)) == expected


@pytest.mark.parametrize("downsampling", ["pool", "stride"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (13, 7), (3, 6, 10), (31,)], ids=str)
def test_images_of_any_size_go_in_and_out(shape, downsampling):
    architecture = Convolutional(channels=(4, 6), downsampling=downsampling, normalization="group")
    n_features = math.prod(shape)
    for hidden, width in (((), architecture.natural_width(shape)), ((5,), 3)):
        network = built(architecture, shape, width, 2 * width, hidden)
        features = network.encoder(torch.rand(2, n_features))
        assert features.shape == (2, 2 * width)
        assert network.decoder(torch.rand(2, width)).shape == (2, n_features)


def test_convolutions_know_neighbours_and_a_dense_layer_does_not():
    """Bars at random places: shared kernels generalise from few images to places never seen."""
    random = np.random.default_rng(0)

    def bars(n):
        images = np.zeros((n, 16, 16))
        for image, row, column in zip(
            images, random.integers(0, 12, n), random.integers(0, 12, n), strict=True
        ):
            image[row : row + 4, column : column + 4] = 1
        return images

    train, test = bars(150), bars(150)
    conv = ConvolutionalAutoencoder(
        16, network="convolutional:channels=(16,4)", epochs=60, random_state=0
    ).fit(train)
    assert sse(test, conv.reconstruct(test)) < 0.7 * sse(
        test, PCA(16).fit(train.reshape(150, -1)).inverse_transform(
            PCA(16).fit(train.reshape(150, -1)).transform(test.reshape(150, -1))
        ).reshape(test.shape),
    )  # fmt: skip


# Sequences


def waves(n, seed, length=24):
    """Return sines of one feature and their squares, of random phase and frequency."""
    random = np.random.default_rng(seed)
    phase, rate = random.uniform(0, 2 * np.pi, (n, 1)), random.uniform(0.2, 0.6, (n, 1))
    values = np.sin(rate * np.arange(length) + phase)
    return np.stack([values, values**2], axis=2)


@pytest.mark.slow
def test_a_recurrent_net_beats_pca_of_equal_width_on_waves(device):
    train, test = waves(800, 0), waves(200, 1)
    model = SequenceAutoencoder(3, epochs=60, random_state=0, device=device).fit(train)
    pca = PCA(3).fit(train.reshape(800, -1))
    flat = test.reshape(200, -1)
    assert sse(test, model.reconstruct(test)) < 0.8 * sse(flat, pca.inverse_transform(pca.transform(flat)))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_is_not_read(cell, bidirectional):
    network = built(Recurrent(width=5, cell=cell, n_layers=2, bidirectional=bidirectional), (7, 2), 3)
    rows = torch.randn(4, 7, 2, generator=generator)
    padded = rows.clone()
    padded[:, 4:] = math.nan
    alone = built(Recurrent(width=5, cell=cell, n_layers=2, bidirectional=bidirectional), (4, 2), 3)
    alone.encoder.load_state_dict(network.encoder.state_dict())
    short = alone.encoder(rows[:, :4].flatten(1))
    torch.testing.assert_close(network.encoder(padded.flatten(1)), short)
    # Also beside sequences of other lengths.
    padded[1] = rows[1]
    torch.testing.assert_close(network.encoder(padded.flatten(1))[[0, 2, 3]], short[[0, 2, 3]])


@pytest.mark.slow
def test_sequences_of_different_lengths_are_learnt_and_come_back_in_their_lengths():
    random = np.random.default_rng(0)
    whole = waves(400, 0)
    lengths = random.integers(12, 25, 400)
    ragged = [row[:length] for row, length in zip(whole, lengths, strict=True)]
    model = SequenceAutoencoder(4, epochs=40, random_state=0).fit(ragged)
    assert model.input_shape_ == (24, 2)
    copies = model.reconstruct(ragged)
    assert [len(copy) for copy in copies] == lengths.tolist()
    error = np.mean([np.square(copy - row).mean() for copy, row in zip(copies, ragged, strict=True)])
    assert error < 0.5 * whole.reshape(-1, 2).var(0).mean()
    # The same as an array that ends in NaN, and the same one by one.
    padded = np.full((400, 24, 2), np.nan)
    for place, row in zip(padded, ragged, strict=True):
        place[: len(row)] = row
    np.testing.assert_array_equal(model.transform(padded), model.transform(ragged))
    np.testing.assert_allclose(model.transform([ragged[7]]), model.transform(ragged)[7:8], rtol=1e-9)
    assert np.isfinite(model.score(padded))
    assert np.isfinite(model.score_samples(padded)).all()


def test_sequences_that_do_not_fit_are_named():
    model = SequenceAutoencoder(2, epochs=1, random_state=0).fit(waves(30, 0))
    assert model.transform(waves(5, 1, length=10)).shape == (5, 2)
    with pytest.raises(
        DataError, match="Sequence 1 has 30 steps, but SequenceAutoencoder was fitted on at most 24"
    ):
        model.transform([waves(1, 0)[0], waves(1, 0, length=30)[0]])
    with pytest.raises(DataError, match="must all have shape"):
        model.transform([np.ones((4, 2)), np.ones((5, 3))])
    gaps = waves(5, 0)
    gaps[3] = np.nan
    with pytest.raises(DataError, match="has nothing but NaN in row 3"):
        model.transform(gaps)


@pytest.mark.parametrize("features", [(), (1,), (2,)], ids=str)
def test_a_list_is_of_sequences_however_many_and_long(features):
    """One sequence alone, or several of one length, are what they are among others."""
    whole = waves(40, 0, length=20)[..., : (features or (1,))[0]].reshape(40, 20, *features)
    lengths = [20, 12, 12, *np.random.default_rng(0).integers(5, 21, 37)]
    ragged = [row[:length] for row, length in zip(whole, lengths, strict=True)]
    model = SequenceAutoencoder(3, epochs=2, random_state=0).fit(
        ragged, validation_data=[row[:9] for row in whole]
    )
    assert model.input_shape_ == (20, *features)
    codes, copies = model.transform(ragged), model.reconstruct(ragged)
    objects = np.empty(3, dtype=object)
    objects[:] = ragged[:3]
    for given, meant in {
        "one": ([ragged[1]], [1]),
        "of one length": (ragged[1:3], [1, 2]),
        "in full": ([ragged[0]], [0]),
        "a tuple": (tuple(ragged[:3]), [0, 1, 2]),
        "plain lists": ([row.tolist() for row in ragged[:3]], [0, 1, 2]),
        "tensors": ([torch.from_numpy(row) for row in ragged[:3]], [0, 1, 2]),
        "objects": (objects, [0, 1, 2]),
    }.values():
        np.testing.assert_allclose(model.transform(given), codes[meant], rtol=1e-6, atol=1e-9)
        again = model.reconstruct(given)
        assert isinstance(again, list)
        for copy, number in zip(again, meant, strict=True):
            assert copy.shape == ragged[number].shape
            np.testing.assert_allclose(copy, copies[number], rtol=1e-6, atol=1e-9)
    if features != (2,):  # single values, written in either way
        other = [row.reshape(len(row), *(() if features else (1,))) for row in ragged]
        np.testing.assert_array_equal(model.transform(other), codes)
    # An array keeps scikit-learn's rule, and the message says what shorter sequences need.
    flat = whole.reshape(40, -1)
    np.testing.assert_allclose(model.transform(flat.tolist()), model.transform(flat), rtol=1e-6, atol=1e-9)
    with pytest.raises(
        DataError, match=r"X has 1[14] features, but .* is expecting \d+ features as input\. Give sh"
    ):
        model.transform(flat[:, : 14 if features != (2,) else 11])


def test_sequences_of_another_kind_are_named():
    model = SequenceAutoencoder(2, epochs=1, random_state=0).fit(waves(30, 0))
    for given, words in {
        "longer": (
            [waves(1, 0, length=30)[0]] * 2,
            "Sequence 0 has 30 steps, but .* was fitted on at most 24",
        ),
        "empty": ([waves(1, 0)[0], np.empty((0, 2))], "Sequence 1 has 0 steps, but .* needs at least one"),
        "wider": ([np.ones((5, 3))], "have 3 features in a step, but SequenceAutoencoder was fitted on 2"),
        "no list": (waves(1, 0)[0], r"is expecting 48 features as input\. Put a single sequence in a list"),
    }.values():
        with pytest.raises(DataError, match=words):
            model.transform(given)


def test_the_decoder_is_given_the_code_and_nothing_else():
    """Without teacher forcing, the copy is a function of the code alone."""
    model = SequenceAutoencoder(3, epochs=2, random_state=0).fit(waves(60, 0))
    rows = waves(10, 1)
    np.testing.assert_array_equal(model.reconstruct(rows), model.inverse_transform(model.transform(rows)))


# Transformers


@pytest.mark.parametrize(
    ("architecture", "shape", "hidden"),
    [
        (Transformer(tokens="columns", width=8, n_heads=2), (6,), [2, 5]),
        (Transformer(tokens="steps", width=8, n_heads=2), (6, 3), [3, 4, 5]),
        (Transformer(patch_size=2, width=8, n_heads=2), (4, 4), [0, 1, 4, 5]),
    ],
    ids=["columns", "steps", "patches"],
)
def test_what_is_hidden_is_not_looked_at(architecture, shape, hidden):
    network = built(architecture, shape, 3).double()
    rows = torch.randn(5, math.prod(shape), dtype=torch.float64, generator=generator)
    gaps, other = rows.clone(), rows.clone()
    gaps[:, hidden] = math.nan
    other[:, hidden] += 1
    assert not torch.allclose(network.encoder(rows), network.encoder(other))
    codes = network.encoder(gaps)
    # Hidden in one row only, so that nothing is left out and attention must be masked.
    mixed = torch.cat([gaps[:1], rows[1:]])
    torch.testing.assert_close(network.encoder(mixed)[:1], codes[:1])
    torch.testing.assert_close(network.encoder(mixed)[1:], network.encoder(rows)[1:])


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7)], ids=str)
def test_patches_are_put_together_as_they_were_cut(shape):
    channels, height, width = shape
    patch = 3
    n_tokens = math.ceil(height / patch) * math.ceil(width / patch)
    cut = Cut((n_tokens, channels * patch * patch), (channels, height, width, patch))
    rows = torch.randn(4, math.prod(shape), generator=generator)
    tokens = cut(rows)
    assert tokens.shape == (4, *cut.shape)
    torch.testing.assert_close(cut.joined(torch.nan_to_num(tokens)), rows)
    # A tile of the noise is a token.
    tiles = Transformer(patch_size=patch).tiles(shape, 99)
    hidden = rows.masked_fill(tiles == 1, math.nan)
    assert cut(hidden).isnan().all(2)[0].nonzero().flatten().tolist() == [1]


@pytest.mark.slow
def test_gaps_in_a_table_are_filled_better_than_by_the_mean(device):
    random = np.random.default_rng(0)
    hidden = random.normal(size=(1200, 2))
    X = np.tanh(hidden @ random.normal(size=(2, 8))) + 0.05 * random.normal(size=(1200, 8))
    gaps = np.where(random.random(X.shape) < 0.25, np.nan, X)
    gaps[np.isnan(gaps).all(1)] = X[np.isnan(gaps).all(1)]
    model = MaskedAutoencoder(
        2, network="transformer:width=32", noise="masking:share=0.3", epochs=40, random_state=0, device=device
    ).fit(gaps[:1000])
    missing = np.isnan(gaps[1000:])
    error = np.square(model.reconstruct(gaps[1000:]) - X[1000:])[missing].mean()
    assert error < 0.5 * np.square(np.nanmean(gaps[:1000], axis=0) - X[1000:])[missing].mean()
    assert np.isfinite(model.score(gaps))


# Bring your own


def modules(n_inputs=4, n_components=4, shape=(8, 8)):
    n_features = math.prod(shape)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(n_features, 32), nn.Tanh(), nn.Linear(32, n_inputs))
    decoder = nn.Sequential(
        nn.Linear(n_components, 32), nn.Tanh(), nn.Linear(32, n_features), nn.Unflatten(1, shape)
    )
    return encoder, decoder


def test_modules_of_ones_own_learn_and_are_left_alone(digits, tmp_path):
    torch.manual_seed(0)
    pair = modules()
    before = [parameter.clone() for module in pair for parameter in module.parameters()]
    images = digits[0].reshape(-1, 8, 8)
    model = Autoencoder(4, network=pair, epochs=40, random_state=0, learning_rate=0.01).fit(images)
    assert model.score(images) > 0.4
    for old, new in zip(before, [p for module in pair for p in module.parameters()], strict=True):
        torch.testing.assert_close(old, new)
    codes = clone(model).fit(images).transform(images)
    np.testing.assert_array_equal(codes, model.transform(images))

    model.save(tmp_path / "own")
    with pytest.raises(ModelFileError, match=r"Give modules of the same make: load\(path, network="):
        load(tmp_path / "own")
    again = load(tmp_path / "own", network=modules())
    np.testing.assert_array_equal(again.transform(images), codes)
    with pytest.raises(ModelFileError, match="weights do not fit"):
        load(tmp_path / "own", network=modules(n_components=5, n_inputs=5))


@pytest.mark.filterwarnings("ignore::isthmus.errors.CollapseWarning")
def test_modules_of_ones_own_with_any_bottleneck(digits):
    torch.manual_seed(0)
    model = VariationalAutoencoder(
        3, network=Modules(*modules(n_inputs=6, n_components=3)), hidden_layers=(), epochs=2, random_state=0,
        bottleneck="gaussian:beta=0.1",
    )  # fmt: skip
    assert model.fit(digits[0].reshape(-1, 8, 8)).sample(5, random_state=0).shape == (5, 8, 8)


@pytest.mark.parametrize(
    ("pair", "error", "message"),
    [
        (
            modules(n_inputs=5),
            DataError,
            r"The encoder of Modules returns \(5,\) values .* bottleneck asks for 4",
        ),
        (
            modules(n_components=7),
            DataError,
            r"The decoder of Modules cannot take rows of shape \(batch, 4\)",
        ),
        (modules(shape=(7, 7)), DataError, "The encoder of Modules cannot take rows"),
        (
            (nn.Identity(), print),
            InvalidTypeError,
            "'decoder' parameter of Modules must be a torch.nn.Module",
        ),
    ],
    ids=["width", "decoder", "shape", "no module"],
)
def test_modules_that_do_not_fit_are_named(pair, error, message, digits):
    with pytest.raises(error, match=message):
        Autoencoder(4, network=pair, epochs=1).fit(digits[0][:50].reshape(-1, 8, 8))


def test_modules_have_no_hidden_layers_and_no_name():
    with pytest.raises(InvalidParameterError, match=r"'hidden_layers' .* network='modules'"):
        Autoencoder(4, network=modules(), hidden_layers=(3,)).fit(np.random.default_rng(0).random((9, 8, 8)))
    assert str(Modules(*modules())) == "modules"


# Settings


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Convolutional(kernel_size=4),
            "'kernel_size' parameter of Convolutional must be an odd number",
        ),
        (lambda: Convolutional(channels=()), "'channels' .* a sequence of widths"),
        (lambda: Convolutional(channels=(8, 0)), "'channels' .* at least 1"),
        (lambda: Convolutional(downsampling="pol"), "Did you mean 'pool'"),
        (lambda: Convolutional(image_shape=(3,)), "'image_shape'"),
        (lambda: Recurrent(cell="ltsm"), "Did you mean 'lstm'"),
        (lambda: Recurrent(width=0), "'width' parameter of Recurrent"),
        (lambda: Transformer(width=10, n_heads=4), "'n_heads' .* a divisor of width=10"),
        (lambda: Transformer(tokens="patch"), "Did you mean 'patches'"),
    ],
)
def test_settings_are_checked_by_name(make, message):
    with pytest.raises(InvalidParameterError, match=message):
        make()


def test_every_network_is_drawn_from_its_generator_alone():
    for architecture in (Dense(), Convolutional(), Recurrent(), Transformer(width=16)):
        torch.manual_seed(1)
        one = built(architecture, (8, 8), hidden=() if isinstance(architecture, Transformer) else (5,))
        torch.manual_seed(2)
        other = built(architecture, (8, 8), hidden=() if isinstance(architecture, Transformer) else (5,))
        for (name, first), second in zip(one.named_parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(first, second, msg=name)
        assert all(torch.isfinite(parameter).all() for parameter in one.parameters())


def test_no_memory_is_taken_without_a_generator():
    for architecture in (
        Convolutional(channels=(10**6, 10**6)),
        Recurrent(width=10**7),
        Transformer(width=10**7),
    ):
        network = architecture.build(
            (64, 64), 10, 10, hidden_layers=(), activation="relu", tied=False, generator=None
        )
        assert all(parameter.is_meta for parameter in network.parameters())
