import copy
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import real_data
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dirsweep.config import TrialConfig
from dirsweep.search.spec import SweepSpec, check_data, json_schema, parse_spec, read_spec

SPACES = sorted((Path(__file__).parent.parent / "search_spaces").rglob("*.yaml"))

GOOD: dict[str, Any] = {
    "question": "Does norm ordinality help the few-shot prices?",
    "fixed": {"dataset": "diamonds", "stage1": {"epochs": 30}},
    "searched": {
        "stage1.norm_ordinality.name": {"choice": ["kl", "hinge"]},
        "stage1.norm_ordinality.weight": {"log": [1.0e-3, 10.0]},
        "stage1.norm_ordinality.tau": {"log": [0.05, 5.0], "when": {"stage1.norm_ordinality.name": ["kl"]}},
        "stage2.majority_threshold": {"int": [20, 200], "step": 10},
        "stage2.norm_weight": {"uniform": [0.0, 2.0], "step": 0.1},
    },
    "objectives": ["val/all/mae", "val/few/mae"],
    "constraints": [{"metric": "val/many/mae", "at_most": 1.02, "of": "default-plain"}],
    "sampler": {"name": "tpe"},
    "scheduler": {"name": "asha", "metric": "val/all/mae", "rungs": [0.25, 0.5], "reduction": 2},
    "budget": {"trials": 24, "minutes": 30},
    "seed": 0,
}


def changed(**values: Any) -> dict[str, Any]:
    """GOOD with values set, by key or by `searched` name; None takes the key out."""
    tree = copy.deepcopy(GOOD)
    for key, value in values.items():
        if value is None:
            del tree[key]
        else:
            tree[key] = value
    return tree


def searching(**values: Any) -> dict[str, Any]:
    """GOOD with searched names added; `__` stands for a dot."""
    added = {name.replace("__", "."): value for name, value in values.items()}
    return changed(searched={**GOOD["searched"], **added})


def refusal(tree: dict[str, Any]) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_spec(tree, "space.yaml")
    message = str(caught.value)
    assert all(line.startswith("space.yaml: ") for line in message.splitlines())
    return message.replace("space.yaml: ", "")


def test_a_good_space_is_read():
    spec = parse_spec(GOOD, "space.yaml")
    assert spec.objectives == ("val/all/mae", "val/few/mae")
    assert spec.default_config() == TrialConfig.model_validate(GOOD["fixed"])


def test_searched_values_go_over_the_fixed_ones():
    config = parse_spec(GOOD, "space.yaml").config(
        {
            "stage1.norm_ordinality.name": "hinge",
            "stage1.norm_ordinality.weight": 0.5,
            "stage2.norm_weight": 0.2,
        }
    )
    assert config.stage1.epochs == 30
    assert (config.stage1.norm_ordinality.name, config.stage1.norm_ordinality.weight) == ("hinge", 0.5)
    assert config.stage2 is not None
    assert config.stage2.norm_weight == 0.2


STRUCTURE = {
    "a key that no space has": (
        changed(objective="val/all/mae"),
        "unknown key 'objective'; allowed here: budget, constraints, fixed, mode, objectives, question",
    ),
    "a staged search without stage 2": (
        changed(mode="staged", searched={"stage1.epochs": {"int": [1, 3]}}),
        "mode 'staged' shares stage 1 among stage 2s, but no name of stage 2 is searched",
    ),
    "a stage 1 that waits for stage 2": (
        changed(
            mode="staged",
            searched={
                "stage2.sampling": {"choice": ["balanced", "natural"]},
                "stage1.epochs": {"int": [1, 3], "when": {"stage2.sampling": "natural"}},
            },
        ),
        "'searched.stage1.epochs' depends on stage2.sampling, but in mode 'staged' stage 1 comes first",
    ),
    "no question": (changed(question=None), "'question' is missing"),
    "nothing searched": (changed(searched={}), "'searched': dictionary should have at least 1 item"),
    "no distribution": (
        searching(stage2__layers=["all"]),
        "'searched.stage2.layers': expected one of uniform: [low, high], log: [low, high]",
    ),
    "an unknown key of a distribution": (
        searching(stage2__norm_weight={"uniform": [0, 1], "steps": 0.1}),
        "unknown key 'searched.stage2.norm_weight.steps'; allowed here: uniform | log | int | choice",
    ),
    "text for a number": (
        searching(stage2__norm_weight={"uniform": ["low", 1]}),
        "'searched.stage2.norm_weight.uniform.0': input should be a valid number, unable to parse",
    ),
    "one end": (
        searching(stage2__norm_weight={"uniform": [1.0]}),
        "'searched.stage2.norm_weight.uniform.1' is missing",
    ),
    "ends that do not rise": (
        searching(stage2__norm_weight={"uniform": [2.0, 1.0]}),
        "'searched.stage2.norm_weight': the first end must be below the second; found [2, 1]",
    ),
    "infinity": (
        searching(stage2__norm_weight={"uniform": [0.0, float("inf")]}),
        "'searched.stage2.norm_weight.uniform.1': input should be a finite number",
    ),
    "a log range that starts at 0": (
        searching(stage2__norm_weight={"log": [0.0, 1.0]}),
        "'searched.stage2.norm_weight.log.0': input should be greater than 0; found 0.0",
    ),
    "a step that does not divide the range": (
        searching(stage2__norm_weight={"uniform": [0.0, 1.05], "step": 0.1}),
        "'searched.stage2.norm_weight': the range [0, 1.05] is no multiple of the step 0.1",
    ),
    "an int step that does not divide the range": (
        searching(stage2__majority_threshold={"int": [20, 205], "step": 10}),
        "'searched.stage2.majority_threshold': the range [20, 205] is no multiple of the step 10",
    ),
    "a log scale with a step": (
        searching(stage2__majority_threshold={"int": [20, 200], "step": 10, "log": True}),
        "'searched.stage2.majority_threshold': a log scale has no step; found step 10",
    ),
    "an int log scale from 0": (
        searching(stage2__majority_threshold={"int": [0, 200], "log": True}),
        "'searched.stage2.majority_threshold': a log scale starts at 1 or above; found 0",
    ),
    "a fraction as an int end": (
        searching(stage2__majority_threshold={"int": [20.5, 200]}),
        "'searched.stage2.majority_threshold.int.0': input should be a valid integer",
    ),
    "no choice": (
        searching(stage2__layers={"choice": []}),
        "'searched.stage2.layers.choice': tuple should have at least 1 item",
    ),
    "a choice twice": (
        searching(stage2__layers={"choice": ["all", "all"]}),
        "'searched.stage2.layers': 'all' is there twice",
    ),
    "a number that YAML reads as text": (
        searching(stage2__norm_weight={"choice": ["1e-3", 1.0]}),
        "'searched.stage2.norm_weight': '1e-3' is text, not a number (YAML reads 1e-3 as text; write 1.0e-3)",
    ),
    "no objective": (changed(objectives=[]), "'objectives': tuple should have at least 1 item"),
    "an unknown objective": (
        changed(objectives=["val/all/rmse"]),
        "'objectives.0': input should be 'val/all/mae', 'val/all/gm'",
    ),
    "a test metric": (changed(objectives=["test/all/mae"]), "'objectives.0': input should be 'val/all/mae'"),
    "an objective twice": (
        changed(objectives=["val/all/mae", "val/all/mae"]),
        "objective 'val/all/mae' is there twice; each counts once",
    ),
    "a constraint on an unknown metric": (
        changed(constraints=[{"metric": "seconds", "at_most": 3.0}]),
        "'constraints.0.metric': input should be 'val/all/mae'",
    ),
    "a constraint on an unknown control": (
        changed(constraints=[{"metric": "val/all/mae", "at_most": 1.0, "of": "best"}]),
        "'constraints.0.of': input should be 'default-plain'; found 'best'",
    ),
    "a limit of 0": (
        changed(constraints=[{"metric": "val/all/mae", "at_most": 0}]),
        "'constraints.0.at_most': input should be greater than 0; found 0",
    ),
    "a constraint with an unknown key": (
        changed(constraints=[{"metric": "val/all/mae", "at_most": 1, "at_least": 1}]),
        "unknown key 'constraints.0.at_least'; allowed here: metric, at_most, of",
    ),
    "an unknown sampler": (
        changed(sampler={"name": "cmaes"}),
        "'sampler.name': there is no 'cmaes'; choose tpe, random, qmc, nsga2 or gp",
    ),
    "a knob of another sampler": (
        changed(sampler={"name": "random", "startup": 3}),
        "unknown key 'sampler.startup'; allowed here: name, startup (tpe, gp), population (nsga2)",
    ),
    "an unknown scheduler metric": (
        changed(scheduler={"name": "asha", "metric": "loss"}),
        "'scheduler.metric': input should be 'val/all/mae'",
    ),
    "a rung at the end": (
        changed(scheduler={"name": "asha", "metric": "val/all/mae", "rungs": [0.5, 1.0]}),
        "'scheduler.rungs.1': input should be less than 1; found 1.0",
    ),
    "rungs that fall": (
        changed(scheduler={"name": "asha", "metric": "val/all/mae", "rungs": [0.5, 0.25]}),
        "'scheduler': rungs must rise, but 0.25 follows 0.5",
    ),
    "a reduction below 2": (
        changed(scheduler={"name": "asha", "metric": "val/all/mae", "reduction": 1}),
        "'scheduler.reduction': input should be greater than or equal to 2; found 1",
    ),
    "a generation of one": (
        changed(sampler={"name": "nsga2", "population": 1}),
        "'sampler.population': input should be greater than or equal to 2; found 1",
    ),
    "a median without trials": (
        changed(scheduler={"name": "median", "metric": "val/all/mae", "startup": 0}),
        "'scheduler.startup': input should be greater than 0; found 0",
    ),
    "a median that waits to the end": (
        changed(scheduler={"name": "median", "metric": "val/all/mae", "warmup": 1.0}),
        "'scheduler.warmup': input should be less than 1; found 1.0",
    ),
    "a median of a metric that is never reported": (
        changed(scheduler={"name": "median", "metric": "val/all/rmse"}),
        "'scheduler.metric': input should be",
    ),
    "no trainer-seconds at all": (
        changed(budget={"trainer_seconds": 0}),
        "'budget.trainer_seconds': input should be greater than 0; found 0",
    ),
    "a warm start of a sampler that does not learn": (
        changed(sampler={"name": "qmc"}, warm_start=["first"]),
        "warm_start does nothing with sampler 'qmc', which learns from no result; take tpe, nsga2 or gp",
    ),
    "a warm start twice": (
        changed(warm_start=["first", "first"]),
        "warm_start has 'first' twice; each counts once",
    ),
    "a scheduler knob without a scheduler": (
        changed(scheduler={"name": "none", "reduction": 2}),
        "unknown key 'scheduler.reduction'; allowed here: name, metric (asha, median), rungs",
    ),
    "no trials": (changed(budget={"trials": 0}), "'budget.trials': input should be greater than 0; found 0"),
    "no time": (
        changed(budget={"trials": 1, "minutes": 0}),
        "'budget.minutes': input should be greater than 0; found 0",
    ),
    "an unknown budget": (
        changed(budget={"hours": 1}),
        "unknown key 'budget.hours'; allowed here: trials, minutes",
    ),
    "a negative seed": (changed(seed=-1), "'seed': input should be greater than or equal to 0; found -1"),
}

MEANING = {
    "a misspelt name": (
        searching(stage1__learning_rate={"log": [1.0e-4, 1.0e-2]}),
        "unknown parameter 'searched.stage1.learning_rate'",
    ),
    "a name in the wrong place": (
        searching(stage1__lr={"log": [1.0e-4, 1.0e-2]}),
        "did you mean 'searched.stage1.optimizer.lr'? `dirsweep params` lists them all.",
    ),
    "a whole branch": (
        searching(stage1__norm_ordinality={"choice": [{"name": "kl"}]}),
        "unknown parameter 'searched.stage1.norm_ordinality'",
    ),
    "shots": (
        searching(dataset__many_above={"int": [50, 200]}),
        "'searched.dataset.many_above' may not be searched: bins, shots and the split belong to the data",
    ),
    "the trial's seed": (
        searching(seed={"int": [0, 9]}),
        "'searched.seed' may not be searched: a search over seeds finds luck",
    ),
    "the device": (searching(device={"choice": ["cpu"]}), "'searched.device' may not be searched"),
    "the threads": (searching(threads={"int": [1, 2]}), "'searched.threads' may not be searched"),
    "the compiler": (searching(compiled={"choice": [True]}), "'searched.compiled' may not be searched"),
    "the precision": (searching(precision={"choice": ["bf16"]}), "'searched.precision' may not be searched"),
    "a wrong fixed value": (
        changed(fixed={"stage1": {"epochs": 0}}),
        "fixed: 'stage1.epochs': input should be greater than 0; found 0",
    ),
    "an unknown fixed name": (
        changed(fixed={"stage1": {"epoch": 3}}),
        "fixed: unknown parameter 'stage1.epoch'; did you mean 'stage1.epochs'?",
    ),
    "a condition on a name that is not searched": (
        searching(stage2__layers={"choice": ["all"], "when": {"stage2.sampling": "natural"}}),
        "'searched.stage2.layers.when.stage2.sampling': a condition on 'stage2.sampling', which is not",
    ),
    "a condition on a continuous name": (
        searching(stage2__layers={"choice": ["all"], "when": {"stage2.norm_weight": 0.1}}),
        "a condition needs a name with choice or int; 'stage2.norm_weight' has uniform",
    ),
    "a condition that never holds": (
        searching(
            stage2__layers={"choice": ["all"], "when": {"stage1.norm_ordinality.name": ["kl", "rank"]}}
        ),
        "found ['rank'], which 'stage1.norm_ordinality.name' never takes; it takes \"kl\", \"hinge\"",
    ),
    "a condition between steps": (
        searching(stage2__layers={"choice": ["all"], "when": {"stage2.majority_threshold": 25}}),
        "found [25], which 'stage2.majority_threshold' never takes; it takes 20, 30, 40, ..., 200",
    ),
    "an empty condition": (
        searching(stage2__layers={"choice": ["all"], "when": {"stage1.norm_ordinality.name": []}}),
        "found [], which 'stage1.norm_ordinality.name' never takes",
    ),
    "conditions in a circle": (
        searching(
            stage2__layers={"choice": ["all"], "when": {"stage2.sampling": "natural"}},
            stage2__sampling={"choice": ["natural"], "when": {"stage2.layers": "all"}},
        ),
        "'searched': the conditions of stage2.layers, stage2.sampling wait for each other; break the circle",
    ),
    "conditions that contradict each other": (
        searching(
            stage2__layers={"choice": ["all"], "when": {"stage1.norm_ordinality.name": "hinge"}},
            stage2__sampling={
                "choice": ["natural"],
                "when": {"stage2.layers": "all", "stage1.norm_ordinality.name": "kl"},
            },
        ),
        "'searched.stage2.sampling': its conditions never hold together, so it would never be asked",
    ),
    "a knob of a variant that may not be picked": (
        searching(stage1__norm_ordinality__margin={"uniform": [0.0, 1.0]}),
        "'searched.stage1.norm_ordinality.margin' = 0.0 with stage1.norm_ordinality.name = 'kl': "
        "'stage1.norm_ordinality.margin' belongs to hinge",
    ),
    "an impossible lower end": (
        searching(stage1__optimizer__lr={"uniform": [-1.0, 1.0]}),
        "'searched.stage1.optimizer.lr' = -1.0: input should be greater than 0",
    ),
    "an impossible upper end": (
        searching(encoder__dropout={"uniform": [0.0, 1.0]}),
        "'searched.encoder.dropout' = 1.0: input should be less than 1; found 1.0",
    ),
    "fractions for a whole number": (
        searching(stage1__epochs={"uniform": [10.0, 20.0]}),
        "'searched.stage1.epochs' = 13.82: input should be a valid integer",
    ),
    "a value in the middle of an int range": (
        searching(stage1__weighting__name={"choice": ["lds"]}, stage1__weighting__size={"int": [3, 9]}),
        "= 4 with stage1.weighting.name = 'lds': 'stage1.weighting': size must be odd",
    ),
    "an impossible choice": (
        searching(stage2__layers={"choice": ["all", "head"]}),
        "'searched.stage2.layers' = 'head': input should be 'all' or 'last_block'",
    ),
    "an impossible range under a condition": (
        searching(
            stage1__norm_ordinality__margin={
                "uniform": [0.0, 2.0],
                "when": {"stage1.norm_ordinality.name": "hinge"},
            }
        ),
        "'searched.stage1.norm_ordinality.margin' = 2.0 with stage1.norm_ordinality.name = 'hinge': "
        "input should be less than or equal to 1",
    ),
    "two values that do not go together": (
        searching(
            stage1__norm_ordinality__weight={"uniform": [0.0, 1.0]},
            stage1__norm_ordinality__ordinal_entropy={"uniform": [0.0, 1.0]},
        ),
        "'searched.stage1.norm_ordinality.ordinal_entropy' = 1.0 with stage1.norm_ordinality.name = 'kl': "
        "'stage1.norm_ordinality': ordinal_entropy is 1, but it acts inside a term of weight 0",
    ),
    "a fixed value that a variant would drop": (
        changed(
            fixed={"stage1": {"norm_ordinality": {"name": "kl", "direction": "decreasing"}}},
        ),
        "'fixed.stage1.norm_ordinality.direction' would be lost where 'searched.stage1.norm_ordinality.name' "
        "picks another variant; move it to `searched` as a choice of one, {choice: [decreasing]}",
    ),
    "a stage that is switched off": (
        changed(fixed={"stage2": None}),
        "'searched.stage2.norm_weight': 'fixed.stage2' is null, so this would switch it on; drop one of the",
    ),
    "a phase that is not there": (
        searching(stage1__then__0__epochs={"int": [1, 3]}),
        "'searched.stage1.then.0.epochs' = 1: cannot set 'stage1.then.0.epochs': there is no",
    ),
}


@pytest.mark.parametrize("case", [*STRUCTURE, *MEANING])
def test_a_bad_space_is_refused_with_its_reason(case: str):
    tree, expected = {**STRUCTURE, **MEANING}[case]
    assert expected in refusal(tree)


def test_every_problem_is_reported_at_once():
    tree = searching(stage1__nonsense={"int": [1, 2]}, seed={"int": [0, 9]}, stage2__layers={"choice": []})
    tree["budget"] = {"trials": 0}
    lines = refusal(tree).splitlines()
    keys = ["searched.stage1.nonsense", "searched.seed", "searched.stage2.layers", "budget.trials"]
    assert len(lines) == 4
    assert all(any(key in line for line in lines) for key in keys)


def test_a_chain_of_conditions_is_asked_in_order():
    spec = parse_spec(
        searching(
            stage1__norm_ordinality__prototypes__name={
                "choice": ["batch", "ema"],
                "when": {"stage1.norm_ordinality.name": "kl"},
            },
            stage1__norm_ordinality__prototypes__momentum={
                "uniform": [0.9, 0.99],
                "when": {"stage1.norm_ordinality.prototypes.name": "ema"},
            },
        ),
        "space.yaml",
    )
    order = spec.order()
    names = [f"stage1.norm_ordinality.{name}" for name in ("name", "prototypes.name", "prototypes.momentum")]
    assert sorted(names, key=order.index) == names
    assert not spec.active(names[2], {names[0]: "hinge"})
    assert not spec.active(names[2], {names[0]: "kl", names[1]: "batch"})
    assert spec.active(names[2], {names[0]: "kl", names[1]: "ema"})


def test_a_further_phase_can_be_searched():
    tree = searching(stage1__then__0__epochs={"int": [1, 3]})
    tree["fixed"] = {"stage1": {"then": [{"epochs": 2}]}}
    config = parse_spec(tree, "space.yaml").config({"stage1.then.0.epochs": 3})
    assert config.stage1.then[0].epochs == 3


def test_a_fixed_value_may_be_the_default_of_a_searched_one():
    tree = changed(fixed={"stage2": {"norm_weight": 0.7}})
    spec = parse_spec(tree, "space.yaml")
    default = spec.default_config().stage2
    assert default is not None
    assert default.norm_weight == 0.7


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"question": "Another?"}, True),
        ({"budget": {"trials": 99}}, True),
        ({"searched": dict(reversed(GOOD["searched"].items()))}, True),
        ({"seed": 1}, False),
        ({"sampler": {"name": "random"}}, False),
        ({"scheduler": {"name": "none"}}, False),
        ({"objectives": ["val/few/mae", "val/all/mae"]}, False),
        ({"constraints": []}, False),
        ({"fixed": {"dataset": "diamonds", "stage1": {"epochs": 31}}}, False),
        ({"searched": {"stage2.norm_weight": {"uniform": [0.0, 2.0]}}}, False),
    ],
)
def test_the_hash_follows_what_decides_asks_and_numbers(change: dict[str, Any], same: bool):
    before, after = parse_spec(GOOD, "a.yaml"), parse_spec(changed(**change), "b.yaml")
    assert (before.hash == after.hash) is same


def test_the_hash_does_not_depend_on_where_the_table_lies():
    hashes = set()
    for place in ("/data/here.csv", "/data/there.csv"):
        dataset = {"name": "csv", "path": place, "target": "y", "bins": {"name": "width", "width": 1.0}}
        hashes.add(parse_spec(changed(fixed={"dataset": dataset}), "a.yaml").hash)
    assert len(hashes) == 1


def test_the_hash_tells_bf16_on_a_gpu_whether_it_was_named_or_not():
    fixed = {"dataset": "agedb_dir", "device": "cuda"}
    named = [{}, {"precision": "bf16"}, {"precision": "float32"}]
    one, same, other = (parse_spec(changed(fixed=fixed | values), "a.yaml").hash for values in named)
    assert one == same != other


def test_a_spec_that_is_written_and_read_is_the_same(tmp_path: Path):
    spec = parse_spec(GOOD, "space.yaml")
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(spec.model_dump(mode="json", by_alias=True)))
    assert read_spec(file) == spec
    assert read_spec(file).hash == spec.hash


ends = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(lambda pair: [pair[0], pair[0] + pair[1]])
distributions = st.one_of(
    ends.map(lambda pair: {"int": pair}),
    ends.map(lambda pair: {"int": pair, "log": True}),
    ends.map(lambda pair: {"choice": pair}),
    st.tuples(ends, st.integers(1, 5)).map(
        lambda drawn: {"int": [drawn[0][0], drawn[0][0] + drawn[0][1] * drawn[1]], "step": drawn[1]}
    ),
)
floats = st.one_of(
    ends.map(lambda pair: {"uniform": [pair[0] / 8, pair[1] / 8]}),
    ends.map(lambda pair: {"uniform": [pair[0] / 8, pair[1] / 8], "step": 0.125}),
    ends.map(lambda pair: {"log": [pair[0] / 8, pair[1] / 8]}),
)


@settings(max_examples=25, deadline=None)
@given(
    whole=st.dictionaries(
        st.sampled_from(["stage1.epochs", "stage1.batch_size", "encoder.width", "stage2.majority_threshold"]),
        distributions,
        min_size=1,
    ),
    real=st.dictionaries(st.sampled_from(["stage1.optimizer.lr", "stage2.norm_weight"]), floats),
    seed=st.integers(0, 2**40),
)
def test_any_space_survives_yaml(whole: dict[str, Any], real: dict[str, Any], seed: int):
    spec = parse_spec({"question": "Q?", "searched": {**whole, **real}, "seed": seed}, "space.yaml")
    text = yaml.safe_dump(spec.model_dump(mode="json", by_alias=True))
    again = parse_spec(yaml.safe_load(text), "space.yaml")
    assert (again, again.hash) == (spec, spec.hash)


def test_a_dataset_file_is_read_relative_to_the_space(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text(
        "{name: csv, path: mine.csv, target: y, bins: {name: width, width: 1.0}}"
    )
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(changed(fixed={"dataset": "data/mine.yaml"})))
    dataset = read_spec(tmp_path / "space.yaml").default_config().dataset
    assert dataset.name == "csv"
    assert Path(dataset.path) == tmp_path / "data" / "mine.csv"


@pytest.mark.parametrize("key", ["path", "folder", "store"])
@pytest.mark.parametrize("place", ["../mine.csv", "more/../../mine.csv", "..", "./../x/y"])
def test_a_relative_place_that_leads_out_of_its_files_folder_is_refused(tmp_path: Path, key: str, place: str):
    dataset = {
        "name": "images",
        "path": "mine.csv",
        "target": "y",
        "image_column": "i",
        "bins": {"width": 1.0},
    }
    space = changed(fixed={"dataset": dataset | {key: place}})
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    told = rf"'dataset\.{key}': '{re.escape(place)}' leads out of the folder of this file; .*absolute path$"
    with pytest.raises(ValueError, match=told):
        read_spec(tmp_path / "space.yaml")


def test_a_relative_file_of_an_encoder_that_leads_out_is_refused(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "a.txt").touch()
    fixed = {"dataset": "sts_b_dir", "encoder": {"name": "bilstm", "vectors": "../a.txt"}}
    (tmp_path / "in" / "space.yaml").write_text(yaml.safe_dump(changed(fixed=fixed)))
    with pytest.raises(ValueError, match=r"space\.yaml: 'encoder\.vectors': '\.\./a\.txt' leads out of"):
        read_spec(tmp_path / "in" / "space.yaml")
    searched = {"encoder.vectors": {"choice": ["../a.txt"]}}
    space = changed(fixed={"dataset": "sts_b_dir", "encoder": {"name": "bilstm"}}, searched=searched)
    (tmp_path / "in" / "space.yaml").write_text(yaml.safe_dump(space))
    with pytest.raises(ValueError, match=r"space\.yaml: 'encoder\.vectors': '\.\./a\.txt' leads out of"):
        read_spec(tmp_path / "in" / "space.yaml")


def test_searched_files_of_an_encoder_start_at_the_folder_of_the_space(tmp_path: Path):
    for name in ("a.txt", "w.pth"):
        (tmp_path / name).touch()
    searched = {
        "encoder.vectors": {"choice": ["a.txt", "some_package"]},
        "encoder.hidden": {"choice": [10, 20], "when": {"encoder.vectors": "a.txt"}},
        "stage1.epochs": {"int": [1, 2], "when": {"encoder.vectors": ["a.txt", "some_package"]}},
    }
    fixed = {"dataset": "sts_b_dir", "encoder": {"name": "bilstm"}}
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(changed(fixed=fixed, searched=searched)))
    spec, here = read_spec(tmp_path / "space.yaml"), str(tmp_path / "a.txt")
    assert spec.searched["encoder.vectors"].probes() == [here, "some_package"]
    assert spec.searched["encoder.hidden"].conditions() == {"encoder.vectors": [here]}
    assert spec.searched["stage1.epochs"].conditions() == {"encoder.vectors": [here, "some_package"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "not valid YAML"),
        ("- a", "expected keys and values, found a list"),
        ("question: 3", "'question': input should be a valid string; found 3"),
    ],
)
def test_a_file_that_is_no_space_is_named(tmp_path: Path, text: str, expected: str):
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"space\.yaml: ") as caught:
        read_spec(file)
    assert expected in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"space\.yaml: no such file"):
        read_spec(tmp_path / "space.yaml")


# ---- the data


def threshold_of(searched: dict[str, Any], threshold: int = 100) -> SweepSpec:
    return parse_spec(
        changed(fixed={"stage2": {"majority_threshold": threshold}}, searched=searched), "space.yaml"
    )


@pytest.mark.slow
@pytest.mark.parametrize("distribution", [{"int": [20, 2000], "step": 10}, {"choice": [20, 2000]}])
def test_a_threshold_range_whose_top_leaves_no_two_bins_is_refused(distribution: dict[str, Any]):
    spec = threshold_of({"stage2.majority_threshold": distribution})
    with pytest.raises(
        ValueError, match=r"'searched\.stage2\.majority_threshold': .*2000 leaves fewer than two"
    ):
        check_data(spec)


@pytest.mark.slow
def test_a_fixed_threshold_that_leaves_no_two_bins_is_refused():
    spec = threshold_of({"stage2.norm_weight": {"uniform": [0.0, 1.0]}}, threshold=2000)
    with pytest.raises(
        ValueError, match=r"'fixed\.stage2\.majority_threshold': .*2000 leaves fewer than two"
    ):
        check_data(spec)


@pytest.mark.slow
def test_without_stage_2_there_is_no_threshold_to_check():
    tree = changed(fixed={"stage2": None}, searched={"stage1.epochs": {"int": [1, 3]}})
    check_data(parse_spec(tree, "space.yaml"))


# ---- the spaces that are shipped, and the editors' schema


NEEDS_DATA = dict.fromkeys(("sts_b", "sts_b_bilstm"), real_data.NEEDED)


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", [pytest.param(file, marks=NEEDS_DATA.get(file.stem, ()), id=file.stem) for file in SPACES]
)
def test_every_shipped_space_loads_and_suits_its_data(file: Path):
    check_data(read_spec(file))


def test_there_is_a_space_for_each_question():
    assert {"strength", "thresholds", "schedules", "all"} <= {file.stem for file in SPACES}


@pytest.mark.parametrize("file", SPACES, ids=lambda file: file.stem)
def test_every_shipped_space_suits_the_schema(file: Path):
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(file.read_text()))


def test_the_schema_is_sound_and_knows_every_searched_name():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    searched = schema["properties"]["searched"]
    assert searched["properties"]["stage2.norm_weight"]["description"].startswith(
        "mu, the weight of the norm"
    )
    assert not any(name.startswith(("dataset", "seed")) for name in searched["properties"])


@pytest.mark.parametrize(
    "tree",
    [
        searching(stage1__learning_rate={"log": [1.0e-4, 1.0e-2]}),
        searching(dataset__many_above={"int": [50, 200]}),
        searching(stage2__layers=["all"]),
        changed(objectives=["test/all/mae"]),
        changed(fixed={"stage1": {"epoch": 3}}),
        changed(question=None),
    ],
)
def test_the_schema_refuses_what_an_editor_should_underline(tree: dict[str, Any]):
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(tree)


def test_the_schema_takes_a_further_phase():
    tree = searching(stage1__then__3__epochs={"int": [1, 2]})
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(tree)
