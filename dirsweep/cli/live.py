"""Show a running sweep: a picture that is redrawn on a terminal, else a line per finished trial."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from dirsweep.cli.shared import console

if TYPE_CHECKING:
    from dirsweep.sweep import Progress
    from dirsweep.sweep.progress import OnChange


@contextmanager
def watching() -> "Iterator[OnChange]":
    """What a sweep hands its changes to, for as long as it runs."""
    screen = console()
    if not screen.is_terminal:
        yield _lines()
        return
    from rich.live import Live

    from dirsweep import report

    message = ""

    def on_change(progress: "Progress") -> None:
        nonlocal message
        message = progress.message or message
        live.update(report.draw(replace(progress, message=message)))

    with Live(console=screen, refresh_per_second=4) as live:
        yield on_change


def _lines() -> "OnChange":
    """Print the first change, each after which a trial or control has ended, and what went wrong."""
    shown, news = -1, 0

    def on_change(progress: "Progress") -> None:
        nonlocal shown, news
        from dirsweep import report

        if progress.news > news:
            news = progress.news
            typer.echo(report.message_line(progress))
        ended = progress.done + progress.failed + progress.pruned + progress.controls
        if ended > shown:
            shown = ended
            typer.echo(report.line(progress))

    return on_change
