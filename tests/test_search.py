"""Asks, tells and replay, on a function of the parameters in place of training."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dirsweep import ledger
from dirsweep.ledger import Ledger
from dirsweep.search.core import Search
from dirsweep.search.sampler import _at, optuna_distribution
from dirsweep.search.spec import SweepSpec, parse_spec
from dirsweep.storage import Folder

SEARCHED = {
    "stage1.norm_ordinality.name": {"choice": ["kl", "hinge"]},
    "stage1.norm_ordinality.weight": {"log": [1.0e-3, 10.0]},
    "stage1.norm_ordinality.tau": {"log": [0.05, 5.0], "when": {"stage1.norm_ordinality.name": "kl"}},
    "stage1.norm_ordinality.margin": {
        "uniform": [0.0, 1.0],
        "step": 0.1,
        "when": {"stage1.norm_ordinality.name": ["hinge"]},
    },
    "stage2.majority_threshold": {"int": [20, 200], "step": 10},
    "stage2.fit.weighted": {"choice": [False, True]},
    "stage2.schedule.decay.name": {"choice": ["cosine", "step"]},
    "stage2.schedule.decay.at": {
        "choice": [[0.5], [0.25, 0.75]],
        "when": {"stage2.schedule.decay.name": "step"},
    },
}
SAMPLERS: dict[str, dict[str, Any]] = {
    "tpe": {"name": "tpe", "startup": 5},
    "random": {"name": "random"},
    "qmc": {"name": "qmc"},
    "nsga2": {"name": "nsga2", "population": 4},
    "gp": {"name": "gp", "startup": 5},
}
TRIALS = 30


def spec_of(sampler: str = "tpe", objectives: int = 1, **fields: Any) -> SweepSpec:
    tree = {
        "question": "Does a resumed search ask the same?",
        "searched": SEARCHED,
        "objectives": ["val/all/mae", "val/few/mae"][:objectives],
        "sampler": SAMPLERS[sampler],
        **fields,
    }
    return parse_spec(tree, "space.yaml")


def outcome(number: int, params: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """How a trial ends: mostly complete, each seventh pruned, each eleventh failed, one with NaN."""
    slope = math.log10(params["stage1.norm_ordinality.weight"]) ** 2
    metrics = {
        "val/all/mae": 100.0 + slope + params.get("stage1.norm_ordinality.tau", 3.0),
        "val/few/mae": 300.0 - slope + params["stage2.majority_threshold"] / 10,
        "val/many/mae": 50.0 + 10 * params["stage2.fit.weighted"],
    }
    if number == 8:
        metrics["val/all/mae"] = math.nan
    state = "PRUNED" if number % 7 == 3 else "FAIL" if number % 11 == 5 else "COMPLETE"
    return state, metrics


def begin(path: Path, spec: SweepSpec) -> Ledger:
    book = Ledger.create(Folder(path), spec=spec.hash, trials=TRIALS)
    book.write("control", trial="default-plain", of="default", control="plain", params={})
    book.write(
        "tell",
        trial="default-plain",
        state="COMPLETE",
        epoch=1,
        seconds=1.0,
        metrics={"val/many/mae": 50.0},
        reason="",
    )
    return book


def drive(spec: SweepSpec, book: Ledger, ahead: int, asks: int = TRIALS) -> None:
    """One worker that asks `ahead` trials before it works on the oldest open one, as Tune does."""
    search = Search(spec, book)
    waiting = [
        (int(trial.trial), trial.params)
        for trial in ledger.trials(book.records).values()
        if trial.kind == "ask" and trial.state == "OPEN"
    ]
    while True:
        while len(waiting) <= ahead and search.asked < asks:
            waiting.append(search.ask())
        if not waiting:
            break
        number, params = waiting.pop(0)
        spec.config(params)
        book.write("report", trial=str(number), epoch=1, of=9, stage="stage1", seconds=1.0, metrics={})
        state, metrics = outcome(number, params)
        search.tell(number, state, metrics, epoch=1, seconds=1.0)
    search.close()


def told(book: Ledger) -> list[tuple[Any, ...]]:
    """Asks and tells in their order, without the times."""
    return [
        (
            record["kind"],
            record["trial"],
            record.get("params"),
            record.get("state"),
            str(record.get("metrics")),
        )
        for record in book.records
        if record["kind"] in ("ask", "tell")
    ]


CASES = [
    ("tpe", 1, 0, ()),
    ("tpe", 2, 1, ()),
    ("tpe", 2, 0, ({"metric": "val/many/mae", "at_most": 1.1, "of": "default-plain"},)),
    ("tpe", 1, 1, ({"metric": "val/many/mae", "at_most": 55.0},)),
    ("random", 1, 0, ()),
    ("random", 2, 1, ()),
    ("qmc", 1, 1, ()),
    ("nsga2", 1, 0, ()),
    ("nsga2", 2, 1, ({"metric": "val/many/mae", "at_most": 55.0},)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("sampler", "objectives", "ahead", "constraints"), CASES)
def test_cut_at_any_record_a_search_asks_what_it_would_have_asked(
    tmp_path: Path, sampler: str, objectives: int, ahead: int, constraints: tuple[Any, ...]
):
    spec = spec_of(sampler, objectives, constraints=constraints)
    first = begin(tmp_path / "whole", spec)
    drive(spec, first, ahead)
    expected = told(first)
    assert [row[1] for row in expected if row[0] == "ask"] == [str(number) for number in range(TRIALS)]
    content = (tmp_path / "whole" / ledger.FILE).read_bytes().splitlines(keepends=True)
    for count in range(3, len(content), 7):  # 7 steps over ask, report and tell alike
        path = tmp_path / f"cut{count}"
        path.mkdir()
        # Half of the next record is there too, as a killed driver leaves it.
        (path / ledger.FILE).write_bytes(
            b"".join(content[:count]) + content[count][: len(content[count]) // 2]
        )
        book = Ledger.open(Folder(path))
        assert book.dropped == 1
        drive(spec, book, ahead)
        assert told(book) == expected


GP_CASES = [(1, 0, ()), (2, 1, ({"metric": "val/many/mae", "at_most": 55.0},))]


@pytest.mark.slow
@pytest.mark.parametrize(("objectives", "ahead", "constraints"), GP_CASES)
def test_a_resumed_gaussian_process_asks_what_it_would_have_asked(
    tmp_path: Path, objectives: int, ahead: int, constraints: tuple[Any, ...]
):
    """Apart from the others, for a suggestion takes a second: fewer trials, and cut once."""
    searched = {
        "stage1.norm_ordinality.weight": {"log": [1.0e-3, 10.0]},
        "stage2.majority_threshold": {"int": [20, 200], "step": 10},
        "stage2.fit.weighted": {"choice": [False, True]},
    }
    spec = spec_of("gp", objectives, searched=searched, constraints=constraints)
    first = begin(tmp_path / "whole", spec)
    drive(spec, first, ahead, 10)
    assert any(key.startswith("gp:") for key in ledger.trials(first.records)["9"].attrs), "still at random"
    content = (tmp_path / "whole" / ledger.FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / ledger.FILE).write_bytes(b"".join(content[:-6]))
    second = Ledger.open(Folder(tmp_path / "cut"))
    drive(spec, second, ahead, 10)
    assert told(second) == told(first)


def test_quasi_random_points_cover_every_eighth_of_a_range_once(tmp_path: Path):
    searched = {"stage2.norm_weight": {"uniform": [0.0, 8.0]}, "stage1.optimizer.lr": {"log": [1.0e-4, 1.0]}}
    spec = spec_of("qmc", searched=searched)
    asked = []
    for _ in range(8):  # resumed before each ask
        place = Folder(tmp_path)
        book = Ledger.open(place) if place.exists(ledger.FILE) else begin(tmp_path, spec)
        search = Search(spec, book)
        asked.append(search.ask()[1])
        search.close()
    assert sorted(int(params["stage2.norm_weight"]) for params in asked) == list(range(8))
    assert sorted(int(2 * math.log10(params["stage1.optimizer.lr"]) + 8) for params in asked) == list(
        range(8)
    )


@pytest.mark.parametrize(
    ("asked", "values"),
    [
        ({"choice": ["l1", "mse"]}, ['"l1"'] * 4 + ['"mse"'] * 4),
        ({"int": [2, 5]}, [2, 2, 3, 3, 4, 4, 5, 5]),
        ({"int": [1, 7], "step": 2}, [1, 1, 3, 3, 5, 5, 7, 7]),
        ({"int": [1, 4], "log": True}, [1, 1, 1, 1, 2, 2, 3, 4]),  # ends 0.5 and 4.5: each eighth x 1.32
        ({"uniform": [0.0, 0.3], "step": 0.1}, [0.0, 0.0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3]),
    ],
)
def test_quasi_random_points_take_every_value_in_its_share(asked: dict[str, Any], values: list[Any]):
    space = {"question": "?", "searched": {"name": asked}}
    distribution = optuna_distribution(SweepSpec.model_validate(space).searched["name"])
    drawn = [_at(eighth / 8 + 0.05, distribution) for eighth in range(8)]
    assert drawn == pytest.approx(values)


def test_nsga2_crosses_the_best_of_the_generation_before(tmp_path: Path):
    spec = spec_of("nsga2", 2)
    book = begin(tmp_path, spec)
    drive(spec, book, 0)
    generations = [
        trial.attrs["NSGAIISampler:generation"]
        for trial in ledger.trials(book.records).values()
        if trial.kind == "ask"
    ]
    assert generations == sorted(generations)
    assert generations[-1] >= 4
    assert any("study" in record for record in book.records)  # the parents, noted on the study


def test_killed_once_a_search_asks_what_it_would_have_asked(tmp_path: Path):
    spec = spec_of()
    first = begin(tmp_path / "whole", spec)
    drive(spec, first, 1)
    content = (tmp_path / "whole" / ledger.FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / ledger.FILE).write_bytes(b"".join(content[:55]))
    second = Ledger.open(Folder(tmp_path / "cut"))
    drive(spec, second, 1)
    assert told(second) == told(first)


def test_another_seed_asks_other_values(tmp_path: Path):
    asked = []
    for seed in (0, 1):
        spec = spec_of(seed=seed)
        asked.append(Search(spec, begin(tmp_path / str(seed), spec)).ask()[1])
    assert asked[0] != asked[1]


def test_only_names_whose_conditions_hold_are_asked(tmp_path: Path):
    spec = spec_of("random")
    search = Search(spec, begin(tmp_path, spec))
    seen = set()
    for _ in range(20):
        _, params = search.ask()
        kind = params["stage1.norm_ordinality.name"]
        seen.add(kind)
        assert ("stage1.norm_ordinality.tau" in params) == (kind == "kl")
        assert ("stage1.norm_ordinality.margin" in params) == (kind == "hinge")
        assert spec.config(params).stage1.norm_ordinality.name == kind
    assert seen == {"kl", "hinge"}


def test_tpe_finds_better_values_than_chance(tmp_path: Path):
    best: dict[str, float] = {}
    for sampler in ("tpe", "random"):
        spec = spec_of(sampler)
        book = begin(tmp_path / sampler, spec)
        drive(spec, book, 0)
        complete = [trial for trial in ledger.trials(book.records).values() if trial.state == "COMPLETE"]
        values = [trial.metrics["val/all/mae"] for trial in complete if trial.kind == "ask"]
        best[sampler] = sum(values[-10:]) / 10
    assert best["tpe"] < best["random"]


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"val/all/mae": 1.0}, "no finite result: val/few/mae is missing"),
        ({"val/all/mae": math.nan, "val/few/mae": 1.0}, "no finite result: val/all/mae is nan"),
        ({"val/all/mae": 1.0, "val/few/mae": math.inf}, "no finite result: val/few/mae is inf"),
    ],
)
def test_a_result_without_every_objective_is_a_failure(
    tmp_path: Path, metrics: dict[str, float], reason: str
):
    spec = spec_of(objectives=2)
    book = begin(tmp_path, spec)
    search = Search(spec, book)
    search.ask()
    assert search.tell(0, "COMPLETE", metrics, epoch=3, seconds=1.0) == "FAIL"
    trial = ledger.trials(book.records)["0"]
    assert (trial.state, trial.reason, trial.epoch) == ("FAIL", reason, 3)


def test_a_result_without_a_constrained_metric_is_a_failure(tmp_path: Path):
    spec = spec_of(constraints=({"metric": "val/many/mae", "at_most": 60.0},))
    search = Search(spec, begin(tmp_path, spec))
    search.ask()
    assert search.tell(0, "COMPLETE", {"val/all/mae": 1.0}, epoch=1, seconds=1.0) == "FAIL"


def test_a_second_tell_changes_nothing(tmp_path: Path):
    spec = spec_of()
    book = begin(tmp_path, spec)
    search = Search(spec, book)
    search.ask()
    search.tell(0, "PRUNED", {}, epoch=1, seconds=1.0)
    before = len(book.records)
    assert search.tell(0, "COMPLETE", {"val/all/mae": 1.0}, epoch=2, seconds=2.0) == "PRUNED"
    assert len(book.records) == before


def test_a_tell_of_a_trial_never_asked_is_refused(tmp_path: Path):
    spec = spec_of()
    search = Search(spec, begin(tmp_path, spec))
    with pytest.raises(ValueError, match="trial 0 was told, but never asked"):
        search.tell(0, "FAIL", {}, epoch=0, seconds=0.0)


def test_asks_and_tells_are_recorded_in_the_order_requested(tmp_path: Path):
    spec = spec_of()
    book = begin(tmp_path, spec)
    search = Search(spec, book)
    calls: list[Callable[[], Any]] = [
        search.submit_ask,
        search.submit_ask,
        lambda: search.submit_tell(1, "FAIL", {}, epoch=0, seconds=0.0),
        search.submit_ask,
        lambda: search.submit_tell(0, "FAIL", {}, epoch=0, seconds=0.0),
    ]
    futures = [call() for call in calls]
    search.close()
    assert all(future.exception() is None for future in futures)
    assert [row[:2] for row in told(book)[1:]] == [
        ("ask", "0"),
        ("ask", "1"),
        ("tell", "1"),
        ("ask", "2"),
        ("tell", "0"),
    ]


def test_a_ledger_of_another_spec_is_refused(tmp_path: Path):
    book = begin(tmp_path, spec_of())
    with pytest.raises(ValueError, match="the ledger was begun with another spec"):
        Search(spec_of(seed=7), book)


def relative() -> SweepSpec:
    return spec_of(constraints=({"metric": "val/many/mae", "at_most": 1.02, "of": "default-plain"},))


def test_a_relative_constraint_waits_for_its_control(tmp_path: Path):
    spec = relative()
    book = Ledger.create(Folder(tmp_path), spec=spec.hash, trials=1)
    search = Search(spec, book)
    with pytest.raises(ValueError, match="the control default-plain has not finished"):
        search.ask()
    assert search.asked == 0


def test_a_failed_control_ends_a_search_that_is_relative_to_it(tmp_path: Path):
    spec = relative()
    book = Ledger.create(Folder(tmp_path), spec=spec.hash, trials=1)
    book.write("control", trial="default-plain", of="default", control="plain", params={})
    book.write(
        "tell", trial="default-plain", state="FAIL", epoch=0, seconds=0.0, metrics={}, reason="loss is NaN"
    )
    with pytest.raises(
        ValueError, match=r"default-plain failed \(loss is NaN\); give `at_most` in label units"
    ):
        Search(spec, book).ask()


def test_the_sampler_keeps_away_from_infeasible_values(tmp_path: Path):
    """`weighted: true` is better by the objective, but exceeds the constraint."""
    shares = {}
    for name, constraints in {"free": (), "bound": ({"metric": "val/many/mae", "at_most": 55.0},)}.items():
        spec = spec_of(constraints=constraints)
        search = Search(spec, begin(tmp_path / name, spec))
        picks = []
        for _ in range(TRIALS):
            number, params = search.ask()
            weighted = params["stage2.fit.weighted"]
            metrics = {"val/all/mae": 100.0 - 50.0 * weighted, "val/many/mae": 50.0 + 10 * weighted}
            search.tell(number, "COMPLETE", metrics, epoch=1, seconds=1.0)
            picks.append(weighted)
        shares[name] = sum(picks[10:]) / len(picks[10:])
    assert shares["bound"] < 0.5 < shares["free"]


def test_values_that_python_takes_for_equal_stay_apart(tmp_path: Path):
    searched = {"stage2.freeze_batch_norm": {"choice": [None, True, False]}}
    spec = spec_of("random", searched=searched, fixed={"encoder": {"batch_norm": True}})
    search = Search(spec, begin(tmp_path, spec))
    seen = {search.ask()[1]["stage2.freeze_batch_norm"] for _ in range(20)}
    assert seen == {None, True, False}


def test_no_trial_is_left_running_or_doubled_after_a_replay(tmp_path: Path):
    spec = spec_of()
    book = begin(tmp_path, spec)
    drive(spec, book, 1)
    again = Ledger.open(Folder(tmp_path))
    search = Search(spec, again)
    assert search.asked == TRIALS
    states = [trial.state for trial in ledger.trials(again.records).values()]
    assert "OPEN" not in states
    assert len(list(itertools.chain(told(again)))) == 2 * TRIALS + 1


def test_what_the_sampler_noted_on_a_trial_comes_back_at_replay(tmp_path: Path):
    spec = spec_of()
    book = begin(tmp_path, spec)
    drive(spec, book, 0)
    noted = {name: trial.attrs for name, trial in ledger.trials(book.records).items() if trial.kind == "ask"}
    assert any(noted.values())  # TPE notes what it drew jointly
    replayed = Search(spec, Ledger.open(Folder(tmp_path)))._study.trials
    assert {str(trial.number): trial.system_attrs for trial in replayed} == noted
