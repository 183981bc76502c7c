"""Figures: they show what they say, in the right place, and leave Matplotlib as they found it."""

from __future__ import annotations

import io
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from isthmus import plots
from isthmus.errors import DataError, InvalidParameterError

HISTORY = [
    {"epoch": epoch, "loss": 80 / epoch, "validation_loss": 85 / epoch, "seconds": 0.1}
    for epoch in range(1, 6)
]


def words(axes):
    return [text.get_text() for text in axes.texts]


def mosaic(figure):
    (axes,) = figure.axes
    (image,) = axes.get_images()
    return np.asarray(image.get_array())


@pytest.fixture
def digits():
    return np.random.default_rng(0).random((10, 64))


def all_figures(theme):
    digits = np.random.default_rng(0).random((10, 64))
    return [
        plots.reconstructions(digits, {"single": digits / 2}, (8, 8), theme=theme),
        plots.worst_reconstructions(digits, digits / 2, np.arange(10.0), (8, 8), theme=theme),
        plots.filters(digits - 0.5, (8, 8), dead=[3], theme=theme),
        plots.loss_curves({"single": HISTORY}, theme=theme),
        plots.code_activity([1.0, 0.0], [0.5, 0.0], [1.0, 0.0], theme=theme),
    ]


def test_originals_are_above_their_copies(digits):
    figure = plots.reconstructions(digits, {"half": digits / 2, "none": digits * 0}, (8, 8))
    assert words(figure.axes[0]) == ["original", "half", "none"]
    pixels = mosaic(figure)
    pitch = (pixels.shape[0] + round(pixels.shape[0] / 3 * 0.06)) // 3
    heights = [text.get_position()[1] for text in figure.axes[0].texts]
    assert heights == sorted(heights)
    top, middle, bottom = (pixels[line * pitch + 2, 2] for line in range(3))
    np.testing.assert_allclose(top, digits[0, 0], rtol=1e-5)
    np.testing.assert_allclose(middle, digits[0, 0] / 2, rtol=1e-5)
    assert (bottom == 0).all()


def test_grey_levels_are_those_of_the_originals():
    figure = plots.reconstructions([[-2.0, 2.0]], {"copy": [[-5.0, 0.0]]}, (1, 2))
    pixels = mosaic(figure)
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, -1].tolist() == [1, 1, 1]
    assert pixels[-1, 0].tolist() == [0, 0, 0]  # below the range of the originals: clipped
    assert pixels[-1, -1].tolist() == [0.5, 0.5, 0.5]


def test_colour_images_with_channels_on_either_side():
    images = np.random.default_rng(0).random((3, 4, 5, 3))
    last = mosaic(plots.reconstructions(images, {}, (4, 5, 3)))
    first = mosaic(plots.reconstructions(np.moveaxis(images, -1, 1), {}, (3, 4, 5)))
    np.testing.assert_array_equal(first, last)
    np.testing.assert_allclose(last[0, 0], images[0, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("shape", [(8, 9), (64,), (4, 4, 4), (2, 2, 2, 8)])
def test_a_shape_that_rows_do_not_have(digits, shape):
    with pytest.raises(InvalidParameterError, match=r"'image_shape' parameter of filters.*64 values"):
        plots.filters(digits, shape)


def test_copies_and_errors_must_match(digits):
    with pytest.raises(DataError, match="'single' has 9 rows"):
        plots.reconstructions(digits, {"single": digits[:9]}, (8, 8))
    with pytest.raises(DataError, match=r"errors has shape \(3,\).*10 originals"):
        plots.worst_reconstructions(digits, digits, [1.0, 2.0, 3.0], (8, 8))


def test_worst_pairs_have_their_error_below(digits):
    figure = plots.worst_reconstructions(digits[:3], digits[:3], [33.25, 1.0, 0.0123], (8, 8))
    assert words(figure.axes[0]) == ["original", "copy", "33.2", "1.0", "0.012"]


def test_filters_are_symmetric_around_zero():
    figure = plots.filters([[1.0, -1.0, 0.0, 0.5]], (1, 4))
    pixels = mosaic(figure)[0]
    below, zero, above = (mpl.colors.to_rgb(colour) for colour in plots.LIGHT.diverging)
    width = len(pixels) // 4
    np.testing.assert_allclose(pixels[0], above, atol=0.01)
    np.testing.assert_allclose(pixels[width], below, atol=0.01)
    np.testing.assert_allclose(pixels[2 * width], zero, atol=0.01)
    assert not np.allclose(pixels[3 * width], above, atol=0.05)


def test_filters_mark_the_dead_and_number_the_lines(digits):
    figure = plots.filters(digits - 0.5, (8, 8), dead=[0, 9])
    assert words(figure.axes[0]) == ["0", "8", "dead", "dead"]
    first, second = figure.axes[0].texts[2:]
    assert first.get_position()[0] < second.get_position()[0]  # columns 0 and 1
    assert first.get_position()[1] < second.get_position()[1]  # lines 0 and 1


def test_filters_that_are_all_zero():
    assert mosaic(plots.filters(np.zeros((2, 4)), (2, 2))).shape[-1] == 3


def test_loss_curves_show_the_history():
    figure = plots.loss_curves({"single": HISTORY, "deep": HISTORY[:3]})
    (axes,) = figure.axes
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--", "-", "--"]
    assert axes.lines[0].get_ydata().tolist() == [row["loss"] for row in HISTORY]
    assert axes.lines[1].get_ydata().tolist() == [row["validation_loss"] for row in HISTORY]
    assert axes.lines[0].get_color() == axes.lines[1].get_color() != axes.lines[2].get_color()
    assert set(words(axes)) == {"single", "deep"}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "validation"]


def test_loss_curves_without_validation_have_no_key():
    history = [{"epoch": 1, "loss": -3.0}, {"epoch": 2, "loss": -4.0}]
    (axes,) = plots.loss_curves({"single": history, "empty": []}).axes
    assert axes.get_legend() is None
    assert axes.get_yscale() == "linear"  # a negative loss has no logarithm
    assert words(axes) == ["single"]


def test_names_at_the_ends_of_curves_do_not_overlap():
    histories = {f"model {number}": HISTORY for number in range(5)}
    (axes,) = plots.loss_curves(histories).axes
    heights = sorted(text.get_position()[1] for text in axes.texts)
    assert np.diff(heights).min() > 0.08


def test_code_activity_shows_both_numbers():
    upper, lower = plots.code_activity([3.0, 0.5, 0.0], [1.0, 0.2, 0.0]).axes
    assert [bar.get_height() for bar in upper.patches] == [3.0, 0.5, 0.0]
    assert [bar.get_height() for bar in lower.patches] == [100.0, 20.0, 0.0]


def test_names_are_not_mathematics_and_fit():
    names = ["$x^{", "a name that goes on and on and on", "convolutional", ""]
    digits = np.ones((2, 4))
    figure = plots.reconstructions(digits, dict.fromkeys(names, digits), (2, 2))
    assert words(figure.axes[0])[1:] == ["$x^{", "a name that goes …", "convolutional", ""]
    figure.draw_without_rendering()
    for text in figure.axes[0].texts:
        assert text.get_window_extent().x0 >= 0
    plots.to_png(plots.loss_curves(dict.fromkeys(names, HISTORY)))


@pytest.mark.parametrize("theme", [plots.LIGHT, plots.DARK])
def test_themes_colour_the_background_and_can_be_read(theme):
    for figure in all_figures(theme):
        content = plots.to_png(figure)
        image = Image.open(io.BytesIO(content)).convert("RGB")
        assert "#{:02x}{:02x}{:02x}".format(*image.getpixel((0, 0))) == theme.background
        assert len(content) < 200_000
    for colour in (theme.text, theme.muted, *theme.series):
        assert contrast(colour, theme.background) >= 4.5  # WCAG 2.2, level AA


def contrast(one, other):
    def luminance(colour):
        channels = np.array(mpl.colors.to_rgb(colour))
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_the_same_figure_gives_the_same_bytes():
    first, second = (plots.to_png(plots.loss_curves({"single": HISTORY})) for _ in range(2))
    assert first == second
    small = Image.open(io.BytesIO(plots.to_png(plots.loss_curves({"single": HISTORY}), dpi=50)))
    assert small.size == (350, 170)


def test_matplotlib_is_left_alone():
    before = dict(mpl.rcParams)
    for figure in all_figures(plots.LIGHT):
        plots.to_png(figure)
    assert dict(mpl.rcParams) == before


def test_pyplot_and_torch_are_not_imported():
    code = (
        "import sys; from isthmus import plots; "
        "assert 'matplotlib' not in sys.modules; "
        "plots.to_png(plots.filters([[1.0, -1.0]], (1, 2))); "
        "assert not {'matplotlib.pyplot', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_save_writes_by_ending(tmp_path):
    figure = plots.code_activity([1.0], [1.0])
    plots.save(figure, tmp_path / "codes.png")
    plots.save(figure, str(tmp_path / "codes.svg"))
    with Image.open(tmp_path / "codes.png") as image:
        assert image.info["Software"] == "Isthmus"
    assert "<svg" in (tmp_path / "codes.svg").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"codes.png", "codes.svg"}
    with pytest.raises(InvalidParameterError, match="'path ending' parameter of save"):
        plots.save(figure, tmp_path / "codes.pgn")
    with pytest.raises(FileNotFoundError):
        plots.save(figure, tmp_path / "nowhere" / "codes.png")
