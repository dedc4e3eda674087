"""The folder of a trial: which trial lies there, and what of it cannot be read.

`config.json` and `facts.json` are written first. A folder that has others is another trial's, and nothing is
written there.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dirsweep import METHOD_VERSION, models
from dirsweep.config import PLACES, EncoderConfig, TrialConfig
from dirsweep.config.errors import shown
from dirsweep.data import Dataset
from dirsweep.storage import Folder


def claim_folder(config: TrialConfig, dataset: Dataset, folder: Folder) -> None:
    """Write config.json and facts.json, or find that the folder is this trial's already.

    Where a CSV lies is of no account: facts.json holds the hash of its content, and of the encoder's files.
    """
    facts: dict[str, Any] = {"data": dataset.hash, "method_version": METHOD_VERSION}
    facts |= {"encoder": models.contents(config.encoder)}
    for name, mine in (("config.json", config.model_dump(mode="json")), ("facts.json", facts)):
        if not folder.put_if_absent(name, json.dumps(mine, indent=1).encode()):
            theirs = read_json(folder, name)
            if name == "config.json":
                theirs = _as_now(theirs)
            for tree in (theirs, mine):
                _without_places(tree)
            if name == "facts.json":
                theirs.setdefault("encoder", facts["encoder"])  # begun before that was kept
                _check_files(config.encoder, theirs["encoder"], facts["encoder"], folder)
            if theirs != mine:
                raise ValueError(
                    f"{folder}/{name}: this folder holds another trial ({_difference(theirs, mine)}); "
                    "choose another folder"
                )


def _check_files(
    encoder: EncoderConfig, theirs: dict[str, str], mine: dict[str, str], folder: Folder
) -> None:
    """Refuse to go on with other files of the encoder than the trial began with. ValueError."""
    for key, found in mine.items():
        if theirs.get(key) != found:
            knob = "path" if key == "source" else key
            raise ValueError(
                f"encoder.{knob} {getattr(encoder, knob)!r}: what it names has changed since the trial in "
                f"{folder} began; put it back, or choose another folder"
            )


def _as_now(kept: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the knobs that have come since it was kept; as it is if it is none any more."""
    try:
        return TrialConfig.model_validate(kept).model_dump(mode="json")
    except ValueError:
        return kept


def _without_places(tree: dict[str, Any]) -> None:
    for key in PLACES:
        tree.get("dataset", {}).pop(key, None)


def _difference(theirs: dict[str, object], mine: dict[str, object]) -> str:
    """The first place where two nested mappings differ."""
    for key in mine:
        if theirs.get(key) != mine[key]:
            left, right = theirs.get(key), mine[key]
            if isinstance(left, dict) and isinstance(right, dict):
                return f"{key}.{_difference(left, right)}"
            return f"{key} is {shown(left)} there and {shown(right)} here"
    return "it has further keys"


def read_json(folder: Folder, name: str) -> dict[str, Any]:
    """A JSON file of a trial. ValueError that names it if it is damaged."""
    with naming_damaged(folder, name):
        found = json.loads(folder.read(name))
        if not isinstance(found, dict):
            raise ValueError(f"expected names and values, found {found!r:.40}")
        return found


class _Named(ValueError):
    """Says already which file is damaged."""


@contextmanager
def naming_damaged(folder: Folder, name: str) -> Iterator[None]:
    """Whatever reading a file of ours into its form makes of one that was damaged or written by another."""
    try:
        yield
    except _Named:
        raise
    except FileNotFoundError:
        raise _Named(f"{folder}/{name}: no such file; train the trial again in another folder") from None
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise _Named(
            f"{folder}/{name}: the file is damaged ({' '.join(said.split())}); train the trial again in "
            "another folder"
        ) from None
