"""What a trial costs beside its training: our sweep against bare Ray Tune with its stock Optuna searcher.

Trials that do nothing but report one epoch and one final result; two workers that are reused, the same
settings of Ray and the same function in the worker on both sides. Counted from the first final result to
the last, per trial, so starting Ray and importing are left out. The sides take turns, and the ratios
are of medians, since the machine's speed drifts.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import optuna

from dirsweep import ledger, sweep, trainable
from dirsweep.search.spec import parse_spec
from dirsweep.storage import Folder
from dirsweep.sweep.session import ray_session
from dirsweep.sweep.told import FILES

TRIALS = 150
RESOURCES = sweep.Resources(workers=2)
TURNS = 3
MOST = {"plain": 1.1, "tracked": 1.5}

SPEC = parse_spec(
    {
        "question": "What does a trial cost that does nothing?",
        "fixed": {"dataset": "diamonds"},
        "searched": {
            "stage1.norm_ordinality.name": {"choice": ["kl", "hinge"]},
            "stage1.norm_ordinality.weight": {"log": [1.0e-3, 10.0]},
            "stage1.norm_ordinality.tau": {"log": [0.05, 5.0], "when": {"stage1.norm_ordinality.name": "kl"}},
            "stage2.norm_weight": {"log": [1.0e-3, 10.0]},
        },
        "budget": {"trials": TRIALS},
    },
    "overhead.py",
)


def nothing(given: dict[str, Any]) -> None:
    """A trial that trains nothing: its error is its weight of norm ordinality."""
    if "config" not in given:  # bare Tune's
        _report_bare(given)
        return
    folder = Path(given["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:  # that any trial leaves, for the tracker to show; what is in them does not matter
        (folder / name).write_text(given["config"])
    ordinality = json.loads(given["config"])["stage1"]["norm_ordinality"]
    metrics = {"val/all/mae": ordinality.get("weight", 1.0), "epoch": 1, "seconds": 1.0e-3}
    record = {"epoch": 1, "of": 1, "stage": "stage1", "seconds": 1.0e-3, "metrics": metrics}
    trainable.report_epoch(record)
    trainable.report_final("COMPLETE", metrics)


def _report_bare(given: dict[str, Any]) -> None:
    """The same numbers, as Tune's searchers take them."""
    from ray import tune

    metrics = {"val/all/mae": given["weight"], "epoch": 1, "seconds": 1.0e-3}
    tune.report({"epoch": 1, "of": 1, "seconds": 1.0e-3, "metrics": metrics, "fraction": 1.0})
    tune.report({"final": True, "state": "COMPLETE", "reason": "", "metrics": metrics})


def space(trial: optuna.Trial) -> None:
    """The same four parameters for Tune's Optuna searcher."""
    kind = trial.suggest_categorical("name", ["kl", "hinge"])
    trial.suggest_float("weight", 1.0e-3, 10.0, log=True)
    if kind == "kl":
        trial.suggest_float("tau", 0.05, 5.0, log=True)
    trial.suggest_float("norm_weight", 1.0e-3, 10.0, log=True)


def bare(folder: Path) -> float:
    """Seconds per trial of Ray Tune as it comes."""
    as_it_comes = mock.patch.dict(os.environ, {"TUNE_MAX_PENDING_TRIALS_PG": "auto"})
    with as_it_comes, ray_session(RESOURCES):
        from ray import tune
        from ray.tune.search.optuna import OptunaSearch

        ends: list[float] = []

        class Clock(tune.Callback):
            def on_trial_result(self, *arguments: Any, result: dict[str, Any], **named: Any) -> None:
                if result.get("final"):
                    ends.append(time.time())

        search = OptunaSearch(space, metric="metrics/val/all/mae", mode="min", seed=0)
        tune.Tuner(
            tune.with_resources(nothing, {"cpu": 1}),
            tune_config=tune.TuneConfig(search_alg=search, num_samples=TRIALS, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=str(folder), callbacks=[Clock()], verbose=0),
        ).fit()
    return per_trial(ends)


def ours(folder: Path, *, tracking: bool) -> tuple[float, float]:
    """Seconds per trial of a sweep, its controls included, and seconds from the last result to the end."""
    sweep.run(SPEC, folder / "sweep", resources=RESOURCES, tracking=tracking, trial=nothing)
    ended = time.time()
    records = Folder(folder / "sweep").records(ledger.FILE)[0]
    tells = [record["time"] for record in records if record["kind"] == "tell"]
    return per_trial(tells), ended - max(tells)


def per_trial(ends: list[float]) -> float:
    """Seconds between two results, from the first to the last."""
    return (max(ends) - min(ends)) / (len(ends) - 1)


def main() -> None:
    """Measure in turns and print medians; exit status 1 if a ratio is larger than it may be."""
    found: dict[str, list[float]] = {"bare": [], "plain": [], "tracked": []}
    ends: dict[str, list[float]] = {"plain": [], "tracked": []}
    for turn in range(TURNS):
        with tempfile.TemporaryDirectory() as folder:
            found["bare"].append(bare(Path(folder) / "bare"))
            for name in ("plain", "tracked") if turn % 2 else ("tracked", "plain"):
                spent, end = ours(Path(folder) / name, tracking=name == "tracked")
                found[name].append(spent)
                ends[name].append(end)
    base = median(found["bare"])
    print(f"a trial that does nothing, medians of {TURNS} turns of {TRIALS} trials, 2 workers:")
    print(f"bare Ray Tune + OptunaSearch  {base * 1e3:6.1f} ms")
    ratios = {name: median(found[name]) / base for name in MOST}
    for name, words in (("plain", "a sweep"), ("tracked", "a sweep, with tracking")):
        spent = median(found[name]) * 1e3
        print(f"{words:28}  {spent:6.1f} ms, ratio {ratios[name]:.2f} (at most {MOST[name]})")
    shutdown, delivery = median(ends["plain"]), median(ends["tracked"])
    print(f"after the last result {shutdown:.1f} s; with tracking, which catches up then, {delivery:.1f} s")
    if any(ratios[name] > most for name, most in MOST.items()):
        sys.exit(1)


if __name__ == "__main__":
    main()
