"""The page of a sweep: what it holds, that it loads nothing, and that no text of a sweep runs in it."""

import base64
import dataclasses
import hashlib
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ledgers
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dirsweep import report
from dirsweep.cli import app
from dirsweep.data import Split
from dirsweep.finalize import files
from dirsweep.finalize.judge import judged, shot_errors
from dirsweep.finalize.opening import Opening
from dirsweep.finalize.page import Facts
from dirsweep.finalize.plan import Comparison, Plan, Row
from dirsweep.intervals import difference_interval
from dirsweep.ledger import Ledger
from dirsweep.report import verdict
from dirsweep.report.html import board, page
from dirsweep.report.html.differences import differences
from dirsweep.report.html.markup import data_block
from dirsweep.report.html.parallel import ABSENT
from dirsweep.search.spec import read_spec
from dirsweep.shots import Bins, Shots
from dirsweep.storage import Folder

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> <!-- & \u2028 \"'"
SECTIONS = [
    *("differences", "leaderboard", "pareto", "parallel", "importance", "history", "norms", "errors"),
    *("ended", "cost", "provenance"),
]
FIGURES = {"plot-differences", "plot-pareto", "plot-parallel", "plot-importance", "plot-history"}
PANELS = {f"plot-{kind}-{place}" for kind in ("norms", "errors") for place in range(3)}


@dataclass
class Seen(HTMLParser):
    """A page, taken apart as a browser does."""

    text: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    scripts: list[tuple[dict[str, str | None], str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    _inside: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        elif self._inside != "style":
            self.words.append(data)

    def data(self, identity: str) -> Any:
        """The JSON of a script element."""
        (found,) = [text for attributes, text in self.scripts if attributes.get("id") == identity]
        return json.loads(found)

    @property
    def run(self) -> list[str]:
        """The scripts that a browser runs."""
        return [text for attributes, text in self.scripts if attributes.get("type") != "application/json"]

    @property
    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.tags if "id" in attributes]

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())


def seen(folder: Path) -> Seen:
    return Seen(page(report.load(folder)))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """Forty trials, some pruned and some failed, with controls."""
    folder = tmp_path_factory.mktemp("paper") / "all-1"
    ledgers.write(folder, 40)
    return folder


@pytest.fixture(scope="module")
def found(sweep) -> Seen:
    return seen(sweep)


def begun(folder: Path, space: str) -> Ledger:
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(space)
    return Ledger.create(Folder(folder), spec=read_spec(folder / "spec.yaml").hash, trials=3)


SMALL = """\
question: Which weight is best?
searched: {stage1.norm_ordinality.weight: {uniform: [0.0, 1.0]}}
"""


def add(
    ledger: Ledger, trial: str, mae: float, state: str = "COMPLETE", reason: str = "", **params: Any
) -> None:
    of, _, control = trial.partition("-")
    searched = {"stage1.norm_ordinality.weight": 0.5} | params
    if control:
        ledger.write("control", trial=trial, of=of, control=control, params={})
    else:
        ledger.write("ask", trial=trial, params=searched, attrs={})
    ledger.write("start", trial=trial, attempt=1)
    kept = ledgers.metrics(mae, 2 * mae, np.random.default_rng(0)) if state == "COMPLETE" else {}
    if state != "OPEN":
        ledger.write("tell", trial=trial, state=state, epoch=3, seconds=1.5, metrics=kept, reason=reason)


# ---- one file that loads nothing


def test_the_page_has_every_section_and_a_place_for_every_figure(found):
    assert [place for place in found.ids if place in SECTIONS] == SECTIONS
    assert set(found.data("figures")) == FIGURES | PANELS
    assert set(found.ids) >= FIGURES | PANELS
    assert len(set(found.ids)) == len(found.ids)


def test_the_page_loads_nothing_from_anywhere(found):
    for tag, attributes in found.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert "src" not in attributes
        assert str(attributes.get("href", "#")).startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in found.text.split("<style>")[1].split("</style>")[0]


def test_its_policy_lets_just_its_own_scripts_run(found):
    (policy,) = [
        str(attributes["content"])
        for tag, attributes in found.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in found.run]
    assert len(hashes) == 2  # Plotly's, and ours
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{hashes[0]}' 'sha256-{hashes[1]}';" in policy


def test_the_page_says_its_language_title_and_width_and_can_be_skipped_through(found):
    assert ("html", {"lang": "en"}) in found.tags
    assert "all-1: dirsweep report" in found.said
    assert any(attributes.get("name") == "viewport" for _, attributes in found.tags)
    assert ("a", {"href": "#content", "class": "skip"}) in found.tags
    plots = [attributes for _, attributes in found.tags if attributes.get("class") == "plot"]
    assert len(plots) == len(FIGURES | PANELS)
    assert all(one["role"] == "img" and len(str(one["aria-label"])) > 20 for one in plots)


@pytest.mark.slow
def test_a_page_needs_neither_ray_nor_torch_nor_mlflow(sweep):
    code = (
        "import sys; from pathlib import Path; from dirsweep import report; "
        f"from dirsweep.report.html import page; page(report.load(Path({str(sweep)!r}))); "
        "print(sorted({'ray', 'torch', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- figures that equal the ledger's


def test_the_leaderboard_holds_every_ranked_trial_and_the_controls_with_the_ledgers_figures(sweep, found):
    loaded = report.load(sweep)
    rows = found.data("table-leaderboard-rows")["rows"]
    by_name = {texts[0].split(" ")[0]: keys for _, _, texts, keys in rows}
    best = loaded.best.trial
    controls = {"default-plain", "default-mu0", f"{best}-plain", f"{best}-mu0"}
    assert set(by_name) == {trial.trial for trial in loaded.ranked} | controls
    for place, trial in enumerate(loaded.ranked, 1):
        keys = by_name[trial.trial]
        assert keys[1] == place
        assert keys[2] == trial.metrics["val/all/mae"]
        assert keys[5] == trial.metrics["val/few/mae"]
        assert keys[9] == trial.metrics["val/few/gm"]
        assert keys[14] == trial.seconds
    ours, theirs = (by_name[name][2] for name in (best, "default-plain"))
    assert by_name[best][10] == pytest.approx(100 * (ours / theirs - 1), abs=0.05)
    assert [texts[0] for kind, _, texts, _ in rows if kind == "best"] == [f"{best} (best, pareto)"]


def test_the_leaderboard_has_intervals_of_the_change_that_sort_by_their_upper_end(sweep, found):
    loaded = report.load(sweep)
    best, control = loaded.best, loaded.trials["default-plain"]
    rows = {
        texts[0].split(" ")[0]: (texts, keys)
        for _, _, texts, keys in found.data("table-leaderboard-rows")["rows"]
    }
    ours, theirs = (
        pd.read_csv(sweep / "trials" / name / "val_predictions.csv") for name in (best.trial, "default-plain")
    )
    for place, shot in ((11, "all"), (13, "few")):
        mask = (ours["shot"] == shot).to_numpy() | (shot == "all")
        errors = [(table["prediction"] - table["target"]).to_numpy()[mask][None] for table in (ours, theirs)]
        one = difference_interval(*errors, "mae", clusters=ours["group"].to_numpy()[mask])
        of = control.metrics[f"val/{shot}/mae"]
        texts, keys = rows[best.trial]
        assert keys[place] == pytest.approx(100 * one.high / of)
        assert texts[place] == f"{100 * one.low / of:+.1f}% to {100 * one.high / of:+.1f}%"
        assert rows["default-plain"][0][place] == "-"
        assert rows[f"{best.trial}-mu0"][1][place] is not None
        assert rows[loaded.ranked[1].trial][0][place] == "-"  # it left no files
    assert found.data("table-leaderboard-rows")["columns"][11]["numeric"]
    assert "They sort by their upper end." in found.said


def test_the_best_alone_have_an_interval_where_val_is_large(sweep):
    loaded = report.load(sweep)
    listed, control = list(loaded.trials.values()), loaded.trials["default-plain"]
    large = dataclasses.replace(control, metrics=control.metrics | {"val/all/count": 15_000.0})
    for known, most in ((control, board.MOST), (large, 10)):
        held = board._held(loaded, listed, known)
        assert [one for one in held if one.kind == "ask"] == loaded.ranked[:most]
        assert "default-plain" not in {one.trial for one in held}


def test_tables_sort_by_buttons_that_say_how(found):
    heads = [
        attributes["aria-sort"] for tag, attributes in found.tags if tag == "th" and "aria-sort" in attributes
    ]
    leaderboard = found.data("table-leaderboard-rows")["columns"]
    assert heads[: len(leaderboard)] == ["none", "ascending", *["none"] * (len(leaderboard) - 2)]


def test_the_pareto_front_is_that_of_the_ledger(sweep, found):
    loaded = report.load(sweep)
    traces = {one["name"]: one for one in found.data("figures")["plot-pareto"]["data"]}
    edge = list(zip(traces["front line"]["x"], traces["front line"]["y"], strict=True))
    expected = sorted(
        (trial.metrics["val/all/mae"], trial.metrics["val/few/mae"])
        for trial in loaded.ranked
        if trial.trial in loaded.pareto
    )
    assert edge == expected
    assert traces["plain (control)"]["x"][-1] == loaded.trials["default-plain"].metrics["val/all/mae"]
    winner = traces["winner"]
    assert winner["x"] == [loaded.best.metrics["val/all/mae"]]
    assert "stage2.majority_threshold = " in winner["text"][0]


def test_a_knob_that_a_trial_was_not_asked_for_is_shown_as_such(sweep, found):
    loaded = report.load(sweep)
    figure = found.data("figures")["plot-parallel"]
    names = [*loaded.spec.searched, "val/all/mae"]
    place = names.index("stage1.norm_ordinality.margin")
    lacking = sum(
        trial.state == "COMPLETE" and "stage1.norm_ordinality.margin" not in trial.params
        for trial in loaded.asked
    )
    winner, classes = figure["data"][-1], figure["data"][:-1]
    absent = [
        (x, y) for one in classes for x, y in zip(one["x"], one["y"], strict=True) if y is not None and y < 0
    ]
    assert absent.count((place, ABSENT)) == lacking > 0
    assert any(note["text"] == "not asked" for note in figure["layout"]["annotations"])
    assert winner["name"] == f"winner, trial {loaded.best.trial}"
    # a log axis: the place of a value between its ends is that of its logarithm
    place = names.index("stage2.norm_weight")
    value = loaded.best.params["stage2.norm_weight"]
    assert winner["y"][place] == pytest.approx((math.log10(value) + 3) / 4, abs=1e-3)


def test_a_small_searched_value_keeps_three_digits(tmp_path):
    ledger = begun(tmp_path / "s", SMALL)
    add(ledger, "0", 4.0, **{"stage1.norm_ordinality.weight": 1.42e-6})
    (row,) = [texts for _, _, texts, _ in seen(tmp_path / "s").data("table-leaderboard-rows")["rows"]]
    assert row[-1] == "1.42e-06"


def test_the_history_marks_pruned_and_failed_trials(sweep, found):
    counts = report.load(sweep).states
    traces = found.data("figures")["plot-history"]["data"]
    (failed,) = [one for one in traces if one["name"] == "failed"]
    pruned = [one for one in traces if one["name"].startswith("pruned")]
    assert len(failed["x"]) == counts["FAIL"] > 0
    assert [len(one["x"]) for one in pruned] == [counts["PRUNED"]] * 2  # a panel for each objective
    best = next(one for one in traces if one["name"] == "best so far")
    assert best["y"] == sorted(best["y"], reverse=True)


def test_norms_stand_over_labels_with_the_line_and_its_extension(sweep, found):
    loaded = report.load(sweep)
    table = pd.read_csv(sweep / "trials" / loaded.best.trial / "bins.csv")
    traces = found.data("figures")["plot-norms-0"]["data"]
    marks = [one for one in traces if one["mode"] == "markers"]
    known = table[table["train_count"] > 0]
    assert sorted(value for one in marks for value in one["y"]) == pytest.approx(sorted(known["norm"]))
    hollow = [
        height
        for one in marks
        for height, symbol in zip(one["y"], one["marker"]["symbol"], strict=True)
        if symbol.endswith("-open")
    ]
    assert sorted(hollow) == pytest.approx(sorted(known["norm"][~known["majority"]]))
    assert [one["line"]["dash"] for one in traces if one["mode"] == "lines"] == ["solid", "dash"]
    bare = found.data("figures")["plot-norms-1"]["data"]  # the plain control has no stage 2
    assert all(one["mode"] == "markers" for one in bare)
    assert not any(symbol.endswith("-open") for one in bare for symbol in one["marker"]["symbol"])
    tops = {found.data("figures")[f"plot-norms-{place}"]["layout"]["yaxis"]["range"][1] for place in range(3)}
    assert len(tops) == 1


def test_failed_and_pruned_trials_stand_with_their_reasons(sweep, found):
    rows = found.data("table-ended-rows")["rows"]
    counts = report.load(sweep).states
    assert len(rows) == counts["PRUNED"] + counts["FAIL"]
    assert {texts[2] for kind, _, texts, _ in rows if kind == "failed"} == {"loss is NaN"}
    assert {texts[1] for _, _, texts, _ in rows} == {"failed", "pruned"}


def test_cost_and_provenance_are_the_ledgers(sweep, found):
    loaded = report.load(sweep)
    assert f"{loaded.spent.trainer_seconds:,.1f}" in found.said
    assert "d" * 64 in found.said
    assert loaded.spec.hash in found.said
    assert "budget: {trials: 40}" in found.said


# ---- differences and the verdict


def test_intervals_count_the_subjects_of_val_as_one_sample_each(sweep, found):
    loaded = report.load(sweep)
    best = loaded.best
    ones = {(one.control.trial, one.shot): one for one in differences(loaded, best)}
    assert len(ones) == 16  # four controls in four shots
    one = ones[f"{best.trial}-plain", "few"]
    ours, theirs = (
        pd.read_csv(sweep / "trials" / name / "val_predictions.csv")
        for name in (best.trial, f"{best.trial}-plain")
    )
    few = (ours["shot"] == "few").to_numpy()
    errors = [(table["prediction"] - table["target"]).to_numpy()[few][None] for table in (ours, theirs)]
    expected = difference_interval(*errors, "mae", clusters=ours["group"].to_numpy()[few])
    assert (one.interval.low, one.interval.high) == (expected.low, expected.high)
    assert one.interval.clusters < one.interval.samples
    assert not one.interval.over_seeds
    assert "not new seeds" in found.said


def test_differences_are_parts_of_the_controls_error_of_the_first_seed(tmp_path):
    space = f"{SMALL}repeats: {{seeds: 2, top: 1}}\n"
    ledger = begun(tmp_path / "s", space)
    rng = np.random.default_rng(0)
    for trial, mae in (("0", 3.0), ("0-seed2", 5.0), ("0-plain", 4.0)):  # the mean is 4, as the control
        add(ledger, trial, mae)
        ledgers.files(tmp_path / "s" / "trials" / trial, mae, rng, has_line=True)
    found = seen(tmp_path / "s")
    figure = {one["name"]: one for one in found.data("figures")["plot-differences"]["data"]}
    assert figure["all"]["x"] == pytest.approx([-25.0])
    loaded = report.load(tmp_path / "s")
    (one,) = [one for one in differences(loaded, loaded.best) if one.shot == "all"]
    bar = figure["all"]["error_x"]
    assert -25.0 + bar["array"][0] == pytest.approx(100 * one.interval.high / 4.0)
    assert -25.0 - bar["arrayminus"][0] == pytest.approx(100 * one.interval.low / 4.0)
    assert "0-plain -25.0% -25.0% -25.0% -25.0%" in found.said  # the first screen


def test_predictions_of_other_samples_are_not_paired(tmp_path):
    ledger = begun(tmp_path / "s", SMALL)
    rng = np.random.default_rng(0)
    for trial, mae in (("0", 3.0), ("0-plain", 4.0), ("0-mu0", 4.0)):
        add(ledger, trial, mae)
        ledgers.files(tmp_path / "s" / "trials" / trial, mae, rng, has_line=True)
    other = tmp_path / "s" / "trials" / "0-plain" / "val_predictions.csv"
    table = pd.read_csv(other)
    table.assign(sample=table["sample"] + 1).to_csv(other, index=False)  # as many, but others
    loaded = report.load(tmp_path / "s")
    found = {(one.control.trial, one.shot): one.interval for one in differences(loaded, loaded.best)}
    assert found["0-plain", "all"] is None
    assert found["0-mu0", "all"] is not None


def test_a_control_without_an_error_leaves_no_part_of_it(tmp_path):
    ledger = begun(tmp_path / "s", SMALL)
    for trial, mae in (("0", 4.0), ("0-plain", 0.0)):
        add(ledger, trial, mae)
    assert "0-plain: all -, many -, median -, few -." in seen(tmp_path / "s").said


def test_the_differences_on_val_say_what_their_bars_leave_out(sweep, found):
    (place,) = [attributes for _, attributes in found.tags if attributes.get("id") == "plot-differences"]
    said = str(place["aria-label"])
    assert "over val samples for these two trained models, not over new seeds" in said
    assert "chosen on this same val" in said
    assert "not adjusted for how many they are" in said


def test_without_a_verdict_the_page_says_that_nothing_is_decided(sweep, found):
    assert "Not decided. Val figures of one seed decide nothing." in found.said
    assert f"dirsweep finalize {sweep}" in found.said


def with_verdict(folder: Path, number: str) -> None:
    """The verdict on a trial over five seeds: better than plain everywhere, and than mu0 on few alone."""
    loaded = report.load(folder)
    config = loaded.spec.config(loaded.trials[number].params)
    winner = Row(number, config, "number 1 of the sweep on val")
    controls = (
        Row("plain", config.plain(), "plainly"),
        Row("mu0", config.without_norm_term(), "without the term"),
    )
    plan = Plan((winner,), controls, (), ("log-target is left out.",), Comparison(winner, controls[1], "few"))
    group = np.arange(40)
    masks = {"all": group >= 0, "many": group < 20, "median": group < 0, "few": group >= 20}
    shots = Shots(Bins(np.array([0.0, 0.5, 1.0])), np.array([200, 3]))
    label = group / 40
    test = Split(group, np.zeros((40, 1), dtype=np.float32), label, shots.bins.index(label), group)
    of = {number: np.ones(40), "plain": np.full(40, -2.0), "mu0": np.where(masks["few"], 1.5, 1.0)}
    errors = {row.hash: dict.fromkeys(range(5), of[row.name]) for row in plan.rows}
    facts = Facts("all-1", "?", "price", 24, "val/all/mae", [11, 12, 13, 14, 15], 40, 0, 61.0, [])
    content = files.verdict_json(
        plan,
        Opening(1, 0, "ab", 0.0),
        facts,
        shot_errors(plan, errors, masks, test),
        judged(plan, errors, masks, group),
    )
    Folder(folder / "finalize").put("verdict.json", content)


def test_a_verdict_is_told_in_its_words(tmp_path):
    ledgers.write(tmp_path / "all-1", 12)
    best = report.load(tmp_path / "all-1").best.trial
    with_verdict(tmp_path / "all-1", best)
    found = seen(tmp_path / "all-1")
    assert (
        f"Verdict on test: trial {best} against mu0 on few: BETTER. Difference of test MAE -0.500"
        in found.said
    )
    assert "Against plain (plainly): better on all, many and few." in found.said
    assert "Against mu0 (without the term): better on all and few; not distinguishable on many." in found.said
    assert "decide nothing" not in found.said
    few = found.data("figures")["plot-differences"]["data"]
    assert {one["name"]: one["x"] for one in few}["few"] == pytest.approx([-50.0, -100 / 3])  # plain, mu0
    drawn = {one["name"]: one for one in found.data("figures")["plot-differences"]["data"]}
    judged = verdict.read(report.load(tmp_path / "all-1"))
    theirs = {(one.name, one.shot): one.value for one in judged.errors}
    of = [one for one in judged.compared if one.ours == best and one.shot == "all"]
    assert len(of) == 2
    for place, one in enumerate(of):  # the ends of a bar, in % of the control's error
        bar, share = drawn["all"]["error_x"], theirs[one.theirs, "all"] / 100
        assert drawn["all"]["x"][place] + bar["array"][place] == pytest.approx(one.high / share)
        assert drawn["all"]["x"][place] - bar["arrayminus"][place] == pytest.approx(one.low / share)
    assert any(one.low < one.high for one in of)
    (place,) = [attributes for _, attributes in found.tags if attributes.get("id") == "plot-differences"]
    assert "intervals over new seeds and new samples" in str(place["aria-label"])
    assert "this same val" not in str(place["aria-label"])


def test_a_verdict_on_another_trial_is_not_taken_for_the_winners(tmp_path):
    ledgers.write(tmp_path / "all-1", 12)
    other = report.load(tmp_path / "all-1").ranked[1].trial
    with_verdict(tmp_path / "all-1", other)
    found = seen(tmp_path / "all-1")
    assert f"The verdict below is on trial {other}, which led then." in found.said
    loaded = report.load(tmp_path / "all-1")  # the figure is the winner's, on val
    ticks = found.data("figures")["plot-differences"]["layout"]["yaxis"]["ticktext"]
    assert ticks == [f"{loaded.best.trial}-plain", f"{loaded.best.trial}-mu0", "default-plain", "default-mu0"]
    (place,) = [attributes for _, attributes in found.tags if attributes.get("id") == "plot-differences"]
    assert f"Trial {loaded.best.trial} against each control on val" in str(place["aria-label"])


def test_a_damaged_verdict_is_named(tmp_path):
    ledgers.write(tmp_path / "all-1", 12)
    Folder(tmp_path / "all-1" / "finalize").put("verdict.json", b'{"facts": {}}')
    with pytest.raises(ValueError, match=r"finalize/verdict\.json: no verdict can be read .*KeyError"):
        page(report.load(tmp_path / "all-1"))


def test_a_damaged_table_of_bins_is_named(tmp_path):
    ledgers.write(tmp_path / "all-1", 12)
    best = report.load(tmp_path / "all-1").best.trial
    (tmp_path / "all-1" / "trials" / best / "bins.csv").write_text("bin,low\n0,1\n")
    with pytest.raises(ValueError, match=r"bins\.csv: no column high, centre, train_count"):
        page(report.load(tmp_path / "all-1"))


# ---- sweeps of all kinds


def test_texts_of_a_sweep_never_run(tmp_path):
    space = SMALL.replace("Which weight is best?", json.dumps(EVIL))
    ledger = begun(tmp_path / "s", space)
    add(ledger, "0", 4.0)
    add(ledger, "1", 5.0, "FAIL", EVIL)
    add(ledger, "2", 5.0, **{EVIL: EVIL})
    ledger.write("end", why="finished")
    found = seen(tmp_path / "s")
    assert len(found.run) == 2
    assert not [tag for tag, _ in found.tags if tag == "img"]
    assert "alert(1)" in found.said  # told, not run
    (row,) = [texts for kind, _, texts, _ in found.data("table-ended-rows")["rows"] if kind == "failed"]
    assert row[2] == EVIL
    hover = [one["text"] for one in found.data("figures")["plot-pareto"]["data"] if "text" in one]
    assert "<script" not in json.dumps(hover)


def test_a_block_of_data_holds_no_end_of_a_script():
    block = data_block("x", {"a": EVIL, "b": math.nan, "c": [math.inf, 1.5]})
    assert block.count("<") == 2
    assert json.loads(Seen(block).scripts[0][1]) == {"a": EVIL, "b": None, "c": [None, 1.5]}


def test_an_unfinished_sweep_says_so(tmp_path):
    ledger = begun(tmp_path / "s", SMALL)
    add(ledger, "0", 4.0)
    add(ledger, "1", 4.0, "OPEN")
    said = seen(tmp_path / "s").said
    assert "This sweep was interrupted: its driver died. 2 of 3 trials were asked." in said
    assert "No control has run yet" in said
    assert "running, or waiting to go on" in said


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ((), "No winner yet: no trial is complete."),
        (("FAIL",), "No winner: no trial is complete. Trial 0 failed: out of memory"),
    ],
)
def test_a_sweep_without_a_complete_trial_has_a_page_that_says_why(tmp_path, states, words):
    ledger = begun(tmp_path / "s", SMALL)
    for number, state in enumerate(states):
        add(ledger, str(number), 4.0, state, "out of memory")
    found = seen(tmp_path / "s")
    assert words in found.said
    assert ("Plotly.js" in found.said) == bool(found.data("figures")) == (len(found.run) == 2)
    assert {"leaderboard", "history", "ended", "cost", "provenance"} <= set(found.ids)
    assert set(found.data("figures")) <= {"plot-history"}


def test_damaged_lines_are_told_as_in_the_terminal(tmp_path):
    ledger = begun(tmp_path / "s", SMALL)
    add(ledger, "0", 4.0)
    with (tmp_path / "s" / "ledger.jsonl").open("a") as file:
        file.write("0badc0de {")
    assert "1 record(s) were cut short" in seen(tmp_path / "s").said


def test_with_one_objective_the_front_says_that_the_other_axis_was_not_searched_for(tmp_path):
    ledger = begun(tmp_path / "s", SMALL)
    add(ledger, "0", 4.0)
    assert "val/few/mae was no objective of this sweep." in seen(tmp_path / "s").said


def test_trials_over_a_constraint_come_unranked_and_last(tmp_path):
    space = f"{SMALL}constraints: [{{metric: val/all/mae, at_most: 5.0}}]\n"
    ledger = begun(tmp_path / "s", space)
    for trial, mae in (("0", 6.0), ("1", 4.0)):
        add(ledger, trial, mae)
    rows = seen(tmp_path / "s").data("table-leaderboard-rows")["rows"]
    assert [texts[:2] for _, _, texts, _ in rows] == [["1 (best)", "1"], ["0", "unranked"]]


def test_a_constraint_that_cannot_be_judged_yet_is_told(tmp_path):
    space = f"{SMALL}constraints: [{{metric: val/all/mae, at_most: 1.0, of: default-plain}}]\n"
    add(begun(tmp_path / "s", space), "0", 6.0)
    assert "No winner yet: constraint" in seen(tmp_path / "s").said


def test_repeated_trials_have_an_interval_over_their_seeds(tmp_path):
    space = f"{SMALL}repeats: {{seeds: 2, top: 2}}\n"
    ledger = begun(tmp_path / "s", space)
    rng = np.random.default_rng(0)
    for trial, mae in (("0", 6.0), ("1", 4.0), ("0-seed2", 6.5), ("1-seed2", 4.5)):
        add(ledger, trial, mae)
        ledgers.files(tmp_path / "s" / "trials" / trial, mae, rng, has_line=True)
    found = seen(tmp_path / "s")
    assert "Trials that ran with several seeds, on val" in found.said
    assert "trial 1 all 2 of 2 4.25" in found.said
    assert "2 independent seeds of the 5 that an interval over seeds needs" in found.said


def test_trials_out_of_view_are_counted_and_no_others(tmp_path):
    ledger = begun(tmp_path / "s", SMALL)
    for place, mae in enumerate((4.0, 4.1, 4.2, 4.3, 4.4, 4.5, 4.6, 90.0)):
        add(ledger, str(place), mae)
    found = seen(tmp_path / "s")
    low, high = found.data("figures")["plot-pareto"]["layout"]["xaxis"]["range"]
    assert low < 4.0
    assert 4.5 < high < 4.6
    (place,) = [attributes for _, attributes in found.tags if attributes.get("id") == "plot-pareto"]
    assert " 2 trials have larger errors and lie outside the picture" in str(place["aria-label"])


def test_trials_at_one_place_are_both_on_the_front_and_a_worse_one_is_not(tmp_path):
    ledger = begun(tmp_path / "s", f"{SMALL}objectives: [val/all/mae, val/few/mae]\n")
    for trial, mae, few in (
        ("0", 4.0, 8.0),
        ("1", 4.0, 8.0),
        ("2", 4.0, 9.0),
        ("3", 5.0, 8.0),
        ("4", 5.0, 7.0),
    ):
        ledger.write("ask", trial=trial, params={"stage1.norm_ordinality.weight": 0.5}, attrs={})
        told = ledgers.metrics(mae, few, np.random.default_rng(0))
        ledger.write("tell", trial=trial, state="COMPLETE", epoch=3, seconds=1.5, metrics=told, reason="")
    loaded, found = report.load(tmp_path / "s"), seen(tmp_path / "s")
    traces = {one["name"]: one for one in found.data("figures")["plot-pareto"]["data"]}
    edge = list(zip(traces["front line"]["x"], traces["front line"]["y"], strict=True))
    assert edge == [(4.0, 8.0), (4.0, 8.0), (5.0, 7.0)]
    assert loaded.pareto == {"0", "1", "4"}
    assert "3 trials on the front" in found.said


REPEATED = f"{SMALL}repeats: {{seeds: 2, top: 1}}\nobjectives: [val/all/mae, val/few/mae]\n"


@pytest.fixture
def repeated(tmp_path) -> Path:
    """Trial 0 leads with a mean of 4 (3 and 5); trial 1, of one seed, errs by 3.5, its controls by 6."""
    ledger = begun(tmp_path / "s", REPEATED)
    for trial, mae in (("default-plain", 8.0), ("0", 3.0), ("1", 3.5), ("0-seed2", 5.0), ("0-plain", 6.0)):
        add(ledger, trial, mae)
    return tmp_path / "s"


def test_with_repeats_no_trial_of_one_seed_is_on_the_front(repeated):
    loaded, found = report.load(repeated), seen(repeated)
    assert loaded.pareto == {"0"}
    traces = {one["name"]: one for one in found.data("figures")["plot-pareto"]["data"]}
    assert (traces["front line"]["x"], traces["front line"]["y"]) == ([4.0], [8.0])
    assert traces["trials, one seed (1)"]["x"] == [3.5]
    assert "the front is of trials with 2 seeds" in found.said
    assert "No trial lies below and left of the line" not in found.said


def test_with_repeats_the_controls_stand_beside_the_winners_first_seed(repeated):
    found = seen(repeated)
    traces = {one["name"]: one for one in found.data("figures")["plot-pareto"]["data"]}
    assert traces["winner"]["x"] == [4.0]
    assert traces["winner, first seed"]["x"] == [3.0]
    assert traces["plain (control, one seed)"]["x"] == [6.0, 8.0]
    assert "The controls are of one seed, as is the open star" in found.said


def test_the_leaderboard_holds_a_trials_first_seed_against_the_control(repeated):
    found = seen(repeated)
    table = found.data("table-leaderboard-rows")["rows"]
    heads = found.text.split('id="table-leaderboard"')[1].split("</thead>")[0]
    place = re.findall(r'aria-label="([^"]*)"', heads).index("against default-plain all")
    (best,) = [keys for kind, _, _, keys in table if kind == "best"]
    assert best[2] == 4.0  # the mean
    assert best[place + 2] == pytest.approx(100 * (3.0 / 8.0 - 1))  # trial and place have no group
    assert "and so the change against default-plain, are of the first seed" in found.said


@pytest.mark.parametrize("picture", ["plot-history", "plot-parallel"])
def test_a_picture_of_first_seeds_says_so(repeated, picture):
    found = seen(repeated)
    (place,) = [attributes for _, attributes in found.tags if attributes.get("id") == picture]
    assert (
        "Every trial is drawn with its first seed, trial 0 at 3.00; it leads by its mean over 2 seeds, 4.00."
        in place["aria-label"]
    )
    assert "leads with" not in place["aria-label"]


def test_without_repeats_no_seeds_are_told_of(found):
    for words in ("first seed", "at their means", "one seed)"):
        assert words not in found.said.split("Leaderboard")[-1]


def test_a_control_that_ran_under_another_name_shows_that_ones_files(tmp_path):
    folder = tmp_path / "s"
    ledger = begun(folder, SMALL)
    add(ledger, "default-plain", 8.0)
    add(ledger, "0", 6.0)
    ledger.write(
        "control", trial="0-plain", of="0", control="plain", params={"stage1.norm_ordinality.weight": 0.5}
    )
    told = ledgers.metrics(8.0, 16.0, np.random.default_rng(0))
    reason = "same configuration as default-plain"
    ledger.write("tell", trial="0-plain", state="COMPLETE", epoch=3, seconds=0.0, metrics=told, reason=reason)
    rng = np.random.default_rng(0)
    for trial, mae in (("default-plain", 8.0), ("0", 6.0)):
        ledgers.files(folder / "trials" / trial, mae, rng, has_line=trial == "0")
    found = seen(folder)
    assert "plot-norms-1" in found.data("figures")
    assert "0-plain: same configuration as default-plain." in found.said
    controls = {one.control.trial for one in differences(report.load(folder), report.load(folder).best)}
    assert controls == {"0-plain"}


def test_the_base_parent_of_a_staged_sweep_has_its_own_place(tmp_path):
    space = """\
question: Which?
mode: staged
searched:
  stage1.norm_ordinality.name: {choice: [kl, hinge]}
  stage1.norm_ordinality.weight: {log: [1.0e-3, 10.0]}
  stage2.norm_weight: {log: [0.01, 10.0]}
"""
    ledger = begun(tmp_path / "s", space)
    for trial, params in (
        ("0", {"stage1.norm_ordinality.name": "none", "stage2.norm_weight": 0.1}),
        (
            "1",
            {
                "stage1.norm_ordinality.name": "kl",
                "stage1.norm_ordinality.weight": 1.0,
                "stage2.norm_weight": 1.0,
            },
        ),
    ):
        ledger.write("ask", trial=trial, params=params, attrs={}, why="the base parent")
        told = ledgers.metrics(5.0, 9.0, np.random.default_rng(0)) | {"reused_seconds": 2.0}
        ledger.write("tell", trial=trial, state="COMPLETE", epoch=3, seconds=1.0, metrics=told, reason="")
    found = seen(tmp_path / "s")
    texts = [note["text"] for note in found.data("figures")["plot-parallel"]["layout"]["annotations"]]
    assert {"kl", "hinge", "none", "not asked"} <= set(texts)
    assert "Saved by training each stage 1 once: at least 4 s (4.0 trainer-seconds), 67%" in found.said


# ---- a thousand trials


@pytest.mark.slow
def test_a_thousand_trials_make_less_than_ten_megabytes_and_show_fifty_rows(tmp_path):
    ledgers.write(tmp_path / "many", 1000)
    text = page(report.load(tmp_path / "many"))
    assert len(text.encode()) < 10_000_000
    found = Seen(text)
    rows = found.data("table-leaderboard-rows")["rows"]
    assert len(rows) == report.load(tmp_path / "many").states["COMPLETE"] + 4
    body = text.split('id="table-leaderboard"')[1].split("</table>")[0]
    assert 50 <= body.count("<tr") - 2 <= 54  # two rows of heads; the controls are pinned
    assert f"Show all {len(rows):,} rows" in found.said


# ---- the command


@pytest.fixture
def run(monkeypatch, tmp_path) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_the_command_writes_the_file_and_says_so(run, tmp_path):
    add(begun(tmp_path / "sweeps" / "s", SMALL), "0", 4.0)
    result = run("report", "s", "--html", "s.html")
    assert result.output == "wrote s.html\n"
    assert (tmp_path / "s.html").read_text().startswith("<!DOCTYPE html>\n<html lang=")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--html", "nowhere/s.html"], r"--html nowhere/s\.html: there is no folder .*/nowhere; make it"),
        (["--html", "sweeps"], r"--html sweeps: cannot write there; name a file of yours"),
        (["--html", "s.html", "--json"], r"--json prints one report and --html writes another"),
    ],
)
def test_the_command_refuses_what_it_cannot_write(run, tmp_path, options, words):
    add(begun(tmp_path / "sweeps" / "s", SMALL), "0", 4.0)
    result = run("report", "s", *options)
    assert isinstance(result.exception, ValueError)
    assert re.search(words, str(result.exception))


def test_predictions_that_were_cut_short_are_named(tmp_path):
    ledgers.write(tmp_path / "all-1", 12)
    best = report.load(tmp_path / "all-1").best.trial
    file = tmp_path / "all-1" / "trials" / best / "val_predictions.csv"
    whole = file.read_text().splitlines(keepends=True)
    file.write_text("".join(whole[: len(whole) // 2]))
    with pytest.raises(ValueError, match=r"val_predictions\.csv: it has .* rows and not 2,221; restore"):
        page(report.load(tmp_path / "all-1"))
    file.write_text("".join(whole[:-1]) + whole[-1].rsplit(",", 1)[0] + ",\n")
    with pytest.raises(ValueError, match=r"val_predictions\.csv: prediction in row 2221 is"):
        page(report.load(tmp_path / "all-1"))
