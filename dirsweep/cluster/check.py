"""Look around on a Ray cluster before a sweep begins there: versions, room, the folder that all must share.

Runs on the cluster, for a folder that a laptop sees under some path says nothing of what the nodes see. Every
node that is there now is asked; those that an autoscaler adds later are not.
"""

import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import dirsweep
from dirsweep.cluster.seen import seen_here
from dirsweep.storage import Folder, Place
from dirsweep.sweep import Resources
from dirsweep.sweep.session import ray_session

KINDS = ("dirsweep", "python", "ray")
PROBES = ".probes"
PATIENCE = 60.0  # seconds for all nodes to answer; a worker's first start takes several


def look_around(
    storage: Place,
    resources: Resources,
    *,
    expected: Mapping[str, str],
    at_least: int = 1,
    variables: Sequence[str] = (),
    needs: Sequence[str] = (),
) -> str:
    """What the cluster at RAY_ADDRESS has, in words.

    Args:
        storage: must be one and the same writable folder on all nodes.
        expected: versions that all nodes must have: "dirsweep", "python", "ray".
        at_least: how many trials must have room at once.
        variables: names of environment variables that must be set here, where the driver runs.
        needs: files and folders that all nodes must see.

    Raises:
        ValueError: one line per problem, with the node and what was found; or as `ray_session`.
        refusal.Refused: as `ray_session`.
        ConnectionError: an object store, or a node, does not answer; the same again, later, may do.
    """
    lacking = [name for name in variables if not os.environ.get(name)]
    if lacking:
        raise ValueError(
            f"{socket.gethostname()}: {', '.join(lacking)} not set in the environment of the head; set "
            "it where Ray is started there"
        )
    storage = Folder(storage)
    if not storage.is_absolute:
        raise ValueError(f"--storage {storage}: a cluster needs an absolute path")
    probes = storage / PROBES
    mark = uuid.uuid4().hex
    try:
        probes.put(mark, b"")
    except ConnectionError:
        raise
    except OSError as error:
        raise ValueError(
            f"storage {storage}: {socket.gethostname()} cannot write there ({error.strerror or error}); "
            "name a folder that all nodes share"
        ) from None
    try:
        with ray_session(resources) as room:
            answers = _ask_nodes(str(probes), mark, list(needs))
    finally:
        probes.delete(mark)
    found = [problem for answer in answers for problem in problems(answer, storage, expected)]
    if room < at_least:
        found.append(f"the job asks for {at_least} trials at once, but the cluster has room for {room}")
    if found:
        raise ValueError("\n".join(found))
    if away := [f"{answer['node']}: {answer['away']}" for answer in answers if answer["away"]]:
        raise ConnectionError("\n".join(away))
    nodes = "1 node" if len(answers) == 1 else f"{len(answers)} nodes"
    return (
        f"{nodes}, room for {room} trials at once; all see {storage} and run dirsweep {dirsweep.__version__}"
    )


def _ask_nodes(folder: str, mark: str, needs: list[str]) -> list[dict[str, Any]]:
    """What each node sees, asked of all at once."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=0)(seen_here)
    answers = [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            folder, mark, needs
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
    try:
        found: list[dict[str, Any]] = ray.get(answers, timeout=PATIENCE)
    except ray.exceptions.RayError as error:
        cause = str(error).strip().splitlines()
        said = f"not every node of the cluster answers: {cause[-1] if cause else error!r}"
        if isinstance(error, ray.exceptions.RayTaskError):  # a node without dirsweep
            raise ValueError(said) from None
        raise ConnectionError(said) from None  # too late, or a node was lost
    return found


def problems(answer: dict[str, Any], storage: Folder, expected: Mapping[str, str]) -> list[str]:
    """What is wrong with a node, by its answer."""
    node, found = answer["node"], answer["versions"]
    wrong = [
        f"{node}: has {name} {found.get(name, 'missing')}, but the job was made with {wanted}; install "
        "the same on both sides"
        for name, wanted in expected.items()
        if found.get(name) != wanted
    ]
    known = not answer["away"]  # else whether it sees the storage will show later
    why = f" ({answer['why']})" if answer["why"] else ""
    if known and not answer["shared"]:
        wrong.append(
            f"{node}: does not see storage {storage} as the head does{why}; name a folder that all nodes "
            "share"
        )
    elif known and not answer["writable"]:
        wrong.append(f"{node}: cannot write in storage {storage}{why}")
    wrong += [
        f"{node}: has no {place}, which the search space names; put it there" for place in answer["lacks"]
    ]
    return wrong
