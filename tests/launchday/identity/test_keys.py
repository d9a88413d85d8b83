"""Keys: what each may sign, what is remembered of what they have signed, and how one follows another."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
from pydantic import SecretStr

from launchday.clock import ManualClock
from launchday.identity import (
    OPERATOR,
    PLAYER,
    SERVICE,
    CannotSignError,
    InvalidTokenError,
    Key,
    KeyFileError,
    KeySet,
    KeyWatch,
    Signer,
    WeakSecretError,
    key_folder,
    signer_of,
)
from launchday.identity.key_file import parse_keys, read_key_file
from launchday.identity.of_settings import LOOK_S
from launchday.identity.remembered import Remembered
from launchday.launcher.services import why_not_given
from launchday.settings import Settings
from tests.waiting import until

SECRET = "s" * 32
NOW = 1_700_000_000.0
MONTH_S = 31 * 24 * 3600.0


@pytest.fixture
def random() -> Callable[[int], bytes]:
    numbers = itertools.count(1)
    return lambda length: next(numbers).to_bytes(length)


@pytest.fixture
def folder(tmp_path: Path, random: Callable[[int], bytes]) -> Path:
    """A folder with the key files of all."""
    key_folder.make(tmp_path / "keys", random)
    return tmp_path / "keys"


def signer(folder: Path, reader: str) -> Signer:
    return signer_of(Settings(identity_keys=str(folder)), reader)


def test_a_verifier_knows_who_calls_and_can_sign_nothing(folder: Path) -> None:
    token = signer(folder, "meta").player_token(42, NOW, 60, "a session", 3)
    assert jwt.get_unverified_header(token).keys() == {"alg", "kid", "typ"}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["aud"]) == ("launchday", "launchday")
    verifier = signer(folder, "rewards")
    caller = verifier.verify(token, NOW)
    assert (caller.player_id, caller.session_id, caller.generation) == (42, "a session", 3)
    attempts: tuple[Callable[[], str], ...] = (
        lambda: verifier.player_token(42, NOW, 60),
        lambda: verifier.service_token("rewards", NOW),
        lambda: verifier.statement("party", {}, NOW, 60),
    )
    for sign in attempts:
        with pytest.raises(CannotSignError, match="LAUNCHDAY_IDENTITY_KEYS"):
            sign()
    assert not any(key.private for key in read_key_file(folder / "public.json"))


def test_a_service_signs_for_itself_alone(folder: Path) -> None:
    """Whoever has taken a director's key is the director, and neither an operator nor another service."""
    director = signer(folder, "director")
    assert signer(folder, "meta").verify(director.service_token("director", NOW), NOW).roles == {SERVICE}
    attempts: tuple[Callable[[], str], ...] = (
        lambda: director.service_token("matchmaker", NOW),
        lambda: director.service_token("ann", NOW, roles=(OPERATOR,)),
        lambda: director.player_token(42, NOW, 60),
    )
    for sign in attempts:
        with pytest.raises(CannotSignError):
            sign()


@pytest.mark.parametrize(
    ("roles", "subject"), [((OPERATOR,), "ann"), ((PLAYER,), "42"), ((SERVICE,), "matchmaker")]
)
def test_what_a_key_may_not_sign_is_refused_though_its_signature_is_right(
    folder: Path, roles: tuple[str, ...], subject: str
) -> None:
    own = [key for key in signer(folder, "director").keys.keys if key.private]
    forged = Signer(KeySet(replace(key, roles=None, subjects=(subject,)) for key in own))
    with pytest.raises(InvalidTokenError, match="its key signs no such token"):
        signer(folder, "meta").verify(forged.service_token(subject, NOW, roles=roles), NOW)


def test_a_public_key_is_no_secret_of_hs256(folder: Path) -> None:
    """The algorithm is the key's own, whatever the token's header says (RFC 8725 §2.1)."""
    meta = signer(folder, "meta")
    (public,) = (key for key in signer(folder, "public").keys.keys if key.owner == "meta")
    posing = Signer(KeySet([replace(public, algorithm="HS256", private=public.public)]))
    with pytest.raises(InvalidTokenError, match="its key is not known here"):
        meta.verify(posing.player_token(42, NOW, 60), NOW)


def test_one_secret_follows_another_side_by_side(tmp_path: Path) -> None:
    path, texts = tmp_path / "secrets.json", ["A" * 43, "B" * 42 + "A"]
    keys = [{"kty": "oct", "kid": str(at), "k": text, "nbf": NOW + at * 100} for at, text in enumerate(texts)]
    path.write_text(json.dumps({"keys": keys}))
    both = signer_of(Settings(identity_keys=str(path)))
    for at in (0, 1):
        token = both.player_token(42, NOW + 100 * at, 600)
        assert jwt.get_unverified_header(token)["kid"] == str(at)
        assert both.verify(token, NOW + 200).player_id == 42


def test_a_game_server_has_a_name_of_its_own_but_no_other_services(folder: Path) -> None:
    server = signer(folder, "server")
    assert signer(folder, "meta").verify(server.service_token("west-1", NOW), NOW).subject == "west-1"
    with pytest.raises(CannotSignError):
        server.service_token("director", NOW)


def test_a_key_signs_once_it_was_everywhere_and_the_one_before_is_taken_until_its_tokens_end(
    folder: Path, random: Callable[[int], bytes]
) -> None:
    before = signer(folder, "meta")
    old = before.player_token(42, NOW, 60)
    new_key = key_folder.rotate(folder, "meta", random, NOW, lead_s=300.0, keep_s=MONTH_S)
    after = signer(folder, "meta")
    early, late = (after.refresh_token(42, at, MONTH_S, "", 0) for at in (NOW + 299, NOW + 300))
    kids = [jwt.get_unverified_header(token)["kid"] for token in (old, early, late)]
    assert kids[0] == kids[1] != kids[2] == new_key.key_id
    verifier = signer(folder, "rewards")
    for token, at in ((old, NOW), (early, NOW + MONTH_S), (late, NOW + MONTH_S)):
        assert verifier.verify(token, at).subject == "42"
    with pytest.raises(InvalidTokenError):  # its key's time is over
        verifier.verify(early, NOW + 300 + MONTH_S)
    key_folder.rotate(folder, "meta", random, NOW + 2 * MONTH_S, keep_s=MONTH_S)
    assert kids[0] not in {key.key_id for key in key_folder.read(folder)}


def test_a_key_that_was_revoked_opens_nothing_from_then_on(
    folder: Path, random: Callable[[int], bytes]
) -> None:
    token = signer(folder, "meta").player_token(42, NOW, 60)
    verifier = signer(folder, "rewards")
    verifier.verify(token, NOW)  # and remembered
    new = key_folder.revoke(folder, jwt.get_unverified_header(token)["kid"], random, NOW)
    assert new is not None
    verifier.use(KeySet(read_key_file(folder / "public.json")))
    with pytest.raises(InvalidTokenError, match="not known here"):
        verifier.verify(token, NOW)
    verifier.verify(signer(folder, "meta").player_token(42, NOW, 60), NOW)


async def test_keys_are_read_again_when_their_file_changes_and_a_wrong_file_changes_nothing(
    folder: Path, random: Callable[[int], bytes]
) -> None:
    settings, clock = Settings(identity_keys=str(folder)), ManualClock()
    verifier = signer_of(settings, "rewards")
    watching = asyncio.create_task(KeyWatch(verifier, settings, "rewards", clock).run())
    new = key_folder.rotate(folder, "meta", random, NOW, keep_s=MONTH_S)

    def knows_it() -> bool:
        clock.advance(LOOK_S)
        return verifier.keys.find(new.key_id) is not None

    await until(knows_it, "the new key is known")
    (folder / "public.json").write_text("{")
    for _ in range(5):
        clock.advance(LOOK_S)
        await asyncio.sleep(0.001)
    assert knows_it()
    with pytest.raises(KeyFileError):  # as SIGHUP, or an operator, would be told
        await KeyWatch(verifier, settings, "rewards", clock).read()
    assert not watching.done()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def test_a_services_token_is_signed_anew_with_another_key_and_in_half_of_its_life(
    folder: Path, random: Callable[[int], bytes]
) -> None:
    clock = ManualClock()
    director = signer(folder, "director")
    tokens = director.service_tokens("director", clock, 3600.0)
    first = tokens()
    clock.advance(1799.0)
    assert tokens() == first
    clock.advance(2.0)
    second = tokens()
    assert second != first
    key_folder.rotate(folder, "director", random, clock.wall(), lead_s=10.0, keep_s=MONTH_S)
    director.use(KeySet(read_key_file(folder / "director.json")))
    clock.advance(11.0)
    third = tokens()
    assert jwt.get_unverified_header(third)["kid"] != jwt.get_unverified_header(second)["kid"]


def test_a_backend_moves_from_one_secret_to_keys_and_logs_nobody_out(folder: Path) -> None:
    old = Signer(SECRET).player_token(42, NOW, 60)
    both = signer_of(Settings(identity_keys=str(folder), identity_secret=SecretStr(SECRET)), "meta")
    assert both.verify(old, NOW).player_id == 42
    assert jwt.get_unverified_header(both.player_token(42, NOW, 60))["alg"] == "EdDSA"
    with pytest.raises(InvalidTokenError, match="not known here"):
        signer(folder, "meta").verify(old, NOW)


def test_tokens_of_the_release_before_are_taken_and_made_while_it_runs_beside_this_one() -> None:
    claims = {"sub": "42", "roles": [PLAYER], "iat": int(NOW), "exp": int(NOW + 60), "sid": "s"}
    old = jwt.encode(claims, SECRET, algorithm="HS256")
    assert Signer(SECRET).verify(old, NOW).player_id == 42
    plain = signer_of(Settings(identity_secret=SecretStr(SECRET), identity_plain=True))
    token = plain.player_token(42, NOW, 60, "s")
    assert token.partition(".")[0] == old.partition(".")[0]  # by which it takes its fast path
    assert jwt.decode(token, options={"verify_signature": False}) == claims
    assert plain.verify(Signer(SECRET).player_token(42, NOW, 60), NOW).player_id == 42


def test_a_token_of_another_backend_is_refused() -> None:
    for other in (Signer(SECRET, issuer="test"), Signer(SECRET, audience="test")):
        with pytest.raises(InvalidTokenError, match="its issuer or its audience"):
            Signer(SECRET).verify(other.player_token(42, NOW, 60), NOW)


def test_a_key_file_that_cannot_be_used_is_said_before_anything_is_started(folder: Path) -> None:
    assert why_not_given(Settings(identity_keys=str(folder))) is None
    (folder / "public.json").write_text('{"keys": []}')
    said = why_not_given(Settings(identity_keys=str(folder)))
    assert said is not None
    assert "public.json: it has no key" in said
    assert "LAUNCHDAY_IDENTITY_KEYS" in said


def test_neither_key_nor_secret_is_said_with_what_to_set() -> None:
    with pytest.raises(WeakSecretError, match=r"LAUNCHDAY_IDENTITY_SECRET.*LAUNCHDAY_IDENTITY_KEYS"):
        signer_of(Settings())
    with pytest.raises(KeyFileError, match=r"/nowhere/keys\.json cannot be read"):
        signer_of(Settings(identity_keys="/nowhere/keys.json"))


def _jwk(**changed: object) -> dict[str, object]:
    key = Key.of_seed(bytes(32), (SERVICE,))
    text = "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik"
    return {"kty": "OKP", "crv": "Ed25519", "kid": key.key_id, "x": text, **changed}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([], "it has no key"),
        ([_jwk(), _jwk()], "stands twice"),
        ([_jwk(kid="")], "needs an id"),
        ([_jwk(crv="X25519")], "neither Ed25519"),
        ([_jwk(kty="RSA")], "neither Ed25519"),
        ([_jwk(x="AAAA")], "32 bytes"),
        ([_jwk(x="!")], "no base64"),
        ([_jwk(d="A" * 42 + "E")], "does not belong"),
        ([_jwk(nbf=2, exp=1)], "before it begins"),
        ([{"kty": "oct", "kid": "1", "k": "AAAA"}], "at least 32 bytes"),
        ([{"kid": "1"}], "kty"),
        ({}, "keys"),
    ],
)
def test_a_wrong_key_is_refused_by_name(keys: object, said: str) -> None:
    assert len(parse_keys(json.dumps({"keys": [_jwk()]}).encode())) == 1
    with pytest.raises(KeyFileError, match=said):
        parse_keys(json.dumps({"keys": keys}).encode())


def test_what_is_remembered_is_bounded_and_keeps_those_who_come_again() -> None:
    remembered = Remembered(100)
    caller = Signer(SECRET).verify(Signer(SECRET).player_token(42, NOW, 60), NOW)
    remembered.put(b"again", caller)
    for number in range(1_000):
        remembered.put(b"%d" % number, caller)
        assert remembered.get(b"again") is caller
        assert len(remembered) <= 100
    assert remembered.get(b"0") is None
