"""Build HTML from trees: what is not markup already is escaped, so that no text of a sweep can run.

A question, a reason or a parameter may hold anything, `</script>` too.
"""

import html
import json
import math
from typing import Any

VOID = frozenset({"br", "link", "meta", "wbr"})


class Html(str):
    """Text that is markup."""

    __slots__ = ()


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element. Children that are no `Html` are escaped; None is left out.

    Args:
        attributes: `class_` stands for class, `aria_label` for aria-label; None and False leave one out, True
            gives one without a value.
    """
    told = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        told.append(f" {key}" if value is True else f' {key}="{html.escape(str(value))}"')
    start = f"<{name}{''.join(told)}>"
    return Html(start if name in VOID else f"{start}{joined(*children)}</{name}>")


def joined(*children: object) -> Html:
    """Children in a row, escaped where they are no `Html`."""
    return Html(
        "".join(
            child if isinstance(child, Html) else html.escape(str(child))
            for child in children
            if child is not None
        )
    )


def breakable(name: str) -> Html:
    """A dotted name that a narrow column may break after its dots and slashes."""
    pieces = name.replace(".", ".\0").replace("/", "/\0").replace("_", "_\0").split("\0")
    return Html("<wbr>".join(html.escape(piece) for piece in pieces))


def data_block(identity: str, value: Any) -> Html:
    """A script element that holds JSON and is never run; NaN and infinity are null."""
    text = json.dumps(plain(value), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":  # no end tag, no comment, no line that JavaScript breaks
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(f'<script type="application/json" id="{html.escape(identity)}">{text}</script>')


def plain(value: Any) -> Any:
    """A tree of JSON values in which numbers that are NaN or infinite are None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
