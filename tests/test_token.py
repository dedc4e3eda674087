"""The file of Ray's token is made for its user alone, and one that others can read is refused."""

from pathlib import Path

import pytest

from dirsweep.sweep import token
from dirsweep.sweep.session import check_tokens


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without a token, nor is there one in the environment."""
    for name in (token.TOKEN, token.FILE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_token_is_made_once_and_for_its_user_alone(home):
    token.ensure()
    [file] = (home / ".ray").iterdir()  # no part of it is left beside it
    made = file.read_text()
    assert (file, len(made), file.stat().st_mode & 0o777) == (token.usual(), 64, 0o600)
    token.ensure()
    assert file.read_text() == made
    assert token.source() == str(file)


def test_one_that_ray_left_open_to_all_is_closed_and_kept(home):
    token.usual().parent.mkdir()
    token.usual().write_text("of an earlier Ray")
    token.usual().chmod(0o644)
    token.ensure()
    assert (token.usual().read_text(), token.usual().stat().st_mode & 0o777) == ("of an earlier Ray", 0o600)


@pytest.mark.parametrize("name", [token.TOKEN, token.FILE])
def test_none_is_made_where_the_environment_has_one(home, monkeypatch, name):
    monkeypatch.setenv(name, "somewhere")
    token.ensure()
    assert list(home.iterdir()) == []
    assert token.source().startswith(name)


@pytest.mark.parametrize(
    ("mode", "folder", "private"),
    [(0o600, 0o755, True), (0o640, 0o755, False), (0o604, 0o755, False), (0o444, 0o700, True)],
)
def test_a_file_that_others_can_read_is_refused(home, monkeypatch, mode, folder, private):
    file = home / "folder" / "token"
    file.parent.mkdir()
    file.write_text("x")
    file.chmod(mode)
    file.parent.chmod(folder)
    monkeypatch.setenv(token.FILE, str(file))
    if private:
        check_tokens()
        return
    told = rf"^RAY_AUTH_TOKEN_PATH: others can read {file} \(mode {mode:o}\), .*; chmod 600 {file}$"
    with pytest.raises(ValueError, match=told):
        check_tokens()
    monkeypatch.setenv(token.TOKEN, "y")  # the file is not read then
    check_tokens()
