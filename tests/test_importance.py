"""Which searched name decides, on results whose cause is known."""

import numpy as np
import pytest

from dirsweep.ledger import TrialRecord
from dirsweep.search.importance import importance
from dirsweep.search.spec import SweepSpec, parse_spec

SEARCHED = {
    "stage1.norm_ordinality.name": {"choice": ["kl", "hinge"]},
    "stage1.norm_ordinality.tau": {"log": [0.05, 5.0], "when": {"stage1.norm_ordinality.name": "kl"}},
    "stage1.optimizer.lr": {"log": [1.0e-4, 1.0e-2]},
    "stage2.norm_weight": {"uniform": [0.0, 2.0]},
}


@pytest.fixture
def spec() -> SweepSpec:
    tree = {"question": "?", "searched": SEARCHED, "objectives": ["val/all/mae", "val/few/mae"]}
    return parse_spec(tree, "space.yaml")


def drawn(number: int) -> dict[str, TrialRecord]:
    """Random trials; over all labels the learning rate alone decides, in the few-shot region mu."""
    rng, found = np.random.default_rng(0), {}
    for place in range(number):
        name = str(rng.choice(["kl", "hinge"]))
        rate, mu = 10 ** rng.uniform(-4, -2), rng.uniform(0, 2)
        params = {"stage1.norm_ordinality.name": name, "stage1.optimizer.lr": rate, "stage2.norm_weight": mu}
        params |= {"stage1.norm_ordinality.tau": 10 ** rng.uniform(-1, 0.5)} if name == "kl" else {}
        metrics = {"val/all/mae": abs(np.log10(rate) + 3), "val/few/mae": mu}
        found[str(place)] = TrialRecord(str(place), "ask", params, state="COMPLETE", metrics=metrics)
    return found


def test_each_objective_has_its_own_most_important_name(spec: SweepSpec):
    found = importance(spec, drawn(100))
    assert (found.trials, found.reason) == (100, "")
    assert next(iter(found.shares["val/all/mae"])) == "stage1.optimizer.lr"
    assert next(iter(found.shares["val/few/mae"])) == "stage2.norm_weight"
    for shares in found.shares.values():
        assert set(shares) == set(SEARCHED)  # conditional ones too
        assert sum(shares.values()) == pytest.approx(1.0)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
        assert next(iter(shares.values())) > 0.5


def test_the_answer_is_the_same_every_time(spec: SweepSpec):
    assert importance(spec, drawn(20)) == importance(spec, drawn(20))


def test_below_ten_complete_trials_there_is_a_reason_instead(spec: SweepSpec):
    trials = drawn(10)
    assert importance(spec, trials).shares
    trials["3"].state = "PRUNED"
    trials["default-plain"] = TrialRecord("default-plain", "control", {}, state="COMPLETE")
    found = importance(spec, trials)
    assert (found.shares, found.trials, found.reason) == ({}, 9, "needs 10 complete trials, there are 9")


def test_where_all_results_are_equal_nothing_decides_them(spec: SweepSpec):
    trials = drawn(12)
    for trial in trials.values():
        trial.metrics["val/few/mae"] = 7.0
    assert importance(spec, trials).reason == "all complete trials have the same val/few/mae"


def test_the_base_parent_of_a_staged_sweep_is_left_out(spec: SweepSpec):
    trials = drawn(20)
    trials["0"].params = {"stage1.norm_ordinality.name": "none", "stage2.norm_weight": 1.0}
    found = importance(spec, trials)
    assert found.trials == 19
    assert set(found.shares["val/all/mae"]) == set(SEARCHED)


def test_a_condition_that_held_once_is_no_hindrance(spec: SweepSpec):
    trials = drawn(40)
    asked = [key for key, trial in trials.items() if "stage1.norm_ordinality.tau" in trial.params]
    for key in asked[1:]:
        del trials[key]
    assert importance(spec, trials).shares
