"""What a person meets in MLflow's UI after a sweep."""

import re
from collections.abc import Iterator
from pathlib import Path

import browsing
import mlflow_pages
import pytest
from browsing import Visit
from mlflow_pages import link, open_runs, row
from playwright.sync_api import Browser, expect

from dirsweep import report
from dirsweep.report import SweepReport

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(browser: Browser, finished_sweep: Path) -> Iterator[str]:
    """Where `dirsweep ui` says that the sweep is to be seen. (`browser`: without one nothing starts.)"""
    with mlflow_pages.served(finished_sweep) as address:
        yield address


@pytest.fixture(scope="module")
def mlflow(browser: Browser, address: str) -> Iterator[Visit]:
    """One window for all that is looked at in MLflow: its scripts are loaded once."""
    with mlflow_pages.looked_at(browser) as visit:
        yield visit


@pytest.fixture(scope="module")
def sweep(finished_sweep: Path) -> SweepReport:
    return report.load(finished_sweep)


def test_mlflow_lists_the_sweep_and_its_trials_and_controls_by_name(mlflow, address, sweep):
    open_runs(mlflow.page, address, sweep.folder.name)
    for key in sweep.trials:
        expect(link(mlflow.page, key)).to_be_visible()
    expect(mlflow.page.get_by_text(f"{len(sweep.trials) + 1} matching runs")).to_be_visible()
    assert mlflow.abroad == []


def test_the_page_that_the_command_names_is_a_leaderboard(mlflow, address, sweep):
    mlflow.page.goto("about:blank")
    mlflow.page.goto(address)
    expect(link(mlflow.page, "default-plain")).to_be_visible()
    for name in (*sweep.spec.objectives, "val/many/mae", "stage2.norm_weight"):
        expect(mlflow.page.get_by_role("columnheader", name=name).first).to_be_visible()
    shown = mlflow.page.get_by_role("grid").get_by_role("link").all_inner_texts()
    errors = [
        trial.metrics["val/all/mae"]
        for text in shown
        for trial in sweep.trials.values()
        if re.fullmatch(mlflow_pages.named(trial.trial), text)
    ]
    assert len(errors) == len(sweep.trials)
    assert errors == sorted(errors)


def test_a_run_shows_the_errors_that_the_ledger_has(mlflow, address, sweep):
    open_runs(mlflow.page, address, sweep.folder.name)
    link(mlflow.page, "default-plain").click()
    for shot in ("all", "many", "median", "few"):
        line = mlflow.page.get_by_role("row").filter(has_text=f"val/{shot}/mae")
        error = sweep.trials["default-plain"].metrics[f"val/{shot}/mae"]
        expect(line).to_contain_text(f"{error:.6f}"[:-1])


def test_three_runs_are_compared_by_their_knobs_and_errors(mlflow, address, sweep):
    open_runs(mlflow.page, address, sweep.folder.name)
    page, three = mlflow.page, ("default-plain", "0", "1")
    for key in three:
        row(page, key).get_by_role("checkbox", name="toggle row selection").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("Comparing 3 Runs from 1 Experiment")).to_be_visible()
    expect(page.get_by_text("stage2.norm_weight", exact=True).first).to_be_visible()
    expect(page.get_by_role("link", name="val/all/mae", exact=True)).to_be_visible()
    values = page.get_by_role("grid").last  # the grid before has their names
    for key in three:
        expect(page.get_by_role("row").filter(has_text="Run Name:")).to_contain_text(key)
        expect(values).to_contain_text(f"{sweep.trials[key].metrics['val/all/mae']:.4g}")


def test_the_sweeps_own_run_describes_what_won(mlflow, address, sweep):
    open_runs(mlflow.page, address, sweep.folder.name)
    link(mlflow.page, sweep.folder.name).click()
    page = mlflow.page
    expect(page.get_by_text(sweep.spec.question)).to_be_visible()
    page.get_by_text("Show more", exact=True).click()
    best = sweep.best
    won = (
        page.get_by_role("table").get_by_role("row").filter(has_text=re.compile(rf"^\s*{best.trial}\b.*best"))
    )
    expect(won).to_contain_text(f"{best.metrics['val/all/mae']:.3g}")
    run = re.compile(rf"/runs/{best.run_id}\b")
    expect(won.get_by_role("link", name=best.trial, exact=True)).to_have_attribute("href", run)


def test_the_winners_norms_are_shown_as_a_picture_and_its_bins_as_a_table(mlflow, address, sweep):
    open_runs(mlflow.page, address, sweep.folder.name)
    link(mlflow.page, sweep.best.trial).click()
    picture = mlflow_pages.open_picture(mlflow.page, "norms.svg")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert picture.bounding_box()["width"] > 300
    mlflow.page.get_by_label("bins.csv").click()
    header = (sweep.folder.path / "trials" / sweep.best.trial / "bins.csv").read_text().splitlines()[0]
    for column in header.split(",")[:5]:
        expect(mlflow.page.get_by_role("columnheader", name=column)).to_be_visible()
