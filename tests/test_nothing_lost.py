"""Drivers killed at any moment, files damaged or moved: nothing is lost, run twice or left behind."""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import rayless
import sweeping
import yaml
from rayless import Death

from dirsweep import report
from dirsweep.checkpoint import Store, lease, read_records
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


def of_damage(folder: Path) -> list[str]:
    """What a report says is damaged; trials also say that their fit has too few bins here."""
    return [said for said in report.damage(report.load(folder)) if "the fit of norms on labels" not in said]


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


def flip(file: Path) -> None:
    """Flip a bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_flipped_bit_in_a_checkpoint_or_a_stored_stage_1_is_found_and_said(whole: Path, tmp_path: Path):
    folder, forked = begin(tmp_path / "sweep"), list(sweeping.trials(whole))[-1]
    rayless.die(folder, Death("reported", 8))  # in the fourth epoch of the second control
    trained = folder / "trials" / "default-mu0"
    *_, before, last = sorted(trained.glob("checkpoints/*"))
    flip(last)
    rayless.die(folder, Death("asked", len(sweeping.trials(whole)) - 1))  # all but the last are told
    for entry in (tmp_path / "stage1").glob("states/*"):
        flip(entry)
    rayless.finish(folder)
    assert_as_if_nothing_happened(folder, whole)
    again = [record["epoch"] for record in read_records(Folder(trained)) if record["attempt"] == 2]
    assert again[0] == int(before.name.split("-")[0]) + 1
    of_checkpoint, of_entry = of_damage(folder)
    assert of_checkpoint.startswith(
        f"default-mu0: {trained}: checkpoint checkpoints/{last.name} is damaged; it is"
    )
    assert of_entry.startswith(f"{forked}: {tmp_path / 'stage1'}: states/")
    assert of_entry.endswith("is damaged; it is removed and trained again")


def test_a_ledger_that_is_cut_in_a_record_goes_on_from_the_one_before_and_says_so(
    whole: Path, tmp_path: Path
):
    lines = (whole / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    kinds = [(record["kind"], record.get("trial")) for record in sweeping.records(whole)]
    for cut in (kinds.index(("ask", "2")), kinds.index(("tell", "1")), *range(len(lines) - 3, len(lines))):
        folder = tmp_path / str(cut) / "sweep"
        shutil.copytree(whole.parent, folder.parent)
        (folder / "ledger.jsonl").write_bytes(b"".join(lines[:cut]) + lines[cut][: len(lines[cut]) // 2])
        [said] = of_damage(folder)
        assert said.startswith(
            f"{folder}/ledger.jsonl: 1 record(s) were cut short or damaged and are passed over;"
        )
        rayless.finish(folder)
        assert_as_if_nothing_happened(folder, whole)


def test_a_sweep_that_was_moved_goes_on_where_it_is_also_when_its_data_were(whole: Path, tmp_path: Path):
    folder = begin(tmp_path / "here" / "sweep")
    rayless.die(folder, Death("reported", 8))
    there = tmp_path / "there" / "renamed"
    there.parent.mkdir()
    folder.rename(there)
    (tmp_path / "here" / "tiny.csv").rename(tmp_path / "there" / "data.csv")
    shutil.rmtree(tmp_path / "here")
    spec = (there / "spec.yaml").read_text()
    (there / "spec.yaml").write_text(
        spec.replace(str(tmp_path / "here" / "tiny.csv"), str(tmp_path / "there" / "data.csv"))
    )
    rayless.finish(there)
    assert_as_if_nothing_happened(there, whole)
    assert not (tmp_path / "here").exists()
