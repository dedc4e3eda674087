"""What each kind of record in a ledger holds.

A record with a right checksum may still be none of ours: written by hand, by another program or by a later
version. It is refused when the ledger is read, by number and key, not where the value would be wanted.
"""

import math
import re
from collections.abc import Iterable
from typing import Literal, get_args

from dirsweep.storage import Needed, Record, misfit

Kind = Literal[
    "open", "warm", "ask", "control", "start", "report", "note", "tell", "budget", "run", "end", "opening"
]
State = Literal["OPEN", "COMPLETE", "PRUNED", "FAIL"]
KEY = re.compile(r"\w+(-\w+)?", re.ASCII)
"""What a trial ("7") or control ("7-mu0") may be called: its folder has that name, below `trials/`."""

ALL: Needed = {"n": int, "time": float, "kind": str}
NEEDED: dict[Kind, Needed] = {
    "open": {"trials": int},
    "warm": {"trials": list},
    "ask": {"trial": str, "params": dict},
    "control": {"trial": str, "params": dict, "of": str, "control": str},
    "start": {"trial": str, "attempt": int},
    "report": {"trial": str, "epoch": int, "of": int, "stage": str, "seconds": float, "metrics": dict},
    "note": {"trial": str, "text": str},
    "tell": {"trial": str, "state": str, "epoch": int, "seconds": float, "metrics": dict, "reason": str},
    "budget": {"trials": int},
    "run": {"trial": str, "id": str},
    "end": {"why": str},
    "opening": {},
}
"""Beside what ALL have."""
MAY_HAVE: Needed = {
    "attrs": dict,
    "study": dict,
    "forked_from": str,
    "forked_at": float,
}
"""What a record need not have; where it is there it is of this kind."""
TIMES = ("time", "seconds", "reused_seconds", "forked_at")
"""Of a record or of its metrics, in seconds."""


def first_problem(records: Iterable[Record]) -> str:
    """What is wrong with the first record of a ledger that is none of ours, by its number; "" if all are."""
    asked = set[str]()
    for number, record in enumerate(records):
        wrong = _problem(record)
        if wrong:
            return f"record {number} is none that a sweep writes: {wrong}"
        kind, name = record["kind"], record.get("trial", "")
        if kind in ("ask", "control"):
            asked.add(name)
        elif "trial" in NEEDED[kind] and name not in asked and (name or kind != "run"):  # "": the sweep's own
            return f"record {number} is a {kind!r} of trial {name!r}, which was never asked"
    return ""


def _problem(record: Record) -> str:
    """What is wrong with a record; "" for one that is as it should be."""
    found = misfit(record, ALL)
    if found:
        return found
    kind = record["kind"]
    if kind not in NEEDED:
        return f"there is no kind {kind[:40]!r} here (a later dirsweep may have written it)"
    found = misfit(record, NEEDED[kind]) or misfit(record, _present(record)) or _no_time(record)
    if found:
        return found
    if kind in ("ask", "control") and not KEY.fullmatch(record["trial"]):
        return f"'trial' is {record['trial'][:40]!r}, and not the name of one folder"
    if kind == "tell" and record["state"] not in get_args(State):
        return f"'state' is {record['state'][:40]!r}, and not one of {', '.join(get_args(State))}"
    return ""


def _no_time(record: Record) -> str:
    """What of its times is none; "" if all are. Other numbers may be NaN: of shots without samples."""
    metrics = record.get("metrics", {})
    times = {name: record[name] for name in TIMES if name in record}
    times |= {f"metrics.{name}": metrics[name] for name in TIMES if name in metrics}
    wrong = next((name for name, value in times.items() if not math.isfinite(value)), None)
    return f"'{wrong}' is {times[wrong]}, and no time" if wrong else ""


def _present(record: Record) -> Needed:
    return {key: kind for key, kind in MAY_HAVE.items() if key in record}
