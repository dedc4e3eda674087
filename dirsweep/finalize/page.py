"""The verdict as a page for people, the conclusion last, where a terminal ends.

Lines fit 100 columns with names and numbers of usual length.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dirsweep.finalize.judge import Judged, ShotError
from dirsweep.finalize.opening import Opening
from dirsweep.finalize.plan import Comparison, Plan, Row
from dirsweep.finalize.text import between, bullets, counted, listed, places, shown, table, wrapped
from dirsweep.intervals import MIN_SEEDS
from dirsweep.report.numbers import SHOTS, digits, duration, headed, written


@dataclass(frozen=True)
class Facts:
    """What a verdict rests on, beside its numbers.

    tried: trials that competed for the first place, by the metric `objective`.
    test: rows of test, `zero` of them in bins without a training sample.
    seconds: trainer-seconds of all runs.
    notes: what else a reader must know, a sentence each.
    """

    sweep: str
    question: str
    target: str
    tried: int
    objective: str
    seeds: Sequence[int]
    test: int
    zero: int
    seconds: float
    notes: Sequence[str]


def page(
    plan: Plan, opening: Opening, facts: Facts, errors: Sequence[ShotError], judged: Sequence[Judged]
) -> str:
    """The whole verdict, as Markdown."""
    known = {one.comparison.identity: one for one in judged}
    first, second = map(headed, plan.metrics)
    sizes = {shot: [one.first.estimate for one in errors if one.shot == shot] for shot in SHOTS}
    finest = {shot: digits(values) + 1 for shot, values in sizes.items()}  # 1/10,000 of the error
    parts = [
        f"# Verdict on {facts.sweep}",
        wrapped(facts.question.strip()),
        bullets(_setting(plan, opening, facts)),
        "## Test errors",
        _errors(errors, plan.metrics, len(facts.seeds)),
        wrapped(f"{first} and {second}: means over seeds; spread: their standard deviation over seeds."),
    ]
    for row in plan.finalists:
        pairs = [Comparison(row, control, shot) for control in plan.controls for shot in SHOTS]
        found = [(pair, known[pair.identity]) for pair in pairs if pair.identity in known]
        whose = "" if row == plan.finalists[0] else f" of {plan.finalists[0].label}"
        parts += [
            f"## {_capital(row.label)} against the controls{whose}",
            _differences(found, "against", finest),
        ]
    if plan.ablation:
        base, *others = plan.ablation
        pairs = [Comparison(row, base, shot) for row in others for shot in SHOTS]
        found = [(pair, known[pair.identity]) for pair in pairs if pair.identity in known]
        parts += ["## Ablation: each part of the winner against base", _differences(found, "with", finest)]
        distinct = {row.hash: row for row in plan.ablation}.values()
        parts.append(wrapped("; ".join(f"{row.name}: {row.meaning}" for row in distinct) + "."))
    parts += [
        wrapped(
            f"Differences of test {first}, paired by seed and by sample: below 0 is better. p is adjusted "
            "for the number of comparisons (Holm), so a difference whose own interval excludes 0 may still "
            "not be distinguishable. * is the primary comparison, which stands alone and is not adjusted."
        ),
        "## In words",
        bullets(_in_words(plan, known)),
    ]
    return "\n\n".join(parts) + "\n"


def _setting(plan: Plan, opening: Opening, facts: Facts) -> list[str]:
    """What a reader must know before the numbers."""
    count, before = len(facts.seeds), opening.number - 1 + opening.elsewhere
    seeds = " to ".join(str(seed) for seed in dict.fromkeys((facts.seeds[0], facts.seeds[-1])))
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(opening.time))
    lines = [
        f"{plan.finalists[0].label} is the best of {counted(facts.tried, 'trial')} by {facts.objective}; "
        "that figure is optimistic for having been chosen, and everything below is test.",
        f"every configuration was trained with {counted(count, 'fresh seed')} ({seeds}), "
        f"{duration(facts.seconds)} of training in all.",
        f"opening {opening.number} of test by this sweep, at {when} UTC, in the ledger before a row was "
        f"read; hash {opening.hash[:12]}.",
        f"errors of {facts.target}, in its unit, over {counted(facts.test, 'test row')}.",
    ]
    if before:
        others = f" ({opening.elsewhere:,} by other sweeps in this folder)" if opening.elsewhere else ""
        lines.append(
            f"TEST WAS OPENED {counted(before, 'time').upper()} BEFORE{others}: whatever was chosen with "
            "those results in mind is not judged here by rows that nobody has seen."
        )
    if facts.zero:
        lines.append(f"{counted(facts.zero, 'test row')} of bins without a training sample count as few.")
    if count < MIN_SEEDS:
        lines.append(
            f"{counted(count, 'seed')} of the {MIN_SEEDS} that it takes: no interval over seeds is given. "
            "Those below are over samples, for these trained models alone; nothing can be called better or "
            "worse."
        )
    return [*lines, *plan.left_out, *facts.notes]


def _errors(errors: Sequence[ShotError], metrics: Sequence[str], seeds: int) -> str:
    """A row for each configuration in each shot; one that lacks some of the seeds says how many it has."""
    rows: list[Sequence[str]] = []
    for shot in dict.fromkeys(one.shot for one in errors):
        inside = [one for one in errors if one.shot == shot]
        decimals, fine = places([one.first for one in inside]), places([one.second for one in inside])
        for number, one in enumerate(inside):
            main, other = one.first, one.second
            title = "" if number else f"{shot} ({main.samples:,})"
            numbers = (written(main.estimate, decimals), written(main.spread, decimals))
            fines = (between(main, decimals), written(other.estimate, fine), written(other.spread, fine))
            named = one.row.label if main.seeds == seeds else f"{one.row.label} ({main.seeds} seeds)"
            rows.append((title, named, *numbers, *fines))
    first, second = map(headed, metrics)
    heads = ("shot (samples)", "configuration", first, "spread", "95% interval", second, "spread")
    return table(heads, rows, left={0, 1})


def _differences(found: Sequence[tuple[Comparison, Judged]], head: str, finest: Mapping[str, int]) -> str:
    """A row for each comparison; the pair says how its rows are called here.

    finest: most decimals of a shot's differences.
    """
    rows: list[Sequence[str]] = []
    before = ""
    for pair, one in found:
        name = pair.theirs.label if head == "against" else pair.ours.label
        decimals = min(places([one.interval]), finest[pair.shot])
        rows.append(
            (
                "" if name == before else name,
                f"{pair.shot} ({one.interval.samples:,}){' *' if one.primary else ''}",
                shown(one.interval.estimate, decimals),
                between(one.interval, decimals),
                written(one.p_value, 3),
                one.said,
            )
        )
        before = name
    heads = (head, "shot (samples)", "difference", "95% interval", "p", "verdict")
    return table(heads, rows, left={0, 1, 5})


def _in_words(plan: Plan, known: dict[tuple[str, str, str], Judged]) -> list[str]:
    """One sentence for each finalist against each control, and the primary comparison last."""
    lines = []
    for row in plan.finalists:
        for control in plan.controls:
            ones = [known.get(Comparison(row, control, shot).identity) for shot in SHOTS]
            whose = "" if row == plan.finalists[0] else f"of {plan.finalists[0].label}: "
            lines.append(_sentence(row, control, [one for one in ones if one is not None], whose))
    return [*(line for line in lines if line), _primary(plan, known)]


def _sentence(row: Row, control: Row, ones: Sequence[Judged], whose: str) -> str:
    groups: dict[str, list[str]] = {}
    for one in ones:
        groups.setdefault(one.verdict, []).append(one.comparison.shot)
    said = [f"{word} on {listed(groups[word])}" for word in ("better", "worse") if word in groups]
    rest = groups.get("not distinguishable", [])
    if len(rest) == len(ones):
        said = ["not distinguishable on any shot"]
    elif rest:
        said.append(f"not distinguishable on {listed(rest)}")
    return (
        f"{row.label} against {control.label} ({whose}{control.meaning}): {'; '.join(said)}." if ones else ""
    )


def _primary(plan: Plan, known: dict[tuple[str, str, str], Judged]) -> str:
    one = known.get(plan.primary.identity)
    ours, theirs, shot = plan.primary.ours.label, plan.primary.theirs.label, plan.primary.shot
    said = f"THE PRIMARY COMPARISON, named before test was opened: {ours} against {theirs} on {shot}: "
    if one is None:
        return f"{said}test has no result for it."
    interval, decimals = one.interval, places([one.interval])
    return (
        f"{said}{one.verdict.upper()}. Difference {shown(interval.estimate, decimals)} (95% interval "
        f"{between(interval, decimals)}, p {written(one.p_value, 3)}), over "
        f"{counted(interval.seeds, 'seed')} and {counted(interval.samples, 'sample')}; {interval.method}."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
