"""Trials of several processes in a sweep: workers of Ray Train inside Tune's function."""

import json
import os
import signal
from pathlib import Path

import pytest
import sweeping

from dirsweep import pipeline, sweep
from dirsweep.checkpoint import read_records
from dirsweep.storage import Folder
from dirsweep.sweep import Resources
from dirsweep.sweep.progress import Progress

EPOCHS = 120
"""So many that a trial has a checkpoint long before it ends."""


@pytest.mark.slow
def test_a_sweep_of_trials_of_two_processes_goes_on_from_a_checkpoint_when_one_is_killed(tmp_path: Path):
    fixed = {
        "processes": 2,
        "stage1.epochs": EPOCHS,
        "stage1.batch_size": 16,
        "stage1.norm_ordinality.name": "none",
        "stage2": None,
    }
    searched = {"stage1.epochs": {"choice": [2]}}
    space = sweeping.spec(tmp_path, fixed, searched=searched, budget={"trials": 1})
    folder = tmp_path / "sweep"
    first = folder / "trials" / "default-plain"
    messages, killed = [], []

    def kill_once(progress: Progress) -> None:
        messages.append(progress.message)
        if any((first / "checkpoints").glob("*")) and not killed:
            killed.append(json.loads((first / "attempts" / "001").read_text())["pid"])
            os.kill(killed[0], signal.SIGKILL)

    resources = Resources(workers=1, cpus_per_trial=2)
    outcome = sweep.run(space, folder, resources=resources, tracking=False, on_change=kill_once)

    assert outcome.why == "finished"
    assert [text for text in messages if "attempt 1 of 3 failed" in text]
    records = read_records(Folder(first))
    assert [record["epoch"] for record in records] == list(range(1, EPOCHS + 1))
    assert [records[0]["attempt"], records[-1]["attempt"]] == [1, 2]
    told = sweeping.trials(folder)
    assert [report["epoch"] for report in told["default-plain"].reports] == list(range(1, EPOCHS + 1))
    alone = space.config(told["0"].params).with_overrides({"processes": 1})
    metrics = pipeline.run_trial(alone, Folder(tmp_path / "alone"), lambda record: None)
    assert told["0"].metrics["val/all/mae"] == pytest.approx(metrics["val/all/mae"], rel=1e-3)


def test_processes_that_cannot_share_evenly_what_a_trial_is_given_are_refused(tmp_path: Path):
    space = sweeping.spec(tmp_path, {"processes": 2})
    with pytest.raises(ValueError, match="2 processes is given 3 CPUs and 0 GPUs; give it 2 CPUs"):
        sweep.run(space, tmp_path / "sweep", resources=Resources(cpus_per_trial=3), tracking=False)
    assert not list((tmp_path / "sweep").glob("*.jsonl"))
    with pytest.raises(ValueError, match=r"given 4 GPUs, but .* set `processes: 4` in `fixed`"):
        Resources(gpus_per_trial=4).per_process(1)
    assert Resources(cpus_per_trial=8, gpus_per_trial=4).per_process(4) == {"CPU": 2, "GPU": 1.0}
