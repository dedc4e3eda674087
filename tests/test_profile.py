"""Where a trial's time goes: the parts add up, the traces are small, and watching changes no number."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from dirsweep import data, pipeline
from dirsweep.checkpoint import journal, read_records, unpack
from dirsweep.config import TrialConfig
from dirsweep.profile import PARTS, REST, STEPS, Profile, Spent
from dirsweep.storage import Folder


def run(config: TrialConfig, folder: Path, profile: Profile | None = None) -> tuple[dict[str, Any], Any]:
    """Metrics and weights of a trial."""
    found = pipeline.run_trial(config, Folder(folder), lambda record: None, profile=profile)
    return found, unpack((folder / "model.safetensors").read_bytes())[0]


@pytest.fixture(scope="module")
def profiled(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Spent, Path, dict[str, Any], Any, TrialConfig]:
    """A trial of both stages with FDS and small batches, so that an epoch has more steps than are traced."""
    folder = tmp_path_factory.mktemp("profiled")
    config = tiny.config(folder, stage1__batch_size=16, stage1__feature_method={"name": "fds"})
    profile = Profile("cpu")
    metrics, weights = run(config, folder / "trial", profile)
    return profile.finish(Folder(folder / "trial")), folder / "trial", metrics, weights, config


def events(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text())["traceEvents"])


def test_the_parts_add_up_to_the_trials_seconds(profiled):
    spent, _, metrics, _, _ = profiled
    assert set(spent.seconds) == {*PARTS, REST}
    assert all(seconds > 0 for seconds in spent.seconds.values())
    # starting the profiler is trainer-time too, but no part; writing the results is a part, but after it
    assert sum(spent.seconds.values()) < metrics["seconds"] + spent.seconds["report"]
    assert spent.seconds[REST] < 0.2 * sum(spent.seconds.values())


def test_a_part_within_another_is_counted_once():
    began = time.perf_counter()
    profile = Profile("cpu")
    with profile.part("forward"), profile.part("methods"):
        time.sleep(0.2)
    spent = profile.finish(Folder("nowhere"))
    assert spent.seconds["methods"] >= 0.2
    assert sum(spent.seconds.values()) <= time.perf_counter() - began
    assert spent.files == []


def test_a_trace_holds_a_few_steps_of_each_stage_with_their_parts_and_what_follows(profiled):
    spent, folder, _, _, _ = profiled
    assert spent.files == ["trace-stage1.json", "trace-stage2.json"]
    for name in spent.files:
        labels = Counter(e["name"] for e in events(folder / name) if e.get("cat") == "user_annotation")
        assert labels["optimizer"] == labels["forward"] == labels["backward"] == STEPS
        assert {"methods", "evaluation", "report", "checkpoint"} <= set(labels)
        assert (folder / name).stat().st_size < 4e6


def test_the_operations_are_pytorchs_own_the_longest_first(profiled):
    spent = profiled[0]
    names = [name for name, _, _ in spent.operations]
    assert "aten::addmm" in names
    assert not set(names) & {*PARTS, "Optimizer.step#Adam.step"}
    seconds = [seconds for _, _, seconds in spent.operations]
    assert seconds == sorted(seconds, reverse=True)
    assert 0 < sum(seconds) < spent.traced


def test_watching_changes_no_number(profiled, tmp_path):
    _, _, metrics, weights, config = profiled
    plain, plainly = run(config, tmp_path / "trial")
    assert all(torch.equal(weights[name], plainly[name]) for name in plainly)
    assert json.dumps({**plain, "seconds": 0}) == json.dumps({**metrics, "seconds": 0})


def test_a_trial_that_goes_on_late_is_traced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config, folder = (
        tiny.config(tmp_path, stage1__epochs=5, stage1__batch_size=16),
        Folder(tmp_path / "trial"),
    )
    steps, looks = len(data.load(config.dataset).train.label) // 16, iter(range(10**9))
    monkeypatch.setattr(journal, "BETWEEN_LOOKS", 0.0)
    with pytest.raises(pipeline.Stopped):
        pipeline.run_trial(config, folder, lambda record: None, should_stop=lambda: next(looks) > 3 * steps)
    profile = Profile("cpu")
    run(config, tmp_path / "trial", profile)
    assert min(record["epoch"] for record in read_records(folder) if record["attempt"] == 2) > 2
    assert "trace-stage1.json" in profile.finish(folder).files
