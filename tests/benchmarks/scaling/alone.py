"""What grows with the trials of a sweep, each by itself and without Ray: CPU seconds, bytes, memory.

    python tests/benchmarks/scaling/alone.py FILE.csv [--trials 100 1000 2000 10000]

A sweep of each length is read back from a ledger of made-up results, with 512 trials open beside them, as
64 nodes of 8 GPUs run them. CPU time of a process of its own for each length.
"""

import argparse
import csv
import math
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import yaml

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2]))

# After the path is set (E402): run as a script, `tests` is not on it.
import ledgers  # noqa: E402

from dirsweep import ledger, report, sweep  # noqa: E402
from dirsweep.ledger import Ledger  # noqa: E402
from dirsweep.publish.sync import sync  # noqa: E402
from dirsweep.search.core import Search  # noqa: E402
from dirsweep.search.model import SweepSpec  # noqa: E402
from dirsweep.search.spec import FILE, read_spec  # noqa: E402
from dirsweep.storage import Folder  # noqa: E402
from dirsweep.sweep import pruning, told  # noqa: E402
from dirsweep.sweep.book import Book  # noqa: E402
from dirsweep.sweep.driver import Driver  # noqa: E402
from dirsweep.sweep.median import Median  # noqa: E402

OPEN = 512
EPOCHS = 20
ONE = {"objectives": ["val/all/mae"]}
SEARCHES: dict[str, dict[str, Any]] = {
    "TPE, 2 objectives": {},
    "TPE, 1 objective": ONE,
    "staged, TPE, 2 objectives": {"mode": "staged"},
    "NSGA-II, 2 objectives": {"sampler": {"name": "nsga2"}},
    "quasi-random": {"sampler": {"name": "qmc"}},
}
ASKS = 5
SYNCED = 100
"""Trials of the sweep that is brought to MLflow."""


def write(folder: Path, trials: int, changes: dict[str, Any], epochs: int = EPOCHS) -> SweepSpec:
    """A sweep of so many complete trials with a report of each epoch, and `OPEN` more that are half done."""
    tree = yaml.safe_load(ledgers.SPACE.replace("TRIALS", str(trials + OPEN + ASKS))) | changes
    folder.mkdir(parents=True)
    (folder / FILE).write_text(yaml.safe_dump(tree))
    spec = read_spec(folder / FILE)
    rng, kept = np.random.default_rng(0), told.kept(spec)
    opening = {"spec": spec.hash, "method_version": 3, "data": "d" * 64, "git": "0" * 40, "versions": {}}
    book = Ledger.create(Folder(folder), **opening, trials=spec.budget.trials)
    for number in range(trials + OPEN):
        key, asked = str(number), ledgers.params(rng)
        book.write(
            "ask", trial=key, params={name: asked[name] for name in spec.order() if name in asked}, attrs={}
        )
        book.write("start", trial=key, attempt=1)
        mae = float(780 + 60 * rng.gamma(2) + 25 * abs(math.log10(asked["stage2.norm_weight"])))
        found = ledgers.metrics(mae, float(1900 - 0.7 * mae + 60 * rng.normal()), rng)
        metrics = {name: found[name] for name in kept if name in found}
        for epoch in range(1, (epochs if number < trials else epochs // 2) + 1):
            fields = {"epoch": epoch, "of": epochs, "stage": "stage1", "seconds": 0.1 * epoch}
            book.write("report", trial=key, **fields, metrics=metrics)
        if number < trials:
            fields = {"state": "COMPLETE", "epoch": epochs, "seconds": 2.0, "metrics": found, "reason": ""}
            book.write("tell", trial=key, **fields)
    return spec


Rows = list[tuple[str, float, str]]


def timed(rows: Rows, what: str, call: Callable[[], Any], times: int = 1, unit: str = "s") -> Any:
    """Note the least CPU seconds of a call, of so many; gives what the last one gave."""
    took = []
    for _ in range(times):
        begun = time.process_time()
        found = call()
        took.append(time.process_time() - begun)
    rows.append((what, min(took) * {"s": 1.0, "ms": 1e3, "us": 1e6}[unit], unit))
    return found


def measure(trials: int) -> Rows:
    """What is measured at one length."""
    rows: Rows = []
    with tempfile.TemporaryDirectory(prefix="dirsweep-") as place, quick():
        folder = Path(place) / "sweeps" / "whole"
        spec = write(folder, trials, {})
        rows.append(("ledger", (folder / ledger.FILE).stat().st_size / 2**20, "MB"))
        timed(rows, "read the ledger", lambda: Ledger.open(Folder(folder)))
        tracemalloc.start()
        book = Ledger.open(Folder(folder))
        rows.append(("memory of its records", tracemalloc.get_traced_memory()[0] / 2**20, "MB"))
        tracemalloc.stop()
        driver = timed(rows, "rebuild the driver", lambda: _driver(spec, folder, book))
        timed(rows, "look at the progress", driver.progress, 20, "us")
        last = next(record for record in reversed(book.records) if record["kind"] == "report")
        record = {name: value for name, value in last.items() if name not in ("n", "time", "kind")}
        timed(rows, "append a report", lambda: book.write("report", **record), 50, "us")
        driver._book.close()
        timed(rows, "status", lambda: sweep.status(folder))
        shown = timed(rows, "load the report", lambda: report.load(folder))
        timed(rows, "draw the leaderboard", lambda: report.leaderboard(shown))
        timed(rows, "decide by the median", _median(trials), 20, "us")
        for name, changes in SEARCHES.items():
            rows.append((f"ask: {name}", _ask(Path(place) / name, trials, changes), "ms"))
    return rows


def _driver(spec: SweepSpec, folder: Path, book: Ledger) -> Driver:
    entries = Book(spec, Folder(folder), book, None, told.kept(spec))
    return Driver(entries, pruning.rule(spec), OPEN, lambda progress: None, Event())


def _median(trials: int) -> Callable[[], bool]:
    """A decision of the rule about one more trial, when so many have reported all their epochs."""
    rule, number = Median("val/all/mae", 5, 0.0), trials
    for epoch in range(1, EPOCHS):
        for trial in range(trials):
            rule.stops(str(trial), epoch, EPOCHS, {"val/all/mae": trial * 7919 % 4001 + 1 / epoch})

    def decide() -> bool:
        nonlocal number
        number += 1
        return rule.stops(str(number), 1, EPOCHS, {"val/all/mae": 2000.0})

    return decide


def _ask(folder: Path, trials: int, changes: dict[str, Any]) -> float:
    """The median CPU milliseconds of an ask."""
    spec = write(folder, trials, changes, epochs=2)  # an ask does not look at reports
    search = Search(spec, Ledger.open(Folder(folder)))
    search.ask()  # the first one imports
    took = []
    for _ in range(ASKS - 1):
        begun = time.process_time()
        search.ask()
        took.append((time.process_time() - begun) * 1e3)
    search.close()
    return float(np.median(took))


@contextmanager
def quick() -> Iterator[None]:
    """Let no record wait for the disk, which costs no CPU and would take most of the time."""
    before, ledger.DURABLE = ledger.DURABLE, frozenset()
    try:
        yield
    finally:
        ledger.DURABLE = before


def mlflow() -> Rows:
    """What it takes to bring finished trials to MLflow's embedded store, per trial."""
    rows: Rows = []
    with tempfile.TemporaryDirectory(prefix="dirsweep-") as place:
        folder, store = Path(place) / "sweeps" / "synced", Path(place) / "mlflow.db"
        with quick():
            ledgers.write(folder, 1, reports=EPOCHS)
        sync(folder, f"sqlite:///{store}")  # imports MLflow and makes its tables
        empty, other = store.stat().st_size, folder.with_name("more")
        with quick():
            ledgers.write(other, SYNCED, reports=EPOCHS)
        begun = time.process_time()
        sync(other, f"sqlite:///{store}")
        rows.append(("MLflow: bring a trial", (time.process_time() - begun) / SYNCED * 1e3, "ms"))
        rows.append(("MLflow: sqlite file", (store.stat().st_size - empty) / SYNCED / 1024, "KB a trial"))
    return rows


def main() -> None:
    """Measure each length in a process of its own, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 2000, 10000])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        rows = [
            (given.trials[0], *row) for row in (measure(given.trials[0]) if given.trials[0] else mlflow())
        ]
    else:
        rows = []
        for trials in [0, *given.trials]:
            part = given.file.with_suffix(f".{trials}")
            command = [sys.executable, __file__, str(part), "--one", "--trials", str(trials)]
            subprocess.run(command, check=True)
            rows += list(csv.reader(part.read_text().splitlines()))[1:]
            part.unlink()
    with given.file.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("trials", "what", "value", "unit"))
        writer.writerows((*row[:2], f"{float(row[2]):.4g}", row[3]) for row in rows)


if __name__ == "__main__":
    main()
