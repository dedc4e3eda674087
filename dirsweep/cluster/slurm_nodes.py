"""What Slurm has: a job that its nodes can never serve would wait in the queue, so it is refused before."""

import re
import shutil
from dataclasses import dataclass

from dirsweep.cluster.job import Job
from dirsweep.cluster.slurm_queue import asked

ROW = re.compile(r"([^|*]+)(\*?)\|(\d+)\|(\d+)\|(\d+)\|(.*)")
"""Partition, "*" for the default one, nodes, CPUs, memory, generic resources."""
MEGABYTES = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}


@dataclass(frozen=True)
class Nodes:
    """Nodes of a partition that are alike; memory in MB, as Slurm counts it."""

    partition: str
    is_default: bool
    count: int
    cpus: int
    memory: int
    gpus: int

    @property
    def told(self) -> str:
        """For a reader: "batch: 2 nodes of 32 CPUs, 128000 MB, 8 GPUs"."""
        return f"{self.partition}: {_size(self.count, self.cpus, self.memory, self.gpus)}"


def check(job: Job) -> None:
    """Refuse a job for which the partition has too few nodes of its size, whatever runs there now.

    Raises:
        ValueError: with what the partition has.
    """
    chosen = _of(job, nodes())
    wanted = job.resources
    cpus, gpus = wanted.cpus_per_node or 0, wanted.gpus_per_node
    memory = _megabytes(wanted.memory_per_node) if wanted.memory_per_node else 0
    large = [one for one in chosen if one.cpus >= cpus and one.memory >= memory and one.gpus >= gpus]
    by_partition = {name: sum(one.count for one in large if one.partition == name) for name in _names(chosen)}
    if chosen and max(by_partition.values()) < wanted.nodes:
        raise ValueError(
            f"the job asks for {_size(wanted.nodes, cpus, memory, gpus)}, but Slurm has "
            f"{'; '.join(one.told for one in chosen)}; ask for fewer nodes, or smaller ones"
        )


def nodes() -> list[Nodes]:
    """The nodes of all partitions, as `sinfo` counts them.

    None where it is missing, does not answer or writes its rows otherwise: then sbatch decides by itself.
    """
    if shutil.which("sinfo") is None:
        return []
    done = asked("sinfo", "--noheader", "--exact", "--format=%P|%D|%c|%m|%G")
    rows = [] if done is None else [ROW.fullmatch(line.strip()) for line in done.stdout.splitlines()]
    read = [row for row in rows if row is not None]
    if len(read) < len(rows):
        return []
    return [Nodes(row[1], bool(row[2]), int(row[3]), int(row[4]), int(row[5]), _gpus(row[6])) for row in read]


def _of(job: Job, found: list[Nodes]) -> list[Nodes]:
    """Those of the job's partitions, or of the default one."""
    names = job.slurm.partition.split(",") if job.slurm.partition else None
    return [one for one in found if (one.is_default if names is None else one.partition in names)]


def _names(found: list[Nodes]) -> list[str]:
    return list(dict.fromkeys(one.partition for one in found))


def _gpus(gres: str) -> int:
    """How many of "gpu:a100:8(S:0-1),shard:32"."""
    return sum(int(found) for found in re.findall(r"(?:^|,)gpu:(?:[^:,(]+:)?(\d+)", gres))


def _megabytes(memory: str) -> int:
    return int(memory[:-2]) * MEGABYTES[memory[-2:]]


def _size(count: int, cpus: int, memory: int, gpus: int) -> str:
    parts = [f"{cpus} CPUs", *([f"{memory} MB"] if memory else []), *([f"{gpus} GPUs"] if gpus else [])]
    return f"{count} {'node' if count == 1 else 'nodes'} of {', '.join(parts)}"
