"""A trial that goes on from a stored stage 1 equals one that trained it."""

import json
import multiprocessing
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from test_pipeline import everything, weights

from dirsweep import data, pipeline, stage1
from dirsweep.checkpoint import Store, Superseded, claim, lease, read_records
from dirsweep.config import TrialConfig
from dirsweep.storage import Folder, Place, Record

Outcome = tuple[dict[str, float], list[Record]]
TIMED = {"seconds", "reused_seconds", "attempt", "reused", "forked_from", "forked_at"}


def run(config: TrialConfig, folder: Place, store: Place | None) -> Outcome:
    seen: list[Record] = []
    kept = None if store is None else Store(Folder(store))
    return pipeline.run_trial(config, Folder(folder), seen.append, store=kept), seen


def without_times(tree: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in tree.items() if name not in TIMED}, sort_keys=True)


def assert_equal(
    left: tuple[dict[str, float], list[Record]], right: tuple[dict[str, float], list[Record]]
) -> None:
    assert without_times(left[0]) == without_times(right[0])
    assert [without_times(record) for record in left[1]] == [without_times(record) for record in right[1]]


@pytest.mark.parametrize("rich", [False, True])
def test_a_forked_trial_equals_one_that_trained_its_own_stage_1(tmp_path: Path, rich: bool):
    parent = everything(tmp_path) if rich else tiny.config(tmp_path)
    child = parent.with_overrides({"stage2.norm_weight": 3.0, "stage2.schedule.epochs": 3})
    run(parent, tmp_path / "parent", tmp_path / "store")
    forked = run(child, tmp_path / "forked", tmp_path / "store")
    alone = run(child, tmp_path / "alone", None)
    assert_equal(forked, alone)
    a, b = weights(tmp_path / "forked"), weights(tmp_path / "alone")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert (tmp_path / "forked/bins.csv").read_bytes() == (tmp_path / "alone/bins.csv").read_bytes()
    first = child.stage1.total_epochs
    assert [record.get("reused", False) for record in forked[1]] == [True] * first + [False] * 3
    donors = [record.get("forked_from") for record in forked[1]]
    assert donors == [f"{tmp_path.name}/parent"] * first + [None] * 3
    assert all(0 < record["forked_at"] <= time.time() for record in forked[1][:first])
    assert forked[0]["reused_seconds"] > 0
    assert forked[0]["seconds"] < alone[0]["seconds"]


def test_a_fork_climbs_along_the_gradients_of_its_own_phase_alone(tmp_path: Path, folder: Folder):
    sharp = {"name": "sgd", "lr": 0.02, "rho": 0.5}
    parent = tiny.config(tmp_path, stage1__optimizer=sharp, stage2__layers="last_block")
    child = parent.with_overrides({"stage2.norm_weight": 3.0})
    run(parent, folder / "parent", folder / "store")
    forked = run(child, folder / "forked", folder / "store")
    assert forked[0]["reused_seconds"] > 0
    assert_equal(forked, run(child, tmp_path / "alone", None))


@pytest.mark.parametrize("select", ["last", "val/all/mae"])
def test_a_longer_stage_1_goes_on_from_a_shorter_one_if_its_schedule_agrees(tmp_path: Path, select: str):
    wild = {"stage1.decay.name": "constant", "stage1.optimizer.lr": 0.2, "seed": 1}
    short = tiny.config(tmp_path, stage1__select=select).with_overrides(wild)
    longer = short.with_overrides({"stage1.epochs": 5})
    run(short, tmp_path / "short", tmp_path / "store")
    forked, alone = (
        run(longer, tmp_path / "forked", tmp_path / "store"),
        run(longer, tmp_path / "alone", None),
    )
    assert_equal(forked, alone)
    assert [record.get("reused", False) for record in forked[1]] == [True] * 3 + [False] * 4
    best = min(range(3), key=lambda epoch: forked[1][epoch]["metrics"]["val/all/mae"])
    assert best != 2, "the shorter one hands on an epoch before its last"
    cosine = longer.with_overrides({"stage1.decay.name": "cosine"})
    assert not any(record.get("reused") for record in run(cosine, tmp_path / "cosine", tmp_path / "store")[1])


def test_a_further_phase_goes_on_from_the_stage_1_that_it_extends(tmp_path: Path):
    main = tiny.config(tmp_path)
    both = main.with_overrides({"stage1.then": [{"epochs": 2, "loss": {"name": "mse"}, "reset_head": True}]})
    run(main, tmp_path / "main", tmp_path / "store")
    forked, alone = run(both, tmp_path / "forked", tmp_path / "store"), run(both, tmp_path / "alone", None)
    assert_equal(forked, alone)
    assert [record.get("reused", False) for record in forked[1]] == [True] * 3 + [False] * 4


def test_a_key_is_of_what_decides_stage_1_and_of_nothing_else(tmp_path: Path):
    config = tiny.config(tmp_path)
    dataset = data.load(config.dataset)
    mine = stage1.keys(config, dataset)
    assert len(set(mine)) == 3
    for same in ({"stage2.norm_weight": 9.0}, {"stage2": None}):
        assert stage1.keys(config.with_overrides(same), dataset) == mine
    for name, value in {
        "seed": 1,
        "threads": 2,
        "precision": "bf16",
        "compiled": True,
        "encoder.width": 8,
        "stage1.batch_size": 32,
        "stage1.optimizer.lr": 2e-3,
        "stage1.warmup": 0.5,
        "stage1.loss.name": "mse",
        "stage1.select": "val/all/mae",
        "stage1.norm_ordinality.weight": 0.2,
        "stage1.target_transform": "log",
        "stage1.weighting.name": "inv",
    }.items():
        assert stage1.keys(config.with_overrides({name: value}), dataset)[-1] != mine[-1], name
    zero = config.with_overrides({"stage1.norm_ordinality.weight": 0.0})
    assert stage1.keys(zero, dataset) == stage1.keys(config.plain(), dataset)


def test_a_damaged_entry_is_trained_again_and_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    config = tiny.config(tmp_path)
    alone = run(config, tmp_path / "alone", tmp_path / "store")
    folder = Folder(tmp_path / "store")
    [name] = folder.list("states")
    content = bytearray(folder.read(name))
    content[len(content) // 2] ^= 1
    folder.put(name, bytes(content))
    again = run(config, tmp_path / "again", tmp_path / "store")
    assert "damaged" in caplog.text
    assert not any(record.get("reused") for record in again[1])
    assert_equal(again, alone)
    assert Store(folder).get(stage1.keys(config, data.load(config.dataset))[-1]) is not None


def test_a_stage_1_that_could_not_be_deposited_is_deposited_at_resume(tmp_path: Path):
    config = tiny.config(tmp_path)
    states = tmp_path / "store" / "states"
    states.parent.mkdir()
    states.write_text("a file where the folder should be")
    with pytest.raises(OSError, match="states"):
        run(config, tmp_path / "trial", tmp_path / "store")
    assert (tmp_path / "trial" / "stage1.json").exists()
    states.unlink()
    assert_equal(run(config, tmp_path / "trial", tmp_path / "store"), run(config, tmp_path / "alone", None))
    assert Store(Folder(tmp_path / "store")).has(stage1.keys(config, data.load(config.dataset))[-1])


def _child(job: tuple[str, int, Any]) -> int:
    """Train one child; the number of epochs that it trained itself."""
    root, number, barrier = job
    torch.set_num_threads(1)
    config = tiny.config(Path(root), stage1__epochs=8, stage2__norm_weight=float(number))
    barrier.wait()
    run(config, Path(root) / str(number), Path(root) / "store")
    return sum(not record.get("reused", False) for record in read_records(Folder(Path(root) / str(number))))


@pytest.mark.slow
def test_of_eight_children_at_once_one_trains_the_stage_1(tmp_path: Path):
    tiny.config(tmp_path)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dirsweep.pipeline"])
    with context.Manager() as manager, context.Pool(8) as pool:
        barrier = manager.Barrier(8)
        own = pool.map(_child, [(str(tmp_path), number, barrier) for number in range(8)], chunksize=1)
    assert sorted(own) == [2] * 7 + [10]


def test_a_trial_goes_on_at_once_though_its_last_attempt_holds_the_lease_and_lives(tmp_path: Path):
    config, store = tiny.config(tmp_path), tmp_path / "store"
    reported, given_up, ended = threading.Event(), threading.Event(), []

    def hang(record: Record) -> None:  # as a report does on a node that was cut off
        reported.set()
        assert given_up.wait(60)

    def first_attempt() -> None:
        try:
            pipeline.run_trial(config, Folder(tmp_path / "trial"), hang, store=Store(Folder(store)))
        except Superseded as error:
            ended.append(str(error))

    lost = threading.Thread(target=first_attempt)
    lost.start()
    assert reported.wait(60)
    begun = time.monotonic()
    second = run(config, tmp_path / "trial", store)
    assert time.monotonic() - begun < lease.PATIENCE / 2
    left = {file: file.read_bytes() for file in (tmp_path / "trial").rglob("*") if file.is_file()}
    given_up.set()
    lost.join()
    assert ended == [f"{tmp_path / 'trial'}: attempt 1 stops, attempt 2 has begun"]
    assert left == {file: file.read_bytes() for file in left}
    assert_equal(second, run(config, tmp_path / "alone", None))


def test_an_attempt_that_is_overtaken_at_its_very_end_leaves_no_result(tmp_path: Path):
    class Overtaken(Folder):
        """A later attempt begins while the first of the results is written."""

        def put(self, name: str, content: bytes) -> None:
            super().put(name, content)
            if name == "bins.csv":
                claim(self)

    config = tiny.config(tmp_path)
    with pytest.raises(Superseded, match="attempt 1 stops, attempt 2 has begun"):
        pipeline.run_trial(config, Overtaken(tmp_path / "trial"), lambda record: None)
    assert {file.name for file in (tmp_path / "trial").glob("*.csv")} == {"bins.csv"}
    assert not (tmp_path / "trial" / "metrics.json").exists()
    assert_equal(run(config, tmp_path / "trial", None), run(config, tmp_path / "alone", None))


def test_what_a_fork_left_that_died_before_its_checkpoint_is_forgotten(tmp_path: Path):
    config = tiny.config(tmp_path)
    run(config, tmp_path / "first", tmp_path / "store")
    run(config.with_overrides({"stage2.norm_weight": 2.0}), tmp_path / "fork", tmp_path / "store")
    left = Folder(tmp_path / "dead")
    for name in ("fork.json", "stage1.json"):
        left.put(name, (tmp_path / "fork" / name).read_bytes())
    metrics, _ = run(config, tmp_path / "dead", tmp_path / "empty")
    assert metrics["reused_seconds"] == 0
    assert not left.exists("fork.json")
