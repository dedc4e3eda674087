"""The services of docker/compose.yaml, run natively by their own commands; moto stands for the S3 gateway."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from composed import DOCKER
from natively import World, in_store, missing, sql, start_tracking, world
from sweeping import records, wait_for

from dirsweep import ledger

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

CONTAINERS = {name: name for name in ("postgres", "s3", "mlflow", "ray-head")}
WORKERS = {f"ray-worker-{number}": "ray-worker" for number in (1, 2)}
TRIALS = 6
SOON = {  # a lost node is noticed within seconds, not after half a minute
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
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


@pytest.fixture(scope="module")
def cluster() -> Iterator[World]:
    """All containers, and of them PostgreSQL, a store and MLflow started and healthy."""
    with world(CONTAINERS | WORKERS, {"RAY_WORKER_CPUS": "1"}) as started:
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
    connect = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)"
    places = (("mlflow", "cluster", "5000"), ("postgres", "records", "5432"), ("s3", "records", "7070"))
    reached = {}
    for name, network, port in places:
        words = ["python", "-c", connect, cluster.address(name, network), port]
        reached[name] = cluster.run("ray-head", words).returncode == 0
    assert reached == {"mlflow": True, "postgres": False, "s3": False}


def test_a_sweep_goes_through_though_a_worker_is_cut_off_meanwhile(cluster: World):
    cluster.start("ray-head", environment=SOON)
    cluster.wait_healthy("ray-head")
    for worker in WORKERS:
        cluster.start(worker, environment=SOON)
    for worker in WORKERS:
        cluster.wait_healthy(worker)

    job = yaml.safe_load((DOCKER / "demo.yaml").read_text()) | {"budget": {"trials": TRIALS}}
    project, folder = cluster.folder / "srv" / "project", cluster.folder / "srv" / "sweeps" / "demo"
    (project / "docker").mkdir()
    (project / "docker" / "demo.yaml").write_text(yaml.safe_dump(job))
    submit = ["dirsweep", "submit", "/srv/project/docker/demo.yaml", "--to", "ray", "--follow"]
    cluster.start("ray-head", submit, name="submit")

    def in_the_middle() -> bool:
        assert cluster.running["submit"].poll() is None, cluster.log("submit")
        states = [trial.state for trial in ledger.trials(records(folder)).values()]
        kinds = [record["kind"] for record in records(folder)]
        return "COMPLETE" in states and kinds.count("start") - kinds.count("tell") == len(WORKERS)

    wait_for(in_the_middle, "trials on both workers", seconds=180)
    cluster.cut("ray-worker-2", "cluster")
    assert cluster.running["submit"].wait(240) == 0, cluster.log("submit")

    nodes = json.loads(cluster.run("ray-head", ["python", "-c", NODES]).stdout)
    lost = cluster.address("ray-worker-2", "cluster")
    assert sorted(nodes) == sorted([[cluster.address("ray-worker-1", "cluster"), "ALIVE"], [lost, "DEAD"]])

    found = ledger.trials(records(folder))
    assert {name for name in found if name.isdigit()} == {str(number) for number in range(TRIALS)}
    assert {trial.state for trial in found.values()} == {"COMPLETE"}
    assert any(record["kind"] == "start" and record["attempt"] > 1 for record in records(folder))

    query = """select r.status, count(*) from runs r join experiments e using (experiment_id)
        where e.name <> 'composed' group by r.status"""
    assert sql(cluster, query) == (0, f"FINISHED|{len(found) + 1}")  # and that of the sweep
    artifacts = in_store(cluster)
    assert sum(name.endswith("/artifacts/metrics.json") for name in artifacts) == len(found)


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
