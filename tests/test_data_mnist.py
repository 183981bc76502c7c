"""MNIST comes with the package, whole and unchanged, and is decoded only when it is used."""

import gzip
import hashlib
import io
import lzma
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.data import Split, bundled, load_mnist
from isthmus.data.idx import decompressed, read_idx, read_shape
from isthmus.errors import DataError

TRAIN, TEST = load_mnist()


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def digest(array):
    return hashlib.sha256(idx_bytes(array)).hexdigest()


# --- the content ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "images", "labels"),
    [
        (
            TRAIN,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        (
            TEST,
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ],
)
def test_the_arrays_are_the_official_files(split, images, labels):
    assert digest(split.pixels.reshape(-1, *split.image_shape)) == images
    assert digest(split.labels.astype(np.uint8)) == labels


@pytest.mark.parametrize(
    ("split", "n", "first"), [(TRAIN, 60_000, [5, 0, 4, 1, 9]), (TEST, 10_000, [7, 2, 1, 0, 4])]
)
def test_shapes_types_and_first_labels(split, n, first):
    assert len(split) == n
    assert split.image_shape == (28, 28)
    assert (split.images.shape, split.images.dtype) == ((n, 784), np.float32)
    assert (split.pixels.shape, split.pixels.dtype) == ((n, 784), np.uint8)
    assert (split.labels.shape, split.labels.dtype) == ((n,), np.int64)
    assert split.labels[:5].tolist() == first


def test_the_mean_and_deviation_are_the_published_ones():
    assert TRAIN.images.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert TRAIN.images.std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)


def test_images_are_pixels_divided_in_float32():
    np.testing.assert_array_equal(TEST.images, TEST.pixels.astype(np.float32) / 255)
    assert TEST.images.min() == 0
    assert TEST.images.max() == 1


def test_the_package_holds_at_most_ten_million_bytes_of_it():
    from importlib.resources import files

    stored = [path for path in files("isthmus.data").joinpath("mnist").iterdir() if path.name.endswith(".xz")]
    assert len(stored) == 4
    assert sum(len(path.read_bytes()) for path in stored) <= 10_000_000


def test_the_licence_is_beside_it():
    from importlib.resources import files

    text = files("isthmus.data").joinpath("mnist", "LICENSE").read_text(encoding="utf-8")
    for words in ("Yann LeCun and Corinna Cortes", "CC BY-SA 3.0", "content was not changed", "1998"):
        assert words in text


# --- laziness ------------------------------------------------------------------------------------


def test_nothing_is_decoded_before_it_is_used(monkeypatch):
    def refuse(name):
        raise AssertionError(f"{name} was decoded")

    monkeypatch.setattr(bundled, "_decode", refuse)
    train, test = load_mnist()
    assert len(train) == 60_000
    assert repr(test) == "<Split mnist:test: 10000 images of 28 × 28>"
    with pytest.raises(AssertionError, match="t10k-images-idx3-ubyte was decoded"):
        _ = test.images


def test_arrays_are_decoded_once_and_kept():
    calls = []

    def decode():
        calls.append(1)
        return np.zeros((2, 3, 3), np.uint8)

    split = Split("two", 2, (3, 3), decode, lambda: np.zeros(2, np.uint8))
    assert split.images is split.images
    assert split.pixels is split.pixels
    assert split.labels is split.labels
    assert len(calls) == 1


def test_a_split_cannot_be_changed():
    with pytest.raises(AttributeError):
        TEST.name = "other"


def test_a_split_can_be_pickled():
    copy = pickle.loads(pickle.dumps(load_mnist()[1]))
    assert copy.labels[0] == 7


def test_a_split_checks_what_it_decodes():
    split = Split("odd", 2, (3, 3), lambda: np.zeros((2, 3, 2), np.uint8), lambda: np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"images of odd have the shape \(2, 3, 2\) where \(2, 3, 3\)"):
        _ = split.images
    with pytest.raises(DataError, match=r"labels of odd have the shape \(3,\) where \(2,\)"):
        _ = split.labels


def test_a_changed_file_in_the_package_is_found_out(monkeypatch):
    monkeypatch.setitem(bundled._SHA256, "t10k-labels-idx1-ubyte", "0" * 64)
    with pytest.raises(
        DataError, match=r"t10k-labels-idx1-ubyte\.xz is damaged: its SHA-256 is ff7bcfd.* should be 000"
    ):
        _ = load_mnist()[1].labels


def test_the_import_is_light():
    heavy = ["torch", "sklearn", "pandas", "pyarrow", "platformdirs", "urllib.request"]
    code = f"import isthmus.data, sys; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (answer.stdout.strip(), answer.stderr) == ("[]", "")


# --- the format ----------------------------------------------------------------------------------


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)))
def test_any_array_of_bytes_is_read_back(array):
    np.testing.assert_array_equal(read_idx(io.BytesIO(idx_bytes(array)), name="any"), array)


@given(st.binary(max_size=40), st.integers(0, 40))
def test_damage_is_a_data_error_and_nothing_else(noise, position):
    content = bytearray(idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 4)))
    content[position : position + len(noise)] = noise
    try:
        array = read_idx(io.BytesIO(bytes(content)), name="noisy")
    except DataError:
        return
    assert idx_bytes(array) == bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x is not an IDX file: it starts with b''"),
        (b"\x89PNG\r\n", r"x is not an IDX file: it starts with b'\\x89PNG'"),
        (bytes([0, 0, 8, 0]), "x is not an IDX file"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 1]), r"x holds numbers of IDX type 0x0d; only unsigned bytes \(0x08\)"),
        (bytes([0, 0, 8, 2, 0, 0, 0, 1]), "x is cut short: it ends inside its header"),
        (
            bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3]),
            r"x should hold 4 numbers \(2 × 2\) and holds only 3",
        ),
        (bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 2, 3]), r"x should hold 2 numbers \(2\) and holds more"),
        # 2**64 numbers: refused for what is there, and no memory is taken for what is claimed
        (bytes([0, 0, 8, 2]) + b"\xff" * 8, "x should hold 18446744065119617025 numbers .* and holds only 0"),
    ],
)
def test_what_is_not_idx_is_refused(content, message):
    with pytest.raises(DataError, match=message):
        read_idx(io.BytesIO(content), name="x")


def test_the_shape_alone_can_be_read():
    stream = io.BytesIO(idx_bytes(np.zeros((2, 3, 4), np.uint8)))
    assert read_shape(stream, name="x") == (2, 3, 4)
    assert len(stream.read()) == 24


def test_a_checksum_covers_the_header_and_the_numbers():
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(
        read_idx(io.BytesIO(idx_bytes(array)), name="x", sha256=digest(array)), array
    )
    with pytest.raises(DataError, match="x is damaged"):
        read_idx(io.BytesIO(idx_bytes(array.reshape(3, 2))), name="x", sha256=digest(array))


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress), ("", bytes)])
def test_the_ending_says_how_it_is_packed(ending, pack):
    array = np.arange(6, dtype=np.uint8)
    with decompressed(io.BytesIO(pack(idx_bytes(array))), f"x{ending}") as content:
        np.testing.assert_array_equal(read_idx(content, name="x"), array)


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: b"nothing of the kind"])
def test_damaged_packing_is_a_data_error(ending, pack, damage):
    packed = damage(pack(idx_bytes(np.arange(200, dtype=np.uint8))))
    with (
        pytest.raises(DataError, match=f"x{ending} is damaged or cut short"),
        decompressed(io.BytesIO(packed), f"x{ending}") as content,
    ):
        read_idx(content, name="x")
