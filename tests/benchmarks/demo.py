"""What the demo sweep takes beside its training, and how long commands take that train nothing.

Runs what `make sweep` runs, with its defaults, in a folder of its own. What it takes beside counts from the
first result on: a trial's part of the workers' seconds by the clock, less the trainer-seconds.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dirsweep import ledger
from dirsweep.storage import Folder
from dirsweep.sweep import Resources

SPACE = Path(__file__).parents[2] / "search_spaces" / "all.yaml"
DIRSWEEP = [str(Path(sys.executable).with_name("dirsweep"))]
COMMANDS = {"dirsweep --help": (["--help"], 0.5), "dirsweep validate": (["validate", str(SPACE)], 1.0)}
"""Arguments, and the seconds that they may take."""
MOST_LIFE, MOST_FIRST, MOST_BESIDE = 5.0, 40.0, 0.3


def seconds(arguments: list[str]) -> float:
    """What a command takes, the fastest of three: the other two may have waited for the disk."""
    took = []
    for _ in range(3):
        begun = time.time()
        subprocess.run([*DIRSWEEP, *arguments], check=True, stdout=subprocess.DEVNULL)
        took.append(time.time() - begun)
    return min(took)


def demo(storage: Path) -> tuple[float, float, float, float, float]:
    """Seconds to the first line, to the first result, in all; of a trial in training, and beside it."""
    begun = time.time()
    command = [*DIRSWEEP, "run", str(SPACE), "--name", "demo", "--storage", str(storage)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sweep:
        assert sweep.stdout is not None
        sweep.stdout.readline()
        life = time.time() - begun
        sweep.stdout.read()
    if sweep.returncode:
        sys.exit(f"the demo sweep ended with status {sweep.returncode}")
    tells = [r for r in Folder(storage / "demo").records(ledger.FILE)[0] if r["kind"] == "tell"]
    first, last = tells[0]["time"], tells[-1]["time"]
    trials = len(tells) - 1
    trained = sum(record["seconds"] for record in tells[1:]) / trials
    beside = Resources().local_workers * (last - first) / trials - trained
    return life, first - begun, time.time() - begun, trained, beside


def main() -> None:
    """Measure and print; exit status 1 if a figure is larger than it may be."""
    commands = [(name, seconds(arguments), most) for name, (arguments, most) in COMMANDS.items()]
    with tempfile.TemporaryDirectory() as folder:
        life, first, whole, trained, beside = demo(Path(folder))
    found = [
        *commands,
        ("demo sweep: first line", life, MOST_LIFE),
        ("            first result", first, MOST_FIRST),
        ("            a trial beside its training", beside, MOST_BESIDE),
    ]
    for name, took, most in found:
        print(f"{name:40} {took:6.2f} s (at most {most:g})")
    print(f"            a trial in training              {trained:6.2f} s")
    print(f"            in all                           {whole:6.2f} s")
    print(f"            wall / (trainer-seconds / workers) {1 + beside / trained:.2f}")
    if any(took > most for _, took, most in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
