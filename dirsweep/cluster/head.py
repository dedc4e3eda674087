"""The head of a running Ray cluster, through its dashboard's Jobs API.

Token authentication is always on, and a head without it is refused: whoever reaches its dashboard may run
what they like there. The token is Ray's to find (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token);
it is neither read nor shown here. Each request has a time limit.
"""

import asyncio
import logging
import os
import platform
import shlex
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from dirsweep.cluster.job import Job
from dirsweep.cluster.package import Package
from dirsweep.storage import Folder
from dirsweep.sweep import token
from dirsweep.sweep.session import room

TIMEOUT = 10.0  # seconds for one request
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


@dataclass(frozen=True)
class Machines:
    """What a cluster has.

    nodes: "CPU" and "GPU" of each node that is there.
    """

    ray: str
    python: str
    nodes: list[dict[str, float]]

    @property
    def told(self) -> str:
        """For a reader: "2 nodes: 8 CPUs, 0 GPUs; 8 CPUs, 0 GPUs"."""
        each = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in self.nodes)
        return f"{len(self.nodes)} {'node' if len(self.nodes) == 1 else 'nodes'}: {each}"


@dataclass(frozen=True)
class Entry:
    """One job as the head lists it: unix seconds, None where it has not begun or ended; its exit code too."""

    id: str
    status: str
    message: str
    began: float | None
    ended: float | None
    code: int | None


class Head:
    """A connection to the head at `address`.

    option: what further commands need on their line to find the same head: " --address URL", or nothing where
        the environment names it.
    """

    def __init__(self, address: str | None) -> None:
        """Connect.

        Raises:
            ValueError: no address, no token, no answer, a wrong token, or a head that asks for none.
        """
        self.address = _address(address)
        self.option = f" --address {shlex.quote(address)}" if address else ""
        _check_token()
        os.environ["RAY_AUTH_MODE"] = "token"  # before Ray is imported, which reads it then
        with self._explained(), _no_other_address(self.address):
            self._client = _client(self.address)
            mode = self._get("/api/authentication_mode").get("authentication_mode")
        if mode != "token":
            raise ValueError(
                f"{self.address}: this head takes commands from anyone who reaches it (its authentication is "
                f"{mode}); start Ray there with RAY_AUTH_MODE=token"
            )

    def machines(self) -> Machines:
        """What the cluster has. ValueError if the head does not answer."""
        with self._explained():
            facts = self._get("/api/v0/cluster_metadata")["data"]
            nodes = self._get("/api/v0/nodes?detail=1&limit=10000")["data"]["result"]["result"]
        alive = [node["resources_total"] for node in nodes if node["state"] == "ALIVE"]
        return Machines(facts["rayVersion"], facts["pythonVersion"], alive)

    def check(self, job: Job) -> Machines:
        """See that the cluster runs the same Ray and Python and has room for the job; what it has.

        Raises:
            ValueError: it is not so, with what the cluster has.
        """
        if not Folder(job.storage).is_absolute and urlsplit(self.address).hostname not in LOOPBACK:
            raise ValueError(
                f"'storage' is {job.storage!r}, below the folder where you are, but {self.address} is "
                "another machine; give an absolute path that its nodes see"
            )
        found = self.machines()
        for name, there, here in (
            ("Ray", found.ray, version("ray")),
            ("Python", found.python.rpartition(".")[0], platform.python_version().rpartition(".")[0]),
        ):
            if there != here:
                raise ValueError(
                    f"{self.address}: the cluster runs {name} {there}, and here is {name} {here}; a job "
                    "needs the same on both sides"
                )
        wanted = job.resources
        try:
            held = room(found.nodes, wanted.per_trial)
        except ValueError as error:
            raise ValueError(f"{self.address}: {error} (the cluster has {found.told})") from None
        if held < wanted.at_once:
            raise ValueError(
                f"{self.address}: the job asks for {wanted.at_once} trials at once, but the cluster has "
                f"room for {held} ({found.told}); ask for fewer workers or nodes, or for less per trial"
            )
        return found

    def submit(self, job: Job, package: Package, job_id: str) -> None:
        """Send the package and start the job."""
        with self._explained():
            self._client.submit_job(
                entrypoint="sh job.sh",
                runtime_env=package.runtime_env,
                submission_id=job_id,
                metadata={"sweep": job.name},
            )

    def jobs(self) -> list[Entry]:
        """All submitted jobs, the latest last."""
        with self._explained():
            found = [job for job in self._client.list_jobs() if job.submission_id]
        return sorted((_entry(job) for job in found), key=lambda entry: entry.began or 0.0)

    def job(self, job_id: str) -> Entry:
        """One job. ValueError if there is none of that id."""
        with self._explained(job_id):
            return _entry(self._client.get_job_info(job_id))

    def logs(self, job_id: str) -> str:
        """What a job has printed so far. ValueError if there is none of that id."""
        with self._explained(job_id):
            return str(self._client.get_job_logs(job_id))

    def stop(self, job_id: str) -> Literal["running", "waiting", "ended"]:
        """Ask a job to end; what it was doing. ValueError if there is none of that id."""
        waiting = self.job(job_id).status == "PENDING"
        with self._explained(job_id):
            stops = self._client.stop_job(job_id)
        return "ended" if not stops else "waiting" if waiting else "running"

    def follow(self, job_id: str, show: Callable[[str], object], until: str | None = None) -> Entry:
        """Hand on what a job prints until it ends, or a line begins with `until`; gives the job then."""
        shown = ""

        async def read() -> bool:
            nonlocal shown
            told = 0  # a log is told from its beginning
            tail: AsyncIterator[str] = self._client.tail_job_logs(job_id)
            async for text in tail:
                told += len(text)
                if new := text[len(text) - max(0, told - len(shown)) :]:
                    show(new)
                    shown += new
                if until is not None and any(line.startswith(until) for line in shown.splitlines()):
                    return True
            return False

        while True:
            with self._explained(job_id):
                found = asyncio.run(read())
            entry = self.job(job_id)
            if found or entry.status in ENDED:
                return entry
            time.sleep(1.0)  # the connection ended before the job

    def _get(self, endpoint: str) -> dict[str, Any]:
        response = self._client._do_request("GET", endpoint)
        response.raise_for_status()
        return dict(response.json())

    @contextmanager
    def _explained(self, job_id: str | None = None) -> Iterator[None]:
        """Turn what Ray raises into a ValueError that names the head."""
        import aiohttp
        import requests
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError:
            raise ValueError(
                f"{self.address}: the head refuses the token from {token.source()}; it must be the one "
                "that Ray was started with there"
            ) from None
        except (ConnectionError, requests.exceptions.RequestException, aiohttp.ClientError) as error:
            kind = (
                f"no answer within {TIMEOUT:g} s"
                if isinstance(error, requests.exceptions.Timeout)
                else "no connection"
            )
            raise ValueError(
                f"{self.address}: no Ray head answers there ({kind}); is it up, and can its dashboard be "
                "reached from here?"
            ) from None
        except RuntimeError as error:
            if job_id is not None and "status code 404" in str(error):
                raise ValueError(
                    f"{self.address}: there is no job {job_id}; `dirsweep jobs list{self.option}` shows "
                    "those there are"
                ) from None
            raise ValueError(f"{self.address}: {error}") from None


def _address(given: str | None) -> str:
    address = given or next((os.environ[name] for name in ADDRESSES if os.environ.get(name)), None)
    if address is None:
        raise ValueError(
            "which cluster? Give --address URL or set RAY_ADDRESS, the address of the head's dashboard: "
            "http://127.0.0.1:8265"
        )
    if not address.startswith(("http://", "https://")):
        raise ValueError(f"{address}: give the address of the head's dashboard, like http://127.0.0.1:8265")
    return address.rstrip("/")


def _check_token() -> None:
    path = os.environ.get(token.FILE)
    if not os.environ.get(token.TOKEN) and path and not Path(path).is_file():
        raise ValueError(f"{token.FILE}: there is no file {path}")
    if not token.source():
        raise ValueError(
            "no token for the cluster: set RAY_AUTH_TOKEN_PATH to a file that holds it (or "
            "RAY_AUTH_TOKEN, or put it in ~/.ray/auth_token); it is the one that Ray was started with there"
        )
    token.check_private()


@contextmanager
def _no_other_address(address: str) -> Iterator[None]:
    """Ray prefers its variables to the address that it is given."""
    before = os.environ.get(ADDRESSES[0])
    os.environ[ADDRESSES[0]] = address
    try:
        yield
    finally:
        del os.environ[ADDRESSES[0]]
        if before is not None:
            os.environ[ADDRESSES[0]] = before


def _client(address: str) -> Any:
    """Ray's client, whose requests end in time."""
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.ERROR)
    for name in ("dashboard_sdk", "job.sdk"):
        logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.ERROR)

    class Client(JobSubmissionClient):
        def _do_request(self, method: str, endpoint: str, **given: Any) -> Any:
            return super()._do_request(method, endpoint, timeout=TIMEOUT, **given)

    return Client(address)


def _entry(job: Any) -> Entry:
    status = getattr(job.status, "value", str(job.status))
    began, ended = (None if moment is None else moment / 1000 for moment in (job.start_time, job.end_time))
    message = (job.message or "").partition(", last available logs")[0]
    return Entry(job.submission_id, status, message, began, ended, job.driver_exit_code)
