"""How MLflow's UI shows the runs of a sweep: as a leaderboard; by itself it folds them, without a number.

The UI keeps a view that users share with each other as a tag of the experiment; an address names it.
"""

import json
from collections.abc import Sequence

_NAME = "leaderboard"
TAG = f"mlflow.sharedViewState.{_NAME}"
SHARED = f"viewStateShareKey={_NAME}"
"""Belongs to the address of an experiment that has the tag."""


def leaderboard(metrics: Sequence[str], params: Sequence[str]) -> str:
    """The tag's value: runs by the first metric, lowest first; each metric and parameter has a column."""
    columns = [f"metrics.`{name}`" for name in metrics] + [f"params.`{name}`" for name in params]
    return json.dumps(
        {
            "orderByKey": columns[0],
            "orderByAsc": True,
            "selectedColumns": columns,
            "columnOrder": columns,
        }
    )
