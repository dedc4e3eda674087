"""Hand a sweep to a cluster: one job file, and what Ray Jobs, KubeRay or Slurm make of it.

`job` reads the file; `inside` says what then happens on the cluster, the same for all three. Nothing is
imported here: the workers that look around on each node import `seen` alone, and start sooner.
"""
