"""Who holds a lock."""

import os
import socket
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: its process, machine and start (unix seconds)."""

    pid: int
    host: str
    since: float

    def __str__(self) -> str:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host}, since {started}"


def this_process() -> Holder:
    """This process, from now on."""
    return Holder(os.getpid(), socket.gethostname(), time.time())
