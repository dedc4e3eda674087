"""The command line: every command on real files, and every bad input as one message without a traceback."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pandas as pd
import pytest
import tiny
import typer
import yaml

from dirsweep import cli
from dirsweep.cli import live
from dirsweep.config import knobs
from dirsweep.profile import PARTS
from dirsweep.storage import Folder
from dirsweep.sweep import Progress

HEAVY = {"torch", "ray", "mlflow", "optuna", "pandas", "pydantic", "numpy"}

TRIAL = """\
dataset: tiny.dataset.yaml
encoder: {width: 16}
stage1: {epochs: 3, batch_size: 64}
stage2: {majority_threshold: 20, schedule: {epochs: 2}}
"""
DATASET = """\
name: csv
path: tiny.csv
target: label
bins: {name: width, width: 2.0}
many_above: 40
few_below: 10
held_out_per_bin: 15
"""
SPACE = """\
question: Does the command line run a sweep?
fixed:
  dataset: tiny.dataset.yaml
  encoder: {width: 16}
  stage1: {epochs: 2, batch_size: 64}
  stage2: {majority_threshold: 20, schedule: {epochs: 1}}
searched:
  stage2.norm_weight: {uniform: [0.0, 2.0]}
budget: {trials: 3}
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with a table, a dataset file, a trial and a search space; commands run in it."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_files(folder: Path) -> None:
    tiny.write_table(folder / "tiny.csv")
    for name, text in (("tiny.dataset", DATASET), ("trial", TRIAL), ("space", SPACE)):
        (folder / f"{name}.yaml").write_text(text)


@pytest.fixture
def run(capsys):
    """Run one command line; gives its status and what it printed."""

    def run(*arguments: object) -> SimpleNamespace:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return SimpleNamespace(status=ended.value.code, out=told.out, err=told.err)

    return run


@pytest.fixture
def refused(run):
    """Run one command line that must be refused as bad input; gives the message."""

    def refused(*arguments: object) -> str:
        done = run(*arguments)
        assert done.status == 2
        assert "Traceback" not in done.err
        assert done.err.startswith("error: ")
        return str(done.err.removeprefix("error: ").strip())

    return refused


# ---- help


def commands(group: click.Group, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*way, name))
        else:
            yield (*way, name)


@pytest.mark.parametrize("way", [*commands(typer.main.get_command(cli.app))], ids=" ".join)
def test_every_command_has_help_with_an_example(run, way):
    done = run(*way, "--help")
    assert done.status == 0
    assert f"Example: dirsweep {' '.join(way)}" in done.out


def loaded(*arguments: str) -> str:
    """What a command prints, and then which heavy modules it has loaded."""
    code = (
        "import sys; from dirsweep import cli\n"
        f"try: cli.main({list(arguments)})\n"
        f"finally: print('loaded', sorted({HEAVY} & set(sys.modules)))"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout


def test_help_loads_nothing_heavy():
    said = loaded("--help")
    assert "loaded []" in said
    assert "dirsweep run" in said


def test_to_validate_a_space_on_a_table_loads_no_pytorch():
    said = loaded("validate", str(Path(__file__).parents[1] / "search_spaces" / "all.yaml"))
    assert "no problem found" in said
    assert "loaded ['numpy', 'pandas', 'pydantic']" in said


def test_the_version_is_printed(run):
    assert run("--version").out == "dirsweep 0.1.0\n"


def test_a_command_that_is_none_is_refused(run):
    done = run("trian")
    assert done.status == 2
    assert "trian" in done.err


# ---- params, data, validate, init


def test_params_lists_every_knob_with_its_meaning(run):
    out = run("params").out
    for knob in knobs():
        assert f"{knob.name}: {knob.default}\n    {knob.meaning}\n" in out


def test_params_says_which_variants_have_a_knob(run):
    out = run("params", "stage1.norm_ordinality.tau").out
    assert "only with kl" in out
    assert "only with rank" in out


def test_params_of_an_unknown_prefix_is_refused(refused):
    assert "did you mean 'stage2.fit'?" in refused("params", "stage2.fot")


def test_data_list_names_shipped_and_own_datasets(run, here):
    out = run("data", "list").out
    assert "diamonds" in out
    assert "tiny.dataset.yaml" in out


def test_data_show_shows_the_shots_of_a_dataset_file(run, here):
    out = run("data", "show", "tiny.dataset.yaml").out
    assert "more than 40 training rows in the bin" in out


def test_data_show_of_an_unknown_name_is_refused(refused):
    assert "there is no 'dimonds'; choose diamonds, csv, images" in refused("data", "show", "dimonds")


def test_validate_says_what_each_file_holds(run, here):
    done = run("validate", "tiny.dataset.yaml", "trial.yaml", "space.yaml")
    assert done.status == 0
    assert done.out.splitlines() == [
        "tiny.dataset.yaml: a dataset of 700 rows, 30 bins, no problem found",
        "trial.yaml: a trial, no problem found",
        "space.yaml: a search space of 1 names, 3 trials, no problem found",
    ]


def test_validate_tells_the_problems_of_all_files(refused, here):
    (here / "one.yaml").write_text("stage1: {epoch: 3}")
    (here / "two.yaml").write_text("{question: a, searched: {stage2.mu: {uniform: [0.0, 1.0]}}}")
    told = refused("validate", "one.yaml", "trial.yaml", "two.yaml").splitlines()
    assert told[0].startswith("one.yaml: unknown parameter 'stage1.epoch'; did you mean 'stage1.epochs'?")
    assert told[1].startswith("two.yaml: unknown parameter 'searched.stage2.mu'")


def test_validate_and_train_refuse_a_threshold_with_the_same_words(refused, here):
    (here / "high.yaml").write_text(TRIAL.replace("threshold: 20", "threshold: 5000"))
    told = refused("validate", "high.yaml")
    assert "high.yaml: stage2.majority_threshold 5000 leaves fewer than two majority bins" in told
    assert refused("train", "high.yaml") == told


def test_validate_and_run_refuse_a_threshold_range_with_the_same_words(refused, here):
    wide = SPACE + "objectives: [val/few/mae]\n"
    (here / "wide.yaml").write_text(
        wide.replace("searched:", "searched:\n  stage2.majority_threshold: {int: [20, 5000]}")
    )
    told = refused("validate", "wide.yaml")
    assert "'searched.stage2.majority_threshold'" in told
    assert refused("run", "wide.yaml") == told
    assert not (here / "sweeps").exists()


def test_init_writes_a_dataset_and_a_space_that_validate(run, here):
    done = run("init", "tiny.csv", "--target", "label", "--bin-width", "2")
    assert done.status == 2  # the fixture's own dataset file is there
    (here / "tiny.dataset.yaml").unlink()
    done = run("init", "tiny.csv", "--target", "label", "--bin-width", "2")
    assert done.status == 0
    assert "kind                     categorical" in done.out
    assert "dirsweep run tiny.space.yaml" in done.out
    assert run("validate", "tiny.dataset.yaml", "tiny.space.yaml").status == 0
    assert yaml.safe_load((here / "tiny.dataset.yaml").read_text())["bins"]["width"] == 2.0


def test_a_command_to_copy_has_its_paths_quoted(run, here):
    (here / "tiny.csv").rename(here / "my table.csv")
    done = run("init", "my table.csv", "--target", "label")
    assert "dirsweep validate 'my table.dataset.yaml' 'my table.space.yaml'\n" in done.out
    assert run("validate", "my table.dataset.yaml", "my table.space.yaml").status == 0


def test_init_from_another_folder_names_the_table_by_its_absolute_path(run, here, monkeypatch):
    (here / "below").mkdir()
    monkeypatch.chdir(here / "below")
    run("init", "../tiny.csv", "--target", "label")
    assert yaml.safe_load(Path("tiny.dataset.yaml").read_text())["path"] == str(here / "tiny.csv")
    assert run("validate", "tiny.dataset.yaml", "tiny.space.yaml").status == 0


def test_init_takes_columns_for_what_they_are(run, here):
    rows = 400
    table = pd.DataFrame(
        {
            "family_size": [n % 6 for n in range(rows)],
            "blood_group": [f"{'ABO'[n % 3]}" for n in range(rows)],
            "patient_id": [n // 4 for n in range(rows)],
            "review": ["long " * 80] * (rows - 1) + ["short"],
            "y": [n % 40 + 0.5 for n in range(rows)],
        }
    )
    table.to_csv("mixed.csv", index=False)
    run("init", "mixed.csv", "--target", "y")
    written = Path("mixed.dataset.yaml").read_text()
    assert "group_column: patient_id" in written
    assert "family_size" not in written.partition("ignore")[2].partition("\n")[0]
    run("validate", "mixed.dataset.yaml", "mixed.space.yaml")


def test_init_takes_the_split_that_a_table_has_and_tells_of_text_among_numbers(run, here):
    rows = 400
    table = pd.DataFrame(
        {
            "size": [n % 90 for n in range(rows)],
            "side": ["train", "train", "val", "test"] * (rows // 4),
            "y": [n * 7 % 40 + 0.5 for n in range(rows)],
        }
    ).astype(str)
    table.loc[6, "size"] = "12 kg"
    table.to_csv("split.csv", index=False)
    done = run("init", "split.csv", "--target", "y")
    assert "side                     split        2 distinct" in done.out
    assert "The split is the one that the column 'side' says." in done.out
    assert "size holds numbers, but text in row 7: '12 kg', so it is taken as categories; to have" in done.out
    assert "rows: train 200, val 100, test 100" in done.out
    written = yaml.safe_load(Path("split.dataset.yaml").read_text())
    assert (written["split_column"], written["categorical"]) == ("side", ["size"])
    assert "held_out_per_bin" not in written
    assert run("validate", "split.dataset.yaml", "split.space.yaml").status == 0
    Path("split.dataset.yaml").write_text(yaml.safe_dump(written | {"categorical": []}))
    told = run("validate", "split.dataset.yaml").err
    assert "split.csv: column 'size' holds numbers, but text in row 7: '12 kg'; correct or empty" in told


def test_init_overwrites_nothing(refused, here):
    before = (here / "tiny.dataset.yaml").read_text()
    assert "tiny.dataset.yaml: exists already" in refused("init", "tiny.csv", "--target", "label")
    assert (here / "tiny.dataset.yaml").read_text() == before
    assert not (here / "tiny.space.yaml").exists()


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("cheap", "'label' must hold numbers"),
        ("", "target 'label' is missing"),
        ("inf", "target 'label' is infinite"),
    ],
)
def test_init_refuses_a_target_that_is_no_finite_number(refused, here, label, told):
    table = (here / "tiny.csv").read_text().splitlines()
    table[3] = table[3].rpartition(",")[0] + "," + label
    (here / "bad.csv").write_text("\n".join(table))
    assert told in refused("init", "bad.csv", "--target", "label")
    assert not list(here.glob("bad.*.yaml"))


def test_init_refuses_a_column_that_is_not_there(refused, here):
    (here / "tiny.csv").rename("houses.csv")
    assert "no column 'price'" in refused("init", "houses.csv", "--target", "price")


# ---- train and predict


def test_train_prints_an_epoch_a_line_and_the_errors_per_shot(run, here):
    done = run("train", "trial.yaml", "--set", "stage1.epochs=2", "--out", "out")
    assert done.status == 0
    assert sum(line.startswith("epoch") for line in done.out.splitlines()) == 4
    assert "MAE after stage 1" in done.out
    assert "Spearman" in done.out
    assert json.loads((here / "out" / "config.json").read_text())["stage1"]["epochs"] == 2


def test_train_with_profile_says_where_the_time_went_and_names_the_traces(run, here):
    done = run("train", "trial.yaml", "--profile", "--out", "out")
    assert done.status == 0
    after = done.out.partition("of training")[2]
    for part in PARTS:
        assert f"\n {part} " in after
    assert len(after.partition("were traced")[2].partition("traces (")[0].strip().splitlines()) == 12
    assert "out/trace-stage1.json, out/trace-stage2.json" in after
    assert done.err == ""
    again = run("train", "trial.yaml", "--profile", "--out", "out")
    assert "nothing was trained, so there is nothing to profile" in again.out


def test_train_takes_the_next_free_folder(run, here):
    for number in (1, 2):
        assert f"trials/trial-{number}/" in run("train", "trial.yaml").out
    metrics = [json.loads((here / f"trials/trial-{number}/metrics.json").read_text()) for number in (1, 2)]
    assert metrics[0]["val/all/mae"] == metrics[1]["val/all/mae"]


def test_train_of_another_config_in_a_taken_folder_is_refused(run, refused, here):
    run("train", "trial.yaml", "--out", "out")
    before = (here / "out" / "metrics.json").read_text()
    told = refused("train", "trial.yaml", "--set", "seed=1", "--out", "out")
    assert "out/config.json: this folder holds another trial (seed is 0 there and 1 here)" in told
    assert (here / "out" / "metrics.json").read_text() == before


def interrupt_once_it_trains(folder: Path) -> None:
    """Press Ctrl-C, so to speak, when the trial in `folder` has written another record."""
    records = folder / "records.jsonl"
    before = records.stat().st_size if records.exists() else 0

    def wait() -> None:
        while not records.exists() or records.stat().st_size <= before:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.slow
def test_ctrl_c_leaves_a_trial_that_goes_on(run, here):
    (here / "long.yaml").write_text(TRIAL.replace("epochs: 3, batch_size: 64", "epochs: 5000"))
    interrupt_once_it_trains(here / "my out")
    done = run("train", "long.yaml", "--out", "my out")
    assert done.status == 130
    assert done.err == "stopped; go on with: dirsweep train 'my out/config.json' --out 'my out'\n"
    reached = int(done.out.strip().splitlines()[-1].split()[1])
    interrupt_once_it_trains(here / "my out")
    again = run("train", "my out/config.json", "--out", "my out")
    first = next(line for line in again.out.splitlines() if line.startswith("epoch"))
    assert int(first.split()[1]) == reached + 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "stage1.learning_rate=1"], "did you mean 'stage1.optimizer.lr'?"),
        (["--set", "stage1.epochs=many"], "'stage1.epochs': input should be a valid integer"),
        (["--set", "stage1.epochs=0"], "'stage1.epochs': input should be greater than 0; found 0"),
        (["--set", "stage1.loss.beta=0.5"], "belongs to huber"),
        (["--set", "seed"], "--set wants NAME=VALUE, found 'seed'"),
        (["--set", "seed=[1"], "--set seed: '[1': not valid YAML: while parsing a flow sequence"),
    ],
)
def test_train_refuses_a_bad_value_and_makes_no_folder(run, here, arguments, told):
    done = run("train", "trial.yaml", *arguments)
    assert done.status == 2
    assert told in done.err
    assert not (here / "trials").exists()


def test_train_refuses_a_table_without_training_rows(refused, here):
    table = pd.read_csv("tiny.csv").assign(side="val")
    table.to_csv("tiny.csv", index=False)
    split = [line for line in DATASET.splitlines() if not line.startswith("held_out")]
    (here / "tiny.dataset.yaml").write_text("\n".join([*split, "split_column: side"]))
    assert "the train split is empty" in refused("train", "trial.yaml")


def test_a_full_disk_ends_with_one_message(run, here):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        done = run("train", "trial.yaml", "--out", "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (done.status, done.err) == (1, "error: out/config.json: File too large\n")


def test_predict_adds_a_column_in_label_units(run, here):
    run("train", "trial.yaml", "--out", "out")
    assert run("predict", "out", "tiny.csv", "--out", "predicted.csv").status == 0
    predicted, val = pd.read_csv("predicted.csv"), pd.read_csv("out/val_predictions.csv")
    assert list(predicted.columns) == ["size", "weight", "kind", "label", "prediction"]
    assert predicted["prediction"][val["sample"]].to_numpy() == pytest.approx(
        val["prediction"].to_numpy(), rel=1e-4
    )
    assert run("predict", "out", "tiny.csv").out.startswith("size,weight,kind,label,prediction\n")


def test_predict_names_what_is_missing(run, refused, here):
    run("train", "trial.yaml", "--out", "out")
    pd.read_csv("tiny.csv").drop(columns="weight").to_csv("narrow.csv", index=False)
    assert "narrow.csv, by out: no column 'weight'" in refused("predict", "out", "narrow.csv")
    assert "nowhere: neither a sweep nor a trial" in refused("predict", "nowhere", "tiny.csv")
    run("predict", "out", "tiny.csv", "--out", "predicted.csv")
    assert "has a column 'prediction' already" in refused("predict", "out", "predicted.csv")


# ---- sweeps


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> SimpleNamespace:
    """A sweep that the command has run, by itself and to its end; and what the command printed."""
    folder = tmp_path_factory.mktemp("swept")
    write_files(folder)
    command = [sys.executable, "-c", "from dirsweep.cli import main; main()", "run", "space.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    return SimpleNamespace(folder=folder, done=done)


@pytest.fixture
def there(swept, monkeypatch) -> Path:
    monkeypatch.chdir(swept.folder)
    return Path("sweeps/space-1")


@pytest.mark.slow
def test_run_prints_progress_then_the_leaderboard(swept):
    assert (swept.done.returncode, swept.done.stderr) == (0, "")
    lines = swept.done.stdout.splitlines()
    assert lines[0].startswith("sweep sweeps/space-1: checking space.yaml")
    progress = [line for line in lines if "trials and" in line]
    assert 2 <= len(progress) <= 1 + 3 + 4  # a line at the start, and at most one per trial and control
    assert "3 of 3 trials and 4 controls done" in progress[-1]
    assert any(line.strip().startswith("default-plain") for line in lines)
    assert "train it again   dirsweep train sweeps/space-1/best.yaml" in swept.done.stdout


@pytest.mark.slow
def test_a_log_has_a_line_for_each_attempt_that_failed_and_none_for_smaller_news(capsys):
    with live.watching() as on_change:
        on_change(Progress(total=3, message="Ray and its workers start"))
        on_change(Progress(total=3, running=1, message="trial 0 starts"))
        on_change(
            Progress(total=3, seconds=7.0, news=1, message="trial 0: attempt 1 of 3 failed, trying again")
        )
        on_change(Progress(total=3, seconds=8.0, news=1, running=1, message="trial 0 goes on"))
    assert capsys.readouterr().out.splitlines() == [
        "       0 s  0 of 3 trials and 0 controls done, 0 running, 0 failed, 0 pruned",
        "       7 s  trial 0: attempt 1 of 3 failed, trying again",
    ]


def test_the_winner_can_be_trained_again_with_the_same_result(run, there, swept, tmp_path):
    best = json.loads(run("report", "space-1", "--json").out)["best"]
    assert run("train", there / "best.yaml", "--out", tmp_path / "again").status == 0
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert again["val/all/mae"] == best["metrics"]["val/all/mae"]


@pytest.mark.slow
def test_report_reads_a_sweep_by_name_or_path(run, there):
    assert run("report", "space-1").out == run("report", there).out
    assert "best" in run("report", there).out


@pytest.mark.slow
def test_status_and_list_know_that_it_is_finished(run, there):
    assert run("status", "space-1").out.startswith("sweeps/space-1: finished\n")
    assert "finished     3 of 3 trials and 4 controls done" in run("list").out


@pytest.mark.slow
def test_predict_takes_the_best_trial_of_a_sweep(run, there):
    best = json.loads(run("report", "space-1", "--json").out)["best"]["number"]
    assert (
        run("predict", "space-1", "tiny.csv").out == run("predict", there / f"trials/{best}", "tiny.csv").out
    )


@pytest.mark.slow
def test_what_cannot_be_done_to_a_sweep_is_refused(refused, there):
    before = Folder(there).read("ledger.jsonl")
    assert "there is something already" in refused("run", "space.yaml", "--name", "space-1")
    assert "there is nothing to stop" in refused("stop", "space-1")
    assert "write +N" in refused("resume", "space-1", "--trials", "+0")
    assert Folder(there).read("ledger.jsonl") == before


def test_a_sweep_that_is_not_there_is_refused(refused, here):
    for command in ("resume", "status", "stop", "report"):
        assert "nothing: no sweep there, nor in sweeps/" in refused(command, "nothing")


def test_list_of_no_sweeps_says_how_to_begin(run, here):
    assert "begin one with: dirsweep run" in run("list").out


@pytest.mark.parametrize("name", ["a/b", "", ".", "..", "a\nb"])
def test_run_refuses_a_name_that_is_no_folders_name(refused, here, name):
    assert "without a slash" in refused("run", "space.yaml", "--name", name)


def test_run_refuses_a_storage_that_is_no_folder(refused, here):
    assert "--storage space.yaml: cannot write" in refused("run", "space.yaml", "--storage", "space.yaml")


def test_ctrl_c_while_ray_starts_says_how_to_go_on(tmp_path, capsys):
    (tmp_path / "ledger.jsonl").touch()
    with pytest.raises(typer.Exit) as ended, cli.sweeps._interruptible(Folder(tmp_path)):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert f"dirsweep resume {tmp_path}" in capsys.readouterr().err


def test_run_refuses_a_tracking_store_of_no_kind_before_there_is_a_folder(refused, here):
    told = refused("run", "space.yaml", "--tracking-uri", "ftp://127.0.0.1/x")
    assert "--tracking-uri ftp://127.0.0.1/x: neither an sqlite file nor a server" in told
    assert not (here / "sweeps").exists()


@pytest.mark.parametrize("option", [["--tracking-uri", "http://127.0.0.1:9"], ["--system-metrics"]])
def test_run_refuses_what_would_do_nothing_without_tracking(refused, here, option):
    told = refused("run", "space.yaml", "--no-tracking", *option)
    assert f"{option[0]} would do nothing beside --no-tracking" in told


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ("stage2.mu: {uniform: [0.0, 1.0]}", "unknown parameter 'searched.stage2.mu'"),
        ("stage2.norm_weight: {uniform: [2.0, 1.0]}", "searched.stage2.norm_weight"),
        ("stage2.norm_weight: {log: [-1.0, 1.0]}", "searched.stage2.norm_weight"),
        ("stage2.norm_weight: {uniform: [0.0, 1.0], when: {stage1.loss.name: [l1]}}", "stage1.loss.name"),
        ("stage2.norm_weight: {normal: [0.0, 1.0]}", "searched.stage2.norm_weight"),
    ],
)
def test_run_refuses_a_space_that_makes_no_sense(refused, here, space, told):
    (here / "bad.yaml").write_text(SPACE.replace("stage2.norm_weight: {uniform: [0.0, 2.0]}", space))
    message = refused("run", "bad.yaml")
    assert message.startswith("bad.yaml: ")
    assert told in message
    assert not (here / "sweeps").exists()


def test_ui_without_records_says_so(refused, here):
    assert "no tracking store there yet" in refused("ui")


@pytest.mark.parametrize("command", [["train", "trial.yaml"], ["predict", "x", "tiny.csv"]])
def test_an_address_is_no_output(run, here, command):
    done = run(*command, "--out", "s3://bucket/x")
    assert done.status == 2
    assert "Invalid value for '--out': s3:// is no path on this machine" in done.err
    assert not (here / "s3:").exists()


def test_an_output_that_cannot_be_is_refused(refused, here):
    (here / "taken").write_text("")
    assert "--out taken: a file, not a folder" in refused("train", "trial.yaml", "--out", "taken")
    assert "--out .: a folder; name a file in it" in refused("predict", "x", "tiny.csv", "--out", ".")


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        ({"name": "custom", "path": "nowhere_at_all:Wide"}, "cannot import nowhere_at_all"),
        ({"name": "custom", "path": "nowhere"}, "'encoder.path'"),
    ],
)
def test_an_encoder_that_is_not_there_is_refused_before_anything_starts(refused, here, encoder, told):
    for file, place in (("trial.yaml", ()), ("space.yaml", ("fixed",))):
        tree = yaml.safe_load((here / file).read_text())
        holder = tree[place[0]] if place else tree
        holder["encoder"] = encoder
        (here / file).write_text(yaml.safe_dump(tree))
        assert told in refused("validate", file)
    assert told in refused("run", "space.yaml")
    assert not (here / "sweeps").exists()
