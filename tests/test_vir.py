"""VIR against the plain formulas, written from what paper and released code do, and in a trial."""

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from scipy import stats

from dirsweep import pipeline
from dirsweep.checkpoint import Store
from dirsweep.config import VIR, Stage1, knobs
from dirsweep.loop import smoothing
from dirsweep.methods import vir
from dirsweep.methods.lds import kernel
from dirsweep.storage import Folder

COUNT, SIZE = 7, 3
BINS = 6


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


# ---- the distributions of features


def epoch(seed: int, counts: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means and variances of an epoch's features, as many of each bin as `counts` says."""
    rng = np.random.default_rng(seed)
    bin = np.repeat(np.arange(len(counts)), counts)
    shape = len(bin), SIZE
    return rng.normal(size=shape) * (1 + bin[:, None]) + bin[:, None], rng.uniform(0.1, 2, shape), bin


def updated(*epochs: Any, bins: int = BINS, window: Any = None) -> vir.PosteriorStatistics:
    empty = vir.PosteriorStatistics.empty(bins, SIZE, "cpu")
    wide = {name: tensor.double() for name, tensor in vars(empty).items() if tensor.dtype != torch.bool}
    found = vir.PosteriorStatistics(**(vars(empty) | wide))
    for values in epochs:
        found.update(*map(torch.tensor, values), 0.9, kernel(VIR(size=5)) if window is None else window)
    return found


def test_running_statistics_equal_the_plain_formula():
    first, second = epoch(0, [4, 1, 0, 3, 2, 5]), epoch(1, [3, 0, 2, 3, 1, 5])
    found = updated(first, second)
    for b in range(BINS):
        kept: list[np.ndarray] | None = None
        for z, variance, bin in (first, second):
            own, wide = z[bin == b], variance[bin == b]
            if not len(own):
                continue
            mean, doubt = own.mean(0), wide.sum(0) / len(own) ** 2
            # as written: the expected squared distance of a draw from the mean of the bin
            spread = (wide - doubt + own**2 - mean**2).mean(0)
            new = [mean, doubt, spread]
            kept = new if kept is None else [0.9 * k + 0.1 * n for k, n in zip(kept, new, strict=True)]
        assert kept is not None
        for running, plain in zip((found.mean, found.doubt, found.spread), kept, strict=True):
            assert running[b].numpy() == pytest.approx(plain, abs=1e-12)
    assert found.seen.all()


def test_two_samples_of_a_bin_by_hand():
    z, wide = [[1.0] * SIZE, [3.0] * SIZE], [[0.5] * SIZE, [1.5] * SIZE]
    found = updated((np.array(z), np.array(wide), np.array([0, 0])), bins=1)
    # mean 2; variance of the mean (0.5 + 1.5) / 4; spread 1/2 of the mean variance 1, and the squares of 1
    for tensor, value in ((found.mean, 2.0), (found.doubt, 0.5), (found.spread, 1.5)):
        assert tensor.tolist() == [[value] * SIZE]


def test_smoothing_squares_the_shares_of_doubts_at_the_ends_and_around_empty_bins():
    window, there = np.array([0.3, 0.6, 1.0, 0.6, 0.3]), np.array([1, 0, 1, 0, 1, 1])
    found = updated(epoch(0, [4, 0, 3, 0, 2, 5]), window=window)
    for b in range(BINS):
        others = [abs(b + offset) for offset in range(-2, 3)]  # mirrored beyond the ends
        others = [2 * (BINS - 1) - other if other >= BINS else other for other in others]
        mass = sum(share * there[other] for share, other in zip(window, others, strict=True))
        pairs = [(share * there[other] / mass, other) for share, other in zip(window, others, strict=True)]
        plain = [
            sum(share * found.mean[other].numpy() for share, other in pairs),
            sum(share**2 * found.doubt[other].numpy() for share, other in pairs),
            sum(share * found.spread[other].numpy() for share, other in pairs),
        ]
        smooth = found.smooth_mean[b], found.smooth_doubt[b], found.smooth_spread[b]
        for tensor, value in zip(smooth, plain, strict=True):
            assert tensor.numpy() == pytest.approx(value)
    assert found.seen.tolist() == [True, False, True, False, True, True]


def test_distributions_move_by_the_plain_formula_and_are_not_written_to():
    z, wide, bin = epoch(3, [4, 1, 0, 3, 2, 5])
    found = updated(epoch(0, [4, 1, 0, 3, 2, 5]))
    given = double(z, wide)
    mean, variance = (value.numpy() for value in found.move(*given, torch.tensor(bin)))
    assert (given[0].numpy() == z).all()
    assert (given[1].numpy() == wide).all()
    for row, b in enumerate(bin):
        if b == 1:  # a single sample: it does not vary in its bin, so it stays
            assert (mean[row] == z[row]).all()
            assert (variance[row] == wide[row]).all()
            continue
        scale = np.sqrt(np.clip(found.smooth_spread[b].numpy() / found.spread[b].numpy(), 0.1, 10))
        expected = (z[row] - found.mean[b].numpy()) * scale + found.smooth_mean[b].numpy()
        assert mean[row] == pytest.approx(expected)
        expected = (wide[row] + found.doubt[b].numpy()) * scale + found.smooth_doubt[b].numpy()
        assert variance[row] == pytest.approx(expected)


@pytest.mark.parametrize("counts", [[5], [1] * BINS, [0, 3, 0, 0, 1, 0]])
def test_one_bin_single_samples_and_equal_features_stay_finite(counts: list[int]):
    z, wide, bin = epoch(0, counts)
    for values in (z, np.ones_like(z), np.zeros_like(z)):
        found = updated((values, wide, bin), bins=len(counts))
        means, variances = (value.requires_grad_() for value in double(values, wide))
        moved = found.move(means, variances, torch.tensor(bin))
        drawn = vir.draw(*moved, torch.Generator().manual_seed(0))
        (drawn.sum() + vir.divergence(*moved)).backward()
        for value in (*vars(found).values(), *moved, drawn, means.grad, variances.grad):
            assert value is not None
            assert torch.isfinite(value).all()


def test_nothing_moves_before_the_first_epoch():
    z, wide, bin = epoch(0, [2] * BINS)
    given = double(z, wide)
    assert all(map(torch.equal, updated().move(*given, torch.tensor(bin)), given))


def test_variances_start_where_they_are_told_to_and_stay_above_nothing():
    nothing = torch.zeros(SIZE, SIZE), torch.zeros(SIZE)
    found = vir.variance(torch.randn(COUNT, SIZE), *nothing, 0.014)
    assert found.flatten().tolist() == pytest.approx([0.014] * COUNT * SIZE, rel=1e-4)
    low = vir.variance(torch.zeros(1, SIZE), nothing[0], torch.full((SIZE,), -1e4), 0.014)
    assert (low > 0).all()
    z, weight, bias = double([[1.0, -2.0]], [[0.5, 0.25], [1.0, 0.0]], [0.1, -1.0])
    expected = [math.log(1 + math.exp(0.1)) / math.log(2), 1.0]
    assert vir.variance(z, weight, bias, 1.0)[0].tolist() == pytest.approx(expected, rel=1e-5)


def test_draws_have_the_mean_and_variance_that_they_are_drawn_with_and_carry_gradients():
    mean, variance = torch.tensor([[1.0, -3.0]]), torch.tensor([[0.25, 4.0]], requires_grad=True)
    many = mean.expand(20000, 2), variance.expand(20000, 2)
    found = vir.draw(*many, torch.Generator().manual_seed(0))
    assert found.mean(0).tolist() == pytest.approx([1.0, -3.0], abs=0.05)
    assert found.var(0).tolist() == pytest.approx([0.25, 4.0], rel=0.05)
    assert torch.equal(found, vir.draw(*many, torch.Generator().manual_seed(0)))
    (found - mean).square().mean(0).sum().backward()  # of which the variance is the mean
    assert variance.grad is not None
    assert variance.grad[0].tolist() == pytest.approx([1.0, 1.0], rel=0.05)


def test_the_divergence_is_that_of_normal_distributions():
    mean, variance = double([[0.5, -1.0], [0.0, 0.0]], [[0.3, 2.0], [1.0, 1.0]])
    of = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(of(mean, variance.sqrt()), of(0.0 * mean, 1.0)).sum(1).mean()
    assert vir.divergence(mean, variance).item() == pytest.approx(expected.item())
    assert vir.divergence(mean[1:], variance[1:]).item() == 0


def test_a_divergence_of_weight_0_is_not_computed_and_a_step_draws_the_same_again():
    shots = SimpleNamespace(counts=np.ones(BINS))
    trial: Any = SimpleNamespace(
        config=SimpleNamespace(device="cpu", seed=0),
        dataset=SimpleNamespace(shots=shots),
        model=SimpleNamespace(encoder=SimpleNamespace(features=SIZE)),
    )
    plain, weighed = (smoothing(trial, "stage1", VIR(kl=kl)) for kl in (0.0, 0.5))
    assert plain.term is None
    assert weighed.term is not None
    assert plain.shift is not None
    z, bin = torch.ones(COUNT, SIZE), torch.arange(COUNT) % BINS
    first, again, later = (plain.shift(z, bin, place) for place in ((0, 0), (0, 0), (0, 1)))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


# ---- in a trial


def run(config: Any, place: Path, **options: Any) -> list[float]:
    pipeline.run_trial(config, Folder(place), lambda record: None, **options)
    return pd.read_csv(place / "val_predictions.csv")["prediction"].tolist()


@pytest.mark.slow
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
    assert not [name for name in names if "evidence" in name or "variance" in name]


FEATURE = "stage1.feature_method"


def whole(folder: Path, **values: Any) -> Any:
    """VIR as published: both halves, and weights."""
    method = {"stage1.loss.name": "nig", "stage1.weighting.name": "lds", f"{FEATURE}.name": "vir"}
    return tiny.config(folder).with_overrides({"stage1.epochs": 4} | method | values)


@pytest.mark.slow
def test_every_knob_of_the_feature_method_does_something(tmp_path: Path):
    changes: list[dict[str, Any]] = [
        {},
        {FEATURE: {"name": "none"}},
        {f"{FEATURE}.kernel": "laplace"},
        {f"{FEATURE}.size": 3},
        {f"{FEATURE}.sigma": 1.0},
        {f"{FEATURE}.momentum": 0.2},
        {f"{FEATURE}.variance": 0.5},
        {f"{FEATURE}.kl": 0.1},
        {"seed": 1},
    ]
    found = [run(whole(tmp_path, **change), tmp_path / str(n)) for n, change in enumerate(changes)]
    assert np.isfinite(found).all()
    assert len({tuple(one) for one in found}) == len(changes)
    named = {knob.name.removeprefix(f"{FEATURE}.") for knob in knobs(FEATURE) if knob.variant == "vir"}
    assert named == {"kernel", "size", "sigma", "momentum", "variance", "kl"}


@pytest.mark.parametrize("cut", [2, 5])
@pytest.mark.slow
def test_a_stopped_trial_goes_on_to_the_same_numbers(tmp_path: Path, cut: int):
    config = whole(tmp_path, **{f"{FEATURE}.kl": 1.0e-3})
    expected, seen = run(config, tmp_path / "whole"), list[Any]()

    def slowly(record: Any) -> None:
        seen.append(record)
        if len(seen) == cut:
            time.sleep(1.1)  # a stop is looked for once a second

    with pytest.raises(pipeline.Stopped):
        pipeline.run_trial(config, Folder(tmp_path / "cut"), slowly, should_stop=lambda: len(seen) >= cut)
    assert len(seen) < 6
    assert run(config, tmp_path / "cut", emitted=len(seen)) == expected


@pytest.mark.slow
def test_a_longer_stage_1_goes_on_from_a_stored_shorter_one(tmp_path: Path):
    short = whole(tmp_path, **{"stage1.epochs": 2, "stage1.decay.name": "constant"})
    longer, store = short.with_overrides({"stage1.epochs": 3}), Store(Folder(tmp_path / "store"))
    run(short, tmp_path / "short", store=store)
    forked = run(longer, tmp_path / "forked", store=store)
    assert (tmp_path / "forked" / "fork.json").exists()
    assert forked == run(longer, tmp_path / "alone")


def test_a_loss_of_its_own_is_what_the_feature_method_is_not():
    with pytest.raises(ValueError, match="loss is none, so the phase needs a feature method"):
        Stage1.model_validate({"loss": {"name": "none"}, "feature_method": {"name": "vir"}})
    with pytest.raises(ValueError, match="size must be odd"):
        VIR(size=4)


def torch_names(place: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(place / "model.safetensors", "pt") as file:
        return list(file.keys())
