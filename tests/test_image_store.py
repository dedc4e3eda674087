"""Decoding images once: what is kept, what cannot be read, stopping and going on, damage."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dirsweep.data import image_decoding
from dirsweep.data.image_decoding import decode, finish_mending, mend, read_image
from dirsweep.data.image_store import Manifest, Recipe, pixels, read_manifest
from dirsweep.storage import Folder

RECIPE = Recipe(table="t", column="name", size=4, channels="grey", split="s")


def drawn(folder: Path, count: int) -> list[Path]:
    """`count` plain grey images, image k of brightness k."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("L", (6, 5), number).save(path)
    return paths


def sides(count: int) -> np.ndarray:
    """train, val, test, nothing, and again."""
    return np.array(["train", "val", "test", ""] * count)[:count]


def made(folder: Path, paths: list[Path], side: np.ndarray, share: float = 0.0) -> Manifest:
    return decode(folder, RECIPE, paths[0].parent, paths, side, share, lambda done, total: None)


def test_each_side_has_its_images_in_the_order_of_the_table(tmp_path):
    paths = drawn(tmp_path / "in", 11)
    manifest = made(tmp_path / "store", paths, sides(11))
    assert manifest.counts == {"train": 3, "val": 3, "test": 3}
    for side, first in (("train", 0), ("val", 1), ("test", 2)):
        found = pixels(tmp_path / "store", manifest, side)
        assert found.shape == (3, 1, 4, 4)
        assert found[:, 0, 0, 0].tolist() == [first, first + 4, first + 8]
    assert read_manifest(tmp_path / "store") == manifest


def test_unreadable_images_are_left_out_and_listed(tmp_path):
    paths = drawn(tmp_path / "in", 8)
    paths[0].write_bytes(paths[0].read_bytes()[:40])  # cut short
    paths[4].write_bytes(b"")
    paths[1] = tmp_path / "in" / "missing.png"
    manifest = made(tmp_path / "store", paths, sides(8), share=0.5)
    assert manifest.counts == {"train": 0, "val": 1, "test": 2}
    assert set(manifest.unreadable) == {0, 1, 4}
    assert manifest.unreadable[1] == "no such file"
    assert pixels(tmp_path / "store", manifest, "train").shape == (0, 1, 4, 4)


def test_an_image_that_was_mended_takes_its_place_when_the_store_is_mended(tmp_path):
    paths, store = drawn(tmp_path / "in", 11), tmp_path / "store"
    whole = made(tmp_path / "whole", paths, sides(11))
    content = {row: paths[row].read_bytes() for row in (0, 4, 5, 10)}  # train, train, val, test
    for row in content:
        paths[row].write_bytes(b"")
    broken = made(store, paths, sides(11), share=0.5)
    mapped = pixels(store, broken, "train")
    for row in (0, 5, 10):
        paths[row].write_bytes(content[row])
    paths[4].unlink()
    mended = mend(store, broken, paths, sides(11), 0.5)
    assert mended.unreadable == {4: "no such file"}
    assert pixels(store, mended, "train")[:, 0, 0, 0].tolist() == [0, 8]
    assert mapped[:, 0, 0, 0].tolist() == [8]  # whoever had it open has it as it was
    paths[4].write_bytes(content[4])
    assert mend(store, mended, paths, sides(11), 0.0) == whole == read_manifest(store)


def test_a_mending_that_was_killed_between_its_files_is_finished(tmp_path, monkeypatch):
    paths, store = drawn(tmp_path / "in", 11), tmp_path / "store"
    kept = {path: path.read_bytes() for path in paths[:2]}  # one of train, one of val
    for path in kept:
        path.write_bytes(b"no image")
    broken = made(store, paths, sides(11), 0.5)
    for path, content in kept.items():
        path.write_bytes(content)
    replace = Path.replace

    def dies(self: Path, target: Path) -> Path:
        if self.suffix == ".part" and len(list(store.glob("*.part"))) == 1:  # the second of two
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            mend(store, broken, paths, sides(11), 0.5)
    finish_mending(store)
    whole = read_manifest(store)
    assert (whole.unreadable, whole.counts) == ({}, {"train": 3, "val": 3, "test": 3})
    assert all(len(pixels(store, whole, side)) == whole.counts[side] for side in ("train", "val", "test"))
    assert not list(store.glob("*.part"))


def test_a_smaller_share_that_may_fail_counts_for_a_finished_store_too(tmp_path):
    paths = drawn(tmp_path / "in", 8)
    paths[1].unlink()
    manifest = made(tmp_path / "store", paths, sides(8), share=0.5)
    with pytest.raises(
        ValueError, match=r"(?s)1 of 6 images cannot be read, more than .* 0 .*1\.png: no such"
    ):
        mend(tmp_path / "store", manifest, paths, sides(8), 0.0)
    assert read_manifest(tmp_path / "store") == manifest


def test_an_image_mended_while_decoding_was_stopped_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(image_decoding, "CHUNK", 4)
    paths = drawn(tmp_path / "in", 12)
    whole = made(tmp_path / "whole", paths, sides(12))
    content = paths[0].read_bytes()
    paths[0].write_bytes(b"")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(tmp_path / "store", RECIPE, paths[0].parent, paths, sides(12), 0.5, stop)
    paths[0].write_bytes(content)
    assert made(tmp_path / "store", paths, sides(12), share=0.5) == whole


def test_too_many_unreadable_images_are_an_error_that_names_them_and_leaves_nothing(tmp_path):
    paths = drawn(tmp_path / "in", 8)
    for path in paths[:2]:
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"(?s)2 of 6 images cannot be read, more than .* 0\.2 .*0\.png"):
        made(tmp_path / "store", paths, sides(8), share=0.2)
    assert not (tmp_path / "store").exists()


def test_decoding_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(image_decoding, "CHUNK", 4)
    paths = drawn(tmp_path / "in", 20)
    whole = made(tmp_path / "whole", paths, sides(20))

    class Stop(Exception):
        """Ctrl-C."""

    def stop(done: int, total: int) -> None:
        if done >= 8:
            raise Stop

    with pytest.raises(Stop):
        decode(tmp_path / "store", RECIPE, paths[0].parent, paths, sides(20), 0.0, stop)
    assert read_manifest(tmp_path / "store") is None
    with (tmp_path / "store" / "train.u8").open("ab") as file:
        file.write(b"half a chunk")  # written by an attempt that died before it noted so
    for path in paths[:8]:
        path.unlink()  # not read again
    assert made(tmp_path / "store", paths, sides(20)) == whole
    assert not (tmp_path / "store" / "progress.json").exists()


def test_a_killed_decoding_goes_on(tmp_path):
    paths = drawn(tmp_path / "in", 600)
    code = (
        "import sys, os, numpy as np; from pathlib import Path; from dirsweep.data.image_decoding import *\n"
        "names, store = sys.argv[2:], Path(sys.argv[1])\n"
        "recipe = Recipe(table='t', column='name', size=4, channels='grey', split='s')\n"
        "side = np.array(['train', 'val', 'test', ''] * 600)[:600]\n"
        "die = lambda done, total: os.kill(os.getpid(), 9)\n"
        "decode(store, recipe, Path(names[0]).parent, [Path(n) for n in names], side, 0.0, die)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "store"), *map(str, paths)])
    assert done.returncode == -9
    assert json.loads((tmp_path / "store" / "progress.json").read_text())["done"] == 256
    assert (
        made(tmp_path / "store", paths, sides(600)).hashes == made(tmp_path / "two", paths, sides(600)).hashes
    )


def test_a_half_made_store_of_other_images_is_not_written_over(tmp_path):
    begun = {"recipe": {"table": "other"}, "root": "there", "done": 1, "unreadable": {}, "counts": {}}
    Folder(tmp_path).put("progress.json", json.dumps(begun).encode())
    with pytest.raises(ValueError, match="another store is half made there"):
        made(tmp_path, drawn(tmp_path / "in", 4), sides(4))


def test_a_half_made_store_that_lost_bytes_is_not_filled_up_with_black(tmp_path, monkeypatch):
    monkeypatch.setattr(image_decoding, "CHUNK", 4)
    paths, store = drawn(tmp_path / "in", 20), tmp_path / "store"

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(store, RECIPE, paths[0].parent, paths, sides(20), 0.0, stop)
    (store / "train.u8").unlink()
    with pytest.raises(ValueError, match=r"train\.u8: shorter than it was left; delete the folder"):
        made(store, paths, sides(20))
    (store / "progress.json").write_text("{}")
    with pytest.raises(ValueError, match=r"progress\.json: damaged; delete the folder"):
        made(store, paths, sides(20))


def test_a_damaged_store_is_refused(tmp_path):
    store = tmp_path / "store"
    manifest = made(store, drawn(tmp_path / "in", 8), sides(8))
    os.truncate(store / "val.u8", 3)
    with pytest.raises(ValueError, match=r"val\.u8: 3 bytes long, not 32; delete the folder"):
        pixels(store, manifest, "val")
    (store / "train.u8").unlink()
    with pytest.raises(ValueError, match=r"train\.u8: missing"):
        pixels(store, manifest, "train")
    (store / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json: damaged"):
        read_manifest(store)


@pytest.mark.parametrize(
    ("image", "grey", "rgb"),
    [
        (Image.new("L", (9, 9), 100), [100], [100, 100, 100]),
        (Image.new("RGB", (9, 9), (255, 0, 0)), [76], [255, 0, 0]),
        (Image.new("RGBA", (9, 9), (0, 255, 0, 255)), [150], [0, 255, 0]),
        (Image.new("1", (9, 9), 1), [255], [255, 255, 255]),
        (Image.new("LA", (9, 9), (7, 255)), [7], [7, 7, 7]),
        (Image.fromarray(np.full((9, 9), 51200, dtype=np.uint16)), [200], [200, 200, 200]),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_images_of_any_mode_are_read(tmp_path, image, grey, rgb):
    image.save(tmp_path / "image.png")
    assert read_image(tmp_path / "image.png", 3, "grey")[:, 1, 1].tolist() == grey
    assert read_image(tmp_path / "image.png", 3, "rgb")[:, 1, 1].tolist() == rgb


def test_a_palette_is_read_and_a_mode_without_range_is_not(tmp_path):
    Image.new("RGB", (9, 9), (10, 20, 30)).quantize(2).save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png", 2, "rgb")[:, 0, 0].tolist() == [10, 20, 30]
    Image.new("F", (9, 9), 0.5).save(tmp_path / "float.tiff")
    with pytest.raises(ValueError, match="pixels of mode F, which have no fixed range"):
        read_image(tmp_path / "float.tiff", 2, "rgb")


def test_a_turned_photograph_is_turned_upright(tmp_path):
    image = Image.fromarray(np.repeat([[0, 250]], 8, axis=0).repeat(4, axis=1).astype(np.uint8))  # dark left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    image.save(tmp_path / "turned.jpg", exif=exif)
    found = read_image(tmp_path / "turned.jpg", 8, "grey")[0]
    assert found[0].mean() < 30 < 200 < found[-1].mean()  # dark above


@pytest.mark.slow
def test_a_second_process_adds_less_than_a_tenth_of_the_store(tmp_path):
    """What the second reader of a store holds alone, after both have looked at every image."""
    paths, size = drawn(tmp_path / "in", 64), 700
    recipe = Recipe(table="t", column="name", size=size, channels="grey", split="s")
    decode(
        tmp_path / "store", recipe, tmp_path, paths, np.array(["train"] * 64), 0.0, lambda done, total: None
    )
    code = (
        "import sys; from pathlib import Path; import torch\n"
        "from dirsweep.data.image_store import pixels, read_manifest\n"
        "store = Path(sys.argv[1])\n"
        "found = torch.from_numpy(pixels(store, read_manifest(store), 'train'))\n"
        "total = sum(int(found[torch.tensor([row])].sum()) for row in range(len(found)))\n"
        "print('looked', flush=True); sys.stdin.readline()\n"
        "alone, mapped, inside = 0, 0, False\n"
        "for line in open('/proc/self/smaps'):\n"
        "    if line[0] in '0123456789abcdef' and '-' in line.split()[0]: inside = 'train.u8' in line\n"
        "    if inside and line.startswith('Private_'): alone += int(line.split()[1])\n"
        "    if inside and line.startswith('Rss:'): mapped += int(line.split()[1])\n"
        "print(alone * 1024, mapped * 1024)"
    )
    two = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "store")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        assert [process.stdout.readline() for process in two] == ["looked\n"] * 2
        two[1].stdin.write("\n")
        two[1].stdin.flush()
        alone, mapped = map(int, two[1].stdout.readline().split())
    finally:
        for process in two:
            process.communicate("\n")
    assert mapped > 0.9 * 64 * size * size  # it is there, and not read into memory of its own
    assert alone < 0.1 * 64 * size * size
