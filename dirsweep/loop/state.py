"""The state of a phase to and from a checkpoint."""

from dirsweep.checkpoint import load_optimizer, optimizer_tensors
from dirsweep.checkpoint.state import Notes, Tensors
from dirsweep.loop.phase import Phase, Trial, Work


def state(trial: Trial, phase: Phase, work: Work) -> tuple[Tensors, Notes]:
    groups = {
        "model": dict(trial.model.state_dict()),
        "optimizer": optimizer_tensors(work.optimizer),
        "memory": phase.memory,
        "best": work.best.weights,
        "own": {name: parameter.data for name, parameter in work.own.items()},
        "loop": {"sums": work.sums},
    }
    tensors = {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}
    return tensors, {"stage": phase.stage, "best": [work.best.value, work.best.epoch]}


def restore(trial: Trial, phase: Phase, work: Work) -> tuple[int, int]:
    """Take up the journal's checkpoint if it lies in this phase; returns (epoch, step) to go on with.

    The model's weights are in place already: `restore_model` puts them back before the first phase.
    """
    saved = trial.journal.checkpoint
    if saved is None or saved.notes["stage"] != phase.stage:
        return 0, 0
    groups: dict[str, Tensors] = {}
    for name, tensor in saved.tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    load_optimizer(work.optimizer, groups.get("optimizer", {}))
    for name, tensor in phase.memory.items():
        tensor.copy_(groups["memory"][name])
    work.best.weights = groups.get("best", {})
    work.best.value, work.best.epoch = saved.notes["best"]
    work.sums.copy_(groups["loop"]["sums"])
    for name, parameter in work.own.items():
        parameter.data.copy_(groups["own"][name])
    return saved.epoch - phase.first, saved.step


def restore_model(trial: Trial) -> None:
    """Put the weights of the journal's checkpoint, if there is one, into the model.

    Raises:
        ValueError: it is whole, but of another model.
    """
    saved = trial.journal.checkpoint
    if saved is not None:
        weights = {
            name.removeprefix("model/"): tensor
            for name, tensor in saved.tensors.items()
            if name.startswith("model/")
        }
        try:
            trial.model.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(
                f"{trial.journal.folder}/checkpoints: that of epoch {saved.epoch} is of another model "
                f"({str(error).splitlines()[-1].strip()}); delete the folder, and the trial begins anew"
            ) from None
