"""A disk that takes no write: full, over a quota, read-only or not this user's.

No bad input: once there is room the same goes well, so a command ends with the status of what may pass.
"""

import errno

ROOM = "make room"
_REMEDIES = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EROFS: "make it writable",
    errno.EACCES: "give this user access to it",
    errno.EPERM: "give this user access to it",
}


class Refused(OSError):
    """Something that may pass is in the way: says what, what to do and how to go on."""


def remedy(error: OSError) -> str:
    """What to do before the same is tried again; "" for an error of another kind."""
    return _REMEDIES.get(error.errno or 0, "")


def told(error: OSError) -> str:
    """What the system says, with the file that it is about where that is known."""
    said = error.strerror or str(error)
    return f"{error.filename}: {said}" if error.filename else said
