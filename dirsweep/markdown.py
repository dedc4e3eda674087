"""Text of the user in Markdown: it stays text, whatever it looks like."""

import re


def escaped(text: str) -> str:
    """Text that Markdown and HTML leave alone, on one line; nor does it become a link or a list."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    inside = re.sub(r"([\\`*_{}\[\]#!~|@]|:(?=//)|(?<=www)\.)", r"\\\1", flat)
    return re.sub(r"^([-+=])|^(\d+)([.)])", r"\2\\\1\3", inside)
