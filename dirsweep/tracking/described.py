"""What the registry says of a model: its version's tags, its errors, what it needs to be loaded."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from dirsweep import __version__
from dirsweep.config import BiLSTM, Custom, EncoderConfig, SentenceEncoder, TrialConfig
from dirsweep.markdown import escaped
from dirsweep.storage import Folder
from dirsweep.tracking import rows

SHOWN = ("dataset", "seed")
"""Tags of the run that the version gets too, where the run has them."""
LONGEST = 5000  # characters of a description that MLflow's tables take


@dataclass(frozen=True)
class Described:
    """A trial as the registry shows it.

    target: the label's column; inputs: what predictions rest on, for people.
    errors: on val, by metric's name ("val/few/mae").
    """

    config: TrialConfig
    target: str
    inputs: str
    errors: dict[str, float]
    tags: dict[str, str]

    @property
    def first_line(self) -> str:
        """What it predicts; Markdown."""
        target, inputs, sweep = map(escaped, (self.target, self.inputs, self.tags["sweep"]))
        return f"Predicts {target} from {inputs}; from the sweep {sweep}."

    def page(self, name: str, alias: str) -> str:
        """Markdown: whose model it is, its errors, what it needs, how it is loaded."""
        shots = list(dict.fromkeys(key.split("/")[1] for key in self.errors))
        lines = [
            f"{self.first_line} Trial {escaped(self.tags['trial'])}, "
            f"method version {self.tags['method_version']}.",
            "",
            "On val, whose figures are optimistic where they chose the trial:",
            "",
            *(f"- {shot}: {self._errors(shot)}" for shot in shots),  # MLflow shows tables without gaps
            "",
            f"To be loaded it needs dirsweep {__version__} {escaped(_further(self.config.encoder))}.",
            "",
            "The input example is made up; it is no row of the data.",
            "",
            f'`mlflow.pyfunc.load_model("models:/{name}@{alias}")`, or '
            f"`mlflow models serve -m models:/{name}@{alias} --env-manager local`",
        ]
        return "\n".join(lines)[:LONGEST]

    def _errors(self, shot: str) -> str:
        found = {name: self.errors.get(f"val/{shot}/{name}") for name in self.config.dataset.metrics}
        return ", ".join(f"{name.upper()} {value:.4g}" for name, value in found.items() if value is not None)


def described(client: Any, run: Any, trial: Folder) -> Described:
    """The finished trial of a run, which an `MlflowClient` has looked up."""
    from dirsweep.checkpoint import unpack

    config = TrialConfig.model_validate_json(trial.read("config.json"))
    metrics = json.loads(trial.read("metrics.json"))
    wanted = re.compile(rf"val/[^/]+/({'|'.join(config.dataset.metrics)})")
    errors = {key: float(value) for key, value in metrics.items() if wanted.fullmatch(key)}
    errors = {key: value for key, value in errors.items() if math.isfinite(value)}  # an empty shot has none
    _, notes = unpack(trial.read("model.safetensors"))
    first = config.dataset.metrics[0]
    tags = {
        "sweep": run.data.tags.get("sweep") or client.get_experiment(run.info.experiment_id).name,
        "trial": run.data.tags.get("trial") or trial.name,
        **{key: run.data.tags[key] for key in SHOWN if key in run.data.tags},
        **{key: f"{value:.6g}" for key, value in errors.items() if key.endswith(f"/{first}")},
        "method_version": str(notes["method_version"]),
        "dirsweep_version": __version__,
    }
    target = json.loads(trial.read("inputs.json"))["target"]
    return Described(config, target, rows.encoding(trial).summary, errors, tags)


def requirement(encoder: EncoderConfig) -> str:
    """What pip would have to install, with the extra that the encoder's own packages are in."""
    match encoder:
        case SentenceEncoder():
            return f"dirsweep[sentences]=={__version__}"
        case BiLSTM() if encoder.vectors == BiLSTM().vectors:
            return f"dirsweep[vectors]=={__version__}"
    return f"dirsweep=={__version__}"


def _further(encoder: EncoderConfig) -> str:
    match encoder:
        case BiLSTM():
            return f"and the word vectors {encoder.vectors!r}, which are not in its folder"
        case SentenceEncoder():
            return f"and the sentence model {encoder.model!r}, which is not in its folder"
        case Custom():
            return (
                f"and the code of {encoder.path!r} as it was, in the folder that it is loaded from or on "
                "PYTHONPATH, for it is not in the model's own"
            )
    return "and nothing else"
