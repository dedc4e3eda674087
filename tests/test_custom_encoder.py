"""Encoders of the user's own: the example of the documentation runs, in a trial and in a sweep."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tiny
import torch
import yaml

from dirsweep import models, pipeline, stage1
from dirsweep.config import Custom
from dirsweep.data import Pairs, load
from dirsweep.ledger import Ledger
from dirsweep.models.sources import sources
from dirsweep.search.spec import check_data, encoder_files, parse_spec, read_spec
from dirsweep.storage import Folder
from dirsweep.sweep import Resources, provenance
from dirsweep.sweep.start import _check_same

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
    anew()
    return tmp_path


def anew() -> None:
    """Forget the modules that are edited here, as a new process would not know them."""
    for name in ("my_encoders", "helper"):
        sys.modules.pop(name, None)


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
    with pytest.raises(ValueError, match="'my_encoders:Wide': its code has changed since this process"):
        stage1.keys(config, dataset)  # what runs here is the old code
    anew()
    assert stage1.keys(config, dataset) != first


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (
            {"my_encoders.py": "from layers import Wide", "layers.py": "import sizes", "sizes.py": ""},
            "my_encoders",
        ),
        (
            {"nets/__init__.py": "", "nets/a.py": "from . import b", "nets/b.py": "import c", "c.py": ""},
            "nets.a",
        ),
        (
            {
                "nets/__init__.py": "from .a import Wide",
                "nets/a.py": "def f():\n    from .b import x",
                "nets/b.py": "",
            },
            "nets",
        ),
        (
            {"my_encoders.py": "import lib.deep.er", "lib/deep/__init__.py": "", "lib/deep/er.py": ""},
            "my_encoders",
        ),
    ],
)
def test_a_module_is_made_of_all_that_it_imports_from_where_it_lies(tmp_path, files, path):
    for name, text in {**files, "other.py": "", "torch/__init__.py": "import other"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    own = tmp_path / path.replace(".", "/")
    module = ModuleType(path)
    module.__file__ = str(own / "__init__.py" if own.is_dir() else own.with_suffix(".py"))
    found = sources(module)
    assert found[0] == Path(module.__file__)
    assert sorted(str(file.relative_to(tmp_path)) for file in found) == sorted(files)


def test_an_installed_module_is_its_own_file():
    assert [file.parent.name for file in sources(torch.nn)] == ["nn"]


def test_another_helper_beside_the_class_is_another_stage_1(here):
    (here / "helper.py").write_text("WIDTH = 8\n")
    with (here / "my_encoders.py").open("a") as file:
        file.write("\nfrom helper import WIDTH\n")
    config = tiny.config(here).with_overrides({"encoder": yaml.safe_load(blocks("yaml")[0])["encoder"]})
    dataset = load(config.dataset)
    first = stage1.keys(config, dataset)
    (here / "helper.py").write_text("WIDTH = 9\n")
    anew()
    assert stage1.keys(config, dataset) != first


WRONG = """\
import torch
from torch import nn

class Bare(nn.Module):
    def __init__(self, rows):
        super().__init__()

class Normed(nn.Module):
    def __init__(self, rows, features=4):
        super().__init__()
        self.stem, self.features = nn.Identity(), features
        self.last_block = nn.Sequential(nn.Linear(rows.shape[1], 4), nn.BatchNorm1d(4))

class Flat(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.stem, self.last_block, self.features = nn.Flatten(0), nn.Identity(), 3

class Narrow(nn.Module):
    def __init__(self, rows, features=4):
        super().__init__()
        self.stem, self.last_block, self.features = nn.Identity(), nn.Linear(rows.shape[1], 4), features

class Numbers(Narrow):
    def __init__(self, rows):
        super().__init__(rows)
        self.stem = nn.Linear(99, 4)

class Unprepared(Narrow):
    @staticmethod
    def prepare(inputs):
        return inputs

class Broken(Narrow):
    def __init__(self, rows):
        super().__init__(rows)
        rows.no_such_thing

class Plain:
    pass

function = print
"""


@pytest.mark.parametrize(
    ("path", "values", "told"),
    [
        ("nowhere:Wide", {}, "cannot import nowhere"),
        ("wrong:Wide", {}, "wrong has no class 'Wide' of torch.nn.Module"),
        ("wrong:function", {}, "wrong has no class 'function'"),
        ("wrong:Plain", {}, "'wrong:Plain': wrong has no class 'Plain' of torch.nn.Module"),
        ("builtins:int", {}, "'builtins:int': builtins has no class 'int' of torch.nn.Module"),
        ("torch.nn:Linear", {}, "encoder torch.nn:Linear with options {}: TypeError: "),
        ("syntax:Wide", {}, "'syntax:Wide': cannot import syntax: invalid syntax (syntax.py, line 2)"),
        (
            "failing:Wide",
            {},
            "cannot import failing: ZeroDivisionError: division by zero (failing.py, line 3)",
        ),
        ("needing:Wide", {}, "cannot import needing: No module named 'nowhere' (needing.py, line 1)"),
        ("wrong:Broken", {}, "has no attribute 'no_such_thing' (wrong.py, line 37)"),
        (
            "wrong:Flat",
            {},
            "of 2 samples is torch.float32, [6]; with `features` 3 it must be a tensor of numbers, [2, 3]",
        ),
        (
            "wrong:Narrow",
            {"options": {"features": 5}},
            "with `features` 5 it must be a tensor of numbers, [2, 5]",
        ),
        ("wrong:Narrow", {"options": {"features": 0}}, "no `features` that is a whole number above 0"),
        ("wrong:Numbers", {}, "last_block(stem(rows)): RuntimeError: mat1 and mat2"),
        ("wrong:Unprepared", {}, "prepare(inputs) must give a tensor"),
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
    (here / "syntax.py").write_text("x = 1\nclass Wide(:\n")
    (here / "failing.py").write_text("import torch\n\nx = 1 / 0\n")
    (here / "needing.py").write_text("import nowhere\n")
    sys.modules.pop("wrong", None)
    with pytest.raises(ValueError, match=re.escape(told)) as caught:
        models.check(Custom(path=path, **values), np.zeros((5, 3), dtype=np.float32))
    assert path in str(caught.value)


def test_a_searched_option_that_will_not_do_is_found_before_the_sweep(here):
    (here / "wrong.py").write_text(WRONG)
    sys.modules.pop("wrong", None)
    space = {
        "question": "How wide?",
        "fixed": {
            **tiny.config(here).model_dump(mode="json"),
            "encoder": {"name": "custom", "path": "wrong:Narrow"},
        },
        "searched": {"encoder.options.features": {"choice": [4, 5]}},
    }
    with pytest.raises(
        ValueError, match=r"with searched\.encoder\.options\.features = 5: encoder wrong:Narrow: "
    ):
        check_data(parse_spec(space, "space.yaml"))


def test_a_trial_does_not_go_on_with_other_code(here):
    config = tiny.config(here).with_overrides({"encoder": yaml.safe_load(blocks("yaml")[0])["encoder"]})
    for _ in range(2):
        pipeline.run_trial(config, Folder(here / "trial"), lambda record: None)
    with (here / "my_encoders.py").open("a") as file:
        file.write("\n# changed\n")
    anew()
    with pytest.raises(
        ValueError, match=r"encoder\.path 'my_encoders:Wide': .* has changed since the trial in .*trial"
    ):
        pipeline.run_trial(config, Folder(here / "trial"), lambda record: None)


def test_sentence_pairs_need_a_prepare_of_its_own(here):
    config = Custom(path="my_encoders:Wide")
    with pytest.raises(ValueError, match="sentence pairs need a static method `prepare"):
        models.prepare(config, Pairs([], []))


def test_files_that_encoders_read_belong_to_a_sweep(here):
    write_space(here)
    spec = read_spec(here / "space.yaml")
    first = encoder_files(spec)
    with (here / "my_encoders.py").open("a") as file:
        file.write("\n# changed\n")
    anew()
    assert encoder_files(spec) != first
    opening = provenance.opening(spec, load(spec.default_config().dataset), Resources())
    ledger = Ledger.create(Folder(here / "s"), **opening)
    _check_same(here / "s", spec, ledger.opening)
    with pytest.raises(ValueError, match=r"begun with encoder .* files that encoders read were changed"):
        _check_same(here / "s", spec, {**ledger.opening, "encoder": first})
    without = {"question": "How wide?", "fixed": {}, "searched": {"encoder.width": {"int": [8, 16]}}}
    assert encoder_files(parse_spec({**without, "budget": {"trials": 2}}, "s")) == ""
