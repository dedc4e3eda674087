"""Where the sweeps of a storage folder share their stage 1s."""

import os

from dirsweep.storage import Folder

STORE = "stage1"
PROBE = f"probe-{os.uname().nodename}"


def store_of(storage: Folder) -> Folder:
    """The folder of stage 1s that all sweeps in `storage` share."""
    return storage / STORE


def check_writable(storage: Folder) -> None:
    """Write and remove a file in the store, so that a sweep ends before it begins rather than in each trial.

    Raises ValueError if the store cannot be written.
    """
    folder = store_of(storage)
    try:
        folder.put(PROBE, b"")
        folder.delete(PROBE)
    except ConnectionError:  # an object store that is away: no bad input
        raise
    except OSError as error:
        raise ValueError(
            f"{folder}: cannot write in the store of stage 1s ({error.strerror or error}); make it "
            "writable, or name another --storage"
        ) from None
