"""The phases of stage 1: what each takes over, what it adds to the loss, and which one selects."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dirsweep import stage1
from dirsweep.config import INV, Stage1, TrialConfig, Unweighted, settings
from dirsweep.group import ALONE
from dirsweep.methods import Batch
from dirsweep.methods.norm_ordinality import feature_norm, norm_ordinality
from dirsweep.methods.ordinal_entropy import ordinal_entropy

CENTRES = np.array([1.0, 2.0, 4.0])


def trial() -> Any:
    """What a phase reads of a trial: three bins."""
    bins = SimpleNamespace(centres=CENTRES)
    shots = SimpleNamespace(bins=bins, counts=np.array([5, 3, 1]))
    return SimpleNamespace(config=TrialConfig(), group=ALONE, dataset=SimpleNamespace(shots=shots))


def phases(**fields: Any) -> list[stage1.Phase]:
    found = settings(Stage1.model_validate(fields))
    return [stage1.phase(trial(), setting, 0, last=setting is found[-1]) for setting in found]


def batch(seed: int) -> Batch:
    """Twelve samples, four of each bin."""
    z = torch.randn(12, 5, generator=torch.Generator().manual_seed(seed))
    return Batch(z, z.sum(1), torch.zeros(12), torch.ones(12), torch.arange(12) % 3, z)


def test_a_phase_takes_over_all_that_it_does_not_change_but_the_reset():
    then = [
        {"epochs": 2, "layers": "head", "reset_head": True, "loss": {"name": "mse"}},
        {"epochs": 1, "optimizer": {"name": "sgd"}},
        {"epochs": 1, "layers": "all"},
    ]
    found = settings(Stage1.model_validate({"batch_size": 7, "then": then}))
    assert [setting.stage for setting in found] == ["stage1", *(f"stage1.then.{k}" for k in range(3))]
    assert [setting.layers for setting in found] == ["all", "head", "head", "all"]
    assert [setting.reset_head for setting in found] == [False, True, False, False]
    assert [setting.main.loss.name for setting in found] == ["l1", "mse", "mse", "mse"]
    assert [setting.main.optimizer.name for setting in found] == ["adam", "adam", "sgd", "sgd"]
    assert [setting.main.epochs for setting in found] == [30, 2, 1, 1]
    assert {setting.main.batch_size for setting in found} == {7}


def test_only_the_last_phase_selects():
    found = phases(select="val/few/mae", then=[{"epochs": 1}, {"epochs": 1}])
    assert [phase.select for phase in found] == ["last", "last", "val/few/mae"]


def test_the_regulariser_is_beta_times_ordinality_plus_alpha_entropy():
    ordinality = {"name": "hinge", "weight": 0.3, "ordinal_entropy": 0.7, "prototypes": {"name": "batch"}}
    (phase,) = phases(norm_ordinality=ordinality)
    config = Stage1.model_validate({"norm_ordinality": ordinality}).norm_ordinality
    seen, centres = batch(0), torch.tensor(CENTRES)
    norms = feature_norm(seen.z)
    expected = 0.3 * (
        norm_ordinality(config, norms, seen.bin, centres, None)
        + 0.7 * ordinal_entropy(seen.z, seen.bin, centres)
    )
    assert phase.term is not None
    assert float(phase.term(seen, seen.z)) == pytest.approx(float(expected), rel=1e-5)


def test_the_running_norms_move_after_a_step_and_not_within_it():
    (phase,) = phases(norm_ordinality={"name": "rank", "prototypes": {"name": "ema", "momentum": 0.75}})
    assert phase.term is not None
    (update,) = phase.after_step
    means = [feature_norm(batch(seed).z).reshape(4, 3).mean(0) for seed in (0, 1)]
    phase.term(batch(0), batch(0).z)
    assert not phase.memory["seen"].any()
    update(batch(0))
    torch.testing.assert_close(phase.memory["mean"], means[0])
    update(batch(1))
    torch.testing.assert_close(phase.memory["mean"], 0.75 * means[0] + 0.25 * means[1])


@pytest.mark.parametrize("off", [{"name": "none"}, {"name": "kl", "weight": 0.0}])
def test_a_term_of_weight_0_is_not_there(off: dict[str, Any]):
    (phase,) = phases(norm_ordinality=off)
    assert (phase.term, phase.after_step, phase.memory) == (None, (), {})


def test_a_phase_that_trains_the_head_alone_has_no_regulariser():
    first, probe = phases(then=[{"epochs": 1, "layers": "head"}])
    assert first.term is not None
    assert probe.term is None


def test_each_phase_weighs_samples_as_it_says():
    first, second = phases(then=[{"epochs": 1, "weighting": {"name": "inv", "clip_low": 1}}])
    assert (first.weighting, second.weighting) == (Unweighted(), INV(clip_low=1))
