"""The page of a reproduction: our table, beside the published one, what it says, what the norms look like."""

from collections.abc import Mapping, Sequence

from markdown_it import MarkdownIt

from dirsweep.finalize.judge import Judged, ShotError
from dirsweep.finalize.text import bullets, wrapped
from dirsweep.finalize.training import Run
from dirsweep.published import SHARE, Published
from dirsweep.report.numbers import headed
from dirsweep.reproduce.facts import Facts
from dirsweep.reproduce.observation import Observed
from dirsweep.reproduce.recipe import FAMILIES
from dirsweep.reproduce.tables import beside, orders, ours, pairs
from dirsweep.reproduce.tuning import Table
from dirsweep.reproduce.words import in_words, seen_words, setting

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #8886; white-space: nowrap; }
svg { max-width: 100%; height: auto; background: white; }
"""


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
        bullets(setting(facts, found)),
        f"## {headed(first)}, ours",
        ours(facts, found, runs, errors, first),
        wrapped(
            "Means over seeds, in brackets their standard deviation. trials and tuning (trainer-time): of "
            "the searches on val that chose the row, with those that it builds on; training: trainer-seconds "
            "of one run, stage 1 included. Searches share stage 1s, so a search may cost less than its "
            "trials would."
        ),
        f"## {headed(second)}, ours",
        ours(facts, found, runs, errors, second),
    ]
    for metric in (first, second) if rows else ():
        published = [row for row in rows if row.metric == metric]
        if published:
            family = FAMILIES[facts.recipe.family]
            parts += [
                f"## {headed(metric)}, ours beside the published ({family})",
                beside(facts, found, errors, metric, published),
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
        pairs(found, compared),
        wrapped(
            f"Differences of test {headed(first)}, paired by seed and sample; below 0: the first is better. "
            "p is adjusted for the number of comparisons (Holm), but for the primary one (*), named before "
            "test was opened."
        ),
        "## In words",
        bullets(in_words(found, errors, compared)),
        "## Are norms ordinal, and where?",
        "![norms](norms.svg)",
        orders(seen),
        bullets(seen_words(seen)),
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
