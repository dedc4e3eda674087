"""What stage 2 takes over from stage 1; its norm term, on a model with dropout and batch norm."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dirsweep import models, stage2
from dirsweep.config import INV, MLP, SGD, Fit, Stage1, Stage2, TrialConfig
from dirsweep.group import ALONE
from dirsweep.methods import Batch
from dirsweep.methods.majority_fit import fit_majority
from dirsweep.methods.norm_ordinality import feature_norm

COUNTS, NORMS = np.array([9, 8, 2]), np.array([1.0, 2.0, 7.0])


def setting(**encoder: Any) -> tuple[Any, Any, torch.Tensor, Batch]:
    """A trial's model in training mode, the term with mu = 2, and a batch of three bins."""
    config = TrialConfig.model_validate({"encoder": encoder})
    model = models.build(MLP(width=6, **encoder), torch.empty(1, 4), seed=0).train()
    trial = SimpleNamespace(config=config, model=model, group=ALONE)
    fit = fit_majority(Fit(), 5, np.array([1.0, 2.0, 3.0]), COUNTS, NORMS)
    term = stage2._term(trial, Stage2(norm_weight=2.0), fit, None)
    inputs = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        z, prediction = model(inputs)
    bins = torch.arange(12) % 3
    return model, term, inputs, Batch(z, prediction, torch.zeros(12), torch.ones(12), bins, z)


def test_the_targets_are_the_line_and_the_scale_is_the_mean_majority_norm():
    _, term, inputs, batch = setting()
    norms = feature_norm(batch.z).reshape(4, 3).mean(0)
    expected = 2.0 * (((norms - torch.tensor([1.0, 2.0, 3.0])) / 1.5) ** 2).mean()
    assert float(term(batch, inputs).detach()) == pytest.approx(float(expected), rel=1e-5)


def test_the_norms_are_taken_without_dropout():
    model, term, inputs, batch = setting(dropout=0.5)
    found = {float(term(batch, inputs).detach()) for _ in range(5)}
    assert len(found) == 1
    assert all(layer.training for layer in model.modules() if isinstance(layer, torch.nn.Dropout))
    model.eval()
    z = model(inputs)[0].detach()
    without = stage2.norm_term(feature_norm(z), batch.bin, torch.tensor([1.0, 2.0, 3.0]), 1.5, "mean")
    assert found.pop() == pytest.approx(2.0 * float(without), rel=1e-5)


def test_the_pass_without_dropout_leaves_running_statistics_alone():
    model, term, inputs, batch = setting(dropout=0.5, batch_norm=True)
    before = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
    term(batch, inputs)
    assert before
    assert all(torch.equal(dict(model.named_buffers())[name], value) for name, value in before.items())
    momenta = {layer.momentum for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm1d)}
    assert momenta == {0.1}


def test_loss_weighting_batch_size_and_optimizer_are_those_that_stage_1_ended_with():
    shots = SimpleNamespace(counts=COUNTS)
    trial = SimpleNamespace(config=TrialConfig(), group=ALONE, dataset=SimpleNamespace(shots=shots))
    ended = Stage1.model_validate(
        {
            "loss": {"name": "huber", "beta": 0.5},
            "weighting": {"name": "inv", "clip_low": 1},
            "batch_size": 7,
            "optimizer": {"name": "sgd", "lr": 0.5, "momentum": 0.3, "weight_decay": 0.01},
            "norm_ordinality": {"name": "kl"},
        }
    )
    fit = fit_majority(Fit(), 5, np.array([1.0, 2.0, 3.0]), COUNTS, NORMS)
    phase = stage2.phase(trial, Stage2(norm_weight=0.0), ended, fit, 30)
    assert (phase.loss, phase.batch_size, phase.first) == (ended.loss, 7, 30)
    assert phase.optimizer == SGD(lr=1.0e-4, momentum=0.3, weight_decay=0.01)
    assert phase.weighting == INV(clip_low=1)
    assert phase.term is None  # mu is 0, and the regulariser of stage 1 is gone
    assert phase.memory == {}
