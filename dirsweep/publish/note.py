"""The description of a sweep that the MLflow UI shows: what was asked, who leads, by how much, what holds.

Markdown. What comes from files of the user is escaped: it stays text, whatever it looks like.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dirsweep.ledger import TrialRecord
from dirsweep.markdown import escaped
from dirsweep.report import SweepReport
from dirsweep.report import verdict as verdicts
from dirsweep.report.leaderboard import TOP
from dirsweep.report.load import DEFAULT
from dirsweep.report.numbers import SHOTS, digits, headed, shown, written
from dirsweep.report.spent import in_words
from dirsweep.report.verdict import Verdict
from dirsweep.report.words import (
    ENDED,
    against,
    best_trade,
    decisive,
    optimistic,
    trials_counted,
    why_no_winner,
)
from dirsweep.tracking import MODE

LONGEST = 5800
"""Characters; MLflow keeps 8,000 of a run's tag, and the tracker shortens one past 6,000."""
QUESTION = 600


@dataclass(frozen=True)
class Links:
    """Addresses in the UI, which are those of the page itself up to the #.

    runs: run ids by key; "" is the parent run.
    model: name in the registry, "" if nothing is registered.
    """

    experiment: str
    runs: Mapping[str, str]
    model: str = ""

    def run(self, key: str) -> str:
        """A trial's name as a link to its run, if it has one."""
        if key not in self.runs:
            return escaped(key)
        return f"[{escaped(key)}]({self._page(key)}{MODE})"

    def file(self, name: str) -> str:
        """A file of the sweep as a link to the parent run's artifacts."""
        return f"[{escaped(name)}]({self._page('')}/artifacts/{name}{MODE})"

    def _page(self, key: str) -> str:
        return f"#/experiments/{self.experiment}/runs/{self.runs[key]}"


def note(report: SweepReport, judged: Verdict | None, files: Sequence[str], links: Links) -> str:
    """The description; `files` are the sweep's artifacts. Its last parts are left out if it is too long."""
    best = report.best
    question = " ".join(report.spec.question.split())
    parts = [f"**{escaped(question if len(question) <= QUESTION else f'{question[:QUESTION]} ...')}**"]
    if best is None:
        parts += [escaped(why_no_winner(report)), _counts(report)]
    else:
        parts += [_lead(best, judged, links), _table(report, best, links), _legend(report)]
        parts += [_sentences(report, best, judged), _counts(report)]
    listed = " · ".join(links.file(name) for name in files)
    model = f" · model [{escaped(links.model)}](#/models/{links.model}{MODE})" if links.model else ""
    end = f"Files: {listed}{model}" if listed else ""
    values = [_values(best)] if best is not None else []
    while values and sum(map(len, (*parts, *values, end))) > LONGEST:
        values.pop()
    while len(parts) > 3 and sum(map(len, (*parts, *values, end))) > LONGEST:
        parts.pop()
    return "\n\n".join(part for part in (*parts, *values, end) if part)


def _lead(best: TrialRecord, judged: Verdict | None, links: Links) -> str:
    """The two lines that the UI shows before it is asked for more."""
    if judged is None:
        return (
            f"**Trial {links.run(best.trial)} leads on val.** No verdict on test yet (`dirsweep finalize`)."
        )
    said = (
        "on test" if judged.current else f"the verdict is on {verdicts.label(judged.winner)}, which led then"
    )
    found = escaped(verdicts.primary_sentence(judged))
    return f"**Trial {links.run(best.trial)} leads on val; {said}:** {found}"


def _counts(report: SweepReport) -> str:
    saved = in_words(report.spent)
    return escaped(" ".join([trials_counted(report), *([f"{saved}."] if saved else [])]))


def _table(report: SweepReport, best: TrialRecord, links: Links) -> str:
    """The top trials and the controls, by error in each shot."""
    top = report.ranked[:TOP]
    controls = [*report.controls(best.trial), *report.controls(DEFAULT)]
    columns = [(metric, shot) for metric in report.spec.metrics for shot in SHOTS]
    named = [f"{headed(metric)} {shot}" for metric, shot in columns]
    shown = [trial for trial in (*top, *controls) if trial.state == "COMPLETE"]
    decimals = [digits(trial.metrics.get(_name(*column)) for trial in shown) for column in columns]
    lines = [
        [*(f"{head}&emsp;" for head in ("trial", *named)), "trainer-seconds"],  # the UI lets columns touch
        [":--", *("--:" for _ in columns), "--:"],
    ]
    for trial in (*top, *controls):
        said = " **best**" if trial is best else " pareto" if trial.trial in report.pareto else ""
        if trial.state == "COMPLETE":
            values = [trial.metrics.get(_name(*column)) for column in columns]
            numbers = [*map(written, values, decimals), written(trial.seconds or None, 1)]
        else:
            numbers = [ENDED[trial.state], *("" for _ in columns)]
        lines.append([f"{links.run(trial.trial)}{said}", *numbers])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _legend(report: SweepReport) -> str:
    goals = ", ".join(report.spec.objectives)
    return escaped(
        f"Errors on val, in {report.spec.label_unit}; minimised: {goals}. plain: without norm ordinality and "
        f"stage 2; mu0: stage 2 without its norm term; {DEFAULT}: the space's fixed part."
    )


def _sentences(report: SweepReport, best: TrialRecord, judged: Verdict | None) -> str:
    """Differences to the controls, and what else must be known to read them."""
    from dirsweep.search.importance import importance  # Optuna takes a while

    complete = [control for control in report.controls(best.trial) if control.state == "COMPLETE"]
    first = report.trials[best.trial]
    lines = [
        *(f"On test, against {line}" for line in (verdicts.sentences(judged) if judged else [])),
        *(f"On val: {against(first, control, report.spec.metrics[0])}" for control in complete),
        optimistic(report),
        *best_trade(report),
        *decisive(importance(report.spec, report.trials)),
    ]
    return "\n".join(f"- {escaped(line)}" for line in lines)


def _values(best: TrialRecord) -> str:
    """The winner's searched values."""
    lines = [f"| {escaped(name)} | {escaped(shown(value))} |" for name, value in best.params.items()]
    return "\n".join([f"| knob&emsp; | trial {best.trial} |", "| :-- | :-- |", *lines])


def _name(metric: str, shot: str) -> str:
    return f"val/{shot}/{metric}"
