"""`dirsweep store`: what it shows of the stage 1s, and what it refuses."""

import contextlib
from pathlib import Path

import pytest
import tiny

from dirsweep import cli, pipeline
from dirsweep.checkpoint.store import Store
from dirsweep.storage import Folder


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A storage folder whose store holds two stage 1s."""
    store = Store(Folder(tmp_path / "sweeps" / "stage1"))
    for epochs in (1, 2):
        config = tiny.config(tmp_path, stage1__epochs=epochs)
        pipeline.run_trial(config, Folder(tmp_path / str(epochs)), lambda record: None, store=store)
    return tmp_path / "sweeps"


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    with contextlib.suppress(SystemExit):
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_list_tells_what_each_stage1_is_and_show_has_its_configuration(storage: Path, capsys):
    out, _ = said(capsys, "store", "list", "--storage", storage)
    lines = out.splitlines()
    assert [line.split()[1:3] for line in lines if " tiny " in line] == [["1", "tiny"], ["2", "tiny"]]
    assert "2 stage 1s" in lines[-1]
    key = next(line for line in lines if " tiny " in line).split()[0]
    out, _ = said(capsys, "store", "show", key, "--storage", storage)
    assert out.startswith(key)
    assert "\nstage1:\n" in out


def test_show_refuses_a_key_that_is_unknown_or_ambiguous(storage: Path, capsys):
    assert "no stage 1 of that key" in said(capsys, "store", "show", "zz", "--storage", storage)[1]
    assert "2 keys begin so" in said(capsys, "store", "show", "", "--storage", storage)[1]


def test_prune_asks_what_is_to_go_and_says_what_went(storage: Path, capsys):
    assert "say what is to go: --keep-gb" in said(capsys, "store", "prune", "--storage", storage)[1]
    out, _ = said(capsys, "store", "prune", "--keep-gb", 0, "--storage", storage)
    assert out.count("removed ") == 2
    assert "2 stage 1s" in out
    assert "0 stage 1s (0.0 MB) left" in out


def test_a_damaged_entry_is_listed_as_such(storage: Path, capsys):
    [first, _] = Folder(storage / "stage1").list("states")
    path = storage / "stage1" / first
    path.write_bytes(b"\xff" * 16)
    assert "damaged" in said(capsys, "store", "list", "--storage", storage)[0]


def test_a_store_that_is_not_there_is_refused(tmp_path: Path, capsys):
    assert "no store there" in said(capsys, "store", "list", "--storage", tmp_path)[1]
