"""FDS against the plain formulas, written from the paper, and in a trial."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from dirsweep import checkpoint, pipeline
from dirsweep.checkpoint import journal
from dirsweep.config import FDS
from dirsweep.methods.fds import FeatureStatistics
from dirsweep.methods.lds import kernel
from dirsweep.storage import Folder

BINS, SIZE = 6, 3


def epoch(seed, counts):
    """Features of an epoch, as many of each bin as `counts` says."""
    rng = np.random.default_rng(seed)
    bin = np.repeat(np.arange(BINS), counts)
    return rng.normal(size=(len(bin), SIZE)) * (1 + bin[:, None]) + bin[:, None], bin


def double(bins=BINS) -> FeatureStatistics:
    empty = FeatureStatistics.empty(bins, SIZE, "cpu")
    wide = {name: tensor.double() for name, tensor in vars(empty).items() if tensor.dtype != torch.bool}
    return FeatureStatistics(**(vars(empty) | wide))


def updated(*epochs, momentum=0.9) -> FeatureStatistics:
    found = double()
    for z, bin in epochs:
        found.update(torch.tensor(z), torch.tensor(bin), momentum)
    return found


def plain_smoothed(values, weights, window):
    """Over bins with their weights, mirrored beyond the ends."""
    half, found = len(window) // 2, []
    for b in range(len(values)):
        total, mass = 0.0, 0.0
        for offset in range(-half, half + 1):
            other = b + offset
            other = -other if other < 0 else other
            other = 2 * (len(values) - 1) - other if other >= len(values) else other
            share = window[offset + half] * weights[other]
            total, mass = total + share * values[other], mass + share
        found.append(total / mass)
    return np.array(found)


def test_running_statistics_equal_the_plain_formula():
    first, second = epoch(0, [4, 1, 0, 3, 2, 5]), epoch(1, [3, 0, 2, 3, 1, 5])
    found = updated(first, second)
    for b in range(BINS):
        mean = variance = None
        for z, bin in (first, second):
            own = z[bin == b]
            if not len(own):
                continue
            new = own.mean(0), own.var(0, ddof=1) if len(own) > 1 else np.zeros(SIZE)
            mean = new[0] if mean is None else 0.9 * mean + 0.1 * new[0]
            variance = new[1] if variance is None else 0.9 * variance + 0.1 * new[1]
        assert found.mean[b].numpy() == pytest.approx(mean)
        assert found.variance[b].numpy() == pytest.approx(variance)
    assert found.seen.all()


@pytest.mark.parametrize("with_empty", [False, True])
def test_smoothing_equals_the_plain_formula_at_the_ends_and_around_empty_bins(with_empty):
    found = updated(epoch(0, [4, 0, 3, 0, 2, 5]))
    window = kernel(FDS(size=5, sigma=1.0))
    found.freeze(window, with_empty=with_empty)
    weights = np.ones(BINS) if with_empty else np.array([1, 0, 1, 0, 1, 1])
    for source, smoothed in ((found.mean, found.to_mean), (found.variance, found.to_variance)):
        plain = plain_smoothed(source.numpy() * weights[:, None], weights, window)
        assert smoothed.numpy() == pytest.approx(plain)
    assert found.ready.tolist() == [True, False, True, False, True, True]


def test_what_is_frozen_does_not_move_with_the_running_statistics():
    found = updated(epoch(0, [4, 4, 3, 3, 2, 5]))
    found.freeze(kernel(FDS()), with_empty=False)
    names = ("from_mean", "from_variance", "to_mean", "to_variance")
    before = {name: vars(found)[name].clone() for name in names}
    found.update(*map(torch.tensor, epoch(7, [4, 4, 3, 3, 2, 5])), 0.9)
    assert all(torch.equal(vars(found)[name], value) for name, value in before.items())
    assert not torch.equal(found.mean, found.from_mean)


def test_features_move_by_the_plain_formula_and_are_not_written_to():
    z, bin = epoch(3, [4, 1, 0, 3, 2, 5])
    found = updated(epoch(0, [4, 1, 0, 3, 2, 5]))
    found.freeze(kernel(FDS()), with_empty=False)
    given = torch.tensor(z)
    moved = found.move(given, torch.tensor(bin), 0.5, 2.0).numpy()
    assert (given.numpy() == z).all()
    for row, b in enumerate(bin):
        old, new = found.from_variance[b].numpy(), found.to_variance[b].numpy()
        if b == 1:  # a single sample: its features do not vary, so they stay
            assert (moved[row] == z[row]).all()
            continue
        scale = np.sqrt(np.clip(new / old, 0.5, 2.0))
        expected = (z[row] - found.from_mean[b].numpy()) * scale + found.to_mean[b].numpy()
        assert moved[row] == pytest.approx(expected)


def test_nothing_moves_before_the_first_epoch_and_one_bin_is_enough():
    z, bin = epoch(0, [2, 2, 2, 2, 2, 2])
    assert torch.equal(double().move(torch.tensor(z), torch.tensor(bin), 0.1, 10.0), torch.tensor(z))
    alone = double(bins=1)
    alone.update(torch.tensor(z), torch.zeros(len(z), dtype=torch.int64), 0.9)
    alone.freeze(kernel(FDS()), with_empty=False)
    moved = alone.move(torch.tensor(z), torch.zeros(len(z), dtype=torch.int64), 0.1, 10.0)
    assert torch.allclose(moved, torch.tensor(z))


# ---- in a trial


def trial(folder: Path, **values):
    return tiny.config(folder).with_overrides(
        {"stage1.feature_method": {"name": "fds"}, "stage1.epochs": 4, "stage2": None} | values
    )


def run(config, folder: Path, **options) -> list[float]:
    pipeline.run_trial(config, Folder(folder), lambda record: None, **options)
    return pd.read_csv(folder / "val_predictions.csv")["prediction"].tolist()


def test_it_acts_from_the_second_epoch_on_and_every_knob_does_something(tmp_path):
    base, fds = tiny.config(tmp_path).with_overrides({"stage2": None}), "stage1.feature_method"
    plainly = run(base.with_overrides({"stage1.epochs": 1}), tmp_path / "plain")
    assert run(trial(tmp_path, **{"stage1.epochs": 1}), tmp_path / "one") == plainly
    reference = run(trial(tmp_path), tmp_path / "whole")
    changes = [
        {f"{fds}.kernel": "laplace"},
        {f"{fds}.size": 3},
        {f"{fds}.sigma": 1.0},
        {f"{fds}.momentum": 0.2},
        {f"{fds}.start_update": 2},
        {f"{fds}.start_smooth": 3},
        {f"{fds}.clip_low": 1.0},
        {f"{fds}.clip_high": 1.0},
        {f"{fds}.reference": True},
        {f"{fds}.gather": "during"},
        {fds: {"name": "none"}},
    ]
    found = [run(trial(tmp_path, **change), tmp_path / str(n)) for n, change in enumerate(changes)]
    assert [change for change, one in zip(changes, found, strict=True) if one == reference] == []


@pytest.mark.slow
@pytest.mark.parametrize("gather", ["after", "during"])
def test_a_trial_stopped_within_an_epoch_goes_on_with_the_same_statistics(tmp_path, monkeypatch, gather):
    monkeypatch.setattr(journal, "BETWEEN_LOOKS", 0.0)
    config, folder = trial(tmp_path, **{"stage1.feature_method.gather": gather}), Folder(tmp_path / "stopped")
    looks: list[int] = []
    whole = run(config, tmp_path / "whole", should_stop=lambda: bool(looks.append(0)))
    look = iter(range(len(looks)))
    with pytest.raises(pipeline.Stopped):
        pipeline.run_trial(
            config, folder, lambda record: None, should_stop=lambda: next(look) == len(looks) // 2 - 2
        )
    kept = checkpoint.latest(folder)
    assert kept is not None
    assert kept.step > 0
    assert run(config, tmp_path / "stopped") == whole


def test_an_epochs_own_steps_take_in_each_sample_once_and_save_a_pass(tmp_path, monkeypatch):
    """At a rate too small to move a weight, the statistics are those of a pass after the epoch."""
    module, passes, kept = sys.modules["dirsweep.loop.train"], [], {}
    once = module._features
    monkeypatch.setattr(module, "_features", lambda *given: passes.append(0) or once(*given))
    plainly = module.state

    def looked_at(trial: Any, phase: Any, work: Any) -> Any:
        kept[gather] = {name: value.clone() for name, value in phase.memory.items()}
        return plainly(trial, phase, work)

    monkeypatch.setattr(module, "state", looked_at)
    for gather in ("after", "during"):
        still = {"stage1.feature_method.gather": gather, "stage1.optimizer.lr": 1.0e-20}
        run(trial(tmp_path, **still), tmp_path / gather)
    assert len(passes) == 4  # one an epoch, all of them for "after"
    assert kept["during"]["fds_mean"].abs().max() > 0.1
    for name, value in kept["after"].items():
        torch.testing.assert_close(kept["during"][name], value)


def test_an_even_window_and_a_triangle_with_a_sigma_are_refused():
    with pytest.raises(ValueError, match="size must be odd"):
        FDS(size=4)
    with pytest.raises(ValueError, match="the triangular window has no sigma"):
        FDS(kernel="triang", sigma=1.0)
