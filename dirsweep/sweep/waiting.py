"""Trials that wait for a worker, and which of them is next.

Two trials with the same stage 1 train it once: the second is held back until the first has passed it,
so that no worker (and no GPU) waits for another.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping

from dirsweep.config import TrialConfig


class Waiting:
    """The queue of one driver; `config` gives a trial's configuration by its key, or a ValueError."""

    def __init__(self, config: Callable[[str], TrialConfig]) -> None:
        self._config = config
        self._keys: deque[str] = deque()
        self._stage1s: dict[str, tuple[str, int]] = {}

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

    def pick(self, running: Mapping[str, int]) -> str | None:
        """Take out the next trial whose stage 1 no other is training; None if there is none.

        Of several, one whose stage 1 most of those that wait want; else the one that came first.

        Args:
            running: the trials that workers have, with the epochs that are done.
        """
        busy = {
            stage1 for key, done in running.items() for stage1, epochs in [self._stage1(key)] if done < epochs
        }
        wanted = Counter(self._stage1(key)[0] for key in self._keys)
        free = [key for key in self._keys if self._stage1(key)[0] not in busy]
        if not free:
            return None
        chosen = max(free, key=lambda key: wanted[self._stage1(key)[0]])
        self._keys.remove(chosen)
        return chosen

    def _stage1(self, key: str) -> tuple[str, int]:
        """What two trials have in common if they share their stage 1, and its epochs.

        A trial that has no configuration shares nothing; it is told so when it is handed out.
        """
        if key not in self._stage1s:
            try:
                config = self._config(key)
                shared = config.model_dump_json(exclude={"stage2"})
                self._stage1s[key] = (shared, config.stage1.total_epochs)
            except ValueError:
                self._stage1s[key] = (key, 0)
        return self._stage1s[key]
