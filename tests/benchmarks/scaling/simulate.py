"""A sweep of sleeping trials on simulated nodes, and what it costs its driver, trial by trial.

    python tests/benchmarks/scaling/simulate.py FILE.csv [--trials 1000] [--nodes 16] [--sleep 0.3]

The driver, its ledger, search, tracker and Ray Tune are the real ones; the nodes are Ray's simulated ones (a
raylet each, on this machine, one CPU), and the space is that of the demo. Each row is what the driver has
spent when a trial was told. CPU time and not wall time: the workers share this machine's cores with it.
"""

import argparse
import csv
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
TESTS = HERE.parents[2]
sys.path.insert(0, str(TESTS))

import sleeper  # noqa: E402
from parts import Parts  # noqa: E402

from dirsweep import sweep  # noqa: E402
from dirsweep.ledger import FILE, Ledger  # noqa: E402
from dirsweep.search.model import SweepSpec  # noqa: E402
from dirsweep.search.spec import read_spec  # noqa: E402

SPACE = HERE.parents[3] / "search_spaces" / "all.yaml"
PARTS = ("ask", "tell", "ledger", "decisions", "tune", "tracker")


def spec(trials: int) -> SweepSpec:
    """The space of the demo with another budget."""
    found = read_spec(SPACE)
    budget = found.budget.model_copy(update={"trials": trials, "minutes": None})
    return found.model_copy(update={"budget": budget})


def wrapped() -> Parts:
    """The clock of the driver's parts."""
    from ray.tune.execution.tune_controller import TuneController

    from dirsweep.search.core import Search
    from dirsweep.sweep.driver import Driver
    from dirsweep.tracking.runs import Runs

    parts = Parts()
    parts.wrap("ask", Search, "_ask")
    parts.wrap("tell", Search, "_tell")
    parts.wrap("ledger", Ledger, "write")
    parts.wrap("decisions", Driver, "next", "started", "reported", "ended", "failed", "step")
    parts.wrap("tune", TuneController, "step")
    parts.wrap("tracker", Runs, "deliver")
    return parts


@contextmanager
def nodes(count: int, seconds: float) -> Iterator[None]:
    """So many simulated nodes of one CPU each, at RAY_ADDRESS inside the block."""
    before = dict(os.environ)
    # the sockets' paths may be 107 characters long, so not in a TMPDIR of the user's
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as place:
        (Path(place) / "ray").mkdir()  # here Ray notes its address, and not where others look for theirs
        os.environ |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_TMPDIR": place,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": os.pathsep.join([*sys.path, os.environ.get("PYTHONPATH", "")]),  # for the workers
            sleeper.SECONDS: str(seconds),
        }
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            for _ in range(count - 1):
                cluster.add_node(num_cpus=1)
            os.environ["RAY_ADDRESS"] = cluster.address
            yield
        finally:
            cluster.shutdown()
            os.environ.clear()
            os.environ.update(before)


class Rows:
    """A row for each trial that was told, written as it comes."""

    def __init__(self, file: Path, parts: Parts, ledger: Path) -> None:
        self.count = 0
        self._file, self._parts, self._ledger = file, parts, ledger

    def __call__(self, progress: sweep.Progress) -> None:
        """Take in a change of the sweep."""
        told = progress.done + progress.pruned + progress.failed
        for number in range(self.count + 1, told + 1):
            row = self._row(number)
            with self._file.open("w" if number == 1 else "a", newline="") as file:
                writer = csv.DictWriter(file, list(row))
                if number == 1:
                    writer.writeheader()
                writer.writerow(row)
        self.count = max(self.count, told)

    def _row(self, told: int) -> dict[str, Any]:
        seconds, calls = self._parts.seconds, self._parts.calls
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return {
            "told": told,
            "wall_s": round(time.monotonic(), 3),
            "cpu_s": round(time.process_time(), 4),
            **{f"{part}_s": round(seconds[part], 4) for part in PARTS},
            **{f"{part}_calls": calls[part] for part in PARTS},
            "rss_mb": int(status["VmRSS"].split()[0]) // 1024,
            "threads": int(status["Threads"]),
            "files": len(os.listdir("/proc/self/fd")),
            "ledger_bytes": self._ledger.stat().st_size,
        }


def simulate(file: Path, folder: Path, trials: int, count: int, seconds: float) -> None:
    """Sweep so many trials, whose epochs sleep `seconds`, on so many nodes; rows go to `file`."""
    with nodes(count, seconds):
        rows = Rows(file, wrapped(), folder / FILE)
        found = sweep.run(spec(trials), folder, on_change=rows, trial=sleeper.trial)
    assert found.why == "finished", found


def main() -> None:
    """Simulate, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--sleep", type=float, default=0.3)
    parser.add_argument("--keep", type=Path, help="the sweep's folder, which else is removed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dirsweep-") as place:
        folder = given.keep or Path(place) / "sweeps" / "simulated"
        simulate(given.file, folder, given.trials, given.nodes, given.sleep)


if __name__ == "__main__":
    main()
