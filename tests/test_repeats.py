"""Further seeds for promising configurations: which get them, how they rank, and a sweep that does it."""

import json
import re
import signal
from pathlib import Path

import pytest
import sweeping

from dirsweep.cli import main
from dirsweep.ledger import TrialRecord
from dirsweep.report import as_json, load
from dirsweep.search.best import pareto, promising, ranked
from dirsweep.sweep import controls

MAE, FEW = "val/all/mae", "val/few/mae"


def trial(number: int, *values: float) -> dict[str, TrialRecord]:
    """A trial with the first objective of each of its seeds."""
    name = str(number)
    found = {name: TrialRecord(name, "ask", {}, state="COMPLETE", metrics={MAE: values[0]})}
    for seed, value in enumerate(values[1:], 2):
        key = f"{name}-seed{seed}"
        found[key] = TrialRecord(
            key, "control", {}, of=name, control=f"seed{seed}", state="COMPLETE", metrics={MAE: value}
        )
    return found


def test_a_repeated_trial_ranks_by_its_mean_and_before_those_with_one_seed(tmp_path):
    spec = sweeping.spec(tmp_path, repeats=2)
    trials = trial(0, 1.0, 9.0) | trial(1, 2.0, 4.0) | trial(2, 2.5)
    assert [one.trial for one in ranked(spec, trials)] == ["1", "0", "2"]
    assert [one.metrics[MAE] for one in ranked(spec, trials)] == [3.0, 5.0, 2.5]
    assert trials["0"].metrics[MAE] == 1.0  # what the sampler was told stays


def test_a_trial_that_lacks_a_seed_is_no_repeated_one(tmp_path):
    spec = sweeping.spec(tmp_path, repeats=3)
    trials = trial(0, 1.0, 1.0) | trial(1, 2.0, 2.0, 2.0)
    trials |= {"0-seed3": TrialRecord("0-seed3", "control", {}, of="0", control="seed3", state="FAIL")}
    assert [one.trial for one in ranked(spec, trials)] == ["1", "0"]


def test_a_constraint_holds_for_the_mean(tmp_path):
    limit = [{"metric": MAE, "at_most": 4.0}]
    spec = sweeping.spec(tmp_path, repeats=2, constraints=limit)
    trials = trial(0, 1.0, 9.0) | trial(1, 2.0, 4.0)
    assert [one.trial for one in ranked(spec, trials)] == ["1"]


def test_the_best_by_their_first_seed_are_promising_the_pareto_set_before_others(tmp_path):
    spec = sweeping.spec(tmp_path, repeats={"seeds": 2, "top": 2}, objectives=[MAE, FEW])
    trials = trial(0, 1.0, 50.0) | trial(1, 2.0) | trial(2, 3.0)
    for name, few in (("0", 5.0), ("1", 6.0), ("2", 4.0)):
        trials[name].metrics[FEW] = few
    assert [one.trial for one in promising(spec, trials)] == ["0", "2"]


def test_the_pareto_set_is_of_repeated_trials_where_there_are_any(tmp_path):
    spec = sweeping.spec(tmp_path, repeats={"seeds": 2, "top": 2}, objectives=[MAE, FEW])
    once = trial(0, 5.0) | trial(1, 4.0)  # trial 0 is luckier on few than any mean
    again = trial(2, 3.0, 5.0) | trial(3, 5.0, 5.0)
    few = {"0": 1.0, "1": 9.0, "2": 3.0, "2-seed2": 5.0, "3": 2.0, "3-seed2": 4.0}
    for name, value in few.items():
        (once | again)[name].metrics[FEW] = value
    assert [one.trial for one in pareto(spec, once)] == ["1", "0"]
    assert [one.trial for one in pareto(spec, once | again)] == ["2", "3"]


def test_every_trial_is_repeated_with_the_same_seeds(tmp_path):
    spec = sweeping.spec(tmp_path)
    known = trial(7, 1.0, 1.0)
    known["7"].params["stage2.norm_weight"] = 2.0
    due = controls.repeats(known["7"], 3, known)
    assert [control.key for control in due] == ["7-seed3"]
    config = controls.trial_config(spec, "7", "seed3", due[0].params)
    assert config == spec.config({"stage2.norm_weight": 2.0}).with_overrides({"seed": 2})
    assert spec.default_config().seed == 0


@pytest.mark.parametrize(
    ("repeats", "said"),
    [
        (0, "'repeats.seeds': input should be greater than or equal to 1"),
        ({"seeds": 2, "top": 0}, "'repeats.top'"),
        ({"top": 5}, "top (5) would do nothing with 1 seed"),
        ({"seed": 2}, "unknown key 'repeats.seed'; allowed here: seeds, top"),
    ],
)
def test_repeats_that_make_no_sense_are_refused(tmp_path, repeats, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        sweeping.spec(tmp_path, repeats=repeats)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with repeats whose driver is stopped in the middle of them, and resumed."""
    folder = tmp_path_factory.mktemp("repeats") / "sweep"
    spec = sweeping.spec(folder.parent, {"stage1.epochs": 40}, repeats={"seeds": 3, "top": 2})
    sweeping.write(spec, folder)

    def repeating() -> bool:
        return any(
            record["kind"] == "start" and "-seed" in record["trial"] for record in sweeping.records(folder)
        )

    with sweeping.Process("run", folder, 2) as process:
        sweeping.wait_for(repeating, "a repeat")
        process.send(signal.SIGINT)
        assert "stopped" in process.wait()
    with sweeping.Process("resume", folder, 2) as process:
        assert "finished" in process.wait()
    return folder


@pytest.mark.slow
def test_the_two_best_by_one_seed_are_run_with_three_and_the_winner_has_its_controls(swept):
    spec, trials = sweeping.read_spec(swept / "spec.yaml"), sweeping.trials(swept)
    asked = sorted((t for t in trials.values() if t.kind == "ask"), key=lambda t: t.metrics[MAE])
    expected = {f"{t.trial}-seed{seed}" for t in asked[:2] for seed in (2, 3)}
    assert {t.trial for t in trials.values() if t.is_repeat} == expected
    assert all(trials[name].state == "COMPLETE" for name in expected)
    best = ranked(spec, trials)[0]
    assert best.trial in {t.trial for t in asked[:2]}
    assert trials[f"{best.trial}-mu0"].state == "COMPLETE"


@pytest.mark.slow
def test_a_repeat_differs_from_its_trial_in_the_seed_alone(swept):
    repeat = next(t for t in sweeping.trials(swept).values() if t.is_repeat)
    files = [swept / "trials" / name / "config.json" for name in (repeat.of, repeat.trial)]
    first, again = (json.loads(file.read_text()) for file in files)
    assert (first.pop("seed"), again.pop("seed")) == (0, int(repeat.control.removeprefix("seed")) - 1)
    assert first == again


@pytest.mark.slow
def test_the_report_shows_means_and_spread(swept, capsys):
    report = load(swept)
    seeds = report.seeds(report.best)
    assert len(seeds) == 3
    mean = sum(one.metrics[MAE] for one in seeds) / 3
    assert report.best.metrics[MAE] == pytest.approx(mean)
    assert as_json(report)["best"]["metrics"][MAE] == pytest.approx(mean)
    assert len(as_json(report)["repeats"]) == 4
    with pytest.raises(SystemExit):
        main(["report", str(swept)])
    said = " ".join(capsys.readouterr().out.split())
    assert "trials that ran with 3 seeds come first, by their means" in said
    assert f"{report.best.trial}-seed2" not in said
