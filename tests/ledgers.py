"""Sweeps that were never run: ledgers of any length with numbers that a test chooses or can check.

python tests/ledgers.py FOLDER TRIALS    (a sweep to look at and to time pages with)
"""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dirsweep.ledger import Ledger
from dirsweep.search.spec import read_spec
from dirsweep.storage import Folder

SPACE = """\
question: Which two-stage method serves all prices best, and what does it cost or gain the rare ones?
fixed:
  dataset: diamonds
  stage1: {epochs: 25}
searched:
  stage1.norm_ordinality.name: {choice: [kl, hinge, rank]}
  stage1.norm_ordinality.weight: {log: [1.0e-3, 10.0]}
  stage1.norm_ordinality.tau: {log: [0.05, 5.0], when: {stage1.norm_ordinality.name: [kl, rank]}}
  stage1.norm_ordinality.margin: {uniform: [0.0, 1.0], step: 0.1, when: {stage1.norm_ordinality.name: hinge}}
  stage2.majority_threshold: {int: [20, 400], step: 20}
  stage2.norm_weight: {log: [1.0e-3, 10.0]}
  stage2.schedule.epochs: {int: [2, 10]}
  stage2.schedule.lr: {log: [1.0e-5, 1.0e-3]}
  stage2.sampling: {choice: [balanced, natural]}
objectives: [val/all/mae, val/few/mae]
budget: {trials: TRIALS}
"""
COUNTS = {"all": 2221, "many": 750, "median": 870, "few": 601}
SHARES = {"all": 1.0, "many": 0.36, "median": 1.07, "few": 1.7}
EPOCHS = 30  # of a trial


def metrics(mae: float, few: float, rng: np.random.Generator) -> dict[str, float]:
    """What a finished trial tells, all names of a real one."""
    found = {"epoch": 30.0, "epochs": 30.0, "seconds": 3.5, "reused_seconds": 0.0}
    for split in ("val", "train", "stage1/val", "stage1/train"):
        for shot, count in (*COUNTS.items(), ("zero", 0)):
            size = math.nan if shot == "zero" else mae * SHARES[shot] if shot != "few" else few
            shares = (("mae", 1.0), ("gm", 0.45), ("mse", 1.5 * mae), ("balanced_mae", 1.3))
            found |= {f"{split}/{shot}/{name}": size * share for name, share in shares}
            found[f"{split}/{shot}/count"] = float(count)
    for place in ("train", "stage1/train"):
        for shot in COUNTS:
            found |= {
                f"{place}/{shot}/{name}": rng.random() for name in ("spearman", "kendall", "out_of_order")
            }
    line = ("r2", "rmse", "slope", "intercept", "floored", "reach", "majority_bins")
    return found | {f"fit/{name}": rng.random() for name in line}


def params(rng: np.random.Generator) -> dict[str, Any]:
    """Searched values of a trial."""
    name = str(rng.choice(["kl", "hinge", "rank"]))
    own: dict[str, Any] = (
        {"stage1.norm_ordinality.margin": round(float(rng.integers(11)) / 10, 1)}
        if name == "hinge"
        else {"stage1.norm_ordinality.tau": float(10 ** rng.uniform(-1.3, 0.69))}
    )
    return {
        "stage1.norm_ordinality.name": name,
        "stage1.norm_ordinality.weight": float(10 ** rng.uniform(-3, 1)),
        **own,
        "stage2.majority_threshold": int(20 * rng.integers(1, 21)),
        "stage2.norm_weight": float(10 ** rng.uniform(-3, 1)),
        "stage2.sampling": str(rng.choice(["balanced", "natural"])),
        "stage2.schedule.epochs": int(rng.integers(2, 11)),
        "stage2.schedule.lr": float(10 ** rng.uniform(-5, -3)),
    }


def write(folder: Path, trials: int, *, reports: int = 2, seed: int = 0) -> None:
    """A sweep of so many trials: most complete, some pruned, some failed, with controls and their files.

    Args:
        reports: epochs that a trial tells of.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(SPACE.replace("TRIALS", str(trials)))
    ledger = Ledger.create(
        Folder(folder),
        spec=read_spec(folder / "spec.yaml").hash,
        method_version=3,
        data="d" * 64,
        encoder="",
        constraints="c" * 64,
        git="0" * 40,
        versions={"python": "3.11.0", "dirsweep": "0.1.0"},
        trials=trials,
        resources={"workers": 2, "cpus_per_trial": 1, "gpus_per_trial": 0.0},
    )
    for control in ("plain", "mu0"):
        ledger.write("control", trial=f"default-{control}", of="default", control=control, params={})
        _run(
            ledger,
            f"default-{control}",
            824.0 if control == "plain" else 785.0,
            1480.0,
            "COMPLETE",
            rng,
            reports,
        )
    best = (math.inf, "", dict[str, Any]())
    for number in range(trials):
        asked = params(rng)
        ledger.write("ask", trial=str(number), params=asked, attrs={})
        mae = float(780 + 60 * rng.gamma(2) + 25 * abs(math.log10(asked["stage2.norm_weight"])))
        few = float(1900 - 0.7 * mae + 60 * rng.normal())
        state = str(rng.choice(["COMPLETE", "PRUNED", "FAIL"], p=[0.85, 0.1, 0.05])) if number else "COMPLETE"
        _run(ledger, str(number), mae, few, state, rng, reports)
        if state == "COMPLETE":
            best = min(best, (mae, str(number), asked), key=lambda one: one[0])
    _, winner, asked = best
    for control in ("plain", "mu0"):
        name = f"{winner}-{control}"
        ledger.write("control", trial=name, of=winner, control=control, params=asked)
        _run(ledger, name, best[0] + 30, 1450.0, "COMPLETE", rng, reports)
        files(folder / "trials" / name, best[0] + 30, rng, has_line=control == "mu0")
        files(
            folder / "trials" / f"default-{control}",
            best[0] + 40,
            rng,
            has_line=control == "mu0",
        )
    files(folder / "trials" / winner, best[0], rng, has_line=True)
    ledger.write("end", why="finished")


def _run(
    ledger: Ledger, name: str, mae: float, few: float, state: str, rng: np.random.Generator, reports: int
) -> None:
    found = metrics(mae, few, rng)
    kept = {name: value for name, value in found.items() if name.startswith("val/") and "zero" not in name}
    ledger.write("start", trial=name, attempt=1)
    epochs = {"COMPLETE": EPOCHS, "PRUNED": 8, "FAIL": 3}[state]
    for epoch in range(1, min(reports, epochs) + 1):
        fields = {"epoch": epoch, "of": EPOCHS, "stage": "stage1", "seconds": 0.11 * epoch}
        ledger.write("report", trial=name, **fields, metrics=kept)
    reason = {"COMPLETE": "", "PRUNED": "rung 1: 912 is not among the best half", "FAIL": "loss is NaN"}[
        state
    ]
    told = found if state == "COMPLETE" else kept
    ledger.write(
        "tell", trial=name, state=state, epoch=epochs, seconds=0.11 * epochs, metrics=told, reason=reason
    )


def files(folder: Path, mae: float, rng: np.random.Generator, *, has_line: bool) -> None:
    """bins.csv and val_predictions.csv as a trial leaves them."""
    folder.mkdir(parents=True)
    low = 250.0 * np.arange(1, 75)
    count = np.maximum(0, (900 * np.exp(-np.arange(74) / 12)).astype(int))
    shot = np.select([count > 100, count < 20], ["many", "few"], "median")
    norm = np.where(count > 0, 4 + low / 6000 + 0.3 * rng.normal(size=74), np.nan)
    error = np.where(count > 0, mae * (0.4 + low / 12000), np.nan)
    line = 4 + (low + 125) / 6000 if has_line else np.full(74, np.nan)
    bins = {"bin": np.arange(74), "low": low, "high": low + 250, "centre": low + 125, "train_count": count}
    bins |= {"shot": shot, "norm_stage1": norm - 0.2, "majority": has_line & (count > 60), "norm_line": line}
    bins |= {"norm_target": line, "norm": norm, "train_mae_stage1": error, "train_mae": error}
    pd.DataFrame(bins | {"val_mae_stage1": error, "val_mae": error}).to_csv(folder / "bins.csv", index=False)
    place = rng.integers(74, size=COUNTS["all"])
    target = low[place] + 250 * rng.random(len(place))
    kept = {"sample": np.arange(len(place)), "group": np.arange(len(place)) // 2, "bin": place}
    kept |= {"shot": shot[place], "target": target, "prediction": target + mae * rng.normal(size=len(place))}
    pd.DataFrame(kept).to_csv(folder / "val_predictions.csv", index=False)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), reports=EPOCHS)
