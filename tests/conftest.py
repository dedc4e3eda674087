"""What the tests of several modules share."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import natively
import pytest
import sweeping
import torch

from dirsweep.storage import Folder


@pytest.fixture(scope="session")
def object_server() -> Iterator[dict[str, str]]:
    """An S3-compatible server: what the environment says of it."""
    from objects import object_store  # boto3, which tests of a GPU alone do without

    with object_store() as settings:
        yield settings


@pytest.fixture
def bucket(object_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Folder:
    """An empty folder in an object store."""
    from objects import BUCKET

    for name, value in object_server.items():
        monkeypatch.setenv(name, value)
    return Folder(f"s3://{BUCKET}/{uuid.uuid4().hex}")


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """An empty folder, on a disk and in an object store."""
    return Folder(tmp_path) if request.param == "disk" else request.getfixturevalue("bucket")


@pytest.fixture(scope="session")
def finished_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real sweep that is finished and tracked in the store beside it; copy it before you change it.

    Five trials over four knobs, one of them with a condition, two objectives, a second seed of the best.
    """
    folder = tmp_path_factory.mktemp("finished") / "tiny-1"
    spec = sweeping.spec(
        folder.parent,
        objectives=["val/all/mae", "val/few/mae"],
        **sweeping.conditional(folder.parent),
        repeats={"seeds": 2, "top": 1},
        budget={"trials": 5},
    )
    sweeping.write(spec, folder)
    told = subprocess.run(
        [
            *(sys.executable, "-c", "from dirsweep.cli import main; main()"),
            *("run", str(folder.with_suffix(".yaml")), "--name", folder.name),
            *("--storage", str(folder.parent), "--workers", "1"),
        ],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert told.returncode == 0, told.stderr
    return folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what needs a GPU where there is none."""
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if not needing or torch.cuda.is_available():
        return
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if item not in needing]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Of one of several processes: hand what went well only the second time to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["restarted"] = natively.RESTARTED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take it there."""
    natively.RESTARTED.extend(getattr(node, "workeroutput", {}).get("restarted", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what went well only the second time."""
    for container in natively.RESTARTED:
        terminalreporter.write_line(f"{container} was started again: {natively.KNOWN}")
