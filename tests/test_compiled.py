"""Training by PyTorch's compiler: the plain layers' numbers, and a clear word where it cannot be had."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
import torch
from torch import nn

from dirsweep import device, pipeline, trouble
from dirsweep.checkpoint import journal, unpack
from dirsweep.config import CropFlip, ResizedCrop
from dirsweep.models.on_images import Augment, Fuse, OnPixels, Scale
from dirsweep.storage import Folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where code is kept that these tests compile, the headers too: nothing is there before."""
    place = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(place / "code"))
        patch.setattr(tempfile, "tempdir", str(place))
        yield place


def run(config, folder: Path, looks: int | None = None) -> dict[str, torch.Tensor]:
    """The weights that a trial ends with, or has after so many looks for a stop."""
    left = iter(range(looks or 0))
    stopping = looks is not None
    pipeline.run_trial(
        config,
        Folder(folder),
        lambda record: None,
        should_stop=lambda: stopping and next(left, None) is None,
    )
    return unpack((folder / "model.safetensors").read_bytes())[0]


@pytest.mark.slow
def test_a_compiled_trial_ends_as_the_plain_one_but_for_rounding(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    """By plain steps along the gradient, with dropout, in both stages; all batches have one shape."""
    monkeypatch.setattr(journal, "BETWEEN_LOOKS", 0.0)
    sgd = {"name": "sgd", "lr": 0.02}
    plain = tiny.config(tmp_path, encoder__dropout=0.2, stage1__batch_size=1000, stage1__optimizer=sgd)
    config = plain.with_overrides({"compiled": True})
    usual, found = run(plain, tmp_path / "plain"), run(config, tmp_path / "compiled")
    assert found.keys() == usual.keys()
    for name, weight in usual.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-4)
    assert any(cache.glob("code/**/*.so")), "nothing was compiled"

    with pytest.raises(pipeline.Stopped):
        run(config, tmp_path / "again", looks=3)
    [kept, *_] = sorted((tmp_path / "again" / "checkpoints").glob("*.safetensors"))
    assert {name for name in unpack(kept.read_bytes())[0] if name.startswith("model/")} == {
        f"model/{name}" for name in usual
    }
    again = run(config, tmp_path / "again")
    assert all(torch.equal(again[name], weight) for name, weight in found.items())


@pytest.mark.slow
@pytest.mark.parametrize("augmentation", [CropFlip(), ResizedCrop()], ids=lambda config: config.name)
def test_an_augmentation_and_what_stands_behind_it_are_compiled_as_one_piece(augmentation):
    """As PyTorch takes the layers apart, without its compiler of what comes out."""
    stem = OnPixels(Augment(augmentation), Scale((0.5,) * 3, (0.5,) * 3), nn.Conv2d(3, 4, 3))
    layers = nn.Sequential(stem, Fuse(nn.AdaptiveAvgPool2d(1), nn.Flatten())).train()
    whole = torch.compile(layers, dynamic=False, fullgraph=True, backend="eager")
    for count in (16, 9, 16):
        pair = torch.randint(0, 256, (count, 3, 12, 12), dtype=torch.uint8), torch.zeros(count, 0)
        torch.manual_seed(count)
        usual = layers(pair)
        torch.manual_seed(count)
        assert torch.equal(whole(pair), usual)


def test_without_a_compiler_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    config = tiny.config(tmp_path, compiled=True)
    with pytest.raises(ValueError, match=r"no C\+\+ compiler 'no-such-compiler' here; install one"):
        device.check(config, 1)
    device.check(config.with_overrides({"compiled": False}), 1)


@pytest.mark.parametrize("name", ["code", "torchinductor_*"])
def test_compiled_code_is_kept_where_nobody_else_writes(cache: Path, name: str):
    device._own_caches()
    [place] = cache.glob(name)
    place.chmod(0o770)
    with pytest.raises(ValueError, match=r"others may write to it; name folders of your own"):
        device._own_caches()
    place.chmod(0o700)


@pytest.mark.slow
def test_a_compiler_that_fails_is_told_by_its_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    broken = tmp_path / "broken-g++"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && exec g++ --version\necho no room >&2\nexit 1\n')
    broken.chmod(0o755)
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, str(broken)))  # of CXX, as it is imported
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "code"))
    with pytest.raises(
        trouble.NotCompiled, match=r"cannot compile the encoder here \(CppCompileError: .*false"
    ):
        run(tiny.config(tmp_path, compiled=True), tmp_path / "trial")


@pytest.mark.slow
def test_layers_that_are_compiled_over_and_over_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As PyTorch takes them apart, without its compiler of what comes out."""
    monkeypatch.setattr("torch._dynamo.config.fail_on_recompile_limit_hit", True)
    layers = torch.compile(lambda batch, times: batch * times, dynamic=False, backend="eager")

    def train() -> None:
        with trouble.naming_trouble(tiny.config(tmp_path, compiled=True), 1.0):
            for times in range(torch._dynamo.config.recompile_limit + 1):
                layers(torch.ones(2), times)

    with pytest.raises(trouble.NotCompiled, match=r"compile the encoder over and over, .* compiled to false"):
        train()
