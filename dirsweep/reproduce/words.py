"""What a reproduction says in sentences: how it was made, what holds, what the norms look like."""

import math
from collections.abc import Mapping, Sequence

from dirsweep.finalize.judge import Judged, ShotError
from dirsweep.finalize.text import counted, listed
from dirsweep.intervals import MIN_SEEDS
from dirsweep.report.numbers import headed, written
from dirsweep.reproduce.facts import Facts
from dirsweep.reproduce.observation import Observed
from dirsweep.reproduce.recipe import TWO_STAGE
from dirsweep.reproduce.tables import p_written
from dirsweep.reproduce.tuning import SHOTS, Table


def setting(facts: Facts, found: Table) -> list[str]:
    """What a reader must know before the numbers."""
    scale = facts.recipe.scales[facts.scale]
    before = facts.opening.number - 1 + facts.opening.elsewhere
    note = found.rows[0].config.dataset.shot_note
    lines = [
        facts.recipe.about,
        f"SCALE={facts.scale}: {scale.about}",
        f"every method was tuned on val with {counted(scale.trials, 'trial')} over its own knobs and the "
        "shared ones, then its stage 2 with as many; two-stage is norm ordinality and stage 2 on the plain "
        f"model, searched together with {2 * scale.trials}. mu = 0 takes the knobs that were chosen with "
        "the norm term.",
        f"every row has the same {counted(len(facts.seeds), 'fresh seed')} (from {facts.seeds[0]} on); "
        "test was opened when all were trained, for all rows together "
        f"(hash {facts.opening.hash[:12]}).",
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


def in_words(found: Table, errors: Sequence[ShotError], compared: Sequence[Judged]) -> list[str]:
    """What the comparisons allow to say."""
    known = {one.comparison.identity: one for one in compared}
    lines = [
        _tally(found, errors, known, "", "its method by itself"),
        _tally(found, errors, known, "mu0", "the same fine-tune without the norm term"),
    ]
    for shot in SHOTS:
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


def _tally(
    found: Table,
    errors: Sequence[ShotError],
    known: Mapping[tuple[str, str, str], Judged],
    against: str,
    what: str,
) -> str:
    """In how many base methods stage 2 was better, worse or neither, and by how much of the error."""
    sizes = {(one.row.hash, one.shot): one.first.estimate for one in errors}
    said = []
    for shot in SHOTS:
        ones = [
            known[(ours.row.hash, theirs.row.hash, shot)]
            for ours, theirs in found.pairs
            if ours.method != TWO_STAGE
            and theirs.stage2 == against
            and (ours.row.hash, theirs.row.hash, shot) in known
        ]
        verdicts = [one.verdict for one in ones]
        counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        parts = [one.interval.estimate / sizes[one.comparison.theirs.hash, shot] for one in ones]
        span = f" ({min(parts):+.1%} to {max(parts):+.1%} of the error)" if parts else ""
        said.append(f"on {shot}: {told or 'not compared'}{span}")
    return f"stage 2 on top of a base method, against {what}: {'; '.join(said)}."


def seen_words(seen: Observed) -> list[str]:
    """What the order of norms was seen to be."""
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
                f"Spearman {written(one.rho, 2)} (p {p_written(one.p_value)}, as if runs were independent)."
            )
    return lines
