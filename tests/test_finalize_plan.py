"""What a verdict compares: controls, ablation, primary comparison, and the space of the tuned base."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import sweeping
import tiny

from dirsweep import data
from dirsweep.config import TrialConfig
from dirsweep.finalize import plan, training, tuned
from dirsweep.finalize.plan import Plan, Row
from dirsweep.finalize.prepare import Settings, make_plan
from dirsweep.ledger import TrialRecord
from dirsweep.search.spec import parse_spec
from dirsweep.storage import Folder


@pytest.fixture
def winner(tmp_path) -> Row:
    return Row("7", tiny.config(tmp_path), "number 1 of the sweep on val")


@pytest.fixture
def dataset(winner) -> data.Dataset:
    return data.load(winner.config.dataset)


def test_all_controls_of_the_winner_are_retrained(winner, dataset):
    tuned_base = winner.config.plain().with_overrides({"encoder.width": 8})
    rows, left_out = plan.controls(winner, dataset, tuned_base)
    configs = {row.name: row.config for row in rows}
    assert list(configs) == ["plain", "mu0", "compute-matched", "log-target", "tuned-base"]
    assert left_out == ()
    assert all(configs[name].stage2 is None for name in ("plain", "compute-matched", "log-target"))
    assert configs["mu0"].stage2.norm_weight == 0
    assert configs["mu0"].stage1 == winner.config.stage1
    assert configs["compute-matched"].stage1.epochs == 3 + 2  # stage 1 has 3 epochs, stage 2 has 2
    assert configs["log-target"].stage1.target_transform == "log"
    assert configs["tuned-base"] == tuned_base


def test_a_control_that_equals_another_or_the_winner_is_left_out_by_name(winner, dataset):
    without = Row("7", winner.config.plain(), "")
    rows, left_out = plan.controls(without, dataset, without.config.plain())
    assert [row.name for row in rows] == ["log-target"]
    assert left_out == tuple(
        f"{name} is left out: the same configuration as trial 7."
        for name in ("plain", "mu0", "compute-matched", "tuned-base")
    )


def test_labels_that_are_not_positive_leave_out_the_log_target(tmp_path):
    table = pd.read_csv(tiny.write_table(tmp_path / "tiny.csv"))
    table.assign(label=table["label"] - 5).to_csv(tmp_path / "tiny.csv", index=False)
    winner = Row("7", tiny.config(tmp_path), "")
    rows, left_out = plan.controls(winner, data.load(winner.config.dataset), "not yet")
    assert "log-target" not in [row.name for row in rows]
    assert left_out == (
        "log-target is left out: labels must be above 0, and the smallest is -4.",
        "tuned-base is left out: not yet.",
    )


def test_a_log_target_that_the_loss_cannot_serve_is_left_out(tmp_path):
    low = {"name": "width", "width": 4.0, "start": -2.0}  # the first bin lies about 0, its labels above
    config = tiny.config(
        tmp_path, dataset__bins=low, stage1__loss={"name": "balanced_mse", "integral": "bni"}
    )
    _, left_out = plan.controls(Row("7", config, "the best"), data.load(config.dataset), "not yet")
    assert any("log-target is left out: loss balanced_mse with integral bni" in one for one in left_out)


def test_trials_of_one_configuration_are_one_finalist(tmp_path):
    spec = sweeping.spec(tmp_path, searched={"stage2.norm_weight": {"choice": [0.5, 1.0]}})
    weights = {"3": 1.0, "5": 1.0, "4": 0.5}
    ranked = [TrialRecord(name, "ask", {"stage2.norm_weight": weight}) for name, weight in weights.items()]
    report = SimpleNamespace(spec=spec, folder=tmp_path, ranked=ranked, best=ranked[0])
    found = plan.finalists(report, 2)
    assert [(row.name, row.meaning) for row in found] == [
        ("3", "number 1 of the sweep on val"),
        ("4", "number 3 of the sweep on val"),
    ]
    with pytest.raises(ValueError, match="2 different configurations are complete and feasible, but --top 3"):
        plan.finalists(report, 3)


def test_plain_stands_for_a_tuned_base_that_is_no_better_as_the_primary_too(tmp_path, dataset):
    spec = sweeping.spec(tmp_path, searched={"stage2.norm_weight": {"choice": [0.5, 1.0]}})
    best = TrialRecord("3", "ask", {"stage2.norm_weight": 1.0})
    report = SimpleNamespace(spec=spec, folder=tmp_path, ranked=[best], best=best)
    made = make_plan(report, dataset, Settings(primary="tuned-base:few"), tuned.NO_BETTER)
    assert (made.primary.theirs.name, made.primary.shot) == ("plain", "few")
    assert f"tuned-base is left out: {tuned.NO_BETTER}." in made.left_out


def test_a_control_that_is_another_finalist_is_said_to_be(winner, dataset):
    plain = Row("9", winner.config.plain(), "number 2 of the sweep on val")
    controls, _ = plan.controls(winner, dataset, "not yet")
    assert plan.twins((winner, plain), controls) == [
        "plain is the configuration of trial 9, and stands under that name with the errors."
    ]
    assert plan.twins((winner,), controls) == []


def test_the_ablation_adds_one_part_at_a_time(winner):
    rows = {row.name: row.config for row in plan.ablation(winner)}
    parts = {
        name: (
            config.stage1.norm_ordinality.name,
            None if config.stage2 is None else config.stage2.norm_weight,
        )
        for name, config in rows.items()
    }
    assert parts == {
        "base": ("none", None),
        "ordinality": ("kl", None),
        "stage2": ("none", 1.0),
        "stage2-mu0": ("none", 0.0),
        "both": ("kl", 1.0),
    }


def test_every_pair_of_configurations_is_trained_and_compared_once(winner, dataset):
    controls, left_out = plan.controls(winner, dataset, "not yet")
    primary = plan.primary(None, winner, controls, ["all", "few"])
    whole = Plan((winner,), controls, plan.ablation(winner), left_out, primary)
    # trial 7, its 4 controls, and 3 rows of the ablation that are neither plain nor the winner
    assert [row.name for row in whole.rows] == [
        *("7", "plain", "mu0", "compute-matched", "log-target"),
        *("ordinality", "stage2", "stage2-mu0"),
    ]
    pairs = [(one.ours.name, one.theirs.name) for one in whole.comparisons if one.shot == "few"]
    assert pairs == [
        *(("7", name) for name in ("plain", "mu0", "compute-matched", "log-target")),
        *((name, "base") for name in ("ordinality", "stage2", "stage2-mu0")),
    ]
    assert len(whole.comparisons) == 4 * len(pairs)


def test_the_primary_comparison_is_mu0_on_few_unless_it_cannot_be(winner, dataset):
    controls, _ = plan.controls(winner, dataset, "not yet")

    def named(asked, rows=controls, shots=("all", "few")):
        found = plan.primary(asked, winner, rows, shots)
        return found.ours.name, found.theirs.name, found.shot

    assert named(None) == ("7", "mu0", "few")
    assert named(None, rows=[row for row in controls if row.name != "mu0"]) == ("7", "plain", "few")
    assert named(None, shots=["all"]) == ("7", "mu0", "all")
    assert named("log-target:all") == ("7", "log-target", "all")
    for wrong in ("mu1:few", "mu0:many", "mu0", "7:few"):
        with pytest.raises(ValueError, match=f"--primary '{wrong}'.*are plain, mu0,.*with samples all, few"):
            named(wrong)
    with pytest.raises(ValueError, match="trial 7 is its own base method"):
        named(None, rows=[])


def test_seeds_are_fresh_and_the_first_are_the_same_however_many():
    assert training.fresh_seeds(3, 2) == [1_000_004, 1_000_005]
    assert training.fresh_seeds(3, 5)[:2] == training.fresh_seeds(3, 2)


@pytest.mark.slow
def test_a_run_whose_numbers_break_down_says_why_and_any_other_error_is_raised(tmp_path, winner):
    def trained(**values):
        config = winner.config.with_overrides({name.replace("__", "."): one for name, one in values.items()})
        folder, store = str(tmp_path / "run"), str(tmp_path / "store")
        return training._train(config.model_dump_json(), folder, store, 1.0, {})

    assert "loss" in trained(stage1__optimizer__lr=1.0e30)
    with pytest.raises(ValueError, match="no such file"):
        trained(dataset__path=str(tmp_path / "gone.csv"))


# ---- the tuned base


def report(spec, seconds=(1.0, 2.5)):
    """What `base_spec` reads of a report: the spec and its asked trials."""
    asked = [TrialRecord(str(n), "ask", {}, seconds=taken) for n, taken in enumerate(seconds)]
    return SimpleNamespace(spec=spec, asked=asked)


def test_the_tuned_base_is_searched_over_the_knobs_that_act_on_it(tmp_path):
    searched = {
        "stage1.norm_ordinality.name": {"choice": ["kl", "hinge"]},
        "stage1.norm_ordinality.weight": {"log": [0.01, 1.0]},
        "stage1.optimizer.lr": {"log": [1.0e-4, 1.0e-2], "when": {"stage1.norm_ordinality.name": "kl"}},
        "encoder.width": {"choice": [8, 16]},
        "encoder.dropout": {"uniform": [0.0, 0.5], "when": {"encoder.width": 16}},
        "stage2.norm_weight": {"uniform": [0.0, 2.0]},
    }
    objectives = ["val/few/mae", "val/all/mae"]
    fixed = {"dataset": "diamonds", "stage2": {"majority_threshold": 50}}
    spec = sweeping.spec(tmp_path, fixed=fixed, searched=searched, objectives=objectives, seed=4)
    base = tuned.base_spec(report(spec))
    assert list(base.searched) == ["stage1.optimizer.lr", "encoder.width", "encoder.dropout"]
    assert base.searched["stage1.optimizer.lr"].when == {}
    assert base.searched["encoder.dropout"].when == {"encoder.width": 16}
    assert base.default_config() == spec.default_config().plain()
    assert (base.sampler, base.objectives, base.seed) == (spec.sampler, spec.objectives, 5)
    assert (base.budget.trials, base.budget.trainer_seconds) == (2, 3.5)


def test_stage_1s_that_the_sweep_found_trained_count_for_the_base_once_each(tmp_path):
    spec = sweeping.spec(
        tmp_path, fixed={"dataset": "diamonds"}, searched={"encoder.width": {"choice": [8, 16]}}
    )
    found = [
        ("8", {"reused_seconds": 20.0}),  # trained by another sweep
        ("8", {"reused_seconds": 20.0}),
        ("16", {"reused_seconds": 0.0}),  # trained here
        ("16", {"reused_seconds": 30.0}),
    ]
    asked = [
        TrialRecord(str(n), "ask", {"encoder.width": width}, state="COMPLETE", metrics=metrics, seconds=1.0)
        for n, (width, metrics) in enumerate(found)
    ]
    base = tuned.base_spec(SimpleNamespace(spec=spec, asked=asked))
    assert base.budget.trainer_seconds == 4.0 + 20.0


def test_phases_of_the_tuned_base_have_no_norm_ordinality_either(tmp_path):
    fixed = {
        "dataset": "diamonds",
        "stage1": {"then": [{"epochs": 2, "norm_ordinality": {"name": "kl"}}]},
    }
    tree = {
        "question": "?",
        "fixed": fixed,
        "searched": {
            "stage1.epochs": {"int": [2, 4]},
            "stage1.then.0.norm_ordinality.tau": {"log": [0.1, 1.0]},
        },
    }
    base = tuned.base_spec(report(parse_spec(tree, "spec")))
    assert list(base.searched) == ["stage1.epochs"]
    assert base.default_config().stage1.then[0].norm_ordinality is None


def test_without_a_knob_that_acts_there_is_no_tuned_base(tmp_path):
    spec = sweeping.spec(tmp_path, searched={"stage2.norm_weight": {"uniform": [0.0, 2.0]}})
    assert tuned.base_spec(report(spec)) is None
    assert "equals plain" in tuned.best(None, Folder(tmp_path))


def test_the_hash_of_a_row_is_that_of_its_configuration_without_the_seed(winner):
    other = replace(winner, name="both", config=winner.config.with_overrides({"seed": 5}))
    assert other.hash == winner.hash
    assert replace(winner, config=winner.config.plain()).hash != winner.hash


def test_a_knob_that_came_later_leaves_at_its_default_the_hash_that_runs_are_known_by():
    before = "33d19a1388119f154cf6b6f8db706de76226154280b605a48c8c97a3f2bf4a84"
    assert Row("7", TrialConfig(), "").hash == before
    later = {
        "processes": 2,
        "compiled": True,
        "stage1.accumulate": 2,
        "stage1.feature_method": {"name": "fds", "gather": "during"},
    }
    fds = TrialConfig().with_overrides({"stage1.feature_method.name": "fds"})
    hashes = {Row("7", fds.with_overrides({name: value}), "").hash for name, value in later.items()}
    assert len(hashes | {before, Row("7", fds, "").hash}) == 6


@pytest.mark.parametrize(
    ("cause", "kind", "said"),
    [
        (
            OSError(28, "No space left on device", "/full/x"),
            OSError,
            r"/full/x: No space left on device; make room",
        ),
        (
            RuntimeError("no kernel"),
            ValueError,
            r".*/1: no worker gets through this run: no kernel; mend that",
        ),
    ],
)
def test_a_run_that_no_worker_gets_through_is_told_by_its_cause_and_a_full_disk_by_what_to_do(
    tmp_path, cause, kind, said
):
    from ray.exceptions import RayTaskError

    run = training.Run(None, 1, Folder(tmp_path / "1"))
    told = training._explained(run, RayTaskError("train", "its traceback", cause))
    assert isinstance(told, kind)
    assert re.fullmatch(f"{said}, then the same command goes on, and what is trained is kept", str(told))
