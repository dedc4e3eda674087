"""Encoders of the user's own: the example of the documentation runs, in a trial and in a sweep."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
import yaml

from dirsweep import models, stage1
from dirsweep.config import Custom
from dirsweep.data import Pairs, load

PAGE = Path(__file__).parent.parent / "docs" / "encoders.md"


def blocks(kind: str) -> list[str]:
    """The blocks of a kind on the page, in order."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.S)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with the example's module and a tiny table, in which the test runs."""
    (tmp_path / "my_encoders.py").write_text(blocks("python")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_encoders", raising=False)
    return tmp_path


def write_space(folder: Path) -> None:
    fixed = tiny.config(folder).model_dump(mode="json")
    fixed["encoder"] = yaml.safe_load(blocks("yaml")[0])["encoder"]
    space = {
        "question": "How wide?",
        "fixed": fixed,
        "searched": {"encoder.options.width": {"choice": [4, 8]}, "stage2.norm_weight": {"log": [0.1, 1.0]}},
        "budget": {"trials": 2},
    }
    (folder / "space.yaml").write_text(yaml.safe_dump(space))


@pytest.mark.slow
def test_the_documented_example_goes_through_a_sweep_and_predicts(here):
    write_space(here)
    code = "from dirsweep.cli import main; main()"
    lines = (["validate", "space.yaml"], ["run", "space.yaml", "--name", "s"], ["predict", "s", "tiny.csv"])
    for line in lines:
        done = subprocess.run([sys.executable, "-c", code, *line], cwd=here, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 701


def test_other_code_is_another_stage_1(here):
    config = tiny.config(here).with_overrides({"encoder": yaml.safe_load(blocks("yaml")[0])["encoder"]})
    dataset = load(config.dataset)
    first = stage1.keys(config, dataset)
    assert stage1.keys(config, dataset) == first
    with (here / "my_encoders.py").open("a") as file:
        file.write("\n# changed\n")
    assert stage1.keys(config, dataset) != first


WRONG = """\
from torch import nn

class Bare(nn.Module):
    def __init__(self, rows):
        super().__init__()

class Normed(nn.Module):
    def __init__(self, rows, features=4):
        super().__init__()
        self.stem, self.features = nn.Identity(), features
        self.last_block = nn.Sequential(nn.Linear(rows.shape[1], 4), nn.BatchNorm1d(4))

function = print
"""


@pytest.mark.parametrize(
    ("path", "values", "told"),
    [
        ("nowhere:Wide", {}, "cannot import nowhere"),
        ("wrong:Wide", {}, "wrong has no class 'Wide'"),
        ("wrong:function", {}, "wrong has no class 'function'"),
        ("wrong:Bare", {}, "has no `stem` that is a torch.nn.Module"),
        ("wrong:Bare", {"options": {"depth": 3}}, "unexpected keyword argument 'depth'"),
        ("wrong:Normed", {}, "it has batch norm; set it to true"),
        (
            "wrong:Normed",
            {"batch_norm": True, "options": {"features": "4"}},
            "no `features` that is a",
        ),
    ],
)
def test_a_class_that_will_not_do_is_refused(here, path, values, told):
    (here / "wrong.py").write_text(WRONG)
    sys.modules.pop("wrong", None)
    with pytest.raises(ValueError, match=re.escape(told)):
        models.build(Custom(path=path, **values), torch.zeros(2, 3), seed=0)


def test_sentence_pairs_need_a_prepare_of_its_own(here):
    config = Custom(path="my_encoders:Wide")
    with pytest.raises(ValueError, match="sentence pairs need a static method `prepare"):
        models.prepare(config, Pairs([], []))
