"""The result of one trial: errors per shot region after each stage, and the norms' order."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dirsweep.config import USUAL_METRICS
from dirsweep.report.numbers import SHOTS, digits, headed, written


def trial_table(metrics: Mapping[str, float], shown: Sequence[str] = USUAL_METRICS) -> RenderableType:
    """The `shown` validation metrics of every shot with its sample count, and a line on the norms."""
    stages = [("", "")] if "fit/r2" not in metrics else [("stage1/", " after stage 1"), ("", "")]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("val")
    table.add_column("samples", justify="right")
    columns = [(f"{stage}val", metric, said) for metric in shown for stage, said in stages]
    for _, metric, said in columns:
        table.add_column(f"{headed(metric)}{said}", justify="right")
    shots = [*SHOTS, *(["zero"] if metrics.get("val/zero/count") else [])]
    decimals = digits(metrics.get(f"val/{shot}/{metric}") for shot in shots for metric in shown)
    for shot in shots:
        values = [metrics.get(f"{split}/{shot}/{metric}") for split, metric, _ in columns]
        count = written(metrics.get(f"val/{shot}/count"), 0)
        table.add_row(shot, count, *(written(value, decimals) for value in values))
    return Group(table, Text(ordinality_line(metrics)))


def ordinality_line(metrics: Mapping[str, float]) -> str:
    """Whether the training bins' feature norms rise with the label, and how well the line fits."""
    said = "feature norms against labels, by training bin: " + ", ".join(
        f"{shot} Spearman {written(metrics.get(f'train/{shot}/spearman'), 2)}" for shot in ("all", "few")
    )
    disorder = metrics.get("train/all/out_of_order")
    if disorder is not None:
        said += f", {written(100 * disorder, 0)}% out of order"
    if "fit/r2" in metrics:
        bins = written(metrics.get("fit/majority_bins"), 0)
        said += f"; majority line R2 {written(metrics['fit/r2'], 2)} over {bins} bins"
    return said
