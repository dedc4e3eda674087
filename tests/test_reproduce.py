"""Recipes, published tables, and a reproduction run for real at its smallest."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from real_data import NEEDED

import dirsweep.published
from dirsweep import reproduce
from dirsweep.config import TrialConfig
from dirsweep.finalize.plan import Row
from dirsweep.finalize.training import Run
from dirsweep.ledger import Ledger
from dirsweep.published import TITLES, adds_up, misses, published
from dirsweep.reproduce import recipe as recipes
from dirsweep.reproduce.generated import drawn, to_draw
from dirsweep.reproduce.observation import _together
from dirsweep.reproduce.run import _require_pairs
from dirsweep.reproduce.tuning import Line, Table
from dirsweep.search.spec import check_data
from dirsweep.storage import Folder
from dirsweep.sweep import Resources

MAIN = {"vanilla", "sqinv", "lds", "fds", "lds+fds", "rrt", "focal_r", "bmse", "ranksim", "conr"}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The `dirsweep` command, as a user starts it."""
    start = [sys.executable, "-c", "from dirsweep.cli import main; main()"]
    return subprocess.run([*start, *arguments], capture_output=True, text=True, check=False)


# ---- published figures


def test_which_published_rows_of_agedb_do_not_add_up():
    rows = [row for row in published("agedb_dir", "dir") if row.metric == "mae"]
    failing = {(row.method, row.source) for row in rows if adds_up("agedb_dir", row).startswith("no")}
    assert failing == {
        ("smoter", "Group-DIR table"),
        ("conr", "Group-DIR table"),
        ("vir", "VIR paper"),
        ("ranksim_best_by_column", "RankSim README, best by column"),
    }
    (conr,) = [row for row in rows if (row.method, row.source) == ("conr", "Group-DIR table")]
    assert misses("agedb_dir", conr) == pytest.approx(
        7.20 - (0.7150 * 6.50 + 0.2093 * 8.04 + 0.0757 * 9.73), abs=1e-3
    )


def test_what_cannot_be_checked_is_not_said_to_add_up():
    rows = published("agedb_dir", "dir")
    assert {adds_up("agedb_dir", row) for row in rows if row.metric == "gm"} == {"-"}
    assert {adds_up("imdb_wiki_dir", row) for row in published("imdb_wiki_dir", "dir")} == {"-"}


def test_every_source_of_a_method_is_there_and_families_are_apart():
    few = [row.values["few"] for row in published("agedb_dir", "dir") if row.method == "ranksim"]
    assert {9.68, 12.47} <= set(few)
    assert not {row.method for row in published("agedb_dir", "rank-n-contrast")} & {"ranksim", "conr"}


@pytest.mark.parametrize("name", TITLES)
def test_published_figures_are_numbers_and_their_sources_are_told(name: str):
    place = Path(dirsweep.published.__file__).parent
    told = (place / "SOURCES.md").read_text()
    for line in csv.DictReader((place / f"{name}.csv").read_text().splitlines()):
        assert line["source"].partition(",")[0] in told
        assert line["evidence"] in ("primary", "secondary", "recalled")
        assert line["recipe"] in recipes.FAMILIES
        assert any(line[shot] for shot in ("all", "many", "median", "few"))
        assert all(float(line[shot] or 1) > 0 for shot in ("all", "many", "median", "few"))
    assert reproduce.published_page(name).startswith(f"# Published figures of {TITLES[name]}")


# ---- recipes


def test_a_change_is_laid_over_and_another_variant_replaces():
    base = {"a": {"name": "x", "k": 1}, "b": {"c": 1, "d": 2}}
    assert recipes.over(base, {"a": {"name": "y"}, "b": {"d": 3}}) == {
        "a": {"name": "y"},
        "b": {"c": 1, "d": 3},
    }
    assert recipes.over(base, {"a": {"k": 2}})["a"] == {"name": "x", "k": 2}
    assert base["b"]["d"] == 2


@pytest.mark.parametrize("name", reproduce.names())
def test_every_recipe_has_the_main_methods_and_searches_that_are_whole(name: str):
    recipe = reproduce.read(name)
    if recipe.family == "rank-n-contrast":
        assert set(recipe.methods) == {"vanilla", "sqinv", "rank_n_contrast", "bsam"}
    else:
        assert set(recipe.methods) >= MAIN
    for scale in recipe.scales.values():
        for key in recipe.methods:
            spec = recipes.alone(recipe, scale, key)
            default = spec.default_config()
            assert default.stage2 is None
            assert default.stage1.norm_ordinality.name == "none"
            assert spec.budget.trials == scale.trials
            assert set(recipe.shared) <= set(spec.searched)
            after = recipes.followed(recipe, scale, key, default)
            assert after.default_config().stage1 == default.stage1
            assert after.default_config().stage2 is not None
        assert recipes.two_stage(recipe, scale).budget.trials == 2 * scale.trials


def test_the_searches_of_diamonds_fit_its_data():
    recipe = reproduce.read("diamonds")
    for key in recipe.methods:
        check_data(recipes.alone(recipe, recipe.scales["full"], key))
    check_data(recipes.two_stage(recipe, recipe.scales["full"]))


@NEEDED
def test_the_searches_of_sts_b_fit_its_data():
    recipe = reproduce.read("sts-b")
    for key in recipe.methods:
        check_data(recipes.alone(recipe, recipe.scales["small"], key))
    check_data(recipes.two_stage(recipe, recipe.scales["small"]))


def test_a_value_that_is_set_holds_for_every_trial():
    recipe = reproduce.with_values(reproduce.read("sts-b"), {"encoder.hidden": 5})
    for size in ("small", "full"):
        spec = recipes.alone(recipe, recipe.scales[size], "fds")
        assert spec.default_config().encoder.hidden == 5


def test_a_knob_that_the_recipe_searches_cannot_be_set():
    for name in ("stage1.optimizer.lr", "stage2.schedule", "stage1.loss.sigma"):
        with pytest.raises(ValueError, match=f"--set {name}: this recipe searches it"):
            reproduce.with_values(reproduce.read("diamonds"), {name: 1})


def test_test_stays_closed_without_a_seed_of_both_sides():
    row = {name: Row(name, TrialConfig.model_validate({"seed": n}), "") for n, name in enumerate("ab")}
    row["b"] = Row("b", row["b"].config.with_overrides({"stage1.epochs": 3}), "")
    lines = (Line(row["a"], "vanilla", "", 1, 1.0), Line(row["b"], "two_stage", "stage2", 1, 1.0))
    runs = [Run(row["a"], 1, Folder(Path("nowhere"))), Run(row["b"], 2, Folder(Path("nowhere")))]
    with pytest.raises(ValueError, match="no seed of two-stage and of vanilla"):
        _require_pairs(Table(lines, ()), runs, {})
    _require_pairs(Table(lines, ()), [*runs, Run(row["b"], 1, Folder(Path("nowhere")))], {})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"foo.bar": 1}, "the recipe with --set foo.bar: .*foo"),
        ({"stage1.epochs": "many"}, "stage1.epochs"),
        ({"dataset.bins.name": "edges"}, "belongs to csv or images"),
        ({"stage2.sampling": "even"}, "this recipe searches it"),
    ],
)
def test_a_value_that_cannot_be_is_refused_before_anything_is_trained(values: dict[str, Any], told: str):
    recipe = reproduce.read("diamonds")
    with pytest.raises(ValueError, match=told) as error:
        recipes.check(reproduce.with_values(recipe, values), recipe.scales["smoke"])
    assert "pydantic" not in str(error.value)


@pytest.mark.parametrize("name", reproduce.names())
@pytest.mark.parametrize(
    ("knob", "value"),
    [("stage1.batch_size", 32), ("stage1.decay.name", "constant"), ("stage2.fit.ridge", 0.5)],
)
def test_a_value_makes_no_search_of_a_recipe_wrong_and_is_in_each(name: str, knob: str, value: Any):
    recipe = reproduce.with_values(reproduce.read(name), {knob: value})
    for scale in recipe.scales.values():
        recipes.check(recipe, scale)
        tree: Any = recipes.two_stage(recipe, scale).default_config()
        for step in knob.split("."):
            tree = getattr(tree, step)
        assert tree == value


def test_a_value_of_stage_2_waits_for_one():
    recipe = reproduce.with_values(reproduce.read("diamonds"), {"stage2.fit.ridge": 0.5})
    scale = recipe.scales["smoke"]
    first = recipes.alone(recipe, scale, "vanilla").default_config()
    assert first.stage2 is None
    after = recipes.followed(recipe, scale, "vanilla", first).default_config().stage2
    assert after is not None
    assert after.fit.ridge == 0.5


def test_what_is_not_there_is_refused_by_name():
    with pytest.raises(
        ValueError,
        match=r"no recipe 'diamond' \(did you mean 'diamonds'\?\); there are agedb, agedb-rnc, diamonds",
    ):
        reproduce.read("diamond")
    with pytest.raises(ValueError, match=r"no method 'rnc' here; there are vanilla, sqinv"):
        reproduce.chosen(reproduce.read("diamonds"), "rnc,conr")
    with pytest.raises(ValueError, match=r"no published table of 'nyud2'; there are agedb_dir"):
        reproduce.published_page("nyud2")


def test_resources_that_do_not_serve_the_trials_are_refused_before_there_is_a_folder(tmp_path: Path):
    recipe, folder = reproduce.read("diamonds"), tmp_path / "there"
    with pytest.raises(ValueError, match=r"'fixed\.device' is cpu, but a trial is given 1 GPUs"):
        reproduce.reproduce(recipe, "smoke", folder, Resources(gpus_per_trial=1), print)
    assert not folder.exists()


def test_absent_faces_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRSWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DIRSWEEP_DATA", str(tmp_path))
    recipe = reproduce.read("agedb")
    for size, also in (("small", "data prepare agedb-dir"), ("smoke", "agedb-dir/labels.csv")):
        with pytest.raises(ValueError, match=also):
            to_draw(recipe, recipe.scales[size])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("label,split\n20,train\n", r"labels\.csv has age and split"),
        ("age,split\nold,train\n", "age"),
        ("age,split\n20,train\n30,val\n", "not the benchmark's split"),
    ],
)
def test_labels_to_draw_for_that_are_not_the_benchmarks_are_refused(tmp_path: Path, content: str, told: str):
    (tmp_path / "labels.csv").write_text(content)
    recipe = reproduce.read("agedb")
    with pytest.raises(ValueError, match=told):
        drawn(recipe, recipe.scales["smoke"], tmp_path / "labels.csv", tmp_path / "out", lambda line: None)


def test_disorder_and_error_go_together_by_rank_and_nan_is_left_out():
    runs = [
        {"train/few/out_of_order": order, "train/few/mae": error}
        for order, error in ((0.1, 1.0), (0.2, 3.0), (0.3, 2.0), (0.4, 9.0), (np.nan, 5.0))
    ]
    found = _together("few", runs)
    assert (found.runs, round(found.rho, 6)) == (4, 0.8)
    assert np.isnan(_together("few", runs[:2]).rho)


# ---- for real


@pytest.mark.slow
def test_a_reproduction_runs_goes_on_and_opens_test_once(tmp_path: Path):
    place = tmp_path / "ours"
    arguments = ("reproduce", "diamonds", "--scale", "smoke", "--methods", "vanilla", "--out", str(place))
    first = command(*arguments)
    assert first.returncode == 0, first.stderr
    again = command(*arguments)
    assert again.returncode == 0, again.stderr
    page = (place / "table.md").read_text()
    assert page in first.stdout
    assert "trained" not in again.stdout.partition("# Diamonds")[0]

    openings = [one for one in Ledger.open(Folder(place)).records if one["kind"] == "opening"]
    assert [one["number"] for one in openings] == [1]

    table = pd.read_csv(place / "per_seed.csv")
    assert set(table["configuration"]) >= {"vanilla", "vanilla+stage2", "two_stage"}
    mean = table.query("configuration == 'vanilla' and split == 'test' and shot == 'few'")["mae"].mean()
    (line,) = [line for line in page.splitlines() if line.startswith("| vanilla  ")][:1]
    assert f"{mean:,.0f}" in line
    html = (place / "table.html").read_text()
    assert "<svg" in html
    assert "<img" not in html

    other = command("reproduce", "diamonds", "--scale", "small", "--methods", "vanilla", "--out", str(place))
    assert other.returncode == 2
    assert "ledger.jsonl: begun with scale smoke, but here it is small; choose another --out" in other.stderr


@NEEDED
@pytest.mark.slow
def test_faces_are_drawn_for_the_real_labels_under_a_heading_that_says_so(tmp_path: Path):
    place = tmp_path / "faces"
    done = command(
        "reproduce", "agedb", "--scale", "smoke", "--methods", "vanilla", "--out", str(place),
        "--set", "stage1.batch_size=512",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (place / "table.md").read_text()
    assert "**GENERATED IMAGES" in page.splitlines()[2]
    assert "| few (162) |" in page.replace("  ", " ")
    assert "RankSim README" in page
