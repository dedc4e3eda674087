"""What a sweep was made with: the facts of the ledger's `open` record and the tracker's tags."""

import hashlib
import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dirsweep
from dirsweep import METHOD_VERSION
from dirsweep.config import Labelled, method_key
from dirsweep.data import Dataset
from dirsweep.search.model import SweepSpec
from dirsweep.search.spec import encoder_files
from dirsweep.sweep.session import Resources

PACKAGES = ("ray", "torch", "optuna", "numpy", "pandas", "scipy", "pydantic")
SOURCE = Path(dirsweep.__file__).resolve().parents[1]


def opening(spec: SweepSpec, dataset: Dataset, resources: Resources) -> dict[str, Any]:
    """Fields of the ledger's `open` record."""
    return {
        "spec": spec.hash,
        "method_version": METHOD_VERSION,
        "data": dataset.hash,
        "encoder": encoder_files(spec),
        "constraints": constraints_hash(),
        "git": git_commit(),
        "versions": versions(),
        "trials": spec.budget.trials,
        "resources": resources.facts,
    }


def versions() -> dict[str, str]:
    """Package to version, of this installation; dirsweep's own also where it is not installed."""
    ours = {"python": platform.python_version(), "dirsweep": dirsweep.__version__}
    return ours | {name: version(name) for name in PACKAGES}


def tags(spec: SweepSpec, opened: dict[str, Any], name: str) -> dict[str, str]:
    """Tags of the sweep and of each of its trials, from the ledger's `open` record and the folder's name."""
    config = spec.default_config()
    dataset = config.dataset
    return {
        "sweep": name,
        "dataset": Path(dataset.path).stem if isinstance(dataset, Labelled) else dataset.name,
        "method": method_key(config),
        "git_commit": opened["git"],
        "data_hash": opened["data"],
        "constraints_hash": opened["constraints"],
        "spec_hash": opened["spec"],
        "method_version": str(opened["method_version"]),
        "versions": json.dumps(opened.get("versions", {})),
        "seed": str(config.seed),
        "device": config.device,
    }


def constraints_hash() -> str:
    """sha256 of the constraints file beside the source tree; empty for an installed package."""
    file = SOURCE / "constraints.txt"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


def git_commit() -> str:
    """Commit of the repository here, else of dirsweep's own, "-dirty" if changed; may be empty."""
    for place in (Path.cwd(), SOURCE):
        command = ["git", "-C", str(place), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):  # no git, no repository, no commit yet
            continue
        return found.stdout.strip()
    return ""
