"""Read configuration files; every error names the file, the key, what was found and what to do."""

from pathlib import Path
from typing import Any

import yaml

from dirsweep.config.dataset import PLACES
from dirsweep.config.errors import explain
from dirsweep.config.trial import TrialConfig


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; ValueError that names the file if it is no readable mapping."""
    try:
        tree = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: expected keys and values, found {type(tree).__name__}")
    return tree


def with_dataset_file(tree: dict[str, Any], folder: Path) -> dict[str, Any]:
    """`tree` with `dataset: FILE.yaml` read in, and its relative paths taken from its file's folder."""
    dataset = tree.get("dataset")
    if isinstance(dataset, str) and dataset.endswith((".yaml", ".yml")):
        file = folder / dataset
        dataset, folder = read_yaml(file), file.parent
    if isinstance(dataset, dict):
        places = {key: dataset[key] for key in PLACES if isinstance(dataset.get(key), str)}
        dataset = dataset | {key: str((folder / place).resolve()) for key, place in places.items()}
    return tree if dataset is None else {**tree, "dataset": dataset}


def read_trial(path: Path, values: dict[str, Any] | None = None) -> TrialConfig:
    """The config in a YAML file, with `values` set by dotted name; ValueError that names file and key.

    A relative path in the file starts at its folder, one in `values` where the user is.
    """
    tree = with_dataset_file(read_yaml(path), path.parent)
    places = {name: values[name] for name in map("dataset.{}".format, PLACES) if values and name in values}
    values = {**(values or {}), **{name: str(Path(place).resolve()) for name, place in places.items()}}
    try:
        config = TrialConfig.model_validate(tree)
        return config.with_overrides(values) if values else config
    except ValueError as error:
        raise ValueError(explain(error, str(path))) from None
