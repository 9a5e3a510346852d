"""The page in a real browser: it opens from disk, asks nobody, and every part of it works.

Skipped where no Chromium is: `apt-get install chromium`, or CHROMIUM=/path/to/it.
"""

import os
import shutil

import pytest

from tests.report.made_runs import answer, made_run, measured, rows
from trainer import storage
from trainer.gan import sampling
from trainer.report.page import report
from trainer.run_folder import names

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

EVIL = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 2'>"


@pytest.fixture(scope="module")
def browser():
    # As root there is no sandbox to be had.
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a page from disk; at the end nothing was asked for and nothing complained."""
    asked, said, pages = [], [], []

    def open_page(*addresses: str, **context):
        out = tmp_path / "report.html"
        report(list(addresses), str(out))
        page = browser.new_context(**context).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda told: said.append(f"{told.type}: {told.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.goto(out.as_uri())
        # Charts are drawn when they come into sight; all of them for a printer.
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        drawn, charts = page.locator(".chart .bk-Figure"), page.locator(".chart")
        playwright.expect(drawn).to_have_count(charts.count())
        pages.append(page)
        return page

    yield open_page
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [
        page.url for page in pages
    ]
    assert [told for told in said if told.startswith(("error", "warning"))] == []
    for page in pages:
        page.context.close()


@pytest.fixture
def run(tmp_path):
    run = made_run(tmp_path / "run", metrics=rows(range(10, 21)), samples=(0, 10, 20))
    answer(run, 20, [float(seed) for seed in range(9)], [1.0])
    measured(run, 10, 0.5)
    measured(run, 20, 0.25)
    return run


def test_the_slider_shows_the_grid_of_its_moment(opened, run):
    page = opened(run.address)
    told, image = page.locator("[data-grid-told]"), page.locator("img[data-grid]")
    assert told.inner_text() == "step 20"
    last = image.get_attribute("src")
    page.locator("#when").focus()
    page.keyboard.press("Home")
    assert told.inner_text() == "step 0"
    assert image.get_attribute("src") != last
    page.locator("#when").fill("500")
    assert told.inner_text() == "step 10"
    assert page.locator("#when-told").inner_text() == "640"


def test_it_plays(opened, run):
    page = opened(run.address)
    page.locator("#play").click()
    playwright.expect(page.locator("#play")).to_have_text("stop")
    playwright.expect(page.locator("#play")).to_have_text("play", timeout=60_000)
    assert page.locator("[data-grid-told]").inner_text() == "step 20"


def test_a_picture_is_enlarged_with_its_seed_and_answer(opened, run):
    page = opened(run.address)
    page.locator("button.tile").nth(3).focus()
    page.keyboard.press("Enter")
    large = page.locator("#large")
    assert large.is_visible()
    assert page.locator("#large-told").inner_text().split() == ["seed", "3", "D", "0.88"]
    assert page.locator("#large-img").bounding_box()["width"] > 200
    page.keyboard.press("Escape")
    assert not large.is_visible()


def test_walks_can_be_walked(opened, run):
    from tests.report.made_runs import pictures

    sheet = sampling.grid(pictures(5, 8), columns=4)
    run.folder.write(names.WALKS, sampling.png_bytes(sheet))
    page = opened(run.address)
    walk = page.locator("[data-walks] img")
    assert walk.count() == 2
    first = walk.first.get_attribute("src")
    page.locator("[data-walks] input").first.fill("3")
    assert walk.first.get_attribute("src") != first


def test_curves_have_been_drawn(opened, run):
    page = opened(run.address)
    canvas = page.locator(".chart canvas").first
    assert canvas.bounding_box()["height"] > 100
    drawn = page.evaluate("Array.from(document.querySelectorAll('.chart .bk-Figure')).length")
    assert drawn == page.locator(".chart").count() >= 5
    assert "0.5 at first, 0.25 at last" in page.locator(".chart").first.inner_text()


def test_error_bars_lie_inside_their_chart(opened, run):
    """Both measured values lie near each other, beside their errors."""
    measured(run, 10, 0.2501)
    page = opened(run.address)
    outside = """Bokeh.documents.map((d) => d.roots()[0]).flatMap((plot) => plot.renderers
        .filter((one) => one.data_source.data.low)
        .filter((one) => Math.min(...one.data_source.data.low) < plot.y_range.start
            || Math.max(...one.data_source.data.high) > plot.y_range.end)).length"""
    bars = outside.replace(".filter((one) => Math.min", ".filter((one) => true || Math.min")
    assert page.evaluate(bars) > 0
    assert page.evaluate(outside) == 0


def test_charts_are_drawn_when_they_come_into_sight_and_move_together(browser, run, tmp_path):
    out = tmp_path / "report.html"
    report([run.address], str(out))
    page = browser.new_page()
    page.goto(out.as_uri())
    playwright.expect(page.locator("#when-told")).not_to_be_empty()
    assert page.locator(".bk-Figure").count() == 0
    first, last = page.locator(".place").first, page.locator(".place").last
    first.scroll_into_view_if_needed()
    playwright.expect(first.locator(".bk-Figure")).to_have_count(1)
    page.evaluate("ranges[0].setv({start: 100, end: 200})")
    last.scroll_into_view_if_needed()
    playwright.expect(last.locator(".bk-Figure")).to_have_count(1)
    found = "ranges.map((range) => [range.start, range.end])"
    assert page.evaluate(found).count([100, 200]) == page.evaluate("ranges.length") >= 2
    page.evaluate("ranges[ranges.length - 1].setv({start: 150, end: 160})")
    assert page.evaluate(found).count([150, 160]) == page.evaluate("ranges.length")
    page.close()


def test_dark_mode_is_dark_and_readable(opened, run):
    page = opened(run.address, color_scheme="dark")
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert contrast(ink, paper) > 7
    soft = page.evaluate("getComputedStyle(document.querySelector('p.about')).color")
    assert contrast(soft, paper) > 4.5
    # Text of the charts, which are drawn, has the colour of the scheme as well.
    texts = "Bokeh.documents.map((d) => d.roots()[0].below[0].major_label_text_color)"
    page_soft = "getComputedStyle(document.documentElement).getPropertyValue('--soft').trim()"
    assert set(page.evaluate(texts)) == {page.evaluate(page_soft)}
    assert luminance(paper) < 0.05


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, WCAG 2."""
    parts = [int(part) / 255 for part in colour.strip("rgba()").split(",")[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_narrow_screen_does_not_scroll_sideways(opened, run):
    page = opened(run.address, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_everything_has_a_name_for_a_screen_reader(opened, run):
    page = opened(run.address)
    missing = page.evaluate(
        """Array.from(document.querySelectorAll("main img, main input, main button"))
          .filter((e) => !(e.alt || e.ariaLabel || e.textContent || (e.labels || []).length))
          .filter((e) => !e.closest(".bk-Figure")).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert missing == []


def test_three_runs_side_by_side(opened, run, tmp_path):
    others = [
        made_run(tmp_path / name, f"loss.name={name}", metrics=rows(range(10, 21)))
        for name in ("hinge", "wasserstein")
    ]
    page = opened(run.address, *(other.address for other in others))
    assert page.locator("#compared thead th").count() == 4
    assert "wasserstein" in page.locator("#compared tbody").inner_text()
    page.locator("#when").fill("0")
    assert page.locator("[data-grid-told]").all_inner_texts() == ["step 0"] * 3


def test_hostile_words_run_nothing(opened, tmp_path):
    run = made_run(
        tmp_path / "<script>window.evil=3<",
        name="<script>",
        metrics=[{**row, EVIL: 1.0, "note": EVIL} for row in rows(range(10, 21))],
    )
    run.update_record(
        lambda record: record.model_copy(
            update={"starts": tuple(s.model_copy(update={"cause": EVIL, "host": EVIL})
                                    for s in record.starts)}
        )
    )  # fmt: skip
    measured(run, 20, 0.3, features=EVIL)
    page = opened(run.address)
    assert page.evaluate("window.evil") is None
    assert page.locator("main img[src=x]").count() == 0
    assert EVIL in page.locator("table.history").inner_text()


def test_a_real_run_of_drawn_cats(opened, trained):
    """Its grids, answers and walks are those that training left."""
    page = opened(str(trained / "runs" / "tiny"))
    assert page.locator("button.tile").count() == 4
    assert "D 0." in page.locator("ul.tiles").inner_text()
    assert page.locator("[data-walks] img").count() == 6
    assert storage.open_folder(str(trained / "runs" / "tiny")).exists(names.WALKS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_runs_of_real_cats(opened, catgan, shared_data, tmp_path):
    """One page of one run, killed and resumed on the way, and one of three side by side."""
    cats = shared_data / "cats128.zip"
    prepared = catgan("prepare", cats, "cats", "--size", 32, "--val-fraction", "0.2")
    assert prepared.code == 0, prepared.err
    shown = []
    for loss in ("relativistic_pairing", "hinge", "non_saturating"):
        config = tmp_path / f"{loss}.yaml"
        config.write_text(
            "dataset: {address: cats, size_px: 32, val_fraction: 0.2}\n"
            f"model: {{base_channels: 8}}\nloss: {{name: {loss}}}\n"
            "training: {steps: 60, global_batch: 16}\ncheckpoint: {every_steps: 20}\n"
            "samples: {every_steps: 20}\nmetrics: {every_steps: 5}\n"
        )
        assert catgan("train", config, "training.steps=40").code == 0
        assert catgan("resume", f"runs/{loss}", "training.steps=60").code == 0
        shown.append(f"runs/{loss}")
    page = opened(shown[0])
    assert page.locator("button.tile").count() == 64
    assert "resume" in page.locator("table.history").inner_text()
    page.locator("#when").fill("0")
    assert page.locator("[data-grid-told]").inner_text() == "step 0"
    page = opened(*shown)
    assert page.locator("#compared thead th").count() == 4
    assert page.locator("[data-grid-told]").all_inner_texts() == ["step 60"] * 3
