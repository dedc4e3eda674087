"""Search every method of a recipe on val, then the stage 2 on top of it: what the table's rows are."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dirsweep.config import TrialConfig
from dirsweep.finalize import tuned
from dirsweep.finalize.plan import Comparison, Row
from dirsweep.report import load
from dirsweep.reproduce import recipe as recipes
from dirsweep.reproduce.recipe import TWO_STAGE, Recipe, Scale
from dirsweep.search.model import SweepSpec
from dirsweep.search.spec import check_data
from dirsweep.storage import Folder
from dirsweep.sweep import Resources
from dirsweep.sweep.progress import Progress

SWEEPS = "sweeps"
SHOTS = ("all", "few")
"""Where rows are compared with one another."""


@dataclass(frozen=True)
class Line:
    """A row of the table, and what its search took.

    method: key of the base method, or "two_stage".
    stage2: "" for the method by itself, "stage2" for what follows it, "mu0" for that without its norm term.
    trials, seconds: of the searches that chose it, with those that it builds on; seconds of training.
    """

    row: Row
    method: str
    stage2: str
    trials: int
    seconds: float


@dataclass(frozen=True)
class Table:
    """All lines, and which of them are compared.

    left_out: why a method is not there, a sentence each.
    """

    lines: tuple[Line, ...]
    left_out: tuple[str, ...]

    @property
    def rows(self) -> list[Row]:
        """The configurations, each once."""
        return list({line.row.hash: line.row for line in self.lines}.values())

    @property
    def roles(self) -> Sequence[tuple[str, Sequence[Row]]]:
        """What the rows are for, as the opening of test records it."""
        return (("row", self.rows),)

    @property
    def metrics(self) -> tuple[str, str]:
        """What the field's tables show of the data; rows are compared by the first."""
        return self.lines[0].row.config.dataset.metrics

    def line(self, method: str, stage2: str) -> Line | None:
        """The line of a method, if it is there."""
        return next((one for one in self.lines if (one.method, one.stage2) == (method, stage2)), None)

    @property
    def pairs(self) -> list[tuple[Line, Line]]:
        """Each stage 2 against its method and against itself without the norm term; the two-stage method
        against every method by itself."""
        found = []
        for ours in self.lines:
            if ours.stage2 != "stage2":
                continue
            base = [one for one in self.lines if one.stage2 == "" and one.method == ours.method]
            bases = [one for one in self.lines if one.stage2 == ""] if ours.method == TWO_STAGE else base
            same = [one for one in self.lines if one.stage2 == "mu0" and one.method == ours.method]
            found += [(ours, theirs) for theirs in (*bases, *same) if theirs.row.hash != ours.row.hash]
        return found

    @property
    def comparisons(self) -> list[Comparison]:
        """The pairs, over all labels and in few."""
        return [Comparison(ours.row, theirs.row, shot) for ours, theirs in self.pairs for shot in SHOTS]

    @property
    def primary(self) -> Comparison:
        """The two-stage method against the plain model, in few."""
        ours, theirs = self.line(TWO_STAGE, "stage2"), self.line("vanilla", "")
        assert ours is not None, "there is no table without it"
        assert theirs is not None, "there is no table without it"
        return Comparison(ours.row, theirs.row, "few")


def table(
    recipe: Recipe, scale: Scale, folder: Folder, resources: Resources, told: Callable[[str], None]
) -> Table:
    """Run the searches that are not done yet, inside a Ray session, and choose the rows.

    Raises:
        ValueError: the data do not fit, or no trial of the plain model or the two-stage method is complete.
        KeyboardInterrupt: a search was stopped; the same call goes on.
    """
    place = folder / SWEEPS
    lines: list[Line] = []
    left_out = []
    for key, method in recipe.methods.items():
        spec = recipes.alone(recipe, scale, key)
        best = _searched(spec, place / key, resources, told)
        if isinstance(best, str) and key == "vanilla":
            raise ValueError(f"{place / key}: nothing to compare with: {best}")
        if isinstance(best, str):
            left_out.append(f"{method.title} is left out: {best}.")
            continue
        spent = _seconds(place / key)
        lines.append(Line(Row(key, best, method.title), key, "", scale.trials, spent))
        after = recipes.followed(recipe, scale, key, best)
        best = _searched(after, place / f"{key}-stage2", resources, told)
        if isinstance(best, str):
            left_out.append(f"{method.title} with stage 2 is left out: {best}.")
            continue
        spent += _seconds(place / f"{key}-stage2")
        lines += _with_stage2(key, method.title, best, 2 * scale.trials, spent)
    spec = recipes.two_stage(recipe, scale)
    best = _searched(spec, place / TWO_STAGE, resources, told)
    if isinstance(best, str):
        raise ValueError(f"{place / TWO_STAGE}: nothing to compare: {best}")
    lines += _with_stage2(TWO_STAGE, "norm ordinality", best, 2 * scale.trials, _seconds(place / TWO_STAGE))
    return Table(tuple(lines), tuple(left_out))


def _with_stage2(key: str, title: str, best: TrialConfig, trials: int, seconds: float) -> Iterator[Line]:
    """The two lines of a stage 2: with its norm term, and without."""
    name = key if key == TWO_STAGE else f"{key}+stage2"
    both = Row(name, best, f"{title}, then stage 2")
    control = Row(f"{name}-mu0", best.without_norm_term(), f"{title}, then stage 2 without its norm term")
    yield Line(both, key, "stage2", trials, seconds)
    yield Line(control, key, "mu0", trials, seconds)


def _searched(
    spec: SweepSpec, folder: Folder, resources: Resources, told: Callable[[str], None]
) -> TrialConfig | str:
    """The best configuration of a search that is run to its end; why there is none."""
    if not tuned.ended(spec, folder):
        check_data(spec)

        def on_change(progress: Progress) -> None:
            if " failed" in progress.message:
                told(f"{folder.name}: {progress.message}")

        told(f"{folder.name}: {spec.budget.trials} trials on val")
        tuned.search(spec, folder, resources, on_change)
    return tuned.best(spec, folder)


def _seconds(folder: Folder) -> float:
    return load(folder).spent.trainer_seconds
