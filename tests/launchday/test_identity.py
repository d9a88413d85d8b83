"""Tokens: who may be whom, and for how long."""

from __future__ import annotations

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchday.identity import PLAYER, SERVICE, InvalidTokenError, Signer, WeakSecretError

SECRET = "s" * 32
NOW = 1_700_000_000.0


def test_a_player_is_recognised_until_the_token_expires() -> None:
    token = Signer(SECRET).player_token(42, NOW, ttl_s=60)
    assert Signer(SECRET).verify(token, NOW + 59).player_id == 42
    with pytest.raises(InvalidTokenError, match="expired"):
        Signer(SECRET).verify(token, NOW + 60)


def test_a_services_token_names_no_player() -> None:
    identity = Signer(SECRET).verify(Signer(SECRET).service_token("director", NOW), NOW)
    assert identity.roles == {SERVICE}
    with pytest.raises(InvalidTokenError, match="not a player"):
        _ = identity.player_id


def test_a_token_signed_with_another_secret_is_refused() -> None:
    with pytest.raises(InvalidTokenError):
        Signer(SECRET).verify(Signer("x" * 32).player_token(42, NOW, 60), NOW)


def test_an_unsigned_token_is_refused() -> None:
    forged = jwt.encode({"sub": "42", "roles": [PLAYER], "exp": NOW + 60}, key="", algorithm="none")
    with pytest.raises(InvalidTokenError):
        Signer(SECRET).verify(forged, NOW)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(WeakSecretError, match="LAUNCHDAY_IDENTITY_SECRET"):
        Signer("short")


@given(st.text(max_size=300))
def test_any_text_as_token_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidTokenError):
        Signer(SECRET).verify(text, NOW)


def test_a_statement_is_read_as_its_kind_until_it_ends() -> None:
    signer = Signer(SECRET)
    text = signer.statement("party", {"members": [1, 2], "mode": "duos"}, NOW, ttl_s=60)
    assert signer.read_statement("party", text, NOW + 59) == {"members": [1, 2], "mode": "duos"}
    for kind, now in (("guild", NOW), ("party", NOW + 60)):
        with pytest.raises(InvalidTokenError):
            signer.read_statement(kind, text, now)
    with pytest.raises(InvalidTokenError):
        Signer("x" * 32).read_statement("party", text, NOW)


def test_a_statement_is_no_token_and_a_token_no_statement() -> None:
    signer = Signer(SECRET)
    posing = {"sub": "42", "roles": [PLAYER], "exp": int(NOW + 60)}
    with pytest.raises(InvalidTokenError):
        signer.verify(signer.statement("launchday", posing, NOW, ttl_s=60), NOW)
    with pytest.raises(InvalidTokenError):
        signer.read_statement("launchday", signer.player_token(42, NOW, ttl_s=60), NOW)
