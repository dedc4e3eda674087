"""A job as manifests for Kubernetes: a RayJob of KubeRay, and the config map with what it runs.

The cluster is made for the job and goes with it. Its token is made by KubeRay (`authOptions.mode:
token`), and secrets are named, never held. No trial runs on the head: it has the driver.
"""

from importlib.metadata import version
from typing import Any

import yaml

from dirsweep.cluster import inside
from dirsweep.cluster.job import Job, space_text
from dirsweep.cluster.parts import Kubernetes, WorkerGroup
from dirsweep.storage import Folder
from dirsweep.sweep.session import room

MOUNT = "/dirsweep-job"
KEEP_SECONDS = 60
"""How long the cluster outlives its job, so that the last of the log is fetched; record and log stay."""
IDLE_SECONDS = 120
"""How long a worker may be idle before the autoscaler takes it away."""


def manifests(job: Job) -> str:
    """The YAML of both. ValueError if the job lacks what Kubernetes needs."""
    wanted, groups = _checked(job)
    name, space = job.name, wanted.namespace
    place = {"name": name} | ({"namespace": space} if space else {})
    files = {
        inside.SCRIPT: inside.script(
            job, job.storage, ("dirsweep",), retries=0, retried=True, at_least=_first_room(job, groups)
        ),
        inside.SPACE: space_text(job.rendered()),
    }
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": place, "data": files}
    spec: dict[str, Any] = {
        "entrypoint": f"sh {MOUNT}/{inside.SCRIPT}",
        "submissionMode": "K8sJobMode",
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": KEEP_SECONDS,
        "backoffLimit": job.retries,
    }
    if job.time_limit is not None:
        spec["activeDeadlineSeconds"] = job.time_limit * 60
    cluster: dict[str, Any] = {"rayVersion": version("ray"), "authOptions": {"mode": "token"}}
    if any(group.min_nodes < group.max_nodes for group in groups):
        cluster["enableInTreeAutoscaling"] = True
        cluster["autoscalerOptions"] = {"upscalingMode": "Default", "idleTimeoutSeconds": IDLE_SECONDS}
    cluster["headGroupSpec"] = {
        "rayStartParams": {"num-cpus": "0"},
        "template": _pod(job, wanted, "ray-head", wanted.head_cpus, 0, wanted.head_memory, {}, ()),
    }
    _add_files(cluster["headGroupSpec"]["template"]["spec"], name)
    cluster["workerGroupSpecs"] = [_group(job, wanted, group) for group in groups]
    ray_job = {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": place,
        "spec": {**spec, "rayClusterSpec": cluster},
    }
    return yaml.dump_all([config, ray_job], Dumper=_Dumper, sort_keys=False, width=110)


def _checked(job: Job) -> tuple[Kubernetes, list[WorkerGroup]]:
    wanted, resources = job.kubernetes, job.resources
    if wanted is None:
        raise ValueError("'kubernetes' is missing; it says which image to run and which volume to mount")
    storage = Folder(job.storage)
    if (storage.path is None) != (wanted.volume_claim is None):
        raise ValueError(
            "'kubernetes.volume_claim' is missing: which volume to mount at 'storage'"
            if storage.path is not None
            else f"'kubernetes.volume_claim': 'storage' is {job.storage}, which is no volume; leave it out"
        )
    if resources.cpus_per_node is None or resources.memory_per_node is None:
        raise ValueError(
            "'resources.cpus_per_node' and 'resources.memory_per_node' are needed, for Kubernetes makes "
            "the nodes"
        )
    if not storage.is_absolute:
        raise ValueError(
            f"'storage' is where the volume is mounted in the pods, an absolute path; found {job.storage!r}"
        )
    named = inside.from_environment(job)
    if named:
        raise ValueError(f"'environment.{named[0]}': pods have no such environment; write `from: secret`")
    least = resources.nodes if wanted.min_nodes is None else wanted.min_nodes
    try:
        group = WorkerGroup(
            name="gpu" if resources.gpus_per_node else "cpu",
            min_nodes=least,
            max_nodes=resources.nodes,
            cpus=resources.cpus_per_node,
            gpus=resources.gpus_per_node,
            memory=resources.memory_per_node,
            node_selector=wanted.node_selector,
            tolerations=wanted.tolerations,
        )
    except ValueError:
        raise ValueError(
            f"'kubernetes.min_nodes' ({least}) exceeds 'resources.nodes' ({resources.nodes})"
        ) from None
    groups = [group, *wanted.further_groups]
    for place, other in enumerate(groups):
        if other.name in [one.name for one in groups[:place]]:
            raise ValueError(f"'kubernetes.further_groups': there are two groups {other.name!r}")
        if resources.gpus_per_trial > other.gpus or resources.cpus_per_trial > other.cpus:
            raise ValueError(
                f"'kubernetes.further_groups': no trial has room in group {other.name!r} ({other.cpus} CPUs, "
                f"{other.gpus} GPUs); it would be idle"
            )
    if not any(group.min_nodes for group in groups):
        raise ValueError(
            "'kubernetes.min_nodes' is 0; the sweep begins on workers that are there: at least 1"
        )
    return wanted, groups


def _group(job: Job, wanted: Kubernetes, group: WorkerGroup) -> dict[str, Any]:
    size = (group.cpus, group.gpus, group.memory)
    return {
        "groupName": group.name,
        "replicas": group.min_nodes,
        "minReplicas": group.min_nodes,
        "maxReplicas": group.max_nodes,
        "rayStartParams": {},
        "template": _pod(job, wanted, "ray-worker", *size, group.node_selector, group.tolerations),
    }


def _pod(
    job: Job,
    wanted: Kubernetes,
    name: str,
    cpus: int,
    gpus: int,
    memory: str,
    selector: dict[str, str],
    tolerations: tuple[Any, ...],
) -> dict[str, Any]:
    size = {"cpu": str(cpus), "memory": memory} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    container = {
        "name": name,
        "image": wanted.image,
        "env": _environment(job),
        "resources": {"requests": size, "limits": dict(size)},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [],
    }
    spec: dict[str, Any] = {"containers": [container], "volumes": []}
    if wanted.volume_claim is not None:
        container["volumeMounts"] = [{"name": "sweeps", "mountPath": job.storage}]
        spec["volumes"] = [{"name": "sweeps", "persistentVolumeClaim": {"claimName": wanted.volume_claim}}]
    if wanted.service_account:
        spec["serviceAccountName"] = wanted.service_account
    if selector:
        spec["nodeSelector"] = selector
    if tolerations:
        spec["tolerations"] = [one.model_dump(mode="json", exclude_none=True) for one in tolerations]
    return {"spec": spec}


def _add_files(pod: dict[str, Any], config: str) -> None:
    """Mount the job's config map in a pod that was just made."""
    pod["containers"][0]["volumeMounts"].append({"name": "job", "mountPath": MOUNT, "readOnly": True})
    pod["volumes"].append({"name": "job", "configMap": {"name": config}})


def _first_room(job: Job, groups: list[WorkerGroup]) -> int:
    """How many trials have room at once on the workers that are there from the start on."""
    nodes = [{"CPU": group.cpus, "GPU": group.gpus} for group in groups for _ in range(group.min_nodes)]
    return room(nodes, job.resources.per_trial)


def _environment(job: Job) -> list[dict[str, Any]]:
    usual = {"RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true"} | inside.plain_variables(job)
    plain: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in usual.items()]
    named = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": given.secret, "key": given.key}}}
        for name, given in job.environment.items()
        if given.source == "secret"
    ]
    return plain + named


class _Dumper(yaml.SafeDumper):
    """YAML for readers: text of several lines as a block, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
