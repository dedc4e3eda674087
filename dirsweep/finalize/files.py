"""What a verdict leaves in `finalize/`: verdict.md, verdict.json and per_seed.csv, once for each opening.

The latest opening's lie in `finalize/`, those of all in `finalize/opening-N/`.
"""

import dataclasses
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from dirsweep.data import Unsealed
from dirsweep.finalize.judge import Judged, ShotError
from dirsweep.finalize.opening import Errors, Opening
from dirsweep.finalize.page import Facts
from dirsweep.finalize.plan import Compared, Plan, Row
from dirsweep.intervals import Interval
from dirsweep.metrics import per_shot
from dirsweep.report.numbers import SHOTS
from dirsweep.storage import Folder

PAGE = "verdict.md"


def kept(folder: Folder, opening: Opening) -> str | None:
    """The page of an opening that was judged before; None if it was not."""
    name = f"opening-{opening.number}/{PAGE}"
    return folder.read(name).decode() if folder.exists(name) else None


def keep(folder: Folder, opening: Opening, files: dict[str, bytes]) -> None:
    """Write the files of an opening, the page last."""
    for name in sorted(files, key=lambda name: name == PAGE):
        for place in ("", f"opening-{opening.number}/"):
            folder.put(f"{place}{name}", files[name])


def verdict_json(
    plan: Plan, opening: Opening, facts: Facts, errors: Sequence[ShotError], judged: Sequence[Judged]
) -> bytes:
    """Everything as plain values; what is infinite or NaN is null."""
    tree = {
        "opening": dataclasses.asdict(opening),
        "facts": dataclasses.asdict(facts),
        "finalists": [_row(row) for row in plan.finalists],
        "controls": [_row(row) for row in plan.controls],
        "ablation": [_row(row) for row in plan.ablation],
        "left_out": list(plan.left_out),
        "errors": [
            {
                "configuration": one.row.name,
                "shot": one.shot,
                plan.metrics[0]: _interval(one.first),
                plan.metrics[1]: _interval(one.second),
            }
            for one in errors
        ],
        "comparisons": [
            {
                "configuration": one.comparison.ours.name,
                "against": one.comparison.theirs.name,
                "shot": one.comparison.shot,
                "difference": _interval(one.interval),
                "p_value": one.p_value,
                "verdict": one.verdict,
                "primary": one.primary,
            }
            for one in judged
        ],
    }
    return json.dumps(tree, indent=1, allow_nan=False).encode()


def per_seed(plan: Compared, errors: Errors, test: Unsealed) -> bytes:
    """A CSV line for each configuration, seed and shot that has samples: how many, and the errors."""
    rows = test.rows
    names = dict.fromkeys(("mae", "gm", "mse", *plan.metrics))
    lines = []
    for row in plan.rows:
        for seed, error in errors.get(row.hash, {}).items():
            found = per_shot(
                error + rows.label, rows.label, rows.bin, test.shots, correlation="pearson" in names
            )
            for shot in SHOTS:
                if samples := int(found[f"{shot}/count"]):
                    place = {"configuration": row.name, "seed": seed, "shot": shot, "samples": samples}
                    lines.append(place | {name: found[f"{shot}/{name}"] for name in names})
    text = io.StringIO()
    pd.DataFrame(lines).to_csv(text, index=False)
    return text.getvalue().encode()


def _row(row: Row) -> dict[str, Any]:
    config = row.config.model_dump(mode="json", exclude={"seed"})
    return {"name": row.name, "meaning": row.meaning, "hash": row.hash, "config": config}


def _interval(interval: Interval) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in dataclasses.asdict(interval).items()
    }
