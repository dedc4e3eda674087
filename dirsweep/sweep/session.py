"""Ray for the length of a sweep: its size, its settings, its start and its end.

Without RAY_ADDRESS every driver starts a Ray of its own on this machine, so no worker of an earlier,
dead driver can report to it. With RAY_ADDRESS the cluster there is used and left running. To Ray an empty one
is as none, and "local" asks for one of one's own.
"""

import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveInt

from dirsweep.config import Config, TrialConfig
from dirsweep.storage import refusal
from dirsweep.sweep import address, token

WORKER_SETTINGS = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths in a config are relative to where the user is
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "30",  # for a stopped trial to let go of its actor
}
"""Settings that Ray's workers read."""
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""What glibc reads in workers that train on a CPU: a trial runs in a thread there, and of several arenas a
thread gets one in which large blocks cannot be kept (`device`)."""
SETTINGS = WORKER_SETTINGS | {
    "RAY_AUTH_MODE": "token",  # also for a cluster at RAY_ADDRESS, where Ray's default is off
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints a table whatever its verbosity
    "RAY_TUNE_CALLBACKS": "dirsweep.sweep.tune.Silence",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # else a report without a metric ends the sweep
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # the ledger is the only truth: no snapshots
    "TUNE_MAX_PENDING_TRIALS_PG": "64",  # workers that start at the same time; else one after the other
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # they go to the ledger and the trial's folder
}
"""Settings of the driver, where the user's environment does not say otherwise."""
FINEST = 10_000
"""Into how many parts Ray divides a GPU at most."""


class Resources(Config):
    """What a trial takes and how many run at once."""

    cpus_per_trial: PositiveInt = 1
    """CPU cores a trial is given."""
    gpus_per_trial: NonNegativeFloat = 0.0
    """GPUs a trial is given; a part (0.5) shares one, and may take as much of its memory."""
    workers: Annotated[int | None, Field(ge=1)] = None
    """Trials that run at once on this machine: by default its cores over `cpus_per_trial`. On a cluster
    (RAY_ADDRESS) its size decides, and this is refused."""
    reuse_actors: bool | None = None
    """Let a worker process run one trial after another: by default on CPU, and on GPU not, so that each
    trial starts with a clean device. If set there, a worker that trials left memory in is replaced."""

    @property
    def local_workers(self) -> int:
        """Trials that run at once on this machine."""
        return self.workers or max(1, len(os.sched_getaffinity(0)) // self.cpus_per_trial)

    @property
    def gpu_share(self) -> float:
        """A trial's part of a GPU that it shares with others; 1 if with none."""
        return min(self.gpus_per_trial, 1.0) or 1.0

    def per_process(self, processes: int) -> dict[str, float]:
        """The "CPU" and "GPU" of each of a trial's processes.

        Raises ValueError where they cannot share evenly, or a GPU would be idle: each has one, or none has.
        """
        if processes == 1 and self.gpus_per_trial > 1:
            whole = self.gpus_per_trial.is_integer()
            many = f"set `processes: {self.gpus_per_trial:g}` in `fixed`, or " if whole else ""
            raise ValueError(
                f"a trial is given {self.gpus_per_trial:g} GPUs, but its knob `processes` is 1, and one "
                f"process uses one; {many}give it one GPU"
            )
        if processes > 1 and (self.cpus_per_trial % processes or self.gpus_per_trial not in (0, processes)):
            raise ValueError(
                f"a trial of {processes} processes is given {self.cpus_per_trial} CPUs and "
                f"{self.gpus_per_trial:g} GPUs; give it {processes} CPUs or a multiple of that "
                f"(--cpus-per-trial), and {processes} GPUs or none (--gpus-per-trial)"
            )
        return {"CPU": self.cpus_per_trial // processes, "GPU": self.gpus_per_trial / processes}

    def check(self, config: TrialConfig) -> None:
        """Refuse what cannot serve a sweep's trials: as `per_process`, no GPU or what they would not use."""
        if config.device == "cpu" and self.gpus_per_trial:
            raise ValueError(
                f"'fixed.device' is cpu, but a trial is given {self.gpus_per_trial:g} GPUs, which would be "
                "idle; set the device to cuda, or leave --gpus-per-trial out"
            )
        self.per_process(config.processes)
        if config.device == "cuda" and not self.gpus_per_trial:
            raise ValueError(
                f"'fixed.device' is cuda, but a trial is given no GPU; give it {config.processes} "
                "(--gpus-per-trial), or set the device to cpu"
            )
        if self.reuse_actors and config.processes > 1:
            raise ValueError(
                f"the {config.processes} processes of a trial are started for it alone, so none runs one "
                "trial after another; leave reuse_actors (--reuse-actors) out"
            )

    @property
    def facts(self) -> dict[str, Any]:
        """What the ledger and a forecast keep of it, as plain values; on a cluster its size decides."""
        workers = None if address.cluster() else self.local_workers
        return {**self.model_dump(mode="json"), "workers": workers, "cluster": bool(address.cluster())}

    @property
    def reuses_actors(self) -> bool:
        """Whether one worker process runs several trials."""
        return self.gpus_per_trial == 0 if self.reuse_actors is None else self.reuse_actors


def at_once(resources: Resources) -> int:
    """How many trials a sweep would run at once: here, or on the cluster at RAY_ADDRESS, which is asked.

    Raises:
        ValueError, refusal.Refused: as `ray_session`.
    """
    if address.cluster():
        with ray_session(resources) as workers:
            return workers
    gpus = 0
    if resources.gpus_per_trial:
        import torch

        gpus = torch.cuda.device_count()
    cpus = resources.local_workers * resources.cpus_per_trial
    return room([{"CPU": cpus, "GPU": gpus}], resources)


@contextmanager
def ray_session(resources: Resources) -> Iterator[int]:
    """Start Ray, or join the one at RAY_ADDRESS or in this process; gives how many trials run at once.

    Raises:
        ValueError: Ray is to start without tokens, has no room for even one trial, or is not one of this
            address, token and version.
        refusal.Refused: Ray does not start, or none answers at RAY_ADDRESS; the same again, later, may do.
    """
    check(resources)
    wanted = SETTINGS if resources.gpus_per_trial else SETTINGS | ONE_ARENA
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    if "ray" in sys.modules:
        # Ray has read its mode at its import: set now, it would reach Ray's processes and not this one. A
        # Ray started here has tokens anyway.
        ours.pop("RAY_AUTH_MODE", None)
    os.environ.update(ours)
    import ray

    owner = not ray.is_initialized()
    try:
        if owner:
            _start(ray, resources, {name: ours[name] for name in ONE_ARENA if name in ours})
        yield room([node["Resources"] for node in ray.nodes() if node["Alive"]], resources)
    finally:
        if owner:
            ray.shutdown()
        for name in ours:
            del os.environ[name]


def check(resources: Resources) -> None:
    """Refuse what can be known before Ray starts: no tokens, no address, `workers` for a cluster, no room.

    Raises refusal.Refused where nothing answers at RAY_ADDRESS.
    """
    check_tokens()
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():  # the size of that one decides
        return
    if not address.cluster():
        at_once(resources)
        return
    if resources.workers is not None:
        raise ValueError("workers is for a sweep on one machine; with RAY_ADDRESS set leave it out")
    address.reach(address.cluster())


def check_tokens() -> None:
    """Refuse a Ray that takes commands from whoever reaches it, and a token that others can read."""
    mode = os.environ.get("RAY_AUTH_MODE", "token")
    if mode.lower() != "token":
        raise ValueError(
            f"RAY_AUTH_MODE={mode}: such a Ray runs what anyone who reaches it sends, so no sweep starts one "
            "or joins one; unset it, or set it to token"
        )
    token.check_private()


def _start(ray: Any, resources: Resources, further: dict[str, str]) -> None:
    """`further` settings are for workers too; Ray refuses those that its job has been given already."""
    where: dict[str, Any]
    if address.cluster():
        where = {"runtime_env": {"env_vars": WORKER_SETTINGS | further}}
    else:
        cpus = resources.local_workers * resources.cpus_per_trial
        # local: without an address Ray would join the one that `ray start` may have left on this machine
        where = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        token.ensure()
    try:
        ray.init(**where, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:  # a plain one where a node of Ray's starts too slowly
        raise _explained(ray, error) from error


def _explained(ray: Any, error: Exception) -> Exception:
    """Why there is no Ray: ValueError for a wrong address, token or version, else what may pass."""
    there = address.cluster()
    said = f"Ray cannot start ({there or 'on this machine'}): {' '.join(str(error).split())}"
    if "InvalidAuthToken" in str(error.__cause__):  # Ray itself says no more than that there is no connection
        return ValueError(
            f"{there}: the Ray there refuses the token from {token.source()}; it must be the one that it "
            "was started with"
        )
    wrong_cluster = there and (isinstance(error, ValueError) or "Version mismatch" in said)
    if wrong_cluster or isinstance(error, ray.exceptions.AuthenticationError):
        return ValueError(said)
    return refusal.Refused(f"{said}. {address.GOES_ON}")


def room(nodes: Sequence[Mapping[str, float]], resources: Resources) -> int:
    """How many trials fit on machines with so many "CPU" and "GPU"; none lies on two machines or two GPUs.

    Raises ValueError if there is no room for even one.
    """
    each = resources.gpus_per_trial
    held = 0
    for node in nodes:
        cpus, gpus = node.get("CPU", 0.0), node.get("GPU", 0.0)
        by_gpu = math.inf if not each else gpus // each if each > 1 else gpus * int(min(1 / each, FINEST))
        held += int(min(cpus // resources.cpus_per_trial, by_gpu))
    if held < 1:
        cpus, gpus = (sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
        there, advice = f"{gpus:g} GPUs", "ask for less per trial"
        if each and not gpus:
            there = "no GPU"
            advice = "go where there is one, or set the device to cpu and leave --gpus-per-trial out"
        raise ValueError(
            f"a trial asks for {resources.cpus_per_trial} CPUs and {each:g} GPUs on one machine, but "
            f"there are {cpus:g} CPUs and {there}; {advice}"
        )
    return held
