"""A lock on a file: held by one process at a time, free once its holder ends."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dirsweep.storage import flock

HOLD = "import sys, time; from pathlib import Path; from dirsweep.storage import flock\n"
HOLD += "with flock.held(Path(sys.argv[1])): print('held', flush=True); time.sleep(float(sys.argv[2]))"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a" / "some.lock"


def other(path: Path, seconds: float) -> subprocess.Popen[bytes]:
    """A process that holds the lock for a while."""
    line = [sys.executable, "-c", HOLD, str(path), str(seconds)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


@pytest.fixture
def holding(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lock for a minute."""
    with other(path, 60) as process:
        yield process
        process.kill()


def test_a_lock_that_another_process_holds_is_refused_in_the_words_of_the_caller(path, holding, monkeypatch):
    monkeypatch.setattr(flock, "PATIENCE", 0.0)
    with (
        pytest.raises(ValueError, match=rf"taken by process {holding.pid} on .*, since 2"),
        flock.held(path, lambda holder: f"taken by {holder}"),
    ):
        pass
    assert flock.holder(path).pid == holding.pid


def test_a_lock_whose_holder_was_killed_is_free(path, holding):
    holding.kill()
    with flock.held(path, lambda holder: "taken"):
        pass
    assert flock.holder(path) is None


def test_without_a_refusal_the_end_of_the_holder_is_waited_for(path):
    with other(path, 0.3) as process:
        start = time.monotonic()
        with flock.held(path):
            assert time.monotonic() - start > 0.1
        assert process.wait() == 0
