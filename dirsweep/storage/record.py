"""One record as a line of text with its own checksum."""

import json
import sys
import zlib
from typing import Any

Record = dict[str, Any]


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
        return dict(json.loads(text, object_pairs_hook=_with_shared_names))
    except ValueError:
        return None


def _with_shared_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keep each name once, however many records have it: most of what 200,000 reports take are names."""
    return {sys.intern(name): value for name, value in pairs}
