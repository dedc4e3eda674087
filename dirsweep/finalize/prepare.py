"""What is asked of a verdict, checked against the sweep and its data before anything is trained."""

from dataclasses import dataclass

from dirsweep import METHOD_VERSION, data
from dirsweep.config import TrialConfig
from dirsweep.data import Dataset
from dirsweep.finalize import plan as plans
from dirsweep.finalize import tuned
from dirsweep.finalize.plan import Plan, Row
from dirsweep.ledger import FILE, Ledger
from dirsweep.report import SweepReport
from dirsweep.report.numbers import SHOTS
from dirsweep.search.spec import encoder_files


@dataclass(frozen=True)
class Settings:
    """What is finalized.

    top: how many of the best trials are finalists.
    seeds: fresh seeds of every configuration.
    ablate: whether the winner's parts are judged one by one.
    primary: "CONTROL:SHOT", or None for the default (`plan.primary`).
    """

    top: int = 1
    seeds: int = 5
    ablate: bool = False
    primary: str | None = None

    def __post_init__(self) -> None:
        for name in ("top", "seeds"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name)}: at least 1 is needed")


def checked_data(report: SweepReport) -> Dataset:
    """The sweep's data. ValueError if they, or the method, are not what the sweep was begun with."""
    opened = Ledger.open(report.folder).opening
    dataset = data.load(report.spec.default_config().dataset)
    here = {
        "data": dataset.hash,
        "encoder": encoder_files(report.spec),
        "method_version": METHOD_VERSION,
    }
    for name, found in here.items():
        if opened.get(name, "") != found:
            raise ValueError(
                f"{report.folder}/{FILE}: the sweep was begun with {name} {opened.get(name, '')}, but here "
                f"it is {found}; a verdict must be on what was searched: put it back, or begin a new sweep"
            )
    return dataset


def make_plan(
    report: SweepReport,
    dataset: Dataset,
    settings: Settings,
    tuned_base: TrialConfig | str,
    *,
    to_tune: bool = False,
) -> Plan:
    """The plan; a tuned base that is text says why there is none.

    Args:
        to_tune: whether it is only still to be tuned: none of the rows yet, but it may be primary.
    """
    finalists = plans.finalists(report, settings.top)
    controls, left_out = plans.controls(finalists[0], dataset, tuned_base)
    known = (*controls, *([_to_come(finalists[0])] if to_tune else ()))
    primary = plans.primary(_primary(settings, tuned_base), finalists[0], known, sampled(dataset))
    ablation = plans.ablation(finalists[0]) if settings.ablate else ()
    told = (*left_out, *plans.twins(finalists, (*controls, *ablation)))
    return Plan(finalists, controls, ablation, told, primary)


def _primary(settings: Settings, tuned_base: TrialConfig | str) -> str | None:
    """The primary comparison as asked; plain where it stands for a tuned base that is no better."""
    asked = settings.primary
    if asked is None or tuned_base != tuned.NO_BETTER:
        return asked
    return asked.replace("tuned-base:", "plain:")


def sampled(dataset: Dataset) -> list[str]:
    """Shots that val has samples of."""
    return [shot for shot in SHOTS if dataset.shots.masks[shot][dataset.val.bin].any()]


def check_primary(settings: Settings, winner: Row, dataset: Dataset, *, may_tune: bool) -> None:
    """Refuse a primary comparison that cannot be, before anything is trained for it."""
    controls, _ = plans.controls(winner, dataset, "not known yet")
    known = (*controls, *([_to_come(winner)] if may_tune else ()))
    plans.primary(settings.primary, winner, known, sampled(dataset))


def _to_come(winner: Row) -> Row:
    """The row of a tuned base that is not tuned yet."""
    return Row("tuned-base", winner.config, plans.CONTROLS["tuned-base"])
