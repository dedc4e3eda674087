"""The controls that a sweep runs beside its trials (METHOD section 6, numbers 1 and 2).

`plain` is a configuration with beta = 0 and no stage 2, `mu0` the same with no norm term in stage 2.
They run for the space's default configuration first and for the best trial last, outside budget,
sampler and pruning.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dirsweep.config import TrialConfig
from dirsweep.ledger import SEED, TrialRecord
from dirsweep.search.model import SweepSpec

CONTROLS = ("plain", "mu0")
DEFAULT = "default"


@dataclass(frozen=True)
class Control:
    """One control: what it is compared with, and the parameters it starts from."""

    of: str
    control: str
    params: dict[str, Any]

    @property
    def key(self) -> str:
        """Its name in the sweep: "default-plain", "7-mu0"."""
        return f"{self.of}-{self.control}"


def due(of: str, params: Mapping[str, Any], known: Mapping[str, TrialRecord]) -> list[Control]:
    """The controls of `of` ("default", or a trial) that the ledger does not have yet."""
    controls = [Control(of, name, dict(params)) for name in CONTROLS]
    return [control for control in controls if control.key not in known]


def repeats(trial: TrialRecord, seeds: int, known: Mapping[str, TrialRecord]) -> list[Control]:
    """The runs of a trial with its further seeds, 2 to `seeds`, that the ledger does not have yet."""
    again = [Control(trial.trial, f"{SEED}{number}", trial.params) for number in range(2, seeds + 1)]
    return [control for control in again if control.key not in known]


def trial_config(spec: SweepSpec, of: str, control: str | None, params: Mapping[str, Any]) -> TrialConfig:
    """The configuration of a trial (`control` None) or of a control. ValueError if the tree refuses it."""
    config = spec.default_config() if of == DEFAULT else spec.config(dict(params))
    match control:
        case None:
            return config
        case "plain":
            return config.plain()
        case "mu0":
            return config.without_norm_term()
        case str() if control.startswith(SEED):  # the same seeds for every trial, so that they are paired
            seed = config.seed + int(control.removeprefix(SEED)) - 1
            return config.with_overrides({"seed": seed})
    raise ValueError(f"there is no control {control!r}; known: {', '.join(CONTROLS)}")


def record_config(spec: SweepSpec, record: TrialRecord) -> TrialConfig:
    """The configuration that a record of the ledger ran with."""
    return trial_config(spec, record.of or record.trial, record.control or None, record.params)


def same_config(spec: SweepSpec, config: TrialConfig, records: Iterable[TrialRecord]) -> TrialRecord | None:
    """A complete trial or control of the very same configuration: its numbers would come again."""
    for record in records:
        if record.state == "COMPLETE" and record_config(spec, record) == config:
            return record
    return None
