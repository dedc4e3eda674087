"""Where a login would be seen, and where a server would be open to others: refused."""

import pytest

from dirsweep import cli
from dirsweep.sweep.session import Resources, ray_session


def test_no_ray_is_started_or_joined_without_tokens(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with (
        pytest.raises(ValueError, match=r"^RAY_AUTH_MODE=disabled: .* unset it, or set it to token$"),
        ray_session(Resources(workers=1)),
    ):
        pass


@pytest.mark.parametrize(
    "words", [("run", "x.yaml", "--tracking-uri"), ("replay", "0", "--tracking-uri"), ("sync", "x", "--to")]
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(capsys, words):
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "https://me:kret@host"])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"'{words[-1]}': holds a user or a password" in told
    assert "kret" not in told


def test_the_ui_has_no_address_but_loopback(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["ui", "--host", "10.0.0.1"])
    assert ended.value.code == 2
    assert "No such option: --host" in capsys.readouterr().err
