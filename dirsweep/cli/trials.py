"""Commands on one trial: train it, predict with it."""

import contextlib
import io
import os
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dirsweep.cli.shared import SWEEPS, checked_trial, here, next_free, show
from dirsweep.storage import Folder

if TYPE_CHECKING:
    from dirsweep.config import TrialConfig
    from dirsweep.group import Group
    from dirsweep.profile import Profile

app = typer.Typer()

TRIALS = Path("trials")


@app.command()
def train(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A trial's configuration (YAML).")],
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set a knob by its dotted name.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", parser=here, help="The trial's folder  [default: trials/CONFIG-N]"),
    ] = None,
    profiled: Annotated[
        bool, typer.Option("--profile", help="Say where the time goes, and trace a few steps.")
    ] = False,
) -> None:
    """Train one trial here and print its errors per shot.

    With --out DIR of a trial that was stopped, the trial goes on. One of several processes is started by
    torchrun: torchrun --nproc-per-node 2 -m dirsweep train best.yaml --set processes=2

    Example: dirsweep train sweeps/all-1/best.yaml --set stage2.norm_weight=0.5
    """
    folder = out or TRIALS / next_free(Folder(TRIALS), Path(config).stem)
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        _train(config, values or [], folder, profiled, None)
        return
    from dirsweep.group import Told, by_torchrun

    with by_torchrun() as group, nullcontext() if group.leads else _silence():
        try:
            _train(config, values or [], group.told(folder), profiled and group.leads, group)
        except (Told, FloatingPointError):  # what all of them know
            if group.leads:
                raise
            # the others end well: at the first that fails torchrun kills all, and the first is to say why


def _prepared(config: str, values: list[str], folder: Path) -> tuple["TrialConfig", int]:
    """The trial, and how many epochs of it are in its folder. ValueError for what is wrong with either."""
    wanted = dict(map(parsed, values))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder}: a file, not a folder; name another place")
    typer.echo(f"training {config} in {folder}")
    with _as_file(config) as file:
        trial = checked_trial(file, wanted)

    from dirsweep.checkpoint import read_records

    return trial, max((record["epoch"] for record in read_records(Folder(folder))), default=0)


def _train(config: str, values: list[str], folder: Path, profiled: bool, group: "Group | None") -> None:
    def prepare() -> tuple["TrialConfig", int]:
        return _prepared(config, values, folder)

    trial, known = prepare() if group is None else group.first(prepare)

    from dirsweep import pipeline, report
    from dirsweep.checkpoint import Superseded
    from dirsweep.profile import Profile

    def show_epoch(record: dict[str, Any]) -> None:
        typer.echo(report.epoch_line(record, trial.dataset.metrics[0]))

    if known:
        typer.echo(f"{known} epochs of it are there already")
    profile = Profile(trial.device) if profiled else None
    try:
        with interrupts() as interrupted:
            metrics = pipeline.run_trial(
                trial,
                Folder(folder),
                show_epoch,
                emitted=known,
                should_stop=interrupted,
                profile=profile,
                group=group or pipeline.ALONE,
            )
    except pipeline.Stopped:
        _show_profile(profile, folder)
        several = [] if group is None else ["torchrun", "--nproc-per-node", str(group.size), "-m"]
        again = shlex.join([*several, "dirsweep", "train", str(folder / "config.json"), "--out", str(folder)])
        if group is None or group.leads:
            typer.echo(f"stopped; go on with: {again}", err=True)
        raise typer.Exit(130) from None
    except Superseded as error:
        typer.echo(f"error: {folder}: {error}", err=True)
        raise typer.Exit(1) from None
    show(report.trial_table(metrics, trial.dataset.metrics))
    if trial.dataset.shot_note:
        typer.echo(trial.dataset.shot_note)
    _show_profile(profile, folder)
    typer.echo(f"\nmodel, predictions and bins: {folder}/")


def _show_profile(profile: "Profile | None", folder: Path) -> None:
    """Write the traces of a profiled trial, and print where its time went."""
    from dirsweep import report

    if profile is None:
        return
    spent = profile.finish(Folder(folder))
    if spent.seconds["forward"] == 0:
        typer.echo("\nnothing was trained, so there is nothing to profile; name another --out")
        return
    show(report.spending(spent))
    traces = ", ".join(f"{folder}/{name}" for name in spent.files) or "none, it ended before their steps"
    typer.echo(f"traces (open them in ui.perfetto.dev or chrome://tracing): {traces}")


def _silence() -> AbstractContextManager[Any]:
    """Print nothing: the first of several processes does."""
    return contextlib.redirect_stdout(io.StringIO())


def _as_file(config: str) -> AbstractContextManager[Path]:
    """The file on this machine; a copy of one in an object store, such as a sweep's best.yaml."""
    if "://" not in config:
        return nullcontext(Path(config))
    place, _, name = config.rpartition("/")
    return Folder(place).as_file(name)


def parsed(assignment: str) -> tuple[str, Any]:
    """NAME=VALUE with VALUE read as YAML. ValueError if it is none."""
    from dirsweep.config.plain import plain

    name, equals, text = assignment.partition("=")
    if not equals or not name:
        raise ValueError(f"--set wants NAME=VALUE, found {assignment!r}")
    try:
        return name, plain(text)
    except ValueError as error:
        raise ValueError(f"--set {name}: {text!r}: {error}") from None


@contextlib.contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed; a second one ends the process at once."""
    pressed = False

    def press(number: int, frame: Any) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


@app.command()
def predict(
    source: Annotated[
        str, typer.Argument(metavar="SWEEP_OR_TRIAL", help="A sweep (its best trial) or a trial's folder.")
    ],
    table: Annotated[
        Path, typer.Argument(metavar="DATA.csv", help="Rows with the columns it was trained on.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", parser=here, help="Where to write; else to stdout.")
    ] = None,
) -> None:
    """Predict the label of each row of a table.

    The rows come back with a column `prediction`, in units of the label.

    Example: dirsweep predict sweeps/all-1 new.csv --out predicted.csv
    """
    from dirsweep import data, pipeline

    if out is not None and out.is_dir():
        raise ValueError(f"--out {out}: a folder; name a file in it")
    folder, frame = _trial_folder(source), data.read_table(table)
    if "prediction" in frame.columns:
        raise ValueError(f"{table}: has a column 'prediction' already; rename it")
    try:
        frame["prediction"] = pipeline.predict(folder, frame, table.parent)
    except ValueError as error:
        raise ValueError(f"{table}, by {folder}: {error}") from None
    text = frame.to_csv(index=False)
    if out is None:
        typer.echo(text, nl=False)
    else:
        Folder(out.parent).put(out.name, text.encode())
        typer.echo(f"{len(frame)} predictions in {out}")


def _trial_folder(source: str) -> Folder:
    """The folder of a trial, or of a sweep's best one."""
    from dirsweep import report

    beside = [] if "://" in source else [SWEEPS / source]
    for folder in (Folder(source), *beside):
        if folder.has_records("ledger.jsonl"):
            best = report.load(folder).best
            if best is None:
                raise ValueError(f"{folder}: no winner yet; `dirsweep report {folder}` says why")
            return folder / "trials" / best.trial
    if not Folder(source).exists("config.json"):
        raise ValueError(f"{source}: neither a sweep nor a trial (no ledger.jsonl, no config.json)")
    return Folder(source)
