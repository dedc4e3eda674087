"""Read configuration files; every error names the file, the key, what was found and what to do."""

import os
from pathlib import Path
from typing import Any

from dirsweep.config.dataset import PLACES
from dirsweep.config.errors import explain
from dirsweep.config.plain import plain
from dirsweep.config.trial import TrialConfig

FILES = ("weights", "vectors", "model")
"""Keys of an encoder that may name a file or folder."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; ValueError that names the file if it is no readable mapping."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_yaml(content, str(path))


def parse_yaml(content: bytes, where: str) -> dict[str, Any]:
    """The mapping in the content of a YAML file; `where` stands for the file in errors (ValueError)."""
    try:
        tree = plain(content.decode())
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        raise ValueError(
            f"{where}, line {line}: not UTF-8 text (byte {error.start}); save the file in UTF-8"
        ) from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not isinstance(tree, dict):
        found = {type(None): "nothing", list: "a list", str: "a text"}.get(type(tree), repr(tree))
        raise ValueError(f"{where}: expected keys and values, found {found}")
    return tree


def with_dataset_file(tree: dict[str, Any], file: Path) -> dict[str, Any]:
    """`tree` of a file with `dataset: FILE.yaml` read in, and relative paths made from their file's folder.

    Raises:
        ValueError: a file that cannot be read, or a relative path to data that leads out of that folder.
    """
    dataset, key, own = tree.get("dataset"), "dataset.", file
    if isinstance(dataset, str) and dataset.endswith((".yaml", ".yml")):
        key, own = "", file.parent / dataset
        dataset = read_yaml(own)
    if isinstance(dataset, dict):
        places = {name: dataset[name] for name in PLACES if isinstance(dataset.get(name), str)}
        dataset = dataset | {name: _seen_from(own, key + name, at) for name, at in places.items()}
    rooted = tree if dataset is None else {**tree, "dataset": dataset}
    encoder = tree.get("encoder")
    return {**rooted, "encoder": _with_files(encoder, file)} if isinstance(encoder, dict) else rooted


def _seen_from(file: Path, key: str, place: str) -> str:
    """The absolute path of a place that a file names. A stranger's must not lead out of its folder."""
    if ".." in Path(os.path.normpath(place)).parts:
        raise ValueError(
            f"{file}: '{key}': {place!r} leads out of the folder of this file; if that is meant, write the "
            "absolute path"
        )
    return str((file.parent / place).resolve())


def _with_files(encoder: dict[str, Any], file: Path) -> dict[str, Any]:
    """An encoder whose relative files start at the folder of the file that names them."""
    return {key: _rooted(key, value, file) for key, value in encoder.items()}


def with_searched_files(searched: dict[str, Any], file: Path) -> dict[str, Any]:
    """`searched` of a file with relative files of encoders, conditions on them too, from its folder on.

    What is no mapping of lists is left as it is, for the check of the space to name.
    """
    return {name: _searched(name, found, file) for name, found in searched.items()}


def _searched(name: str, found: Any, file: Path) -> Any:
    if not isinstance(found, dict):
        return found
    rooted = {
        key: _all_rooted(name, value, file) if key == "choice" else value for key, value in found.items()
    }
    if isinstance(found.get("when"), dict):
        rooted["when"] = {other: _all_rooted(other, value, file) for other, value in found["when"].items()}
    return rooted


def _all_rooted(name: Any, values: Any, file: Path) -> Any:
    """One value, or each of a list, of the searched `name`; the check of the space tells what is none."""
    branch, _, key = str(name).rpartition(".")
    if branch != "encoder":
        return values
    if isinstance(values, list):
        return [_rooted(key, value, file) for value in values]
    return _rooted(key, values, file)


def _rooted(key: str, value: Any, file: Path) -> Any:
    """The value of an encoder's key: a file as seen from `file`; the name of a package stays a name."""
    names_file = key in FILES and isinstance(value, str) and (file.parent / value).exists()
    return _seen_from(file, f"encoder.{key}", value) if names_file else value


def read_trial(path: Path, values: dict[str, Any] | None = None) -> TrialConfig:
    """The config in a YAML file, with `values` set by dotted name; ValueError that names file and key.

    A relative path in the file starts at its folder, one in `values` where the user is.
    """
    tree = with_dataset_file(read_yaml(path), path)
    places = {name: values[name] for name in map("dataset.{}".format, PLACES) if values and name in values}
    values = {**(values or {}), **{name: str(Path(place).resolve()) for name, place in places.items()}}
    try:
        config = TrialConfig.model_validate(tree)
        return config.with_overrides(values) if values else config
    except ValueError as error:
        raise ValueError(explain(error, str(path))) from None
