"""Commands on sweeps: run, resume, watch, stop."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dirsweep.cli.places import check_writable, reached
from dirsweep.cli.shared import (
    SWEEPS,
    Cpus,
    Gpus,
    Storage,
    Sweep,
    Workers,
    checked_spec,
    given_resources,
    mlflow_store,
    next_free,
    publish,
    shorter,
    show,
    sweep_folder,
)
from dirsweep.storage import Folder, refusal

if TYPE_CHECKING:
    from dirsweep.search.model import SweepSpec
    from dirsweep.sweep import Outcome

app = typer.Typer()

Uri = Annotated[
    str | None,
    typer.Option(
        metavar="URI", parser=mlflow_store, help="MLflow server  [default: sqlite in the storage folder]"
    ),
]
Untracked = Annotated[bool, typer.Option("--no-tracking", help="Record nothing in MLflow.")]


SystemMetrics = Annotated[
    bool,
    typer.Option(
        "--system-metrics",
        help="Record CPU, memory and GPUs of this machine, and of no other node, on the sweep's MLflow run.",
    ),
]

ReuseActors = Annotated[
    bool | None,
    typer.Option(
        "--reuse-actors/--no-reuse-actors",
        help="Let a worker process run one trial after another  [default: on CPUs, and not on GPUs]",
    ),
]


@app.command()
def run(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A search space (YAML).")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Sweep's name  [default: SPEC-N]")] = None,
    storage: Storage = SWEEPS,
    or_resume: Annotated[
        bool, typer.Option("--or-resume", help="Go on with the sweep of that name if it is there already.")
    ] = False,
    trials: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Instead of the space's budget.")
    ] = None,
    tracking_uri: Uri = None,
    no_tracking: Untracked = False,
    system_metrics: SystemMetrics = False,
    workers: Workers = None,
    cpus_per_trial: Cpus = 1,
    gpus_per_trial: Gpus = 0.0,
    reuse_actors: ReuseActors = None,
) -> None:
    """Run a sweep and print its leaderboard. Ctrl-C leaves one that `dirsweep resume` finishes.

    Example: dirsweep run search_spaces/strength.yaml --trials 12
    """
    if or_resume and name is None:
        raise ValueError("--or-resume needs --name: which sweep to go on with")
    check_writable(storage)
    chosen = next_free(storage, spec.stem) if name is None else name
    if chosen in ("", "..") or Path(chosen).name != chosen or not chosen.isprintable():
        raise ValueError(f"--name {chosen!r}: a sweep's name is the name of one folder, without a slash")
    _refuse_both(tracking_uri, system_metrics, no_tracking)
    folder = storage / chosen
    typer.echo(f"sweep {folder}: checking {spec}, then starting Ray (Ctrl-C stops; nothing is lost)")
    space = checked_spec(spec)
    if trials is not None:
        space = with_trials(space, trials)

    from dirsweep import sweep
    from dirsweep.cli.live import watching

    if or_resume and sweep.is_there(folder):
        more = sweep.further_trials(space, folder)
        resume(
            str(folder),
            trials=f"+{more}" if more else None,
            tracking_uri=tracking_uri,
            no_tracking=no_tracking,
            system_metrics=system_metrics,
            workers=workers,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            reuse_actors=reuse_actors,
        )
        return
    with _interruptible(folder), watching() as on_change:
        outcome = sweep.run(
            space,
            folder,
            resources=given_resources(workers, cpus_per_trial, gpus_per_trial, reuse_actors),
            tracking_uri=tracking_uri,
            tracking=not no_tracking,
            system_metrics=system_metrics,
            on_change=on_change,
        )
    _conclude(outcome, tracking_uri, not no_tracking)


@app.command()
def resume(
    sweep: Sweep,
    trials: Annotated[str | None, typer.Option(metavar="+N", help="Trials beyond the budget so far.")] = None,
    storage: Storage = SWEEPS,
    tracking_uri: Uri = None,
    no_tracking: Untracked = False,
    system_metrics: SystemMetrics = False,
    workers: Workers = None,
    cpus_per_trial: Cpus = 1,
    gpus_per_trial: Gpus = 0.0,
    reuse_actors: ReuseActors = None,
) -> None:
    """Go on with a sweep, or add trials to it.

    Example: dirsweep resume sweeps/all-1 --trials +8
    """
    folder = sweep_folder(sweep, storage)
    extra = _extra(trials)
    _refuse_both(tracking_uri, system_metrics, no_tracking)
    typer.echo(f"sweep {folder}: reading its ledger, then starting Ray")
    _tell_of_damage(folder)

    from dirsweep import sweep as sweeps
    from dirsweep.cli.live import watching

    with _interruptible(folder), watching() as on_change:
        outcome = sweeps.resume(
            folder,
            extra_trials=extra,
            resources=given_resources(workers, cpus_per_trial, gpus_per_trial, reuse_actors),
            tracking_uri=tracking_uri,
            tracking=not no_tracking,
            system_metrics=system_metrics,
            on_change=on_change,
        )
    _conclude(outcome, tracking_uri, not no_tracking)


@contextmanager
def _interruptible(folder: Folder) -> Iterator[None]:
    """Say what is left by a Ctrl-C while Ray starts or ends, by a full disk, by a lost object store."""
    try:
        yield
    except KeyboardInterrupt:
        if folder.has_records("ledger.jsonl"):
            typer.echo(f"stopped; `dirsweep resume {folder}` goes on where it was", err=True)
        raise typer.Exit(130) from None
    except refusal.Refused:
        raise
    except OSError as error:
        if folder.path is None:
            raise OSError(
                f"{error}; once the store answers, `dirsweep resume {folder}` goes on where it was"
            ) from None
        remedy = refusal.remedy(error)
        if not remedy or not folder.has_records("ledger.jsonl"):
            raise
        said = f"{refusal.told(error)}; {remedy}, then `dirsweep resume {folder}`: nothing is lost"
        raise refusal.Refused(said) from None


def _extra(trials: str | None) -> int:
    """N of "+N". ValueError if it is none."""
    if trials is None:
        return 0
    number = trials.removeprefix("+")
    if not number.isdecimal() or int(number) == 0:
        raise ValueError(f"--trials {trials!r}: write +N for N more trials than before")
    return int(number)


def with_trials(spec: "SweepSpec", trials: int) -> "SweepSpec":
    tree = spec.model_dump(mode="json", by_alias=True)
    return type(spec).model_validate({**tree, "budget": {**tree["budget"], "trials": trials}})


def _refuse_both(uri: str | None, system_metrics: bool, off: bool) -> None:
    idle = "--tracking-uri" if uri is not None else "--system-metrics" if system_metrics else ""
    if off and idle:
        raise ValueError(f"{idle} would do nothing beside --no-tracking; leave one out")


def _tell_of_damage(folder: Folder) -> None:
    from dirsweep import report

    for said in report.damage(report.load(folder)):
        typer.echo(said, err=True)


def _conclude(outcome: "Outcome", uri: str | None, tracked: bool) -> None:
    """Print the leaderboard, then publish; the status says whether it is finished and has a winner."""
    from dirsweep import report

    typer.echo()
    show(report.leaderboard(report.load(outcome.folder)))
    typer.echo(f"\n{outcome.message}")
    if shutil.which("dirsweep") is None:  # after `make sweep`, which activates nothing
        typer.echo(f"(`dirsweep` is {shorter(Path(sys.executable).parent / 'dirsweep')})")
    if tracked:
        publish(outcome.folder, uri, hurried=outcome.why == "stopped")
    if outcome.why == "stopped":
        raise typer.Exit(130)
    if outcome.best is None:
        raise typer.Exit(1)


@app.command()
def status(sweep: Sweep, storage: Storage = SWEEPS) -> None:
    """Say how far a sweep is, also from another terminal.

    Example: dirsweep status all-1
    """
    from dirsweep import report
    from dirsweep import sweep as sweeps

    found = sweeps.status(sweep_folder(sweep, storage))
    driver = f" by {found.driver}" if found.driver else ""
    typer.echo(f"{found.folder}: {found.state}{driver}")
    show(report.draw(found.progress))


@app.command("list")
def list_sweeps(storage: Storage = SWEEPS) -> None:
    """List the sweeps in the storage folder.

    Example: dirsweep list
    """
    from dirsweep import report
    from dirsweep import sweep as sweeps

    with reached(storage, "--storage "):
        found = sweeps.list_sweeps(storage)
    if not found:
        typer.echo(f"no sweep in {storage}/; begin one with: dirsweep run search_spaces/all.yaml")
    for one in found:
        said = one.progress.message if one.state == "damaged" else report.counts(one.progress)
        typer.echo(f"{one.folder!s:<24} {one.state:<12} {said}")


@app.command()
def stop(sweep: Sweep, storage: Storage = SWEEPS) -> None:
    """Stop a sweep that runs in another terminal.

    Its trials save their state; `dirsweep resume` goes on.

    Example: dirsweep stop all-1
    """
    from dirsweep import sweep as sweeps

    typer.echo(sweeps.stop(sweep_folder(sweep, storage)))
