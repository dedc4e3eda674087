"""Ray's token: where it is found, and that no other user reads it, for whoever has it runs what they like.

It is Ray's to read. Here its file is looked at, and made where there is none: Ray would make one that all may
read.
"""

import os
import secrets
import stat
import tempfile
from pathlib import Path

TOKEN, FILE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def usual() -> Path:
    """The file that Ray reads where nothing names another."""
    return Path.home() / ".ray" / "auth_token"


def source() -> str:
    """Where Ray finds the token, in its own order; "" if nowhere."""
    if os.environ.get(TOKEN):
        return TOKEN
    if path := os.environ.get(FILE):
        return f"{FILE} ({path})"
    return str(usual()) if usual().exists() else ""


def check_private() -> None:
    """Refuse a file of this user's that others may read; a mounted one is whoever mounted it's to keep."""
    path = Path(os.environ.get(FILE, ""))
    if os.environ.get(TOKEN) or not path.is_file():
        return
    if _is_open(path) and path.stat().st_uid == os.geteuid():
        raise ValueError(
            f"{FILE}: others can read {path} (mode {path.stat().st_mode & 0o777:o}), and with the token run "
            f"what they like on the cluster; chmod 600 {path}"
        )


def _is_open(path: Path) -> bool:
    """Whether others may read the file: it is not for its owner alone, and neither is its folder."""
    return all(place.stat().st_mode & OTHERS for place in (path, path.absolute().parent))


def ensure() -> None:
    """Before a Ray of our own starts: see that there is a token, and that no other reads its usual file."""
    if os.environ.get(TOKEN) or os.environ.get(FILE):
        return
    file = usual()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=file.parent)  # of mode 600
        with os.fdopen(handle, "w") as content:
            content.write(secrets.token_hex(32))
        try:
            os.link(part, file)  # whole, and never another driver's again
        except FileExistsError:  # which was faster
            pass
        finally:
            os.unlink(part)
    elif file.stat().st_mode & OTHERS:  # an earlier Ray's
        file.chmod(0o600)
