import math
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sweeping import NO_PROCESS

from dirsweep.storage import Folder
from dirsweep.storage.disk import half_written


def test_a_folder_is_made_at_the_first_write(tmp_path: Path):
    folder = Folder(tmp_path / "a") / "b"
    assert not folder.path.exists()
    folder.put("c/d.txt", b"hello")
    assert folder.read("c/d.txt") == b"hello"
    assert folder.exists("c/d.txt")


def test_put_if_absent_writes_once(folder: Folder):
    assert folder.put_if_absent("mark", b"first")
    assert not folder.put_if_absent("mark", b"second")
    assert folder.read("mark") == b"first"


def test_put_replaces_the_whole_content_and_leaves_no_part(tmp_path: Path):
    folder = Folder(tmp_path)
    folder.put("file", b"a long first content")
    folder.put("file", b"short")
    assert folder.read("file") == b"short"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_part_that_a_dead_writer_left_is_not_listed(tmp_path: Path):
    folder = Folder(tmp_path)
    folder.put("a/x", b"")
    folder.put("y", b"")
    (tmp_path / ".y.1.ff.part").write_bytes(b"half")
    assert folder.list() == ["a/x", "y"]
    assert folder.list("a") == ["a/x"]
    assert folder.list("nowhere") == []


def test_what_a_dead_writer_left_half_written_is_tidied_away(tmp_path: Path):
    folder = Folder(tmp_path)
    folder.put("a", b"1")
    dead = half_written("a", NO_PROCESS)
    for place in (tmp_path, tmp_path / "below"):
        place.mkdir(exist_ok=True)
        (place / dead).write_bytes(b"half")
    folder.tidy()
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert left == {"a", f"below/{dead}"}
    (folder / "not there").tidy()


def test_what_a_living_process_writes_is_not_tidied_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, sync = Folder(tmp_path), os.fsync

    def tidied(file: int) -> None:
        sync(file)
        folder.tidy()  # by another process, just before the file gets its name

    monkeypatch.setattr("os.fsync", tidied)
    folder.put("a", b"1")
    assert folder.put_if_absent("b", b"2")
    assert folder.list() == ["a", "b"]


def test_what_another_machine_writes_is_tidied_away_once_it_rests_for_long(tmp_path: Path):
    for name, minutes in ((".a.elsewhere.99.00000000.part", 70), (".b.elsewhere.99.00000000.part", 50)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - 60 * minutes,) * 2)
    Folder(tmp_path).tidy()
    assert [file.name for file in tmp_path.iterdir()] == [".b.elsewhere.99.00000000.part"]


def test_the_first_of_numbered_records_is_written_once(tmp_path: Path):
    folder = Folder(tmp_path)
    folder.append("a", {"n": 0}, number=0)
    with pytest.raises(FileExistsError, match="a is there already"):
        folder.append("a", {"n": 0}, number=0)
    assert folder.records("a") == ([{"n": 0}], 0)


def test_delete_is_silent_where_there_is_nothing(folder: Folder):
    folder.put("x", b"")
    folder.delete("x")
    folder.delete("x")
    assert not folder.exists("x")


def test_appended_records_come_back_in_order_with_nan(folder: Folder):
    folder.append("log", {"n": 0, "text": "two\nlines"})
    folder.append("log", {"n": 1, "metrics": {"val/zero/mae": math.nan}}, durable=True)
    records, damaged = folder.records("log")
    assert damaged == 0
    assert [record["n"] for record in records] == [0, 1]
    assert records[0]["text"] == "two\nlines"
    assert math.isnan(records[1]["metrics"]["val/zero/mae"])


def test_no_file_holds_no_records(tmp_path: Path):
    assert Folder(tmp_path).records("log") == ([], 0)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, 40))
def test_a_record_after_a_cut_one_is_whole(tmp_path: Path, cut: int):
    folder = Folder(tmp_path)
    folder.delete("log")
    folder.append("log", {"n": 0})
    folder.append("log", {"n": 1, "text": "x" * 40})
    content = folder.read("log")
    (tmp_path / "log").write_bytes(content[: -1 - cut])
    folder.append("log", {"n": 2})
    records, damaged = folder.records("log")
    assert [record["n"] for record in records] == [0, 2]
    assert damaged == 1


def test_a_record_that_lacks_only_its_newline_is_whole(tmp_path: Path):
    folder = Folder(tmp_path)
    folder.append("log", {"n": 0})
    (tmp_path / "log").write_bytes(folder.read("log")[:-1])
    folder.append("log", {"n": 1})
    assert folder.records("log") == ([{"n": 0}, {"n": 1}], 0)


@pytest.mark.parametrize("place", [0, 5, 9, 12])
def test_one_changed_byte_is_found(tmp_path: Path, place: int):
    folder = Folder(tmp_path)
    folder.append("log", {"n": 0})
    folder.append("log", {"n": 1})
    content = bytearray(folder.read("log"))
    content[place] ^= 1
    (tmp_path / "log").write_bytes(bytes(content))
    records, damaged = folder.records("log")
    assert [record["n"] for record in records] == [1]
    assert damaged == 1


def test_the_names_in_records_are_kept_once(folder: Folder):
    for value in (1.0, 2.0):
        folder.append("records.jsonl", {"metrics": {"val/all/mae of it": value}})
    one, other = (next(iter(record["metrics"])) for record in folder.records("records.jsonl")[0])
    assert one is other
