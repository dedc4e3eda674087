"""Job files: what they may say, what is refused and how, and what becomes of the search space."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from dirsweep import cli
from dirsweep.cluster.inside import check_command, sweep_command
from dirsweep.cluster.job import json_schema, read_job, space_text
from dirsweep.search.spec import read_spec

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "jobs").glob("*.yaml"))
SPACE = """\
question: Which weight?
searched: {stage2.norm_weight: {uniform: [0.0, 2.0]}}
budget: {trials: 3}
"""


@pytest.fixture
def write(tmp_path):
    """Write a job with these further keys beside a search space; gives its file."""

    def write(text: str = "", name: str = "mine.yaml") -> Path:
        (tmp_path / "space.yaml").write_text(SPACE)
        file = tmp_path / name
        file.write_text(f"space: space.yaml\n{text}\n")
        return file

    return write


@pytest.fixture
def refused(write):
    """The message about a job with these further keys."""

    def refused(text: str) -> str:
        file = write(text)
        with pytest.raises(ValueError) as found:  # noqa: PT011 (its text is what is looked at)
            read_job(file)
        assert str(found.value).startswith(f"{file}: ")
        return str(found.value).removeprefix(f"{file}: ")

    return refused


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_shipped_job_loads_and_its_space_too(file):
    job = read_job(file)
    assert job.name == file.stem
    assert job.rendered().budget.trials > 0


def test_the_shipped_jobs_ask_for_what_their_first_lines_say():
    at_once = {file.stem: read_job(file).resources.at_once for file in SHIPPED}
    # 8 GPUs at half a GPU a trial; 4 x 8 at one; 4 x 8 at a half; 2 x 32 CPUs at 2
    assert at_once == {"laptop": 2, "node8": 16, "nodes4x8": 32, "kuberay": 64, "slurm2": 32}


def test_a_search_space_alone_is_a_job_with_local_defaults(tmp_path):
    file = tmp_path / "My_space.yaml"
    file.write_text(SPACE)
    job = read_job(file)
    assert (job.space, job.name, job.storage) == (str(file), "my-space", "sweeps")
    assert job.rendered() == read_spec(file)


def test_a_job_finds_its_space_from_its_own_folder(write, tmp_path, monkeypatch):
    file = write()
    monkeypatch.chdir("/")
    assert read_job(file).space == str(tmp_path / "space.yaml")


def test_the_jobs_budget_stands_for_that_of_the_space(write):
    assert read_job(write("budget: {trials: 7}")).rendered().budget.trials == 7


def test_a_space_is_sent_as_a_file_that_reads_in_as_the_same_one(write, tmp_path):
    job = read_job(write("budget: {trials: 7}"))
    sent = tmp_path / "sent.yaml"
    sent.write_text(space_text(job.rendered()))
    assert read_spec(sent) == job.rendered()
    assert read_spec(sent).hash == read_spec(tmp_path / "space.yaml").hash


def test_trials_that_get_gpus_train_on_cuda_and_others_must_not(write, tmp_path):
    job = read_job(write("resources: {gpus_per_trial: 0.5}"))
    assert job.rendered().default_config().device == "cuda"
    (tmp_path / "space.yaml").write_text(SPACE + "fixed: {device: cuda}\n")
    file = tmp_path / "cpu.yaml"
    file.write_text("space: space.yaml\n")
    with pytest.raises(
        ValueError, match=r"space.yaml: 'fixed.device' is cuda, but 'resources.gpus_per_trial'"
    ):
        read_job(file).rendered()


@pytest.mark.parametrize(
    ("said", "words"), [("", []), ("true", ["--reuse-actors"]), ("false", ["--no-reuse-actors"])]
)
def test_a_job_says_whether_workers_are_reused(write, said, words):
    job = read_job(write(f"resources: {{reuse_actors: {said}}}"))
    command = sweep_command(job, "sweeps", ("dirsweep",), "space.yaml").split()
    assert [word for word in command if "reuse" in word] == words
    assert "reuse" not in check_command(job, "sweeps", ("dirsweep",), 1)


def test_what_a_sweep_would_be_refused_is_refused_before_it_is_sent(write, tmp_path):
    job = read_job(write("resources: {reuse_actors: true, cpus_per_trial: 2}"))
    (tmp_path / "space.yaml").write_text(SPACE + "fixed: {processes: 2}\n")
    with pytest.raises(ValueError, match="the 2 processes of a trial are started for it alone"):
        job.rendered()


def test_an_unknown_key_is_named_with_those_that_are_allowed(refused):
    assert refused("storag: /data") == (
        "unknown parameter 'storag' (did you mean 'storage'?); allowed here: budget, environment, "
        "kubernetes, name, resources, retries, slurm, space, storage, time_limit, tracking_uri"
    )
    told = refused("resources: {cpu_per_trial: 2}")
    assert told.startswith(
        "unknown parameter 'resources.cpu_per_trial' (did you mean 'resources.cpus_per_trial'?)"
    )
    assert "allowed here: cpus_per_node, cpus_per_trial, gpus_per_node" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("retries: -1", "'retries': input should be greater than or equal to 0; found -1"),
        ("name: My sweep", "'name' takes small letters, digits and dashes, at most 40"),
        ("storage: gs://bucket/sweeps", "'storage': gs:// is no storage of ours"),
        ("storage: s3://bucket/sweeps", "'tracking_uri' is missing: an object store holds no MLflow file"),
        ("tracking_uri: mlflow.example.org", "'tracking_uri' takes a server, http:// or https://"),
        ("resources: {nodes: 2}", "'resources': nodes is set without cpus_per_node"),
        (
            "resources: {cpus_per_node: 8, gpus_per_node: 1}",
            "'resources': gpus_per_node is 1, but a trial takes none: they would be idle",
        ),
        (
            "resources: {cpus_per_node: 2, cpus_per_trial: 4}",
            "'resources': a trial asks for 4 CPUs and 0 GPUs on one machine, but there are 2 CPUs",
        ),
        (
            "resources: {nodes: 2, cpus_per_node: 4, workers: 9}",
            "'resources': workers is 9, but 2 nodes have room for 8 trials at once",
        ),
        ("environment: {A B: x}", "'environment': 'A B' is no name of a variable"),
        ("environment: {RAY_ADDRESS: auto}", "'environment.RAY_ADDRESS' is not the job's to set"),
        ("environment: {X: {from: secret}}", "'environment.X': from: secret needs `secret`"),
        ("environment: {X: {from: vault}}", "'environment.X.from': input should be 'env' or 'secret'"),
        ("environment: {X: {from: env, key: a}}", "'environment.X': secret and key belong to `from: secret`"),
        ("kubernetes: {image: 'dirsweep:latest', volume_claim: v}", "'kubernetes': image dirsweep:latest"),
        ("kubernetes: {image: dirsweep, volume_claim: v}", "'kubernetes.image': string should match pattern"),
        ("kubernetes: {image: 'local:5000/dirsweep', volume_claim: v}", "'kubernetes.image': string should"),
    ],
)
def test_what_a_job_must_not_say_is_refused_by_key(refused, text, message):
    assert message in refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "tracking_uri: https://me:hunter2@mlflow.example.org",
        "environment: {MLFLOW_TRACKING_PASSWORD: hunter2}",
        "environment: {HF_TOKEN: {value: hunter2}}",
        "environment: {AWS_SECRET_ACCESS_KEY: hunter2}",
        "environment: {db_pass: hunter2}",
        "environment: {PGPASSWORD: hunter2}",
        "environment: {WANDB_APIKEY: hunter2}",
        "environment: {STORE: 'postgresql://me:hunter2@db/mlflow'}",
        "slurm: {setup: [module load python, 'export HF_TOKEN=\"hunter2\"']}",
        "slurm: {setup: ['pip install git+https://me:hunter2@git.example.org/mine']}",
    ],
)
def test_a_secret_in_a_job_is_refused_and_not_repeated(refused, text):
    told = refused(text)
    assert "hunter2" not in told
    assert "from: env" in told


def test_plain_and_referenced_variables_are_taken(write):
    job = read_job(
        write(
            "environment: {OMP_NUM_THREADS: 4, MONKEYS: two, AWS_WEB_IDENTITY_TOKEN_FILE: /run/token, "
            "MLFLOW_TRACKING_PASSWORD: {from: env}, HF_TOKEN: {from: secret, secret: hub, key: token}}\n"
            "slurm: {setup: [export HF_TOKEN=$(cat ~/hub.token) PYTHONPATH=/x]}"
        )
    )
    assert [variable.value for variable in job.environment.values()] == ["4", "two", "/run/token", None, None]
    assert [variable.source for variable in job.environment.values()] == [None] * 3 + ["env", "secret"]


def test_a_space_that_is_not_there_is_named(tmp_path):
    file = tmp_path / "lost.yaml"
    file.write_text("space: nowhere.yaml\n")
    with pytest.raises(ValueError, match=r"lost.yaml: 'space': there is no file .*nowhere.yaml"):
        read_job(file)


def test_the_schema_for_editors_takes_the_shipped_jobs_and_finds_planted_errors():
    schema = jsonschema.Draft202012Validator(json_schema())
    for file in SHIPPED:
        schema.validate(yaml.safe_load(file.read_text()))
    good = yaml.safe_load((ROOT / "jobs" / "kuberay.yaml").read_text())
    for wrong in (
        {"storag": "x"},
        {"retries": -1},
        {"resources": {"gpus": 2}},
        {"kubernetes": {"volume_claim": "v"}},
    ):
        assert list(schema.iter_errors(good | wrong)), wrong


@pytest.mark.slow
def test_validate_checks_a_job_with_its_space_and_prints_its_schema(write, capsys):
    file = write("retries: 1")
    with pytest.raises(SystemExit) as ended:
        cli.main(["validate", str(file)])
    assert (ended.value.code, capsys.readouterr().out) == (
        0,
        f"{file}: a job of 3 trials, 1 or more at once, no problem found\n",
    )
    with pytest.raises(SystemExit):
        cli.main(["validate", "--job-schema"])
    assert json.loads(capsys.readouterr().out) == json_schema()
    write("retries: many")
    with pytest.raises(SystemExit) as ended:
        cli.main(["validate", str(file)])
    assert ended.value.code == 2
    assert f"error: {file}: 'retries'" in capsys.readouterr().err
