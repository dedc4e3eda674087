"""Commands with what they must say, in a text: `$ dirsweep validate FILE`, then the message, and so on.

python tests/transcripts.py FOLDER    (writes anew what the commands of its transcript say, for you to read)
"""

import contextlib
import io
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from dirsweep import cli

FILE = "transcript.txt"
MARK = "$ dirsweep "
WELL = "(no error)"
"""Stands for the message of a command that prepares the next one."""


@dataclass(frozen=True)
class Case:
    """A command that is run in a folder, and what it must say on stderr."""

    folder: str
    command: str
    message: str

    @property
    def expected(self) -> "Told":
        """How it must end: with status 2 and the message, or well."""
        return Told(0, "") if self.message == WELL else Told(2, self.message)

    @property
    def name(self) -> str:
        """For people: "jobs: validate numbers.yaml"."""
        return f"{self.folder}: {self.command}"


@dataclass(frozen=True)
class Told:
    """How a command ended: its status and, if that is not 0, its stderr without the folder it ran in."""

    status: int | str | None
    message: str


def read(file: Path) -> list[Case]:
    """The cases of a transcript."""
    cases = []
    for part in ("\n" + file.read_text()).split("\n" + MARK)[1:]:
        command, _, message = part.partition("\n")
        cases.append(Case(file.parent.name, command, message.strip()))
    return cases


def run(case: Case, here: Path, patch: pytest.MonkeyPatch) -> Told:
    """Run a case's command in this process, in its folder below `here`."""
    folder = (here / case.folder).resolve()
    patch.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    status: int | str | None = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(shlex.split(case.command))
        except SystemExit as ended:
            status = ended.code
    said = err.getvalue().replace(f"{folder}/", "").strip()
    return Told(status, said if status else "")


def _record(folder: Path) -> None:
    import shutil

    cases = read(folder / FILE)
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        shutil.copytree(folder, Path(place) / folder.name)
        told = [run(case, Path(place), patch) for case in cases]
    for case, one in zip(cases, told, strict=True):
        if one.status not in (0, 2):
            print(f"{case.name}: status {one.status}", file=sys.stderr)
    said = [one.message if one.status else WELL for one in told]
    text = "\n\n".join(f"{MARK}{case.command}\n{one}" for case, one in zip(cases, said, strict=True))
    (folder / FILE).write_text(text + "\n")


if __name__ == "__main__":
    _record(Path(sys.argv[1]).resolve())
