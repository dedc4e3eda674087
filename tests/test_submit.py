"""What is handed to Ray Jobs, KubeRay and Slurm, checked by the strictest validator there is for each."""

import copy
import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import heads
import jsonschema
import pytest
import tiny
import yaml
from ray._raylet import AuthenticationTokenLoader
from sweeping import wait_for

from dirsweep import cli, data, sweep
from dirsweep.cluster import check, head, inside, kubectl, kuberay, seen, slurm
from dirsweep.cluster.job import Job, read_job, space_text
from dirsweep.cluster.package import pack
from dirsweep.ledger import Ledger
from dirsweep.search.spec import FILE
from dirsweep.storage import Folder
from dirsweep.sweep import provenance

ROOT = Path(__file__).parents[1]
JOBS = ROOT / "jobs"
TARGETS = {"laptop": "ray", "node8": "ray", "nodes4x8": "ray", "kuberay": "kuberay", "slurm2": "slurm"}
SHELLCHECK = Path(sys.executable).parent / "shellcheck"
SPACE = """\
question: Which weight?
searched: {stage2.norm_weight: {uniform: [0.0, 2.0]}}
budget: {trials: 3}
"""


@pytest.fixture(autouse=True)
def forget_tokens():
    """Let Ray forget the token of a test: in one process it looks for one but once."""
    yield
    AuthenticationTokenLoader.instance().reset_cache()


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run one command line in an empty folder, where neither kubectl nor sbatch is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def run(*arguments: object) -> SimpleNamespace:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return SimpleNamespace(status=ended.value.code, out=told.out, err=told.err)

    return run


@pytest.fixture
def job(tmp_path):
    """A job of the given keys beside a small search space."""

    def job(**keys: Any) -> Job:
        (tmp_path / "space.yaml").write_text(SPACE)
        file = tmp_path / "mine.yaml"
        file.write_text(yaml.safe_dump({"space": "space.yaml", **keys}))
        return read_job(file)

    return job


@pytest.fixture
def stand_in(tmp_path):
    """Put a command of that name on the path that keeps its arguments and its input, and prints `says`."""

    def stand_in(name: str, says: str, status: int = 0) -> None:
        (tmp_path / "bin").mkdir(exist_ok=True)
        file = tmp_path / "bin" / name
        file.write_text(
            f'#!/bin/sh\necho "$@" >{tmp_path}/{name}.arguments\n/bin/cat >{tmp_path}/{name}.input\n'
            f"echo {shlex.quote(says)} {'>&2' if status else ''}\nexit {status}\n"
        )
        file.chmod(0o755)

    return stand_in


def shellcheck(text: str, shell: str) -> list[str]:
    """What shellcheck says of a script: "SC2086 (info): ..."."""
    done = subprocess.run(
        [SHELLCHECK, "--shell", shell, "--severity", "style", "--format", "gcc", "-"],
        input=text,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


# ---- the shipped jobs


@pytest.mark.parametrize(("name", "to"), TARGETS.items())
def test_every_shipped_job_dry_runs(run, name, to):
    done = run("submit", JOBS / f"{name}.yaml", "--to", to, "--dry-run")
    assert done.status == 0, done.err
    assert f"--name {name} " in done.out
    assert "--or-resume" in done.out
    assert os.listdir() == []


def test_the_jobs_folder_has_no_other_job():
    assert {file.stem for file in JOBS.glob("*.yaml")} == set(TARGETS)


def steady(text: str) -> str:
    """Output without what changes from day to day and machine to machine."""
    text = text.replace(str(ROOT), "/home/me/dirsweep")
    text = re.sub(r"[\d.]+ MB in \d+ files", "N MB in N files", text)
    return re.sub(r"((?:python|ray)=|rayVersion: )[\d.]+", r"\1N", text)


def test_the_page_on_clusters_shows_every_shipped_job_and_what_it_prints(run, monkeypatch):
    page = (ROOT / "docs" / "clusters.md").read_text()
    shown = re.findall(
        r"```\n\$ (dirsweep submit jobs/(\w+)\.yaml [^\n]* --dry-run)\n(.*?)```\n", page, re.DOTALL
    )
    assert {name for _, name, _ in shown} == set(TARGETS)
    monkeypatch.chdir(ROOT)
    for command, name, output in shown:
        assert f"```yaml\n{(JOBS / f'{name}.yaml').read_text()}```" in page
        found = steady(run(*command.split()[1:]).out)
        for part in output.split("...\n"):
            assert steady(part) in found, f"{command}: {part}"


def test_the_size_that_the_pages_show_is_about_what_is_sent(run):
    size = r"would send ([\d.]+) MB in (\d+) files"
    [sent] = re.findall(size, run("submit", JOBS / "laptop.yaml", "--to", "ray", "--dry-run").out)
    for page in ("README.md", "docs/clusters.md"):
        [shown] = re.findall(size, (ROOT / page).read_text())
        assert [float(one) for one in shown] == pytest.approx([float(one) for one in sent], rel=0.05), page


# ---- KubeRay


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    """KubeRay's own schema of a RayJob, made strict: what it does not name is an error."""
    folder = os.environ.get("DIRSWEEP_SCHEMAS")
    if folder is None:
        pytest.skip("DIRSWEEP_SCHEMAS names no folder of schemas")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    definition = yaml.load((Path(folder) / "ray.io_rayjobs.yaml").read_text(), loader)  # noqa: S506 (a safe one)
    [version] = [version for version in definition["spec"]["versions"] if version["name"] == "v1"]
    tree = version["schema"]["openAPIV3Schema"]
    tree["properties"]["metadata"] = {"properties": {"name": {}, "namespace": {}}, "type": "object"}
    return jsonschema.Draft202012Validator(strict(tree))


def strict(tree: Any) -> Any:
    """A schema in which objects with properties have no others."""
    if isinstance(tree, list):
        return [strict(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    closed = {key: strict(value) for key, value in tree.items()}
    if isinstance(closed.get("properties"), dict) and not tree.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    if tree.get("x-kubernetes-int-or-string") is True:
        closed.pop("type", None)
    return closed


def shipped_ray_job() -> tuple[dict[str, Any], dict[str, Any]]:
    config, ray_job = yaml.safe_load_all(kuberay.manifests(read_job(JOBS / "kuberay.yaml")))
    return config, ray_job


def test_the_ray_job_keeps_to_kuberays_schema(schema):
    _, ray_job = shipped_ray_job()
    assert [error.message for error in schema.iter_errors(ray_job)] == []


def planted() -> Iterator[tuple[str, dict[str, Any]]]:
    """The shipped RayJob with one error each."""
    _, good = shipped_ray_job()

    def spec(tree: dict[str, Any]) -> dict[str, Any]:
        return dict(tree["spec"]["rayClusterSpec"])

    for name, plant in {
        "a key that is none": lambda tree: tree["spec"].update(shutdownAfterJobFinish=True),
        "a limit as text": lambda tree: tree["spec"].update(backoffLimit="2"),
        "a mode that is none": lambda tree: spec(tree)["authOptions"].update(mode="tokens"),
        "a misspelt mount": lambda tree: spec(tree)["headGroupSpec"]["template"]["spec"]["containers"][
            0
        ].update(volumeMount=[]),
        "a group without a size": lambda tree: spec(tree)["workerGroupSpecs"][0].pop("maxReplicas"),
        "a start parameter as a number": lambda tree: spec(tree)["headGroupSpec"]["rayStartParams"].update(
            {"num-cpus": 0}
        ),
    }.items():
        tree = copy.deepcopy(good)
        plant(tree)
        yield name, tree


@pytest.mark.parametrize("wrong", [pytest.param(tree, id=name) for name, tree in planted()])
def test_kuberays_schema_catches_planted_errors(schema, wrong):
    assert not schema.is_valid(wrong)


def test_the_ray_job_has_what_a_shared_cluster_asks_for():
    config, ray_job = shipped_ray_job()
    spec = ray_job["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (2, 720 * 60)
    ray = spec["rayClusterSpec"]
    assert ray["authOptions"] == {"mode": "token"}
    assert ray["enableInTreeAutoscaling"] is True
    [group] = ray["workerGroupSpecs"]
    assert (group["groupName"], group["minReplicas"], group["maxReplicas"]) == ("gpu", 1, 4)
    pod = group["template"]["spec"]
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    [container] = pod["containers"]
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert container["resources"]["limits"] == {"cpu": "60", "memory": "400Gi", "nvidia.com/gpu": "8"}
    assert {"name": "sweeps", "mountPath": "/sweeps"} in container["volumeMounts"]
    assert {"name": "sweeps", "persistentVolumeClaim": {"claimName": "dirsweep-sweeps"}} in pod["volumes"]
    password = {"secretKeyRef": {"name": "mlflow-login", "key": "password"}}
    assert {"name": "MLFLOW_TRACKING_PASSWORD", "valueFrom": password} in container["env"]
    head_group = ray["headGroupSpec"]
    assert head_group["rayStartParams"] == {"num-cpus": "0"}  # no trial beside the driver
    assert {"name": "job", "configMap": {"name": config["metadata"]["name"]}} in (
        head_group["template"]["spec"]["volumes"]
    )
    assert spec["entrypoint"] == "sh /dirsweep-job/job.sh"
    assert set(config["data"]) == {"job.sh", "space.yaml"}
    assert " --at-least 16 " in config["data"]["job.sh"]  # the one node of 8 GPUs that is there at the start


def on_kubernetes(job: Any, resources: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """The RayCluster part of the manifest of a job of these resources; `keys` are those of `kubernetes`."""
    wanted = {"image": "dirsweep:1", "volume_claim": "v", **keys}
    made = job(
        resources={"memory_per_node": "8Gi", **resources}, storage="/sweeps", kubernetes=wanted, retries=1
    )
    _, ray_job = yaml.safe_load_all(kuberay.manifests(made))
    return dict(ray_job["spec"]["rayClusterSpec"])


def test_cpu_trials_get_a_cpu_group_and_further_groups_stand_beside_it(job, schema):
    large = {"name": "large", "max_nodes": 2, "cpus": 64, "memory": "128Gi"}
    ray = on_kubernetes(job, {"nodes": 3, "cpus_per_node": 8}, further_groups=[large])
    sizes = [
        (group["groupName"], group["minReplicas"], group["maxReplicas"]) for group in ray["workerGroupSpecs"]
    ]
    assert sizes == [("cpu", 3, 3), ("large", 0, 2)]
    limits = ray["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "8", "memory": "8Gi"}


def test_without_room_to_grow_there_is_no_autoscaler(job):
    ray = on_kubernetes(job, {"nodes": 3, "cpus_per_node": 8})
    assert "enableInTreeAutoscaling" not in ray


@pytest.mark.parametrize(
    ("resources", "keys", "message"),
    [
        ({"nodes": 2, "cpus_per_node": 4}, {"min_nodes": 3}, "'kubernetes.min_nodes' (3) exceeds"),
        ({"cpus_per_node": 4}, {"min_nodes": 0}, "'kubernetes.min_nodes' is 0; the sweep begins on workers"),
        (
            {"cpus_per_node": 4, "gpus_per_node": 1, "gpus_per_trial": 1},
            {"further_groups": [{"name": "cpu", "cpus": 64, "memory": "8Gi"}]},
            "no trial has room in group 'cpu' (64 CPUs, 0 GPUs)",
        ),
    ],
)
def test_workers_that_do_not_go_with_the_trials_are_refused(job, resources, keys, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        on_kubernetes(job, resources, **keys)


def test_kubectl_is_handed_the_manifest(run, stand_in, tmp_path):
    stand_in("kubectl", "rayjob.ray.io/kuberay created")
    done = run("submit", JOBS / "kuberay.yaml", "--to", "kuberay")
    assert done.out.startswith("rayjob.ray.io/kuberay created\n")
    assert (tmp_path / "kubectl.arguments").read_text() == "apply -f -\n"
    assert [one["kind"] for one in yaml.safe_load_all((tmp_path / "kubectl.input").read_text())] == [
        "ConfigMap",
        "RayJob",
    ]


def test_without_kubectl_the_manifest_is_written_with_the_command_to_run(run, tmp_path):
    done = run("submit", JOBS / "kuberay.yaml", "--to", "kuberay")
    assert "kubectl apply -f kuberay.rayjob.yaml" in done.out
    text = (tmp_path / "kuberay.rayjob.yaml").read_text()
    assert text == run("submit", JOBS / "kuberay.yaml", "--to", "kuberay", "--dry-run").out


def test_what_kubectl_says_against_a_job_is_the_message(run, stand_in):
    stand_in("kubectl", "no matches for kind RayJob", status=1)
    done = run("submit", JOBS / "kuberay.yaml", "--to", "kuberay")
    assert done.status == 2
    assert "kubectl refused the job: no matches for kind RayJob" in done.err


@pytest.mark.parametrize(
    ("words", "handed"),
    [
        ("list", "get rayjobs --sort-by=.metadata.creationTimestamp"),
        ("logs mine --follow --namespace lab", "logs --follow job/mine --namespace lab"),
        ("stop mine", "delete rayjob mine"),
    ],
)
def test_kubectl_lists_reads_and_stops_jobs_and_without_it_its_command_is_told(
    run, stand_in, tmp_path, words, handed
):
    done = run("jobs", *words.split(), "--to", "kuberay")
    assert (done.status, done.err) == (
        2,
        f"error: no kubectl is on the PATH; where there is one, run: kubectl {handed}\n",
    )
    stand_in("kubectl", "Error from server (NotFound): no", status=1)
    done = run("jobs", *words.split(), "--to", "kuberay")
    assert (done.status, done.err) == (2, "error: kubectl: Error from server (NotFound): no\n")
    assert (tmp_path / "kubectl.arguments").read_text() == f"{handed}\n"


LOGGED = """\
E1126 12:00:00.000101     265 memcache.go:265] couldn't get current server API group list: Get "https://10.0.0.1"
E1126 12:00:00.000202     265 memcache.go:265] couldn't get current server API group list: Get "https://10.0.0.1"
"""
REFUSED = "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?"
REACH = "see that the cluster is up, and is the one that `kubectl config current-context` names"


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (f"{LOGGED}{REFUSED}", f"{REFUSED}; {REACH}"),
        (f"{LOGGED}Error from server (Forbidden): no", "Error from server (Forbidden): no"),
        (LOGGED, 'couldn\'t get current server API group list: Get "https://10.0.0.1"'),
        ("", "it ended with status 1"),
    ],
)
def test_of_a_kubectl_that_fails_its_words_are_shown_and_not_its_log(run, stand_in, says, told):
    stand_in("kubectl", says, status=1)
    for words in ("list", "logs mine", "stop mine"):
        done = run("jobs", *words.split(), "--to", "kuberay")
        assert (done.status, done.out, done.err) == (2, "", f"error: kubectl: {told}\n")
    if says.startswith(LOGGED):
        done = run("submit", JOBS / "kuberay.yaml", "--to", "kuberay")
        assert done.err == f"error: {JOBS / 'kuberay.yaml'}: kubectl refused the job: {told}\n"


def test_what_kubectl_says_beside_its_answer_is_shown_too(capfd, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tmp_path / "kubectl"
    file.write_text("#!/bin/sh\necho the answer; echo No resources found >&2\n")
    file.chmod(0o755)
    with pytest.raises(SystemExit) as ended:
        cli.main(["jobs", "list", "--to", "kuberay"])
    assert ended.value.code == 0
    assert capfd.readouterr() == ("the answer\n", "No resources found\n")


def test_a_login_that_kubectl_asks_for_is_shown_while_it_waits(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    file, made = tmp_path / "kubectl", tmp_path / "login"
    waits = f"for _ in $(seq 300); do [ -e {made} ] && exit 0; sleep 0.1; done; exit 1"
    file.write_text(f"#!/bin/sh\necho open https://login >&2; {waits}\n")
    file.chmod(0o755)
    told = []
    assert kubectl.run(lambda line: (told.append(line), made.touch()), "get", "rayjobs")
    assert told == ["open https://login"]


# ---- Slurm


def batch_script(**changes: str) -> str:
    return slurm.script(read_job(JOBS / "slurm2.yaml"))


def test_the_batch_script_has_nothing_for_shellcheck_to_say():
    text = batch_script()
    assert shellcheck(text, "bash") == []
    [on_a_node] = re.findall(r"/node\.sh\" <<'(\w+)'\n(.*?)\n\1\n", text, re.DOTALL)
    assert shellcheck(on_a_node[1], "sh") == []


def test_shellcheck_catches_a_planted_error():
    wrong = batch_script().replace('chmod 700 "$work"', "chmod 700 $work")
    [told] = shellcheck(wrong, "bash")
    assert "SC2086" in told


def test_the_batch_script_asks_slurm_for_what_the_job_says():
    options = re.findall(r"^#SBATCH --(.*)$", batch_script(), re.MULTILINE)
    assert {
        *("job-name=slurm2", "nodes=2", "ntasks-per-node=1", "cpus-per-task=32", "mem=64G", "time=240"),
        *("exclusive", "partition=batch", "requeue", "open-mode=append", "signal=B:USR1@120"),
    } <= set(options)


def test_what_the_nodes_share_lies_where_sbatch_runs_if_the_storage_is_an_object_store(job):
    made = job(
        resources={"nodes": 2, "cpus_per_node": 4},
        storage="s3://lab/sweeps",
        tracking_uri="http://mlflow:5000",
    )
    text = slurm.script(made)
    assert 'work="$SLURM_SUBMIT_DIR/.jobs/$name-$SLURM_JOB_ID"' in text
    assert "--storage s3://lab/sweeps --or-resume" in text
    assert 'work="$storage/.jobs/$name-$SLURM_JOB_ID"' in batch_script()


def test_sbatch_is_handed_the_script(run, stand_in, tmp_path):
    stand_in("sbatch", "Submitted batch job 7")
    done = run("submit", JOBS / "slurm2.yaml", "--to", "slurm")
    assert done.out.startswith("submitted job 7\n")
    assert (tmp_path / "sbatch.input").read_text() == batch_script()


def test_without_sbatch_the_script_is_written_with_the_command_to_run(run, tmp_path):
    done = run("submit", JOBS / "slurm2.yaml", "--to", "slurm", "--out", "mine.sbatch")
    assert done.out == "wrote mine.sbatch; hand it over with: sbatch mine.sbatch\n"
    assert (tmp_path / "mine.sbatch").read_text() == batch_script()


class Node:
    """A node where the batch script runs, with stand-ins for the commands of Slurm, Ray and dirsweep."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder, self.storage = folder, folder / "sweeps"
        self.bin = folder / "bin"
        self.bin.mkdir(exist_ok=True)
        self.script = folder / "job.sbatch"
        self.script.write_text(text)
        self.told = folder / "told.txt"
        self.put("srun", 'while [ "$1" != sh ]; do shift; done; SLURM_NODEID=0 exec "$@"')
        self.put("pgrep", "exit 1")  # no Ray is there
        self.put(
            "ray", f'echo "ray $*" >>{self.told}; while [ "$1" != -- ]; do shift; done; shift; exec "$@"'
        )
        self.put(
            "scontrol",
            f'echo "scontrol $*" >>{self.told}; case "$2" in hostnames) echo n1; echo n2 ;; '
            'node) echo "   NodeAddr=10.77.0.2 NodeHostName=n1" ;; esac',
        )

    def put(self, name: str, body: str) -> None:
        file = self.bin / name
        file.write_text(f"#!/bin/bash\n{body}\n")
        file.chmod(0o755)

    def start(self) -> subprocess.Popen[str]:
        environment = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "SLURM_JOB_ID": "7",
            "SLURM_JOB_NODELIST": "n[1-2]",
        }
        return subprocess.Popen(
            ["bash", self.script],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
        )

    @property
    def heard(self) -> str:
        return self.told.read_text() if self.told.exists() else ""


@pytest.fixture
def node(job, tmp_path) -> Node:
    made = job(
        resources={"nodes": 2, "cpus_per_node": 4},
        storage=str(tmp_path / "sweeps"),
        retries=1,
        time_limit=10,
        slurm={"setup": ["set -u"]},
    )
    return Node(tmp_path, slurm.script(made))


def test_a_batch_job_makes_a_token_of_its_own_and_runs_the_sweep_on_the_head(node, tmp_path):
    kept = tmp_path / "kept"
    node.put(
        "dirsweep",
        f'echo "dirsweep $*" >>{node.told}; stat -c %a "$RAY_AUTH_TOKEN_PATH" >{kept}; '
        f'cat "$RAY_AUTH_TOKEN_PATH" >>{kept}; echo "$RAY_AUTH_MODE $RAY_ADDRESS" >>{node.told}',
    )
    log, _ = node.start().communicate(timeout=30)
    mode, token = kept.read_text().split("\n")[:2]
    assert mode == "600"
    assert re.fullmatch(r"[0-9a-f]{64}", token)
    assert token not in log + node.heard + node.script.read_text()
    assert "--address 10.77.0.2:20007 --min-nodes 2 --num-cpus=4 --num-gpus=0" in node.heard
    assert node.heard.count("token 10.77.0.2:20007") == 2  # the look around, then the sweep
    assert re.findall(r"^dirsweep (\w+)", node.heard, re.MULTILINE) == ["jobs", "run"]
    assert "requeue" not in node.heard
    assert not list((tmp_path / "sweeps" / ".jobs").iterdir())  # the token is gone


def test_a_batch_job_that_fails_is_queued_again_as_often_as_it_may(node):
    node.put("dirsweep", '[ "$1" = jobs ] || exit 1')
    for requeues in (1, 1):  # the second time it ends
        process = node.start()
        process.communicate(timeout=30)
        assert node.heard.count("scontrol requeue 7") == requeues
    assert process.returncode == 1


def test_a_batch_job_with_bad_input_is_not_queued_again(node):
    node.put("dirsweep", "exit 2")
    process = node.start()
    process.communicate(timeout=30)
    assert process.returncode == 2
    assert "requeue" not in node.heard


@pytest.mark.parametrize(
    ("number", "then", "kept"),
    [
        (signal.SIGUSR1, "scontrol requeue 7", True),  # from Slurm, near the time limit
        (signal.SIGUSR2, "scancel 7", False),  # from `dirsweep jobs stop`
    ],
)
def test_at_a_signal_the_sweep_saves_its_trials_and_the_job_is_queued_again_or_ends(
    node, tmp_path, number, then, kept
):
    begun, asked = tmp_path / "begun", tmp_path / "asked"
    os.mkfifo(begun)
    os.mkfifo(asked)
    node.put(
        "dirsweep",
        f'echo "dirsweep $*" >>{node.told}; case "$1" in run) echo >{begun}; cat {asked}; exit 130 ;; '
        f"stop) echo >{asked} ;; esac",
    )
    node.put("scancel", f'echo "scancel $*" >>{node.told}')
    process = node.start()
    begun.read_text()  # the sweep runs
    process.send_signal(number)
    log, _ = process.communicate(timeout=30)
    assert f"dirsweep stop {tmp_path}/sweeps/mine" in node.heard
    assert node.heard.splitlines()[-1] == then
    assert "trials save their state" in log
    assert [one.name for one in (tmp_path / "sweeps" / ".jobs").iterdir()] == ["mine-7"] * kept


# ---- what runs on the cluster


def test_the_script_of_a_job_has_nothing_for_shellcheck_to_say(job):
    for retries, retried in ((0, False), (2, False), (0, True)):
        text = inside.script(job(), "/sweeps", ("dirsweep",), retries=retries, retried=retried)
        assert shellcheck(text, "sh") == []


@pytest.mark.parametrize("fails", ["jobs", "run"])
@pytest.mark.parametrize(
    ("status", "tried_again"), [(0, False), (2, False), (130, False), (1, True), (137, True)]
)
def test_a_ray_job_is_tried_again_later_unless_that_is_of_no_use(job, tmp_path, fails, status, tried_again):
    program = tmp_path / "dirsweep"
    program.write_text(
        f'#!/bin/sh\necho "$1" >>{tmp_path}/heard\n[ "$1" = {fails} ] || exit 0\nexit {status}\n'
    )
    sleep = tmp_path / "bin" / "sleep"
    sleep.parent.mkdir()
    sleep.write_text(f'#!/bin/sh\necho "$1 s" >>{tmp_path}/heard\n')
    for one in (program, sleep):
        one.chmod(0o755)
    file = tmp_path / "job.sh"
    file.write_text(inside.script(job(), "/sweeps", (str(program),), retries=2))
    path = f"{sleep.parent}:/usr/bin:/bin"
    done = subprocess.run(["sh", file], capture_output=True, timeout=30, env={"PATH": path})
    assert done.returncode == status
    one = ["jobs"] if fails == "jobs" and status else ["jobs", "run"]
    again = [*one, "60 s", *one, "120 s", *one]
    assert (tmp_path / "heard").read_text().splitlines() == (again if tried_again else one)


def test_a_ray_job_that_is_stopped_while_it_waits_for_its_next_attempt_ends(job, tmp_path):
    program = tmp_path / "dirsweep"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    file = tmp_path / "job.sh"
    file.write_text(inside.script(job(), "/sweeps", (str(program),), retries=2))

    def it_waits(pid: int) -> bool:
        """Whether `sleep` runs, not the shell that becomes it, which would not end at the signal."""
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return any(Path(f"/proc/{child}/comm").read_text() == "sleep\n" for child in children)

    with subprocess.Popen(["sh", file], stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "failed with status 1; attempt 1 of 2 to go on, in 60 s\n"
            wait_for(lambda: it_waits(process.pid), "the pause", seconds=10)
            os.killpg(process.pid, signal.SIGTERM)  # as Ray does: all of the job's processes
            assert process.wait(10) == 128 + signal.SIGTERM
        finally:
            heads.end_group(process.pid)


@pytest.mark.parametrize(("status", "told"), [(0, 0), (2, 2), (1, 1), (130, 0)])
def test_kuberay_does_not_begin_again_what_was_stopped(job, tmp_path, status, told):
    program = tmp_path / "dirsweep"
    program.write_text(f'#!/bin/sh\n[ "$1" = jobs ] && exit 0\nexit {status}\n')
    program.chmod(0o755)
    file = tmp_path / "job.sh"
    file.write_text(inside.script(job(), "/sweeps", (str(program),), retries=0, retried=True))
    assert subprocess.run(["sh", file], timeout=30).returncode == told


def test_a_ray_job_sends_the_package_the_space_and_the_script_and_nothing_else(job, tmp_path):
    package = pack(job(environment={"OMP_NUM_THREADS": 2}), tmp_path / "sent")
    sent = {str(file.relative_to(tmp_path / "sent")) for file in package.files}
    code = {name for name in sent if name.startswith("code/dirsweep/")}
    assert sent - code == {"work/job.sh", "work/space.yaml"}
    ours = {
        f"code/dirsweep/{file.relative_to(ROOT / 'dirsweep')}"
        for file in (ROOT / "dirsweep").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert code == ours
    assert package.size < 5e6
    assert package.variables["OMP_NUM_THREADS"] == "2"
    assert f"{package.size / 1e6:.1f} MB in {len(sent)} files" in package.told


def test_all_nodes_are_asked_for_the_files_that_a_space_names(job, tmp_path):
    (tmp_path / "old").mkdir()
    made = job()
    (tmp_path / "space.yaml").write_text(
        SPACE
        + yaml.safe_dump({"fixed": tiny.config(tmp_path).model_dump(mode="json"), "warm_start": ["old"]})
    )
    asked = inside.check_command(made, "/sweeps", ("dirsweep",), 1)
    assert f"--needs {tmp_path}/old --needs {tmp_path}/tiny.csv" in asked


def test_what_is_sent_runs_by_itself(job, tmp_path):
    package = pack(job(), tmp_path / "sent")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dirsweep", "--version"],
        env={**os.environ, "PYTHONPATH": str(package.code.parent)},
        cwd=package.work,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "dirsweep 0.1.0\n"


@pytest.mark.parametrize(
    ("keys", "to", "message"),
    [
        ({}, "kuberay", "'kubernetes' is missing"),
        ({}, "slurm", "'resources.cpus_per_node' is needed"),
        (
            {"resources": {"cpus_per_node": 4}, "time_limit": 2},
            "slurm",
            "'time_limit' is 2 minutes, and the sweep is stopped 2 before its end",
        ),
        ({"time_limit": 60}, "ray", "'time_limit': Ray Jobs have none; set 'budget.minutes'"),
        ({"environment": {"X": {"from": "secret", "secret": "a", "key": "b"}}}, "ray", "has no secrets"),
    ],
)
def test_what_a_cluster_does_not_have_is_said_before_anything_starts(run, job, tmp_path, keys, to, message):
    job(**keys)
    done = run("submit", tmp_path / "mine.yaml", "--to", to, "--dry-run")
    assert done.status == 2
    assert done.err.startswith(f"error: {tmp_path}/mine.yaml: ")
    assert message in done.err


def test_a_head_whose_python_lacks_packages_says_so_before_all_else(job, tmp_path):
    package = pack(job(), tmp_path / "sent")
    (tmp_path / "bin").mkdir()
    bare = tmp_path / "bin" / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without site-packages
    bare.chmod(0o755)
    done = subprocess.run(
        ["sh", package.work / "job.sh"],
        env={"PATH": f"{bare.parent}:/usr/bin:/bin", "PYTHONPATH": str(package.code.parent)},  # as Ray does
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert re.match(r"error: \S+ lacks mlflow, optuna, .*; install what dirsweep requires there", done.stderr)


# ---- what the nodes must have


def answer(**changes: Any) -> dict[str, Any]:
    good = {
        "node": "n2",
        "shared": True,
        "writable": True,
        "why": "",
        "away": "",
        "lacks": [],
        "versions": seen.versions(),
    }
    return good | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shared": False}, "n2: does not see storage /data as the head does; name a folder"),
        ({"shared": False, "why": "denied"}, "n2: does not see storage /data as the head does (denied);"),
        ({"writable": False, "why": "Read-only"}, "n2: cannot write in storage /data (Read-only)"),
        ({"lacks": ["/data/wells.csv"]}, "n2: has no /data/wells.csv, which the search space names"),
        (
            {"versions": seen.versions() | {"dirsweep": "0.0.9"}},
            "n2: has dirsweep 0.0.9, but the job was made with 0.1.0",
        ),
        (
            {"versions": seen.versions() | {"python": "3.9"}},
            "n2: has python 3.9, but the job was made with 3.",
        ),
    ],
)
def test_a_node_that_cannot_serve_the_job_is_named(changes, message):
    [told] = check.problems(answer(**changes), Folder("/data"), seen.versions())
    assert told.startswith(message)


def test_a_node_that_can_serve_the_job_gives_no_problem():
    assert check.problems(answer(), Folder("/data"), seen.versions()) == []


def test_a_store_that_is_away_is_no_bad_input_on_the_head_or_on_a_node(run, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    done = run("jobs", "check", "--storage", bucket)
    assert done.status not in inside.NO_USE  # the job looks around again
    assert re.search(
        r"Could not connect to the endpoint URL.*; name a bucket of yours, and set AWS_", done.err
    )
    told = seen.seen_here(str(bucket), "mark", [])
    assert "Could not connect to the endpoint URL" in told["away"]
    assert check.problems(told, bucket, seen.versions()) == []


def test_a_look_around_ends_before_ray_where_the_head_itself_lacks_something(run, monkeypatch, tmp_path):
    monkeypatch.delenv("NOWHERE_SET", raising=False)
    (tmp_path / "file").write_text("")
    for words, message in {
        (
            "--storage",
            "/tmp",
            "--variable",
            "NOWHERE_SET",
        ): "NOWHERE_SET not set in the environment of the head",
        ("--storage", "sweeps"): "--storage sweeps: a cluster needs an absolute path",
        ("--storage", tmp_path / "file"): "cannot write there",
        ("--storage", "/tmp", "--expect", "torch=2"): "--expect torch: takes dirsweep, python, ray",
    }.items():
        done = run("jobs", "check", *words)
        assert done.status == 2
        assert message in done.err


# ---- other heads, played by a server of the test's own


@pytest.fixture
def other_head(monkeypatch):
    """Serve these answers by path; gives the address. What is not named is not answered."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr(head, "TIMEOUT", 1.0)
    ended, servers = threading.Event(), []

    def serve(**changes: Any) -> str:
        node = {"state": "ALIVE", "resources_total": {"CPU": 4.0}}
        answers = {
            "/api/version": {"version": "4", "ray_version": version("ray")},
            "/api/authentication_mode": {"authentication_mode": "token"},
            "/api/v0/cluster_metadata": {
                "data": {"rayVersion": version("ray"), "pythonVersion": platform.python_version()}
            },
            "/api/v0/nodes": {"data": {"result": {"result": [node, {**node, "state": "DEAD"}]}}},
        }
        answers |= {f"/api/{name.replace('__', '/')}": found for name, found in changes.items()}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = answers.get(self.path.partition("?")[0])
                if found is None:
                    ended.wait(timeout=20)
                    return
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, *words: object) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    ended.set()
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
def test_a_cluster_that_cannot_serve_the_job_is_refused_before_anything_is_sent(
    run, job, tmp_path, other_head
):
    old = {"data": {"rayVersion": "2.40.0", "pythonVersion": platform.python_version()}}
    snake = {"data": {"rayVersion": version("ray"), "pythonVersion": "3.9.2"}}
    for changes, keys, message in (
        ({"authentication_mode": {"authentication_mode": "disabled"}}, {}, "takes commands from anyone"),
        ({"v0__cluster_metadata": old}, {}, "the cluster runs Ray 2.40.0, and here is Ray 2."),
        ({"v0__cluster_metadata": snake}, {}, "the cluster runs Python 3.9, and here is Python 3."),
        ({}, {"resources": {"workers": 5}}, "room for 4 (1 node: 4 CPUs, 0 GPUs); ask for fewer workers"),
        ({}, {"resources": {"cpus_per_trial": 8}}, "a trial asks for 8 CPUs and 0 GPUs on one machine"),
        ({"version": None}, {}, "no Ray head answers there (no answer within 1 s)"),
    ):
        job(**keys)
        address = other_head(**changes)
        done = run("submit", tmp_path / "mine.yaml", "--to", "ray", "--address", address)
        assert done.status == 2
        assert f"{address}: " in done.err
        assert message in done.err


@pytest.mark.slow
def test_the_commands_that_are_told_find_the_same_head(run, other_head, monkeypatch):
    address = other_head(jobs__=[])
    begin = f"{address}: no job yet; begin one with: dirsweep submit jobs/laptop.yaml --to ray"
    assert run("jobs", "list", "--address", address).out == f"{begin} --address {address}\n"
    monkeypatch.setenv(head.ADDRESSES[0], address)
    assert run("jobs", "list").out == f"{begin}\n"


def test_a_relative_storage_is_for_a_head_on_this_machine(job):
    there = head.Head.__new__(head.Head)  # as it is once it is connected
    there.address = "http://10.0.0.1:8265"
    with pytest.raises(
        ValueError, match=r"'storage' is 'sweeps', below the folder where you are, but http://10"
    ):
        there.check(job())


# ---- bad heads


@pytest.mark.slow
def test_a_head_that_does_not_answer_is_named_in_seconds(run, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    done = run("jobs", "list", "--address", "http://127.0.0.1:9")
    assert done.status == 2
    assert "http://127.0.0.1:9: no Ray head answers there" in done.err


def test_a_cluster_must_be_named_by_its_dashboard(run, monkeypatch):
    for name in head.ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    assert "which cluster? Give --address URL" in run("jobs", "list").err
    assert "10.0.0.1:6379: give the address of the head's dashboard" in (
        run("jobs", "list", "--address", "10.0.0.1:6379").err
    )


def test_without_a_token_nothing_is_sent(run, monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "no token for the cluster" in run("jobs", "list", "--address", "http://127.0.0.1:9").err
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "nowhere")
    assert "RAY_AUTH_TOKEN_PATH: there is no file nowhere" in (
        run("jobs", "list", "--address", "http://127.0.0.1:9").err
    )


# ---- a real head


END = "\n--\n"
COMMANDS = f"""
import sys
from dirsweep import cli
for command in sys.argv[1:]:
    try:
        cli.main(command.split())
    except SystemExit as ended:
        print("status", ended.code, end={END!r}, flush=True)
"""


@pytest.mark.slow
def test_a_job_on_a_real_head_goes_on_with_the_sweep_of_its_name(tmp_path):
    fixed = tiny.config(tmp_path).model_dump(mode="json")
    (tmp_path / "space.yaml").write_text(SPACE + yaml.safe_dump({"fixed": fixed}))
    (tmp_path / "mine.yaml").write_text("space: space.yaml\nbudget: {trials: 1}\n")
    spec = read_job(tmp_path / "mine.yaml").rendered()
    begun = Folder(tmp_path / "sweeps" / "mine")  # its driver died before it asked anything
    begun.put(FILE, space_text(spec).encode())
    opened = provenance.opening(spec, data.load(spec.default_config().dataset), sweep.Resources())
    Ledger.create(begun, **opened)
    with heads.running(tmp_path) as real:
        token = real.token_file.read_text()

        @contextmanager
        def told(*commands: str, token: str = token) -> Iterator[Callable[[], list[str]]]:
            """Run commands one after another in one process, for Ray's import takes long; what each said."""
            process = subprocess.Popen(
                [sys.executable, "-u", "-c", COMMANDS, *commands],
                env={**os.environ, "RAY_ADDRESS": real.address, "RAY_AUTH_TOKEN": token},
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            try:
                yield lambda: process.communicate(timeout=240)[0].split(END)[:-1]
            finally:
                process.kill()
                process.wait()

        with (
            told("jobs list", token="0" * 64) as strangers,
            told("submit mine.yaml --to ray --follow") as owners,
        ):
            [refused], [log] = strangers(), owners()
        assert "the head refuses the token from RAY_AUTH_TOKEN" in refused
        assert refused.endswith("status 2")
        assert f"cluster: 1 node, room for 2 trials at once; all see {tmp_path}/sweeps" in log
        assert "reading its ledger, then starting Ray" in log
        assert "1 trial: 1 complete" in log
        assert log.endswith("status 0")
        [job_id] = re.findall(r"^submitted (mine-[0-9a-f]{6});", log, re.MULTILINE)
        with told("jobs list", f"jobs logs {job_id}", f"jobs stop {job_id}") as later:
            listed, again, stopped = later()
        assert re.search(rf"^{job_id} +succeeded .*\nstatus 0$", listed, re.MULTILINE)
        assert again.splitlines()[-2] in log
        assert stopped == f"{job_id}: had ended already\nstatus 0"
        assert token not in refused + log + listed
    assert (tmp_path / "sweeps" / "mine" / "best.yaml").exists()
