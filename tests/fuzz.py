"""Feed mutated search spaces, jobs, trials and ledgers to what reads them, until the time is up.

python tests/fuzz.py --seconds 60 --seed 0    (without --seed another one each time; it is printed)

Each input must be taken, or refused by a ValueError whose message begins with the file. The first that is not
is printed, with the seed and its number, and the status is 1.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ledgers
import mutations
import yaml

from dirsweep import report
from dirsweep.cluster.job import read_job
from dirsweep.config import read_trial
from dirsweep.ledger import FILE
from dirsweep.search.spec import read_spec
from dirsweep.storage import Folder
from dirsweep.storage.record import line

ROOT = Path(__file__).parent.parent
SLOW = 20.0
"""Seconds that no input may take."""


def trees() -> list[tuple[Callable[[Path], Any], dict[str, Any]]]:
    """What reads a file, and what a good one holds."""
    good: list[tuple[Callable[[Path], Any], dict[str, Any]]] = []
    for path in sorted((ROOT / "search_spaces").rglob("*.yaml")):
        tree = yaml.safe_load(path.read_text())
        good += [(read_spec, tree), (read_trial, tree["fixed"])]
    for path in sorted((ROOT / "jobs").glob("*.yaml")):
        tree = yaml.safe_load(path.read_text())
        good.append((read_job, {**tree, "space": str((path.parent / tree["space"]).resolve())}))
    return good


def fuzz(seconds: float, seed: int) -> int:
    """How many inputs were tried. AssertionError that shows the first one that fails."""
    warnings.simplefilter("error")
    rng, good, tried, until = mutations.generator(seed), trees(), 0, time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as place:
        sweep = Path(place) / "sweep"
        ledgers.write(sweep, 3)
        records = Folder(sweep).records(FILE)[0]
        while time.monotonic() < until:
            tried += 1
            read, tree = rng.choice(good)
            if rng.random() < 0.5:
                path, content = Path(place) / "mutant.yaml", _yaml(tree, rng)
            else:
                read, path, content = _report, sweep / FILE, _ledger(records, rng)
            path.write_bytes(content)
            begun = time.monotonic()
            told = _problem(read, path)
            if not told and time.monotonic() - begun > SLOW:
                told = f"took {time.monotonic() - begun:.0f} s"
            assert not told, f"seed {seed}, input {tried}:\n{_shown(content)}\n{told}"
    return tried


def _yaml(tree: dict[str, Any], rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 4))):
        tree = mutations.mutated(tree, rng)[0]
    return yaml.safe_dump(tree).encode()


def _ledger(records: list[dict[str, Any]], rng: random.Random) -> bytes:
    """Records of which some are changed and have a right checksum all the same, or are cut."""
    changed = dict(enumerate(records))
    for number in rng.sample(range(len(records)), rng.choice((1, 1, 3))):
        changed[number] = mutations.mutated(records[number], rng)[0]
    lines = [line(json.loads(json.dumps(record, default=str))) for record in map(plain, changed.values())]
    if rng.random() < 0.2:
        cut = rng.randrange(len(lines))
        lines[cut] = lines[cut][: rng.randrange(len(lines[cut]))] + b"\n"
    return b"".join(lines)


def plain(value: Any) -> Any:
    """A record whose keys JSON can hold."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _report(path: Path) -> None:
    found = report.load(path.parent)
    json.dumps(report.as_json(found), allow_nan=False)
    report.leaderboard(found)


def _problem(read: Callable[[Path], Any], path: Path) -> str:
    """What is wrong with how a file was read; "" where it was taken, or refused as it should be."""
    try:
        read(path)
    except ValueError as error:
        if str(error).startswith((f"{path}:", f"{path},", f"{path.parent}/")) and len(str(error)) < 20_000:
            return ""
        return f"refused without its file, or at great length:\n{traceback.format_exc()[-3000:]}"
    except Exception:  # whatever it is, it is the bug that is looked for
        return f"not refused but failed:\n{traceback.format_exc()[-3000:]}"
    return ""


def _shown(content: bytes) -> str:
    return content.decode(errors="replace") if len(content) < 20_000 else repr(content[:20_000])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    try:
        print(f"{fuzz(given.seconds, given.seed):,} inputs, each taken or refused with its file's name")
    except AssertionError as failed:
        print(failed)
        sys.exit(1)
