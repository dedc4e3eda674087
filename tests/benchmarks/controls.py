"""The default configuration on diamonds against its controls (METHOD section 6), over fresh seeds.

Prints, per shot, the mean and the spread over seeds of val MAE in dollars, and the paired difference
of the whole method to each control: what the two stages bring beyond a plain model.

    python tests/benchmarks/controls.py --seeds 5
"""

import argparse
import multiprocessing
import tempfile
from pathlib import Path

import numpy as np

SHOTS = ("all", "many", "median", "few")
METHOD = "both stages"


def variants() -> dict[str, dict[str, object]]:
    """Overrides of the default configuration, by name."""
    return {
        METHOD: {},
        "plain (beta = 0, no stage 2)": {"stage1.norm_ordinality.name": "none", "stage2": None},
        "stage 2 with mu = 0": {"stage2.norm_weight": 0.0},
        "beta = 0, with stage 2": {"stage1.norm_ordinality.name": "none"},
        "stage 1 alone": {"stage2": None},
        "plain, as many epochs": {"stage1.norm_ordinality.name": "none", "stage2": None, "stage1.epochs": 40},
        "plain, log target": {
            "stage1.norm_ordinality.name": "none",
            "stage2": None,
            "stage1.target_transform": "log",
        },
    }


def run(job: tuple[str, int]) -> list[float]:
    """Val MAE per shot of one variant with one seed."""
    from dirsweep import pipeline
    from dirsweep.config import TrialConfig
    from dirsweep.storage import Folder

    name, seed = job
    config = TrialConfig().with_overrides({"seed": seed, **variants()[name]})
    with tempfile.TemporaryDirectory() as folder:
        found = pipeline.run_trial(config, Folder(Path(folder)), lambda record: None)
    return [found[f"val/{shot}/mae"] for shot in SHOTS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    jobs = [(name, 1000 + seed) for name in variants() for seed in range(options.seeds)]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        found = np.array(pool.map(run, jobs, chunksize=1)).reshape(len(variants()), options.seeds, len(SHOTS))
    whole = found[list(variants()).index(METHOD)]
    print(f"val MAE in dollars, mean (standard deviation) over {options.seeds} seeds")
    print(f"{'':30}" + "".join(f"{shot:>16}" for shot in SHOTS))
    for name, values in zip(variants(), found, strict=True):
        cells = [f"{m:.0f} ({s:.0f})" for m, s in zip(values.mean(0), values.std(0, ddof=1), strict=True)]
        print(f"{name:30}" + "".join(f"{cell:>16}" for cell in cells))
    print("\nboth stages minus the control, per seed: mean (standard deviation)")
    for name, values in zip(variants(), found, strict=True):
        if name != METHOD:
            gap = whole - values
            cells = [f"{m:+.0f} ({s:.0f})" for m, s in zip(gap.mean(0), gap.std(0, ddof=1), strict=True)]
            print(f"{name:30}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()
