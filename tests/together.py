"""Trains trials in several processes, joined by gloo, each with its part of every batch.

python tests/together.py FOLDER RANK SIZE    (FOLDER/tasks.json says which; `training` writes it)
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

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
def training(
    folder: Path, tasks: Sequence[Task], commands: Sequence[Sequence[str]] = (), size: int = 2
) -> Iterator[None]:
    """Train the trials one after the other, each with `size` processes, beside the block and to their end.

    Then give the commands, as torchrun would: what a process said of one is in FOLDER/said-NUMBER-RANK.

    Raises AssertionError if a process fails.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    todo = {"tasks": [asdict(task) for task in tasks], "commands": commands, "port": port}
    (folder / "tasks.json").write_text(json.dumps(todo))
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
    todo = json.loads((folder / "tasks.json").read_text())
    for tree in todo["tasks"]:
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
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "test",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(todo["port"]),
    }
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    for number, command in enumerate(todo["commands"]):
        with (folder / f"said-{number}-{rank}").open("w") as file:
            give(command, file)


def give(command: list[str], file: TextIO) -> None:
    """Give a command; the file gets its output and then its status."""
    from dirsweep import cli

    with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            cli.main(command)
        except SystemExit as ended:
            file.write(f"status {ended.code}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
