"""What a GPU does otherwise than a CPU, and what it must not: deselected where there is none."""

import gc
import importlib
import re
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pictures
import pytest
import tiny
import torch
from test_norm_ordinality import KINDS, random_case

from dirsweep import checkpoint, data, device, models, pipeline, sharing, stage1
from dirsweep.checkpoint import Journal, Store
from dirsweep.checkpoint import journal as journals
from dirsweep.config import Images, TrialConfig, settings
from dirsweep.leftover import TOLERATED, Leftover, Memory
from dirsweep.loop.feed import feed
from dirsweep.methods.conr import conr
from dirsweep.methods.norm_ordinality import RunningNorms, feature_norm, norm_ordinality
from dirsweep.methods.ordinal_entropy import ordinal_entropy
from dirsweep.methods.ranksim import ranksim
from dirsweep.storage import Folder

steps = importlib.import_module("dirsweep.loop.train")

pytestmark = pytest.mark.gpu

CROP = {"encoder.augmentation": {"name": "crop_flip", "pad": 2}}
RESNET = {"encoder": {"name": "resnet18", "augmentation": {"name": "crop_flip", "pad": 4}}}


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Images:
    """Drawn grey images, with a number beside each."""
    return pictures.prepared(tmp_path_factory.mktemp("images") / "d", numbers=("weight",))


@pytest.fixture(scope="module")
def colours(tmp_path_factory) -> Images:
    """Drawn images in colour, as large as a small backbone needs."""
    return pictures.prepared(tmp_path_factory.mktemp("colours") / "d", channels="rgb", size=32)


def on_gpu(dataset: Images, **values: Any) -> TrialConfig:
    return pictures.trial(dataset, device="cuda", **values)


def run(config: TrialConfig, folder: Path, **options: Any) -> list[float]:
    """Predictions on val."""
    pipeline.run_trial(config, Folder(folder), lambda record: None, **options)
    return pd.read_csv(folder / "val_predictions.csv")["prediction"].tolist()


def set_up(config: TrialConfig, folder: Path) -> tuple[Any, Any, Any]:
    """A trial, the last phase of its stage 1, and what its steps work on."""
    dataset = data.load(config.dataset)
    own = Folder(folder)
    journal = Journal(own, checkpoint.claim(own), lambda record: None, 0, lambda: False)
    trial = pipeline.set_up(config, dataset, journal, 1.0)
    phase = stage1.phase(trial, settings(config.stage1)[-1], 0, last=True)
    return trial, phase, steps._prepare(trial, phase)


# ---- the same numbers


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_trial_repeats_itself_and_its_format_acts(colours, tmp_path, precision):
    config = on_gpu(colours, precision=precision, **RESNET)
    first = run(config, tmp_path / "one")
    assert run(config, tmp_path / "two") == first
    other = "float32" if precision != "float32" else "bf16"
    assert run(config.with_overrides({"precision": other}), tmp_path / "three") != first


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("at", [1, 6, 10])
def test_a_trial_that_is_stopped_gives_the_numbers_of_one_that_is_not(
    colours, tmp_path, monkeypatch, optimizer, at
):
    values = {"stage1.optimizer": {"name": optimizer, "lr": 0.01}, "precision": "bf16", **RESNET}
    config = on_gpu(colours, **values)
    whole = run(config, tmp_path / "whole")
    monkeypatch.setattr(journals, "BETWEEN_LOOKS", 0.0)
    looks = iter(range(10_000))
    with pytest.raises(checkpoint.Stopped):
        run(config, tmp_path / "parts", should_stop=lambda: next(looks) == at)
    assert run(config, tmp_path / "parts") == whole


def test_images_that_do_not_fit_on_the_gpu_give_the_same_numbers(colours, tmp_path, monkeypatch):
    config = on_gpu(colours, precision="bf16", **RESNET)
    there = run(config, tmp_path / "there")
    monkeypatch.setattr(device, "ROOM", 0.0)
    trial, *_ = set_up(config, tmp_path / "trial")
    assert all(models.place(rows).type == "cpu" for rows in trial.rows.values())
    assert run(config, tmp_path / "fed") == there


def test_a_feed_brings_the_chosen_rows_and_ends_when_it_is_closed():
    rows = torch.randint(0, 256, (500, 3, 8, 8), dtype=torch.uint8), torch.randn(500, 2)
    chosen = list(torch.randperm(500).split(64))
    for part, found in zip(chosen, feed(rows, chosen, "cuda"), strict=True):
        assert all(torch.equal(one.cpu(), whole[part]) for one, whole in zip(found, rows, strict=True))
    with closing(feed(rows, [slice(0, 10)] * 50, "cuda")) as begun:
        assert torch.equal(next(begun)[0].cpu(), rows[0][:10])


@pytest.mark.parametrize("layers", ["all", "last_block"])
def test_cpu_and_gpu_agree(images, tmp_path, layers):
    values = {"stage2.layers": layers, "encoder.batch_norm": False, "precision": "float32"}
    there = np.array(run(on_gpu(images, **values), tmp_path / "gpu"))
    here = np.array(run(pictures.trial(images, **values), tmp_path / "cpu"))
    assert np.abs(there - here).max() < 1e-2
    assert np.abs(here - here.mean()).max() > 0.5


def test_cpu_and_gpu_agree_on_a_table(tmp_path):
    config = tiny.config(tmp_path)
    there = np.array(run(config.with_overrides({"device": "cuda"}), tmp_path / "gpu"))
    assert np.abs(there - np.array(run(config, tmp_path / "cpu"))).max() < 1e-2


@pytest.mark.parametrize("config", KINDS, ids=repr)
@pytest.mark.parametrize("seed", range(3))
def test_terms_and_their_gradients_are_those_of_a_cpu(config, seed):
    norm, bin, centres, mean, seen = random_case(seed)

    def found(where: str) -> list[torch.Tensor]:
        leaf = torch.tensor(norm, device=where, requires_grad=True)
        running = RunningNorms(torch.as_tensor(mean, device=where), torch.as_tensor(seen, device=where))
        z = torch.stack([leaf, leaf.square(), leaf + 1], dim=1)
        own = torch.as_tensor(bin, device=where), torch.as_tensor(centres, device=where)
        value = norm_ordinality(config, leaf, *own, running) + ordinal_entropy(z, *own)
        value.backward()
        return [value.detach().cpu(), leaf.grad.cpu()]

    for one, other in zip(found("cuda"), found("cpu"), strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("name", ["conr", "ranksim"])
def test_feature_methods_and_their_gradients_are_those_of_a_cpu(name, reference):
    rng = np.random.default_rng(0)
    z, prediction = rng.normal(size=(40, 6)), rng.normal(size=40)
    bin = np.arange(40) // (8 if name == "conr" else 1)  # one of each is drawn for RankSim
    target = (1.0 * bin + 0.01 * rng.normal(size=40)) / 3

    def found(where: str) -> list[torch.Tensor]:
        leaf = torch.tensor(z, device=where, requires_grad=True)
        there = [torch.as_tensor(part, device=where) for part in (prediction, target, bin)]
        if name == "conr":
            weight = torch.linspace(0.5, 2, 40, device=where)
            value = conr(leaf, there[0], there[1], weight, 0.3, 0.2, 0.1, reference=reference)
        else:
            value = ranksim(leaf, there[1], there[2], 2.0)
        value.backward()
        assert value > 0
        return [value.detach().cpu(), leaf.grad.cpu()]

    for one, other in zip(found("cuda"), found("cpu"), strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-9)


# ---- precision


def test_loss_and_norms_in_bf16_are_near_those_in_float32(colours, tmp_path):
    found = {}
    for precision in ("float32", "bf16"):
        trial, phase, work = set_up(on_gpu(colours, precision=precision, **RESNET), tmp_path / precision)
        chosen = torch.arange(64, device="cuda")
        inputs = models.take(work.inputs, chosen)
        batch, base, term = steps._gradients(trial, phase, work, chosen, inputs, (0, 0))
        assert {base.dtype, term.dtype, batch.prediction.dtype, batch.z.dtype} == {torch.float32}
        gradient = torch.cat([p.grad.flatten() for p in trial.model.parameters()])
        assert gradient.dtype == torch.float32
        found[precision] = (base, term, feature_norm(batch.z), gradient)
    for one, other in zip(found["bf16"][:3], found["float32"][:3], strict=True):
        assert torch.allclose(one, other, rtol=0.03, atol=3e-3)
        assert not torch.equal(one, other)
    cosine = torch.nn.functional.cosine_similarity(found["bf16"][3], found["float32"][3], dim=0)
    assert cosine > 0.8


def test_predictions_in_bf16_are_not_rounded_to_three_digits(colours, tmp_path):
    found = torch.tensor(run(on_gpu(colours, precision="bf16", **RESNET), tmp_path / "trial"))
    assert len(found.unique()) == len(found)


# ---- no step waits


METHODS: dict[str, dict[str, Any]] = {
    "fds": {"stage1.feature_method.name": "fds"},
    "fds gathered": {"stage1.feature_method": {"name": "fds", "gather": "during"}},
    "accumulated": {"stage1.accumulate": 2},
    "vir": {"stage1.feature_method.name": "vir", "stage1.loss.name": "nig"},
    "ranksim": {"stage1.feature_method.name": "ranksim"},
    "ordinal_entropy": {"stage1.feature_method.name": "ordinal_entropy"},
    "conr": {"stage1.feature_method.name": "conr"},
    "rank_n_contrast": {
        "stage1.feature_method.name": "rank_n_contrast",
        "encoder.augmentation": {"name": "resized_crop"},
    },
    "bmc": {"stage1.loss": {"name": "balanced_mse", "sigma_lr": 1e-3}},
    "gai": {"stage1.loss": {"name": "balanced_mse", "integral": "gai"}},
    "dist": {"stage1.loss.name": "dist"},
    "bsam": {"stage1.optimizer.rho": 0.05, "stage1.weighting.name": "sqinv"},
    "probe": {"stage1.then": [{"epochs": 1, "layers": "head"}]},
}


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("kind", ["kl", "hinge", "rank", "isotonic"])
@pytest.mark.parametrize("method", ["none", *sorted(METHODS.keys() - {"dist"})])  # whose solver is a CPU's
def test_no_step_waits_for_the_gpu(colours, tmp_path, kind, method):
    values = {
        "stage1.norm_ordinality": {
            "name": kind,
            "prototypes": {"name": "ema"},
            "weight": 1.0,
            "ordinal_entropy": 0.1,
        },
        "stage1.batch_size": 8,
        **CROP,
        **METHODS.get(method, {}),
    }
    trial, phase, work = set_up(on_gpu(colours, **values), tmp_path / "trial")
    chosen = torch.arange(8, device="cuda")
    if phase.after_epoch is not None:  # only then are features moved
        phase.after_epoch(lambda: steps._features(trial, work), work.bin, 0)
    for number in range(3):
        if number:  # the first one sets things up
            torch.cuda.set_sync_debug_mode("error")
        try:
            inputs = models.take(work.inputs, chosen.repeat(phase.views))
            steps._step(trial, phase, work, chosen, inputs, 1e-3, (1, number))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    assert work.sums.isfinite().all()


# ---- all of it


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_and_repeats_itself(colours, tmp_path, name):
    config = on_gpu(colours, **{**CROP, **METHODS[name]})
    found = run(config, tmp_path / "one")
    assert run(config, tmp_path / "two") == found


@pytest.mark.parametrize("name", ["convnext_tiny", "efficientnet_b0", "mobilenet_v3_small", "densenet121"])
def test_other_backbones_train_and_repeat_themselves(colours, tmp_path, name):
    config = on_gpu(colours, encoder={"name": name}, **{"stage1.epochs": 1})
    assert config.precision == "bf16"
    found = run(config, tmp_path / "one")
    assert run(config, tmp_path / "two") == found


def test_both_stages_run_and_a_stored_stage_1_is_taken_up(colours, tmp_path):
    store = Store(Folder(tmp_path / "store"))
    config = on_gpu(colours, **RESNET, **{"stage2.layers": "last_block"})
    first = run(config, tmp_path / "first", store=store)
    other = config.with_overrides({"stage2.norm_weight": 0.5})
    forked = run(other, tmp_path / "forked", store=store)
    assert (tmp_path / "forked" / "fork.json").exists()
    assert forked != first
    assert run(other, tmp_path / "alone") == forked


def test_a_trial_that_finds_no_memory_says_what_it_took_and_others_go_on(colours, tmp_path):
    large = on_gpu(colours, encoder={"name": "wide_resnet101_2"}, precision="float32")
    told = (
        r"the GPU's memory ran out: this trial's tensors took up to \d\.\d GiB of it \(.*, \d+\.\d GiB; "
        r"\d\.\d GiB were its own; .*with stage1\.batch_size 32 and precision float32; lower the batch size"
    )
    try:
        run(large, tmp_path / "large", gpu_share=0.01)
    except pipeline.OutOfMemory as error:
        said = str(error)
    assert re.match(told, said)
    gc.collect()
    assert torch.cuda.memory_allocated() < 2**28  # nothing holds what the trial had
    small = on_gpu(colours, encoder={"name": "small_cnn"})
    assert run(small, tmp_path / "shared", gpu_share=0.01) == run(small, tmp_path / "alone")


def test_trials_leave_nothing_behind_and_a_process_that_something_was_left_in_begins_no_other(
    colours, tmp_path
):
    memory = Memory()
    memory.check()
    for number, layers in enumerate(("all", "last_block")):
        run(on_gpu(colours, **RESNET, **{"stage2.layers": layers}), tmp_path / str(number))
        memory.check()
    left = torch.empty(2 * TOLERATED, dtype=torch.uint8, device="cuda")
    with pytest.raises(Leftover, match=r"its process holds 5\d\d MiB of GPU memory, \d+ MiB when it first"):
        memory.check()
    del left
    memory.check()


def test_trials_that_share_the_gpu_are_timed_side_by_side(tmp_path):
    config = tiny.config(tmp_path).with_overrides({"device": "cuda"})
    for count in (1, 2):
        found = sharing.at_once(config, count, time.monotonic() + 120)
        assert found.refused == ""
        assert found.each > 10
        assert 0 < found.memory < 2**33


def test_a_model_trained_on_a_gpu_predicts_on_a_cpu(colours, tmp_path):
    found = run(on_gpu(colours, precision="float32", **RESNET), tmp_path / "trial")
    table = pd.read_csv(colours.path)
    val = pd.read_csv(tmp_path / "trial" / "val_predictions.csv")["sample"]
    frame = table.iloc[val].reset_index(drop=True)
    here = pipeline.predict(Folder(tmp_path / "trial"), frame, Path(colours.path).parent / "pictures")
    assert here.tolist() == pytest.approx(found, abs=1e-2)
