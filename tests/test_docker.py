import copy
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from composed import DOCKER, FILES, ROOT, filled, handed_over, problems, read, resolved, texts, variables
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dirsweep.cluster import read_job

DOCKERFILE = (DOCKER / "Dockerfile").read_text()
SCRIPTS = sorted(DOCKER.glob("*.sh"))
SET = {"DIRSWEEP_SECRETS": "/secrets"}


def tool(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a program that came with the test extra."""
    place = Path(sys.executable).parent / name
    return subprocess.run([place, *map(str, words)], capture_output=True, text=True, timeout=60)


def planted(tmp_path: Path, text: str, found: str, instead: str, name: str) -> Path:
    assert found in text, f"nothing to plant an error in: {found}"
    file = tmp_path / name
    file.write_text(text.replace(found, instead, 1))
    return file


def check_schema(*files: Path) -> subprocess.CompletedProcess[str]:
    return tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *files)


def lint_dockerfile(file: Path) -> subprocess.CompletedProcess[str]:
    return tool("hadolint", "--no-color", "--failure-threshold", "style", file)


def lint_script(*files: Path) -> subprocess.CompletedProcess[str]:
    return tool("shellcheck", "--norc", "--severity=style", *files)


# Schema, Dockerfile and scripts by the strictest validators there are, each with errors that it must catch


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


def test_hadolint_finds_nothing_in_the_dockerfile():
    done = lint_dockerfile(DOCKER / "Dockerfile")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("found", "instead", "rule"),
    [
        (re.findall(r"python:\S+", DOCKERFILE.split("FROM ")[1])[0], "python:latest", "DL3007"),
        ("--constraint constraints.txt 'mlflow[auth]'", "'mlflow[auth]'", "DL3013"),
        ("PIP_NO_CACHE_DIR=1", "PIP_NO_INPUT=1", "DL3042"),
        ("USER 10001:10001", "USER root", "DL3002"),
        ("WORKDIR /src", "WORKDIR src", "DL3000"),
        ("RUN groupadd", "RUN sudo groupadd", "DL3004"),
    ],
)
def test_hadolint_catches_a_planted_error(tmp_path: Path, found: str, instead: str, rule: str):
    done = lint_dockerfile(planted(tmp_path, DOCKERFILE, found, instead, "Dockerfile"))
    assert done.returncode == 1
    assert rule in done.stdout


def test_shellcheck_finds_nothing_in_the_scripts():
    assert {script.name for script in SCRIPTS} == {"healthy.sh", "new-secrets.sh", "with-secrets.sh"}
    done = lint_script(*SCRIPTS)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("script", "found", "instead", "rule"),
    [
        ("with-secrets.sh", 'cat "$file"', "cat $file", "SC2086"),
        ("with-secrets.sh", "#!/bin/sh", "#!/bin/sh\nset -o pipefail", "SC3040"),
        ("new-secrets.sh", 'chmod 700 "$folder"', 'cd "$folder"', "SC2164"),
        ("healthy.sh", '"${1:?usage: healthy URL}"', "$1", "SC2086"),
    ],
)
def test_shellcheck_catches_a_planted_error(tmp_path: Path, script: str, found: str, instead: str, rule: str):
    text = (DOCKER / script).read_text().replace("set -euo pipefail\n", "")
    done = lint_script(planted(tmp_path, text, found, instead, script))
    assert done.returncode == 1
    assert rule in done.stdout


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


# Dockerfile


def stages() -> dict[str, str]:
    """The text of each stage by its name."""
    parts = re.split(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    return dict(zip(parts[2::3], parts[3::3], strict=True))


def test_every_image_that_is_shipped_runs_as_a_user_without_rights_and_has_a_health_check():
    for name in ("cpu", "cuda", "mlflow"):
        assert re.findall(r"^USER (.*)$", stages()[name], re.MULTILINE) == ["10001:10001"]
        assert re.search(r'HEALTHCHECK [^"]*CMD \["healthy", "http://127', stages()[name])
    assert "RAY_AUTH_MODE=token" in stages()["cpu"]
    assert "RAY_AUTH_MODE=token" in stages()["cuda"]


def test_every_target_of_the_compose_files_is_a_stage_and_its_tag_is_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for file in FILES:
        for service in read(file)["services"].values():
            if "build" in service:
                target = service["build"]["target"]
                assert target in stages()
                assert service["image"] == f"dirsweep:{version}-{target}"


def test_one_base_image_is_pinned_by_digest_and_all_packages_by_the_constraints():
    bases = {base for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) if base not in stages()}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-\S+@sha256:[0-9a-f]{64}", bases.pop())
    commands = re.sub(r"\\\n", " ", DOCKERFILE)
    for install in re.findall(r"pip install ([^&\n]*)", commands):
        pinned = "--constraint constraints.txt" in install
        assert pinned or re.search(r"==\d", install) or "/wheels/" in install, install


def test_what_the_dockerfile_copies_is_there_and_reaches_the_build(tmp_path: Path):
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for copied in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        for source in [word for word in copied.split() if not word.startswith("--")][:-1]:
            assert (ROOT / source).exists()
            assert any(Path(source).match(pattern) for pattern in kept), source


def closure(names: list[str]) -> set[str]:
    """Names of all packages that these need, themselves included, as installed here."""
    seen: set[str] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        key = f"{name}{sorted(wanted.extras)}"
        if key in seen:
            continue
        seen |= {key, name}
        for line in distribution(wanted.name).requires or []:
            further = Requirement(line)
            extras = [{"extra": extra} for extra in ("", *wanted.extras)]
            if further.marker is None or any(further.marker.evaluate(extra) for extra in extras):
                waiting.append(further)
    return {name for name in seen if "[" not in name}


def test_every_package_of_the_tracking_servers_image_is_pinned():
    [install] = re.findall(r"pip install [^\n]*'mlflow[^\n]*", stages()["needs-mlflow"])
    names = [word.strip("'") for word in install.split("constraints.txt ")[1].split()]
    assert names == ["mlflow[auth]", "psycopg[binary]", "boto3"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if "==" in line}
    assert closure(names) - pinned == set()


# Scripts


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_secret_reaches_the_environment_of_the_command_and_not_its_words(tmp_path: Path):
    (tmp_path / "a").write_text("it's $(a) secret\n")
    show = 'printf "%s|" "$PGPASSWORD" "$@"'
    words = ("PGPASSWORD=a", "--", "sh", "-c", show, "sh", "two words", "x=y", "--")
    done = run(DOCKER / "with-secrets.sh", *words, SECRETS_FOLDER=str(tmp_path))
    assert done.stdout == "it's $(a) secret|two words|x=y|--|", done.stderr


def test_a_secret_that_is_missing_or_empty_is_refused_by_name(tmp_path: Path):
    (tmp_path / "empty").touch()
    for name, told in (("none", "cannot read"), ("empty", "is empty")):
        words = (f"KEY={name}", "--", "echo", "started")
        done = run(DOCKER / "with-secrets.sh", *words, SECRETS_FOLDER=str(tmp_path))
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert f"{tmp_path}/{name}" in done.stderr
    assert run(DOCKER / "with-secrets.sh", "KEY=none").returncode != 0  # no command at all


def test_new_secrets_are_all_that_compose_mounts_and_old_ones_stay(tmp_path: Path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "ray_token").write_text("mine")
    done = run(DOCKER / "new-secrets.sh", folder)
    assert f"DIRSWEEP_SECRETS={folder}" in done.stdout.splitlines()
    needed = {Path(secret["file"]).name for secret in resolved(read(), SET)["secrets"].values()}
    texts_there = {file.name: file.read_text() for file in folder.iterdir()}
    assert texts_there.keys() == needed
    assert texts_there.pop("ray_token") == "mine"
    assert all(re.fullmatch("[0-9a-f]{48}", text) for text in texts_there.values())
    assert len(set(texts_there.values())) == len(texts_there)
    assert folder.stat().st_mode & 0o777 == 0o700


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_is_healthy_when_it_answers_and_only_then(answering: str):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    statuses = [
        run(DOCKER / "healthy.sh", url, PATH=path).returncode
        for url in (f"{answering}/health", f"{answering}/other", "http://127.0.0.1:9/health")
    ]
    assert statuses == [0, 1, 1]


# make


def make(*words: str) -> str:
    command = ["make", "--dry-run", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_starts_stops_and_uses_the_composed_cluster():
    assert "--file docker/compose.yaml up --build --detach --wait" in " ".join(make("up").split())
    assert "compose.cuda.yaml" not in make("up")
    assert "--file docker/compose.cuda.yaml" in make("up", "CUDA=1")
    assert make("down").split()[-1] == "down"
    assert "exec --workdir /srv/project ray-head dirsweep submit docker/demo.yaml --to ray" in make("submit")
    assert "submit jobs/laptop.yaml" in make("submit", "JOB=jobs/laptop.yaml")
