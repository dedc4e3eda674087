"""Where the Ray of a cluster is: RAY_ADDRESS, read as Ray reads it.

An empty one is as none, and "local" asks for a Ray of one's own.
"""

import os
import socket

from dirsweep.storage import refusal

CONNECT_SECONDS = 10.0
"""For a head to take a connection."""
GOES_ON = "Nothing is lost: `dirsweep resume` goes on with a sweep that began, the same command with all else"


def cluster() -> str:
    """The address of the Ray to join; "" where one of our own is to start."""
    address = os.environ.get("RAY_ADDRESS", "")
    return "" if address == "local" else address


def host_and_port(address: str) -> tuple[str, int] | None:
    """What HOST:PORT names; None for "auto" and ray://, of which Ray is the judge.

    Raises ValueError for what is no address.
    """
    if address == "auto" or "://" in address:
        return None
    host, _, port = address.rpartition(":")
    try:
        host.encode("idna")  # as the system will: a name with an empty part is none
        place = host.strip("[]"), int(port)
    except ValueError:
        place = "", 0
    if not place[0] or not 0 < place[1] < 2**16:
        raise ValueError(
            f"RAY_ADDRESS={address}: is no address of a Ray; name its head's HOST:PORT, which `ray start "
            "--head` prints, or unset it for a Ray on this machine"
        )
    return place


def reach(address: str) -> None:
    """See that something listens there, for Ray itself tries for a quarter of an hour in silence.

    Raises ValueError as `host_and_port`, or refusal.Refused.
    """
    place = host_and_port(address)
    if place is None:
        return
    try:
        socket.create_connection(place, CONNECT_SECONDS).close()
    except OSError as error:
        raise refusal.Refused(
            f"RAY_ADDRESS={address}: no Ray answers there ({error}); see that its head is up and that this "
            f"machine reaches it. {GOES_ON}"
        ) from error
