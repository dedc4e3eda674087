"""The store of stage 1s, and the lease that makes one train what many want."""

import threading
import time
from pathlib import Path

import pytest
import torch
from sweeping import NO_PROCESS, wait_for

from dirsweep.checkpoint import Stopped, lease
from dirsweep.checkpoint.prune import prune
from dirsweep.checkpoint.store import Store
from dirsweep.storage import Folder
from dirsweep.storage.disk import half_written


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("BEAT", 0.05), ("PATIENCE", 0.4), ("POLL", 0.02)):
        monkeypatch.setattr(lease, name, seconds)


def test_an_entry_comes_back_whole_and_is_written_once(tmp_path: Path):
    store = Store(Folder(tmp_path))
    store.put("k", {"x": torch.tensor([1.5])}, {"epoch": 3})
    store.put("k", {"x": torch.tensor([9.9])}, {"epoch": 4})
    found = store.get("k")
    assert found is not None
    assert (found[0]["x"].item(), found[1]) == (1.5, {"epoch": 3})
    assert store.get("other") is None
    assert [(entry.key, entry.notes) for entry in store.entries()] == [("k", {"epoch": 3})]


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_damaged_entry_is_removed_and_never_used(
    folder: Folder, place: int, caplog: pytest.LogCaptureFixture
):
    store = Store(folder)
    store.put("k", {"x": torch.ones(8)}, {"epoch": 3})
    [name] = folder.list("states")
    content = bytearray(folder.read(name))
    content[place] ^= 4
    folder.put(name, bytes(content))
    assert store.get("k") is None
    assert "damaged" in caplog.text
    assert not store.has("k")


def test_of_two_files_of_one_key_the_whole_one_is_used_and_both_are_deleted(folder: Folder):
    store = Store(folder)
    store.put("k", {"x": torch.ones(8)}, {"epoch": 3})
    [name] = folder.list("states")
    folder.put("states/k-0000000000000000.safetensors", b"half a f")  # sorts first
    found = store.get("k")
    assert found is not None
    assert found[1] == {"epoch": 3}
    assert folder.list("states") == [name]
    folder.put("states/k-0000000000000000.safetensors", b"half a f")
    store.delete("k")
    assert folder.list("states") == []


def test_a_store_on_a_folder_that_is_not_there_is_empty(tmp_path: Path):
    store = Store(Folder(tmp_path / "nothing"))
    assert not store.has("k")
    assert store.entries() == []
    store.delete("k")


@pytest.mark.usefixtures("quick")
def test_of_eight_at_once_one_makes_it_and_the_others_wait(tmp_path: Path):
    folder, made = Folder(tmp_path), []

    def want(trial: str) -> None:
        with lease.lease(folder, "k", trial, lambda: bool(made), lambda: False) as mine:
            if mine:
                time.sleep(0.6)  # longer than a waiter's patience: the beat keeps it
                made.append(threading.get_ident())

    threads = [threading.Thread(target=want, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


@pytest.mark.usefixtures("quick")
def test_the_lease_of_a_dead_owner_is_taken_over_after_patience(folder: Folder):
    folder.put("leases/k/0001.owner", b"{}")
    folder.put("leases/k/0001.beat", b"7")  # and no more
    begun = time.monotonic()
    with lease.lease(folder, "k", "a trial", lambda: False, lambda: False) as mine:
        assert mine
    assert time.monotonic() - begun >= 0.4


@pytest.mark.usefixtures("quick")
def test_a_later_attempt_at_the_owners_trial_takes_the_lease_from_it_though_it_beats_on(folder: Folder):
    name = "leases/k/{:04d}.beat"

    def beats(number: int) -> int:
        return int(folder.read(name.format(number))) if folder.exists(name.format(number)) else 0

    with lease.lease(folder, "k", "/sweeps/a/trials/7", lambda: False, lambda: False):  # cut off, and alive
        wait_for(lambda: beats(1) > 0, "a beat")
        # at once: an attempt that would have to wait is stopped
        with lease.lease(folder, "k", "/sweeps/a/trials/7", lambda: False, lambda: True) as mine:
            assert mine
            with (
                pytest.raises(Stopped),  # another trial waits for the new owner
                lease.lease(folder, "k", "/sweeps/b/trials/7", lambda: False, lambda: beats(2) > 2),
            ):
                pass
            last = beats(1)
            wait_for(lambda: beats(2) > 5, "more beats of the new owner")
            assert beats(1) == last  # the old one has fallen silent


@pytest.mark.usefixtures("quick")
def test_a_lease_beats_on_after_a_failed_write_and_its_end_hides_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    beat, done = (tmp_path / f"leases/k/0001.{name}" for name in ("beat", "done"))
    beat.mkdir(parents=True)  # nothing can be put there

    def train() -> None:
        with lease.lease(Folder(tmp_path), "k", "a trial", lambda: False, lambda: False):
            wait_for(lambda: "no beat" in caplog.text, "a failed beat")
            beat.rmdir()
            wait_for(beat.is_file, "a beat")
            done.mkdir()
            raise RuntimeError("training failed")

    with pytest.raises(RuntimeError, match="training failed"):
        train()
    assert "the lease is not given back" in caplog.text


def test_a_lease_that_was_given_up_is_free_at_once(folder: Folder):
    with (
        pytest.raises(RuntimeError, match="training failed"),
        lease.lease(folder, "k", "a trial", lambda: False, lambda: False),
    ):
        raise RuntimeError("training failed")
    # another, for a trial has its own lease back anyway; one that would have to wait is stopped
    with lease.lease(folder, "k", "another", lambda: False, lambda: True) as mine:
        assert mine


@pytest.mark.usefixtures("quick")
def test_a_waiter_can_be_stopped(folder: Folder):
    folder.put("leases/k/0001.owner", b"{}")
    with pytest.raises(Stopped), lease.lease(folder, "k", "a trial", lambda: False, lambda: True):
        pass


@pytest.mark.usefixtures("quick")
def test_pruning_takes_the_oldest_first_and_never_one_whose_lease_is_held(folder: Folder):
    store = Store(folder)
    for age, key in enumerate(("new", "mid", "old", "held")):
        store.put(key, {"x": torch.ones(8)}, {"time": time.time() - 100 * age})
    with lease.lease(folder, "old", "a trial", lambda: False, lambda: False):
        pass
    sizes = {entry.key: entry.size for entry in store.entries()}
    with lease.lease(folder, "held", "a trial", lambda: False, lambda: False):
        done = prune(store, keep_bytes=sizes["new"] + sizes["held"], older_than=None)
    assert [entry.key for entry in done.removed] == ["old", "mid"]
    assert [entry.key for entry in done.kept] == ["held"]
    assert {entry.key for entry in store.entries()} == {"new", "held"}
    assert {name.split("/")[1] for name in folder.list("leases")} == {"held"}


@pytest.mark.usefixtures("quick")
def test_pruning_takes_what_a_dead_writer_left_half_written(tmp_path: Path):
    store, half = Store(Folder(tmp_path)), tmp_path / "states" / half_written("k-0.safetensors", NO_PROCESS)
    half.parent.mkdir()
    half.write_bytes(b"half")
    with lease.lease(store.folder, "k", "trial", lambda: False, lambda: False):
        prune(store, keep_bytes=None, older_than=None)
        assert half.exists()
    prune(store, keep_bytes=None, older_than=None)
    assert not half.exists()


@pytest.mark.usefixtures("quick")
def test_the_lease_of_a_dead_owner_keeps_nothing_from_pruning(folder: Folder):
    store = Store(folder)
    store.put("k", {"x": torch.ones(8)}, {"time": time.time() - 100})
    folder.put("leases/k/0001.owner", b"{}")
    folder.put("leases/k/0001.beat", b"7")  # and no more
    done = prune(store, keep_bytes=None, older_than=50.0)
    assert [entry.key for entry in done.removed] == ["k"]
    assert done.leases == 1
    assert folder.list("leases") == []
