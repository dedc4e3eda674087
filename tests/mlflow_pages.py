"""MLflow's UI over a sweep, as `dirsweep ui` starts it, and the way from its front page to a run.

The names of links, buttons and heads are those that a person reads; MLflow's own are of version 3.17.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browsing import Visit, visit
from playwright.sync_api import Browser, Locator, Page

DIRSWEEP = [sys.executable, "-c", "from dirsweep.cli import main; main()"]

# MLflow remembers what was unfolded; and on a first visit it opens a panel for chats with language models,
# which covers a third of the page
FIRST_VISIT = """if (location.protocol === "http:") {
    localStorage.clear();
    localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
}"""


@contextmanager
def served(sweep: Path) -> Iterator[str]:
    """`dirsweep ui` on a free port; the address that it names."""
    command = [*DIRSWEEP, "ui", str(sweep), "--storage", str(sweep.parent), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            lines = iter(server.stdout.readline, "")
            yield next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+\S*", line) for line in lines)))[0]
        finally:
            server.terminate()
            assert server.wait(20) == 0


@contextmanager
def looked_at(browser: Browser, *args: Any, **options: Any) -> Iterator[Visit]:
    """A window for MLflow's pages; each that is loaded anew is that of a first visit."""
    with visit(browser, *args, **options) as seen:
        seen.page.add_init_script(FIRST_VISIT)
        yield seen


def open_runs(page: Page, address: str, sweep: str) -> None:
    """From the front page to the sweep's runs, as one finds them without a hint."""
    page.goto("about:blank")  # MLflow would keep the page and change its middle
    page.goto(re.match(r"http://[^/]+", address)[0] + "/#/experiments")
    page.get_by_text("Model training").click()
    page.get_by_role("link", name=sweep, exact=True).click()
    row(page, sweep).get_by_role("button").first.click()  # unfolds what is below it


def row(page: Page, run: str) -> Locator:
    """The row of the run of a trial, a control or the sweep."""
    return page.get_by_role("grid").get_by_role("row").filter(has=page.get_by_role("link", name=named(run)))


def link(page: Page, run: str) -> Locator:
    """The link to such a run."""
    return row(page, run).get_by_role("link", name=named(run)).first  # a model may have the sweep's name


def named(run: str) -> re.Pattern[str]:
    """The run's name; that of a fork also says whose stage 1 it went on from."""
    name = f"trial {run}" if run.isdigit() else run
    return re.compile(rf"^{re.escape(name)}( \(stage 1 of .*\))?$")


def open_picture(page: Page, name: str) -> Locator:
    """From a run's page to a picture among its files."""
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_label("pictures", exact=True).click()
    page.get_by_label(name, exact=True).click()
    return page.get_by_alt_text(f"pictures/{name}", exact=True)
