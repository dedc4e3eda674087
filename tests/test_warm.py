"""A sweep that starts warm: what it takes from earlier sweeps, and what the sampler makes of it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import sweeping
import yaml

from dirsweep import METHOD_VERSION, sweep
from dirsweep.config import USUAL_METRICS
from dirsweep.data import load
from dirsweep.ledger import FILE, Ledger, trials
from dirsweep.search.best import ranked
from dirsweep.search.core import Search
from dirsweep.search.spec import SweepSpec, read_spec
from dirsweep.search.warm import gather
from dirsweep.storage import Folder
from dirsweep.sweep import start
from dirsweep.sweep.book import Book
from dirsweep.sweep.progress import Sums, logged, progress

SEARCHED = {
    "stage2.norm_weight": {"uniform": [0.0, 10.0]},
    "stage1.optimizer.lr": {"log": [1.0e-4, 1.0e-2]},
}


def earlier(folder: Path, number: int = 8, step: float = 1.0, **opening: Any) -> Path:
    """A finished sweep of `number` trials with mu 0, 1, 2 ... steps, best at mu 3, and one that failed."""
    spec = sweeping.spec(folder.parent, searched=SEARCHED)
    folder.mkdir()
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    facts = {"spec": spec.hash, "data": "d1", "method_version": METHOD_VERSION, "trials": number}
    ledger = Ledger.create(Folder(folder), **{**facts, **opening})
    for trial in range(number + 1):
        params = {"stage2.norm_weight": trial * step, "stage1.optimizer.lr": 1.0e-3}
        metrics = {"val/all/mae": 5.0 + abs(trial * step - 3), "val/few/mae": 9.0 - trial, "seconds": 2.0}
        state = "COMPLETE" if trial < number else "FAIL"
        ledger.write("ask", trial=str(trial), params=params, attrs={})
        ledger.write("tell", trial=str(trial), state=state, epoch=4, seconds=2.0, metrics=metrics, reason="")
    return folder


def spec_of(folder: Path, *sources: Path, **fields: Any) -> SweepSpec:
    fields = {"searched": SEARCHED, "warm_start": [str(source) for source in sources], **fields}
    return sweeping.spec(folder, **fields)


def begin(folder: Path, spec: SweepSpec) -> Ledger:
    ledger = Ledger.create(Folder(folder), spec=spec.hash, trials=9)
    ledger.write("warm", trials=gather(spec, "d1").trials, notes=[])
    return ledger


def test_complete_trials_are_taken_with_their_values_and_objectives(tmp_path: Path):
    found = gather(spec_of(tmp_path, earlier(tmp_path / "first")), "d1")
    assert len(found.trials) == 8
    assert found.trials[3] == {
        "from": "first/3",
        "params": {"stage1.optimizer.lr": 1.0e-3, "stage2.norm_weight": 3.0},
        "metrics": {"val/all/mae": 5.0},
    }
    assert found.notes == ["warm start from first: 8 trials taken"]


def test_a_sweep_in_an_object_store_is_taken_by_its_address(tmp_path: Path, bucket: Folder):
    first, there = Folder(earlier(tmp_path / "first")), bucket / "first"
    there.put("spec.yaml", first.read("spec.yaml"))
    for number, record in enumerate(first.records(FILE)[0]):
        there.append(FILE, record, number=number)
    tree = spec_of(tmp_path).model_dump(mode="json", by_alias=True)
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump({**tree, "warm_start": [str(there)]}))
    spec = read_spec(space)
    assert spec.warm_start == (str(there),)
    assert len(gather(spec, "d1").trials) == 8


def test_several_objectives_and_several_sweeps_are_taken(tmp_path: Path):
    sources = earlier(tmp_path / "first"), earlier(tmp_path / "second", 2)
    found = gather(spec_of(tmp_path, *sources, objectives=["val/few/mae", "val/all/mae"]), "d1")
    assert [trial["from"] for trial in found.trials[-2:]] == ["second/0", "second/1"]
    assert found.trials[0]["metrics"] == {"val/few/mae": 9.0, "val/all/mae": 8.0}


def test_a_value_outside_the_present_space_leaves_its_trial_out_by_name(tmp_path: Path):
    searched = {**SEARCHED, "stage2.norm_weight": {"uniform": [0.0, 5.5]}}
    found = gather(spec_of(tmp_path, earlier(tmp_path / "first"), searched=searched), "d1")
    assert len(found.trials) == 6
    assert (
        "warm start from first: 1 left out: stage2.norm_weight 7.0 is outside the present space"
        in found.notes
    )


def test_a_value_off_the_step_is_outside(tmp_path: Path):
    searched = {**SEARCHED, "stage2.norm_weight": {"uniform": [0.0, 8.0], "step": 2.0}}
    found = gather(spec_of(tmp_path, earlier(tmp_path / "first"), searched=searched), "d1")
    assert [trial["params"]["stage2.norm_weight"] for trial in found.trials] == [0.0, 2.0, 4.0, 6.0]


def test_whole_numbers_for_a_knob_of_numbers_are_found_as_the_space_writes_them(tmp_path: Path):
    source, choice = earlier(tmp_path / "first"), {"stage2.norm_weight": {"choice": [0, 2, 4]}}
    when = {"stage2.norm_weight": [0, 2]}
    searched = {**choice, "stage1.optimizer.lr": {**SEARCHED["stage1.optimizer.lr"], "when": when}}
    found = gather(spec_of(tmp_path, source, searched=searched), "d1")
    assert [trial["params"] for trial in found.trials] == [
        {"stage2.norm_weight": 0, "stage1.optimizer.lr": 1.0e-3},
        {"stage2.norm_weight": 2, "stage1.optimizer.lr": 1.0e-3},
        {"stage2.norm_weight": 4},
    ]
    whole = {**SEARCHED, "stage2.norm_weight": {"int": [0, 4]}}
    found = gather(spec_of(tmp_path, source, searched=whole), "d1")
    values = [trial["params"]["stage2.norm_weight"] for trial in found.trials]
    assert (values, {type(value) for value in values}) == ([0, 1, 2, 3, 4], {int})


def test_a_name_that_was_fixed_then_has_the_value_it_had(tmp_path: Path):
    searched = {**SEARCHED, "stage1.norm_ordinality.weight": {"log": [1.0e-3, 10.0]}}
    found = gather(spec_of(tmp_path, earlier(tmp_path / "first"), searched=searched), "d1")
    had = sweeping.spec(tmp_path).default_config().stage1.norm_ordinality.weight
    assert {trial["params"]["stage1.norm_ordinality.weight"] for trial in found.trials} == {had}


def test_a_name_of_a_further_phase_has_the_value_it_had(tmp_path: Path):
    fixed = {"stage1.then": [{"epochs": 2, "layers": "head"}]}
    spec, folder = sweeping.spec(tmp_path, fixed, searched=SEARCHED), tmp_path / "phases"
    folder.mkdir()
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    ledger = Ledger.create(Folder(folder), spec=spec.hash, data="d1", method_version=METHOD_VERSION, trials=1)
    params = {"stage2.norm_weight": 1.0, "stage1.optimizer.lr": 1.0e-3}
    ledger.write("ask", trial="0", params=params, attrs={})
    fields = {"state": "COMPLETE", "epoch": 4, "seconds": 2.0, "reason": ""}
    ledger.write("tell", trial="0", metrics={"val/all/mae": 5.0}, **fields)
    searched = {**SEARCHED, "stage1.then.0.epochs": {"int": [1, 3]}}
    present = sweeping.spec(tmp_path, fixed, searched=searched, warm_start=[str(folder)])
    assert gather(present, "d1").trials[0]["params"] == params | {"stage1.then.0.epochs": 2}


def test_what_was_fixed_otherwise_is_named(tmp_path: Path):
    source = earlier(tmp_path / "first")
    changed = sweeping.spec(
        tmp_path, {"stage1.epochs": 7}, searched=SEARCHED, warm_start=[str(source)], seed=3
    )
    had = sweeping.spec(tmp_path).default_config().stage1.epochs
    assert gather(changed, "d1").notes[1:] == [
        f"warm start from first: stage1.epochs was {had} and is 7 here: the results are taken as they are"
    ]


def test_a_name_that_is_not_searched_any_more_is_named_and_left_out(tmp_path: Path):
    only = {"stage2.norm_weight": SEARCHED["stage2.norm_weight"]}
    found = gather(spec_of(tmp_path, earlier(tmp_path / "first"), searched=only), "d1")
    assert found.trials[0]["params"] == {"stage2.norm_weight": 0.0}
    assert found.notes[1] == "warm start from first: stage1.optimizer.lr is not searched here and is left out"


def test_a_parameter_that_no_longer_exists_is_named_and_left_out(tmp_path: Path):
    source = earlier(tmp_path / "first")
    for name in ("spec.yaml", FILE):  # as a dirsweep that called it otherwise wrote it
        text = (source / name).read_text()
        (source / name).write_text(text.replace("stage1.optimizer.lr", "stage1.rate"))
    records = [record | {} for record in _unchecked(source)]
    (source / FILE).unlink()
    place = Folder(source)
    for record in records:
        place.append(FILE, record)
    found = gather(spec_of(tmp_path, source), "d1")
    assert len(found.trials) == 8
    assert found.notes[1] == "warm start from first: stage1.rate is no parameter any more and is left out"


def _unchecked(folder: Path) -> list[dict[str, Any]]:
    """The ledger's records, their checksums unread."""
    return [yaml.safe_load(line[line.index("{") :]) for line in (folder / FILE).read_text().splitlines()]


@pytest.mark.parametrize(
    ("opening", "message"),
    [
        ({"data": "d2"}, "first: begun with data d2, but here it is d1: its errors are not comparable"),
        ({"method_version": -1}, "first: begun with method_version -1"),
    ],
)
def test_a_sweep_on_other_data_or_by_another_method_is_refused(
    tmp_path: Path, opening: dict[str, Any], message: str
):
    with pytest.raises(ValueError, match=message):
        gather(spec_of(tmp_path, earlier(tmp_path / "first", **opening)), "d1")


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="none holds no sweep"):
        gather(spec_of(tmp_path, tmp_path / "none"), "d1")


def test_a_sweep_that_never_reported_an_objective_is_refused(tmp_path: Path):
    spec = spec_of(tmp_path, earlier(tmp_path / "first"), objectives=["val/all/mae", "val/median/mae"])
    with pytest.raises(ValueError, match=r"no trial can be taken \(8 left out: no finite val/median/mae"):
        gather(spec, "d1")


def test_a_sweep_without_a_complete_trial_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no trial can be taken \(it has no complete trial\)"):
        gather(spec_of(tmp_path, earlier(tmp_path / "first", 0)), "d1")


def test_the_sampler_goes_on_where_the_earlier_sweep_was(tmp_path: Path):
    source = earlier(tmp_path / "first", 40, 0.25)
    spec = spec_of(tmp_path, source, sampler={"name": "tpe", "startup": 5})
    search = Search(spec, begin(tmp_path / "new", spec))
    asked = [search.ask() for _ in range(6)]
    assert [number for number, _ in asked] == list(range(6))
    assert sum(abs(params["stage2.norm_weight"] - 3) for _, params in asked) / 6 < 1.5  # by chance 2.9


@pytest.mark.parametrize(
    "sampler",
    [{"name": "tpe", "startup": 5}, {"name": "nsga2", "population": 4}, {"name": "gp", "startup": 4}],
    ids=lambda sampler: sampler["name"],
)
def test_a_warm_sweep_resumed_without_the_earlier_one_asks_what_it_would_have_asked(
    tmp_path: Path, sampler: dict[str, Any]
):
    constraint = {"metric": "val/few/mae", "at_most": 1.0, "of": "default-plain"}
    source = earlier(tmp_path / "first")
    spec = spec_of(tmp_path, source, sampler=sampler, constraints=[constraint])
    for name in ("whole", "cut"):
        ledger = begin(tmp_path / name, spec)
        ledger.write("control", trial="default-plain", of="default", control="plain", params={})
        told = {"state": "COMPLETE", "epoch": 1, "seconds": 1.0, "reason": ""}
        ledger.write("tell", trial="default-plain", metrics={"val/few/mae": 5.0}, **told)
    shutil.rmtree(source)

    def go_on(name: str, number: int) -> list[Any]:
        ledger = Ledger.open(Folder(tmp_path / name))
        search = Search(spec, ledger)
        while search.asked < number:
            trial, params = search.ask()
            mu = params["stage2.norm_weight"]
            metrics = {"val/all/mae": 5.0 + abs(mu - 3), "val/few/mae": 9.0 - mu}
            search.tell(trial, "COMPLETE", metrics, epoch=4, seconds=2.0)
        search.close()
        return [(trial.trial, trial.params, trial.attrs) for trial in trials(ledger.records).values()]

    whole = go_on("whole", 6)
    go_on("cut", 2)
    go_on("cut", 3)
    assert go_on("cut", 6) == whole
    if sampler["name"] == "nsga2":
        assert whole[1][2] == {"NSGAIISampler:generation": 1}  # the earlier trials are the one before


def test_a_warm_start_is_named_relative_to_the_space_file(tmp_path: Path):
    spec = sweeping.spec(tmp_path, warm_start=["../first"])
    (tmp_path / "spaces").mkdir()
    file = tmp_path / "spaces" / "space.yaml"
    file.write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    assert read_spec(file).warm_start == (str(tmp_path / "first"),)


def test_a_bad_warm_start_leaves_no_sweep_behind(tmp_path: Path):
    spec = spec_of(tmp_path, earlier(tmp_path / "first", data="other"))
    with pytest.raises(ValueError, match="begun with data other"):
        sweep.run(spec, tmp_path / "new", tracking=False)
    assert not (tmp_path / "new").exists()


def test_a_warm_start_added_to_a_sweep_that_has_asked_is_refused(tmp_path: Path):
    spec = sweeping.spec(tmp_path)
    source = earlier(tmp_path / "first", data=load(spec.default_config().dataset).hash)
    late = sweeping.spec(tmp_path, searched=SEARCHED, warm_start=[str(tmp_path / "other")])
    (source / "spec.yaml").write_text(yaml.safe_dump(late.model_dump(mode="json", by_alias=True)))
    with pytest.raises(ValueError, match="warm_start was added after the sweep began"):
        sweep.resume(source, tracking=False)


def test_what_is_taken_is_in_the_ledger_and_said_once(tmp_path: Path):
    spec = spec_of(tmp_path, earlier(tmp_path / "first"))
    ledger = Ledger.create(Folder(tmp_path / "new"), spec=spec.hash, trials=9)
    shown: list[sweep.Progress] = []
    start._warm_up(ledger, gather(spec, "d1"), spec, shown.append)
    assert len(Ledger.open(Folder(tmp_path / "new")).records[1]["trials"]) == 8
    assert [(progress.message, progress.done) for progress in shown] == [
        ("warm start from first: 8 trials taken", 0)
    ]


def test_trials_of_earlier_sweeps_count_neither_for_the_budget_nor_for_the_leaderboard(tmp_path: Path):
    spec = spec_of(tmp_path, earlier(tmp_path / "first"), budget={"trials": 9, "trainer_seconds": 10.0})
    book = Book(spec, Folder(tmp_path / "new"), begin(tmp_path / "new", spec), None, logged(USUAL_METRICS))
    assert book.ask(60.0) == "0"
    assert not book.overspent
    book.tell("0", "COMPLETE", metrics={"val/all/mae": 99.0}, epoch=4, seconds=9.0)
    book.close()
    found = trials(Ledger.open(Folder(tmp_path / "new")).records)
    assert [trial.trial for trial in ranked(spec, found)] == ["0"]
    assert progress(Sums().plus(found.values()), 9).trainer_seconds == 9.0
