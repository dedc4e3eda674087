"""What a dry run foretells, on sweeps and runs whose numbers are chosen so that a reader can check them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sweeping
import tiny
import yaml

from dirsweep import data
from dirsweep.finalize import Settings, forecast, training
from dirsweep.finalize.forecast import _in_words, paces
from dirsweep.finalize.prepare import make_plan
from dirsweep.intervals import LEVEL, SeedsNeeded, seeds_needed
from dirsweep.ledger import Ledger, TrialRecord
from dirsweep.report import load
from dirsweep.search.spec import SweepSpec
from dirsweep.storage import Folder
from dirsweep.sweep import Resources, provenance

ONE = {"stage2.norm_weight": {"uniform": [0.0, 2.0]}}
"""A space whose base needs no tuning."""


def swept(folder: Path, spec: SweepSpec, params: dict[str, Any]) -> Path:
    """A finished sweep of one trial: 10 s an epoch of stage 1, 1 s an epoch of stage 2."""
    folder.mkdir()
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    dataset = data.load(spec.default_config().dataset)
    ledger = Ledger.create(Folder(folder), **provenance.opening(spec, dataset, Resources()))
    ledger.write("ask", trial="0", params=params, attrs={})
    config = spec.config(params)
    second = config.stage2.schedule.epochs if config.stage2 else 0
    stages = ["stage1"] * config.stage1.epochs + ["stage2"] * second
    seconds = 0.0
    for epoch, stage in enumerate(stages, 1):
        seconds += 10.0 if stage == "stage1" else 1.0
        of = {"epoch": epoch, "of": len(stages), "stage": stage, "seconds": seconds}
        ledger.write("report", trial="0", **of, metrics={})
    metrics = {f"val/{shot}/mae": 5.0 for shot in ("all", "many", "median", "few")} | {"epochs": len(stages)}
    told = {"state": "COMPLETE", "epoch": len(stages), "seconds": seconds, "reason": ""}
    ledger.write("tell", trial="0", metrics=metrics, **told)
    ledger.write("end", why="finished")
    return folder


def said(folder: Path, **settings: Any) -> str:
    return " ".join(forecast(folder, Settings(**settings)).split())


def test_each_stage_has_its_own_pace(tmp_path):
    text = said(swept(tmp_path / "sweep", sweeping.spec(tmp_path), {"stage2.norm_weight": 1.0}), seeds=2)
    # of 3 and 2 epochs: the winner 32 s, plain 30, mu0 2 more, compute-matched 50, log-target 30
    assert "2 fresh seeds of 5 configurations are 10 runs, and take about 4 min 48 s of training more" in text


def test_a_stage_1_that_was_reused_is_paced_by_what_it_took_before():
    reports = [
        {"stage": "stage1", "epoch": 4, "seconds": 0.0},
        {"stage": "stage2", "epoch": 6, "seconds": 3.0},
    ]
    metrics = {"epochs": 6, "reused_seconds": 40.0}
    assert paces(TrialRecord("0", "ask", {}, reports=reports, metrics=metrics, seconds=3.0)) == (10.0, 1.5)
    assert paces(TrialRecord("0", "ask", {}, metrics=metrics, seconds=3.0)) == (43 / 6, 43 / 6)


def test_a_base_that_is_still_to_be_tuned_is_left_out_and_that_is_said(tmp_path):
    folder = swept(tmp_path / "sweep", sweeping.spec(tmp_path), {"stage2.norm_weight": 1.0})
    text = said(folder)
    assert (
        "Tuned-base is left out: the base is to be tuned first, which takes up to the sweep's own 32 s"
        in text
    )
    assert "| log-target " in text
    assert "| few * " in text  # mu0
    assert "| few * " not in said(folder, primary="tuned-base:few")


def test_where_the_tuned_base_is_the_only_control_there_is_a_forecast_of_the_rest(tmp_path):
    table = pd.read_csv(tiny.write_table(tmp_path / "tiny.csv"))
    table.assign(label=table["label"] - 5).to_csv(tmp_path / "tiny.csv", index=False)
    base = tiny.config(tmp_path).plain().model_dump(mode="json")
    spec = sweeping.spec(tmp_path, fixed=base, searched={"stage1.optimizer.lr": {"log": [1.0e-4, 1.0e-2]}})
    text = said(swept(tmp_path / "sweep", spec, {"stage1.optimizer.lr": 1.0e-3}))
    assert "the base is to be tuned first" in text
    assert "5 fresh seeds of 1 configuration are 5 runs, and take about 2 min 30 s of training more" in text
    assert "| against" not in text


def test_seeds_suffice_for_the_primary_at_95_and_for_the_others_at_a_level_that_they_share(tmp_path):
    spec = sweeping.spec(tmp_path, searched=ONE)
    folder = swept(tmp_path / "sweep", spec, {"stage2.norm_weight": 1.0})
    report, dataset = load(folder), data.load(spec.default_config().dataset)
    plan = make_plan(report, dataset, Settings(), "it equals plain")
    errors = {}
    for place, row in enumerate(plan.rows):
        for run in training.runs([row], [1, 2], Folder(folder)):
            noise = np.random.default_rng((place, run.seed)).normal(size=len(dataset.val.label))
            error = 30.0 + (place if run.seed == 1 else -3 * place) + noise  # the seeds do not agree
            found = {"target": dataset.val.label, "prediction": dataset.val.label + error}
            run.folder.put("val_predictions.csv", pd.DataFrame(found).to_csv(index=False).encode())
            run.folder.put("metrics.json", json.dumps({"seconds": 7.0}).encode())
            errors.setdefault(row.name, []).append(error)
    text = forecast(folder, Settings())
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:2] == "| "
    ]
    cells = {(line[0], line[1]): line[2:] for line in lines[1:]}
    few, others = dataset.shots.masks["few"][dataset.val.bin], len(cells) - 1
    assert f"The other {others} are adjusted for one another" in " ".join(text.split())
    levels = LEVEL, 1 - (1 - LEVEL) / others
    for place, (name, shot) in enumerate((("mu0", "few *"), ("plain", "few"))):
        ours, theirs = (np.array(errors[one])[:, few] for one in ("0", name))
        found = [seeds_needed(ours, theirs, "mae", level=level).seeds for level in levels]
        assert cells[name, shot][2] == str(found[place])
        assert found[0] < found[1]
    assert "take about 1 min 45 s of training more" in " ".join(text.split())  # 3 seeds of 5 rows, 7 s each


def test_never_is_said_where_the_samples_alone_leave_more_open_and_over_10_000_where_seeds_would_do():
    # 100 samples whose mean varies by 0.1: 0.198 for an interval of 95%, and 0.084 more for 8 in 10
    assert _in_words(SeedsNeeded(-0.25, 5, None, 0.198, 0.282, "")) == ("5", "never")
    assert _in_words(SeedsNeeded(-0.30, None, None, 0.198, 0.282, "")) == ("over 10,000", "over 10,000")
    assert _in_words(SeedsNeeded(-0.15, None, None, 0.198, 0.282, "")) == ("never", "never")
    assert _in_words(SeedsNeeded(9.0, None, None, np.inf, np.inf, "")) == ("never", "never")
