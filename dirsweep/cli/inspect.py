"""Commands that look things up or check them: knobs, datasets, files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dirsweep.cli.shared import checked_spec, checked_trial

if TYPE_CHECKING:
    from dirsweep.config import DatasetConfig

app = typer.Typer()
datasets = typer.Typer(help="The datasets there are.", no_args_is_help=True)
app.add_typer(datasets, name="data")


@app.command()
def params(
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="Only knobs whose name starts so.")] = "",
) -> None:
    """List the knobs of a trial, with their meaning.

    Example: dirsweep params stage2.schedule
    """
    from dirsweep.config import Knob, knobs, unknown

    variants: dict[Knob, list[str]] = {}
    for knob in knobs(prefix):
        alike = Knob(knob.name, knob.takes, knob.default, knob.meaning)
        variants.setdefault(alike, []).extend([knob.variant] if knob.variant else [])
    if not variants:
        raise ValueError(unknown(prefix))
    for knob, owners in variants.items():
        only = f"; only with {', '.join(owners)}" if owners else ""
        typer.echo(f"{knob.name}: {knob.default}\n    {knob.meaning}\n    Takes: {knob.takes}{only}")


@datasets.command("list")
def list_datasets() -> None:
    """List the datasets that are shipped, and dataset files here.

    Example: dirsweep data list
    """
    from dirsweep.config import Diamonds

    typer.echo(f"{'diamonds':<24}  {Diamonds.__doc__}")
    for path in sorted(Path().glob("*.dataset.yaml")):
        typer.echo(f"{path!s:<24}  your own; `dirsweep data show {path}`")
    typer.echo("A table of your own: dirsweep init DATA.csv --target COLUMN")


@datasets.command("show")
def show_dataset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A dataset's name, or a dataset file (YAML).")],
) -> None:
    """Show a dataset: rows per split, shots, how the training labels spread over the bins.

    Example: dirsweep data show diamonds
    """
    from dirsweep import data

    typer.echo(data.describe(data.load(read_dataset(name))))


@datasets.command("prepare")
def prepare_dataset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A benchmark: sts-b-dir.")],
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to put it  [default: the user's cache]")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="ADDRESS", help="A mirror of the benchmark's files.")
    ] = None,
) -> None:
    """Make a benchmark ready: fetch its files, each checked against its checksum.

    Example: dirsweep data prepare sts-b-dir
    """
    from dirsweep.data import sts_b_dir

    if name.replace("_", "-") != "sts-b-dir":
        raise ValueError(f"{name}: nothing to prepare; choose sts-b-dir")
    folder = sts_b_dir.download(to, source)
    typer.echo(f"three files in {folder}; look at them: dirsweep data show sts_b_dir")


def read_dataset(name: str) -> "DatasetConfig":
    """A dataset by its name or file. ValueError that names it."""
    from dirsweep.config import TrialConfig, explain, with_dataset_file

    try:
        return TrialConfig.model_validate(with_dataset_file({"dataset": name}, Path())).dataset
    except ValueError as error:
        raise ValueError(explain(error, name)) from None


@app.command()
def validate(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Search spaces, trials, datasets (YAML).")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of a search space, for an editor.")
    ] = False,
) -> None:
    """Check files, and what they say of the data.

    Example: dirsweep validate search_spaces/*.yaml
    """
    if schema:
        from dirsweep.search.spec import json_schema

        typer.echo(json.dumps(json_schema(), indent=1))
        return
    if not files:
        raise ValueError("name at least one file, for instance: dirsweep validate search_spaces/all.yaml")
    problems = []
    for path in files:
        try:
            typer.echo(f"{path}: {_checked(path)}, no problem found")
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))


def _checked(path: Path) -> str:
    """What a file holds, in words. ValueError that names it if something is wrong with it."""
    from dirsweep.config import read_yaml

    tree = read_yaml(path)
    if "searched" in tree or "question" in tree:
        spec = checked_spec(path)
        return f"a search space of {len(spec.searched)} names, {spec.budget.trials} trials"
    if "name" in tree:
        from dirsweep import data

        found = data.load(read_dataset(str(path)))
        return f"a dataset of {sum(found.sizes.values())} rows, {len(found.shots.bins)} bins"
    checked_trial(path)
    return "a trial"
