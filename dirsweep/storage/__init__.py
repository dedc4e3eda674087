"""Files of a sweep: put if absent, put whole, append a record, list, read, delete, lock.

Everything a trial or a sweep keeps goes through a `Folder`, on a disk or in an S3-compatible object store,
and every name is relative to it, so a sweep can be moved. A record carries a checksum of its own: one that
was cut short or damaged is found, never half read.
"""

from dirsweep.storage.cache import cache_folder
from dirsweep.storage.folder import STOP, TRIALS, File, Folder, Place
from dirsweep.storage.holder import Holder
from dirsweep.storage.record import Needed, Record, misfit

__all__ = [
    "STOP",
    "TRIALS",
    "File",
    "Folder",
    "Holder",
    "Needed",
    "Place",
    "Record",
    "cache_folder",
    "misfit",
]
