"""Good files made bad, through the real commands: status 2 and one message, or 0 where no harm is done."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fuzz
import ledgers
import mutations
import pytest
import transcripts
import yaml

from dirsweep import pipeline
from dirsweep.config import read_trial
from dirsweep.storage import Folder
from dirsweep.storage.record import line

ROOT = Path(__file__).parent.parent
SPACES = ("all", "staged", "strength")
JOBS = ("kuberay", "slurm2")
TRIAL = """\
dataset: {name: csv, path: tiny.csv, target: label, bins: {width: 2.0}, many_above: 40, few_below: 10}
encoder: {width: 8}
stage1: {epochs: 3, batch_size: 64, norm_ordinality: {name: hinge, prototypes: {name: batch}}}
stage2: {majority_threshold: 5, schedule: {epochs: 1}}
"""
DATASET = (
    "name: csv\npath: tiny.csv\ntarget: label\nbins: {name: edges, edges: [0, 2, 4, 8, 60]}\nignore: [kind]\n"
)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder beside which the shipped files lie as they do in the project."""
    import tiny

    tiny.write_table(tmp_path / "tiny.csv", rows=150)
    shutil.copytree(ROOT / "search_spaces", tmp_path / "search_spaces")
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    (tmp_path / "trial.yaml").write_text(TRIAL)
    (tmp_path / "tiny.dataset.yaml").write_text(DATASET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused_or_taken(command: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> transcripts.Told:
    """What a command said, which must be right, or one message that begins with a file."""
    told = transcripts.run(transcripts.Case(".", command, ""), here, monkeypatch)
    assert told.status in (0, 2), told.message
    if told.status == 2:
        assert re.match(r"error: [^\s:]+(, line \d+)?: .", told.message), told.message
        assert "Traceback" not in told.message
        assert len(told.message) < 3000
    return told


GOOD = [f"search_spaces/{name}.yaml" for name in SPACES] + [f"jobs/{name}.yaml" for name in JOBS]
GOOD += ["trial.yaml", "tiny.dataset.yaml"]


@pytest.mark.parametrize("what", mutations.texts("a: 1\n"))
def test_a_file_whose_text_is_damaged_is_refused(here, monkeypatch, what):
    for file in ("search_spaces/strength.yaml", "jobs/slurm2.yaml", "trial.yaml"):
        good = (here / file).read_text()
        (here / file).write_bytes(mutations.texts(good)[what])
        told = refused_or_taken(f"validate {file}", here, monkeypatch)
        assert told.message.startswith(f"error: {file}") or (what, told.status) == ("a comment alone", 0)


def test_a_folder_in_the_place_of_a_file_is_refused(here, monkeypatch):
    for file in GOOD:
        (here / file).unlink()
        (here / file).mkdir()
        told = refused_or_taken(f"validate {file}", here, monkeypatch)
        assert told.message == f"error: {file}: cannot be read: Is a directory"


@pytest.mark.slow
@pytest.mark.parametrize("file", GOOD)
def test_a_file_in_which_one_thing_is_wrong_is_refused_or_does_no_harm(here, monkeypatch, file):
    rng, tree = mutations.generator(file), yaml.safe_load((here / file).read_text())
    refused = 0
    for _ in range(20):
        mutant, _ = mutations.mutated(tree, rng)
        (here / file).write_bytes(yaml.safe_dump(mutant).encode())
        refused += refused_or_taken(f"validate {file}", here, monkeypatch).status == 2
    assert refused > 10


@pytest.mark.slow
def test_a_ledger_in_which_one_thing_is_wrong_is_refused_or_does_no_harm(here, monkeypatch):
    ledgers.write(here / "sweep", 4)
    ledger, rng, refused = here / "sweep" / "ledger.jsonl", mutations.generator(0), 0
    records = Folder(here / "sweep").records(ledger.name)[0]
    for number, record in enumerate(records):
        mutant = json.loads(json.dumps(fuzz.plain(mutations.mutated(record, rng)[0]), default=str))
        ledger.write_bytes(b"".join(map(line, [*records[:number], mutant, *records[number + 1 :]])))
        for command in ("report sweep --json", "status sweep"):
            told = refused_or_taken(command, here, monkeypatch)
            refused += told.status == 2
            assert told.status == 0 or told.message.startswith("error: sweep/ledger.jsonl: ")
    assert refused > len(records) / 2


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """A folder with a trial that was stopped: it has records and a checkpoint of its own."""
    import tiny

    folder = tmp_path_factory.mktemp("stopped")
    tiny.write_table(folder / "tiny.csv", rows=150)
    (folder / "trial.yaml").write_text(TRIAL)
    config = read_trial(folder / "trial.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dirsweep.checkpoint.journal.BETWEEN_LOOKS", 0.0)
        with pytest.raises(pipeline.Stopped):
            pipeline.run_trial(config, Folder(folder / "out"), lambda record: None, should_stop=lambda: True)
    return folder


def damaged_json(content: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "half": content[: len(content) // 2],
        "a list": b"[]",
        "null": b"null",
        "zeros": b"\0" * 9,
    }


@pytest.mark.parametrize("name", ["config.json", "facts.json"])
def test_a_trials_folder_with_a_damaged_file_is_refused(stopped, tmp_path, monkeypatch, name):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    for content in damaged_json((tmp_path / "out" / name).read_bytes()).values():
        (tmp_path / "out" / name).write_bytes(content)
        told = refused_or_taken("train trial.yaml --out out", tmp_path, monkeypatch)
        assert told.message.startswith(f"error: out/{name}: the file is damaged (")


@pytest.mark.slow
def test_a_trials_records_in_which_one_thing_is_wrong_are_refused_or_do_no_harm(
    stopped, tmp_path, monkeypatch
):
    rng = mutations.generator(3)
    records = Folder(stopped / "out").records("records.jsonl")[0]
    for number in range(8):
        folder = tmp_path / str(number)
        shutil.copytree(stopped, folder)
        mutant = json.loads(json.dumps(fuzz.plain(mutations.mutated(records[0], rng)[0]), default=str))
        (folder / "out" / "records.jsonl").write_bytes(line(mutant))
        told = refused_or_taken("train trial.yaml --out out", folder, monkeypatch)
        assert told.status == 0 or told.message.startswith("error: out/records.jsonl: record 0")


@pytest.mark.slow
def test_a_checkpoint_that_is_damaged_is_trained_again_and_a_strangers_file_beside_it_is_left_alone(
    stopped, tmp_path, monkeypatch
):
    [name] = [path.name for path in (stopped / "out" / "checkpoints").iterdir()]
    content = (stopped / "out" / "checkpoints" / name).read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for number, bad in enumerate([b"", content[:100], bytes(flipped), content + b"\0"]):
        folder = tmp_path / str(number)
        shutil.copytree(stopped, folder)
        (folder / "out" / "checkpoints" / name).write_bytes(bad)
        (folder / "out" / "checkpoints" / ".DS_Store").write_bytes(b"a file browser's")
        (folder / "out" / "attempts" / "notes.txt").write_text("a user's")
        assert refused_or_taken("train trial.yaml --out out", folder, monkeypatch).status == 0
        assert (folder / "out" / "metrics.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("content", ["stage1: {epochs: 0}\n", "seed: 2020-13-45\n", "[" * 500])
def test_a_process_of_its_own_ends_with_status_2_too(tmp_path, content):
    (tmp_path / "trial.yaml").write_text(content)
    command = [sys.executable, "-m", "dirsweep", "validate", "trial.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("error: trial.yaml: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_minute_of_mutated_files_is_taken_or_refused_with_their_names():
    """The same inputs each time, as far as the machine gets; FUZZ_SEED and FUZZ_SECONDS choose others."""
    seconds, seed = float(os.environ.get("FUZZ_SECONDS", "60")), int(os.environ.get("FUZZ_SEED", "0"))
    assert fuzz.fuzz(seconds, seed) > 1
