"""Which configurations a verdict compares: the finalists, the winner's controls, and the ablation.

Every row is a configuration without its seed. Rows of one configuration are one: a control that equals
the winner or another control is left out, and the verdict says so.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dirsweep import pipeline
from dirsweep.config import TrialConfig, as_before
from dirsweep.data import Dataset
from dirsweep.report import SweepReport
from dirsweep.report.numbers import SHOTS

CONTROLS = {
    "plain": "without norm ordinality and without stage 2",
    "mu0": "the same stage 2 without its norm term",
    "compute-matched": "plain, with as many more epochs of stage 1 as stage 2 has",
    "log-target": "plain, on the logarithm of the label",
    "tuned-base": "plain, with its own knobs searched on val for as long as the sweep took",
}
"""The controls of METHOD section 6 by name, with what they are."""


@dataclass(frozen=True)
class Row:
    """A configuration of the verdict.

    name: a trial's number, or what the configuration is for ("mu0").
    config: with the sweep's seed; a run has another.
    """

    name: str
    config: TrialConfig
    meaning: str

    @property
    def label(self) -> str:
        """How tables and sentences call it."""
        return f"trial {self.name}" if self.name.isdecimal() else self.name

    @property
    def folder(self) -> str:
        """Name of the folder of its runs."""
        return f"{self.name}-{self.hash[:8]}"

    @property
    def hash(self) -> str:
        """sha256 of the configuration without its seed."""
        tree = as_before(self.config.model_dump(mode="json", exclude={"seed"}))
        return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Comparison:
    """The test error of one row of the plan against that of another, in a shot."""

    ours: Row
    theirs: Row
    shot: str

    @property
    def identity(self) -> tuple[str, str, str]:
        """What is compared, whatever the rows are called."""
        return self.ours.hash, self.theirs.hash, self.shot


class Compared(Protocol):
    """What is judged: rows, pairs of them, and the one pair that counts most."""

    @property
    def rows(self) -> list[Row]:
        """All rows, each configuration once."""

    @property
    def metrics(self) -> tuple[str, str]:
        """What the field's tables show of the data; rows are compared by the first."""

    @property
    def roles(self) -> Sequence[tuple[str, Sequence[Row]]]:
        """What the rows are for, as the opening of test records it."""

    @property
    def comparisons(self) -> list[Comparison]:
        """What is compared with what, and where."""

    @property
    def primary(self) -> Comparison:
        """The comparison that is not adjusted for the others."""


@dataclass(frozen=True)
class Plan:
    """What is compared with what.

    finalists: the winner first.
    controls: the winner's.
    ablation: base, its additions one by one, and the winner as `both`; empty if it was not asked for.
    left_out: why a control is not among them, or goes by another name, a sentence each.
    primary: the one comparison that is not adjusted for the others.
    """

    finalists: tuple[Row, ...]
    controls: tuple[Row, ...]
    ablation: tuple[Row, ...]
    left_out: tuple[str, ...]
    primary: Comparison

    @property
    def rows(self) -> list[Row]:
        """All rows, each configuration once."""
        found: dict[str, Row] = {}
        for row in (*self.finalists, *self.controls, *self.ablation):
            found.setdefault(row.hash, row)
        return list(found.values())

    @property
    def roles(self) -> Sequence[tuple[str, Sequence[Row]]]:
        """What the rows are for, as the opening of test records it."""
        return ("finalist", self.finalists), ("control", self.controls), ("ablation", self.ablation)

    @property
    def metrics(self) -> tuple[str, str]:
        """What the field's tables show of the data; rows are compared by the first."""
        return self.finalists[0].config.dataset.metrics

    @property
    def comparisons(self) -> list[Comparison]:
        """Every finalist against every control, then every row of the ablation against its base."""
        pairs = [(ours, theirs) for ours in self.finalists for theirs in self.controls]
        pairs += [(ours, self.ablation[0]) for ours in self.ablation[1:]]
        distinct: dict[tuple[str, str], tuple[Row, Row]] = {}
        for ours, theirs in pairs:
            if ours.hash != theirs.hash:
                distinct.setdefault((ours.hash, theirs.hash), (ours, theirs))
        return [Comparison(*pair, shot) for pair in distinct.values() for shot in SHOTS]


def finalists(report: SweepReport, top: int) -> tuple[Row, ...]:
    """The best `top` configurations of a sweep, by val. ValueError if it has not that many.

    Trials of one configuration (a small space is soon drawn twice) are one finalist, the first of them.
    """
    if report.best is None:
        why = report.unranked or "no trial is complete and keeps the constraints"
        raise ValueError(
            f"{report.folder}: {why}, so there is nothing to finalize; "
            f"`dirsweep resume {report.folder}` goes on with it"
        )
    found: dict[str, Row] = {}
    for place, trial in enumerate(report.ranked, 1):
        row = Row(trial.trial, report.spec.config(trial.params), f"number {place} of the sweep on val")
        found.setdefault(row.hash, row)
        if len(found) == top:
            return tuple(found.values())
    raise ValueError(
        f"{report.folder}: {len(found)} different configurations are complete and feasible, but --top {top} "
        "asks for more; ask for fewer"
    )


def controls(
    winner: Row, dataset: Dataset, tuned_base: TrialConfig | str
) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The controls that apply for the winner, and a sentence for each that does not.

    Args:
        dataset: whose training labels a log target would need above 0.
        tuned_base: or why there is none.
    """
    plain = winner.config.plain()
    stage2 = winner.config.stage2.schedule.epochs if winner.config.stage2 else 0
    candidates: dict[str, TrialConfig | str] = {
        "plain": plain,
        "mu0": winner.config.without_norm_term(),
        "compute-matched": plain.with_overrides({"stage1.epochs": plain.stage1.epochs + stage2}),
        "log-target": _log_target(plain, dataset),
        "tuned-base": tuned_base,
    }
    rows: list[Row] = []
    left_out = []
    for name, config in candidates.items():
        if isinstance(config, str):
            left_out.append(f"{name} is left out: {config}.")
            continue
        row = Row(name, config, CONTROLS[name])
        twin = next((other for other in (winner, *rows) if other.hash == row.hash), None)
        if twin is None:
            rows.append(row)
        else:
            left_out.append(f"{name} is left out: the same configuration as {twin.label}.")
    return tuple(rows), tuple(left_out)


def _log_target(plain: TrialConfig, dataset: Dataset) -> TrialConfig | str:
    smallest = min(float(dataset.train.label.min()), float(dataset.val.label.min()))
    if smallest <= 0:
        return f"labels must be above 0, and the smallest is {smallest:g}"
    config = plain.with_overrides({"stage1.target_transform": "log"})
    try:
        pipeline.check(config, dataset)
    except ValueError as error:  # a loss of bins whose centres have no logarithm
        return str(error)
    return config


def twins(finalists: Sequence[Row], others: Iterable[Row]) -> list[str]:
    """A sentence for each control, or row of the ablation, that one of the lesser finalists is."""
    known = {row.hash: row for row in finalists[1:]}
    return [
        f"{row.name} is the configuration of {known[row.hash].label}, and stands under that name with the "
        "errors."
        for row in others
        if row.hash in known
    ]


def ablation(winner: Row) -> tuple[Row, ...]:
    """What each part of the winner brings: base, with one part each, with both."""
    config, base = winner.config, winner.config.plain()
    tree = config.model_dump(mode="json")
    with_stage2 = TrialConfig.model_validate({**base.model_dump(mode="json"), "stage2": tree["stage2"]})
    without_stage2 = TrialConfig.model_validate({**tree, "stage2": None})
    return (
        Row("base", base, "neither part"),
        Row("ordinality", without_stage2, "norm ordinality alone"),
        Row("stage2", with_stage2, "stage 2 alone"),
        Row("stage2-mu0", with_stage2.without_norm_term(), "stage 2 alone, without its norm term"),
        Row("both", config, "both parts: the winner"),
    )


def primary(asked: str | None, winner: Row, rows: Sequence[Row], sampled: Iterable[str]) -> Comparison:
    """The primary comparison: the winner against the control and in the shot of "CONTROL:SHOT".

    By default `mu0:few`: the method promises better rare labels by the norms, and mu0 differs from the
    winner in the norm term alone; against `plain` a short balanced fine-tune would pass for it. Where
    the winner has no norm term, `plain`; where no few-shot label is held out, `all`.

    Args:
        rows: the controls that apply.
        sampled: shots that val has samples of; test is like val, and closed.

    Raises:
        ValueError: no such control or shot, or one that does not apply here.
    """
    known, shots = {row.name: row for row in rows}, [shot for shot in SHOTS if shot in sampled]
    if not known:
        raise ValueError(f"{winner.label} is its own base method: no control differs from it")
    if asked is None:
        default = next((name for name in ("mu0", "plain") if name in known), next(iter(known)))
        return Comparison(winner, known[default], "few" if "few" in shots else "all")
    name, _, shot = asked.partition(":")
    if name not in known or shot not in shots:
        raise ValueError(
            f"--primary {asked!r}: write CONTROL:SHOT; the controls that apply are {', '.join(known)}, "
            f"the shots with samples {', '.join(shots)}"
        )
    return Comparison(winner, known[name], shot)
