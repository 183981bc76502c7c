"""The report: the summary tells the truth, the page shows it, the folder is written with care."""

from __future__ import annotations

import base64
import copy
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF, PCA

from helpers import Reader
from isthmus.comparison import compare
from isthmus.errors import DataError, InvalidParameterError, OutputExistsError
from isthmus.metrics import CodeStatistics, code_statistics
from isthmus.report import page as page_module
from isthmus.report import render, summarise, write_report
from isthmus.report.pictures import unit_effects

HOSTILE = '<script>alert("x")</script> & $\'../../'
WIDTH = 6


@pytest.fixture(scope="module")
def digits():
    X = load_digits().data / 16
    return X[:1000], X[1000:1200]


class Rectified:
    """Non-negative codes with one dead unit, and a history."""

    def __init__(self, train):
        self.model = NMF(n_components=WIDTH, init="nndsvda", tol=1e-2).fit(train)
        self.history_ = [
            {"epoch": epoch, "loss": 9.0 / epoch, "validation_loss": 9.5 / epoch, "seconds": seconds}
            for epoch, seconds in enumerate([9.0, 0.2, 0.4, 0.3], start=1)
        ]

    def transform(self, X):
        codes = self.model.transform(X)
        codes[:, 2] = 0
        return codes

    def inverse_transform(self, codes):
        return self.model.inverse_transform(codes)


@pytest.fixture(scope="module")
def models(digits):
    train, test = digits
    return {
        "rectified": Rectified(train),
        "better": PCA(n_components=WIDTH).fit(test),  # saw the test rows: beats PCA of train
        HOSTILE: PCA(n_components=WIDTH).fit(train),
    }


@pytest.fixture(scope="module")
def summary(digits, models):
    return summarise(
        models,
        *digits,
        image_shape=(8, 8),
        seconds={"rectified": 1.5},
        settings={
            "rectified": {"epochs": 4, "loss": "<b>bce</b>"},
            "better": {"epochs": 4, "loss": "mse", "tied": True},
        },
        title="Digits <i>& co</i>",
        notes=["The validation rows are the test rows.", HOSTILE],
    )


@pytest.fixture(scope="module")
def page(summary):
    return render(summary)


def test_summary_is_plain_but_for_the_pictures(summary):
    rest = {key: value for key, value in summary.items() if key != "pictures"}
    assert json.loads(json.dumps(rest)) == rest
    data = dict(summary["data"])
    assert data.pop("train_print") != data.pop("test_print")
    assert data == {
        "kind": "images",
        "train_rows": 1000,
        "test_rows": 200,
        "features": 64,
        "image_shape": [8, 8],
        "space": "in the units of the data",
    }


def test_summary_has_the_numbers_of_compare(summary, models, digits):
    for told, known in zip(summary["rows"], compare(models, *digits), strict=True):
        assert {key: told[key] for key in known if key in told} == {
            key: value for key, value in known.items() if key in told
        } | {"seconds": told["seconds"]}
        assert told["verdict"] == known["verdict"]
    assert summary["verdicts"] == [row["verdict"] for row in summary["rows"][:3]]
    rectified, better, same, pca = summary["rows"]
    assert rectified["relative"] == pytest.approx(rectified["sse"] / pca["sse"])
    assert better["relative"] < 1 < rectified["relative"]
    assert same["relative"] == pytest.approx(1)
    assert pca["relative"] is None


def test_summary_has_the_effort(summary):
    rectified, better, *_ = summary["rows"]
    assert rectified["epochs"] == 4
    assert rectified["seconds"] == 1.5
    assert rectified["seconds_per_epoch"] == pytest.approx(0.3)  # the first epoch is left out
    assert better["epochs"] is better["seconds"] is better["seconds_per_epoch"] is None


def test_summary_compares_the_settings(summary):
    lines = {line["parameter"]: line for line in summary["settings"]}
    assert lines["epochs"]["same"]
    assert not lines["loss"]["same"]
    assert lines["tied"]["values"] == {"rectified": None, "better": "True"}
    assert {"Python", "numpy", "scikit-learn", "isthmus"} <= summary["versions"].keys()


def test_every_picture_is_named_described_and_a_png(summary):
    told = [*summary["overview"], *(key for part in summary["sections"] for key in part["pictures"])]
    assert sorted([*told, "thumbnails"]) == sorted(summary["pictures"])
    assert len(told) == 2 + 4 * 6 + 3  # PCA is held against nobody
    for stem, picture in summary["pictures"].items():
        assert re.fullmatch(r"[a-z0-9-]+", stem)
        assert len(picture["alt"]) > 40
        for theme in ("light", "dark"):
            image = Image.open(io.BytesIO(picture[theme]))
            assert image.width / image.height == pytest.approx(picture["width"] / picture["height"], rel=0.01)


def test_dead_units_are_told(summary):
    section = summary["sections"][0]
    assert section["codes"]["dead"] == [2]
    assert "1 of them dead" in summary["pictures"]["rectified-filters"]["alt"]


def test_loss_curves_are_told_in_words(summary):
    alt = summary["pictures"]["loss-curves"]["alt"]
    assert "rectified: from 9 to 2.25 (validation 2.375) in 4 epochs." in alt
    assert "better" not in alt


def test_unit_effects_are_the_columns_of_a_linear_decoder(digits):
    train, test = digits
    pca = PCA(n_components=4).fit(train)
    statistics = code_statistics(pca.transform(test))
    expected = statistics.typical[:, np.newaxis] * pca.components_
    np.testing.assert_allclose(unit_effects(pca, statistics), expected, atol=1e-6)


def test_unit_effects_are_limited():
    class Identity:
        def inverse_transform(self, codes):
            return codes

    ones = np.ones(200)
    statistics = CodeStatistics(1.0, 0.0, ones, ones, ones, ones, ())
    np.testing.assert_array_equal(unit_effects(Identity(), statistics), np.eye(200)[:64])


def test_data_that_are_not_images_have_tables_and_curves(digits):
    train, test = digits
    told = summarise(
        {"a": Rectified(train)}, train, test, image_shape=None, seconds={}, settings={}, title="t"
    )
    kinds = ("latent-map", "activity", "correlations")
    own = {f"{name}-{kind}" for name in ("a", f"pca-{WIDTH}") for kind in kinds}
    assert set(told["pictures"]) == {"loss-curves", "a-errors", *own}
    read = Reader(render(told))
    assert len(read.all("img")) == 8
    assert read.all("input") == []
    assert "row of 64 values" in read.words


def test_raw_data_without_cross_entropy(digits):
    train, test = (16 * rows for rows in digits)
    told = summarise(
        {"a": PCA(n_components=2).fit(train)}, train, test,
        image_shape=None, seconds={}, settings={}, title="t",
    )  # fmt: skip
    assert told["rows"][0]["bce"] is None
    assert "needs data in [0, 1]" in Reader(render(told)).words


def test_wrong_models(digits):
    for models in ({}, {f"PCA-{WIDTH}": Rectified(digits[0])}):
        with pytest.raises(InvalidParameterError, match="'models' parameter"):
            summarise(models, *digits, image_shape=None, seconds={}, settings={}, title="t")


def test_names_that_look_alike_as_files(digits):
    train, test = digits
    pca = PCA(n_components=3).fit(train)
    told = summarise(
        {"A b": pca, "a-b": pca, "é": pca}, train[:50], test[:50],
        image_shape=None, seconds={}, settings={}, title="t",
    )  # fmt: skip
    stems = {"a-b-activity", "a-b-2-activity", "model-activity", "pca-3-activity"}
    assert {key for key in told["pictures"] if key.endswith("activity")} == stems


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1, 2, 3], r"labels has shape \(3,\).*200 test rows"), ([np.nan] * 200, "labels contains NaN")],
)
def test_labels_that_do_not_fit(digits, labels, message):
    with pytest.raises(DataError, match=message):
        summarise(
            {"a": PCA(2).fit(digits[1])}, digits[1], digits[1],
            image_shape=None, seconds={}, settings={}, title="t", labels=labels,
        )  # fmt: skip


def test_page_is_well_formed_and_says_it_all(summary, page):
    read = Reader(page)
    assert read.open == []
    for sentence in [*summary["verdicts"], *summary["notes"], summary["title"], summary["lead"]]:
        assert " ".join(sentence.split()) in read.words
    for row in summary["rows"]:
        assert f"{row['sse']:.2f}" in read.words
        assert f"{row['bce']:.4f}" in read.words
    assert f"has a squared error of {summary['rows'][-1]['sse_clipped']:.2f}" in read.words


def test_page_is_accessible(summary, page):
    read = Reader(page)
    assert read.all("html") == [{"lang": "en"}]
    assert len(read.all("h1")) == 1
    assert all("scope" in cell for cell in read.all("th"))
    assert len(read.all("caption")) == len(read.all("table")) == 2
    shown = [*summary["overview"], *(k for s in summary["sections"] for k in s["pictures"])]
    assert [image["alt"] for image in read.all("img")] == [
        summary["pictures"][key]["alt"] for key in shown if not key.endswith("latent-map")
    ]
    groups = [part["aria-label"] for part in read.all("div") if part.get("role") == "radiogroup"]
    assert groups == [summary["pictures"][key]["alt"] for key in shown if key.endswith("latent-map")]
    assert all(point["aria-label"] for point in read.all("input"))
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {a["aria-labelledby"] for _, a in read.elements if "aria-labelledby" in a}
    assert labelled <= set(ids)
    assert {link["href"] for link in read.all("a")} == {f"#{name}" for name in ids}


def test_page_needs_nothing_else(summary, page):
    read = Reader(page)
    assert not re.search(r"https?:", page)
    assert "script" not in {tag for tag, _ in read.elements}
    assert "@import" not in page
    sheets = re.findall(r"url\((.{30})", page)
    assert len(sheets) == 1
    assert sheets[0].startswith("data:image/webp;base64,")
    for _, attributes in read.elements:
        for name in ("src", "srcset", "href"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))
    assert len(page) < 1_200_000


def test_what_the_page_shows_is_what_was_drawn(summary, page):
    read = Reader(page)
    shown = [[i["src"] for i in read.all("img")], [source["srcset"] for source in read.all("source")]]
    told = [*summary["overview"], *(key for part in summary["sections"] for key in part["pictures"])]
    drawn = [summary["pictures"][key] for key in told if not key.endswith("latent-map")]
    for theme, urls in zip(("light", "dark"), shown, strict=True):
        for picture, url in zip(drawn, urls, strict=True):
            sent = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
            original = Image.open(io.BytesIO(picture[theme])).convert("RGB")
            assert sent.format == "WEBP"
            apart = abs(np.asarray(sent.convert("RGB"), float) - np.asarray(original, float))
            assert apart.mean() < 1
            assert apart.max() <= 24
            assert apart[0, 0].max() <= 1  # the background is that of the page


def test_a_large_picture_loses_little():
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).resize((400, 400))
    buffer = io.BytesIO()
    smooth.save(buffer, format="PNG")
    assert buffer.tell() > page_module.FLAT_UNTIL
    webp = page_module._webp(buffer.getvalue())
    assert len(webp) < buffer.tell() / 5
    apart = np.asarray(Image.open(io.BytesIO(webp)).convert("RGB"), float) - np.asarray(smooth, float)
    assert abs(apart).mean() < 6


def test_hostile_text_is_text(page):
    assert "<script" not in page
    assert "<b>bce" not in page
    assert "&lt;script&gt;alert" in page
    assert "<title>Digits &lt;i&gt;&amp; co&lt;/i&gt;</title>" in page


def test_page_says_how_much_better_or_worse(summary):
    told = copy.deepcopy(summary)
    for row, relative in zip(told["rows"], (0.561, 1.123, 1.004, None), strict=True):
        row["relative"] = relative
    assert re.findall(r"<strong class=.*>(.*)</strong>", render(told)) == ["−44%", "+12%", "="]
    for row, relative in zip(told["rows"], (3.14, 1e9, 0.959, None), strict=True):
        row["relative"] = relative
    assert re.findall(r"<strong class=.*>(.*)</strong>", render(told)) == ["× 3.1", "× 100+", "−4.1%"]


def test_report_is_written(summary, page, tmp_path):
    written = write_report(summary, tmp_path / "new" / "report")
    assert written == tmp_path / "new" / "report" / "index.html"
    assert written.read_text(encoding="utf-8") == page
    files = {path.name for path in (written.parent / "pictures").iterdir()}
    assert files == {f"{stem}.png" for stem in summary["pictures"]}
    assert [path.name for path in written.parent.parent.iterdir()] == ["report"]
    assert written.parent.stat().st_mode & 0o777 == (tmp_path / "new").stat().st_mode & 0o777


def test_an_empty_folder_is_filled_and_a_full_one_refused(summary, tmp_path):
    write_report(summary, tmp_path / "report", overwrite=False)
    with pytest.raises(OutputExistsError, match="holds files"):
        write_report(summary, tmp_path / "report")
    (tmp_path / "empty").mkdir()
    assert write_report(summary, tmp_path / "empty").is_file()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputExistsError, match="is a file"):
        write_report(summary, tmp_path / "file", overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_overwriting_leaves_what_is_not_ours(summary, tmp_path):
    folder = tmp_path / "report"
    write_report(summary, folder)
    (folder / "thesis.tex").write_text("mine")
    Image.new("L", (2, 2)).save(folder / "pictures" / "holiday.png")
    fewer = {**summary, "pictures": {**summary["pictures"]}, "title": "Second"}
    fewer["sections"] = summary["sections"][:1]
    kept = {"thumbnails", *summary["overview"], *summary["sections"][0]["pictures"]}
    fewer["pictures"] = {key: summary["pictures"][key] for key in kept}
    page = write_report(fewer, folder, overwrite=True)
    assert "<title>Second</title>" in page.read_text(encoding="utf-8")
    assert (folder / "thesis.tex").read_text() == "mine"
    files = {path.name for path in (folder / "pictures").iterdir()}
    assert files == {"holiday.png", *(f"{stem}.png" for stem in kept)}
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_failure_leaves_nothing_behind(summary, tmp_path, monkeypatch):
    broken = {**summary, "pictures": {**summary["pictures"], "x": {"light": "not bytes"}}}
    with pytest.raises(TypeError):
        write_report(broken, tmp_path / "report")
    assert list(tmp_path.iterdir()) == []
