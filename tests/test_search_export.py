"""A sweep as an Optuna study: what Optuna reads back is what the ledger says."""

import math
import os
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
import sweeping
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from dirsweep.ledger import Ledger
from dirsweep.search.core import Search
from dirsweep.search.export import SHOTS, export
from dirsweep.storage import Folder

MAE, FEW = "val/all/mae", "val/few/mae"


def begun(folder: Path, **fields: Any) -> tuple[Ledger, Search]:
    """A new sweep and its search."""
    spec = sweeping.spec(folder.parent, **(sweeping.conditional(folder.parent) | fields))
    folder.mkdir()
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    ledger = Ledger.create(Folder(folder), spec=spec.hash, trials=9, data="d1")
    return ledger, Search(spec, ledger)


def load(file: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{file}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "studies.db"


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """One objective: trial 0 complete, 1 pruned, 2 failed, 3 open, 4 complete."""
    folder = tmp_path / "mixed-1"
    ledger, search = begun(folder)
    for number in range(5):
        search.ask()
        if number != 2:
            ledger.write("start", trial=str(number), attempt=1)
            for epoch in (1, 2):
                fields = {"epoch": epoch, "of": 4, "stage": "stage1", "seconds": 0.5 * epoch}
                metrics = {MAE: 9.0 - epoch, "val/median/mae": math.nan}
                ledger.write("report", trial=str(number), **fields, metrics=metrics)
    found = {MAE: 4.0, FEW: 8.0, "val/median/mae": math.nan}
    search.tell(0, "COMPLETE", found, epoch=4, seconds=2.0)
    search.tell(1, "PRUNED", {MAE: 7.0}, epoch=2, seconds=1.0, reason="behind at epoch 2")
    search.tell(2, "FAIL", {}, epoch=0, seconds=0.0, reason="no room")
    search.tell(4, "COMPLETE", found | {MAE: 5.0}, epoch=4, seconds=2.0)
    search.close()
    return folder


@pytest.mark.slow
def test_a_real_sweep_is_a_study_with_the_same_trials(finished_sweep: Path, file: Path):
    done = export(finished_sweep, f"sqlite:///{file}")
    study = load(file, "tiny-1")
    assert (done.trials, done.waiting, done.earlier) == (5, 0, 0)
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert study.metric_names == [MAE, FEW]
    records = sweeping.trials(finished_sweep)
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 4]
    for trial in study.trials:
        record = records[str(trial.number)]
        assert trial.state == TrialState.COMPLETE
        assert trial.values == [record.metrics[MAE], record.metrics[FEW]]
        assert trial.params == record.params
        assert trial.user_attrs["seconds"] == record.metrics["seconds"]
        names = ["seconds", "fit/r2", *(f"val/{shot}/{one}" for shot in SHOTS for one in ("mae", "gm"))]
        assert trial.user_attrs == {name: record.metrics[name] for name in names}
        assert trial.datetime_start < trial.datetime_complete
    assert {trial.number for trial in study.best_trials} == pareto_numbers(records)


def pareto_numbers(records: dict[str, Any]) -> set[int]:
    """Numbers of the asked trials that no other beats in both objectives."""
    values = {name: (r.metrics[MAE], r.metrics[FEW]) for name, r in records.items() if r.kind == "ask"}
    beaten = {
        name
        for name, (a, b) in values.items()
        if any(c <= a and d <= b and (c, d) != (a, b) for c, d in values.values())
    }
    return {int(name) for name in values.keys() - beaten}


@pytest.mark.slow
def test_controls_and_repeats_are_attributes_of_the_study(finished_sweep: Path, file: Path):
    export(finished_sweep, f"sqlite:///{file}")
    about = load(file, "tiny-1").user_attrs
    records = sweeping.trials(finished_sweep)
    others = {name: record for name, record in records.items() if record.kind == "control"}
    assert len(others) == 5
    assert about["question"] == "How strong should the norm term be?"
    for name, record in others.items():
        assert about[name]["metrics"][FEW] == record.metrics[FEW]
        assert (about[name]["of"], about[name]["control"]) == (record.of, record.control)


def test_states_values_epochs_and_reasons_are_the_ledgers(mixed: Path, file: Path):
    done = export(mixed, f"sqlite:///{file}")
    assert (done.study, done.trials, done.waiting) == ("mixed-1", 5, 1)
    trials = load(file, "mixed-1").trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "FAIL", "WAITING", "COMPLETE"]
    assert [trial.values for trial in trials] == [[4.0], None, None, None, [5.0]]
    epochs = {1: 8.0, 2: 7.0}
    assert [trial.intermediate_values for trial in trials] == [epochs, epochs, {}, epochs, epochs]
    assert [trial.user_attrs.get("reason") for trial in trials] == [
        *(None, "behind at epoch 2", "no room", None, None)
    ]
    assert trials[0].user_attrs == {"seconds": 2.0, MAE: 4.0, FEW: 8.0}  # no NaN, which is no JSON
    records = sweeping.trials(mixed)
    assert [trial.params for trial in trials] == [records[str(number)].params for number in range(5)]
    assert trials[3].system_attrs["fixed_params"] == trials[3].params  # where the dashboard looks


def test_times_are_those_of_the_ledger(mixed: Path, file: Path):
    export(mixed, f"sqlite:///{file}")
    trials = load(file, "mixed-1").trials
    written = {(one["kind"], one.get("trial")): one["time"] for one in sweeping.records(mixed)}
    assert trials[0].datetime_start == datetime.fromtimestamp(written["start", "0"])
    assert trials[0].datetime_complete == datetime.fromtimestamp(written["tell", "0"])
    assert trials[2].datetime_start == datetime.fromtimestamp(written["tell", "2"])  # it was never started
    assert (trials[3].datetime_start, trials[3].datetime_complete) == (None, None)


def test_distributions_are_the_spaces_and_conditional_ones_are_there_where_they_apply(
    mixed: Path, file: Path
):
    export(mixed, f"sqlite:///{file}")
    asked = set()
    for trial in load(file, "mixed-1").trials:
        space = dict(trial.distributions)
        asked.add(space.pop("stage1.norm_ordinality.tau", None) is not None)
        assert ("stage1.norm_ordinality.tau" in trial.params) == (
            trial.params["stage1.norm_ordinality.name"] == "kl"
        )
        assert space == {
            "stage1.norm_ordinality.name": CategoricalDistribution(["kl", "hinge"]),
            "stage2.norm_weight": FloatDistribution(0.5, 2.0, step=0.5),
            "stage2.schedule.epochs": IntDistribution(1, 3),
        }
    assert asked == {True, False}


def test_choices_that_optuna_would_mix_up_stay_text(tmp_path: Path, file: Path):
    fields = sweeping.conditional(tmp_path)
    fields["fixed"]["stage1"]["decay"] = {"name": "step"}
    fields["searched"]["stage1.decay.at"] = {"choice": [[0.5], [0.5, 0.9]]}
    _, search = begun(tmp_path / "lists", **fields)
    _, params = search.ask()
    search.close()
    export(tmp_path / "lists", f"sqlite:///{file}")
    [trial] = load(file, "lists").trials
    assert trial.params["stage1.decay.at"] == str(params["stage1.decay.at"])
    assert trial.distributions["stage1.decay.at"] == CategoricalDistribution(["[0.5]", "[0.5, 0.9]"])


def test_constraints_are_those_that_optuna_counts(tmp_path: Path, file: Path):
    bound = {"metric": "val/many/mae", "at_most": 1.5, "of": "default-plain"}
    ledger, search = begun(tmp_path / "s", constraints=[bound])
    ledger.write("control", trial="default-plain", of="default", control="plain", params={})
    fields = {"state": "COMPLETE", "epoch": 4, "seconds": 2.0, "reason": ""}
    ledger.write("tell", trial="default-plain", metrics={MAE: 4.0, "val/many/mae": 2.0}, **fields)
    for number, many in enumerate((2.5, 3.5)):  # at most 1.5 * 2
        search.ask()
        search.tell(number, "COMPLETE", {MAE: 4.0 - number, "val/many/mae": many}, epoch=4, seconds=2.0)
    search.close()
    export(tmp_path / "s", f"sqlite:///{file}")
    study = load(file, "s")
    assert [list(trial.constraints.values()) for trial in study.trials] == [[-0.5], [0.5]]
    assert study.user_attrs["constraints"] == [bound]
    assert study.best_trial.number == 0  # 1 is better, and over the constraint


def test_trials_of_earlier_sweeps_come_after_the_sweeps_own(tmp_path: Path, file: Path):
    folder = tmp_path / "warm-1"
    spec = sweeping.spec(tmp_path, warm_start=[str(tmp_path / "mixed-1")])
    folder.mkdir()
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    ledger = Ledger.create(Folder(folder), spec=spec.hash, trials=9)
    params = {"stage2.norm_weight": 1.0, "stage1.optimizer.lr": 0.001}
    taken = {"from": "mixed-1/4", "params": params, "metrics": {MAE: 5.0}}
    ledger.write("warm", trials=[taken], notes=[])
    search = Search(spec, ledger)
    search.ask()
    search.tell(0, "COMPLETE", {MAE: 6.0}, epoch=4, seconds=2.0)
    search.close()
    done = export(folder, f"sqlite:///{file}")
    assert (done.trials, done.earlier) == (1, 1)
    own, earlier = load(file, "warm-1").trials
    assert (own.value, own.params) == (6.0, sweeping.trials(folder)["0"].params)
    assert (earlier.value, earlier.params, earlier.user_attrs["from"]) == (5.0, params, "mixed-1/4")


def test_the_base_of_a_staged_sweep_tells_what_was_not_searched(tmp_path: Path, file: Path):
    _, search = begun(tmp_path / "staged", mode="staged")
    search.ask()
    search.close()
    export(tmp_path / "staged", f"sqlite:///{file}")
    [trial] = load(file, "staged").trials
    assert "stage1.norm_ordinality.name" not in trial.params
    assert trial.user_attrs["stage1.norm_ordinality.name"] == "none"


def test_a_sweep_in_which_nothing_was_asked_is_an_empty_study(tmp_path: Path, file: Path):
    _, search = begun(tmp_path / "new")
    search.close()
    assert export(tmp_path / "new", f"sqlite:///{file}").trials == 0
    assert load(file, "new").trials == []


def test_several_sweeps_share_a_file_and_none_is_written_twice(mixed: Path, tmp_path: Path, file: Path):
    _, search = begun(tmp_path / "new")
    search.close()
    export(mixed, f"sqlite:///{file}")
    export(tmp_path / "new", f"sqlite:///{file}")
    assert optuna.get_all_study_names(f"sqlite:///{file}") == ["mixed-1", "new"]
    with pytest.raises(ValueError, match=r"studies.db: has a study mixed-1 already; name another file"):
        export(mixed, f"sqlite:///{file}")
    assert len(load(file, "mixed-1").trials) == 5


def test_a_file_of_something_else_is_refused_and_left_as_it_is(mixed: Path, file: Path):
    file.write_text("these are not the studies you look for")
    with pytest.raises(ValueError, match=r"studies.db: is there already and is no database of Optuna's"):
        export(mixed, f"sqlite:///{file}")
    assert file.read_text() == "these are not the studies you look for"
    file.unlink()
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("CREATE TABLE runs (id)")
    connection.close()
    with pytest.raises(ValueError, match=r"no database of Optuna's \(it has tables runs\)"):
        export(mixed, f"sqlite:///{file}")


@pytest.mark.parametrize("uri", ["studies.db", "sqlite:///", "postgresql://host/x", "sqlite://studies.db"])
def test_other_places_than_an_sqlite_file_are_refused(mixed: Path, uri: str):
    with pytest.raises(ValueError, match="no sqlite file; write sqlite:///FILE"):
        export(mixed, uri)


@pytest.mark.parametrize("name", [":memory:", "studies.db?timeout=5", "a%20b.db"])
def test_a_name_that_sqlalchemy_reads_as_another_is_refused(mixed: Path, name: str):
    with pytest.raises(ValueError, match=r"name a file, without \? or % in its path"):
        export(mixed, f"sqlite:///{name}")


def test_a_folder_that_is_not_there_is_refused(mixed: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"cannot write in .*nowhere"):
        export(mixed, f"sqlite:///{tmp_path}/nowhere/studies.db")
    with pytest.raises(ValueError, match="holds no sweep"):
        export(tmp_path, f"sqlite:///{tmp_path}/studies.db")
    assert not os.path.exists(tmp_path / "studies.db")
