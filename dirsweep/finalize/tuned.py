"""The tuned base (METHOD section 6, control 3): the base method, searched on val as long as the sweep was.

A win over a base method that nobody tuned is a win of the tuning. So the knobs of the space that still act
without norm ordinality and stage 2 are searched by the sweep's sampler, for as many trials and at most
as many trainer-seconds, in a sweep of its own below the sweep's folder; before test is opened.
"""

from typing import Any

import yaml

from dirsweep import ledger, sweep
from dirsweep.config import TrialConfig
from dirsweep.ledger import Ledger
from dirsweep.report import SweepReport, load
from dirsweep.report.numbers import duration
from dirsweep.search.best import feasible
from dirsweep.search.model import SweepSpec
from dirsweep.search.spec import parse_spec
from dirsweep.search.staged import parents
from dirsweep.storage import Folder
from dirsweep.sweep import Resources
from dirsweep.sweep.progress import OnChange

FOLDER = "finalize/tuned-base"
NO_KNOB = "no searched knob acts on the base method, so it equals plain"
NOT_YET = "its search on val has not been run"
NO_BETTER = "its search on val found nothing better than plain, which stands for it"
INFEASIBLE = "no trial of its search is complete and keeps the sweep's constraints"
ENDED = ("finished", "trainer-seconds")


def base_spec(report: SweepReport) -> SweepSpec | None:
    """The space of the base method; None where none of the searched knobs acts on it."""
    spec = report.spec
    tree = spec.model_dump(mode="json", by_alias=True)
    acting = {name: value for name, value in tree["searched"].items() if acts(name)}
    if not acting:
        return None
    for value in acting.values():  # a condition on what is gone holds no more
        value["when"] = {name: allowed for name, allowed in value["when"].items() if name in acting}
    budget: dict[str, Any] = {"trials": len(report.asked)}
    seconds = sum(trial.seconds for trial in report.asked) + _found_trained(report)
    if seconds > 0:
        budget["trainer_seconds"] = seconds
    changed = {
        "question": f"What does the base method reach, tuned for as long? ({spec.question.strip()})",
        "fixed": _base(tree["fixed"]),
        "searched": acting,
        "mode": {"name": "joint"},
        "warm_start": [],
        "budget": budget,
        "seed": spec.seed + 1,  # with the sweep's own the sampler would draw the sweep's values again
    }
    return parse_spec({**tree, **changed}, "the tuned base")


def _found_trained(report: SweepReport) -> float:
    """Trainer-seconds of stage 1s that the sweep found in the store: its trials did not pay for them."""
    complete = [trial for trial in report.asked if trial.state == "COMPLETE"]
    reused = [
        [trial.metrics.get("reused_seconds", 0.0) for trial in parent.trials] for parent in parents(complete)
    ]
    return sum(max(family) for family in reused if min(family) > 0)


def told(folder: Folder) -> list[str]:
    """How long the base was tuned, a sentence; none where it was not."""
    if not folder.has_records(ledger.FILE):
        return []
    found = load(folder)
    count, seconds = len(found.asked), duration(found.spent.trainer_seconds)
    return [f"the base method was tuned with {count} trials of its own, {seconds} of training."]


def acts(name: str) -> bool:
    """Whether a knob changes the base method: a trial without norm ordinality and without stage 2."""
    parts = name.split(".")
    return parts[0] != "stage2" and "norm_ordinality" not in parts


def _base(fixed: dict[str, Any]) -> dict[str, Any]:
    """The fixed part without norm ordinality and stage 2."""
    stage1 = {**(fixed.get("stage1") or {}), "norm_ordinality": {"name": "none"}}
    if "then" in stage1:
        stage1["then"] = [
            {name: value for name, value in phase.items() if name != "norm_ordinality"}
            for phase in stage1["then"]
        ]
    return {**fixed, "stage1": stage1, "stage2": None}


def ended(spec: SweepSpec, folder: Folder) -> bool:
    """Whether the search of the base was run to its end."""
    if not folder.has_records(ledger.FILE):
        return False
    asked = ledger.budget(Ledger.open(folder).records)
    return asked >= spec.budget.trials and sweep.status(folder).state in ENDED


def search(spec: SweepSpec, folder: Folder, resources: Resources, on_change: OnChange) -> None:
    """Run the search of the base, or go on with it; it may have been begun for a smaller sweep.

    Raises KeyboardInterrupt if it was stopped.
    """
    if folder.has_records(ledger.FILE):
        extra = max(0, spec.budget.trials - ledger.budget(Ledger.open(folder).records))
        tree = spec.model_dump(mode="json", by_alias=True)
        folder.put("spec.yaml", yaml.safe_dump(tree, sort_keys=False).encode())
        outcome = sweep.resume(
            folder, extra_trials=extra, resources=resources, tracking=False, on_change=on_change
        )
    else:
        folder.delete("spec.yaml")  # of a driver that died before its first record
        outcome = sweep.run(spec, folder, resources=resources, tracking=False, on_change=on_change)
    if outcome.why == "stopped":
        raise KeyboardInterrupt


def tuned_base(report: SweepReport, spec: SweepSpec | None, folder: Folder) -> TrialConfig | str:
    """The best configuration of the search, unless plain is as good on val; or why there is none.

    Whoever tunes a base begins with what he has: plain, unless it breaks a constraint. The sweep trained it
    as the winner's control, with the seed that the trials of the search have.
    """
    found = best(spec, folder)
    plain = None if report.best is None else report.trials.get(f"{report.best.trial}-plain")
    if isinstance(found, str) or plain is None or plain.state != "COMPLETE":
        return found
    objective, tuning = report.spec.objectives[0], load(folder)
    assert tuning.best is not None, "it gave a configuration"
    first = tuning.trials[tuning.best.trial]  # with the first seed alone, as plain is; `best` may have means
    beaten = first.metrics[objective] < plain.metrics[objective]
    return found if beaten or not feasible(report.spec, plain, report.trials) else NO_BETTER


def best(spec: SweepSpec | None, folder: Folder) -> TrialConfig | str:
    """The best configuration of a search, or why there is none."""
    if spec is None:
        return NO_KNOB
    if not ended(spec, folder):
        return NOT_YET
    found = load(folder)
    return INFEASIBLE if found.best is None else found.spec.config(found.best.params)
