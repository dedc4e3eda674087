"""What a reader of a verdict must know beside its numbers, a sentence each."""

from collections.abc import Mapping

from dirsweep.finalize.plan import Plan
from dirsweep.finalize.training import Run
from dirsweep.ledger import Ledger, budget
from dirsweep.report import SweepReport


def shot_note(plan: Plan) -> list[str]:
    """By what the shots are cut, where that is not the rule."""
    note = plan.finalists[0].config.dataset.shot_note
    return [note] if note else []


def unfinished(report: SweepReport) -> list[str]:
    """A word on a sweep that was stopped or died before its budget was used."""
    records = Ledger.open(report.folder).records
    last = next(record for record in reversed(records) if record["kind"] not in ("run", "opening"))
    if last["kind"] == "end" and last["why"] != "stopped":
        return []
    return [f"the sweep was not finished: {len(report.asked)} of {budget(records)} trials were asked."]


def failures(failed: Mapping[Run, str]) -> list[str]:
    """A sentence for each run without a result, with the reason."""
    return [
        f"{run.row.label} with seed {run.seed} has no result and is left out, which flatters it: {reason}"
        for run, reason in failed.items()
    ]
