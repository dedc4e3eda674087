"""The one palette of all pictures: Okabe and Ito's, which the colour-blind can tell apart.

A shot also has a mark of its own, so that a picture can be read in grey. Marks have Plotly's names.
"""

COLOURS = {"many": "#0072B2", "median": "#E69F00", "few": "#D55E00"}
"""By shot: blue, orange, vermilion."""
MARKS = {"many": "circle", "median": "square", "few": "triangle-up"}
"""By shot."""
ALL = "#000000"
"""Figures over all labels."""
LINE = "#333333"
"""Lines that were fitted, and text."""
QUIET = "#767676"
"""What is there to be compared with, and explanations."""
GRID = "#DDDDDD"
