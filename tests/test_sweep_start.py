"""What a sweep refuses before Ray starts, and what other terminals see of it."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import sweeping
import yaml
from sweeping import NO_PROCESS

from dirsweep import METHOD_VERSION, sweep
from dirsweep.cli import main
from dirsweep.data import load
from dirsweep.ledger import FILE, Ledger
from dirsweep.storage import Folder
from dirsweep.storage.disk import half_written
from dirsweep.sweep import stopping
from dirsweep.sweep.session import Resources


def begin(folder: Path, config: dict[str, Any] | None = None, **fields: Any) -> None:
    """A sweep that was begun and is gone."""
    spec = sweeping.spec(folder.parent, config)
    sweeping.write(spec, folder)
    folder.mkdir()
    folder.with_suffix(".yaml").rename(folder / "spec.yaml")
    opening = {"spec": spec.hash, "data": "none", "method_version": METHOD_VERSION, "trials": 4, **fields}
    Ledger.create(Folder(folder), **opening)


def test_a_folder_that_exists_is_refused(tmp_path: Path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "spec.yaml").write_text("")
    with pytest.raises(
        ValueError, match=r"dirsweep resume .*sweep` goes on with a sweep, another --name begins"
    ):
        sweep.run(sweeping.spec(tmp_path), tmp_path / "sweep")


@pytest.mark.slow
def test_a_sweep_whose_driver_died_before_its_first_record_is_begun_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, spec = tmp_path / "sweep", sweeping.spec(tmp_path)
    folder.mkdir()
    tree = spec.model_dump(mode="json", by_alias=True)
    (folder / "spec.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))  # as far as it came
    (folder / half_written("ledger.jsonl", NO_PROCESS)).write_text("half a record")
    with pytest.raises(ValueError, match="there is something already"):
        sweep.run(sweeping.spec(tmp_path, budget={"trials": 9}), folder, tracking=False)
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")  # which Ray refuses, once the sweep has begun
    with pytest.raises(ValueError, match="Ray cannot start"):
        sweep.run(spec, folder, tracking=False)
    assert {file.name for file in folder.iterdir()} == {"spec.yaml", "driver.lock", "ledger.jsonl"}


@pytest.mark.parametrize(
    ("gpus", "message"),
    [
        (0, "'fixed.device' is cuda, but a trial is given no GPU"),
        (1, "asks for 1 CPUs and 1 GPUs on one machine, but .* and no GPU; go where there is one, or set"),
        (2, "set `processes: 2` in `fixed`, or give it one GPU"),
    ],
)
def test_a_run_that_is_refused_leaves_nothing_that_would_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int, message: str
):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    spec, storage = sweeping.spec(tmp_path, {"device": "cuda"}), tmp_path / "sweeps"
    with pytest.raises(ValueError, match=message):
        sweep.run(spec, storage / "cuda-1", resources=Resources(gpus_per_trial=gpus))
    assert not storage.exists()


def test_a_gpu_for_trials_that_train_on_a_cpu_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"'fixed\.device' is cpu, but .* 0\.5 GPUs, which would be idle"):
        sweep.run(sweeping.spec(tmp_path), tmp_path / "sweep", resources=Resources(gpus_per_trial=0.5))
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("address", "workers", "message"),
    [
        ("127.0.0.1:9", 2, "with RAY_ADDRESS set leave it out"),
        ("nonsense", None, "RAY_ADDRESS=nonsense: is no address of a Ray"),
    ],
)
def test_what_cannot_be_for_a_cluster_is_refused_before_there_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, workers: int | None, message: str
):
    monkeypatch.setenv("RAY_ADDRESS", address)
    resources = Resources(workers=workers)
    with pytest.raises(ValueError, match=message):
        sweep.run(sweeping.spec(tmp_path), tmp_path / "sweep", resources=resources, tracking=False)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_of_two_drivers_that_begin_one_sweep_at_once_the_lock_lets_one(tmp_path: Path):
    folder = tmp_path / "sweep"
    sweeping.write(sweeping.spec(tmp_path, budget={"trials": 1}), folder)
    with sweeping.Process("run", folder, 1) as one, sweeping.Process("run", folder, 1) as other:
        finished, refused = sorted([one.wait(), other.wait()])
    assert finished.startswith("finished")
    assert re.match(
        f"refused: {folder}: (another driver runs this sweep|there is something already)", refused
    )
    assert [record["kind"] for record in Ledger.open(Folder(folder)).records].count("open") == 1


def test_a_store_that_cannot_be_written_is_refused_before_anything_begins(tmp_path: Path):
    (tmp_path / "stage1").symlink_to("/proc")  # read-only to root too
    with pytest.raises(
        ValueError, match=r"stage1: cannot write in the store of stage 1s .*another --storage"
    ):
        sweep.run(sweeping.spec(tmp_path), tmp_path / "sweep", tracking=False)
    assert not (tmp_path / "sweep").exists()


def test_resume_refuses_a_folder_without_a_sweep(tmp_path: Path):
    with pytest.raises(ValueError, match="holds no sweep"):
        sweep.resume(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"spec": "other"}, "begun with spec other.*spec.yaml was changed"),
        ({"data": "other"}, "begun with data other.*the data were changed"),
    ],
)
def test_resume_refuses_a_ledger_of_another_spec_or_other_data(
    tmp_path: Path, fields: dict[str, str], message: str
):
    begin(tmp_path / "sweep", **fields)
    with pytest.raises(ValueError, match=message):
        sweep.resume(tmp_path / "sweep", tracking=False)


def test_a_sweep_whose_driver_died_is_interrupted_and_cannot_be_stopped(tmp_path: Path):
    begin(tmp_path / "sweep")
    assert sweep.status(tmp_path / "sweep").state == "interrupted"
    assert [found.folder.name for found in sweep.list_sweeps(tmp_path)] == ["sweep"]
    with pytest.raises(ValueError, match="no driver runs this sweep"):
        sweep.stop(tmp_path / "sweep")


def test_resume_clears_an_old_stop_mark_before_all_else_so_that_a_new_one_is_heard(tmp_path: Path):
    begin(tmp_path / "sweep", data="other")  # refused once the data were read, which takes a while
    stopping.leave_mark(tmp_path / "sweep")
    with pytest.raises(ValueError, match="the data were changed"):
        sweep.resume(tmp_path / "sweep", tracking=False)
    assert not (tmp_path / "sweep" / stopping.FILE).exists()


def test_a_sweep_is_finished_though_the_tracker_named_a_run_after_its_end(tmp_path: Path):
    begin(tmp_path / "sweep")
    ledger = Ledger.open(Folder(tmp_path / "sweep"))
    ledger.write("end", why="finished")
    ledger.write("run", trial="", id="abc")
    assert sweep.status(tmp_path / "sweep").state == "finished"


def test_a_sweep_took_the_time_of_its_drivers_not_that_of_the_pauses_between_them(tmp_path: Path):
    begin(tmp_path / "sweep")
    place = Folder(tmp_path / "sweep")
    begun = place.records(FILE)[0][0]["time"]
    told = [
        (10, {"kind": "end", "why": "stopped"}),
        (500, {"kind": "budget", "trials": 1}),
        (507, {"kind": "end", "why": "finished"}),
        (900, {"kind": "opening", "number": 1}),
    ]
    for number, (seconds, record) in enumerate(told, 1):
        place.append(FILE, {"n": number, "time": begun + seconds, **record})
    found = sweep.status(tmp_path / "sweep")
    assert (found.state, found.progress.seconds) == ("finished", pytest.approx(10 + 7))


def test_a_damaged_sweep_is_listed_beside_the_others(tmp_path: Path):
    begin(tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "ledger.jsonl").write_text('12345678 {"n":0')
    cut, whole = sweep.list_sweeps(tmp_path)
    assert (cut.state, whole.state) == ("damaged", "interrupted")
    assert "holds no whole record" in cut.progress.message


def test_the_first_signal_leaves_a_stop_mark_and_the_second_interrupts(tmp_path: Path):
    stop, before = stopping.Stop(Folder(tmp_path)), signal.getsignal(signal.SIGINT)
    with stop.on_signals():
        assert not stop.look()
        signal.raise_signal(signal.SIGTERM)
        assert stop.look()
        assert (tmp_path / stopping.FILE).exists()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_workers_default_to_the_machines_cores_over_those_of_a_trial(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(6)))
    assert Resources(cpus_per_trial=2).local_workers == 3
    assert Resources(cpus_per_trial=8).local_workers == 1
    assert Resources(workers=5).local_workers == 5


def test_actors_are_reused_on_cpu_only():
    assert Resources().reuses_actors
    assert not Resources(gpus_per_trial=0.5).reuses_actors
    assert Resources(gpus_per_trial=1, reuse_actors=True).reuses_actors


@pytest.mark.parametrize("command", ["run SPACE", "run SPACE --name sweep --or-resume", "resume FOLDER"])
def test_workers_that_are_to_be_reused_are_refused_for_trials_of_several_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
):
    spec, folder = sweeping.spec(tmp_path, {"processes": 2}), tmp_path / "sweep"
    begin(folder, data=load(spec.default_config().dataset).hash, config={"processes": 2})
    words = command.replace("SPACE", str(folder / "spec.yaml")).replace("FOLDER", str(folder)).split()
    common = ["--storage", str(tmp_path), "--cpus-per-trial", "2", "--reuse-actors", "--no-tracking"]
    with pytest.raises(SystemExit) as ended:
        main([*words, *common])
    assert ended.value.code == 2
    assert "the 2 processes of a trial are started for it alone" in capsys.readouterr().err


def test_a_ray_without_tokens_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ValueError, match=r"^RAY_AUTH_MODE=disabled: .* set it to token$"):
        sweep.run(sweeping.spec(tmp_path), tmp_path / "sweep", tracking=False)
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_for_a_cluster_that_does_not_answer_begins_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(OSError, match="no Ray answers there"):
        sweep.run(sweeping.spec(tmp_path), tmp_path / "sweep", tracking=False)
    assert not (tmp_path / "sweep").exists()


ALONE = "from dirsweep.sweep.session import *\nwith ray_session(Resources(workers=3)) as held: print(held)"


@pytest.mark.slow
@pytest.mark.parametrize("address", [{}, {"RAY_ADDRESS": ""}], ids=["none", "empty"])
def test_a_sweep_without_an_address_has_a_ray_of_its_own_beside_one_of_ray_start(
    tmp_path: Path, address: dict[str, str]
):
    with tempfile.TemporaryDirectory(prefix="ray-") as short:  # for Ray's sockets
        for place in (Path(short), Path(short) / "ray"):
            place.mkdir(exist_ok=True)
            (place / "ray_current_cluster").write_text("127.0.0.1:9")  # as `ray start` leaves it
        env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        done = subprocess.run(
            [sys.executable, "-c", ALONE],
            env=env | {"RAY_TMPDIR": short} | address,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,  # joining the other takes a quarter of an hour
        )
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr
