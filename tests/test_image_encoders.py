"""Encoders of images: shapes, last blocks, augmentation, weights from a file, whole trials."""

import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pictures
import pytest
import safetensors.torch
import torch
import torchvision
from pydantic import ValidationError

from dirsweep import models, pipeline
from dirsweep.config import (
    Backbone,
    CropFlip,
    Images,
    NoAugmentation,
    ResizedCrop,
    SmallCNN,
    TrialConfig,
    explain,
)
from dirsweep.config.encoder import BACKBONES
from dirsweep.data import ImageInputs
from dirsweep.loop.frozen import set_layers, through
from dirsweep.models import shifted
from dirsweep.models.backbone import BackboneEncoder, _misfit
from dirsweep.models.on_images import Augment, Scale
from dirsweep.search.spec import check_data, parse_spec
from dirsweep.storage import Folder


def rows(
    count: int = 3, channels: int = 3, size: int = 32, numbers: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, generator=draw)
    return pixels, torch.randn(count, numbers, generator=draw)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Images:
    return pictures.prepared(tmp_path_factory.mktemp("images") / "d", numbers=("weight",))


def run(data: Images, folder: Path, **values: Any) -> list[float]:
    pipeline.run_trial(pictures.trial(data, **values), Folder(folder), lambda record: None)
    return pd.read_csv(folder / "val_predictions.csv")["prediction"].tolist()


# ---- pieces


def test_bytes_become_numbers_by_the_plain_formula():
    pixels = torch.tensor([[[[0, 51], [102, 255]]]], dtype=torch.uint8)
    plain = (pixels.double() / 255 - 0.25) / 0.5
    assert torch.allclose(Scale((0.25,), (0.5,))(pixels).double(), plain, atol=1e-6)
    assert Scale((0.5,) * 3, (0.5,) * 3)(pixels).shape == (1, 3, 2, 2)


def test_augmentation_shifts_by_at_most_the_padding_and_flips_half():
    pixels = torch.zeros(400, 1, 9, 9, dtype=torch.uint8)
    pixels[:, 0, 4, 6] = 200  # two to the right of the middle
    torch.manual_seed(0)
    found = Augment(CropFlip(pad=2)).train()(pixels)
    assert found.shape == pixels.shape
    sample, _, row, column = torch.nonzero(found, as_tuple=True)
    assert len(sample) == 400  # nothing is shifted out of the picture here
    assert set((row - 4).tolist()) == {-2, -1, 0, 1, 2}
    assert set(column.tolist()) == {0, 1, 2, 3, 4} | {4, 5, 6, 7, 8}
    turned = (column < 4).sum() + (column == 4).sum() / 2
    assert 0.4 < turned / 400 < 0.6


def test_augmentation_without_padding_or_flips_does_only_the_other():
    pixels = rows(count=50, channels=1, size=5)[0]
    torch.manual_seed(0)
    flipped = Augment(CropFlip(pad=0)).train()(pixels)
    same = [bool((one == other).all()) for one, other in zip(flipped, pixels, strict=True)]
    turned = [bool((one == other.flip(2)).all()) for one, other in zip(flipped, pixels, strict=True)]
    assert all(one != other for one, other in zip(same, turned, strict=True))
    with pytest.raises(ValueError, match="pad 0 and no flip changes nothing"):
        CropFlip(pad=0, flip=False)
    assert Augment(CropFlip(pad=2)).eval()(pixels) is pixels


def test_a_crop_is_the_padded_image_from_some_place_on():
    pixels = rows(count=8, channels=3, size=6)[0]
    torch.manual_seed(1)
    found = Augment(CropFlip(pad=2, flip=False)).train()(pixels)
    padded = torch.nn.functional.pad(pixels, (2, 2, 2, 2))
    for one, whole in zip(found, padded, strict=True):
        crops = [whole[:, top : top + 6, left : left + 6] for top in range(5) for left in range(5)]
        assert any(torch.equal(one, crop) for crop in crops)


@pytest.mark.parametrize(("channels", "pad"), [(3, 2), (1, 2), (3, 7)])
def test_images_shifted_one_by_one_are_those_shifted_all_at_once(channels, pad):
    """By as much as the whole side too, and in the same order in memory, which decides how a layer adds."""
    pixels = torch.randint(1, 256, (40, channels, 5, 6), dtype=torch.uint8)
    turned, (top, left) = torch.rand(40) < 0.5, torch.randint(0, 2 * pad + 1, (2, 40))
    found = shifted.one_by_one(pixels, turned, top, left, pad)
    whole = shifted.at_once(pixels, turned, top, left, pad)
    assert torch.equal(found, whole)
    assert found.stride() == whole.stride()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_scaled_images_are_those_of_the_plain_formula_to_the_last_bit(layout):
    pixels = torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8).contiguous(memory_format=layout)
    scale = Scale((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    plain = (pixels.float() - scale.mean) / scale.std
    kept = pixels.clone()
    assert torch.equal(scale(pixels), plain)
    assert scale(pixels).stride() == plain.stride()
    assert torch.equal(pixels, kept)


def test_a_resized_crop_is_a_part_of_its_own_of_each_image_at_full_size():
    ramp = torch.arange(64, dtype=torch.uint8).expand(1, 64, 64)  # the column is the value
    pixels = torch.stack([ramp] * 60)
    torch.manual_seed(0)
    found = Augment(ResizedCrop(flip=False, jitter=0, grey=0)).train()(pixels)
    assert (found.shape, found.dtype) == (pixels.shape, torch.uint8)
    left, right = found[:, 0, 32, 0].float(), found[:, 0, 32, -1].float()
    assert (right > left).all()
    width = (right - left + 1) / 64  # of the image: 0.39 (0.2 * 3 / 4 of its square) to 1
    assert 0.35 < width.min() < 0.5 < width.max() <= 1
    assert len({(float(a), float(b)) for a, b in zip(left, right, strict=True)}) > 40
    torch.manual_seed(0)
    assert torch.equal(Augment(ResizedCrop(flip=False, jitter=0, grey=0)).train()(pixels), found)
    assert Augment(ResizedCrop()).eval()(pixels) is pixels


def test_a_resized_crop_that_does_nothing_is_refused():
    with pytest.raises(ValueError, match="changes nothing; choose none"):
        ResizedCrop(area=1, flip=False, jitter=0, grey=0)
    ResizedCrop(area=1, flip=False, jitter=0, grey=0.1)


def test_grey_images_have_no_colours_to_lose(images):
    tree = {"dataset": images.model_dump(mode="json"), "encoder": {"augmentation": {"name": "resized_crop"}}}
    with pytest.raises(ValidationError, match=r"set encoder\.augmentation\.grey to 0"):
        TrialConfig.model_validate(tree)
    tree["encoder"]["augmentation"]["grey"] = 0
    assert TrialConfig.model_validate(tree).encoder.augmentation.jitter == 0.8


def test_colours_change_or_go_as_often_as_asked():
    pixels = torch.zeros(40, 3, 8, 8, dtype=torch.uint8)
    pixels[:, 0], pixels[:, 1] = 200, 80
    plain = {"area": 1.0, "flip": False}
    grey = Augment(ResizedCrop(**plain, jitter=0, grey=1)).train()(pixels)
    assert torch.equal(grey[:, 0], grey[:, 1])
    torch.manual_seed(0)
    changed = Augment(ResizedCrop(**plain, jitter=0.5, grey=0)).train()(pixels)[:, 0, 4, 4] != 200
    assert 10 <= changed.sum() <= 30
    grey_image = torch.full((2, 1, 8, 8), 90, dtype=torch.uint8)  # one channel has no colours to lose
    assert Augment(ResizedCrop(grey=1)).train()(grey_image).shape == (2, 1, 8, 8)


# ---- encoders


@pytest.mark.parametrize(("channels", "numbers", "norm"), [(1, 0, True), (3, 2, False)])
def test_a_small_cnn_gives_z_of_its_width(channels, numbers, norm):
    config = SmallCNN(channels=4, depth=3, width=7, batch_norm=norm)
    own = rows(channels=channels, size=20, numbers=numbers)
    model = models.build(config, own, seed=0).eval()
    z, prediction = model(own)
    assert z.shape == (3, 7)
    assert (z >= 0).all()
    assert prediction.shape == (3,)
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in model.modules()) == norm


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "wide_resnet50_2", "convnext_tiny", "efficientnet_b0", "mobilenet_v3_small"),
        *("densenet121", "regnet_y_400mf", "shufflenet_v2_x0_5", "swin_t", "swin_v2_t"),
    ],
)
def test_z_is_what_the_backbone_hands_to_its_classifier(name):
    own = rows(size=64)
    model = models.build(Backbone(backbone=name), own, seed=0).eval()
    whole = torchvision.models.get_model(name, weights=None).eval()
    seen: list[torch.Tensor] = []
    first = classifier(whole)
    first.register_forward_hook(lambda layer, given, out: seen.append(given[0]))
    ours = model.encoder.state_dict().values()
    theirs = [value for key, value in whole.state_dict().items() if not belongs(key, whole, first)]
    with torch.no_grad():
        for one, other in zip(ours, theirs, strict=True):
            one.copy_(other)
        z = model(own)[0]
        whole(own[0].float() / 127.5 - 1)
    assert torch.allclose(z, seen[0], atol=1e-4)
    assert model.encoder.features == seen[0].shape[1]


def classifier(whole: Any) -> torch.nn.Module:
    """The first linear layer behind the pooling."""
    end = next(getattr(whole, name) for name in ("fc", "head", "classifier") if hasattr(whole, name))
    return next(layer for layer in end.modules() if isinstance(layer, torch.nn.Linear))


def belongs(key: str, whole: Any, first: torch.nn.Module) -> bool:
    """Whether a tensor is of the classifier, from its first linear layer on."""
    names = list(whole.state_dict())
    own = next(name for name, layer in whole.named_modules() if layer is first)
    return names.index(key) >= names.index(f"{own}.weight")


def test_a_backbone_that_is_not_supported_is_refused_with_those_that_are():
    for encoder in ("vgg16", {"name": "backbone", "backbone": "vgg16"}):
        with pytest.raises(ValidationError) as caught:
            TrialConfig.model_validate({"encoder": encoder})
        said = explain(caught.value, "trial.yaml")
        assert said.startswith("trial.yaml: 'encoder.")
        assert "vgg16" in said
        assert all(name in said for name in BACKBONES)


def test_a_backbone_knows_whether_it_has_batch_norm():
    named = (name for name in BACKBONES if not Backbone(backbone=name).batch_norm)
    assert {name.split("_")[0] for name in named} == {"convnext", "swin"}


def test_every_backbone_is_one_of_torchvisions():
    assert set(BACKBONES) <= set(torchvision.models.list_models())


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [0, 2])
def test_numbers_and_grey_images_go_into_a_backbone(numbers):
    own = rows(channels=1, size=32, numbers=numbers)
    model = models.build(Backbone(), own, seed=0).eval()
    z, _ = model(own)
    assert z.shape == (3, 512)
    frozen, trained = model.parts("last_block")
    assert torch.equal(trained(frozen(own)), z)
    changed = (own[0], own[1] + 1)
    assert torch.equal(model(changed)[0], z) == (numbers == 0)


# ---- weights


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_weights_of_a_file_are_loaded(tmp_path, kind):
    theirs = torchvision.models.resnet18(num_classes=7)
    path = tmp_path / f"weights.{kind}"
    if kind == "pth":
        torch.save(theirs.state_dict(), path)
    else:
        safetensors.torch.save_file(theirs.state_dict(), path)
    model = models.build(Backbone(weights=str(path)), rows(), seed=0)
    ours = [value for key, value in model.encoder.state_dict().items()]
    plain = [value for key, value in theirs.state_dict().items() if not key.startswith("fc.")]
    assert all(torch.equal(one, other) for one, other in zip(ours, plain, strict=True))


def wrapped(weights: dict[str, torch.Tensor]) -> None:
    """Names as a parallel wrapper has them."""
    for key in list(weights):
        weights[f"module.{key}"] = weights.pop(key)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda weights: weights.pop("layer1.0.conv1.weight"), "1 missing, such as layer1.0.conv1.weight$"),
        (lambda weights: weights.update(more=torch.zeros(1)), "1 unknown, such as more$"),
        (
            lambda weights: weights.update({"conv1.weight": torch.zeros(2)}),
            r".* size mismatch for conv1.weight: .* torch.Size\(\[2\]\)",
        ),
        (wrapped, "every name starts with 'module.'"),
    ],
)
def test_weights_load_strictly(tmp_path, change, told):
    weights = torchvision.models.resnet18().state_dict()
    change(weights)
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=rf"w\.pth: not the weights of resnet18: {told}"):
        models.build(Backbone(weights=str(tmp_path / "w.pth")), rows(), seed=0)


@pytest.mark.parametrize("version", [None, 1, 2])
def test_old_weights_without_a_count_of_batches_load_where_pytorch_loads_them(version):
    layer = torch.nn.BatchNorm2d(2)
    old = layer.state_dict()
    del old["num_batches_tracked"]
    old._metadata = {"": {"version": version}}
    problem = _misfit(torch.nn.BatchNorm2d(2), old)
    assert problem == ("1 missing, such as num_batches_tracked" if version == 2 else "")
    try:
        torch.nn.BatchNorm2d(2).load_state_dict(old)
    except RuntimeError:
        assert problem
    else:
        assert not problem


def test_a_file_that_holds_no_weights_is_refused_and_runs_no_code(tmp_path):
    with pytest.raises(ValueError, match=r"none\.pth: no such file \(encoder\.weights\)"):
        models.build(Backbone(weights=str(tmp_path / "none.pth")), rows(), seed=0)
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.pth: cannot be read as weights"):
        models.build(Backbone(weights=str(tmp_path / "text.pth")), rows(), seed=0)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")  # a pickled object, which could run code
    with pytest.raises(ValueError, match=r"module\.pth: cannot be read as weights"):
        models.build(Backbone(weights=str(tmp_path / "module.pth")), rows(), seed=0)


# ---- before a trial


@pytest.mark.parametrize(
    ("searched", "told"),
    [
        (
            {"encoder.weights": {"choice": [None, "none.pth"]}},
            "with searched.encoder.weights = 'none.pth': none.pth: no such file (encoder.weights)",
        ),
        (
            {"encoder.backbone": {"choice": ["resnet18", "convnext_tiny"]}},
            "with searched.encoder.backbone = 'convnext_tiny': encoder convnext_tiny needs images of 32 x 32 "
            "pixels or more, but these have a side of 16; raise dataset.size",
        ),
    ],
)
def test_a_searched_encoder_that_will_not_do_is_found_before_the_sweep(images, searched, told):
    fixed = {"dataset": images.model_dump(mode="json"), "encoder": "resnet18"}
    spec = parse_spec({"question": "Which?", "fixed": fixed, "searched": searched}, "space.yaml")
    with pytest.raises(ValueError, match=re.escape(told)):
        check_data(spec)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("convnext_tiny", 32), ("densenet121", 29), ("swin_t", 4)])
def test_a_backbone_takes_images_from_its_smallest_size_on(name, least):
    model = models.build(Backbone(backbone=name), rows(), seed=0).eval()
    assert torch.isfinite(model(rows(size=least))[0]).all()
    models.check(Backbone(backbone=name), ImageInputs(*map(np.asarray, rows(size=least))))
    with pytest.raises(RuntimeError):
        model(rows(size=least - 1))
    with pytest.raises(ValueError, match=f"needs images of {least} x {least} pixels or more"):
        models.check(Backbone(backbone=name), ImageInputs(*map(np.asarray, rows(size=least - 1))))


# ---- trials


@pytest.mark.parametrize("layers", ["last_block", "head"])
def test_augmentation_goes_on_in_front_of_frozen_layers(layers):
    own = rows(count=20, size=12)
    config = SmallCNN(channels=4, depth=2, width=5, augmentation=CropFlip(pad=3))
    model = models.build(config, own, seed=0)
    plain = models.build(config.model_copy(update={"augmentation": NoAugmentation()}), own, seed=0).eval()
    trial = SimpleNamespace(config=SimpleNamespace(device="cpu", precision="float32"), model=model)
    frozen, _ = set_layers(model, SimpleNamespace(layers=layers, frozen_batch_norm=True))
    inputs, left = through(trial, frozen, own)
    assert (inputs, left) == (own, frozen)
    torch.manual_seed(5)
    found = left(inputs)
    torch.manual_seed(5)
    augmented = Augment(config.augmentation).train()(own[0]), own[1]
    assert torch.equal(found, plain.parts(layers)[0](augmented))
    assert not torch.equal(found, plain.parts(layers)[0](own))


@pytest.mark.slow
def test_its_knobs_act_and_a_trial_repeats_itself(images, tmp_path):
    base = run(images, tmp_path / "base")
    assert run(images, tmp_path / "again") == base
    crop = {"encoder.augmentation.name": "crop_flip", "encoder.augmentation.pad": 2}
    cropped = run(images, tmp_path / "crop", **crop)
    changes: dict[str, tuple[list[float], dict[str, Any]]] = {
        "channels": (base, {"encoder.channels": 5}),
        "depth": (base, {"encoder.depth": 3}),
        "width": (base, {"encoder.width": 9}),
        "batch_norm": (base, {"encoder.batch_norm": False}),
        "augmentation": (base, crop),
        "pad": (cropped, crop | {"encoder.augmentation.pad": 3}),
        "flip": (cropped, crop | {"encoder.augmentation.flip": False}),
        "layers": (base, {"stage2.layers": "last_block"}),
        "numbers": (base, {"dataset.numbers": []}),
    }
    found = {name: run(images, tmp_path / name, **change) for name, (_, change) in changes.items()}
    assert [name for name, (than, _) in changes.items() if found[name] == than] == []


@pytest.mark.slow
def test_a_backbone_trains_both_stages_and_its_knobs_act(images, tmp_path):
    small = {"encoder": {"name": "mobilenet_v3_small"}, "stage1.epochs": 1}
    base = run(images, tmp_path / "base", **small)
    assert run(images, tmp_path / "n", **small, **{"encoder.normalisation": "imagenet"}) != base
    assert run(images, tmp_path / "l", **small, **{"stage2.layers": "last_block"}) != base


@pytest.mark.slow
def test_a_finished_trial_predicts_new_images(images, tmp_path):
    base = run(images, tmp_path / "trial")
    place = Path(images.path).parent
    table = pd.read_csv(images.path)
    val = pd.read_csv(tmp_path / "trial" / "val_predictions.csv")["sample"]
    frame = table.iloc[val].reset_index(drop=True)
    found = pipeline.predict(Folder(tmp_path / "trial"), frame, place / "pictures")
    assert found.tolist() == pytest.approx(base, rel=1e-4)
    frame.loc[2, "name"] = "nothing.png"
    with pytest.raises(ValueError, match=r"row 3: the image .*nothing\.png: no such file"):
        pipeline.predict(Folder(tmp_path / "trial"), frame, place / "pictures")


@pytest.mark.slow
def test_a_stopped_trial_with_augmentation_goes_on_to_the_same_numbers(images, tmp_path):
    crop = {"encoder.augmentation": {"name": "crop_flip", "pad": 2}}
    whole = run(images, tmp_path / "whole", **crop)
    trial, folder, seen = pictures.trial(images, **crop), Folder(tmp_path / "stopped"), []

    def slowly(record: dict[str, Any]) -> None:
        seen.append(record)
        time.sleep(1.1)  # a stop is looked for once a second

    with pytest.raises(pipeline.Stopped):
        pipeline.run_trial(trial, folder, slowly, should_stop=lambda: len(seen) > 0)
    pipeline.run_trial(trial, folder, seen.append, emitted=len(seen))
    assert pd.read_csv(tmp_path / "stopped" / "val_predictions.csv")["prediction"].tolist() == whole


@pytest.mark.slow
def test_a_small_cnn_learns_the_drawn_discs(images, tmp_path):
    metrics = pipeline.run_trial(
        pictures.trial(images, **{"stage1.epochs": 20, "stage1.optimizer.lr": 0.01, "dataset.numbers": []}),
        Folder(tmp_path / "trial"),
        lambda record: None,
    )
    table = pd.read_csv(images.path)
    guess = np.abs(table["label"] - table["label"].mean()).mean()
    assert metrics["val/all/mae"] < 0.6 * guess


@pytest.mark.slow
def test_a_trained_backbone_predicts_without_the_weights_that_it_started_from(images, tmp_path):
    torch.save(torchvision.models.mobilenet_v3_small(num_classes=3).state_dict(), tmp_path / "w.pth")
    start = {"encoder": {"name": "mobilenet_v3_small", "weights": str(tmp_path / "w.pth")}}
    run(images, tmp_path / "trial", **start, **{"stage1.epochs": 1, "stage2": None})
    (tmp_path / "w.pth").unlink()
    frame = pd.read_csv(images.path).iloc[:3]
    found = pipeline.predict(Folder(tmp_path / "trial"), frame, Path(images.path).parent / "pictures")
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", ["mobilenet_v2", "convnext_tiny"])
def test_weights_in_safetensors_load_whatever_the_order_of_their_names(tmp_path: Path, name: str):
    network = torchvision.models.get_model(name, weights=None)
    safetensors.torch.save_file(network.state_dict(), tmp_path / "w.safetensors")
    config = Backbone(backbone=name, weights=str(tmp_path / "w.safetensors"))
    encoder = BackboneEncoder(config, 0).eval()
    found = dict(encoder.state_dict())
    own = [value for key, value in network.state_dict().items() if key.startswith("features.0.0.weight")]
    assert any(value.shape == own[0].shape and torch.equal(value, own[0]) for value in found.values())
