"""Several sweeps on one page: a section for each kind of data, of the same parts as the page of one sweep."""

from collections.abc import Sequence
from typing import Any

from dirsweep.ledger import Ledger, TrialRecord
from dirsweep.report.compare import (
    Comparable,
    Entry,
    apart,
    left_out,
    test_note,
    tested,
    val_note,
    verdict_lines,
)
from dirsweep.report.html.differences import differences
from dirsweep.report.html.figure import Figures, configuration, drawn, figure, focused, outside, text
from dirsweep.report.html.forest import differences_figure, val_lines
from dirsweep.report.html.front import edge_of, has, is_beyond, means_note
from dirsweep.report.html.markup import Html, joined, tag
from dirsweep.report.html.page import Section, document
from dirsweep.report.html.provenance import provenance
from dirsweep.report.html.table import Cell, Column, Row, number, plain_table, table
from dirsweep.report.numbers import SHOTS, digits, headed, unit, written
from dirsweep.report.words import percent

HEIGHT = 460
SWEEPS = (
    ("#0072B2", "circle"),
    ("#D55E00", "square"),
    ("#009E73", "diamond"),
    ("#CC79A7", "triangle-up"),
    ("#E69F00", "pentagon"),
    ("#56B4E9", "hexagram"),
)
"""Colours and marks of the sweeps; they go round."""


def compare_page(groups: Sequence[Comparable]) -> str:
    """The comparison as one HTML file that needs no network."""
    figures: Figures = {}
    entries = [entry for group in groups for entry in group.entries]
    head = tag(
        "header",
        tag("p", "dirsweep compare", class_="kicker"),
        tag("h1", f"{len(entries)} sweep{'' if len(entries) == 1 else 's'} beside one another"),
        *(tag("p", tag("strong", f"{one.name}: "), one.report.spec.question.strip()) for one in entries),
        tag("p", said, class_="banner", role="note") if (said := apart(groups)) else None,
    )
    sections: list[Section] = [
        (f"data-{place}", group.title, _group(group, place, figures)) for place, group in enumerate(groups, 1)
    ]
    sections += [("cost", "Cost", _cost(entries)), ("provenance", "Provenance", _provenance(entries))]
    return document("dirsweep compare", head, sections, figures)


def _group(group: Comparable, place: int, figures: Figures) -> Html:
    parts: list[Html | None] = [
        *map(_verdict, group.entries),
        _on_val(group, place),
        _differences(group, place, figures),
        _front(group, place, figures),
    ]
    rows = tested(group)
    if rows:
        parts += [_on_test(group, place), tag("p", test_note(group), class_="note")]
    elif group.unlike:
        parts.append(tag("p", left_out(group), class_="note"))
    return joined(*parts)


def _verdict(entry: Entry) -> Html:
    first, *others = verdict_lines(entry)
    return joined(
        tag("p", tag("strong", f"{entry.name}: "), first),
        tag("ul", *(tag("li", line[:1].upper() + line[1:]) for line in others), class_="note")
        if others
        else None,
    )


def _on_val(group: Comparable, place: int) -> Html:
    names = [f"val/{shot}/{metric}" for metric in group.metrics for shot in SHOTS]
    every_one = [one for entry in group.entries for one in entry.shown]
    decimals = {name: digits(one.metrics.get(name) for one in every_one) for name in names}
    columns = [
        Column("sweep", numeric=False),
        Column("trial", numeric=False),
        Column("method", numeric=False),
        *(Column(name.split("/")[1], group=headed(name.rpartition("/")[2])) for name in names),
        Column("trials of the sweep"),
        Column("trainer seconds of the sweep"),
    ]
    rows = []
    for entry in group.entries:
        count, spent = len(entry.report.asked), entry.report.spent.trainer_seconds
        for one in entry.shown:
            role = entry.role(one)
            is_best = role != "control"
            cells = [
                Cell(entry.name, entry.name),
                Cell(f"{one.trial} ({role})", one.trial),
                Cell(method := entry.method_of(one), method),
                *(number(one.metrics.get(name), decimals[name]) for name in names),
                Cell(f"{count:,}", count),
                Cell(written(spent, 1), spent),
            ]
            rows.append(Row(cells, "best" if is_best else "control", pinned=is_best))
    caption = f"Winners and controls on val: {group.title}"
    return joined(
        table(f"table-val-{place}", caption, columns, rows), tag("p", val_note(group), class_="note")
    )


def _differences(group: Comparable, place: int, figures: Figures) -> Html | None:
    """Each winner against its own controls, on val."""
    lines = []
    for entry in group.entries:
        best = entry.report.best
        if best is not None:
            found = [one for one in differences(entry.report, best) if one.control.of == best.trial]
            lines += [(f"{entry.name}: {line[0]}", *line[1:]) for line in val_lines(found)]
    if not lines:
        return None
    identity = f"plot-differences-{place}"
    figures[identity] = differences_figure(lines, headed(group.metrics[0]))
    said = "; ".join(f"{name} {shot} {percent(share)}" for name, shot, share, *_ in lines)
    summary = f"Each winner against its own controls, in % of the control's error on val: {said}."
    caption = (
        "Each winner against its own controls, in % of the control's error on val. Bars are 95% intervals "
        "over val samples, for these trained models, not over new seeds. The winners were chosen on this "
        "same val, which flatters them, and the intervals are not adjusted for how many they are."
    )
    return drawn(identity, summary, caption=caption, height=figures[identity]["layout"]["height"])


def _front(group: Comparable, place: int, figures: Figures) -> Html | None:
    """The ranked trials of all sweeps, with a front for each."""
    metric = group.metrics[0]
    first, second = f"val/all/{metric}", f"val/few/{metric}"
    traces: list[dict[str, Any]] = []
    everything, kept = list[TrialRecord](), list[TrialRecord]()
    said = []
    for order, entry in enumerate(group.entries):
        colour, symbol = SWEEPS[order % len(SWEEPS)]
        trials = [one for one in entry.report.ranked if has(one, first, second)]
        if not trials:
            continue
        edge = edge_of(entry.report, trials, first, second)
        everything += trials
        kept += edge
        said.append(f"{entry.name}: {len(edge)} of {len(trials)} trials on its front")
        shared = {"type": "scatter", "legendgroup": entry.name}
        traces.append(
            {
                **shared,
                "mode": "markers",
                "name": text(entry.name),
                "x": [one.metrics[first] for one in trials],
                "y": [one.metrics[second] for one in trials],
                "marker": {"color": colour, "symbol": symbol, "size": 8, "opacity": 0.75},
                "text": [_hover(entry, one, first, second) for one in trials],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
        traces.append(
            {
                **shared,
                "mode": "lines",
                "showlegend": False,
                "x": [one.metrics[first] for one in edge],
                "y": [one.metrics[second] for one in edge],
                "line": {"color": colour, "width": 1.5, "shape": "hv"},
                "hoverinfo": "skip",
            }
        )
    if not traces:
        return None
    identity = f"plot-pareto-{place}"
    scales = [
        focused(
            f"{name}, {unit(name, group.label_unit)}",
            [one.metrics[name] for one in everything],
            [one.metrics[name] for one in kept],
        )
        for name in (first, second)
    ]
    figures[identity] = figure(traces, HEIGHT, xaxis=scales[0], yaxis=scales[1], hovermode="closest")
    hidden = sum(is_beyond(scales, one, (first, second)) for one in everything)
    summary = (
        f"{second} against {first} of every ranked trial, on val, better when smaller. {'; '.join(said)}."
        f"{next(filter(None, (means_note(entry.report) for entry in group.entries)), '')}{outside(hidden)}"
    )
    return drawn(identity, summary, height=HEIGHT)


def _hover(entry: Entry, trial: TrialRecord, first: str, second: str) -> str:
    figures = f"{first} {written(trial.metrics[first])}<br>{second} {written(trial.metrics[second])}"
    return (
        f"<b>{text(entry.name)}, trial {text(trial.trial)}</b><br>{figures}<br>{configuration(trial.params)}"
    )


def _on_test(group: Comparable, place: int) -> Html:
    columns = [
        Column("configuration", numeric=False),
        Column("source", numeric=False, wide=True),
        *(Column(shot, group=headed(metric)) for metric in group.metrics for shot in SHOTS),
        Column("adds up", numeric=False),
    ]
    rows = []
    for one in tested(group):
        keys = [(metric, shot) for metric in group.metrics for shot in SHOTS]
        values = [one.values.get(key) for key in keys]
        cells = [
            Cell(one.name, one.name),
            Cell(one.source, one.source),
            *(
                Cell(one.written.get(key, "-"), value if value is not None and value == value else None)
                for key, value in zip(keys, values, strict=True)
            ),
            Cell(one.adds_up, one.adds_up or None),
        ]
        is_ours = one.source.startswith("ours")
        rows.append(Row(cells, "control" if is_ours else "", pinned=is_ours))
    return table(f"table-test-{place}", f"Figures on test: {group.title}", columns, rows)


def _cost(entries: Sequence[Entry]) -> Html:
    rows = []
    for one in entries:
        spent = one.report.spent
        rows.append(
            (
                one.name,
                f"{one.report.states['COMPLETE']:,} of {len(one.report.asked):,}",
                written(spent.trainer_seconds, 1),
                written(spent.reused_seconds or None, 1),
                written(one.verdict.seconds if one.verdict else None, 1),
            )
        )
    heads = ("sweep", "complete trials", "trainer seconds", "saved by sharing stage 1s", "of the verdict")
    return plain_table("Trainer-seconds of each sweep", heads, rows)


def _provenance(entries: Sequence[Entry]) -> Html:
    return joined(
        *(
            tag(
                "details",
                tag("summary", one.name),
                provenance(one.report, Ledger.open(one.report.folder).records),
            )
            for one in entries
        )
    )
