"""What the tests of several modules share."""

import subprocess
import sys
from pathlib import Path

import pytest
import sweeping


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
