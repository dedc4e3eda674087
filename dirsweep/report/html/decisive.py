"""How much each searched name decides each objective, as bars (PED-ANOVA, `search.importance`)."""

from typing import TYPE_CHECKING

from dirsweep.report.html.figure import Figures, axis, drawn, figure, text
from dirsweep.report.html.markup import Html, tag

if TYPE_CHECKING:
    from dirsweep.search.importance import Importance  # Optuna takes a while

PLOT = "plot-importance"
FILLS = (("#0072B2", ""), ("#E69F00", "/"), ("#009E73", "x"), ("#CC79A7", "."))
"""Colours and patterns of the objectives; they go round."""


def importance_section(found: "Importance", figures: Figures) -> Html:
    """The section's content; its figure goes into `figures`."""
    if not found.shares:
        return tag("p", f"Importance {found.reason}.")
    goals = list(found.shares)
    names = sorted(found.shares[goals[0]], key=lambda name: -found.shares[goals[0]][name])
    traces = []
    for place, goal in enumerate(goals):
        colour, pattern = FILLS[place % len(FILLS)]
        shares = found.shares[goal]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": text(goal),
                "y": [text(name) for name in names],
                "x": [100 * shares.get(name, 0.0) for name in names],
                "marker": {
                    "color": colour,
                    "pattern": {
                        "shape": pattern,
                        "fillmode": "overlay",
                        "fgcolor": "@paper",
                        "solidity": 0.3,
                    },
                },
                "hovertemplate": f"%{{y}}<br>{text(goal)}: %{{x:.1f}}%<extra></extra>",
            }
        )
    height = 110 + (14 + 16 * len(goals)) * len(names)
    figures[PLOT] = figure(
        traces,
        height,
        barmode="group",
        bargap=0.25,
        xaxis=axis("share, in %", ticksuffix="%", rangemode="tozero"),
        yaxis={"autorange": "reversed", "showgrid": False},
        legend={"traceorder": "normal", "orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )
    said = "; ".join(
        f"{goal}: " + ", ".join(f"{name} {share:.0%}" for name, share in list(shares.items())[:3])
        for goal, shares in found.shares.items()
    )
    summary = (
        f"What decided each objective, by PED-ANOVA over {found.trials:,} complete trials; the shares of an "
        f"objective sum to 100%. Most important: {said}."
    )
    return drawn(PLOT, summary, height=height)
