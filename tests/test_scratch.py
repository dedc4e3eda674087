"""What Ray Tune leaves in the temporary folder of a machine."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dirsweep.sweep.scratch import EXPERIMENT, scratch

DRIVE = f"""
import time
from dirsweep.sweep.scratch import scratch
with scratch() as folder:
    (folder / "{EXPERIMENT}").mkdir()
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_the_next_driver_removes_what_one_that_was_killed_left_and_nothing_of_one_that_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # read anew
    command = [sys.executable, "-c", DRIVE]
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in "ab"]
    try:
        folders = [Path(driver.stdout.readline().strip()) for driver in drivers if driver.stdout]
        drivers[0].kill()
        drivers[0].wait()
        with scratch() as own:
            assert set(tmp_path.iterdir()) == {folders[1], own}
            with scratch() as other:  # of a driver that begins at the same moment: Tune has made nothing yet
                assert set(tmp_path.iterdir()) == {folders[1], own, other}
        assert list(tmp_path.iterdir()) == [folders[1]]
        assert (folders[1] / EXPERIMENT).is_dir()
    finally:
        for driver in drivers:
            driver.kill()
            driver.communicate()


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "mine" / EXPERIMENT).mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "dirsweep-tune-a").symlink_to(tmp_path / "mine")
    with scratch():
        assert (tmp_path / "mine" / EXPERIMENT).is_dir()


def test_what_belongs_to_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "dirsweep-tune-a"
    (left / EXPERIMENT).mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: left.stat().st_uid + 1)
    with scratch():
        assert (left / EXPERIMENT).is_dir()
