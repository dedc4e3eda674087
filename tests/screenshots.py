"""Take the pictures of the README and docs/: MLflow's UI, the report and the winner's own pictures.

python tests/screenshots.py [FOLDER]    (docs; below it screenshots/ and pictures/)

They show the newest sweep that `make sweep` ran; it is run if there is none. The screens are those of a
laptop and of a phone, a quarter larger in pixels.
"""

import io
import shutil
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
SCALE = 1.25
MARGIN = 16  # around a part of a page
LARGEST = 250_000  # bytes of a picture

# as after a click on "Model training", upper left; some links lead back to pages on language models
TRAINING = """if (location.protocol === "http:") {
    localStorage.setItem("mlflow.workflowType_v1", JSON.stringify("machine_learning"));
}"""


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
    """Write a picture with 256 colours, the rare ones among them. ValueError if it is large all the same."""
    image = Image.open(io.BytesIO(taken)).convert("RGB")
    few = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes, more than {LARGEST:,}")
    print(f"{path}  {image.width} x {image.height}, {path.stat().st_size / 1000:.0f} kB", flush=True)


def settled(page: Page) -> bytes:
    """The page, once it has loaded all and the mouse is away."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)
    return page.screenshot()


def of_mlflow(browser: Browser, sweep: SweepReport, to: Path) -> None:
    """The leaderboard, three runs side by side, the description and the picture of norms."""
    name, best = sweep.folder.name, sweep.best.trial
    with (
        mlflow_pages.served(sweep.folder) as address,
        mlflow_pages.looked_at(browser, device_scale_factor=SCALE) as visit,
    ):
        page = visit.page
        page.add_init_script(TRAINING)
        page.goto(address)
        link(page, best).wait_for()
        save(settled(page), to / "mlflow-runs.png")

        for trial in sweep.ranked[:3]:
            row(page, trial.trial).get_by_role("checkbox", name="toggle row selection").check()
        page.get_by_role("button", name="Compare", exact=True).click()
        page.get_by_text("Comparing 3 Runs").wait_for()
        save(settled(page), to / "mlflow-compare.png")

        open_runs(page, address, name)
        link(page, name).click()
        page.get_by_text("Show more", exact=True).click()
        save(settled(page), to / "mlflow-sweep.png")

        open_runs(page, address, name)
        link(page, best).click()
        mlflow_pages.open_picture(page, "norms.svg").wait_for()
        place = page.get_by_text("Path: file://").first  # on this machine: of no use to a reader
        place.evaluate("line => { line.style.visibility = 'hidden'; }")
        save(settled(page), to / "mlflow-norms.png")


def of_report(browser: Browser, sweep: SweepReport, to: Path) -> None:
    """Its first screen on a laptop and on a phone, the Pareto front with a label, the norms."""
    paper = sweep.folder.path / "report.html"
    paper.write_text(page_of(sweep))
    with browsing.visit(browser, device_scale_factor=SCALE) as visit:
        open_report(visit.page, paper)
        save(visit.page.screenshot(), to / "report.png")
        point_at_the_front(visit.page.locator("#plot-pareto"))
        save(part(visit.page, "#pareto"), to / "report-pareto.png")
        visit.page.mouse.move(0, 0)
        save(part(visit.page, "#norms"), to / "report-norms.png")
    with browsing.visit(browser, browsing.PHONE, device_scale_factor=SCALE, is_mobile=True) as visit:
        open_report(visit.page, paper)
        save(visit.page.screenshot(), to / "report-phone.png")


def open_report(page: Page, paper: Path) -> None:
    page.goto(paper.absolute().as_uri())
    page.wait_for_selector("html[data-drawn=all]", state="attached")


def part(page: Page, selector: str) -> bytes:
    """A section of the page with a margin."""
    box = page.locator(selector).evaluate(
        "part => { const box = part.getBoundingClientRect();"
        "return { x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height }; }"
    )
    box["x"] -= MARGIN
    box["width"] += 2 * MARGIN
    return page.screenshot(full_page=True, clip=box)


def point_at_the_front(plot: Locator) -> None:
    """Show the label of the front's last trial."""
    names = plot.evaluate("plot => plot.data.map(trace => trace.name)")
    front = next(place for place, name in enumerate(names) if name.startswith("Pareto front"))
    plot.locator(".scatterlayer .trace").nth(front).locator(".point").last.hover(force=True)
    plot.locator(".hoverlayer .hovertext").wait_for()


def of_winner(sweep: SweepReport, to: Path) -> None:
    """The pictures of the winner, drawn if they are not there."""
    best = sweep.best.trial
    subprocess.run([*mlflow_pages.DIRSWEEP, "draw", str(sweep.folder), best], check=True)
    for picture in sorted((sweep.folder.path / "trials" / best / "pictures").glob("*.svg")):
        print(shutil.copy(picture, to), flush=True)


def main(docs: Path) -> None:
    if browsing.found() is None:
        sys.exit(browsing.MISSING)
    sweep = demo()
    print(f"pictures of {sweep.folder}", flush=True)
    screens, pictures = docs / "screenshots", docs / "pictures"
    for folder in (screens, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    of_winner(sweep, pictures)
    with browsing.chromium() as browser:
        of_report(browser, sweep, screens)
        of_mlflow(browser, sweep, screens)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
