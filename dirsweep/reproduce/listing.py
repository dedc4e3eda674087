"""All published figures of a benchmark as a page, and whether the parts of each add up."""

from collections.abc import Sequence

from dirsweep.finalize.text import table, wrapped
from dirsweep.published import SHARE, TITLES, Published, adds_up, every
from dirsweep.report.numbers import SHOTS, headed


def published_page(name: str) -> str:
    """All published figures of a benchmark, as Markdown. ValueError if there is none of that name."""
    name = name.replace("-", "_")
    if name not in TITLES:
        raise ValueError(f"no published table of {name!r}; there are {', '.join(TITLES)}")
    rows = every(name)
    parts = [f"# Published figures of {TITLES[name]}"]
    for recipe in dict.fromkeys(row.recipe for row in rows):
        for metric in dict.fromkeys(row.metric for row in rows if row.recipe == recipe):
            chosen = [row for row in rows if (row.recipe, row.metric) == (recipe, metric)]
            parts += [f"## {headed(metric)}, recipe family {recipe}", _table(name, chosen)]
    parts.append(
        wrapped(
            "adds up: whether the error over all labels is that of the shots, weighted by their test "
            f"samples, within {SHARE:.0%}. evidence: primary, read in the authors' own code, log or README; "
            "secondary, in another paper's table or a note; recalled, not checked."
        )
    )
    return "\n\n".join(parts) + "\n"


def _table(name: str, rows: Sequence[Published]) -> str:
    lines = [
        (
            row.method,
            row.source,
            *(row.written[shot] for shot in SHOTS),
            adds_up(name, row),
            row.evidence,
        )
        for row in rows
    ]
    return table(("method", "source", *SHOTS, "adds up", "evidence"), lines, left={0, 1, 6, 7})
