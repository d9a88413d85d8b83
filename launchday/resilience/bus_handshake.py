"""Whether a client of ours gets through to Kafka, and if not, why: one line that says what to set.

A client of aiokafka's says of all of this "unable to bootstrap". So each address is connected to here as a
client would, login included, and what went wrong is asked again in a way that tells more.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

from launchday.resilience.bus import SASL, TLS, Bus, BusAddress, bus_at, host_and_port
from launchday.resilience.bus_connection import connect
from launchday.resilience.bus_token import NoTokenError
from launchday.resilience.parts import API_VERSIONS_REQUEST
from launchday.resilience.store_address import without_secrets
from launchday.settings import env_name

ANSWER_MS = 3_000  # of one request
SECURITY, CA, CERTIFICATE = map(env_name, ("kafka_security", "kafka_ca", "kafka_certificate"))
MECHANISM, USER, PASSWORD = map(env_name, ("kafka_mechanism", "kafka_user", "kafka_password"))
_NO_TLS = f"it does not speak TLS: {SECURITY}={{}}, or another port"
_NO_MECHANISM = "NONE"  # asked for to be told which there are; a broker without logins says yes to any
_WRONG_NAME = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH
_EXPIRED = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, …_HAS_EXPIRED


async def why_not(address: BusAddress) -> str | None:
    """Connect, log in and ask for the brokers, at one address after the other until one answers.

    Then the brokers that it names are connected to: clients go there and not to the address that was given.

    Returns:
        None where all is well; otherwise one line that says what is wrong and what to set.
    """
    bus = bus_at(address)
    reason: str | None = "no address is given"
    for place in bus.bootstrap.split(","):
        if (found := host_and_port(place)) is None:
            reason = f"{without_secrets(place.strip())!r} is not host:port"
            continue
        reason, brokers = await _ask(bus, *found)
        if reason is None:
            return await _why_not_brokers(bus, brokers)
    return reason


async def _why_not_brokers(bus: Bus, brokers: list[tuple[str, int]]) -> str | None:
    """The same of the brokers that were named, all at once."""
    for (host, port), (reason, _) in zip(
        brokers, await asyncio.gather(*(_ask(bus, host, port) for host, port in brokers)), strict=True
    ):
        if reason is not None:
            return f"{reason} (the brokers name themselves {host}:{port}: advertised.listeners)"
    return None


async def _ask(bus: Bus, host: str, port: int) -> tuple[str | None, list[tuple[str, int]]]:
    """What is wrong with one broker, and which brokers it names."""
    place = f"{host}:{port}"
    connection = None
    try:
        connection = await connect(bus, host, port, answer_ms=ANSWER_MS)
        answer = await connection.send(MetadataRequest([]))
        return None, [(broker[1], broker[2]) for broker in answer.brokers]
    except (KafkaError, OSError, TimeoutError, ValueError) as error:  # ValueError: of what SCRAM answers
        return f"{place}: {await _explained(bus, host, port, error)}", []
    finally:
        if connection is not None:
            connection.close()


async def _explained(bus: Bus, host: str, port: int, error: BaseException) -> str:
    """Say what an error of connecting means, and what to set."""
    for cause in _causes(error):
        if isinstance(cause, NoTokenError):
            return str(cause)
        if isinstance(cause, ssl.SSLError):
            return _explained_tls(bus, cause)
    if isinstance(error, UnsupportedSaslMechanismError):
        offered = await _offered(bus, host, port)
        but = f", but by {offered}" if offered else ""
        return f"it does not log in by {bus.mechanism}{but}: set {MECHANISM}, or {SECURITY}"
    if isinstance(error, IllegalSaslStateError):
        return f"it asks for no login: {SECURITY}={'ssl' if bus.security in TLS else 'plaintext'}"
    if isinstance(error, SaslAuthenticationFailed) or "authentication" in str(error).lower():
        return _explained_login(bus)
    if isinstance(error, TimeoutError):
        if bus.security in TLS and await _speaks_plainly(host, port):
            return _NO_TLS.format("sasl_plaintext" if bus.security in SASL else "plaintext")
        return "no answer: is that Kafka, and does a firewall let this machine in?"
    if isinstance(error, KafkaConnectionError):  # it hung up
        if bus.security not in TLS and await _speaks_tls(host, port):
            return f"it wants TLS: {SECURITY}={'sasl_ssl' if bus.security in SASL else 'ssl'}"
        if bus.security not in SASL and (offered := await _offered(bus, host, port)):
            security = "sasl_ssl" if bus.security in TLS else "sasl_plaintext"
            return f"it wants a login, by {offered}: {SECURITY}={security}"
        if bus.tokens is not None:  # what it says of a token that it refuses
            return _explained_login(bus)
        return f"it hangs up: see its log, and {SECURITY}"
    if isinstance(error, ConnectionError) and bus.security in TLS and await _speaks_plainly(host, port):
        return _NO_TLS.format("sasl_plaintext" if bus.security in SASL else "plaintext")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _explained_login(bus: Bus) -> str:
    if bus.tokens is not None:
        return (
            f"it refuses the token of {env_name('kafka_token_command')}: see its issuer, audience and clock"
        )
    return f"it refuses the login of {bus.user} by {bus.mechanism}: see {USER}, {PASSWORD} and {MECHANISM}"


def _explained_tls(bus: Bus, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _WRONG_NAME:
            return "its certificate is for another host name: use a name of its certificate as the address"
        if error.verify_code in _EXPIRED:
            return f"its certificate is not valid now: renew it, or set this clock: {error.verify_message}"
        return f"its certificate is of an authority that is not trusted: name its file in {CA}"
    reason = error.reason or ""
    if "ALERT" in reason:
        said = reason.lower().replace("_", " ")
        return (
            f"it refuses the certificate that is shown ({said}): see {CERTIFICATE}"
            if bus.shows_certificate
            else f"it wants to be shown a certificate ({said}): set {CERTIFICATE}"
        )
    return _NO_TLS.format("sasl_plaintext" if bus.security in SASL else "plaintext")


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


async def _offered(bus: Bus, host: str, port: int) -> str:
    """Which mechanisms of logging in a broker offers, as one text; "" where it does not say."""
    connection = None
    try:
        without = "SSL" if bus.security in TLS else "PLAINTEXT"
        connection = await connect(bus, host, port, answer_ms=ANSWER_MS, security_protocol=without)
        answer = await connection.send(SaslHandShakeRequest(_NO_MECHANISM))
        return ", ".join(sorted({*answer.enabled_mechanisms} - {_NO_MECHANISM}))
    except (KafkaError, OSError, TimeoutError):
        return ""
    finally:
        if connection is not None:
            connection.close()


async def _speaks_plainly(host: str, port: int) -> bool:
    """Whether Kafka's first request is answered without TLS."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_MS / 1000):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(API_VERSIONS_REQUEST)
                return bool(await reader.read(8))
            finally:
                writer.transport.abort()
    return False


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake begins well, whoever is at the other end: nothing else is sent."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_MS / 1000):
            _, writer = await asyncio.open_connection(host, port, ssl=anybody)
        writer.transport.abort()
        return True
    return False
