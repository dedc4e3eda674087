"""A long sweep in which something is killed every 20 seconds: what is lost, what grows, what is left behind.

python tests/soak.py FOLDER    (TRIALS=500 EVERY=20 WORKERS=2 MINUTES=90 SEED=0 from the environment)

Trials of a few seconds on a small table, tracked by an MLflow server. By turns, in random order, the
driver, a trial's process, another of Ray's processes and the MLflow server are killed by SIGKILL; a driver
or a server that died is started again. The folder holds all of it, `soak.log` among it: the same command
goes on where an earlier one ended, and MINUTES bound each. At its end it prints a table; the status is 1
where a promise failed.

No driver lives through it. So its memory, first and last, is that of many drivers: it shows what a longer
ledger costs the one that goes on with it, and not what one driver would lose over days.
"""

import csv
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import sweeping
import tiny
from soaking import NAME, Soak

from dirsweep import ledger, tracking
from dirsweep.ledger import TrialRecord
from dirsweep.tracking import store

TRIALS, EVERY, WORKERS, MINUTES, SEED = (
    int(os.environ.get(name, usual))
    for name, usual in {"TRIALS": 500, "EVERY": 20, "WORKERS": 2, "MINUTES": 90, "SEED": 0}.items()
)
SETTLED = 15.0
"""Seconds of a driver's life that its memory is not measured: it imports what it needs."""
GROWTH = 1.1
"""Memory over the last hundred trials, as a part of that over the first hundred, that is still flat."""


def soak(run: Soak) -> None:
    """Run until the sweep is finished or the time is over; samples the driver's memory once a second."""
    give_up = time.monotonic() + 60 * MINUTES
    strike = time.monotonic() + EVERY
    with (run.folder / "memory.csv").open("a") as file:
        samples = csv.writer(file)
        while time.monotonic() < give_up:
            if run.server is None or run.server.poll() is not None:
                run.start_server()
            if run.driver is None or run.driver.poll() is not None:
                if run.is_finished:
                    return
                run.start_driver()
            if time.monotonic() > strike:
                run.kill()
                strike = time.monotonic() + EVERY
            if run.driver and run.driver.poll() is None and time.monotonic() - run.begun > SETTLED:
                try:
                    samples.writerow([run.told(), psutil.Process(run.driver.pid).memory_info().rss])
                    file.flush()
                except psutil.Error:  # it was killed a moment ago
                    pass
            time.sleep(1.0)
    run.log(f"not finished within {MINUTES} minutes; the same command goes on")


def stop(run: Soak) -> list[str]:
    """End what still lives, the driver first; what lived on without reason, by its command line."""
    for one, end in ((run.driver, os.kill), (run.server, os.killpg)):
        if one is not None and one.poll() is None:
            end(one.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):  # it is among those that are left then
                one.wait(timeout=60)
    time.sleep(10.0)  # Ray's processes see within seconds that their driver is gone
    left = list(run.ours())
    names = [" ".join(one.cmdline())[:100] for one in left]
    for one in left:
        one.kill()
    return names


def files_left(run: Soak) -> list[str]:
    """Files of the sweep that belong to work in progress."""
    below = [str(file.relative_to(run.folder)) for file in run.folder.rglob("*") if file.is_file()]
    return [name for name in below if name.endswith(".part") or "/checkpoints/" in name or "STOP" in name]


def temporary_left(run: Soak) -> tuple[str, list[str]]:
    """What lies among the temporary files, in words; and what of it is not Ray's or of a driver that died."""
    ours, sessions = (list(run.temporary.glob(name)) for name in ("dirsweep-*", "ray/session_2*"))
    files = [file for file in run.temporary.rglob("*") if file.is_file()]
    known = {"ray", *(folder.name for folder in ours)}
    more = {file.relative_to(run.temporary).parts[0] for file in files} - known
    if len(ours) > run.died or len(sessions) > run.died + 1:
        more.add("folders of drivers that ended well")
    size = sum(file.stat().st_size for file in files) / 1e6
    return f"{size:.1f} MB: {len(ours)} folders of drivers that died, {len(sessions)} of Ray", sorted(more)


def memory(run: Soak) -> tuple[float, float]:
    """The driver's median memory in MB over the first and over the last hundred trials."""
    rows = [(int(told), int(rss)) for told, rss in csv.reader((run.folder / "memory.csv").open())]
    last, part = max(told for told, _ in rows), min(100, TRIALS // 2)
    first = [rss for told, rss in rows if told <= part]
    final = [rss for told, rss in rows if told > last - part]
    return statistics.median(first) / 1e6, statistics.median(final) / 1e6


def missing_runs(run: Soak, known: dict[str, TrialRecord]) -> list[str]:
    """Trials that MLflow has not, has twice, or shows otherwise than the ledger does."""
    client = store.open_client(tracking.default_uri(run.folder) or "")
    [experiment] = [one for one in client.search_experiments() if one.name == NAME]
    found: list[tuple[str, str]] = []
    page = None
    while page is None or page.token:
        page = client.search_runs([experiment.experiment_id], page_token=page.token if page else None)
        found += [(one.data.tags.get("trial", ""), one.data.tags.get("status", "")) for one in page]
    states = {(key, trial.state) for key, trial in known.items()}
    seen = Counter(found)
    return sorted(f"{key} ({state})" for key, state in states if seen[key, state] != 1)


def main(folder: Path) -> int:
    """Soak, look at what is there, print the table; 1 where a promise failed."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Soak(folder.resolve(), WORKERS, SEED)
    tiny.write_table(run.folder / "tiny.csv", rows=6000)
    space = sweeping.spec(
        run.folder,
        {"stage1.epochs": 12, "stage1.batch_size": 64, "stage2.schedule.epochs": 4},
        budget={"trials": TRIALS},
    )
    sweeping.write(space, run.sweep)
    tracking.check(tracking.default_uri(run.folder) or "")  # makes the server's database
    begun = time.monotonic()
    run.log(f"{TRIALS} trials, {WORKERS} at once, a kill every {EVERY} s")
    try:
        soak(run)
        if run.is_finished:
            run.sync()
    finally:
        left = stop(run)
    run.log(f"killed {dict(run.kills)} in {(time.monotonic() - begun) / 60:.1f} min")
    status = judge(run, left) if run.is_finished else 1
    shutil.rmtree(run.temporary, ignore_errors=True)
    return status


def judge(run: Soak, left: list[str]) -> int:
    """Print what became of the trials, the memory, the processes and the files; 1 where a promise failed."""
    records = sweeping.records(run.sweep)
    known = ledger.trials(records)
    asked = [trial for trial in known.values() if trial.kind == "ask"]
    tells = Counter(record["trial"] for record in records if record["kind"] == "tell")
    states = Counter(trial.state for trial in known.values())
    reasons = Counter(trial.reason for trial in known.values() if trial.state == "FAIL")
    first, last = memory(run)
    behind, lost = files_left(run), missing_runs(run, known)
    temporary, more = temporary_left(run)
    promises = {
        "trials asked": (len(asked), len(asked) == TRIALS),
        "told once": (sum(count == 1 for count in tells.values()), set(tells.values()) == {1}),
        "states": (dict(states), states["OPEN"] == 0),
        "reasons of failures": (dict(reasons), "" not in reasons),
        "numbers in the ledger without a gap": (
            len(records),
            [record["n"] for record in records] == list(range(len(records))),
        ),
        "memory of drivers, MB, first and last hundred": (f"{first:.0f}, {last:.0f}", last <= GROWTH * first),
        "trials that MLflow lacks or shows otherwise": (lost[:5] or 0, not lost),
        "processes left": (left or 0, not left),
        "files of work in progress left": (behind[:5] or 0, not behind),
        "temporary files left": (temporary, True),
        "temporary files of others left": (more[:5] or 0, not more),
    }
    for name, (found, kept) in promises.items():
        run.log(f"{'ok  ' if kept else 'FAIL'}  {name:<46} {found}")
    return 0 if all(kept for _, kept in promises.values()) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
