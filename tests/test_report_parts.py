"""The parts of a report that depend on the data: maps that show images, curves, tables, rates."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from isthmus.comparison import Reconstruction
from isthmus.errors import DataError, InvalidParameterError
from isthmus.report import maps, render, summarise, tables
from isthmus.report import pictures as pictures_module
from isthmus.report.model_pictures import pictures_of

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).random((60, 12)).astype(np.float32)


def told(X, models=None, **options):
    models = models or {"a": FlatPCA(3).fit(X)}
    given = {"image_shape": None, "seconds": {}, "settings": {}, "title": "t", **options}
    return summarise(models, X, X, **given)


class FlatPCA:
    """PCA of rows of any shape."""

    def __init__(self, width):
        self.pca = PCA(width)

    def fit(self, X):
        self.pca.fit(X.reshape(len(X), -1))
        return self

    def transform(self, X):
        return self.pca.transform(np.reshape(X, (len(X), -1)))

    def inverse_transform(self, codes):
        return self.pca.inverse_transform(codes)


def recorded(monkeypatch, kind):
    calls = []
    monkeypatch.setattr(pictures_module, kind, lambda *given: calls.append(given) or {})
    return calls


def copied(model, X):
    codes = model.transform(X)
    return Reconstruction(codes, np.reshape(model.inverse_transform(codes), X.shape))


# Maps


@pytest.mark.parametrize(
    ("shape", "options", "kind", "parts"),
    [
        ((60, 12), {"image_shape": (3, 4)}, "images", {"a-examples", "a-exemplars", "thumbnails"}),
        ((60, 3, 4), {}, "series", {"a-examples"}),
        pytest.param((60, 12), {"series": True}, "series", {"a-examples"}, marks=pytest.mark.slow),
        ((60, 12), {}, "table", set()),
        pytest.param((60, 3, 4), {"series": False}, "table", set(), marks=pytest.mark.slow),
    ],
)
def test_the_kind_of_rows_decides_what_is_shown(rows, shape, options, kind, parts):
    summary = told(rows.reshape(shape), **options)
    assert summary["data"]["kind"] == kind
    extra = {"a-examples", "a-exemplars", "thumbnails"}
    assert extra & set(summary["pictures"]) == parts
    assert all(bool(section["map"]) == (kind == "images") for section in summary["sections"])
    assert all(bool(section["features"]) == (kind == "table") for section in summary["sections"])
    render(summary)


@pytest.mark.parametrize(
    ("shape", "options"),
    [((60, 12), {"image_shape": (3, 4), "series": True}), ((60, 2, 2, 3), {"series": True})],
)
def test_series_that_cannot_be(rows, shape, options):
    with pytest.raises(InvalidParameterError, match="'series' parameter"):
        told(rows.reshape(shape), **options)


def test_points_lie_where_their_codes_are(rows):
    codes = rows[:, :2].astype(np.float64)
    drawn = maps.hover_map(maps.plane_of(codes), np.arange(60) % 3, "key")
    points = sorted(drawn["points"], key=lambda point: point["row"])
    assert [point["row"] for point in points] == [point["place"] for point in points] == list(range(60))
    assert [point["mark"] for point in points] == [row % 3 for row in range(60)]
    places = np.array([[point["x"], point["y"] * drawn["height"]] for point in points])
    assert places.min() >= 0
    assert places.max() <= 100
    # Distances on the page are those of the codes, but for their unit.
    near, far = (np.linalg.norm(of[:-1] - of[1:], axis=1) for of in (places, codes))
    np.testing.assert_allclose(near / near.mean(), far / far.mean(), atol=0.02)
    assert [entry["name"] for entry in drawn["key"]] == ["0", "1", "2"]


def test_ticks_stand_at_their_values():
    codes = np.array([[-10.0, 0.0], [10.0, 5.0]])
    across, _ = maps.hover_map(maps.plane_of(codes), None, "key")["ticks"]
    zero = next(tick for tick in across if tick["text"] == "0")
    assert zero["at"] == pytest.approx(50)
    assert "−8" in [tick["text"] for tick in across]


def test_labels_without_classes_have_a_scale(rows):
    plane = maps.plane_of(rows[:, :2])
    values = maps.hover_map(plane, np.linspace(-1, 1, 60), "key")
    assert (values["scale"]["low"], values["scale"]["high"], values["key"]) == ("-1.0", "1.0", [])
    colours = {point["row"]: point["colour"] for point in values["points"]}
    assert (colours[0], colours[59]) == (values["scale"]["colours"][0], values["scale"]["colours"][-1])
    words = maps.hover_map(plane, np.array([f"w{n:02}" for n in range(60)]), "key")
    assert words["scale"]["low"] == "w00"


def test_rows_in_one_place_are_drawn():
    drawn = maps.hover_map(maps.plane_of(np.ones((5, 2))), None, "key")
    assert {(point["x"], point["y"]) for point in drawn["points"]} == {(50.0, 50.0)}


def test_every_point_has_its_image():
    X = np.arange(2000).reshape(1000, 2) / 2000
    sheet = maps.thumbnails(X, (1, 2))
    assert (sheet["columns"], sheet["lines"]) == (25, 24)
    pixels = np.asarray(Image.open(io.BytesIO(sheet["light"])), dtype=float) / 255
    assert pixels.shape == (24, 50)
    drawn = maps.hover_map(maps.plane_of(X), None, "key")
    assert len(drawn["points"]) == maps.MOST_THUMBNAILS
    for point in drawn["points"]:
        line, column = divmod(point["place"], 25)
        np.testing.assert_allclose(pixels[line, 2 * column : 2 * column + 2], X[point["row"]], atol=0.003)


@pytest.mark.parametrize(("shape", "size"), [((80, 40), (16, 32)), ((3, 4, 4), (4, 4)), ((9, 9, 1), (9, 9))])
def test_thumbnails_of_other_images(shape, size):
    X = np.random.default_rng(0).random((30, np.prod(shape)))
    sheet = maps.thumbnails(X, shape)
    assert (sheet["width"] // sheet["columns"], sheet["height"] // sheet["lines"]) == size


def test_maps_that_are_given(rows):
    given = np.random.default_rng(1).normal(size=(60, 2))
    summary = told(rows, image_shape=(3, 4), maps={"a": given})
    mine, other = (section["map"] for section in summary["sections"])
    assert "came with the models" in mine["caption"]
    assert "first principal components" in other["caption"]
    assert mine["names"] == ["map 1", "map 2"]
    highest = max(mine["points"], key=lambda point: point["y"])
    assert highest["row"] == given[:, 1].argmax()


def test_maps_that_do_not_fit(rows):
    for given, error, message in (
        ({"b": rows[:, :2]}, InvalidParameterError, "'maps' parameter"),
        ({"a": rows[:9, :2]}, DataError, r"shape \(9, 2\).*60 test rows"),
        ({"a": np.full((60, 2), np.nan)}, DataError, "two finite numbers"),
    ):
        with pytest.raises(error, match=message):
            told(rows, maps=given)


def test_hostile_labels_are_text(rows):
    summary = told(rows, image_shape=(3, 4), labels=[HOSTILE, "b"] * 30)
    page = render(summary)
    assert "<script" not in page
    assert "row 0, &lt;script&gt;" in page


# Examples, errors, units


def test_examples_go_from_the_best_to_the_worst(rows, monkeypatch):
    calls = recorded(monkeypatch, "examples")
    model = FlatPCA(3).fit(rows)
    result = copied(model, rows)
    pictures_of("a", model, rows, result, (3, 4))
    ((_, originals, copies, errors, ranks, _),) = calls
    expected = np.sort(((rows - result.copies) ** 2).sum(axis=1))[[0, 1, 14, 15, 29, 30, 44, 45, 58, 59]]
    np.testing.assert_allclose(errors, expected, rtol=1e-5)
    np.testing.assert_allclose(((originals - copies) ** 2).sum(axis=1), expected, rtol=1e-5)
    assert ranks == ["best"] * 2 + ["25%"] * 2 + ["median"] * 2 + ["75%"] * 2 + ["worst"] * 2


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_few_rows_are_examples_once(rows, count, monkeypatch):
    calls = recorded(monkeypatch, "examples")
    model = FlatPCA(3).fit(rows)
    pictures_of("a", model, rows[:count], copied(model, rows[:count]), (3, 4))
    errors = calls[0][3]
    assert len(errors) == count
    assert (np.diff(errors) >= 0).all()


def test_errors_are_shown_beside_those_of_the_baseline(rows):
    picture = told(rows)["pictures"]["a-errors"]
    assert "by a, and by PCA-3 over it" in picture["alt"]
    assert "a reconstructs 0% of the rows better." in picture["caption"]  # it is PCA itself


def test_exemplars_are_the_rows_with_the_largest_codes(rows, monkeypatch):
    calls = recorded(monkeypatch, "exemplars")

    class Wide(FlatPCA):
        def transform(self, X):
            codes = np.repeat(X, 2, axis=1) * np.arange(24)
            codes[:, 20] = 7
            return codes

        def inverse_transform(self, codes):
            return np.zeros((len(codes), 12))

    model = Wide(3)
    pictures_of("a", model, rows, copied(model, rows), (3, 4))
    ((_, shown, units, n_units, _, _),) = calls
    assert (n_units, len(units)) == (24, 16)
    assert 0 not in units  # always zero
    assert 20 not in units  # always seven
    codes = model.transform(rows)
    for unit, own in zip(units, shown, strict=True):
        best = np.argsort(-codes[:, unit], kind="stable")[:8]
        np.testing.assert_array_equal(own, rows[best])


def test_correlations_are_those_of_numpy(rows):
    from isthmus.metrics import code_statistics

    codes = np.column_stack([rows[:, :3], -rows[:, 0], np.ones(60)])
    found = pictures_module._correlations(codes, code_statistics(codes))
    np.testing.assert_allclose(found[:4, :4], np.corrcoef(codes[:, :4].T), atol=1e-6)
    assert np.isnan(found[4]).all()


# Series, tables, rates, what the data were


def test_series_are_drawn_best_median_and_worst(rows, monkeypatch):
    calls = recorded(monkeypatch, "curves")
    X = rows.reshape(60, 4, 3)
    model = FlatPCA(3).fit(X)
    pictures_of("a", model, X, copied(model, X), None, series=True)
    ((_, originals, copies, errors, ranks),) = calls
    assert originals.shape == copies.shape == (3, 4, 3)
    assert ranks == ["best", "median", "worst"]
    assert errors[0] < errors[1] < errors[2]


def test_the_table_has_the_worst_features_first():
    X = np.random.default_rng(0).normal(size=(500, 30)) * np.arange(1, 31)
    summary = told(X, feature_names=[f"{HOSTILE}{number}" for number in range(30)])
    table = summary["sections"][0]["features"]
    assert len(table) == 20
    assert table == sorted(table, key=lambda row: row["explained"])
    model = FlatPCA(3).fit(X)
    feature = int(table[0]["name"].removeprefix(HOSTILE))
    error = ((X - copied(model, X).copies) ** 2)[:, feature].mean()
    assert table[0]["rmse"] == pytest.approx(error**0.5)
    assert table[0]["explained"] == pytest.approx(1 - error / X[:, feature].var())
    page = render(summary)
    assert "<script" not in page
    assert "The features that it reconstructs worst" in page


def test_names_of_features_that_do_not_fit(rows):
    with pytest.raises(DataError, match=r"3 names.*12 features"):
        told(rows, feature_names=["a", "b", "c"])


RATES = [
    {"name": "single", "bytes": 2000, "bits_per_value": 0.3, "sse": 4.2, "kind": "model"},
    {"name": HOSTILE, "bytes": 900, "bits_per_value": 0.2, "sse": 0, "kind": "codec"},
    {"name": "single", "bits_per_value": 0.1, "sse": 9.0},
]


def test_rates_are_drawn_and_listed(rows):
    summary = told(rows, rates=RATES)
    assert [row["bytes"] for row in summary["rates"]] == [None, 2000, 900]
    assert "single: from 9 at 0.1 bits to 4.2 at 0.3 bits." in summary["pictures"]["rates"]["alt"]
    page = render(summary)
    assert 'id="rates"' in page
    assert "<script" not in page
    assert 'id="rates"' not in render(told(rows))


@pytest.mark.parametrize(
    "wrong", [{"bits_per_value": 0}, {"sse": -1}, {"sse": float("nan")}, {"kind": "zip"}]
)
def test_rates_that_cannot_be(rows, wrong):
    with pytest.raises(InvalidParameterError):
        told(rows, rates=[{**RATES[0], **wrong}])


def test_rates_that_lack_something(rows):
    with pytest.raises(InvalidParameterError, match="'rates' parameter"):
        told(rows, rates=[{"name": "single", "bytes": 3}])


def test_prints_tell_data_apart(rows):
    first = tables.fingerprint(rows)
    changed = rows.copy()
    changed[-1, -1] += 1
    assert first == tables.fingerprint(np.asfortranarray(rows))
    others = [tables.fingerprint(X) for X in (changed, rows.reshape(60, 3, 4), rows.astype(np.float64))]
    assert len({first, *others}) == 4
