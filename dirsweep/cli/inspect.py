"""Commands that look things up or check them: knobs, files."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dirsweep.cli.shared import checked_spec, checked_trial, read_dataset

app = typer.Typer()


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
        only = f"; only with {', '.join(dict.fromkeys(owners))}" if owners else ""
        typer.echo(f"{knob.name}: {knob.default}\n    {knob.meaning}\n    Takes: {knob.takes}{only}")


@app.command()
def validate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help="Search spaces, jobs, trials, datasets (YAML)."),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of a search space, for an editor.")
    ] = False,
    job_schema: Annotated[
        bool, typer.Option("--job-schema", help="Print that of a job, for `dirsweep submit`.")
    ] = False,
) -> None:
    """Check files, and what they say of the data.

    Example: dirsweep validate search_spaces/*.yaml
    """
    if schema:
        from dirsweep.search.spec import json_schema

        typer.echo(json.dumps(json_schema(), indent=1))
        return
    if job_schema:
        from dirsweep.cluster.job import json_schema

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
    if "space" in tree:
        from dirsweep.cluster.job import read_job

        job = read_job(path)
        checked_spec(Path(job.space))
        return f"a job of {job.rendered().budget.trials} trials, {job.resources.at_once} or more at once"
    if "name" in tree:
        from dirsweep import data

        found = data.load(read_dataset(str(path)))
        return f"a dataset of {sum(found.sizes.values())} rows, {len(found.shots.bins)} bins"
    checked_trial(path)
    return "a trial"
