"""The type of the values decides what is trained and returned, never the container that they come in."""

import datetime
import subprocess
import sys
from collections import deque
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import sklearn
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, Dataset, TensorDataset

from helpers import ESTIMATORS, assert_same_weights
from isthmus import Autoencoder, Compressor, Map, PretrainedClassifier, SequenceAutoencoder
from isthmus.errors import DataError, InvalidTypeError
from isthmus.estimators import Baseline

pandas = pytest.importorskip("pandas")
pyarrow = pytest.importorskip("pyarrow")
polars = pytest.importorskip("polars")

NAMES = list("abcde")


class HuggingFace:
    """What a Dataset of Hugging Face offers for reading: its rows as a table of pyarrow, in its order."""

    def __init__(self, table):
        self.table, self.format = table, None

    def with_format(self, kind):
        twin = type(self)(self.table)
        twin.format = kind
        return twin

    def __len__(self):
        return len(self.table)

    def __getitem__(self, chosen):
        assert self.format == "arrow"
        return self.table[chosen]


HuggingFace.__name__, HuggingFace.__module__ = "Dataset", "datasets.arrow_dataset"


def table(X):
    return pyarrow.table({name: X[:, i] for i, name in enumerate(NAMES)})


def fixed_lists(X):
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(X.ravel()), X.shape[1])


def mapped(X, folder):
    np.save(folder / "rows.npy", X)
    return np.load(folder / "rows.npy", mmap_mode="r")


#: Containers of rows without names.
NAMELESS = {
    "memory map": mapped,
    "Fortran's order": lambda X, _: np.asfortranarray(X),
    "other byte order": lambda X, _: X.astype(X.dtype.newbyteorder()),
    "tensor": lambda X, _: torch.from_numpy(X),
    "transposed tensor": lambda X, _: torch.from_numpy(X.T.copy()).T,
    "TensorDataset": lambda X, _: TensorDataset(torch.from_numpy(X)),
    "list of arrays": lambda X, _: list(X),
    "list of tensors": lambda X, _: list(torch.from_numpy(X)),
    "list of pandas Series": lambda X, _: [pandas.Series(row) for row in X],
    "list of polars Series": lambda X, _: [polars.Series(row) for row in X],
    "queue of arrays": lambda X, _: deque(X),
    "polars Series of arrays": lambda X, _: polars.Series("e", X),
    "polars column of lists": lambda X, _: polars.DataFrame({"e": polars.Series(X).arr.to_list()}),
    "pyarrow fixed-size lists": lambda X, _: fixed_lists(X),
    "pyarrow column of lists": lambda X, _: pyarrow.table({"e": fixed_lists(X)}),
    "sliced pyarrow lists": lambda X, _: fixed_lists(np.r_[X[:3], X])[3:],
    "pandas column of arrays": lambda X, _: pandas.DataFrame({"e": list(X)}),
    "pandas without names": lambda X, _: pandas.DataFrame(X),
}

#: Containers of rows whose columns have names.
NAMED = {
    "pandas": lambda X: pandas.DataFrame(X, columns=NAMES),
    "pandas, column by column": lambda X: pandas.DataFrame({n: X[:, i] for i, n in enumerate(NAMES)}),
    "pandas of pyarrow": lambda X: table(X).to_pandas(types_mapper=pandas.ArrowDtype),
    "polars": lambda X: polars.DataFrame({n: X[:, i] for i, n in enumerate(NAMES)}),
    "pyarrow": table,
    "pyarrow in chunks": lambda X: pyarrow.concat_tables([table(X[:7]), table(X[7:])]),
    "pyarrow batch": lambda X: table(X).to_batches()[0],
    "Hugging Face": lambda X: HuggingFace(table(X)),
}

KINDS = ["uint8", "int8", "int16", "int64", "float16", "float32", "float64", "bool"]


def values(kind):
    random = np.random.default_rng(3)
    if kind.startswith("float"):
        return (random.random((24, 5)) * 3).astype(kind)
    low, high = (0, 2) if kind == "bool" else (0, 256) if kind == "uint8" else (-128, 128)
    return random.integers(low, high, (24, 5)).astype(kind)


def small(**parameters):
    return Autoencoder(2, epochs=1, random_state=0, **parameters)


@pytest.fixture(scope="module")
def fitted():
    return {kind: small().fit(values(kind)) for kind in KINDS}


def assert_same(model, X, reference, rows):
    assert_same_weights(model, reference)
    assert str(model.settings_) == str(reference.settings_)
    for method in ("transform", "reconstruct", "score_samples"):
        one, other = np.asarray(getattr(model, method)(X)), getattr(reference, method)(rows)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert model.score(X) == reference.score(rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("container", NAMELESS)
def test_containers_do_not_matter(container, kind, fitted, tmp_path):
    X = NAMELESS[container](values(kind), tmp_path)
    model = small().fit(X)
    assert_same(model, X, fitted[kind], values(kind))
    assert not hasattr(model, "feature_names_in_")
    assert np.array_equal(model.partial_fit(X).n_epochs_, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("container", NAMED)
def test_tables_do_not_matter(container, kind, fitted):
    X = NAMED[container](values(kind))
    model = small().fit(X)
    assert_same(model, X, fitted[kind], values(kind))
    assert list(model.feature_names_in_) == NAMES


@pytest.mark.parametrize("kind", KINDS)
def test_the_precision_is_that_of_the_values(kind, fitted):
    expected = np.float64 if kind in {"int64", "float64", "bool"} else np.float32
    assert fitted[kind].transform(values(kind)).dtype == expected


def test_bytes_are_bytes_in_every_container(fitted):
    assert fitted["uint8"].settings_.loss.name == "bce"
    assert fitted["uint8"].encoder_.scaling.unit.tolist() == [255.0]


def test_python_numbers_have_pythons_types(fitted):
    bytes_, integers = values("uint8"), values("uint8").astype(np.int64)
    one, other = small().fit(bytes_.tolist()), small().fit(integers)
    assert_same_weights(one, other)
    assert one.transform(bytes_.tolist()).dtype == np.float64
    assert_same_weights(
        small().fit([range(i, i + 5) for i in range(24)]), small().fit(np.arange(24)[:, None] + range(5))
    )


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_short_floats_are_computed_in_single_precision(kind):
    short = torch.from_numpy(values("float32")).to(kind)
    model = small().fit(short)
    assert_same_weights(model, small().fit(short.float()))
    assert model.transform(short).dtype == torch.float32


def test_images_of_every_container():
    images = np.random.default_rng(0).integers(0, 256, (20, 6, 6)).astype(np.uint8)
    reference = small(network="convolutional").fit(images)
    for X in (torch.from_numpy(images), list(images), list(torch.from_numpy(images)), polars.Series(images)):
        model = small(network="convolutional").fit(X)
        assert model.input_shape_ == (6, 6)
        assert_same_weights(model, reference)


def test_sequences_of_every_container():
    random = np.random.default_rng(0)
    rows = [random.normal(size=length).astype(np.float32) for length in random.integers(4, 9, 20)]
    reference = SequenceAutoencoder(2, epochs=1, random_state=0).fit(rows)
    for X in ([torch.from_numpy(row) for row in rows], [polars.Series(row) for row in rows]):
        model = SequenceAutoencoder(2, epochs=1, random_state=0).fit(X)
        assert_same_weights(model, reference)
        assert [len(copy) for copy in model.reconstruct(X)] == [len(row) for row in rows]


# What is missing

GAPS = {
    "pandas": lambda: pandas.DataFrame(
        {"a": pandas.array([1, None, 3], dtype="Int64"), "b": [1.0, 2.0, 3.0]}
    ),
    "polars": lambda: polars.DataFrame({"a": [1, None, 3], "b": [1.0, 2.0, 3.0]}),
    "pyarrow": lambda: pyarrow.table({"a": [1, None, 3], "b": [1.0, 2.0, 3.0]}),
    "list": lambda: [[1, 1.0], [None, 2.0], [3, 3.0]],
}


@pytest.mark.parametrize("container", GAPS)
def test_missing_values_are_gaps_in_every_container(container):
    X, rows = GAPS[container](), np.array([[1, 1.0], [np.nan, 2.0], [3, 3.0]])
    with pytest.raises(DataError, match=r"NaN in row 1, column ('a'|0)"):
        Autoencoder(1, epochs=1).fit(X)
    one, other = (Autoencoder(1, epochs=1, missing="mask", random_state=0).fit(data) for data in (X, rows))
    assert_same_weights(one, other)


def test_missing_arrays_are_refused():
    column = polars.Series("e", [[1.0, 2.0], None, [3.0, 4.0]], dtype=polars.Array(polars.Float32, 2))
    for X in (column, polars.DataFrame({"e": column}), column.to_arrow()):
        with pytest.raises(DataError, match="no array in row 1"):
            small().fit(X)


# Refusals

LARGE = 2**53 + 2 * np.arange(120).reshape(24, 5)
LARGE[2, 1] += 1
WHEN = datetime.datetime(2020, 1, 1)


@pytest.mark.parametrize("container", [*NAMELESS, *NAMED])
def test_integers_that_would_be_rounded_are_refused_everywhere(container, tmp_path):
    X = NAMED[container](LARGE) if container in NAMED else NAMELESS[container](LARGE, tmp_path)
    with pytest.raises(
        DataError, match=r"integer 9007199254741015 in row 2, (column ('b'|'?1'?)|.*entry 1), beyond"
    ):
        small().fit(X)


@pytest.mark.parametrize(
    "X",
    [LARGE.tolist(), [[2**53 + 1, 0.5]] * 3, [[2**70 + 1, 0.5]] * 3, [[Decimal(2**53 + 1), 1]] * 3],
    ids=["int64", "beside a float", "beyond int64", "Decimal"],
)
def test_integers_of_python_too(X):
    with pytest.raises(DataError, match=r"the integer \d+ in row [02], column \d, beyond"):
        small().fit(X)


@pytest.mark.parametrize(
    "value", [WHEN, WHEN.date(), WHEN.time(), WHEN - WHEN], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize(
    "container",
    [
        lambda value: pandas.DataFrame({"a": [1.0] * 3, "b": [value] * 3}),
        lambda value: polars.DataFrame({"a": [1.0] * 3, "b": [value] * 3}),
        lambda value: pyarrow.table({"a": [1.0] * 3, "b": [value] * 3}),
        lambda value: [[1.0, value]] * 3,
        lambda value: np.array([[1.0, value]] * 3, dtype=object),
        lambda value: [polars.Series([value, value])] * 3,
    ],
    ids=["pandas", "polars", "pyarrow", "list", "objects", "Series"],
)
def test_dates_and_durations_are_refused_everywhere(container, value):
    with pytest.raises(DataError, match=r"(date|time|duration|values of type)"):
        small().fit(container(value))


class Items(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, number):
        return torch.ones(4), number


T = torch.ones(6, 4)

REFUSED = {
    "DataLoader": (lambda: DataLoader(T), "is a DataLoader.*partial_fit"),
    "pairs": (lambda: TensorDataset(T, T), r"TensorDataset of 2 tensors.*X.tensors\[0\]"),
    "Dataset of torch": (Items, r"torch Dataset \(Items\)"),
    "generator": (lambda: (row for row in T), r"is an iterator \(generator\).*list\(X\)"),
    "iterator": (lambda: iter([[1.0]]), r"list\(X\)"),
    "LazyFrame": (lambda: polars.LazyFrame({"a": [1.0]}), r"Collect it first: X.collect\(\)"),
    "path": (lambda: Path("x.csv"), "is a path"),
    "dictionaries": (lambda: [{"a": 1.0}], "list of dictionaries.*DataFrame"),
    "sparse": (
        lambda: scipy.sparse.csr_array(np.eye(4)),
        r"toarray\(\).*OneHotEncoder\(sparse_output=False\)",
    ),
    "sparse columns": (
        lambda: pandas.get_dummies(pandas.Series(list("ab")), sparse=True),
        r"X.sparse.to_dense\(\)",
    ),
    "sparse tensor": (T.to_sparse, r"X.to_dense\(\)"),
    "complex tensor": (lambda: T.to(torch.complex64), "Complex data not supported"),
    "meta tensor": (lambda: T.to("meta"), "holds no values"),
    "vector": (lambda: T[0], "Expected 2D array, got 1D array"),
    "list of scalars": (lambda: [torch.tensor(1.0)] * 3, "Expected 2D array, got 1D array"),
    "column": (lambda: polars.Series([1.0, 2.0]), "Expected 2D array, got 1D array"),
    "unequal tensors": (lambda: [torch.ones(2), torch.ones(3)], "3 values in row 1, but 2 in row 0"),
    "unequal images": (
        lambda: [np.ones((4, 4)), np.ones((4, 5))],
        r"shape \(4, 5\) in row 1, but \(4, 4\) in row 0",
    ),
    "a row missing": (lambda: [torch.ones(2), None], "None where row 1 should be"),
    "objects": (lambda: [object()], "Got <object"),
    "text": (lambda: polars.DataFrame({"a": ["1", "x"]}), "'x' in row 1, column 'a', which is no number"),
    "records": (lambda: polars.DataFrame({"a": [{"b": 1}], "c": [1]}), r"Struct.* in column 'a'"),
    "arrays beside numbers": (lambda: polars.DataFrame({"e": [[1, 2]], "c": [1]}), r"List.* in column 'e'"),
    "one name twice": (
        lambda: pyarrow.Table.from_arrays([pyarrow.array([1.0])] * 2, ["a", "a"]),
        "two columns called 'a'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("method", ["fit", "transform", "inverse_transform"])
def test_what_holds_no_rows_is_refused_by_name(name, method, fitted):
    make, words = REFUSED[name]
    model = small() if method == "fit" else fitted["float64"]
    with pytest.raises((DataError, InvalidTypeError), match=words):
        getattr(model, method)(make())


# Names of columns


@pytest.mark.parametrize("container", NAMED)
def test_moved_columns_are_refused_in_every_table(container):
    X = values("float32")
    model = small().fit(NAMED[container](X))
    moved = pyarrow.table({name: X[:, NAMES.index(name)] for name in "bacde"})
    for other in (moved, moved.to_pandas(), polars.from_arrow(moved), HuggingFace(moved)):
        with pytest.raises(ValueError, match="feature names should match"):
            model.transform(other)


# Tensors in, tensors out


def skip_unless_possible(dispatch):
    """Skip where this scikit-learn refuses to dispatch: its earlier versions want SciPy 1.14 and another package."""
    try:
        with sklearn.config_context(array_api_dispatch=dispatch):
            pass
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")  # too short to learn much
@pytest.mark.parametrize("dispatch", [False, True])
@pytest.mark.parametrize("estimator", [*ESTIMATORS, Baseline], ids=lambda kind: kind.__name__)
def test_tensors_come_back_as_tensors(estimator, dispatch, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    skip_unless_possible(dispatch)
    rows = np.random.default_rng(0).random((30, 16)).astype(np.float32)
    X = torch.from_numpy(rows).requires_grad_()
    model = estimator() if estimator is Baseline else estimator(4, epochs=1, random_state=0)
    with sklearn.config_context(array_api_dispatch=dispatch):
        codes = model.fit(X).transform(X)
        results = {"transform": codes, "inverse_transform": model.inverse_transform(codes)}
        results |= {
            name: getattr(model, name)(X) for name in ("reconstruct", "score_samples") if hasattr(model, name)
        }
        for name, result in results.items():
            assert isinstance(result, torch.Tensor)
            assert result.device == X.device
            assert not result.requires_grad
            expected = getattr(model, name)(codes.numpy() if name == "inverse_transform" else rows)
            assert isinstance(expected, np.ndarray)
            np.testing.assert_array_equal(result.numpy(), expected)
        assert isinstance(model.fit_transform(X), torch.Tensor)


@pytest.mark.parametrize("dispatch", [False, True])
def test_tensors_in_a_pipeline(dispatch, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    skip_unless_possible(dispatch)
    X = torch.from_numpy(np.random.default_rng(0).random((30, 5)))
    pipe = make_pipeline(StandardScaler(), small())
    with sklearn.config_context(array_api_dispatch=dispatch):
        codes = pipe.fit(X).transform(X)
        if dispatch:  # else the scaler itself returns arrays
            assert isinstance(codes, torch.Tensor)
            assert isinstance(pipe.inverse_transform(codes), torch.Tensor)
    expected = make_pipeline(StandardScaler(), small()).fit(X.numpy()).transform(X.numpy())
    np.testing.assert_allclose(np.asarray(codes), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "frame"), [("pandas", pandas.DataFrame), ("polars", polars.DataFrame)])
def test_set_output_wins_over_the_type_of_the_input(kind, frame):
    X = torch.from_numpy(values("float32"))
    model = small().set_output(transform=kind)
    assert isinstance(model.fit_transform(X), frame)
    assert isinstance(model.transform(X), frame)
    assert isinstance(model.reconstruct(X), torch.Tensor)


def test_tensors_in_the_other_estimators():
    X, y = torch.from_numpy(values("float32")), torch.arange(24) % 2
    plane = Map("pca").fit(X)
    assert isinstance(plane.transform(X), torch.Tensor)
    classifier = PretrainedClassifier(small(), epochs=1, random_state=0).fit(X, y)
    assert isinstance(classifier.predict_proba(X), torch.Tensor)
    assert classifier.predict(X).dtype == torch.int64
    assert 0 <= classifier.score(X, y) <= 1
    compressor = Compressor(small(), lossless=True).fit(X)
    assert isinstance(compressor.transform(X), torch.Tensor)
    np.testing.assert_array_equal(compressor.decompress(compressor.compress(X)), X.numpy())


def test_results_do_not_share_memory_with_the_input():
    X = torch.from_numpy(values("float32"))
    before = X.clone()
    model = small().fit(X)
    for result in (model.reconstruct(X), model.transform(X)):
        result.zero_()
    assert torch.equal(X, before)


def test_devices_are_the_inputs(monkeypatch):
    """Without another device, that results are sent to the one of the input is seen on the way."""
    sent = []
    original = torch.Tensor.to

    def to(tensor, *args, **options):
        sent.extend(value for value in args if isinstance(value, torch.device))
        return original(tensor, *args, **options)

    X = torch.from_numpy(values("float32"))
    model = small().fit(X)
    monkeypatch.setattr(torch.Tensor, "to", to)
    model.transform(X)
    assert X.device in sent


# Channels


@pytest.mark.parametrize("network", ["convolutional", "transformer", "dense"])
@pytest.mark.parametrize(
    ("shape", "words"),
    [((16, 12, 3), "have their channels last.*moveaxis"), ((3, 8, 3), "first or last.*moveaxis")],
)
def test_channels_last_are_refused_with_what_to_do(network, shape, words):
    X = np.random.default_rng(0).random((10, *shape))
    model = small(network=network, noise="patches:size=2")
    with pytest.raises(DataError, match=words):
        model.fit(X)
    assert model.fit(np.moveaxis(X, -1, 1)).input_shape_ == (shape[2], *shape[:2])


def test_shapes_that_are_plain_are_taken():
    for shape in [(1, 5, 5), (3, 4, 4), (3, 6, 5), (2, 6, 3), (1, 6, 1)]:
        assert (
            small(network="convolutional").fit(np.random.default_rng(0).random((6, *shape))).input_shape_
            == shape
        )
    said = small(network="convolutional:image_shape=(3,8,3)").fit(
        np.random.default_rng(0).random((6, 3, 8, 3))
    )
    assert said.input_shape_ == (3, 8, 3)


@pytest.mark.parametrize("writeable", [True, False])
def test_modules_that_write_into_their_input_do_not_reach_the_users_rows(writeable):
    X = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    before = X.copy()
    X.flags.writeable = writeable
    encoder = torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Linear(5, 2))
    model = small(network=(encoder, torch.nn.Linear(2, 5)), scale="none").fit(X, validation_data=X)
    model.transform(X)
    model.score(X)
    np.testing.assert_array_equal(X, before)


def test_accepting_rows_needs_no_torch():
    code = (
        "import sys, numpy as np, polars; from isthmus.rows import given_rows; "
        "given_rows(polars.DataFrame({'a': [1, 2]}), 'X'); given_rows([[1.0]], 'X'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
