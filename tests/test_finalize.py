"""A real verdict on a real sweep of the tiny table: trained on Ray, opened, judged, asked again."""

import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sweeping
import yaml

from dirsweep import METHOD_VERSION, data, pipeline
from dirsweep.cli import main
from dirsweep.config import TrialConfig
from dirsweep.finalize import Settings, finalize, forecast, notes, start, training, tuned
from dirsweep.finalize.plan import Row
from dirsweep.finalize.prepare import make_plan
from dirsweep.ledger import Ledger
from dirsweep.report import SweepReport, load
from dirsweep.report.numbers import written
from dirsweep.search.parts import Constraint
from dirsweep.storage import Folder
from dirsweep.sweep import Resources, controls, lock, provenance, status, stopping
from dirsweep.sweep.session import ray_session

pytestmark = pytest.mark.slow

DIVERGES = {"stage1.optimizer.lr": 1.0e30}
SEEDS = [1_000_001, 1_000_002, 1_000_003, 1_000_004, 1_000_005]


def command(folder: Path, *arguments: object) -> str:
    """What `dirsweep finalize` prints on a sweep, in a process of its own."""
    code = "from dirsweep.cli import main; main()"
    line = [sys.executable, "-W", "error", "-c", code, "finalize", str(folder), *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of two trials, and a verdict on it that was killed in the middle of its first run."""
    folder = tmp_path_factory.mktemp("finalize") / "sweep"
    folder.mkdir()
    spec = sweeping.spec(folder.parent, {"stage1.epochs": 2}, budget={"trials": 2})
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    ledger = Ledger.create(
        Folder(folder), **provenance.opening(spec, data.load(spec.default_config().dataset), Resources())
    )
    asked = {
        number: {"stage2.norm_weight": 1.0, "stage1.optimizer.lr": lr}
        for number, lr in (("0", 2.0e-4), ("1", 5.0e-3))
    }
    for number, params in asked.items():
        ledger.write("ask", trial=number, params=params, attrs={})
        tell(ledger, folder, number, spec.config(params))
    for control in controls.due("1", asked["1"], {}):  # a rate of 2.0e-4 hardly learns in two epochs
        ledger.write("control", trial=control.key, of="1", control=control.control, params=control.params)
        tell(ledger, folder, control.key, controls.trial_config(spec, "1", control.control, control.params))
    ledger.write("end", why="finished")
    interrupt_a_run(folder)
    return folder


def tell(ledger: Ledger, folder: Path, key: str, config: TrialConfig) -> None:
    """Train a trial of the sweep, without Ray, and enter its result."""
    metrics = pipeline.run_trial(config, Folder(folder / "trials" / key), lambda record: None)
    seconds = metrics["seconds"]
    ledger.write("tell", trial=key, state="COMPLETE", epoch=4, seconds=seconds, metrics=metrics, reason="")


def interrupt_a_run(folder: Path) -> None:
    """Leave the winner's first run as a killed process would: with a checkpoint and no result."""
    run = training.runs([winner_of(folder)], SEEDS[:1], Folder(folder))[0]
    begun = time.monotonic()

    def emit(record: dict) -> None:
        time.sleep(max(0.0, begun + 1.1 - time.monotonic()))  # a trial looks for a stop once a second

    with pytest.raises(pipeline.Stopped):
        pipeline.run_trial(run.config, run.folder, emit, should_stop=lambda: True)
    assert not run.done


def winner_of(folder: Path) -> Row:
    trials = [trial for trial in sweeping.trials(folder).values() if trial.kind == "ask"]
    best = min(trials, key=lambda trial: trial.metrics["val/all/mae"])
    spec = sweeping.read_spec(folder / "spec.yaml")
    return Row(best.trial, spec.config(best.params), "")


@pytest.fixture(scope="module")
def before(sweep: Path) -> str:
    """What a dry run says when only the sweep is there."""
    return forecast(sweep, Settings())


@pytest.fixture(scope="module")
def printed(sweep: Path, before: str) -> Iterator[str]:
    """The first verdict, with 5 seeds and the ablation."""
    return command(sweep, "--ablate", "--workers", 2)


def cells(said: str) -> dict[tuple[str, str], list[str]]:
    """The rows of a dry run's table by control and shot."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line[:2] == "| "
    ]
    return {(row[0], row[1]): row[2:] for row in rows[1:]}


def maes(folder: Path, name: str) -> dict[str, float]:
    """Val MAE of the trained runs of a configuration, mean over seeds, by shot."""
    found = [
        json.loads(file.read_text()) for file in folder.glob(f"finalize/runs/{name}-????????/*/metrics.json")
    ]
    return {shot: float(np.mean([one[f"val/{shot}/mae"] for one in found])) for shot in ("all", "few")}


def openings(folder: Path) -> list[dict]:
    return [record for record in sweeping.records(folder) if record["kind"] == "opening"]


def test_a_dry_run_on_a_fresh_sweep_says_that_the_spread_is_unknown_and_what_it_costs(
    sweep: Path, before: str
):
    said = " ".join(before.split())
    winner = winner_of(sweep)
    metrics = {key: trial.metrics for key, trial in sweeping.trials(sweep).items()}
    observed = metrics[winner.name]["val/few/mae"] - metrics[f"{winner.name}-plain"]["val/few/mae"]
    assert cells(before)[("plain", "few")][:3] == [written(observed), "1", "unknown"]
    assert cells(before)[("log-target", "few")][:3] == ["not run yet", "0", "unknown"]
    assert "--seeds 2 --no-open` trains 2 of each" in said
    assert "5 fresh seeds of 5 configurations are 25 runs" in said
    assert "the base is to be tuned first" in said


def test_the_verdict_is_printed_and_kept(sweep: Path, printed: str):
    text = (sweep / "finalize" / "verdict.md").read_text()
    assert printed.endswith(f"\n{text}")
    assert text.startswith("# Verdict on sweep\n")
    assert max(map(len, text.splitlines())) <= 100
    assert "is the best of 2 trials by val/all/mae" in text
    assert "THE PRIMARY COMPARISON" in text.rpartition("\n- ")[2]  # last, where a terminal ends
    assert (sweep / "finalize" / "opening-1" / "verdict.md").read_text() == text


def test_the_base_was_tuned_before_test_was_opened(sweep: Path, printed: str):
    place = sweep / "finalize" / "tuned-base"
    assert status(place).state in ("finished", "trainer-seconds")
    spec = yaml.safe_load((place / "spec.yaml").read_text())
    assert list(spec["searched"]) == ["stage1.optimizer.lr"]
    assert sweeping.records(place)[-1]["time"] <= openings(sweep)[0]["time"]
    count = sum(record["kind"] == "ask" for record in sweeping.records(place))
    assert f"The base method was tuned with {count} trials of its own" in " ".join(printed.split())


def test_the_tuned_base_is_never_worse_on_val_than_plain(sweep: Path, printed: str):
    report, place = load(sweep), Folder(sweep) / "finalize" / "tuned-base"
    spec, plain = tuned.base_spec(report), f"{report.best.trial}-plain"
    searched = load(place).best.metrics["val/all/mae"]

    def with_plain_at(error: float) -> SweepReport:
        record = replace(report.trials[plain], metrics={"val/all/mae": error})
        return replace(report, trials={**report.trials, plain: record})

    found = tuned.tuned_base(with_plain_at(searched + 0.01), spec, place)
    assert found == tuned.best(spec, place)
    better = with_plain_at(searched - 0.01)
    assert tuned.tuned_base(better, spec, place) == tuned.NO_BETTER
    held = (Constraint(metric="val/all/mae", at_most=0.001),)
    constrained = replace(better, spec=report.spec.model_copy(update={"constraints": held}))
    assert tuned.tuned_base(constrained, spec, place) == found  # plain breaks it


def test_what_a_driver_left_that_died_before_its_first_record_does_not_keep_the_base_from_its_search(
    sweep: Path, tmp_path: Path
):
    place = Folder(tmp_path / "tuned")
    place.put("spec.yaml", b"half a fi")
    spec = tuned.base_spec(load(sweep))
    tuned.search(spec, place, Resources(), lambda progress: None)
    assert tuned.ended(spec, place)


def test_every_error_is_that_of_the_trained_models_on_the_test_rows(sweep: Path, printed: str):
    spec = sweeping.read_spec(sweep / "spec.yaml")
    config = spec.default_config().dataset
    table, test = pd.read_csv(config.path, dtype="str"), data.open_test(config)
    rows = table.iloc[test.rows.sample]
    few = test.shots.masks["few"][test.rows.bin]
    verdict = json.loads((sweep / "finalize" / "verdict.json").read_text())
    for name in ("mu0", "log-target"):
        place = next((sweep / "finalize" / "runs").glob(f"{name}-????????"))
        assert sorted(int(seed.name) for seed in place.iterdir()) == SEEDS
        maes = []
        for seed in place.iterdir():
            error = pipeline.predict(Folder(seed), rows) - rows["label"].astype("float64").to_numpy()
            maes.append(np.abs(error[few]).mean())
        kept = next(e for e in verdict["errors"] if (e["configuration"], e["shot"]) == (name, "few"))
        assert kept["mae"]["estimate"] == pytest.approx(np.mean(maes))
        assert kept["mae"]["spread"] == pytest.approx(np.std(maes, ddof=1))
        assert (kept["mae"]["seeds"], kept["mae"]["samples"]) == (5, few.sum())
    per_seed = pd.read_csv(sweep / "finalize" / "per_seed.csv")
    assert sorted(per_seed["seed"].unique()) == SEEDS


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(sweep: Path, printed: str, tmp_path: Path):
    run = training.runs([winner_of(sweep)], SEEDS[:1], Folder(sweep))[0]
    assert run.done
    undisturbed = pipeline.run_trial(run.config, Folder(tmp_path / "whole"), lambda record: None)
    resumed = json.loads(run.folder.read("metrics.json"))
    assert resumed["val/few/mae"] == undisturbed["val/few/mae"]
    assert run.folder.read("model.safetensors") == Folder(tmp_path / "whole").read("model.safetensors")


def test_the_opening_is_in_the_ledger_with_all_that_was_decided(sweep: Path, printed: str):
    first = openings(sweep)[0]
    assert (first["number"], first["before"], first["seeds"]) == (1, 0, SEEDS)
    assert (first["primary"]["theirs"], first["primary"]["shot"]) == ("mu0", "few")
    assert first["data"] == Ledger.open(Folder(sweep)).opening["data"]
    assert {row["role"] for row in first["rows"]} == {"finalist", "control", "ablation"}
    assert all(len(weight) == 64 for weight in first["weights"].values())
    assert first["hash"][:12] in printed
    assert status(sweep).state == "finished"


def test_the_same_verdict_again_opens_nothing_and_another_is_a_second_opening(sweep: Path, printed: str):
    resources, told = Resources(), []
    same = finalize(sweep, Settings(ablate=True), resources, told.append)
    assert printed.endswith(same)
    first = len(openings(sweep))
    other = finalize(sweep, Settings(seeds=3, primary="plain:all"), resources, told.append)
    assert len(openings(sweep)) == first + 1
    assert told == []  # all was trained, and Ray not needed
    said = " ".join(other.split())
    assert f"Opening {first + 1} of test by this sweep" in said
    assert "TEST WAS OPENED" in said
    assert "3 seeds of the 5 that it takes: no interval over seeds is given" in said
    assert "against plain on all: NOT DISTINGUISHABLE" in said
    assert (sweep / "finalize" / "opening-1" / "verdict.md").exists()


def test_a_dry_run_after_training_says_how_many_seeds_a_difference_needs(sweep: Path, printed: str):
    count = len(openings(sweep))
    said = forecast(sweep, Settings())
    for difference, seeds, even, often, _ in cells(said).values():
        assert math.isfinite(float(difference))
        assert seeds == "5"
        assert even in ("never", "over 10,000") or int(even) >= 5
        assert often in ("never", "over 10,000") or int(often) >= int(even)
    plain = np.array([maes(sweep, row)["few"] for row in ("plain", winner_of(sweep).name)])
    assert float(cells(said)["plain", "few"][0]) == pytest.approx(plain[1] - plain[0], rel=0.01)
    assert len(openings(sweep)) == count


def test_no_open_trains_and_leaves_test_sealed(sweep: Path, printed: str):
    count = len(openings(sweep))
    said = finalize(sweep, Settings(seeds=2), Resources(), lambda line: None, sealed=True)
    assert re.fullmatch(r"(\d+) of \1 runs are trained, and test is sealed as before\.\n", said)
    assert len(openings(sweep)) == count


def test_a_second_finalist_is_told_whose_controls_it_meets(sweep: Path, printed: str):
    said = finalize(sweep, Settings(seeds=1, top=2), Resources(), lambda line: None)
    first = winner_of(sweep).label
    assert f"against the controls of {first}" in said
    assert f"against mu0 (of {first}: the same stage 2 without its norm term)" in " ".join(said.split())


def test_test_stays_closed_while_the_primary_comparison_lacks_seeds(sweep: Path, printed: str):
    report, base = load(sweep), Folder(sweep) / tuned.FOLDER
    dataset = data.load(report.spec.default_config().dataset)
    plan = make_plan(report, dataset, Settings(), tuned.best(tuned.base_spec(report), base))
    runs = [run for run in training.trained(plan.rows, Folder(sweep)) if run.seed in SEEDS]
    lost = next(run for run in runs if run.row.name == "mu0")
    before = openings(sweep)
    with pytest.raises(ValueError, match=r"4 of 5 seeds could be trained on both sides.*test stays closed"):
        start._verdict(report, plan, dataset, [run for run in runs if run != lost], {}, 5)
    assert openings(sweep) == before


def test_a_stop_is_heard_before_test_is_opened(sweep: Path, printed: str):
    before = openings(sweep)

    def stopped(line: str) -> None:
        stopping.leave_mark(sweep)

    with pytest.raises(KeyboardInterrupt):
        finalize(sweep, Settings(seeds=7), Resources(), stopped)
    assert openings(sweep) == before


def test_a_run_that_diverges_is_left_out_and_said(sweep: Path, printed: str, tmp_path: Path):
    row = replace(winner_of(sweep), config=winner_of(sweep).config.with_overrides(DIVERGES))
    run = training.runs([row], SEEDS[:1], Folder(tmp_path))[0]
    with ray_session(Resources()):
        failed = training.train(
            [run], Folder(tmp_path), Folder(tmp_path / "store"), Resources(), lambda line: None
        )
    (sentence,) = notes.failures(failed)
    assert sentence.startswith(f"trial {row.name} with seed 1000001 has no result and is left out")
    assert "which flatters it: " in sentence
    assert not run.done


def test_runs_that_are_given_a_gpu_have_a_process_each(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import ray

    monkeypatch.setattr(ray, "init", partial(ray.init, num_gpus=1))  # Ray looks for none; it trains on a CPU
    place, resources = Folder(tmp_path), Resources(workers=1, gpus_per_trial=1)
    todo = training.runs([winner_of(sweep)], SEEDS[:3], place)
    with ray_session(Resources(workers=1)):
        assert training.train(todo, place, place / "store", resources, lambda line: None) == {}
    assert len({json.loads(run.folder.read("attempts/001"))["pid"] for run in todo}) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--top", "3"), "2 different configurations are complete and feasible, but --top 3"),
        (("--primary", "mu0:zero"), "write CONTROL:SHOT"),
        (("--dry-run", "--no-open"), "--no-open would do nothing"),
        (("--dry-run", "--primary", "mu1:few"), "write CONTROL:SHOT"),
    ],
)
def test_what_cannot_be_finalized_is_refused_with_status_2(sweep: Path, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        main(["finalize", str(sweep), *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--top", "--seeds"])
def test_less_than_one_is_refused(sweep: Path, capsys, option):
    with pytest.raises(SystemExit) as ended:
        main(["finalize", str(sweep), option, "0"])
    assert ended.value.code == 2
    with pytest.raises(ValueError, match=f"{option} 0: at least 1"):
        Settings(**{option[2:]: 0})


def test_resources_that_do_not_serve_the_trials_are_refused(sweep: Path):
    with pytest.raises(ValueError, match=r"'fixed\.device' is cpu, but a trial is given 1 GPUs"):
        finalize(sweep, Settings(seeds=9), Resources(gpus_per_trial=1), lambda line: None)


def test_a_sweep_that_runs_is_left_alone(sweep: Path):
    with lock.held(sweep):
        with pytest.raises(ValueError, match="another driver runs this sweep"):
            finalize(sweep, Settings(), Resources(), lambda line: None)
        with pytest.raises(ValueError, match="a driver runs this sweep"):
            forecast(sweep, Settings())


def test_a_sweep_without_a_finished_trial_and_changed_data_are_refused(tmp_path: Path):
    spec = sweeping.spec(tmp_path)
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    ledger = Ledger.create(
        Folder(folder), spec=spec.hash, data="another", method_version=METHOD_VERSION, trials=4
    )
    ledger.write("ask", trial="0", params={}, attrs={})
    assert notes.unfinished(load(folder)) == ["the sweep was not finished: 1 of 4 trials were asked."]
    with pytest.raises(ValueError, match=r"no trial is complete.*nothing to finalize; `dirsweep resume"):
        finalize(folder, Settings(), Resources(), lambda line: None)
    metrics = {"val/all/mae": 1.0}
    ledger.write("tell", trial="0", state="COMPLETE", epoch=1, seconds=1.0, metrics=metrics, reason="")
    with pytest.raises(ValueError, match="begun with data another, but here it is"):
        finalize(folder, Settings(), Resources(), lambda line: None)
