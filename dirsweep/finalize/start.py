"""`finalize` is the diagram of a verdict: tune the base, plan, train, record the opening, open, judge, write.

All of it goes on where it was interrupted, and until the opening test is sealed.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from dirsweep.config import DatasetConfig
from dirsweep.data import Dataset, check_test
from dirsweep.finalize import plan as plans
from dirsweep.finalize import training, tuned
from dirsweep.finalize.files import PAGE, keep, kept, per_seed, verdict_json
from dirsweep.finalize.judge import judged, shot_errors
from dirsweep.finalize.notes import failures, shot_note, unfinished
from dirsweep.finalize.opening import content, elsewhere, predict_test, record
from dirsweep.finalize.page import Facts, page
from dirsweep.finalize.plan import Plan
from dirsweep.finalize.prepare import Settings, check_primary, checked_data, make_plan
from dirsweep.finalize.training import OnDone, Run
from dirsweep.intervals import MIN_SEEDS
from dirsweep.ledger import Ledger
from dirsweep.report import SweepReport, load
from dirsweep.report.numbers import SHOTS
from dirsweep.storage import Folder, Place
from dirsweep.sweep import Resources, lock, stopping
from dirsweep.sweep.progress import Progress
from dirsweep.sweep.session import ray_session
from dirsweep.sweep.store import store_of

FOLDER = "finalize"


def finalize(
    sweep: Place, settings: Settings, resources: Resources, on_done: OnDone, *, sealed: bool = False
) -> str:
    """The verdict on a sweep, as a page of Markdown that is also in `finalize/verdict.md`.

    Whatever was trained before is kept and used: the same call goes on where one was interrupted. Called
    again with all the same it gives the page that is there, and opens nothing.

    Args:
        sealed: only train; test stays closed, and the text says so.

    Raises:
        ValueError: nothing to finalize, a driver that runs the sweep, other data than the sweep's, a control
            or shot that does not apply, test rows that cannot be read, resources that do not serve its
            trials, runs that all failed.
    """
    sweep = Folder(sweep)
    sweep = sweep.absolute()
    with lock.held(sweep):
        stopping.remove_mark(sweep)  # first, so that a `dirsweep stop` from here on is heard
        report = load(sweep)
        winner = plans.finalists(report, settings.top)[0]
        dataset = checked_data(report)
        if not sealed:  # what is wrong with test is better known now than when its opening is recorded
            check_test(dataset_of(report))
        base = tuned.base_spec(report)
        place = sweep / tuned.FOLDER
        found = tuned.best(base, place)  # or why there is none, which may be that it is to be searched
        may_tune = not isinstance(found, str) or found == tuned.NOT_YET
        check_primary(settings, winner, dataset, may_tune=may_tune)
        elsewhere(sweep, dataset)  # a ledger beside it that cannot be read is better known now
        with ExitStack() as stack:  # Ray takes seconds to start, and where all is trained it is not needed
            if base is not None and not tuned.ended(base, place):
                resources.check(base.default_config())
                stack.enter_context(ray_session(resources))
                on_done("the base method is tuned on val, for as long as the sweep took")
                tuned.search(base, place, resources, _told(on_done))
            plan = make_plan(report, dataset, settings, tuned.tuned_base(report, base, place))
            seeds = training.fresh_seeds(report.spec.default_config().seed, settings.seeds)
            runs = training.runs(plan.rows, seeds, sweep)
            todo = [run for run in runs if not run.done]
            failed = {}
            if todo:
                resources.check(report.spec.default_config())
                stack.enter_context(ray_session(resources))
                failed = training.train(todo, sweep, store_of(sweep.parent), resources, on_done)
        done = [run for run in runs if run.done]
        if sealed:
            return f"{len(done)} of {len(runs)} runs are trained, and test is sealed as before.\n"
        if sweep.exists(stopping.FILE):  # since the last run ended
            raise KeyboardInterrupt
        return _verdict(report, plan, dataset, done, failed, settings.seeds)


def _told(on_done: OnDone) -> Callable[[Progress], None]:
    """Hand on what the search of the base tells of its trials."""

    def on_change(progress: Progress) -> None:
        if " is complete" in progress.message or " failed" in progress.message:
            on_done(f"tuned base: {progress.message}")

    return on_change


def _verdict(
    report: SweepReport,
    plan: Plan,
    dataset: Dataset,
    runs: Sequence[Run],
    failed: dict[Run, str],
    asked: int,
) -> str:
    """Open test for trained runs, and judge them."""
    sides = (plan.primary.ours.hash, plan.primary.theirs.hash)
    ours, theirs = ({run.seed for run in runs if run.row.hash == side} for side in sides)
    if len(ours & theirs) < min(asked, MIN_SEEDS):
        raise ValueError(
            f"{report.folder}: of the primary comparison {len(ours & theirs)} of {asked} seeds could be "
            "trained on both sides, too few to tell anything, so test stays closed; --seeds "
            f"{asked + MIN_SEEDS} "
            "trains more: " + "; ".join(failures(failed))
        )
    check_test(dataset_of(report))
    files = report.folder / FOLDER
    earlier = elsewhere(report.folder, dataset)
    opening = record(Ledger.open(report.folder), content(plan, runs, dataset), earlier)
    before = kept(files, opening)
    if before is not None:
        return before
    unsealed, errors, senseless = predict_test(runs, dataset_of(report))
    rows, shots = unsealed.rows, unsealed.shots
    masks = {shot: shots.masks[shot][rows.bin] for shot in SHOTS}
    found = shot_errors(plan, errors, masks, rows)
    compared = judged(plan, errors, masks, rows.group)
    facts = Facts(
        sweep=report.folder.name,
        question=report.spec.question,
        target=dataset.target,
        tried=report.states["COMPLETE"] + report.states["PRUNED"],
        objective=report.spec.objectives[0],
        seeds=sorted({run.seed for run in (*runs, *failed)}),
        test=len(rows.label),
        zero=int(shots.masks["zero"][rows.bin].sum()),
        seconds=sum(seconds(run) for run in runs),
        notes=[
            *shot_note(plan),
            *unfinished(report),
            *tuned.told(report.folder / tuned.FOLDER),
            *failures(failed | senseless),
        ],
    )
    text = page(plan, opening, facts, found, compared)
    verdict = verdict_json(plan, opening, facts, found, compared)
    files_of = {
        PAGE: text.encode(),
        "verdict.json": verdict,
        "per_seed.csv": per_seed(plan, errors, unsealed),
    }
    keep(files, opening, files_of)
    return text


def dataset_of(report: SweepReport) -> DatasetConfig:
    """The data of a sweep, test included."""
    return report.spec.default_config().dataset


def seconds(run: Run) -> float:
    """Trainer-seconds of a trained run."""
    return run.metrics["seconds"]
