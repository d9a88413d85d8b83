from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launchday.clock import SystemClock
from meta_service.errors import IssuerUnavailableError, PlatformTokenError, UnknownIssuerError
from meta_service.oidc import keys
from meta_service.oidc.issuers import Platform, Platforms, PlatformsError, load
from meta_service.oidc.verifier import PlatformIdentity, PlatformVerifier
from tests.meta_service.oidc.conftest import ALGORITHMS, KEYS, Issuer, public

NOW = 1_800_000_000.0


class Clock(SystemClock):
    """Monotonic time moves only when told to."""

    at = 0.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def verifier(issuer: Issuer, clock: Clock) -> AsyncIterator[PlatformVerifier]:
    platforms = (
        Platform(name="example", issuer=issuer.url, audience=("my-game", "my-other-game")),
        Platform(
            name="strict",
            issuer=f"{issuer.url}/strict",
            audience=("my-game",),
            jwks_url=f"{issuer.url}/keys",
            claim="account",
            nonce="needed",
            max_age_s=100,
        ),
    )
    verifier = PlatformVerifier(Platforms(platforms), clock)
    yield verifier
    await verifier.close()


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_token_says_whose_it_is(verifier: PlatformVerifier, issuer: Issuer, algorithm: str) -> None:
    token = issuer.token(NOW, algorithm, nonce="once", aud=["another", "my-other-game"], azp="my-other-game")
    for nonce in (None, "once"):
        found = await verifier.verify("example", token, nonce, NOW)
        assert found == PlatformIdentity(issuer.url, "nina")
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_a_platform_may_be_stricter(verifier: PlatformVerifier, issuer: Issuer) -> None:
    claims: dict[str, Any] = {"iss": f"{issuer.url}/strict", "account": 4711, "nonce": "once"}
    found = await verifier.verify("strict", issuer.token(NOW, **claims), "once", NOW)
    assert found == PlatformIdentity(f"{issuer.url}/strict", "4711")
    for token, nonce in (
        (issuer.token(NOW, **claims), None),
        (issuer.token(NOW, **claims), "twice"),
        (issuer.token(NOW - 161, **claims), "once"),
        (issuer.token(NOW, **{**claims, "iat": None}), "once"),
        (issuer.token(NOW, **{**claims, "account": None}), "once"),
    ):
        with pytest.raises(PlatformTokenError):
            await verifier.verify("strict", token, nonce, NOW)
    with pytest.raises(UnknownIssuerError):
        await verifier.verify("elsewhere", issuer.token(NOW), None, NOW)


def unsigned(claims: dict[str, Any], algorithm: str = "none") -> str:
    parts = ({"alg": algorithm, "kid": "rs256"}, claims)
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join((*encoded, ""))


def signed_with_the_public_key(issuer: Issuer) -> str:
    pem = KEYS["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": issuer.url, "aud": "my-game", "sub": "nina", "exp": NOW + 60}
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "rs256"}).encode()).rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(algorithm.sign(head + b"." + body, pem)).rstrip(b"=")
    return b".".join((head, body, signature)).decode()


async def test_forged_and_stale_tokens_are_refused(verifier: PlatformVerifier, issuer: Issuer) -> None:
    whole = issuer.token(NOW)
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forged = {
        "another audience": issuer.token(NOW, aud="another-game"),
        "no audience": issuer.token(NOW, aud=None),
        "given to another": issuer.token(NOW, aud=["my-game", "another"], azp="another"),
        "for another as well": issuer.token(NOW, aud=["my-game", "another"]),
        "given to another, for us": issuer.token(NOW, azp="another"),
        "given to a number": issuer.token(NOW, azp=5),
        "another issuer": issuer.token(NOW, iss="https://accounts.example.org"),
        "issuer with a slash": issuer.token(NOW, iss=f"{issuer.url}/"),
        "over": issuer.token(NOW - 700),
        "no end": issuer.token(NOW, exp=None),
        "not yet": issuer.token(NOW, nbf=NOW + 61),
        "of tomorrow": issuer.token(NOW, iat=NOW + 86_400),
        "no subject": issuer.token(NOW, sub=None),
        "empty subject": issuer.token(NOW, sub=""),
        "long subject": issuer.token(NOW, sub="n" * 256),
        "a list": issuer.token(NOW, sub=["nina"]),
        "a NUL": issuer.token(NOW, sub="nina\0"),
        "unsigned": unsigned({"iss": issuer.url, "aud": "my-game", "sub": "nina", "exp": NOW + 60}),
        "unsigned as None": unsigned({"sub": "nina"}, "None"),
        "signed with the public key": signed_with_the_public_key(issuer),
        "a stranger's key": issuer.token(NOW, key=stranger),
        "a key of another kind": issuer.token(NOW, kid="es256"),
        "cut": whole[:-4],
        "with another body": ".".join((whole.split(".")[0], issuer.token(NOW, sub="eva").split(".")[1], "x")),
        "another's token": "nonsense",
        "nothing": "..",
    }
    for what, token in forged.items():
        with pytest.raises(PlatformTokenError):
            pytest.fail(f"{what}: {await verifier.verify('example', token, None, NOW)}")
    with pytest.raises(PlatformTokenError):
        await verifier.verify("example", whole, "a nonce that it has not", NOW)


@pytest.mark.parametrize(
    "claims",
    [{"exp": "soon"}, {"exp": True}, {"exp": -1}, {"iat": 1e300}, {"nbf": []}, {"aud": {"my-game": 1}}],
)
async def test_claims_of_another_kind_are_refused(
    verifier: PlatformVerifier, issuer: Issuer, claims: dict[str, Any]
) -> None:
    content = {"iss": issuer.url, "aud": "my-game", "sub": "nina", "exp": NOW + 60, **claims}
    algorithm = ALGORITHMS["RS256"](ALGORITHMS["RS256"].SHA256)
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "RS256", "kid": "rs256"}, content)
    )
    signature = base64.urlsafe_b64encode(algorithm.sign(head + b"." + body, KEYS["RS256"])).rstrip(b"=")
    with pytest.raises(PlatformTokenError):
        await verifier.verify("example", b".".join((head, body, signature)).decode(), None, NOW)


@given(token=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=300))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_sent_is_a_token_or_refused(verifier: PlatformVerifier, token: str) -> None:
    with pytest.raises(PlatformTokenError):
        await verifier.verify("example", token, None, NOW)


async def test_made_up_keys_do_not_make_the_platform_be_asked_again_and_again(
    verifier: PlatformVerifier, issuer: Issuer, clock: Clock
) -> None:
    tokens = [issuer.token(NOW, kid=f"made-up-{n}") for n in range(50)]
    answers = await asyncio.gather(
        *(verifier.verify("example", token, None, NOW) for token in tokens), return_exceptions=True
    )
    assert all(isinstance(answer, PlatformTokenError) for answer in answers)
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
    issuer.keys.append(public("RS256", KEYS["RS256"], "new"))
    with pytest.raises(PlatformTokenError):
        await verifier.verify("example", issuer.token(NOW, kid="new"), None, NOW)
    clock.at += keys.REFETCH_S
    await verifier.verify("example", issuer.token(NOW, kid="new"), None, NOW)
    assert len(issuer.asked) == 4


async def test_while_the_platform_is_away_known_keys_go_on_and_others_have_to_wait(
    verifier: PlatformVerifier, issuer: Issuer, clock: Clock
) -> None:
    issuer.broken = True
    with pytest.raises(IssuerUnavailableError):
        await verifier.verify("example", issuer.token(NOW), None, NOW)
    issuer.broken = False
    clock.at += keys.RETRY_S
    await verifier.verify("example", issuer.token(NOW), None, NOW)
    issuer.broken = True
    clock.at += keys.STALE_S + 1
    await verifier.verify("example", issuer.token(NOW), None, NOW)
    with pytest.raises(IssuerUnavailableError):
        await verifier.verify("example", issuer.token(NOW, kid="new"), None, NOW)
    await verifier.verify("example", issuer.token(NOW), None, NOW)


async def test_keys_that_cannot_be_trusted_are_left_out(
    verifier: PlatformVerifier, issuer: Issuer, clock: Clock
) -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    for_sealing = {**public("RS256", KEYS["RS256"], "sealing"), "use": "enc"}
    private = ALGORITHMS["RS256"].to_jwk(KEYS["RS256"], as_dict=True) | {"kid": "private"}
    broken = {"kty": "RSA", "kid": "broken"}
    issuer.keys = [public("RS256", short, "short"), for_sealing, broken, private, "nonsense"]  # type: ignore[list-item]
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = issuer.token(NOW, key=short, kid="short")
    for one in (token, *(issuer.token(NOW, kid=kid) for kid in ("sealing", "broken", "private"))):
        with pytest.raises(PlatformTokenError):
            await verifier.verify("example", one, None, NOW)
    issuer.text = "[" * 100_000  # no parser follows it to its end
    clock.at += keys.REFETCH_S
    with pytest.raises(IssuerUnavailableError):
        await verifier.verify("example", issuer.token(NOW, kid="new"), None, NOW)
    issuer.text = ""
    issuer.discovery["jwks_uri"] = "http://192.0.2.1/keys"
    clock.at += keys.REFETCH_S
    with pytest.raises(IssuerUnavailableError):
        await verifier.verify("example", issuer.token(NOW, kid="new"), None, NOW)


def test_the_file_of_platforms_is_read_and_its_mistakes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "oidc.yaml"
    file.write_text(
        "platforms:\n  - name: example\n    issuer: https://accounts.example.com\n    audience: my-game\n"
    )
    found = load(str(file)).find("example")
    assert found is not None
    assert (found.audience, found.algorithms) == (("my-game",), ("RS256", "ES256", "EdDSA"))
    assert list(load("")) == []
    for text, mistake in (
        ("platforms: [{name: a, issuer: 'http://example.com', audience: b}]", "https://"),
        ("platforms: [{name: a, issuer: 'https://a.b', audience: []}]", "audience"),
        ("platforms: [{name: a, issuer: 'https://a.b', audience: c, algorithms: [HS256]}]", "algorithms"),
        ("platforms: [{name: a, issuer: 'https://a.b', audience: c, secret: d}]", "secret"),
        (
            "platforms: [{name: a, issuer: 'https://a.b', audience: c},"
            " {name: a, issuer: 'https://c.d', audience: c}]",
            "two",
        ),
        ("platforms: {", "cannot be read"),
        ("[]", "file"),
    ):
        file.write_text(text)
        with pytest.raises(PlatformsError, match=mistake):
            load(str(file))
    with pytest.raises(PlatformsError, match="cannot be read"):
        load(str(tmp_path / "missing.yaml"))
