"""What a person meets in a sweep's report: with a mouse, a finger, a keyboard, in the dark, on paper."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import browsing
import ledgers
import pytest
from browsing import LAPTOP, PHONE, Visit
from playwright.sync_api import Browser, Locator, expect

from dirsweep import report
from dirsweep.report import SweepReport
from dirsweep.report.html import page as page_of

pytestmark = pytest.mark.slow

TOUCH = {"has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def sweep(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> SweepReport:
    """A hundred trials, some pruned and some failed, with controls. (`browser`: none, nothing is made.)"""
    folder = tmp_path_factory.mktemp("paper") / "all-1"
    ledgers.write(folder, 100)
    return report.load(folder)


@pytest.fixture(scope="module")
def paper(sweep: SweepReport) -> Path:
    return write(sweep)


@pytest.fixture(scope="module")
def long_paper(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a thousand trials."""
    folder = tmp_path_factory.mktemp("paper") / "long-1"
    ledgers.write(folder, 1000)
    return write(report.load(folder))


def write(sweep: SweepReport) -> Path:
    path = sweep.folder.path / "report.html"
    path.write_text(page_of(sweep))
    return path


@contextmanager
def opened(browser: Browser, paper: Path, *args: object, **options: object) -> Iterator[Visit]:
    """The report with all figures drawn; in the end nothing went wrong or was asked of a network."""
    with browsing.visit(browser, *args, **options) as visit:
        visit.page.goto(paper.as_uri())
        visit.page.wait_for_selector("html[data-drawn=all]", state="attached")
        yield visit
        assert visit.problems == []
        assert visit.abroad == []


def column(table: Locator, place: int) -> list[float]:
    """The numbers that a column shows, from the top; without the dashes, which must be at the bottom."""
    texts = table.locator(f"tbody tr > :nth-child({place + 1})").all_inner_texts()
    known = [text for text in texts if text != "-"]
    assert texts[: len(known)] == known
    return [float(re.sub(r"[,%]", "", text)) for text in known]


def head(table: Locator, name: str) -> tuple[int, Locator]:
    """The first head that starts so, and its place."""
    heads = table.locator("thead tr").last.locator("th")
    texts = [" ".join(text.split()) for text in heads.all_inner_texts()]
    place = next(place for place, text in enumerate(texts) if text.startswith(name))
    return place, heads.nth(place)


@pytest.mark.parametrize(("viewport", "options"), [(LAPTOP, {}), (PHONE, TOUCH)], ids=["laptop", "phone"])
def test_the_page_fits_its_screen_and_needs_no_network(browser, paper, viewport, options):
    with opened(browser, paper, viewport, **options) as visit:
        width = visit.page.evaluate("document.documentElement.scrollWidth")
        assert width == viewport["width"]
        for plot in visit.page.locator(".plot").all():
            assert plot.locator("svg.main-svg").first.bounding_box()["height"] > 100
            assert plot.locator(".trace, .point").count() > 0


@pytest.mark.parametrize(("viewport", "options"), [(LAPTOP, {}), (PHONE, TOUCH)], ids=["laptop", "phone"])
def test_pointing_at_the_pareto_front_shows_the_configuration(browser, paper, sweep, viewport, options):
    with opened(browser, paper, viewport, **options) as visit:
        plot = visit.page.locator("#plot-pareto")
        names = plot.evaluate("plot => plot.data.map(trace => trace.name)")
        front = next(place for place, name in enumerate(names) if name.startswith("Pareto front"))
        mark = plot.locator(".scatterlayer .trace").nth(front).locator(".point").first
        mark.scroll_into_view_if_needed()
        box = mark.bounding_box()
        at = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        if options:
            visit.page.touchscreen.tap(*at)
        else:
            visit.page.mouse.move(*at)
        label = plot.locator(".hoverlayer .hovertext")
        expect(label).to_be_visible()
        said = label.text_content()
        number = re.match(r"trial (\d+)", said.replace("val/", " val/"))[1]
        assert number in sweep.pareto
        for name in sweep.trials[number].params:
            assert f"{name} = " in said
        assert (
            f"stage2.majority_threshold = {sweep.trials[number].params['stage2.majority_threshold']}" in said
        )


@pytest.mark.parametrize(("viewport", "options"), [(LAPTOP, {}), (PHONE, TOUCH)], ids=["laptop", "phone"])
def test_a_click_on_a_head_sorts_the_leaderboard_and_another_turns_it(
    browser, paper, sweep, viewport, options
):
    controls = [trial for trial in sweep.trials.values() if trial.kind == "control"]
    errors = [round(trial.metrics["val/few/mae"]) for trial in (*sweep.ranked, *controls)]
    with opened(browser, paper, viewport, **options) as visit:
        table = visit.page.locator("#table-leaderboard")
        place, few = head(table, "few")
        for direction, first in (("ascending", min(errors)), ("descending", max(errors))):
            few.get_by_role("button").click()
            assert few.get_attribute("aria-sort") == direction
            shown = column(table, place)
            assert shown == sorted(shown, reverse=direction == "descending")
            assert shown[0] == first
        assert table.locator("th[aria-sort]:not([aria-sort=none])").count() == 1


def test_the_leaderboard_is_sorted_by_keyboard_alone(browser, paper):
    with opened(browser, paper) as visit:
        table = visit.page.locator("#table-leaderboard")
        place, few = head(table, "few")
        button = few.get_by_role("button")
        for _ in range(60):
            visit.page.keyboard.press("Tab")
            if button.evaluate("button => button === document.activeElement"):
                break
        assert button.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
        visit.page.keyboard.press("Enter")
        assert few.get_attribute("aria-sort") == "ascending"
        assert column(table, place) == sorted(column(table, place))
        expect(visit.page.locator("#table-leaderboard-state")).to_have_text(re.compile("few.*ascending"))


def test_dark_mode_darkens_the_page_and_lightens_the_figures_text(browser, paper):
    background = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('#plot-pareto .xtitle')).fill"
    seen = {}
    for scheme in ("light", "dark"):
        with opened(browser, paper, color_scheme=scheme) as visit:
            seen[scheme] = [lightness(visit.page.evaluate(colour)) for colour in (background, ink)]
            assert (
                visit.page.evaluate(
                    "getComputedStyle(document.querySelector('#plot-pareto .main-svg')).backgroundColor"
                )
                == "rgba(0, 0, 0, 0)"
            )  # so the page's own shows
    assert seen["light"][0] > 0.9 > 0.3 > seen["light"][1]
    assert seen["dark"][1] > 0.8 > 0.2 > seen["dark"][0]


def lightness(colour: str) -> float:
    """The mean of a colour's channels, 0 for black and 1 for white."""
    channels = [int(channel) for channel in re.findall(r"\d+", colour)[:3]]
    return sum(channels) / (3 * 255)


def test_paper_shows_all_rows_and_the_screen_is_as_before(browser, paper, sweep):
    with opened(browser, paper, color_scheme="dark") as visit:
        rows = visit.page.locator("#table-leaderboard tbody tr")
        more = visit.page.locator("button.more[data-table=table-leaderboard]")
        before, shown = rows.count(), more.inner_text()
        visit.page.evaluate(
            "addEventListener('beforeprint', () => { printed = {"
            "rows: document.querySelectorAll('#table-leaderboard tbody tr').length,"
            "folded: document.querySelectorAll('details:not([open])').length,"
            "ink: getComputedStyle(document.querySelector('#plot-pareto .xtitle')).fill } })"
        )
        visit.page.pdf()
        printed = visit.page.evaluate("printed")
        assert shown == f"Show all {printed['rows']:,} rows"
        assert before < printed["rows"] == len(sweep.ranked) + 4  # the controls
        assert printed["folded"] == 0
        assert lightness(printed["ink"]) < 0.3
        assert (rows.count(), more.inner_text()) == (before, shown)


def test_a_thousand_trials_are_unfolded_and_sorted(browser, long_paper):
    with opened(browser, long_paper) as visit:
        table = visit.page.locator("#table-leaderboard")
        visit.page.locator("button.more[data-table=table-leaderboard]").click()
        place, few = head(table, "few")
        few.get_by_role("button").click()
        errors = column(table, place)
        assert len(errors) > 800
        assert errors == sorted(errors)
