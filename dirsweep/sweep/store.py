"""Where the sweeps of a storage folder share their stage 1s."""

import os

from dirsweep.storage import Folder, refusal

STORE = "stage1"
PROBE = f"probe-{os.uname().nodename}"


def store_of(storage: Folder) -> Folder:
    """The folder of stage 1s that all sweeps in `storage` share."""
    return storage / STORE


def check_writable(storage: Folder) -> None:
    """Write and remove a file in the store, so that a sweep ends before it begins rather than in each trial.

    Raises OSError where the disk takes no write or the object store is away, and ValueError where there can
    be no store.
    """
    folder = store_of(storage)
    try:
        folder.put(PROBE, b"")
        folder.delete(PROBE)
    except OSError as error:
        if isinstance(error, ConnectionError) or refusal.remedy(error):  # it may pass: no bad input
            raise
        raise ValueError(
            f"{folder}: cannot write in the store of stage 1s ({error.strerror or error}); make it "
            "writable, or name another --storage"
        ) from None
