"""What a job sends to a running Ray cluster: dirsweep's own files, the search space and a script, no more.

Code that runs there is the code that is here, whatever version of dirsweep the cluster has. Data are not
sent: they must lie where the nodes see them.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import dirsweep
from dirsweep.cluster import inside
from dirsweep.cluster.job import Job, space_text
from dirsweep.storage import Folder

PROGRAM = ("python", "-m", "dirsweep")
STOP_SECONDS = 40
"""How long Ray waits after a job's SIGTERM, longer than a sweep takes to save its trials; Ray's own is 3."""


@dataclass(frozen=True)
class Package:
    """Files for a cluster, laid out in a folder.

    code: the package `dirsweep`.
    work: the folder that the job runs in.
    """

    code: Path
    work: Path
    variables: dict[str, str]

    @property
    def files(self) -> list[Path]:
        """All files that are sent."""
        return [file for top in (self.code, self.work) for file in sorted(top.rglob("*")) if file.is_file()]

    @property
    def size(self) -> int:
        """Bytes of all files, before Ray compresses them."""
        return sum(file.stat().st_size for file in self.files)

    @property
    def runtime_env(self) -> dict[str, object]:
        """For Ray."""
        return {"py_modules": [str(self.code)], "working_dir": str(self.work), "env_vars": self.variables}

    @property
    def told(self) -> str:
        """What is sent, for a reader."""
        here = ", ".join(file.name for file in self.files if self.work in file.parents)
        size = f"{self.size / 1e6:.1f} MB in {len(self.files)} files"
        return f"{size}: dirsweep {dirsweep.__version__}, {here}"


def pack(job: Job, folder: Path) -> Package:
    """Lay out in `folder` what the job needs.

    Raises:
        ValueError: the search space is not right, or the job asks for what Ray Jobs do not have.
    """
    named = inside.from_secrets(job)
    if named:
        raise ValueError(
            f"'environment.{named[0]}': a Ray cluster has no secrets; set it where Ray is started, on "
            "all nodes, and write `from: env`"
        )
    if job.time_limit is not None:
        raise ValueError(
            "'time_limit': Ray Jobs have none; set 'budget.minutes', after which no trial is begun"
        )
    code, work = folder / "code" / "dirsweep", folder / "work"
    source = Path(dirsweep.__file__).parent
    shutil.copytree(source, code, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    work.mkdir()
    (work / inside.SPACE).write_text(space_text(job.rendered()))
    storage = str(Folder(job.storage).absolute())
    text = inside.script(job, storage, PROGRAM, retries=job.retries)
    (work / inside.SCRIPT).write_text(text)
    usual = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
    }
    return Package(code, work, usual | inside.plain_variables(job))
