"""AgeDB-DIR and IMDB-WIKI-DIR: the real labels and split, with drawn pictures for the faces."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pictures
import pytest
import real_data

from dirsweep import data, pipeline
from dirsweep.config import AgeDBDir, IMDBWikiDir, TrialConfig
from dirsweep.data import agedb_dir, imdb_wiki_dir
from dirsweep.storage import Folder

SIZE = 12


def silent(done: int, total: int) -> None:
    """No progress is shown."""


def faces(folder: Path, table: pd.DataFrame) -> tuple[Path, Path]:
    """A drawn picture for each row, and the CSV that names them."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    names = [f"{number}.png" for number in range(len(table))]
    for name, age in zip(names, table["age"].astype(float), strict=True):
        pictures.draw(age, 101, rng, side=SIZE).convert("RGB").save(folder / name, compress_level=1)
    split = folder / "split.csv"
    table.assign(path=names)[["age", "path", "split"]].to_csv(split, index=False)
    return folder, split


def ages(times: int) -> pd.DataFrame:
    """Four rows on three sides, some times over."""
    sides = ["train", "train", "val", "test"]
    return pd.DataFrame({"age": ["20", "30", "31", "40"] * times, "split": sides * times})


def take_for_benchmark(table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a small table have the sizes of IMDB-WIKI-DIR's split."""
    monkeypatch.setattr(imdb_wiki_dir, "SIZES", table["split"].value_counts().to_dict())


@pytest.fixture(scope="module")
def agedb(tmp_path_factory) -> AgeDBDir:
    """The benchmark's labels with drawn faces, prepared."""
    place = tmp_path_factory.mktemp("agedb")
    labels = pd.read_csv(real_data.PLACE / "agedb-dir" / "labels.csv", dtype="str")
    config = AgeDBDir(path=str(place / "store"), size=SIZE)
    agedb_dir.prepare(config, *faces(place / "faces", labels), silent)
    return config


@real_data.NEEDED
@pytest.mark.slow
def test_agedb_has_the_counts_and_shots_of_the_benchmark(agedb):
    dataset = data.load(agedb)
    assert dataset.name == "agedb_dir"
    assert dataset.sizes == {"train": 12_208, "val": 2_140, "test": 2_140}
    shots = dataset.shots
    samples = {name: int(shots.counts[shots.masks[name]].sum()) for name in ("many", "median", "few")}
    assert samples == {"many": 11_154, "median": 851, "few": 203}
    assert (shots.counts.max(), shots.bins.centres[shots.counts.argmax()]) == (353, 35.5)
    test = data.open_test(agedb)
    masks = test.shots.masks
    assert [int(masks[name][test.rows.bin].sum()) for name in ("many", "median", "few")] == [1_530, 448, 162]


@real_data.NEEDED
@pytest.mark.slow
def test_a_trial_trains_on_faces(agedb, tmp_path):
    config = TrialConfig.model_validate(
        {
            "dataset": agedb.model_dump(mode="json"),
            "encoder": {"channels": 4, "depth": 2, "width": 8},
            "stage1": {"epochs": 1},
            "stage2": {"schedule": {"epochs": 1}, "layers": "last_block"},
        }
    )
    metrics = pipeline.run_trial(config, Folder(tmp_path / "trial"), lambda record: None)
    assert metrics["fit/majority_bins"] == 51
    assert metrics["val/few/count"] == 162


@real_data.NEEDED
@pytest.mark.slow
def test_another_split_of_agedb_is_refused(agedb, tmp_path):
    labels = pd.read_csv(real_data.PLACE / "agedb-dir" / "labels.csv", dtype="str")
    labels.loc[0, "age"] = "32"
    labels.assign(path="x.png")[["age", "path", "split"]].to_csv(tmp_path / "split.csv", index=False)
    with pytest.raises(ValueError, match=r"split\.csv: not the benchmark's split of AgeDB-DIR"):
        agedb_dir.prepare(AgeDBDir(path=str(tmp_path / "store")), tmp_path, tmp_path / "split.csv", silent)
    assert not (tmp_path / "store").exists()


def test_another_split_of_imdb_wiki_is_refused_by_its_sizes(tmp_path):
    folder, split = faces(tmp_path / "faces", ages(10))
    told = (
        r"split\.csv: not the benchmark's split of IMDB-WIKI-DIR, whose rows are train 191,509, val 11,022, "
        r"test 11,022; found train 20, val 10, test 10; the images are"
    )
    with pytest.raises(ValueError, match=told):
        imdb_wiki_dir.prepare(IMDBWikiDir(path=str(tmp_path / "store")), folder, split, silent)


def test_imdb_wiki_is_prepared_from_a_folder_and_its_csv(tmp_path, monkeypatch):
    table = pd.DataFrame(
        {"age": ["20", "30", "31", "40"] * 10, "split": ["train", "train", "val", "test"] * 10}
    )
    take_for_benchmark(table, monkeypatch)
    config = IMDBWikiDir(path=str(tmp_path / "store"), size=SIZE)
    folder, split = faces(tmp_path / "faces", table)
    imdb_wiki_dir.prepare(config, folder, split, silent)
    dataset = data.load(config)
    assert (dataset.name, dataset.sizes) == ("imdb_wiki_dir", {"train": 20, "val": 10, "test": 10})
    assert dataset.train.inputs.pixels.shape == (20, 3, SIZE, SIZE)
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        imdb_wiki_dir.prepare(config, tmp_path / "nowhere", split, silent)
    table.drop(columns="age").to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(ValueError, match=r"bad\.csv: no column 'age'"):
        imdb_wiki_dir.prepare(config, folder, tmp_path / "bad.csv", silent)


def test_a_benchmark_that_is_not_prepared_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("DIRSWEEP_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="dirsweep data prepare agedb-dir"):
        data.load(AgeDBDir())


CODE = "from dirsweep.cli import main; main()"


def with_sizes(*sizes: int) -> str:
    """Code for a command to which a split of such sizes is IMDB-WIKI-DIR's."""
    given = dict(zip(("train", "val", "test"), sizes, strict=True))
    return f"from dirsweep.data import imdb_wiki_dir\nimdb_wiki_dir.SIZES = {given}\n{CODE}"


def dirsweep(folder: Path, *arguments: str, status: int = 0, code: str = CODE) -> str:
    """What a command says, run in `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_command_prepares_faces_and_says_what_it_needs(tmp_path):
    told = dirsweep(tmp_path, "data", "prepare", "imdb-wiki-dir", status=2)
    assert "give --images DIR and --split FILE; the images are imdb_crop.tar and wiki_crop.tar of" in told
    table = pd.DataFrame(
        {"age": ["20", "30", "31", "40"] * 30, "split": ["train", "train", "val", "test"] * 30}
    )
    folder, split = faces(tmp_path / "faces", table)
    (folder / "3.png").write_bytes(b"")
    way = (
        "data",
        "prepare",
        "imdb-wiki-dir",
        "--images",
        str(folder),
        "--split",
        str(split),
        "--to",
        "store",
    )
    told = dirsweep(tmp_path, *way, "--size", "8", code=with_sizes(60, 30, 30))
    assert "images: train 60, val 30, test 29; 8 x 8 rgb" in told
    assert "left out, since they cannot be read (1):\n  3.png: cannot identify image file" in told
    assert "--from does nothing for agedb-dir" in dirsweep(
        tmp_path, "data", "prepare", "agedb-dir", "--from", "x", status=2
    )
    assert "nothing to prepare for a dataset of the kind diamonds" in dirsweep(
        tmp_path, "data", "prepare", "diamonds", status=2
    )


@pytest.mark.slow
@pytest.mark.parametrize("what", ["d", "d/labels.csv"])
def test_init_on_a_folder_of_images_leads_to_a_sweep_that_runs(tmp_path, what, monkeypatch):
    monkeypatch.setenv("DIRSWEEP_CACHE", str(tmp_path / "cache"))
    pictures.write_folder(tmp_path / "d", rows=120, patient_id=np.arange(120) // 2)
    told = dirsweep(tmp_path, "init", what, "--target", "label")
    assert "name                     image        120 distinct" in told
    assert "patient_id               group        60 distinct" in told
    assert "dirsweep run labels.space.yaml" in told
    assert "no problem found" in dirsweep(tmp_path, "validate", "labels.dataset.yaml", "labels.space.yaml")
    if what == "d":
        told = dirsweep(tmp_path, "run", "labels.space.yaml", "--trials", "2")
        assert "2 trials: 2 complete" in told


def test_init_on_a_folder_without_one_table_says_so(tmp_path):
    (tmp_path / "d").mkdir()
    assert "d: no CSV file with labels in it" in dirsweep(tmp_path, "init", "d", "--target", "y", status=2)
    for name in ("a.csv", "b.csv"):
        (tmp_path / "d" / name).write_text("y\n1\n")
    told = dirsweep(tmp_path, "init", "d", "--target", "y", status=2)
    assert "several CSV files (a.csv, b.csv); name one" in told


@pytest.mark.slow
def test_ctrl_c_while_images_are_decoded_is_no_error_and_the_same_command_goes_on(tmp_path):
    folder, _ = faces(tmp_path / "faces", ages(1))
    table = ages(5000)
    table["path"] = [f"{number}.link.png" for number in range(len(table))]
    for name in table["path"]:
        os.link(folder / "0.png", folder / name)
    split = tmp_path / "split.csv"
    table.to_csv(split, index=False)
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # it may be ignored here
    )
    small = with_sizes(10_000, 5_000, 5_000)
    options = ("--images", str(folder), "--split", str(split), "--to", "store", "--size", "64")
    line = [sys.executable, "-c", code + small, "data", "prepare", "imdb-wiki-dir", *options]
    process = subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert "images" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "stopped; the same command goes on"
    told = dirsweep(tmp_path, *line[3:], code=small)
    assert "images: train 10,000, val 5,000, test 5,000" in told


def test_a_benchmark_with_too_many_unreadable_images_leaves_nothing(tmp_path, monkeypatch):
    take_for_benchmark(ages(10), monkeypatch)
    folder, split = faces(tmp_path / "faces", ages(10))
    for number in range(5):
        (folder / f"{number}.png").unlink()
    config = IMDBWikiDir(path=str(tmp_path / "store"), size=SIZE)
    with pytest.raises(ValueError, match=r"split\.csv: 5 of 40 images cannot be read"):
        imdb_wiki_dir.prepare(config, folder, split, silent)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("column", ["age", "path", "split"])
def test_a_gap_in_the_benchmarks_csv_is_named(tmp_path, column):
    table = ages(2).assign(path="a.png")
    table.loc[5, column] = None
    table.to_csv(tmp_path / "split.csv", index=False)
    for prepare, config in ((agedb_dir.prepare, AgeDBDir), (imdb_wiki_dir.prepare, IMDBWikiDir)):
        with pytest.raises(ValueError, match=rf"split\.csv: column '{column}' is empty in row 6"):
            prepare(config(path=str(tmp_path / "store")), tmp_path, tmp_path / "split.csv", silent)


def test_a_refused_prepare_leaves_a_finished_store_as_it_was(tmp_path: Path, monkeypatch):
    take_for_benchmark(ages(1), monkeypatch)
    images, split = faces(tmp_path / "in", ages(1))
    config = IMDBWikiDir(path=str(tmp_path / "store"), size=8)
    imdb_wiki_dir.prepare(config, images, split, silent)
    before = data.load(config).hash
    pd.read_csv(split, dtype="str").iloc[::-1].to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ValueError, match="holds other images"):
        imdb_wiki_dir.prepare(config, images, tmp_path / "other.csv", silent)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ValueError, match=r"holds the images of .*, not of .*elsewhere"):
        imdb_wiki_dir.prepare(config, tmp_path / "elsewhere", split, silent)
    assert data.load(config).hash == before
