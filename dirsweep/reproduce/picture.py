"""The method's central picture: the mean feature norm of every training bin over its label."""

import io
from collections.abc import Mapping

import pandas as pd

from dirsweep.storage import Folder

COLOURS = {"many": "#0072B2", "median": "#E69F00", "few": "#D55E00"}
"""Okabe and Ito's, which the colour-blind can tell apart."""
MARKS = {"many": "o", "median": "s", "few": "^"}


def norms_picture(target: str, runs: Mapping[str, Folder]) -> bytes:
    """An SVG with a panel for each run, by title; the line is the majority fit where there is a stage 2.

    Args:
        target: what the label is, for the axis.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # takes a second
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * max(1, len(runs)), 3.6), layout="constrained")
    FigureCanvasSVG(figure)
    for number, (title, folder) in enumerate(runs.items(), 1):
        bins = pd.read_csv(io.BytesIO(folder.read("bins.csv")))
        axes = figure.add_subplot(1, len(runs), number)
        for shot, colour in COLOURS.items():
            own = bins[(bins["shot"] == shot) & (bins["train_count"] > 0)]
            size = 8 + 50 * (own["train_count"] / bins["train_count"].max()) ** 0.5
            axes.scatter(
                own["centre"],
                own["norm"],
                s=size,
                color=colour,
                marker=MARKS[shot],
                label=f"{shot}-shot",
                linewidths=0,
            )
        if "norm_line" in bins and bins["norm_line"].notna().any():
            axes.plot(bins["centre"], bins["norm_line"], color="#555555", linewidth=1, label="majority line")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(f"{target} (marks: size by training count)", fontsize=8)
        axes.set_ylabel("mean feature norm of the bin", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(color="#dddddd", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.legend(fontsize=7, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
