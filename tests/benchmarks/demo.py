"""The demo sweep's wall time over its trainer-seconds, and how long `dirsweep --help` takes.

Runs what `make sweep` runs, with its defaults, in a folder of its own. The ratio counts from the first
result on: wall seconds over trainer-seconds divided by the workers; 1 would be no overhead at all.
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
MOST_RATIO, MOST_LIFE, MOST_FIRST, MOST_HELP = 1.4, 5.0, 40.0, 1.0


def help_seconds() -> float:
    """The fastest of three: the other two may have waited for the disk."""
    took = []
    for _ in range(3):
        begun = time.time()
        subprocess.run([*DIRSWEEP, "--help"], check=True, stdout=subprocess.DEVNULL)
        took.append(time.time() - begun)
    return min(took)


def demo(storage: Path) -> tuple[float, float, float, float]:
    """Seconds to the first line, to the first result, in all, and the ratio."""
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
    trained = sum(record["seconds"] for record in tells[1:])
    workers = Resources().local_workers
    return life, first - begun, time.time() - begun, (last - first) / (trained / workers)


def main() -> None:
    """Measure and print; exit status 1 if a figure is larger than it may be."""
    took = help_seconds()
    with tempfile.TemporaryDirectory() as folder:
        life, first, whole, ratio = demo(Path(folder))
    print(f"dirsweep --help                {took:6.2f} s (at most {MOST_HELP:g})")
    print(f"demo sweep: first line         {life:6.1f} s (at most {MOST_LIFE:g})")
    print(f"            first result       {first:6.1f} s (at most {MOST_FIRST:g})")
    print(f"            in all             {whole:6.1f} s")
    print(f"            wall / (trainer-seconds / workers) {ratio:.2f} (at most {MOST_RATIO:g})")
    if took > MOST_HELP or life > MOST_LIFE or first > MOST_FIRST or ratio > MOST_RATIO:
        sys.exit(1)


if __name__ == "__main__":
    main()
