"""Writing: the same numbers come back, and a file is the old one or the whole new one."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.data import read_data, write_data, writers
from isthmus.errors import DataError, InvalidParameterError, MissingDependencyError, OutputExistsError

PARQUET = pytest.param(".parquet", marks=pytest.mark.skipif(not find_spec("pyarrow"), reason="needs pyarrow"))
ENDINGS = [".npy", ".npz", ".csv", PARQUET]
TABLE = np.array([[0.1, -2.0], [3.5, 4.0]])

every_ending = pytest.mark.parametrize("ending", ENDINGS)
relaxed = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)


def held_by(folder):
    return [path.name for path in folder.iterdir()]


@st.composite
def tables(draw):
    dtype = draw(st.sampled_from(["uint8", "int16", "int32", "float16", "float32", "float64"]))
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=4))
    kind = np.dtype(dtype)
    elements = {"allow_nan": False} if kind.kind == "f" else None
    return draw(hnp.arrays(kind, shape, elements=elements and st.floats(width=8 * kind.itemsize, **elements)))


@every_ending
@relaxed
@given(table=tables())
def test_every_number_comes_back(tmp_path, ending, table):
    path = tmp_path / f"x{ending}"
    write_data(table, path, overwrite=True)
    rows = read_data(path).rows
    if ending != ".csv":
        assert rows.dtype == table.dtype
    np.testing.assert_array_equal(rows.astype(table.dtype), table)
    np.testing.assert_array_equal(np.signbit(rows), np.signbit(table))


@pytest.mark.parametrize("ending", [".csv", PARQUET])
def test_names_come_back(tmp_path, ending):
    names = ("a, b", 'say "c"')
    write_data(TABLE, tmp_path / f"x{ending}", columns=names)
    assert read_data(tmp_path / f"x{ending}").columns == names


def test_text_is_as_short_as_it_can_be(tmp_path):
    write_data(TABLE, tmp_path / "double.csv", columns=["a", "b"])
    assert (tmp_path / "double.csv").read_bytes() == b"a,b\n0.1,-2.0\n3.5,4.0\n"
    write_data(TABLE.astype(np.float32), tmp_path / "single.csv")
    assert (tmp_path / "single.csv").read_bytes() == b"0.100000001,-2\n3.5,4\n"
    write_data(TABLE > 1, tmp_path / "flags.csv")
    assert (tmp_path / "flags.csv").read_bytes() == b"0,0\n1,1\n"


def test_more_rows_than_one_block_of_text(tmp_path):
    table = np.arange(200_000).reshape(-1, 2)
    write_data(table, tmp_path / "x.csv")
    np.testing.assert_array_equal(read_data(tmp_path / "x.csv").rows, table)


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_numpys_files_take_any_shape(tmp_path, ending):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    write_data(images, tmp_path / f"x{ending}", columns=["not", "kept"])
    np.testing.assert_array_equal(read_data(tmp_path / f"x{ending}").rows, images)


def test_parquet_without_names_counts_its_columns(tmp_path):
    pytest.importorskip("pyarrow")
    write_data(TABLE, tmp_path / "x.parquet")
    assert read_data(tmp_path / "x.parquet").columns == ("column_0", "column_1")


# --- whole or not at all -------------------------------------------------------------------------


@every_ending
def test_an_existing_file_is_replaced_only_if_that_is_wanted(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    write_data(TABLE, path)
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match=rf"x\{ending} exists\. Give --force \(overwrite=True\)"):
        write_data(TABLE + 1, path)
    assert path.read_bytes() == before
    write_data(TABLE + 1, path, overwrite=True)
    np.testing.assert_array_equal(read_data(path).rows, TABLE + 1)


@every_ending
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, ending, failure, monkeypatch):
    path = tmp_path / f"x{ending}"
    path.write_bytes(b"old")

    def half(rows, columns, ending, stream):
        stream.write(b"half of the new")
        raise failure

    monkeypatch.setattr(writers, "_write", half)
    expected = DataError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="cannot be written: No space left" if expected is DataError else None):
        write_data(TABLE, path, overwrite=True)
    assert path.read_bytes() == b"old"
    assert held_by(tmp_path) == [path.name]


def test_a_move_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    path.write_bytes(b"old")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(DataError, match="cannot be written: Permission denied"):
        write_data(TABLE, path, overwrite=True)
    assert held_by(tmp_path) == ["x.npy"]


def test_the_file_may_be_mapped_while_it_is_replaced(tmp_path):
    path = tmp_path / "x.npy"
    write_data(TABLE, path)
    mapped = read_data(path).rows
    write_data(mapped[::-1], path, overwrite=True)
    np.testing.assert_array_equal(read_data(path).rows, TABLE[::-1])
    np.testing.assert_array_equal(mapped, TABLE)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "link.npy").symlink_to(tmp_path / "real.npy")
    write_data(TABLE, tmp_path / "link.npy")
    assert (tmp_path / "link.npy").is_symlink()
    np.testing.assert_array_equal(np.load(tmp_path / "real.npy"), TABLE)


def test_the_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    write_data(TABLE, tmp_path / "x.npy")
    assert (tmp_path / "x.npy").stat().st_mode == (tmp_path / "plain").stat().st_mode


# --- what is refused -----------------------------------------------------------------------------


def test_targets_that_cannot_be_written(tmp_path):
    with pytest.raises(DataError, match=r"it must end in one of \.npy, .* Did you mean '\.parquet'\?"):
        write_data(TABLE, tmp_path / "x.parqet")
    with pytest.raises(DataError, match=r"the folder .*nowhere does not exist"):
        write_data(TABLE, tmp_path / "nowhere" / "x.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(DataError, match="it is a folder"):
        write_data(TABLE, tmp_path / "folder.npy", overwrite=True)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), r"An array of shape \(3,\) is not a table: \.csv files need \(n, columns\)"),
        (np.zeros((2, 2, 2)), "is not a table"),
        (np.zeros((2, 0)), "is not a table"),
        (np.zeros((2, 2), complex), "complex numbers"),
        (np.array([["a"]]), "holds text"),
        (np.array([[None]]), "holds Python objects"),
        pytest.param(
            np.zeros((2, 2), np.longdouble),
            r"cannot hold .* exactly",
            marks=pytest.mark.skipif(
                np.dtype(np.longdouble).itemsize == 8, reason="it is float64 on this system"
            ),
        ),
    ],
)
def test_arrays_that_are_no_table(tmp_path, array, message):
    with pytest.raises(DataError, match=message):
        write_data(array, tmp_path / "x.csv")
    assert held_by(tmp_path) == []


def test_names_that_do_not_fit(tmp_path):
    with pytest.raises(InvalidParameterError, match="There are 1 names for 2 columns"):
        write_data(TABLE, tmp_path / "x.csv", columns=["a"])
    with pytest.raises(InvalidParameterError, match="would be read back as a row"):
        write_data(TABLE, tmp_path / "x.csv", columns=["0", "1"])


def test_parquet_without_pyarrow_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "isthmus\[tables\]"'):
        write_data(TABLE, tmp_path / "x.parquet")
    assert held_by(tmp_path) == []
