"""What an object store does otherwise than a disk: conditional writes, locks that beat, what goes wrong."""

import http.client
import json
import math
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
import sweeping
import typer
from objects import BUCKET

from dirsweep import cli, sweep
from dirsweep.cli.places import check_writable
from dirsweep.cluster.inside import NO_USE
from dirsweep.ledger import FILE, Ledger, file
from dirsweep.storage import Folder, beats, server
from dirsweep.storage.bucket import Bucket
from dirsweep.storage.holder import this_process
from dirsweep.sweep import lock

HOLD = "import sys, time; from dirsweep.storage import Folder, beats\n"  # the whole of a sweep takes seconds
HOLD += "beats.BEAT = 0.2\n"
HOLD += "with Folder(sys.argv[1]).lock(sys.argv[2], str): print('held', flush=True); time.sleep(60)"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("BEAT", 0.2), ("PATIENCE", 2.0), ("POLL", 0.05)):
        monkeypatch.setattr(beats, name, seconds)


@contextmanager
def proxy(
    to: str,
    forward: Callable[[BaseHTTPRequestHandler], bool] = lambda request: True,
    port: int = 0,
    clock: float = 0.0,
) -> Iterator[str]:
    """A server that hands every request on; where `forward` says False, its answer gets lost.

    clock: seconds by which its clock is ahead of what it keeps the times of objects by.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            answers = forward(self)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = http.client.HTTPConnection(urlsplit(to).netloc)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            if not answers:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() == "date":
                    self.send_header(name, formatdate(time.time() + clock, usegmt=True))
                elif name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one

        def log_message(self, *told: object) -> None:
            pass

    between = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    between.daemon_threads = True
    thread = threading.Thread(target=between.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{between.server_port}"
    finally:
        between.shutdown()
        thread.join()
        between.server_close()


def test_a_folder_is_named_by_its_address():
    folder = Folder("s3://bucket/sweeps/all-1/")
    assert str(folder) == "s3://bucket/sweeps/all-1"
    assert (folder.name, str(folder.parent), str(folder.parent.parent)) == (
        "all-1",
        "s3://bucket/sweeps",
        "s3://bucket",
    )
    assert str(folder / "trials" / "7") == "s3://bucket/sweeps/all-1/trials/7"
    assert folder.absolute() == folder == Folder("s3://bucket") / "sweeps/all-1"
    assert folder.path is None


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://", "is no address in an object store; write s3://BUCKET/FOLDER"),
        ("s3://a/../b", "is no address in an object store"),
        ("s3://key:secret@bucket/x", "holds a user or a password"),
        ("s3://key:se/secret@bucket/x", "holds a user or a password"),
        ("http://key:secret@host/x", "^http:// is no storage of ours"),
        ("gs://bucket/x", "gs:// is no storage of ours; name a folder or s3://BUCKET/FOLDER"),
    ],
)
def test_what_is_no_address_is_refused_without_its_secret(address: str, message: str):
    with pytest.raises(ValueError, match=message) as refused:
        Folder(address)
    assert "secret@" not in str(refused.value)


def test_a_whole_bucket_is_no_sweeps_folder(bucket: Folder, tmp_path: Path):
    whole = bucket.parent
    with pytest.raises(ValueError, match=rf"{whole}: is a whole bucket; name a folder in it, {whole}/FOLDER"):
        sweep.run(sweeping.spec(tmp_path), whole)
    assert whole.list(lock.FILE) == []


def test_a_file_is_copied_for_those_who_read_disks_alone(folder: Folder):
    folder.put("a/b.txt", b"hello")
    with folder.as_file("a/b.txt") as path:
        assert (path.name, path.read_bytes()) == ("b.txt", b"hello")
    with pytest.raises(FileNotFoundError), folder.as_file("a/c.txt"):
        pass


def test_folders_sizes_and_beginnings(folder: Folder):
    for name in ("b/x", "a/y/z", "c"):
        folder.put(name, b"0123456789")
    assert folder.folders() == ["a", "b"]
    assert (folder / "nowhere").folders() == []
    assert (folder.size("c"), folder.read("c", 4)) == (10, b"0123")
    assert abs(folder.written("c") - time.time()) < 5
    with pytest.raises(FileNotFoundError):
        folder.size("d")


def test_a_large_object_comes_back(bucket: Folder):
    content = os.urandom(9_000_000)  # more than one part
    bucket.put("large", content)
    assert bucket.read("large") == content


def test_a_write_whose_answer_was_lost_is_known_as_our_own(
    bucket: Folder, object_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    lost = []

    def lose_the_first_answer(request: BaseHTTPRequestHandler) -> bool:
        if request.command != "PUT" or lost:
            return True
        lost.append(request.path)
        return False

    with proxy(object_server["AWS_ENDPOINT_URL"], lose_the_first_answer) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        assert bucket.put_if_absent("claim", b"mine")
        assert not bucket.put_if_absent("claim", b"mine")  # the same content, and yet another's
    assert len(lost) == 1


def test_a_store_that_knows_no_conditions_is_refused(
    bucket: Folder, object_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    def drop_the_condition(request: BaseHTTPRequestHandler) -> bool:
        del request.headers["If-None-Match"]
        return True

    check_writable(bucket)
    assert bucket.list() == []
    with proxy(object_server["AWS_ENDPOINT_URL"], drop_the_condition) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(ValueError, match="does not honour If-None-Match"):
            check_writable(bucket)


def test_a_bucket_that_is_not_there_is_named(bucket: Folder):
    with pytest.raises(ValueError, match=r"--storage s3://nowhere/x/.*NoSuchBucket.*name a bucket of yours"):
        check_writable(Folder("s3://nowhere/x"))


def test_a_command_on_a_bucket_that_is_not_there_is_bad_input(
    bucket: Folder, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as ended:
        cli.main(["list", "--storage", "s3://nowhere/x"])
    assert ended.value.code == 2
    assert re.search(r"error: --storage s3://nowhere/x.*NoSuchBucket.*set AWS_", capsys.readouterr().err)


def test_a_store_that_does_not_answer_is_named_in_seconds_without_its_secret_and_may_be_tried_again(
    bucket: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://key:secret@127.0.0.1:1")
    began = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        cli.main(["list", "--storage", str(bucket)])
    assert time.monotonic() - began < 30
    assert ended.value.code not in NO_USE  # a job starts the sweep again
    said = capsys.readouterr().err
    assert 'Could not connect to the endpoint URL: "http://127.0.0.1:1/' in said
    assert "set AWS_ENDPOINT_URL" in said
    assert "secret" not in said


@contextmanager
def restarting(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A store that answers inside the block, but for the time while the event is set."""
    down = threading.Event()

    def tells_of_trouble(request: BaseHTTPRequestHandler) -> bool:
        return not down.is_set()

    with proxy(address, tells_of_trouble) as there:
        monkeypatch.setenv("AWS_ENDPOINT_URL", there)
        yield down


def test_a_store_that_is_down_for_a_while_is_waited_for(
    bucket: Folder,
    object_server: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(server, "AGAIN", 0.05)

    def once_a_connection(request: BaseHTTPRequestHandler) -> bool:
        request.close_connection = True
        return True

    with proxy(object_server["AWS_ENDPOINT_URL"], once_a_connection) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        bucket.append("log", {"n": 0}, number=0)
    writer = threading.Thread(target=bucket.append, args=["log", {"n": 1}], kwargs={"number": 1})
    writer.start()
    give_up = time.monotonic() + 60
    while "Could not connect" not in caplog.text:  # nobody listens there
        assert writer.is_alive()
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert "it is asked again for 300 s" in caplog.text
    with proxy(object_server["AWS_ENDPOINT_URL"], once_a_connection, urlsplit(address).port or 0):
        writer.join(60)
        assert bucket.records("log") == ([{"n": 0}, {"n": 1}], 0)


def test_a_store_that_stays_away_is_an_error_and_then_no_longer_waited_for(
    bucket: Folder, object_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "OUTAGE", 0.0)
    with restarting(object_server["AWS_ENDPOINT_URL"], monkeypatch) as down:
        bucket.put("a", b"")
        down.set()
        with pytest.raises(OSError, match="a: Connection was closed"):
            bucket.exists("a")
        monkeypatch.setattr(server, "OUTAGE", 600.0)
        with pytest.raises(OSError, match="a: Connection was closed"):
            bucket.exists("a")


def test_a_ledger_whose_store_stays_away_says_so(
    bucket: Folder, object_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "OUTAGE", 0.0)
    with restarting(object_server["AWS_ENDPOINT_URL"], monkeypatch) as down:
        begun = Ledger.create(bucket, trials=1)
        down.set()
        for _ in range(2):
            with pytest.raises(OSError, match=r"record 1 could not be written: .*closed.*before it is lost"):
                begun.write("budget", trials=1)


def test_a_sweep_that_ends_for_its_store_says_how_it_goes_on():
    from dirsweep.cli.sweeps import _interruptible

    with (
        pytest.raises(
            OSError, match=r"gone; once the store answers, `dirsweep resume s3://bucket/x` goes on"
        ),
        _interruptible(Folder("s3://bucket/x")),
    ):
        raise OSError("gone")


@pytest.mark.usefixtures("quick")
def test_what_ends_a_sweep_is_told_though_its_lock_cannot_be_given_back(
    bucket: Folder, object_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "OUTAGE", 0.0)

    def work(down: threading.Event) -> None:
        with lock.held(bucket):
            down.set()
            raise RuntimeError("the reason")

    with (
        restarting(object_server["AWS_ENDPOINT_URL"], monkeypatch) as down,
        pytest.raises(RuntimeError, match="the reason"),
    ):
        work(down)


def test_an_address_without_boto3_says_what_to_install(bucket: Folder, monkeypatch: pytest.MonkeyPatch):
    for name in ("boto3", "boto3.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match="needs boto3: pip install 'dirsweep"):
        bucket.exists("a")


def test_two_sweeps_may_try_a_store_at_the_same_moment(
    bucket: Folder, object_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    first = threading.Event()

    def another_cleans_up(request: BaseHTTPRequestHandler) -> bool:
        if request.headers.get("If-None-Match") and not first.is_set():
            first.set()
            monkeypatch.setenv("AWS_ENDPOINT_URL", object_server["AWS_ENDPOINT_URL"])
            check_writable(bucket)
        return True

    with proxy(object_server["AWS_ENDPOINT_URL"], another_cleans_up) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        check_writable(bucket)
    assert first.is_set()


def test_a_folder_that_was_made_by_hand_is_empty(bucket: Folder):
    for key in (f"{bucket.name}/", f"{bucket.name}/log/"):
        boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"")
    assert bucket.list() == []
    bucket.append("log", {"n": 0})
    assert bucket.records("log") == ([{"n": 0}], 0)


def test_a_changed_record_is_passed_over(bucket: Folder):
    for number in range(3):
        bucket.append("log", {"n": number}, number=number)
    content = bytearray(bucket.read("log/00000001"))
    content[12] ^= 1
    bucket.put("log/00000001", bytes(content))
    assert bucket.records("log") == ([{"n": 0}, {"n": 2}], 1)


def test_a_record_takes_the_number_of_a_damaged_one_but_of_no_whole_one(bucket: Folder):
    bucket.append("log", {"n": 0}, number=0)
    bucket.put("log/00000000", bucket.read("log/00000000")[:-5])
    bucket.append("log", {"n": "again"}, number=0)
    assert bucket.records("log") == ([{"n": "again"}], 0)
    with pytest.raises(FileExistsError):
        bucket.append("log", {"n": 0}, number=0)


def test_records_of_several_writers_are_all_kept(bucket: Folder):
    def write(writer: int) -> None:
        for number in range(5):
            bucket.append("log", {"writer": writer, "n": number})

    threads = [threading.Thread(target=write, args=[writer]) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records, damaged = bucket.records("log")
    assert (len(records), damaged) == (20, 0)
    for writer in range(4):
        assert [record["n"] for record in records if record["writer"] == writer] == list(range(5))


def write(folder: Folder, count: int) -> Ledger:
    """A ledger of so many records."""
    begun = Ledger.create(folder, trials=1)
    for number in range(1, count):
        begun.write("budget", trials=number)
    return begun


def delete_loose(folder: Folder, numbers: Iterable[int]) -> None:
    """Delete records, but none that lies in a pack."""
    for number in numbers:
        folder.delete(f"{FILE}/{number:08d}")


def packs(folder: Folder) -> list[str]:
    return [name.removeprefix(f"{FILE}/packs/") for name in folder.list(f"{FILE}/packs")]


@pytest.fixture
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "PACK", 5)


@pytest.mark.usefixtures("small_packs")
def test_a_ledger_is_packed_as_it_grows_and_at_its_end(bucket: Folder):
    begun = write(bucket, 5)
    assert packs(bucket) == []
    begun.write("budget", trials=5)
    assert packs(bucket) == ["00000000-00000004"]
    for number in range(6, 13):
        begun.write("budget", trials=number)
    begun.pack()
    assert packs(bucket) == ["00000000-00000004", "00000005-00000009", "00000010-00000012"]
    delete_loose(bucket, range(1, 13))  # readers need them no more; the first tells that there is a ledger
    assert Ledger.open(bucket).records == begun.records


@pytest.mark.usefixtures("small_packs")
def test_a_pack_holds_the_very_records_that_were_written(bucket: Folder):
    begun = Ledger.create(bucket, trials=1)
    for value in (math.nan, 0.1, 1e-300, "two\nlines\r\u2028", ["a", None], ("b", 1)):
        begun.write("report", metrics={"value": value})
    begun.pack()
    for pack in packs(bucket):
        first, last = map(int, pack.split("-"))
        loose = [bucket.read(f"{FILE}/{number:08d}") for number in range(first, last + 1)]
        assert bucket.read(f"{FILE}/packs/{pack}") == b"".join(loose)


@pytest.mark.usefixtures("small_packs")
def test_no_record_is_read_twice_or_missed_whatever_packs_there_are(bucket: Folder):
    begun = write(bucket, 8)
    begun.pack()  # the end of a first driver's life: 0-4, 5-7
    resumed = Ledger.open(bucket)
    for number in range(8, 12):
        resumed.write("budget", trials=number)
    assert packs(bucket) == ["00000000-00000004", "00000005-00000007", "00000005-00000009"]
    assert Ledger.open(bucket).records == resumed.records
    bucket.delete(f"{FILE}/packs/00000000-00000004")  # so that none of the others follows on
    assert Ledger.open(bucket).records == resumed.records


@pytest.mark.usefixtures("small_packs")
def test_a_record_that_is_packed_meanwhile_is_read_once(
    bucket: Folder, object_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    begun = write(bucket, 4)
    asked = []

    def the_driver_goes_on(request: BaseHTTPRequestHandler) -> bool:
        if request.command == "GET" and "list-type=2" in request.path:
            asked.append(request.path)
            if len(asked) == 2:  # between the look for packs and that for single records
                monkeypatch.setenv("AWS_ENDPOINT_URL", object_server["AWS_ENDPOINT_URL"])
                for number in range(4, 7):
                    begun.write("budget", trials=number)
        return True

    with proxy(object_server["AWS_ENDPOINT_URL"], the_driver_goes_on) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        records, damaged = bucket.records(FILE)
    assert packs(bucket) == ["00000000-00000004"]
    assert (records, damaged) == (begun.records, 0)


@pytest.mark.usefixtures("small_packs")
def test_a_driver_that_was_cut_off_is_refused_though_its_number_is_packed(bucket: Folder):
    write(bucket, 4)
    cut_off, other = Ledger.open(bucket), Ledger.open(bucket)
    for number in range(4, 12):
        other.write("budget", trials=number)
    with pytest.raises(ValueError, match="record 4 is there already: another driver took"):
        cut_off.write("budget", trials=99)
    assert Ledger.open(bucket).records == other.records


@pytest.mark.usefixtures("small_packs")
def test_a_damaged_pack_is_named_and_once_deleted_its_records_are_there(bucket: Folder):
    begun = write(bucket, 8)
    name = f"{FILE}/packs/00000000-00000004"
    bucket.put(name, bucket.read(name).replace(b'"trials":2', b'"trials":3'))
    with pytest.raises(
        ValueError, match=r"record 2 is damaged or missing.*packs/ holds it, delete that pack"
    ):
        Ledger.open(bucket)
    bucket.delete(name)
    assert Ledger.open(bucket).records == begun.records


@pytest.mark.usefixtures("quick")
def test_a_lock_is_held_while_it_beats_and_taken_over_once_its_holder_was_killed(
    bucket: Folder, caplog: pytest.LogCaptureFixture
):
    command = [sys.executable, "-c", HOLD, str(bucket), lock.FILE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            found = lock.holder(bucket)
            assert found is not None
            assert found.pid == other.pid
            with pytest.raises(ValueError, match=f"another driver runs this sweep .process {other.pid} on"):
                lock.held(bucket).__enter__()
        finally:
            other.kill()
    caplog.clear()
    with lock.held(bucket):
        waits = (
            rf"driver.lock: held by process {other.pid} on .*, which may have died; waiting .*for 2 s at most"
        )
        assert [bool(re.search(waits, said)) for said in caplog.messages] == [True]
        found = lock.holder(bucket)
        assert found is not None
        assert found.pid == os.getpid()
    assert lock.holder(bucket) is None


@pytest.mark.usefixtures("quick")
def test_a_lock_of_a_dead_process_is_taken_over_though_the_stores_clock_was_set_back(
    bucket: Folder, monkeypatch: pytest.MonkeyPatch
):
    (bucket / "sweep").put(f"{lock.FILE}/0001.owner", json.dumps(asdict(this_process())).encode())
    with proxy(os.environ["AWS_ENDPOINT_URL"], clock=-20) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between)
        begun = time.monotonic()
        with lock.held(bucket / "sweep"):
            assert beats.PATIENCE < time.monotonic() - begun < 5 * beats.PATIENCE


@pytest.mark.usefixtures("quick")
def test_a_holder_that_was_cut_off_finds_that_another_took_over(
    bucket: Folder, caplog: pytest.LogCaptureFixture
):
    with lock.held(bucket) as lost:
        owner = json.dumps({"pid": 1, "host": "elsewhere", "since": 0.0}).encode()
        assert bucket.put_if_absent(f"{lock.FILE}/0002.owner", owner)
        assert lost.wait(10)
        assert "another process has taken this lock" in caplog.text
    found = lock.holder(bucket)
    assert found is not None
    assert found.host == "elsewhere"


class Busy(Bucket):
    """A bucket in which a lock is given back, and taken by another, just before its owner is looked up."""

    def read(self, name: str, first: int | None = None) -> bytes:
        if name == f"{lock.FILE}/0001.owner" and self.exists(name):
            self.put(f"{lock.FILE}/0002.owner", super().read(name).replace(b'"pid": 1', b'"pid": 2'))
            self.delete(name)
        return super().read(name, first)


@pytest.mark.usefixtures("quick")
def test_a_lock_that_changes_hands_while_its_owner_is_looked_up_is_looked_at_again(
    bucket: Folder, caplog: pytest.LogCaptureFixture
):
    busy = Busy.named(str(bucket))
    owner = json.dumps({"pid": 1, "host": "elsewhere", "since": 0.0}).encode()
    busy.put_if_absent(f"{lock.FILE}/0001.owner", owner)
    with lock.held(Folder(busy)):
        assert "held by process 2 on elsewhere" in caplog.text


def test_a_wrong_storage_option_is_bad_input():
    from dirsweep.cli.shared import _folder

    with pytest.raises(typer.BadParameter, match="gs:// is no storage of ours"):
        _folder("gs://bucket/x")
