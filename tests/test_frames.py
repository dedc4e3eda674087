"""A sweep as DataFrames, and the notebook that goes on from them."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import sweeping
import yaml

import dirsweep
from dirsweep import report
from dirsweep.checkpoint import read_records
from dirsweep.ledger import FILE, Ledger
from dirsweep.report.frames import BIN, EPOCH, TRIAL
from dirsweep.storage import Folder

ROOT = Path(__file__).parents[1]
KNOBS = [
    "stage1.norm_ordinality.name",
    "stage1.norm_ordinality.tau",
    "stage2.norm_weight",
    "stage2.schedule.epochs",
]


def begun(folder: Path, **fields: object) -> Ledger:
    """The ledger of a sweep in which nothing has happened."""
    spec = sweeping.spec(folder.parent, **fields)
    folder.mkdir()
    (folder / "spec.yaml").write_text(
        yaml.safe_dump(spec.model_dump(mode="json", by_alias=True), sort_keys=False)
    )
    return Ledger.create(Folder(folder), spec=spec.hash, trials=4)


@pytest.mark.slow
def test_a_finished_sweep_has_a_row_for_each_trial_control_and_repeat(finished_sweep: Path):
    found = dirsweep.load_sweep(finished_sweep)
    records = sweeping.trials(finished_sweep)
    trials = found.trials.set_index("trial")
    assert list(trials.index) == list(records)
    assert trials.kind.value_counts().to_dict() == {"trial": 5, "control": 4, "repeat": 1}
    assert (trials.state == "COMPLETE").all()
    for name, record in records.items():
        row = trials.loc[name]
        assert (row.seconds, row.epochs, row.attempts) == (record.seconds, record.epoch, record.attempts)
        assert row["val/few/mae"] == record.metrics["val/few/mae"]
    assert set(found.trials.columns) >= {*TRIAL, *KNOBS, "stage1/val/few/gm", "fit/r2"}
    assert list(found.trials.columns)[: len(TRIAL) + len(KNOBS)] == [*TRIAL, *KNOBS]
    assert (found.folder.path, list(found.spec.searched)) == (finished_sweep, KNOBS)


@pytest.mark.slow
def test_rank_and_winner_are_the_leaderboards(finished_sweep: Path):
    trials = dirsweep.load_sweep(str(finished_sweep)).trials
    shown = report.load(finished_sweep)
    ranked = trials.dropna(subset="rank").sort_values("rank")
    assert list(ranked.trial) == [trial.trial for trial in shown.ranked]
    assert list(trials.trial[trials.is_best]) == [shown.best.trial]
    assert set(trials.trial[trials.is_pareto]) == shown.pareto != set()


@pytest.mark.slow
def test_knobs_are_what_a_trial_ran_with_so_controls_show_what_they_change(finished_sweep: Path):
    trials = dirsweep.load_sweep(finished_sweep).trials.set_index("trial")
    best = trials.index[trials.is_best][0]
    asked = sweeping.trials(finished_sweep)[best].params
    assert {name: trials.loc[best, name] for name in asked} == asked
    assert trials.loc[f"{best}-mu0", "stage2.norm_weight"] == 0
    assert trials.loc[f"{best}-mu0", "stage1.norm_ordinality.name"] == asked["stage1.norm_ordinality.name"]
    assert trials.loc[f"{best}-plain", "stage1.norm_ordinality.name"] == "none"
    assert trials.loc[f"{best}-plain", ["stage2.norm_weight", "stage2.schedule.epochs"]].isna().all()
    hinge = trials["stage1.norm_ordinality.name"] == "hinge"
    assert trials.loc[hinge, "stage1.norm_ordinality.tau"].isna().all()
    assert trials.loc[f"{best}-seed2", KNOBS].equals(trials.loc[best, KNOBS])
    assert (trials.loc[best, "seed"], trials.loc[f"{best}-seed2", "seed"]) == (0, 1)


@pytest.mark.slow
def test_columns_have_types_that_a_missing_value_does_not_change(finished_sweep: Path):
    found = dirsweep.load_sweep(finished_sweep)
    for frame, types in ((found.trials, TRIAL), (found.epochs, EPOCH), (found.bins, BIN)):
        wanted = {name: pd.Series(dtype=dtype).dtype for name, dtype in types.items() if name != "stage"}
        assert {name: frame.dtypes[name] for name in wanted} == wanted
    assert [str(found.trials.dtypes[name]) for name in KNOBS] == ["string", "float64", "float64", "Int64"]
    assert list(found.bins["shot"].cat.categories) == ["many", "median", "few"]
    assert {"stage1", "stage2"} == set(found.epochs.stage.cat.categories)


@pytest.mark.slow
def test_epochs_are_the_trials_own_records_and_say_what_was_reused(finished_sweep: Path):
    found = dirsweep.load_sweep(finished_sweep)
    for name, record in sweeping.trials(finished_sweep).items():
        if not record.attempts:
            continue
        own = found.epochs[found.epochs.trial == name]
        records = read_records(Folder(finished_sweep / "trials" / name))
        assert list(own.epoch) == [record["epoch"] for record in records] == list(range(1, len(own) + 1))
        assert list(own["val/all/gm"]) == [record["metrics"]["val/all/gm"] for record in records]
    best = found.trials.trial[found.trials.is_best].item()
    mu0 = found.epochs[found.epochs.trial == f"{best}-mu0"]  # its stage 1 is the winner's
    assert list(mu0.reused) == list(mu0.stage == "stage1")


@pytest.mark.slow
def test_bins_are_the_tables_of_all_finished_trials(finished_sweep: Path):
    bins = dirsweep.load_sweep(finished_sweep).bins
    assert list(bins.columns) == list(BIN)
    records = sweeping.trials(finished_sweep)
    assert set(bins.trial) == set(records)
    for name, own in bins.groupby("trial"):
        ran = name if records[name].attempts else records[name].reason.removeprefix("same configuration as ")
        table = pd.read_csv(finished_sweep / "trials" / ran / "bins.csv")
        pd.testing.assert_series_equal(own.norm.reset_index(drop=True), table.norm, check_exact=True)
        assert list(own["shot"]) == list(table["shot"])


@pytest.mark.slow
def test_a_control_that_did_not_run_has_the_rows_of_the_same_configuration(finished_sweep: Path):
    found = dirsweep.load_sweep(finished_sweep)
    [name] = found.trials.trial[found.trials.attempts == 0]
    assert name.endswith("-plain")  # the same as default-plain: only stage 2 and norm ordinality are searched
    for frame in (found.epochs, found.bins):
        mine, twins = (frame[frame.trial == one].drop(columns="trial") for one in (name, "default-plain"))
        pd.testing.assert_frame_equal(mine.reset_index(drop=True), twins.reset_index(drop=True))
        assert len(mine) > 0


@pytest.mark.slow
def test_an_unfinished_sweep_has_what_there_is(finished_sweep: Path, tmp_path: Path):
    folder = shutil.copytree(finished_sweep, tmp_path / "tiny-1")
    lines = (folder / FILE).read_bytes().splitlines(keepends=True)
    reported = [place for place, line in enumerate(lines) if b'"kind":"report","trial":"2"' in line]
    (folder / FILE).write_bytes(b"".join(lines[: reported[1] + 1]))  # in the midst of trial 2
    shutil.rmtree(folder / "trials" / "2")
    found = dirsweep.load_sweep(folder)
    trials = found.trials.set_index("trial")
    assert list(trials.index)[:5] == ["default-plain", "default-mu0", "0", "1", "2"]
    assert trials.loc["2", "state"] == "OPEN"
    assert pd.isna(trials.loc["2", "rank"])
    assert pd.isna(trials.loc["2", "fit/r2"])
    own = found.epochs[found.epochs.trial == "2"]  # its records are gone: the ledger's reports
    assert list(own.epoch) == [1, 2]
    assert own["val/few/mae"].notna().all()
    assert "2" not in set(found.bins.trial)
    assert dirsweep.load_sweep(finished_sweep).trials.columns.equals(found.trials.columns)


def test_a_sweep_without_a_trial_has_empty_tables_with_their_columns(tmp_path: Path):
    begun(tmp_path / "new")
    found = dirsweep.load_sweep(tmp_path / "new")
    assert list(found.trials) == [*TRIAL, "stage2.norm_weight", "stage1.optimizer.lr"]
    assert list(found.epochs) == list(EPOCH)
    assert list(found.bins) == list(BIN)
    assert [len(frame) for frame in (found.trials, found.epochs, found.bins)] == [0, 0, 0]


def test_a_trial_whose_values_did_not_go_together_shows_what_was_asked(tmp_path: Path):
    ledger = begun(tmp_path / "s")
    ledger.write("ask", trial="0", params={"stage2.norm_weight": -1.0}, attrs={})
    ledger.write("tell", trial="0", state="FAIL", epoch=0, seconds=0.0, metrics={}, reason="no such weight")
    [row] = dirsweep.load_sweep(tmp_path / "s").trials.itertuples()
    assert (row.state, row.reason, row.attempts) == ("FAIL", "no such weight", 0)
    assert pd.isna(row.seed)


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"ledger.jsonl: no such file; .* holds no sweep"):
        dirsweep.load_sweep(tmp_path)
    with pytest.raises(ValueError, match="holds no sweep"):
        dirsweep.load_sweep(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "No columns to parse"), ("bin,low\n0,1.0\n", "no column high, centre, train_count")],
)
def test_a_damaged_table_of_bins_is_named(tmp_path: Path, content: str, said: str):
    ledger = begun(tmp_path / "s")
    ledger.write("ask", trial="0", params={"stage2.norm_weight": 1.0, "stage1.optimizer.lr": 1e-3}, attrs={})
    Folder(tmp_path / "s" / "trials" / "0").put("bins.csv", content.encode())
    with pytest.raises(ValueError, match=rf"trials/0/bins.csv: {said}"):
        dirsweep.load_sweep(tmp_path / "s")


def test_importing_dirsweep_loads_nothing_heavy():
    code = (
        "import sys, dirsweep; print({'pandas', 'numpy', 'torch', 'optuna', 'pydantic'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"


@pytest.mark.slow
def test_the_example_notebook_runs_on_a_real_sweep(
    finished_sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr(sys, "argv", ["notebook.py", str(finished_sweep)])
    left = runpy.run_path(str(ROOT / "docs" / "notebook.py"))
    assert (tmp_path / "tiny-1.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "How strong should the norm term be?" in said
    best = left["winner"].trial
    assert list(left["compared"].index) == [
        "default-plain",
        "default-mu0",
        best,
        f"{best}-plain",
        f"{best}-mu0",
    ]
    assert left["change"].loc[f"{best}-plain", "val/few/mae"] == pytest.approx(
        100 * (left["winner"]["val/few/mae"] / left["compared"].loc[f"{best}-plain", "val/few/mae"] - 1)
    )
