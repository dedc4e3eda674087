"""A job that is started more than once: what lets a search space go on as the sweep that is there."""

from pathlib import Path

import pytest
import sweeping
import yaml

from dirsweep import cli, sweep
from dirsweep.ledger import Ledger
from dirsweep.search.model import SweepSpec
from dirsweep.search.spec import FILE
from dirsweep.storage import Folder


@pytest.fixture
def begun(tmp_path) -> Path:
    """The folder of a sweep of 4 trials that was begun, and no more."""
    spec = sweeping.spec(tmp_path)
    folder = tmp_path / "begun"
    Folder(folder).put(FILE, yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)).encode())
    Ledger.create(Folder(folder), spec=spec.hash, trials=4)
    return folder


def with_budget(folder: Path, **budget: float) -> SweepSpec:
    return sweeping.spec(folder.parent, budget=budget)


def test_a_sweep_is_there_once_it_has_a_ledger(begun, tmp_path):
    assert sweep.is_there(begun)
    assert not sweep.is_there(tmp_path / "other")


def test_the_same_space_goes_on_up_to_its_budget_and_never_below_it(begun):
    further = [sweep.further_trials(with_budget(begun, trials=trials), begun) for trials in (4, 10, 2)]
    assert further == [0, 6, 0]


def test_trials_that_were_added_meanwhile_count(begun):
    Ledger.open(Folder(begun)).write("budget", trials=5)
    assert sweep.further_trials(with_budget(begun, trials=10), begun) == 1  # 4 + 5 are granted


def test_another_space_is_refused(begun):
    other = sweeping.spec(begun.parent, objectives=["val/few/mae"])
    with pytest.raises(
        ValueError, match=r"begun: was begun with another search space \(\w{12}\) than this one"
    ):
        sweep.further_trials(other, begun)


@pytest.mark.parametrize("limit", ["minutes", "trainer_seconds"])
def test_other_limits_of_time_are_refused(begun, limit):
    with pytest.raises(ValueError, match=rf"its budget.{limit} is None, that of the space given now 5.0"):
        sweep.further_trials(with_budget(begun, trials=4, **{limit: 5.0}), begun)


def test_which_sweep_to_go_on_with_must_be_named(capsys):
    with pytest.raises(SystemExit):
        cli.main(["run", "space.yaml", "--or-resume"])
    assert capsys.readouterr().err == "error: --or-resume needs --name: which sweep to go on with\n"
