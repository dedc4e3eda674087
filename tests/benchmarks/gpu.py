"""What a GPU does with a training step, against the field's usual loop and against the step without data.

Needs a GPU, and of Python's packages PyTorch, torchvision and what a trial imports (numpy, pandas, scipy,
scikit-learn, Pillow, pydantic, PyYAML, pooch, safetensors); no network. Draws its own faces. Where Ray and
pytest are at hand, a staged sweep and the GPU's tests run too. Everything is measured in one call, within
eight minutes; prints a Markdown table, and writes it where `--to` says.

    python tests/benchmarks/gpu.py [--to FILE] [--profile]
"""

import argparse
import importlib
import json
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from dirsweep import data, device, loop, models, pipeline, sharing, stage1
from dirsweep.checkpoint import Journal, claim
from dirsweep.config import TrialConfig, settings
from dirsweep.data import images
from dirsweep.methods.fds import FeatureStatistics
from dirsweep.storage import Folder

steps = importlib.import_module("dirsweep.loop.train")

BATCH, SIDE, DRAWN = 256, 224, 250
TRAIN, VAL = 14 * BATCH, 256
ROUNDS = 3
"""Timed epochs of 14 steps, after one that warms up."""
SMALL_SECONDS = 120.0
"""For so many small models at once to start and be timed, at most."""
AT_ONCE = (1, 2, 4, 8)
TRIALS = 12
FORMATS = ("tf32", "float32")
LIMIT = 460.0
"""Seconds after which nothing more is begun or waited for."""
AIM = {"loop": 2.0, "alone": 0.9, "images": 2800.0, "term": 0.02}


class Row(NamedTuple):
    """Of the table; `kept` says whether the aim is."""

    what: str
    measured: str
    aim: str = ""
    kept: bool = True


# ---- faces


def draw(job: tuple[str, int, float]) -> None:
    """A picture of 250 px that compresses like a photograph: smooth colours, a disc, some noise."""
    name, seed, label = job
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(60, 200, (8, 8, 3), dtype=np.uint8))
    picture = np.asarray(coarse.resize((DRAWN, DRAWN), Image.Resampling.BICUBIC)).astype(np.int16)
    y, x = np.mgrid[:DRAWN, :DRAWN] - DRAWN / 2
    picture[np.hypot(x, y) < 20 + label] += 40
    picture += rng.integers(-8, 8, picture.shape, dtype=np.int16)
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(name, quality=90)


def faces(place: Path, train: int = TRAIN) -> tuple[dict[str, Any], list[str], np.ndarray]:
    """A prepared dataset of drawn faces with ages as AgeDB-DIR has them, roughly; its files and labels."""
    rng = np.random.default_rng(0)
    label = np.clip(rng.normal(45, 17, train + VAL).round(), 0, 100)
    (place / "pictures").mkdir(parents=True)
    names = [f"{number}.jpg" for number in range(len(label))]
    jobs = [(str(place / "pictures" / name), n, label[n]) for n, name in enumerate(names)]
    with multiprocessing.get_context("spawn").Pool(cores()) as pool:
        pool.map(draw, jobs, chunksize=64)
    side = ["train"] * train + ["val"] * VAL
    pd.DataFrame({"name": names, "age": label, "split": side}).to_csv(place / "labels.csv", index=False)
    dataset = {
        "name": "images",
        "path": str(place / "labels.csv"),
        "folder": str(place / "pictures"),
        "store": str(place / "store"),
        "target": "age",
        "image_column": "name",
        "split_column": "split",
        "bins": {"name": "width", "width": 1.0},
        "size": SIDE,
        "channels": "rgb",
    }
    config = TrialConfig.model_validate({"dataset": dataset, "encoder": "resnet50"})
    images.prepare(config.dataset, lambda done, total: None)
    return dataset, [job[0] for job in jobs[:train]], label[:train]


def cores() -> int:
    return len(os.sched_getaffinity(0))


# ---- our step


TERM = {"name": "kl", "weight": 1.0, "prototypes": {"name": "ema"}}


def ours(dataset: dict[str, Any], precision: str | None = None, **encoder: Any) -> TrialConfig:
    """The DIR recipe on ResNet-50, with norm ordinality over running means of all bins."""
    tree: dict[str, Any] = {
        "dataset": dataset,
        "encoder": {"name": "resnet50", "augmentation": {"name": "crop_flip"}, **encoder},
        "stage1": {"batch_size": BATCH, "norm_ordinality": TERM, "epochs": 90},
        "device": "cuda",
    }
    return TrialConfig.model_validate(tree | ({"precision": precision} if precision else {}))


class Stepper:
    """A trial whose steps are taken one epoch at a time, by the code that trains."""

    def __init__(self, config: TrialConfig) -> None:
        dataset = data.load(config.dataset)
        self.folder = tempfile.TemporaryDirectory()
        own = Folder(Path(self.folder.name))
        journal = Journal(own, claim(own), lambda record: None, 0, lambda: False)
        self.trial = pipeline.set_up(config, dataset, journal, 1.0)
        self.phase = stage1.phase(self.trial, settings(config.stage1)[0], 0, last=True)
        self.work = steps._prepare(self.trial, self.phase)
        self.done = 0

    def epoch(self) -> int:
        """Images of one epoch."""
        steps._epoch(self.trial, self.phase, self.work, self.done, 0)
        self.done += 1
        return len(self.work.target)

    def on(self, chosen: torch.Tensor, inputs: Any, count: int) -> int:
        """So many steps on the same rows, which are there already; how many images these are."""
        for step in range(count):
            steps._step(self.trial, self.phase, self.work, chosen, inputs, 1e-3, (0, step))
        return count * len(chosen)


def without_data(config: TrialConfig) -> tuple[Stepper, torch.Tensor, Any]:
    """The same step with nothing in front of the first convolution: normalised numbers, there already."""
    stepper = Stepper(config)
    layers = stepper.trial.model.encoder.stem.layers
    for place, layer in enumerate(layers):
        if type(layer).__name__ in ("Augment", "Scale"):
            layers[place] = nn.Identity()
    chosen = torch.arange(BATCH, device="cuda")
    made = torch.randn(BATCH, 3, SIDE, SIDE, device="cuda").contiguous(memory_format=torch.channels_last)
    return stepper, chosen, (made, torch.empty(BATCH, 0, device="cuda"))


def rate(call: Callable[[], int], rounds: int = ROUNDS) -> float:
    """Images a second, the median of some calls after one that warms up."""
    call()
    found = []
    for _round in range(rounds):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        count = call()
        torch.cuda.synchronize()
        found.append(count / (time.perf_counter() - begun))
    return median(found)


def synchronisations(stepper: Stepper) -> int:
    """How often the steps of an epoch wait for the GPU, as PyTorch's debug mode counts."""
    stepper.epoch()
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        stepper.epoch()
        torch.cuda.set_sync_debug_mode("default")
    waits = [one for one in caught if "synchronizing CUDA operation" in str(one.message)]
    for one in waits:
        print(f"  waits: {Path(one.filename).name}, line {one.lineno}")
    return len(waits)


def profile(stepper: Stepper) -> None:
    """The most expensive kernels of a few steps."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    with profiled(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        stepper.epoch()
        torch.cuda.synchronize()
    print(found.key_averages().table(sort_by="self_cuda_time_total", row_limit=22, max_name_column_width=60))


# ---- the field's loop


class PerImage(torch.utils.data.Dataset):  # type: ignore[type-arg]  # of pairs, which nobody here asks
    """One file at a time by Pillow, changed by torchvision: as the benchmark's reference code reads faces."""

    def __init__(self, files: list[str], label: np.ndarray) -> None:
        from torchvision import transforms

        self.files, self.label = files, label
        self.change = transforms.Compose(
            [
                transforms.Resize((SIDE, SIDE)),
                transforms.RandomCrop(SIDE, padding=16),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, np.float32]:
        return self.change(Image.open(self.files[index]).convert("RGB")), np.float32(self.label[index])


def usual(files: list[str], label: np.ndarray) -> float:
    """Images a second of a plain loop in float32 with PyTorch's defaults: TF32 in convolutions alone."""
    from torchvision.models import resnet50

    loader = torch.utils.data.DataLoader(
        PerImage(files, label),
        batch_size=BATCH,
        shuffle=True,
        num_workers=cores(),
        pin_memory=True,
        persistent_workers=True,
    )
    network = resnet50(num_classes=1).cuda().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def epoch() -> int:
        total = 0.0
        for inputs, target in loader:
            there = inputs.cuda(non_blocking=True), target.cuda(non_blocking=True)
            loss = (network(there[0])[:, 0] - there[1]).abs().mean()
            total += loss.item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return len(files)

    found = rate(epoch, rounds=2)
    loader._iterator = None  # ends its workers
    return found


# ---- several trials on one GPU


def small(dataset: dict[str, Any]) -> dict[str, TrialConfig]:
    cnn = {"name": "small_cnn", "augmentation": {"name": "crop_flip", "pad": 4}}
    return {
        "MLP, diamonds, batch 256": TrialConfig.model_validate(
            {"encoder": {"depth": 3}, "stage1": {"batch_size": 256, "norm_ordinality": TERM}}
            | {"device": "cuda"}
        ),
        "small CNN, 64 px, batch 128": TrialConfig.model_validate(
            {"dataset": dataset, "encoder": cnn, "stage1": {"batch_size": 128, "norm_ordinality": TERM}}
            | {"device": "cuda"}
        ),
    }


# ---- FDS


def fds_milliseconds() -> dict[str, float]:
    """Statistics of 12,208 features of 2,048 in 101 bins: on the device, and by a loop over bins there."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(12_208, 2048, generator=generator).cuda()
    bin = torch.randint(0, 101, (12_208,), generator=generator).cuda()
    statistics = FeatureStatistics.empty(101, 2048, "cuda")

    def loop() -> None:
        for one in bin.unique():
            rows = z[bin == one]
            statistics.mean[one] = rows.mean(0)
            statistics.variance[one] = rows.var(0)

    return {
        "ours": 1000 / rate(lambda: statistics.update(z, bin, 0.9) or 1, 20),
        "loop": 1000 / rate(lambda: loop() or 1, 3),
    }


# ---- the table


def said(words: str) -> None:
    """A line of progress."""
    torch.cuda.empty_cache()
    print(f"{time.perf_counter() - BEGUN:4.0f} s: {words}", flush=True)


def real(config: TrialConfig, *, profiled: bool) -> tuple[float, int, float, float]:
    """Images a second of our step, from the store; waits in an epoch; GiB at the peak; images predicted."""
    stepper = Stepper(config)
    speed, waits = rate(stepper.epoch), synchronisations(stepper)
    if profiled:
        profile(stepper)
    peak = torch.cuda.max_memory_allocated() / 2**30

    def predict() -> int:
        return len(loop.predict(stepper.trial, stepper.trial.dataset.train)[0])

    return speed, waits, peak, rate(predict)


def fed(config: TrialConfig) -> float:
    """Images a second where none fit on the GPU."""
    room, device.ROOM = device.ROOM, 0.0
    try:
        stepper = Stepper(config)
    finally:
        device.ROOM = room
    assert models.place(stepper.work.inputs).type == "cpu"
    return rate(stepper.epoch)


def on_made(config: TrialConfig, change: Callable[[Stepper], None] = lambda stepper: None) -> float:
    """Images a second without data."""
    stepper, chosen, made = without_data(config)
    change(stepper)
    return rate(lambda: stepper.on(chosen, made, 14))


def share_of_term(config: TrialConfig) -> float:
    """What norm ordinality adds to a step, as a share; in turns, for the clocks drift."""
    stepper, chosen, made = without_data(config)
    bare = without_data(config.with_overrides({"stage1.norm_ordinality.name": "none"}))[0]
    found = []
    for _turn in range(4):
        with_term = rate(lambda: stepper.on(chosen, made, 14), 1)
        found.append(rate(lambda: bare.on(chosen, made, 14), 1) / with_term - 1)
    return median(found)


def large(config: TrialConfig, plain: float, options: argparse.Namespace) -> list[Row]:
    """The rows of ResNet-50."""
    speed, waits, peak, predicted = real(config, profiled=options.profile)
    said(f"our step {speed:.0f} images/s, {waits} waits")
    alone, share = on_made(config), share_of_term(config)
    any_order = on_made(config, lambda stepper: torch.use_deterministic_algorithms(False))
    said(f"without data {alone:.0f} images/s, norm ordinality {share:.4f}")
    from_memory = fed(config)
    formats = {name: rate(Stepper(config.with_overrides({"precision": name})).epoch, 1) for name in FORMATS}
    said(f"fed {from_memory:.0f} images/s, {formats}")
    head = f"ResNet-50, {SIDE} px, batch {BATCH}"
    return [
        Row(
            f"{head}: our step in bf16, images/s",
            f"{speed:,.0f}",
            f"at least {AIM['images']:,.0f}",
            speed >= AIM["images"],
        ),
        Row("(a) plain loop with a per-image loader", f"{plain:,.0f}"),
        Row(
            "our step against (a)",
            f"{speed / plain:.2f} times",
            f"at least {AIM['loop']:g}",
            speed >= AIM["loop"] * plain,
        ),
        Row("(b) our step without data", f"{alone:,.0f}"),
        Row(
            "our step against (b)",
            f"{100 * speed / alone:.1f}%",
            f"at least {100 * AIM['alone']:.0f}%",
            speed >= AIM["alone"] * alone,
        ),
        Row("(b) with algorithms that need not repeat themselves", f"{any_order:,.0f}"),
        Row("our step, images fed from pinned memory", f"{from_memory:,.0f}"),
        *(Row(f"our step in {name}", f"{found:,.0f}") for name, found in formats.items()),
        Row("predictions over a split, images/s", f"{predicted:,.0f}"),
        Row(
            "norm ordinality, of a step",
            f"{100 * share:.1f}%",
            f"at most {100 * AIM['term']:g}%",
            share <= AIM["term"],
        ),
        Row("waits for the GPU in an epoch of 14 steps", f"{waits}", "0", waits == 0),
        Row("memory of the step at its peak, GiB", f"{peak:.1f}"),
    ]


def several(dataset: dict[str, Any]) -> list[Row]:
    """The rows of small models, several at once: samples a second, summed."""
    rows = []
    for name, config in small(dataset).items():
        found = [sharing.at_once(config, count, time.monotonic() + SMALL_SECONDS) for count in AT_ONCE]
        said(f"{name}: {found}")
        for one in found:
            samples, times = one.whole * config.stage1.batch_size, one.whole / found[0].whole
            cell = one.refused or f"{samples:,.0f} ({times:.2f} times one)"
            rows.append(Row(f"{name}: {one.count} at once, samples/s", cell))
    return rows


# ---- a sweep and the tests, where what they need is at hand


def staged_sweep(dataset: dict[str, Any], place: Path) -> Row:
    """A whole staged sweep of small CNNs on the faces, by the command."""
    what = f"a staged sweep of {TRIALS} trials on 64 px faces, four at once: seconds by the clock"
    if any(find_spec(name) is None for name in ("ray", "optuna", "typer")):
        return Row(what, "Ray, Optuna or Typer is not at hand")
    space = {
        "question": "Does a staged sweep run through on a GPU?",
        "fixed": {
            "dataset": dataset,
            "encoder": {"name": "small_cnn", "augmentation": {"name": "crop_flip", "pad": 4}},
            "device": "cuda",
            "stage1": {"epochs": 5, "batch_size": 128},
            "stage2": {"majority_threshold": 5, "schedule": {"epochs": 3}},
        },
        "searched": {
            "stage1.norm_ordinality.weight": {"log": [1e-2, 1.0]},
            "stage2.norm_weight": {"log": [1e-2, 1.0]},
        },
        "mode": "staged",
        "budget": {"trials": TRIALS},
    }
    (place / "space.yaml").write_text(json.dumps(space))
    begun = time.perf_counter()
    command = ["-c", "from dirsweep.cli import main; main()", "run", str(place / "space.yaml")]
    where = [
        "--storage",
        str(place / "sweeps"),
        "--name",
        "faces",
        "--no-tracking",
        "--gpus-per-trial",
        "0.25",
    ]
    ended = bounded([*command, *where], place)
    said(f"staged sweep: {ended[1]}")
    spent = f"{time.perf_counter() - begun:.0f}"
    return Row(what, spent if ended[0] == 0 else ended[1], "status 0", ended[0] == 0)


def gpu_tests() -> Row:
    """Those marked `gpu`."""
    if find_spec("pytest") is None:
        return Row("tests of the GPU", "pytest is not at hand")
    tests = Path(__file__).parents[1]
    ended = bounded(
        ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", str(tests / "test_gpu.py")],
        tests.parent,
    )
    return Row("tests of the GPU", ended[1], "all pass", ended[0] == 0)


def bounded(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Exit status and last line of a Python that is stopped when the time is up."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        told, _ = process.communicate(timeout=max(1.0, LIMIT - (time.perf_counter() - BEGUN)))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with what it has started
        process.communicate()
        return 1, "not through in time"
    lines = [line for line in told.splitlines() if line.strip()]
    return process.returncode, lines[-1].strip() if lines else ""


# ---- all of it


def measured(place: Path, options: argparse.Namespace) -> list[Row]:
    """Rows of the table: what, how much, and what was aimed at."""
    dataset, files, label = faces(place / "faces")
    said("faces are drawn and decoded")
    plain = usual(files, label)
    said(f"usual loop {plain:.0f} images/s")
    rows = large(ours(dataset), plain, options)
    spent = fds_milliseconds()
    rows.append(
        Row(
            "FDS statistics of 12,208 x 2,048, ms",
            f"{spent['ours']:.2f} (a loop {spent['loop']:.1f})",
            "no slower",
            spent["ours"] <= spent["loop"],
        )
    )
    reduced = {**dataset, "size": 64, "store": str(place / "small")}
    config = TrialConfig.model_validate({"dataset": reduced, "encoder": "small_cnn"})
    images.prepare(config.dataset, lambda done, total: None)
    rows += several(reduced)
    return [*rows, staged_sweep(reduced, place), gpu_tests()]


def surroundings() -> str:
    import torchvision

    cudnn = torch.backends.cudnn.version()
    return (
        f"{torch.cuda.get_device_name()}, {cores()} CPU cores; PyTorch {torch.__version__}, cuDNN {cudnn}, "
        f"torchvision {torchvision.__version__}, Python {platform.python_version()}"
    )


def main() -> None:
    """Measure and print; exit status 1 if there is no GPU, or if an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, help="a file for the table")
    parser.add_argument("--profile", action="store_true", help="print the most expensive kernels too")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU here")
    with tempfile.TemporaryDirectory() as place:
        rows = measured(Path(place), options)
    lines = [f"{surroundings()}.", "", "| what | measured | aim |", "| --- | --- | --- |"]
    lines += [f"| {row.what} | {row.measured} | {row.aim} |" for row in rows]
    lines += ["", f"Took {time.perf_counter() - BEGUN:.0f} s."]
    print("\n".join(lines))
    if options.to:
        options.to.write_text("\n".join(lines) + "\n")
    if not all(row.kept for row in rows):
        sys.exit(1)


BEGUN = time.perf_counter()

if __name__ == "__main__":
    main()
