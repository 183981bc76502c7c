"""Rows through a model and into bytes: known rates, hard bounds, and files of strangers."""

import io
import lzma

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

pytest.importorskip("constriction")

import isthmus
from helpers import ESTIMATORS, SLOW_LEARNERS, by_name, with_slow
from isthmus import Autoencoder, Compressor, DeepBeliefNetwork, VectorQuantizedAutoencoder
from isthmus.bottlenecks import Entropy
from isthmus.cli import main
from isthmus.codec import Block, Header, Writer, header_bytes, send_columns, write_block, write_end
from isthmus.errors import (
    CompressedDataError,
    DataError,
    InvalidParameterError,
    InvalidTypeError,
)
from isthmus.estimators._fingerprint import fingerprint
from isthmus.estimators._quantizing import sensitivities


@parametrize_with_checks([Compressor(PCA(1))])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    return (load_digits().images / 16).astype(np.float32)


@pytest.fixture(scope="module")
def model(digits):
    return Autoencoder(12, hidden_layers=(48,), epochs=20, random_state=0).fit(digits)


def error_of(copies, rows):
    return float(((copies.astype(np.float64) - rows) ** 2).sum() / len(rows))


def test_rounding_costs_a_twentieth_of_the_error_and_few_bits(digits, model):
    compressor = Compressor(model).fit(digits)
    content = compressor.compress(digits)
    again = compressor.decompress(content)
    assert again.shape == digits.shape
    assert again.dtype == digits.dtype
    unrounded = error_of(model.reconstruct(digits), digits)
    assert unrounded < error_of(again, digits) < 1.07 * unrounded
    assert len(content) < 12 * len(digits)  # less than a byte for each code


def test_what_is_decoded_is_what_transform_says(digits, model):
    compressor = Compressor(model).fit(digits)
    again = compressor.decompress(compressor.compress(digits))
    expected = compressor.inverse_transform(compressor.transform(digits))
    np.testing.assert_allclose(again, expected, atol=1e-5)


@pytest.mark.parametrize("target", [0.4, 0.8, 2.0])
def test_a_target_rate_is_kept_and_used(digits, model, target):
    content = Compressor(model, target_bpp=target).fit(digits).compress(digits)
    assert 0.95 * target < 8 * len(content) / digits.size <= target


def test_more_bits_less_error(digits, model):
    errors = []
    for target in (0.4, 0.6, 0.9, 1.4):
        compressor = Compressor(model, target_bpp=target).fit(digits)
        errors.append(error_of(compressor.decompress(compressor.compress(digits)), digits))
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("bound", [0.2, 0.03, 1e-4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_value_leaves_the_bound(digits, model, bound, dtype):
    rows = digits.astype(dtype) + np.random.default_rng(0).normal(0, 0.01, digits.shape).astype(dtype)
    compressor = Compressor(model, max_error=bound).fit(rows)
    again = compressor.decompress(compressor.compress(rows))
    assert again.dtype == dtype
    assert np.abs(again.astype(np.float64) - rows).max() <= bound


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X,
        lambda X: X.astype(np.float64),
        pytest.param(
            lambda X: np.round(X * 255).astype(np.float32) / np.float32(255), marks=pytest.mark.slow
        ),
        lambda X: (X * 255).astype(np.uint8),
        pytest.param(lambda X: (X * 1000 - 500).astype(np.int16), marks=pytest.mark.slow),
        pytest.param(lambda X: (X * 16).astype(np.int64), marks=pytest.mark.slow),
        pytest.param(lambda X: X > 0.5, marks=pytest.mark.slow),
        pytest.param(lambda X: X.astype(np.float16), marks=pytest.mark.slow),
        pytest.param(np.asfortranarray, marks=pytest.mark.slow),
        pytest.param(lambda X: X.astype(">f4"), marks=pytest.mark.slow),
    ],
)
def test_lossless_is_bit_for_bit(digits, convert):
    rows = convert(digits.reshape(len(digits), -1))
    compressor = Compressor(PCA(8), lossless=True).fit(rows)
    content = compressor.compress(rows)
    again = compressor.decompress(content)
    assert again.dtype == rows.dtype.newbyteorder("=")
    assert again.tobytes() == rows.astype(again.dtype).tobytes()
    assert len(content) < 1.02 * rows.nbytes


def test_lossless_beats_general_compressors(digits):
    rows = (digits * 16).astype(np.uint8)
    own = Autoencoder(12, hidden_layers=(48,), epochs=20, random_state=0).fit(rows)
    content = Compressor(own, lossless=True).fit(rows).compress(rows)
    assert len(content) < 0.95 * len(lzma.compress(rows.tobytes()))


@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")
@pytest.mark.parametrize("family", with_slow(ESTIMATORS, (*SLOW_LEARNERS, DeepBeliefNetwork)), ids=by_name)
def test_every_family_compresses(digits, family):
    rows = digits[:200]
    fitted = family(epochs=1, random_state=0).fit(rows)
    for compressor in (Compressor(fitted), Compressor(fitted, lossless=True)):
        again = compressor.fit(rows).decompress(compressor.compress(rows))
        assert again.shape == rows.shape
    assert again.tobytes() == rows.tobytes()


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 40),
    width=st.integers(1, 6),
    d=st.integers(1, 9),
    dtype=st.sampled_from(["uint8", "int16", "int32", "int64", "uint64", "float16", "float32", "float64"]),
    seed=st.integers(0, 100),
)
def test_round_trips_over_types_shapes_and_widths(n, width, d, dtype, seed):
    rng = np.random.default_rng(seed)
    rows = (rng.random((n, d)) * 200).astype(dtype)
    known = (rng.random((50, d)) * 200).astype(dtype)
    width = min(width, d)
    compressor = Compressor(PCA(width).fit(known), lossless=True).fit(known)
    assert compressor.decompress(compressor.compress(rows)).tobytes() == rows.tobytes()
    if rows.dtype.kind == "f" and dtype != "float16":
        bounded = Compressor(compressor.model_, max_error=0.5).fit(known)
        again = bounded.decompress(bounded.compress(rows)).astype(np.float64)
        assert np.abs(again - rows).max() <= 0.5


def test_codes_trained_for_their_bytes_take_what_training_said_and_fewer_than_others(digits, model):
    rows = digits.reshape(len(digits), -1)
    trained = Autoencoder(12, hidden_layers=(48,), bottleneck=Entropy(0.3), epochs=40, random_state=0).fit(
        rows
    )
    compressor = Compressor(trained).fit(rows)
    content = compressor.compress(rows)
    told = trained.history_[-1]["rate_nats"] / np.log(2) * len(rows) / 8
    assert len(content) == pytest.approx(told, rel=0.15)
    plain = Autoencoder(12, hidden_layers=(48,), epochs=40, random_state=0).fit(rows)
    other = Compressor(plain, target_bpp=8 * len(content) / rows.size).fit(rows)
    errors = [error_of(each.decompress(each.compress(rows)), rows) for each in (compressor, other)]
    assert errors[0] < errors[1]


def test_probabilities_of_all_steps_sum_to_one():
    bottleneck = Entropy().build(3, torch.nn.Identity(), torch.Generator().manual_seed(0))
    bottleneck.start_from(torch.randn(100, 3))
    steps = torch.arange(-200, 201)[:, None] * bottleneck.step
    np.testing.assert_allclose((-bottleneck.nats(steps)).exp().sum(0).detach(), 1, atol=1e-5)


def test_codes_of_a_vector_quantiser_are_not_rounded(digits):
    rows = digits[:300].reshape(300, -1)
    fitted = VectorQuantizedAutoencoder(epochs=1, random_state=0).fit(rows)
    compressor = Compressor(fitted).fit(rows)
    np.testing.assert_allclose(
        compressor.decompress(compressor.compress(rows)), fitted.reconstruct(rows), atol=1e-6
    )
    with pytest.raises(InvalidParameterError, match="whole numbers"):
        Compressor(fitted, target_bpp=1).fit(rows)


def test_another_step_is_what_fitting_with_it_gives(digits, model):
    compressor = Compressor(model).fit(digits)
    before = compressor.compress(digits)
    coarse = compressor.with_step(4 * compressor.step_)
    fitted = Compressor(model, step=4 * compressor.step_).fit(digits)
    assert coarse.compress(digits) == fitted.compress(digits)
    assert coarse.get_params() == fitted.get_params()
    assert compressor.compress(digits) == before
    with pytest.raises(InvalidParameterError, match="'step'"):
        compressor.with_step(0)


def test_sensitivities_of_pca_are_one_and_of_scaled_codes_inverse():
    X = np.random.default_rng(0).normal(size=(200, 5))
    pca = PCA(3).fit(X)
    np.testing.assert_allclose(sensitivities(pca, pca.transform(X)), 1)
    whitened = PCA(3, whiten=True).fit(X)
    np.testing.assert_allclose(
        sensitivities(whitened, whitened.transform(X)), np.sqrt(whitened.explained_variance_)
    )


def test_streams_in_blocks_are_what_one_block_is(digits, model):
    compressor = Compressor(model, lossless=True).fit(digits)
    file = io.BytesIO()
    blocks = (digits[start : start + 500] for start in range(0, len(digits), 500))
    assert compressor.compress_to(blocks, file) == len(digits)
    file.seek(0)
    parts = list(compressor.decompress_from(file))
    assert [len(part) for part in parts] == [500, 500, 500, 297]
    assert np.concatenate(parts).tobytes() == digits.tobytes()


@pytest.mark.filterwarnings("ignore::isthmus.errors.DataRangeWarning")
def test_each_block_of_a_stream_is_what_it_needs_to_be(digits, model):
    of_bytes = np.round(digits * 255).astype(np.float32) / np.float32(255)
    blocks = [of_bytes[:300], digits[300:500] * np.float32(0.9), digits[500:700] * 1000]
    exact, file = Compressor(model, lossless=True).fit(of_bytes), io.BytesIO()
    exact.compress_to(blocks, file)
    file.seek(0)
    for block, again in zip(blocks, exact.decompress_from(file), strict=True):
        assert again.tobytes() == block.tobytes()
    bounded, file = Compressor(model, max_error=0.01).fit(of_bytes), io.BytesIO()
    bounded.compress_to(blocks, file)
    file.seek(0)
    for block, again in zip(blocks, bounded.decompress_from(file), strict=True):
        assert np.abs(again.astype(np.float64) - block).max() <= 0.01


def test_the_model_alone_reads_what_was_written(digits, model, tmp_path):
    content = Compressor(model).fit(digits).compress(digits)
    model.save(tmp_path / "model")
    again = Compressor(isthmus.load(tmp_path / "model")).decompress(content)
    assert again.tobytes() == Compressor(model).decompress(content).tobytes()


def test_another_model_is_named(digits, model):
    content = Compressor(model).fit(digits).compress(digits)
    other = Autoencoder(12, hidden_layers=(48,), epochs=1, random_state=1).fit(digits)
    with pytest.raises(CompressedDataError, match="another model"):
        Compressor(other).decompress(content)


def test_fingerprints_tell_models_apart_and_know_them_again(digits, model, tmp_path):
    rows = digits.reshape(len(digits), -1)
    model.save(tmp_path / "model")
    assert fingerprint(model) == fingerprint(isthmus.load(tmp_path / "model"))
    assert fingerprint(PCA(3).fit(rows)) == fingerprint(PCA(3).fit(rows))
    assert fingerprint(PCA(3).fit(rows)) != fingerprint(PCA(3).fit(rows[:-1]))
    assert fingerprint(PCA(3).fit(rows)) != fingerprint(PCA(3, whiten=True).fit(rows))
    twice, half = (FunctionTransformer(None, inverse_func=f).fit(rows) for f in (np.sqrt, np.square))
    assert fingerprint(twice) == fingerprint(clone(twice).fit(rows)) != fingerprint(half)


@pytest.mark.parametrize("options", [{}, {"lossless": True}])
def test_mutated_bytes_give_our_error(digits, model, options):
    compressor = Compressor(model, **options).fit(digits[:60])
    content = compressor.compress(digits[:60])
    rng = np.random.default_rng(0)
    for _ in range(150):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), size=rng.integers(1, 4)):
            changed[place] ^= int(rng.integers(1, 256))
        cut = bytes(changed[: rng.integers(0, len(content))]) if rng.random() < 0.3 else bytes(changed)
        with pytest.raises(CompressedDataError):
            compressor.decompress(cut)


@pytest.mark.parametrize("exponent", [32_000, 4_000])
def test_codes_beyond_all_bounds_are_refused(digits, model, exponent):
    header = Header(fingerprint(model), "float32", (8, 8), (exponent,) * 12)
    channel = Writer()
    send_columns(channel, np.full((2, 12), 2**40), (2, 12))
    file = io.BytesIO()
    file.write(header_bytes(header))
    write_block(file, Block(2, channel.content()))
    write_end(file, 2)
    with pytest.raises(CompressedDataError, match="larger than the model can decode"):
        Compressor(model).decompress(file.getvalue())


def test_one_row_and_constant_columns(model, digits):
    compressor = Compressor(model).fit(digits)
    assert len(compressor.compress(digits[:1])) < 400
    rows = np.tile(digits[:1], (3000, 1, 1))
    assert len(compressor.compress(rows)) < 500


def test_an_unfitted_model_is_fitted_and_a_clone_starts_anew(digits):
    rows = digits.reshape(len(digits), -1)
    pca = PCA(4)
    compressor = Compressor(pca).fit(rows)
    assert not hasattr(pca, "components_")
    assert not hasattr(clone(compressor), "model_")
    with pytest.raises(NotFittedError):
        Compressor(pca).compress(rows)
    with pytest.raises(NotFittedError):
        Compressor(pca).decompress(compressor.compress(rows))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 0}, "'step'"),
        ({"step": "fine"}, "'step'"),
        ({"target_bpp": -1}, "'target_bpp'"),
        ({"max_error": float("nan")}, "'max_error'"),
        ({"lossless": 1}, "'lossless'"),
        ({"lossless": True, "max_error": 0.1}, "alone"),
        ({"target_bpp": 1, "step": 0.1}, "alone"),
        ({"target_bpp": 1e-4}, "at least"),
    ],
)
def test_wrong_parameters_are_named(digits, model, options, message):
    with pytest.raises(InvalidParameterError, match=message):
        Compressor(model, **options).fit(digits)


def test_what_is_no_model_and_what_are_no_rows(digits, model):
    with pytest.raises(InvalidTypeError, match="transform and inverse_transform"):
        Compressor().fit(digits)
    compressor = Compressor(model).fit(digits)
    with pytest.raises(ValueError, match="Complex"):
        compressor.compress(np.zeros((2, 64), dtype=complex))
    with pytest.raises(TypeError, match=r"sparse|Sparse"):
        compressor.compress(csr_array(np.eye(64)))
    with pytest.raises(ValueError, match="NaN"):
        compressor.compress(np.full((2, 8, 8), np.nan))
    with pytest.raises(DataError, match="alike"):
        compressor.compress_to([digits[:5], digits[:5].astype(np.float64)], io.BytesIO())
    with pytest.raises(DataError, match="no rows"):
        compressor.compress_to([], io.BytesIO())


def test_the_commands(digits, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model.save("model")
    np.save("rows.npy", digits)
    assert main(["compress", "model", "rows.npy", "-o", "rows.isth", "--lossless"]) == 0
    assert "bits per value" in capsys.readouterr().out
    assert main(["decompress", "model", "rows.isth", "-o", "again.npy"]) == 0
    assert np.load("again.npy").tobytes() == digits.tobytes()
    assert main(["decompress", "model", "rows.isth", "-o", "again.csv"]) == 0
    assert np.loadtxt("again.csv", delimiter=",").shape == (1797, 64)
    capsys.readouterr()
    assert main(["compress", "model", "rows.npy", "-o", "rows.isth"]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["compress", "model", "rows.npy", "-o", "b", "--lossless", "--target-bpp", "1"]) == 2
    assert "alone" in capsys.readouterr().err
    (tmp_path / "rows.isth").write_bytes((tmp_path / "rows.isth").read_bytes()[:-100])
    assert main(["decompress", "model", "rows.isth", "-o", "no.npy"]) == 2
    assert "truncated" in capsys.readouterr().err
    assert not (tmp_path / "no.npy").exists()
