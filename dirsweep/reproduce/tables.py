"""The tables of a reproduction: ours, ours beside the published, what is compared, how norms are ordered."""

import math
from collections.abc import Sequence

import numpy as np

from dirsweep.finalize.judge import Judged, ShotError
from dirsweep.finalize.text import between, places, shown, table
from dirsweep.finalize.training import Run
from dirsweep.published import Published, adds_up
from dirsweep.report.numbers import SHOTS, digits, duration, written
from dirsweep.reproduce.facts import Facts
from dirsweep.reproduce.observation import Observed
from dirsweep.reproduce.recipe import TWO_STAGE, Recipe
from dirsweep.reproduce.tuning import SHOTS as COMPARED
from dirsweep.reproduce.tuning import Line, Table

SUFFIX = {"": "", "stage2": " + stage 2", "mu0": " + stage 2, mu = 0"}


def ours(facts: Facts, found: Table, runs: Sequence[Run], errors: Sequence[ShotError], metric: str) -> str:
    """A row for each line of the table, by one metric; the first one tells what each cost too."""
    main = metric == found.metrics[0]
    tested = {(one.row.hash, one.shot): one.first if main else one.second for one in errors}
    decimals = {shot: places([tested[key] for key in tested if key[1] == shot]) for shot in SHOTS}
    lines = []
    for line in found.lines:
        own = [run.metrics for run in runs if run.row.hash == line.row.hash]
        cells = []
        for shot in SHOTS:
            interval = tested.get((line.row.hash, shot))
            cells.append(
                "-" if interval is None else _mean(interval.estimate, interval.spread, decimals[shot])
            )
        seconds = [one["seconds"] + one.get("reused_seconds", 0.0) for one in own]
        cost = (str(line.trials), duration(line.seconds), f"{np.mean(seconds):.1f} s") if own and main else ()
        values = [one[f"val/all/{metric}"] for one in own]
        val = _mean(*_moments(values), decimals["all"]) if own else "-"
        named = _named(facts.recipe, line)
        if own and len(own) < len(facts.seeds):
            named = f"{named} ({len(own)} seeds)"
        lines.append((named, val, *cells, *(cost or (("-",) * 3 if main else ()))))
    heads = ["method", "val all", *(f"{shot} ({facts.samples[shot]:,})" for shot in SHOTS)]
    return table((*heads, *(("trials", "tuning", "training") if main else ())), lines, left={0})


def _named(recipe: Recipe, line: Line) -> str:
    """A line's name: "RankSim + stage 2"."""
    if line.method == TWO_STAGE:
        return "two-stage, mu = 0" if line.stage2 == "mu0" else "two-stage"
    return f"{recipe.methods[line.method].title}{SUFFIX[line.stage2]}"


def _moments(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _mean(mean: float, spread: float, decimals: int) -> str:
    return f"{written(mean, decimals)} ({written(spread, decimals)})"


def beside(
    facts: Facts, found: Table, errors: Sequence[ShotError], metric: str, rows: Sequence[Published]
) -> str:
    """Our figures and every published one, by method and source."""
    main = metric == found.metrics[0]
    scale = 100 if metric == "pearson" else 1  # published in percent
    tested = {
        (one.row.hash, one.shot): scale * (one.first if main else one.second).estimate for one in errors
    }
    decimals = max(2, min(3, digits([value for key, value in tested.items() if key[1] == "all"])))
    lines: list[Sequence[str]] = []
    theirs = [row.method for row in rows if row.method != TWO_STAGE]
    for method in dict.fromkeys((*facts.recipe.methods, *theirs, TWO_STAGE)):
        known = facts.recipe.methods.get(method)
        title = known.title if known else method.replace("_", "-")
        line = found.line(method, "stage2" if method == TWO_STAGE else "")
        own = [] if line is None else [written(tested.get((line.row.hash, s)), decimals) for s in SHOTS]
        block = [("ours", *own, "-")] if own else []
        block += [
            (
                row.source if row.evidence == "primary" else f"{row.source} [{row.evidence}]",
                *(row.written[shot] for shot in SHOTS),
                adds_up(facts.recipe.published, row),
            )
            for row in rows
            if row.method == method
        ]
        lines += [("" if number else title, *cells) for number, cells in enumerate(block)]
    return table(("method", "source", *SHOTS, "adds up"), lines, left={0, 1, 6})


def pairs(found: Table, compared: Sequence[Judged]) -> str:
    """Every comparison that could be judged."""
    known = {one.comparison.identity: one for one in compared}
    lines = []
    for ours, theirs in found.pairs:
        for shot in COMPARED:
            one = known.get((ours.row.hash, theirs.row.hash, shot))
            if one is None:
                continue
            decimals = places([one.interval])
            lines.append(
                (
                    ours.row.name,
                    theirs.row.name,
                    f"{shot}{' *' if one.primary else ''}",
                    shown(one.interval.estimate, decimals),
                    between(one.interval, decimals),
                    p_written(one.p_value),
                    one.said,
                )
            )
    heads = ("row", "against", "shot", "difference", "95% interval", "p", "verdict")
    return table(heads, lines, left={0, 1, 2, 6})


def orders(seen: Observed) -> str:
    """How the base methods' norms are ordered in each shot, and the training error there."""
    lines = [
        (one.method, one.shot, written(one.spearman, 2), written(one.out_of_order, 2), written(one.error))
        for one in seen.orders
    ]
    heads = ("method", "shot", "Spearman", "out of order", "train MAE")
    return table(heads, lines, left={0, 1})


def p_written(value: float) -> str:
    """A p-value to three decimals."""
    return "<0.001" if value < 0.0005 else written(value, 3)
