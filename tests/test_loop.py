"""Learning rates, sample orders and the frozen part of a model."""

import importlib
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from dirsweep import data, models, pipeline, stage1
from dirsweep.checkpoint import Journal, claim
from dirsweep.config import MLP, SGD, Adam, Constant, Cosine, StepDecay, TrialConfig, Unweighted, settings
from dirsweep.loop import Trial, cut, precision, stepping, train
from dirsweep.loop import frozen as frozen_layers
from dirsweep.loop.frozen import through
from dirsweep.loop.labels import evened
from dirsweep.loop.phase import Phase
from dirsweep.loop.schedule import batches, order, rate, steps
from dirsweep.storage import Folder

training = importlib.import_module("dirsweep.loop.train")  # its name in the package is the function


def phase(**fields: Any) -> Phase:
    defaults: dict[str, Any] = {
        "stage": "stage1",
        "first": 0,
        "epochs": 1,
        "batch_size": 8,
        "optimizer": SGD(lr=1.0),
        "decay": Constant(),
        "warmup": 0.0,
        "loss": None,
        "weighting": Unweighted(),
    }
    return Phase(**(defaults | fields))


def test_the_rate_warms_up_in_equal_steps_and_then_holds():
    assert [rate(1.0, Constant(), 0.4, step, 10) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_the_cosine_begins_at_the_peak_and_is_half_in_the_middle():
    assert rate(2.0, Cosine(), 0.0, 0, 10) == 2.0
    assert rate(2.0, Cosine(), 0.0, 5, 10) == pytest.approx(1.0)
    assert rate(2.0, Cosine(), 0.0, 9, 10) == pytest.approx(1 + math.cos(0.9 * math.pi))


def test_no_rate_between_the_rise_and_the_cosine_falls_out_of_line():
    rates = [rate(1.0, Cosine(), 0.95, step, 20) for step in range(20)]
    assert rates[:18] == pytest.approx([(step + 1) / 19 for step in range(18)])
    assert rates[18:] == [1.0, 1.0]


def test_the_step_decay_drops_at_its_fractions():
    decay = StepDecay(at=(0.5, 0.75), factor=0.1)
    assert [rate(1.0, decay, 0.0, k, 8) for k in (3, 4, 6)] == pytest.approx([1.0, 0.1, 0.01])


def test_a_lone_last_row_joins_the_batch_before():
    assert [part.tolist() for part in batches(torch.arange(7), 3)] == [[0, 1, 2], [3, 4, 5, 6]]
    assert [len(part) for part in batches(torch.arange(8), 3)] == [3, 3, 2]
    assert [len(part) for part in batches(torch.arange(1), 3)] == [1]
    assert steps(7, 3) == 2


def trial_on(folder: Path) -> Any:
    config = tiny.config(folder)
    return SimpleNamespace(config=config, dataset=data.load(config.dataset))


def test_the_natural_order_has_every_row_once_and_differs_by_epoch_and_stage(tmp_path: Path):
    trial = trial_on(tmp_path)
    first, second = order(trial, phase(), 0), order(trial, phase(), 1)
    assert sorted(first.tolist()) == list(range(len(trial.dataset.train.label)))
    assert first.tolist() != second.tolist()
    assert first.tolist() != order(trial, phase(stage="stage2"), 0).tolist()
    assert first.tolist() == order(trial, phase(), 0).tolist()


def test_the_balanced_order_draws_every_bin_equally_often(tmp_path: Path):
    trial = trial_on(tmp_path)
    rows = torch.cat([order(trial, phase(balanced=True), epoch) for epoch in range(60)])
    drawn = np.bincount(trial.dataset.train.bin[rows.numpy()], minlength=len(trial.dataset.shots.counts))
    present = trial.dataset.shots.counts > 0
    expected = len(rows) / present.sum()
    assert (drawn[~present] == 0).all()
    assert np.abs(drawn[present] / expected - 1).max() < 0.1


@pytest.mark.parametrize("layers", ["all", "last_block", "head"])
def test_frozen_and_trained_parts_make_up_the_encoder(layers: str):
    model = models.build(MLP(width=5, depth=3), torch.empty(1, 4), seed=0).eval()
    inputs = torch.randn(6, 4)
    frozen, trained = model.parts(layers)
    assert torch.equal(trained(frozen(inputs)), model(inputs)[0])


def test_what_is_computed_once_is_in_the_number_format_of_the_forward_pass():
    config = TrialConfig.model_validate({"precision": "bf16", "encoder": {"width": 16}})
    trial: Any = SimpleNamespace(
        config=config, model=models.build(config.encoder, torch.empty(1, 4), seed=0).eval(), samples=None
    )
    frozen, trained = trial.model.parts("last_block")
    inputs = torch.randn(6, 4)
    with torch.inference_mode(), precision(trial):
        assert torch.equal(trained(through(trial, frozen, inputs)[0]), trial.model(inputs)[0])
    assert through(trial, frozen, inputs)[0].dtype == torch.bfloat16


@pytest.mark.parametrize("layers", ["last_block", "head"])
def test_frozen_layers_may_run_once_or_in_each_step(tmp_path, monkeypatch, layers):
    then = [{"epochs": 2, "layers": layers, "weighting": {"name": "sqinv"}}]
    config = tiny.config(
        tmp_path,
        encoder__dropout=0.3,
        encoder__batch_norm=True,
        stage1__then=then,
        stage2__layers="last_block",
    )
    kept = pipeline.run_trial(config, Folder(tmp_path / "kept"), lambda record: None)
    monkeypatch.setattr(frozen_layers, "KEPT", 0)
    anew = pipeline.run_trial(config, Folder(tmp_path / "anew"), lambda record: None)
    timed = {"seconds", "reused_seconds"}
    assert {key: anew[key] for key in anew.keys() - timed} == pytest.approx(
        {key: kept[key] for key in kept.keys() - timed}, rel=1e-4, nan_ok=True
    )


def test_what_frozen_layers_give_is_kept_up_to_the_bound(tmp_path, monkeypatch):
    config = tiny.config(tmp_path)
    model = models.build(config.encoder, torch.empty(1, 4), seed=0)
    trial = SimpleNamespace(config=config, model=model, samples=None)
    inputs = torch.randn(10, 4)
    frozen, _ = model.parts("last_block")
    monkeypatch.setattr(frozen_layers, "KEPT", 10 * 16 * 4)  # samples, units, bytes of a number
    rows, left = through(trial, frozen, inputs)
    assert torch.equal(rows, frozen(inputs))
    assert isinstance(left, torch.nn.Identity)
    monkeypatch.setattr(frozen_layers, "KEPT", 10 * 16 * 4 - 1)
    assert through(trial, frozen, inputs) == (inputs, frozen)
    monkeypatch.setattr(frozen_layers, "KEPT", 10 * 16 * 4)
    trial.samples = 11  # timed on ten of eleven, which would not be kept
    assert through(trial, frozen, inputs) == (inputs, frozen)


def test_weights_follow_from_the_seed_alone():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, two = (models.build(MLP(width=5), torch.empty(1, 4), seed=7) for _ in range(2))
    assert all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(one.head.weight, models.build(MLP(width=5), torch.empty(1, 4), seed=8).head.weight)


def test_dropout_never_falls_on_z():
    model = models.build(MLP(width=50, depth=2, dropout=0.9), torch.empty(1, 4), seed=0).train()
    hidden = torch.randn(6, 50)
    assert torch.equal(model.encoder.last_block(hidden), model.encoder.last_block(hidden))
    assert not torch.equal(model.encoder.stem(hidden[:, :4]), model.encoder.stem(hidden[:, :4]))


def test_labels_that_are_drawn_evenly_lie_within_their_bins_as_they_did():
    label = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 10.0])
    found = evened(label, np.array([0, 0, 0, 0, 0, 1]))
    assert found.tolist() == pytest.approx([2 / 3, 2.0, 10 / 3, 10.0, 10.0, 10.0])


@pytest.mark.slow
def test_a_balanced_phase_tells_its_loss_of_even_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = sys.modules["dirsweep.loop.train"]  # its name in the package is the function
    seen = []
    plain = module.base_loss

    def looked_at(config, batch, labels, own):
        seen.append(labels)
        return plain(config, batch, labels, own)

    monkeypatch.setattr(module, "base_loss", looked_at)
    config = tiny.config(tmp_path, stage1__loss__name="dist", stage1__epochs=1)
    pipeline.run_trial(config, Folder(tmp_path / "trial"), lambda record: None)
    natural, even = seen[0], seen[-1]
    assert len(set(natural.share.tolist())) > 2
    assert set(even.share.tolist()) == {0.0, float(even.share.max())}
    rare_are_large = np.median(even.density.quantiles(99)) > np.median(natural.density.quantiles(99))
    assert rare_are_large


def set_up(folder: Path) -> tuple[Trial, Phase]:
    """A trial, and its stage 1."""
    config = tiny.config(folder.parent, stage1__select="last")
    own = Folder(folder)
    journal = Journal(own, claim(own), lambda record: None, 0, lambda: False)
    trial = pipeline.set_up(config, data.load(config.dataset), journal, 1.0)
    return trial, stage1.phase(trial, settings(config.stage1)[0], 0, last=True)


def test_steps_that_are_timed_are_those_of_training(tmp_path: Path):
    (trained, whole), (stepped, alone) = (set_up(tmp_path / name) for name in ("trained", "stepped"))
    train(trained, whole)
    epoch = stepping(stepped, alone)
    counted = [epoch() for _ in range(alone.epochs)]
    assert counted == [steps(len(stepped.dataset.train.label), 64)] * 3
    for one, other in zip(stepped.model.parameters(), trained.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_trial_that_is_cut_has_some_rows_each_with_its_own_label(tmp_path: Path):
    trial, _ = set_up(tmp_path / "trial")
    few = cut(trial, 50)
    part, full = few.dataset.train, trial.dataset.train
    assert few.samples == len(full.label)
    places = [full.sample.tolist().index(sample) for sample in part.sample]
    assert len(set(places)) == 50
    assert part.label.tolist() == full.label[places].tolist()
    assert torch.equal(few.rows[part], trial.rows[full][places])
    assert few.rows[few.dataset.val] is trial.rows[trial.dataset.val]
    assert len(cut(trial, 10_000).dataset.train.label) == len(full.label)


@pytest.mark.parametrize("config", [Adam(lr=0.1), SGD(lr=0.1)])
def test_of_a_weight_that_is_a_part_of_a_tensor_the_rest_stays(config):
    """PyTorch's single kernel for a CPU takes weights for dense, and would change what lies between."""
    whole = torch.ones(3, 4)
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(whole[:, :2])
    model.weight.grad = torch.ones(3, 2)
    training._optimizer(phase(optimizer=config), model, {}).step()
    assert torch.allclose(whole, torch.tensor([[0.9, 0.9, 1.0, 1.0]]).expand(3, 4))


def test_of_plain_weights_adam_is_one_kernel():
    model = models.build(MLP(width=16), torch.empty(1, 4), seed=0)
    assert training._optimizer(phase(optimizer=Adam()), model, {}).defaults["fused"] is True
