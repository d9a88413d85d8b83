"""Tokens: who may be whom, and for how long."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from launchday.identity import (
    PLAYER,
    SERVICE,
    STATEMENT_TYPE,
    InvalidTokenError,
    Key,
    Signer,
    WeakSecretError,
)
from launchday.identity.claims import encoded

SECRET = "s" * 32
NOW = 1_700_000_000.0
KEY = Key.of_secret(SECRET)


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
    with pytest.raises(InvalidTokenError):
        Signer(SECRET).read_statement("party", text, NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
CLAIMS = st.fixed_dictionaries(
    {"sub": st.just("42") | JSON, "roles": st.just([PLAYER]) | JSON, "exp": st.just(NOW + 60) | JSON},
    optional=dict.fromkeys(("iat", "nbf", "iss", "aud", "sid", "gen", "body", "more"), JSON),
)
HEADERS = st.fixed_dictionaries(
    {"alg": st.sampled_from(["HS256", "none", "EdDSA"]) | JSON},
    optional={"kid": st.just(KEY.key_id) | JSON, "typ": st.sampled_from(["JWT", STATEMENT_TYPE]) | JSON}
    | {"crit": JSON},
)


@given(HEADERS | JSON, CLAIMS | JSON, st.booleans())
@example({"alg": "HS256"}, {"sub": "42", "roles": [PLAYER], "exp": float("nan")}, True)
@example({"alg": "HS256"}, {"sub": "42", "roles": [PLAYER], "exp": float("inf")}, True)
@example({"alg": "HS256"}, {"sub": "42", "roles": [PLAYER], "exp": 10**400}, True)
@example({"alg": "HS256"}, {"sub": ["42"], "roles": [PLAYER], "exp": NOW + 60}, True)
@example({"alg": "HS256"}, {"sub": "ann", "roles": [PLAYER], "exp": NOW + 60}, True)
@example({"alg": "HS256"}, {"sub": "9" * 19, "roles": ["refresh"], "exp": NOW + 60}, True)
@example({"alg": "HS256"}, {"sub": "42", "roles": [PLAYER], "exp": NOW + 60, "gen": True}, True)
@example({"alg": "HS256", "crit": ["b64"]}, {"sub": "42", "roles": [PLAYER], "exp": NOW + 60}, True)
def test_whatever_the_key_has_signed_is_a_caller_or_no_valid_token(
    header: Any, claims: Any, is_signed: bool
) -> None:
    """Its owner may be mistaken; nobody is let in for ever, and no route is given what it cannot read."""
    signed = b".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    signature = KEY.signature(signed) if is_signed else b"\0" * 32
    token = b".".join((signed, encoded(signature))).decode()
    signer = Signer(SECRET)
    try:
        caller = signer.verify(token, NOW)
    except InvalidTokenError:
        pass
    else:
        assert is_signed
        assert NOW < caller.expires_at < float("inf")
        assert PLAYER not in caller.roles or 0 <= caller.player_id < 2**63
    try:
        body = signer.read_statement("party", token, NOW)
    except InvalidTokenError:
        pass
    else:
        assert is_signed
        assert isinstance(body, dict)


@given(st.data())
def test_a_token_with_any_character_changed_is_refused(data: st.DataObject) -> None:
    """Also with one that base64 would pass over: a token has one text, so it is remembered once."""
    token = Signer(SECRET).player_token(42, NOW, 60)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != token[at]))
    replaced = token[:at] + other + token[at + data.draw(st.integers(0, 1)) :]
    with pytest.raises(InvalidTokenError):
        Signer(SECRET).verify(replaced, NOW)


def test_a_library_reads_what_is_signed_here_and_is_read() -> None:
    token = Signer(SECRET).player_token(42, NOW, 60, "a session")
    read = jwt.decode(
        token,
        SECRET,
        algorithms=["HS256"],
        audience="launchday",
        issuer="launchday",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert (read["sub"], read["sid"]) == ("42", "a session")
    headers = {"kid": KEY.key_id}
    again = jwt.encode({**read, "aud": ["others", "launchday"]}, SECRET, algorithm="HS256", headers=headers)
    assert Signer(SECRET).verify(again, NOW).player_id == 42


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
