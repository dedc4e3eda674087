"""The tracking side of docker/compose.yaml, run natively: PostgreSQL and MLflow by their very commands.

moto's server stands for the S3 gateway, which is no Python package.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from composed import DOCKER, handed_over
from natively import World, world

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("ip") or not Path("/usr/lib/postgresql").exists(),
        reason="needs root, iproute2 and PostgreSQL, for network namespaces and the database",
    ),
]

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
BUCKET = """
import boto3, sys
store = boto3.client("s3", endpoint_url="http://s3:7070")
if sys.argv[1] == "make":
    store.create_bucket(Bucket="mlflow")
else:
    for found in store.list_objects_v2(Bucket="mlflow").get("Contents", []):
        print(found["Key"], store.get_object(Bucket="mlflow", Key=found["Key"])["Body"].read().decode())
"""


def sql(started: World, query: str, password: str) -> tuple[int, str]:
    connection = f"postgresql://mlflow:{password}@postgres:5432/mlflow"
    done = started.run(
        "mlflow", ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "-c", query, connection]
    )
    return done.returncode, (done.stdout or done.stderr).strip()


def in_store(started: World, what: str) -> str:
    words = [
        f"{name}={secret}"
        for name, secret in handed_over(started.services["mlflow"]).items()
        if "AWS" in name
    ]
    done = started.run("mlflow", ["with-secrets", *words, "--", "python", "-c", BUCKET, what])
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tracking() -> Iterator[World]:
    """PostgreSQL, a store and MLflow, all healthy."""
    with world(dict.fromkeys(("postgres", "s3", "mlflow"), "127.0.0.1")) as started:
        variables = started.services["postgres"]["environment"]
        # what the image does at its first start
        init = [
            "initdb",
            *variables["POSTGRES_INITDB_ARGS"].split(),
            f"--username={variables['POSTGRES_USER']}",
        ]
        made = started.run(
            "postgres", [*init, "--no-sync", "--pwfile=/run/secrets/postgres_password", "--pgdata=records"]
        )
        assert made.returncode == 0, made.stderr
        started.start("s3", ["moto_server", "--host=127.0.0.1", "--port=7070"])
        started.start("postgres", environment={"PGDATA": str(started.folder / "home" / "records")})
        started.wait_healthy("postgres")
        created = started.run(
            "mlflow",
            [
                *("with-secrets", "PGPASSWORD=postgres_password", "--"),
                *("createdb", "--host=postgres", "--username=mlflow", variables["POSTGRES_DB"]),
            ],
        )
        assert created.returncode == 0, created.stderr
        started.wait_healthy("s3", ["healthy", "http://127.0.0.1:7070/moto-api/"])
        in_store(started, "make")
        started.start("mlflow")
        started.wait_healthy("mlflow")
        yield started


def test_what_a_driver_tracks_goes_to_postgresql_and_the_store_and_strangers_are_refused(tracking: World):
    uri = yaml.safe_load((DOCKER / "demo.yaml").read_text())["tracking_uri"]
    head = tracking.services["ray-head"]
    done = tracking.run("ray-head", [*head["entrypoint"], "python", "-c", CLIENT, uri])
    assert done.returncode == 0, done.stderr + tracking.log("mlflow")
    told = json.loads(done.stdout.splitlines()[-1])
    answers = {name: told[name] for name in ("nobody", "wrong password", "foreign host", "admin")}
    assert answers == {"nobody": 401, "wrong password": 401, "foreign host": 403, "admin": 200}
    assert told["artifacts"].startswith("mlflow-artifacts:/")
    assert told["read back"] == ["bins.csv"]

    password = tracking.secret("postgres_password")
    query = "select m.key, m.value, r.status from metrics m join runs r using (run_uuid)"
    assert sql(tracking, query, password) == (0, "val/few/mae|4|FINISHED")
    assert sql(tracking, "select username, is_admin from users", password) == (0, "admin|t")
    status, refusal = sql(tracking, "select 1", "mlflow")
    assert (status, "password authentication failed" in refusal) == (2, True)

    [line] = in_store(tracking, "list").splitlines()
    assert line.startswith("artifacts/")
    assert line.endswith(f"{told['run']}/artifacts/bins.csv bin,count")


def test_no_secret_is_on_a_command_line_or_in_a_log(tracking: World):
    secrets = [file.read_text() for file in (tracking.folder / "secrets").iterdir()]
    assert len(secrets) == 6
    seen = [tracking.log(service) for service in tracking.running]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            seen.append(process.read_text(errors="replace"))
        except OSError:  # it ended
            continue
    assert not [text for text in seen for secret in secrets if secret in text]
