"""The page of a reproduction: our table, beside the published one, what it says, what the norms look like."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markdown_it import MarkdownIt

from dirsweep.finalize.judge import Judged, ShotError
from dirsweep.finalize.opening import Opening
from dirsweep.finalize.text import between, bullets, counted, listed, places, shown, table, wrapped
from dirsweep.finalize.training import Run
from dirsweep.intervals import MIN_SEEDS
from dirsweep.report.numbers import SHOTS, digits, duration, headed, written
from dirsweep.reproduce.observation import Observed
from dirsweep.reproduce.published import SHARE, Published, adds_up
from dirsweep.reproduce.recipe import FAMILIES, TWO_STAGE, Recipe, Size
from dirsweep.reproduce.tuning import Line, Table

SUFFIX = {"": "", "stage2": " + stage 2", "mu0": " + stage 2, mu = 0"}
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #8886; white-space: nowrap; }
svg { max-width: 100%; height: auto; background: white; }
"""


@dataclass(frozen=True)
class Facts:
    """What the page rests on, beside its numbers.

    generated: whether images were drawn.
    samples: test samples of each shot.
    notes: what else a reader must know, a sentence each.
    """

    recipe: Recipe
    scale: Size
    generated: bool
    opening: Opening
    seeds: Sequence[int]
    samples: Mapping[str, int]
    notes: Sequence[str]


def page(
    facts: Facts,
    found: Table,
    runs: Sequence[Run],
    errors: Sequence[ShotError],
    compared: Sequence[Judged],
    rows: Sequence[Published],
    seen: Observed,
) -> str:
    """The whole page, as Markdown."""
    first, second = found.metrics
    parts = [f"# {facts.recipe.title}, SCALE={facts.scale}"]
    if facts.generated:
        parts.append(
            wrapped(
                "**GENERATED IMAGES: the labels are the benchmark's, the images are drawn discs. No figure "
                "below says anything about faces.**"
            )
        )
    parts += [
        bullets(_setting(facts, found)),
        f"## {headed(first)}, ours",
        _ours(facts, found, runs, errors, first),
        wrapped(
            "Means over seeds, in brackets their standard deviation. trials and tuning (trainer-time): of "
            "the searches on val that chose the row, with those that it builds on; training: trainer-seconds "
            "of one run, stage 1 included. Searches share stage 1s, so a search may cost less than its "
            "trials would."
        ),
        f"## {headed(second)}, ours",
        _ours(facts, found, runs, errors, second),
    ]
    for metric in (first, second) if rows else ():
        published = [row for row in rows if row.metric == metric]
        if published:
            family = FAMILIES[facts.recipe.family]
            parts += [
                f"## {headed(metric)}, ours beside the published ({family})",
                _beside(facts, found, errors, metric, published),
            ]
    if rows:
        parts.append(
            wrapped(
                f"Ours is not the published recipe: {facts.recipe.scales[facts.scale].about} "
                "A method with several sources has several rows: their spread is the least that a difference "
                "must exceed. adds up: whether the shots, weighted by their test samples, give the error "
                f"over all labels within {SHARE:.0%}; a row that does not is no single run."
            )
        )
    parts += [
        "## What stage 2 brings",
        _pairs(found, compared),
        wrapped(
            f"Differences of test {headed(first)}, paired by seed and sample; below 0: the first is better. "
            "p is adjusted for the number of comparisons (Holm), but for the primary one (*), named before "
            "test was opened."
        ),
        "## In words",
        bullets(_in_words(found, errors, compared)),
        "## Are norms ordinal, and where?",
        "![norms](norms.svg)",
        _orders(seen),
        bullets(_observed(seen)),
    ]
    return "\n\n".join(parts) + "\n"


def html(text: str, pictures: Mapping[str, bytes]) -> str:
    """The page as one HTML file, with its pictures inside."""
    body = MarkdownIt("commonmark").enable("table").render(text)
    for name, picture in pictures.items():
        inside = picture.decode()
        body = body.replace(f'<img src="{name}" alt="norms" />', inside[inside.index("<svg") :])
    title = text.partition("\n")[0].removeprefix("# ")
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n{body}</html>\n'
    )


def named(recipe: Recipe, line: Line) -> str:
    """A line's name: "RankSim + stage 2"."""
    if line.method == TWO_STAGE:
        return "two-stage, mu = 0" if line.stage2 == "mu0" else "two-stage"
    return f"{recipe.methods[line.method].title}{SUFFIX[line.stage2]}"


def _setting(facts: Facts, found: Table) -> list[str]:
    scale = facts.recipe.scales[facts.scale]
    before = facts.opening.number - 1 + facts.opening.elsewhere
    note = found.rows[0].config.dataset.shot_note
    lines = [
        facts.recipe.about,
        f"SCALE={facts.scale}: {scale.about}",
        f"every method was tuned on val with {counted(scale.trials, 'trial')} over its own knobs and the "
        "shared ones, then its stage 2 with as many; two-stage is norm ordinality and stage 2 on the plain "
        "model, "
        f"searched together with {2 * scale.trials}.",
        f"every row was trained with {counted(len(facts.seeds), 'fresh seed')}, the same for all "
        f"({facts.seeds[0]} to {facts.seeds[-1]}); test was opened after that, once for all rows (hash "
        f"{facts.opening.hash[:12]}).",
    ]
    if before:
        lines.append(
            f"TEST WAS OPENED {counted(before, 'time').upper()} BEFORE, by this reproduction or others "
            "beside it."
        )
    if len(facts.seeds) < MIN_SEEDS:
        lines.append(
            f"{counted(len(facts.seeds), 'seed')} of the {MIN_SEEDS} that it takes: nothing can be called "
            "better or worse."
        )
    return [*lines, *([note] if note else []), *facts.notes]


def _ours(facts: Facts, found: Table, runs: Sequence[Run], errors: Sequence[ShotError], metric: str) -> str:
    main = metric == found.metrics[0]
    tested = {(one.row.hash, one.shot): one.first if main else one.second for one in errors}
    decimals = {shot: places([tested[key] for key in tested if key[1] == shot]) for shot in SHOTS}
    lines = []
    for line in found.lines:
        own = [json.loads(run.folder.read("metrics.json")) for run in runs if run.row.hash == line.row.hash]
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
        lines.append((named(facts.recipe, line), val, *cells, *(cost or (("-",) * 3 if main else ()))))
    heads = ["method", "val all", *(f"{shot} ({facts.samples[shot]:,})" for shot in SHOTS)]
    return table((*heads, *(("trials", "tuning", "training") if main else ())), lines, left={0})


def _moments(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _mean(mean: float, spread: float, decimals: int) -> str:
    return f"{written(mean, decimals)} ({written(spread, decimals)})"


def _beside(
    facts: Facts, found: Table, errors: Sequence[ShotError], metric: str, rows: Sequence[Published]
) -> str:
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


def _pairs(found: Table, compared: Sequence[Judged]) -> str:
    known = {one.comparison.identity: one for one in compared}
    lines = []
    for ours, theirs in found.pairs:
        for shot in ("all", "few"):
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
                    _p(one.p_value),
                    one.verdict,
                )
            )
    heads = ("row", "against", "shot", "difference", "95% interval", "p", "verdict")
    return table(heads, lines, left={0, 1, 2, 6})


def _in_words(found: Table, errors: Sequence[ShotError], compared: Sequence[Judged]) -> list[str]:
    known = {one.comparison.identity: one for one in compared}
    lines = [
        _tally(found, known, "", "its method by itself"),
        _tally(found, known, "mu0", "the same fine-tune without the norm term"),
    ]
    for shot in ("all", "few"):
        by_error = sorted((one for one in errors if one.shot == shot), key=lambda one: one.first.estimate)
        if by_error:
            best, *rest = by_error
            two = next((k for k, one in enumerate(by_error, 1) if one.row.name == TWO_STAGE), None)
            place = f"; two-stage is number {two} of {len(by_error)}" if two is not None else ""
            near = f", then {rest[0].row.name}" if rest else ""
            lines.append(f"lowest test {headed(found.metrics[0])} on {shot}: {best.row.name}{near}{place}.")
    beaten: dict[str, list[str]] = {}
    for ours, theirs in found.pairs:
        one = known.get((ours.row.hash, theirs.row.hash, "few"))
        if ours.method == TWO_STAGE and theirs.stage2 == "" and one is not None:
            beaten.setdefault(one.verdict, []).append(theirs.row.name)
    said = "; ".join(
        f"{verdict} than {listed(names)}"
        if verdict != "not distinguishable"
        else f"not distinguishable from {listed(names)}"
        for verdict, names in beaten.items()
    )
    lines.append(f"two-stage on few, against each base method by itself: {said or 'not compared'}.")
    return lines


def _tally(found: Table, known: Mapping[tuple[str, str, str], Judged], against: str, what: str) -> str:
    """In how many base methods stage 2 was better, worse or neither."""
    said = []
    for shot in ("all", "few"):
        verdicts = [
            known[(ours.row.hash, theirs.row.hash, shot)].verdict
            for ours, theirs in found.pairs
            if ours.method != TWO_STAGE
            and theirs.stage2 == against
            and (ours.row.hash, theirs.row.hash, shot) in known
        ]
        counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        said.append(f"on {shot}: {told or 'not compared'}")
    return f"stage 2 on top of a base method, against {what}: {'; '.join(said)}."


def _p(value: float) -> str:
    return "<0.001" if value < 0.0005 else written(value, 3)


def _orders(seen: Observed) -> str:
    lines = [
        (one.method, one.shot, written(one.spearman, 2), written(one.out_of_order, 2), written(one.error))
        for one in seen.orders
    ]
    heads = ("method", "shot", "Spearman", "out of order", "train MAE")
    return table(heads, lines, left={0, 1})


def _observed(seen: Observed) -> list[str]:
    lines = []
    plain = {one.shot: one for one in seen.orders if one.method == "vanilla"}
    if plain:
        said = ", ".join(
            f"{shot} {written(one.spearman, 2)} ({written(one.out_of_order, 2)})"
            for shot, one in plain.items()
        )
        lines.append(
            f"the plain model's norms, Spearman with the label (share of bins out of order): {said}."
        )
    for one in seen.together:
        if math.isnan(one.rho):
            lines.append(f"{one.shot}: too few bins or runs to say whether disorder goes with the error.")
        else:
            lines.append(
                f"{one.shot}: over {one.runs} runs, the share out of order and the training error have "
                f"Spearman {written(one.rho, 2)} (p {_p(one.p_value)}, as if runs were independent)."
            )
    return lines
