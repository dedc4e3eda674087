"""Files that would run code if they were loaded as objects, in every place that dirsweep reads.

A sweep's folder, a dataset, a file of weights or a store may come from a stranger. Whatever lies there is
refused or passed over, and runs nothing. `tests/test_no_code_from_files.py` looks at the source instead.
"""

import hashlib
import io
import pickle
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stores
import sweeping
import torch
import yaml
from traps import SPRUNG, TRAPS, opened

from dirsweep import data, pictures, pipeline, publish, report, reuse, tracking
from dirsweep.checkpoint import Store, latest, read_records
from dirsweep.cluster.job import read_job
from dirsweep.config import TrialConfig, read_trial, read_yaml, with_dataset_file
from dirsweep.data.image_decoding import read_image
from dirsweep.data.image_store import read_manifest
from dirsweep.ledger import Ledger
from dirsweep.models import word_vectors
from dirsweep.models.backbone import read_weights
from dirsweep.report import verdict
from dirsweep.result import read_measured
from dirsweep.search.spec import read_spec
from dirsweep.storage import Folder
from dirsweep.tracking.record import FILES, read_run


@pytest.fixture(autouse=True)
def nothing_springs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not SPRUNG.exists(), "code of a file was run"


@pytest.mark.parametrize(
    ("trap", "load"),
    [
        ("pickle", pickle.loads),
        ("torch", lambda content: torch.load(io.BytesIO(content), weights_only=False)),
        ("numpy", lambda content: np.load(io.BytesIO(content), allow_pickle=True)),
        ("yaml", lambda content: yaml.load(content, Loader=yaml.UnsafeLoader)),
        ("python", eval),
    ],
)
def test_the_traps_do_spring(trap, load):
    load(TRAPS[trap])
    assert SPRUNG.is_dir()
    SPRUNG.rmdir()


def checksummed(prefix: str, content: bytes) -> str:
    """The name that makes a file a whole one: the checksum in it is of the trap."""
    return f"{prefix}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"


@pytest.mark.parametrize("trap", TRAPS)
def test_checkpoints_stored_stages_and_records_run_nothing_on_a_disk_and_in_a_bucket(folder, trap):
    content = TRAPS[trap]
    folder.put(checksummed("checkpoints/000001-00000000-001", content), content)
    folder.put(checksummed("states/key", content), content)
    for name in ("records.jsonl", "ledger.jsonl"):
        folder.put(name if folder.path else f"{name}/00000000", content)
    assert latest(folder) is None
    assert Store(folder).entries()[0].notes == {}
    assert Store(folder).get("key") is None
    assert read_records(folder) == []
    with pytest.raises(ValueError, match=r"ledger\.jsonl: holds no whole record"):
        Ledger.open(folder)


def parsed_dataset(path: Path) -> object:
    return with_dataset_file({"dataset": path.name}, path)


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("space.yaml", read_spec),
        ("trial.yaml", read_trial),
        ("job.yaml", read_job),
        ("data.dataset.yaml", parsed_dataset),
        ("any.yaml", read_yaml),
        ("table.csv", data.read_table),
        ("manifest.json", lambda path: read_manifest(path.parent)),
        ("image.png", lambda path: read_image(path, 8, "grey")),
        ("words.txt", lambda path: word_vectors.load(str(path), 10)),
        ("vectors.npy", lambda path: word_vectors.load(str(path), 10)),
        ("weights.pth", read_weights),
        ("weights.safetensors", read_weights),
    ],
)
def test_files_that_a_user_names_run_nothing(tmp_path, trap, name, read):
    (tmp_path / "vectors.txt").write_text("word\n")
    (tmp_path / name).write_bytes(TRAPS[trap])
    with opened() as files, suppress(ValueError, OSError):
        read(tmp_path / name)
    assert str(tmp_path / name) in files or name.endswith(".safetensors")  # which is opened by Rust code


def predicted(trial: Folder) -> object:
    return pipeline.predict(trial, pd.read_csv(trial.path.parent / "tiny.csv", dtype="str"))


def trained_again(trial: Folder) -> object:
    config = TrialConfig.model_validate_json((trial.path.parent / "config.json").read_text())
    return pipeline.run_trial(config, trial, lambda record: None)


@pytest.mark.slow
@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize(
    ("read", "names"),
    [
        (predicted, ("config.json", "inputs.json", "model.safetensors")),
        (trained_again, ("config.json", "facts.json", "metrics.json")),
        (
            lambda trial: pictures.draw(trial, "title"),
            ("bins.csv", "val_predictions.csv", "records.jsonl", "metrics.json", "inputs.json"),
        ),
        (lambda trial: read_measured(trial, reuse.MEASURED), (reuse.MEASURED,)),
        (reuse.reused_seconds, (reuse.FORK,)),
    ],
    ids=("predict", "train", "draw", "measured", "fork"),
)
def test_the_files_of_a_finished_trial_run_nothing(tmp_path, finished_sweep, read, names, trap):
    shutil.copy(finished_sweep.parent / "tiny.csv", tmp_path)
    shutil.copy(finished_sweep / "trials" / "0" / "config.json", tmp_path)
    for name in names:
        trial = Path(shutil.copytree(finished_sweep / "trials" / "0", tmp_path / "trial", dirs_exist_ok=True))
        (trial / name).write_bytes(TRAPS[trap])
        with opened() as files, suppress(ValueError, KeyError):
            read(Folder(trial))
        assert str(trial / name) in files


@pytest.mark.slow
@pytest.mark.parametrize("trap", TRAPS)
def test_the_files_of_a_finished_sweep_run_nothing(tmp_path, finished_sweep, trap):
    for name in ("spec.yaml", "ledger.jsonl", "finalize/verdict.json"):
        sweep = stores.copied(finished_sweep, tmp_path, f"with-{name.replace('/', '-')}")
        (sweep / name).parent.mkdir(exist_ok=True)
        (sweep / name).write_bytes(TRAPS[trap])
        with opened() as files, suppress(ValueError):
            verdict.read(report.load(sweep))
        assert str(sweep / name) in files


@pytest.mark.slow
def test_the_files_of_a_tracked_run_and_of_a_registered_model_run_nothing(tmp_path, finished_sweep):
    sweep = stores.with_store(finished_sweep, tmp_path)
    runs = {one["trial"]: one["id"] for one in sweeping.records(sweep) if one["kind"] == "run"}
    files = [file for file in (tmp_path / "mlartifacts").rglob("*") if file.is_file()]
    assert any(file.name == "MLmodel" for file in files)
    for trap in TRAPS.values():
        for file in files:
            file.write_bytes(trap)
        stores.forget_places()
        with opened() as read, suppress(ValueError):
            read_run(tracking.default_uri(tmp_path), runs["0"])
        assert {Path(file).name for file in read if "mlartifacts" in file} >= set(FILES)
    publish.sync(sweep, None)
