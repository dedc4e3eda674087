"""The staged search: parents and children, asked by what they cost and bring."""

import math
from pathlib import Path
from typing import Any

import pytest

from dirsweep.ledger import FILE, Ledger, TrialRecord, trials
from dirsweep.search import staged
from dirsweep.search.core import Search
from dirsweep.search.spec import SweepSpec, parse_spec
from dirsweep.storage import Folder

TREE: dict[str, Any] = {
    "question": "?",
    "fixed": {"dataset": "diamonds", "stage1": {"epochs": 20}, "stage2": {"schedule": {"epochs": 5}}},
    "searched": {
        "stage1.norm_ordinality.name": {"choice": ["kl", "hinge"]},
        "stage1.norm_ordinality.weight": {"log": [1.0e-3, 10.0]},
        "stage1.norm_ordinality.tau": {"log": [0.05, 5.0], "when": {"stage1.norm_ordinality.name": "kl"}},
        "stage2.norm_weight": {"log": [1.0e-3, 10.0]},
        "stage2.schedule.lr": {"log": [1.0e-5, 1.0e-3]},
    },
    "sampler": {"name": "tpe", "startup": 5},
    "mode": "staged",
}


def spec(**changes: Any) -> SweepSpec:
    return parse_spec({**TREE, **changes}, "space.yaml")


def value(params: dict[str, Any]) -> float:
    """A sweep's landscape: best at weight 0.1, mu 1, learning rate 1e-4; stage 1 matters more."""
    weight = params.get("stage1.norm_ordinality.weight", 1.0e-3)
    return (
        abs(math.log10(weight) + 1)
        + 0.5 * abs(math.log10(params["stage2.norm_weight"]))
        + 0.2 * abs(math.log10(params["stage2.schedule.lr"]) + 4)
    )


def run(folder: Path, space: SweepSpec, number: int) -> list[TrialRecord]:
    """Ask and tell up to `number` trials with one worker; a new stage 1 costs 20, a shared one 5."""
    place = Folder(folder)
    opening = {"spec": space.hash, "method_version": 1, "data": "", "trials": number}
    ledger = Ledger.open(place) if place.exists(FILE) else Ledger.create(place, **opening)
    search = Search(space, ledger)
    try:
        while search.asked < number:
            before = staged.parents(list(trials(ledger.records).values()))
            trial, params = search.ask()
            new = staged.parent_params(params) not in [parent.params for parent in before]
            seconds = 25.0 if new else 5.0
            metrics = {"val/all/mae": value(params)}
            search.tell(trial, "COMPLETE", metrics, epoch=25, seconds=seconds)
    finally:
        search.close()
    return list(trials(ledger.records).values())


def test_the_base_is_the_first_parent_and_its_configuration_has_no_norm_ordinality(tmp_path: Path):
    first = run(tmp_path, spec(), 3)[0]
    assert staged.parent_params(first.params) == staged.base(spec())
    assert set(first.params) == {"stage1.norm_ordinality.name", "stage2.norm_weight", "stage2.schedule.lr"}
    assert spec().config(first.params).stage1.norm_ordinality.name == "none"


def test_the_base_has_no_norm_ordinality_in_a_later_phase_either(tmp_path: Path):
    phases = [{"epochs": 1}, {"epochs": 1, "norm_ordinality": {"name": "kl", "weight": 0.5}}]
    space = spec(fixed={**TREE["fixed"], "stage1": {"epochs": 20, "then": phases}})
    first, second = run(tmp_path, space, 2)
    assert first.params["stage1.then.1.norm_ordinality.name"] == "none"
    config = space.config(first.params).stage1
    assert [config.norm_ordinality.name, config.then[1].norm_ordinality.name] == ["none", "none"]
    assert config.then[0].norm_ordinality is None  # as in the phase before, which has none
    assert space.config(second.params).stage1.then[1].norm_ordinality.weight == 0.5


def test_children_have_their_parents_values_and_their_own_of_stage_2(tmp_path: Path):
    found = run(tmp_path, spec(), 30)
    family = staged.parents(found)
    assert 3 <= len(family) < 30
    shared = next(parent for parent in family[1:] if len(parent.trials) > 1)
    assert len({trial.params["stage2.norm_weight"] for trial in shared.trials}) == len(shared.trials)
    assert len({str(spec().config(trial.params).stage1) for trial in shared.trials}) == 1


@pytest.mark.parametrize(
    "sampler",
    [
        {"name": "tpe", "startup": 5},
        {"name": "random"},
        {"name": "qmc"},
        {"name": "nsga2", "population": 4},
        pytest.param({"name": "gp", "startup": 8}, marks=pytest.mark.slow),
    ],
    ids=lambda sampler: sampler["name"],
)
def test_a_resumed_staged_search_asks_what_it_would_have_asked(tmp_path: Path, sampler: dict[str, Any]):
    space, number = spec(sampler=sampler), 12 if sampler["name"] == "gp" else 20
    whole = [(t.trial, t.params) for t in run(tmp_path / "whole", space, number)]
    run(tmp_path / "half", space, 7)
    run(tmp_path / "half", space, 11)
    assert [(t.trial, t.params) for t in run(tmp_path / "half", space, number)] == whole


def test_the_simple_form_trains_all_parents_then_children_of_the_best_in_turn(tmp_path: Path):
    space = spec(mode={"name": "staged_simple", "parents": 4, "best": 2})
    found = run(tmp_path, space, 12)
    family = staged.parents(found)
    assert [int(parent.trials[0].trial) for parent in family] == [0, 1, 2, 3]
    firsts = sorted((value(parent.trials[0].params), place) for place, parent in enumerate(family))
    children = [len(parent.trials) - 1 for parent in family]
    assert sum(children) == 8
    assert children[firsts[-1][1]] == 0
    assert max(children) - sorted(children)[-2] <= 1


def test_the_simple_form_goes_on_when_the_space_has_fewer_stage_1s_than_parents(tmp_path: Path):
    searched = {
        "stage1.norm_ordinality.name": {"choice": ["kl"]},
        "stage2.norm_weight": {"log": [1.0e-3, 10.0]},
    }
    space = spec(searched=searched, mode={"name": "staged_simple", "parents": 4, "best": 1})
    place = Folder(tmp_path)
    search = Search(space, Ledger.create(place, spec=space.hash, method_version=1, data="", trials=9))
    for number in range(7):
        search.ask()
        search.tell(number, "COMPLETE", {"val/all/mae": 1.0 + number}, epoch=25, seconds=5.0)
    search.close()
    found = list(trials(search._ledger.records).values())
    assert len(staged.parents(found)) == 2
    whys = [entry["why"] for entry in search._ledger.records if entry["kind"] == "ask"]
    assert sum(why.startswith("a child of one of the best") for why in whys) == 3


@pytest.mark.parametrize("mode", ["staged", {"name": "staged_simple", "parents": 4, "best": 2}])
def test_a_decision_is_that_from_the_whole_ledger(tmp_path: Path, mode: Any):
    space = spec(mode=mode, sampler={"name": "random"})
    run(tmp_path, space, 20)
    records = Ledger.open(Folder(tmp_path)).records
    asks = [place for place, entry in enumerate(records) if entry["kind"] == "ask"]
    whys = []
    for place in asks:
        known = list(trials(records[:place]).values())
        decision = staged.decide(space, staged.family(known))
        assert decision.why == records[place]["why"]
        if decision.parent is not None:
            assert staged.parent_params(records[place]["params"]) == decision.parent
        whys.append(decision.why)
    assert len(set(whys)) > 3


def record(number: int, params: dict[str, Any], result: float, seconds: float) -> TrialRecord:
    found = TrialRecord(str(number), "ask", params)
    found.state, found.metrics, found.seconds = "COMPLETE", {"val/all/mae": result}, seconds
    return found


def test_when_new_stage_1s_bring_nothing_children_get_nearly_all_and_the_floor_stays():
    known = [
        record(n, {"stage1.norm_ordinality.weight": w}, 5.0, 100.0) for n, w in enumerate((0.1, 0.2, 0.3))
    ]
    known += [record(9, {"stage1.norm_ordinality.weight": 0.1, "stage2.norm_weight": 1.0}, 4.0, 1.0)]
    space = spec(mode={"name": "staged", "new_parents": 0.2})
    decided = [
        staged.decide(space, staged.family([*known, *[TrialRecord("x", "ask", known[0].params)] * n]))
        for n in range(300)
    ]
    new = sum(decision.parent is None for decision in decided) / len(decided)
    assert 0.13 < new < 0.27
    assert {str(d.parent) for d in decided if d.parent} >= {str(known[0].params)}


def test_expected_improvement_of_a_normal_draw():
    assert staged.expected_improvement(0.0, 1.0, 0.0) == pytest.approx(1 / math.sqrt(2 * math.pi))
    assert staged.expected_improvement(3.0, 0.0, 1.0) == 0.0
    assert staged.expected_improvement(1.0, 0.0, 3.0) == 2.0


def test_at_equal_cost_the_adaptive_form_does_not_lose_to_the_simple_one(tmp_path: Path):
    def best(space: SweepSpec, name: str, seed: int) -> float:
        spent, lowest = 0.0, math.inf
        for trial in run(tmp_path / f"{name}{seed}", space, 60):
            spent += trial.seconds
            if spent > 600:
                break
            lowest = min(lowest, trial.metrics["val/all/mae"])
        return lowest

    gaps = [
        best(spec(seed=seed), "adaptive", seed) - best(spec(mode="staged_simple", seed=seed), "simple", seed)
        for seed in range(8)
    ]
    assert sum(gaps) / len(gaps) < 0
