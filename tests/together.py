"""Trains trials in several processes, joined by gloo, each with its part of every batch.

python tests/together.py FOLDER RANK SIZE    (FOLDER/tasks.json says which; `training` writes it)
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dirsweep.config import TrialConfig

SECONDS = 240


@dataclass(frozen=True)
class Task:
    """A trial: its folder, its configuration as a tree, after how many looks for a stop it finds one."""

    folder: str
    config: dict[str, Any]
    looks: int | None = None
    store: str | None = None


@contextmanager
def training(folder: Path, tasks: Sequence[Task], size: int = 2) -> Iterator[None]:
    """Train the trials one after the other, each with `size` processes, beside the block and to their end.

    Raises AssertionError if a process fails.
    """
    (folder / "tasks.json").write_text(json.dumps([asdict(task) for task in tasks]))
    words = [sys.executable, __file__, str(folder)]
    processes = [subprocess.Popen([*words, str(rank), str(size)]) for rank in range(size)]
    try:
        yield
        assert [process.wait(SECONDS) for process in processes] == [0] * size
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main(folder: Path, rank: int, size: int) -> None:
    """One of the processes."""
    from torch import distributed

    from dirsweep import group, pipeline
    from dirsweep.checkpoint import Store, journal
    from dirsweep.storage import Folder

    journal.BETWEEN_LOOKS = journal.BETWEEN_EPOCHS = 0.0
    meeting = f"file://{folder.absolute()}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
    for tree in json.loads((folder / "tasks.json").read_text()):
        task, looks = Task(**tree), iter(range(10**9))
        try:
            pipeline.run_trial(
                TrialConfig.model_validate(task.config),
                Folder(task.folder),
                lambda record: None,
                should_stop=lambda: task.looks is not None and next(looks) == task.looks,  # noqa: B023
                store=Store(Folder(task.store)) if task.store else None,
                group=group.joined(),
            )
        except pipeline.Stopped:
            assert task.looks is not None
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
