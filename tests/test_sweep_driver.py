"""What the driver decides, without Ray: the test stands where Tune does."""

import math
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import sweeping

from dirsweep.config import USUAL_METRICS
from dirsweep.ledger import Ledger
from dirsweep.search.model import SweepSpec
from dirsweep.storage import Folder
from dirsweep.sweep import stopping
from dirsweep.sweep.book import Book
from dirsweep.sweep.controls import Control
from dirsweep.sweep.driver import Driver
from dirsweep.sweep.median import Median
from dirsweep.sweep.progress import Progress, Sums, logged, progress
from dirsweep.sweep.pruning import Rule
from dirsweep.sweep.rungs import Rungs
from dirsweep.trainable import ALIVE, REFUSED, Assignment

MAE = "val/all/mae"


class Bench:
    """A driver on a sweep in `folder`; made again, it is the driver that resumes."""

    def __init__(self, folder: Path, spec: SweepSpec, rule: Rule | None = None) -> None:
        self.shown: list[Progress] = []
        place = Folder(folder)
        ledger = (
            Ledger.open(place)
            if place.exists("ledger.jsonl")
            else Ledger.create(place, spec=spec.hash, data="d", trials=spec.budget.trials)
        )
        self.book = Book(spec, Folder(folder), ledger, None, logged(USUAL_METRICS))
        self.taken_over = Event()
        self.driver = Driver(self.book, rule, 2, self.shown.append, self.taken_over)

    def take(self) -> Assignment:
        """The next trial, taken up by a worker; the sampler may take longer over it than a driver waits."""
        found: list[Assignment] = []

        def is_there() -> bool:
            assignment = self.driver.next()
            found.extend([assignment] if assignment else [])
            return bool(found)

        sweeping.wait_for(is_there, "a trial")
        self.driver.started(found[0]["key"])
        return found[0]

    def report(self, key: str, epoch: int, mae: float, of: int = 4) -> bool:
        numbers = {"epoch": epoch, "of": of, "fraction": epoch / of, "stage": "stage1", "seconds": 0.5}
        return self.driver.reported(key, {**numbers, "metrics": {MAE: mae}})

    def finish(self, key: str, mae: float, state: str = "COMPLETE", reason: str = "") -> None:
        metrics = {"epoch": 4, "seconds": 1.5, MAE: mae}
        assert self.driver.reported(
            key, {"final": True, "state": state, "reason": reason, "metrics": metrics}
        )

    def run_controls(self) -> None:
        for key in ("default-plain", "default-mu0"):
            assert self.take()["key"] == key
            self.finish(key, 9.0)

    def run_last_controls(self, of: str) -> None:
        for key in (f"{of}-plain", f"{of}-mu0"):
            assert self.take()["key"] == key
            self.finish(key, 9.0)
        assert self.driver.next() is None
        assert self.driver.over

    def states(self) -> dict[str, str]:
        """States in the ledger."""
        self.book.settle(wait=True)
        return {key: trial.state for key, trial in sweeping.trials(self.book.folder).items()}


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    return sweeping.spec(tmp_path, budget={"trials": 2})


@pytest.fixture
def bench(tmp_path: Path, spec: SweepSpec) -> Bench:
    return Bench(tmp_path / "sweep", spec)


def test_controls_trials_and_the_best_trials_controls_come_in_this_order(bench: Bench):
    bench.run_controls()
    for key, mae in (("0", 8.0), ("1", 7.0)):
        assert bench.take()["key"] == key
        bench.finish(key, mae)
    assert bench.take()["key"] == "1-plain"
    assert bench.take()["key"] == "1-mu0"
    assert bench.driver.next() is None
    assert not bench.driver.over
    for key in ("1-plain", "1-mu0"):
        bench.finish(key, 9.0)
    assert bench.driver.next() is None
    assert bench.driver.over
    assert bench.driver.why == "finished"


def test_a_driver_that_died_just_before_it_wrote_the_end_is_resumed_to_that_end(
    bench: Bench, spec: SweepSpec, tmp_path: Path
):
    bench.run_controls()
    for key, mae in (("0", 8.0), ("1", 7.0)):
        assert bench.take()["key"] == key
        bench.finish(key, mae)
    bench.run_last_controls("1")
    again = Bench(tmp_path / "sweep", spec)
    assert again.driver.next() is None
    assert (again.driver.over, again.driver.why) == (True, "finished")


def test_a_driver_from_which_another_took_the_sweep_over_gives_up_at_its_next_step(bench: Bench):
    bench.take()
    bench.driver.step()
    assert not bench.driver.gives_up
    bench.taken_over.set()
    bench.driver.step()
    assert bench.driver.gives_up
    assert "another driver took this sweep over" in str(bench.driver.failure)
    assert bench.driver.next() is None


def test_a_control_of_a_configuration_that_was_run_takes_its_numbers(tmp_path: Path):
    only_mu = {"stage2.norm_weight": {"log": [0.01, 10.0]}}
    bench = Bench(tmp_path / "sweep", sweeping.spec(tmp_path, searched=only_mu, budget={"trials": 1}))
    bench.run_controls()
    bench.take()
    bench.finish("0", 8.0)
    assert bench.driver.next() is None
    assert bench.driver.over
    twin = bench.book.records["0-plain"]
    assert (twin.state, twin.attempts, twin.seconds) == ("COMPLETE", 0, 0.0)
    assert twin.metrics["val/all/mae"] == 9.0
    assert twin.reason == "same configuration as default-plain"


def test_a_control_whose_driver_died_before_it_took_its_twins_numbers_takes_them_at_resume(tmp_path: Path):
    only_mu = {"stage2.norm_weight": {"log": [0.01, 10.0]}}
    spec = sweeping.spec(tmp_path, searched=only_mu, budget={"trials": 1})
    bench = Bench(tmp_path / "sweep", spec)
    bench.run_controls()
    bench.take()
    bench.finish("0", 8.0)
    bench.book.close()
    bench.book.add_control(Control("0", "plain", bench.book.records["0"].params))
    resumed = Bench(tmp_path / "sweep", spec)
    resumed.book.settle(wait=True)
    twin = resumed.book.records["0-plain"]
    assert (twin.state, twin.attempts, twin.reason) == ("COMPLETE", 0, "same configuration as default-plain")


def test_a_trial_that_is_pruned_keeps_no_checkpoint_though_its_driver_dies_as_it_is_told(
    tmp_path: Path, spec: SweepSpec
):
    bench = Bench(tmp_path / "sweep", spec, Rungs("val/all/mae", (0.25,), 2))
    bench.run_controls()
    for key, mae in (("0", 8.0), ("1", 9.0)):
        bench.take()
        bench.book.trial_folder(key).put("checkpoints/half-trained", b"")
        bench.report(key, 1, mae)
    bench.book._search.close()  # the tell is written, and not taken in
    assert sweeping.trials(tmp_path / "sweep")["1"].state == "PRUNED"
    left = {key: bench.book.trial_folder(key).list("checkpoints") for key in ("0", "1")}
    assert left == {"0": ["checkpoints/half-trained"], "1": []}


def test_two_controls_of_one_configuration_are_run_once(tmp_path: Path):
    config = {"stage1.norm_ordinality.name": "none", "stage2": None}
    searched = {"stage1.optimizer.lr": {"log": [1.0e-4, 1.0e-2]}}
    bench = Bench(
        tmp_path / "sweep", sweeping.spec(tmp_path, config, searched=searched, budget={"trials": 1})
    )
    assert bench.take()["key"] == "default-plain"
    assert bench.take()["key"] == "0"
    bench.finish("default-plain", 9.0)
    bench.finish("0", 8.0)
    assert bench.driver.next() is None
    assert bench.states() == dict.fromkeys(
        ("default-plain", "0", "default-mu0", "0-plain", "0-mu0"), "COMPLETE"
    )


def test_a_trial_waits_for_each_free_worker_to_start_and_one_more_when_all_work(tmp_path: Path):
    bench = Bench(tmp_path / "sweep", sweeping.spec(tmp_path, budget={"trials": 9}))  # 2 workers
    first, second = bench.driver.next(), bench.driver.next()
    assert first is not None
    assert second is not None
    assert bench.driver.next() is None  # both start
    bench.driver.started(first["key"])
    assert bench.driver.next() is None
    bench.driver.started(second["key"])
    assert bench.driver.next() is not None  # one ahead
    assert bench.driver.next() is None
    assert sum(record["kind"] == "ask" for record in sweeping.records(bench.book.folder)) == 1
    assert not bench.driver.over


def test_a_trial_that_fails_three_times_has_failed_and_says_why(bench: Bench):
    bench.run_controls()
    for _ in range(3):
        assert bench.take()["key"] == "0"
        bench.driver.failed("0", "  File somewhere\nRuntimeError: the worker is unwell")
    assert bench.take()["key"] == "1"
    assert bench.states()["0"] == "FAIL"
    trial = sweeping.trials(bench.book.folder)["0"]
    assert (trial.reason, trial.attempts) == ("RuntimeError: the worker is unwell", 3)
    again = "trial 0: attempt 2 of 3 failed (RuntimeError: the worker is unwell), trying again"
    assert again in [progress.message for progress in bench.shown]
    assert bench.driver.progress().news == 2
    assert "File somewhere" in (bench.book.folder / "trials" / "0").read("error.txt").decode()


def test_workers_that_are_given_up_before_a_trial_begins_cost_it_no_attempt(bench: Bench):
    error = "Traceback\n  File somewhere\ndirsweep.leftover.Leftover: its process holds 512 MiB of GPU memory"
    for _ in range(4):
        assert bench.take()["key"] == "default-plain"
        bench.driver.failed("default-plain", error)
    assert not bench.driver.over
    told = "worker was given up before it began (its process holds 512 MiB of GPU memory), another takes the"
    assert told in bench.shown[-1].message
    assert not bench.book.trial_folder("default-plain").exists("error.txt")
    bench.take()
    bench.finish("default-plain", 9.0)
    assert bench.states() == {"default-plain": "COMPLETE", "default-mu0": "OPEN"}


def test_a_trial_that_ends_without_a_result_is_handed_out_again(bench: Bench):
    bench.run_controls()
    bench.take()
    bench.report("0", 1, 9.0)
    bench.driver.ended("0")
    again = bench.take()
    assert (again["key"], again["emitted"]) == ("0", 1)


def test_a_silent_trial_hangs_and_a_sign_of_life_or_a_pause_of_the_driver_itself_is_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    bench = Bench(tmp_path / "sweep", sweeping.spec(tmp_path, budget={"trials": 2, "silent_minutes": 10}))

    def wait(minutes: float) -> bool:
        nonlocal now
        for _ in range(round(60 * minutes)):
            now += 1.0
            bench.driver.step()
        return bench.driver.hangs(key)

    assignment = bench.take()
    key = assignment["key"]
    assert assignment["alive_every"] == 150.0
    assert not wait(9)
    assert not bench.driver.reported(key, ALIVE)
    assert not wait(9)
    bench.report(key, 1, 9.0)
    now += 86_400.0  # the machine slept
    assert not wait(9)
    assert wait(1.1)
    bench.driver.failed(key, "the actor died")
    assert not bench.driver.hangs(key)
    said = "1 of 3 failed (it hung: no sign of life for 10 minutes (budget.silent_minutes)), trying again"
    assert bench.shown[-1].message.endswith(said)
    assert bench.take()["key"] == key
    assert not wait(9)  # its next attempt has as long


def test_without_a_limit_no_trial_hangs(tmp_path: Path):
    bench = Bench(tmp_path / "sweep", sweeping.spec(tmp_path, budget={"trials": 1, "silent_minutes": None}))
    assignment = bench.take()
    assert "alive_every" not in assignment
    assert not bench.driver.hangs(assignment["key"])


def test_a_trial_that_reports_its_failure_is_not_handed_out_again(bench: Bench):
    bench.run_controls()
    bench.take()
    bench.finish("0", math.nan, state="FAIL", reason="the loss is no longer finite")
    assert bench.take()["key"] == "1"
    assert bench.states()["0"] == "FAIL"


def test_a_result_that_is_nan_is_a_failure(bench: Bench):
    assert bench.take()["key"] == "default-plain"
    bench.finish("default-plain", math.nan)
    bench.take()
    bench.take()
    bench.finish("0", math.nan)
    assert bench.states() == {"default-plain": "FAIL", "default-mu0": "OPEN", "0": "FAIL"}
    assert bench.book.records["0"].reason == "no finite result: val/all/mae is nan"


def test_what_a_trial_warned_of_is_said_and_kept(bench: Bench):
    key = bench.take()["key"]
    final = {
        "final": True,
        "state": "COMPLETE",
        "reason": "",
        "metrics": {MAE: 9.0, "epoch": 4, "seconds": 1.0},
    }
    bench.driver.reported(key, {**final, "notes": ["checkpoint 3 is damaged"]})
    said = [(progress.news, progress.message) for progress in bench.shown]
    assert (1, f"control {key}: checkpoint 3 is damaged") in said
    assert sweeping.trials(bench.book.folder)[key].notes == ["checkpoint 3 is damaged"]
    assert bench.driver.reported(key, {**final, "notes": ["said by one that was given up"]})
    assert bench.driver.progress().news == 1


def test_an_epoch_that_the_ledger_has_is_dropped(bench: Bench):
    key = bench.take()["key"]
    for epoch in (1, 2, 2, 1, 3):
        assert not bench.report(key, epoch, 9.0 - epoch)
    assert [report["epoch"] for report in bench.book.records[key].reports] == [1, 2, 3]


def test_a_trial_behind_at_a_rung_is_pruned_and_a_control_never_is(tmp_path: Path, spec: SweepSpec):
    bench = Bench(tmp_path / "sweep", spec, Rungs("val/all/mae", (0.25,), 2))
    for key, mae in (("default-plain", 1.0), ("default-mu0", 99.0)):
        bench.take()
        assert not bench.report(key, 1, mae)
    bench.take()
    bench.take()
    assert not bench.report("0", 1, 8.0)
    assert bench.report("1", 1, 9.0)
    assert bench.states()["1"] == "PRUNED"
    bench.driver.ended("1")  # Tune lets go of it
    assert bench.states()["1"] == "PRUNED"


def test_a_decision_to_prune_that_was_not_told_is_told_at_resume(tmp_path: Path, spec: SweepSpec):
    bench = Bench(tmp_path / "sweep", spec)
    bench.run_controls()
    for key, mae in (("0", 8.0), ("1", 9.0)):
        bench.take()
        bench.report(key, 1, mae)
    resumed = Bench(tmp_path / "sweep", spec, Rungs("val/all/mae", (0.25,), 2))
    assert resumed.states()["1"] == "PRUNED"
    assert resumed.take()["key"] == "0"


def test_open_trials_are_handed_out_first_at_resume_with_the_last_epoch_known(
    tmp_path: Path, spec: SweepSpec
):
    bench = Bench(tmp_path / "sweep", spec)
    bench.run_controls()
    bench.take()
    bench.report("0", 1, 9.0)
    bench.report("0", 2, 8.0)
    resumed = Bench(tmp_path / "sweep", spec)
    again = resumed.take()
    assert (again["key"], again["emitted"]) == ("0", 2)
    assert resumed.take()["key"] == "1"


def test_a_stop_mark_leaves_trials_open(bench: Bench):
    key = bench.take()["key"]
    stopping.leave_mark(bench.book.folder)
    bench.driver.ended(key)  # the trial saw the mark before the driver did
    assert bench.driver.over
    assert bench.driver.next() is None
    assert bench.driver.why == "stopped"
    assert bench.states()[key] == "OPEN"
    assert any("stopping" in progress.message for progress in bench.shown)


def test_a_full_disk_ends_the_sweep_and_leaves_the_trial_open(bench: Bench):
    key = bench.take()["key"]
    reason = "x: No space left on device; make room"
    bench.driver.reported(key, {"final": True, "state": REFUSED, "reason": reason, "metrics": {}})
    assert bench.driver.over
    assert bench.driver.gives_up
    assert isinstance(bench.driver.failure, OSError)
    assert "No space left on device; make room, then `dirsweep resume" in str(bench.driver.failure)
    assert bench.states()[key] == "OPEN"


def test_no_trial_is_asked_after_the_budgets_minutes(tmp_path: Path):
    spec = sweeping.spec(tmp_path, budget={"trials": 2, "minutes": 1.0e-9})
    bench = Bench(tmp_path / "sweep", spec)
    bench.run_controls()
    assert bench.driver.next() is None
    assert bench.driver.over
    assert bench.driver.why == "time"


def test_no_trial_is_asked_once_the_trainer_seconds_are_spent(tmp_path: Path):
    spec = sweeping.spec(tmp_path, budget={"trials": 9, "trainer_seconds": 2.0})
    bench = Bench(tmp_path / "sweep", spec)
    bench.run_controls()  # 2 x 1.5, which do not count
    bench.take()
    bench.finish("0", 8.0)
    bench.book.close()
    resumed = Bench(tmp_path / "sweep", spec)
    resumed.take()  # 1.5 of 2 are spent
    resumed.report("1", 1, 8.0)  # 0.5 more, while it runs
    assert resumed.driver.next() is None
    assert resumed.states() == {
        "default-plain": "COMPLETE",
        "default-mu0": "COMPLETE",
        "0": "COMPLETE",
        "1": "OPEN",
    }
    resumed.finish("1", 7.0)
    resumed.run_last_controls("1")
    assert resumed.driver.why == "trainer-seconds"
    again = Bench(tmp_path / "sweep", spec)
    assert again.driver.next() is None
    assert again.driver.why == "trainer-seconds"
    raised = Bench(tmp_path / "sweep", sweeping.spec(tmp_path, budget={"trials": 9, "trainer_seconds": 3.5}))
    assert raised.take()["key"] == "2"


def test_when_all_trials_are_told_a_sweep_is_finished_whatever_it_spent(tmp_path: Path):
    bench = Bench(tmp_path / "sweep", sweeping.spec(tmp_path, budget={"trials": 1, "trainer_seconds": 1.0}))
    bench.run_controls()
    bench.take()
    bench.finish("0", 8.0)
    bench.run_last_controls("0")
    assert bench.driver.why == "finished"


def test_a_trial_behind_the_median_is_pruned_and_stays_so_when_resumed(tmp_path: Path):
    spec = sweeping.spec(tmp_path, budget={"trials": 3})
    rule = {"metric": "val/all/mae", "startup": 2, "warmup": 0.25}
    bench = Bench(tmp_path / "sweep", spec, Median(**rule))
    bench.run_controls()
    for key, mae in (("0", 8.0), ("1", 6.0)):
        bench.take()
        assert not bench.report(key, 1, mae)
        bench.finish(key, mae)
    bench.take()
    assert bench.report("2", 1, 7.5)  # behind the median of 8 and 6
    assert bench.states()["2"] == "PRUNED"
    resumed = Bench(tmp_path / "sweep", spec, Median(**rule))
    assert resumed.book.records["2"].reason == "behind at epoch 1"
    assert resumed.driver._pruning._rule == bench.driver._pruning._rule


def test_a_decision_that_the_driver_died_after_is_made_again(tmp_path: Path):
    spec = sweeping.spec(tmp_path, budget={"trials": 2})
    bench = Bench(tmp_path / "sweep", spec)  # prunes nothing, as one that dies before its tell
    bench.run_controls()
    for key, mae in (("0", 6.0), ("1", 7.0)):
        bench.take()
        bench.report(key, 2, mae)
    resumed = Bench(tmp_path / "sweep", spec, Median("val/all/mae", 1, 0.0))
    assert resumed.states()["1"] == "PRUNED"
    assert resumed.states()["0"] == "OPEN"


def test_trials_wait_for_the_control_that_a_constraint_is_relative_to(tmp_path: Path):
    constraint = {"metric": "val/all/mae", "at_most": 1.0, "of": "default-plain"}
    bench = Bench(tmp_path / "sweep", sweeping.spec(tmp_path, constraints=[constraint]))
    bench.take()
    bench.take()
    assert bench.driver.next() is None
    bench.finish("default-plain", 9.0)
    assert bench.take()["key"] == "0"


def test_progress_counts_trials_and_estimates_the_time_left(bench: Bench):
    bench.run_controls()
    bench.take()
    bench.report("0", 1, 8.0)
    seen = bench.shown[-1]
    assert (seen.total, seen.done, seen.running, seen.controls) == (2, 0, 1, 2)
    # 2 trials less a quarter, of 1.5 trainer-seconds each as the controls had, on 2 workers
    assert seen.left == pytest.approx(1.75 * 1.5 / 2)
    bench.finish("0", 7.0)
    bench.take()
    assert bench.shown[-1].best == {"val/all/mae": 7.0}
    assert bench.shown[-1].trainer_seconds == pytest.approx(3 * 1.5)


def test_progress_is_that_of_counting_all_trials_at_any_time(tmp_path: Path):
    space = sweeping.spec(tmp_path, budget={"trials": 8})
    bench = Bench(tmp_path / "sweep", space, Median("val/all/mae", 1, 0.0))
    bench.run_controls()
    looked = set()

    def look() -> None:
        seen, plain = bench.driver.progress(), Sums(space.metrics).plus(bench.book.records.values())
        wanted = progress(plain, 8, running={}, workers=2)
        assert (seen.done, seen.failed, seen.pruned) == (wanted.done, wanted.failed, wanted.pruned)
        assert (seen.controls, seen.best) == (wanted.controls, wanted.best)
        assert seen.trainer_seconds == pytest.approx(wanted.trainer_seconds)
        assert bench.book.sums.ended == plain.ended
        looked.add((seen.done, seen.failed, seen.pruned))

    for number, mae in enumerate([8.0, 9.0, math.nan, 5.0, 8.5]):
        key = bench.take()["key"]
        assert key == str(number)
        look()
        if not bench.report(key, 1, mae):
            look()
            bench.finish(key, mae)
        look()
        bench.book.settle(wait=True)
        look()
    assert looked >= {(0, 0, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (2, 1, 2)}
    resumed = Bench(tmp_path / "sweep", space, Median("val/all/mae", 1, 0.0))
    assert replace(resumed.driver.progress(), seconds=0.0) == replace(bench.driver.progress(), seconds=0.0)


def test_workers_that_never_report_end_the_sweep_and_leave_its_trials_open(bench: Bench):
    for _ in range(3):
        bench.driver.failed(bench.take()["key"], "ModuleNotFoundError: No module named 'torch'")
    assert bench.driver.over
    assert "ModuleNotFoundError: No module named 'torch'" in str(bench.driver.failure)
    assert "dirsweep resume" in str(bench.driver.failure)
    assert bench.states()["default-plain"] == "OPEN"


@pytest.mark.parametrize(("died", "state"), [(True, "FAIL"), (False, "OPEN")])
def test_a_worker_that_lived_and_died_fails_its_trial_and_one_that_raises_before_a_report_ends_the_sweep(
    bench: Bench, died: bool, state: str
):
    for _ in range(3):
        key = bench.take()["key"]
        bench.driver.reported(key, ALIVE)
        bench.driver.failed(key, "RuntimeError: the driver of the GPU is too old", died=died)
    bench.book.settle(wait=True)
    assert bench.states()[key] == state
    assert (bench.driver.failure is None) == died


def test_an_open_control_counts_for_the_time_left(bench: Bench):
    for _ in range(2):
        bench.take()
    bench.finish("default-plain", 9.0)
    # 2 trials and 1 control, of 1.5 trainer-seconds each, on 2 workers
    assert bench.driver.progress().left == pytest.approx(3 * 1.5 / 2)


def test_a_tell_that_was_still_under_way_at_the_end_is_taken_in(bench: Bench):
    bench.run_controls()
    bench.take()
    bench.finish("0", math.nan)
    bench.book.close()
    assert bench.book.records["0"].state == "FAIL"  # what the ledger says, not what the trial said


def test_a_replay_of_the_rungs_leaves_controls_out(tmp_path: Path, spec: SweepSpec):
    bench = Bench(tmp_path / "sweep", spec)
    for key in ("default-plain", "default-mu0"):
        bench.take()
        bench.report(key, 1, 1.0)
        bench.finish(key, 1.0)
    bench.take()
    bench.report("0", 1, 8.0)  # worse than both controls, first of the trials
    resumed = Bench(tmp_path / "sweep", spec, Rungs("val/all/mae", (0.25,), 2))
    assert resumed.states()["0"] == "OPEN"


def test_what_a_trial_says_after_its_end_changes_nothing(bench: Bench):
    key = bench.take()["key"]
    bench.finish(key, 9.0)
    before = len(bench.book.ledger.records)
    assert bench.report(key, 5, 1.0)  # it should end
    assert len(bench.book.ledger.records) == before


def test_a_stop_mark_left_since_the_last_look_leaves_trials_open(bench: Bench):
    key = bench.take()["key"]
    bench.driver.step()  # looked just now, and next in a second
    stopping.leave_mark(bench.book.folder)
    bench.driver.ended(key)
    assert bench.driver.over
    assert bench.driver.next() is None
