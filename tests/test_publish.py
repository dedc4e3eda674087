import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import stores
import sweeping

from dirsweep import publish, report, tracking
from dirsweep.cli import main, shared
from dirsweep.markdown import escaped
from dirsweep.publish.note import LONGEST, Links, note
from dirsweep.publish.place import same_store
from dirsweep.report.drawing import trained
from dirsweep.storage import Folder
from dirsweep.sweep.place import entry, own_store
from dirsweep.tracking import store

pytestmark = pytest.mark.slow  # each needs a sweep that was run by Ray


@pytest.fixture
def sweep(finished_sweep: Path, tmp_path: Path) -> Iterator[Path]:
    """A finished sweep and its store, in a storage folder of their own."""
    stores.forget_places()
    yield stores.with_store(finished_sweep, tmp_path / "sweeps")
    stores.forget_places()


def parent(folder: Path):
    """The sweep's own run and its store's client."""
    client = store.open_client(tracking.default_uri(folder.parent))
    experiment = client.get_experiment_by_name(folder.name)
    runs = client.search_runs([experiment.experiment_id])
    return next(run for run in runs if "mlflow.parentRunId" not in run.data.tags), experiment, client


def runs_of(experiment) -> str:
    """The page of an experiment's runs, as a leaderboard."""
    page = f"#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    return f"{page}&viewStateShareKey=leaderboard"


def test_a_finished_sweep_shows_what_won_and_by_how_much(finished_sweep):
    run, experiment, client = parent(finished_sweep)
    found = report.load(finished_sweep)
    best = found.best
    tags, metrics = run.data.tags, run.data.metrics
    assert (tags["sweep"], tags["dataset"], tags["winner"]) == (finished_sweep.name, "tiny", best.trial)
    assert tags["controls"] == f"{best.trial}-plain, {best.trial}-mu0"
    for title, trial in (("best", best), *((c.control, c) for c in found.controls(best.trial))):
        assert metrics[f"{title}/val/all/mae"] == trial.metrics["val/all/mae"]
    assert metrics["trials/complete"] == 5
    assert metrics["saved_trainer_seconds"] == found.spent.reused_seconds
    assert len(metrics) <= 25
    files = stores.artifacts(client, run.info.run_id)
    assert files == ["best.yaml", "leaderboard.txt", "spec.yaml"]
    text = Path(client.download_artifacts(run.info.run_id, "leaderboard.txt")).read_text()
    assert f"Trial {best.trial} is the winner" in text
    assert tags[store.NOTE] == experiment.tags[store.NOTE]


def test_links_of_the_description_lead_to_runs_and_files_that_are_there(finished_sweep):
    run, experiment, client = parent(finished_sweep)
    text = run.data.tags[store.NOTE]
    best = report.load(finished_sweep).best
    children = {
        one.info.run_id: one.data.tags["trial"]
        for one in client.search_runs([experiment.experiment_id])
        if "trial" in one.data.tags
    }
    place = f"#/experiments/{experiment.experiment_id}/runs/"
    linked = dict(re.findall(rf"^\| \[([^]]*)\]\({place}(\w+)\?\S+\)", text, re.MULTILINE))
    assert len(linked) == 9  # five trials and four controls
    assert all(children[run_id] == key.replace("\\", "") for key, run_id in linked.items())
    assert re.search(rf"\[{best.trial}\]\(\S+\) \*\*best\*\* \| [\d.]+ \|", text)
    files = re.findall(rf"\({place}{run.info.run_id}/artifacts/([^?]+)\?", text)
    assert sorted(files) == stores.artifacts(client, run.info.run_id)
    assert "#/models/" in text


def test_pictures_of_the_winner_and_its_controls_and_its_model_are_there(finished_sweep):
    _, experiment, client = parent(finished_sweep)
    found = report.load(finished_sweep)
    best, key = found.best, found.best.trial
    drawn = {
        run.data.tags["trial"]: [
            path for path in stores.artifacts(client, run.info.run_id) if path.startswith("pictures/")
        ]
        for run in client.search_runs([experiment.experiment_id])
        if "trial" in run.data.tags
    }
    four = [f"pictures/{name}.svg" for name in ("curves", "errors", "norms", "predictions")]
    # one that took its numbers over from another shows that one's pictures
    shown = {trained(found, found.trials[name]).trial for name in (key, f"{key}-plain", f"{key}-mu0")}
    assert {name for name, files in drawn.items() if files == four} == {
        key,
        f"{key}-plain",
        f"{key}-mu0",
        *shown,
    }
    [version] = client.search_model_versions(f"name = '{finished_sweep.name}'")
    assert client.get_run(version.run_id).data.tags["trial"] == best.trial


def test_what_is_published_twice_is_there_once(sweep):
    uri = tracking.default_uri(sweep.parent)
    before = stores.contents(uri)
    assert publish.conclude(sweep) == ""
    assert stores.contents(uri) == before
    assert len(parent(sweep)[2].search_model_versions(f"name = '{sweep.name}'")) == 1


def test_a_verdict_is_added_to_the_summary(sweep):
    with pytest.raises(SystemExit) as ended:
        main(["finalize", str(sweep), "--seeds", "2", "--workers", "1"])
    assert ended.value.code == 0
    run, _, client = parent(sweep)
    tags, page = run.data.tags, (sweep / "finalize" / "verdict.md").read_text()
    assert tags["verdict"] == "not distinguishable"  # two seeds cannot tell
    assert tags["verdict_on"] in " ".join(page.split()).replace(" on few:", " on few").replace("*", "")
    assert run.data.metrics.keys() >= {"verdict/difference", "verdict/low", "verdict/high", "verdict/p"}
    files = stores.artifacts(client, run.info.run_id)
    assert {"verdict.md", "verdict.json", "per_seed.csv"} <= set(files)
    assert f"on test:** {tags['verdict_on']}: NOT DISTINGUISHABLE" in tags[store.NOTE]
    (sweep / "finalize" / "verdict.json").write_text("{")
    assert "verdict.json: no verdict can be read from it" in publish.conclude(sweep)


def test_an_untracked_sweep_has_nothing_to_publish(sweep):
    stores.rewritten(sweep, [record for record in stores.records(sweep) if record["kind"] != "run"])
    assert own_store(sweep, stores.records(sweep)) is None
    assert publish.conclude(sweep) == ""
    assert publish.pictures(sweep, {"0": []}) == ""


def test_a_store_that_fails_is_told_in_one_line_and_left_to_sync(sweep):
    said = "`dirsweep sync"
    stores.execute(sweep.parent / "mlflow.db", "DROP TABLE tags")
    told = publish.conclude(sweep)
    assert said in told
    assert "\n" not in told
    assert "[SQL" not in told


def test_a_store_that_was_lost_is_not_begun_anew_by_the_way(finished_sweep, tmp_path):
    sweep = stores.copied(finished_sweep, tmp_path)
    told = publish.conclude(sweep)
    assert "mlflow.db: there is no tracking store); `dirsweep sync" in told
    best = report.load(sweep).best.trial
    told = publish.pictures(sweep, {best: sorted((sweep / "trials" / best / "pictures").glob("*.svg"))})
    assert "mlflow.db: there is no tracking store); `dirsweep sync" in told
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("how", ["copied", "moved"])
def test_a_store_whose_folder_was_copied_or_moved_is_not_written(sweep, tmp_path, capsys, how):
    place = tmp_path / "elsewhere"
    moved = stores.really_copied(sweep, place) if how == "copied" else sweep.parent.rename(place) / sweep.name
    before = stores.files_below(sweep.parent)
    best = report.load(moved).best.trial
    told = publish.conclude(moved)
    drawn = publish.pictures(moved, {best: sorted((moved / "trials" / best / "pictures").glob("*.svg"))})
    for line in (told, drawn):
        assert line.startswith("MLflow was left as it is; sqlite:///")
        assert f"keeps this sweep's files in {sweep.parent}/mlartifacts" in line
        assert f"Delete mlflow.db and mlartifacts in {place}, then `dirsweep sync SWEEP`" in line
        assert "\n" not in line
    with pytest.raises(SystemExit) as ended:
        main(["sync", str(moved)])
    assert ended.value.code == 2
    assert "the storage folder was moved or copied" in capsys.readouterr().err
    assert stores.files_below(sweep.parent) == before
    assert publish.page(moved, tracking.default_uri(place)).startswith("#/experiments/")  # it may be read
    fresh = stores.copied(moved, tmp_path / "fresh")  # as it is without mlflow.db and mlartifacts
    assert publish.sync(fresh, None).left == []
    assert publish.conclude(fresh) == ""
    assert stores.files_below(sweep.parent) == before


def test_a_store_that_takes_too_long_is_left_to_sync_in_good_time(sweep):
    best = report.load(sweep).best.trial
    name = f"name = '{sweep.name}'"
    parent(sweep)[2].delete_registered_model(sweep.name)
    with closing(sqlite3.connect(sweep.parent / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # now each write waits for seconds
        begun = time.monotonic()
        told = publish.conclude(sweep, seconds=1)
        taken = time.monotonic() - begun
        other.execute("ROLLBACK")
    assert taken < 3
    assert re.search(
        rf"time was up before the summary, the pictures of {best}, .*, the model of trial {best}\); "
        rf"`dirsweep sync {re.escape(str(sweep))}` adds it$",
        told,
    )
    end_of_work()
    assert parent(sweep)[2].search_model_versions(name) == []  # no further step was begun


def test_ctrl_c_leaves_the_store_as_it_is_and_says_so(sweep, capsys):
    def interrupt() -> None:
        sweeping.wait_for(lambda: any(one.name == "publish" for one in threading.enumerate()), "the work")
        os.kill(os.getpid(), signal.SIGINT)

    impatient = threading.Thread(target=interrupt)
    with closing(sqlite3.connect(sweep.parent / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        impatient.start()
        try:
            shared.publish(sweep)
        except KeyboardInterrupt:
            pytest.fail("Ctrl-C ended the command")
        finally:
            other.execute("ROLLBACK")
            impatient.join()
    assert capsys.readouterr().out == f"MLflow was left as it is; `dirsweep sync {sweep}` goes on\n"
    end_of_work()


def end_of_work() -> None:
    """Wait until the work that `conclude` did not wait for has ended too."""
    for thread in threading.enumerate():
        if thread.name == "publish":
            thread.join(60)
            assert not thread.is_alive()


def test_a_stopped_sweep_has_a_summary_and_no_model_yet(sweep, tmp_path):
    records = stores.records(sweep)
    assert [one["why"] for one in records if one["kind"] == "end"] == ["finished"]
    stores.rewritten(sweep, [{**one, "why": "stopped"} if one["kind"] == "end" else one for one in records])
    client = parent(sweep)[2]
    client.delete_registered_model(sweep.name)
    assert publish.conclude(sweep) == ""
    assert client.search_registered_models() == []
    stores.rewritten(sweep, records)
    assert publish.conclude(sweep) == ""
    assert [model.name for model in client.search_registered_models()] == [sweep.name]
    assert "#/models/" in parent(sweep)[0].data.tags[store.NOTE]


def test_a_store_beside_the_sweeps_moves_with_them_and_another_does_not(sweep, tmp_path):
    records = stores.records(sweep)
    moved = sweep.parent.rename(tmp_path / "moved") / sweep.name
    assert own_store(moved, records) == tracking.default_uri(tmp_path / "moved")
    elsewhere = [{**one, "uri": "http://host:5000", "beside": False} for one in records]
    assert own_store(moved, elsewhere) == "http://host:5000"


def test_a_file_of_runs_is_one_store_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = entry(tmp_path / "sweeps" / "a", "sqlite:///runs.db")
    assert named == {"uri": f"sqlite:///{tmp_path}/runs.db", "beside": False}
    assert same_store("sqlite:///runs.db", named["uri"])
    assert not same_store("sqlite:///other.db", named["uri"])
    assert not same_store("http://127.0.0.1:5000", named["uri"])
    assert same_store("http://me:secret@127.0.0.1:5000/", "http://127.0.0.1:5000")


def test_text_of_the_user_is_shown_and_never_obeyed():
    evil = "# [x](javascript:alert(1)) <img src=x onerror=alert(1)> | a_b * `c` ![y](http://z) www.z.com & 1"
    assert escaped(evil) == (
        "\\# \\[x\\](javascript:alert(1)) &lt;img src=x onerror=alert(1)&gt; \\| a\\_b \\* \\`c\\` "
        "\\!\\[y\\](http\\://z) www\\.z.com &amp; 1"
    )
    assert escaped("- item\n2. item") == "\\- item 2. item"
    assert escaped("12) item") == "12\\) item"


def test_a_long_description_keeps_the_leaderboard_and_the_files(finished_sweep):
    found = report.load(finished_sweep)
    whole = note(found, None, ["best.yaml"], Links("1", {"": "abc"}))
    longer = found.spec.model_copy(update={"question": "why " * 5000, "objectives": found.spec.objectives})
    many = [trial.params.update({f"knob{n}": "x" * 50 for n in range(200)}) for trial in found.ranked[:1]]
    assert many
    cut = note(
        type(found)(**{**found.__dict__, "spec": longer}), None, ["best.yaml"], Links("1", {"": "abc"})
    )
    assert len(whole) < LONGEST
    assert len(cut) < LONGEST
    for text in (whole, cut):
        assert "| trial&emsp; | MAE all&emsp; |" in text
        assert "[best.yaml](#/experiments/1/runs/abc/artifacts/best.yaml?" in text
    assert "knob199" not in cut


def test_the_ui_opens_at_a_sweep_or_at_the_newest(sweep):
    uri, storage = tracking.default_uri(sweep.parent), sweep.parent
    _, experiment, _ = parent(sweep)
    assert publish.page(sweep, uri) == runs_of(experiment)
    first, *rest = stores.records(sweep)
    older = stores.rewritten(stores.copied(sweep, storage, "older"), [{**first, "time": 1.0}, *rest])
    (stores.copied(sweep, storage, "damaged") / "ledger.jsonl").write_text("nothing")
    assert publish.newest(storage, uri) == Folder(sweep)
    assert publish.newest(storage, "http://127.0.0.1:5000") is None
    assert publish.page(older, uri) == ""


def test_the_command_opens_the_browser_at_the_sweep_and_ends_with_ctrl_c(sweep, tmp_path):
    _, experiment, _ = parent(sweep)
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o755)
    command = [sys.executable, "-c", "from dirsweep.cli import main; main()", "ui", str(sweep)]
    with subprocess.Popen(
        [*command, "--port", "0", "--open"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "BROWSER": f"{browser} %s"},
    ) as ui:
        try:
            assert ui.stdout.readline() == "starting MLflow ...\n"
            address, _, hint = ui.stdout.readline().strip().partition("  ")
            assert re.fullmatch(rf"http://127.0.0.1:\d+/{re.escape(runs_of(experiment))}", address)
            assert hint == "(Ctrl-C ends it)"
            sweeping.wait_for(lambda: opened.exists() and opened.read_text() == address, "the browser")
            server = address.partition("/#")[0]
            before = stores.contents(tracking.default_uri(sweep.parent), times=False)
            assert publish.sync(sweep, server).left == []  # through the server, into the same store
            assert stores.contents(server, times=False) == before
            assert publish.conclude(sweep, server).startswith(f"in MLflow: {server}/#/experiments/")
        finally:
            ui.send_signal(signal.SIGINT)
            assert ui.wait(20) == 0


def test_pictures_that_are_drawn_on_demand_are_put_beside_the_run(sweep, capsys):
    other = next(trial.trial for trial in report.load(sweep).ranked[1:])
    with pytest.raises(SystemExit) as ended:
        main(["draw", str(sweep), other])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"also in MLflow, beside the runs: dirsweep ui {sweep}"
    )
    _, experiment, client = parent(sweep)
    run = next(
        run for run in client.search_runs([experiment.experiment_id]) if run.data.tags.get("trial") == other
    )
    assert "pictures/norms.svg" in stores.artifacts(client, run.info.run_id)
    client.delete_run(run.info.run_id)
    left = publish.pictures(sweep, {other: [sweep / "trials" / other / "pictures" / "norms.svg"]})
    assert left.startswith(f"MLflow lacks them (there is no run of {other} yet); `dirsweep sync ")
