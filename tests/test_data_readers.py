"""Reading: what comes out is what is in the file, and a file that is no good is refused in one line."""

import io
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.cli import inputs
from isthmus.data import Data, read_data
from isthmus.errors import DataError, InvalidParameterError, InvalidTypeError, MissingDependencyError

TYPES = ["uint8", "int8", "int16", "uint32", "int64", "float16", "float32", "float64"]
TABLE = np.arange(12).reshape(4, 3)


def one_line(error):
    text = str(error.value)
    return "\n" not in text and "Traceback" not in text


# --- naming the source ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name", "n"), [("mnist:test", "mnist:test", 10_000), ("mnist", "mnist:train", 60_000)]
)
def test_data_sets_by_name(source, name, n):
    data = read_data(source)
    assert (data.name, data.rows.shape, data.image_shape, data.columns) == (name, (n, 784), (28, 28), None)
    assert data.labels.shape == (n,)
    assert repr(data) == f"<Data {name}: {n} × 784 float32>"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "mnits",
            r"'source' parameter of read_data must be a data set \(mnist, fashion-mnist\).*mean 'mnist'\?",
        ),
        ("fashon-mnist:test", "Did you mean 'fashion-mnist'"),
        (
            "mnist:tset",
            r"one of 'mnist:train', 'mnist:test'\. Got 'mnist:tset' instead\. Did you mean 'mnist:test'",
        ),
    ],
)
def test_unknown_data_sets(source, message):
    with pytest.raises(InvalidParameterError, match=message) as caught:
        read_data(source)
    assert one_line(caught)


def test_a_source_must_be_a_name_or_a_path():
    with pytest.raises(InvalidTypeError, match="Got 3 instead"):
        read_data(3)


@pytest.mark.parametrize("source", ["mnist", "x.npy", "x.csv"])
def test_a_key_belongs_to_npz_files(source):
    with pytest.raises(InvalidParameterError, match=r"'key' parameter .* left out unless the source is"):
        read_data(source, key="X")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.cvs", r"end in '\.cvs' are not read; known endings are \.npy, \.npz.* Did you mean '\.csv'\?"),
        ("x.xlsx", r"end in '\.xlsx' are not read"),
        ("nothing", "have no ending are not read"),
    ],
)
def test_unknown_endings(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=message):
        read_data(tmp_path / name)


# --- files of every ending -----------------------------------------------------------------------

PARQUET = pytest.param(".parquet", marks=pytest.mark.skipif(not find_spec("pyarrow"), reason="needs pyarrow"))
ENDINGS = [".npy", ".npz", ".csv", PARQUET]


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_that_cannot_be_read(tmp_path, ending, monkeypatch):
    path = tmp_path / f"x{ending}"
    with pytest.raises(DataError, match=rf"^The file .*x\{ending} does not exist\.$"):
        read_data(path)
    path.mkdir()
    with pytest.raises(DataError, match="is a folder, and a file was expected"):
        read_data(path)
    path.rmdir()
    path.touch()
    with pytest.raises(DataError, match=rf"x\{ending} is empty"):
        read_data(path)
    path.write_bytes(b"1,2\n")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    # Tests may run as root, whom no permission stops.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=rf"x\{ending} cannot be read: Permission denied\.$"):
        read_data(path)


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_a_file_that_claims_more_than_there_is_memory_for(tmp_path, ending, monkeypatch):
    (tmp_path / f"x{ending}").write_bytes(packed(ending))

    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(DataError, match="does not fit into memory, or its header is damaged"):
        read_data(tmp_path / f"x{ending}")


def test_a_folder_without_ending(tmp_path):
    with pytest.raises(DataError, match="is a folder, and a file was expected"):
        read_data(tmp_path)


def frame_of(*arguments, **named):
    pytest.importorskip("pyarrow")
    return pytest.importorskip("pandas").DataFrame(*arguments, **named)


def packed(ending):
    stream = io.BytesIO()
    if ending == ".npy":
        np.save(stream, TABLE.astype(np.float32))
    elif ending == ".npz":
        np.savez_compressed(stream, X=TABLE, y=np.arange(4))
    else:
        frame_of(TABLE, columns=["a", "b", "c"]).to_parquet(stream)
    return stream.getvalue()


@pytest.mark.parametrize("ending", [".npy", ".npz", ".parquet"])
def test_a_file_cut_short_anywhere_is_a_data_error(tmp_path, ending):
    content = packed(ending)
    path = tmp_path / f"x{ending}"
    for length in range(1, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(DataError) as caught:
            read_data(path)
        assert str(path) in str(caught.value)
        assert one_line(caught)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".parquet"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), noise=st.binary(min_size=1, max_size=4))
def test_a_damaged_file_is_a_data_error_or_readable(tmp_path, ending, position, noise):
    content = bytearray(packed(ending))
    start = int(position * len(content))
    content[start : start + len(noise)] = noise
    path = tmp_path / f"x{ending}"
    path.write_bytes(content)
    try:
        data = read_data(path)
    except DataError:
        return
    assert isinstance(data, Data)


# --- .npy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_numbers_keep_their_type(tmp_path, dtype, ending):
    path = tmp_path / f"x{ending}"
    np.save(path, TABLE.astype(dtype)) if ending == ".npy" else np.savez(path, TABLE.astype(dtype))
    data = read_data(str(path))
    assert data.rows.dtype == dtype
    np.testing.assert_array_equal(data.rows, TABLE)
    assert (data.columns, data.labels, data.image_shape, data.name) == (None, None, None, path.name)


def test_npy_is_mapped_and_not_copied(tmp_path):
    for name, array in {"numbers": TABLE, "flags": TABLE > 5}.items():
        np.save(tmp_path / f"{name}.npy", array)
        rows = read_data(tmp_path / f"{name}.npy").rows
        assert isinstance(rows, np.memmap)
        assert not rows.flags.writeable
    assert rows.dtype == np.uint8
    assert rows.sum() == 6


def test_the_byte_order_becomes_this_machines(tmp_path):
    np.save(tmp_path / "x.npy", TABLE.astype(">f4"))
    rows = read_data(tmp_path / "x.npy").rows
    assert rows.dtype == np.float32
    assert rows.dtype.isnative
    np.testing.assert_array_equal(rows, TABLE)


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 2, 4, 3)])
def test_stacks_of_images_keep_their_shape(tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8))
    data = read_data(tmp_path / "x.npy")
    assert data.rows.shape == shape
    assert data.image_shape == shape[1:]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), r"has the shape \(3,\), and a table \(n, columns\) or a stack"),
        (np.zeros((1, 1, 1, 1, 1)), "has the shape .*, and a table"),
        (np.zeros((0, 3)), r"has the shape \(0, 3\): there is nothing in it"),
        (np.zeros((3, 0)), "there is nothing in it"),
        (np.zeros((2, 2), complex), r"holds complex numbers \(complex128\)"),
        (np.array([["a"]]), r"holds text \(dtype <U1\), and numbers are needed"),
        (np.zeros((2, 2), "M8[s]"), "holds dates"),
        (np.zeros(2, [("a", "f4")]), "holds records"),
    ],
)
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_arrays_that_are_not_rows_of_numbers(tmp_path, array, message, ending):
    path = tmp_path / f"x{ending}"
    np.save(path, array) if ending == ".npy" else np.savez(path, X=array)
    with pytest.raises(DataError, match=rf"x\{ending}.*{message}"):
        read_data(path)


class Payload:
    """If it is ever loaded, it says so."""

    def __reduce__(self):
        return (exec, ("raise AssertionError('a pickle was loaded')",))


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_pickled_objects_are_never_loaded(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    array = np.array([[Payload()]], dtype=object)
    np.save(path, array, allow_pickle=True) if ending == ".npy" else np.savez(path, X=array)
    with pytest.raises(DataError, match=r"x\.np.* holds Python objects, which are never loaded") as caught:
        read_data(path)
    assert one_line(caught)


@pytest.mark.parametrize(
    ("name", "message"), [("x.npy", "is not an .npy file"), ("x.npz", "is not an .npz file")]
)
def test_something_else_under_numpys_name(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"a,b\n1,2\n")
    with pytest.raises(DataError, match=message):
        read_data(tmp_path / name)


# --- .npz ----------------------------------------------------------------------------------------


def test_the_rows_of_an_archive_can_be_named(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, first=TABLE, second=TABLE + 1)
    np.testing.assert_array_equal(read_data(f"{path}:second").rows, TABLE + 1)
    np.testing.assert_array_equal(read_data(path, key="first").rows, TABLE)
    with pytest.raises(
        DataError, match=r"holds 'first', 'second': say which one with key=, or as x\.npz:NAME"
    ):
        read_data(path)
    with pytest.raises(
        DataError, match=r"has no array 'secnd'; it holds 'first', 'second'\. Did you mean 'second'\?"
    ):
        read_data(f"{path}:secnd")
    with pytest.raises(InvalidParameterError, match="'key' parameter"):
        read_data(f"{path}:second", key="first")


@pytest.mark.parametrize("name", ["X", "x", "data", "images", "rows"])
def test_usual_names_need_no_naming(tmp_path, name):
    np.savez(tmp_path / "x.npz", other=np.zeros(2), **{name: TABLE})
    np.testing.assert_array_equal(read_data(tmp_path / "x.npz").rows, TABLE)


def test_two_usual_names_need_naming(tmp_path):
    np.savez(tmp_path / "x.npz", X=TABLE, data=TABLE)
    with pytest.raises(DataError, match="holds 'X', 'data': say which one"):
        read_data(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        (np.arange(4), True),
        (np.array(list("abcd")), True),
        (np.arange(3), False),
        (np.zeros(4, "M8[s]"), False),
    ],
)
@pytest.mark.parametrize("name", ["y", "labels"])
def test_labels_of_an_archive(tmp_path, labels, kept, name):
    np.savez(tmp_path / "x.npz", X=TABLE, **{name: labels})
    found = read_data(tmp_path / "x.npz").labels
    assert found.tolist() == labels.tolist() if kept else found is None


class Trap:
    """Says if it was unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


LEFT_OUT = {
    "texts as objects": (
        {"y": np.array(["a"] * len(TABLE), dtype=object)},
        r":y holds Python objects.*np\.array",
    ),
    "a trap": ({"labels": np.array([Trap()] * len(TABLE))}, ":labels holds Python objects"),
    "too long": (
        {"y": np.arange(len(TABLE) + 3)},
        rf"has the shape \({len(TABLE) + 3},\), and X has {len(TABLE)} rows",
    ),
    "a table": ({"y": np.zeros((len(TABLE), 2))}, "has the shape"),
    "dates": ({"y": np.zeros(len(TABLE), "M8[D]")}, r"holds datetime64\[D\]"),
    "no text": ({"y": np.full(len(TABLE), b"\xff")}, "bytes that are no text"),
    "two": (
        {"y": np.arange(len(TABLE)), "labels": np.arange(len(TABLE))},
        "holds 'y' and 'labels': no labels",
    ),
}


@pytest.mark.parametrize("key", ["", ":X"])
@pytest.mark.parametrize(("labels", "words"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_rows_are_read_beside_labels_that_cannot_be_used_and_it_is_said(labels, words, key, tmp_path, capsys):
    path = tmp_path / "x.npz"
    np.savez(path, X=TABLE, other=np.array([Trap()]), **labels)
    data = read_data(f"{path}{key}")
    np.testing.assert_array_equal(data.rows, TABLE)
    assert data.labels is None
    (said,) = data.notes
    assert re.search(words, said)
    inputs.read_rows(f"{path}{key}")
    assert capsys.readouterr().err == f"{said}\n"


def test_labels_may_be_a_column_or_bytes(tmp_path):
    labels = np.array([f"k{number}" for number in range(len(TABLE))])
    for number, stored in enumerate((labels, labels[:, None], labels.astype("S"), np.array(labels.tolist()))):
        np.savez(tmp_path / f"{number}.npz", X=TABLE, y=stored)
        data = read_data(tmp_path / f"{number}.npz")
        assert (data.labels.tolist(), data.notes) == (labels.tolist(), ())


def test_an_empty_archive(tmp_path):
    np.savez(tmp_path / "x.npz")
    with pytest.raises(DataError, match="holds nothing"):
        read_data(tmp_path / "x.npz")


# --- .csv ----------------------------------------------------------------------------------------


def read_csv_text(folder, text, encoding="utf-8"):
    path = folder / "x.csv"
    path.write_bytes(text.encode(encoding))
    return read_data(path)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("1,2\n3,4.5\n", None),
        ("a,b\n1,2\n3,4.5\n", ("a", "b")),
        ("a;b\n1;2\n3;4.5", ("a", "b")),
        ("a\tb\r\n1\t2\r\n3\t4.5\r\n", ("a", "b")),
        ("1;2\n3;4.5\n", None),
        ('"a, in cm","b; or ""c"""\n1,2\n3,4.5\n', ("a, in cm", 'b; or "c"')),
        ('"two\nlines",b\n1,2\n3,4.5\n', ("two\nlines", "b")),
        ("\ufeffä,b\n1,2\n3,4.5\n", ("ä", "b")),
        ("\n\na, b\n\n1, 2\n  \n3 ,\t4.5\n\n", ("a", "b")),
        ('label,1\n"1","2"\n"3","4.5"\n', ("label", "1")),
        ("a,b\n1e0,+2\n3.,45e-1\n", ("a", "b")),
    ],
)
def test_tables_as_text(tmp_path, text, columns):
    data = read_csv_text(tmp_path, text)
    assert data.columns == columns
    assert data.rows.dtype == np.float64
    np.testing.assert_array_equal(data.rows, [[1, 2], [3, 4.5]])


def test_a_single_column_and_a_single_row(tmp_path):
    np.testing.assert_array_equal(read_csv_text(tmp_path, "a\n1\n2\n").rows, [[1], [2]])
    np.testing.assert_array_equal(read_csv_text(tmp_path, "1,2,inf").rows, [[1, 2, np.inf]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,x4\n", r"x\.csv, line 3, column 'b': 'x4' is not a number\.$"),
        ("1,2\n3,x4\n", r"line 2, column 2: 'x4' is not a number"),
        ("a;b\n1,5;2\n", r"line 2, column 'a': '1,5' is not a number"),
        ("a,b\n\n1,2\n\n3,1_000\n", r"line 5, column 'b': '1_000' is not a number"),
        ('"two\nlines",b\n1,2\n3,x\n', r"line 4, column 'b': 'x' is not a number"),
        ("a,b\n1,2\n3,\n", r"line 3, column 'b': a value is missing"),
        ("a,b\n1,2\n,4\n", r"line 3, column 'a': a value is missing"),
        ("a,b\n1,nan\n", r"line 2, column 'b': a value is missing"),
        ("a,b\n1,NA\n", r"line 2, column 'b': a value is missing"),
        ("a,b\n1,2\n3,-nan\n", r"line 3, column 'b': a value is missing"),
        ("a\tb\n1\t2\n\t\n", r"line 3, column 'a': a value is missing"),
        (",0,1\n0,5,6\n", r"line 1, column 1: a value is missing"),
        ("a,b\n1,2\n3\n", r"line 3: 1 fields, where the header has 2"),
        ("a,b\n1,2,3\n3,4,5\n", r"line 2: 3 fields, where the header has 2"),
        ("1,2\n3,4,5\n", r"line 2: 3 fields, where the first row has 2"),
        ("a,b\n1," + "y" * 999 + "\n", r"'y{37}\.\.\.' is not a number"),
        ("1," + "2" * 200_000, r"x\.csv is not a CSV file: field larger than field limit"),
        ("a,b\n", r"x\.csv has the names of columns and no rows"),
        ("\n \n", r"x\.csv has no rows"),
        ("a\n1\u0663\n", r"line 2, column 'a': '1\u0663' is not a number"),
    ],
)
def test_faults_in_text_are_named_by_line_and_column(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read_csv_text(tmp_path, text)
    assert one_line(caught)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_text_in_another_encoding(tmp_path, encoding):
    with pytest.raises(DataError, match="is not text in UTF-8"):
        read_csv_text(tmp_path, "ä,ÿ\n1,2\n", encoding)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(st.text(alphabet='0123456789.,;\t\n"eax- \x00', max_size=40))
def test_any_text_is_numbers_or_a_data_error(tmp_path, text):
    try:
        rows = read_csv_text(tmp_path, text).rows
    except DataError:
        return
    assert rows.ndim == 2
    assert not np.isnan(rows).any()


# --- .parquet ------------------------------------------------------------------------------------


def read_frame(folder, frame):
    frame.to_parquet(folder / "x.parquet")
    return read_data(folder / "x.parquet")


@pytest.mark.parametrize("dtype", [*TYPES[:-3], "float32", "float64"])
def test_parquet_keeps_the_type(tmp_path, dtype):
    data = read_frame(tmp_path, frame_of(TABLE.astype(dtype), columns=["a", "b", "ç"]))
    assert (data.rows.dtype, data.columns) == (dtype, ("a", "b", "ç"))
    np.testing.assert_array_equal(data.rows, TABLE)


def test_parquet_columns_of_several_types(tmp_path):
    frame = frame_of(
        {"flag": [True, False], "small": np.array([1, 2], np.int16), "x": np.float32([0.5, 1.5])}
    )
    rows = read_frame(tmp_path, frame).rows
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, [[1, 1, 0.5], [0, 2, 1.5]])


def test_parquet_row_labels_of_pandas_are_left_out(tmp_path):
    frame = frame_of({"a": [1.0, 2.0], "id": [7, 9]}).set_index("id")
    assert read_frame(tmp_path, frame).columns == ("a",)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            {"a": [1], "b": ["x"], "c": [np.datetime64(0, "s")]},
            r"columns that are not numbers: 'b' \(.*string\), 'c' \(time",
        ),
        ({"a": [1.0, 2.0, None], "b": [1, 2, 3]}, "row 3, column 'a': a value is missing"),
        ({}, "has no columns"),
        ({"a": np.zeros(0)}, "there is nothing in it"),
    ],
)
def test_parquet_that_is_not_a_table_of_numbers(tmp_path, frame, message):
    with pytest.raises(DataError, match=message):
        read_frame(tmp_path, frame_of(frame))


def test_parquet_without_pyarrow_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "x.parquet").write_bytes(b"x")
    with pytest.raises(MissingDependencyError, match=r'pip install "isthmus\[tables\]"'):
        read_data(tmp_path / "x.parquet")
