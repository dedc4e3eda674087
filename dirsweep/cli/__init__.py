"""The `dirsweep` command: read files, call one function, print the result.

Commands import what they need when they run, so that `dirsweep --help` loads neither PyTorch nor Ray nor
MLflow. Bad input ends with one message and status 2 here, in `main`, whichever module found it.
"""

import os
import sys
from typing import Annotated

import typer

from dirsweep import __version__
from dirsweep.cli import (
    datasets,
    export,
    finalize,
    inspect,
    jobs,
    pictures,
    plan,
    replay,
    reports,
    reproduce,
    store,
    submit,
    sweeps,
    tables,
    tracked,
    trials,
)
from dirsweep.storage import refusal
from dirsweep.trouble import OutOfMemory

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
for commands in (
    tables,
    trials,
    plan,
    sweeps,
    reports,
    submit,
    jobs,
    tracked,
    pictures,
    export,
    replay,
    finalize,
    reproduce,
    store,
    datasets,
    inspect,
):
    app.add_typer(commands.app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dirsweep {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hyperparameter sweeps for two-stage deep imbalanced regression.

    Example: dirsweep run search_spaces/all.yaml
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; bad input is one message on stderr and status 2, never a traceback."""
    os.environ["DIRSWEEP_STARTED_IN"] = os.getcwd()  # where an encoder of the user's own is looked for
    try:
        app(arguments)
    except ValueError as error:
        _end(str(error), 2)
    except (FloatingPointError, OutOfMemory, MemoryError) as error:
        _end(str(error), 1)
    except OSError as error:
        _end(_what_the_system_says(error), 1)


def _what_the_system_says(error: OSError) -> str:
    said, remedy = refusal.told(error), refusal.remedy(error)
    return f"{said}; {remedy}, then go on: what was finished is kept" if remedy else said


def _end(message: str, status: int) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(status)
