"""Gradient accumulation: a batch in parts has the gradient of the whole, in the memory of a part."""

import weakref
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from dirsweep import models, pipeline, stage2
from dirsweep.checkpoint import unpack
from dirsweep.config import KL, MLP, TrialConfig
from dirsweep.loop import encoded, frozen, part_size
from dirsweep.methods.balanced_mse import bmc
from dirsweep.methods.norm_ordinality import feature_norm, norm_ordinality
from dirsweep.methods.ranksim import ranksim
from dirsweep.storage import Folder

BATCH, BINS = 23, 6


def gradients(size: int | None, dropout: float = 0.0) -> dict[str, Tensor]:
    """Of methods that look at the whole batch, through a perceptron in float64."""
    config = MLP(width=8, depth=3, dropout=dropout)
    model = models.build(config, torch.empty(1, 4), seed=0).double().train()
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(BATCH, 4, generator=draw, dtype=torch.float64)
    target = torch.rand(BATCH, generator=draw, dtype=torch.float64)
    bin = (target * BINS).long()
    torch.manual_seed(1)
    z = encoded(model.parts("all")[1], inputs, size)
    loss = bmc(model.read(z), target, torch.ones_like(target), 0.6)
    loss = loss + norm_ordinality(KL(), feature_norm(z), bin, torch.arange(float(BINS)), None)
    (loss + ranksim(z, target, bin, 2.0)).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("size", [2, 6, 11, 22])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(size):
    whole, found = gradients(None), gradients(size)
    assert all(gradient.abs().max() > 1e-3 for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-12)


def test_dropout_draws_the_same_when_a_part_is_run_again():
    """Were other units dropped the second time, a part's gradient would not be that of its features."""
    layers = nn.Sequential(nn.Linear(3, 50), nn.Dropout(0.5))
    torch.manual_seed(0)
    z = encoded(layers, torch.ones(4, 3), 2)
    z.sum().backward()
    kept = (z != 0).float() * 2
    torch.testing.assert_close(layers[0].bias.grad, kept.sum(0))


def test_nothing_of_a_part_is_kept_but_its_features():
    layers = nn.Sequential(nn.Linear(3, 50), nn.ReLU(), nn.Linear(50, 2))
    made: list[Any] = []
    layers[1].register_forward_hook(lambda module, inputs, output: made.append(weakref.ref(output)))
    z = [encoded(layers, torch.randn(12, 3), size) for size in (None, 4)]
    assert [one() is not None for one in made] == [True, False, False, False]
    z[1].sum().backward()
    assert len(made) == 1 + 2 * 3


def test_batch_norm_moves_once_for_each_part():
    layers = nn.Sequential(nn.BatchNorm1d(3, momentum=0.5))
    inputs = torch.arange(12.0).reshape(4, 3)
    encoded(layers, inputs, 2).sum().backward()
    halves = inputs[:2].mean(0), inputs[2:].mean(0)
    torch.testing.assert_close(layers[0].running_mean, 0.25 * halves[0] + 0.5 * halves[1])


def test_the_parts_of_a_batch_are_as_many_as_asked_for_in_each_process():
    assert [part_size(256, parts, 1) for parts in (1, 2, 3, 256)] == [None, 128, 86, 1]
    assert [part_size(256, parts, 2) for parts in (1, 2, 3)] == [None, 64, 43]


def weights(config: TrialConfig, folder: Path) -> dict[str, Tensor]:
    pipeline.run_trial(config, Folder(folder), lambda record: None)
    return dict(unpack((folder / "model.safetensors").read_bytes())[0])


def test_a_trial_in_parts_ends_as_the_undivided_one_but_for_rounding(tmp_path):
    """By plain steps along the gradient: Adam's follow the sign of what is nearly 0."""
    config = tiny.config(tmp_path, stage1__optimizer={"name": "sgd", "lr": 0.02})
    whole = weights(config, tmp_path / "whole")
    parts = weights(config.with_overrides({"stage1.accumulate": 4}), tmp_path / "parts")
    assert any(not torch.equal(whole[name], parts[name]) for name in whole)
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, rtol=1e-3, atol=1e-4)


def test_frozen_layers_take_a_batch_in_parts_too(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "KEPT", 0)  # as where too much would be kept to run them once
    sizes = set()

    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(layer, nn.Linear) and layer.out_features == 16:  # the encoder's
            sizes.add(len(output))

    probe = {"epochs": 1, "layers": "head"}
    config = tiny.config(tmp_path, stage1__epochs=1, stage1__then=[probe], stage1__accumulate=4, stage2=None)
    hook = nn.modules.module.register_module_forward_hook(note)
    try:
        weights(config, tmp_path / "parts")
    finally:
        hook.remove()
    assert 16 in sizes
    assert 64 not in sizes


def test_what_stage_2_takes_without_dropout_is_so_in_parts_and_in_their_second_run():
    layers = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    inputs = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    z = encoded(stage2._WithoutDropout(layers), inputs, 2)
    z.sum().backward()
    assert layers[1].training
    found = [parameter.grad.clone() for parameter in layers.parameters()]
    layers.zero_grad()
    plain = layers.eval()(inputs)
    plain.sum().backward()
    torch.testing.assert_close(z, plain)
    torch.testing.assert_close(found, [parameter.grad for parameter in layers.parameters()])


def test_parts_without_samples_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match="accumulate is 65, but a process has 64 samples of a batch of 64 to"
    ):
        tiny.config(tmp_path, stage1__accumulate=65)
    with pytest.raises(ValueError, match="makes parts of 1 sample of a batch of 64"):
        tiny.config(tmp_path, stage1__accumulate=64, encoder__batch_norm=True)
