"""Several sweeps beside one another: what may stand in one table, and what published figures stand beside."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ledgers
import numpy as np
import pytest
from test_report_html import Seen
from typer.testing import CliRunner

from dirsweep import report
from dirsweep.cli import app
from dirsweep.ledger import Ledger
from dirsweep.published import published
from dirsweep.report import compare
from dirsweep.report.html import compare_page, page
from dirsweep.report.verdict import Compared, Verdict
from dirsweep.search.spec import read_spec
from dirsweep.storage import Folder

TABLE = """\
question: Which weight is best?
searched: {stage1.norm_ordinality.weight: {uniform: [0.0, 1.0]}}
"""
PAIRS = f"fixed: {{dataset: sts_b_dir}}\n{TABLE}objectives: [val/all/mse]\n"


def sweep(folder: Path, *maes: float, data: str = "d" * 64, space: str = TABLE) -> Path:
    """Trials with these errors over all labels, and the winner's plain control, which errs by 10."""
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(space)
    ledger = Ledger.create(Folder(folder), spec=read_spec(folder / "spec.yaml").hash, trials=3, data=data)
    names = [*map(str, range(len(maes))), *([f"{np.argmin(maes)}-plain"] if maes else [])]
    for name, mae in zip(names, (*maes, 10.0), strict=False):
        of, _, control = name.partition("-")
        params = {"stage1.norm_ordinality.weight": 0.5}
        if control:
            ledger.write("control", trial=name, of=of, control=control, params=params)
        else:
            ledger.write("ask", trial=name, params=params, attrs={})
        ledger.write("start", trial=name, attempt=1)
        told = ledgers.metrics(mae, 2 * mae, np.random.default_rng(0))
        told |= {f"val/{shot}/pearson": 0.75 for shot in ("all", "many", "median", "few")}
        ledger.write("tell", trial=name, state="COMPLETE", epoch=3, seconds=1.5, metrics=told, reason="")
    ledger.write("end", why="finished")
    return folder


def groups(*folders: Path) -> list[compare.Comparable]:
    return compare.comparable([report.load(folder) for folder in folders])


@pytest.fixture
def run(monkeypatch, tmp_path) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["compare", *arguments])


def test_sweeps_on_the_same_data_stand_in_one_table(run, tmp_path):
    sweep(tmp_path / "sweeps" / "a", 5.0, 4.0)
    sweep(tmp_path / "sweeps" / "b", 3.0)
    said = run("a", "b").output
    assert said.count("MAE") >= 4
    assert re.search(r"a: two_stage, 2 trials", said)
    assert re.search(r"1 winner +4\.00", said)
    assert re.search(r"0 winner +3\.00", said)
    assert len(re.findall(r"-plain +10\.0", said)) == 2
    assert "cannot be held against one another" not in said


def test_sweeps_on_other_data_or_bins_stand_apart_and_it_says_why(run, tmp_path):
    sweep(tmp_path / "sweeps" / "a", 5.0)
    sweep(tmp_path / "sweeps" / "b", 3.0, data="e" * 64)
    said = " ".join(run("a", "b").output.split())
    assert "2 tables: these sweeps ran on different data, bins, shots or splits" in said
    assert said.index("data dddddddddddd") < said.index("a: two_stage") < said.index("data eeeeeeeeeeee")


def test_without_a_verdict_it_says_that_nothing_is_decided(run, tmp_path):
    sweep(tmp_path / "sweeps" / "a", 5.0)
    said = " ".join(run("a").output.split())
    assert "a: no verdict, so val figures decide nothing; `dirsweep finalize sweeps/a` makes one." in said


def test_a_sweep_without_a_winner_is_told_of(run, tmp_path):
    sweep(tmp_path / "sweeps" / "a")
    sweep(tmp_path / "sweeps" / "b", 3.0)
    said = run("a", "b").output
    assert "a: no winner, 0 trials" in said
    assert "a: No winner yet: no trial is complete." in said


def test_published_figures_are_of_test_and_stand_beside_no_val_figure(tmp_path):
    (group,) = groups(sweep(tmp_path / "a", 0.9, space=PAIRS))
    assert group.metrics == ("mse", "pearson")
    rows = compare.tested(group)
    assert {row.name for row in rows} >= {"vanilla", "ranksim"}
    assert not [row for row in rows if row.source.startswith("ours")]  # no verdict, so none on test
    vanilla = next(row for row in published("sts_b_dir", "dir") if row.method == "vanilla")
    row = next(row for row in rows if row.name == "vanilla" and row.source.startswith(vanilla.source))
    assert row.written["mse", "few"] == vanilla.written["few"]
    assert row.written["pearson", "all"] == "74.2"
    note = compare.test_note(group)
    assert "no sweep here has opened test" in note
    assert "Published rows are of test too" in note


def test_the_terminal_tells_which_published_rows_were_not_read_at_their_source(run, tmp_path):
    sweep(tmp_path / "sweeps" / "a", 0.9, space=PAIRS)
    said = run("a").output
    assert said.count("[secondary]") > 2  # no markup of the terminal's
    flat = " ".join(said.split())
    assert "Errors on val, in squared label units (MSE). r: Pearson's correlation of predictions and" in flat
    assert "labels, higher" in flat


def test_published_figures_stand_beside_no_other_shots(run, tmp_path):
    by_rule = PAIRS.replace("dataset: sts_b_dir", "dataset: {name: sts_b_dir, shots: rule}")
    folder = sweep(tmp_path / "sweeps" / "a", 0.9, space=by_rule)
    (group,) = groups(folder)
    assert compare.tested(group) == []
    said = "Published figures are left out: the sweeps cut their shots by the rule"
    assert said in " ".join(run("a").output.split())
    assert said in Seen(compare_page([group])).said


@pytest.mark.parametrize(("few", "shown"), [(74, True), (73, False)])
def test_published_figures_stand_beside_none_of_other_test_samples(tmp_path, few, shown):
    (group,) = groups(sweep(tmp_path / "a", 0.9, space=PAIRS))
    one = Compared("0", "plain", "few", -0.1, -0.2, 0.1, 0.5, "better", True, 5, few, "t")
    judged = Verdict("0", True, 5, 1000, 1, 0.0, 9.0, "mse", (), (one,), {}, ())
    entry = dataclasses.replace(group.entries[0], verdict=judged)
    group = dataclasses.replace(group, entries=(entry,))
    assert bool(compare.tested(group)) == shown
    assert group.unlike == ("" if shown else "few has 73 test samples, the benchmark's 74")


def test_a_folder_of_faces_of_ones_own_has_no_published_figures_until_test_is_counted(tmp_path):
    space = f"fixed: {{dataset: {{name: agedb_dir, path: {tmp_path}}}}}\n{TABLE}"
    (group,) = groups(sweep(tmp_path / "a", 5.0, space=space))
    assert compare.tested(group) == []
    assert "a folder of one's own" in compare.left_out(group)
    (group,) = groups(sweep(tmp_path / "b", 5.0, space=f"fixed: {{dataset: agedb_dir}}\n{TABLE}"))
    assert compare.tested(group)
    assert compare.left_out(group) == ""


def test_our_own_data_have_no_published_figures(tmp_path):
    (group,) = groups(sweep(tmp_path / "a", 0.9))
    assert compare.tested(group) == []


def test_our_test_figures_stand_beside_the_published_ones(tmp_path):
    folder = sweep(tmp_path / "a", 0.9, space=PAIRS)
    config = report.load(folder).spec.config({"stage1.norm_ordinality.weight": 0.5}).model_dump(mode="json")
    estimate = {"estimate": 0.912, "low": 0.8, "high": 1.0, "spread": 0.01}
    verdict = {
        "facts": {"seeds": [1, 2, 3, 4, 5], "test": 1000, "seconds": 9.0, "notes": []},
        "opening": {"number": 1, "elsewhere": 0, "time": 1.0},
        "finalists": [{"name": "0", "config": config, "meaning": ""}],
        "controls": [],
        "ablation": [],
        "left_out": [],
        "errors": [
            {"configuration": "0", "shot": "all", "mse": estimate, "pearson": estimate | {"estimate": 0.761}}
        ],
        "comparisons": [],
    }
    Folder(folder / "finalize").put("verdict.json", json.dumps(verdict).encode())
    (group,) = groups(folder)
    first = compare.tested(group)[0]
    assert (first.name, first.source) == ("a: trial 0", "ours, 5 seeds")
    assert first.written == {("mse", "all"): "0.912", ("pearson", "all"): "76.1"}  # published in percent


def test_a_repeated_winner_stands_by_its_mean_and_by_the_seed_of_its_controls(run, tmp_path):
    folder = tmp_path / "sweeps" / "a"
    sweep(folder, 3.0, 3.5, space=f"{TABLE}repeats: {{seeds: 2, top: 1}}\nobjectives: [val/all/mae]\n")
    ledger = Ledger.open(Folder(folder))
    ledger.write("control", trial="0-seed2", of="0", control="seed2", params={})
    told = ledgers.metrics(5.0, 10.0, np.random.default_rng(0))
    ledger.write("tell", trial="0-seed2", state="COMPLETE", epoch=3, seconds=1.5, metrics=told, reason="")
    found = Seen(compare_page(groups(folder)))
    rows = found.data("table-val-1-rows")["rows"]
    assert [(texts[1], keys[3]) for _, _, texts, keys in rows] == [
        ("0 (winner, 2 seeds)", 4.0),
        ("0 (winner, first seed)", 3.0),
        ("0-plain (control)", 10.0),
    ]
    line = found.data("figures")["plot-pareto-1"]["data"][1]
    assert line["x"] == [4.0]  # not 3.5, of one seed
    assert "the front is of trials with 2 seeds" in found.said
    said = " ".join(run("a").output.split())
    assert "0 winner, 2 seeds 4.0" in said
    assert "0 winner, first seed 3.0" in said
    assert "its controls ran with one, so hold them against the first" in said


def test_controls_without_a_result_are_named(run, tmp_path):
    folder = sweep(tmp_path / "sweeps" / "a", 3.0)
    ledger = Ledger.open(Folder(folder))
    for name, of in (("0-mu0", "0"), ("default-plain", "default")):
        ledger.write("control", trial=name, of=of, control=name.split("-")[1], params={})
    ledger.write("tell", trial="0-mu0", state="FAIL", epoch=1, seconds=1.5, metrics={}, reason="loss is NaN")
    words = "ithout a result: 0-mu0 (failed), default-plain (open)."
    assert f"a: w{words}" in " ".join(run("a").output.split())
    assert f"W{words}" in Seen(compare_page(groups(folder))).said


def test_no_page_calls_a_correlation_an_error(tmp_path):
    folder = sweep(tmp_path / "a", 0.9, space=PAIRS)
    correlation = "r: Pearson's correlation of predictions and labels, higher is better."
    one, several = Seen(page(report.load(folder))), Seen(compare_page(groups(folder)))
    assert f"Errors on val, in squared label units (MSE). {correlation}" in one.said
    assert f"Errors on val, in squared label units (MSE). {correlation}" in several.said
    assert f"r 0.750 over all labels. {correlation}" in one.said  # the first screen
    (priced,) = groups(sweep(tmp_path / "b", 5.0))
    assert "Errors on val, in dollars (MAE, GM). A winner" in compare.val_note(priced)


def test_a_sweep_is_named_once(tmp_path):
    folder = sweep(tmp_path / "a", 5.0)
    with pytest.raises(ValueError, match="the sweep is there twice; name each once"):
        groups(folder, folder)


def test_sweeps_of_one_name_go_by_their_folders(tmp_path):
    (group,) = groups(sweep(tmp_path / "x" / "a", 5.0), sweep(tmp_path / "y" / "a", 4.0))
    assert [one.name for one in group.entries] == [str(tmp_path / "x" / "a"), str(tmp_path / "y" / "a")]


def test_the_page_holds_a_section_for_each_kind_of_data(run, tmp_path):
    a = sweep(tmp_path / "a", 5.0, 4.0)
    b = sweep(tmp_path / "b", 0.9, space=PAIRS, data="e" * 64)
    found = Seen(compare_page(groups(a, b)))
    assert {"data-1", "data-2", "cost", "provenance"} <= set(found.ids)
    assert set(found.data("figures")) <= set(found.ids)
    rows = found.data("table-val-1-rows")["rows"]
    assert [texts[:2] for _, _, texts, _ in rows] == [["a", "1 (winner)"], ["a", "1-plain (control)"]]
    assert rows[0][3][3] == 4.0
    front = found.data("figures")["plot-pareto-1"]["data"][0]
    assert (front["x"], front["y"]) == ([4.0, 5.0], [8.0, 10.0])
    published_rows = found.data("table-test-2-rows")["rows"]
    assert any(texts[0] == "ranksim" for _, _, texts, _ in published_rows)
    assert "table-test-1" not in found.ids
    assert len(found.run) == 2


def test_the_command_writes_the_page(run, tmp_path):
    sweep(tmp_path / "sweeps" / "a", 5.0)
    assert run("a", "--html", "c.html").output == "wrote c.html\n"
    assert "dirsweep compare" in (tmp_path / "c.html").read_text()
    refused = run("a", "--html", "nowhere/c.html").exception
    assert "there is no folder" in str(refused)
