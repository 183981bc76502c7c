"""Integers and rows to bytes and back: nothing is lost, nothing is wasted, nothing is let in."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("constriction")

from isthmus.codec import (
    Block,
    Header,
    Reader,
    Writer,
    count_rows,
    exact_levels,
    header_bytes,
    levels_within,
    read_blocks,
    read_header,
    send_columns,
    write_block,
    write_end,
)
from isthmus.codec.channel import categorical
from isthmus.codec.residuals import send_bytes, send_residuals
from isthmus.codec.tables import AdaptiveTables, frequencies, stretches
from isthmus.errors import CompressedDataError, InvalidParameterError

INTEGERS = [np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)]
FLOATS = [np.dtype(f"float{bits}") for bits in (16, 32, 64)]
ANY_DTYPE = [*INTEGERS, *FLOATS, np.dtype(bool)]


def round_trip(send, values, *arguments):
    writer = Writer()
    send(writer, values, *arguments)
    content = writer.content()
    return send(Reader(content), None, *arguments), content


def rows_of(dtype, shape):
    if dtype.kind != "f":
        return arrays.arrays(dtype, shape)
    limit = float(np.finfo(dtype).max)
    return arrays.arrays(dtype, shape, elements=st.floats(-limit, limit, width=8 * dtype.itemsize))


@given(arrays.arrays(np.int64, (7, 3), elements=st.integers(-(2**47) + 1, 2**47 - 1)))
def test_columns_come_back(values):
    again, _ = round_trip(send_columns, values, values.shape)
    assert np.array_equal(again, values)


@pytest.mark.parametrize("rows", [1, 2, 100, 5000])
@pytest.mark.parametrize("spread", [0, 1, 30, 4000, 1e9])
def test_columns_of_any_spread_come_back(rows, spread):
    values = np.random.default_rng(0).normal(0, spread, size=(rows, 3)).round().astype(np.int64)
    again, _ = round_trip(send_columns, values, values.shape)
    assert np.array_equal(again, values)


def test_codes_take_hardly_more_than_their_entropy():
    values = np.random.default_rng(0).normal(0, 12, size=(20_000, 4)).round().astype(np.int64)
    _, content = round_trip(send_columns, values, values.shape)
    counts = [np.unique(column, return_counts=True)[1] / len(values) for column in values.T]
    ideal = len(values) * sum(-(share * np.log2(share)).sum() for share in counts)
    # The entropy of the very rows: a code that has to learn the shares cannot reach it.
    assert ideal < 8 * len(content) < 1.01 * ideal


def test_the_coder_wastes_nothing():
    shares = frequencies(np.array([700, 200, 90, 10]))
    symbols = np.random.default_rng(0).choice(4, p=shares / shares.sum(), size=100_000)
    writer = Writer()
    writer.symbols(symbols, categorical(shares), len(symbols))
    ideal = -np.log2(shares / shares.sum())[symbols].sum()
    assert 8 * len(writer.content()) < 1.0005 * ideal + 64


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=300).filter(sum))
def test_frequencies_are_whole_and_positive_and_sum_to_a_power_of_two(counts):
    found = frequencies(np.array(counts))
    assert found.sum() == 2**20
    assert found.min() >= 1
    if sum(counts) > 0:
        assert np.abs(found / 2**20 - np.array(counts) / sum(counts)).max() < 1e-3


def test_tables_learn_what_came():
    values = np.random.default_rng(0).choice(50, p=[0.951, *[0.001] * 49], size=4000)
    tables, writer = AdaptiveTables(1, 50), Writer()
    for part in stretches(len(values)):
        tables.send(writer, values[part], np.zeros(part.stop - part.start, dtype=np.int64))
    entropy = -(0.951 * np.log2(0.951) + 0.049 * np.log2(0.001))
    assert 8 * len(writer.content()) / len(values) < 1.15 * entropy


@pytest.mark.parametrize("row_shape", [(12,), (3, 4), (2, 2, 3)])
@pytest.mark.parametrize("send", [send_bytes, send_residuals])
def test_residuals_come_back(send, row_shape):
    rng = np.random.default_rng(0)
    predictions = rng.integers(0, 256, size=(300, 12))
    values = np.clip(predictions + rng.integers(-9, 9, size=predictions.shape), 0, 255)
    again, content = round_trip(send, values, predictions, row_shape)
    assert np.array_equal(again, values)
    blind, _ = round_trip(send, values, np.zeros_like(predictions), row_shape)
    assert np.array_equal(blind, values)
    assert len(content) < 0.9 * values.size  # predictions are worth something


@given(arrays.arrays(np.int64, (5, 6)), arrays.arrays(np.int64, (5, 6)))
def test_differences_may_leave_64_bits(values, predictions):
    for row_shape in ((6,), (2, 3)):
        again, _ = round_trip(send_residuals, values, predictions, row_shape)
        assert np.array_equal(again, values)


@settings(max_examples=30)
@pytest.mark.parametrize("dtype", ANY_DTYPE, ids=str)
@given(data=st.data())
def test_exact_levels_bring_every_bit_back(dtype, data):
    rows = data.draw(rows_of(dtype, (4, 6)))
    copies = data.draw(arrays.arrays(np.float64, (4, 6), elements=st.floats(-1e30, 1e30)))
    levels = exact_levels(rows)
    values = levels.of_rows(rows)
    writer = Writer()
    levels.send(writer, values, copies, (2, 3))
    again = levels.to_rows(levels.send(Reader(writer.content()), None, copies, (2, 3)))
    assert again.dtype == rows.dtype
    assert again.tobytes() == rows.tobytes()


@pytest.mark.parametrize("dtype", ANY_DTYPE, ids=str)
def test_another_machines_rounding_does_no_harm(dtype):
    rng = np.random.default_rng(0)
    rows = (rng.random((200, 8)) * 200).astype(dtype)
    copies = np.round(rows.astype(np.float64) * 2 + rng.normal(size=rows.shape)) / 2  # at the very edges
    elsewhere = copies * (1 + 1e-13 * rng.choice([-1, 1], size=copies.shape))
    levels, writer = exact_levels(rows), Writer()
    levels.send(writer, levels.of_rows(rows), copies, (8,))
    again = levels.to_rows(levels.send(Reader(writer.content()), None, elsewhere, (8,)))
    assert again.tobytes() == rows.tobytes()


def test_a_model_that_computes_otherwise_is_noticed():
    rows = np.random.default_rng(0).random((50, 4))
    levels, writer = exact_levels(rows), Writer()
    levels.send(writer, levels.of_rows(rows), rows * 0.9, (4,))
    with pytest.raises(CompressedDataError, match="computes otherwise"):
        levels.send(Reader(writer.content()), None, rows * 0.91, (4,))


def test_images_in_the_unit_interval_are_known_as_bytes():
    levels = exact_levels((np.arange(256, dtype=np.float32) / np.float32(255)).reshape(2, 128))
    assert levels.kind == "bytes"
    assert exact_levels(np.random.default_rng(0).random((3, 3))).kind == "bits"
    assert exact_levels(np.array([[-0.0, 0.0]])).kind == "bits"  # minus zero is not a byte


@given(
    rows_of(np.dtype(np.float64), (3, 4)).filter(lambda rows: np.abs(rows).max() < 1e6), st.floats(1e-4, 10)
)
def test_errors_stay_within_the_bound(rows, bound):
    levels = levels_within(bound, rows)
    assert np.abs(levels.to_rows(levels.of_rows(rows)) - rows).max() <= bound


def test_a_bound_below_the_precision_is_refused():
    with pytest.raises(InvalidParameterError, match=r"'max_error'.*lossless=True"):
        levels_within(1e-9, np.full((2, 2), 1e6, dtype=np.float32))
    with pytest.raises(InvalidParameterError, match=r"'max_error'.*None for uint8"):
        levels_within(1, np.zeros((2, 2), dtype=np.uint8))


@pytest.fixture
def file():
    stream = io.BytesIO()
    header = Header(model="ab" * 32, dtype="float32", row_shape=(2, 3), exponents=(-32, -64))
    stream.write(header_bytes(header))
    write_block(stream, Block(3, b"12345678"))
    write_block(stream, Block(1, b""))
    write_end(stream, 4)
    return stream.getvalue()


def read_all(stream):
    return read_header(stream), list(read_blocks(stream))


def test_a_file_is_read_as_it_was_written(file):
    stream = io.BytesIO(file)
    assert count_rows(stream) == 4
    header = read_header(stream)
    assert (header.row_shape, tuple(header.steps), header.dtype) == ((2, 3), (0.5, 0.25), "float32")
    assert list(read_blocks(stream)) == [Block(3, b"12345678"), Block(1, b"")]


def test_every_truncation_is_noticed(file):
    for length in range(len(file)):
        stream = io.BytesIO(file[:length])
        with pytest.raises(CompressedDataError):
            read_all(stream)


def test_every_changed_bit_is_noticed(file):
    for bit in range(8 * len(file)):
        changed = bytearray(file)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CompressedDataError):
            read_all(io.BytesIO(bytes(changed)))


def test_what_follows_the_end_and_what_is_missing_before_it(file):
    with pytest.raises(CompressedDataError, match="follows the end"):
        read_all(io.BytesIO(file + b"x"))
    without = file[: -16 - 16] + file[-16:]  # the empty block is gone
    with pytest.raises(CompressedDataError, match="missing"):
        read_all(io.BytesIO(without))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "object"}, "object"),
        ({"row_shape": [1 << 20, 1 << 20]}, "shape"),
        ({"row_shape": []}, "shape"),
        ({"exponents": [40_000]}, "steps"),
        ({"exponents": [float("inf")]}, "."),
        ({"exponents": None}, "."),
    ],
)
def test_headers_that_lie_are_refused(change, message):
    good = {
        "model": "ab",
        "dtype": "float32",
        "row_shape": [2],
        "exponents": [0],
        "whole": False,
        "residuals": False,
    }
    text = zlib.compress(json.dumps(good | change).encode())
    start = struct.pack("<8sHI", b"\x89ISTH\r\n\x1a", 1, len(text)) + text
    with pytest.raises(CompressedDataError, match=message):
        read_header(io.BytesIO(start + struct.pack("<I", zlib.crc32(start))))


def test_newer_formats_are_named():
    start = struct.pack("<8sHI", b"\x89ISTH\r\n\x1a", 2, 0)
    with pytest.raises(CompressedDataError, match=r"version is 2.*Update"):
        read_header(io.BytesIO(start))


@given(st.binary(max_size=200).map(lambda content: content + bytes(-len(content) % 4)))
def test_garbage_behind_a_right_checksum_gives_our_error_or_integers(content):
    try:
        again = send_columns(Reader(content), None, (20, 3))
    except CompressedDataError:
        return
    assert again.shape == (20, 3)
