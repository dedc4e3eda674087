"""What a job file chooses from: resources, environment, and what only Kubernetes or Slurm ask for."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dirsweep import sweep
from dirsweep.config import Config
from dirsweep.sweep.session import room

Memory = Annotated[str, Field(pattern=r"^[1-9][0-9]*(Mi|Gi|Ti)$")]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)]


class Resources(Config):
    """What the sweep runs on, and what a trial takes of it."""

    nodes: PositiveInt = 1
    """Machines; with Kubernetes the most there may be."""
    cpus_per_node: PositiveInt | None = None
    """CPU cores of a machine; Slurm and Kubernetes need it, a running Ray cluster has what it has."""
    gpus_per_node: NonNegativeInt = 0
    """GPUs of a machine."""
    memory_per_node: Memory | None = None
    """Memory of a machine: 64Gi."""
    cpus_per_trial: PositiveInt = 1
    """CPU cores that a trial is given."""
    gpus_per_trial: NonNegativeFloat = 0.0
    """GPUs that a trial is given; a part (0.5) shares one. Above 0, trials train on cuda."""
    workers: PositiveInt | None = None
    """Trials that must have room at once, where a cluster may be too small: by default as many as the nodes
    hold, or 1 where these are not given. A larger cluster is used whole."""
    reuse_actors: bool | None = None
    """Let a worker process run one trial after another; left out: on CPUs, and not on GPUs."""

    @model_validator(mode="after")
    def _has_room(self) -> "Resources":
        if self.cpus_per_node is None:
            for name in ("nodes", "gpus_per_node", "memory_per_node"):
                if getattr(self, name) != Resources.model_fields[name].default:
                    raise ValueError(f"{name} is set without cpus_per_node; say how many CPUs a node has")
            return self
        if self.gpus_per_node and not self.gpus_per_trial:
            raise ValueError(
                f"gpus_per_node is {self.gpus_per_node}, but a trial takes none: they would be idle; set "
                "gpus_per_trial (0.5 lets two trials share one), or leave gpus_per_node out"
            )
        holds = self.held
        if self.workers is not None and self.workers > holds:
            raise ValueError(
                f"workers is {self.workers}, but {self.nodes} nodes have room for {holds} trials at once; "
                "ask for fewer, for more nodes, or for less per trial"
            )
        return self

    @property
    def held(self) -> int:
        """How many trials the nodes hold at once. ValueError if none; `cpus_per_node` must be given."""
        node = {"CPU": float(self.cpus_per_node or 0), "GPU": float(self.gpus_per_node)}
        return self.nodes * room([node], self.per_trial)

    @property
    def at_once(self) -> int:
        """How many trials must have room at once."""
        return self.workers or (1 if self.cpus_per_node is None else self.held)

    @property
    def per_trial(self) -> sweep.Resources:
        """What a trial takes, as the sweep knows it."""
        return sweep.Resources(
            cpus_per_trial=self.cpus_per_trial,
            gpus_per_trial=self.gpus_per_trial,
            reuse_actors=self.reuse_actors,
        )


class Variable(Config):
    """An environment variable: a value, or where a secret one is found."""

    value: str | None = None
    """A plain value; a text is short for `{value: text}`."""
    source: Literal["env", "secret"] | None = Field(None, alias="from")
    """env: it is in the environment of the machines already (Ray, Slurm); secret: in a Kubernetes secret."""
    secret: KubernetesName | None = None
    """Name of the Kubernetes secret."""
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$")] | None = None
    """Key in that secret."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        number = isinstance(data, int | float) and not isinstance(data, bool)
        return {"value": str(data)} if isinstance(data, str) or number else data

    @model_validator(mode="after")
    def _one_source(self) -> "Variable":
        named = self.secret is not None or self.key is not None
        if (self.value is None) == (self.source is None):
            raise ValueError("give either a value, or `from: env`, or `from: secret` with secret and key")
        if self.source == "secret" and None in (self.secret, self.key):
            raise ValueError("from: secret needs `secret` (its name) and `key` (which of its entries)")
        if self.source != "secret" and named:
            raise ValueError("secret and key belong to `from: secret`")
        return self


SECRET_WORDS = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|(API|AUTH|ACCESS|SECRET)(KEY|TOKEN)"
    r"|(^|_)(TOKENS?|PASS|PWD|SECRETS?|KEYS?|CREDENTIALS?)(_|$)",
    re.IGNORECASE,
)
"""What the name of a secret variable has in it."""
PLACES = re.compile(r"_(FILE|PATH|DIR)$", re.IGNORECASE)
"""What the name of a variable ends with that says where something lies."""
ASSIGNED = re.compile(r"(\w+)=[\"']?[^\s\"'$;]")
"""A variable that a line of shell gives a value of its own, not another's ("$OTHER", "$(cat FILE)")."""
LOGIN = re.compile(r"://[^/\s:@]*:[^/\s@$]+@")
"""A user and a password in an address."""


def sounds_secret(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return bool(SECRET_WORDS.search(name)) and not PLACES.search(name)


def secret_in(line: str) -> str:
    """What a line of shell gives a secret: the name of a variable, "an address"; empty if nothing."""
    named = [name for name in ASSIGNED.findall(line) if sounds_secret(name)]
    return named[0] if named else "an address" if LOGIN.search(line) else ""


OURS = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Variables that reach the cluster another way."""


class Toleration(Config):
    """A taint of Kubernetes nodes that the workers stand."""

    key: Annotated[str, Field(min_length=1)]
    """Of the taint: nvidia.com/gpu."""
    operator: Literal["Exists", "Equal"] = "Exists"
    """Whether its value matters."""
    value: str | None = None
    """Its value, with Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """What it does; left out: any."""

    @model_validator(mode="after")
    def _value_counts(self) -> "Toleration":
        if (self.operator == "Equal") != (self.value is not None):
            raise ValueError("operator Equal needs a value, and Exists takes none")
        return self


class WorkerGroup(Config):
    """Kubernetes workers that are alike."""

    name: KubernetesName
    """Of the group."""
    min_nodes: NonNegativeInt = 0
    """Workers from the start on."""
    max_nodes: PositiveInt = 1
    """Workers at most; Ray's autoscaler adds them while trials wait, and takes idle ones away."""
    cpus: PositiveInt
    """CPU cores of a worker."""
    gpus: NonNegativeInt = 0
    """GPUs of a worker."""
    memory: Memory
    """Memory of a worker: 64Gi."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that the workers' machines must have."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that the workers stand."""

    @model_validator(mode="after")
    def _not_more(self) -> "WorkerGroup":
        if self.min_nodes > self.max_nodes:
            raise ValueError(f"min_nodes ({self.min_nodes}) exceeds max_nodes ({self.max_nodes})")
        return self


class Kubernetes(Config):
    """What a job needs on Kubernetes."""

    image: Annotated[str, Field(pattern=r"^[^\s:@]+(:\d+/[^\s:@]+)?(:[\w.-]+|@sha256:[0-9a-f]{64})$")]
    """Container image with dirsweep, by tag or digest: registry.example.org/dirsweep:0.1.0."""
    volume_claim: KubernetesName | None = None
    """Persistent volume claim (ReadWriteMany) that is mounted at `storage` in every pod, unless that is an
    s3:// address."""
    namespace: KubernetesName | None = None
    """Where it runs; left out: where kubectl points."""
    service_account: KubernetesName | None = None
    """Of the pods."""
    min_nodes: NonNegativeInt | None = None
    """Workers from the start on, up to resources.nodes; left out: all of them, without autoscaling."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that the workers' machines must have."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints that the workers stand."""
    further_groups: tuple[WorkerGroup, ...] = ()
    """Workers of another kind beside those of `resources`: CPU machines, or other GPUs."""
    head_cpus: PositiveInt = 2
    """CPU cores of the head, where the sweep's driver runs and no trial does."""
    head_memory: Memory = "8Gi"
    """Memory of the head."""

    @model_validator(mode="after")
    def _is_pinned(self) -> "Kubernetes":
        if self.image.endswith(":latest"):
            raise ValueError(f"image {self.image}: a retry might get another one; name a version or a digest")
        return self


class Slurm(Config):
    """What a job needs on Slurm."""

    partition: Annotated[str, Field(pattern=r"^[-\w.,]+$")] | None = None
    """Partition; left out: the cluster's own choice."""
    account: Annotated[str, Field(pattern=r"^[-\w.]+$")] | None = None
    """Account that is charged."""
    qos: Annotated[str, Field(pattern=r"^[-\w.]+$")] | None = None
    """Quality of service."""
    setup: tuple[Annotated[str, Field(pattern=r"^[^\n]+$")], ...] = ()
    """Lines of bash that make `dirsweep` and `ray` available: `module load python`, `source .../activate`."""
    stop_minutes: PositiveFloat = 2
    """How long before the time limit trials are told to save, so that the job can be queued again."""
