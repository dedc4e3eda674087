"""Make a sweep presentable in its tracking store: the summary, pictures and model of what won; or all of it.

`conclude` is called when a sweep or its verdict ends, and never fails them; `sync` rebuilds the whole from
the ledger and the trials' folders, in any store, as often as one likes.
"""

from dirsweep.publish.conclude import HURRIED, SECONDS, conclude, pictures
from dirsweep.publish.place import newest, page
from dirsweep.publish.sync import sync

__all__ = ["HURRIED", "SECONDS", "conclude", "newest", "page", "pictures", "sync"]
