"""What a report shows of a model: pictures that any has, and those of what it alone can do."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from helpers import Reader
from isthmus.comparison import Reconstruction
from isthmus.report import pictures as pictures_module
from isthmus.report import render, summarise
from isthmus.report.model_pictures import pictures_of


class Plane:
    """Two numbers in, a picture of four pixels out: each pixel a known function of the code."""

    def transform(self, X):
        return np.asarray(X).reshape(len(X), 4)[:, :2].copy()

    def inverse_transform(self, codes):
        first, second = np.asarray(codes).T
        return np.stack([first, second, first + second, first * second], axis=1)


class Imaginative(Plane):
    def __init__(self):
        self.asked = []

    def sample(self, n_samples, *, random_state):
        self.asked.append((n_samples, random_state))
        return np.full((n_samples, 4), 0.5)


class Restorer(Plane):
    def corrupt(self, X, random_state):
        return X + random_state + 1

    def reconstruct(self, X):
        return X * 10


@pytest.fixture
def plane_rows():
    return np.random.default_rng(0).random((100, 4)).astype(np.float32)


@pytest.fixture
def drawn(monkeypatch):
    """What the pictures are asked to show, by their name, instead of pictures."""
    shown = {}
    for kind in ("latent_map", "manifold", "drawn_samples", "interpolation", "denoised"):
        monkeypatch.setattr(
            pictures_module, kind, lambda *given, kind=kind: shown.setdefault(kind, given) and {}
        )
    return shown


def through(model, X):
    codes = model.transform(X)
    return Reconstruction(codes=codes, copies=model.inverse_transform(codes))


def test_a_code_of_two_numbers_has_a_map_and_a_manifold(plane_rows, drawn):
    model, labels = Plane(), np.arange(100) % 3
    kinds = pictures_of("flat", model, plane_rows, through(model, plane_rows), (2, 2), labels)
    assert list(kinds) == [
        "examples", "latent-map", "manifold", "filters", "exemplars", "activity", "correlations",
    ]  # fmt: skip
    name, plane, told = drawn["latent_map"]
    assert name == "flat"
    np.testing.assert_array_equal(plane.points, plane_rows[:, :2])
    np.testing.assert_array_equal(told, labels)
    _, grid, shape, (along, up), levels = drawn["manifold"]
    assert grid.shape == (15, 15, 4)
    assert (shape, levels) == ((2, 2), (0.0, 1.0))
    ends = np.quantile(plane_rows[:, :2], [0.05, 0.95], axis=0)
    np.testing.assert_allclose([along[[0, -1]], up[[0, -1]]], ends.T, rtol=1e-5)
    for row, column in ((0, 0), (0, 14), (14, 3)):
        decoded = model.inverse_transform([[along[column], up[row]]])[0]
        np.testing.assert_allclose(grid[row, column], decoded, rtol=1e-6)


def test_a_wider_code_has_a_map_of_its_main_directions_and_no_manifold(plane_rows, drawn):
    model = PCA(n_components=3).fit(plane_rows)
    kinds = pictures_of("wide", model, plane_rows, through(model, plane_rows), (2, 2))
    assert list(kinds) == ["examples", "latent-map", "filters", "exemplars", "activity", "correlations"]
    points = drawn["latent_map"][1].points
    expected = PCA(n_components=2).fit_transform(model.transform(plane_rows))
    np.testing.assert_allclose(abs(points), abs(expected), atol=1e-5)


def test_a_code_of_one_number_has_no_map(plane_rows, drawn):
    model = PCA(n_components=1).fit(plane_rows)
    kinds = pictures_of("thin", model, plane_rows, through(model, plane_rows), (2, 2))
    assert list(kinds) == ["examples", "filters", "exemplars", "activity"]


def test_rows_that_are_not_images_have_the_map_alone(plane_rows, drawn):
    model = Imaginative()
    kinds = pictures_of("flat", model, plane_rows, through(model, plane_rows), None)
    assert list(kinds) == ["latent-map", "activity", "correlations"]
    assert model.asked == []


def test_a_model_that_samples_shows_samples_and_ways(plane_rows, drawn):
    model = Imaginative()
    kinds = pictures_of("vae", model, plane_rows, through(model, plane_rows), (2, 2))
    assert list(kinds)[3:5] == ["samples", "interpolation"]
    assert model.asked == [(40, 0)]
    np.testing.assert_array_equal(drawn["drawn_samples"][1], np.full((40, 4), 0.5))
    ways = drawn["interpolation"][1]
    assert ways.shape == (5, 10, 4)
    for pair in range(5):
        start, end = plane_rows[2 * pair, :2], plane_rows[2 * pair + 1, :2]
        third = start + (end - start) * 3 / 9
        expected = model.inverse_transform(np.stack([start, third, end]))
        np.testing.assert_allclose(ways[pair, [0, 3, 9]], expected, rtol=1e-5)


def test_ways_between_few_rows_or_entries_of_a_table(plane_rows, drawn):
    class Entries(Imaginative):
        def transform(self, X):
            return super().transform(X).round().astype(int)

    for model, rows, expected in (
        (Imaginative(), 3, (1, 10, 4)),
        (Imaginative(), 1, None),
        (Entries(), 9, None),
    ):
        drawn.clear()
        X = plane_rows[:rows]
        kinds = pictures_of("few", model, X, through(model, X), (2, 2))
        assert "samples" in kinds
        assert ("interpolation" in kinds) == (expected is not None)
        if expected:
            assert drawn["interpolation"][1].shape == expected


def test_a_model_that_removes_noise_shows_it(plane_rows, drawn):
    model = Restorer()
    kinds = pictures_of("clean", model, plane_rows, through(model, plane_rows), (2, 2))
    assert "denoising" in kinds
    assert "samples" not in kinds
    _, originals, noisy, restored, _ = drawn["denoised"]
    np.testing.assert_array_equal(originals, plane_rows[:10])
    np.testing.assert_allclose(noisy, plane_rows[:10] + 1)
    np.testing.assert_allclose(restored, 10 * (plane_rows[:10] + 1))


def test_a_method_that_is_configured_away_is_not_used(plane_rows, drawn):
    class Configured(Plane):
        @property
        def sample(self):
            raise AttributeError("this one cannot")

    model = Configured()
    assert "samples" not in pictures_of("a", model, plane_rows, through(model, plane_rows), (2, 2))


def test_what_a_model_offers_is_on_the_page(plane_rows):
    class Everything(Imaginative, Restorer):
        pass

    told = summarise(
        {"all": Everything()}, plane_rows, plane_rows,
        image_shape=(2, 2), seconds={}, settings={}, title="t", labels=list("ab" * 50),
    )  # fmt: skip
    assert told["sections"][0]["pictures"] == [
        f"all-{kind}"
        for kind in (
            "examples", "errors", "latent-map", "manifold", "samples", "interpolation", "denoising", "filters",
            "exemplars", "activity", "correlations",
        )
    ]  # fmt: skip
    assert told["sections"][1]["pictures"][1:3] == ["pca-2-latent-map", "pca-2-manifold"]
    alts = {key: told["pictures"][f"all-{key}"]["alt"] for key in ("latent-map", "manifold", "samples")}
    assert "100 test rows at its code by all, coloured by 2 different labels" in alts["latent-map"]
    assert alts["manifold"].startswith("15 by 15 images that all decodes")
    assert alts["samples"].startswith("40 images that all made up")
    page = render(told)
    # Two maps stand in the place of their pictures, and show parts of the sheet.
    assert len(Reader(page).all("img")) == len(told["pictures"]) - 3 == 1 + 11 + 7 - 2
    for key, picture in told["pictures"].items():
        if not key.endswith(("map", "thumbnails")):
            assert picture["caption"] in Reader(page).words
        for theme in ("light", "dark"):
            assert Image.open(io.BytesIO(picture[theme])).format == "PNG"
