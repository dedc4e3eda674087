"""Trials that wait for a worker, and which of them is next.

Two trials with the same stage 1 train it once: the second is held back until the first has passed it,
so that no worker (and no GPU) waits for another.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable

from dirsweep.config import TrialConfig


class Waiting:
    """The queue of one driver; `config` gives a trial's configuration by its key, or a ValueError."""

    def __init__(self, config: Callable[[str], TrialConfig]) -> None:
        self._config = config
        self._keys: deque[str] = deque()
        self._stage1s: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def append(self, key: str) -> None:
        """Let a trial wait behind the others."""
        self._keys.append(key)

    def appendleft(self, key: str) -> None:
        """Let a trial wait before the others."""
        self._keys.appendleft(key)

    def pick(self, in_stage1: Iterable[str]) -> str | None:
        """Take out the next trial whose stage 1 none of those `in_stage1` is training; None if there is none.

        Of several, one whose stage 1 most of those that wait want; else the one that came first.
        """
        busy = {self._stage1(key) for key in in_stage1}
        wanted = Counter(self._stage1(key) for key in self._keys)
        free = [key for key in self._keys if self._stage1(key) not in busy]
        if not free:
            return None
        chosen = max(free, key=lambda key: wanted[self._stage1(key)])
        self._keys.remove(chosen)
        return chosen

    def _stage1(self, key: str) -> str:
        """What two trials have in common if they share their stage 1; each its own if it cannot be told."""
        if key not in self._stage1s:
            try:
                self._stage1s[key] = self._config(key).model_dump_json(exclude={"stage2"})
            except ValueError:  # told when it is handed out
                self._stage1s[key] = key
        return self._stage1s[key]
