"""What a staged sweep spends over what it must: 8 stage 1s and 64 stage 2s.

S and s are the mean trainer-seconds of the same stage 1s and stage 2s run again without a store, as
many at a time as the sweep had workers. A sweep that pretrains for every trial pays 64 (S + s).
"""

import multiprocessing
import sys
import tempfile
from pathlib import Path

from dirsweep import ledger, sweep
from dirsweep.config import TrialConfig
from dirsweep.search.spec import parse_spec, read_spec
from dirsweep.search.staged import parents
from dirsweep.storage import Folder

PARENTS, TRIALS, WORKERS = 8, 64, 2
MOST = 1.1
SPACE = {
    "question": "What does a staged sweep spend?",
    "mode": {"name": "staged_simple", "parents": PARENTS, "best": PARENTS},
    "fixed": {"dataset": "diamonds", "stage1": {"epochs": 20}, "stage2": {"schedule": {"epochs": 4}}},
    "searched": {
        "stage1.norm_ordinality.weight": {"log": [1.0e-3, 10.0]},
        "stage2.norm_weight": {"log": [1.0e-3, 10.0]},
    },
    "sampler": {"name": "random"},
    "budget": {"trials": TRIALS},
}


def alone(job: tuple[str, str]) -> tuple[float, float]:
    """Trainer-seconds of stage 1 and of stage 2 of a trial that shares nothing."""
    from dirsweep import pipeline

    text, folder = job
    config = TrialConfig.model_validate_json(text)
    records: list[ledger.Record] = []
    found = pipeline.run_trial(config, Folder(Path(folder)), records.append)
    first = max(record["seconds"] for record in records if record["stage"] != "stage2")
    return first, found["seconds"] - first


def main() -> None:
    """Measure and print; exit status 1 if the ratio is larger than it may be."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "sweep"
        resources = sweep.Resources(workers=WORKERS)
        sweep.run(parse_spec(SPACE, "staged.py"), place, resources=resources, tracking=False)
        spec = read_spec(place / "spec.yaml")
        found = ledger.trials(ledger.Ledger.open(Folder(place)).records)
        asked = [trial for trial in found.values() if trial.kind == "ask"]
        family = parents(asked)
        again = [trial for parent in family for trial in parent.trials[:2]]
        jobs = [(spec.config(t.params).model_dump_json(), f"{folder}/again/{t.trial}") for t in again]
        with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
            costs = pool.map(alone, jobs, chunksize=1)
    spent = sum(trial.seconds for trial in asked)
    first, second = (sum(cost[part] for cost in costs) / len(costs) for part in (0, 1))
    least = len(family) * first + len(asked) * second
    print(f"{len(family)} stage 1s of {first:.2f} s, {len(asked)} stage 2s of {second:.2f} s each")
    print(
        f"staged sweep        {spent:6.1f} trainer-seconds, {spent / least:.2f} of the least (at most {MOST})"
    )
    joint = len(asked) * (first + second)
    print(f"a joint sweep pays  {joint:6.1f} trainer-seconds (computed), {joint / spent:.1f} times as many")
    if spent / least > MOST:
        sys.exit(1)


if __name__ == "__main__":
    main()
