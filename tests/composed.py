"""What docker/compose.yaml says, read without Docker: its variables filled in, and what it must never say.

The variables follow the compose specification: $NAME, ${NAME}, ${NAME:-default}, ${NAME:?message} and
${NAME:+instead}, these within each other, and $$ for a dollar.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
FILES = (DOCKER / "compose.yaml", DOCKER / "compose.cuda.yaml")

OPERATORS = (":-", ":?", ":+", "-", "?", "+")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY|CREDENTIAL", re.IGNORECASE)
PINNED = re.compile(r"^[\w./-]+:v?\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$")


def make_runs(*words: str) -> str:
    """The commands that make would run for these targets and variables."""
    plain = {name: value for name, value in os.environ.items() if "MAKE" not in name}  # `make test` sets some
    command = ["make", "--dry-run", *words]
    done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def filled(text: str, environment: Mapping[str, str]) -> str:
    """Text with its variables replaced; ValueError with the message of a variable that must be set."""
    out, at = [], 0
    while at < len(text):
        if text.startswith("$$", at):
            out.append("$")
            at += 2
        elif text.startswith("${", at):
            end = _closing(text, at + 2)
            out.append(_value(text[at + 2 : end], environment))
            at = end + 1
        elif match := re.match(r"\$([A-Za-z_]\w*)", text[at:]):
            out.append(environment.get(match[1], ""))
            at += match.end()
        else:
            out.append(text[at])
            at += 1
    return "".join(out)


def _closing(text: str, at: int) -> int:
    depth = 1
    while depth:
        depth += text.startswith("${", at) - text.startswith("}", at)
        at += 1
    return at - 1


def _value(inside: str, environment: Mapping[str, str]) -> str:
    match = re.match(r"[A-Za-z_]\w*", inside)
    assert match, f"no name in ${{{inside}}}"
    name, rest = match[0], inside[match.end() :]
    operator = next((found for found in OPERATORS if rest.startswith(found)), "")
    assert operator or not rest, f"${{{inside}}} is no expression of compose"
    other = rest[len(operator) :]
    found = environment.get(name)
    there = bool(found) if operator.startswith(":") else found is not None
    match operator[-1:]:
        case "-":
            return str(found) if there else filled(other, environment)
        case "?":
            if not there:
                raise ValueError(f"{name}: {other}")
            return str(found)
        case "+":
            return filled(other, environment) if there else ""
    return found or ""


def read(file: Path = FILES[0]) -> dict[str, Any]:
    """The file as it stands, its variables untouched."""
    tree: dict[str, Any] = yaml.safe_load(file.read_text())
    return tree


def resolved(tree: Any, environment: Mapping[str, str]) -> Any:
    """A tree with the variables of all its texts filled in."""
    if isinstance(tree, dict):
        return {key: resolved(value, environment) for key, value in tree.items()}
    if isinstance(tree, list):
        return [resolved(value, environment) for value in tree]
    return filled(tree, environment) if isinstance(tree, str) else tree


def texts(tree: Any) -> Iterator[str]:
    """All texts in a tree."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from texts(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from texts(value)
    elif isinstance(tree, str):
        yield tree


def variables(tree: Any) -> set[str]:
    """Names of the variables in a tree's texts."""
    found = (re.findall(r"\$\{?([A-Za-z_]\w*)", text.replace("$$", "")) for text in texts(tree))
    return {name for names in found for name in names}


def handed_over(service: Mapping[str, Any]) -> dict[str, str]:
    """Variables that `with-secrets` fills in for a service, and from which secret."""
    words = service.get("entrypoint", [])
    return dict(word.split("=", 1) for word in words if "=" in word)


def problems(tree: Mapping[str, Any]) -> list[str]:
    """What a compose file must not say, in words; empty for a good one."""
    services = tree["services"]
    found = [problem for name, service in services.items() for problem in _problems(name, service, services)]
    used = {secret for service in services.values() for secret in service.get("secrets", [])}
    declared = tree.get("secrets", {})
    found += [f"secret {name} is declared and never used" for name in sorted(declared.keys() - used)]
    found += [f"secret {name} is used and not declared" for name in sorted(used - declared.keys())]
    found += [
        f"secret {name} has a place of its own, so it could be there by default"
        for name, secret in declared.items()
        if not re.match(r"\$\{\w+:\?", secret.get("file", ""))
    ]
    for text in texts(tree):
        for match in re.finditer(r"\$\{(\w+):?-", text):
            if SECRET.search(match[1]):
                found.append(f"variable {match[1]} has a default")
    return found


def _problems(name: str, service: Mapping[str, Any], services: Mapping[str, Any]) -> Iterator[str]:
    image = service.get("image", "")
    if not PINNED.match(image):
        yield f"{name}: image {image} has no exact version"
    elif "build" not in service and "@sha256:" not in image:
        yield f"{name}: image {image} has no digest"
    test = service.get("healthcheck", {}).get("test")
    if not isinstance(test, list) or test[0] != "CMD":
        yield f"{name}: no health check that is a list of words"
    for port in service.get("ports", []):
        if not (isinstance(port, str) and port.startswith("127.0.0.1:")):
            yield f"{name}: port {port} is open to other machines"
    if service.get("cap_drop") != ["ALL"] or "no-new-privileges:true" not in service.get("security_opt", []):
        yield f"{name}: more rights than needed"
    if service.get("privileged") or service.get("network_mode") == "host":
        yield f"{name}: not contained"
    waits = service.get("depends_on", {})
    for other in waits:
        how = waits[other].get("condition") if isinstance(waits, dict) else None
        if how != "service_healthy" or other not in services:
            yield f"{name}: does not wait until {other} is healthy"
    given = service.get("secrets", [])
    for variable, value in service.get("environment", {}).items():
        if value.startswith("/run/secrets/"):
            if value.removeprefix("/run/secrets/") not in given:
                yield f"{name}: {variable} names a secret that is not given"
        elif SECRET.search(variable):
            yield f"{name}: {variable} holds a secret"
    for variable, secret in handed_over(service).items():
        if secret not in given:
            yield f"{name}: {variable} is to come from a secret that is not given"
    for part in ("command", "entrypoint"):
        if not isinstance(service.get(part, []), list):
            yield f"{name}: its {part} is no list of words"
