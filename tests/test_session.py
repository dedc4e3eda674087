"""Why there is no Ray: what another try may mend, and what only the user can."""

import os
import subprocess
import sys
from pathlib import Path

import heads
import pytest

from dirsweep.storage import Folder
from dirsweep.sweep import Resources, address

OTHER_VERSION = "import ray; ray.__version__ = '2.0.0'; "
"""A driver of another Ray."""


def look_around(storage: object, before: str = "", **environment: str) -> tuple[int, str]:
    """A job's first command, which joins or starts a Ray: its status, and its last line."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [
            *(sys.executable, "-c", f"{before}from dirsweep import cli; cli.main()"),
            *("jobs", "check", "--storage", str(storage)),
        ],
        env=kept | {"RAY_AUTH_MODE": "token"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stderr.splitlines()[-1]


@pytest.mark.parametrize("given", ["", "local", None])
def test_an_address_that_names_no_cluster_is_as_none(monkeypatch: pytest.MonkeyPatch, given: str | None):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if given is not None:
        monkeypatch.setenv("RAY_ADDRESS", given)
    assert Resources(workers=3).facts == {**Resources(workers=3).model_dump(), "cluster": False}


def test_host_and_port_are_read_as_ray_reads_them():
    assert address.host_and_port("127.0.0.1:6379") == ("127.0.0.1", 6379)
    assert address.host_and_port("[::1]:6379") == ("::1", 6379)
    for judged_by_ray in ("auto", "ray://head:10001", "http://head:8265"):
        assert address.host_and_port(judged_by_ray) is None


@pytest.mark.parametrize(
    "given", ["head", "head:", ":6379", "head:port", "head:0", "head:65536", "a..b:6379"]
)
def test_what_is_no_host_and_port_is_refused(given: str):
    with pytest.raises(ValueError, match=f"^RAY_ADDRESS={given}: is no address of a Ray"):
        address.host_and_port(given)


@pytest.mark.slow
def test_a_ray_that_does_not_start_or_answer_may_do_so_later(tmp_path: Path, bucket: Folder):
    status, told = look_around(bucket, RAY_TMPDIR="/proc/nowhere")  # not root either writes there
    assert status == 1
    assert told.startswith("error: Ray cannot start (on this machine): ")
    assert told.endswith(address.GOES_ON)
    [port] = heads.free_ports(1)
    status, told = look_around(tmp_path, RAY_ADDRESS=f"127.0.0.1:{port}", RAY_AUTH_TOKEN="0" * 64)
    assert status == 1
    assert told.startswith(f"error: RAY_ADDRESS=127.0.0.1:{port}: no Ray answers there ([Errno 111] ")


@pytest.mark.slow
def test_an_address_or_a_token_that_is_none_is_bad_input(tmp_path: Path):
    status, told = look_around(tmp_path, RAY_ADDRESS="nonsense", RAY_AUTH_TOKEN="0" * 64)
    assert status == 2
    assert told.startswith("error: RAY_ADDRESS=nonsense: is no address of a Ray; name its head's HOST:PORT, ")
    status, told = look_around(tmp_path, RAY_ADDRESS="http://127.0.0.1:8265", RAY_AUTH_TOKEN="0" * 64)
    assert status == 2
    assert "Set RAY_ADDRESS to the GCS address instead" in told  # Ray's own words
    status, told = look_around(tmp_path, RAY_AUTH_TOKEN_PATH=str(tmp_path / "none"))
    assert status == 2
    assert "RAY_AUTH_TOKEN_PATH is set but file cannot be opened or is empty" in told


@pytest.mark.slow
def test_a_ray_of_another_token_or_version_is_bad_input(tmp_path: Path):
    with heads.running(tmp_path) as head:
        there = {"RAY_ADDRESS": head.driver_address, "RAY_AUTH_TOKEN": head.token_file.read_text()}
        status, told = look_around(tmp_path, **there | {"RAY_AUTH_TOKEN": "0" * 64})
        assert status == 2
        refused = f"error: {head.driver_address}: the Ray there refuses the token from RAY_AUTH_TOKEN; "
        assert told == f"{refused}it must be the one that it was started with"
        status, told = look_around(tmp_path, OTHER_VERSION, **there)
        assert status == 2
        assert told.startswith(f"error: Ray cannot start ({head.driver_address}): Version mismatch: ")
