"""Following a RayJob, with a stand-in for kubectl; there is no Kubernetes where the tests run."""

import json
import re
from pathlib import Path

import pytest

from dirsweep import cli
from dirsweep.cluster import rayjob

JOB = str(Path(__file__).parents[1] / "jobs" / "kuberay.yaml")
BAD_INPUT = (
    "Job entrypoint command failed with exit code 2, last available logs (truncated): secrets of a log"
)


def answer(name: str, status: str = "", job_id: str = "kuberay-a", failed: int = 0, message: str = "") -> str:
    """Shell that prints what `kubectl get rayjob` does."""
    told = {
        "jobDeploymentStatus": name,
        "jobStatus": status,
        "jobId": job_id,
        "failed": failed,
        "message": message,
    }
    return f"echo '{json.dumps({'kind': 'RayJob', 'status': told})}'"


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    """Let kubectl run these pairs of shell in turn, for a state and for a log, then fail; it takes a job."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rayjob, "ASK_SECONDS", 0.0)

    def kubectl(*turns: tuple[str, str]) -> None:
        states = "\n".join(f"{number}) {state} ;;" for number, (state, _) in enumerate(turns))
        logs = "\n".join(f"{number + 1}) {log} ;;" for number, (_, log) in enumerate(turns))
        file = tmp_path / "bin" / "kubectl"
        file.write_text(
            f'#!/bin/bash\ncd {tmp_path}; echo "$*" >>asked; n=$(cat n 2>/dev/null || echo 0)\n'
            f"case $1 in\napply) cat >/dev/null; echo rayjob.ray.io/kuberay created ;;\n"
            f"get) echo $((n + 1)) >n; case $n in\n{states}\n*) exit 1 ;;\nesac ;;\n"
            f"logs) case $n in\n{logs}\nesac ;;\nesac\n"
        )
        file.chmod(0o755)

    return kubectl


def submitted(capsys: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    """`submit --follow`: its status, what it printed, what it complained of."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["submit", JOB, "--to", "kuberay", "--follow"])
    return (ended.value.code, *capsys.readouterr())


def test_a_job_that_is_tried_again_is_followed_to_its_end(kubectl, capsys, tmp_path):
    kubectl(
        ("echo '{}'", "exit 1"),  # KubeRay has not seen it yet
        (answer("Initializing"), "exit 1"),
        (answer("Running", "RUNNING"), "printf 'first\\nhalf of a'"),
        ("exit 1", ""),  # Kubernetes is away
        (answer("Running", "RUNNING"), "printf 'first\\nhalf of a line\\n'"),
        (answer("Retrying", job_id="", failed=1), "exit 1"),
        (answer("Running", "RUNNING", "kuberay-b", 1), "printf 'first\\n'"),
        (answer("Complete", "SUCCEEDED", "kuberay-b", 1), "printf 'first\\nlast'"),
    )
    status, told, _ = submitted(capsys)
    assert status == 0
    assert told.splitlines() == [
        *("rayjob.ray.io/kuberay created", "kuberay: new", "kuberay: initializing"),
        *("kuberay: running", "first", "half of a line", "kuberay: retrying, failed 1 time"),
        *("kuberay: running, failed 1 time", "first", "kuberay: complete, failed 1 time", "last"),
    ]
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[:3] == ["apply -f -", "get rayjob kuberay --output=json", "logs job/kuberay"]


@pytest.mark.parametrize(
    ("state", "status", "message"),
    [
        (
            answer("Failed", "FAILED", message="the cluster was lost"),
            1,
            "kuberay: failed: the cluster was lost\n",
        ),
        (
            answer("Failed", "FAILED", failed=3, message=BAD_INPUT),
            2,
            "kuberay: failed, failed 3 times: Job entrypoint command failed with exit code 2\n",
        ),
        (answer("Complete", "STOPPED"), 1, "kuberay: complete: stopped\n"),
        (
            "echo 'Error from server (NotFound): rayjobs.ray.io kuberay not found' >&2; exit 1",
            2,
            f"error: {JOB}: there is no RayJob kuberay any more; it was deleted (`dirsweep jobs stop`)\n",
        ),
    ],
)
def test_a_followed_job_that_fails_or_is_deleted_gives_a_bad_status(kubectl, capsys, state, status, message):
    kubectl((state, "exit 1"))
    code, _, complaint = submitted(capsys)
    assert (code, complaint) == (status, message)


def test_a_kubernetes_that_stays_silent_ends_the_following(kubectl, monkeypatch):
    monkeypatch.setattr(rayjob, "PATIENCE", 0.2)
    kubectl(*[("exit 1", "")] * 3)
    with pytest.raises(ValueError, match=re.escape("kubectl had no answer for 0.2 s")):
        rayjob.follow("kuberay", "lab", print)


def test_without_kubectl_there_is_nothing_to_follow(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    status, _, complaint = submitted(capsys)
    assert status == 2
    assert "--follow: no kubectl is on the PATH; without --follow the manifest is written" in complaint
    assert list(tmp_path.iterdir()) == []
