"""Write to a tracking store at once, and say what is wrong with it: for `sync`, and for the end of a sweep.

Calls on one run that follow each other are delivered together, when the calls turn to another run.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from dirsweep.storage import File
from dirsweep.tracking import store, view
from dirsweep.tracking.calls import Calls
from dirsweep.tracking.owed import PARENT, Owed
from dirsweep.tracking.runs import Runs, Sweep


class Writer(Calls):
    """The way of one sweep to a store; use it in a `with` block, at whose end the last run is delivered.

    Args:
        uri: the store, as `store.check` accepts it.
        sweep: which sweep it is; found there by its identity, or made.
        known: run ids by trial key, from the ledger, where this is the sweep's own store; else none.

    Raises ValueError, here and in each call, if the store cannot be reached or refuses; here also
    `store.Moved`.
    """

    def __init__(self, uri: str, sweep: Sweep, known: dict[str, str]) -> None:
        self._uri, self._gone = uri, list[File]()
        self._key, self._owed = PARENT, Owed(0)
        with store.explained(uri):
            self._runs = Runs(uri, sweep, known, lambda key, run: None)
            self._runs.check_place()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.flush()

    @property
    def experiment(self) -> str:
        """Id of the sweep's experiment; "" before the parent run is there."""
        return self._runs.experiment

    @property
    def title(self) -> str:
        """Name of the sweep's experiment; that of the sweep, unless another has it in this store."""
        with store.explained(self._uri):
            return str(self._runs.client.get_experiment(self.experiment).name)

    @property
    def ids(self) -> dict[str, str]:
        """Run ids by key, of the runs that the store has; "" is the parent run."""
        return {key: run.id for key, run in self._runs.runs.items()}

    def describe(self, text: str) -> None:
        """Set the description, Markdown, of the parent run and of the experiment."""
        self._say(PARENT, 0.0, tags={store.NOTE: text})
        self.flush()
        with store.explained(self._uri):
            self._runs.client.set_experiment_tag(self.experiment, store.NOTE, text)

    def arrange(self, metrics: Sequence[str], params: Sequence[str]) -> None:
        """Let the UI show the runs by the first of `metrics`, with a column for each name."""
        with store.explained(self._uri):
            self._runs.client.set_experiment_tag(self.experiment, view.TAG, view.leaderboard(metrics, params))

    def flush(self) -> None:
        """Deliver what was said of the last run."""
        if self._owed.items:
            owed, self._owed = self._owed, Owed(0)
            with store.explained(self._uri):
                self._gone += self._runs.deliver(self._key, owed)

    @property
    def lacking(self) -> list[str]:
        """A sentence on files that could not be delivered, for they are not where they should be; or none."""
        further = f", and {len(self._gone) - 1} more" if len(self._gone) > 1 else ""
        return [f"{self._gone[0]}: the file is gone{further}"] if self._gone else []

    def _add(self, key: str, owed: Owed) -> None:
        if key == self._key and self._owed.items:
            self._owed.add(owed)
        else:
            self.flush()
            self._key, self._owed = key, owed
