"""Following a job of Slurm's, with a stand-in for `scontrol`; test_slurm_natively.py asks a real one."""

import re
from pathlib import Path

import pytest

from dirsweep import cli
from dirsweep.cluster import slurm_queue

LINE = (
    "JobId=7 JobName=mine UserId=me(1000) GroupId=me(1000) MCS_label=N/A Priority=4294901759 Nice=0 "
    "Account=(null) QOS=(null) JobState={state} Reason={reason} Dependency=(null) Requeue=1 "
    "Restarts={restarts} BatchFlag=1 Reboot=0 ExitCode={code}:0 RunTime=00:00:50 TimeLimit=01:00:00 "
    "AllocNode:Sid=hub:0 ReqNodeList=(null) ExcNodeList=(null) NodeList={nodes} BatchHost=n1 NumNodes=2 "
    "Command=(null) WorkDir={folder} StdErr={log} StdIn=/dev/null StdOut={log} Power= "
)


def line(
    folder: Path, state: str, reason: str = "None", restarts: int = 0, code: int = 0, nodes: str = ""
) -> str:
    """What `scontrol --oneliner show job 7` prints of a job that was submitted in `folder`."""
    return LINE.format(
        state=state,
        reason=reason,
        restarts=restarts,
        code=code,
        nodes=nodes,
        folder=folder,
        log=folder / "mine-7.log",
    )


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """Let `scontrol` run these pieces of shell one after another, and sbatch accept a job."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm_queue, "ASK_SECONDS", 0.0)

    def put(name: str, body: str) -> None:
        file = tmp_path / "bin" / name
        file.write_text(f"#!/bin/bash\n{body}\n")
        file.chmod(0o755)

    def answers(*pieces: str) -> None:
        put("sbatch", "cat >/dev/null; echo Submitted batch job 7")
        cases = "\n".join(f"{number}) {piece} ;;" for number, piece in enumerate(pieces))
        count = f"cd {tmp_path}; n=$(cat n 2>/dev/null || echo 0); echo $((n + 1)) >n"
        put("scontrol", f"{count}\ncase $n in\n{cases}\nesac")

    return answers


def test_a_state_is_read_from_what_scontrol_prints(tmp_path):
    found = slurm_queue.parse(line(tmp_path / "my sweeps", "RUNNING", restarts=2, nodes="n[1-2]"))
    assert found.told == "running on n[1-2], queued again 2 times"
    assert found.log == tmp_path / "my sweeps" / "mine-7.log"
    assert slurm_queue.parse(line(tmp_path, "PENDING", "BeginTime")).told == "pending (BeginTime)"
    assert slurm_queue.parse(line(tmp_path, "NODE_FAIL", code=1)).told == "node fail"


def test_a_job_that_is_queued_again_is_followed_to_its_end(answers, tmp_path):
    answers(
        f"echo '{line(tmp_path, 'PENDING', 'Priority')}'",
        f"echo '{line(tmp_path, 'RUNNING', nodes='n1')}'",
        f"printf 'first\\nhalf of a' >>mine-7.log; echo '{line(tmp_path, 'RUNNING', nodes='n1')}'",
        "exit 1",  # slurmctld starts again
        f"printf ' line\\n' >>mine-7.log; echo '{line(tmp_path, 'PENDING', 'BeginTime', 1)}'",
        f"printf 'last' >>mine-7.log; echo '{line(tmp_path, 'COMPLETED', restarts=1)}'",
    )
    shown: list[str] = []
    ended = slurm_queue.follow("7", shown.append)
    assert ended.told == "completed, queued again 1 time"
    assert "".join(shown).splitlines() == [
        *("job 7: pending (Priority)", "job 7: running on n1", "first"),
        *("half of a line", "job 7: pending (BeginTime), queued again 1 time", "last"),
    ]


@pytest.mark.parametrize(
    ("piece", "status", "message"),
    [
        ("echo '{failed}'", 1, "job 7: failed (NonZeroExitCode), status 3"),
        ("echo '{bad_input}'", 2, "job 7: failed (NonZeroExitCode), status 2"),
        (
            "echo 'Invalid job id specified' >&2; exit 1",
            2,
            "Slurm no longer knows job 7",
        ),
    ],
)
def test_a_followed_job_that_fails_or_is_lost_gives_a_bad_status(
    answers, tmp_path, capsys, piece, status, message
):
    failed, bad_input = (line(tmp_path, "FAILED", "NonZeroExitCode", code=code) for code in (3, 2))
    answers(piece.format(failed=failed, bad_input=bad_input))
    jobs = Path(__file__).parents[1] / "jobs"
    with pytest.raises(SystemExit) as ended:
        cli.main(["submit", str(jobs / "slurm2.yaml"), "--to", "slurm", "--follow"])
    told = capsys.readouterr()
    assert ended.value.code == status
    assert told.out.startswith("submitted job 7\n")
    assert message in told.err


def test_a_controller_that_stays_silent_ends_the_following(answers, monkeypatch):
    monkeypatch.setattr(slurm_queue, "PATIENCE", 0.2)
    answers()  # nothing: as if it were down
    with pytest.raises(ValueError, match=re.escape("slurmctld did not answer for 0.2 s")):
        slurm_queue.follow("7", print)
