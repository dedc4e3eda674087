"""What decides how a trial computes: the number format and the GPU's share; the GPU itself is in test_gpu."""

import os
import resource
import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from dirsweep import device, models
from dirsweep.checkpoint import load_optimizer, optimizer_tensors
from dirsweep.config import MLP, TrialConfig
from dirsweep.loop.feed import feed, in_order
from dirsweep.sweep import Resources, session

IMAGES = {"dataset": "agedb_dir", "encoder": "resnet18"}


def test_images_on_a_gpu_get_bf16_unless_told_otherwise():
    assert TrialConfig.model_validate(IMAGES).precision == "float32"
    assert TrialConfig.model_validate({**IMAGES, "device": "cuda"}).precision == "bf16"
    assert TrialConfig.model_validate({**IMAGES, "device": "cuda", "precision": "tf32"}).precision == "tf32"
    assert TrialConfig.model_validate({"device": "cuda"}).precision == "float32"  # a table


def test_a_precision_that_nobody_named_follows_the_device():
    plain = TrialConfig.model_validate(IMAGES)
    assert plain.with_overrides({"seed": 1}).with_overrides({"device": "cuda"}).precision == "bf16"
    assert TrialConfig.model_validate({**IMAGES, "device": "cuda"}).plain().precision == "bf16"
    named = plain.with_overrides({"precision": "float32"})
    assert named.with_overrides({"device": "cuda"}).precision == "float32"


@pytest.mark.parametrize("values", [{"device": "cpu"}, {"dataset": "diamonds", "encoder": "mlp"}])
def test_bf16_that_nobody_named_goes_with_the_gpu_or_the_images(values):
    plain = TrialConfig.model_validate({**IMAGES, "device": "cuda"})
    assert plain.with_overrides({"seed": 1}).with_overrides(values).precision == "float32"
    named = TrialConfig.model_validate({**IMAGES, "device": "cuda", "precision": "bf16"})
    assert named.with_overrides(values).precision == "bf16"
    assert TrialConfig.model_validate_json(plain.model_dump_json()) == named  # as a worker is told of it


def test_tf32_is_refused_on_a_cpu():
    with pytest.raises(ValidationError, match="precision tf32 is a GPU's, and device is cpu"):
        TrialConfig.model_validate({"precision": "tf32"})


def test_fewer_gpus_than_processes_are_refused(monkeypatch: pytest.MonkeyPatch):
    config = TrialConfig.model_validate({"device": "cuda", "processes": 2})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"processes is 2, but PyTorch finds 1 GPUs here.*processes to 1 or"):
        device.check(config, config.processes)
    device.check(config, 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match="device is cuda, but PyTorch finds no GPU here; set device to cpu"):
        device.check(config, 1)


@pytest.mark.parametrize(("gpus", "share"), [(0.0, 1.0), (0.25, 0.25), (1.0, 1.0), (2.0, 1.0)])
def test_a_trial_has_its_part_of_a_shared_gpu_alone(gpus, share):
    assert Resources(gpus_per_trial=gpus).gpu_share == share


NEW_PAGES = """
import resource, threading, torch
from dirsweep import device
from dirsweep.config import TrialConfig

def measure():
    device.set_up(TrialConfig(), 1.0)
    print(-after(40) + after(40))

def after(times):
    for _ in range(times):
        torch.ones(64 << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

"""


@pytest.mark.parametrize(
    ("run", "settings"),
    [
        ("measure()", {}),
        ("thread = threading.Thread(target=measure); thread.start(); thread.join()", session.ONE_ARENA),
    ],
    ids=["alone", "in a thread, as Ray's workers run it"],
)
def test_a_large_tensor_takes_the_memory_that_another_gave_back(run, settings):
    told = subprocess.run(
        [sys.executable, "-c", NEW_PAGES + run],
        env=os.environ | settings,
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(told.stdout) < 40 * (64 << 20) / resource.getpagesize() / 10


def test_the_head_is_float32_also_under_autocast():
    model = models.build(MLP(width=32), torch.empty(1, 4), seed=0)
    inputs = torch.randn(500, 4)
    with torch.autocast("cpu", torch.bfloat16):
        z, prediction = model(inputs)
    assert (z.dtype, prediction.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(prediction, model.head(z.float()).squeeze(-1))
    assert not torch.equal(prediction, prediction.bfloat16().float())


def test_a_feed_gives_the_chosen_rows_in_turn():
    rows = torch.arange(10.0), torch.arange(20).reshape(10, 2)
    chosen = [torch.tensor([3, 1]), slice(8, 12)]
    found = list(feed(rows, chosen, "cpu"))
    assert [part[0].tolist() for part in found] == [[3, 1], [8, 9]]
    assert found[0][1].tolist() == [[6, 7], [2, 3]]
    assert [len(part) for part in in_order(torch.arange(10.0), 4, "cpu")] == [4, 4, 2]


def test_what_an_optimizer_kept_comes_back_laid_out_like_the_weights():
    def stepped() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(layer.parameters())
        layer(torch.ones(1, 3, 8, 8)).sum().backward()
        optimizer.step()
        return layer, optimizer

    layer, optimizer = stepped()
    saved = {name: value.contiguous() for name, value in optimizer_tensors(optimizer).items()}
    other, restored = stepped()
    load_optimizer(restored, saved)
    for one, own in zip(other.parameters(), layer.parameters(), strict=True):
        kept = restored.state[one]["exp_avg"]
        assert kept.stride() == one.stride()
        assert torch.equal(kept, optimizer.state[own]["exp_avg"])
