import math
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dirsweep import ledger
from dirsweep.ledger import Ledger
from dirsweep.storage import Folder, Place


def begun(path: Place) -> Ledger:
    return Ledger.create(Folder(path), spec="s", method_version=1, data="d", constraints="", git="", trials=3)


def lines(path: Path) -> list[bytes]:
    return (path / ledger.FILE).read_bytes().splitlines(keepends=True)


def told(book: Ledger, trial: str, state: str = "COMPLETE", **fields: Any) -> None:
    book.write(
        "tell",
        **{"trial": trial, "state": state, "epoch": 2, "seconds": 4.0, "metrics": {}, "reason": "", **fields},
    )


def a_sweep(path: Place) -> Ledger:
    """Two trials and a control: 0 is complete, 1 has reported once, default-plain has failed."""
    book = begun(path)
    book.write("run", trial="", id="parent")
    book.write("control", trial="default-plain", of="default", control="plain", params={})
    book.write("ask", trial="0", params={"stage1.epochs": 3}, attrs={"tpe": "x"})
    book.write("start", trial="0", attempt=1)
    book.write("report", trial="0", epoch=1, of=9, stage="stage1", seconds=1.5, metrics={"val/all/mae": 9.0})
    told(book, "default-plain", "FAIL", reason="no")
    book.write("ask", trial="1", params={}, attrs={})
    book.write("run", trial="1", id="child")
    told(book, "0", metrics={"val/all/mae": 7.0})
    book.write("start", trial="1", attempt=2)
    book.write(
        "report", trial="1", epoch=1, of=9, stage="stage1", seconds=1.0, metrics={"val/all/mae": math.nan}
    )
    return book


def test_records_are_numbered_from_the_opening(folder: Folder):
    book = begun(folder)
    book.write("start", trial="0", attempt=1)
    assert [(record["n"], record["kind"]) for record in book.records] == [(0, "open"), (1, "start")]
    assert book.opening["spec"] == "s"


def test_what_was_written_is_what_is_read(folder: Folder):
    book = a_sweep(folder)
    again = Ledger.open(folder)
    assert again.dropped == 0
    assert str(again.records) == str(book.records)  # as text, for NaN is not NaN


def test_a_ledger_that_was_read_goes_on_with_the_next_number(folder: Folder):
    begun(folder)
    record = Ledger.open(folder).write("budget", trials=2)
    assert record["n"] == 1


def test_trials_fold_to_their_last_state(folder: Folder):
    found = ledger.trials(a_sweep(folder).records)
    assert list(found) == ["default-plain", "0", "1"]
    first, second, control = found["0"], found["1"], found["default-plain"]
    assert (first.state, first.epoch, first.seconds, first.attempts) == ("COMPLETE", 2, 4.0, 1)
    assert (first.metrics, first.params, first.attrs) == (
        {"val/all/mae": 7.0},
        {"stage1.epochs": 3},
        {"tpe": "x"},
    )
    assert [report["epoch"] for report in first.reports] == [1]
    assert (second.state, second.epoch, second.attempts, second.run_id) == ("OPEN", 1, 2, "child")
    assert math.isnan(second.metrics["val/all/mae"])
    assert (control.kind, control.of, control.control) == ("control", "default", "plain")
    assert (control.state, control.reason) == ("FAIL", "no")


def test_folded_record_by_record_trials_are_those_of_the_whole_ledger(folder: Folder):
    book, found, read = a_sweep(folder), dict[str, ledger.TrialRecord](), 0
    for number in range(len(book.records)):
        ledger.fold(found, book.records[read : number + 1])
        read = number + 1
        assert str(found) == str(ledger.trials(book.records[:read]))  # as text, for NaN is not NaN
    assert book.since(read) == []
    assert [record["n"] for record in book.since(read - 2)] == [read - 2, read - 1]


def test_the_first_report_of_an_epoch_counts(folder: Folder):
    book = begun(folder)
    book.write("ask", trial="0", params={}, attrs={})
    for epoch, value in [(1, 5.0), (2, 4.0), (1, 99.0), (2, 99.0)]:
        book.write("report", trial="0", epoch=epoch, of=9, stage="stage1", seconds=1.0, metrics={"m": value})
    trial = ledger.trials(book.records)["0"]
    assert [report["metrics"]["m"] for report in trial.reports] == [5.0, 4.0]
    assert (trial.epoch, trial.metrics) == (2, {"m": 4.0})


def test_the_first_tell_counts_and_ends_the_reports(folder: Folder):
    book = begun(folder)
    book.write("ask", trial="0", params={}, attrs={})
    told(book, "0", "PRUNED", metrics={"m": 1.0})
    told(book, "0", "COMPLETE", metrics={"m": 2.0})
    book.write("report", trial="0", epoch=9, of=9, stage="stage1", seconds=9.0, metrics={"m": 3.0})
    trial = ledger.trials(book.records)["0"]
    assert (trial.state, trial.metrics, trial.epoch, trial.reports) == ("PRUNED", {"m": 1.0}, 2, [])


def test_a_record_of_a_trial_never_asked_is_refused(folder: Folder):
    book = begun(folder)
    book.write("start", trial="7", attempt=1)
    with pytest.raises(ValueError, match=r"jsonl: record 1 is a 'start' of trial '7', which was never asked"):
        Ledger.open(folder)


@pytest.mark.parametrize("kind", ["ask", "control"])
@pytest.mark.parametrize("name", ["../../home", "/etc/passwd", "..", "", "0/1", "a b", "7-mu0-x", 7.5, None])
def test_a_trial_whose_name_would_lead_out_of_the_sweeps_folder_is_refused(tmp_path, kind, name):
    begun(Folder(tmp_path)).write(kind, trial=name, params={}, of="0", control="plain")
    with pytest.raises(ValueError, match=r"record 1 is none that a sweep writes: 'trial' is .*; restore the"):
        Ledger.open(Folder(tmp_path))


def test_the_budget_is_the_opening_one_and_what_was_added(folder: Folder):
    book = begun(folder)
    book.write("budget", trials=5)
    book.write("budget", trials=2)
    assert ledger.budget(book.records) == 3 + 5 + 2


def test_the_last_store_that_a_sweep_was_tracked_in_is_known(tmp_path):
    book = a_sweep(tmp_path)
    assert ledger.sweep_run(book.records[:1]) is None
    book.write("run", trial="", id="again", uri="http://127.0.0.1:5000", beside=False)
    book.write("run", trial="2", id="child")
    found = ledger.sweep_run(book.records)
    assert found is not None
    assert (found["id"], found["uri"]) == ("again", "http://127.0.0.1:5000")


def test_two_sweeps_of_one_name_and_spec_are_told_apart(tmp_path):
    same = {"spec": "abc", "trials": 2}
    one = Ledger.create(Folder(tmp_path / "a"), **same)
    other = Ledger.create(Folder(tmp_path / "b"), **same, resources={"workers": 2})
    assert ledger.identity(one.opening) == ledger.identity(Ledger.open(Folder(tmp_path / "a")).opening)
    assert ledger.identity(one.opening) != ledger.identity(other.opening)


@pytest.mark.parametrize("set_to", [-86400.0, 86400.0])
def test_a_clock_that_is_set_changes_no_duration(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, set_to: float
):
    book, there = begun(folder), time.time
    monkeypatch.setattr(time, "time", lambda: there() + set_to)  # while the driver runs
    book.write("budget", trials=1)
    times = [record["time"] for record in book.records]
    assert 0 <= times[1] - times[0] < 60
    again = Ledger.open(folder)  # by a driver that begins afterwards
    for _ in range(2):
        again.write("budget", trials=1)
    later = [record["time"] for record in again.records]
    assert later == sorted(later)
    assert later[3] - later[2] < 60
    assert later[2] == pytest.approx(max(times[1], there() + set_to), abs=60)


def test_a_second_ledger_in_a_folder_is_refused(folder: Folder):
    begun(folder)
    with pytest.raises(
        ValueError, match=r"ledger\.jsonl: there is a sweep already; resume it or choose another"
    ):
        begun(folder)


def test_a_folder_without_a_ledger_holds_no_sweep(folder: Folder):
    with pytest.raises(ValueError, match=r"ledger\.jsonl: no such file; .* holds no sweep"):
        Ledger.open(folder)


def test_a_ledger_whose_opening_was_cut_holds_no_sweep(tmp_path: Path):
    begun(tmp_path)
    (tmp_path / ledger.FILE).write_bytes(lines(tmp_path)[0][:20])
    with pytest.raises(ValueError, match="holds no whole record, but record 0 must be 'open'"):
        Ledger.open(Folder(tmp_path))


def test_a_ledger_must_begin_with_open(folder: Folder):
    folder.append(ledger.FILE, {"n": 0, "kind": "ask"})
    with pytest.raises(ValueError, match="begins with 'ask', but record 0 must be 'open'"):
        Ledger.open(folder)


@pytest.mark.parametrize("missing", [0, 3, 9])
def test_a_missing_record_is_named(tmp_path: Path, missing: int):
    a_sweep(tmp_path)
    left = lines(tmp_path)
    del left[missing]
    (tmp_path / ledger.FILE).write_bytes(b"".join(left))
    with pytest.raises(ValueError, match=rf"ledger\.jsonl: record {missing} is damaged or missing.*Restore"):
        Ledger.open(Folder(tmp_path))


def test_a_damaged_record_in_the_middle_is_named(tmp_path: Path):
    a_sweep(tmp_path)
    left = lines(tmp_path)
    left[4] = left[4].replace(b"attempt", b"attempd")
    (tmp_path / ledger.FILE).write_bytes(b"".join(left))
    with pytest.raises(ValueError, match=r"record 4 is damaged or missing \(then comes 5\)"):
        Ledger.open(Folder(tmp_path))


def test_two_writers_are_found(tmp_path: Path):
    begun(tmp_path)
    one, other = Ledger.open(Folder(tmp_path)), Ledger.open(Folder(tmp_path))
    one.write("budget", trials=1)
    other.write("budget", trials=1)
    with pytest.raises(
        ValueError, match="record 1 is there twice, the second time after record 1; two drivers"
    ):
        Ledger.open(Folder(tmp_path))


def test_a_second_writer_is_refused_by_an_object_store(bucket: Folder):
    begun(bucket)
    one, other = Ledger.open(bucket), Ledger.open(bucket)
    one.write("budget", trials=1)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"ledger.jsonl: record 1 is there already: another driver took"):
            other.write("budget", trials=7)
    assert [record["trials"] for record in Ledger.open(bucket).records] == [3, 1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Any]]:
    path = tmp_path_factory.mktemp("whole")
    records = a_sweep(path).records
    return (path / ledger.FILE).read_bytes(), records


def test_cut_anywhere_in_the_last_three_records_the_whole_ones_stay(
    tmp_path: Path, whole: tuple[bytes, list[Any]]
):
    content, records = whole
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    for size in range(ends[-4], len(content) + 1):
        (tmp_path / ledger.FILE).write_bytes(content[:size])
        # A record that lacks nothing but its newline is whole.
        expected = sum(size >= end - 1 for end in ends)
        book = Ledger.open(Folder(tmp_path))
        assert str(book.records) == str(records[:expected])
        assert book.dropped == (0 if size in ends or size + 1 in ends else 1)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(back=st.integers(0, 400), more=st.integers(1, 3))
def test_a_cut_ledger_goes_on_without_a_gap(
    tmp_path: Path, whole: tuple[bytes, list[Any]], back: int, more: int
):
    content, _ = whole
    (tmp_path / ledger.FILE).write_bytes(content[: len(content) - back])
    book = Ledger.open(Folder(tmp_path))
    for _ in range(more):
        book.write("budget", trials=1)
    again = Ledger.open(Folder(tmp_path))
    assert str(again.records) == str(book.records)
    assert again.dropped == book.dropped


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["start", "report", "report", "report", "tell"]),
        st.sampled_from(["0", "1", "1-plain"]),
        st.integers(1, 4),
    ),
    max_size=30,
)


@given(events=EVENTS, cut=st.integers(0, 30))
def test_replay_keeps_the_first_word_whatever_comes_late_or_twice(events: list[Any], cut: int):
    asked = [
        {"n": 0, "time": 0.0, "kind": "ask", "trial": name, "params": {}} for name in ("0", "1", "1-plain")
    ]
    records = [
        {"time": 1.0, "kind": kind, "trial": name, "attempt": number, "epoch": number, "seconds": 1.0}
        | {"metrics": {"m": float(place)}, "state": "COMPLETE", "reason": ""}
        for place, (kind, name, number) in enumerate(events)
    ]
    whole = ledger.trials([*asked, *records])
    for name, trial in whole.items():
        own = [record for record in records if record["trial"] == name]
        first = next((place for place, record in enumerate(own) if record["kind"] == "tell"), len(own))
        epochs = [record["epoch"] for record in trial.reports]
        assert epochs == sorted(set(epochs))
        assert trial.attempts == max((r["attempt"] for r in own if r["kind"] == "start"), default=0)
        assert trial.state == ("COMPLETE" if first < len(own) else "OPEN")
        assert all(record in own[:first] for record in trial.reports)
        if first < len(own):
            assert (trial.epoch, trial.metrics) == (own[first]["epoch"], own[first]["metrics"])
    in_two = ledger.trials([*asked, *records[:cut]])
    ledger.fold(in_two, records[cut:])
    assert in_two == whole
    assert ledger.trials([*asked, *records, *records]) == whole  # told anew, all of it is late


def test_writes_from_several_threads_are_numbered_in_the_order_of_the_file(folder: Folder):
    book = begun(folder)
    book.write("ask", trial="0", params={})

    def write() -> None:
        for _ in range(20):
            book.write("start", trial="0", attempt=1)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [record["n"] for record in Ledger.open(folder).records] == list(range(82))


def test_after_a_write_that_the_disk_refused_all_are_refused(tmp_path: Path):
    book = begun(tmp_path)
    file = tmp_path / ledger.FILE
    content = file.read_bytes()
    file.unlink()
    file.mkdir()  # a folder in its place refuses the write, also to root
    with pytest.raises(OSError, match=r"ledger\.jsonl: record 1 could not be written: .*dirsweep resume"):
        book.write("budget", trials=1)
    file.rmdir()
    file.write_bytes(content)
    with pytest.raises(OSError, match="record 1 could not be written"):
        book.write("budget", trials=1)
    assert Ledger.open(Folder(tmp_path)).write("budget", trials=1)["n"] == 1
