import json
import os
import socket
import sys
from pathlib import Path

import pytest
import stores

from dirsweep import publish, tracking
from dirsweep.cli import main
from dirsweep.storage import flock
from dirsweep.sweep import lock
from dirsweep.tracking import store, ui

pytestmark = pytest.mark.slow  # each needs a sweep that was run by Ray


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with MLflow's tables and nothing in it."""
    folder = tmp_path_factory.mktemp("tables")
    store.open_client(tracking.default_uri(folder))
    return (folder / "mlflow.db").read_bytes()


@pytest.fixture
def there(tmp_path: Path, tables: bytes) -> str:
    """The URI of an empty store somewhere else."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(tables)
    return tracking.default_uri(folder)


@pytest.fixture
def sweep(finished_sweep: Path, tmp_path: Path) -> Path:
    """A finished sweep in a storage folder of its own, without a store."""
    return stores.copied(finished_sweep, tmp_path / "sweeps")


def test_a_store_is_rebuilt_as_the_live_sweep_wrote_it_and_a_second_time_changes_nothing(
    finished_sweep, there
):
    done = publish.sync(finished_sweep, there)
    first = stores.contents(there)
    live = stores.contents(tracking.default_uri(finished_sweep.parent), times=False)
    assert stores.contents(there, times=False) == live
    assert (done.trials, done.open_trials, done.running, done.left) == (len(first) - 1, 0, False, [])
    publish.sync(finished_sweep, there)
    assert stores.contents(there) == first


def test_times_are_those_of_the_ledger(sweep, there):
    publish.sync(sweep, there)
    records = stores.records(sweep)
    begun = next(one["time"] for one in records if one["kind"] == "start" and one["trial"] == "3")
    told = next(one["time"] for one in records if one["kind"] == "tell" and one["trial"] == "3")
    epochs = [one["time"] for one in records if one["kind"] == "report" and one["trial"] == "3"]
    found = stores.contents(there)
    assert (found["3"]["begun"], found["3"]["ended"]) == (round(begun * 1000), round(told * 1000))
    # the last point is the final value, where that differs from the last epoch's
    times = [time for _, _, time in found["3"]["points"]["seconds"]]
    assert times[: len(epochs)] == [round(time * 1000) for time in epochs]
    assert found[""]["begun"] == round(records[0]["time"] * 1000)


def test_a_sync_that_failed_half_way_goes_on(sweep, there, tmp_path):
    database = tmp_path / "elsewhere" / "mlflow.db"
    full = "SELECT RAISE(ABORT, 'disk is full')"
    stores.execute(
        database,
        f"CREATE TRIGGER full BEFORE INSERT ON runs WHEN (SELECT count(*) FROM runs) > 3 BEGIN {full}; END",
    )
    with pytest.raises(ValueError, match=r"elsewhere/mlflow.db: .*disk is full"):
        publish.sync(sweep, there)
    assert len(stores.contents(there)) == 4
    stores.execute(database, "DROP TRIGGER full")
    publish.sync(sweep, there)
    halved = stores.contents(there)
    publish.sync(sweep, None)
    assert halved == stores.contents(tracking.default_uri(sweep.parent))


def test_an_unfinished_sweep_is_left_open_and_completed_later(sweep, there):
    records = stores.records(sweep)
    cut = max(number for number, one in enumerate(records) if one["kind"] == "report" and one["trial"] == "3")
    stores.rewritten(sweep, records[:cut])
    done = publish.sync(sweep, there)
    before = stores.contents(there)
    assert done.open_trials == 1
    assert (before["3"]["status"], before["0"]["status"]) == ("SCHEDULED", "FINISHED")
    assert before[""]["status"] == "SCHEDULED"
    assert "4" not in before
    stores.rewritten(sweep, records)
    publish.sync(sweep, there)
    after = stores.contents(there)
    assert {run["status"] for run in after.values()} == {"FINISHED"}
    assert after["0"] == before["0"]
    assert after["3"]["points"]["val/all/mae"][: cut - 1][0] == before["3"]["points"]["val/all/mae"][0]


def test_a_renamed_sweep_is_found_again_and_another_of_its_name_is_not_mixed_with_it(sweep, there):
    publish.sync(sweep, there)
    runs = len(stores.contents(there))
    renamed = sweep.rename(sweep.parent / "renamed")
    publish.sync(renamed, there)
    assert len(stores.contents(there)) == runs
    first, *rest = stores.records(renamed)
    stores.rewritten(renamed, [{**first, "time": first["time"] + 1}, *rest])  # another sweep, begun later
    other = renamed.rename(sweep)
    publish.sync(other, there)
    client = store.open_client(there)
    found = {one.name: one.experiment_id for one in client.search_experiments()}
    assert set(found) == {"Default", sweep.name, f"{sweep.name}-2"}
    counts = {name: len(client.search_runs([number])) for name, number in found.items()}
    assert counts == {"Default": 0, sweep.name: runs, f"{sweep.name}-2": runs}


def test_a_store_whose_sweep_runs_is_left_to_its_driver_and_another_is_not(sweep, there):
    with lock.held(sweep):
        with pytest.raises(ValueError, match=r"its driver runs .* name another store with --to"):
            publish.sync(sweep, None)
        assert publish.sync(sweep, there).running


def test_the_command_says_where_all_of_it_is(sweep, capsys, monkeypatch):
    monkeypatch.chdir(sweep.parent.parent)
    with pytest.raises(SystemExit) as ended:
        main(["sync", sweep.name, "--storage", "sweeps"])
    assert ended.value.code == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-2].startswith(f"sweeps/{sweep.name}: the sweep and 10 trials and controls are in sqlite:///")
    assert said[-1] == f"browse it: dirsweep ui sweeps/{sweep.name}"


def test_a_file_that_a_finished_trial_should_have_is_named_where_it_is_missing(sweep, capsys):
    file = sweep / "trials" / "0" / "bins.csv"
    file.unlink()
    (sweep / "trials" / "1" / "bins.csv").unlink()
    with pytest.raises(SystemExit) as ended:
        main(["sync", str(sweep)])
    assert ended.value.code == 1
    assert f"missing there: {file}: the file is gone, and 1 more\n" in capsys.readouterr().err


def refused(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_what_is_wrong_is_said(sweep, capsys, tmp_path):
    assert "nowhere: no sweep there" in refused(capsys, "sync", "nowhere")
    assert "--to ./mlruns: neither an sqlite file nor a server" in refused(
        capsys, "sync", str(sweep), "--to", "./mlruns"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = refused(capsys, "sync", str(sweep), "--to", f"http://127.0.0.1:{port}")
    assert f"--to http://127.0.0.1:{port}: no MLflow tracking server answers there" in told
    told = refused(capsys, "sync", str(sweep), "--to", f"http://me:secret@127.0.0.1:{port}")
    assert "'--to': holds a user or a password, which others can read in the list of processes" in told
    assert "secret" not in told
    lines = (sweep / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b'"n":5', b'"n":6')
    (sweep / "ledger.jsonl").write_bytes(b"".join(lines))
    assert "record 5 is damaged or missing" in refused(capsys, "sync", str(sweep))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, tables: bytes):
    """The address of a tracking server that asks for a login: admin, with the password below."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "mlflow.db").write_bytes(tables)
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder}/auth.db\nadmin_username = admin\nadmin_password = correct horse\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *(
            "--workers",
            "1",
            "--app-name",
            "basic-auth",
            "--backend-store-uri",
            f"sqlite:///{folder}/mlflow.db",
        ),
        *("--artifacts-destination", str(folder / "mlartifacts")),
    ]
    settings = {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "x"}
    with ui.started(command, settings) as server:
        server.wait_until_it_answers(port)
        yield f"http://127.0.0.1:{port}"


def test_a_store_that_needs_a_login_says_so(guarded, sweep, capsys, monkeypatch):
    told = refused(capsys, "sync", str(sweep), "--to", guarded)
    assert f"--to {guarded}: the server asks for a login" in told
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        assert name in told
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "correct horse")
    tracking.check(guarded)
    with tracking.Writer(
        guarded, tracking.Sweep("guarded", "i1"), {}
    ) as writer:  # a login is slow, by design
        writer.start_sweep({"dataset": "tiny"})
    assert store.open_client(guarded).get_run(writer.ids[""]).data.tags["dataset"] == "tiny"
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with pytest.raises(ValueError, match=r"asks for a login"):
        tracking.Writer(guarded, tracking.Sweep("guarded", "i1"), {})


def test_a_second_sync_at_once_is_refused_before_it_makes_anything_double(sweep, there):
    with (
        flock.held(sweep / "sync.lock"),
        pytest.raises(ValueError, match=r"is being synced already \(process"),
    ):
        publish.sync(sweep, there)
    assert stores.contents(there) == {}


def test_a_sync_of_its_own_store_keeps_the_driver_away(sweep, there):
    (sweep / lock.FILE).unlink()
    publish.sync(sweep, there)
    assert not (sweep / lock.FILE).exists()
    publish.sync(sweep, None)
    assert json.loads((sweep / lock.FILE).read_text())["pid"] == os.getpid()  # the last that held it
