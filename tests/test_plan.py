"""What a sweep would take: arithmetic by hand, then a real plan and the sweep that it was made for."""

import math
import os
import shutil
import signal
from pathlib import Path

import pytest
import sweeping
import yaml

from dirsweep import plan, sweep
from dirsweep.checkpoint import Store
from dirsweep.cli import main
from dirsweep.data import load as load_data
from dirsweep.ledger import Ledger
from dirsweep.plan.pace import Job, Pace, paces
from dirsweep.plan.page import size
from dirsweep.plan.parents import parents
from dirsweep.plan.reckon import HANDED_SECONDS, RAY_SECONDS, reckon
from dirsweep.plan.sample import first_asked
from dirsweep.report import forecast, load
from dirsweep.search.model import SweepSpec
from dirsweep.search.spec import parse_spec
from dirsweep.storage import Folder
from dirsweep.sweep import Resources, provenance

ONE = {"searched": {"stage2.norm_weight": {"log": [0.01, 10.0]}}}


def reckoned(spec: SweepSpec, paces: list[Pace], workers: int = 2) -> plan.Plan:
    return reckon(spec, load_data(spec.default_config().dataset), paces, workers)


def pace(trial: int, stage1: float, stage2: float, **fields) -> Pace:
    return Pace(trial, {"stage2.norm_weight": 1.0}, stage1, stage2, **{"weights": 100, "memory": 7} | fields)


def test_a_joint_sweep_pays_both_stages_for_every_trial_and_for_the_controls(tmp_path):
    found = reckoned(sweeping.spec(tmp_path), [pace(0, 3.0, 1.0), pace(1, 3.0, 1.0)])
    assert found.parents == (4, 4, 4)
    # plain of the winner equals that of the default; the winner's mu0 finds its stage 1 in the store
    assert found.controls == 3
    assert found.seconds == (4 * 4.0 + 3 + (3 + 1) + 1,) * 3
    # by the clock two rounds of trials, one of the default's controls (mu0 the longer), one of the winner's
    assert found.wall[1] == pytest.approx(2 * 4.0 + 4 + 1 + (2 + 2) * HANDED_SECONDS + RAY_SECONDS)
    assert found.memory == 14


def test_a_joint_sweep_that_searches_stage_2_alone_pays_one_stage_1_for_all_trials(tmp_path):
    found = reckoned(sweeping.spec(tmp_path, **ONE), [pace(0, 3.0, 1.0), pace(1, 3.0, 1.0)])
    assert found.parents == (1, 1, 1)
    # plain pays its own stage 1; the default's mu0 has that of the trials
    assert found.seconds[1] == 3 + 4 * 1.0 + 3 + 1 + 1
    assert "stage 1s that trials share are trained once" in found.assumptions


def test_a_joint_sweep_over_few_stage_1s_may_draw_one_of_them_or_all(tmp_path):
    searched = {"stage1.epochs": {"int": [1, 2]}, "stage2.norm_weight": {"log": [0.01, 10.0]}}
    spec = sweeping.spec(tmp_path, searched=searched, budget={"trials": 3})
    found = reckoned(spec, [pace(0, 3.0, 1.0)])
    assert found.parents == (1, 2 * (1 - 1 / 8), 2)  # three draws of two: alike in one case of four


def test_a_staged_sweep_pays_each_stage_1_once(tmp_path):
    mode = {"name": "staged_simple", "parents": 2, "best": 1}
    found = reckoned(sweeping.spec(tmp_path, mode=mode), [pace(0, 3.0, 1.0), pace(1, 3.0, 1.0)])
    assert found.parents == (2, 2, 2)
    # the base parent goes on from the default's plain, or the other way round
    assert found.seconds[1] == 2 * 3.0 + 4 * 1.0 + (3 + 1) + 1


def test_an_adaptive_sweep_may_train_any_number_between_its_floors(tmp_path):
    spec = sweeping.spec(tmp_path, mode={"name": "staged", "new_parents": 0.1}, budget={"trials": 11})
    found = reckoned(spec, [pace(0, 3.0, 1.0)])
    assert found.parents == pytest.approx((2.0, 1 + 10 * math.sqrt(0.09), 10.0))
    assert found.seconds[0] < found.seconds[1] < found.seconds[2]


FIXED = {"dataset": "diamonds"}
DISCRETE = {
    "stage1.norm_ordinality.name": {"choice": ["none", "kl", "hinge"]},
    "stage1.norm_ordinality.tau": {
        "uniform": [0.1, 0.3],
        "step": 0.1,
        "when": {"stage1.norm_ordinality.name": "kl"},
    },
    "stage2.norm_weight": {"log": [0.01, 10.0]},
}


def test_a_staged_sweep_has_no_more_parents_than_its_space_has_stage_1s(tmp_path):
    simple = sweeping.spec(
        tmp_path, fixed=FIXED, searched=DISCRETE, mode={"name": "staged_simple", "parents": 8}
    )
    # the base, which a draw of "none" brings again, kl with one of three tau, and hinge
    assert parents(simple, 24) == (2, pytest.approx(1 + 3 * (1 - (8 / 9) ** 7) + 1 - (2 / 3) ** 7), 5)
    adaptive = sweeping.spec(tmp_path, fixed=FIXED, searched=DISCRETE, mode="staged")
    assert parents(adaptive, 100)[2] == 5


def test_a_condition_leaves_fewer_stage_1s_than_values_multiply_to(tmp_path):
    assert parents(sweeping.spec(tmp_path, fixed=FIXED, searched=DISCRETE), 1000)[2] == 5
    scale = {
        **DISCRETE,
        "stage1.norm_ordinality.tau": {"log": [0.1, 1.0], "when": {"stage1.norm_ordinality.name": "kl"}},
    }
    low, middle, high = parents(
        sweeping.spec(tmp_path, fixed=FIXED, searched=scale), 9
    )  # a third are kl, each with its tau
    assert (low, high) == (1, 9)
    assert middle == pytest.approx(3 + 2 * (1 - (2 / 3) ** 9))


def test_more_workers_than_trials_save_no_time(tmp_path):
    spec = sweeping.spec(tmp_path, budget={"trials": 5})
    few, many, most = (reckoned(spec, [pace(0, 3.0, 1.0)], workers) for workers in (4, 7, 64))
    assert few.wall[1] - many.wall[1] == pytest.approx(4.0 + HANDED_SECONDS)  # a second round for the fifth
    assert many.wall == most.wall
    assert (many.workers, most.workers, most.memory) == (7, 7, 7 * 7)  # the default's controls run beside


def test_minutes_are_over_by_the_clock_however_many_workers_idle(tmp_path):
    short = sweeping.spec(tmp_path, budget={"trials": 4, "minutes": 0.05})  # 3 s of the 4 that a trial takes
    found = reckoned(short, [pace(0, 3.0, 1.0)], 64)
    assert found.seconds[1] == pytest.approx(4 * 4.0 * 3 / 4 + 8)


def test_workers_that_are_busy_until_the_minutes_are_over_train_as_long_whatever_trials_are_left(tmp_path):
    def seconds(trials: int) -> float:
        spec = sweeping.spec(tmp_path, budget={"trials": trials, "minutes": 1})
        return reckoned(spec, [pace(0, 45.0, 15.0)], 4).seconds[1]

    assert [seconds(trials) for trials in (5, 6, 9, 13)] == [seconds(4)] * 4


def test_a_space_of_endless_stage_1s_is_not_written_out(tmp_path):
    wide = {"encoder.width": {"int": [8, 10**12]}, "stage1.batch_size": {"int": [16, 2048]}}
    assert parents(sweeping.spec(tmp_path, searched=wide), 5) == (5, 5, 5)


def test_a_scheduler_of_a_staged_sweep_saves_nothing_of_stage_1(tmp_path):
    asha = {"name": "asha", "metric": "val/all/mae", "rungs": [0.5], "reduction": 2}
    mode = {"name": "staged_simple", "parents": 2, "best": 1}
    found = reckoned(sweeping.spec(tmp_path, scheduler=asha, mode=mode), [pace(0, 3.0, 1.0)])
    assert found.seconds == (2 * 3 + 4 * 0.75 + 5, 2 * 3 + 4 * 0.875 + 5, 2 * 3 + 4 + 5)


def test_a_forecast_for_several_processes_says_that_one_was_timed(tmp_path):
    alone, together = (
        reckoned(sweeping.spec(tmp_path, {"processes": processes}), [pace(0, 3.0, 1.0)]).assumptions
        for processes in (1, 2)
    )
    assert not any("processes" in said for said in alone)
    (said,) = (said for said in together if said not in alone)
    assert said.startswith("the 2 processes of a trial take as long together, and as much memory, as the one")
    assert said.endswith("for Ray Train to start them, perhaps half a minute a trial, is not counted")


def test_trials_that_are_refused_cost_nothing(tmp_path):
    refused = Pace(1, {"stage2.norm_weight": 1.0}, refused="no")
    found = reckoned(sweeping.spec(tmp_path), [pace(0, 3.0, 1.0), refused])
    assert found.seconds[1] == 2 * 4.0 + 8


def test_trials_at_once_are_limited_by_gpus_and_need_one(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(16)))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    asked = [Resources(gpus_per_trial=gpus) for gpus in (0.0, 0.3, 0.6, 1.0, 2.0)]
    assert [sweep.at_once(one) for one in asked] == [16, 6, 2, 2, 1]  # of 0.6 no two share a GPU
    assert sweep.at_once(Resources(workers=1, gpus_per_trial=1.0)) == 1
    with pytest.raises(ValueError, match="asks for 1 CPUs and 3 GPUs on one machine, but there are 16 CPUs"):
        sweep.at_once(Resources(gpus_per_trial=3.0))


def test_the_range_is_that_of_the_timed_configurations_at_most(tmp_path):
    found = reckoned(sweeping.spec(tmp_path), [pace(0, 2.0, 0.0), pace(1, 4.0, 0.0)])
    low, middle, high = found.seconds
    assert middle == 4 * 3.0 + 3 + 3 + 0
    assert (middle - low, high - middle) == pytest.approx((4.0, 4.0))  # two draws say little: 2 to 4 each


def test_what_the_store_holds_is_not_paid_again(tmp_path):
    paces = [pace(0, 3.0, 1.0, stored=1.0), pace(1, 3.0, 1.0, stored=1.0)]
    found = reckoned(sweeping.spec(tmp_path), paces)
    assert found.seconds[1] == 4 * 1.0 + 3 + (3 + 1) + 1
    assert any("the store holds" in said for said in found.assumptions)


def test_pruning_lowers_the_low_end_and_a_budget_of_seconds_cuts(tmp_path):
    asha = {"name": "asha", "metric": "val/all/mae", "rungs": [0.5], "reduction": 2}
    paces = [pace(0, 3.0, 1.0), pace(1, 3.0, 1.0)]
    low, middle, high = reckoned(sweeping.spec(tmp_path, scheduler=asha), paces).seconds
    assert (low, middle, high) == (16 * 0.75 + 8, 16 * 0.875 + 8, 16 + 8)
    short = reckoned(sweeping.spec(tmp_path, budget={"trials": 4, "trainer_seconds": 10}), paces)
    assert short.seconds == (18, 18, 18)
    assert any("end the sweep before" in said for said in short.assumptions)


def test_bytes_are_written_for_people():
    assert (size(999), size(33_300_000), size(1.8e9)) == ("999 B", "33.3 MB", "1.80 GB")


def test_a_forecast_is_found_by_all_that_decides_the_costs_if_it_came_before_the_sweep(tmp_path):
    spec, two = sweeping.spec(tmp_path), Resources(workers=2).facts
    others = [
        (sweeping.spec(tmp_path, budget={"trials": 5}), "d", two),
        (sweeping.spec(tmp_path, budget={"trials": 4, "minutes": 1}), "d", two),
        (sweeping.spec(tmp_path, repeats=2), "d", two),
        (sweeping.spec(tmp_path, seed=3), "d", two),
        (spec, "e", two),
        (spec, "d", Resources(workers=1).facts),
        (spec, "d", Resources(workers=2, cpus_per_trial=2).facts),
    ]
    told = [(10, 1, (spec, "d", two)), (20, 2, (spec, "d", two)), (30, 9, (spec, "d", two))]
    for middle, time, of in [*told, *((40, 2, other) for other in others)]:
        forecast.keep(Folder(tmp_path), forecast.Forecast(forecast.deciding(*of), time, 1.0, middle, 99.0))
    Folder(tmp_path).append(
        forecast.FILE, {"spec": spec.hash, "trials": 4, "time": 2}
    )  # as an older one wrote
    opening = {"data": "d", "resources": two, "time": 3}
    assert forecast.found(Folder(tmp_path / "sweep"), spec, opening).middle == 20
    reusing = {**opening, "resources": Resources(workers=2, reuse_actors=True).facts}
    assert forecast.found(Folder(tmp_path / "sweep"), spec, reusing).middle == 20
    assert forecast.found(Folder(tmp_path / "sweep"), spec, {**opening, "data": "f"}) is None
    said = forecast.in_words(forecast.found(Folder(tmp_path / "sweep"), spec, opening), 25.0)
    assert (
        said
        == "`dirsweep plan` foretold 20 s of training (1 s to 1 min 39 s); it took 25 s; 1.25 times as much."
    )


def test_a_sweep_is_held_against_its_forecast_once_it_has_come_to_its_end(tmp_path):
    folder, spec, resources = (
        tmp_path / "sweep",
        sweeping.spec(tmp_path, warm_start=["/a"]),
        Resources(workers=2),
    )
    dataset = load_data(spec.default_config().dataset)
    of = forecast.deciding(spec, dataset.hash, resources.facts)
    forecast.keep(Folder(tmp_path), forecast.Forecast(of, 0.0, 1.0, 2.0, 3.0))
    folder.mkdir()
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    ledger = Ledger.create(Folder(folder), **provenance.opening(spec, dataset, resources))
    for why in ("stopped", "trainer-seconds"):
        assert load(folder).forecast is None
        ledger.write("end", why=why)
    assert load(folder).forecast.middle == 2.0


def test_repeats_are_counted_with_both_stages(tmp_path):
    spec = sweeping.spec(tmp_path, repeats={"seeds": 3, "top": 2})
    found = reckoned(spec, [pace(0, 3.0, 1.0), pace(1, 3.0, 1.0)])
    assert (found.controls, found.repeats) == (3, 4)
    assert found.seconds[1] == 4 * 4.0 + 8 + 4 * 4.0


def test_resources_that_a_sweep_is_refused_are_refused_a_plan(tmp_path):
    spec = sweeping.spec(tmp_path, {"processes": 2})
    with pytest.raises(ValueError, match="a trial of 2 processes is given 1 CPUs and 0 GPUs"):
        plan.make(spec, Folder(tmp_path / "sweeps"), Resources())
    assert not (tmp_path / "sweeps").exists()


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> tuple[Path, str, plan.Plan, SweepSpec]:
    """A plan, then the sweep."""
    folder = tmp_path_factory.mktemp("plan")
    spec = sweeping.spec(folder, budget={"trials": 6}, sampler={"name": "tpe", "startup": 6})
    made = plan.make(spec, Folder(folder), Resources(workers=2))
    left = sorted(file.name for file in folder.iterdir())
    sweep.run(spec, folder / "sweep", resources=Resources(workers=2), tracking=False)
    return folder, ",".join(left), made, spec


@pytest.mark.slow
def test_a_plan_leaves_its_forecast_and_nothing_else(planned):
    assert planned[1] == "plans.jsonl,tiny.csv"


@pytest.mark.slow
def test_the_configurations_are_those_that_the_sweep_asks_first(planned):
    folder, _, made, _ = planned
    asked = {trial.trial: trial.params for trial in sweeping.trials(folder / "sweep").values()}
    assert [pace.trial for pace in made.paces] == [0, 1, 2, 3, 4]
    assert all(asked[str(pace.trial)] == pace.params for pace in made.paces)


@pytest.mark.slow
def test_the_counts_are_those_of_the_sweep(planned):
    folder, _, made, _ = planned
    trials = sweeping.trials(folder / "sweep").values()
    ran = [trial for trial in trials if trial.kind == "control" and trial.seconds > 0]
    assert (made.trials, made.controls) == (6, len(ran))


@pytest.mark.slow
def test_every_stage_was_timed_and_the_weights_counted(planned):
    made = planned[2]
    assert all(pace.stage1 > 0 and pace.stage2 > 0 for pace in made.paces)
    assert {pace.stored for pace in made.paces} == {0.0}
    model = planned[0] / "sweep" / "trials" / "0" / "model.safetensors"
    assert 0 < made.paces[0].weights <= model.stat().st_size
    assert made.paces[0].memory > 10**7


@pytest.mark.slow
def test_a_timing_process_that_is_killed_ends_the_plan(tmp_path, monkeypatch):
    monkeypatch.setattr("dirsweep.plan.pace.timed", killed)
    spec = sweeping.spec(tmp_path)
    with pytest.raises(ValueError, match="was killed, 1 at once; if memory ran out, ask for fewer --workers"):
        paces({0: {}}, spec.config, Store(Folder(tmp_path)), 1)


def killed(job: Job) -> Pace:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.slow
def test_the_report_sets_the_forecast_beside_what_the_sweep_took(planned, capsys):
    folder, _, made, _ = planned
    assert load(folder / "sweep").forecast.middle == made.seconds[1]
    with pytest.raises(SystemExit):
        main(["report", str(folder / "sweep")])
    assert "`dirsweep plan` foretold " in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_a_plan_after_the_sweep_finds_its_stage_1s_in_the_store(planned, capsys):
    folder, _, made, spec = planned
    (folder / "again.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    with pytest.raises(SystemExit):
        main(["plan", str(folder / "again.yaml"), "--storage", str(folder), "--workers", "2"])
    said = capsys.readouterr().out
    assert said.startswith("6 trials and ")
    assert "100%" in said
    lines = (folder / "plans.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert load(folder / "sweep").forecast.middle == made.seconds[1]  # the later one is not of this sweep


@pytest.mark.slow
def test_a_sweep_that_was_given_more_trials_is_not_held_against_its_plan(planned, tmp_path):
    copy = tmp_path / "sweep"
    shutil.copytree(planned[0] / "sweep", copy)
    shutil.copy(planned[0] / "plans.jsonl", tmp_path)
    assert load(copy).forecast is not None
    Ledger.open(Folder(copy)).write("budget", trials=2)
    assert load(copy).forecast is None


def test_a_constraint_relative_to_a_control_hinders_no_plan(tmp_path):
    limit = [{"metric": "val/many/mae", "at_most": 1.05, "of": "default-plain"}]
    spec = sweeping.spec(tmp_path, constraints=limit)
    free = parse_spec({**spec.model_dump(mode="json", by_alias=True), "constraints": []}, "spec")
    dataset = load_data(spec.default_config().dataset)
    assert first_asked(spec, dataset) == first_asked(free, dataset)


@pytest.mark.slow
def test_a_configuration_that_is_refused_is_named_and_costs_nothing(tmp_path):
    spec = sweeping.spec(tmp_path, searched={"stage2.majority_threshold": {"choice": [20, 30]}})
    asked = {place: {"stage2.majority_threshold": theta} for place, theta in enumerate((20, 100_000))}
    store = Store(Folder(tmp_path / "store"))
    good, bad = paces(asked, spec.config, store, 1)
    assert good.refused == ""
    assert "fewer than two majority bins" in bad.refused
    made = reckoned(spec, [good, bad])
    assert plan.refusals(made) == [f"trial 1 cannot be trained: {bad.refused}"]
    assert any("1 of the 2 cannot be trained, and cost nothing; so it is" in one for one in made.assumptions)
    with pytest.raises(ValueError, match="none of the first 1 configurations can be trained: trial 1"):
        paces({1: asked[1]}, spec.config, store, 1)


def test_a_bad_space_has_status_2(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("question: q\nsearched: {}\n")
    with pytest.raises(SystemExit) as ended:
        main(["plan", "bad.yaml"])
    assert ended.value.code == 2
    assert "bad.yaml" in capsys.readouterr().err
