"""The pictures of one trial of a sweep, by its name: where they go, and what their title says."""

import difflib

from dirsweep.ledger import TrialRecord
from dirsweep.report.load import DEFAULT, SweepReport
from dirsweep.storage import TRIALS, File
from dirsweep.sweep.controls import record_config


def drawable(report: SweepReport, name: str) -> TrialRecord:
    """The complete trial or control `name`. ValueError that says why there is nothing to draw."""
    trial = report.trials.get(name)
    if trial is None:
        near = difflib.get_close_matches(name, report.trials, 5, 0.5) or list(report.trials)[:8]
        named = f"near it: {', '.join(near)}" if near else "it has none yet"
        raise ValueError(
            f"{report.folder}: no trial or control {name!r}; {named} (all: "
            f"`dirsweep report {report.folder} --json`)"
        )
    why = {
        "OPEN": f"is not finished; `dirsweep resume {report.folder}` goes on with it",
        "PRUNED": f"was pruned at epoch {trial.epoch}: {trial.reason}; a pruned trial leaves no model",
        "FAIL": f"failed: {trial.reason}",
    }
    if trial.state in why:
        raise ValueError(f"{report.folder}: nothing to draw, for trial {name} {why[trial.state]}")
    return trial


def trained(report: SweepReport, trial: TrialRecord) -> TrialRecord:
    """The trial itself, or the one of the same configuration that it took its numbers over from."""
    wanted = record_config(report.spec, trial)
    for one in (trial, *report.trials.values()):
        finished = (report.folder / TRIALS / one.trial).exists("metrics.json")
        if finished and one.state == "COMPLETE" and record_config(report.spec, one) == wanted:
            return one
    return trial


def draw_trial(report: SweepReport, trial: TrialRecord) -> list[File]:
    """Draw the pictures of a complete trial or control into its folder, and return where they are.

    ValueError if a file of the trial is missing or damaged.
    """
    from dirsweep import pictures  # loads PyTorch

    folder = report.folder / TRIALS / trial.trial
    return [File(folder, name) for name in pictures.draw(folder, titled(report, trial))]


def titled(report: SweepReport, trial: TrialRecord) -> str:
    """Sweep and trial, for people: "all-1, 5-mu0 (control of trial 5)"."""
    sweep = report.folder.absolute().name
    if trial.kind == "ask":
        best = report.best is not None and report.best.trial == trial.trial
        return f"{sweep}, trial {trial.trial}{f' (best of {len(report.asked)})' if best else ''}"
    of = "the default" if trial.of == DEFAULT else f"trial {trial.of}"
    said = f"{of} with another seed" if trial.is_repeat else f"control of {of}"
    return f"{sweep}, {trial.trial} ({said})"
