"""Pictures of the code: every picture in its place, every point in its colour, every word true."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from isthmus import plots
from isthmus.errors import DataError, InvalidParameterError
from isthmus.plots.latent import grey_levels
from isthmus.plots.scatter import MOST_POINTS, ON_DARK, ON_LIGHT

THEMES = [plots.LIGHT, plots.DARK]


def mosaic(figure):
    (axes,) = figure.axes
    (image,) = axes.get_images()
    return np.asarray(image.get_array())


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def key(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def points(figure):
    """Return the drawn points as rows of x and y, and their colours and marker shapes."""
    places, colours, corners = [], [], []
    for collection in figure.axes[0].collections:
        offsets = np.asarray(collection.get_offsets())
        collection.update_scalarmappable()
        faces = np.broadcast_to(collection.get_facecolors(), (len(offsets), 4))
        places.append(offsets)
        colours += [to_hex(face) for face in faces]
        corners += [len(collection.get_paths()[0].vertices)] * len(offsets)
    return np.concatenate(places), np.array(colours), np.array(corners)


def by_place(figure):
    """Return what each point looks like, by its x."""
    places, colours, corners = points(figure)
    return {x: look for (x, _), *look in zip(places.tolist(), colours, corners, strict=True)}


def tile(figure, line, column, shape, columns):
    """Return one picture of a mosaic with gaps, in its own size again."""
    pixels, (height, width) = mosaic(figure), shape
    zoom, gap = next(
        (zoom, gap)
        for zoom in range(1, 400)
        if (gap := max(2, round(0.06 * width * zoom)))
        and columns * (width * zoom + gap) - gap == pixels.shape[1]
    )
    top, left = line * (height * zoom + gap), column * (width * zoom + gap)
    own = pixels[top : top + height * zoom, left : left + width * zoom]
    np.testing.assert_array_equal(own, own[::zoom, ::zoom].repeat(zoom, 0).repeat(zoom, 1))
    return own[::zoom, ::zoom]


def all_figures(theme):
    rng = np.random.default_rng(0)
    digits, codes = rng.random((10, 64)), rng.normal(size=(300, 3))
    return [
        plots.manifold(rng.random((15, 15, 64)), (8, 8), theme=theme),
        plots.latent_scatter(codes, theme=theme),
        plots.latent_scatter(codes, np.arange(300) % 10, theme=theme),
        plots.latent_scatter(codes, codes[:, 2], theme=theme),
        plots.interpolations(rng.random((5, 10, 64)), (8, 8), theme=theme),
        plots.samples(rng.random((40, 64)), (8, 8), theme=theme),
        plots.denoising(digits, digits + 0.3, digits, (8, 8), theme=theme),
    ]


def test_manifold_has_row_0_at_the_bottom_and_column_0_on_the_left():
    pictures = np.random.default_rng(0).random((2, 3, 4, 5))  # rows, columns, height, width
    figure = plots.manifold(pictures, (4, 5))
    upper = np.concatenate(list(pictures[1]), axis=1)
    lower = np.concatenate(list(pictures[0]), axis=1)
    np.testing.assert_allclose(mosaic(figure)[..., 0], np.concatenate([upper, lower]), rtol=1e-6)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("code 1", "code 2")
    assert axes.get_xlim() == (-0.5, 2.5)
    assert axes.get_ylim() == (-0.5, 1.5)  # upwards


def test_manifold_as_it_is_seen():
    """The file, not the array: dark to the left and bottom, light to the right and top."""
    grid = np.add.outer(np.arange(3), np.arange(3)).reshape(3, 3, 1) / 4
    figure = plots.manifold(grid.repeat(4, axis=2), (2, 2))
    seen = np.asarray(Image.open(io.BytesIO(plots.to_png(figure))).convert("L")) / 255
    box = figure.axes[0].get_position()
    for row, column in itertools.product(range(3), range(3)):
        x = box.x0 + (column + 0.5) / 3 * box.width
        y = box.y0 + (row + 0.5) / 3 * box.height
        value = seen[round((1 - y) * seen.shape[0]), round(x * seen.shape[1])]
        assert value == pytest.approx((row + column) / 4, abs=0.01)


def test_manifold_says_where_in_the_code():
    along, up = np.linspace(-3, 3, 15), np.linspace(0, 140, 15)
    axes = plots.manifold(np.zeros((15, 15, 4)), (2, 2), axes=(along, up)).axes[0]
    assert axes.get_xticks().tolist() == axes.get_yticks().tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    assert ticks == ["−3.0", "−2.1", "−1.3", "−0.4", "0.4", "1.3", "2.1", "3.0"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [str(20 * step) for step in range(8)]
    bare = plots.manifold(np.zeros((3, 3, 4)), (2, 2)).axes[0]
    assert bare.get_xticks().size == bare.get_yticks().size == 0
    same = plots.manifold(np.zeros((2, 2, 4)), (2, 2), axes=([1, 1], [2, 2])).axes[0]
    assert [tick.get_text() for tick in same.get_xticklabels()] == ["1.00", "1.00"]


@pytest.mark.parametrize("axes", [([1, 2], [1, 2]), ([1, 2, 3], [1, 2, 3]), ([1, 2, np.nan], [1, 2])])
def test_manifold_with_other_axes(axes):
    wanted = "'axes' parameter of manifold must be 3 numbers for the columns and 2 for the rows"
    with pytest.raises(InvalidParameterError, match=wanted):
        plots.manifold(np.zeros((2, 3, 4)), (2, 2), axes=axes)


def test_manifold_of_many_large_pictures_still_fits():
    figure = plots.manifold(np.zeros((15, 20, 10_000)), (100, 100))
    width, height = figure.get_size_inches()
    assert width <= 7
    box = figure.axes[0].get_position()
    assert (box.width * width) / (box.height * height) == pytest.approx(20 / 15)


def test_grey_levels_can_be_given():
    pictures = np.array([[[-1.0, 0.0, 1.0, 4.0]]])
    own = mosaic(plots.manifold(pictures, (1, 4)))[0, :, 0]
    given = mosaic(plots.manifold(pictures, (1, 4), levels=(0, 2)))[0, :, 0]
    assert sorted(set(own.tolist())) == pytest.approx([0, 0.2, 0.4, 1])
    assert sorted(set(given.tolist())) == [0, 0.5, 1]
    line = mosaic(plots.samples(pictures[0], (1, 4), levels=(0, 2)))[0]
    assert line[0].tolist() == [0, 0, 0]
    assert line[-1].tolist() == [1, 1, 1]
    for levels in ((1, 1), (2, 0), (0, np.inf)):
        with pytest.raises(InvalidParameterError, match="'levels' parameter of samples"):
            plots.samples(pictures[0], (1, 4), levels=levels)


def test_grey_levels_of_values():
    assert grey_levels(np.array([0.1, 0.9])) == (0, 1)
    assert grey_levels(np.array([-0.1, 0.9])) == (-0.1, 0.9)
    assert grey_levels(np.array([3, 3])) == (3, 4)


@pytest.mark.parametrize(
    "draw",
    [
        lambda images, shape: plots.manifold(images[np.newaxis], shape),
        lambda images, shape: plots.interpolations(images[np.newaxis], shape),
        plots.samples,
        lambda images, shape: plots.denoising(images, images, images, shape),
    ],
)
def test_images_of_every_shape(draw):
    images = np.random.default_rng(0).random((3, 4, 5, 3))
    last = mosaic(draw(images, (4, 5, 3)))
    np.testing.assert_array_equal(mosaic(draw(np.moveaxis(images, -1, 1), (3, 4, 5))), last)
    np.testing.assert_array_equal(mosaic(draw(images.reshape(3, -1), (4, 5, 3))), last)
    np.testing.assert_allclose(last[0, 0], images[0, 0, 0], rtol=1e-6)
    grey = mosaic(draw(images[..., 0], (4, 5)))
    np.testing.assert_allclose(grey[0, 0], images[0, 0, 0, [0, 0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(mosaic(draw(images[..., :1], (4, 5, 1))), grey)
    with pytest.raises(InvalidParameterError, match=r"'image_shape' parameter of \w+ must be .*60 values"):
        draw(images, (4, 5))


def test_interpolations_go_from_left_to_right():
    pictures = np.random.default_rng(0).random((3, 10, 2, 2))
    figure = plots.interpolations(pictures, (2, 2))
    for pair, step in ((0, 0), (0, 9), (1, 4), (2, 9)):
        np.testing.assert_allclose(
            tile(figure, pair, step, (2, 2), 10)[..., 0], pictures[pair, step], rtol=1e-6
        )
    assert words(figure) == ["from", "to"]
    first, last = (text.get_position()[0] for text in figure.axes[0].texts)
    assert first < mosaic(figure).shape[1] / 10 < mosaic(figure).shape[1] * 9 / 10 < last


@pytest.mark.parametrize(("number", "per_line"), [(1, 1), (7, 7), (40, 10), (100, 16)])
def test_samples_are_in_reading_order(number, per_line):
    pictures = np.random.default_rng(0).random((number, 3, 3))
    figure = plots.samples(pictures, (3, 3))
    for index in {0, number // 2, number - 1}:
        seen = tile(figure, *divmod(index, per_line), (3, 3), per_line)
        np.testing.assert_allclose(seen[..., 0], pictures[index], rtol=1e-6)


def test_denoising_shows_noisy_above_restored_above_original():
    originals = np.random.default_rng(0).random((10, 64)) * 16
    noisy, restored = originals + 20, originals / 2
    figure = plots.denoising(originals, noisy, restored, (8, 8))
    assert words(figure) == ["noisy", "restored", "original"]
    heights = [text.get_position()[1] for text in figure.axes[0].texts]
    assert heights == sorted(heights)
    lowest, highest = originals.min(), originals.max()
    for line, rows in enumerate((noisy, restored, originals)):
        expected = np.clip((rows[7] - lowest) / (highest - lowest), 0, 1).reshape(8, 8)
        np.testing.assert_allclose(tile(figure, line, 7, (8, 8), 10)[..., 0], expected, rtol=1e-5)


def test_denoising_needs_three_of_each():
    rows = np.zeros((4, 4))
    with pytest.raises(DataError, match="'noisy' has 3 rows, but denoising is expecting 4"):
        plots.denoising(rows, rows[:3], rows, (2, 2))
    with pytest.raises(DataError, match="'restored' has 2 rows"):
        plots.denoising(rows, rows, rows[:2], (2, 2))


@pytest.mark.parametrize(
    ("draw", "pictures"),
    [
        (plots.manifold, np.zeros((4, 4))),
        (plots.manifold, np.zeros((0, 4, 4))),
        (plots.interpolations, np.zeros((3, 1, 4))),
        (plots.samples, np.zeros((0, 4))),
        (plots.samples, np.zeros(4)),
    ],
)
def test_pictures_of_another_shape(draw, pictures):
    with pytest.raises(InvalidParameterError, match=rf"'pictures' parameter of {draw.__name__} must be"):
        draw(pictures, (2, 2))


def test_points_are_where_the_codes_are():
    codes = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    figure = plots.latent_scatter(codes)
    places, colours, _ = points(figure)
    expected = codes[:, :2].astype(float)
    np.testing.assert_array_equal(places[places[:, 0].argsort()], expected[expected[:, 0].argsort()])
    assert set(colours) == {plots.LIGHT.series[0]}
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("code 1", "code 2")
    assert axes.get_legend() is None
    assert len(figure.axes) == 1


@pytest.mark.parametrize("stretch", [(1, 1), (1, 0.01), (0.01, 1), (0, 1), (0, 0)])
def test_a_unit_is_equally_long_on_both_axes(stretch):
    codes = np.random.default_rng(0).normal(size=(50, 2)) * stretch
    figure = plots.latent_scatter(codes)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    box = axes.get_window_extent()
    across, up = np.diff(axes.get_xlim())[0], np.diff(axes.get_ylim())[0]
    assert box.width / across == pytest.approx(box.height / up)
    for values, (low, high) in zip(codes.T, (axes.get_xlim(), axes.get_ylim()), strict=True):
        assert low < values.min() <= values.max() < high


def test_the_same_label_has_the_same_colour_and_others_have_others():
    codes = np.arange(40.0).reshape(20, 2)
    labels = np.array(["zebra", "ant", "cow", "ant"] * 5)
    figure = plots.latent_scatter(codes, labels)
    looks = by_place(figure)
    colours = {name: {looks[x][0] for x in codes[labels == name, 0]} for name in ("ant", "cow", "zebra")}
    assert all(len(own) == 1 for own in colours.values())
    assert len(set.union(*colours.values())) == 3
    assert key(figure) == ["ant", "cow", "zebra"]
    handles = figure.axes[0].get_legend().legend_handles
    told = {name: {handle.get_color()} for name, handle in zip(key(figure), handles, strict=True)}
    assert told == colours


def test_twenty_labels_are_told_apart_by_colour_and_shape():
    codes = np.arange(80.0).reshape(40, 2)
    labels = np.arange(40) % 20
    figure = plots.latent_scatter(codes, labels)
    assert key(figure) == [str(number) for number in range(20)]
    looks = by_place(figure)
    own = [{tuple(looks[x]) for x in codes[labels == label, 0]} for label in range(20)]
    assert all(len(look) == 1 for look in own)
    assert len(set.union(*own)) == 20
    colours = [next(iter(look))[0] for look in own]
    assert colours[:10] == colours[10:]
    assert len(set(colours)) == 10


def test_booleans_and_boxed_labels():
    codes = np.arange(8.0).reshape(4, 2)
    assert key(plots.latent_scatter(codes, [True, False, True, True])) == ["False", "True"]
    boxed = np.array([10, 9, 10, 9], dtype=object)
    assert key(plots.latent_scatter(codes, boxed)) == ["9", "10"]
    assert key(plots.latent_scatter(codes, np.array(["a", None, 1, "a"], dtype=object))) == ["1", "None", "a"]


def test_floats_run_through_a_range_with_a_bar():
    codes = np.arange(20.0).reshape(10, 2)
    values = np.linspace(-1, 1, 10)
    figure = plots.latent_scatter(codes, values)
    frame, bar = figure.axes
    assert frame.get_legend() is None
    assert bar.get_ylim() == (-1, 1)
    looks = by_place(figure)
    lightness = [sum(to_rgb(looks[x][0])) for x in codes[:, 0]]
    assert lightness == sorted(lightness)
    assert len(set(lightness)) == 10
    assert len(plots.latent_scatter(codes, np.ones(10)).axes) == 2


def test_many_numbers_and_many_words_have_a_bar_too():
    codes = np.random.default_rng(0).random((60, 2))
    years = plots.latent_scatter(codes, np.arange(60) % 30 + 1990)
    ticks = years.axes[1].get_yticks()
    assert (ticks == ticks.round()).all()
    assert years.axes[1].get_ylim() == (1990, 2019)
    names = plots.latent_scatter(codes, [f"$^{number % 25:02}" for number in range(60)])
    assert [tick.get_text() for tick in names.axes[1].get_yticklabels()] == [
        "$^00", "$^06", "$^12", "$^18", "$^24",
    ]  # fmt: skip
    plots.to_png(names)


def test_many_points_are_taken_evenly_and_always_the_same():
    codes = np.arange(40_000.0).reshape(20_000, 2)
    labels = np.repeat([0, 1], [19_990, 10])
    first, second = (points(plots.latent_scatter(codes, labels))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    rows = np.sort(first[:, 0]) / 2
    assert len(rows) == MOST_POINTS
    assert (rows[0], rows[-1]) == (0, 19_999)
    assert set(np.diff(rows)) <= {3, 4, 5}
    assert abs(np.corrcoef(first[:, 0], np.arange(MOST_POINTS))[0, 1]) < 0.05  # drawn in a mixed order
    assert key(plots.latent_scatter(codes, labels)) == ["0", "1"]


def test_colours_stay_with_their_points_when_some_are_left_out():
    codes = np.stack([np.arange(12_000.0), np.zeros(12_000)], axis=1)
    places, colours, _ = points(plots.latent_scatter(codes, np.arange(12_000) % 10))
    for label in range(10):
        assert set(colours[places[:, 0] % 10 == label]) == {ON_LIGHT[label]}


@pytest.mark.parametrize("theme", THEMES)
def test_names_in_the_key_are_not_mathematics_and_fit(theme):
    names = ["$x^{", "_hidden", "a name that goes on and on and on", "convolutional", ""] * 2
    figure = plots.latent_scatter(np.random.default_rng(0).random((10, 2)), names, theme=theme)
    assert key(figure) == ["", "$x^{", "_hidden", "a name that goes …", "convolutional"]
    figure.draw_without_rendering()
    for text in figure.axes[0].get_legend().get_texts():
        assert text.get_window_extent().x1 <= figure.bbox.width
        assert to_hex(text.get_color()) == theme.text


def test_the_key_of_twenty_fits_a_flat_picture():
    codes = np.random.default_rng(0).random((40, 2)) * [1, 0.01]
    figure = plots.latent_scatter(codes, np.arange(40) % 20)
    figure.draw_without_rendering()
    assert figure.axes[0].get_legend().get_window_extent().y0 >= 0


@pytest.mark.parametrize("codes", [np.zeros((3, 1)), np.zeros(3), np.zeros((0, 2)), np.zeros((2, 2, 2))])
def test_codes_that_are_no_plane(codes):
    with pytest.raises(InvalidParameterError, match="'codes' parameter of latent_scatter must be"):
        plots.latent_scatter(codes)


def test_values_that_cannot_be_drawn():
    codes = np.zeros((3, 2))
    with pytest.raises(DataError, match=r"labels has shape \(2,\).*one for each of 3 rows"):
        plots.latent_scatter(codes, [1, 2])
    with pytest.raises(DataError, match="labels contains NaN or infinity in row 1"):
        plots.latent_scatter(codes, [1, np.nan, 2])
    with pytest.raises(DataError, match="codes contains NaN or infinity in row 2"):
        plots.latent_scatter([[0, 0], [1, 1], [2, np.inf]])
    with pytest.raises(DataError, match="codes holds <U1 values"):
        plots.latent_scatter([["a", "b"]])


# Linear RGB as a dichromat sees it: Machado, Oliveira and Fernandes (2009), table 1, severity 1.
VISIONS = {
    "all three cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def linear(colours):
    channels = np.array([to_rgb(colour) for colour in colours])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def oklab(light):
    to_cones = [[0.41222147, 0.53633254, 0.05144599], [0.21190350, 0.68069955, 0.10739696], [0.08830246, 0.28171884, 0.62997870]]  # fmt: skip  # noqa: E501
    to_lab = [[0.21045426, 0.79361779, -0.00407205], [1.97799850, -2.42859221, 0.45059371], [0.02590404, 0.78277177, -0.80867577]]  # fmt: skip  # noqa: E501
    return np.cbrt(np.clip(light, 0, 1) @ np.transpose(to_cones)) @ np.transpose(to_lab)


@pytest.mark.parametrize(("palette", "theme"), [(ON_LIGHT, plots.LIGHT), (ON_DARK, plots.DARK)])
@pytest.mark.parametrize("vision", VISIONS)
def test_ten_classes_are_told_apart_with_any_eyes(palette, theme, vision):
    seen = oklab(linear([*palette, theme.background]) @ np.transpose(VISIONS[vision]))
    distances = [np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)]
    assert len(distances) == 55
    assert min(distances) >= 0.10
    codes = np.arange(20.0).reshape(10, 2)
    looks = by_place(plots.latent_scatter(codes, np.arange(10), theme=theme))
    assert [looks[x][0] for x in codes[:, 0]] == list(palette)


@pytest.mark.parametrize("theme", THEMES)
def test_themes_colour_the_background(theme):
    for figure in all_figures(theme):
        image = Image.open(io.BytesIO(plots.to_png(figure))).convert("RGB")
        corner = image.getpixel((0, image.height - 1)), image.getpixel((image.width - 1, 0))
        if figure.axes[0].get_xlabel():  # a mosaic without words has no background at its corners
            assert {"#{:02x}{:02x}{:02x}".format(*colour) for colour in corner} == {theme.background}
        for axes in figure.axes:
            assert {text.get_color() for text in axes.texts} <= {theme.text, theme.muted}
            assert axes.xaxis.label.get_color() in {theme.text, "black"}


def test_the_same_figure_gives_the_same_bytes():
    first, second = ([plots.to_png(figure) for figure in all_figures(plots.LIGHT)] for _ in range(2))
    assert first == second


def test_matplotlib_is_left_alone():
    before = dict(mpl.rcParams)
    for figure in all_figures(plots.DARK):
        plots.to_png(figure)
    assert dict(mpl.rcParams) == before


def test_pyplot_and_torch_are_not_imported():
    code = (
        "import sys; from isthmus import plots; "
        "plots.to_png(plots.latent_scatter([[0, 1], [1, 0]], [0.5, 1.5])); "
        "plots.to_png(plots.latent_scatter([[0, 1], [1, 0]], ['a', 'b'])); "
        "plots.to_png(plots.manifold([[[0, 1]]], (1, 2))); "
        "assert not {'matplotlib.pyplot', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
