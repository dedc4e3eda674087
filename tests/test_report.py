"""The report of a sweep, from ledgers whose numbers are chosen so that a reader can check them."""

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from dirsweep import report
from dirsweep.ledger import Ledger
from dirsweep.report.numbers import digits, duration, written
from dirsweep.search.spec import read_spec
from dirsweep.storage import Folder
from dirsweep.sweep import Progress

SPACE = """\
question: Which weight is best?
searched: {stage1.norm_ordinality.weight: {uniform: [0.0, 1.0]}}
objectives: [val/all/mae, val/few/mae]
"""
NAN = math.nan


def metrics(mae: float, few: float, zero: float = NAN) -> dict[str, float]:
    """Metrics of a finished trial; no shot is zero-shot, and median is empty."""
    found = {"train/all/spearman": 0.9, "train/few/spearman": NAN, "train/all/out_of_order": 0.25}
    for shot, error, count in (("all", mae, 30), ("many", 2.0, 20), ("median", NAN, 0), ("few", few, 10)):
        found |= {f"val/{shot}/mae": error, f"val/{shot}/gm": error / 2, f"val/{shot}/count": float(count)}
    return found | {"val/zero/mae": zero, "val/zero/count": 0.0}


def begun(folder: Path, space: str = SPACE) -> Ledger:
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(space)
    spec = read_spec(folder / "spec.yaml")
    return Ledger.create(Folder(folder), spec=spec.hash, trials=3)


def add(ledger: Ledger, trial: str, mae: float, few: float, state: str = "COMPLETE", **more: float) -> None:
    """A trial ("7") or a control ("7-plain") that ended."""
    of, _, control = trial.partition("-")
    if control:
        ledger.write("control", trial=trial, of=of, control=control, params={})
    else:
        ledger.write("ask", trial=trial, params={"stage1.norm_ordinality.weight": 0.5}, attrs={})
    kept = metrics(mae, few) | more if state == "COMPLETE" else {}
    ledger.write("tell", trial=trial, state=state, epoch=3, seconds=1.5, metrics=kept, reason="too bad")


@pytest.fixture
def sweep(tmp_path) -> Path:
    """Trial 1 is best on all labels, trial 0 on few; trial 2 failed."""
    folder = tmp_path / "sweeps" / "weight-1"
    ledger = begun(folder)
    for trial, mae, few in (("default-plain", 8.0, 20.0), ("default-mu0", 8.5, 19.0)):
        add(ledger, trial, mae, few)
    add(ledger, "0", 6.0, 10.0)
    add(ledger, "1", 4.0, 12.0)
    add(ledger, "2", NAN, NAN, "FAIL")
    add(ledger, "1-plain", 5.0, 16.0)
    add(ledger, "1-mu0", 4.0, 15.0)
    return folder


def shown(picture: object, width: int = 100) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(picture, crop=False)
    return console.file.getvalue().splitlines()


def row(lines: list[str], label: str) -> list[str]:
    (found,) = [line for line in lines if line.strip().startswith(label) and "against" not in line]
    return found.strip().removeprefix(label).split()


# ---- leaderboard


def test_the_winner_leads_with_errors_of_every_shot_and_its_seconds(sweep):
    lines = shown(report.leaderboard(report.load(sweep)))
    assert row(lines, "1 best") == ["4.00", "2.00", "-", "12.0", "2.00", "1.00", "-", "6.00", "1.5"]
    assert row(lines, "0 pareto")[:4] == ["6.00", "2.00", "-", "10.0"]


def test_a_benchmark_of_squared_errors_shows_them_beside_correlations(tmp_path):
    space = SPACE.replace("objectives: [val/all/mae, val/few/mae]", "objectives: [val/all/mse]")
    ledger = begun(tmp_path / "s", "fixed: {dataset: sts_b_dir}\n" + space)
    for trial, mse in (("0", 0.5), ("0-plain", 0.8), ("default-plain", 0.9)):
        more = {"val/all/mse": mse, "val/few/mse": 2 * mse, "val/all/pearson": 0.75}
        add(ledger, trial, 1.0, 2.0, **more)
    text = "\n".join(lines := shown(report.leaderboard(report.load(tmp_path / "s"))))
    assert row(lines, "0 best") == ["0.500", "-", "-", "1.00", "0.750", "-", "-", "-", "1.5"]
    assert "MSE of 0 against 0-plain: all -37.5%, many -, median -, few -37.5%." in text
    said = " ".join(text.split())
    assert "Shots by the benchmark's published list, not by the rule" in said
    assert "r: Pearson's correlation" in said


def test_sample_counts_stand_over_the_columns(sweep):
    lines = shown(report.leaderboard(report.load(sweep)))
    assert row(lines, "samples") == ["30", "20", "0", "10", "30", "20", "0", "10", "seconds"]


def test_the_controls_of_the_winner_and_of_the_default_follow(sweep):
    lines = shown(report.leaderboard(report.load(sweep)))
    assert [row(lines, name)[0] for name in ("1-plain", "1-mu0", "default-plain", "default-mu0")] == [
        "5.00",
        "4.00",
        "8.00",
        "8.50",
    ]


def test_the_winner_is_compared_with_each_control(sweep):
    text = "\n".join(shown(report.leaderboard(report.load(sweep))))
    assert "MAE of 1 against 1-plain: all -20.0%, many +0.0%, median -, few -25.0%." in text


def test_a_reader_is_told_that_the_best_of_n_is_optimistic(sweep):
    assert "The best of 2 trials, so its val figure is optimistic" in "\n".join(
        shown(report.leaderboard(report.load(sweep)))
    )


def test_a_reader_is_told_where_everything_is(sweep, monkeypatch):
    monkeypatch.chdir(sweep.parent.parent)
    text = "\n".join(shown(report.leaderboard(report.load(sweep)), width=60))
    for said in (
        "dirsweep train sweeps/weight-1/best.yaml",
        "sweeps/weight-1/trials/1/",
        "make ui, or dirsweep ui --storage sweeps",
    ):
        assert said in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits(sweep, width):
    lines = shown(report.leaderboard(report.load(sweep)), width)
    assert all(len(line) <= width for line in lines if "/" not in line)
    assert len(row(lines, "default-plain")) == 9


def test_only_five_trials_are_listed(tmp_path):
    ledger = begun(tmp_path / "a")
    for trial in range(7):
        add(ledger, str(trial), 5.0 + trial, 5.0 + trial)
    lines = shown(report.leaderboard(report.load(tmp_path / "a")))
    assert row(lines, "4 ")[0] == "9.00"
    assert not [line for line in lines if line.strip().startswith("5 ")]


def test_a_control_that_failed_says_so(tmp_path):
    ledger = begun(tmp_path / "a")
    add(ledger, "0", 6.0, 10.0)
    add(ledger, "0-plain", NAN, NAN, "FAIL")
    lines = shown(report.leaderboard(report.load(tmp_path / "a")))
    assert row(lines, "0-plain") == ["failed"]
    assert not any("against 0-plain" in line for line in lines)


def test_reasons_of_failures_are_named_once_each_and_not_without_end(tmp_path):
    ledger = begun(tmp_path / "a")
    add(ledger, "0", 6.0, 10.0)
    add(ledger, "1", NAN, NAN, "FAIL")
    add(ledger, "2", NAN, NAN, "FAIL")
    assert "Failed: 1, 2: too bad" in shown(report.leaderboard(report.load(tmp_path / "a")))
    for trial in range(3, 9):
        ledger.write("ask", trial=str(trial), params={})
        fields = {"epoch": 0, "seconds": 0.0, "metrics": {}, "reason": f"reason {trial}"}
        ledger.write("tell", trial=str(trial), state="FAIL", **fields)
    lines = shown(report.leaderboard(report.load(tmp_path / "a")))
    assert sum(line.startswith("Failed: ") for line in lines) == 5
    assert "Failed for 2 other reasons too, which --html and --json name." in lines


def test_notes_that_differ_in_numbers_alone_are_told_once_and_hide_no_other(tmp_path):
    ledger = begun(tmp_path / "a")
    for trial in range(9):
        ledger.write("ask", trial=str(trial), params={})
        ledger.write("note", trial=str(trial), text=f"R2 is 0.{trial}, below 0.5")
    ledger.write("note", trial="8", text="checkpoint 7 is damaged")
    ledger.write("note", trial="8", text="checkpoint 8 is damaged")
    assert report.damage(report.load(tmp_path / "a")) == [
        "0, 1, 2, 3, 4, 4 more: R2 is 0.0, below 0.5 (the numbers are those of 0)",
        "8: checkpoint 7 is damaged",
        "8: checkpoint 8 is damaged",
    ]


def test_a_sweep_without_a_result_says_why(tmp_path):
    ledger = begun(tmp_path / "a")
    assert "No winner yet: no trial is complete." in shown(report.leaderboard(report.load(tmp_path / "a")))
    add(ledger, "0", NAN, NAN, "FAIL")
    text = "\n".join(shown(report.leaderboard(report.load(tmp_path / "a"))))
    assert "No winner: no trial is complete. Trial 0 failed: too bad" in text


def test_a_sweep_whose_trials_all_break_a_constraint_has_no_winner(tmp_path):
    ledger = begun(tmp_path / "a", SPACE + "constraints: [{metric: val/many/mae, at_most: 1.0}]\n")
    add(ledger, "0", 6.0, 10.0)
    found = report.load(tmp_path / "a")
    assert found.best is None
    assert "every complete trial is over a constraint" in "\n".join(shown(report.leaderboard(found)))


def test_a_constraint_that_cannot_be_judged_yet_is_named(tmp_path):
    relative = "constraints: [{metric: val/many/mae, at_most: 1.0, of: default-plain}]\n"
    ledger = begun(tmp_path / "a", SPACE + relative)
    add(ledger, "0", 6.0, 10.0)
    found = report.load(tmp_path / "a")
    assert found.best is None
    assert "No winner yet: constraint" in "\n".join(shown(report.leaderboard(found)))


def test_one_objective_marks_no_pareto_set(tmp_path):
    ledger = begun(tmp_path / "a", SPACE.replace(", val/few/mae", ""))
    add(ledger, "0", 6.0, 10.0)
    add(ledger, "1", 7.0, 9.0)
    assert not any("pareto" in line for line in shown(report.leaderboard(report.load(tmp_path / "a"))))


def test_a_ledger_cut_short_is_read_and_said_to_be(sweep):
    file = sweep / "ledger.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    found = report.load(sweep)
    assert found.trials["1-mu0"].state == "OPEN"
    assert "1 record(s) were cut short" in "\n".join(shown(report.leaderboard(found), width=300))


def test_a_folder_without_a_sweep_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"ledger\.jsonl: no such file"):
        report.load(tmp_path)


def test_where_all_repeats_break_a_constraint_the_best_of_the_others_leads_and_it_is_said(tmp_path):
    rest = "constraints: [{metric: val/few/mae, at_most: 10.0}]\nrepeats: {seeds: 2, top: 1}\n"
    ledger = begun(tmp_path / "a", SPACE + rest)
    add(ledger, "0", 4.0, 9.0)
    add(ledger, "1", 5.0, 9.5)
    add(ledger, "0-seed2", 4.0, 13.0)
    found = report.load(tmp_path / "a")
    assert found.best.trial == "1"
    said = " ".join(" ".join(shown(report.leaderboard(found))).split())
    assert "each trial ran with one seed" not in said
    assert (
        "none of the trials that were to run with 2 seeds (0) is complete with all of them and keeps the "
        "constraints by its means, so the best of the others leads"
    ) in said


# ---- JSON


def test_json_holds_trials_controls_and_the_best(sweep):
    tree = report.as_json(report.load(sweep))
    assert set(tree) == {"trials", "controls", "repeats", "spent", "best"}
    assert [trial["number"] for trial in tree["trials"]] == [0, 1, 2]
    assert [trial["status"] for trial in tree["trials"]] == ["COMPLETE", "COMPLETE", "FAIL"]
    assert set(tree["trials"][0]) == {"number", "status", "reason", "params", "metrics", "seconds"}
    assert tree["best"] == tree["trials"][1]
    assert [(one["name"], one["of"], one["control"]) for one in tree["controls"]][-1] == ("1-mu0", "1", "mu0")


def test_json_has_null_for_nan(sweep):
    tree = json.loads(json.dumps(report.as_json(report.load(sweep)), allow_nan=False))
    assert tree["best"]["metrics"]["val/median/mae"] is None
    assert tree["best"]["metrics"]["val/all/mae"] == 4.0


def test_json_of_a_sweep_without_a_winner_has_a_null_best(tmp_path):
    begun(tmp_path / "a")
    assert report.as_json(report.load(tmp_path / "a")) == {
        "trials": [],
        "controls": [],
        "repeats": [],
        "spent": {"trainer_seconds": 0, "reused_seconds": 0, "parents": 0, "children": 0},
        "best": None,
    }


# ---- one trial


def test_a_trial_with_two_stages_shows_both():
    found = metrics(4.0, 12.0) | {"fit/r2": 0.5, "fit/majority_bins": 7.0, "stage1/val/all/mae": 5.0}
    lines = shown(report.trial_table(found))
    assert "MAE after stage 1" in "\n".join(lines)
    assert row(lines, "all")[:3] == ["30", "5.00", "4.00"]


def test_a_trial_of_one_stage_shows_one():
    lines = shown(report.trial_table(metrics(4.0, 12.0)))
    assert row(lines, "few") == ["10", "12.00", "6.00"]
    assert "majority line" not in "\n".join(lines)


def test_the_order_of_the_norms_is_put_in_words():
    found = metrics(4.0, 12.0) | {"fit/r2": 0.5, "fit/majority_bins": 7.0}
    text = " ".join(shown(report.trial_table(found), width=200))
    assert "all Spearman 0.90, few Spearman -, 25% out of order; majority line R2 0.50 over 7 bins" in text


# ---- progress


def test_a_line_of_progress_counts_trials_and_shows_the_best():
    best = {"val/all/mae": 801.2, "val/many/mae": 312.0, "val/few/mae": 1370.0}
    told = report.line(Progress(total=24, done=3, running=2, failed=1, best=best, seconds=13.2, left=100.0))
    assert told == (
        "      13 s  3 of 24 trials and 0 controls done, 2 running, 1 failed, 0 pruned; "
        "best MAE: all 801, many 312, median -, few 1,370; about 1 min 40 s left"
    )


def test_a_picture_of_progress_shows_mae_and_gm_of_every_shot():
    best = {"val/all/mae": 801.2, "val/few/gm": 700.0}
    lines = shown(report.draw(Progress(total=4, done=2, best=best, message="trial 1 is complete")))
    assert row(lines, "val MAE") == ["801", "-", "-", "-"]
    assert row(lines, "val GM") == ["-", "-", "-", "700"]
    assert "trial 1 is complete" in lines


def test_an_epoch_is_one_line():
    record = {"epoch": 2, "of": 30, "stage": "stage1", "seconds": 1.23, "metrics": {"val/all/mae": 0.0123}}
    assert report.epoch_line(record) == (
        "epoch  2 of 30  stage1  1.2 s  val MAE: all 0.0123, many -, median -, few -"
    )


# ---- numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1370.4, "1,370"),
        (801.26, "801"),
        (12.345, "12.3"),
        (0.012345, "0.0123"),
        (0.0, "0"),
        (NAN, "-"),
        (None, "-"),
    ],
)
def test_a_number_has_three_significant_digits(value, text):
    assert written(value) == text


def test_a_column_has_the_digits_of_its_smallest_number():
    assert digits([801.0, 12.3, NAN, None]) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (0.346, "0.35 s"), (12.4, "12 s"), (59.6, "1 min 0 s"), (7500, "2 h 5 min")],
)
def test_a_duration_is_in_words(seconds, text):
    assert duration(seconds) == text


def test_a_report_needs_neither_ray_nor_torch():
    code = (
        "import sys, dirsweep.report; print(sorted({'ray', 'torch', 'mlflow', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_staged_sweep_tells_its_parents_its_children_and_what_a_plain_one_would_have_spent(tmp_path):
    ledger = begun(tmp_path / "a")
    reasons = ("the base: stage 1 without norm ordinality", "parent 2 of 2", "a child of parent 1")
    for trial, (why, weight, reused) in enumerate(zip(reasons, (0.1, 0.2, 0.2), (0, 0, 60.0), strict=True)):
        params = {"stage1.norm_ordinality.weight": weight}
        ledger.write("ask", trial=str(trial), params=params, attrs={}, why=why)
        kept = metrics(4.0, 12.0) | {"reused_seconds": reused}
        ledger.write(
            "tell", trial=str(trial), state="COMPLETE", epoch=3, seconds=20.0, metrics=kept, reason=""
        )
    found = report.load(tmp_path / "a")
    said = "2 stage 1s for 3 trials (1 base, 1 new parent, 1 child); "
    assert said + "a plain sweep would have spent at least 2 min 0 s of training." in "\n".join(
        shown(report.leaderboard(found), 200)
    )
    assert report.as_json(found)["spent"] == {
        "trainer_seconds": 60.0,
        "reused_seconds": 60.0,
        "parents": 2,
        "children": 1,
    }
