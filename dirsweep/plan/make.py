"""Make a plan, and leave its forecast where the report of the sweep finds it."""

import time
from pathlib import Path

from dirsweep import data
from dirsweep.checkpoint import Store
from dirsweep.plan.pace import paces
from dirsweep.plan.reckon import Plan, reckon
from dirsweep.plan.sample import first_asked
from dirsweep.report import forecast
from dirsweep.search.model import SweepSpec
from dirsweep.storage import Folder
from dirsweep.sweep import Resources
from dirsweep.sweep.store import store_of


def make(spec: SweepSpec, storage: Path, resources: Resources) -> Plan:
    """The plan of a sweep over `spec` in `storage`, with such resources on this machine.

    Leaves one line in `storage/plans.jsonl`, which the report of the sweep sets beside what it took.

    Raises:
        ValueError: an earlier sweep to start warm from does not fit, or none of the configurations that
            were sampled can be trained.
    """
    dataset = data.load(spec.default_config().dataset)
    asked = first_asked(spec, dataset)
    timed = paces(asked, spec.config, Store(Folder(store_of(storage))), resources)
    plan = reckon(spec, dataset, timed, resources.local_workers)
    forecast.keep(storage, forecast.Forecast(spec.hash, spec.budget.trials, time.time(), *plan.seconds))
    return plan
