"""One short trial of every base method's space, as a sweep would ask it first."""

import math
from pathlib import Path

import pytest

from dirsweep import data, pipeline
from dirsweep.config import TrialConfig
from dirsweep.plan.sample import first_asked
from dirsweep.search.spec import read_spec
from dirsweep.storage import Folder

BASELINES = sorted((Path(__file__).parent.parent / "search_spaces" / "baselines").glob("*.yaml"))


def shortened(config: TrialConfig) -> TrialConfig:
    """Two epochs of the first phase (what acts from the second one on acts), one of every other."""
    epochs = {f"stage1.then.{number}.epochs": 1 for number in range(len(config.stage1.then))}
    return config.with_overrides({"stage1.epochs": 2, **epochs, "stage2.schedule.epochs": 1})


@pytest.mark.slow
@pytest.mark.parametrize("file", BASELINES, ids=lambda file: file.stem)
def test_the_first_trial_of_a_base_methods_space_trains(file: Path, tmp_path: Path):
    spec = read_spec(file)
    asked = first_asked(spec, data.load(spec.default_config().dataset))
    config = shortened(spec.config(asked[min(asked)]))
    found = pipeline.run_trial(config, Folder(tmp_path), lambda record: None)
    shots = ("all", "many", "median", "few")
    assert all(math.isfinite(found[f"val/{shot}/mae"]) for shot in shots)
