"""The plugin under which a skipped test fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """\
import pytest

def test_passes(): pass

@pytest.mark.skip(reason="no cluster")
def test_marked(): pass

def test_skips_itself(): pytest.skip("no cluster")

@pytest.mark.xfail
def test_known_to_fail(): assert False
"""


@pytest.mark.slow
def test_a_skip_fails_and_an_expected_failure_does_not(tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.no_skips",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
    ]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "1 failed, 1 passed, 1 xfailed, 1 error" in done.stdout
