"""What a person meets in the browser after a sweep: MLflow's UI over its records."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import browsing
import pytest
import sweeping
from browsing import Visit
from playwright.sync_api import Browser, Locator, Page, expect

from dirsweep.ledger import TrialRecord

pytestmark = pytest.mark.slow

DIRSWEEP = [sys.executable, "-c", "from dirsweep.cli import main; main()"]

# MLflow remembers what was unfolded; and on a first visit it opens a panel for chats with language models,
# which covers a third of the page
FIRST_VISIT = """if (location.protocol === "http:") {
    localStorage.clear();
    localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(browser: Browser, finished_sweep: Path) -> Iterator[str]:
    """Where `dirsweep ui` says that the sweep is to be seen. (`browser`: without one nothing starts.)"""
    command = [*DIRSWEEP, "ui", "--storage", str(finished_sweep.parent), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            lines = iter(server.stdout.readline, "")
            yield next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+\S*", line) for line in lines)))[0]
        finally:
            server.terminate()
            assert server.wait(20) == 0


@pytest.fixture(scope="module")
def mlflow(browser: Browser, address: str) -> Iterator[Visit]:
    """One window for all that is looked at in MLflow: its scripts are loaded once."""
    with browsing.visit(browser) as visit:
        visit.page.add_init_script(FIRST_VISIT)
        yield visit


@pytest.fixture(scope="module")
def trials(finished_sweep: Path) -> dict[str, TrialRecord]:
    return sweeping.trials(finished_sweep)


def link(page: Page, trial: str) -> Locator:
    """The link to the run of a trial or a control; a fork's also names its donor."""
    name = f"trial {trial}" if trial.isdigit() else trial
    return page.get_by_role("link", name=re.compile(rf"^{re.escape(name)}( \(stage 1 of .*\))?$"))


def row(page: Page, run: Locator) -> Locator:
    """The row with a link to a run."""
    return page.get_by_role("row").filter(has=run)


def open_runs(page: Page, address: str, sweep: str) -> None:
    """From the front page to the sweep's runs, as one finds them without a hint."""
    page.goto("about:blank")  # MLflow would keep the page and change its middle
    page.goto(re.match(r"http://[^/]+", address)[0] + "/#/experiments")
    page.get_by_text("Model training").click()
    page.get_by_role("link", name=sweep, exact=True).click()
    parent = page.get_by_role("link", name=sweep, exact=True)
    row(page, parent).get_by_role("button").first.click()  # unfolds what is below it


def test_mlflow_lists_the_sweep_and_its_trials_and_controls_by_name(mlflow, address, finished_sweep, trials):
    open_runs(mlflow.page, address, finished_sweep.name)
    for key in trials:
        expect(link(mlflow.page, key)).to_be_visible()
    expect(mlflow.page.get_by_text(f"{len(trials) + 1} matching runs")).to_be_visible()
    assert mlflow.abroad == []


def test_a_run_shows_the_errors_that_the_ledger_has(mlflow, address, finished_sweep, trials):
    open_runs(mlflow.page, address, finished_sweep.name)
    link(mlflow.page, "default-plain").click()
    for shot in ("all", "many", "median", "few"):
        line = mlflow.page.get_by_role("row").filter(has_text=f"val/{shot}/mae")
        expect(line).to_contain_text(f"{trials['default-plain'].metrics[f'val/{shot}/mae']:.6f}"[:-1])


def test_three_runs_are_compared_by_their_knobs_and_errors(mlflow, address, finished_sweep, trials):
    open_runs(mlflow.page, address, finished_sweep.name)
    page, three = mlflow.page, ("default-plain", "0", "1")
    for key in three:
        row(page, link(page, key)).get_by_role("checkbox", name="toggle row selection").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("Comparing 3 Runs from 1 Experiment")).to_be_visible()
    expect(page.get_by_text("stage2.norm_weight", exact=True).first).to_be_visible()
    expect(page.get_by_role("link", name="val/all/mae", exact=True)).to_be_visible()
    values = page.get_by_role("grid").last  # beside the names of the metrics, which scroll along
    for key in three:
        expect(page.get_by_role("row").filter(has_text="Run Name:")).to_contain_text(key)
        expect(values).to_contain_text(f"{trials[key].metrics['val/all/mae']:.4g}")


def test_the_table_of_bins_opens_among_a_runs_files(mlflow, address, finished_sweep):
    open_runs(mlflow.page, address, finished_sweep.name)
    link(mlflow.page, "0").click()
    mlflow.page.get_by_role("tab", name="Artifacts").click()
    mlflow.page.get_by_label("bins.csv").click()
    header = (finished_sweep / "trials" / "0" / "bins.csv").read_text().splitlines()[0]
    for column in header.split(",")[:5]:
        expect(mlflow.page.get_by_role("columnheader", name=column)).to_be_visible()
