"""Checkpoints, attempts and epoch records of a trial."""

import hashlib
import time
from pathlib import Path

import pytest
import torch

from dirsweep import checkpoint
from dirsweep.checkpoint import Journal, Stopped, Superseded
from dirsweep.storage import Folder


def save(folder: Folder, epoch: int, attempt: int = 1, step: int = 0, value: float = 0.0) -> None:
    checkpoint.save(folder, attempt, epoch, step, {"x": torch.tensor([value])}, {"stage": "stage1"})


def test_a_checkpoint_comes_back_bit_for_bit(folder: Folder):
    tensors = {
        "a": torch.randn(3, 2),
        "b": torch.tensor([True, False]),
        "c": torch.tensor(0.1, dtype=torch.float64),
    }
    checkpoint.save(folder, 1, 4, 7, tensors, {"best": [0.1, 3]})
    found = checkpoint.latest(folder)
    assert found is not None
    assert (found.epoch, found.step, found.attempt) == (4, 7, 1)
    assert found.notes == {"best": [0.1, 3]}
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())


def test_the_newest_two_are_kept_and_the_last_by_epoch_step_attempt_is_read(folder: Folder):
    for epoch, step in ((1, 0), (2, 0), (2, 5)):
        save(folder, epoch, step=step)
    assert len(folder.list("checkpoints")) == 2
    found = checkpoint.latest(folder)
    assert found is not None
    assert (found.epoch, found.step) == (2, 5)


def test_a_damaged_checkpoint_is_passed_over(folder: Folder, caplog: pytest.LogCaptureFixture):
    save(folder, 1)
    save(folder, 2)
    name = folder.list("checkpoints")[-1]
    content = bytearray(folder.read(name))
    content[-1] ^= 1
    folder.put(name, bytes(content))
    found = checkpoint.latest(folder)
    assert found is not None
    assert found.epoch == 1
    assert "is damaged" in caplog.text


@pytest.mark.parametrize("content", [b"", b"\x02" + 7 * b"\0" + b"{}", 8 * b"\xff", b"no tensors at all"])
def test_a_whole_file_that_is_no_checkpoint_is_passed_over(folder: Folder, content: bytes):
    save(folder, 1)
    digest = hashlib.sha256(content).hexdigest()[:16]
    folder.put(f"checkpoints/000002-00000000-001-{digest}.safetensors", content)
    folder.put("checkpoints/.DS_Store", b"a file browser's")
    found = checkpoint.latest(folder)
    assert found is not None
    assert found.epoch == 1
    assert folder.exists("checkpoints/.DS_Store")


def test_damaged_checkpoints_push_out_none_that_is_written_later(folder: Folder):
    for epoch in (8, 9):
        save(folder, epoch)
    for name in folder.list("checkpoints"):
        folder.put(name, folder.read(name)[:-1])
    assert checkpoint.latest(folder) is None  # the trial begins anew
    save(folder, 1, attempt=2)
    found = checkpoint.latest(folder)
    assert found is not None
    assert found.epoch == 1


def test_a_writer_stops_when_a_later_attempt_has_begun(folder: Folder):
    first, second = checkpoint.claim(folder), checkpoint.claim(folder)
    assert (first, second) == (1, 2)
    with pytest.raises(Superseded, match="attempt 1 stops, attempt 2 has begun"):
        save(folder, 1, attempt=first)
    save(folder, 1, attempt=second)


def test_checkpoints_that_vanish_while_they_are_read_are_passed_over(tmp_path: Path):
    class Swept(Folder):
        """Another attempt removes each file between its listing and its reading."""

        def read(self, name: str) -> bytes:
            self.delete(name)
            return super().read(name)

    save(Folder(tmp_path), 1)
    save(Folder(tmp_path), 2)
    assert checkpoint.latest(Swept(tmp_path)) is None


def test_discard_bars_the_writer_and_leaves_no_checkpoint(folder: Folder):
    attempt = checkpoint.claim(folder)
    save(folder, 1, attempt)
    checkpoint.discard(folder)
    assert folder.list("checkpoints") == []
    with pytest.raises(Superseded):
        save(folder, 2, attempt)


def test_optimizer_state_comes_back(tmp_path: Path):
    def stepped(steps: int) -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
        parameter = torch.nn.Parameter(torch.ones(3))
        optimizer = torch.optim.Adam([parameter], lr=0.1)
        for _ in range(steps):
            parameter.grad = torch.tensor([1.0, -2.0, 3.0])
            optimizer.step()
        return parameter, optimizer

    whole, _ = stepped(4)
    half, optimizer = stepped(2)
    resumed = torch.nn.Parameter(half.detach().clone())
    restored = torch.optim.Adam([resumed], lr=0.1)
    tensors, _ = checkpoint.unpack(checkpoint.pack(checkpoint.optimizer_tensors(optimizer), {}))
    checkpoint.load_optimizer(restored, tensors)
    for _ in range(2):
        resumed.grad = torch.tensor([1.0, -2.0, 3.0])
        restored.step()
    assert torch.equal(resumed, whole)


def test_of_two_records_of_an_epoch_the_higher_attempt_counts(folder: Folder):
    for epoch, attempt in ((1, 1), (2, 2), (2, 1)):  # a cut-off writer appends late
        folder.append("records.jsonl", {"epoch": epoch, "attempt": attempt, "seconds": 1.0})
    assert [(r["epoch"], r["attempt"]) for r in checkpoint.read_records(folder)] == [(1, 1), (2, 2)]


def test_a_journal_hands_on_what_lies_between_the_last_emitted_epoch_and_the_checkpoint(folder: Folder):
    for epoch in (1, 2, 3, 4):
        folder.append("records.jsonl", {"epoch": epoch, "attempt": 1, "seconds": float(epoch)})
    save(folder, 3)
    seen: list[int] = []
    journal = Journal(
        folder, checkpoint.claim(folder), lambda record: seen.append(record["epoch"]), 1, lambda: False
    )
    assert seen == [2, 3]  # 1 was emitted, 4 is trained again
    assert journal.seconds == 4.0


def test_a_journal_writes_no_record_once_a_later_attempt_has_begun(folder: Folder):
    journal = Journal(folder, checkpoint.claim(folder), lambda record: None, 0, lambda: False)
    journal.record(1, {})
    checkpoint.claim(folder)
    with pytest.raises(Superseded):
        journal.record(2, {})
    assert [record["epoch"] for record in checkpoint.read_records(folder)] == [1]


def test_seconds_within_an_epoch_count_when_it_is_resumed(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dirsweep.checkpoint.journal.WITHIN_EPOCH", 0.0)
    first = Journal(folder, checkpoint.claim(folder), lambda record: None, 0, lambda: False)
    first.start_clock()
    time.sleep(0.05)
    first.keep(0, 3, lambda: ({"x": torch.ones(1)}, {"stage": "stage1"}))
    assert Journal(folder, checkpoint.claim(folder), lambda record: None, 0, lambda: False).seconds >= 0.05


def test_a_stop_saves_the_state_first(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dirsweep.checkpoint.journal.BETWEEN_LOOKS", 0.0)
    journal = Journal(folder, checkpoint.claim(folder), lambda record: None, 0, lambda: True)
    with pytest.raises(Stopped):
        journal.keep(5, 3, lambda: ({"x": torch.ones(1)}, {"stage": "stage1"}))
    found = checkpoint.latest(folder)
    assert found is not None
    assert (found.epoch, found.step) == (5, 3)


def test_a_trial_is_known_by_its_first_attempt_wherever_its_folder_lies(tmp_path: Path):
    one, other = Folder(tmp_path / "1"), Folder(tmp_path / "2")
    for folder in (one, other, one):
        checkpoint.claim(folder)
    known = checkpoint.identity(one)
    (tmp_path / "1").rename(tmp_path / "moved")
    assert checkpoint.identity(Folder(tmp_path / "moved")) == known
    assert checkpoint.identity(other) != known


def test_a_trial_whose_first_attempt_was_removed_or_does_not_name_it_is_known_by_its_folder(tmp_path: Path):
    checkpoint.claim(Folder(tmp_path))
    first = tmp_path / "attempts" / "001"
    first.write_text('{"host": "here", "pid": 7}')  # as earlier versions left it, in each trial of a process
    assert checkpoint.identity(Folder(tmp_path)) == str(tmp_path)
    first.unlink()
    assert checkpoint.identity(Folder(tmp_path)) == str(tmp_path)
