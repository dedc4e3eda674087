import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
import sweeping

from dirsweep import tracking
from dirsweep.config import USUAL_METRICS
from dirsweep.ledger import Ledger, TrialRecord
from dirsweep.storage import File, Folder
from dirsweep.sweep import told
from dirsweep.sweep.book import Book
from dirsweep.sweep.progress import logged
from dirsweep.tracking import store, tracker


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and nothing in it; making them takes seconds."""
    folder = tmp_path_factory.mktemp("tables")
    store.open_client(tracking.default_uri(folder))
    return folder / "mlflow.db"


@pytest.fixture
def storage(tmp_path: Path, tables: Path) -> Path:
    folder = tmp_path / "my sweeps"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(tables.read_bytes())
    return folder


SWEEP = tracking.Sweep("sweep", "i0")
MEMORY = "system/system_memory_usage_percentage"


class Sweep:
    """A tracker, and what a ledger would hold of its runs."""

    def __init__(
        self, uri: str, name: str = "lds", known: dict[str, str] | None = None, identity: str = "i1"
    ) -> None:
        self.ids = dict(known or {})
        self.made: list[str] = []
        self.tracker = tracking.Tracker(uri, tracking.Sweep(name, identity), dict(self.ids), self.record)

    def record(self, key: str, run: str) -> None:
        self.ids[key] = run
        self.made.append(key)


def history(client, run: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run, name)]


def client(uri: str):
    return store.open_client(uri)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_sweep_is_a_parent_run_with_a_child_per_trial(storage):
    (storage / "bins.csv").write_text("bin,count\n0,3\n")
    sweep = Sweep(tracking.default_uri(storage))
    sweep.tracker.start_sweep({"spec": "abc"})
    sweep.tracker.start_trial("0", {"stage1.epochs": 2, "stage1.optimizer.lr": 0.1}, {"seed": "7"})
    sweep.tracker.log_epoch("0", {"val/all/mae": 4.0}, 1, "stage1")
    sweep.tracker.log_epoch("0", {"val/all/mae": 3.0}, 2, "stage2")
    sweep.tracker.end_trial(
        "0", "COMPLETE", {"val/all/mae": 3.0, "fit/r2": 0.5}, [File(Folder(storage), "bins.csv")]
    )
    for key, state in (("1", "PRUNED"), ("2", "FAIL"), ("default-plain", "OPEN")):
        sweep.tracker.start_trial(key, {}, {})
        sweep.tracker.end_trial(key, state, {}, [], reason="" if state != "FAIL" else "loss is NaN")
    sweep.tracker.start_trial("3", {}, {})  # still runs when the sweep ends
    sweep.tracker.end_sweep("COMPLETE", {"best/val/all/mae": 3.0}, [])
    assert sweep.tracker.close(30) == 0
    assert sweep.made == ["", "0", "1", "2", "default-plain", "3"]

    client = store.open_client(tracking.default_uri(storage))
    experiment = client.get_experiment_by_name("lds")
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: (run.info.status, run.data.tags["status"]) for name, run in found.items()} == {
        "lds": ("FINISHED", "COMPLETE"),
        "trial 0": ("FINISHED", "COMPLETE"),
        "trial 1": ("KILLED", "PRUNED"),
        "trial 2": ("FAILED", "FAIL"),
        "trial 3": ("SCHEDULED", "OPEN"),
        "default-plain": ("SCHEDULED", "OPEN"),
    }
    parent, child = found["lds"], found["trial 0"]
    assert parent.data.tags["spec"] == "abc"
    assert parent.data.metrics == {"best/val/all/mae": 3.0}
    assert {run.data.tags.get("mlflow.parentRunId") for run in found.values()} == {None, parent.info.run_id}
    assert child.data.params == {"stage1.epochs": "2", "stage1.optimizer.lr": "0.1"}
    assert child.data.tags.items() >= {"seed": "7", "stage": "stage2", "epoch": "2", "trial": "0"}.items()
    assert found["trial 2"].data.tags["reason"] == "loss is NaN"
    # the final value equals the last epoch's, so it is no third dot
    assert history(client, child.info.run_id, "val/all/mae") == [(1, 4.0), (2, 3.0)]
    assert history(client, child.info.run_id, "fit/r2") == [(2, 0.5)]
    assert [file.path for file in client.list_artifacts(child.info.run_id)] == ["bins.csv"]
    kept = storage / "mlartifacts" / child.info.run_id / "artifacts" / "bins.csv"
    assert kept.read_text() == "bin,count\n0,3\n"


def test_a_resumed_sweep_goes_on_in_the_same_runs(storage, caplog):
    uri = tracking.default_uri(storage)
    first = Sweep(uri)
    first.tracker.start_sweep({})
    for key in ("0", "1"):
        first.tracker.start_trial(key, {"lr": 0.1}, {})
        first.tracker.log_epoch(key, {"val/all/mae": 4.0}, 1)
    first.tracker.end_sweep("OPEN", {}, [])
    assert first.tracker.close(30) == 0

    del first.ids["1"]  # the driver died before the ledger had it
    second = Sweep(uri, known=first.ids)
    second.tracker.start_sweep({})
    second.tracker.start_trial("0", {"lr": 0.2, "epochs": 2}, {})
    second.tracker.log_epoch("0", {"val/all/mae": 9.0}, 1)  # the run has it
    second.tracker.log_epoch("0", {"val/all/mae": 3.0}, 2)
    second.tracker.end_trial("0", "COMPLETE", {"val/all/mae": 3.0}, [])
    second.tracker.start_trial("1", {"lr": 0.1}, {})
    second.tracker.end_trial("1", "COMPLETE", {"val/all/mae": 2.0}, [])
    second.tracker.end_sweep("COMPLETE", {}, [])
    assert second.tracker.close(30) == 0
    assert second.made == ["", "1"]  # what the ledger is told again, and of what it had lost
    assert "keeps its first value of lr" in caplog.text

    client = store.open_client(uri)
    found = {
        run.info.run_name: run
        for run in client.search_runs([client.get_experiment_by_name("lds").experiment_id])
    }
    assert {name: run.info.status for name, run in found.items()} == dict.fromkeys(
        ("lds", "trial 0", "trial 1"), "FINISHED"
    )
    assert found["trial 0"].data.params == {"lr": "0.1", "epochs": "2"}
    assert history(client, found["trial 0"].info.run_id, "val/all/mae") == [(1, 4.0), (2, 3.0)]
    # the final value belongs to the last epoch that the run has, though this driver saw none
    assert history(client, found["trial 1"].info.run_id, "val/all/mae") == [(1, 4.0), (1, 2.0)]
    assert found["trial 1"].data.metrics["val/all/mae"] == 2.0


def test_a_resumed_sweep_tells_of_what_a_dead_driver_did_not_deliver(storage, tmp_path):
    spec, folder, uri = sweeping.spec(tmp_path), Folder(tmp_path / "sweep"), tracking.default_uri(storage)
    hashes = {"spec": spec.hash, "data": "abc", "constraints": "", "git": ""}
    ledger = Ledger.create(folder, **hashes, method_version=1, trials=3)
    book = Book(spec, folder, ledger, None, logged(USUAL_METRICS))
    numbers = {"of": 2, "stage": "stage1", "seconds": 1.0}
    for key in ("0", "1"):  # trial 0 ends before the death, trial 1 does not
        assert book.ask(30) == key
        book.start(key)
        book.report(key, {"epoch": 1, **numbers}, {"val/all/mae": 4.0})
    for name in told.FILES:
        folder.put(f"trials/0/{name}", b"{}")
    book.tell("0", "COMPLETE", metrics={"val/all/mae": 3.0}, epoch=2, seconds=2.0)
    book.close()

    found, known = {}, {}
    for _ in range(2):  # the second time there is nothing left to tell of trial 0
        tracker = tracking.Tracker(uri, SWEEP, dict(known), known.__setitem__)
        tracker.start_sweep({})
        book = Book(spec, folder, Ledger.open(folder), tracker, logged(USUAL_METRICS))
        book.start("1")
        book.report("1", {"epoch": 2, **numbers}, {"val/all/mae": 2.0})
        book.close()
        tracker.end_sweep("OPEN", {}, [])
        assert tracker.close(30) == 0
        client = store.open_client(uri)
        runs = client.search_runs([client.get_experiment_by_name("sweep").experiment_id])
        ended = found.get("trial 0")
        found = {run.info.run_name: run for run in runs}
        assert ended is None or found["trial 0"].info.end_time == ended.info.end_time

    assert set(found) == {"sweep", "trial 0", "trial 1"}
    assert (found["trial 0"].info.status, found["trial 1"].info.status) == ("FINISHED", "SCHEDULED")
    tags = {"data_hash": "abc", "sweep": "sweep", "dataset": "tiny", "method": "two_stage", "seed": "0"}
    assert found["trial 0"].data.tags.items() >= tags.items()
    assert history(client, known["0"], "val/all/mae") == [(1, 4.0), (1, 3.0)]
    assert history(client, known["1"], "val/all/mae") == [(1, 4.0), (2, 2.0)]


def test_a_trial_that_went_on_from_another_is_named_after_it(storage, tmp_path):
    spec, folder, uri = sweeping.spec(tmp_path), Folder(tmp_path / "sweep"), tracking.default_uri(storage)
    hashes = {"spec": spec.hash, "data": "abc", "constraints": "", "git": ""}
    ledger = Ledger.create(folder, **hashes, method_version=1, trials=3)
    known: dict[str, str] = {}
    tracker = tracking.Tracker(uri, SWEEP, {}, known.__setitem__)
    tracker.start_sweep({})
    book = Book(spec, folder, ledger, tracker, logged(USUAL_METRICS))
    numbers = {"of": 2, "stage": "stage1", "seconds": 1.0}
    for key, donor in (("0", ""), ("1", "sweep/0"), ("2", "earlier/7")):
        assert book.ask(30) == key
        book.start(key)
        reused = {"reused": True, "forked_from": donor} if donor else {}
        book.report(key, {"epoch": 1, **numbers, **reused}, {"val/all/mae": 4.0})
    for name in told.FILES:
        folder.put(f"trials/1/{name}", b"{}")
    folder.put("trials/1/pictures/norms.svg", b"<svg/>")
    book.tell("1", "COMPLETE", metrics={"val/all/mae": 3.0}, epoch=2, seconds=2.0)
    book.close()
    tracker.end_sweep("OPEN", {}, [])
    assert tracker.close(30) == 0

    client = store.open_client(uri)
    runs = {key: client.get_run(run) for key, run in known.items()}
    assert {key: (run.info.run_name, run.data.tags.get("forked_from")) for key, run in runs.items()} == {
        "": ("sweep", None),
        "0": ("trial 0", None),
        "1": ("trial 1 (stage 1 of 0)", "0"),
        "2": ("trial 2 (stage 1 of earlier/7)", "earlier/7"),
    }
    assert (runs["1"].info.status, runs["2"].info.status) == ("FINISHED", "SCHEDULED")
    shown = {file.path for place in ("", "pictures") for file in client.list_artifacts(known["1"], place)}
    assert shown == {*told.FILES, "pictures", "pictures/norms.svg"}
    kept = sweeping.trials(folder.path)
    assert [trial.forked_from for trial in kept.values()] == ["", "sweep/0", "earlier/7"]
    assert runs["0"].info.start_time == round(1000 * kept["0"].begun)


def test_a_donor_is_of_the_same_sweep_by_time_and_by_every_name_that_the_sweep_had(tmp_path):
    opening = Ledger.create(Folder(tmp_path), name="begun-as").opening

    def called(donor: str, at: float) -> str:
        record = TrialRecord("9", "ask", {}, forked_from=donor, forked_at=at)
        said = Said()
        told.forked(said, opening, "renamed", record)
        assert said.owed.name == f"trial 9 (stage 1 of {said.owed.tags['forked_from']})"
        return said.owed.tags["forked_from"]

    begun = opening["time"]
    for own in ("begun-as/3", "renamed/3"):
        assert called(own, begun + 5) == "3"
        assert called(own, begun - 5) == f"{own}, an earlier sweep"
        assert called(own, 0) == "3"  # as earlier versions wrote it
    assert called("other/3", begun + 5) == "other/3"


class Said(tracking.Calls):
    """The last that was said."""

    def _add(self, key, owed):
        self.owed = owed


def test_a_sweep_is_found_again_by_its_identity_whatever_it_is_called(storage):
    uri = tracking.default_uri(storage)
    first = Sweep(uri)
    first.tracker.start_sweep({})
    first.tracker.start_trial("0", {}, {})
    assert first.tracker.close(30) == 0
    again = Sweep(uri, name="renamed")  # its ledger knows of no run
    again.tracker.start_trial("0", {}, {"seed": "3"})
    again.tracker.end_sweep("COMPLETE", {}, [])
    assert again.tracker.close(30) == 0
    assert again.ids == first.ids
    assert {experiment.name for experiment in store.open_client(uri).search_experiments()} == {
        "Default",
        "lds",
    }


def test_a_resumed_sweep_in_a_copied_folder_is_not_tracked_in_the_original(storage, tmp_path, caplog):
    first = Sweep(tracking.default_uri(storage))
    first.tracker.start_sweep({})
    first.tracker.end_sweep("OPEN", {}, [])
    assert first.tracker.close(30) == 0
    copy = Path(shutil.copytree(storage, tmp_path / "copy"))
    file = tmp_path / "config.json"
    file.write_text("{}")
    again = Sweep(tracking.default_uri(copy), known=first.ids)
    again.tracker.start_sweep({})
    for key in ("0", "1"):
        again.tracker.start_trial(key, {}, {})
        again.tracker.end_trial(key, "COMPLETE", {}, [file])
    assert again.tracker.close(30) == 5
    assert [line for line in caplog.messages if "moved or copied" in line] == caplog.messages[:1]
    assert "nothing is written there, the sweep goes on" in caplog.messages[0]
    assert not list(storage.rglob("config.json"))
    there = client(tracking.default_uri(copy))
    [run] = there.search_runs([one.experiment_id for one in there.search_experiments()])
    assert run.info.status == "SCHEDULED"


def test_another_sweep_of_the_same_name_gets_an_experiment_of_its_own(storage, caplog):
    uri = tracking.default_uri(storage)
    # the second resumes a sweep that was tracked elsewhere
    for known, identity in (({}, "i1"), ({"": "0" * 32}, "i2")):
        sweep = Sweep(uri, known=known, identity=identity)
        sweep.tracker.start_sweep({})
        assert sweep.tracker.close(30) == 0
        assert sweep.made == [""]
    names = {experiment.name for experiment in store.open_client(uri).search_experiments()}
    assert names == {"Default", "lds", "lds-2"}
    assert "tracked anew" in caplog.text


def test_values_that_are_not_finite_are_left_out(storage):
    sweep = Sweep(tracking.default_uri(storage))
    sweep.tracker.start_sweep({})
    sweep.tracker.start_trial("0", {}, {})
    sweep.tracker.log_epoch("0", {"val/few/mae": math.nan, "val/few/mse": math.inf, "val/all/mae": 1.0}, 1)
    assert sweep.tracker.close(30) == 0
    run = store.open_client(tracking.default_uri(storage)).get_run(sweep.ids["0"])
    assert run.data.metrics == {"val/all/mae": 1.0}


def test_what_is_past_the_limits_of_mlflow_is_split_or_shortened(storage):
    sweep = Sweep(tracking.default_uri(storage))
    sweep.tracker.start_sweep({})
    many = {f"p{number}": number for number in range(150)}  # MLflow takes 100 in a batch
    sweep.tracker.start_trial("0", many | {"long": "x" * 7000}, {})
    for epoch in range(1, 1201):  # and 1000 points
        sweep.tracker.log_epoch("0", {"val/all/mae": 1 / epoch}, epoch)
    assert sweep.tracker.close(30) == 0
    client = store.open_client(tracking.default_uri(storage))
    params = client.get_run(sweep.ids["0"]).data.params
    assert len(params) == 151
    assert params["long"] == "x" * 5900 + " ... (shortened from 7000 characters)"
    assert [step for step, _ in history(client, sweep.ids["0"], "val/all/mae")] == list(range(1, 1201))


def test_what_a_failing_store_missed_arrives_once_it_works_again(storage, caplog):
    uri = tracking.default_uri(storage)
    sweep = Sweep(uri)
    sweep.tracker.start_sweep({})
    sweep.tracker.start_trial("0", {"lr": 0.1}, {})
    wait_until(lambda: "0" in sweep.ids)
    forbid = "CREATE TRIGGER full BEFORE INSERT ON metrics BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    execute(storage, forbid)
    for epoch in (1, 2, 3):
        sweep.tracker.log_epoch("0", {"val/all/mae": 1 / epoch}, epoch)
    wait_until(lambda: "disk is full" in caplog.text)
    sweep.tracker.end_trial("0", "COMPLETE", {}, [])
    time.sleep(1.2)  # a few more failures, which are not told
    execute(storage, "DROP TRIGGER full")
    assert sweep.tracker.close(30) == 0
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]  # fails; works again
    client = store.open_client(uri)
    assert [step for step, _ in history(client, sweep.ids["0"], "val/all/mae")] == [1, 2, 3]
    assert client.get_run(sweep.ids["0"]).info.status == "FINISHED"


def test_one_run_that_mlflow_refuses_does_not_hold_up_the_others(storage, caplog):
    sweep = Sweep(tracking.default_uri(storage))
    sweep.tracker.start_sweep({})
    sweep.tracker.start_trial("0", {}, {})
    client = store.open_client(tracking.default_uri(storage))
    wait_until(lambda: "0" in sweep.ids and "status" in client.get_run(sweep.ids["0"]).data.tags)
    client.delete_run(sweep.ids["0"])
    sweep.tracker.log_epoch("0", {"val/all/mae": 1.0}, 1)
    sweep.tracker.start_trial("1", {}, {})
    sweep.tracker.end_trial("1", "COMPLETE", {"val/all/mae": 1.0}, [File(Folder(storage), "bins.csv")])
    assert sweep.tracker.close(30) == 2  # the epoch of trial 0, the file of trial 1
    assert client.get_run(sweep.ids["1"]).info.status == "FINISHED"
    assert "trial 0" in caplog.text


def test_the_load_of_the_machine_is_recorded_beside_the_sweep(storage):
    uri = tracking.default_uri(storage)
    sweep = Sweep(uri)
    sweep.tracker.start_sweep({})
    with tracking.watched(sweep.tracker, time.time() - 100, every=0.1):
        wait_until(lambda: "" in sweep.ids and history(client(uri), sweep.ids[""], MEMORY))
    assert sweep.tracker.close(30) == 0
    metrics = client(uri).get_run(sweep.ids[""]).data.metrics
    assert metrics.keys() >= {MEMORY, "system/cpu_utilization_percentage"}
    assert 0 < metrics[MEMORY] < 100
    steps = [step for step, _ in history(client(uri), sweep.ids[""], MEMORY)]
    assert steps == sorted(steps)
    assert steps[0] >= 1000  # periods since the sweep began, so that a resumed one goes on


def test_a_short_sweep_has_its_load_too_and_its_summary_stands_at_no_step_of_it(storage):
    uri = tracking.default_uri(storage)
    sweep = Sweep(uri)
    sweep.tracker.start_sweep({})
    began = time.monotonic()
    with tracking.watched(sweep.tracker, time.time(), every=30):
        pass
    assert time.monotonic() - began < 25  # it waits for no further sample
    assert "machine" not in {thread.name for thread in threading.enumerate()}
    with tracking.watched(sweep.tracker, time.time() - 300, every=30):
        pass
    sweep.tracker.end_sweep("COMPLETE", {"best/val/all/mae": 4.0}, [])
    assert sweep.tracker.close(30) == 0
    there = client(uri)
    assert [step for step, _ in history(there, sweep.ids[""], MEMORY)] == [0, 10]
    assert history(there, sweep.ids[""], "best/val/all/mae") == [(0, 4.0)]
    assert "epoch" not in there.get_run(sweep.ids[""]).data.tags


def test_a_run_id_that_cannot_be_recorded_stops_nothing(storage, caplog):
    def full(key: str, run: str) -> None:
        raise OSError(28, "No space left on device")

    broken = tracking.Tracker(tracking.default_uri(storage), SWEEP, {}, full)
    broken.start_sweep({})
    broken.end_sweep("COMPLETE", {}, [])
    assert broken.close(30) == 0
    assert "was not recorded" in caplog.text


def test_calls_return_at_once_and_count_what_a_dead_server_missed(caplog):
    port = closed_port()
    sweep = Sweep(f"http://me:secret@127.0.0.1:{port}")
    begin = time.monotonic()
    sweep.tracker.start_sweep({})
    sweep.tracker.start_trial("0", {}, {})
    for epoch in range(tracker.LIMIT + 5):
        sweep.tracker.log_epoch("0", {"val/all/mae": 1.0}, epoch)
    sweep.tracker.end_trial("0", "COMPLETE", {}, [])
    sweep.tracker.end_sweep("COMPLETE", {}, [])
    assert time.monotonic() - begin < 2
    wait_until(lambda: "kept and retried" in caplog.text)
    assert sweep.tracker.close(0.5) == tracker.LIMIT + 5 + 4
    assert len(caplog.records) == 3  # too many wait; the server fails; the count at the end
    assert f"http://127.0.0.1:{port}" in caplog.text
    assert "secret" not in caplog.text


def test_an_unreachable_server_is_named_before_the_sweep_starts():
    uri = f"http://me:secret@127.0.0.1:{closed_port()}"
    with pytest.raises(ValueError, match="no MLflow tracking server answers there") as caught:
        tracking.check(uri)
    assert store.shown(uri) in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["./mlruns", "file:///mlruns", "ftp://host/x", "http://", "sqlite:///", ""])
def test_other_kinds_of_stores_are_refused_with_the_alternative(uri):
    with pytest.raises(ValueError, match=r"use sqlite:///.*mlflow\.db or http://HOST:PORT"):
        tracking.check(uri)


@pytest.mark.parametrize("password", ["se/kret", "se#kret", "se?kret", "1/se@kret", "[se/kret", "se℀kret"])
def test_a_password_that_would_be_shown_is_refused_and_not_shown(password):
    for scheme in ("http", "ftp"):
        with pytest.raises(ValueError, match=r"^--to: the address .* write / as %2F") as refused:
            tracking.check(f"{scheme}://me:{password}@127.0.0.1:{closed_port()}", "--to")
        assert "kret" not in str(refused.value)
        assert refused.value.__suppress_context__ or refused.value.__context__ is None
    with pytest.raises(ValueError, match="a port that is no number"):
        tracking.check("http://host:port")
    assert tracking.database_path("http://me:se%2Fkret@host:1/mlflow") is None


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("these are not the runs you look for")
    with pytest.raises(ValueError, match=r"notes.txt: the file exists and is not an sqlite database"):
        tracking.check(f"sqlite:///{tmp_path}/notes.txt")
    with pytest.raises(ValueError, match="cannot write in"):
        tracking.check(f"sqlite:///{tmp_path}/notes.txt/mlflow.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other, other:
        other.execute("CREATE TABLE studies (id)")
    with pytest.raises(ValueError, match=r"another program's database \(it has tables studies\)"):
        tracking.check(f"sqlite:///{tmp_path}/other.db")
    tracking.check(tracking.default_uri(tmp_path / "to be made"))


def test_the_ui_says_why_it_cannot_start(storage, tmp_path):
    with pytest.raises(ValueError, match="no tracking store there yet"):
        tracking.serve_ui(tmp_path, 0, tracking.default_uri(tmp_path), print)
    with pytest.raises(ValueError, match="open it in a browser"):
        tracking.serve_ui(storage, 0, "http://127.0.0.1:5000", print)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"--port {port}: Address already in use"):
            tracking.serve_ui(storage, port, tracking.default_uri(storage), print)


QUIET = """
import sys
from pathlib import Path
from dirsweep import tracking
from dirsweep.storage import File, Folder
assert "mlflow" not in sys.modules, "imported with the module"
try:
    tracking.check(f"http://127.0.0.1:{sys.argv[3]}")
except ValueError:
    pass
sweep = tracking.Sweep("lds", sys.argv[4])
tracker = tracking.Tracker(tracking.default_uri(Path(sys.argv[1])), sweep, {}, lambda key, run: None)
tracker.start_sweep({})
file = Path(sys.argv[2])
tracker.end_sweep("COMPLETE", {"x": 1.0}, [File(Folder(file.parent), file.name)])
assert tracker.close(60) == 0
from mlflow.telemetry.client import get_telemetry_client
assert get_telemetry_client() is None, "telemetry is on"
"""


@pytest.mark.slow
def test_sweeps_that_start_at_once_share_a_new_store_in_silence_and_without_telemetry(tmp_path):
    # pytest's and CI's own variables would turn telemetry off, too
    names = ("PATH", "HOME", "PYTHONPATH", "TMPDIR")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    command = [sys.executable, "-c", QUIET, str(tmp_path), __file__, str(closed_port())]
    both = [
        subprocess.Popen(
            [*command, identity],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        for identity in ("i1", "i2")
    ]
    said = [process.communicate(timeout=90)[0] for process in both]
    assert said == ["", ""]
    assert [process.returncode for process in both] == [0, 0]
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith("mlflow.db-")}
    assert left == {"mlflow.db", "mlartifacts"}
    experiments = store.open_client(tracking.default_uri(tmp_path)).search_experiments()
    assert {experiment.name for experiment in experiments} == {"Default", "lds", "lds-2"}


SERVE = """
import sys
from pathlib import Path
from dirsweep import tracking
storage = Path(sys.argv[1])
tracking.serve_ui(storage, 0, tracking.default_uri(storage), lambda address: print(address, flush=True))
"""


@pytest.mark.slow
def test_a_sweep_on_a_server_survives_the_end_of_the_server(storage, tmp_path, caplog):
    (tmp_path / "bins.csv").write_text("bin,count\n")
    command = [sys.executable, "-c", SERVE, str(storage)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        try:
            uri = server.stdout.readline().strip()
            assert uri.startswith("http://127.0.0.1:")
            tracking.check(uri)
            sweep = Sweep(uri)
            sweep.tracker.start_sweep({"spec": "abc"})
            sweep.tracker.start_trial("0", {"lr": 0.1}, {})
            sweep.tracker.log_epoch("0", {"val/all/mae": 4.0}, 1)
            sweep.tracker.end_trial("0", "COMPLETE", {"fit/r2": 0.5}, [File(Folder(tmp_path), "bins.csv")])
            sweep.tracker.start_trial("1", {"lr": 0.2}, {})
            wait_until(lambda: "1" in sweep.ids)
            client = store.open_client(uri)
            run = client.get_run(sweep.ids["0"])
            assert (run.info.status, run.data.metrics) == ("FINISHED", {"val/all/mae": 4.0, "fit/r2": 0.5})
            assert [file.path for file in client.list_artifacts(sweep.ids["0"])] == ["bins.csv"]
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(20) == 0  # Ctrl-C is the normal end
    sweep.tracker.log_epoch("1", {"val/all/mae": 4.0}, 1)
    sweep.tracker.end_trial("1", "COMPLETE", {}, [])
    sweep.tracker.end_sweep("COMPLETE", {}, [])
    assert sweep.tracker.close(1) == 3
    assert "fails" in caplog.text
    with pytest.raises(ValueError, match="no MLflow tracking server"):
        tracking.check(uri)


def wait_until(true, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def execute(storage: Path, statement: str) -> None:
    connection = sqlite3.connect(storage / "mlflow.db", timeout=20)
    with connection:
        connection.execute(statement)
    connection.close()
