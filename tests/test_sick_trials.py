"""A sweep in which trials raise, give NaN, hang and run out of memory: each fails alone, and says why."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import stores
import sweeping
import tiny
import yaml

from dirsweep import tracking
from dirsweep.ledger import TrialRecord

pytestmark = pytest.mark.slow

ENCODER = '''\
"""An encoder that is well, or falls ill in its second epoch."""

import resource
import time
from pathlib import Path

import torch
from torch import nn

WELL = 8  # steps of the first epoch


class Stem(nn.Linear):
    ill = "well"
    steps = 0

    def forward(self, rows):
        z = super().forward(rows)
        self.steps += self.training
        if self.training and self.steps > WELL:
            match self.ill:
                case "raises":
                    raise RuntimeError("the second epoch is cursed")
                case "blank":
                    return z * float("nan")
                case "hangs":
                    time.sleep(3600)
                case "hungry":
                    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
                    torch.ones(2**30)
        return z


class Patient(nn.Module):
    def __init__(self, rows, ill):
        super().__init__()
        self.features, self.stem, self.last_block = 4, Stem(rows.shape[1], 4), nn.ReLU()
        self.stem.ill = ill
'''

KINDS = ("well", "raises", "blank", "hangs", "hungry")


@dataclass(frozen=True)
class Ward:
    """The sweep, and what was said of it.

    said: by `run`, then by `report`.
    """

    folder: Path
    said: str
    tree: dict[str, Any]
    page: str

    def patients(self, ill: str) -> list[TrialRecord]:
        """The trials of that kind."""
        asked = [trial for trial in sweeping.trials(self.folder).values() if trial.kind == "ask"]
        return [trial for trial in asked if trial.params["encoder.options.ill"] == ill]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    here = tmp_path_factory.mktemp("ward")
    (here / "patients.py").write_text(ENCODER)
    fixed = tiny.config(here).model_dump(mode="json")
    fixed["encoder"] = {"name": "custom", "path": "patients:Patient", "options": {"ill": "well"}}
    space = {
        "question": "Who is well?",
        "fixed": fixed,
        "searched": {"encoder.options.ill": {"choice": list(KINDS)}},
        "sampler": {"name": "random"},
        "budget": {"trials": 5, "silent_minutes": 0.2},
        "seed": 116,  # draws each kind once
    }
    (here / "space.yaml").write_text(yaml.safe_dump(space))
    ran = command(here, "run", "space.yaml", "--name", "ward", "--workers", "2")
    tree = json.loads(command(here, "report", "ward", "--json"))
    command(here, "report", "ward", "--html", "ward.html")
    return Ward(here / "sweeps" / "ward", ran, tree, (here / "ward.html").read_text())


def command(folder: Path, *arguments: str) -> str:
    """What a command printed that ended well."""
    code = "from dirsweep.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_sweep_is_finished_and_its_well_trials_are_complete(ward: Ward):
    assert sweeping.records(ward.folder)[-1]["why"] == "finished"
    assert {kind for kind in KINDS if ward.patients(kind)} == set(KINDS)
    for kind in KINDS:
        assert {trial.state for trial in ward.patients(kind)} == {"COMPLETE" if kind == "well" else "FAIL"}


@pytest.mark.parametrize(
    ("ill", "attempts", "reason"),
    [
        ("raises", 3, "RuntimeError: the second epoch is cursed"),
        ("blank", 1, "stage1, epoch 2: the loss is no longer finite; a lower learning rate may help"),
        ("hangs", 3, "it hung: no sign of life for 0.2 minutes (budget.silent_minutes)"),
        ("hungry", 3, "you tried to allocate 4294967296 bytes"),
    ],
)
def test_a_sick_trial_fails_with_its_reason_in_ledger_reports_and_mlflow(
    ward: Ward, ill: str, attempts: int, reason: str
):
    runs = stores.contents(tracking.default_uri(ward.folder.parent))
    for trial in ward.patients(ill):
        assert reason in trial.reason
        assert (trial.attempts, trial.epoch) == (attempts, 1)  # its first epoch is kept
        assert reason in (ward.folder / "trials" / trial.trial / "error.txt").read_text()
        [told] = [one for one in ward.tree["trials"] if one["number"] == int(trial.trial)]
        assert (told["status"], told["reason"]) == ("FAIL", trial.reason)
        run = runs[trial.trial]
        assert (run["status"], run["tags"]["reason"]) == ("FAILED", trial.reason)
        assert reason.split(" (")[0] in ward.page
    assert reason in " ".join(ward.said.split())


def test_no_process_is_left_that_hangs(ward: Ward):
    for trial in ward.patients("hangs"):
        for attempt in (ward.folder / "trials" / trial.trial / "attempts").iterdir():
            process = json.loads(attempt.read_text())["pid"]
            assert not Path(f"/proc/{process}").exists()
