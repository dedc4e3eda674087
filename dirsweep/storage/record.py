"""One record as a line of text with its own checksum."""

import json
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
        return dict(json.loads(text))
    except ValueError:
        return None
