import gc
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dirsweep.ledger import TrialRecord
from dirsweep.search.best import feasible, knee, pareto, ranked, undominated
from dirsweep.search.constraints import constraint_values
from dirsweep.search.spec import SweepSpec, parse_spec


def spec_of(
    *constraints: dict[str, Any], objectives: tuple[str, ...] = ("val/all/mae",), **fields: Any
) -> SweepSpec:
    searched = {"stage1.epochs": {"int": [1, 9]}}
    tree = {"question": "?", "searched": searched, "objectives": objectives, "constraints": constraints}
    return parse_spec({**tree, **fields}, "space.yaml")


def trial(
    number: int, all_mae: float, few_mae: float = 0.0, many_mae: float = 0.0, **fields: Any
) -> TrialRecord:
    metrics = {"val/all/mae": all_mae, "val/few/mae": few_mae, "val/many/mae": many_mae}
    return TrialRecord(str(number), "ask", {}, **{"state": "COMPLETE", "metrics": metrics, **fields})


def control(**fields: Any) -> TrialRecord:
    return TrialRecord(
        "default-plain",
        "control",
        {},
        **{"state": "COMPLETE", "metrics": {"val/all/mae": 1.0, "val/many/mae": 100.0}, **fields},
    )


def named(*records: TrialRecord) -> dict[str, TrialRecord]:
    return {record.trial: record for record in records}


def numbers(records: list[TrialRecord]) -> list[str]:
    return [record.trial for record in records]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_first_objective_decides():
    spec = spec_of(objectives=("val/few/mae", "val/all/mae"))
    found = named(trial(0, all_mae=1.0, few_mae=9.0), trial(1, all_mae=8.0, few_mae=2.0))
    assert numbers(ranked(spec, found)) == ["1", "0"]


def test_a_tie_goes_by_the_next_objective_then_by_the_number():
    spec = spec_of(objectives=("val/all/mae", "val/few/mae"))
    found = named(*(trial(number, 1.0, few) for number, few in [(10, 3.0), (2, 3.0), (1, 4.0)]))
    assert numbers(ranked(spec, found)) == ["2", "10", "1"]


def test_only_complete_trials_are_ranked():
    found = named(
        trial(0, 5.0),
        trial(1, 1.0, state="PRUNED"),
        trial(2, 1.0, state="FAIL"),
        trial(3, 1.0, state="OPEN"),
        control(),
    )
    assert numbers(ranked(spec_of(), found)) == ["0"]


def test_an_infeasible_trial_cannot_win():
    spec = spec_of({"metric": "val/many/mae", "at_most": 50.0})
    found = named(trial(0, 1.0, many_mae=50.1), trial(1, 2.0, many_mae=50.0))
    assert numbers(ranked(spec, found)) == ["1"]


def test_a_relative_constraint_is_a_multiple_of_the_control():
    spec = spec_of({"metric": "val/many/mae", "at_most": 1.5, "of": "default-plain"})
    found = named(control(), trial(0, 1.0, many_mae=150.0), trial(1, 1.0, many_mae=151.0))
    assert constraint_values(spec, found["1"].metrics, found) == {"0 val/many/mae": 1.0}
    assert feasible(spec, found["0"], found)
    assert numbers(ranked(spec, found)) == ["0"]


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ([], "the control default-plain has not finished"),
        ([control(state="OPEN", metrics={})], "the control default-plain has not finished"),
        (
            [control(state="FAIL", metrics={}, reason="no room")],
            r"the control default-plain failed \(no room\)",
        ),
        ([control(metrics={})], "the control default-plain found nan for val/many/mae"),
    ],
)
def test_without_its_control_a_relative_constraint_cannot_be_judged(
    reference: list[TrialRecord], reason: str
):
    spec = spec_of({"metric": "val/many/mae", "at_most": 1.5, "of": "default-plain"})
    found = named(*reference, trial(0, 1.0))
    with pytest.raises(
        ValueError, match=rf"'val/many/mae at most 1\.5 of default-plain' cannot be judged: {reason}"
    ):
        ranked(spec, found)


def test_the_pareto_set_holds_what_none_beats():
    spec = spec_of(objectives=("val/all/mae", "val/few/mae"))
    points = [(1.0, 9.0), (2.0, 5.0), (3.0, 5.0), (4.0, 1.0), (4.0, 1.0), (9.0, 9.0)]
    found = named(*(trial(number, *point) for number, point in enumerate(points)))
    assert numbers(pareto(spec, found)) == ["0", "1", "3", "4"]


def test_an_infeasible_trial_is_in_no_pareto_set():
    spec = spec_of({"metric": "val/many/mae", "at_most": 50.0}, objectives=("val/all/mae", "val/few/mae"))
    found = named(trial(0, 1.0, 1.0, many_mae=60.0), trial(1, 2.0, 2.0))
    assert numbers(pareto(spec, found)) == ["1"]


TWO = ("val/all/mae", "val/few/mae")


def test_the_knee_is_farthest_from_the_line_between_the_extremes():
    spec = spec_of(objectives=TWO)
    # scaled to (0, 1), (0.2, 0.3), (0.5, 0.2), (1, 0): sums 1, 0.5, 0.7, 1
    points = [(10.0, 400.0), (12.0, 330.0), (15.0, 320.0), (20.0, 300.0), (99.0, 999.0)]
    found = knee(spec, named(*(trial(number, *point) for number, point in enumerate(points))))
    assert found is not None
    assert found.trial == "1"


def test_the_knee_of_three_objectives_has_the_smallest_scaled_sum():
    spec = spec_of(objectives=(*TWO, "val/many/mae"))
    points = [(0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (0.5, 0.4, 0.5), (0.6, 0.5, 0.4)]
    found = knee(spec, named(*(trial(number, *point) for number, point in enumerate(points))))
    assert found is not None
    assert found.trial == "3"


def test_an_objective_in_which_the_front_agrees_hides_no_knee():
    spec = spec_of(objectives=(*TWO, "val/many/mae"))
    points = [(0.0, 1.0, 7.0), (0.2, 0.2, 7.0), (1.0, 0.0, 7.0)]
    found = knee(spec, named(*(trial(number, *point) for number, point in enumerate(points))))
    assert found is not None
    assert found.trial == "1"


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(1.0, 1.0)],
        [(1.0, 2.0), (2.0, 1.0)],
        [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)],
        [(0.0, 1.0), (0.7, 0.8), (1.0, 0.0)],
    ],
    ids=["no trial", "one trial", "extremes alone", "a straight front", "a front that bends outward"],
)
def test_a_front_without_a_bend_has_no_knee(points: list[tuple[float, float]]):
    found = named(*(trial(number, *point) for number, point in enumerate(points)))
    assert knee(spec_of(objectives=TWO), found) is None


def test_one_objective_has_no_knee():
    assert knee(spec_of(), named(trial(0, 1.0), trial(1, 2.0))) is None


def test_an_infeasible_trial_is_no_knee_and_no_extreme():
    spec = spec_of({"metric": "val/many/mae", "at_most": 50.0}, objectives=TWO)
    points = [(0.0, 1.0, 0.0), (0.1, 0.1, 60.0), (0.4, 0.4, 0.0), (1.0, 0.0, 0.0)]
    found = knee(spec, named(*(trial(number, *point) for number, point in enumerate(points))))
    assert found is not None
    assert found.trial == "2"


def test_the_front_of_many_is_that_of_comparing_each_with_each(rng: np.random.Generator):
    names = ("a", "b", "c")
    points = [tuple(float(value) for value in point) for point in rng.integers(0, 12, size=(300, 3))]
    many = [
        TrialRecord(str(n), "ask", {}, metrics=dict(zip(names, p, strict=True))) for n, p in enumerate(points)
    ]
    for count in (1, 2, 3):
        cut = [point[:count] for point in points]
        plain = [
            trial
            for trial, mine in zip(many, cut, strict=True)
            if not any(o != mine and all(a <= b for a, b in zip(o, mine, strict=True)) for o in cut)
        ]
        assert undominated(names[:count], many) == plain
        assert 0 < len(plain) < len(many)


def test_of_thousands_of_trials_with_repeats_the_best_are_found_in_a_second(rng: np.random.Generator):
    spec = spec_of(objectives=TWO, repeats={"seeds": 2, "top": 3})
    many = [trial(number, *rng.normal(size=2)) for number in range(4000)]
    again = [
        replace(one, trial=f"{one.trial}-seed2", kind="control", of=one.trial, control="seed2")
        for one in many[:3]
    ]
    found = named(*many, *again)
    gc.freeze()  # what other tests left, memory and threads, is not to be timed
    try:
        begun = time.thread_time()
        assert {one.trial for one in ranked(spec, found)[:3]} == {"0", "1", "2"}
        assert set(numbers(pareto(spec, found))) <= {"0", "1", "2"}
        assert time.thread_time() - begun < 1.0
    finally:
        gc.unfreeze()
