import logging
import math
from pathlib import Path
from typing import Any

import pytest
import tiny
from ray import tune

from dirsweep import data, trainable
from dirsweep.storage import Folder
from dirsweep.trainable import Assignment


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a trial reports to Tune."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", lambda result: found.append(trainable.said(result)))
    return found


def assignment(folder: Path, emitted: int = 0, **values: Any) -> Assignment:
    config = tiny.config(folder, **values)
    return Assignment(
        key="0",
        config=config.model_dump_json(),
        folder=str(folder / "trial"),
        emitted=emitted,
        data=data.load(config.dataset).hash,
        store=str(folder / "stage1"),
        sweep=str(folder),
    )


def test_a_trial_reports_each_epoch_and_once_its_final_metrics(tmp_path: Path, reports: list[dict[str, Any]]):
    trainable.trial(assignment(tmp_path))
    *epochs, final = reports
    assert [(report["epoch"], report["fraction"]) for report in epochs] == [
        (1, 0.2),
        (2, 0.4),
        (3, 0.6),
        (4, 0.8),
        (5, 1.0),
    ]
    assert all("final" not in report for report in epochs)
    assert (final["final"], final["state"], final["reason"]) == (True, "COMPLETE", "")
    assert final["metrics"]["val/all/mae"] == epochs[-1]["metrics"]["val/all/mae"]


def test_epochs_that_the_ledger_has_are_not_reported_again(tmp_path: Path, reports: list[dict[str, Any]]):
    trainable.trial(assignment(tmp_path, emitted=3))
    assert [report["epoch"] for report in reports[:-1]] == [4, 5]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"stage2__majority_threshold": 5000}, "fewer than two majority bins"),
        ({"stage1__optimizer__lr": 1.0e30}, "no longer finite"),
    ],
)
def test_what_would_come_again_is_reported_as_a_failure(
    tmp_path: Path, reports: list[dict[str, Any]], values: dict[str, Any], reason: str
):
    trainable.trial(assignment(tmp_path, **values))
    assert reports[-1]["state"] == "FAIL"
    assert reason in reports[-1]["reason"]
    assert "Traceback" in (tmp_path / "trial" / "error.txt").read_text()


MEMORY = """\
from torch import nn

from dirsweep.trouble import OutOfMemory


class Stem(nn.Linear):
    def forward(self, rows):
        if self.training:
            raise OutOfMemory("the GPU's memory ran out")
        return super().forward(rows)


class Large(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.features, self.stem, self.last_block = 4, Stem(rows.shape[1], 4), nn.ReLU()
"""


def test_a_trial_for_which_the_gpu_is_too_small_fails_and_is_not_tried_again(
    tmp_path: Path, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "large_encoder.py").write_text(MEMORY)
    monkeypatch.syspath_prepend(str(tmp_path))
    trainable.trial(assignment(tmp_path, encoder={"name": "custom", "path": "large_encoder:Large"}))
    assert reports[-1]["state"] == "FAIL"
    assert reports[-1]["reason"] == "the GPU's memory ran out"


def test_a_stopped_trial_reports_no_final(tmp_path: Path, reports: list[dict[str, Any]]):
    (tmp_path / "STOP").touch()
    trainable.trial(assignment(tmp_path))
    assert reports == []
    assert not (tmp_path / "trial").exists()


def test_a_full_disk_is_no_failure_of_the_trial(
    tmp_path: Path, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    def full(*arguments: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    trainable.trial(assignment(tmp_path))
    assert (reports[-1]["state"], reports[-1]["final"]) == (trainable.REFUSED, True)
    assert "No space left on device" in reports[-1]["reason"]


def test_what_a_trial_warns_of_goes_with_its_next_report_and_once(
    tmp_path: Path, reports: list[dict[str, Any]]
):
    Folder(tmp_path / "trial").put("checkpoints/000001-00000000-001-0000000000000000.safetensors", b"damaged")
    trainable.trial(assignment(tmp_path, stage2=None))
    [said] = reports[0]["notes"]
    assert f"{tmp_path / 'trial'}: checkpoint checkpoints/000001-00000000-001-0000000000000000" in said
    assert "is damaged; it is removed, the one before is used" in said
    assert [report["notes"] for report in reports[1:]] == [[]] * 3
    assert not logging.getLogger("dirsweep").handlers


def test_a_trial_does_not_run_on_other_data_than_its_sweep_began_with(
    tmp_path: Path, reports: list[dict[str, Any]]
):
    handed = assignment(tmp_path)
    table = tmp_path / "tiny.csv"
    table.write_text(table.read_text().replace("1", "2", 1))
    trainable.trial(handed)
    assert [report["state"] for report in reports] == ["OPEN"]
    assert f"their hash was {handed['data']}, now it is " in reports[0]["reason"]
    assert not (tmp_path / "trial").exists()


def test_the_stop_mark_is_looked_up_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    stopped = trainable.stop_check(tmp_path)
    assert not stopped()
    (tmp_path / "STOP").touch()
    assert not stopped()
    now = 101.0
    assert stopped()


def test_a_trial_gives_signs_of_life_between_its_epochs(
    tmp_path: Path, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    look = trainable.poll({**assignment(tmp_path), "alive_every": 5.0}, trainable.alive)
    assert reports == [trainable.ALIVE]  # it has begun
    for _ in range(12):
        now += 1.0
        assert not look()
    assert reports == [trainable.ALIVE] * 3
    (tmp_path / "STOP").touch()
    now += 1.0
    assert look()


def test_what_a_trial_says_comes_back_as_it_was_said(reports: list[dict[str, Any]]):
    metrics = {"val/all/mae": 0.1 + 0.2, "val/few/mae": math.inf, "val/zero/mae": math.nan}
    trainable.report_epoch({"epoch": 3, "of": 4, "metrics": metrics})
    trainable.report_final("COMPLETE", metrics)
    assert str(reports[0]) == str({"epoch": 3, "of": 4, "metrics": metrics, "fraction": 0.75, "notes": []})
    assert str(reports[1]) == str(
        {"final": True, "state": "COMPLETE", "reason": "", "metrics": metrics, "notes": []}
    )
