"""Which trials hang: those of which no sign of life has come for too long.

Signs are a trial's reports and, between them, what its training steps say (`trainable.poll`). Time counts as
long as the driver works itself: while it is held up, or the machine sleeps, it hears no trial.
"""

import math
import time

SIGNS = 4
"""How often a trial says that it lives in the time after which it would be taken to hang."""
FIRST_SIGN = 300.0
"""Seconds that a worker has in any case for its first: it may have to import PyTorch from a slow disk."""
AT_ONCE = 1.0
"""Seconds at most that count between two looks: more is time in which the driver was held up."""


class Silence:
    """How long each running trial has been silent."""

    def __init__(self, minutes: float | None) -> None:
        """None: no trial hangs, however silent it is."""
        self._minutes = minutes
        self._patience = math.inf if minutes is None else 60 * minutes
        self._awake, self._looked = 0.0, time.monotonic()
        self._heard: dict[str, float] = {}

    @property
    def alive_every(self) -> float | None:
        """Seconds after which a trial is to say that it lives; None if it need not."""
        return None if self._minutes is None else self._patience / SIGNS

    @property
    def running(self) -> list[str]:
        """Trials that a worker has."""
        return list(self._heard)

    def began(self, key: str) -> None:
        """A worker has taken up the trial."""
        self._heard[key] = self._awake + max(0.0, FIRST_SIGN - self._patience)

    def heard(self, key: str) -> None:
        """The trial gave a sign of life."""
        if key in self._heard:
            self._heard[key] = self._awake

    def ended(self, key: str) -> None:
        """No worker has the trial any more."""
        self._heard.pop(key, None)

    def look(self) -> None:
        """Count the time since the last look."""
        now = time.monotonic()
        self._awake += min(now - self._looked, AT_ONCE)
        self._looked = now

    def hangs(self, key: str) -> bool:
        """Whether the trial's worker has been silent for so long that it is to be ended."""
        return self._awake - self._heard.get(key, math.inf) > self._patience

    def reason(self, key: str) -> str:
        """Why a worker that was ended for its silence was; "" for any other."""
        if not self.hangs(key):
            return ""
        return f"it hung: no sign of life for {self._minutes:g} minutes (budget.silent_minutes)"
