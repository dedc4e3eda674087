"""What a node of a cluster sees. Runs on each node, in a worker that starts for it, so it imports little."""

import platform
import socket
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dirsweep
from dirsweep.storage import Folder


def versions() -> dict[str, str]:
    """Versions here, of Python its minor one."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"dirsweep": dirsweep.__version__, "python": python, "ray": version("ray")}


def seen_here(folder: str, mark: str, needs: list[str]) -> dict[str, Any]:
    """A node's name and versions, and whether it sees the mark and can write beside it.

    "away" is what was said where an object store did not answer there, which may pass.
    """
    shared, writable, why, away = False, False, "", ""
    try:
        probes, own = Folder(folder), f"{mark}-{uuid.uuid4().hex}"
        shared = probes.exists(mark)
        if shared:
            probes.put(own, b"")
            probes.delete(own)
            writable = True
    except ConnectionError as error:
        away = str(error)
    except (OSError, ValueError) as error:  # the latter where a node cannot speak to an object store
        why = getattr(error, "strerror", None) or str(error)
    return {
        "node": socket.gethostname(),
        "shared": shared,
        "writable": writable,
        "why": why,
        "away": away,
        "lacks": [place for place in needs if not Path(place).exists()],
        "versions": versions(),
    }
