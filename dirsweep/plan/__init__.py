"""What a sweep would take, before it is run: a few timed steps, a forecast with its assumptions, no training.

`make` is the diagram: ask the first configurations, time them as many at once as the sweep would, reckon.
"""

from dirsweep.plan.make import make
from dirsweep.plan.page import page, refusals, sharing
from dirsweep.plan.per_gpu import per_gpu
from dirsweep.plan.reckon import Plan

__all__ = ["Plan", "make", "page", "per_gpu", "refusals", "sharing"]
