"""Two views of a sample, phases without a loss, sharpness-aware steps, a deviation that is learned."""

import time
from pathlib import Path
from typing import Any

import pandas as pd
import pictures
import pytest
import tiny
import torch
from torch import nn

from dirsweep import pipeline
from dirsweep.checkpoint import Stopped
from dirsweep.config import TrialConfig
from dirsweep.loop.climb import climbed
from dirsweep.storage import Folder

CONTRAST = {"name": "rank_n_contrast"}
PROBE = {"epochs": 2, "layers": "head", "loss": {"name": "l1"}, "feature_method": None}


def run(config: TrialConfig, place: Path, **options: Any) -> dict[str, float]:
    return pipeline.run_trial(config, Folder(place), lambda record: None, **options)


def predictions(place: Path) -> list[float]:
    return pd.read_csv(place / "val_predictions.csv")["prediction"].tolist()


def contrastive(folder: Path, **values: Any) -> TrialConfig:
    """Rank-N-Contrast as published: contrast alone, then a linear probe."""
    tree = tiny.config(folder, encoder__dropout=0.2).model_dump(mode="json")
    tree["stage1"] |= {"feature_method": CONTRAST, "loss": {"name": "none"}, "then": [PROBE]}
    return TrialConfig.model_validate(tree).with_overrides(values)


@pytest.mark.slow
def test_contrast_alone_then_a_linear_probe_then_stage_2_run_and_differ_by_the_contrast(tmp_path: Path):
    whole = contrastive(tmp_path)
    short = whole.with_overrides({"stage1.epochs": 1})
    found = [run(config, tmp_path / str(n)) for n, config in enumerate((whole, short))]
    assert all(metrics["val/all/mae"] > 0 for metrics in found)
    assert predictions(tmp_path / "0") != predictions(tmp_path / "1")


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"stage1.feature_method.name": "conr", "stage1.loss.name": "l1"},
        {},
        {"stage1.optimizer.rho": 0.1},
        {"stage1.feature_method.name": "none", "stage1.loss": {"name": "balanced_mse", "sigma_lr": 0.05}},
        {"stage1.feature_method.name": "none", "stage1.loss": {"name": "nig"}},
    ],
    ids=["conr", "rank_n_contrast", "rho", "learned sigma", "nig"],
)
def test_a_stopped_trial_goes_on_to_the_same_numbers(tmp_path: Path, change: dict[str, Any]):
    config = contrastive(tmp_path, **change)
    run(config, tmp_path / "whole")
    seen: list[Any] = []

    def slowly(record: Any) -> None:
        seen.append(record)
        if len(seen) == 2:
            time.sleep(1.1)  # a stop is looked for once a second

    with pytest.raises(Stopped):
        pipeline.run_trial(config, Folder(tmp_path / "cut"), slowly, should_stop=lambda: len(seen) > 1)
    run(config, tmp_path / "cut", emitted=len(seen))
    assert predictions(tmp_path / "cut") == predictions(tmp_path / "whole")


@pytest.mark.slow
def test_with_two_views_a_batch_holds_every_sample_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from dirsweep import stage1

    seen: list[tuple[int, bool, bool]] = []
    plain = stage1.feature_term

    def looked_at(config, batch, centres):
        half = len(batch.target) // 2
        same_samples = torch.equal(batch.target[:half], batch.target[half:])
        seen.append((len(batch.target), same_samples, torch.equal(batch.z[:half], batch.z[half:])))
        return plain(config, batch, centres)

    monkeypatch.setattr(stage1, "feature_term", looked_at)
    run(contrastive(tmp_path), tmp_path / "trial")
    assert {size for size, *_ in seen} >= {128}
    assert all(same and not equal for _, same, equal in seen)


def test_two_views_that_would_be_equal_are_refused(tmp_path: Path):
    with pytest.raises(
        ValueError, match=r"stage1.feature_method conr compares two views.*set encoder.dropout"
    ):
        tiny.config(tmp_path, stage1__feature_method__name="conr")
    then = [{"epochs": 1, "layers": "last_block"}]
    with pytest.raises(ValueError, match=r"stage1.then.0.feature_method conr .* set layers to all"):
        tiny.config(tmp_path, encoder__dropout=0.2, stage1__feature_method__name="conr", stage1__then=then)


def test_augmentation_makes_two_views_in_front_of_frozen_layers_too(tmp_path: Path):
    encoder = {"name": "small_cnn", "augmentation": {"name": "crop_flip", "pad": 2}}
    then = [{"epochs": 1, "layers": "last_block"}]
    values = {"encoder": encoder, "stage1.feature_method.name": "conr", "stage1.then": then}
    assert pictures.trial(pictures.dataset(pictures.write_folder(tmp_path)), **values).stage1.then


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stage1.then": []}, "loss is none in the last phase"),
        ({"stage1.feature_method.name": "fds"}, "loss is none, so the phase needs a feature method"),
        ({"stage1.weighting.name": "inv"}, "weighting would do nothing where the loss is none"),
        ({"stage1.then": [PROBE | {"loss": None}]}, "then.0.loss is none, so the phase needs"),
    ],
)
def test_a_phase_that_nothing_would_train_is_refused(tmp_path: Path, change: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        contrastive(tmp_path, **change)


def test_a_sharpness_aware_step_takes_the_gradient_at_the_top_and_leaves_the_weights():
    model = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 4.0]]))

    def loss() -> torch.Tensor:
        return (model.weight**2).sum() / 2  # its gradient is the weight itself

    loss().backward()
    with climbed(model, 0.5):
        assert model.weight[0].tolist() == pytest.approx([3.3, 4.4])  # 0.5 along (3, 4) / 5
        model.zero_grad()
        loss().backward()
    assert model.weight[0].tolist() == [3.0, 4.0]
    assert model.weight.grad[0].tolist() == pytest.approx([3.3, 4.4])


def test_a_sharpness_aware_step_moves_running_statistics_once_and_nothing_at_gradient_0():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    before = [weight.clone() for weight in model.parameters()]
    with climbed(model, 0.5):
        assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
        model(torch.randn(8, 2))
    assert model[1].running_mean.tolist() == [0.0, 0.0]
    assert model[1].momentum == 0.1
