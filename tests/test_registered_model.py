"""A trial's model in MLflow's registry: what it holds, how it is loaded and served, what is refused."""

import base64
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pictures
import pytest
import sweeping
import tiny

from dirsweep import cli, data, pipeline, tracking
from dirsweep.config import TrialConfig
from dirsweep.data import ImageEncoding, PairEncoding, TableEncoding
from dirsweep.data.encoding import Categorical, Numeric
from dirsweep.storage import Folder
from dirsweep.tracking import rows, store
from dirsweep.tracking.described import Described


@dataclass
class Finished:
    """A finished trial and its run in a store."""

    uri: str
    run: str
    trial: Path

    @property
    def client(self) -> Any:
        return store.open_client(self.uri)

    def register(self, name: str = "my sweep") -> str:
        """Register it, by default as `my-sweep`."""
        return tracking.register_model(self.uri, self.run, self.trial, name)


def finished(config: TrialConfig, folder: Path, uri: str, sweep: str) -> Finished:
    """Train a trial in `folder` and give it a run."""
    pipeline.run_trial(config, Folder(folder / "trials" / "7"), lambda record: None)
    return tracked(folder / "trials" / "7", uri, sweep)


def tracked(trial: Path, uri: str, sweep: str) -> Finished:
    """A run for a finished trial, as trial 7 of a new sweep."""
    client, metrics = store.open_client(uri), json.loads((trial / "metrics.json").read_text())
    experiment = client.create_experiment(sweep, store.artifact_location(uri))
    run = client.create_run(experiment, tags={"trial": "7", "seed": "0"}).info.run_id
    client.log_param(run, "stage1.epochs", 3)
    for name in ("val/all/mae", "val/few/mae"):
        client.log_metric(run, name, metrics[name], step=5)
    client.set_terminated(run)
    return Finished(uri, run, trial)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A trial on the tiny table, registered once."""
    folder = tmp_path_factory.mktemp("table")
    made = finished(tiny.config(folder), folder, tracking.default_uri(folder), "my sweep")
    assert made.register() == "1"
    return made


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load a registered model as its users do."""
    import mlflow

    def load(made: Finished, address: str) -> Any:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", made.uri)
        return mlflow.pyfunc.load_model(address)

    return load


def new_rows(folder: Path, count: int = 50) -> Path:
    """A table of rows that no trial has seen, one number of them missing."""
    path = tiny.write_table(folder / "new.csv", count, seed=1)
    frame = pd.read_csv(path).drop(columns="label")
    frame.loc[3, "weight"] = np.nan
    frame.to_csv(path, index=False)
    return path


def folder_of(made: Finished) -> Path:
    """Where the files of the registered model lie."""
    address = made.client.get_model_version_download_uri("my-sweep", "1")
    return Path(address.removeprefix("file://"))


@pytest.mark.slow
@pytest.mark.parametrize("address", ["models:/my-sweep@best", "models:/my-sweep/1"])
def test_a_loaded_model_predicts_what_the_trial_does_to_the_last_bit(table, tmp_path, load, address):
    frame = pd.read_csv(new_rows(tmp_path))
    expected = pipeline.predict(Folder(table.trial), frame)
    found = load(table, address).predict(frame)
    assert (found.dtype, found.shape) == (np.float64, (50,))
    assert found.tolist() == expected.tolist()


def test_a_second_registration_of_a_run_makes_nothing_new(table, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    assert table.register() == "1"
    assert [made.version for made in table.client.search_model_versions("name = 'my-sweep'")] == [1]
    assert mlflow.get_tracking_uri() == before
    assert list(tmp_path.iterdir()) == []  # no store of MLflow's own


def test_the_alias_means_what_was_registered_last(table):
    first = tracked(table.trial, table.uri, "one")
    experiment = first.client.get_run(first.run).info.experiment_id
    run = first.client.create_run(experiment, tags={"trial": "8"}).info.run_id
    second = Finished(table.uri, run, table.trial)
    for made, version in ((first, "1"), (second, "2"), (first, "1")):
        assert made.register("both") == version
        best = table.client.get_model_version_by_alias("both", "best")
        assert (str(best.version), best.run_id) == (version, made.run)


def test_a_model_of_others_with_that_name_is_left_alone(table):
    client = table.client
    client.create_registered_model("theirs")
    version = client.create_model_version("theirs", "file:///theirs", table.run).version
    client.set_registered_model_alias("theirs", "best", version)
    made = tracked(table.trial, table.uri, "theirs, by chance")
    with pytest.raises(ValueError, match=r"the registered model 'theirs' there is of others; rename"):
        made.register("theirs")
    with pytest.raises(ValueError, match="'my-sweep' there is of others"):
        made.register("my/sweep")  # another sweep's, of almost that name
    assert client.get_model_version_by_alias("theirs", "best").version == version
    assert [one.version for one in client.search_model_versions("name = 'theirs'")] == [version]


def test_what_a_registration_that_broke_off_left_is_made_anew(table):
    made = tracked(table.trial, table.uri, "broken off")
    experiment = made.client.get_run(made.run).info.experiment_id
    half = made.client.create_logged_model(experiment, "trial 7", made.run)
    assert made.register("broken off") == "1"
    (whole,) = made.client.search_logged_models([experiment])
    assert whole.model_id != half.model_id
    assert whole.status == "READY"


def test_the_version_names_its_trial_and_its_errors(table):
    metrics = json.loads((table.trial / "metrics.json").read_text())
    version = table.client.get_model_version_by_alias("my-sweep", "best")
    few = metrics["val/few/mae"]
    assert version.run_id == table.run
    assert version.tags.items() >= {"sweep": "my sweep", "trial": "7", "seed": "0"}.items()
    assert float(version.tags["val/few/mae"]) == pytest.approx(few, rel=1e-5)
    assert f"- few: MAE {few:.4g}, GM" in version.description
    assert "- zero:" not in version.description  # no label of val is in it
    assert "needs dirsweep 0.1.0 and nothing else" in version.description
    about = table.client.get_registered_model("my-sweep").description
    assert "Predicts label from size, weight, kind" in about


def test_the_run_links_to_its_model_and_gets_no_new_points(table):
    run = table.client.get_run(table.run)
    (output,) = run.outputs.model_outputs
    model = table.client.get_logged_model(output.model_id)
    assert (model.name, model.status, model.source_run_id) == ("trial 7", "READY", table.run)
    assert model.params == {"stage1.epochs": "3"}
    assert {metric.key: metric.value for metric in model.metrics}["val/few/mae"] == (
        run.data.metrics["val/few/mae"]
    )
    assert len(table.client.get_metric_history(table.run, "val/few/mae")) == 1


def test_the_folder_holds_code_and_tensors_no_pickle(table):
    folder = folder_of(table)
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    written_at_loading = ("__pycache__", "registered_model_meta")
    files = {name: files[name] for name in files if not name.startswith(written_at_loading)}
    trial = {f"artifacts/trial/{name}" for name in ("inputs.json", "metrics.json", "model.safetensors")}
    assert files.keys() == {
        *{"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "served.py"},
        *{"input_example.json", "serving_input_example.json", "artifacts/trial/config.json"},
        *trial,
    }
    for name, content in files.items():
        assert not name.endswith((".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin"))
        assert b"pickle" not in content.lower(), name
        assert not content.startswith((b"\x80", b"PK")), name  # pickle's and PyTorch's own files
        assert str(Path(tracking.__file__).parent).encode() not in content, name
    assert files["requirements.txt"].decode().split() == ["mlflow==3.17.2", "dirsweep==0.1.0"]


def test_the_signature_has_the_columns_and_the_example_is_no_row_of_the_data(table, load):
    model = load(table, "models:/my-sweep/1")
    signature = model.metadata.signature
    assert [(column.name, column.type.name) for column in signature.inputs] == [
        ("size", "double"),
        ("weight", "double"),
        ("kind", "string"),
    ]
    assert [str(output.type) for output in signature.outputs] == ["float64"]
    example = model.input_example
    own = pd.read_csv(table.trial.parents[1] / "tiny.csv")
    assert example["kind"].tolist() == ["a", "b", "a"]
    assert not set(example["size"]) & set(own["size"])
    assert np.isfinite(model.predict(example)).all()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": "big"}, "size"),
        ({"size": np.inf}, "column 'size' holds infinite or absurdly large values in row 1"),
        ({"size": None}, "missing inputs"),
    ],
)
def test_rows_that_do_not_fit_are_refused_in_words(table, load, change, told):
    from mlflow.exceptions import MlflowException

    frame = pd.DataFrame({"size": [1.0], "weight": [1.0], "kind": ["a"]}).assign(**change)
    frame = frame.drop(columns=[name for name, value in change.items() if value is None])
    with pytest.raises(MlflowException, match=told) as caught:
        load(table, "models:/my-sweep/1").predict(frame)
    assert caught.value.get_http_status_code() == 400


def test_no_rows_are_refused(table):
    with pytest.raises(ValueError, match="there are no rows to predict for"):
        rows.predict(Folder(table.trial), pd.DataFrame({"size": [], "weight": [], "kind": []}))


def test_a_run_that_is_not_there_and_a_trial_that_is_not_finished_are_refused(table, tmp_path):
    with pytest.raises(ValueError, match="Run with id=feed not found"):
        tracking.register_model(table.uri, "feed", table.trial, "other")
    with pytest.raises(ValueError, match=r"no finished trial \(it has no metrics.json\)"):
        tracking.register_model(table.uri, table.run, tmp_path, "other")
    assert table.client.search_registered_models("name = 'other'") == []


@pytest.mark.parametrize(
    ("name", "registered"),
    [("all-1", "all-1"), ("my sweep: a/b@c", "my-sweep-a-b-c"), ("Größe 'x'", "Größe-x"), ("//", "model")],
)
def test_names_fit_into_the_address_of_a_model(name, registered):
    assert tracking.registered_name(name) == registered


ENCODER = """
from torch import nn


class Own(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.features = 4
        self.stem, self.last_block = nn.Linear(rows.shape[1], 8), nn.Sequential(nn.Linear(8, 4), nn.ReLU())
"""


@pytest.mark.slow
def test_a_model_whose_code_has_changed_is_neither_loaded_nor_registered(
    table, tmp_path, monkeypatch, load, capfd
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIRSWEEP_STARTED_IN", raising=False)  # a command that ran before in this process
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("own_registered.py").write_text(ENCODER)
    config = tiny.config(tmp_path).model_dump(mode="json") | {
        "encoder": {"name": "custom", "path": "own_registered:Own"}
    }
    made = finished(TrialConfig.model_validate(config), tmp_path, table.uri, "own code")
    capfd.readouterr()
    made.register("own code")
    assert capfd.readouterr() == ("", "")  # no progress bars, no lines of MLflow
    version = made.client.get_model_version("own-code", "1")
    assert "the code of 'own\\_registered:Own' as it was" in version.description
    frame = pd.read_csv(new_rows(tmp_path))
    expected = pipeline.predict(Folder(made.trial), frame).tolist()
    assert load(made, "models:/own-code/1").predict(frame).tolist() == expected
    with Path("own_registered.py").open("a") as file:
        file.write("\n# changed\n")
    with pytest.raises(ValueError, match="its code has changed"):
        load(made, "models:/own-code/1")
    with pytest.raises(ValueError, match="its code has changed"):
        made.register("another")
    assert made.client.search_registered_models("name = 'another'") == []


@pytest.mark.slow
def test_images_are_sent_as_the_content_of_their_files(table, tmp_path, load):
    import mlflow

    dataset = pictures.prepared(tmp_path, numbers=["weight"])
    made = finished(pictures.trial(dataset), tmp_path, table.uri, "images")
    made.register("images")
    named = pd.read_csv(tmp_path / "labels.csv", dtype={"name": "str"}).head(9)[["name", "weight"]]
    expected = pipeline.predict(Folder(made.trial), named, tmp_path / "pictures")
    model = load(made, "models:/images@best")
    content = [(tmp_path / "pictures" / name).read_bytes() for name in named["name"]]
    assert model.predict(named.assign(name=content)).tolist() == expected.tolist()
    assert [column.type.name for column in model.metadata.signature.inputs] == ["binary", "double"]
    sent = [
        [base64.b64encode(one).decode(), weight] for one, weight in zip(content, named["weight"], strict=True)
    ]
    request, answer = tmp_path / "request.json", tmp_path / "answer.json"
    request.write_text(json.dumps({"dataframe_split": {"columns": ["name", "weight"], "data": sent}}))
    mlflow.models.predict(
        "models:/images@best", input_path=str(request), output_path=str(answer), env_manager="local"
    )
    assert json.loads(answer.read_text()) == {"predictions": expected.tolist()}
    for wrong, told in (
        (named, "bytes, or base64"),
        (named.assign(name=b"no image"), "row 1: the image 1: "),
    ):
        with pytest.raises(Exception, match=told):
            model.predict(wrong)


def test_examples_of_all_kinds_of_data_are_made_up():
    table = TableEncoding((Numeric("a", 10.123456, 2.0, True), Categorical("b", ("x", "y", None))))
    assert rows.example(table).to_dict("list") == {"a": [8.123, 10.12, 12.12], "b": ["x", "y", "x"]}
    pairs = PairEncoding("one", "two")
    assert rows.columns(pairs) == {"one": "string", "two": "string"}
    assert len(pairs.encode(rows.example(pairs))) == 3
    images = ImageEncoding("file", 8, "rgb", None)
    assert rows.columns(images) == {"file": "binary"}
    assert all(content.startswith(b"\x89PNG") for content in rows.example(images)["file"])


# ---- served


@pytest.fixture(scope="module")
def server(table: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`mlflow models serve` on the registered model; gives its address."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/my-sweep@best"),
        *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)),
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it calls `uvicorn`
    environment = os.environ | store.TELEMETRY_OFF | {"MLFLOW_TRACKING_URI": table.uri, "PATH": path}
    address = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        try:
            sweeping.wait_for(lambda: process.poll() is not None or answers(address), "the server", 120)
            assert process.poll() is None, (folder / "log").read_text()
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/ping", timeout=5):
        return True
    return False


def send(address: str, content: bytes, kind: str) -> tuple[int, Any]:
    """Status and answer of a request for predictions."""
    request = urllib.request.Request(f"{address}/invocations", content, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.slow
def test_a_served_model_answers_what_dirsweep_predict_prints(table, server, tmp_path, capsys):
    path = new_rows(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["predict", str(table.trial), str(path)])
    assert ended.value.code == 0
    printed = pd.read_csv(io.StringIO(capsys.readouterr().out), dtype="str")["prediction"].map(float)

    frame = data.read_table(path)
    for name in ("size", "weight"):
        frame[name] = frame[name].map(float)
    split = frame.to_dict("split", index=False)
    split["data"] = [[None if pd.isna(cell) else cell for cell in row] for row in split["data"]]
    content = json.dumps({"dataframe_split": split}).encode()
    assert send(server, content, "application/json") == (200, {"predictions": printed.tolist()})
    assert send(server, path.read_bytes(), "text/csv") == (200, {"predictions": printed.tolist()})

    for row, told in (
        ({"size": "big", "weight": 1, "kind": "a"}, "size"),
        ({"size": 1e200, "weight": 1, "kind": "a"}, "column 'size' holds infinite or absurdly large values"),
        ({"weight": 1, "kind": "a"}, "Model is missing inputs ['size']"),
    ):
        status, answer = send(server, json.dumps({"dataframe_records": [row]}).encode(), "application/json")
        assert status == 400
        assert told in answer["message"]


def test_names_from_files_of_the_user_stay_text_in_the_registry(tmp_path):
    tags = {"sweep": "# [s](http://z)", "trial": "*7*", "method_version": "1"}
    shown = Described(tiny.config(tmp_path), "<img src=x>", "[a](http://y), b_c", {"val/all/mae": 1.0}, tags)
    for text in (shown.first_line, shown.page("s", "best")):
        assert text.startswith(
            "Predicts &lt;img src=x&gt; from \\[a\\](http\\://y), b\\_c; from the sweep \\# \\[s\\](http\\://z)."
        )
    assert "Trial \\*7\\*, method version 1." in shown.page("s", "best")
