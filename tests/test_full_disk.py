"""Disks that are full or read-only: the sweep stops and says what to do, and once it is done goes on.

The sweep's folder, its trials and the store of stage 1s each lie on a small disk of their own, in a mount
namespace that goes with its last process. One sweep meets one trouble after the other.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sweeping
import tiny
import without_ray
import yaml

from dirsweep import ledger, pipeline
from dirsweep.checkpoint import Store, latest
from dirsweep.search.spec import read_own_spec
from dirsweep.storage import Folder
from dirsweep.sweep.controls import record_config

TOOLS = ("unshare", "nsenter", "setpriv", "mount")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, TOOLS)),
        reason=f"small disks are made by root, with {', '.join(TOOLS)}",
    ),
]

SWEEP, TRIALS, STORE = "sweeps/s", "sweeps/s/trials", "sweeps/stage1"
ROOM = "size=32m"
KIB = 1024


@dataclass
class Disks:
    """A folder `here` with the three disks in it; `seen` is what each command printed of its error."""

    here: Path
    seen: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> "Disks":
        mounts = "".join(
            f"mkdir -p {name} && mount -t tmpfs none {name} && " for name in (SWEEP, TRIALS, STORE)
        )
        self.holder = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig=KILL",
                "unshare",
                "--mount",
                "sh",
                "-c",
                f"{mounts} echo ready && exec sleep infinity",
            ],
            cwd=self.here,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *error: object) -> None:
        self.holder.kill()
        self.holder.communicate()

    @property
    def folder(self) -> Path:
        """`here`, as it is seen from outside of the namespace."""
        return Path(f"/proc/{self.holder.pid}/root{self.here}")

    def inside(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in `here`."""
        enter = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt"]
        there = ["sh", "-c", 'cd "$0" && exec "$@"', str(self.here)]
        return subprocess.run([*enter, *there, *command], capture_output=True, text=True, timeout=240)

    def set(self, disk: str, option: str) -> None:
        """Give a disk another size, or make it read-only."""
        done = self.inside("mount", "-o", f"remount,{option}", disk)
        assert done.returncode == 0, done.stderr

    def leave(self, disk: str, free: int) -> None:
        """Leave so many bytes free on a disk."""
        found = os.statvfs(self.folder / disk)
        self.set(disk, f"size={(found.f_blocks - found.f_bfree) * found.f_frsize + free}")

    def dirsweep(self, trouble: str, *arguments: str) -> int:
        """Run a command of ours under a trouble; its status."""
        done = self.inside(
            sys.executable, without_ray.__file__, *arguments, "--no-tracking", "--workers", "1"
        )
        self.seen[trouble] = done.stderr
        return done.returncode


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disks]:
    """After all troubles, with the sweep finished."""
    here = tmp_path_factory.mktemp("disks")
    wide = tiny.config(here).with_overrides({"encoder.width": 256})  # its checkpoints take a megabyte
    space = {
        "question": "Does it go on?",
        "fixed": wide.model_dump(mode="json"),
        "searched": {"stage2.norm_weight": {"log": [0.1, 1.0]}},
        "budget": {"trials": 1},
    }
    (here / "space.yaml").write_text(yaml.safe_dump(space))
    with Disks(here) as disks:
        for name in (TRIALS, STORE):
            disks.set(name, ROOM)
        disks.leave(SWEEP, 12 * KIB)
        assert disks.dirsweep("ledger", "run", "space.yaml", "--name", "s") == 1
        assert_whole(disks)
        disks.set(SWEEP, ROOM)
        disks.leave(TRIALS, 400 * KIB)
        assert disks.dirsweep("checkpoint", "resume", "s") == 1
        assert_whole(disks)
        disks.set(TRIALS, ROOM)
        disks.leave(STORE, 40 * KIB)
        assert disks.dirsweep("store", "resume", "s") == 1
        assert_whole(disks)
        disks.set(STORE, ROOM)
        disks.set(TRIALS, "ro")
        assert disks.dirsweep("read-only trials", "resume", "s") == 1
        disks.set(TRIALS, "rw")
        disks.set(SWEEP, "ro")
        assert disks.dirsweep("read-only sweep", "resume", "s") == 1
        disks.set(SWEEP, "rw")
        assert disks.dirsweep("none", "resume", "s") == 0
        assert_whole(disks)
        yield disks


def assert_whole(disks: Disks) -> None:
    """Nothing half written counts as a file, and all that counts is whole."""
    place = Folder(disks.folder / SWEEP)
    ledger.Ledger.open(place)
    for file in place.path.rglob("*"):
        assert not file.name.endswith(".part")
        if file.suffix == ".json":
            json.loads(file.read_text())
    for name in (place / "trials").folders():
        trial = place / "trials" / name
        saved = trial.list("checkpoints")
        latest(trial)
        assert trial.list("checkpoints") == saved  # a damaged one would have been removed
    store = Store(Folder(disks.folder / STORE))
    assert all(store.get(entry.key) for entry in store.entries())


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (
            "ledger",
            r"sweeps/s/ledger\.jsonl: record \d+ could not be written: No space left on device; make room",
        ),
        ("checkpoint", r"/.*/sweeps/s/trials/[^/]+/checkpoints/[^/]+: No space left on device; make room"),
        ("store", r"/.*/sweeps/stage1/states/[^/]+: No space left on device; make room"),
        ("read-only trials", r"/.*/sweeps/s/trials/[^/]+/[^/]+: Read-only file system; make it writable"),
        ("read-only sweep", r"sweeps/s/driver\.lock: Read-only file system; make it writable"),
    ],
)
def test_the_sweep_stops_and_says_which_file_and_what_to_do(disks: Disks, trouble: str, said: str):
    told = disks.seen[trouble].splitlines()[-1]
    assert re.fullmatch(rf"error: {said}, then `dirsweep resume sweeps/s`: nothing .*is lost", told)
    assert "Traceback" not in disks.seen[trouble]


def test_after_room_was_made_the_sweep_ended_with_the_numbers_of_one_that_had_room(
    disks: Disks, tmp_path: Path
):
    folder = disks.folder / SWEEP
    trials = sweeping.trials(folder)
    assert {trial.state for trial in trials.values()} == {"COMPLETE"}
    assert list(trials) == ["default-plain", "default-mu0", "0", "0-plain", "0-mu0"]
    config = record_config(read_own_spec(Folder(folder)), trials["0"])
    alone = pipeline.run_trial(config, Folder(tmp_path), lambda record: None)
    assert trials["0"].metrics["val/all/mae"] == alone["val/all/mae"]
