"""The page in a real browser: complete in itself, readable on a phone, its map alive without a script.

Without Playwright or a Chromium these tests are skipped, unless ISTHMUS_REQUIRE_BROWSER is set: then they fail.
"""

from __future__ import annotations

import io
import itertools
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from isthmus.report import summarise, write_report

REQUIRED = bool(os.environ.get("ISTHMUS_REQUIRE_BROWSER"))

if REQUIRED:
    from playwright import sync_api as playwright
else:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.slow

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
LONG = "a-name-without-any-room-to-break-it-in-two-lines"


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    with playwright.sync_playwright() as machinery:
        if path is None and not os.path.exists(machinery.chromium.executable_path):  # noqa: PTH110
            (pytest.fail if REQUIRED else pytest.skip)("no Chromium is installed")
        # Its sandbox needs a user of its own, which a container's root has not.
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        arguments = ["--no-sandbox"] if root else []
        started = machinery.chromium.launch(executable_path=path, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    data = load_digits()
    X, labels = data.data / 16, data.target
    models = {"four": PCA(4).fit(X[:900]), LONG: PCA(2).fit(X[:900])}
    for model in models.values():
        model.history_ = [{"epoch": n, "loss": 9.0 / n, "seconds": 0.1} for n in (1, 2, 3)]
    summary = summarise(
        models, X[:900], X[900:1100],
        image_shape=(8, 8), seconds={"four": 1.0}, labels=labels[900:1100], title="Digits",
        settings={name: {"n_components": 4, "optimizer": "adam:" + "beta=0.9," * 9} for name in models},
        rates=[{"name": "four", "bytes": 10, "bits_per_value": rate, "sse": 1 / rate} for rate in (0.1, 1)],
    )  # fmt: skip
    return write_report(summary, tmp_path_factory.mktemp("report") / "demo")


@pytest.fixture(scope="module")
def plain_reports(tmp_path_factory):
    """Return the pages of rows that are no images: of a table and of series."""
    X = load_digits().data / 16
    pages = []
    for kind, rows in (("table", X[:200]), ("series", X[:200].reshape(-1, 32, 2))):
        model = PCA(3).fit(X)

        class Flat:
            def transform(self, X, model=model):
                return model.transform(np.reshape(X, (len(X), -1)))

            def inverse_transform(self, codes, model=model):
                return model.inverse_transform(codes)

        names = [f"{LONG}-{number}" for number in range(64)]
        summary = summarise(
            {"three": Flat()}, rows, rows,
            image_shape=None, seconds={}, settings={}, title=kind, feature_names=names,
        )  # fmt: skip
        pages.append(write_report(summary, tmp_path_factory.mktemp(kind) / "report"))
    return pages


@pytest.fixture
def opened(browser):
    """Open pages, and check afterwards that they asked for nothing and complained of nothing."""
    contexts, complaints, requests = [], [], []

    def start(path, viewport, scheme="light", **options):
        context = browser.new_context(viewport=viewport, color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        requests.remove(path.as_uri())
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == []


def check_layout(page):
    across, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert across <= room
    images = page.evaluate(
        "Promise.all([...document.images].map(i => i.decode().then(() => [i.alt, i.naturalWidth])))"
    )
    assert images
    assert all(alt and width > 0 for alt, width in images)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_page_is_complete_and_fits(opened, report, viewport, scheme):
    page = opened(report, viewport, scheme)
    check_layout(page)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]


def test_tables_and_series_fit_too(opened, plain_reports):
    for path in plain_reports:
        check_layout(opened(path, PHONE))


def test_headings_are_in_order_and_landmarks_named(opened, report):
    page = opened(report, DESKTOP)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.get_by_role("main").count() == page.get_by_role("navigation", name="Contents").count() == 1
    assert all(page.locator("table").nth(n).locator("caption").count() for n in range(3))
    page.get_by_role("navigation").get_by_text("Settings").click()
    assert page.evaluate("document.querySelector('#again').getBoundingClientRect().top < innerHeight")


def thumbnail(point):
    """Return width and picture of what stands beside a point, None without any."""
    return point.evaluate(
        "p => { const s = getComputedStyle(p, '::after');"
        " return s.content === 'none' ? null : [parseFloat(s.width), s.backgroundImage.slice(0, 27)] }"
    )


def test_a_point_shows_its_image_when_pointed_at(opened, report):
    page = opened(report, DESKTOP)
    assert page.get_by_role("radiogroup").count() == 4
    point = page.get_by_role("radiogroup").first.get_by_role("radio", name="row 17", exact=False).first
    assert thumbnail(point) is None
    point.hover(force=True)
    width, picture = thumbnail(point)
    assert width > 60
    assert picture == 'url("data:image/webp;base64'
    page.mouse.move(0, 0)
    assert thumbnail(point) is None


def test_the_image_is_that_of_the_row(opened, report, tmp_path):
    page = opened(report, DESKTOP)
    group = page.get_by_role("radiogroup").first
    for row in (0, 123, 199):
        point = group.locator(f"input[aria-label^='row {row},']")
        point.evaluate("p => p.focus()")
        page.keyboard.press("Space")
        box = point.bounding_box()
        shown = point.evaluate("p => parseFloat(getComputedStyle(p, '::after').width)")
        x = float(point.evaluate("p => getComputedStyle(p).getPropertyValue('--x')"))
        left = box["x"] + box["width"] / 2 - shown * x / 100
        bottom = box["y"] - 0.4 * 16
        clip = {"x": left, "y": bottom - shown, "width": shown, "height": shown}
        found = gray(page.screenshot(clip=clip))
        digit = load_digits().data[900 + row].reshape(8, 8) / 16
        assert np.corrcoef(found.ravel(), digit.ravel())[0, 1] > 0.97


def gray(png):
    image = Image.open(io.BytesIO(png)).convert("L").resize((8, 8), Image.Resampling.BOX)
    return np.asarray(image, dtype=float)


def test_a_point_shows_its_image_when_tapped_and_by_the_arrow_keys(opened, report):
    page = opened(report, PHONE, has_touch=True, is_mobile=True)
    group = page.get_by_role("radiogroup").first
    point = group.get_by_role("radio").nth(20)
    point.tap(force=True)
    chosen = group.locator("input:checked")
    assert chosen.count() == 1
    assert thumbnail(chosen)[0] > 60
    before = chosen.get_attribute("aria-label")
    chosen.focus()
    page.keyboard.press("ArrowRight")
    assert chosen.get_attribute("aria-label") != before
    assert thumbnail(chosen) is not None
    check_layout(page)


def test_thumbnails_stay_on_the_page(opened, report):
    page = opened(report, PHONE)
    for group in page.get_by_role("radiogroup").all():
        for end in ("a.s - b.s", "b.s - a.s"):
            group.evaluate(
                "(g, end) => { const by = [...g.children].map("
                "p => ({p, s: +p.style.getPropertyValue('--x')}));"
                f" by.sort((a, b) => {end}); by[0].p.checked = true }}",
                end,
            )
            check_layout(page)


def test_print_shows_every_section(opened, report):
    page = opened(report, {"width": 700, "height": 1000})
    page.emulate_media(media="print")
    check_layout(page)
    heights = page.evaluate("[...document.querySelectorAll('section')].map(s => s.offsetHeight)")
    assert len(heights) == 10
    assert min(heights) > 40
    assert len(page.pdf()) > 10_000
