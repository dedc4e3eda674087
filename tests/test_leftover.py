"""A worker that trials left memory in begins no other; here tensors on a CPU stand for those on a GPU."""

import json
import os
import sys
from functools import partial
from pathlib import Path

import pytest
import sweeping
import torch
from test_trainable import assignment

from dirsweep import leftover, sweep, trainable
from dirsweep.leftover import TOLERATED, Leftover, Memory
from dirsweep.sweep import Progress, Resources
from dirsweep.trainable import Assignment

KEPT: list[torch.Tensor] = []
"""What trials of this process left behind."""


def kept() -> int:
    return sum(tensor.nbytes for tensor in KEPT)


@pytest.fixture
def clean():
    yield
    KEPT.clear()


def leave(count: int) -> None:
    KEPT.append(torch.empty(count, dtype=torch.uint8))


def test_a_process_may_hold_what_it_held_at_first_and_what_cuda_keeps(clean: None):
    leave(1000)
    memory = Memory(kept)
    memory.check()
    leave(TOLERATED)
    memory.check()
    leave(1)
    with pytest.raises(Leftover, match="holds 256 MiB of GPU memory, 0 MiB when it first began a trial"):
        memory.check()
    KEPT.pop()
    memory.check()


def test_a_process_that_has_used_no_gpu_holds_nothing_there(clean: None):
    leave(1000)
    assert torch.cuda.is_initialized() or leftover.held() == 0


def test_a_worker_that_holds_more_raises_before_the_trial_has_begun(tmp_path: Path, clean: None):
    memory = Memory(kept)
    memory.check()
    leave(2 * TOLERATED)
    with pytest.raises(Leftover):
        trainable.trial(assignment(tmp_path), memory)
    assert not (tmp_path / "trial").exists()


def test_no_other_error_is_taken_for_it():
    name = "dirsweep.leftover.Leftover"
    assert leftover.told(f"{name}: its process holds much") == "its process holds much"
    assert leftover.told("RuntimeError: its process holds much") == ""
    assert leftover.told(f"RuntimeError: {name}: its process holds much") == ""


MEMORY = Memory(kept)


def leaking(given: Assignment, left_by: str) -> None:
    """A trial as any, after which its process holds something if it was that one."""
    try:
        trainable.trial(given, MEMORY)
    finally:  # Tune ends the thread of a trial that it was told the end of
        if given["key"] == left_by:
            leave(2 * TOLERATED)


@pytest.mark.slow
def test_tune_ends_a_worker_that_holds_more_and_the_trial_goes_to_a_fresh_one_as_its_first_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # where workers find this file
    shown: list[Progress] = []
    folder, spec = tmp_path / "sweep", sweeping.spec(tmp_path, budget={"trials": 3})
    sweep.run(
        spec,
        folder,
        resources=Resources(workers=1, reuse_actors=True),
        tracking=False,
        on_change=shown.append,
        trial=partial(leaking, left_by="0"),
    )
    trials = sweeping.trials(folder)
    assert {trial.state for trial in trials.values()} == {"COMPLETE"}
    attempts = {key: sorted((folder / "trials" / key / "attempts").iterdir()) for key in ("0", "1", "2")}
    assert [len(files) for files in attempts.values()] == [1, 1, 1]
    before, after, later = (json.loads(files[0].read_text())["pid"] for files in attempts.values())
    assert before != after == later
    assert not Path(f"/proc/{before}").exists()
    [said] = {progress.message for progress in shown if "given up" in progress.message}
    assert said == (
        "trial 1: a worker was given up before it began (its process holds 512 MiB of GPU memory, 0 MiB when "
        "it first began a trial), another takes the trial"
    )
