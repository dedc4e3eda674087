"""What several commands read and print alike."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dirsweep.cli.places import reached
from dirsweep.storage import Folder

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from dirsweep.config import DatasetConfig, TrialConfig
    from dirsweep.search.model import SweepSpec
    from dirsweep.sweep import Resources


def _folder(place: str) -> Folder:
    try:
        return Folder(place)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def here(place: str) -> Path:
    """A path on this machine, as an option names it; an address would make a folder "s3:"."""
    if "://" in place:
        raise typer.BadParameter(f"{place.partition('://')[0]}:// is no path on this machine")
    return Path(place)


def mlflow_store(uri: str) -> str:
    """An MLflow store as an option names it, without a login."""
    if uri.startswith("http") and "@" in uri:
        raise typer.BadParameter(
            "holds a user or a password, which others can read in the list of processes; leave them out, "
            "and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return uri


Storage = Annotated[
    Folder,
    typer.Option(metavar="DIR", parser=_folder, help="Folder that holds the sweeps, or s3://BUCKET/FOLDER."),
]
Sweep = Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's folder, or its name in --storage.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Trials at once  [default: as many as the CPUs allow]")
]
Cpus = Annotated[int, typer.Option(min=1, help="CPUs of a trial.")]
Gpus = Annotated[float, typer.Option(min=0.0, help="GPUs of a trial; 0.5 lets two share one.")]

SWEEPS = Folder("sweeps")
WIDTH = 100


def console(*, stderr: bool = False) -> "Console":
    """Where tables go; text that is not for a terminal is 100 columns wide."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else WIDTH, highlight=False, emoji=False)


def show(picture: "RenderableType") -> None:
    """Print a table; a path that is too long runs on instead of being cut."""
    console().print(picture, crop=False)


def sweep_folder(name: str, storage: Folder) -> Folder:
    """The folder of a sweep named by its path or by its name in `storage`. ValueError if there is none."""
    beside = [] if "://" in name else [storage / name]
    for folder in (Folder(name), *beside):
        with reached(folder):
            if folder.has_records("ledger.jsonl"):
                return folder
    raise ValueError(f"{name}: no sweep there, nor in {storage}/; `dirsweep list` shows those there are")


def publish(folder: Folder, uri: str | None = None, *, hurried: bool = False) -> None:
    """Bring the sweep's store, if it has one, up to date, and say what must be said; Ctrl-C skips it.

    hurried: leave to `dirsweep sync` what takes more than a few seconds.
    """
    from dirsweep import publish as publishing

    if sys.stderr.isatty() and not hurried:
        typer.echo("MLflow takes a while longer for the pictures and the model of what won", err=True)
    try:
        said = publishing.conclude(folder, uri, publishing.HURRIED if hurried else publishing.SECONDS)
    except KeyboardInterrupt:
        said = f"MLflow was left as it is; `dirsweep sync {folder}` goes on"
    if said:
        typer.echo(said)


def shorter(place: object) -> str:
    """A path, of whatever names one, from where the user is if it lies below."""
    return str(place).removeprefix(f"{Path.cwd()}/")


def store_uri(given: str | None, storage: Folder) -> str:
    """The MLflow store that an option names, else the embedded one. ValueError if there can be none."""
    from dirsweep import tracking

    uri = given or tracking.default_uri(storage)
    if uri is None:
        raise ValueError(
            f"{storage}: an object store holds no MLflow file; name a server with --tracking-uri"
        )
    return uri


def next_free(parent: Folder, stem: str) -> str:
    """The first of stem-1, stem-2 ... that is not taken in `parent`."""
    taken, number = parent.folders(), 1
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"


def checked_trial(path: Path, values: dict[str, Any] | None = None) -> "TrialConfig":
    """The trial in a file, checked against its data too. ValueError that names the file."""
    from dirsweep import data, device, pipeline
    from dirsweep.config import explain, read_trial

    config = read_trial(path, values)
    try:
        pipeline.check(config, data.load(config.dataset))
        device.check(config, config.processes)
    except ValueError as error:
        raise ValueError(explain(error, str(path))) from None
    return config


def checked_spec(path: Path) -> "SweepSpec":
    """The search space in a file, checked against its data too. ValueError that names the file."""
    from dirsweep.search.spec import check_data, read_spec

    spec = read_spec(path)
    try:
        check_data(spec)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return spec


def read_dataset(name: str) -> "DatasetConfig":
    """A dataset by its name or file. ValueError that names it."""
    from dirsweep.config import KINDS, TrialConfig, explain, with_dataset_file

    known = name.replace("-", "_")
    if known in KINDS:
        name = known
    try:
        return TrialConfig.model_validate(with_dataset_file({"dataset": name}, Path())).dataset
    except ValueError as error:
        raise ValueError(explain(error, name)) from None


def given_resources(
    workers: int | None, cpus: int, gpus: float, reuse_actors: bool | None = None
) -> "Resources":
    """What a command's options ask for each trial."""
    from dirsweep.sweep import Resources

    return Resources(workers=workers, cpus_per_trial=cpus, gpus_per_trial=gpus, reuse_actors=reuse_actors)
