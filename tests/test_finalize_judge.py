"""From errors to a verdict, with numbers a reader can check, and the page that says it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny

from dirsweep import data
from dirsweep.config import TrialConfig
from dirsweep.data import Split, Unsealed
from dirsweep.finalize import files, text
from dirsweep.finalize.judge import judged, shot_errors
from dirsweep.finalize.opening import Opening, elsewhere, openings, record
from dirsweep.finalize.page import Facts, page
from dirsweep.finalize.plan import Comparison, Plan, Row
from dirsweep.ledger import Ledger, trials
from dirsweep.shots import Bins, Shots
from dirsweep.storage import Folder

SAMPLES = 40
GROUP = np.arange(SAMPLES)
MASKS = {
    "all": np.ones(SAMPLES, dtype=bool),
    "many": GROUP < 20,
    "median": np.zeros(SAMPLES, dtype=bool),
    "few": GROUP >= 20,
}


SHOTS = Shots(Bins(np.array([0.0, 0.5, 1.0])), np.array([200, 3]))  # a many-shot bin and a few-shot one
LABEL = GROUP / SAMPLES
TEST = Split(GROUP, np.zeros((SAMPLES, 1), dtype=np.float32), LABEL, SHOTS.bins.index(LABEL), GROUP)


@pytest.fixture
def plan(tmp_path) -> Plan:
    """Trial 7 against plain and mu0, mu0 on few being the primary comparison."""
    config = tiny.config(tmp_path)
    winner = Row("7", config, "number 1 of the sweep on val")
    controls = (Row("plain", config.plain(), "plainly"), Row("mu0", config.without_norm_term(), "without"))
    left_out = ("log-target is left out: labels must be above 0, and the smallest is -4.",)
    return Plan((winner,), controls, (), left_out, Comparison(winner, controls[1], "few"))


def errors_of(plan: Plan, seeds: int = 5) -> dict[str, dict[int, np.ndarray]]:
    """Constant errors: 1 of trial 7; 2 of plain; 1.5 of mu0 on few, and 1 on the others."""
    few = MASKS["few"]
    of = {"7": np.ones(SAMPLES), "plain": np.full(SAMPLES, -2.0), "mu0": np.where(few, 1.5, 1.0)}
    return {row.hash: dict.fromkeys(range(seeds), of[row.name]) for row in plan.rows}


def test_differences_are_ours_minus_theirs_and_holm_leaves_the_primary_alone(plan):
    found = {
        (one.comparison.theirs.name, one.comparison.shot): one
        for one in judged(plan, errors_of(plan), MASKS, GROUP)
    }
    assert len(found) == 6  # two controls in three shots; median has no sample
    assert [one for one in found if found[one].primary] == [("mu0", "few")]
    assert found["plain", "all"].interval.estimate == pytest.approx(-1.0)
    assert found["mu0", "all"].interval.estimate == pytest.approx(-0.25)
    # without any spread p is the smallest, 2 / 2000; four of the five others have it
    assert found["mu0", "few"].p_value == pytest.approx(0.001)
    assert found["plain", "few"].p_value == pytest.approx(5 * 0.001)
    assert found["mu0", "many"].p_value == 1.0
    assert {pair: one.verdict for pair, one in found.items()} == {
        ("plain", "all"): "better",
        ("plain", "many"): "better",
        ("plain", "few"): "better",
        ("mu0", "all"): "better",
        ("mu0", "many"): "not distinguishable",
        ("mu0", "few"): "better",
    }


def test_many_comparisons_get_as_many_resamples_as_holm_needs(plan):
    winner, controls = plan.finalists[0], plan.controls
    finalists = tuple(Row(str(n), winner.config.with_overrides({"encoder.width": n}), "") for n in (8, 9, 10))
    wide = Plan((winner, *finalists), controls, (), (), plan.primary)
    errors = errors_of(plan) | {row.hash: dict.fromkeys(range(5), np.ones(SAMPLES)) for row in finalists}
    found = judged(wide, errors, MASKS, GROUP)
    assert len(wide.comparisons) == 32  # planned, 24 with samples: twice the resamples
    assert next(one for one in found if one.primary).interval.p_value == pytest.approx(2 / 4000)


def test_a_pair_is_judged_over_the_seeds_that_both_have(plan):
    errors = errors_of(plan, seeds=6)
    del errors[plan.controls[0].hash][2]
    found = judged(plan, errors, MASKS, GROUP)
    assert {one.comparison.theirs.name: one.interval.seeds for one in found} == {"plain": 5, "mu0": 6}


def test_below_five_seeds_nothing_is_called_better(plan):
    found = judged(plan, errors_of(plan, seeds=4), MASKS, GROUP)
    assert {one.verdict for one in found} == {"not distinguishable"}


def facts(**changed) -> Facts:
    fields = {
        "sweep": "all-1",
        "question": "How strong should the norm term be?",
        "target": "price",
        "tried": 24,
        "objective": "val/all/mae",
        "seeds": [1_000_001, 1_000_002, 1_000_003, 1_000_004, 1_000_005],
        "test": SAMPLES,
        "zero": 0,
        "seconds": 61.0,
        "notes": [],
    }
    return Facts(**(fields | changed))


def written_page(plan: Plan, number: int = 1, elsewhere: int = 0, **changed) -> str:
    errors = errors_of(plan)
    shown = shot_errors(plan, errors, MASKS, TEST)
    compared = judged(plan, errors, MASKS, GROUP)
    return page(plan, Opening(number, elsewhere, "ab" * 32, 0.0), facts(**changed), shown, compared)


def test_the_page_says_what_holds_in_plain_sentences(plan):
    said = " ".join(written_page(plan).split())
    assert "Trial 7 is the best of 24 trials by val/all/mae" in said
    assert "Opening 1 of test by this sweep, at 1970-01-01 00:00:00 UTC, in the ledger before a row" in said
    assert "trained with 5 fresh seeds (1000001 to 1000005), 1 min 1 s of training" in said
    assert "Trial 7 against plain (plainly): better on all, many and few." in said
    assert "named before test was opened: trial 7 against mu0 on few: BETTER. Difference -0.5" in said
    assert "Log-target is left out: labels must be above 0" in said
    assert "BEFORE" not in said


def test_the_page_fits_100_columns(plan):
    assert max(map(len, written_page(plan, notes=["a word " * 60]).splitlines())) <= 100


def test_a_second_opening_and_labels_unseen_in_training_are_said_before_the_numbers(plan):
    head = " ".join(written_page(plan, number=3, zero=1).split("##")[0].split())
    assert "Opening 3 of test by this sweep" in head
    assert "TEST WAS OPENED 2 TIMES BEFORE" in head
    assert "1 test row of bins without a training sample" in head


def test_openings_by_other_sweeps_are_said_too(plan):
    head = " ".join(written_page(plan, number=2, elsewhere=3).split("##")[0].split())
    assert "TEST WAS OPENED 4 TIMES BEFORE (3 by other sweeps in this folder)" in head


def test_fewer_than_five_seeds_are_said_to_give_no_interval_over_seeds(plan):
    errors = errors_of(plan, seeds=2)
    shown, compared = shot_errors(plan, errors, MASKS, TEST), judged(plan, errors, MASKS, GROUP)
    said = " ".join(page(plan, Opening(1, 0, "ab", 0.0), facts(seeds=[1, 2]), shown, compared).split())
    assert "2 seeds of the 5 that it takes: no interval over seeds is given" in said
    assert "NOT DISTINGUISHABLE" in said


def test_a_row_that_lacks_seeds_says_in_the_tables_how_many_it_has(plan):
    errors = errors_of(plan)
    errors[plan.controls[0].hash].pop(0)
    shown, compared = shot_errors(plan, errors, MASKS, TEST), judged(plan, errors, MASKS, GROUP)
    lines = page(plan, Opening(1, 0, "ab", 0.0), facts(), shown, compared).splitlines()
    assert any("| plain (4 seeds) " in line for line in lines)
    assert sum("| not distinguishable (4 seeds) |" in line for line in lines) == 3  # plain in three shots
    assert any(line.startswith("| mu0 ") and "seeds" not in line for line in lines)
    assert max(map(len, lines)) <= 100


def test_the_files_hold_the_numbers_of_the_page(plan):
    errors = errors_of(plan)
    shown, compared = shot_errors(plan, errors, MASKS, TEST), judged(plan, errors, MASKS, GROUP)
    tree = json.loads(files.verdict_json(plan, Opening(1, 0, "ab", 0.0), facts(), shown, compared))
    assert tree["opening"] == {"number": 1, "elsewhere": 0, "hash": "ab", "time": 0.0}
    assert len(tree["errors"]) == 9  # three configurations in three shots
    assert [one["verdict"] for one in tree["comparisons"] if one["primary"]] == ["better"]
    lines = files.per_seed(plan, errors, Unsealed(TEST, SHOTS)).decode().splitlines()
    assert lines[0] == "configuration,seed,shot,samples,mae,gm,mse"
    assert any(line.startswith("mu0,4,few,20,1.5,") and line.endswith(",2.25") for line in lines)
    assert len(lines) == 1 + 3 * 5 * 3


def test_a_benchmark_of_squared_errors_and_correlations_is_judged_by_squared_errors(plan):
    pairs = {"dataset": {"name": "sts_b_dir"}, "encoder": {"name": "sentence_encoder"}}
    rows = {
        row.name: replace(row, config=TrialConfig.model_validate({**row.config.model_dump(), **pairs}))
        for row in plan.rows
    }
    ours, plain, mu0 = rows["7"], rows["plain"], rows["mu0"]
    own = Plan((ours,), (plain, mu0), (), (), Comparison(ours, mu0, "few"))
    noise = np.random.default_rng(0).normal(size=(5, SAMPLES)) / 10
    errors = {
        row.hash: {seed: sign * np.ones(SAMPLES) + noise[seed] for seed in range(5)}
        for row, sign in ((ours, 1), (plain, 2), (mu0, 1))
    }
    found = judged(own, errors, MASKS, GROUP)
    plainly = next(one for one in found if one.comparison.theirs is plain and one.comparison.shot == "all")
    assert plainly.interval.estimate == pytest.approx(1 - 4, abs=0.1)
    shown = shot_errors(own, errors, MASKS, TEST)
    assert shown[0].first.estimate == pytest.approx(
        np.mean([error**2 for error in errors[ours.hash].values()])
    )
    correlations = [np.corrcoef(LABEL, LABEL + 1 + row)[0, 1] for row in noise]
    assert shown[0].second.estimate == pytest.approx(np.mean(correlations))
    assert shown[0].second.spread == pytest.approx(np.std(correlations, ddof=1))
    said = page(own, Opening(1, 0, "ab", 0.0), facts(), shown, found)
    assert "| MSE |" in said.replace("  ", "")
    assert "Pearson" in said
    lines = files.per_seed(own, errors, Unsealed(TEST, SHOTS)).decode().splitlines()
    assert lines[0] == "configuration,seed,shot,samples,mae,gm,mse,pearson"


def test_an_opening_is_recorded_once_and_another_one_counts(tmp_path):
    ledger = Ledger.create(Folder(tmp_path), spec="", trials=1)
    first = record(ledger, {"seeds": [1, 2]}, 0)
    again = record(Ledger.open(Folder(tmp_path)), {"seeds": [1, 2]}, 5)
    second = record(ledger, {"seeds": [1, 2, 3]}, 0)
    assert first == again
    assert (first.number, second.number) == (1, 2)
    assert [(one["number"], one["before"]) for one in openings(Ledger.open(Folder(tmp_path)))] == [
        (1, 0),
        (2, 1),
    ]
    assert trials(ledger.records) == {}


def test_openings_of_the_same_source_are_counted_over_the_sweeps_of_a_folder(tmp_path):
    config = tiny.config(tmp_path).dataset
    mine, recut = data.load(config), data.load(config.model_copy(update={"many_above": 50, "split_seed": 7}))
    other = data.load(
        config.model_copy(update={"path": str(tiny.write_table(tmp_path / "other.csv", seed=1))})
    )
    assert mine.hash != recut.hash
    for name, opened in (("mine", mine), ("same", mine), ("recut", recut), ("other", other)):
        ledger = Ledger.create(Folder(tmp_path / name), spec="", trials=1)
        for seed in (1, 2):
            record(ledger, {"data": opened.hash, "source": opened.source, "seeds": [seed]}, 0)
    assert elsewhere(Folder(tmp_path / "mine"), mine) == 4
    assert elsewhere(Folder(tmp_path / "new"), other) == 2


def test_a_table_is_aligned_and_is_markdown():
    drawn = text.table(("name", "n"), [("a", "1"), ("long name", "22")], left={0})
    assert drawn == "| name      |  n |\n|-----------|---:|\n| a         |  1 |\n| long name | 22 |"
