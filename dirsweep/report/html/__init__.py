"""A sweep, or several beside one another, as one HTML file that needs no network."""

from dirsweep.report.html.page import page
from dirsweep.report.html.versus import compare_page

__all__ = ["compare_page", "page"]
