"""Trials of several processes in a sweep: workers of Ray Train inside Tune's function."""

import json
import logging
import os
import queue
import re
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sweeping
import tiny
from torch import distributed

from dirsweep import data, pipeline, stage1, sweep, together, trainable
from dirsweep.checkpoint import read_records
from dirsweep.checkpoint.lease import lease
from dirsweep.finalize import training
from dirsweep.finalize.plan import Row
from dirsweep.storage import Folder
from dirsweep.sweep import Resources
from dirsweep.sweep.progress import Progress
from dirsweep.sweep.session import ray_session
from dirsweep.together import Message
from dirsweep.trainable import Assignment

EPOCHS = 60
"""So many that a trial has a checkpoint long before it ends."""
DAMAGED = f"{EPOCHS:06d}-00000000-001-0000000000000000.safetensors"
"""A checkpoint that lies past all others, and is none."""


RESOURCES = Resources(workers=1, cpus_per_trial=2)
FIXED = {
    "processes": 2,
    "stage1.epochs": EPOCHS,
    "stage1.batch_size": 16,
    "stage1.norm_ordinality.name": "none",
    "stage2": None,
}


@pytest.fixture(scope="module")
def session() -> Iterator[None]:
    """A Ray that the tests share, for it takes seconds to start."""
    with ray_session(RESOURCES):
        yield


def kill_first_process(trial: Path) -> bool:
    """Kill the process of a trial that writes, if it has saved a whole epoch by now; whether it had."""
    if not any(int(file.name[:6]) for file in (trial / "checkpoints").glob("[0-9]*")):
        return False
    os.kill(json.loads((trial / "attempts" / "001").read_text())["pid"], signal.SIGKILL)
    return True


@pytest.mark.slow
def test_a_sweep_of_trials_of_two_processes_goes_on_from_a_checkpoint_when_one_is_killed(
    tmp_path: Path, session: None
):
    searched = {"stage1.epochs": {"choice": [2]}}
    space = sweeping.spec(tmp_path, FIXED, searched=searched, budget={"trials": 1})
    folder = tmp_path / "sweep"
    first = folder / "trials" / "default-plain"
    messages, killed = [], []

    def kill_once(progress: Progress) -> None:
        messages.append(progress.message)
        if not killed and kill_first_process(first):
            killed.append(True)
            (first / "checkpoints" / DAMAGED).write_bytes(b"damaged")

    outcome = sweep.run(space, folder, resources=RESOURCES, tracking=False, on_change=kill_once)

    assert outcome.why == "finished"
    [failed] = [text for text in messages if "attempt 1 of 3 failed" in text]
    # Ray may look just then, and find only what the other one says of it
    assert re.search("process 0: The actor is dead because its worker process has died|process 1: ", failed)
    records = read_records(Folder(first))
    assert [record["epoch"] for record in records] == list(range(1, EPOCHS + 1))
    assert [records[0]["attempt"], records[-1]["attempt"]] == [1, 2]
    told = sweeping.trials(folder)
    [note] = told["default-plain"].notes
    assert f"checkpoint checkpoints/{DAMAGED} is damaged" in note
    assert [report["epoch"] for report in told["default-plain"].reports] == list(range(1, EPOCHS + 1))
    alone = space.config(told["0"].params).with_overrides({"processes": 1})
    metrics = pipeline.run_trial(alone, Folder(tmp_path / "alone"), lambda record: None)
    assert told["0"].metrics["val/all/mae"] == pytest.approx(metrics["val/all/mae"], rel=1e-3)


@pytest.mark.slow
def test_a_run_of_a_verdict_goes_on_when_one_of_its_two_processes_is_killed(tmp_path: Path, session: None):
    row = Row("plain", tiny.config(tmp_path).with_overrides(FIXED), "")
    [run] = training.runs([row], [1], Folder(tmp_path))
    folder = Path(str(run.folder))
    notes: list[Path] = []

    def kill() -> None:
        sweeping.wait_for(lambda: kill_first_process(folder), "a checkpoint")
        notes.extend(Path(tempfile.gettempdir()).glob("dirsweep-*/trial"))

    killer = threading.Thread(target=kill)
    killer.start()
    failed = training.train([run], Folder(tmp_path), Folder(tmp_path / "store"), RESOURCES, lambda line: None)
    killer.join()
    assert failed == {}
    assert run.done
    records = read_records(run.folder)
    assert [records[0]["attempt"], records[-1]["attempt"]] == [1, 2]
    assert notes == []  # Ray Train's own: of a process that is killed they would stay there


def test_processes_that_cannot_share_evenly_what_a_trial_is_given_are_refused(tmp_path: Path):
    space = sweeping.spec(tmp_path, {"processes": 2})
    with pytest.raises(ValueError, match="2 processes is given 3 CPUs and 0 GPUs; give it 2 CPUs"):
        sweep.run(space, tmp_path / "sweep", resources=Resources(cpus_per_trial=3), tracking=False)
    assert not (tmp_path / "sweep").exists()
    space = sweeping.spec(tmp_path, {"processes": 2, "device": "cuda"})
    with pytest.raises(ValueError, match=r"'fixed.device' is cuda, but a trial is given no GPU; give it 2"):
        sweep.run(space, tmp_path / "sweep", resources=Resources(cpus_per_trial=2), tracking=False)
    assert not (tmp_path / "sweep").exists()
    with pytest.raises(ValueError, match=r"given 4 GPUs, but .* set `processes: 4` in `fixed`"):
        Resources(gpus_per_trial=4).per_process(1)
    with pytest.raises(ValueError, match=r"given 1.5 GPUs, but .* one process uses one; give it one GPU$"):
        Resources(gpus_per_trial=1.5).per_process(1)
    assert Resources(cpus_per_trial=8, gpus_per_trial=4).per_process(4) == {"CPU": 2, "GPU": 1.0}


@pytest.fixture
def joined(tmp_path: Path) -> Iterator[None]:
    """A group of processes, of which this one is all."""
    meeting = f"file://{tmp_path}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def heard(line: "queue.Queue[Message]", kind: str) -> list[Any]:
    """What came by the line so far, of one kind."""
    return [said for one, said in line.queue if one == kind]


def test_a_worker_that_waits_for_a_stage_1_lives_and_all_that_it_says_is_heard(tmp_path: Path, joined: None):
    config, store = tiny.config(tmp_path, stage2=None), Folder(tmp_path / "stage1")
    line = queue.Queue[Message]()
    assignment = Assignment(
        key="0",
        config=config.model_dump_json(),
        folder=str(tmp_path / "trial"),
        emitted=1,
        data="",
        store=str(store),
        sweep=str(tmp_path),
        alive_every=0.2,
    )
    told = {name: assignment[name] for name in ("config", "folder", "emitted", "store")}
    told |= {"begin_looking": partial(trainable.poll, assignment), "line": line}
    key = stage1.keys(config, data.load(config.dataset))[-1]
    worker = threading.Thread(target=together._work, args=(told,))
    with lease(store, key, "another trial", lambda: False, lambda: False):
        worker.start()
        sweeping.wait_for(lambda: len(heard(line, "alive")) > 3, "signs of life")
        assert heard(line, "epoch") == []
        Folder(tmp_path / "trial").put(f"checkpoints/{DAMAGED}", b"damaged")
    worker.join()
    assert [record["epoch"] for record in heard(line, "epoch")] == [2, 3]
    assert [f"checkpoint checkpoints/{DAMAGED} is damaged" in text for text in heard(line, "warning")] == [
        True
    ]
    assert not logging.getLogger("dirsweep").handlers


def test_what_workers_say_is_heard_to_the_end_and_a_warning_of_several_once():
    line, training = queue.Queue[Message](), Future[None]()
    said: list[Message] = [
        ("warning", "a"),
        ("alive", None),
        ("warning", "a"),
        ("warning", "b"),
        ("epoch", {}),
    ]
    for message in said:
        line.put(message)
    training.set_result(None)
    del said[2]
    assert list(together._messages(line, training)) == said


def test_where_ray_does_not_know_why_a_process_is_gone_what_the_others_raised_is_told():
    raised = {0: TypeError("no number"), 1: ConnectionError("Read error\nconnection reset")}
    assert together._lost(raised) == "process 0: TypeError: no number; process 1: connection reset"
    gone = RuntimeError("The actor died.\n\tpid: 7\nThe actor is dead because its node has died.")
    assert together._lost({**raised, 2: gone}) == "process 2: The actor is dead because its node has died."
