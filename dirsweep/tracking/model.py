"""Put a finished trial's model into MLflow's registry: code and safetensors, no pickle.

`mlflow.pyfunc.log_model` would do most of this, but in the store that MLflow's global address names, while
the tracker's thread and the user's own code each have theirs: so a client takes the steps one by one.
"""

import json
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

from dirsweep.storage import Folder, Place
from dirsweep.tracking import rows, store
from dirsweep.tracking.described import Described, described, requirement

ALIAS = "best"
OWNER = "experiment_id"
"""Tag of a registered model: the experiment whose runs' models are its versions."""
FILES = ("config.json", "inputs.json", "metrics.json", "model.safetensors")
"""What `pipeline.predict` reads of a trial."""


def register_model(uri: str, run_id: str, trial: Place, name: str) -> str:
    """Register the model of a finished trial as a version of `registered_name(name)`; returns the version.

    The alias `best` then means that version. A run that has a version of that name gets no second one.

    Args:
        uri: the store, as `store.check` accepts it.
        run_id: the trial's run there.
        trial: its folder.
        name: for the model, of any characters.

    Raises:
        ValueError: the trial is not finished; its encoder reads files that are not there or have changed; the
            store has no such run, does not answer or cannot be written; the name is that of a model of
            others, whose versions and alias are theirs.
    """
    trial = Folder(trial)
    known = registered_name(name)
    client = store.open_client(uri)
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
        if run.info.lifecycle_stage != "active":
            raise ValueError(f"{store.shown(uri)}: the run {run_id} is deleted; restore it there")
        _check_ours(client, known, run, uri)
        version = _version_there(client, known, run_id)
        if version is None:
            version = _new_version(client, known, run, trial)
        client.set_registered_model_alias(known, ALIAS, version)
    except (MlflowException, OSError) as error:
        raise ValueError(f"{store.shown(uri)}: {store.brief(error, uri)}") from error
    return version


def registered_name(name: str) -> str:
    """The name under which a model of `name` is registered: letters, digits, `_`, `.` and `-` of it.

    MLflow takes no / and : in it, and blanks, @ or quotes would have to be escaped in `models:/NAME@best`.
    """
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "model"


def _check_ours(client: Any, name: str, run: Any, uri: str) -> None:
    """ValueError if a model of that name is there that was not registered from the run's experiment."""
    there = client.search_registered_models(f"name = '{name}'", max_results=1)
    if there and there[0].tags.get(OWNER) != run.info.experiment_id:
        raise ValueError(
            f"{store.shown(uri)}: the registered model {name!r} there is of others; rename it or the sweep"
        )


def _version_there(client: Any, name: str, run_id: str) -> str | None:
    versions = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    return max((str(version.version) for version in versions), key=int, default=None)


def _new_version(client: Any, name: str, run: Any, trial: Folder) -> str:
    from mlflow.exceptions import MlflowException

    rows.predict(trial, rows.example(rows.encoding(trial)))  # what cannot be loaded here, cannot be elsewhere
    of_trial = described(client, run, trial)
    logged = _logged(client, run, trial, of_trial)
    try:
        owner = {OWNER: run.info.experiment_id}
        client.create_registered_model(name, tags=owner, description=of_trial.first_line)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # not models:/ID as the source: for that MLflow would ask the store of its global address
    made = client.create_model_version(
        name,
        logged.artifact_location,
        run.info.run_id,
        tags=of_trial.tags,
        description=of_trial.page(name, ALIAS),
        model_id=logged.model_id,
    )
    there = [{"name": name, "version": made.version}]
    client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": json.dumps(there)})
    return str(made.version)


def _logged(client: Any, run: Any, trial: Folder, of_trial: Described) -> Any:
    """The run's model in the tracking store; what an attempt that broke off left there is made anew."""
    name = "trial " + re.sub(r"[/:.%\"']", "-", of_trial.tags["trial"])
    run_id, experiment = run.info.run_id, run.info.experiment_id
    for earlier in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        if earlier.name == name and earlier.status == "READY":
            return earlier
        if earlier.name == name:
            client.delete_logged_model(earlier.model_id)
    from mlflow.entities import LoggedModelOutput

    logged = client.create_logged_model(
        experiment, name, run_id, tags=of_trial.tags, params=run.data.params, model_type="regressor"
    )
    with tempfile.TemporaryDirectory(prefix="dirsweep-") as place:
        client.log_model_artifacts(logged.model_id, str(_saved(Path(place), trial, logged, of_trial)))
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    _share_metrics(client, run, logged, list(of_trial.errors))
    return client.finalize_logged_model(logged.model_id, "READY")


def _share_metrics(client: Any, run: Any, logged: Any, names: list[str]) -> None:
    """Make the run's last values of some metrics the model's too; the run itself gets no new points."""
    from mlflow.entities import Metric

    run_id = run.info.run_id
    last = [client.get_metric_history(run_id, name)[-1] for name in names if name in run.data.metrics]
    points = [
        Metric(point.key, point.value, point.timestamp, point.step, model_id=logged.model_id, run_id=run_id)
        for point in last
    ]
    client.log_batch(run_id, metrics=points)


def _saved(place: Path, trial: Folder, logged: Any, of_trial: Described) -> Path:
    """The model's folder, below `place`; where its parts lay before is not told in it."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Any type hint is inferred")  # of MLflow, against itself
        from mlflow.models import Model, ModelSignature
        from mlflow.pyfunc import save_model
        from mlflow.types import ColSpec, Schema, TensorSpec

    files, empty, made = place / "trial", place / "empty", place / "model"
    for folder in (files, empty):
        folder.mkdir()
    for name in FILES:
        (files / name).write_bytes(trial.read(name))
    encoding = rows.encoding(trial)
    example = rows.example(encoding)
    example.columns = example.columns.astype(object)  # MLflow compares them in a way that pandas will drop
    model = Model(
        logged.artifact_location, logged.source_run_id, model_uuid=logged.model_id, model_id=logged.model_id
    )
    save_model(
        made,
        mlflow_model=model,
        python_model=str(Path(__file__).with_name("served.py")),
        artifacts={"trial": str(files)},
        signature=ModelSignature(
            Schema([ColSpec(kind, name) for name, kind in rows.columns(encoding).items()]),
            Schema([TensorSpec(np.dtype("float64"), (-1,))]),
        ),
        input_example=example,
        pip_requirements=[requirement(of_trial.config.encoder)],
        uv_project_path=empty,  # else MLflow takes files of a uv project in the current folder along
    )
    flavor = model.flavors["python_function"]
    flavor.pop("cloudpickle_version")  # nothing is pickled
    flavor["model_code_path"] = "served.py"
    flavor["artifacts"]["trial"]["uri"] = flavor["artifacts"]["trial"]["path"]
    model.save(str(made / "MLmodel"))
    return made
