"""What the README says can be done: its example is a search space, its commands and files are there."""

import re
from pathlib import Path

import pandas as pd
import pytest
import typer
import yaml

from dirsweep import cli, reproduce
from dirsweep.config import TrialConfig
from dirsweep.search.spec import check_data, parse_spec

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_example_of_a_search_space_is_one_and_suits_the_data():
    [text] = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    check_data(parse_spec(yaml.safe_load(text), "README.md"))


def test_every_command_that_is_named_exists():
    group = typer.main.get_command(cli.app)
    known = set(group.commands)
    named = set(re.findall(r"dirsweep ([a-z]\w*)", README)) - {"is"}
    assert named
    assert named <= known


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make (sweep|test|check|bench|ui|format|clean)", README)) <= targets


def test_every_linked_file_exists():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert all((ROOT / link).exists() for link in links)
    assert all((ROOT / name).exists() for name in re.findall(r"(tests/benchmarks/\w+\.py)", README))


def test_the_example_of_a_dataset_of_images_is_one():
    [text] = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "data.md").read_text(), re.DOTALL)
    assert TrialConfig.model_validate({"dataset": yaml.safe_load(text)}).dataset.kind == "images"


@pytest.mark.parametrize(
    ("title", "recipe", "scale", "metric"),
    [("Diamonds", "diamonds", "full", "mae"), ("STS-B-DIR", "sts-b", "small", "mse")],
)
def test_a_table_of_methods_is_what_the_committed_seeds_give(title, recipe, scale, metric):
    seeds = pd.read_csv(ROOT / "docs" / "reproductions" / f"{recipe}-{scale}" / "per_seed.csv")
    by_row = {key: own[metric] for key, own in seeds.groupby(["configuration", "split", "shot"])}
    keys = {method.title: key for key, method in reproduce.read(recipe).methods.items()}
    text = README.partition(f"\n### {title}")[2].partition("\n#")[0]
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")]
    rows = {name.strip(): [cell.strip() for cell in cells] for name, *cells in lines[2:]}
    assert set(rows) == {*keys, "norm ordinality"}
    for name, cells in rows.items():
        key = keys.get(name)
        alone = (key, f"{key}+stage2", f"{key}+stage2-mu0") if key else ("", "two_stage", "two_stage-mu0")
        places = [(one, "val", "all") for one in alone[:2]]
        places += [(one, "test", shot) for shot in ("all", "few") for one in alone]
        assert cells == [written(by_row.get(place), cell) for place, cell in zip(places, cells, strict=True)]


def written(values: pd.Series | None, like: str) -> str:
    """Mean and deviation with as many decimals as another cell has."""
    if values is None:
        return "-"
    decimals = len(like.partition(" ")[0].partition(".")[2])
    return f"{values.mean():,.{decimals}f} ({values.std():.{decimals}f})"
