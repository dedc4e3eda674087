"""Which finds more for the same trainer-seconds: a staged sweep or a joint one, over 10 sweep seeds.

Both search the space of the demo with a fresh store each. What a sweep has found counts up to the very
trial that uses up the trainer-seconds, so neither gains by trials that still ran. The difference is of the
best val objective, which both sweeps chose by: it compares the searches, not the methods.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import yaml
from scipy import stats

from dirsweep import ledger, sweep
from dirsweep.search.spec import parse_spec
from dirsweep.storage import Folder

SEEDS, SECONDS, WORKERS = 10, 50.0, 2
SPACE = Path(__file__).parents[2] / "search_spaces" / "all.yaml"
MODES = ("staged", "joint")


@dataclass(frozen=True)
class Found:
    """What a sweep has for its trainer-seconds: its best first objective and how many trials it told."""

    best: float
    trials: int


def search(space: dict[str, Any], mode: str, seed: int, folder: Path) -> Found:
    """Run one sweep until the trainer-seconds are used up."""
    changed = {
        "mode": {"name": mode},
        "seed": seed,
        "budget": {"trials": 10_000, "trainer_seconds": SECONDS},
    }
    spec = parse_spec({**space, **changed}, f"{SPACE.name}, {mode}")
    sweep.run(spec, folder, resources=sweep.Resources(workers=WORKERS), tracking=False)
    records = ledger.Ledger.open(Folder(folder)).records
    asked = {name: trial for name, trial in ledger.trials(records).items() if trial.kind == "ask"}
    told = [record["trial"] for record in records if record["kind"] == "tell" and record["trial"] in asked]
    spent = np.cumsum([asked[name].seconds for name in told])
    counted = [asked[name] for name, so_far in zip(told, spent, strict=True) if so_far <= SECONDS]
    values = [trial.metrics[spec.objectives[0]] for trial in counted if trial.state == "COMPLETE"]
    return Found(min(values), len(counted))


def main() -> None:
    """Measure and print; exit status 1 if staged is worse beyond its noise."""
    space = yaml.safe_load(SPACE.read_text())
    objective = space["objectives"][0]
    print(f"{SECONDS:g} trainer-seconds each; best {objective} (trials)")
    print(f"{'seed':>4}  {'staged':>12}  {'joint':>12}  staged - joint", flush=True)
    differences = []
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as place:
            order = MODES if seed % 2 else MODES[::-1]
            found = {mode: search(space, mode, seed, Path(place) / mode / "sweep") for mode in order}
        staged, joint = (found[mode] for mode in MODES)
        differences.append(staged.best - joint.best)
        cells = "  ".join(f"{f'{one.best:.1f} ({one.trials})':>12}" for one in (staged, joint))
        print(f"{seed:>4}  {cells}  {differences[-1]:+14.1f}", flush=True)
    mean, error = fmean(differences), stats.sem(differences)
    low, high = stats.t.interval(0.95, SEEDS - 1, mean, error)
    print(
        f"staged minus joint: {mean:+.1f}, 95% interval {low:+.1f} to {high:+.1f} (t, {SEEDS} paired seeds)"
    )
    if low > 0:
        sys.exit(1)


if __name__ == "__main__":
    main()
