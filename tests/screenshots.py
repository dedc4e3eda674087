"""Take the README's pictures: MLflow's UI and the report, of the newest sweep that `make sweep` ran.

python tests/screenshots.py [FOLDER]    (docs/screenshots; runs the demo sweep if there is none)

The pictures are those of a window 1,100 wide, half as large again in pixels: about as a README shows them.
"""

import io
import subprocess
import sys
from pathlib import Path

import browsing
import mlflow_pages
from mlflow_pages import link, open_runs, row
from PIL import Image
from playwright.sync_api import Browser, Locator, Page

from dirsweep import report
from dirsweep.ledger import FILE
from dirsweep.report import SweepReport
from dirsweep.report.html import page as page_of

ROOT = Path(__file__).parents[1]
SPACE = ROOT / "search_spaces" / "all.yaml"
WINDOW = {"width": 1100, "height": 720}
SCALE = 1.5
COLOURS = 128  # of a picture; more are not told apart in these
LARGEST = 250_000  # bytes


def demo() -> SweepReport:
    """The newest finished demo sweep in ./sweeps; run if there is none."""
    found = [file.parent for file in Path("sweeps").glob(f"{SPACE.stem}-*/{FILE}")]
    finished = [folder for folder in found if report.load(folder).best is not None]
    if not finished:
        print("no demo sweep is there: running it", flush=True)
        subprocess.run([*mlflow_pages.DIRSWEEP, "run", str(SPACE)], check=True)
        return demo()
    return report.load(max(finished, key=lambda folder: (folder / FILE).stat().st_mtime))


def save(taken: bytes, path: Path) -> None:
    """Write a picture with few colours. ValueError if it is large all the same."""
    image = Image.open(io.BytesIO(taken)).convert("RGB")
    image.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes, more than {LARGEST:,}")
    print(f"{path}  {image.width} x {image.height}, {path.stat().st_size / 1000:.0f} kB", flush=True)


def settled(page: Page) -> None:
    """Wait for what still loads, and take the mouse away."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)


def of_mlflow(browser: Browser, sweep: SweepReport, to: Path) -> None:
    """The leaderboard, three runs side by side, the description and the picture of norms."""
    name, best = sweep.folder.name, sweep.best.trial
    with (
        mlflow_pages.served(sweep.folder) as address,
        mlflow_pages.looked_at(browser, WINDOW, device_scale_factor=SCALE) as visit,
    ):
        page = visit.page
        page.goto(address)
        link(page, best).wait_for()
        settled(page)
        save(page.screenshot(), to / "mlflow-runs.png")

        for key in (best, f"{best}-plain", f"{best}-mu0"):
            row(page, key).get_by_role("checkbox", name="toggle row selection").check()
        page.get_by_role("button", name="Compare", exact=True).click()
        page.get_by_role("link", name="val/all/mae", exact=True).scroll_into_view_if_needed()
        settled(page)
        save(page.screenshot(), to / "mlflow-compare.png")

        open_runs(page, address, name)
        link(page, name).click()
        page.get_by_text("Show more", exact=True).click()
        settled(page)
        save(page.screenshot(), to / "mlflow-sweep.png")

        open_runs(page, address, name)
        link(page, best).click()
        mlflow_pages.open_picture(page, "norms.svg").wait_for()
        settled(page)
        save(page.screenshot(), to / "mlflow-norms.png")


def of_report(browser: Browser, sweep: SweepReport, to: Path) -> None:
    """Its first screen on a laptop and on a phone, the Pareto front with a label, the norms."""
    paper = sweep.folder / "report.html"
    paper.write_text(page_of(sweep))
    with browsing.visit(browser, WINDOW, device_scale_factor=SCALE) as visit:
        open_report(visit.page, paper)
        save(visit.page.screenshot(), to / "report.png")
        point_at_the_front(visit.page.locator("#plot-pareto"))
        save(visit.page.locator("#pareto").screenshot(), to / "report-pareto.png")
        visit.page.mouse.move(0, 0)
        save(visit.page.locator("#norms").screenshot(), to / "report-norms.png")
    with browsing.visit(
        browser, browsing.PHONE, device_scale_factor=SCALE, is_mobile=True, has_touch=True
    ) as visit:
        open_report(visit.page, paper)
        save(visit.page.screenshot(), to / "report-phone.png")


def open_report(page: Page, paper: Path) -> None:
    page.goto(paper.absolute().as_uri())
    page.wait_for_selector("html[data-drawn=all]", state="attached")


def point_at_the_front(plot: Locator) -> None:
    """Show the label of the front's last trial."""
    names = plot.evaluate("plot => plot.data.map(trace => trace.name)")
    front = next(place for place, name in enumerate(names) if name.startswith("Pareto front"))
    plot.locator(".scatterlayer .trace").nth(front).locator(".point").last.hover(force=True)
    plot.locator(".hoverlayer .hovertext").wait_for()


def main(to: Path) -> None:
    sweep = demo()
    print(f"pictures of {sweep.folder}", flush=True)
    to.mkdir(parents=True, exist_ok=True)
    with browsing.chromium() as browser:
        of_report(browser, sweep, to)
        of_mlflow(browser, sweep, to)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screenshots")
