"""The verdict on a sweep: retrain finalists and controls over fresh seeds, open test once, say what holds.

`start.finalize` is the diagram: plan, tune the base, train, record the opening, open, judge, write.
`forecast` says beforehand what it would take.
"""

from dirsweep.finalize.forecast import forecast
from dirsweep.finalize.prepare import Settings
from dirsweep.finalize.start import finalize

__all__ = ["Settings", "finalize", "forecast"]
