"""Pictures of errors, units, series and rates: what they show is what they were given."""

from __future__ import annotations

import numpy as np
import pytest

from isthmus import plots
from isthmus.errors import DataError, InvalidParameterError, InvalidTypeError

THEMES = [plots.LIGHT, plots.DARK]
RATE = {"name": "a", "bits_per_value": 0.5, "sse": 2.0}


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def mosaic(figure):
    return np.asarray(figure.axes[0].get_images()[0].get_array())


@pytest.fixture
def digits():
    return np.random.default_rng(0).random((10, 64))


@pytest.mark.parametrize("theme", THEMES)
def test_all_are_drawn_in_both_themes(digits, theme):
    for figure in (
        plots.differences(digits, digits / 2, ["x\n1"] * 10, (8, 8), theme=theme),
        plots.exemplars(digits.reshape(5, 2, 64), range(5), (8, 8), theme=theme),
        plots.error_histogram({"a": [1, 2], "b": [2, 3]}, theme=theme),
        plots.code_correlations(np.corrcoef(digits), theme=theme),
        plots.series_copies(digits, digits / 2, ["x"] * 10, theme=theme),
        plots.rate_distortion([RATE], theme=theme),
    ):
        assert plots.to_png(figure, dpi=40)[:4] == b"\x89PNG"


def test_differences_share_a_scale_around_zero():
    originals = np.array([[0.0, 0.5], [0.5, 1.0]])
    copies = originals + np.array([[0.2, 0.0], [0.0, -0.1]])
    canvas = mosaic(plots.differences(originals, copies, ["a", "b"], (1, 2)))
    below = canvas[-1]  # the last line of pixels is of differences
    low, zero, high = (
        np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for c in plots.LIGHT.diverging
    )
    np.testing.assert_allclose(below[0], high, atol=0.02)
    np.testing.assert_allclose(below[len(below) // 2 - 20], zero, atol=0.02)
    np.testing.assert_allclose(below[-1], (low + zero) / 2, atol=0.02)


def test_differences_write_several_lines_below(digits):
    figure = plots.differences(digits[:2], digits[:2], ["best\n0.1", "worst\n2"], (8, 8))
    assert words(figure) == ["original", "copy", "difference", "best", "0.1", "worst", "2"]


def test_differences_of_colour_images():
    images = np.random.default_rng(0).random((3, 4, 4, 3))
    assert plots.differences(images, images, ["a", "b", "c"], (4, 4, 3)).axes


@pytest.mark.parametrize(("copies", "names"), [(9, 10), (10, 9)])
def test_differences_of_unequal_parts(digits, copies, names):
    with pytest.raises(DataError, match="equally many"):
        plots.differences(digits, digits[:copies], ["x"] * names, (8, 8))


def test_exemplars_stand_beside_their_unit():
    values = np.arange(3)[:, np.newaxis, np.newaxis] / 2 + np.zeros((3, 4, 9))
    figure = plots.exemplars(values, [3, 5, 8], (3, 3), levels=(0, 1))
    canvas = mosaic(figure)
    middle = canvas.shape[1] // 2
    upper, lower = canvas[5], canvas[-5]
    np.testing.assert_array_equal(upper[[3, -3]], [[0] * 3, [0.5] * 3])
    np.testing.assert_array_equal(
        lower[[3, middle, -3]], [[1] * 3, [1] * 3, [1] * 3]
    )  # the rest is white page
    with pytest.raises(DataError, match="2 units"):
        plots.exemplars(values, [1, 2], (3, 3))


def test_histograms_count_every_row():
    errors = np.random.default_rng(0).lognormal(0, 2, 500)
    figure = plots.error_histogram({"a": errors, "_$b": 2 * errors})
    assert figure.axes[0].get_xscale() == "log"
    assert [patch.get_data().values.sum() for patch in figure.axes[0].patches] == [500, 500]
    assert legend(figure)[1].startswith("_$b, median")


@pytest.mark.parametrize("errors", [[0.0, 1.0, 100.0], [3.0], [0.0, 0.0], [5.0, 6.0]])
def test_histograms_of_any_errors_are_linear(errors):
    figure = plots.error_histogram({"a": errors})
    assert figure.axes[0].get_xscale() == "linear"
    assert figure.axes[0].patches[0].get_data().values.sum() == len(errors)
    plots.to_png(figure, dpi=40)


def test_errors_that_are_none():
    for wrong in ({"a": [-1.0]}, {"a": [np.nan]}):
        with pytest.raises(DataError, match="'a'"):
            plots.error_histogram(wrong)
    for wrong in ({}, {"a": []}):
        with pytest.raises(InvalidParameterError, match="'errors'"):
            plots.error_histogram(wrong)


def test_units_without_correlation_are_left_empty():
    table = np.array([[1, np.nan], [np.nan, np.nan]])
    assert np.ma.getmaskarray(plots.code_correlations(table).axes[0].get_images()[0].get_array()).all()
    for wrong in ([[1, 2], [2, 1]], [[1, 0]]):
        with pytest.raises(InvalidParameterError, match="between -1 and 1"):
            plots.code_correlations(wrong)


def test_series_show_the_liveliest_channels():
    series = np.random.default_rng(0).normal(size=(2, 20, 5)) * [1, 9, 8, 2, 7]
    figure = plots.series_copies(series, series / 2, ["a", "b"])
    for number, axes in enumerate(figure.axes):
        for place, channel in enumerate((1, 2, 4)):
            original, copy = axes.lines[2 * place : 2 * place + 2]
            np.testing.assert_array_equal(original.get_ydata(), series[number, :, channel])
            np.testing.assert_array_equal(copy.get_ydata(), series[number, :, channel] / 2)
    with pytest.raises(DataError, match="equally many"):
        plots.series_copies(series, series[:1], ["a", "b"])


def test_rates_are_curves_of_their_names():
    points = [
        RATE,
        {**RATE, "bits_per_value": 0.1, "sse": 8},
        {**RATE, "name": "_b", "kind": "codec", "sse": 0},
    ]
    figure = plots.rate_distortion(points)
    curve, exact = figure.axes[0].lines
    assert curve.get_xydata().tolist() == [[0.1, 8.0], [0.5, 2.0]]
    assert (curve.get_linestyle(), exact.get_linestyle()) == ("-", "--")
    assert exact.get_ydata().tolist() == [1.0]  # below any other
    assert exact.get_markerfacecolor() == plots.LIGHT.background
    assert legend(figure) == ["a", "_b"]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"bits_per_value": 0}, InvalidParameterError),
        ({"sse": -1}, InvalidParameterError),
        ({"sse": "4"}, InvalidTypeError),
        ({"kind": "zip"}, InvalidParameterError),
    ],
)
def test_rates_that_cannot_be(wrong, error):
    with pytest.raises(error):
        plots.rate_distortion([{**RATE, **wrong}])
    with pytest.raises(InvalidParameterError):
        plots.rate_distortion([])
