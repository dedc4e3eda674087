"""Validators of files that no Python reads, and errors to try them with."""

import subprocess
import sys
from pathlib import Path


def tool(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a program that came with the test extra."""
    place = Path(sys.executable).parent / name
    return subprocess.run([place, *map(str, words)], capture_output=True, text=True, timeout=60)


def planted(tmp_path: Path, text: str, found: str, instead: str, name: str) -> Path:
    """A copy with one error in it."""
    assert found in text, f"nothing to plant an error in: {found}"
    file = tmp_path / name
    file.write_text(text.replace(found, instead, 1))
    return file
