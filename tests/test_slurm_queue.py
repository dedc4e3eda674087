"""Jobs in Slurm's queue, with stand-ins for its commands; test_slurm_natively.py asks real ones."""

import re
import time
from pathlib import Path

import pytest

from dirsweep import cli
from dirsweep.cluster import slurm_nodes, slurm_queue
from dirsweep.cluster.job import read_job
from dirsweep.cluster.parts import Slurm

LINE = (
    "JobId=7 JobName=mine UserId=me(1000) GroupId=me(1000) MCS_label=N/A Priority=4294901759 Nice=0 "
    "Account=(null) QOS=(null) JobState={state} Reason={reason} Dependency=(null) Requeue=1 "
    "Restarts={restarts} BatchFlag=1 Reboot=0 ExitCode={code}:0 RunTime=00:00:50 TimeLimit=01:00:00 "
    "AllocNode:Sid=hub:0 ReqNodeList=(null) ExcNodeList=(null) NodeList={nodes} BatchHost=n1 NumNodes=2 "
    "Command=(null) WorkDir={folder} Comment={comment} StdErr={log} StdIn=/dev/null StdOut={log} Power= "
)


def line(
    folder: Path,
    state: str,
    reason: str = "None",
    restarts: int = 0,
    code: int = 0,
    nodes: str = "",
    comment: str = "dirsweep",
) -> str:
    """What `scontrol --oneliner show job 7` prints of a job that was submitted in `folder`."""
    return LINE.format(
        state=state,
        reason=reason,
        restarts=restarts,
        code=code,
        nodes=nodes,
        folder=folder,
        comment=comment,
        log=folder / "mine-7.log",
    )


@pytest.fixture
def run(capsys):
    """Run one command line; its status, what it printed, what it complained of."""

    def run(*words: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        return (ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Make a command of that name from a piece of shell, in the place of Slurm's."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm_queue, "ASK_SECONDS", 0.0)

    def put(name: str, body: str) -> None:
        file = tmp_path / "bin" / name
        file.write_text(f"#!/bin/bash\n{body}\n")
        file.chmod(0o755)

    return put


@pytest.fixture
def answers(put, tmp_path):
    """Let `scontrol` run these pieces of shell one after another, and sbatch accept a job."""

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
            "Slurm does not know job 7, or no longer",
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


SINFO = (
    "batch*|2|32|64000|(null)",
    "batch*|4|32|256000|(null)",
    "gpu|3|64|512000|gpu:a100:8(S:0-1),shard:64",
)


@pytest.mark.parametrize(
    ("rows", "partition", "told"),
    [
        (SINFO, "batch", ""),
        (SINFO, "gpu,batch", ""),
        (SINFO, "hidden", ""),  # sbatch knows
        ((), None, ""),  # no answer: sbatch decides
        (("batch*|1|1|2G|(null)",), None, ""),  # another Slurm's rows
        (
            ("batch*|1|32|256000|(null)", "long|9|32|256000|(null)"),
            None,
            "batch: 1 node of 32 CPUs, 256000 MB; ask for fewer nodes, or smaller ones",
        ),
        (("batch|9|16|256000|(null)",), "batch", "batch: 9 nodes of 16 CPUs, 256000 MB; ask"),
        (("batch|9|32|64000|(null)",), "batch", "batch: 9 nodes of 32 CPUs, 64000 MB; ask"),
        (
            ("batch|1|32|70000|(null)", "gpu|1|32|70000|gpu:2"),
            "batch,gpu",
            "70000 MB; gpu: 1 node of 32 CPUs, 70000",
        ),
    ],
)
def test_a_job_that_slurm_can_never_serve_is_refused_with_what_it_has(put, tmp_path, rows, partition, told):
    put("sinfo", f"printf '%s\\n' {' '.join(repr(row) for row in rows)}" if rows else "exit 1")
    job = read_job(Path(__file__).parents[1] / "jobs" / "slurm2.yaml")
    job = job.model_copy(update={"slurm": Slurm(partition=partition)})
    if not told:
        slurm_nodes.check(job)
        return
    with pytest.raises(ValueError, match=re.escape(told)) as refused:
        slurm_nodes.check(job)
    assert "the job asks for 2 nodes of 32 CPUs, 65536 MB, but Slurm has " in str(refused.value)


def test_gpus_are_counted_as_slurm_writes_them(put):
    put("sinfo", f"printf '%s\\n' {' '.join(repr(row) for row in (*SINFO, 'one|1|8|1000|gpu:2,tmp:9'))}")
    assert [one.gpus for one in slurm_nodes.nodes()] == [0, 0, 8, 2]
    assert slurm_nodes.nodes()[2].told == "gpu: 3 nodes of 64 CPUs, 512000 MB, 8 GPUs"


def test_the_jobs_in_the_queue_are_those_of_dirsweep(put, run):
    put(
        "squeue",
        "printf '%s\\n' 'dirsweep|7|mine|COMPLETED|1790000000|1790000090' '(null)|8|a|b|RUNNING|1|2' "
        "'dirsweep|9|next|PENDING|1790000500|N/A'",
    )
    status, told, _ = run("jobs", "list", "--to", "slurm")
    assert status == 0
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(1790000000))
    assert [line.split() for line in told.splitlines()] == [
        ["7", "mine", "completed", *when.split(), "90", "s"],
        ["9", "next", "pending"],
    ]
    put("squeue", "exit 0")
    assert "no job of yours now" in run("jobs", "list", "--to", "slurm")[1]
    put("squeue", "echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1")
    assert run("jobs", "list", "--to", "slurm")[::2] == (
        2,
        "error: slurm_load_jobs error: Unable to contact; is slurmctld up?\n",
    )


@pytest.mark.parametrize(
    ("piece", "words", "told"),
    [
        ({"state": "RUNNING", "nodes": "n1"}, "--batch --signal=USR2 7\n", "7: its trials save their state"),
        ({"state": "PENDING", "reason": "Priority"}, "7\n", "7: it was waiting and is cancelled"),
        ({"state": "COMPLETED"}, "", "7: had ended already"),
        ({"state": "RUNNING", "comment": "(null)"}, "", "error: job 7 is none of dirsweep's"),
    ],
)
def test_a_job_is_stopped_gently_if_it_runs_and_only_if_it_is_ours(
    answers, put, run, tmp_path, piece, words, told
):
    put("scancel", 'echo "$*" >>scancel.txt')
    answers(f"echo '{line(tmp_path, **piece)}'")
    _, *said = run("jobs", "stop", "7", "--to", "slurm")
    assert told in "".join(said)
    heard = tmp_path / "scancel.txt"
    assert (heard.read_text() if heard.exists() else "") == words


def test_a_jobs_log_is_printed_where_it_lies_here_and_named_where_not(answers, run, tmp_path):
    pending, running = line(tmp_path, "PENDING", "Priority"), line(tmp_path, "RUNNING", nodes="n1")
    answers(f"echo '{pending}'", f"echo '{running}'")
    log = tmp_path / "mine-7.log"
    assert run("jobs", "logs", "7", "--to", "slurm")[1] == (
        f"job 7: pending (Priority); no log is here yet, or it is on the nodes: {log}\n"
    )
    log.write_text("first\nhalf")
    assert run("jobs", "logs", "7", "--to", "slurm")[1] == "first\nhalf"


def test_without_slurm_its_jobs_cannot_be_asked_for(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for words, missing in ((("list",), "squeue"), (("logs", "7"), "scontrol"), (("stop", "7"), "scontrol")):
        status, _, told = run("jobs", *words, "--to", "slurm")
        assert (status, told) == (
            2,
            f"error: no {missing} is on the PATH; run this where Slurm's commands are\n",
        )
