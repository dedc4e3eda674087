"""The published figures, by method and source, and whether their parts add up.

A benchmark's test split has known numbers of many-, median- and few-shot samples, so the error over all
labels is their weighted mean, for a run and for a mean of runs. A row that fails this was put together from
several.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from dirsweep.shots import NAMES

SHOTS = ("all", *NAMES)
TEST = {
    "agedb_dir": {"many": 1530, "median": 448, "few": 162},
    "sts_b_dir": {"many": 756, "median": 170, "few": 74},
}
"""Test samples of each shot; that of IMDB-WIKI-DIR is not known here."""
SHARE = 0.01
"""Of the error over all labels, by which the shots may miss it: rounding makes 0.2% of it."""
TITLES = {"agedb_dir": "AgeDB-DIR", "imdb_wiki_dir": "IMDB-WIKI-DIR", "sts_b_dir": "STS-B-DIR"}


@dataclass(frozen=True)
class Published:
    """One metric of one row of a published table.

    values, written: by shot, as a number and as it was published; NaN and "-" where nothing was.
    evidence: "primary", "secondary" or "recalled".
    """

    recipe: str
    method: str
    source: str
    evidence: str
    metric: str
    values: Mapping[str, float]
    written: Mapping[str, str]


def published(name: str | None, family: str) -> list[Published]:
    """The rows of a benchmark of one recipe family; none without a name."""
    return [row for row in every(name) if row.recipe == family] if name is not None else []


def misses(name: str | None, row: Published) -> float | None:
    """By how much the shots miss the error over all labels; None where that cannot be told."""
    counts = TEST.get(name or "")
    if counts is None or row.metric not in ("mae", "mse") or any(math.isnan(row.values[s]) for s in SHOTS):
        return None
    implied = sum(count * row.values[shot] for shot, count in counts.items()) / sum(counts.values())
    return row.values["all"] - implied


def adds_up(name: str | None, row: Published) -> str:
    """ "yes", "no (-0.14)", or "-" where it cannot be told."""
    miss = misses(name, row)
    if miss is None:
        return "-"
    return f"no ({miss:+.2f})" if abs(miss) > SHARE * row.values["all"] else "yes"


def every(name: str) -> list[Published]:
    """All rows of a benchmark, a key of `TITLES`."""
    text = files(__package__).joinpath(f"{name}.csv").read_text()
    return [
        Published(
            recipe=line["recipe"],
            method=line["method"],
            source=line["source"],
            evidence=line["evidence"],
            metric=line["metric"],
            values={shot: float(line[shot] or "nan") for shot in SHOTS},
            written={shot: line[shot] or "-" for shot in SHOTS},
        )
        for line in csv.DictReader(text.splitlines())
    ]
