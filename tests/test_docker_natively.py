"""The services of docker/compose.yaml, run natively by their own commands; moto stands for the S3 gateway."""

import json
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from composed import DOCKER, make_runs
from natively import SUBNETS, World, in_store, missing, sql, start_tracking, world
from sweeping import records, wait_for

import dirsweep
from dirsweep import ledger
from dirsweep.storage import Folder
from dirsweep.sweep import told

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

CONTAINERS = {name: name for name in ("postgres", "s3", "mlflow", "ray-head")}
WORKERS = {f"ray-worker-{number}": "ray-worker" for number in (1, 2)}
TRIALS = 2
EPOCHS = ("stage1: {epochs: 25}", "stage1: {epochs: 12}")
"""What the demo's space says, and what it says here: long enough to be cut in the middle."""
VERSION, OTHER_VERSION = dirsweep.__version__, "0.0.9"
SOON = {  # a lost node is noticed within seconds, and trials get their share of a busy machine
    "RAY_worker_niceness": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "3",
}
NODES = """
import json, os, urllib.request
token = open(os.environ["RAY_AUTH_TOKEN_PATH"]).read()
url = os.environ["RAY_API_SERVER_ADDRESS"] + "/api/v0/nodes?detail=1"
request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
nodes = json.load(urllib.request.urlopen(request, timeout=10))["data"]["result"]["result"]
print(json.dumps([[node["node_ip"], node["state"]] for node in nodes if not node["is_head_node"]]))
"""
CLIENT = """
import json, os, sys, urllib.error, urllib.request
from base64 import b64encode

URL = sys.argv[1] + "/api/2.0/mlflow/experiments/search?max_results=5"

def status(**headers):
    request = urllib.request.Request(URL, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code

def basic(password):
    return "Basic " + b64encode(f"{os.environ['MLFLOW_TRACKING_USERNAME']}:{password}".encode()).decode()

right = basic(os.environ["MLFLOW_TRACKING_PASSWORD"])
told = {
    "nobody": status(),
    "wrong password": status(Authorization=basic("password1234")),
    "foreign host": status(Authorization=right, Host="evil.example.org"),
    "admin": status(Authorization=right),
}

import mlflow
client = mlflow.MlflowClient(sys.argv[1])
experiment = client.create_experiment("composed")
run = client.create_run(experiment).info.run_id
client.log_metric(run, "val/few/mae", 4.0)
client.log_text(run, "bin,count", "bins.csv")
client.set_terminated(run)
told |= {"run": run, "artifacts": client.get_experiment(experiment).artifact_location}
told["read back"] = [item.path for item in client.list_artifacts(run)]
print(json.dumps(told))
"""


COMMANDS = """
import sys
from dirsweep import cli
for command in sys.argv[1:]:
    try:
        cli.main(command.split())
    except SystemExit as ended:
        if ended.code != 2:
            raise
sys.exit(2)
"""
"""Commands that must all be refused, in one process, for Ray's import takes long."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[World]:
    """All containers, and of them PostgreSQL, a store and MLflow healthy; Ray's head starts meanwhile."""
    with world(CONTAINERS | WORKERS, {"RAY_WORKER_CPUS": "1"}) as started:
        started.start("ray-head", environment=SOON)
        start_tracking(started)
        yield started


def test_what_a_driver_tracks_goes_to_postgresql_and_the_store_and_strangers_are_refused(cluster: World):
    uri = yaml.safe_load((DOCKER / "demo.yaml").read_text())["tracking_uri"]
    entrypoint = cluster.service("ray-head")["entrypoint"]
    done = cluster.run("ray-head", [*entrypoint, "python", "-c", CLIENT, uri])
    assert done.returncode == 0, done.stderr + cluster.log("mlflow")
    told = json.loads(done.stdout.splitlines()[-1])
    answers = {name: told[name] for name in ("nobody", "wrong password", "foreign host", "admin")}
    assert answers == {"nobody": 401, "wrong password": 401, "foreign host": 403, "admin": 200}
    assert told["artifacts"].startswith("mlflow-artifacts:/")
    assert told["read back"] == ["bins.csv"]

    query = "select m.key, m.value, r.status from metrics m join runs r using (run_uuid)"
    assert sql(cluster, query) == (0, "val/few/mae|4|FINISHED")
    assert sql(cluster, "select username, is_admin from users") == (0, "admin|t")
    status, refusal = sql(cluster, "select 1", password="mlflow")
    assert (status, "password authentication failed" in refusal) == (2, True)

    [name] = in_store(cluster)
    assert name.startswith("artifacts/")
    assert name.endswith(f"{told['run']}/artifacts/bins.csv")


def test_the_head_reaches_mlflow_and_neither_the_database_nor_the_store(cluster: World):
    connect = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1)"
    places = (("mlflow", "cluster", "5000"), ("postgres", "records", "5432"), ("s3", "records", "7070"))
    reached = {}
    for name, network, port in places:
        words = ["python", "-c", connect, cluster.address(name, network), port]
        reached[name] = cluster.run("ray-head", words).returncode == 0
    assert reached == {"mlflow": True, "postgres": False, "s3": False}


def rows(cluster: World, query: str) -> list[list[str]]:
    """What the database answers."""
    status, answer = sql(cluster, query)
    assert status == 0, answer
    return [line.split("|") for line in answer.splitlines()]


@pytest.fixture(scope="module")
def ray(cluster: World) -> World:
    """Ray's head and two workers beside it, healthy; the second has another dirsweep installed."""
    other = cluster.folder / "other" / "dirsweep"
    shutil.copytree(Path(dirsweep.__file__).parent, other, ignore=shutil.ignore_patterns("__pycache__"))
    text = (other / "__init__.py").read_text()
    assert text.count(VERSION) == 1
    (other / "__init__.py").write_text(text.replace(VERSION, OTHER_VERSION))
    space = cluster.folder / "srv" / "project" / "search_spaces" / "all.yaml"
    assert EPOCHS[0] in space.read_text()
    space.write_text(space.read_text().replace(*EPOCHS))
    cluster.wait_healthy("ray-head")
    cluster.start("ray-worker-1", environment=SOON)
    cluster.start("ray-worker-2", environment=SOON | {"PYTHONPATH": str(other.parent)})
    for worker in WORKERS:
        cluster.wait_healthy(worker)
    return cluster


def write_job(cluster: World, name: str, **changes: Any) -> str:
    """Leave the demo job with changes where the head sees it; its path there, below the project."""
    job = yaml.safe_load((DOCKER / "demo.yaml").read_text()) | changes
    file = cluster.folder / "srv" / "project" / "docker" / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(job))
    return f"docker/{file.name}"


def submit(cluster: World, name: str, environment: Mapping[str, str], **changes: Any) -> None:
    """Hand the demo job over with changes, in the head, by the words of `make submit`."""
    made = shlex.split(make_runs("submit", f"JOB={write_job(cluster, name, **changes)}"))
    option, workdir, container, *command = made[made.index("exec") + 1 :]
    assert option == "--workdir"
    cluster.start(container, command, environment, name=name, workdir=workdir)


def test_what_the_cluster_cannot_serve_is_said_in_seconds_and_begins_nothing(ray: World):
    nobody = f"http://{SUBNETS['cluster']}.99:8265"
    submit(ray, "stranger", environment={"RAY_AUTH_TOKEN": "0" * 64})
    submit(ray, "unshared", environment={}, storage="/run/sweeps")
    large = write_job(ray, "large", resources={"workers": 3})
    both = [f"submit {large} --to ray --address {nobody}", f"submit {large} --to ray --follow"]
    ray.start("ray-head", ["python", "-c", COMMANDS, *both], name="large", workdir="/srv/project")
    # as a job for KubeRay or Slurm looks around, which sends no code
    look = ["dirsweep", "jobs", "check", "--storage", "/srv/sweeps", "--expect", f"dirsweep={VERSION}"]
    ray.start("ray-head", look, {"RAY_ADDRESS": "ray-head:6379"}, name="versions")
    for name, said in {
        "stranger": "the head refuses the token from RAY_AUTH_TOKEN; it must be the one",
        "large": "the job asks for 3 trials at once, but the cluster has room for 2 (3 nodes: ",
        "unshared": "ray-worker-1: does not see storage /run/sweeps as the head does; name a folder that all",
        "versions": f"ray-worker-2: has dirsweep {OTHER_VERSION}, but the job was made with {VERSION}",
    }.items():
        status = ray.running[name].wait(90)
        assert (status, said in ray.log(name)) == (2, True), f"{name}: {status}\n{ray.log(name)}"
        assert "Traceback" not in ray.log(name)
    assert f"error: {large}: {nobody}: no Ray head answers there" in ray.log("large")
    left = ray.run("ray-head", ["find", "/srv/sweeps", "/run/sweeps", "-type", "f"])
    assert (left.returncode, left.stdout) == (0, ""), left.stderr


def test_a_sweep_goes_through_though_a_worker_is_cut_off_in_the_middle(ray: World):
    folder = ray.folder / "srv" / "sweeps" / "demo"
    submit(ray, "submit", environment={}, budget={"trials": TRIALS})

    def hosts(trial: str) -> list[str]:
        """Where the attempts at a trial ran, in order."""
        place = Folder(folder / "trials" / trial)
        return [json.loads(place.read(name))["host"] for name in place.list("attempts")]

    lost: list[str] = []

    def in_the_middle() -> bool:
        """Whether a trial is under way on the second worker, and another one complete; notes which."""
        assert ray.running["submit"].poll() is None, ray.log("submit")
        known = ledger.trials(records(folder)).values()
        begun = [trial.trial for trial in known if trial.state == "OPEN" and 0 < trial.epoch <= 10]
        lost[:] = [trial for trial in begun if hosts(trial) == ["ray-worker-2"]]
        return bool(lost) and any(trial.state == "COMPLETE" for trial in known)

    wait_for(in_the_middle, "a trial in the middle on the second worker", seconds=300)
    ray.cut("ray-worker-2", "cluster")
    assert ray.running["submit"].wait(300) == 0, ray.log("submit")

    nodes = json.loads(ray.run("ray-head", ["python", "-c", NODES]).stdout)
    first, second = (ray.address(worker, "cluster") for worker in WORKERS)
    assert sorted(nodes) == [[first, "ALIVE"], [second, "DEAD"]]
    log = (ray.folder / "submit.log").read_text()
    assert f"attempt 1 of 3 failed (The actor died because its node has died. (ip: {second})), trying" in log

    found = ledger.trials(records(folder))
    assert {name for name in found if name.isdigit()} == {str(number) for number in range(TRIALS)}
    assert {trial.state for trial in found.values()} == {"COMPLETE"}
    assert hosts(lost[0]) == ["ray-worker-2", "ray-worker-1"]
    for trial in found.values():
        assert [report["epoch"] for report in trial.reports] == list(range(1, len(trial.reports) + 1))

    tracked = rows(
        ray,
        """select t.value, r.status, r.run_uuid, count(m.step) from runs r
        join tags t on t.run_uuid = r.run_uuid and t.key = 'trial'
        left join metrics m on m.run_uuid = r.run_uuid and m.key = 'val/few/mae' group by 1, 2, 3""",
    )
    assert {key: status for key, status, _, _ in tracked} == dict.fromkeys(found, "FINISHED")
    artifacts = in_store(ray)
    for key, _, run, epochs in tracked:
        ours = {name.rpartition("/")[2] for name in artifacts if f"/{run}/artifacts/" in name}
        if found[key].attempts:
            assert (int(epochs), set(told.FILES) - ours) == (found[key].epoch, set()), key
        else:  # a control whose very configuration was run already
            assert (found[key].reason[:21], set(told.FILES) & ours) == ("same configuration as", set()), key
    parents = rows(ray, "select r.status from runs r join tags t using (run_uuid) where t.key = 'sweep_id'")
    assert parents == [["FINISHED"]]


def test_no_secret_is_on_a_command_line_or_in_a_log(cluster: World):
    secrets = [file.read_text() for file in (cluster.folder / "secrets").iterdir()]
    assert len(secrets) == 6
    files = [
        *cluster.folder.glob("*.log"),
        *cluster.folder.glob("ray/**/*"),
        *cluster.folder.glob("srv/sweeps/**/*"),
    ]
    seen = [file.read_text(errors="replace") for file in files if file.is_file()]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            seen.append(process.read_text(errors="replace"))
        except OSError:  # it ended
            continue
    assert not [text for text in seen for secret in secrets if secret in text]
