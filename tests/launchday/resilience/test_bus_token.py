"""Tokens that a command prints: what is taken for one, how long it is kept, and that none is ever told."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest

from launchday.clock import ManualClock
from launchday.resilience import bus_token
from launchday.resilience.bus_token import UNKNOWN_LIFE_S, NoTokenError, TokenCommand, read_token

NOW = 1_800_000_000.0


def jwt(**claims: object) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{part}.c2lnbmVk"


@pytest.mark.parametrize(
    ("printed", "token", "expires_in"),
    [
        (jwt(exp=NOW + 900), jwt(exp=NOW + 900), 900),
        (json.dumps({"access_token": "a", "expires_in": 300}), "a", 300),
        (json.dumps({"token": "a", "expires_at": NOW + 60}), "a", 60),
        (json.dumps({"token": "a", "expiry_ms": (NOW + 60) * 1000}), "a", 60),
        (json.dumps({"access_token": jwt(exp=NOW + 30)}), jwt(exp=NOW + 30), 30),
        (json.dumps({"access_token": "a", "expires_in": "soon"}), "a", UNKNOWN_LIFE_S),
        ('{"access_token": "a", "expires_in": NaN}', "a", UNKNOWN_LIFE_S),
        (jwt(exp=10**400), jwt(exp=10**400), UNKNOWN_LIFE_S),
        ("opaque\n", "opaque", UNKNOWN_LIFE_S),
        (jwt(sub="nobody"), jwt(sub="nobody"), UNKNOWN_LIFE_S),
    ],
)
def test_a_token_and_its_end_are_read(printed: str, token: str, expires_in: float) -> None:
    found, expires_at = read_token(printed.encode(), NOW)
    assert found == token
    assert expires_at == pytest.approx(NOW + expires_in)


@pytest.mark.parametrize(
    "printed",
    [
        b"",
        b"{}",
        b'{"access_token": ""}',
        b'{"access',
        b"two words",
        b"\xff\xfe",
        jwt(exp=NOW - 1).encode(),
        b'{"access_token": "a", "expires_at": 0}',
        b'{"a":' * 20_000,
    ],
)
def test_what_is_no_token_is_refused_in_one_line_without_it(printed: bytes) -> None:
    with pytest.raises(NoTokenError) as refused:
        read_token(printed, NOW)
    said = str(refused.value)
    assert said.startswith("LAUNCHDAY_KAFKA_TOKEN_COMMAND printed")
    assert "\n" not in said
    assert "access_to" not in said.replace("JSON with access_token", "")
    assert not printed or printed.decode(errors="replace") not in said


async def test_a_token_is_kept_until_shortly_before_its_end(tmp_path: Path) -> None:
    clock, runs = ManualClock(NOW), tmp_path / "runs"
    script = tmp_path / "token.sh"
    script.write_text(f'echo >> "{runs}"\necho \'{{"access_token": "secret", "expires_in": 300}}\'\n')
    tokens = TokenCommand(f'/bin/sh "{script}"', clock)
    assert [await tokens.token() for _ in range(3)] == ["secret"] * 3
    assert runs.read_text() == "\n"
    clock.advance(239)
    await tokens.token()
    assert runs.read_text() == "\n"
    clock.advance(2)  # a minute before its end
    await tokens.token()
    assert runs.read_text() == "\n\n"
    assert "secret" not in repr(tokens)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/nonexistent/command", "cannot be run: /nonexistent/command: No such file or directory"),
        ("unclosed 'quote", "cannot be read: No closing quotation"),
        (f"{sys.executable} -c 'print(1234567); exit(3)'", "ended with code 3: run it by hand and see"),
        (f"{sys.executable} -c 'import time; time.sleep(60)'", "printed no token within 0.2 s"),
        ("/bin/sh -c 'sleep 60; echo 1234567'", "printed no token within 0.2 s"),
        ("yes 1234567", "printed no token, but more than 65,536 bytes"),
    ],
)
async def test_a_command_that_fails_is_said_in_one_line_without_what_it_printed(
    command: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in command:
        monkeypatch.setattr(bus_token, "ANSWER_S", 0.2)
    with pytest.raises(NoTokenError, match=said) as refused:
        await TokenCommand(command, ManualClock(NOW)).token()
    assert "1234567" not in str(refused.value)
