"""One trial from config to result: the same numbers however it is cut, and no knob without effect."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from dirsweep import METHOD_VERSION, checkpoint, data, pipeline
from dirsweep.checkpoint import journal
from dirsweep.config import TrialConfig, knobs
from dirsweep.storage import Folder, Place, Record

TIMED = {"seconds", "attempt"}


def run(config: TrialConfig, folder: Place, **options: Any) -> dict[str, float]:
    return pipeline.run_trial(config, Folder(folder), lambda record: None, **options)


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    keys = (left.keys() | right.keys()) - TIMED
    return all(json.dumps(left.get(key)) == json.dumps(right.get(key)) for key in keys)


def weights(folder: Place) -> dict[str, torch.Tensor]:
    return pipeline.unpack(Folder(folder).read("model.safetensors"))[0]


def assert_equal_trials(left: Place, right: Place) -> None:
    a, b = weights(left), weights(right)
    assert all(torch.equal(a[name], b[name]) for name in a)
    for name in ("bins.csv", "val_predictions.csv"):
        assert Folder(left).read(name) == Folder(right).read(name)
    records = [
        [{k: v for k, v in r.items() if k not in TIMED} for r in journal.read_records(Folder(p))]
        for p in (left, right)
    ]
    assert json.dumps(records[0]) == json.dumps(records[1])


def everything(folder: Path) -> TrialConfig:
    """Dropout, batch norm, EMA prototypes, two phases, selection: whatever has state."""
    return tiny.config(
        folder,
        encoder__dropout=0.2,
        encoder__batch_norm=True,
        stage1__norm_ordinality__ordinal_entropy=0.5,
        stage1__select="val/all/mae",
        stage1__then=[{"epochs": 2, "loss": {"name": "mse"}, "layers": "head", "reset_head": True}],
        stage2__select="val/few/mae",
    )


def test_the_same_config_gives_the_same_numbers_twice(tmp_path: Path):
    config = everything(tmp_path)
    one, two = run(config, tmp_path / "1"), run(config, tmp_path / "2")
    assert same(one, two)
    assert_equal_trials(tmp_path / "1", tmp_path / "2")
    other = run(config.with_overrides({"seed": 1}), tmp_path / "3")
    assert other["val/all/mae"] != one["val/all/mae"]


def test_a_trial_stopped_at_any_epoch_or_step_of_either_stage_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(journal, "BETWEEN_LOOKS", 0.0)
    config = everything(tmp_path)
    whole = run(config, tmp_path / "whole")
    looks = []
    run(config, tmp_path / "count", should_stop=lambda: bool(looks.append(0)))
    stops: set[tuple[str, bool]] = set()
    for stop_at in range(0, len(looks), 3):
        folder, seen = tmp_path / f"stop-{stop_at}", []
        look = iter(range(len(looks)))
        with pytest.raises(pipeline.Stopped):
            run(config, folder, should_stop=lambda: next(look) == stop_at)  # noqa: B023
        kept = checkpoint.latest(Folder(folder))
        stops.add((kept.notes["stage"], kept.step > 0))
        resumed = pipeline.run_trial(config, Folder(folder), lambda record: seen.append(record["epoch"]))  # noqa: B023
        assert same(resumed, whole)
        assert_equal_trials(folder, tmp_path / "whole")
        assert seen == list(range(1, 8))
        assert not Folder(folder).list("checkpoints")
    within = {(stage, True) for stage in ("stage1", "stage1.then.0", "stage2")}
    assert stops >= within | {("stage1", False)}


def test_a_trial_in_an_object_store_ends_as_on_a_disk_also_when_stopped(
    tmp_path: Path, bucket: Folder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(journal, "BETWEEN_LOOKS", 0.0)
    config = everything(tmp_path)
    looks = []
    whole = run(config, tmp_path / "whole", should_stop=lambda: bool(looks.append(0)))
    for stop_at in (len(looks) // 3, len(looks) - 2):  # in stage 1 and in stage 2
        look = iter(range(len(looks)))
        with pytest.raises(pipeline.Stopped):
            run(config, bucket / f"{stop_at}", should_stop=lambda: next(look) == stop_at)  # noqa: B023
        assert same(run(config, bucket / f"{stop_at}"), whole)
        assert_equal_trials(bucket / f"{stop_at}", tmp_path / "whole")


def test_beta_zero_is_bit_for_bit_the_base_method_and_no_epochs_return_stage_1(tmp_path: Path):
    config = tiny.config(tmp_path)
    zero = {"stage1.norm_ordinality.weight": 0.0, "stage2": None}
    run(config.with_overrides(zero), tmp_path / "zero")
    run(config.plain(), tmp_path / "plain")
    assert_equal_trials(tmp_path / "zero", tmp_path / "plain")
    run(
        config.plain().with_overrides({"stage2": {"majority_threshold": 20, "schedule": {"epochs": 0}}}),
        tmp_path / "no epochs",
    )
    a, b = weights(tmp_path / "plain"), weights(tmp_path / "no epochs")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_mu_zero_differs_from_both_stage_1_and_the_whole_method(tmp_path: Path):
    config = tiny.config(tmp_path)
    maes = [
        run(variant, tmp_path / name)["val/all/mae"]
        for name, variant in (
            ("whole", config),
            ("mu0", config.without_norm_term()),
            ("stage1", config.with_overrides({"stage2": None})),
        )
    ]
    assert len(set(maes)) == 3


def test_the_folder_holds_what_the_readme_says(tmp_path: Path):
    found = run(tiny.config(tmp_path), tmp_path / "trial")
    assert sorted(p.name for p in (tmp_path / "trial").iterdir() if p.is_file()) == [
        "bins.csv", "config.json", "facts.json", "inputs.json", "metrics.json", "model.safetensors",
        "records.jsonl", "stage1.json", "val_predictions.csv",
    ]  # fmt: skip
    assert json.loads((tmp_path / "trial/metrics.json").read_text())["val/few/mae"] == found["val/few/mae"]
    assert not any("test" in key for key in found)
    predictions = pd.read_csv(tmp_path / "trial/val_predictions.csv")
    few = predictions[predictions["shot"] == "few"]
    assert len(few) == found["val/few/count"]
    assert (few["prediction"] - few["target"]).abs().mean() == pytest.approx(found["val/few/mae"])
    bins = pd.read_csv(tmp_path / "trial/bins.csv")
    assert bins["train_count"].sum() == found["train/all/count"]
    assert (bins.loc[bins["majority"], "norm_target"] == bins.loc[bins["majority"], "norm_stage1"]).all()


def test_stage_2_pulls_the_norms_of_rare_bins_toward_the_line(tmp_path: Path):
    long = {
        "stage1.epochs": 20,
        "stage2.schedule.epochs": 20,
        "stage2.norm_weight": 10.0,
        "stage2.schedule.lr": 1.0e-3,
    }
    run(tiny.config(tmp_path).with_overrides(long), tmp_path / "trial")
    bins = pd.read_csv(tmp_path / "trial/bins.csv").dropna(subset="norm")
    rare = bins[~bins["majority"]]
    before = (rare["norm_stage1"] - rare["norm_target"]).abs().mean()
    after = (rare["norm"] - rare["norm_target"]).abs().mean()
    assert after < 0.5 * before


def test_each_stage_hands_on_the_epoch_with_the_smallest_metric(tmp_path: Path):
    rough = {  # so that the last epoch is not the best
        "stage1__optimizer__lr": 0.1,
        "stage1__decay__name": "constant",
        "stage2__schedule__lr": 0.1,
        "stage2__schedule__decay__name": "constant",
    }
    config = tiny.config(
        tmp_path,
        stage1__epochs=5,
        stage2__schedule__epochs=6,
        stage1__select="val/all/mae",
        stage2__select="val/few/mae",
        **rough,
    )
    metrics = run(config, tmp_path / "trial")
    records = journal.read_records(Folder(tmp_path / "trial"))
    all_mae = [record["metrics"]["val/all/mae"] for record in records[:5]]
    few_mae = [record["metrics"]["val/few/mae"] for record in records[5:]]
    assert min(all_mae) < all_mae[-1]
    assert min(few_mae) < few_mae[-1]
    assert metrics["stage1/val/all/mae"] == min(all_mae)
    assert metrics["val/few/mae"] == min(few_mae)
    assert metrics["epoch"] == 6 + few_mae.index(min(few_mae))


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_batch_norm_stays_as_stage_1_left_it(tmp_path: Path, frozen: bool):
    config = tiny.config(tmp_path, encoder__batch_norm=True, stage2__freeze_batch_norm=frozen)
    run(config.with_overrides({"stage2": None}), tmp_path / "stage1")
    run(config, tmp_path / "both")
    before, after = weights(tmp_path / "stage1"), weights(tmp_path / "both")
    normed = {name.rsplit(".", 1)[0] for name in before if name.endswith("running_mean")}
    for name in before:
        kept = frozen and name.rsplit(".", 1)[0] in normed
        assert torch.equal(before[name], after[name]) == kept, name


def test_the_distance_from_the_line_is_told_for_each_stage(tmp_path: Path):
    metrics = run(tiny.config(tmp_path, stage2__norm_weight=10.0), tmp_path / "trial")
    bins = pd.read_csv(tmp_path / "trial/bins.csv")
    outside = bins[~bins["majority"] & (bins["train_count"] > 0)]
    for prefix, norm in (("stage1/train", "norm_stage1"), ("train", "norm")):
        expected = np.sqrt(((outside[norm] - outside["norm_line"]) ** 2).mean())
        assert metrics[f"{prefix}/fit/rmse_outside"] == pytest.approx(expected)


def test_epochs_that_were_emitted_are_not_emitted_again(tmp_path: Path):
    config, folder, seen = tiny.config(tmp_path), Folder(tmp_path / "trial"), []
    pipeline.run_trial(config, folder, seen.append)
    again: list[Record] = []
    pipeline.run_trial(config, folder, again.append, emitted=3)
    assert [record["epoch"] for record in seen] == [1, 2, 3, 4, 5]
    assert json.dumps(again) == json.dumps(seen[3:])


def test_a_folder_of_another_trial_is_refused_and_left_alone(tmp_path: Path):
    config = tiny.config(tmp_path)
    run(config, tmp_path / "trial")
    kept = (tmp_path / "trial/metrics.json").read_bytes()
    with pytest.raises(ValueError, match=r"holds another trial \(stage1.epochs is 3 there and 4 here\)"):
        run(config.with_overrides({"stage1.epochs": 4}), tmp_path / "trial")
    assert (tmp_path / "trial/metrics.json").read_bytes() == kept


def test_a_trial_goes_on_when_its_table_lies_elsewhere(tmp_path: Path):
    run(tiny.config(tmp_path), tmp_path / "trial")
    (tmp_path / "there").mkdir()
    (tmp_path / "tiny.csv").rename(tmp_path / "there/tiny.csv")
    moved = tiny.config(tmp_path / "there")
    assert run(moved, tmp_path / "trial")["val/all/count"] > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"stage2__majority_threshold": 5000},
            "stage2.majority_threshold 5000 leaves fewer than two majority bins",
        ),
        ({"device": "cuda"}, "device is cuda, but PyTorch finds no GPU"),
        ({"stage1__target_transform": "log"}, "log"),
    ],
)
def test_what_the_data_cannot_serve_is_refused_before_training(
    tmp_path: Path, values: dict[str, Any], message: str
):
    if values.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    config = tiny.config(tmp_path, **values)
    if "stage1__target_transform" in values:
        table = pd.read_csv(tmp_path / "tiny.csv")
        table["label"] -= 1.0
        table.to_csv(tmp_path / "tiny.csv", index=False)
    with pytest.raises(ValueError, match=message):
        run(config, tmp_path / "trial")
    assert not (tmp_path / "trial/records.jsonl").exists()


def test_a_trial_that_diverges_says_where(tmp_path: Path):
    config = tiny.config(
        tmp_path, stage1__optimizer__name="sgd", stage1__optimizer__lr=1e6, stage1__loss__name="mse"
    )
    with pytest.raises(FloatingPointError, match=r"stage1, epoch \d: the loss is no longer finite"):
        run(config, tmp_path / "trial")


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_predict_gives_the_predictions_of_the_trial(tmp_path: Path, precision: str):
    config = tiny.config(tmp_path, precision=precision)
    run(config, tmp_path / "trial")
    table = pd.read_csv(tmp_path / "tiny.csv")
    kept = pd.read_csv(tmp_path / "trial/val_predictions.csv")
    found = pipeline.predict(Folder(tmp_path / "trial"), table.drop(columns="label"))
    np.testing.assert_allclose(found[kept["sample"]], kept["prediction"], rtol=1e-5)
    with pytest.raises(ValueError, match="size"):
        pipeline.predict(Folder(tmp_path / "trial"), table.drop(columns="size"))
    with pytest.raises(ValueError, match="no finished trial"):
        pipeline.predict(Folder(tmp_path / "nothing"), table)


@pytest.mark.parametrize("name", ["config.json", "inputs.json", "model.safetensors"])
def test_a_damaged_file_of_a_finished_trial_is_named(tmp_path: Path, name: str):
    run(tiny.config(tmp_path), tmp_path / "trial")
    folder, table = Folder(tmp_path / "trial"), pd.read_csv(tmp_path / "tiny.csv")
    whole = folder.read(name)
    for damaged in (whole[: len(whole) // 2], whole[:-1], b""):
        folder.put(name, damaged)
        with pytest.raises(ValueError, match=rf"{name}: the file is damaged"):
            pipeline.predict(folder, table)


def test_balanced_mse_over_bins_needs_centres_that_have_a_logarithm(tmp_path: Path):
    bins = {"name": "edges", "edges": [-30.0, 5.0, 10.0, 60.0]}
    values = {"dataset.bins": bins, "stage1.loss": {"name": "balanced_mse", "integral": "bni"}}
    config = tiny.config(tmp_path).with_overrides(values)
    pipeline.check(config, data.load(config.dataset))
    logs = config.with_overrides({"stage1.target_transform": "log"})
    with pytest.raises(ValueError, match=r"needs bin centres above 0, but one is -12\.5"):
        pipeline.check(logs, data.load(logs.dataset))


ELSEWHERE = {
    "device",
    "precision",
    "compiled",
    "threads",
    "processes",
    "batch_norm",
    "encoder.name",
    "stage1.accumulate",
}
"""Knobs that change how a trial is computed, not what, and the encoder: checked on their own."""


LOSSES = ("mse", "huber", "focal_r", "balanced_mse", "dist", "nig")
WEIGHTINGS = ("inv", "sqinv", "lds", "dense_weight")


def changes(config: TrialConfig) -> dict[str, list[dict[str, Any]]]:
    """For every knob, changes of it alone; each after the context (first entry) in which it acts."""
    kl, ema = "stage1.norm_ordinality", "stage1.norm_ordinality.prototypes"
    decay, fine, weighting = "stage1.decay", "stage2.schedule", "stage1.weighting"
    sgd = {"stage1.optimizer.name": "sgd", "stage1.optimizer.lr": 0.01}
    step = {f"{decay}.name": "step", f"{decay}.at": [0.3]}
    fine_step = {f"{fine}.decay.name": "step", f"{fine}.decay.at": [0.3]}
    inv, lds = {f"{weighting}.name": "inv"}, {f"{weighting}.name": "lds"}
    feature = "stage1.feature_method"
    focal, balanced = {"stage1.loss.name": "focal_r"}, {"stage1.loss.name": "balanced_mse"}
    dense, dist = {f"{weighting}.name": "dense_weight"}, {"stage1.loss.name": "dist"}
    drop = {"encoder.dropout": 0.2}
    conr = drop | {f"{feature}.name": "conr", f"{feature}.weight": 2.0, f"{feature}.window": 0.3}
    contrast = drop | {f"{feature}.name": "rank_n_contrast"}
    wild = {"stage1.optimizer.lr": 0.05, "stage1.epochs": 12, f"{decay}.name": "constant"}
    fine_wild = {f"{fine}.lr": 0.05, f"{fine}.epochs": 8, f"{fine}.decay.name": "constant"}
    two = {"stage1.then": [{"epochs": 2}]}
    return {
        "encoder.width": [{}, {"encoder.width": 24}],
        "encoder.depth": [{}, {"encoder.depth": 3}],
        "encoder.dropout": [{}, {"encoder.dropout": 0.3}],
        "encoder.batch_norm": [{}, {"encoder.batch_norm": True}],
        "stage1.epochs": [{}, {"stage1.epochs": 4}],
        "stage1.batch_size": [{}, {"stage1.batch_size": 32}],
        "stage1.optimizer.name": [{}, {"stage1.optimizer.name": "sgd"}],
        "stage1.optimizer.lr": [{}, {"stage1.optimizer.lr": 2e-3}],
        "stage1.optimizer.weight_decay": [{}, {"stage1.optimizer.weight_decay": 0.1}],
        "stage1.optimizer.rho": [{}, {"stage1.optimizer.rho": 0.05}],
        "stage1.optimizer.momentum": [sgd, {"stage1.optimizer.momentum": 0.5}],
        f"{decay}.name": [{}, {f"{decay}.name": "constant"}, {f"{decay}.name": "step"}],
        f"{decay}.at": [step, {f"{decay}.at": [0.6]}],
        f"{decay}.factor": [step, {f"{decay}.factor": 0.5}],
        "stage1.warmup": [{}, {"stage1.warmup": 0.5}],
        "stage1.loss.name": [{}, *({"stage1.loss.name": name} for name in LOSSES)],
        "stage1.loss.beta": [{"stage1.loss.name": "huber"}, {"stage1.loss.beta": 0.1}],
        "stage1.loss.error": [focal, {"stage1.loss.error": "mse"}],
        "stage1.loss.gate": [focal, {"stage1.loss.gate": "tanh"}],
        "stage1.loss.gamma": [focal, {"stage1.loss.gamma": 2.0}],
        "stage1.loss.integral": [balanced, {"stage1.loss.integral": "bni"}, {"stage1.loss.integral": "gai"}],
        "stage1.loss.sigma": [balanced, {"stage1.loss.sigma": 0.2}],
        "stage1.loss.sigma_lr": [balanced, {"stage1.loss.sigma_lr": 0.05}],
        "stage1.loss.weight": [dist, {"stage1.loss.weight": 0.2}],
        "stage1.loss.bandwidth": [dist, {"stage1.loss.bandwidth": 0.1}],
        "stage1.loss.evidence": [{"stage1.loss.name": "nig"}, {"stage1.loss.evidence": 1.0}],
        "stage1.loss.strength": [dist, {"stage1.loss.strength": 100.0}],
        f"{feature}.name": [{}, *({f"{feature}.name": name} for name in ("ranksim", "ordinal_entropy"))],
        f"{feature}.weight": [{f"{feature}.name": "ranksim"}, {f"{feature}.weight": 1.0}],
        f"{feature}.interpolation": [{f"{feature}.name": "ranksim"}, {f"{feature}.interpolation": 0.1}],
        f"{feature}.window": [conr, {f"{feature}.window": 0.1}],
        f"{feature}.temperature": [conr, {f"{feature}.temperature": 1.0}],
        f"{feature}.strength": [conr, {f"{feature}.strength": 2.0}],
        f"{feature}.reference": [conr, {f"{feature}.reference": True}],
        f"{feature}.temperature (rank_n_contrast)": [contrast, {f"{feature}.temperature": 0.5}],
        f"{weighting}.name": [{}, *({f"{weighting}.name": name} for name in WEIGHTINGS)],
        f"{weighting}.alpha": [dense, {f"{weighting}.alpha": 0.5}],
        f"{weighting}.epsilon": [dense | {f"{weighting}.alpha": 1.5}, {f"{weighting}.epsilon": 0.2}],
        f"{weighting}.clip_low": [inv, {f"{weighting}.clip_low": 30}],
        f"{weighting}.clip_high": [inv, {f"{weighting}.clip_high": 50}],
        f"{weighting}.kernel": [lds, {f"{weighting}.kernel": "laplace"}, {f"{weighting}.kernel": "triang"}],
        f"{weighting}.size": [lds, {f"{weighting}.size": 9}],
        f"{weighting}.sigma": [lds, {f"{weighting}.sigma": 1.0}],
        f"{weighting}.root": [lds, {f"{weighting}.root": False}],
        "stage1.target_transform": [{}, *({"stage1.target_transform": to} for to in ("log", "quantile"))],
        f"{kl}.name": [{}, *({f"{kl}.name": name} for name in ("none", "hinge", "rank", "isotonic"))],
        f"{kl}.weight": [{}, {f"{kl}.weight": 1.0}],
        f"{kl}.ordinal_entropy": [{}, {f"{kl}.ordinal_entropy": 1.0}],
        f"{ema}.name": [{}, {f"{ema}.name": "batch"}],
        f"{ema}.momentum": [{}, {f"{ema}.momentum": 0.5}],
        f"{kl}.tau": [{}, {f"{kl}.tau": 0.3}],
        f"{kl}.margin": [{f"{kl}.name": "hinge"}, {f"{kl}.margin": 1.0}],
        f"{kl}.direction": [{}, {f"{kl}.direction": "decreasing"}, {f"{kl}.direction": "free"}],
        "stage1.select": [wild, {"stage1.select": "val/all/mae"}, {"stage1.select": "val/few/gm"}],
        "stage1.then.0.epochs": [two, {"stage1.then.0.epochs": 3}],
        "stage1.then.0.batch_size": [two, {"stage1.then.0.batch_size": 32}],
        "stage1.then.0.warmup": [two, {"stage1.then.0.warmup": 0.5}],
        "stage1.then.0.layers": [two, *({"stage1.then.0.layers": name} for name in ("last_block", "head"))],
        "stage1.then.0.reset_head": [two, {"stage1.then.0.reset_head": True}],
        "stage1.then.0.optimizer": [two, {"stage1.then.0.optimizer": {"name": "adam", "lr": 1e-4}}],
        "stage1.then.0.decay": [two, {"stage1.then.0.decay": {"name": "constant"}}],
        "stage1.then.0.loss": [two, {"stage1.then.0.loss": {"name": "mse"}}],
        "stage1.then.0.weighting": [two, {"stage1.then.0.weighting": {"name": "inv"}}],
        "stage1.then.0.feature_method": [two, {"stage1.then.0.feature_method": {"name": "ranksim"}}],
        "stage1.then.0.norm_ordinality": [two, {"stage1.then.0.norm_ordinality": {"name": "none"}}],
        "stage2.majority_threshold": [{}, {"stage2.majority_threshold": 60}],
        "stage2.fit.weighted": [{}, {"stage2.fit.weighted": True}],
        "stage2.fit.ridge": [{}, {"stage2.fit.ridge": 1.0}],
        "stage2.fit.curve": [{}, {"stage2.fit.curve": "exponential"}],
        "stage2.norm_weight": [{}, {"stage2.norm_weight": 3.0}],
        "stage2.reduction": [{}, {"stage2.reduction": "sum"}],
        f"{fine}.epochs": [{}, {f"{fine}.epochs": 3}],
        f"{fine}.lr": [{}, {f"{fine}.lr": 1e-3}],
        f"{fine}.decay.name": [{}, {f"{fine}.decay.name": "constant"}],
        f"{fine}.decay.at": [fine_step, {f"{fine}.decay.at": [0.6]}],
        f"{fine}.decay.factor": [fine_step, {f"{fine}.decay.factor": 0.5}],
        f"{fine}.warmup": [{}, {f"{fine}.warmup": 0.5}],
        "stage2.layers": [{}, {"stage2.layers": "last_block"}],
        "stage2.freeze_batch_norm": [{"encoder.batch_norm": True}, {"stage2.freeze_batch_norm": False}],
        "stage2.sampling": [{}, {"stage2.sampling": "natural"}],
        "stage2.select": [fine_wild, {"stage2.select": "val/many/mae"}],
        "seed": [{}, {"seed": 1}],
    }


def test_every_knob_changed_alone_changes_the_trial(tmp_path: Path):
    base = tiny.config(tmp_path)
    seen: dict[str, list[float]] = {}

    def figures(config: TrialConfig) -> list[float]:
        key = config.model_dump_json()
        if key not in seen:
            run(config, tmp_path / str(len(seen)))
            seen[key] = pd.read_csv(tmp_path / str(len(seen)) / "val_predictions.csv")["prediction"].tolist()
        return seen[key]

    table = changes(base)
    dead = [
        (name, change)
        for name, (context, *values) in table.items()
        for change in values
        if figures(base.with_overrides(context))
        == figures(base.with_overrides(context).with_overrides(change))
    ]
    assert dead == []
    named = {knob.name for knob in knobs() if not knob.name.startswith("dataset.")} - ELSEWHERE
    named -= {knob.name for knob in knobs("encoder.") if knob.variant not in ("", "mlp")}  # test_encoders.py
    elsewhere = ("fds", "vir")  # test_fds.py, test_vir.py
    named -= {knob.name for knob in knobs("stage1.feature_method.") if knob.variant in elsewhere}
    whole = [name for name in table if name.startswith("stage1.then.0.")]  # parts
    assert {name for name in named - table.keys() if not name.startswith(tuple(whole))} == set()


def test_a_trial_that_began_before_a_knob_came_goes_on(tmp_path: Path):
    config, folder = tiny.config(tmp_path), tmp_path / "trial"
    metrics = run(config, folder)
    kept = json.loads((folder / "config.json").read_text())
    del kept["processes"], kept["batch_norm"]
    (folder / "config.json").write_text(json.dumps(kept))
    assert run(config, folder)["val/all/mae"] == metrics["val/all/mae"]


def test_bf16_changes_the_numbers_and_threads_are_set(tmp_path: Path):
    config = tiny.config(tmp_path)
    plain = run(config, tmp_path / "float32")
    assert (
        run(config.with_overrides({"precision": "bf16"}), tmp_path / "bf16")["val/all/mae"]
        != plain["val/all/mae"]
    )
    try:
        run(config.with_overrides({"threads": 2}), tmp_path / "threads")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_fine_tuning_reads_the_training_split_alone(tmp_path: Path):
    """Labels of val are wrong by a constant: errors move with them, the weights do not."""
    config = tiny.config(tmp_path)
    run(config, tmp_path / "right")
    dataset = data.load(config.dataset)
    shifted = pd.read_csv(tmp_path / "tiny.csv")
    assert set(dataset.train.sample).isdisjoint(dataset.val.sample)
    folder = tmp_path / "other"
    folder.mkdir()
    rows = dict.fromkeys(dataset.train.sample, "train") | dict.fromkeys(dataset.val.sample, "val")
    shifted["split"] = [rows.get(row, "test") for row in range(len(shifted))]
    shifted.loc[shifted["split"] != "train", "label"] = 1.0
    shifted.to_csv(folder / "tiny.csv", index=False)
    fields = {
        "split_column": "split",
        "held_out_per_bin": 30,
        "bins": {"name": "edges", "edges": dataset.shots.bins.edges.tolist()},
    }
    moved = tiny.config(folder, **{f"dataset__{key}": value for key, value in fields.items()})
    run(moved, tmp_path / "wrong")
    a, b = weights(tmp_path / "right"), weights(tmp_path / "wrong")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_stage_2_along_a_line_that_says_nothing_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    config = tiny.config(tmp_path)
    found = run(config, tmp_path / "trial")
    [said] = caplog.messages
    assert f"has R2 {found['fit/r2']:.2f} over the 6 majority bins, below 0.5, so what" in said
    caplog.clear()
    run(config, tmp_path / "trial")  # it is finished
    for values in ({"stage2__norm_weight": 0.0}, {"stage2__schedule__epochs": 0}, {"stage1__epochs": 15}):
        run(tiny.config(tmp_path, **values), tmp_path / str(values))
    assert caplog.messages == []


def test_golden_numbers_of_this_method_version(tmp_path: Path):
    """If these change on purpose, METHOD_VERSION goes up with them; processors differ in the last digits."""
    found = run(tiny.config(tmp_path), tmp_path / "trial")
    golden = {5: {"val/all/mae": 6.242006, "val/few/mae": 14.552066, "fit/r2": 0.195782}}[METHOD_VERSION]
    assert {name: found[name] for name in golden} == pytest.approx(golden, rel=1e-3)
