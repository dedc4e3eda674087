"""VIR against the plain formulas, written from what paper and released code do, and in a trial."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from scipy import stats

from dirsweep import pipeline
from dirsweep.methods import vir
from dirsweep.storage import Folder

COUNT, SIZE = 7, 3


def double(*values: Any) -> list[torch.Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


# ---- the loss


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_that_of_a_student_distribution_and_its_gradient_is_right(seed: int):
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(size=(2, COUNT))
    weight, count, beta = rng.uniform(0.2, 3, (3, COUNT))
    given = double(prediction, target, weight, count, beta)
    expected = []
    for y, place, w, n, b in zip(target, prediction, weight, count, beta, strict=True):
        v, alpha = w * n, 0.3 + w * n / 2
        scale = math.sqrt(b * (1 + v) / (v * alpha))
        likelihood = stats.t.logpdf(y, df=2 * alpha, loc=place, scale=scale)
        expected.append(-likelihood + 0.7 * abs(y - place) * (2 * v + alpha))
    assert vir.nig(*given, 0.7).item() == pytest.approx(np.mean(expected), rel=1e-10)
    without = np.mean(expected) - np.mean(
        0.7 * np.abs(target - prediction) * (2 * weight * count + 0.3 + weight * count / 2)
    )
    assert vir.nig(*given, 0.0).item() == pytest.approx(without, rel=1e-10)
    checked = [value.requires_grad_() for value in given]
    assert torch.autograd.gradcheck(lambda *values: vir.nig(*values, 0.7), checked)


def test_one_sample_of_the_loss_by_hand():
    # v = 2, alpha = 1.3, B = 2 * 1/6 * 3 = 1, e = 0: log(pi / 2) / 2 + log Gamma(1.3) - log Gamma(1.8)
    found = vir.nig(*double([0.5], [0.5], [1.0], [2.0], [1 / 6]), 1.0)
    expected = math.log(math.pi / 2) / 2 + math.lgamma(1.3) - math.lgamma(1.8)
    assert found.item() == pytest.approx(expected)


def test_the_evidence_starts_at_ten_log_two_and_two_and_stays_above_nothing():
    start = torch.zeros(2, SIZE), torch.zeros(2)
    count, beta = vir.evidence(torch.randn(COUNT, SIZE), *start)
    assert count.tolist() == pytest.approx([2 + 10 * math.log(2)] * COUNT)
    assert beta.tolist() == pytest.approx([math.log(2)] * COUNT, rel=1e-5)
    low, high = (vir.evidence(torch.zeros(1, SIZE), start[0], torch.full((2,), bias)) for bias in (-1e4, 1e4))
    assert low[0] == 2
    assert low[1] > 0
    assert [value.item() for value in high] == pytest.approx([1e4, 1e4], rel=1e-3)


@pytest.mark.parametrize("weight", [1e-6, 1.0, 1e3])
@pytest.mark.parametrize("bias", [-1e3, 0.0, 1e3])
def test_a_right_prediction_and_extreme_evidence_give_a_finite_loss_and_gradient(weight: float, bias: float):
    given = torch.ones(2, SIZE, requires_grad=True)
    rows = torch.zeros(2, SIZE, requires_grad=True)
    count, beta = vir.evidence(given, rows, torch.full((2,), bias))
    prediction = given.sum(1)
    loss = vir.nig(prediction, torch.tensor([3.0, 1e3]), torch.full((2,), weight), count, beta, 0.16)
    loss.backward()
    for value in (loss, given.grad, rows.grad):
        assert value is not None
        assert torch.isfinite(value).all()


# ---- in a trial


def run(config: Any, place: Path, **options: Any) -> list[float]:
    pipeline.run_trial(config, Folder(place), lambda record: None, **options)
    return pd.read_csv(place / "val_predictions.csv")["prediction"].tolist()


def test_weights_scale_the_evidence_and_stage_2_follows(tmp_path: Path):
    alone = tiny.config(tmp_path, stage1__loss__name="nig")
    weighted = alone.with_overrides({"stage1.weighting.name": "lds"})
    stronger = alone.with_overrides({"stage1.loss.evidence": 1.0})
    found = [run(config, tmp_path / str(n)) for n, config in enumerate((alone, weighted, stronger))]
    assert np.isfinite(found).all()
    assert found[0] != found[1]
    assert found[0] != found[2]
    names = set(torch_names(tmp_path / "0"))
    assert names == set(torch_names(tmp_path / "1"))
    assert {"head.weight", "head.bias"} < names
    assert not [name for name in names if "evidence" in name]


def torch_names(place: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(place / "model.safetensors", "pt") as file:
        return list(file.keys())
