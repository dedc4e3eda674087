"""Hand a sweep to a cluster: one job file, and what Ray Jobs, KubeRay or Slurm make of it.

`job` reads the file; `inside` says what then happens on the cluster, the same for all three.
"""

from dirsweep.cluster.job import Job, json_schema, read_job

__all__ = ["Job", "json_schema", "read_job"]
