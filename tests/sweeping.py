"""Small sweeps for tests: a spec on the tiny table, and a driver in a process of its own.

python tests/sweeping.py run|resume FOLDER WORKERS SPEC    (SPEC is read by `run` alone)
"""

import math
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tiny
import yaml

from dirsweep import ledger, sweep
from dirsweep.ledger import Ledger, TrialRecord
from dirsweep.search.model import SweepSpec
from dirsweep.search.spec import parse_spec, read_spec
from dirsweep.storage import Folder, Place, Record, beats

MARK = "DIRSWEEP_TEST_PROCESS"
PATIENCE = 2.0
"""Seconds after which a dead driver's lock is free in an object store; those who look at it must know."""
NO_PROCESS = 2**22 + 1
"""Above the ids of all processes of Linux."""


def spec(folder: Path, config: dict[str, Any] | None = None, **fields: Any) -> SweepSpec:
    """A space over mu and the learning rate; `config` by dotted name changes the fixed part."""
    fixed = tiny.config(folder).with_overrides(config or {}).model_dump(mode="json")
    tree = {
        "question": "How strong should the norm term be?",
        "fixed": fixed,
        "searched": {
            "stage2.norm_weight": {"log": [0.01, 10.0]},
            "stage1.optimizer.lr": {"log": [1.0e-4, 1.0e-2]},
        },
        "sampler": {"name": "tpe", "startup": 2},
        "budget": {"trials": 4},
    }
    return parse_spec({**tree, **fields}, "spec")


def conditional(folder: Path) -> dict[str, Any]:
    """Fields of a space over four knobs of all kinds, one of them with a condition."""
    fixed = tiny.config(folder).model_dump(mode="json")
    del fixed["stage1"]["norm_ordinality"]  # would be lost where another name is picked
    searched = {
        "stage1.norm_ordinality.name": {"choice": ["kl", "hinge"]},
        "stage1.norm_ordinality.tau": {"log": [0.1, 1.0], "when": {"stage1.norm_ordinality.name": "kl"}},
        "stage2.norm_weight": {"uniform": [0.5, 2.0], "step": 0.5},
        "stage2.schedule.epochs": {"int": [1, 3]},
    }
    return {"fixed": fixed, "searched": searched}


def write(spec: SweepSpec, folder: Path) -> None:
    """Leave the spec where the process that runs the sweep in `folder` finds it."""
    tree = spec.model_dump(mode="json", by_alias=True)
    folder.with_suffix(".yaml").write_text(yaml.safe_dump(tree))


@dataclass
class Process:
    """A driver in a process of its own, which ends with the `with` block at the latest.

    `mark` is in its environment and that of all it starts. `spec` lies beside the folder on a disk.
    """

    action: str
    folder: Place
    workers: int
    spec: Path | None = None
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        spec = self.spec or Path(str(self.folder)).with_suffix(".yaml")
        command = [sys.executable, "-W", "error", __file__, self.action, str(self.folder), str(self.workers)]
        command.append(str(spec))
        self.output = spec.parent / f"{self.mark}.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, MARK: self.mark},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self) -> str:
        """What it printed, once it has ended."""
        self.process.wait(timeout=120)
        return self.output.read_text()

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def left_behind(self) -> list[str]:
        """Command lines of processes that it started and that still live."""
        return left_behind(self.mark)


def left_behind(mark: str) -> list[str]:
    """Command lines of processes that live and have MARK in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (place / "environ").read_bytes():
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it ended meanwhile, or is not ours to look at
            continue
    return found


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
    """Wait until `condition` holds; AssertionError if it takes longer than `seconds`."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.02)


def records(folder: Place) -> list[Record]:
    """The ledger's records; none before there is a ledger."""
    return Folder(folder).records(ledger.FILE)[0]


def trials(folder: Place) -> dict[str, TrialRecord]:
    """The ledger's trials."""
    return ledger.trials(Ledger.open(Folder(folder)).records)


def numbers(metrics: dict[str, float]) -> dict[str, float]:
    """All metrics but the time taken; NaN as -1, so that they compare."""
    found = {name: value for name, value in metrics.items() if not name.endswith("seconds")}
    return {name: -1.0 if math.isnan(value) else value for name, value in found.items()}


def told(folder: Place) -> dict[str, list[Any]]:
    """What a ledger says of its sweep whatever happened to the drivers: asks, reports and tells, in order."""
    found: dict[str, list[Any]] = {"asks": [], "reports": [], "tells": []}
    for record in records(folder):
        match record["kind"]:
            case "ask" | "control":
                found["asks"].append((record["trial"], record["params"]))
            case "report":
                found["reports"].append((record["trial"], record["epoch"], numbers(record["metrics"])))
            case "tell":
                ended = (record["state"], record["epoch"], record["reason"], numbers(record["metrics"]))
                found["tells"].append((record["trial"], *ended))
    return found


def main(action: str, folder: str, workers: int, spec: Path) -> None:
    """Run or resume a sweep and print how it ended."""
    beats.BEAT, beats.PATIENCE = 0.5, PATIENCE
    common: dict[str, Any] = {"resources": sweep.Resources(workers=workers), "tracking": False}
    try:
        if action == "run":
            print(sweep.run(read_spec(spec), folder, **common).message)
        else:
            print(sweep.resume(folder, **common).message)
    except ValueError as error:
        sys.exit(f"refused: {error}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
