"""Drivers killed at any moment: nothing is lost, run twice or left behind."""

import random
import signal
import time
from pathlib import Path

import pytest
import rayless
import sweeping
import yaml
from rayless import Death

from dirsweep.checkpoint import Store, lease
from dirsweep.checkpoint.prune import prune
from dirsweep.storage import Folder

pytestmark = pytest.mark.slow

ASHA = {"name": "asha", "metric": "val/all/mae", "rungs": [0.25, 0.5], "reduction": 2}
PLANTED = [
    Death("begun"),  # the lock is taken, and there is no ledger
    Death(size=100),  # in the ledger's first record
    Death("asked", 1),
    Death(size=3_000),  # in a checkpoint
    Death(size=9_000),  # in an entry of the store of stage 1s
    Death("started", 3),  # between its ask and its first report
    Death(size=20_000),  # in the ledger
    Death("reported", 6),
    Death("ended", 2),  # the trial has its result, the ledger not
    Death(size=45_001),
    Death("over"),
]
KILLS, SWEEPS = 5, 4


def begin(folder: Path) -> Path:
    """A sweep with pruning that is to run in `folder`."""
    folder.mkdir(parents=True)
    spec = sweeping.spec(folder.parent, {"stage1.epochs": 4}, scheduler=ASHA, budget={"trials": 4})
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 0.5)  # for a lease whose owner died


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep that nothing disturbed."""
    folder = begin(tmp_path_factory.mktemp("whole") / "sweep")
    rayless.finish(folder)
    return folder


def finished(folder: Path) -> dict[Path, bytes]:
    """The files of trials that are told."""
    ended = [trial for trial in sweeping.trials(folder).values() if trial.state == "COMPLETE"]
    places = [folder / "trials" / trial.trial for trial in ended if trial.attempts]
    return {file: file.read_bytes() for place in places for file in place.rglob("*") if file.is_file()}


def half_written(folder: Path) -> set[str]:
    """What a dead writer left, by the folder that it lies in."""
    return {part.parent.name for part in folder.parent.rglob("*.part")}


def assert_as_if_nothing_happened(folder: Path, whole: Path) -> None:
    found, wanted = sweeping.told(folder), sweeping.told(whole)
    for what in wanted:
        assert found[what] == wanted[what], what
    assert [trial.trial for trial in sweeping.trials(folder).values() if trial.state == "OPEN"] == []
    assert list(folder.rglob("checkpoints/*")) == []
    prune(Store(Folder(folder.parent / "stage1")), keep_bytes=None, older_than=None)
    assert half_written(folder) == set()


def test_killed_at_planted_moments_a_sweep_ends_as_if_nothing_had_happened(whole: Path, tmp_path: Path):
    folder, ledger = begin(tmp_path / "sweep"), tmp_path / "sweep" / "ledger.jsonl"
    kept: dict[Path, bytes] = {}
    halves: set[str] = set()
    for death in PLANTED:
        rayless.die(folder, death)
        halves |= half_written(folder)
        if ledger.exists():
            kept |= finished(folder)
            assert death.size is None or death.size in (100, 3_000, 9_000, ledger.stat().st_size)
    assert halves == {"sweep", "checkpoints", "states"}
    rayless.finish(folder)
    assert kept == {file: file.read_bytes() for file in kept}
    assert_as_if_nothing_happened(folder, whole)


@pytest.mark.parametrize("seed", range(SWEEPS))
def test_killed_at_random_moments_a_sweep_ends_as_if_nothing_had_happened(
    whole: Path, tmp_path: Path, seed: int
):
    folder, ledger = begin(tmp_path / "sweep"), tmp_path / "sweep" / "ledger.jsonl"
    chance, end = random.Random(seed), (whole / "ledger.jsonl").stat().st_size  # noqa: S311 - no secret
    kept: dict[Path, bytes] = {}
    for size in sorted(chance.uniform(0, 0.95 * end) for _ in range(KILLS)):
        driver = rayless.start(folder)
        sweeping.wait_for(lambda: ledger.exists() and ledger.stat().st_size >= size, "its moment")  # noqa: B023 - called in this turn
        time.sleep(chance.uniform(0, 0.02))
        driver.kill()
        driver.join()
        assert driver.exitcode == -signal.SIGKILL
        kept |= finished(folder)
    rayless.finish(folder)
    assert kept == {file: file.read_bytes() for file in kept}
    assert_as_if_nothing_happened(folder, whole)
