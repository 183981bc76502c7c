"""Baselines are what their textbooks say, and what everybody compresses with comes back."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.utils.estimator_checks import parametrize_with_checks

from isthmus import Autoencoder
from isthmus.errors import CompressedDataError, DataError, InvalidParameterError
from isthmus.estimators import AudioCodec, Baseline, ByteCodec, ImageCodec, model_size, untrained_twin
from isthmus.estimators.baselines import KINDS
from isthmus.estimators.codecs import available_formats
from isthmus.metrics import squared_error


@parametrize_with_checks([Baseline("pca", 1), Baseline("random-projection", 1)])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    return load_digits().images / 16, load_digits().target


def copies(baseline, X):
    return baseline.inverse_transform(baseline.transform(X))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_better_than_the_mean_and_keeps_shapes(digits, kind):
    X, y = digits
    baseline = Baseline(kind, 12).fit(X, y)
    assert baseline.transform(X).shape == (len(X), baseline.n_components_)
    again = copies(baseline, X)
    assert again.shape == X.shape
    error, mean_error = squared_error(X, again), squared_error(X, np.broadcast_to(X.mean(axis=0), X.shape))
    # The cosines have no mean and machines no means but their own: zeros are what they start from.
    assert error < (squared_error(X, 0 * X) if kind in ("dct", "rbm") else mean_error)
    narrow = Baseline(kind, 2).fit(X, y)
    assert error < squared_error(X, copies(narrow, X))


@pytest.mark.parametrize("kind", ["pca", "incremental-pca"])
def test_pca_is_scikit_learns(digits, kind):
    X = digits[0].reshape(len(digits[0]), -1)
    ours, pca = Baseline(kind, 10).fit(X), PCA(10).fit(X)
    tolerance = 1e-6 if kind == "pca" else 0.05
    expected = pca.inverse_transform(pca.transform(X))
    assert squared_error(X, copies(ours, X)) == pytest.approx(squared_error(X, expected), rel=tolerance)
    if kind == "pca":
        np.testing.assert_allclose(copies(ours, X), expected, atol=1e-6)


def test_lda_is_scikit_learns_with_the_best_linear_way_back(digits):
    X, y = digits
    X = X.reshape(len(X), -1)
    ours = Baseline("lda", 32).fit(X, y)
    np.testing.assert_allclose(
        ours.transform(X), LinearDiscriminantAnalysis().fit(X, y).transform(X), atol=1e-6
    )
    assert ours.n_components_ == 9
    slightly = ours.transform(X) @ (np.eye(9) * 1.01)
    assert squared_error(X, copies(ours, X)) < squared_error(X, ours.inverse_transform(slightly))


def test_all_cosines_bring_everything_back_and_few_the_smooth(digits):
    X = digits[0]
    np.testing.assert_allclose(copies(Baseline("dct", 64).fit(X), X), X, atol=1e-12)
    flat = np.full((2, 8, 8), 0.3)
    np.testing.assert_allclose(copies(Baseline("dct", 1).fit(flat), flat), flat, atol=1e-12)


def test_kmeans_copies_are_centres(digits):
    X = digits[0].reshape(len(digits[0]), -1)
    ours = Baseline("kmeans", 10).fit(X)
    assert (ours.transform(X).sum(axis=1) == 1).all()
    best = KMeans(10, n_init=3, random_state=0).fit(X).inertia_ / len(X)
    assert best <= squared_error(X, copies(ours, X)) < 1.1 * best


def test_untrained_twins_have_the_weights_training_starts_from(digits):
    X = digits[0].reshape(len(digits[0]), -1).astype(np.float32)
    model = Autoencoder(8, hidden_layers=(16,), epochs=3, random_state=0).fit(X)
    twin, again = untrained_twin(model, X), untrained_twin(model, X)
    assert np.array_equal(twin.transform(X), again.transform(X))
    assert twin.score(X) < 0.1 < model.score(X)
    still = Autoencoder(8, hidden_layers=(16,), epochs=1, learning_rate=1e-12, random_state=0).fit(X)
    np.testing.assert_allclose(twin.transform(X), still.transform(X), atol=1e-4)


def test_the_size_of_models(digits):
    X = digits[0].reshape(len(digits[0]), -1).astype(np.float32)
    model = Autoencoder(8, epochs=1, random_state=0).fit(X)
    assert model_size(model) == 4 * (64 * 8 + 8 + 8 * 64 + 64)
    assert model_size(PCA(4).fit(X)) > 4 * 4 * 64
    assert model_size(Baseline("pca", 4).fit(X)) == model_size(PCA(4, random_state=0).fit(X))


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("nmf", lambda X: X - 1, "without negative values"),
        ("rbm", lambda X: X * 2, r"\[0, 1\]"),
        ("lda", lambda X: X, "labels"),
        ("pcs", lambda X: X, "Did you mean"),
    ],
)
def test_what_a_kind_needs_is_said(digits, kind, change, message):
    with pytest.raises(InvalidParameterError, match=message):
        Baseline(kind).fit(change(digits[0]))
    with pytest.raises(ValueError, match="NaN"):
        Baseline().fit(np.full((3, 2), np.nan))


@pytest.fixture(scope="module")
def pictures():
    images = np.kron(load_digits().images[:40] / 16, np.ones((1, 3, 3)))
    return np.rint(images * 255).astype(np.uint8)


@pytest.mark.parametrize("mosaic", [True, False])
@pytest.mark.parametrize("name", available_formats())
def test_image_codecs(pictures, name, mosaic):
    sizes, errors = [], []
    for quality in (10, 90):
        codec = ImageCodec(name, quality=quality, mosaic=mosaic).fit(pictures)
        files = codec.compress(pictures)
        assert len(files) == (1 if mosaic else 40)
        again = codec.decompress(files)
        assert again.shape == pictures.shape
        sizes.append(sum(map(len, files)))
        errors.append(squared_error(pictures, again))
    assert sizes[0] < sizes[1]
    assert errors[0] > errors[1]
    assert errors[1] < 0.05 * squared_error(pictures, np.full_like(pictures, pictures.mean()))


def test_images_of_floats_and_colours(pictures):
    floats = pictures[:5] / np.float32(255)
    codec = ImageCodec("jpeg", quality=95).fit(floats)
    again = codec.decompress(codec.compress(floats))
    assert again.dtype == np.float32
    assert squared_error(floats, again) < 3
    colours = np.stack([pictures[:5]] * 3, axis=-1)
    codec = ImageCodec("jpeg", quality=95).fit(colours)
    assert codec.decompress(codec.compress(colours)).shape == colours.shape
    with pytest.raises(DataError, match="floats in"):
        ImageCodec().fit(floats * 2)
    with pytest.raises(CompressedDataError, match="damaged"):
        codec.decompress([b"no picture"])


@pytest.mark.parametrize("name", ["gzip", "bz2", "lzma", "zstd"])
def test_byte_codecs_lose_nothing(pictures, name):
    if name == "zstd":
        pytest.importorskip("zstandard")
    codec = ByteCodec(name).fit(pictures)
    files = codec.compress(pictures)
    assert codec.decompress(files).tobytes() == pictures.tobytes()
    assert sum(map(len, files)) < 0.3 * pictures.nbytes


@pytest.mark.parametrize("name", ["mp3", "opus"])
def test_audio_codecs(name):
    pytest.importorskip("soundfile")
    time = np.arange(16_000) / 16_000
    series = np.stack([np.sin(2 * np.pi * pitch * time) * (1 - time) for pitch in (220, 330, 440)])
    codec = AudioCodec(name).fit(series)
    files = codec.compress(series)
    again = codec.decompress(files)
    assert again.shape == series.shape
    assert len(files[0]) < 2 * series.size  # of 16 bits each
    assert squared_error(series, again) < 0.2 * squared_error(series, 0 * series)
