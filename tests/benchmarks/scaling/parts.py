"""What each part of a driver costs in CPU, each part without those that it calls.

The functions of a part are wrapped where they are. The clock is that of the thread, so neither another thread
nor another process counts, whatever else the machine does.
"""

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any


class Parts:
    """CPU seconds and calls by part, since the wrapping."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._here = threading.local()

    def wrap(self, part: str, owner: Any, *names: str) -> None:
        """Count what the functions of these names, of a class or a module, take as time of `part`."""
        for name in names:
            setattr(owner, name, self._timed(part, getattr(owner, name)))

    def _timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def timed(*arguments: Any, **named: Any) -> Any:
            self._turn(part)
            try:
                return call(*arguments, **named)
            finally:
                self._turn(None)

        return timed

    def _turn(self, part: str | None) -> None:
        """Give the part whose turn it was its time; the turn goes to `part`, or back to who called it."""
        here = self._here.__dict__
        stack, now = here.setdefault("stack", []), time.thread_time()
        if stack:
            self.seconds[stack[-1]] += now - here["since"]
        if part is not None:
            stack.append(part)
        else:
            self.calls[stack.pop()] += 1
        here["since"] = time.thread_time()
