"""A sweep as one HTML file for people, which needs no network: `page` is the way in."""

from dirsweep.report.html.page import page

__all__ = ["page"]
