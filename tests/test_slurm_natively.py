"""Jobs on a real Slurm of two nodes: one that is queued again in the middle, and one that is stopped."""

import contextlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import slurm
import sweeping
import yaml
from natively import ROOT

from dirsweep.cluster.job import read_job
from dirsweep.cluster.slurm import script
from dirsweep.storage import Record

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())]

TRIALS = 3
BIN = Path(sys.executable).parent
PATHS = {"PATH": f"{BIN}:{slurm.PATH}", "PYTHONPATH": str(ROOT)}
DIRSWEEP = """#!/bin/sh
cd {folder}
case "$1" in
  run) echo sweeping; until [ -e asked ]; do sleep 0.1; done; exit 130 ;;
  stop) echo "$2" >asked ;;
esac
"""
"""In the place of dirsweep on the nodes: a sweep that goes on until it is asked to stop."""
RAY = """#!/bin/sh
until [ "$1" = -- ]; do shift; done
shift
exec "$@"
"""
COMMANDS = """
import sys
from dirsweep import cli
for command in sys.argv[1:]:
    try:
        cli.main(command.split())
    except SystemExit as ended:
        print("status", ended.code, flush=True)
"""


@pytest.fixture(scope="module")
def cluster():
    with slurm.running() as made:
        yield made


def write_job(folder: Path, cpus_per_node: int = 1) -> Path:
    """A job of a few short trials on both nodes, in a folder that all machines see; its file."""
    spec = sweeping.spec(folder, {"stage1.epochs": 40}, budget={"trials": TRIALS})
    (folder / "space.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    setup = [f"export PATH={BIN}:$PATH PYTHONPATH={ROOT}"]
    tree = {
        "space": "space.yaml",
        "resources": {"nodes": 2, "cpus_per_node": cpus_per_node, "memory_per_node": "4Gi"},
        "storage": str(folder / "sweeps"),
        "time_limit": 20,
        "slurm": {"partition": "batch", "setup": setup},
    }
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file


def ended(sweep: Path) -> dict[str, Record]:
    """The ledger's records of trials' and controls' ends, by trial; none before there is a sweep."""
    records = sweeping.records(sweep) if sweep.is_dir() else []
    return {record["trial"]: record for record in records if record["kind"] == "tell"}


def numbered(found: dict[str, Record]) -> int:
    """How many of them are trials, not controls."""
    return sum(key.isdecimal() for key in found)


def test_nothing_is_left_of_a_slurm_after_an_interrupt():
    folders = []

    def interrupted() -> None:
        with slurm.running() as made:
            folders.append(made.folder)
            assert sorted(made.told("srun", "--nodes=2", "hostname").split()) == list(slurm.NODES)
            made.start_command("srun --nodes=2 sleep 100", made.folder / "sleep.txt", {})
            made.wait(lambda: all(made.processes().values()), "the job to run", 30)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    [folder] = folders
    environments = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it ended
            environments.append(place.read_bytes())
    assert not [one for one in environments if str(folder).encode() in one]
    assert folder.name not in subprocess.check_output(["ip", "netns"], text=True)
    assert not folder.exists()


def test_a_job_that_is_queued_again_goes_on_with_its_sweep_on_both_nodes(cluster: slurm.Slurm):
    folder = cluster.folder / "shared"
    folder.mkdir()
    write_job(folder)
    sweep, followed = folder / "sweeps" / "mine", folder / "followed.txt"
    submit = f"cd {folder}; exec dirsweep submit mine.yaml --to slurm --follow"
    other_cluster = {"RAY_ADDRESS": "http://127.0.0.1:8265", "RAY_AUTH_TOKEN": "0" * 64}
    follower = cluster.start_command(submit, followed, PATHS | other_cluster)
    cluster.wait(lambda: "submitted job " in followed.read_text(), "the job's number", 60)
    [number] = re.findall(r"^submitted job (\d+)$", followed.read_text(), re.MULTILINE)
    seen: set[str] = set()
    """Nodes on which a trial was seen."""

    def look() -> None:
        at = cluster.processes()
        seen.update(node for node, commands in at.items() if any("ImplicitFunc" in one for one in commands))
        assert follower.poll() is None, followed.read_text() + cluster.logs()

    def one_has_ended() -> bool:
        look()
        return numbered(ended(sweep)) >= 1

    cluster.wait(one_has_ended, "a trial", 300)
    cluster.told("scontrol", "requeue", number)
    cluster.wait(lambda: cluster.shown(number)["JobState"] == "PENDING", "the job to be queued again", 120)
    cluster.wait(lambda: not any(cluster.processes().values()), "the nodes to be empty", 60)
    before = ended(sweep)
    assert 1 <= numbered(before) < TRIALS
    token = folder / "sweeps" / ".jobs" / f"mine-{number}" / "token"
    assert not token.exists()
    cluster.told("scontrol", "update", f"JobId={number}", "StartTime=now")  # Slurm would wait for two minutes

    def it_has_ended() -> bool:
        return follower.poll() is not None

    def it_runs() -> bool:
        return cluster.shown(number)["JobState"] == "RUNNING"

    cluster.wait(it_runs, "the job to run again", 60)
    cluster.wait(it_has_ended, "the job's end", 300)
    log = followed.read_text()
    assert follower.returncode == 0, log + cluster.logs()

    job = cluster.shown(number)
    assert (job["JobState"], job["ExitCode"], job["Restarts"]) == ("COMPLETED", "0:0", "1")
    cluster.wait(lambda: not any(cluster.processes().values()), "the nodes to be empty", 60)
    assert list((folder / "sweeps" / ".jobs").iterdir()) == []

    records = sweeping.records(sweep)
    asked = [record["trial"] for record in records if record["kind"] == "ask"]
    assert asked == [str(trial) for trial in range(TRIALS)]
    told = Counter(record["trial"] for record in records if record["kind"] == "tell")
    assert set(told.values()) == {1}
    after = ended(sweep)
    assert {key: after[key] for key in before} == before
    assert {record["state"] for record in after.values()} == {"COMPLETE"}
    assert [record["why"] for record in records if record["kind"] == "end"][-1] == "finished"
    assert seen == set(slurm.NODES)

    assert log.startswith(f"submitted job {number}\njob {number}: ")
    assert f"job {number}: running on n[1-2]\n" in log
    assert f"\njob {number}: running on n[1-2], queued again 1 time\n" in log
    assert log.count("all see") == 2
    assert f"{sweep}: reading its ledger" in log
    assert log.endswith(f"job {number}: completed, queued again 1 time\n")


def test_a_job_is_listed_read_and_stopped_by_dirsweeps_commands(cluster: slurm.Slurm):
    folder = cluster.folder / "stopped"
    (folder / "bin").mkdir(parents=True)
    for name, text in (("dirsweep", DIRSWEEP.format(folder=folder)), ("ray", RAY)):
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    tree = {
        "space": str(ROOT / "search_spaces" / "all.yaml"),
        "resources": {"cpus_per_node": 1},
        "storage": str(folder / "sweeps"),
        "retries": 2,
        "slurm": {"setup": [f"export PATH={folder}/bin:$PATH"]},
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(tree))
    (folder / "sweep.sh").write_text(script(read_job(folder / "sweep.yaml")))
    job = cluster.told("sh", "-c", f"cd {folder}; sbatch --parsable sweep.sh").strip()
    other = cluster.told("sh", "-c", f"cd {folder}; sbatch --parsable --wrap 'sleep 60'").strip()
    log = folder / f"sweep-{job}.log"
    cluster.wait(lambda: log.exists() and "sweeping" in log.read_text(), "the sweep", 60)

    said = folder / "said.txt"
    large = write_job(folder, cpus_per_node=64)
    words = ("list", f"logs {job}", f"stop {other}", "stop 9999", f"stop {job}", f"logs {job} --follow")
    words = (f"submit {large}", *(f"jobs {one}" for one in words))
    commands = " ".join(f"'{one} --to slurm'" for one in words)
    asked = cluster.start_command(f"exec python -c '{COMMANDS}' {commands}", said, PATHS)
    cluster.wait(lambda: asked.poll() is not None, "the commands", 120)
    told = said.read_text()
    assert re.search(
        rf"^{job} +sweep +running +\d{{4}}-\d\d-\d\d \d\d:\d\d\nstatus 0\nsweeping\nstatus 0$", told, re.M
    )
    assert f"error: job {other} is none of dirsweep's" in told
    assert "error: Slurm does not know job 9999, or no longer" in told
    refused = (
        f"error: {large}: the job asks for 2 nodes of 64 CPUs, 4096 MB, but Slurm has batch: 2 nodes of 1"
    )
    assert f"{refused} CPUs, 8000 MB; ask for fewer nodes, or smaller ones\nstatus 2\n" in told
    assert f"{job}: its trials save their state and end; submit the job again to go on\nstatus 0\n" in told
    assert "dirsweep jobs stop: trials save their state" in told
    assert told.endswith(f"job {job}: cancelled\nstatus 1\n")
    assert (folder / "asked").read_text() == f"{folder}/sweeps/sweep\n"
    assert list((folder / "sweeps" / ".jobs").iterdir()) == []
    cluster.told("scancel", other)
