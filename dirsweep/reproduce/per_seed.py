"""Our own per-seed values as a CSV: a line for each row of the table, seed, split and shot."""

import io
from collections.abc import Sequence

import pandas as pd

from dirsweep.data import Unsealed
from dirsweep.finalize import files
from dirsweep.finalize.opening import Errors
from dirsweep.finalize.training import Run
from dirsweep.report.numbers import SHOTS
from dirsweep.reproduce.tuning import Table


def per_seed(table: Table, runs: Sequence[Run], errors: Errors, test: Unsealed) -> bytes:
    """The CSV: configuration, seed, split, shot, samples and the errors in label units."""
    tested = pd.read_csv(io.BytesIO(files.per_seed(table, errors, test)))
    tested.insert(2, "split", "test")
    names = list(tested.columns[5:])
    lines = []
    for run in runs:
        found = run.metrics
        for shot in SHOTS:
            if samples := int(found[f"val/{shot}/count"]):
                place = {"configuration": run.row.name, "seed": run.seed, "split": "val", "shot": shot}
                values = {name: found.get(f"val/{shot}/{name}") for name in names}
                lines.append({**place, "samples": samples, **values})
    whole = pd.concat([tested, pd.DataFrame(lines)], ignore_index=True)
    order = {row.name: place for place, row in enumerate(table.rows)}
    whole = whole.sort_values(
        ["configuration", "seed", "split", "shot"],
        key=lambda column: column.map(order) if column.name == "configuration" else column,
        kind="stable",
    )
    text = io.StringIO()
    whole.to_csv(text, index=False, float_format="%.6g")
    return text.getvalue().encode()
