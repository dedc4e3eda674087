"""What the README says can be done: its example is a search space, its commands and files are there."""

import re
from pathlib import Path

import typer
import yaml

from dirsweep import cli
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
    named = set(re.findall(r"dirsweep (\w+)", README)) - {"is"}
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
