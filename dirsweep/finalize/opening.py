"""Open test: write to the ledger for what, then read the rows and let every run predict them.

The record covers all that a reader could suspect of being chosen afterwards: the configurations, the seeds,
the primary comparison, and the weights themselves by checksum. An opening that was cut short goes on under
its own record; anything else that opens is one more opening, and says so.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dirsweep import METHOD_VERSION, pipeline
from dirsweep.config import DatasetConfig
from dirsweep.data import Dataset, Unsealed, open_test
from dirsweep.finalize.plan import Compared
from dirsweep.finalize.training import Run
from dirsweep.ledger import Ledger, sweeps
from dirsweep.shots import Floats
from dirsweep.storage import Folder, Record

Errors = dict[str, dict[int, Floats]]
"""Signed test errors (N,) by a row's hash and seed."""


@dataclass(frozen=True)
class Opening:
    """One opening of a sweep's test split.

    number: 1 for the first.
    elsewhere: openings before it, by other sweeps of the storage folder, of test rows of the same source.
    hash: sha256 over everything that was decided before it.
    time: unix seconds of the ledger's record.
    """

    number: int
    elsewhere: int
    hash: str
    time: float


def content(plan: Compared, runs: Sequence[Run], dataset: Dataset) -> dict[str, Any]:
    """What an opening is for, as plain values."""
    primary = plan.primary
    return {
        "rows": [
            {"name": row.name, "role": role, "config": row.hash} for role, rows in plan.roles for row in rows
        ],
        "seeds": sorted({run.seed for run in runs}),
        "primary": {"ours": primary.ours.name, "theirs": primary.theirs.name, "shot": primary.shot},
        "comparisons": len(plan.comparisons),
        "data": dataset.hash,
        "source": dataset.source,
        "method_version": METHOD_VERSION,
        "weights": {
            f"{run.folder.parent.name}/{run.seed}": _checksum(run.folder.read("model.safetensors"))
            for run in runs
        },
    }


def openings(ledger: Ledger) -> list[Record]:
    """The openings so far, oldest first."""
    return [record for record in ledger.records if record["kind"] == "opening"]


def elsewhere(sweep: Folder, dataset: Dataset) -> int:
    """How often the sweeps beside this one opened test rows of the same source, whatever bins and split.

    With another split of one source the test rows overlap, as a rule.

    Raises:
        ValueError: the ledger of one of them is damaged, so that nobody can tell.
    """
    others = [other for other in sweeps(sweep.absolute().parent) if other != sweep.absolute()]
    found = [openings(Ledger.open(other)) for other in others]
    return sum(
        one.get("source") == dataset.source or one["data"] == dataset.hash for those in found for one in those
    )


def record(ledger: Ledger, what: dict[str, Any], elsewhere: int) -> Opening:
    """Write the opening to the ledger, unless this very one is there."""
    digest = _checksum(json.dumps(what, sort_keys=True).encode())
    before = openings(ledger)
    mine = next((one for one in before if one["hash"] == digest), None)
    if mine is None:
        numbers = {"number": len(before) + 1, "before": len(before), "elsewhere": elsewhere}
        mine = ledger.write("opening", **numbers, hash=digest, **what)
    return Opening(mine["number"], mine["elsewhere"], mine["hash"], mine["time"])


def predict_test(runs: Sequence[Run], config: DatasetConfig) -> tuple[Unsealed, Errors, dict[Run, str]]:
    """Open test and let every run predict it; gives the rows, the errors, and the runs without, with why."""
    unsealed = open_test(config)
    errors: Errors = {}
    failed = {}
    for run in runs:
        prediction = pipeline.predict_encoded(run.folder, run.config, unsealed.rows.inputs)
        if np.isfinite(prediction).all():
            errors.setdefault(run.row.hash, {})[run.seed] = prediction - unsealed.rows.label
        else:
            failed[run] = f"predicts {prediction[~np.isfinite(prediction)][0]} for a test row"
    return unsealed, errors, failed


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
