"""How far a running sweep is: a small picture for a terminal, one line for a log."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dirsweep.report.numbers import SHOTS, duration, headed, written

if TYPE_CHECKING:
    from dirsweep.sweep.progress import Progress  # it comes with Ray, which a report does without


def epoch_line(record: Mapping[str, Any], metric: str = "mae") -> str:
    """One line on an epoch of a trial: where it is, and the val error of each shot by `metric`."""
    place = f"epoch {record['epoch']:>{len(str(record['of']))}} of {record['of']}"
    found = _per_shot(record["metrics"], metric)
    return f"{place}  {record['stage']}  {record['seconds']:.1f} s  val {headed(metric)}: {found}"


def line(progress: "Progress") -> str:
    """One line on a sweep: trials so far, best error of each shot, time left."""
    metric = progress.metrics[0]
    best = f"; best {headed(metric)}: {_per_shot(progress.best, metric)}" if progress.best else ""
    return f"{duration(progress.seconds):>10}  {counts(progress)}{best}{_left(progress)}"


def message_line(progress: "Progress") -> str:
    """One line on what happened last."""
    return f"{duration(progress.seconds):>10}  {progress.message}"


def draw(progress: "Progress") -> RenderableType:
    """A bar, the counts, and the best errors of each shot so far."""
    bar = Table.grid()
    ended = progress.done + progress.failed + progress.pruned
    bar.add_row(ProgressBar(total=max(1, progress.total), completed=ended, width=60))
    lines: list[RenderableType] = [
        bar,
        Text(f"{duration(progress.seconds)}: {counts(progress)}{_left(progress)}"),
    ]
    if progress.best:
        best = Table.grid(padding=(0, 2, 0, 0))
        best.add_row("best so far", *SHOTS, style="dim")
        for metric in progress.metrics:
            found = (written(progress.best.get(f"val/{shot}/{metric}")) for shot in SHOTS)
            best.add_row(f"val {headed(metric)}", *found)
        lines.append(best)
    if progress.message:
        lines.append(Text(progress.message, style="dim"))
    return Group(*lines)


def counts(progress: "Progress") -> str:
    """How many trials are done, running, failed and pruned; controls are trials outside the budget."""
    controls = f"{progress.controls} control{'' if progress.controls == 1 else 's'}"
    return (
        f"{progress.done} of {progress.total} trials and {controls} done, "
        f"{progress.running} running, {progress.failed} failed, {progress.pruned} pruned"
    )


def _per_shot(metrics: Mapping[str, float], metric: str) -> str:
    return ", ".join(f"{shot} {written(metrics.get(f'val/{shot}/{metric}'))}" for shot in SHOTS)


def _left(progress: "Progress") -> str:
    return f"; about {duration(progress.left)} left" if progress.left and progress.left >= 1 else ""
