"""The colours and marks of the shots, one palette for all pictures (Okabe and Ito's)."""

COLOURS = {"many": "#0072B2", "median": "#E69F00", "few": "#D55E00"}
MARKS = {"many": "circle", "median": "square", "few": "triangle-up"}
"""Plotly's names of the marks."""
