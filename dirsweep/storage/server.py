"""Ask an S3-compatible server by boto3, and wait for it while it is down.

A server that answered this process before is asked again for minutes, so that no sweep and no trial ends for
a server that is started anew. One that never answered is an error within seconds: its address may be wrong.
"""

import logging
import os
import re
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

OUTAGE = 300.0
"""Seconds for which a server that answered before, and now does not, is asked again."""
AGAIN = 1.0
"""Seconds between two rounds, each of several tries by boto3."""
CONNECTIONS = 32
"""Requests of one process at the same time."""
ABSENT = ("404", "NoSuchKey")
TAKEN = ("412", "PreconditionFailed")
AT_THE_SAME_TIME = ("409", "ConditionalRequestConflict")


def ask(place: str, call: Callable[[Any], Answer]) -> Answer:
    """What `call` gets from boto3's client, once the server answers.

    Raises OSError, with the place and what boto3 said: ConnectionError where the server stays away, and what
    a disk would raise: FileNotFoundError, FileExistsError; BlockingIOError while another call writes the
    object. ValueError without boto3.
    """
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise ValueError("an s3:// address needs boto3: pip install 'dirsweep[s3]'") from None

    server, began, waits = _whose(), time.monotonic(), False
    while True:
        try:
            answer = call(_client(*server))
        except (ClientError, BotoCoreError, Boto3Error) as error:
            if not _is_down(error):
                raise _explained(place, error) from None
            raised = ConnectionError(f"{place}: {_said(error)}")
            if server not in _reached or time.monotonic() - began > OUTAGE:
                _reached.discard(server)  # who asks next need not wait as long again
                raise raised from None
        else:
            _reached.add(server)
            return answer
        if not waits:
            log.warning("%s; it is asked again for %.0f s", raised, OUTAGE)
            waits = True
        time.sleep(AGAIN)


_reached: set[tuple[int, str]] = set()
"""Servers that answered this process."""


def _is_down(error: Exception) -> bool:
    """Whether a server may answer later: it was not reached, broke off, or has trouble of its own."""
    from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
    from botocore.exceptions import ConnectionError as NotConnected

    if isinstance(error, ClientError):
        return bool(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500)
    return isinstance(error, NotConnected | HTTPClientError | IncompleteReadError)


def _explained(place: str, error: Exception) -> OSError:
    """What a disk would raise."""
    from botocore.exceptions import ClientError

    code = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else ""
    if code in ABSENT:
        return FileNotFoundError(f"{place}: no such object")
    if code in TAKEN:
        return FileExistsError(f"{place}: is there already")
    if code in AT_THE_SAME_TIME:
        return BlockingIOError(f"{place}: another call writes it")
    return OSError(f"{place}: {_said(error)}")


def _said(error: Exception) -> str:
    """What the server or boto3 said, without a user or a password that an address may hold."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        found = error.response["Error"]
        return f"{found.get('Code', '')}: {found.get('Message', '')}"
    return re.sub(r"//[^/@\s]*@", "//", str(error).rstrip("."))


def _whose() -> tuple[int, str]:
    """What a client is for: this process, for a forked one makes its own, and where the server is."""
    environment = os.environ.get
    return os.getpid(), environment("AWS_ENDPOINT_URL_S3") or environment("AWS_ENDPOINT_URL") or ""


@cache
def _client(process: int, endpoint: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 5},
            max_pool_connections=CONNECTIONS,
            # a server of one's own has seldom a name for each bucket, nor AWS's newest checksums
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
