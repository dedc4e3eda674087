"""`dirsweep store`: the stage 1s that sweeps share, what they are and what they take on disk."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from dirsweep.cli.shared import SWEEPS, Storage, show
from dirsweep.storage import Folder

if TYPE_CHECKING:
    from dirsweep.checkpoint.store import Entry, Store

app = typer.Typer()
store = typer.Typer(help="The trained stage 1s that sweeps share.", no_args_is_help=True)
app.add_typer(store, name="store")

SHORT = 8
"""Characters of a key that a table shows."""
GB, DAY = 1e9, 86400.0


@store.command("list")
def list_entries(storage: Storage = SWEEPS) -> None:
    """List the stored stage 1s, the newest last.

    Example: dirsweep store list
    """
    from rich import box
    from rich.table import Table

    entries = _store(storage).entries()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("key", "epochs", "dataset", "seconds", "MB", "stored", "what it is"):
        number = title in ("epochs", "seconds", "MB")
        table.add_column(title, justify="right" if number else "left", no_wrap=title != "what it is")
    for entry in entries:
        table.add_row(entry.key[:SHORT], *_row(entry))
    show(table)
    typer.echo(f"{_count(entries)} in {_path(storage)}/; `dirsweep store show KEY` has its configuration")


@store.command("show")
def show_entry(
    key: Annotated[str, typer.Argument(metavar="KEY", help="A key, or how it begins.")],
    storage: Storage = SWEEPS,
) -> None:
    """Show a stored stage 1 and the configuration that it was trained with.

    Example: dirsweep store show 3fa9c1d2
    """
    entry = _find(_store(storage).entries(), key, _path(storage))
    if not entry.notes:
        raise ValueError(f"{entry.key}: damaged; it is trained again when a trial wants it")
    epochs, dataset, seconds, size, when, what = _row(entry)
    typer.echo(f"{entry.key}\n{what}: {epochs} epochs on {dataset}, {seconds} s, {size} MB, stored {when}\n")
    typer.echo(yaml.safe_dump(entry.notes["config"], sort_keys=False).rstrip())


@store.command("prune")
def prune_entries(
    storage: Storage = SWEEPS,
    keep_gb: Annotated[
        float | None, typer.Option(min=0.0, metavar="X", help="Remove the oldest until X GB are left.")
    ] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0.0, metavar="DAYS", help="Remove what was stored before that.")
    ] = None,
) -> None:
    """Remove stored stage 1s, never one that is in training. A later trial that wants one trains it again.

    Example: dirsweep store prune --keep-gb 2
    """
    from dirsweep.checkpoint.prune import prune

    found = _store(storage)
    if keep_gb is None and older_than is None:
        raise ValueError(
            f"{_count(found.entries())} in {_path(storage)}/; "
            "say what is to go: --keep-gb X or --older-than DAYS"
        )
    done = prune(
        found,
        keep_bytes=None if keep_gb is None else keep_gb * GB,
        older_than=None if older_than is None else older_than * DAY,
    )
    for entry in done.removed:
        typer.echo(f"removed {entry.key[:SHORT]}  {_row(entry)[-1]}")
    for entry in done.kept:
        typer.echo(f"kept {entry.key[:SHORT]}: its lease is held")
    typer.echo(
        f"{_count(done.removed)} removed, {_count(found.entries())} left; leases cleared: {done.leases}"
    )


def _path(storage: Folder) -> Folder:
    from dirsweep.sweep.store import store_of

    return store_of(storage)


def _store(storage: Folder) -> "Store":
    """The store beside the sweeps in `storage`. ValueError if there is none."""
    from dirsweep.checkpoint.store import Store

    path = _path(storage)
    if not (path.path.is_dir() if path.path is not None else path.folders()):
        raise ValueError(f"{path}: no store there; a sweep in {storage}/ makes one, --storage names another")
    return Store(path)


def _find(entries: "list[Entry]", key: str, path: Folder) -> "Entry":
    """The one entry whose key begins with `key`. ValueError if there is none, or more than one."""
    found = [entry for entry in entries if entry.key.startswith(key)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ValueError(f"{key}: no stage 1 of that key in {path}/; `dirsweep store list` shows them")
    first = ", ".join(entry.key[: len(key) + SHORT] for entry in found[:5])
    raise ValueError(f"{key}: {len(found)} keys begin so ({first}); give more of it")


def _row(entry: "Entry") -> tuple[str, str, str, str, str, str]:
    """Epochs, dataset, seconds, MB, when it was stored, and its method in words."""
    notes, size = entry.notes, f"{entry.size / 1e6:.1f}"
    if not notes:
        return "-", "-", "-", size, "-", "damaged"
    config = notes["config"]
    dataset = config["dataset"]
    name = Path(dataset["path"]).stem if "path" in dataset else dataset["name"]
    when = datetime.fromtimestamp(notes["time"]).strftime("%Y-%m-%d %H:%M")
    return str(notes["epoch"]), name, f"{notes['seconds']:.1f}", size, when, _method(config)


def _method(config: dict[str, Any]) -> str:
    """What a stage 1 does, in a few words: loss, weighting, norm ordinality, phases."""
    stage1 = config["stage1"]
    words = [stage1["loss"]["name"]]
    if stage1["weighting"]["name"] != "none":
        words.append(stage1["weighting"]["name"])
    term = stage1["norm_ordinality"]
    if term["name"] != "none":
        words.append(f"norm ordinality {term['name']} x {term['weight']:.3g}")
    if stage1["then"]:
        words.append(f"{1 + len(stage1['then'])} phases")
    return ", ".join(words) + f", seed {config['seed']}"


def _count(entries: "list[Entry]") -> str:
    size = sum(entry.size for entry in entries)
    return f"{len(entries)} stage 1{'' if len(entries) == 1 else 's'} ({size / 1e6:.1f} MB)"
