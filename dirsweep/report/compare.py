"""Several sweeps beside one another: winners and controls on val, and on test where it was opened.

Only sweeps on the same data stand in one table. The data's hash covers rows, bins, shots and split: where
any of them differs, so do the samples behind a figure, and a smaller number means nothing. A published figure
is of test, so it stands beside our test figures alone, never beside val.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dirsweep.config.dataset import Faces
from dirsweep.config.method import method_key
from dirsweep.ledger import Ledger, TrialRecord
from dirsweep.published import TEST, TITLES, Published, adds_up, every
from dirsweep.report.load import DEFAULT, SweepReport
from dirsweep.report.numbers import SHOTS, written
from dirsweep.report.verdict import Verdict, label, primary_sentence, read, sentences
from dirsweep.report.words import CORRELATION, ENDED, is_repeated, measured, shell_path, why_no_winner
from dirsweep.sweep.controls import record_config

PERCENT = {"pearson"}
"""Metrics that are published in percent."""


@dataclass(frozen=True)
class Entry:
    """One sweep of a comparison."""

    name: str
    report: SweepReport
    verdict: Verdict | None

    @property
    def method(self) -> str:
        """That of the winner, in a word; "" without one."""
        return "" if self.report.best is None else self.method_of(self.report.best)

    def method_of(self, trial: TrialRecord) -> str:
        """That of a trial or control, in a word."""
        return method_key(record_config(self.report.spec, trial))

    @property
    def shown(self) -> list[TrialRecord]:
        """The winner, its controls and the default's, as far as they are complete.

        A winner that ran with several seeds is there twice: by its mean and, as its controls, by its first.
        """
        best = self.report.best
        if best is None:
            own = []
        else:
            first = self.report.trials[best.trial]
            means = [best] if is_repeated(self.report, best) else []
            own = [*means, first, *self.report.controls(best.trial)]
        return [one for one in (*own, *self.report.controls(DEFAULT)) if one.state == "COMPLETE"]

    @property
    def missing(self) -> str:
        """The controls that failed or are open, by name; "" where none did."""
        best = self.report.best
        own = [] if best is None else self.report.controls(best.trial)
        names = [
            f"{one.trial} ({ENDED[one.state]})"
            for one in (*own, *self.report.controls(DEFAULT))
            if one.state != "COMPLETE"
        ]
        return f"without a result: {', '.join(names)}." if names else ""

    def role(self, trial: TrialRecord) -> str:
        """What one of `shown` is: "winner", "winner, 3 seeds", "winner, first seed" or "control"."""
        best = self.report.best
        if best is None or trial.trial != best.trial:
            return "control"
        if not is_repeated(self.report, best):
            return "winner"
        count = len(self.report.seeds(best))
        return f"winner, {count} seeds" if trial is best else "winner, first seed"


@dataclass(frozen=True)
class Comparable:
    """Sweeps on the same rows, bins, shots and split.

    data: the data's hash.
    dataset: its name.
    """

    data: str
    dataset: str
    entries: tuple[Entry, ...]

    @property
    def metrics(self) -> tuple[str, str]:
        """What the field's tables show of the data."""
        return self.entries[0].report.spec.metrics

    @property
    def label_unit(self) -> str:
        """In what labels and errors are measured."""
        return self.entries[0].report.spec.label_unit

    @property
    def published(self) -> list[Published]:
        """The published rows of a benchmark, in these metrics; none of other data or of other shots."""
        rows = every(self.dataset) if self.dataset in TITLES and not self.unlike else []
        return [row for row in rows if row.metric in self.metrics]

    @property
    def unlike(self) -> str:
        """Why a benchmark's published figures are of other samples than ours; "" where nothing says so.

        How many test samples a shot has is known once a verdict has opened test, and not before; a folder of
        one's own may then hold another split, so that nothing is shown beside it.
        """
        config = self.entries[0].report.spec.default_config().dataset
        if self.dataset not in TITLES:
            return ""
        if getattr(config, "shots", "published") != "published":
            return "the sweeps cut their shots by the rule, published figures are of the benchmark's list"
        known, sizes = TEST.get(self.dataset), self._test_sizes()
        if known is None or sizes:
            wrong = [
                f"{shot} has {count:,} test samples, the benchmark's {known[shot]:,}"
                for shot, count in sizes.items()
                if known is not None and count != known[shot]
            ]
            return ", ".join(wrong)
        if isinstance(config, Faces) and config.path is not None:
            return "the data are a folder of one's own, and test is not opened to count its shots"
        return ""

    def _test_sizes(self) -> dict[str, int]:
        """Test samples of each shot by the verdicts; what no comparison tells of is not there."""
        return {
            one.shot: one.samples
            for entry in self.entries
            if entry.verdict is not None
            for one in entry.verdict.compared
            if one.shot != "all"
        }

    @property
    def title(self) -> str:
        """The data in a few words."""
        return f"{TITLES.get(self.dataset, self.dataset)} (data {self.data[:12]})"


@dataclass(frozen=True)
class Tested:
    """A configuration's figures on test, by metric and shot as they are written.

    name: whose; source: "ours, N seeds", or where it was published.
    """

    name: str
    source: str
    written: dict[tuple[str, str], str]
    values: dict[tuple[str, str], float]
    adds_up: str = ""


def comparable(reports: Sequence[SweepReport]) -> list[Comparable]:
    """The sweeps in groups that may stand in one table, in the order given.

    Raises:
        ValueError: a sweep is there twice, or a file of one is damaged.
    """
    found: dict[str, list[Entry]] = {}
    names = [report.folder.absolute() for report in reports]
    for report, place in zip(reports, names, strict=True):
        if names.count(place) > 1:
            raise ValueError(f"{report.folder}: the sweep is there twice; name each once")
        twice = sum(other.name == place.name for other in names) > 1
        entry = Entry(str(report.folder) if twice else place.name, report, read(report))
        data = Ledger.open(report.folder).opening.get("data", "")
        found.setdefault(data, []).append(entry)
    return [
        Comparable(data, entries[0].report.spec.default_config().dataset.name, tuple(entries))
        for data, entries in found.items()
    ]


def apart(groups: Sequence[Comparable]) -> str:
    """Why sweeps stand in several tables; "" for one."""
    if len(groups) < 2:
        return ""
    return (
        f"{len(groups)} tables: these sweeps ran on different data, bins, shots or splits, so their errors "
        "are of different samples and cannot be held against one another."
    )


def tested(group: Comparable) -> list[Tested]:
    """Every configuration that a verdict judged, then every published row with all its metrics."""
    found = []
    for entry in group.entries:
        if entry.verdict is None:
            continue
        for name in dict.fromkeys(one.name for one in entry.verdict.errors):
            own = [one for one in entry.verdict.errors if one.name == name]
            values = {}
            for one in own:
                for metric, value in zip(group.metrics, (one.value, one.second), strict=True):
                    values[metric, one.shot] = value * (100 if metric in PERCENT else 1)
            texts = {key: written(value) for key, value in values.items()}
            found.append(
                Tested(f"{entry.name}: {label(name)}", f"ours, {entry.verdict.seeds} seeds", texts, values)
            )
    return [*found, *_of_others(group)]


def _of_others(group: Comparable) -> list[Tested]:
    rows: dict[tuple[str, str], list[Published]] = {}
    for row in group.published:
        source = f"{row.source} ({row.recipe})" + ("" if row.evidence == "primary" else f" [{row.evidence}]")
        rows.setdefault((row.method, source), []).append(row)
    return [
        Tested(
            method.replace("_", "-"),
            source,
            {(one.metric, shot): one.written[shot] for one in ones for shot in SHOTS},
            {(one.metric, shot): one.values[shot] for one in ones for shot in SHOTS},
            next((adds_up(group.dataset, one) for one in ones if one.metric == group.metrics[0]), "-"),
        )
        for (method, source), ones in rows.items()
    ]


def verdict_lines(entry: Entry) -> list[str]:
    """What was decided on a sweep, or that nothing was, and which controls have no result."""
    return [*_decided(entry), *filter(None, [entry.missing])]


def _decided(entry: Entry) -> list[str]:
    command = f"`dirsweep finalize {shell_path(entry.report.folder)}` makes one"
    if entry.report.best is None:
        return [why_no_winner(entry.report)]
    if entry.verdict is None:
        return [f"no verdict, so val figures decide nothing; {command}."]
    stale = (
        "" if entry.verdict.current else f"on {label(entry.verdict.winner)}, which led then; {command} anew. "
    )
    return [
        stale + primary_sentence(entry.verdict),
        *(f"against {line}" for line in sentences(entry.verdict)),
    ]


def val_note(group: Comparable) -> str:
    """What the first table of a group shows."""
    bests = [(entry.report, entry.report.best) for entry in group.entries]
    seeds = (
        " A winner with several seeds is there by its mean and by its first seed; its controls ran with one, "
        "so hold them against the first."
        if any(best is not None and is_repeated(report, best) for report, best in bests)
        else ""
    )
    return (
        f"Errors on val, {measured(group.metrics, group.label_unit)} A winner is the best of its "
        f"sweep's trials, so its figure is optimistic, the more so the more trials there were.{seeds}"
    )


def left_out(group: Comparable) -> str:
    """Why no published figure stands on the page; "" where some do, or none are known."""
    return f"Published figures are left out: {group.unlike}." if group.unlike else ""


def test_note(group: Comparable) -> str:
    """What the second table of a group shows."""
    percent = f" {CORRELATION} In percent here." if "pearson" in group.metrics else ""
    beside = (
        " Published rows are of test too, of other code and other searches; [secondary] was read in another "
        "paper, [recalled] was not checked. adds up: whether the shots give the error over all labels."
        if group.published
        else ""
    )
    ours = (
        "ours are means over fresh seeds, from `dirsweep finalize`."
        if any(entry.verdict for entry in group.entries)
        else "no sweep here has opened test (`dirsweep finalize` does), so ours are missing; the val figures "
        "above are of other samples."
    )
    missing = f" {left_out(group)}" if group.unlike else ""
    return f"Errors on test: {ours}{beside}{percent}{missing}"
