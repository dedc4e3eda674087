"""A driver that gets SIGTERM or SIGINT in a long epoch saves, flushes, marks and ends in time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import stores
import sweeping
import tiny
import yaml

from dirsweep import tracking
from dirsweep.storage import Folder
from dirsweep.sweep import token

pytestmark = pytest.mark.slow

IN_TIME = 30  # seconds that a machine which is taken away leaves


ENCODER = '''\
"""An encoder that takes a tenth of a second for a step, and says when it trains."""

import time
from pathlib import Path

from torch import nn


class Stem(nn.Linear):
    def forward(self, rows):
        if self.training:
            Path("trains").touch()
            time.sleep(0.1)
        return super().forward(rows)


class Slow(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.features, self.stem, self.last_block = 4, Stem(rows.shape[1], 4), nn.ReLU()
'''


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space whose trials take minutes for an epoch, in batches of one."""
    folder = tmp_path_factory.mktemp("preempted")
    (folder / "slow.py").write_text(ENCODER)
    tiny.write_table(folder / "tiny.csv", rows=4_000)
    fixed = tiny.config(folder).with_overrides({"stage1.batch_size": 1}).model_dump(mode="json")
    fixed["encoder"] = {"name": "custom", "path": "slow:Slow"}
    space = {
        "question": "Does it end in time?",
        "fixed": fixed,
        "searched": {"stage2.norm_weight": {"log": [0.1, 1.0]}},
        "budget": {"trials": 1},
    }
    (folder / "space.yaml").write_text(yaml.safe_dump(space))
    return folder


def test_sigterm_and_sigint_in_a_long_epoch_leave_a_checkpoint_of_its_middle(here: Path):
    folder = Folder(here / "sweeps" / "s")
    trial = folder / "trials" / "default-plain"
    commands = [["run", "space.yaml", "--name", "s", "--workers", "1"], ["resume", "s", "--workers", "1"]]
    environment = {name: value for name, value in os.environ.items() if name not in (token.TOKEN, token.FILE)}
    reached = 0
    for attempt, (number, command) in enumerate(
        zip((signal.SIGTERM, signal.SIGINT), commands, strict=True), 1
    ):
        mark = f"{number.name}-{os.getpid()}"
        (here / "trains").unlink(missing_ok=True)
        with (here / f"{attempt}.txt").open("w") as output:
            driver = subprocess.Popen(
                [sys.executable, "-c", "from dirsweep.cli import main; main()", *command],
                cwd=here,
                env={**environment, "HOME": str(here), sweeping.MARK: mark},
                stdout=output,
                stderr=output,
            )
        try:
            sweeping.wait_for((here / "trains").exists, f"attempt {attempt} to train")
            begun = time.monotonic()
            driver.send_signal(number)
            assert driver.wait(IN_TIME) == 130
            taken = time.monotonic() - begun
        finally:
            driver.kill()
        said = (here / f"{attempt}.txt").read_text()
        assert "stopped; `dirsweep resume sweeps/s` goes on where it was" in said
        [*_, saved] = trial.list("checkpoints")
        epoch, step, writer, _ = saved.removeprefix("checkpoints/").split("-")
        assert (int(epoch), int(writer)) == (0, attempt)
        assert int(step) > reached  # the second went on from the first
        reached = int(step)
        assert folder.exists("STOP")
        told = [record for record in sweeping.records(folder) if record["kind"] != "run"]
        assert (told[-1]["kind"], told[-1]["why"]) == ("end", "stopped")  # ids of MLflow's runs may follow
        run = stores.contents(tracking.default_uri(folder.parent))["default-plain"]
        assert (run["status"], run["tags"]["status"]) == ("SCHEDULED", "OPEN")
        print(f"{number.name}: ended in {taken:.1f} s")
        sweeping.wait_for(lambda: not sweeping.left_behind(mark), "all processes to end", 10)  # noqa: B023 (called here)
    assert (here / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600  # which Ray made use of
    assert sweeping.trials(folder)["default-plain"].state == "OPEN"
