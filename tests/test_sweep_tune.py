"""What Tune is told, where it needs no Ray that runs."""

from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import sweeping

from dirsweep.ledger import Ledger
from dirsweep.storage import Folder

pytestmark = pytest.mark.slow  # importing Tune takes over a second


def test_the_trial_that_waits_longest_is_next_as_tune_itself_would_find_it():
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import FIFOScheduler

    from dirsweep.sweep.tune import _Scheduler

    driver: Any = None  # not asked
    held: dict[str, Trial] = {}
    ours, known, found = _Scheduler(driver, held), list[Trial](), list[str | None]()
    tunes: Any = SimpleNamespace(get_trials=lambda: known)
    for step in range(60):
        if step % 3 == 0:
            known.append(Trial("sleeper", stub=True, trial_id=str(step)))
            ours.on_trial_add(tunes, known[-1])
        elif step % 5 == 0:
            for trial in [trial for trial in held.values() if trial.status == Trial.RUNNING][:1]:
                trial.set_status(Trial.TERMINATED)
                del held[trial.trial_id]
        chosen, wanted = ours.choose_trial_to_run(tunes), FIFOScheduler().choose_trial_to_run(tunes)
        assert chosen is wanted
        found.append(chosen and chosen.trial_id)
        if chosen and step % 4 == 0:
            chosen.set_status(Trial.RUNNING)
    assert len(held) < len(known)
    assert None in found
    assert len(set(found)) > 8


def test_tune_keeps_no_history_of_what_a_trial_reports(monkeypatch: pytest.MonkeyPatch):
    from ray import tune
    from ray.tune.experiment import Trial

    from dirsweep import trainable

    trial = Trial("sleeper", stub=True, trial_id="0")
    monkeypatch.setattr(tune, "report", trial.update_last_result)
    trainable.report_epoch({"epoch": 1, "of": 2, "metrics": {f"val/{number}": 1.0 for number in range(100)}})
    assert trainable.said(trial.last_result)["metrics"]["val/99"] == 1.0
    assert trial.run_metadata.metric_analysis == {}


def test_workers_are_handed_no_keys_for_ray_would_write_them_on_a_command_line(monkeypatch):
    from ray.tune import Trainable
    from ray.tune.execution.class_cache import _ActorClassCache

    from dirsweep.sweep.tune import _keys_out_of_sight

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "kret")
    with _keys_out_of_sight():
        handed = _ActorClassCache().get(Trainable)._default_options["runtime_env"]
    assert "kret" not in str(handed)
    assert handed["env_vars"]
    tunes = _ActorClassCache().get(Trainable)._default_options["runtime_env"]
    assert "kret" in str(tunes), "Tune hands on none by itself: what keeps them can go"


def test_a_ray_without_a_node_ends_the_sweep_for_tune_would_wait_for_one_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import ray

    from dirsweep.sweep import tune
    from dirsweep.sweep.book import Book
    from dirsweep.sweep.driver import Driver

    spec, folder = sweeping.spec(tmp_path), Folder(tmp_path / "sweep")
    hashes = {"spec": spec.hash, "data": "abc", "constraints": "", "git": ""}
    book = Book(spec, folder, Ledger.create(folder, **hashes, method_version=1, trials=4), None, ())
    driver = Driver(book, None, 1, lambda progress: None, Event())
    steps, nodes = tune._Steps(driver, {}), [{"Alive": False}, {"Alive": True}]
    monkeypatch.setattr(tune, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert not steps.stop_all()
    nodes.pop()
    assert steps.stop_all()
    book.close()
    assert isinstance(driver.failure, OSError)
    assert str(driver.failure).startswith(
        "Ray has died: none of its nodes lives. Go on with `dirsweep resume`"
    )
