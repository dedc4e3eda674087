"""`page` is the diagram: read what lies beside the ledger, write each section, put one file together.

The page loads nothing from anywhere: its script, its style and Plotly's lie in it, and its policy lets no
other script run, whatever a sweep's texts hold.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from dirsweep.ledger import Ledger
from dirsweep.pictures.colours import COLOURS
from dirsweep.report import verdict as verdicts
from dirsweep.report.files import label_axis
from dirsweep.report.html.bins import tables
from dirsweep.report.html.board import leaderboard
from dirsweep.report.html.comparison import comparison
from dirsweep.report.html.cost import cost
from dirsweep.report.html.decisive import importance_section
from dirsweep.report.html.differences import differences, repeated
from dirsweep.report.html.ended import ended
from dirsweep.report.html.errors import errors
from dirsweep.report.html.figure import Figures
from dirsweep.report.html.front import front
from dirsweep.report.html.head import answers, banners, header
from dirsweep.report.html.history import history
from dirsweep.report.html.markup import Html, data_block, joined, tag
from dirsweep.report.html.norms import norms
from dirsweep.report.html.parallel import parallel
from dirsweep.report.html.provenance import provenance
from dirsweep.report.load import SweepReport
from dirsweep.sweep import status

Section = tuple[str, str, Html]
"""Its id, its title and its content."""


def page(report: SweepReport) -> str:
    """A sweep as one HTML file that needs no network.

    Raises:
        ValueError: a file of the sweep is damaged; the message names it.
    """
    from dirsweep.search.importance import importance  # Optuna takes a while

    records = Ledger.open(report.folder).records
    figures: Figures = {}
    best, label = report.best, label_axis(report)
    verdict, found = verdicts.read(report), importance(report.spec, report.trials)
    head = [header(report), banners(report, status(report.folder).state, records)]
    sections: list[Section] = []
    if best is not None:
        against = differences(report, best)
        bins = tables(report, best)
        head.append(answers(report, best, against, found, verdict))
        content = comparison(report, best, against, repeated(report), verdict, figures)
        sections.append(("differences", "Differences to the controls", content))
    sections += [
        ("leaderboard", "Leaderboard", leaderboard(report)),
        ("pareto", "Pareto front", front(report, figures)),
        ("parallel", "Parallel coordinates", parallel(report, figures)),
        ("importance", "Importance of the knobs", importance_section(found, figures)),
        ("history", "Optimisation history", history(report, figures)),
    ]
    if best is not None:
        sections += [
            ("norms", "Norms over labels", norms(bins, label, figures)),
            ("errors", "Errors per bin", errors(bins, label, report.spec.label_unit, figures)),
        ]
    sections += [
        ("ended", "Failed and pruned trials", ended(report)),
        ("cost", "Cost", cost(report, verdict)),
        ("provenance", "Provenance", provenance(report, records)),
    ]
    return document(f"{report.folder.absolute().name}: dirsweep report", joined(*head), sections, figures)


def document(title: str, head: Html, sections: Sequence[Section], figures: Figures) -> str:
    """The file around its sections."""
    from plotly.offline import get_plotlyjs  # takes a while

    own = files(__package__)
    scripts = (
        [get_plotlyjs(), own.joinpath("page.js").read_text(encoding="utf-8")]
        if figures
        else [own.joinpath("page.js").read_text(encoding="utf-8")]
    )
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    palette = "".join(f"--{shot}:{colour};" for shot, colour in COLOURS.items())
    style = f":root{{{palette}}}\n{own.joinpath('page.css').read_text(encoding='utf-8')}"
    contents = tag(
        "nav",
        tag("ul", *(tag("li", tag("a", name, href=f"#{place}")) for place, name, _ in sections)),
        aria_label="Sections",
    )
    body = [
        tag(
            "section",
            tag("h2", name, id=f"{place}-title"),
            content,
            id=place,
            aria_labelledby=f"{place}-title",
        )
        for place, name, content in sections
    ]
    drawn_by = " Figures by Plotly.js (MIT licence), which is in this file." if figures else ""
    footer = tag("footer", tag("p", f"Made by dirsweep.{drawn_by}"))
    return "<!DOCTYPE html>\n" + tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=policy),
            tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name_="color-scheme", content="light dark"),
            tag("title", title),
            Html(f"<style>\n{style}</style>"),
        ),
        tag(
            "body",
            tag("a", "Skip to the content", href="#content", class_="skip"),
            tag("main", head, contents, *body, id="content", tabindex="-1"),
            footer,
            data_block("figures", figures),
            *(Html(f"<script>{script}</script>") for script in scripts),
        ),
        lang="en",
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
