"""An MLflow server that is down from the start, dies in the middle, is slow; an sqlite file that is locked.

The server is real, behind a proxy that delays each call or refuses all. No trial waits for it: what trains
makes no call, and hands over what is to be told in no time. The ledger has everything, and `sync` brings it
there later, each run once.
"""

import contextlib
import json
import math
import socket
import socketserver
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import stores
import sweeping

from dirsweep import publish, tracking
from dirsweep.ledger import Ledger
from dirsweep.storage import Folder
from dirsweep.sweep import place
from dirsweep.sweep.start import _tracker
from dirsweep.tracking import store, ui

pytestmark = pytest.mark.slow

CALL = 2.0  # seconds that one takes
METHODS = (b"GET ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ")


class Proxy(socketserver.ThreadingTCPServer):
    """Stands before a server on loopback: hands each request on after `delay` seconds, none while `down`.

    It goes down by itself after so many requests as it has `left`.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.behind, self.delay, self.down, self.left = ("127.0.0.1", port), 0.0, False, math.inf
        self.uri = f"http://127.0.0.1:{self.server_address[1]}"

    def hand_on(self, source: socket.socket, target: socket.socket) -> None:
        """Hand on what comes until there is no more."""
        with contextlib.suppress(OSError):
            while (content := source.recv(65536)) and not self.down:
                if content.startswith(METHODS):
                    time.sleep(self.delay)
                    self.left -= 1
                    if self.left < 0:
                        self.down = True
                        break
                target.sendall(content)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Relay(socketserver.BaseRequestHandler):
    """One connection through a `Proxy`."""

    server: Proxy

    def handle(self) -> None:
        if self.server.down:
            return
        with socket.create_connection(self.server.behind) as behind:
            back = threading.Thread(target=self.server.hand_on, args=(behind, self.request))
            back.start()
            self.server.hand_on(self.request, behind)
            back.join()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A real tracking server behind a proxy."""
    folder = tmp_path_factory.mktemp("server")
    store.open_client(tracking.default_uri(folder))  # makes the tables
    port = closed_port()
    with ui.started(ui.ui_command(folder / store.DATABASE, port)) as server, Proxy(port) as proxy:
        server.wait_until_it_answers(port)
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        yield proxy
        proxy.shutdown()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SWEEP = """
import json, logging, sys, threading, time
from collections import Counter
from pathlib import Path
import without_ray
from dirsweep import sweep
from dirsweep.search.spec import read_spec
from dirsweep.sweep import start
from dirsweep.tracking import Tracker

action, folder, uri, start.TRACKING_SECONDS = *sys.argv[1:4], float(sys.argv[4])
held, add, during = 0.0, Tracker._add, Counter()
calls = Counter()  # to the server, by the thread that makes them

def heard(event, arguments):
    if event == "http.client.send":
        calls[threading.current_thread().name] += 1

def timed(tracker, key, owed):  # what the driver spends on tracking
    global held
    begun = time.perf_counter()
    add(tracker, key, owed)
    held += time.perf_counter() - begun

def drive(*arguments):  # trials train in here, in this thread
    before = Counter(calls)
    without_ray.drive(*arguments)
    during.update(calls - before)

sys.addaudithook(heard)
Tracker._add = timed
without_ray.stand_in()
logging.basicConfig()  # a trial in this process listens too; what is listened to alone is not printed
without_ray.tune.drive = drive
common = {"tracking_uri": uri}
begun = time.perf_counter()
if action == "run":
    outcome = sweep.run(read_spec(Path(folder).with_suffix(".yaml")), folder, **common)
else:
    outcome = sweep.resume(folder, extra_trials=1, **common)
seconds = time.perf_counter() - begun
found = {"why": outcome.why, "held": held, "seconds": seconds}
print(json.dumps({**found, "callers": list(calls), "callers while trials train": list(during)}))
"""


def driver(action: str, folder: Path, uri: str, patience: float) -> "subprocess.Popen[str]":
    """A sweep's driver, which waits for the server so long when it ends."""
    command = [sys.executable, "-c", SWEEP, action, str(folder), uri, str(patience)]
    with log_of(action, folder).open("w") as log:
        return subprocess.Popen(
            command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, stderr=log, text=True
        )


def log_of(action: str, folder: Path) -> Path:
    return folder.with_suffix(f".{action}.log")


def ended(driver: "subprocess.Popen[str]") -> dict[str, Any]:
    """What it printed."""
    said, _ = driver.communicate(timeout=300)
    print(said)
    assert driver.returncode == 0
    return json.loads(said)


def test_a_server_that_is_down_at_the_start_or_dies_in_the_middle_gets_everything_once_by_sync(
    proxy: Proxy, tmp_path: Path
):
    folder = tmp_path / "s"
    sweeping.write(sweeping.spec(tmp_path, budget={"trials": 1}), folder)
    proxy.down = True
    check_cost_nothing(ended(driver("run", folder, proxy.uri, 0.5)))
    told = log_of("run", folder).read_text()
    assert f"{proxy.uri}: no MLflow tracking server answers there" in told
    assert f"The sweep goes on: what the server is to be told is kept, and `dirsweep sync {folder}`" in told
    assert "items did not reach" in told
    proxy.down, proxy.left = False, 15  # some of the next trial's epochs come through
    check_cost_nothing(ended(driver("resume", folder, proxy.uri, 5)))
    assert proxy.down
    assert "items did not reach" in log_of("resume", folder).read_text()
    proxy.down, proxy.left = False, math.inf
    begun = stores.contents(proxy.uri, sweep=folder.name)
    assert begun.keys() < {"", *sweeping.trials(folder)}
    assert publish.sync(folder, None).left == []  # into the server, which the ledger names
    before = check_all_there(folder, proxy.uri)
    assert publish.sync(folder, None).left == []
    assert check_all_there(folder, proxy.uri) == before


def test_a_slow_server_and_one_that_is_down_for_a_while_cost_no_time_and_miss_nothing(
    proxy: Proxy, tmp_path: Path
):
    folder = tmp_path / "t"
    sweeping.write(sweeping.spec(tmp_path, budget={"trials": 1}), folder)
    proxy.delay = CALL
    check_cost_nothing(ended(driver("run", folder, proxy.uri, 0.5)))
    assert "items did not reach" in log_of("run", folder).read_text()  # so many calls take longer
    proxy.delay, proxy.down = 0.0, True
    resumed, log = driver("resume", folder, proxy.uri, 60), log_of("resume", folder)
    sweeping.wait_for(lambda: "is kept and retried" in log.read_text(), "the refused calls to be told", 200)
    proxy.down = False
    check_cost_nothing(ended(resumed))
    assert "works again" in log.read_text()
    assert "did not reach" not in log.read_text()
    before = check_all_there(folder, proxy.uri)
    assert publish.sync(folder, None).left == []
    assert check_all_there(folder, proxy.uri) == before


def check_cost_nothing(found: dict[str, Any]) -> None:
    """See that the sweep ended well, that what trained made no call, and that it handed over in no time."""
    assert found["why"] == "finished"
    assert "tracking" in found["callers"]
    assert {*found["callers while trials train"]} <= {"tracking"}  # none if they train faster than it begins
    assert found["held"] < 0.05 * found["seconds"]


def check_all_there(folder: Path, uri: str) -> set[str]:
    """See that a store has every trial of the ledger once, with each epoch once; the names of the runs."""
    runs, trials = stores.contents(uri, sweep=folder.name), sweeping.trials(folder)
    assert runs.keys() == {"", *trials}
    for key, trial in trials.items():
        assert (runs[key]["status"], runs[key]["tags"]["status"]) == ("FINISHED", "COMPLETE")
        seconds = runs[key]["points"]["seconds"]  # the final value is a further point, where it differs
        assert [step for step, *_ in seconds][: len(trial.reports)] == [one["epoch"] for one in trial.reports]
    return {run["name"] for run in runs.values()}


def test_a_locked_sqlite_file_is_waited_for_and_gets_everything_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    uri, ids = tracking.default_uri(tmp_path), dict[str, str]()
    tracker = tracking.Tracker(uri, tracking.Sweep("s", "i1"), {}, ids.__setitem__)
    tracker.start_sweep({})
    tracker.start_trial("0", {}, {})
    sweeping.wait_for(lambda: "0" in ids, "the trial's run")
    with closing(sqlite3.connect(tmp_path / store.DATABASE, isolation_level=None, timeout=20)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        for epoch in range(1, 101):
            tracker.log_epoch("0", {"val/all/mae": 1 / epoch}, epoch)
        assert time.monotonic() - begun < 1.0
        sweeping.wait_for(lambda: "database is locked" in caplog.text, "sqlite to give up")
        other.execute("ROLLBACK")
    tracker.end_trial("0", "COMPLETE", {"val/all/mae": 0.01}, [])
    assert tracker.close(60) == 0
    points = store.open_client(uri).get_metric_history(ids["0"], "val/all/mae")
    assert [point.step for point in points] == list(range(1, 101))


def test_the_ledger_names_a_server_that_never_answered_so_that_sync_finds_it(tmp_path: Path):
    spec, folder = sweeping.spec(tmp_path), Folder(tmp_path / "s")
    hashes = {"spec": spec.hash, "data": "abc", "constraints": "", "git": ""}
    ledger = Ledger.create(folder, **hashes, method_version=1, trials=3)
    uri = f"http://me:secret@127.0.0.1:{closed_port()}"
    for _ in range(2):  # it is written once
        tracker = _tracker(uri, spec, folder, ledger)
        assert tracker.close(0.1) == 1
    assert [record["kind"] for record in ledger.records] == ["open", "run"]
    assert place.own_store(folder, ledger.records) == store.shown(uri)
    assert place.run_ids(ledger.records) == {}
