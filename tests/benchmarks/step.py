"""What the methods cost in a step on a CPU: against the loops over labels they replace, and of a whole step.

One thread, as a trial has. Each figure is a ratio of two times of the processor (another's work does not
count) that were taken in turns: of each, the shortest, for company in the caches only ever makes one longer.
Prints a Markdown table.
"""

import importlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

import plain_loops

from dirsweep import data, models, pipeline, stage1
from dirsweep.checkpoint import Journal, claim
from dirsweep.config import FDS, TrialConfig, settings
from dirsweep.methods.conr import conr
from dirsweep.methods.fds import FeatureStatistics
from dirsweep.methods.lds import kernel
from dirsweep.methods.majority_fit import norm_term
from dirsweep.methods.norm_ordinality import feature_norm
from dirsweep.methods.ranksim import by_bin, ranksim
from dirsweep.storage import Folder

steps = importlib.import_module("dirsweep.loop.train")  # its name in the package is the function

BATCH, FEATURES, BINS, SAMPLES = 256, 2048, 100, 12_208
SECONDS = 6.0
"""How long each pair is timed, at least."""
LEAST_TURNS = 5


def in_turns(*calls: Callable[[], object]) -> list[float]:
    """The shortest processor-seconds of each call."""
    for call in calls:
        call()
    best, turns, begun = [float("inf")] * len(calls), 0, time.perf_counter()
    while turns < LEAST_TURNS or time.perf_counter() - begun < SECONDS:
        for place, call in enumerate(calls):
            started = time.process_time()
            call()
            best[place] = min(best[place], time.process_time() - started)
        turns += 1
    return best


def with_gradient(function: Callable[[torch.Tensor], torch.Tensor], z: torch.Tensor) -> Callable[[], None]:
    """Forward and backward, as a step has them."""

    def call() -> None:
        leaf = z.detach().requires_grad_()
        function(leaf).sum().backward()

    return call


def methods() -> list[tuple[str, float, float, float]]:
    """(what, seconds of the loop, ours, how many times as fast it is to be)."""
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(BATCH, FEATURES, generator=draw)
    bin = torch.randint(0, BINS, (BATCH,), generator=draw)
    target = bin / 20.0 + 0.01 * torch.rand(BATCH, generator=draw)
    targets = torch.rand(BINS, generator=draw)
    epoch = torch.randn(SAMPLES, FEATURES, generator=draw)
    of_epoch = torch.randint(0, BINS, (SAMPLES,), generator=draw)
    statistics = FeatureStatistics.empty(BINS, FEATURES, "cpu")
    statistics.update(epoch, of_epoch, 0.9)
    statistics.freeze(kernel(FDS()), with_empty=False)
    two = torch.cat([z, z + 0.1 * torch.randn(z.shape, generator=draw)])
    pairs = (torch.randn(2 * BATCH, generator=draw), target.repeat(2), torch.ones(2 * BATCH), 0.07, 0.2, 0.16)

    def one_anchor_at_a_time(leaf: torch.Tensor) -> torch.Tensor:
        places, first = by_bin(bin)
        chosen = places[first]
        return plain_loops.ranksim(leaf[chosen], target[chosen], 2.0)

    size = f"batch {BATCH}, {FEATURES:,} features, {BINS} bins"
    cases: list[tuple[str, Callable[[], Any], Callable[[], Any], float]] = [
        (
            f"norm loss, {size}",
            with_gradient(lambda leaf: plain_loops.norm_loss(leaf, bin, targets, 0.7), z),
            with_gradient(lambda leaf: norm_term(feature_norm(leaf), bin, targets, 0.7, "mean"), z),
            8.0,
        ),
        (
            f"FDS smoothing, {size}",
            with_gradient(lambda leaf: plain_loops.moved(leaf, bin, statistics, 0.1, 10.0), z),
            with_gradient(lambda leaf: statistics.move(leaf, bin, 0.1, 10.0), z),
            2.0,
        ),
        (
            f"RankSim, {size}",
            with_gradient(one_anchor_at_a_time, z),
            with_gradient(lambda leaf: ranksim(leaf, target, bin, 2.0), z),
            5.0,
        ),
        (
            f"ConR, two views, {size}",
            with_gradient(lambda leaf: plain_loops.conr(leaf, *pairs), two),
            with_gradient(lambda leaf: conr(leaf, *pairs), two),
            5.0,
        ),
        ("Adam on the demo's network, weight by weight", adam(fused=False), adam(fused=True), 1.0),
        (
            f"FDS statistics, {SAMPLES:,} x {FEATURES:,}, {BINS} bins",
            lambda: plain_loops.statistics(epoch, of_epoch, BINS),
            lambda: statistics.update(epoch, of_epoch, 0.9),
            1.0,
        ),
    ]
    return [(name, *in_turns(plain, ours), least) for name, plain, ours, least in cases]


def adam(*, fused: bool) -> Callable[[], object]:
    """A step of it."""
    config = TrialConfig.model_validate({"encoder": {"width": 256, "depth": 3}})
    model = models.build(config.encoder, torch.empty(1, 26), seed=0)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    return torch.optim.Adam(model.parameters(), lr=1e-4, fused=fused).step


class Stepper:
    """A trial of the demo's network, after an epoch, whose steps are taken by the code that trains."""

    def __init__(self, place: Path, term: dict[str, Any]) -> None:
        tree = {
            "encoder": {"width": 256, "depth": 3},
            "stage1": {"batch_size": BATCH, "norm_ordinality": term},
        }
        config = TrialConfig.model_validate(tree)
        folder = Folder(place)
        journal = Journal(folder, claim(folder), lambda record: None, 0, lambda: False)
        self.trial = pipeline.set_up(config, data.load(config.dataset), journal, 1.0)
        self.phase = stage1.phase(self.trial, settings(config.stage1)[0], 0, last=True)
        self.work = steps._prepare(self.trial, self.phase)
        steps._epoch(self.trial, self.phase, self.work, 0, 0)  # running means of all bins are there then
        self.chosen = torch.arange(BATCH)
        self.inputs = models.take(self.work.inputs, self.chosen)

    def step(self) -> None:
        steps._step(self.trial, self.phase, self.work, self.chosen, self.inputs, 1e-3, (1, 0))


def share_of_term() -> tuple[float, float]:
    """Seconds of a step of the demo's network, without norm ordinality and with it."""
    with tempfile.TemporaryDirectory() as place:
        bare = Stepper(Path(place) / "bare", {"name": "none"})
        ours = Stepper(Path(place) / "ours", {"name": "kl", "prototypes": {"name": "ema"}})
        without, with_term = in_turns(bare.step, ours.step)
    return without, with_term


def main() -> None:
    """Measure and print; exit status 1 if a ratio is not what it is to be."""
    torch.set_num_threads(1)
    missed = False
    print("| what | loop, ms | ours, ms | times as fast | aim |\n| --- | --- | --- | --- | --- |")
    for name, plain, ours, least in methods():
        missed |= plain / ours < least
        print(f"| {name} | {1e3 * plain:.1f} | {1e3 * ours:.2f} | {plain / ours:.1f} | at least {least:g} |")
    without, with_term = share_of_term()
    share = with_term / without - 1
    print(f"\nnorm ordinality adds {100 * share:.0f}% to a step of the demo's network (at most 25%)")
    if missed or share > 0.25:
        sys.exit(1)


if __name__ == "__main__":
    main()
