"""Whatever users give as data: a result that is finite, or one clear line with row and column."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from isthmus import Autoencoder, SequenceAutoencoder
from isthmus.errors import DataError, InvalidTypeError, IsthmusError, IsthmusWarning
from isthmus.estimators import ESTIMATORS

BASE = np.random.default_rng(0).random((40, 4))


def changed(value, dtype=None, row=3, column=2):
    X = BASE.astype(dtype) if dtype else BASE.copy()
    X[row, column] = value
    return X


#: What is no data, and what is said of it.
REFUSED = {
    "NaN": (changed(np.nan), "NaN in row 3, column 2"),
    "inf": (changed(np.inf), r"infinity \(inf\) in row 3, column 2"),
    "-inf": (changed(-np.inf), "infinity .* in row 3, column 2"),
    "None": (changed(None, object), "NaN in row 3, column 2"),
    "text": (changed("abc", object), "'abc' in row 3, column 2, which is no number"),
    "a list in a cell": (changed([1, 2], object), r"\[1, 2\] in row 3, column 2"),
    "text array": (np.array([["1", "a"], ["3", "4"]]), "'a'.* in row 0, column 1"),
    "mixed widths": ([[1.0, 2.0], [3.0, 4.0], [5.0]], "1 values in row 2, but 2 in row 0"),
    "a number for a row": ([[1.0, 2.0], 3.0], "3.0 where row 1 should be"),
    "complex": (BASE.astype(complex), "Complex data not supported"),
    "dates": (np.zeros((4, 2), "M8[s]"), "holds dates"),
    "records": (np.zeros(4, [("a", "f8"), ("b", "f8")]), "holds records"),
    "no rows": (BASE[:0], "0 sample"),
    "no columns": (BASE[:, :0], r"0 feature\(s\)"),
    "a number": (np.array(3.0), "Expected 2D array, got scalar array"),
    "a vector": (BASE[0], "Expected 2D array, got 1D array"),
    "a list of numbers": ([1.0, 2.0, 3.0], "Expected 2D array, got 1D array"),
    "None itself": (None, "must be an array, a table or a list of rows of numbers. Got None"),
    "a name": ("mnist", "Got 'mnist'"),
    "a dictionary": ({"a": 1}, "Got {'a': 1}"),
    "sparse": (scipy.sparse.csr_matrix(BASE), "toarray"),
    "matrix": (np.matrix(BASE), "np.matrix is not supported"),
    "masked": (np.ma.masked_array(BASE, mask=BASE < 0.02), r"masked values, the first in row \d+, column \d"),
    "integers beyond 2**53": (
        2**53 + np.arange(160).reshape(40, 4),
        r"the integer 9007199254740993 in row 0, column 1, beyond 2\*\*53",
    ),
}

#: What is unusual and fine.
ACCEPTED = {
    "constant column": changed(5.0, row=slice(None)),
    "duplicate column": np.c_[BASE, BASE[:, 0]],
    "all zeros": np.zeros((40, 4)),
    "all equal": np.full((40, 4), 7.0),
    "one column": BASE[:, :1],
    "two rows": BASE[:2],
    "1e38": changed(1e38),
    "1e38 in single precision": changed(1e38, np.float32),
    "1e308": changed(1e308),
    "all 1e38": BASE * 1e38,
    "all 1e300": BASE * 1e300,
    "1e-300": BASE * 1e-300,
    "subnormal": BASE * 1e-310,
    "subnormal in single precision": (BASE * 1e-40).astype(np.float32),
    "columns of all sizes": BASE * [1e-30, 1.0, 1e10, 1e30],
    "large integers that are exact": (BASE * 100).astype(np.int64) * 2**55,
    "booleans": BASE > 0.5,
    "objects that are numbers": BASE.astype(object),
    "texts that are numbers": (BASE * 100).astype(int).astype(str),
    "read-only": np.frombuffer(BASE.tobytes()).reshape(BASE.shape),
    "every second column": BASE[:, ::2],
    "backwards": BASE[::-1, ::-1],
    "Fortran's order": np.asfortranarray(BASE),
    "other byte order": BASE.astype(BASE.dtype.newbyteorder()),
    "half precision": BASE.astype(np.float16),
    "long double": BASE.astype(np.longdouble),
    "unsigned bytes": (BASE * 255).astype(np.uint8),
    "masked without masks": np.ma.masked_array(BASE),
    "a list of lists": BASE.tolist(),
    "a tuple of rows": tuple(BASE),
}


def small(model=Autoencoder, **parameters):
    own = {"epochs": 1, "random_state": 0, "code_activation": "identity", **parameters}
    known = model().get_params()
    return model(1, **{name: value for name, value in own.items() if name in known})


def said_of(X, method):
    with pytest.raises((IsthmusError, ValueError, TypeError)) as caught:
        method(X)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize(
    "method", ["fit", "partial_fit", "transform", "reconstruct", "score", "score_samples"]
)
def test_what_is_no_data_is_refused(name, method):
    X, words = REFUSED[name]
    model = small().fit(BASE)
    before = model.transform(BASE)
    message = said_of(X, getattr(small() if method == "fit" else model, method))
    if method == "fit" or "column" in words:
        import re

        assert re.search(words, message) or "expecting 4 features" in message
    assert np.array_equal(model.transform(BASE), before)


@pytest.mark.parametrize("name", REFUSED)
def test_validation_data_are_refused_likewise(name):
    X, _ = REFUSED[name]
    model = small()
    if X is None:
        return  # there are none
    assert said_of(X, lambda rows: model.fit(BASE, validation_data=rows))
    assert not hasattr(model, "encoder_")


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=list(ESTIMATORS))
@pytest.mark.parametrize(
    "name", ["inf", "text", "mixed widths", "complex", "masked", "a vector", "None itself"]
)
def test_every_family_refuses_alike(name, estimator):
    if name == "mixed widths" and estimator is SequenceAutoencoder:
        pytest.skip("lists of different lengths are sequences")
    X, _ = REFUSED[name]
    model = small(estimator)
    said_of(X, model.fit)
    assert not hasattr(model, "encoder_")


@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")
@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_unusual_gives_what_is_finite(name):
    X = ACCEPTED[name]
    model = small().fit(X)
    codes = model.transform(X)
    assert np.isfinite(codes).all()
    assert np.isfinite(model.inverse_transform(codes)).all()
    assert np.isfinite(model.reconstruct(X)).all()
    if np.ptp(X.astype(float) if isinstance(X, np.ndarray) else X) > 0:  # a share of no variance is none
        assert np.isfinite(model.score(X))
    assert np.isfinite(model.partial_fit(X).transform(X)).all()


@pytest.mark.parametrize("factor", [1e-310, 1e-300, 1e-30, 1e30, 1e150, 1e300])
def test_the_unit_of_the_data_does_not_matter(factor):
    """Training sees the same numbers, so that the codes are the same."""
    ordinary = small(epochs=20, scale="standard").fit(BASE * 3 - 1)
    scaled = small(epochs=20, scale="standard").fit((BASE * 3 - 1) * factor)
    tolerance = 1e-2 if factor < 1e-305 else 1e-4  # subnormal numbers have few digits
    assert np.allclose(
        ordinary.transform(BASE * 3 - 1), scaled.transform((BASE * 3 - 1) * factor), atol=tolerance
    )


def test_memory_maps_are_data(tmp_path):
    np.save(tmp_path / "rows.npy", BASE)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert np.array_equal(small().fit(mapped).transform(mapped), small().fit(BASE).transform(BASE))


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ([[np.nan]], "NaN"),
        ([[1.0, 2.0]], "has 2 features, but Autoencoder is expecting 1"),
        ([["a"]], "could not convert|no number"),
        (np.zeros((0, 1)), "0 sample"),
        ([[1j]], "[Cc]omplex"),
    ],
)
def test_codes_are_checked(codes, words):
    model = small().fit(BASE)
    with pytest.raises((ValueError, TypeError), match=words):
        model.inverse_transform(codes)


# Data frames


@pytest.fixture(scope="module")
def pandas():
    return pytest.importorskip("pandas")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([None if row == 3 else 0.5 for row in range(40)], "NaN in row 3, column 'c'"),
        (["x"] * 40, "'x' in row 0, column 'c', which is no number"),
        ([2**60 + row for row in range(40)], r"the integer \d+ in row 1, column 'c', beyond 2\*\*53"),
        ([1j] * 40, "complex numbers in column 'c'"),
    ],
)
def test_columns_of_frames_are_named(column, words, pandas):
    frame = pandas.DataFrame(BASE, columns=list("abcd"))
    frame["c"] = column
    with pytest.raises(DataError, match=words):
        small().fit(frame)


def test_other_columns_of_frames(pandas):
    frame = pandas.DataFrame(BASE, columns=list("abcd"))
    with pytest.raises(DataError, match=r"dates \(datetime64.*\) in column 'c'"):
        small().fit(frame.assign(c=pandas.date_range("2020", periods=40)))
    with pytest.raises(DataError, match="'x' in row 0, column 'c'"):
        small().fit(frame.assign(c=pandas.Categorical(["x", "y"] * 20)))
    with pytest.raises(DataError, match="NaN in row 1, column 'c', and 19 more such rows"):
        small().fit(frame.assign(c=pandas.array([1, None] * 20, dtype="Int64")))
    with pytest.raises(DataError, match="two columns called 'a'"):
        small().fit(frame.set_axis(["a", "a", "b", "c"], axis=1))
    for fine in ([True, False] * 20, pandas.array(range(40), dtype="Int64"), np.arange(40, dtype=np.int8)):
        rows = frame.assign(c=fine)
        assert np.isfinite(small().fit(rows).transform(rows)).all()


def test_errors_have_their_kind():
    with pytest.raises(InvalidTypeError):
        small().fit(None)
    with pytest.raises(DataError):
        small().fit(changed("abc", object))


# Anything


@st.composite
def tables(draw):
    """Rows of any shape, type and scale, with columns that are alike or constant."""
    n_rows, n_columns = draw(st.integers(2, 30)), draw(st.integers(1, 10))
    dtype = draw(st.sampled_from([np.float32, np.float64, np.float16, np.uint8, np.int8, np.int64, bool]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = random.normal(size=(n_rows, n_columns)) * (
        1 if draw(st.booleans()) else random.random(n_columns) > 0.3
    )
    if draw(st.booleans()):
        rows[:, -1] = rows[:, 0]
    if np.dtype(dtype).kind != "f":
        return (rows * 40).astype(dtype)
    widest = 4 if dtype is np.float16 else 30
    exponents = draw(st.lists(st.integers(-widest, widest), min_size=1, max_size=n_columns))
    return (rows * 10.0 ** np.resize(exponents, n_columns)).astype(dtype)


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from([Autoencoder, *ESTIMATORS.values()]))
def test_any_table_gives_what_is_finite_or_our_error(X, estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsthmusWarning)
        try:
            model = small(estimator).fit(X)
            results = [model.transform(X), model.reconstruct(X)]
        except IsthmusError as error:
            assert "\n" not in str(error)  # noqa: PT017 (an error is one of two good ends)
            return
    assert all(np.isfinite(result).all() for result in results)


@settings(max_examples=40, deadline=None)
@given(tables(), st.sampled_from(["auto", "standard", "minmax"]), st.integers(0, 5))
@pytest.mark.slow
def test_a_copy_is_never_worse_than_the_mean(X, scale, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsthmusWarning)
        assume(np.ptp(X.astype(float), axis=0).max() > 0)  # else there is nothing to explain
        model = Autoencoder("auto", scale=scale, random_state=seed).fit(X)
        assert model.score(X) >= -1e-6
