"""Which trial is next when several wait for the same stage 1."""

from dirsweep.config import TrialConfig
from dirsweep.sweep.waiting import Waiting

PARENT = {"0": 1, "1": 1, "2": 2, "3": 3, "4": 3}


def config(key: str) -> TrialConfig:
    if key == "bad":
        raise ValueError("no configuration")
    return TrialConfig().with_overrides(
        {
            "stage1.epochs": PARENT[key],
            "stage2.norm_weight": float(key),
            "stage2.schedule.epochs": 1 + int(key),
        }
    )


def waiting(*keys: str) -> Waiting:
    queue = Waiting(config)
    for key in keys:
        queue.append(key)
    return queue


def test_a_trial_whose_stage_1_is_being_trained_is_held_back():
    queue = waiting("1", "2")
    queue.append("3")
    assert queue.pick({"0": 0}) == "2"
    assert queue.pick({"0": 0, "4": 2}) is None
    assert "1" in queue
    assert queue.pick({"0": 1, "4": 2}) == "1"
    assert queue.pick({"4": 3}) == "3"
    assert len(queue) == 0


def test_the_stage_1_that_most_wait_for_goes_first_else_the_order_stays():
    assert waiting("2", "3", "4").pick({}) == "3"
    assert waiting("2", "1", "4").pick({}) == "2"


def test_a_trial_without_a_configuration_is_handed_out_to_be_told():
    assert waiting("bad").pick({"0": 0}) == "bad"
