"""docker/compose.yaml by its schema, by rules of our own, and by the parsers of the programs it starts."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from composed import (
    DOCKER,
    FILES,
    ROOT,
    filled,
    handed_over,
    make_runs,
    problems,
    read,
    resolved,
    texts,
    variables,
)
from linting import planted, tool

from dirsweep.cluster.job import read_job

SET = {"DIRSWEEP_SECRETS": "/secrets"}


def check_schema(*files: Path) -> subprocess.CompletedProcess[str]:
    return tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *files)


def test_the_compose_files_follow_the_compose_schema():
    done = check_schema(*FILES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        ("depends_on:\n      postgres:", "depend_on:\n      postgres:"),
        ("condition: service_healthy", "condition: service_well"),
        ("retries: 12", "retrys: 12"),
        ("replicas: ", "replica: "),
    ],
)
def test_the_compose_schema_catches_a_planted_error(tmp_path: Path, found: str, instead: str):
    done = check_schema(planted(tmp_path, FILES[0].read_text(), found, instead, "compose.yaml"))
    assert done.returncode == 1
    assert re.split(r"[:_ ]", instead)[0] in done.stdout


# What the compose file must never say


def test_the_compose_file_says_nothing_that_it_must_not():
    assert problems(read()) == []


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("services.s3.healthcheck", {}, "s3: no health check"),
        ("services.s3.healthcheck.test", "wget localhost", "s3: no health check"),
        ("services.mlflow.ports", ["5000:5000"], "mlflow: port 5000:5000 is open"),
        ("services.mlflow.ports", ["0.0.0.0:5000:5000"], "is open to other machines"),
        ("services.ray-head.ports", [8265], "ray-head: port 8265 is open"),
        ("services.postgres.image", "postgres:latest", "postgres:latest has no exact version"),
        ("services.postgres.image", "postgres", "postgres has no exact version"),
        ("services.postgres.image", "postgres:17", "postgres:17 has no exact version"),
        ("services.postgres.image", "postgres:17.11-bookworm", "has no digest"),
        ("services.postgres.environment.POSTGRES_PASSWORD", "mlflow", "POSTGRES_PASSWORD holds a secret"),
        (
            "services.s3.environment",
            {"ROOT_ACCESS_KEY_ID": "${S3_KEY:-minio}"},
            "variable S3_KEY has a default",
        ),
        ("services.ray-head.environment.RAY_AUTH_TOKEN_PATH", "/run/secrets/x", "a secret that is not given"),
        ("services.mlflow.secrets", ["postgres_password"], "is to come from a secret that is not given"),
        ("services.mlflow.depends_on", ["postgres", "s3"], "does not wait until postgres is healthy"),
        ("services.ray-worker.depends_on.ray-head.condition", "service_started", "ray-head is healthy"),
        ("services.ray-worker.cap_drop", [], "ray-worker: more rights than needed"),
        ("services.ray-worker.privileged", True, "ray-worker: not contained"),
        ("services.ray-worker.command", "ray start", "its command is no list of words"),
        ("secrets.spare", {"file": "${X:?}/spare"}, "secret spare is declared and never used"),
        ("secrets.ray_token.file", "./token", "secret ray_token has a place of its own"),
    ],
)
def test_a_planted_error_in_the_compose_file_is_caught(place: str, value: object, told: str):
    tree = copy.deepcopy(read())
    *above, last = place.split(".")
    part = tree
    for key in above:
        part = part.setdefault(key, {})
    part[last] = value
    assert any(told in problem for problem in problems(tree)), problems(tree)


def test_it_refuses_to_start_without_secrets_and_says_what_to_set():
    for environment in ({}, {"DIRSWEEP_SECRETS": ""}):
        with pytest.raises(ValueError, match="DIRSWEEP_SECRETS: set it to the folder that"):
            resolved(read(), environment)
    assert "/secrets/ray_token" in texts(resolved(read(), SET))


def test_variables_are_filled_in_as_compose_does():
    given = {"A": "a", "EMPTY": ""}
    assert filled("$A ${A} $$A ${A:-b} ${NONE:-b} ${EMPTY:-b} ${EMPTY-b}.", given) == "a a $A a b b ."
    assert filled("x${A:+,${A}}${NONE:+,${NONE}} ${NONE:-${A}}", given) == "x,a a"
    with pytest.raises(ValueError, match="NONE: say it"):
        filled("${NONE:?say it}", given)


def test_the_example_of_settings_names_every_variable_and_gives_no_value():
    lines = re.findall(r"^#?[A-Z]\w*=.*$", (DOCKER / ".env.example").read_text(), re.MULTILINE)
    assert all(line.endswith("=") for line in lines)
    assert {line.strip("#=") for line in lines} == variables(read())
    assert [line for line in lines if not line.startswith("#")] == ["DIRSWEEP_SECRETS="]
    assert "/docker/.env" in (ROOT / ".gitignore").read_text().split()


# The commands, read by the programs' own parsers


PARSE = """
import json, sys
import click
from mlflow.cli import server
from ray.scripts.scripts import start

told = []
for program, command, *words in json.load(sys.stdin):
    parser = {"ray": start, "mlflow": server}[program]
    assert parser.name == command
    try:
        told.append(parser.make_context(f"{program} {command}", words).params)
    except click.UsageError as error:
        told.append(error.format_message())
json.dump(told, sys.stdout)
"""
WRONG = (
    ["mlflow", "server", "--alowed-hosts=mlflow:5000"],
    ["mlflow", "server", "--workers"],
    ["mlflow", "server", "--app-name=basic"],
    ["ray", "start", "--head", "--dashboard-port=none"],
    ["ray", "start", "--haed"],
)


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    """What the programs make of each command, in a process without our warnings; a text is a refusal."""
    services = resolved(read(), SET)["services"]
    commands = {name: services[name]["command"] for name in ("ray-head", "ray-worker", "mlflow")}
    commands |= {" ".join(words): words for words in WRONG}
    done = subprocess.run(
        [sys.executable, "-c", PARSE],
        input=json.dumps(list(commands.values())),
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(commands, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.slow
def test_ray_and_mlflow_take_the_commands_of_the_compose_file(parsed: dict[str, Any]):
    services = resolved(read(), SET)["services"]
    head, worker, server = parsed["ray-head"], parsed["ray-worker"], parsed["mlflow"]
    assert (head["head"], head["block"], worker["block"]) == (True, True, True)
    assert worker["address"] == f"ray-head:{head['port']}"
    assert head["num_cpus"] == 0
    assert f":{head['dashboard_port']}/" in services["ray-head"]["healthcheck"]["test"][-1]
    assert services["ray-head"]["ports"] == [f"127.0.0.1:8265:{head['dashboard_port']}"]
    assert server["app_name"] == "basic-auth"
    assert server["allowed_hosts"] == f"mlflow:{server['port']},localhost:5000,127.0.0.1:5000"
    assert server["cors_allowed_origins"] == "http://localhost:5000,http://127.0.0.1:5000"
    assert f":{server['port']}/" in services["mlflow"]["healthcheck"]["test"][-1]


@pytest.mark.slow
@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_command_that_the_program_does_not_take_is_caught(parsed: dict[str, Any], words: list[str]):
    told = parsed[" ".join(words)]
    assert isinstance(told, str)
    assert words[-1].split("=")[0] in told


def test_a_host_of_ones_own_is_added_to_those_that_mlflow_takes():
    command = resolved(read(), SET | {"MLFLOW_HOST": "mlflow.example.org"})["services"]["mlflow"]["command"]
    assert next(word for word in command if "allowed-hosts" in word).endswith(",mlflow.example.org")
    assert next(word for word in command if "cors" in word).endswith(",https://mlflow.example.org")


def test_the_database_and_the_store_are_reached_by_mlflow_alone():
    tree = read()
    inside = {name for name, service in tree["services"].items() if "records" in service["networks"]}
    assert inside == {"postgres", "s3", "mlflow"}
    assert tree["networks"]["records"] == {"internal": True}
    assert all("ports" not in tree["services"][name] for name in ("postgres", "s3"))


def test_every_ray_node_asks_for_the_token_and_sees_the_sweeps():
    for name in ("ray-head", "ray-worker"):
        service = read()["services"][name]
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
        assert "sweeps:/srv/sweeps" in service["volumes"]


def test_the_demo_job_fits_the_composed_cluster():
    job, services = read_job(DOCKER / "demo.yaml"), resolved(read(), SET)["services"]
    head = services["ray-head"]
    mounts = [volume.split(":")[:2] for volume in head["volumes"] if volume.startswith(".")]
    mounted = {target: (DOCKER / source).resolve() for source, target in mounts}
    assert mounted["/srv/project/docker/demo.yaml"] == DOCKER / "demo.yaml"
    assert Path(job.space).parent == mounted["/srv/project/search_spaces"] == ROOT / "search_spaces"
    assert mounted["/srv/project/jobs"] == ROOT / "jobs"
    assert f"sweeps:{job.storage}" in head["volumes"]
    assert str(job.tracking_uri).removeprefix("http://") in " ".join(services["mlflow"]["command"])
    assert job.environment.keys() <= head["environment"].keys() | handed_over(head).keys()
    assert all(variable.source == "env" for variable in job.environment.values())
    workers = services["ray-worker"]["deploy"]
    assert job.resources.at_once <= int(workers["replicas"]) * int(workers["resources"]["limits"]["cpus"])


# make


def test_make_starts_stops_and_uses_the_composed_cluster():
    assert "--file docker/compose.yaml up --build --detach --wait" in " ".join(make_runs("up").split())
    assert "compose.cuda.yaml" not in make_runs("up")
    assert "--file docker/compose.cuda.yaml" in make_runs("up", "CUDA=1")
    assert make_runs("down").split()[-1] == "down"
    assert "exec --workdir /srv/project ray-head dirsweep submit docker/demo.yaml --to ray" in make_runs(
        "submit"
    )
    assert "submit jobs/laptop.yaml" in make_runs("submit", "JOB=jobs/laptop.yaml")
