"""A real sweep with planted secrets: they are in nothing that it writes, prints, or shows in the processes.

The same sweep's folder is full of what Ray Tune would restore, made so that it would run code.
"""

import base64
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import stores
import sweeping
from heads import free_ports
from traps import SPRUNG, TRAPS

from dirsweep import cli
from dirsweep.sweep.session import Resources, ray_session
from dirsweep.tracking import ui

pytestmark = pytest.mark.slow

DRIVER = """
import os, sys
from dirsweep import publish, sweep
outcome = sweep.resume(
    sys.argv[1],
    extra_trials=1,
    resources=sweep.Resources(workers=1),
    tracking_uri=os.environ["STORE"],
    system_metrics=True,
)
print(outcome.why, outcome.message, publish.conclude(outcome.folder, os.environ["STORE"]))
"""
TUNE = (
    *("tuner.pkl", "trainable.pkl", "search_gen_state-1.json", "searcher-state-1.pkl", "scheduler.pkl"),
    *("experiment_state-1.json", "callback-states.pkl", ".validate_storage_marker", "params.pkl"),
    *("checkpoint_000000/.metadata.pkl", "checkpoint_000000/data.pkl", "checkpoint_000000/.tune_metadata"),
)
"""Files that Ray Tune writes and restores."""


@pytest.fixture
def planted() -> dict[str, str]:
    """Secrets by the variable that holds them."""
    names = ("RAY_AUTH_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PASSWORD", "HF_TOKEN")
    return {name: secrets.token_hex(24) for name in names}


def spellings(planted: dict[str, str]) -> list[bytes]:
    """How the secrets would be found: as they are, and as HTTP sends a user and a password."""
    sent = base64.b64encode(f"me:{planted['PASSWORD']}".encode())
    return [sent.rstrip(b"="), *(value.encode() for value in planted.values())]


def below(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def command_lines() -> Iterator[bytes]:
    for place in Path("/proc").glob("[0-9]*"):
        try:
            yield (place / "cmdline").read_bytes()
        except OSError:  # it ended meanwhile
            continue


def listening(process: int) -> set[str]:
    """Addresses at which a process and its children listen."""
    one = psutil.Process(process)
    every = [one, *one.children(recursive=True)]
    found = [place for each in every for place in each.net_connections("tcp")]
    return {place.laddr.ip for place in found if place.status == psutil.CONN_LISTEN}


def test_a_sweep_shows_no_secret_and_restores_nothing_of_ray_tunes(tmp_path, finished_sweep, planted):
    sweep = stores.with_store(finished_sweep, tmp_path)
    for place in (sweep, sweep / "sweep", sweep / "trials", sweep / "trials" / "0"):
        for name in TUNE:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(TRAPS["pickle"])
    [port] = free_ports(1)
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as ray,
        ui.started(ui.ui_command(tmp_path / "mlflow.db", port)) as server,
        (tmp_path / "printed.txt").open("w") as printed,
    ):
        server.wait_until_it_answers(port)
        assert listening(server.process.pid) == {"127.0.0.1"}
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(sweep)],
            cwd=tmp_path,
            stdout=printed,
            stderr=printed,
            env=os.environ
            | planted
            | {"RAY_TMPDIR": ray, "STORE": f"http://me:{planted['PASSWORD']}@127.0.0.1:{port}"},
            start_new_session=True,
        )
        shown: set[bytes] = set()
        give_up = time.monotonic() + 400
        try:
            while driver.poll() is None:
                assert time.monotonic() < give_up
                shown |= {
                    line[:200] for line in command_lines() if any(map(line.__contains__, spellings(planted)))
                }
                time.sleep(0.2)
        finally:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
        server.log.seek(0)
        said = server.log.read()
        logs = list(below(Path(ray)))
        files = [*below(tmp_path), *logs]
        telling = [
            str(file) for file in files if any(map(file.read_bytes().__contains__, spellings(planted)))
        ]
    assert driver.returncode == 0, (tmp_path / "printed.txt").read_text()
    assert shown == set()
    assert telling == []
    assert not any(secret in said for secret in spellings(planted))
    assert len(logs) > 5, "Ray's logs are elsewhere"
    assert sweeping.trials(sweep)["5"].state == "COMPLETE"
    assert not list(tmp_path.rglob(str(SPRUNG))), "state of Ray Tune was restored"


def test_no_ray_is_started_or_joined_without_tokens(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with (
        pytest.raises(ValueError, match=r"^RAY_AUTH_MODE=disabled: .* unset it, or set it to token$"),
        ray_session(Resources(workers=1)),
    ):
        pass


@pytest.mark.parametrize(
    "words", [("run", "x.yaml", "--tracking-uri"), ("replay", "0", "--tracking-uri"), ("sync", "x", "--to")]
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(capsys, words):
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "https://me:kret@host"])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"'{words[-1]}': holds a user or a password" in told
    assert "kret" not in told


def test_the_ui_has_no_address_but_loopback(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["ui", "--host", "10.0.0.1"])
    assert ended.value.code == 2
    assert "No such option: --host" in capsys.readouterr().err
