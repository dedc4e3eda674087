"""Several processes that train one trial, each its part of every batch, against one that has all of it."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny
import together
from together import Task

from dirsweep import pipeline
from dirsweep.checkpoint import read_records
from dirsweep.config import TrialConfig
from dirsweep.group import ALONE, Group
from dirsweep.storage import Folder

ODD = {"stage1.batch_size": 51}
"""Parts of 26 and 25 samples, and a last batch of another size."""
VIEWS = {"encoder.dropout": 1e-12}
"""Two views, but equal ones: what one process drops by chance several do not."""
METHODS: dict[str, dict[str, Any]] = {
    "plain": {"stage1.norm_ordinality.name": "none"},
    "norm ordinality": {"stage1.norm_ordinality.prototypes.name": "ema"},
    "ranksim": {"stage1.feature_method.name": "ranksim"},
    "conr": {"stage1.feature_method.name": "conr", **VIEWS},
    "fds": {"stage1.feature_method.name": "fds"},
    "fds, of its own steps": {"stage1.feature_method": {"name": "fds", "gather": "during"}},
    "parts": {"stage1.accumulate": 3},
    "vir": {"stage1.feature_method.name": "vir", "stage1.loss.name": "nig"},
    "balanced mse": {"stage1.loss": {"name": "balanced_mse", "sigma_lr": 1e-2}},
    "sharpness": {"stage1.optimizer": {"name": "sgd", "lr": 0.05, "rho": 0.05}},
    "last block": {"stage2.layers": "last_block"},
    "batch norm": {
        "encoder.batch_norm": True,
        "stage2.freeze_batch_norm": False,
        "stage1.optimizer": {
            "name": "sgd",
            "lr": 0.05,
        },  # Adam lets noise move a bias that batch norm takes out
    },
}
MIXED = {
    "stage1.feature_method.name": "fds",
    "stage1.norm_ordinality.prototypes.name": "ema",
    "stage1.select": "val/all/mae",
    "encoder.batch_norm": True,
    "encoder.dropout": 0.2,
    "batch_norm": "local",
    "processes": 2,
}
"""All that a checkpoint has to hold, and what processes draw or compute each by itself."""


def small(folder: Path, **values: Any) -> TrialConfig:
    short = {"stage1.epochs": 2, "stage2.schedule.epochs": 1}
    return tiny.config(folder).with_overrides({**ODD, **short, **values})


def alone(config: TrialConfig, folder: Path) -> None:
    pipeline.run_trial(config, Folder(folder), lambda record: None)


def losses(folder: Path) -> list[float]:
    """Base loss and term of each epoch."""
    return [value for record in read_records(Folder(folder)) for value in record["loss"].values()]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every method's trial, in one process and in two; and one of two that is stopped, and one that forks."""
    folder = tmp_path_factory.mktemp("both")
    trials = {name: small(folder, **values) for name, values in METHODS.items()}
    mixed = small(folder, **MIXED)
    other = mixed.with_overrides({"stage2.norm_weight": 3.0})

    def task(name: str, config: TrialConfig, **fields: Any) -> Task:
        return Task(str(folder / "two" / name), config.model_dump(mode="json"), **fields)

    store = str(folder / "store")
    tasks = [task(name, config.with_overrides({"processes": 2})) for name, config in trials.items()]
    tasks += [task("whole", mixed), *(task("stopped", mixed, looks=looks) for looks in (3, 12, None))]
    tasks += [task("donor", mixed, store=store), task("fork", other, store=store), task("own", other)]
    other_threshold = small(folder, processes=2, **{"stage2.majority_threshold": 5})
    bad = folder / "bad.yaml"
    bad.write_text(json.dumps({"seed": "x"}))
    (folder / "good.yaml").write_text(json.dumps(other_threshold.model_dump(mode="json")))
    taken = str(folder / "two" / "whole")
    commands = [["train", str(bad)], ["train", str(folder / "good.yaml"), "--out", taken]]
    with together.training(folder, tasks, commands):
        for name, config in trials.items():
            alone(config, folder / "one" / name)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_two_processes_with_half_of_each_batch_give_the_numbers_of_one(both: Path, name: str):
    one, two = both / "one" / name, both / "two" / name
    assert losses(two) == pytest.approx(losses(one), rel=1e-4, abs=1e-6)
    tables = [pd.read_csv(place / "val_predictions.csv") for place in (one, two)]
    assert tables[1]["prediction"].to_numpy() == pytest.approx(tables[0]["prediction"].to_numpy(), rel=1e-3)
    norms = [pd.read_csv(place / "bins.csv")["norm"].to_numpy() for place in (one, two)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-3, nan_ok=True)


def left(folder: Path) -> dict[str, bytes]:
    """What a trial is judged by."""
    return {name: (folder / name).read_bytes() for name in ("bins.csv", "val_predictions.csv")}


@pytest.mark.slow
def test_two_processes_that_were_stopped_go_on_to_the_same_numbers(both: Path):
    attempts = [record["attempt"] for record in read_records(Folder(both / "two" / "stopped"))]
    assert attempts[0] < attempts[-1] == 3
    assert left(both / "two" / "stopped") == left(both / "two" / "whole")


@pytest.mark.slow
def test_two_processes_fork_from_a_stage_1_that_two_have_trained(both: Path):
    records = read_records(Folder(both / "two" / "fork"))
    assert [bool(record.get("reused")) for record in records] == [True, True, False]
    assert left(both / "two" / "fork") == left(both / "two" / "own")


@pytest.mark.slow
def test_the_first_process_alone_writes(both: Path):
    records = Folder(both / "two" / "plain").records("records.jsonl")[0]
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert [place.name for place in (both / "two" / "plain" / "attempts").iterdir()] == ["001"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "message"),
    [(0, "bad.yaml: 'seed': input should be a valid integer"), (1, "this folder holds another trial")],
)
def test_of_two_processes_the_first_alone_says_what_is_wrong_and_fails(both: Path, number: int, message: str):
    first, second = ((both / f"said-{number}-{rank}").read_text() for rank in (0, 1))
    assert message in first
    assert first.endswith("status 2")
    assert "Traceback" not in first
    assert second == "status 0"  # at a failure torchrun would kill the first before it has said so


def test_the_parts_of_a_batch_differ_by_one_sample_and_a_small_batch_stays_whole():
    places = [Group(rank, 3).part(11) for rank in range(3)]
    assert places == [slice(0, 4), slice(4, 8), slice(8, 11)]
    assert [Group(rank, 3).part(5) for rank in range(3)] == [slice(0, 5)] * 3
    assert ALONE.part(7) == slice(0, 7)


def test_a_trial_of_two_processes_is_not_trained_by_one(tmp_path: Path):
    with pytest.raises(ValueError, match=r"wants 2 processes.*but 1 .*--nproc-per-node 2"):
        alone(small(tmp_path, processes=2), tmp_path / "trial")


def test_batch_norm_is_shared_only_where_there_is_one_and_several_processes(tmp_path: Path):
    with pytest.raises(ValueError, match=r"batch_norm says how .*, but processes is 1; leave it out"):
        small(tmp_path, batch_norm="local", **{"encoder.batch_norm": True})
    with pytest.raises(ValueError, match="but the encoder has none; leave it out"):
        small(tmp_path, batch_norm="local", processes=2)
    assert small(tmp_path, processes=2, **{"encoder.batch_norm": True}).batch_norm_over == "synchronised"
    with pytest.raises(ValueError, match=r"accumulate is 2, but batch norm is synchronised .*to local"):
        small(tmp_path, processes=2, **{"encoder.batch_norm": True, "stage1.accumulate": 2})
