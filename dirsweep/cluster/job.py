"""Read a job file: a search space, what it runs on, where results go.

A search space alone is a job too, with defaults that serve one machine. A job never holds a secret: what
looks like one is refused, and a message about it does not repeat it.
"""

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from dirsweep.cluster.parts import OURS, Kubernetes, Resources, Slurm, Variable, secret_in, sounds_secret
from dirsweep.config import Config, explain, read_yaml
from dirsweep.search.parts import Budget
from dirsweep.search.spec import SweepSpec, read_spec
from dirsweep.storage import Folder

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
SPACE_KEYS = ("searched", "question")


class Job(Config):
    """One sweep on a cluster."""

    space: str
    """The search space (YAML), relative to this file."""
    name: str = ""
    """The sweep's name, and the job's: letters, digits and dashes; left out: this file's."""
    resources: Resources = Resources()
    """What it runs on."""
    storage: Annotated[str, Field(min_length=1)] = "sweeps"
    """Folder that holds the sweeps, on all machines under the same path; relative: to where `submit` runs. Or
    s3://BUCKET/FOLDER of an S3-compatible store."""
    tracking_uri: str | None = None
    """MLflow server, without user and password; left out: a file in the storage folder."""
    environment: dict[str, Variable] = Field(default_factory=dict)
    """Environment variables of the driver and the trials: a value, or where a secret one is found."""
    retries: NonNegativeInt = 0
    """How often the job starts again after a failure; it goes on with the same sweep."""
    budget: Budget | None = None
    """Instead of the space's own budget."""
    time_limit: PositiveInt | None = None
    """Minutes that the job may take; Slurm queues it again then, Kubernetes ends it, Ray Jobs have none."""
    kubernetes: Kubernetes | None = None
    """What `--to kuberay` needs."""
    slurm: Slurm = Slurm()
    """What `--to slurm` needs."""

    @model_validator(mode="before")
    @classmethod
    def _tells_no_secret(cls, data: Any) -> Any:
        """Before the values are looked at one by one, for then a message would repeat what it found."""
        if not isinstance(data, dict):
            return data
        uri, environment = data.get("tracking_uri"), data.get("environment")
        if isinstance(uri, str) and "@" in urlsplit(uri).netloc:
            raise ValueError(
                "'tracking_uri' holds a user or a password; leave them out, and name "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in 'environment' with `from: env` "
                "or `from: secret`"
            )
        for name, found in environment.items() if isinstance(environment, dict) else ():
            value = found.get("value") if isinstance(found, dict) else found
            secret = sounds_secret(str(name)) or "@" in urlsplit(str(value)).netloc
            if value is not None and secret:
                raise ValueError(
                    f"'environment.{name}' looks like a secret, and this file is no place for one; write "
                    f"`{name}: {{from: env}}` (it is set on the machines) or "
                    f"`{name}: {{from: secret, secret: NAME, key: KEY}}` (Kubernetes)"
                )
        slurm = data.get("slurm")
        setup = slurm.get("setup") if isinstance(slurm, dict) else None
        for number, line in enumerate(setup if isinstance(setup, list) else ()):
            if found := secret_in(str(line)):
                raise ValueError(
                    f"'slurm.setup.{number}' gives {found} what looks like a secret, and this file is no "
                    "place for one; export it before `submit`, with `from: env` in 'environment', or read a "
                    "file of yours there: NAME=$(cat FILE)"
                )
        return data

    @model_validator(mode="after")
    def _is_for_a_cluster(self) -> "Job":
        if self.name and not NAME.fullmatch(self.name):
            raise ValueError(
                f"'name' takes small letters, digits and dashes, at most 40, as Kubernetes does; found "
                f"{self.name!r}"
            )
        try:
            on_disk = Folder(self.storage).path is not None
        except ValueError as error:
            raise ValueError(f"'storage': {error}") from None
        if not on_disk and self.tracking_uri is None:
            raise ValueError(
                "'tracking_uri' is missing: an object store holds no MLflow file, so name an MLflow server"
            )
        if self.tracking_uri is not None and not self.tracking_uri.startswith(("http://", "https://")):
            raise ValueError(
                "'tracking_uri' takes a server, http:// or https://; left out, the records go to a file in "
                f"the storage folder; found {self.tracking_uri!r}"
            )
        for name in self.environment:
            if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
                raise ValueError(f"'environment': {name!r} is no name of a variable")
            if name in OURS:
                raise ValueError(
                    f"'environment.{name}' is not the job's to set: `submit` reads the token of a running "
                    "cluster from your environment, and Kubernetes and Slurm make their own"
                )
        return self

    def rendered(self) -> SweepSpec:
        """The search space as it is to run: with this job's budget, on cuda where trials get GPUs.

        Raises:
            ValueError: the space is not right, it wants cuda and trials get no GPU, or what a trial gets
                does not serve its processes.
        """
        spec = read_spec(Path(self.space))
        fixed, gpus = dict(spec.fixed), self.resources.gpus_per_trial
        if gpus:
            fixed["device"] = "cuda"
        elif spec.default_config().device == "cuda":
            raise ValueError(
                f"{self.space}: 'fixed.device' is cuda, but 'resources.gpus_per_trial' of the job is 0; "
                "raise it"
            )
        tree = spec.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"fixed": fixed}
        if self.budget is not None:
            tree["budget"] = self.budget.model_dump(mode="json")
        rendered = SweepSpec.model_validate(tree)
        self.resources.per_trial.check(rendered.default_config())
        return rendered


def space_text(spec: SweepSpec) -> str:
    """A search space as a file that reads in as the same one."""
    tree = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return yaml.safe_dump(tree, sort_keys=False, width=110, default_flow_style=None)


def read_job(path: Path) -> Job:
    """The job in a YAML file; a search space stands for a job with defaults.

    Its `space` is an absolute path then, and its `name` is set.

    Raises:
        ValueError: one line per problem: the file, the key, what was found and what is allowed.
    """
    tree = read_yaml(path)
    if any(key in tree for key in SPACE_KEYS):
        tree = {"space": path.name}
    try:
        job = Job.model_validate(tree)
    except ValidationError as error:
        raise ValueError(explain(error, str(path), Job)) from None
    space = (path.parent / job.space).resolve()
    if not space.is_file():
        raise ValueError(f"{path}: 'space': there is no file {space}")
    name = job.name or re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:40].strip("-")
    if not name:
        raise ValueError(f"{path}: 'name' is missing, and the file's own name cannot stand for it")
    return job.model_copy(update={"space": str(space), "name": name})


def json_schema() -> dict[str, Any]:
    """JSON schema of a job file, for editors."""
    schema = Job.model_json_schema(by_alias=True)
    text = {"type": ["string", "number"]}
    variables = schema["properties"]["environment"]
    variables["additionalProperties"] = {"anyOf": [text, variables["additionalProperties"]]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
