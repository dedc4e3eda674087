"""The verdict that `dirsweep finalize` left beside a sweep: test errors over fresh seeds, and what holds.

It is a verdict on the trial that led when it was made: after `dirsweep resume` another one may lead, and then
the page says so.
"""

import json
from dataclasses import dataclass
from typing import Any

from dirsweep.config import TrialConfig
from dirsweep.report.load import SweepReport
from dirsweep.report.numbers import SHOTS, written

NAME = "finalize/verdict.json"
PAGE = "finalize/verdict.md"
FILES = (NAME, PAGE, "finalize/per_seed.csv")
"""What it left, by the sweep's folder."""


@dataclass(frozen=True)
class Compared:
    """A configuration against another on test, in one shot; a difference below 0 is better.

    low, high: of the 95% interval; NaN where there is none.
    """

    ours: str
    theirs: str
    shot: str
    difference: float
    low: float
    high: float
    p_value: float
    verdict: str
    primary: bool
    seeds: int
    samples: int
    method: str


@dataclass(frozen=True)
class Error:
    """A configuration's test error in one shot, by the data's first metric; else as `Compared`."""

    name: str
    shot: str
    value: float
    low: float
    high: float
    spread: float
    second: float
    """Its error by the second metric."""


@dataclass(frozen=True)
class Verdict:
    """A verdict as a page shows it.

    winner: the name of the trial that it is on.
    current: whether that trial's configuration still leads.
    openings: how often test had been opened with this one; time: of this one, in unix seconds.
    """

    winner: str
    current: bool
    seeds: int
    test: int
    openings: int
    time: float
    seconds: float
    metric: str
    errors: tuple[Error, ...]
    compared: tuple[Compared, ...]
    meanings: dict[str, str]
    notes: tuple[str, ...]

    @property
    def primary(self) -> Compared | None:
        """The comparison that was named before test was opened, where test has a result for it."""
        return next((one for one in self.compared if one.primary), None)

    @property
    def controls(self) -> list[str]:
        """What the winner was compared with."""
        return list(dict.fromkeys(one.theirs for one in self.compared if one.ours == self.winner))


def read(report: SweepReport) -> Verdict | None:
    """The latest verdict; None where there is none. ValueError that names the file if it is damaged."""
    folder = report.folder
    if not folder.exists(NAME):
        return None
    try:
        return _read(report, json.loads(folder.read(NAME)))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{folder}/{NAME}: no verdict can be read from it ({type(error).__name__}: {error}); "
            "`dirsweep finalize` writes it again"
        ) from None


def _read(report: SweepReport, tree: dict[str, Any]) -> Verdict:
    facts, opening, winner = tree["facts"], tree["opening"], tree["finalists"][0]
    best = report.best
    ours = TrialConfig.model_validate(winner["config"])
    metric, other = report.spec.metrics
    rows = [*tree["finalists"], *tree["controls"], *tree["ablation"]]
    return Verdict(
        winner=winner["name"],
        current=best is not None and _bare(report.spec.config(best.params)) == _bare(ours),
        seeds=len(facts["seeds"]),
        test=facts["test"],
        openings=opening["number"] + opening["elsewhere"],
        time=opening["time"],
        seconds=facts["seconds"],
        metric=metric,
        errors=tuple(
            Error(
                one["configuration"],
                one["shot"],
                *_numbers(one[metric], "estimate", "low", "high", "spread"),
                *_numbers(one[other], "estimate"),
            )
            for one in tree["errors"]
        ),
        compared=tuple(map(_compared, tree["comparisons"])),
        meanings={row["name"]: row["meaning"] for row in rows},
        notes=(*tree["left_out"], *facts["notes"]),
    )


def _bare(config: TrialConfig) -> dict[str, Any]:
    """A configuration without its seed."""
    return config.model_dump(mode="json", exclude={"seed"})


def _compared(one: dict[str, Any]) -> Compared:
    interval = one["difference"]
    difference, low, high = _numbers(interval, "estimate", "low", "high")
    return Compared(
        ours=one["configuration"],
        theirs=one["against"],
        shot=one["shot"],
        difference=difference,
        low=low,
        high=high,
        p_value=one["p_value"],
        verdict=one["verdict"],
        primary=one["primary"],
        seeds=interval["seeds"],
        samples=interval["samples"],
        method=interval["method"],
    )


def _numbers(interval: dict[str, Any], *names: str) -> list[float]:
    return [float("nan") if interval[name] is None else float(interval[name]) for name in names]


def label(name: str) -> str:
    """How a configuration of a verdict is called."""
    return f"trial {name}" if name.isdecimal() else name


def primary_sentence(found: Verdict) -> str:
    """What the primary comparison says."""
    one = found.primary
    if one is None:
        return "Test has no result for the primary comparison."
    return (
        f"{label(one.ours)} against {label(one.theirs)} on {one.shot}: {one.verdict.upper()}. Difference of "
        f"test {found.metric.upper()} {written(one.difference)} (95% interval {written(one.low)} to "
        f"{written(one.high)}, p {written(one.p_value, 3)}), over {one.seeds} seeds and {one.samples:,} "
        "samples."
    )


def sentences(found: Verdict) -> list[str]:
    """For each control of the winner, on which shots it is better, worse, or neither."""
    lines = []
    for name in found.controls:
        ones = [one for one in found.compared if (one.ours, one.theirs) == (found.winner, name)]
        groups = {word: [one.shot for one in ones if one.verdict == word] for word in WORDS}
        order = {shot: place for place, shot in enumerate(SHOTS)}
        said = [
            f"{word} on {_listed(sorted(shots, key=order.__getitem__))}"
            for word, shots in groups.items()
            if shots
        ]
        if len(groups[WORDS[-1]]) == len(ones):
            said = [f"{WORDS[-1]} on any shot"]
        lines.append(f"{name} ({found.meanings.get(name, '')}): {'; '.join(said)}.")
    return lines


WORDS = ("better", "worse", "not distinguishable")


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
