"""Published tables run anew: base methods tuned on equal terms, each followed by stage 2, over fresh seeds.

`run.reproduce` is the diagram: search every method, search its stage 2, train all rows over seeds, open test
once, set our table beside the published one.
"""

from dirsweep.reproduce.listing import published_page
from dirsweep.reproduce.recipe import chosen, names, read, with_values
from dirsweep.reproduce.run import reproduce

__all__ = ["chosen", "names", "published_page", "read", "reproduce", "with_values"]
