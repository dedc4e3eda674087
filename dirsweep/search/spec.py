"""Read a search-space file and check all of it before anything starts."""

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dirsweep.config import TrialConfig, knobs, parse_yaml, read_yaml, with_dataset_file, with_searched_files
from dirsweep.config.encoder import BACKBONES, MLP, EncoderConfig
from dirsweep.search.check import OWN, explain, name_problems, problems, searchable
from dirsweep.search.model import SweepSpec
from dirsweep.search.reach import encoders
from dirsweep.shots import check_threshold
from dirsweep.storage import Folder

if TYPE_CHECKING:
    from dirsweep.data import Inputs

__all__ = ["FILE", "SweepSpec", "check_data", "json_schema", "parse_spec", "read_own_spec", "read_spec"]

FILE = "spec.yaml"
"""Name of the resolved search space in a sweep's folder."""


def read_spec(path: Path) -> SweepSpec:
    """The search space in a YAML file, `dataset: FILE.yaml` read in and relative paths made from its folder.

    Raises:
        ValueError: one line per problem: the file, the key, what was found and what is allowed.
    """
    tree = read_yaml(path)
    if isinstance(tree.get("fixed"), dict):
        tree = {**tree, "fixed": with_dataset_file(tree["fixed"], path)}
    if isinstance(tree.get("searched"), dict):
        tree = {**tree, "searched": with_searched_files(tree["searched"], path)}
    if isinstance(tree.get("warm_start"), list):
        tree = {**tree, "warm_start": [_beside(path, folder) for folder in tree["warm_start"]]}
    return parse_spec(tree, str(path))


def read_own_spec(folder: Folder) -> SweepSpec:
    """The resolved search space in a sweep's folder. Raises as `read_spec`."""
    return parse_spec(own_tree(folder), f"{folder}/{FILE}")


def own_tree(folder: Folder) -> dict[str, Any]:
    """The resolved search space in a sweep's folder, as plain values. ValueError if it is no mapping."""
    where = f"{folder}/{FILE}"
    try:
        content = folder.read(FILE)
    except FileNotFoundError:
        raise ValueError(f"{where}: no such file") from None
    except ConnectionError:  # an object store that is away: no bad input
        raise
    except OSError as error:
        raise ValueError(f"{where}: cannot be read: {error.strerror or error}") from None
    return parse_yaml(content, where)


def parse_spec(tree: dict[str, Any], where: str) -> SweepSpec:
    """The search space in a tree of plain values; `where` stands for the file in errors."""
    searched = tree.get("searched")
    found = name_problems(searched) if isinstance(searched, dict) else []
    try:
        spec = SweepSpec.model_validate(tree)
    except ValidationError as error:
        found += explain(error)
    else:
        # What a name is worth is only known once all names are right.
        found += problems(spec) if not found else []
    if found:
        raise ValueError("\n".join(f"{where}: {problem}" for problem in found))
    return spec


def check_data(spec: SweepSpec) -> None:
    """Load the data and check what depends on it, the majority threshold; and every encoder with its files.

    Raises:
        ValueError: the data or an encoder's files cannot be loaded, the encoder does not suit the data, or
            the top of the threshold's range leaves fewer than two majority bins (the trial's own errors).
    """
    from dirsweep.data import load  # not at the top: it takes a while, and reading a space needs none

    name = "stage2.majority_threshold"
    default = spec.default_config()
    data = load(default.dataset)
    _check_encoder(default.encoder, data.train.inputs)
    for params, encoder in encoders(spec):
        try:
            _check_encoder(encoder, data.train.inputs)
        except ValueError as error:
            beside = ", ".join(f"searched.{name} = {value!r}" for name, value in params.items())
            raise ValueError(f"with {beside}: {error}") from None
    searched = spec.searched.get(name)
    if searched is None and default.stage2 is None:
        return
    theta = (
        default.stage2.majority_threshold
        if searched is None and default.stage2
        else max(spec.searched[name].probes())
    )
    try:
        check_threshold(data.shots.counts, theta)
    except ValueError as error:
        raise ValueError(f"'{'fixed' if searched is None else 'searched'}.{name}': {error}") from None


def _check_encoder(config: EncoderConfig, inputs: "Inputs") -> None:
    """See that an encoder can be built for such inputs. ValueError."""
    if isinstance(config, MLP):
        return  # it reads no files and takes any table, so PyTorch need not be loaded, which takes seconds
    from dirsweep import models

    models.check(config, inputs)


def encoder_files(spec: SweepSpec) -> str:
    """sha256 over the contents of all files that an encoder of the search may read; "" where there are none.

    Raises:
        ValueError: one of them cannot be read.
    """
    from dirsweep import models

    asked = [spec.default_config().encoder, *(encoder for _, encoder in encoders(spec))]
    found = sorted({json.dumps(models.contents(encoder), sort_keys=True) for encoder in asked} - {"{}"})
    return hashlib.sha256("".join(found).encode()).hexdigest() if found else ""


def json_schema() -> dict[str, Any]:
    """JSON schema of a search-space file, for editors: knows every searchable name and its meaning."""
    schema = SweepSpec.model_json_schema(by_alias=True)
    trial = TrialConfig.model_json_schema(ref_template="#/$defs/{model}")
    schema["$defs"].update(trial.pop("$defs"))
    # A dataset may also be a name or a file.
    trial["properties"]["dataset"] = {"anyOf": [{"type": "string"}, trial["properties"]["dataset"]]}
    # An encoder may be a name, a backbone's too, and need not say its name where the data have a usual one.
    encoder = trial["properties"]["encoder"]
    short = {"type": "object", "properties": {"name": {"enum": list(BACKBONES)}}, "required": ["name"]}
    variants = [{"type": "string"}, short, *encoder.pop("oneOf")]
    trial["properties"]["encoder"] = {**encoder, "anyOf": variants}
    schema["properties"]["fixed"] = {**trial, "description": schema["properties"]["fixed"]["description"]}
    # A mode may be its name alone.
    mode = schema["properties"]["mode"]
    described = {"description": mode.pop("description"), "default": "joint"}
    names_of_modes = [{"const": name} for name in mode["discriminator"]["mapping"]]
    schema["properties"]["mode"] = {"anyOf": [*names_of_modes, mode], **described}
    distribution = schema["properties"]["searched"].pop("additionalProperties")
    names: dict[str, Any] = {}
    for knob in knobs():
        if searchable(knob.name):
            names.setdefault(
                knob.name, {**distribution, "description": f"{knob.meaning} Takes: {knob.takes}."}
            )
    further = {name: value for name, value in names.items() if ".then.0." in name}
    schema["properties"]["searched"].update(
        properties={name: value for name, value in names.items() if name not in further},
        patternProperties={
            **{_pattern(name): value for name, value in further.items()},
            OWN.pattern: {"description": "An option of your own encoder."} | distribution,
        },
        additionalProperties=False,
    )
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _beside(path: Path, folder: Any) -> Any:
    """A folder that is named relative to the file at `path`; an address stays what it is."""
    if isinstance(folder, str) and "://" in folder:
        return folder
    return str((path.parent / folder).resolve()) if isinstance(folder, str) else folder


def _pattern(name: str) -> str:
    return "^" + re.escape(name).replace(r"\.then\.0\.", r"\.then\.[0-9]+\.") + "$"
