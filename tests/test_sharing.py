"""How many trials are to share a device: real processes on a CPU, and what is made of their numbers."""

import tempfile
import time
from pathlib import Path

import pytest
import sweeping
import tiny
import torch
from rich.console import Console

from dirsweep import plan, sharing
from dirsweep.plan.per_gpu import advice, best, measure, per_gpu
from dirsweep.sharing import LATE, Sharing
from dirsweep.sweep import Resources


def rates(*found: float) -> list[Sharing]:
    """Of 1, 2, 4 ... at once, in all."""
    return [Sharing(2**place, whole / 2**place, 10**9) for place, whole in enumerate(found)]


@pytest.mark.parametrize(
    ("found", "count"),
    [((100, 190, 380, 700), 8), ((100, 190, 208), 2), ((100, 109), 1), ((100,), 1), ((100, 80), 1)],
)
def test_as_many_are_recommended_as_bring_a_tenth_more_each_time(found: tuple[float, ...], count: int):
    chosen = best(rates(*found))
    assert chosen is not None
    assert chosen.count == count


def test_the_advice_is_what_to_type_and_says_why():
    assert advice(rates(100, 190, 380)) == (
        "Recommended: --gpus-per-trial 0.25 (more than 4 at once were not timed)"
    )
    assert advice(rates(100, 109)) == (
        "Recommended: --gpus-per-trial 1 (2 at once bring less than 10% more in all)"
    )
    full = Sharing(4, refused="the GPU's memory ran out")
    assert advice([*rates(100, 190), full]) == (
        "Recommended: --gpus-per-trial 0.5 (4 at once: the GPU's memory ran out)"
    )
    assert advice([full]) == "How many are to share a GPU was not measured: the GPU's memory ran out"


def test_the_table_shows_each_and_all():
    console = Console(width=100)
    with console.capture() as shown:
        console.print(plan.sharing([*rates(100, 190), Sharing(4, refused="the GPU's memory ran out")]))
    rows = [line.split() for line in shown.get().splitlines()]
    assert ["1", "100", "100", "1.00", "GB"] in rows
    assert ["2", "95.0", "190", "1.00", "GB"] in rows
    assert not any(row[:1] == ["4"] for row in rows)
    assert "--gpus-per-trial 0.5" in shown.get()


def test_nothing_is_measured_for_trials_that_are_given_no_gpu(tmp_path: Path):
    assert per_gpu(sweeping.spec(tmp_path), Resources()) == []
    assert per_gpu(sweeping.spec(tmp_path), Resources(gpus_per_trial=1)) == []  # their device is a CPU


@pytest.mark.slow
def test_one_and_two_at_once_are_timed_and_leave_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(sweeping.MARK, tmp_path.name)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    one, two = measure(tiny.config(tmp_path), (1, 2), 300)
    assert (one.count, two.count) == (1, 2)
    assert (one.refused, two.refused) == ("", "")
    for found in (one, two):
        assert found.each > 1
        assert found.whole == found.count * found.each
        assert found.memory > 10**7
    # Python's own helper lives as long as this process
    left = [line for line in sweeping.left_behind(tmp_path.name) if "resource_tracker" not in line]
    assert left == []
    assert list((tmp_path / "temporary").glob("tmp*")) == []  # PyTorch makes a cache of its own there


@pytest.mark.slow
def test_a_trial_that_cannot_be_timed_says_why_and_no_more_are_tried(tmp_path: Path):
    config = tiny.config(tmp_path, stage2__majority_threshold=5000)
    [found] = measure(config, (1, 2), 300)
    assert "fewer than two majority bins" in found.refused
    assert (found.count, found.each) == (1, 0.0)


@pytest.mark.slow
def test_what_is_not_timed_in_time_is_not_waited_for(tmp_path: Path):
    assert sharing.at_once(tiny.config(tmp_path), 1, time.monotonic()) == Sharing(1, refused=LATE)


ENCODER = """\
import os
import signal
import time

from torch import nn

from dirsweep.trouble import OutOfMemory


class Stem(nn.Linear):
    how = ""

    def forward(self, rows):
        if self.training and self.how == "hangs":
            time.sleep(600)
        if self.training and self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.training:
            raise OutOfMemory("the GPU's memory ran out")
        return super().forward(rows)


class Large(nn.Module):
    def __init__(self, rows, how):
        super().__init__()
        self.features, self.stem, self.last_block = 4, Stem(rows.shape[1], 4), nn.ReLU()
        self.stem.how = how
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said"),
    [("full", "the GPU's memory ran out"), ("killed", "a process that timed it died; if memory ran out")],
)
def test_trials_that_find_no_memory_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, said: str
):
    (tmp_path / "large_network.py").write_text(ENCODER)
    monkeypatch.syspath_prepend(str(tmp_path))
    encoder = {"name": "custom", "path": "large_network:Large", "options": {"how": how}}
    found = sharing.at_once(tiny.config(tmp_path, encoder=encoder), 2, time.monotonic() + 300)
    assert found.refused.startswith(said)


@pytest.mark.slow
def test_several_that_hang_are_not_waited_for_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(sweeping.MARK, tmp_path.name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "large_network.py").write_text(ENCODER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sharing, "GRACE", 1.0)
    encoder = {"name": "custom", "path": "large_network:Large", "options": {"how": "hangs"}}
    found = sharing.at_once(tiny.config(tmp_path, encoder=encoder), 2, time.monotonic())
    assert found == Sharing(2, refused=LATE)
    left = [line for line in sweeping.left_behind(tmp_path.name) if "resource_tracker" not in line]
    assert left == []
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.gpu
def test_trials_that_share_a_gpu_are_timed_and_one_number_is_recommended(tmp_path: Path):
    spec = sweeping.spec(tmp_path, {"device": "cuda"})
    found = per_gpu(spec, Resources(gpus_per_trial=1, workers=4 * torch.cuda.device_count()))
    assert [one.count for one in found] == [1, 2, 4][: len(found)]
    assert found[0].each > 10
    assert 0 < found[0].memory < 2**33
    assert best(found) is not None
    assert "--gpus-per-trial" in advice(found)
