"""Make a plan, and leave its forecast where the report of the sweep finds it."""

import time

from dirsweep import data
from dirsweep.checkpoint import Store
from dirsweep.plan.pace import paces
from dirsweep.plan.reckon import Plan, reckon
from dirsweep.plan.sample import first_asked
from dirsweep.report import forecast
from dirsweep.search.model import SweepSpec
from dirsweep.storage import Folder
from dirsweep.sweep import Resources, at_once
from dirsweep.sweep.store import store_of


def make(spec: SweepSpec, storage: Folder, resources: Resources) -> Plan:
    """The plan of a sweep over `spec` in `storage`, with such resources here or at RAY_ADDRESS.

    Leaves one line in `storage/plans.jsonl`, which the report of the sweep sets beside what it took.

    Raises:
        ValueError: an earlier sweep to start warm from does not fit, there is no room for a trial, the
            sweep would be refused such resources, or none of the configurations that were sampled can be
            trained.
    """
    resources.check(spec.default_config())
    workers = at_once(resources)
    dataset = data.load(spec.default_config().dataset)
    asked = first_asked(spec, dataset)
    store = Store(store_of(storage))
    here = _here(workers, resources)
    timed = paces(asked, spec.config, store, here, resources.gpu_share)
    plan = reckon(spec, dataset, timed, workers, timed=here, cluster=resources.facts["cluster"])
    of = forecast.deciding(spec, dataset.hash, resources.facts)
    forecast.keep(storage, forecast.Forecast(of, time.time(), *plan.seconds))
    return plan


def _here(workers: int, resources: Resources) -> int:
    """How many configurations are timed at once: as the sweep's trials on this machine, or on one GPU."""
    share = int(1 / resources.gpus_per_trial) if resources.gpus_per_trial else resources.local_workers
    return max(1, min(workers, share))
