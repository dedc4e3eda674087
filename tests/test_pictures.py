"""Pictures of a trial: what is drawn is read back from the SVG, on the scales of its axes."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import tiny
from svg import Svg

from dirsweep import cli, pictures, pipeline
from dirsweep.checkpoint import read_records
from dirsweep.ledger import Ledger
from dirsweep.pictures.finished import read_finished
from dirsweep.pictures.sheet import plain, round_counts
from dirsweep.report.numbers import written
from dirsweep.search.spec import read_spec
from dirsweep.shots import NAMES
from dirsweep.storage import Folder

TITLE = "tiny-1, trial 5"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, Path]:
    """Finished trials: with both stages, the plain control, and one of several phases that select epochs."""
    place = tmp_path_factory.mktemp("trained")
    staged = tiny.config(place)
    phases = staged.with_overrides(
        {
            "stage1.epochs": 4,
            "stage1.then": [{"epochs": 3, "layers": "head"}],
            "stage1.select": "val/few/mae",
            "stage2.select": "val/all/mae",
            "stage2.norm_weight": 0.0,
        }
    )
    for name, config in (("staged", staged), ("plain", staged.plain()), ("phases", phases)):
        pipeline.run_trial(config, Folder(place / name), lambda record: None)
    return {name: place / name for name in ("staged", "plain", "phases")}


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of one of them, to be changed."""

    def copied(name: str) -> Folder:
        ignored = shutil.ignore_patterns("pictures")
        return Folder(Path(shutil.copytree(trained[name], tmp_path / name, ignore=ignored)))

    return copied


@pytest.fixture(scope="module")
def drawn(trained) -> dict[str, dict[str, Svg]]:
    """Their pictures, by trial and by name."""
    return {
        name: read(Folder(folder), pictures.draw(Folder(folder), TITLE)) for name, folder in trained.items()
    }


def read(folder: Folder, names: list[str]) -> dict[str, Svg]:
    return {Path(name).stem: Svg(folder.read(name)) for name in names}


def one(folder: Folder, name: str) -> Svg:
    """One picture alone, as it is drawn now."""
    return Svg(pictures.PICTURES[f"pictures/{name}.svg"](read_finished(folder), TITLE))


def table(folder: Folder, name: str) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(folder.read(name)))


def write(folder: Folder, name: str, content: pd.DataFrame) -> None:
    folder.put(name, content.to_csv(index=False).encode())
    if name == "val_predictions.csv":
        metrics = json.loads(folder.read("metrics.json")) | {"val/all/count": len(content)}
        folder.put("metrics.json", json.dumps(metrics).encode())


def bins_of(path: Path) -> pd.DataFrame:
    return table(Folder(path), "bins.csv")


def metrics_of(path: Path) -> dict[str, float]:
    return dict(json.loads(Folder(path).read("metrics.json")))


def points(picture: Svg, name: str) -> np.ndarray:
    """(n, 2) centres of the marks of a group."""
    return np.array([shape.centre for shape in picture.shapes(name)])


# ---- norms


@pytest.mark.parametrize(("key", "column"), [("stage1", "norm_stage1"), ("end", "norm")])
def test_a_bin_with_training_samples_is_a_mark_at_its_norm(trained, drawn, key, column):
    bins = bins_of(trained["staged"])
    assert (bins["train_count"] == 0).any()
    for shot in NAMES:
        own = bins[(bins["shot"] == shot) & (bins["train_count"] > 0)]
        assert points(drawn["staged"]["norms"], f"{key}-norm-{shot}") == pytest.approx(
            own[["centre", column]].to_numpy(), rel=1e-3
        )


def test_a_mark_is_filled_where_its_bin_is_in_the_fit_and_grows_with_its_samples(trained, drawn):
    bins = bins_of(trained["staged"])
    sampled = bins[bins["train_count"] > 0]
    marks = [shape for shot in NAMES for shape in drawn["staged"]["norms"].shapes(f"stage1-norm-{shot}")]
    marks.sort(key=lambda shape: shape.centre)
    assert ["fill: #ffffff" not in mark.style for mark in marks] == sampled["majority"].tolist()
    assert 0 < sampled["majority"].sum() < len(sampled)
    widths = [mark.high[0] - mark.low[0] for mark in marks]
    assert widths[int(np.argmax(sampled["train_count"]))] == pytest.approx(max(widths))
    assert widths[-1] < 0.7 * max(widths)


def test_the_line_is_the_fit_solid_over_the_majority_and_dashed_beyond(trained, drawn):
    bins, metrics = bins_of(trained["staged"]), metrics_of(trained["staged"])
    inside = bins["centre"][bins["majority"]]
    for key in ("stage1", "end"):
        picture = drawn["staged"]["norms"]
        solid, beyond = picture.line(f"{key}-line"), picture.line(f"{key}-extension-high")
        ends = [inside.min(), inside.max(), inside.max(), bins["centre"].max()]
        assert [x for x, _ in (solid[0], solid[-1], beyond[0], beyond[-1])] == pytest.approx(ends, abs=0.05)
        for x, y in (*solid, *beyond):
            assert y == pytest.approx(metrics["fit/slope"] * x + metrics["fit/intercept"], rel=1e-3)
        assert "stroke-dasharray" not in picture.ids[f"{key}-line"][0].get("style", "")
        assert "stroke-dasharray" in picture.ids[f"{key}-extension-high"][0].get("style", "")


def test_a_bin_below_the_floor_shows_what_stage_2_aims_at(trained, drawn, copied):
    bins, metrics = bins_of(trained["staged"]), metrics_of(trained["staged"])
    line = metrics["fit/slope"] * bins["centre"] + metrics["fit/intercept"]
    floor = bins["norm_stage1"][bins["majority"]].min()
    outside = ~bins["majority"] & (bins["train_count"] > 0)
    assert (line[outside] < floor).any()  # the norms of this trial fall with the label
    floored = bins[outside & (line < floor)].assign(floor=floor)
    picture = drawn["staged"]["norms"]
    assert points(picture, "end-floored") == pytest.approx(floored[["centre", "floor"]].to_numpy(), rel=2e-3)
    assert "target of stage 2 where the line is floored" in picture.texts

    folder = copied("staged")
    write(folder, "bins.csv", bins.assign(norm_target=line))
    picture = one(folder, "norms")
    assert "end-floored" not in picture.ids
    assert "target of stage 2 where the line is floored" not in picture.texts


def test_without_a_stage_2_there_is_one_panel_without_a_line(trained, drawn):
    picture = drawn["plain"]["norms"]
    assert "stage 1 without norm ordinality; no stage 2" in picture.texts
    assert not {"stage1-norm-many", "end-line", "end-extension-high"} & set(picture.ids)
    marks = sum(len(picture.shapes(f"end-norm-{shot}")) for shot in NAMES)
    assert marks == (bins_of(trained["plain"])["train_count"] > 0).sum()
    assert not [text for text in picture.texts if "fit" in text or "line" in text]


def test_several_trials_stand_side_by_side_each_on_its_own_scale(trained):
    runs = {"vanilla": Folder(trained["plain"]), "two-stage": Folder(trained["staged"])}
    picture = Svg(pictures.norms_of_runs(runs))
    for number, (title, name) in enumerate((("vanilla", "plain"), ("two-stage", "staged"))):
        rho = metrics_of(trained[name])["train/all/spearman"]
        assert f"{title} (Spearman {rho:.2f})" in picture.texts
        bins = bins_of(trained[name])
        own = bins[bins["shot"] == "many"][["centre", "norm"]]
        assert points(picture, f"run{number}-norm-many") == pytest.approx(own.to_numpy(), rel=1e-3)


# ---- errors


def test_a_bin_with_val_samples_is_a_mark_at_its_error(trained, drawn):
    picture, bins = drawn["staged"]["errors"], bins_of(trained["staged"])
    for shot in NAMES:
        own = bins[(bins["shot"] == shot) & bins["val_mae"].notna()]
        for group, column in ((f"mae-{shot}", "val_mae"), (f"stage1-mae-{shot}", "val_mae_stage1")):
            assert points(picture, group) == pytest.approx(own[["centre", column]].to_numpy(), abs=0.05)
    assert "MAE on val (units of label)" in picture.texts


def test_without_a_stage_2_a_bin_has_one_error(drawn):
    ids = set(drawn["plain"]["errors"].ids)
    assert "mae-few" in ids
    assert not {"stage1-mae-few", "change-few"} & ids


def test_a_bin_with_training_samples_is_a_bar_over_its_labels(trained, drawn):
    bins = bins_of(trained["staged"])
    for shot in NAMES:
        own = bins[(bins["shot"] == shot) & (bins["train_count"] > 0)]
        bars = drawn["staged"]["errors"].shapes(f"count-{shot}")
        found = [(bar.low[0], bar.high[0], bar.high[1]) for bar in bars]
        assert found == [
            pytest.approx(row, rel=0.02, abs=0.05)
            for row in own[["low", "high", "train_count"]].itertuples(index=False, name=None)
        ]


def test_counts_over_two_decades_have_a_logarithmic_axis(copied):
    folder = copied("plain")
    bins = table(folder, "bins.csv")
    bins["train_count"] = np.where(bins["train_count"] > 40, 40_000, bins["train_count"])
    write(folder, "bins.csv", bins)
    picture = one(folder, "errors")
    assert {"1", "10", "100", "1,000", "10,000"} <= set(picture.texts)
    assert {round(bar.high[1], -2) for bar in picture.shapes("count-many")} == {40_000}


# ---- predictions


def test_a_sample_of_val_is_a_mark_and_the_diagonal_is_where_they_are_right(trained, drawn):
    picture = drawn["staged"]["predictions"]
    samples = table(Folder(trained["staged"]), "val_predictions.csv")
    for shot in NAMES:
        own = samples[samples["shot"] == shot]
        assert points(picture, f"prediction-{shot}") == pytest.approx(
            own[["target", "prediction"]].to_numpy(), abs=0.1
        )
        mae = written((own["prediction"] - own["target"]).abs().mean())
        assert f"{shot}-shot: {len(own)} samples, MAE {mae}" in picture.texts
    for x, y in picture.line("diagonal"):
        assert x == pytest.approx(y, abs=0.1)


def test_a_picture_of_many_samples_stays_small(copied):
    folder = copied("plain")
    samples = table(folder, "val_predictions.csv").sample(100_000, replace=True, random_state=0)
    rng = np.random.default_rng(0)
    samples["prediction"] += rng.normal(size=len(samples))
    write(folder, "val_predictions.csv", samples)
    content = pictures.PICTURES["pictures/predictions.svg"](read_finished(folder), TITLE)
    assert len(content) < 1_000_000
    assert b"<image" in content
    assert f"{len(samples[samples['shot'] == 'few']):,} samples" in content.decode()


def test_predictions_far_out_are_counted_and_moved_to_the_edge(copied):
    folder = copied("plain")
    samples = table(folder, "val_predictions.csv")
    samples.loc[0, "prediction"] = 1e9
    write(folder, "val_predictions.csv", samples)
    picture = one(folder, "predictions")
    assert "1 farther out, drawn on the edge" in picture.texts
    assert max(y for _, y in picture.line("diagonal")) < 150


def test_long_tailed_labels_have_logarithmic_axes_unless_a_prediction_is_not_above_0(copied):
    folder = copied("plain")
    samples = table(folder, "val_predictions.csv")
    samples["target"] = np.geomspace(1, 1e5, len(samples))
    for lowest, ticks in ((0.5, {"10", "1,000", "100,000"}), (-1.0, {"0", "100,000"})):
        samples["prediction"] = samples["target"].where(samples.index > 0, lowest)
        write(folder, "val_predictions.csv", samples)
        picture = one(folder, "predictions")
        assert ticks <= set(picture.texts)
        assert ("10" in picture.texts) == (lowest > 0)


# ---- curves


@pytest.mark.parametrize("name", ["staged", "plain", "phases"])
def test_a_curve_has_the_error_of_every_epoch(trained, drawn, name):
    records = read_records(Folder(trained[name]))
    for shot in ("all", *NAMES):
        expected = [(record["epoch"], record["metrics"][f"val/{shot}/mae"]) for record in records]
        found = drawn[name]["curves"].line(f"mae-{shot}")
        assert np.array(found) == pytest.approx(np.array(expected), abs=0.03)


def test_where_a_phase_begins_is_marked_and_named(drawn):
    picture = drawn["phases"]["curves"]
    begins = {name: picture.line(f"begin-{name}")[0][0] for name in ("stage1.then.0", "stage2")}
    assert begins == pytest.approx({"stage1.then.0": 4.5, "stage2": 7.5}, abs=0.01)
    assert {"stage 1, phase 1", "phase 2", "stage 2"} <= set(picture.texts)
    assert "stage 2" not in drawn["plain"]["curves"].texts


def test_the_epochs_that_are_handed_on_are_marked(trained, drawn):
    records = read_records(Folder(trained["phases"]))
    by_few = [record["metrics"]["val/few/mae"] for record in records[4:7]]
    handed = [5 + int(np.argmin(by_few)), metrics_of(trained["phases"])["epoch"]]
    rings = points(drawn["phases"]["curves"], "handed-on-all")
    assert rings[:, 0] == pytest.approx(handed, abs=0.01)
    last = drawn["plain"]["curves"]
    assert points(last, "handed-on-few")[:, 0] == pytest.approx([3], abs=0.01)
    assert "the result: epoch 3" in last.texts


# ---- what all have in common


def test_a_shot_without_samples_is_left_out(copied):
    folder = copied("staged")
    samples = table(folder, "val_predictions.csv")
    bins = table(folder, "bins.csv")
    bins.loc[bins["shot"] == "few", ["val_mae", "val_mae_stage1"]] = np.nan
    write(folder, "val_predictions.csv", samples[samples["shot"] != "few"])
    write(folder, "bins.csv", bins)
    records = [
        record | {"metrics": {name: value for name, value in record["metrics"].items() if "few" not in name}}
        for record in read_records(folder)
    ]
    folder.delete("records.jsonl")
    for record in records:
        folder.append("records.jsonl", record)
    found = read(folder, pictures.draw(folder, TITLE))
    assert "prediction-few" not in found["predictions"].ids
    assert "mae-few" not in found["curves"].ids | found["errors"].ids
    assert "few-shot" not in found["curves"].texts
    assert "few-shot" in found["norms"].texts  # it has training samples


def test_one_epoch_and_negative_labels_in_few_bins_are_drawn(tmp_path):
    frame = pd.read_csv(tiny.write_table(tmp_path / "tiny.csv"))
    frame["label"] -= 20
    frame.to_csv(tmp_path / "tiny.csv", index=False)
    config = tiny.config(
        tmp_path, stage1__epochs=1, dataset__bins={"name": "edges", "edges": [-20, -10, 0, 40]}
    )
    folder = Folder(tmp_path / "trial")
    pipeline.run_trial(config.plain(), folder, lambda record: None)
    norms, curves = one(folder, "norms"), one(folder, "curves")
    groups = [f"end-norm-{shot}" for shot in NAMES if f"end-norm-{shot}" in norms.ids]
    centres = sorted(x for group in groups for x, _ in points(norms, group))
    assert centres == pytest.approx([-15, -5, 20], abs=0.05)
    assert "the result: epoch 1" in curves.texts
    assert curves.texts[:2] == ["1", "epoch"]  # there are no other ticks


def test_the_label_has_its_unit_where_the_data_set_knows_one(copied):
    folder = copied("plain")
    config = json.loads(folder.read("config.json")) | {"dataset": {"name": "diamonds"}}
    folder.put("config.json", json.dumps(config).encode())
    inputs = json.loads(folder.read("inputs.json")) | {"target": "price"}
    folder.put("inputs.json", json.dumps(inputs).encode())
    found = read(folder, pictures.draw(folder, TITLE))
    for name, said in {
        "norms": "price (dollars)",
        "errors": "MAE on val (dollars)",
        "predictions": "predicted price (dollars)",
        "curves": "MAE on val (dollars)",
    }.items():
        assert said in found[name].texts


def test_the_name_of_a_label_is_no_formula(copied):
    folder = copied("plain")
    inputs = json.loads(folder.read("inputs.json")) | {"target": r"cost_in_$ per \frac $"}
    folder.put("inputs.json", json.dumps(inputs).encode())
    assert r"cost_in_$ per \frac $" in one(folder, "norms").texts


def test_the_title_says_which_trial_and_what_its_stages_are(drawn):
    for name, said in {
        "staged": "stage 1 with norm ordinality (kl, beta = 0.1); stage 2 with its norm term (mu = 1)",
        "phases": "stage 1 with norm ordinality (kl, beta = 0.1); stage 2 without its norm term (mu = 0)",
    }.items():
        for picture in drawn[name].values():
            assert said in picture.texts
            assert any(text.endswith(TITLE) for text in picture.texts)
            assert TITLE in picture.root.findtext("{http://www.w3.org/2000/svg}title", "")


def test_the_same_trial_gives_the_same_bytes_whatever_matplotlib_was_told(trained, drawn):
    folder = Folder(trained["staged"])
    first = {name: folder.read(name) for name in folder.list("pictures")}
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "svg.fonttype": "none"}):
        again = {name: folder.read(name) for name in pictures.draw(folder, TITLE)}
        assert matplotlib.rcParams["font.size"] == 20
    assert again == first
    assert set(first) == {f"pictures/{name}.svg" for name in ("norms", "errors", "predictions", "curves")}


def test_ticks_and_legends_have_round_numbers():
    assert [plain(value, 0.0) for value in (0.30000000000000004, -5.0, 20_000.0)] == ["0.3", "-5", "20,000"]
    assert [plain(value, 3e6) for value in (0.0, 5e5, 3e6)] == ["0", "0.5M", "3M"]
    assert round_counts(3, 2_700) == [2, 50, 2_000]
    assert round_counts(1, 1) == [1]


# ---- what cannot be drawn


def test_a_trial_that_is_not_finished_is_refused(copied):
    folder = copied("plain")
    folder.delete("metrics.json")
    with pytest.raises(ValueError, match=r"plain: no finished trial .*; let it finish first"):
        pictures.draw(folder, TITLE)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("metrics.json", cut, "line"),
        ("metrics.json", lambda content: b"[]", "no attribute"),
        ("metrics.json", lambda content: b'{"epoch": 3, "epochs": 5}', "without fit/slope, fit/intercept"),
        ("config.json", lambda content: b'{"stage3": null}', "stage3"),
        ("inputs.json", lambda content: b"{}", "no 'target'"),
        ("bins.csv", lambda content: content.replace(b"norm_stage1", b"norm_1"), "no column norm_stage1"),
        ("bins.csv", lambda content: b"", "No columns"),
        ("val_predictions.csv", lambda content: content.splitlines()[0], "it has 0 rows and not"),
        (
            "val_predictions.csv",
            lambda content: b"\n".join(content.splitlines()[:9]),
            "it has 8 rows and not",
        ),
        ("val_predictions.csv", lambda content: content.replace(b"few", b"rare"), "shot is .'rare'."),
        (
            "bins.csv",
            lambda content: b"\n".join(content.splitlines()[:4] + content.splitlines()[5:]),
            "bins are",
        ),
        ("bins.csv", lambda content: content.replace(b",few,", b",few,x", 1), "norm_stage1 in row .* is 'x"),
        ("records.jsonl", cut, "without 3, 4, 5"),
    ],
)
def test_a_damaged_file_is_named(copied, name, damage, told):
    folder = copied("staged")
    folder.put(name, damage(folder.read(name)))
    said = rf"(?s)staged/{name}: the file is damaged \(.*{told}.*train the trial again"
    with pytest.raises(ValueError, match=said):
        pictures.draw(folder, TITLE)
    assert not folder.list("pictures")


def test_a_missing_file_is_named(copied):
    folder = copied("staged")
    folder.delete("bins.csv")
    with pytest.raises(ValueError, match=r"staged/bins.csv: the file is missing; restore it"):
        pictures.draw(folder, TITLE)


# ---- dirsweep draw

SPACE = """\
question: Which weight is best?
searched: {stage1.norm_ordinality.weight: {uniform: [0.0, 1.0]}}
"""


@pytest.fixture
def sweep(trained, tmp_path, monkeypatch) -> Path:
    """Trial 15 is complete, 16 was pruned, 17 failed, 18 is open; 15-plain is what default-plain is."""
    monkeypatch.chdir(tmp_path)
    folder = Path("sweeps/weight-1")
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(SPACE)
    ledger = Ledger.create(Folder(folder), spec=read_spec(folder / "spec.yaml").hash, trials=4)
    weight = {"stage1.norm_ordinality.weight": 0.5}
    for name in ("15", "16", "17", "18"):
        ledger.write("ask", trial=name, params=weight, attrs={})
    for of in ("default", "15"):
        for control in ("plain", "mu0"):
            ledger.write("control", trial=f"{of}-{control}", of=of, control=control, params=weight)
    told: list[tuple[str, str, str]] = [
        ("15", "COMPLETE", ""),
        ("16", "PRUNED", "val/all/mae 9 is over the median"),
        ("17", "FAIL", "stage1, epoch 2: the loss is no longer finite"),
        ("default-plain", "COMPLETE", ""),
        ("15-plain", "COMPLETE", "same configuration as default-plain"),
        ("15-mu0", "COMPLETE", ""),
    ]
    for name, state, reason in told:
        metrics: dict[str, Any] = {"val/all/mae": 4.0} if state == "COMPLETE" else {}
        ledger.write("tell", trial=name, state=state, epoch=3, seconds=1.0, metrics=metrics, reason=reason)
    for name, kind in (("15", "staged"), ("15-mu0", "phases"), ("default-plain", "plain")):
        shutil.copytree(trained[kind], folder / "trials" / name)
    return folder


def test_draw_prints_where_the_pictures_are(sweep, capsys):
    run("weight-1", "15", "15-mu0", "15")
    lines = capsys.readouterr().out.splitlines()
    names = ("norms", "errors", "predictions", "curves")
    assert lines == [
        f"{sweep}/trials/{one}/pictures/{name}.svg" for one in ("15", "15-mu0") for name in names
    ]
    assert all(Path(line).exists() for line in lines)
    assert "Feature norms: weight-1, trial 15 (best of 4)" in Svg(Path(lines[0]).read_bytes()).texts
    assert "Feature norms: weight-1, 15-mu0 (control of trial 15)" in Svg(Path(lines[4]).read_bytes()).texts


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["draw", *arguments])
    assert ended.value.code == 0


def test_draw_of_a_control_that_was_not_trained_draws_the_one_it_equals(sweep, capsys):
    run("weight-1", "15-plain")
    first, *paths = capsys.readouterr().out.splitlines()
    assert first == "15-plain has the configuration of default-plain, so these are its pictures:"
    assert paths[0] == f"{sweep}/trials/default-plain/pictures/norms.svg"
    said = b"<title>Feature norms: weight-1, default-plain (control of the default): stage 1"
    assert said in Path(paths[0]).read_bytes()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("5", "no trial or control '5'; near it: 15"),
        ("15-mu1", "no trial or control '15-mu1'; near it: 15-mu0, "),
        ("16", "trial 16 was pruned at epoch 3: val/all/mae 9 is over the median"),
        ("17", "trial 17 failed: stage1, epoch 2: the loss is no longer finite"),
        ("18", "trial 18 is not finished; `dirsweep resume sweeps/weight-1` goes on with it"),
    ],
)
def test_draw_says_why_there_is_nothing_to_draw(sweep, capsys, name, told):
    with pytest.raises(SystemExit) as ended:
        cli.main(["draw", "weight-1", "15", name])
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert (printed.out, told in printed.err) == ("", True)
    assert printed.err.count("\n") == 1
