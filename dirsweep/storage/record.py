"""One record as a line of text with its own checksum, and what a record must hold."""

import json
import sys
import zlib
from collections.abc import Mapping
from typing import Any

Record = dict[str, Any]
Needed = Mapping[str, type]
"""Keys of a record and what each holds: str, int, float (any number), dict or list."""
LARGEST = 2**63
"""A checksum says that a line is whole, not that a number in it can be counted with."""
IN_WORDS = {str: "a text", int: "a whole number", float: "a number", dict: "names and values", list: "a list"}


def line(record: Record) -> bytes:
    """The record as a line: checksum, blank, JSON, newline."""
    text = json.dumps(record, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def parse(line: bytes) -> Record | None:
    """What `line` wrote; None if it is damaged or cut short."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        found = json.loads(text, object_pairs_hook=_with_shared_names)
    except (ValueError, RecursionError):  # the latter where brackets are nested without end
        return None
    return found if isinstance(found, dict) else None


def misfit(record: Record, needed: Needed) -> str:
    """What a whole record lacks or holds that it may not, by key; "" for one that is as it should be."""
    for key, kind in needed.items():
        if key not in record:
            return f"'{key}' is missing"
        if not _is(record[key], kind):
            return f"'{key}' is {str(record[key])[:40]!r}, and not {IN_WORDS[kind]}"
    for name, value in record["metrics"].items() if "metrics" in needed else ():
        if not _is(value, float):
            return f"'metrics.{name}' is {str(value)[:40]!r}, and not a number"
    return ""


def _is(value: Any, kind: type) -> bool:
    if kind is float and type(value) is float:
        return True
    if kind in (int, float):
        return type(value) is int and -LARGEST < value < LARGEST
    return isinstance(value, kind)


def _with_shared_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keep each name once, however many records have it: most of what 200,000 reports take are names."""
    return {sys.intern(name): value for name, value in pairs}
