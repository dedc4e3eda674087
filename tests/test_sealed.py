"""Test stays sealed: `open_test` is the only door, and a whole sweep goes by without a test row."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sweeping
import tiny
import yaml

from dirsweep import data
from dirsweep.config import BinEdges, BinWidth, Csv, Diamonds
from dirsweep.finalize import Settings, finalize
from dirsweep.sweep import Resources

SECRET = "sealed8f2c61"


def given_split(path: Path) -> Path:
    """The tiny table with a column `side` that cuts it: of ten rows, one is for test and two for val."""
    table = pd.read_csv(tiny.write_table(path), dtype="str")
    table["side"] = np.where(table.index % 10 == 0, "test", np.where(table.index % 5 == 1, "val", "train"))
    table.to_csv(path, index=False)
    return path


def config(path: Path, **fields: object) -> Csv:
    return Csv(
        path=str(path), target="label", bins=BinWidth(width=2.0), many_above=40, few_below=10, **fields
    )


def test_the_test_rows_come_out_encoded_as_the_training_rows(tmp_path):
    own = config(given_split(tmp_path / "t.csv"), split_column="side")
    table, dataset, test = pd.read_csv(own.path), data.load(own), data.open_test(own)
    assert test.rows.sample.tolist() == list(range(0, 700, 10))
    assert test.rows.label.tolist() == table["label"][::10].tolist()
    raw = table["size"]
    training = raw[dataset.train.sample]
    expected = (raw[::10] - training.mean()) / training.std(ddof=0)
    assert test.rows.inputs[:, 0] == pytest.approx(expected.to_numpy(), abs=1e-6)
    assert dataset.sizes["test"] == 70


def test_train_val_and_test_are_apart_in_a_split_that_we_cut():
    dataset, test = data.load(Diamonds()), data.open_test(Diamonds())
    parts = [set(split.sample) for split in (dataset.train, dataset.val, test.rows)]
    assert [len(part) for part in parts] == [10_000, 2_221, 2_221]
    assert len(set.union(*parts)) == 14_442
    groups = [set(split.group) for split in (dataset.train, dataset.val, test.rows)]
    assert not groups[2] & (groups[0] | groups[1])


def test_a_test_label_beyond_all_others_is_a_few_shot_label_of_a_bin_of_its_own(tmp_path):
    path = given_split(tmp_path / "t.csv")
    table = pd.read_csv(path, dtype="str")
    table.loc[0, "label"] = "-70"  # row 0 is for test
    table.to_csv(path, index=False)
    own = config(path, split_column="side")
    dataset, test = data.load(own), data.open_test(own)
    assert dataset.shots.bins.edges[0] > -70
    assert test.shots.bins.edges[0] <= -70
    assert test.shots.masks["zero"][test.rows.bin[0]]
    assert test.shots.names[test.rows.bin[0]] == "few"
    assert test.shots.counts.sum() == dataset.shots.counts.sum()


@pytest.mark.parametrize(
    ("change", "fields", "told"),
    [
        ({"label": "high"}, {}, r"t\.csv: column 'label' must hold numbers, but holds text in row 1: 'high'"),
        ({"label": ""}, {}, r"t\.csv: the target 'label' is missing .* in row 1"),
        (
            {"label": "70"},
            {"bins": BinEdges(edges=(0.0, 60.0))},
            r"t\.csv: .*outside the edges 0 to 60 in row 1",
        ),
        ({"size": "big"}, {}, r"t\.csv: column 'size' must hold numbers, but holds text in row 1: 'big'"),
    ],
)
def test_what_is_wrong_with_a_test_row_is_told_before_test_is_opened(tmp_path, change, fields, told):
    path = given_split(tmp_path / "t.csv")
    own = config(path, split_column="side").model_copy(update=fields)
    data.check_test(own)
    table = pd.read_csv(path, dtype="str")
    for name, value in change.items():
        table.loc[0, name] = value  # row 0 is for test
    table.to_csv(path, index=False)
    data.load(own)  # a sweep sees nothing of it
    with pytest.raises(ValueError, match=told):
        data.check_test(own)


def test_a_split_without_test_rows_is_told_before_test_is_opened(tmp_path):
    path = given_split(tmp_path / "t.csv")
    table = pd.read_csv(path, dtype="str")
    table[table["side"] != "test"].to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"t\.csv: the test split is empty"):
        data.check_test(config(path, split_column="side"))


def test_subjects_of_a_given_split_are_kept_for_the_intervals(tmp_path):
    path = given_split(tmp_path / "t.csv")
    table = pd.read_csv(path, dtype="str")
    pair = table.groupby("side").cumcount() // 2
    table["subject"] = table["side"] + pair.astype("str")
    table.to_csv(path, index=False)
    group = data.open_test(config(path, split_column="side", group_column="subject")).rows.group
    assert len(group) == 70
    assert len(set(group)) == 35


@pytest.fixture
def touchy(tmp_path) -> Path:
    """A folder with a space whose test rows raise when they are touched: they hold text for numbers."""
    table = pd.read_csv(given_split(tmp_path / "touchy.csv"), dtype="str")
    table.loc[table["side"] == "test", ["size", "weight", "kind", "label"]] = SECRET
    table.to_csv(tmp_path / "touchy.csv", index=False)
    trial = tiny.config(tmp_path, stage1__epochs=2, stage2__schedule__epochs=1).model_dump(mode="json")
    trial["dataset"] = config(tmp_path / "touchy.csv", split_column="side").model_dump(mode="json")
    space = {
        "question": "Does a sweep need the test rows?",
        "fixed": trial,
        "searched": {"stage2.norm_weight": {"uniform": [0.0, 2.0]}},
        "budget": {"trials": 2},
    }
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    return tmp_path


@pytest.mark.slow
def test_a_dataset_whose_test_rows_raise_when_touched_goes_through_a_sweep_with_report_and_tracking(touchy):
    own = config(touchy / "touchy.csv", split_column="side")
    with pytest.raises(ValueError, match=rf"touchy\.csv: column 'label' must hold numbers.*{SECRET}"):
        data.open_test(own)

    done = [
        dirsweep(touchy, *line) for line in (("run", "space.yaml", "--name", "s"), ("report", "s", "--json"))
    ]
    found = json.loads(done[1])
    assert [trial["status"] for trial in found["trials"]] == ["COMPLETE", "COMPLETE"]
    assert all(trial["metrics"]["val/all/count"] == 140 for trial in found["trials"])
    assert "best of 2 trials" in done[0]

    left = [file for file in (touchy / "sweeps").rglob("*") if file.is_file()]
    assert {"mlflow.db", "ledger.jsonl", "val_predictions.csv", "bins.csv"} <= {file.name for file in left}
    assert not [file for file in left if SECRET.encode() in file.read_bytes()]
    assert SECRET not in "".join(done)

    with pytest.raises(ValueError, match=r"touchy\.csv: column 'label' must hold numbers"):
        finalize(touchy / "sweeps" / "s", Settings(), Resources(), print)
    assert not (touchy / "sweeps" / "s" / "finalize").exists()  # nothing is trained for what cannot be judged
    assert "opening" not in [record["kind"] for record in sweeping.records(touchy / "sweeps" / "s")]


def dirsweep(folder: Path, *arguments: str) -> str:
    """What a command prints, run in `folder`."""
    code = "from dirsweep.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
