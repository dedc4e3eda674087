"""Real sweeps on Ray: uninterrupted, killed, stopped, with dying workers."""

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest
import sweeping
import yaml

from dirsweep import ledger, sweep
from dirsweep.config import TrialConfig
from dirsweep.storage import Folder, Place, beats

pytestmark = pytest.mark.slow

ASHA = {"name": "asha", "metric": "val/all/mae", "rungs": [0.25, 0.5], "reduction": 2}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of one worker, with pruning, that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    sweeping.write(one_worker_spec(folder.parent), folder)
    with sweeping.Process("run", folder, workers=1) as driver:
        assert driver.wait() == f"finished; `dirsweep resume {folder} --trials +N` adds trials\n"
    sweeping.wait_for(lambda: not driver.left_behind(), "Ray's processes to end", 10)
    return folder


def one_worker_spec(folder: Path) -> sweeping.SweepSpec:
    budget = {"trials": 5}
    return sweeping.spec(folder, {"stage1.epochs": 10}, scheduler=ASHA, budget=budget)


def test_a_sweep_runs_default_controls_then_its_budget_then_the_best_trials_controls(whole: Path):
    trials = sweeping.trials(whole)
    best = min(
        (trial for trial in trials.values() if trial.kind == "ask" and trial.state == "COMPLETE"),
        key=lambda trial: trial.metrics["val/all/mae"],
    )
    asked = [str(number) for number in range(5)]
    controls = [f"{best.trial}-plain", f"{best.trial}-mu0"]
    assert list(trials) == ["default-plain", "default-mu0", *asked, *controls]
    assert all(trial.state in ("COMPLETE", "PRUNED") for trial in trials.values())
    assert sweeping.records(whole)[-1]["why"] == "finished"


def test_a_pruned_trial_is_told_pruned_and_keeps_no_checkpoint(whole: Path):
    pruned = [trial for trial in sweeping.trials(whole).values() if trial.state == "PRUNED"]
    assert pruned
    for trial in pruned:
        assert trial.kind == "ask"
        assert trial.epoch in (3, 6)  # the rungs at 0.25 and 0.5 of 12 epochs
        assert Folder(whole / "trials" / trial.trial).list("checkpoints") == []


def test_the_ledger_has_every_epoch_once(whole: Path):
    for trial in sweeping.trials(whole).values():
        if trial.attempts:
            assert [report["epoch"] for report in trial.reports] == list(range(1, trial.epoch + 1))
    reports = [(r["trial"], r["epoch"]) for r in sweeping.records(whole) if r["kind"] == "report"]
    assert len(reports) == len(set(reports))


def test_the_best_trial_is_written_as_a_configuration(whole: Path):
    best = TrialConfig.model_validate(yaml.safe_load((whole / "best.yaml").read_text()))
    trials = sweeping.trials(whole)
    number = next(trial.of for trial in trials.values() if trial.control == "plain" and trial.of != "default")
    assert best.stage2.norm_weight == trials[number].params["stage2.norm_weight"]


def test_a_sweep_whose_driver_is_killed_twice_ends_as_if_nothing_had_happened(
    whole: Path, tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(beats, "PATIENCE", sweeping.PATIENCE)
    folder, spec = folder / "sweep", tmp_path / "sweep.yaml"
    spec.write_text(whole.with_suffix(".yaml").read_text())
    ends = [record["trial"] for record in sweeping.records(whole) if record["kind"] == "tell"]
    last = next(key for key in reversed(ends) if (whole / "trials" / key).exists())  # no twin's copy
    first, second = {
        True: (lambda: has(folder, "report", "2"), lambda: has(folder, "start", "3")),
        False: (
            lambda: folder.has_records(ledger.FILE),
            lambda: folder.exists(f"trials/{last}/metrics.json"),
        ),
    }[folder.path is not None]
    before = {}
    for action, moment in (("run", first), ("resume", second)):
        with sweeping.Process(action, folder, workers=1, spec=spec) as driver:
            sweeping.wait_for(moment, "its moment")
            driver.send(signal.SIGKILL)
        before |= {key: trial for key, trial in sweeping.trials(folder).items() if trial.state != "OPEN"}
        sweeping.wait_for(partial(is_free, folder), "the dead driver's lock")
        assert sweep.status(folder).state == "interrupted"
        if folder.path is not None:  # to another storage folder, with all that is beside it
            place = folder.path.parent.rename(tmp_path.parent / f"{tmp_path.name}-{action}")
            folder, spec = Folder(place / "sweep"), place / "sweep.yaml"

    with sweeping.Process("resume", folder, workers=1, spec=spec) as driver:
        assert driver.wait() == f"finished; `dirsweep resume {folder} --trials +N` adds trials\n"
    after = sweeping.trials(folder)
    assert sweeping.told(folder) == sweeping.told(whole)
    assert {key: after[key].seconds for key in before} == {key: before[key].seconds for key in before}


def is_free(folder: Place) -> bool:
    return sweep.status(folder).driver is None


def has(folder: Place, kind: str, trial: str) -> bool:
    return any(r["kind"] == kind and r["trial"] == trial for r in sweeping.records(folder))


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A sweep of two workers: one is killed, a second driver tries, `stop` ends it, then it is resumed.

    After that each worker that takes up one of its trials is killed.
    """
    folder = tmp_path_factory.mktemp("disturbed") / "sweep"
    searched = {
        "stage1.optimizer.lr": {"choice": [1.0e-3, 1.0e30]},
        "stage1.norm_ordinality.weight": {"log": [0.01, 1.0]},  # so that each trains a stage 1 of its own
    }
    config = {"stage1.epochs": 160, "stage1.batch_size": 8}  # longer than the 3 s between two checkpoints
    spec = sweeping.spec(folder.parent, config, searched=searched, sampler={"name": "random"}, seed=1)
    sweeping.write(spec, folder)
    seen = {}
    trial = folder / "trials" / "default-plain"
    with sweeping.Process("run", folder, workers=2) as driver:
        sweeping.wait_for(lambda: bool(list(trial.glob("checkpoints/*.safetensors"))), "a checkpoint")
        os.kill(json.loads((trial / "attempts" / "001").read_text())["pid"], signal.SIGKILL)
        with sweeping.Process("resume", folder, workers=1) as second:
            seen["second driver"] = second.wait()
        seen["status"] = sweep.status(folder).state
        sweeping.wait_for(lambda: has(folder, "tell", "default-plain"), "default-plain to end")
        seen["stop"] = sweep.stop(folder)
        seen["stopped"] = driver.wait()
    seen["status after"] = sweep.status(folder).state
    seen["open"] = " ".join(key for key, trial in sweeping.trials(folder).items() if trial.state == "OPEN")
    sweeping.wait_for(lambda: not driver.left_behind(), "Ray's processes to end", 10)
    with sweeping.Process("resume", folder, workers=2) as driver:
        seen["victim"] = kill_each_worker_of_a_trial(folder)
        seen["resumed"] = driver.wait()
    return folder, seen


def kill_each_worker_of_a_trial(folder: Path) -> str:
    """Kill the workers of the last trial that could be complete, three in a row, each after its start."""
    victim: list[str] = []

    def is_asked() -> bool:
        known = [trial for trial in sweeping.trials(folder).values() if trial.kind == "ask"]
        able = [trial.trial for trial in known if trial.params["stage1.optimizer.lr"] == 1.0e-3]
        victim[:] = able[-1:]
        return len(known) == 4

    sweeping.wait_for(is_asked, "all trials to be asked")
    attempts = folder / "trials" / victim[0] / "attempts"
    done = len(list(attempts.glob("*")))
    for number in range(done + 1, done + 4):
        file = attempts / f"{number:03d}"
        sweeping.wait_for(file.exists, f"attempt {number} at trial {victim[0]}")
        os.kill(json.loads(file.read_text())["pid"], signal.SIGKILL)
    return victim[0]


def test_a_second_driver_is_refused_while_the_first_lives(disturbed: tuple[Path, dict[str, str]]):
    folder, seen = disturbed
    assert seen["second driver"].startswith(f"refused: {folder}: another driver runs this sweep (process ")
    assert seen["status"] == "running"


def test_a_trial_whose_worker_died_goes_on_from_its_checkpoint(disturbed: tuple[Path, dict[str, str]]):
    folder, _ = disturbed
    trial = sweeping.trials(folder)["default-plain"]
    assert trial.state == "COMPLETE"
    assert trial.attempts >= 2
    kept = Folder(folder / "trials" / "default-plain").records("records.jsonl")[0]
    first_of_second = next(record["epoch"] for record in kept if record["attempt"] == 2)
    assert first_of_second > 1
    assert [report["epoch"] for report in trial.reports] == list(range(1, 161))


def test_a_stopped_sweep_leaves_its_trials_open_and_is_resumed(disturbed: tuple[Path, dict[str, str]]):
    folder, seen = disturbed
    assert seen["stopped"].endswith(f"stopped; `dirsweep resume {folder}` goes on where it was\n")
    assert seen["status after"] == "stopped"
    assert seen["open"].split()
    # before it Ray says which workers were killed
    assert seen["resumed"].splitlines()[-1] == f"finished; `dirsweep resume {folder} --trials +N` adds trials"
    assert not (folder / "STOP").exists()
    asked = [trial for trial in sweeping.trials(folder).values() if trial.kind == "ask"]
    assert len(asked) == 4
    assert all(trial.state != "OPEN" for trial in asked)


def test_a_trial_that_diverges_fails_with_its_reason_and_the_others_go_on(
    disturbed: tuple[Path, dict[str, str]],
):
    folder, seen = disturbed
    asked = [trial for trial in sweeping.trials(folder).values() if trial.kind == "ask"]
    failed = [trial for trial in asked if trial.params["stage1.optimizer.lr"] == 1.0e30]
    others = [trial for trial in asked if trial not in failed and trial.trial != seen["victim"]]
    assert failed
    assert {trial.state for trial in failed} == {"FAIL"}
    assert {trial.state for trial in others} == {"COMPLETE"}
    for trial in failed:
        assert "loss" in trial.reason
        assert (folder / "trials" / trial.trial / "error.txt").exists()


def test_a_trial_whose_workers_die_three_times_fails_with_the_reason(disturbed: tuple[Path, dict[str, str]]):
    folder, seen = disturbed
    trial = sweeping.trials(folder)[seen["victim"]]
    assert trial.state == "FAIL"
    assert "died" in trial.reason
    assert trial.reason in (folder / "trials" / trial.trial / "error.txt").read_text()
    resumed = [record["kind"] for record in sweeping.records(folder)].index("end")
    starts = [
        r for r in sweeping.records(folder)[resumed:] if (r["kind"], r.get("trial")) == ("start", trial.trial)
    ]
    assert len(starts) == 3
