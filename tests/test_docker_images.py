"""docker/Dockerfile and the scripts beside it, each validator tried with errors that it must catch."""

import http.server
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from composed import DOCKER, FILES, ROOT, read, resolved
from linting import planted, tool
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DOCKERFILE = (DOCKER / "Dockerfile").read_text()
SCRIPTS = sorted(DOCKER.glob("*.sh"))


def lint_dockerfile(file: Path) -> subprocess.CompletedProcess[str]:
    return tool("hadolint", "--no-color", "--failure-threshold", "style", file)


def lint_script(*files: Path) -> subprocess.CompletedProcess[str]:
    return tool("shellcheck", "--norc", "--severity=style", *files)


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
    needed = {
        Path(secret["file"]).name
        for secret in resolved(read(), {"DIRSWEEP_SECRETS": "/secrets"})["secrets"].values()
    }
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
