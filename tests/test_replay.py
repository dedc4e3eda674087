"""A tracked trial, again from its record: identical, or the first difference by name."""

import http.server
import json
import re
import shutil
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sweeping
import torch
import yaml

from dirsweep import METHOD_VERSION, cli, data, tracking
from dirsweep import replay as replaying
from dirsweep.config import TrialConfig
from dirsweep.tracking import store
from dirsweep.tracking.record import RunRecord, read_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(finished_sweep: Path) -> dict[str, str]:
    """Trial to the id of its run; "" is the sweep's own."""
    return {one["trial"]: one["id"] for one in sweeping.records(finished_sweep) if one["kind"] == "run"}


@pytest.fixture(scope="module")
def best(finished_sweep: Path) -> str:
    """The winner's name."""
    return next(trial.of for trial in sweeping.trials(finished_sweep).values() if trial.is_repeat)


@pytest.fixture(scope="module")
def record(finished_sweep: Path, runs: dict[str, str], best: str) -> RunRecord:
    return read_run(tracking.default_uri(finished_sweep.parent), runs[best])


@pytest.fixture
def uri(finished_sweep: Path, tmp_path: Path) -> str:
    """A store with the same runs, to be changed; their files are those of the first."""
    shutil.copy(finished_sweep.parent / "mlflow.db", tmp_path)
    return tracking.default_uri(tmp_path)


def again(record: RunRecord) -> replaying.Outcome:
    return replaying.replay(record, lambda line: None, lambda epoch: None)


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["replay", *arguments])
    return ended.value.code


def test_a_trial_comes_out_bit_for_bit_and_its_epochs_are_shown(
    finished_sweep: Path, runs: dict[str, str], best: str, capsys: pytest.CaptureFixture[str]
):
    assert status_of(runs[best], "--storage", str(finished_sweep.parent)) == 0
    lines = capsys.readouterr().out.splitlines()
    epochs = sweeping.trials(finished_sweep)[best].epoch
    assert [line.startswith(f"epoch {n} of {epochs}") for n, line in enumerate(lines[1:-1], 1)] == [
        True
    ] * epochs
    assert lines[-1] == "identical"


def test_a_control_that_went_on_from_a_stored_stage_1_comes_out_the_same(
    finished_sweep: Path, runs: dict[str, str], best: str
):
    forked = read_run(tracking.default_uri(finished_sweep.parent), runs[f"{best}-mu0"])
    assert forked.metrics["reused_seconds"] > 0
    outcome = again(forked)
    assert (outcome.identical, replaying.in_words(outcome)) == (True, "identical")


def test_the_record_is_what_the_trial_left(finished_sweep: Path, record: RunRecord, best: str):
    folder = finished_sweep / "trials" / best
    assert record.config == json.loads((folder / "config.json").read_text())
    assert record.facts == json.loads((folder / "facts.json").read_text())
    assert record.bins == (folder / "bins.csv").read_text()
    reports = sweeping.trials(finished_sweep)[best].reports
    assert record.history["val/few/mae"] == {one["epoch"]: one["metrics"]["val/few/mae"] for one in reports}
    assert record.versions == sweeping.records(finished_sweep)[0]["versions"]


def test_other_versions_are_told_and_do_not_stop_it(uri: str, runs: dict[str, str], best: str, capsys: Any):
    client = store.open_client(uri)
    client.set_tag(runs[best], "versions", json.dumps({"torch": "1.0", "dirsweep": "0.0.9"}))
    assert status_of(runs[best], "--tracking-uri", uri) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("dirsweep 0.0.9 there and ")
    assert lines[2].startswith("torch 1.0 there and 2.")
    assert lines[-1] == f"identical, although {lines[1]}; {lines[2]}"


def test_another_version_of_the_method_is_told_first(record: RunRecord):
    facts, versions = record.facts | {"method_version": 1}, record.versions | {"numpy": "1.0"}
    changed = record.metrics | {"val/few/mae": 1.0}
    said = replaying.in_words(again(replace(record, facts=facts, versions=versions, metrics=changed)))
    assert said.startswith("differs, first at val/few/mae at the end: 1.0 there and ")
    assert (
        f"; versions differ: method version 1 there and {METHOD_VERSION} here; numpy 1.0 there and 2." in said
    )


def test_other_data_are_refused_before_it_trains(record: RunRecord, tmp_path: Path, capsys: Any):
    table = pd.read_csv(record.config["dataset"]["path"])
    table.loc[5, "size"] += 0.01
    table.to_csv(tmp_path / "tiny.csv", index=False)
    moved = record.config | {"dataset": record.config["dataset"] | {"path": str(tmp_path / "tiny.csv")}}
    outcome = again(replace(record, config=moved))
    here = data.load(TrialConfig.model_validate(moved).dataset).hash
    assert (outcome.identical, outcome.trained) == (False, False)
    assert replaying.in_words(outcome) == (
        f"not trained, for it would be another trial: the data ({tmp_path}/tiny.csv): hash "
        f"{record.facts['data']} there and {here} here; put back what it was trained on"
    )


def test_other_files_of_the_encoder_are_refused_before_it_trains(
    record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = (Path(__file__).parents[1] / "docs" / "encoders.md").read_text()
    code, knobs = (re.findall(rf"```{kind}\n(.*?)```", page, re.S)[0] for kind in ("python", "yaml"))
    (tmp_path / "my_encoders.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_encoders", raising=False)
    config = record.config | {"encoder": yaml.safe_load(knobs)["encoder"]}
    outcome = again(replace(record, config=config, facts=record.facts | {"encoder": {"source": "abc"}}))
    monkeypatch.delitem(sys.modules, "my_encoders", raising=False)
    assert not outcome.trained
    assert outcome.first.startswith("encoder.path (my_encoders:Wide): hash abc there and ")


def test_the_first_epoch_and_metric_that_differ_are_named_with_both_values(
    uri: str, runs: dict[str, str], best: str, record: RunRecord, capsys: Any
):
    execute(
        uri,
        "UPDATE metrics SET value = value + 1 WHERE run_uuid = ? AND key = 'val/many/gm' AND step >= 2",
        runs[best],
    )
    assert status_of(runs[best], "--tracking-uri", uri) == 1
    value = record.history["val/many/gm"][2]
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == f"differs, first at epoch 2, val/many/gm: {value + 1} there and {value} here"


def execute(uri: str, statement: str, *values: str) -> None:
    connection = sqlite3.connect(store.database_path(uri), timeout=20)
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_final_metrics_count_after_the_epochs_and_bins_last(record: RunRecord):
    value = record.metrics["fit/slope"]
    lines = record.bins.splitlines()
    names = lines[0].split(",")
    cells = lines[3].split(",")
    norm = float(cells[names.index("norm")])
    cells[names.index("norm")] = repr(norm * (1 + 2**-40))
    bins = "\n".join([*lines[:3], ",".join(cells), *lines[4:]]) + "\n"
    outcome = again(replace(record, bins=bins))
    assert outcome.first == f"bins.csv, row 3, norm: {norm * (1 + 2**-40)} there and {norm} here"
    outcome = again(replace(record, bins=bins, metrics=record.metrics | {"fit/slope": value + 2**-30}))
    assert outcome.first == f"fit/slope at the end: {value + 2**-30} there and {value} here"
    few = record.history["val/few/mae"]
    history = record.history | {"val/few/mae": few | {1: 0.5}}
    outcome = again(replace(record, bins=bins, history=history))
    assert outcome.first == f"epoch 1, val/few/mae: 0.5 there and {few[1]} here"


def test_a_metric_that_is_there_on_one_side_only_differs(record: RunRecord):
    fewer = {name: value for name, value in record.metrics.items() if name != "fit/r2"}
    outcome = again(replace(record, metrics=fewer | {"fit/gone": 1.0}))
    assert outcome.first == "fit/gone at the end: 1.0 there and nothing here"
    outcome = again(replace(record, metrics=fewer))
    assert outcome.first == f"fit/r2 at the end: nothing there and {record.metrics['fit/r2']} here"


def test_an_epoch_that_was_never_delivered_is_no_difference(record: RunRecord):
    history = {name: {e: v for e, v in points.items() if e != 2} for name, points in record.history.items()}
    assert again(replace(record, history=history)).identical


def test_a_trial_of_a_gpu_wants_one(record: RunRecord, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="ran on a GPU, and PyTorch finds none here"):
        again(replace(record, config=record.config | {"device": "cuda"}))


def test_a_trial_of_several_processes_is_not_replayed_by_one(record: RunRecord):
    with pytest.raises(ValueError, match=r"was trained by 2 processes, .*torchrun"):
        again(replace(record, config=record.config | {"processes": 2}))


def test_a_configuration_of_another_dirsweep_is_named(record: RunRecord):
    with pytest.raises(ValueError, match=rf"run {record.run}: config.json: unknown parameter 'knob'"):
        again(replace(record, config=record.config | {"knob": 1}))


# ---- what is no record of a finished trial


def test_runs_that_are_no_finished_trials_are_refused(uri: str, runs: dict[str, str], best: str, capsys: Any):
    client = store.open_client(uri)
    foreign = client.create_run("0", run_name="mine").info.run_id
    for key, status in (("0", "PRUNED"), ("1", "FAIL"), ("2", "RUNNING"), ("3", "OPEN")):
        client.set_tag(runs[key], "status", status)
    client.set_tag(runs["1"], "reason", "loss is NaN")
    client.delete_run(runs["4"])
    for run, said in (
        ("0" * 32, "no such run in sqlite:///"),
        ("what?", "no such run in sqlite:///"),
        (foreign, "(mine): is no trial of dirsweep's"),
        (runs[""], "(tiny-1): is a whole sweep; give the id of one of its trials' runs"),
        (runs["0"], "was pruned, so there is no result to compare with"),
        (runs["1"], "failed (loss is NaN), so there is no result"),
        (runs["2"], "still runs, so"),
        (runs["3"], "has not ended"),
        (runs["4"], "was deleted"),
    ):
        assert status_of(run, "--tracking-uri", uri) == 2
        assert said in capsys.readouterr().err


def test_a_run_without_its_files_is_refused(uri: str, runs: dict[str, str], best: str):
    execute(uri, "UPDATE runs SET artifact_uri = artifact_uri || '-gone' WHERE run_uuid = ?", runs[best])
    with pytest.raises(ValueError, match=r"has no config.json, facts.json, metrics.json, bins.csv, without"):
        read_run(uri, runs[best])


def test_a_damaged_tag_or_file_is_named(uri: str, runs: dict[str, str], best: str, tmp_path: Path):
    store.open_client(uri).set_tag(runs[best], "versions", "{")
    with pytest.raises(ValueError, match="its tag versions is damaged"):
        read_run(uri, runs[best])


def test_a_control_that_did_not_run_names_the_one_that_did(
    finished_sweep: Path, runs: dict[str, str], best: str
):
    with pytest.raises(ValueError, match=r"did not run itself \(same configuration as default-plain\)"):
        read_run(tracking.default_uri(finished_sweep.parent), runs[f"{best}-plain"])


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path):
    with pytest.raises(ValueError, match="no tracking store there"):
        read_run(tracking.default_uri(tmp_path), "0" * 32)
    assert not (tmp_path / "mlflow.db").exists()


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A server that answers every request with `status` and a page."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>no</html>")

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://me:secret@127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "said"), [(401, "asks for a login"), (403, "does not let this login")])
def test_a_server_that_wants_a_login_says_how_to_give_one(status: int, said: str):
    with answering(status) as uri, pytest.raises(ValueError, match=f"the server {said}") as caught:
        read_run(uri, "0" * 32)
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN" in str(
        caught.value
    )
    assert "secret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_named():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://me:secret@127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ValueError, match="no MLflow tracking server answers there") as caught:
        read_run(uri, "0" * 32)
    assert "secret" not in str(caught.value)
