"""The address of Kafka, and how its brokers are spoken to: in the clear or by TLS, with or without a login.

A `Bus` goes where the address alone went, and what is done with a broker takes either: ``str`` of both is
``host:port,…``. Whoever makes a client of aiokafka gives it `Bus.options`.
"""

from __future__ import annotations

import functools
import ssl
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from launchday.clock import Clock
from launchday.resilience.bus_token import TokenCommand
from launchday.resilience.store_address import without_secrets
from launchday.settings import Settings, SettingsError, env_name

TLS = ("ssl", "sasl_ssl")
SASL = ("sasl_plaintext", "sasl_ssl")


@dataclass(frozen=True, eq=False)
class Bus:
    """Where Kafka is, and how to speak to it.

    Attributes:
        bootstrap: ``host:port,…`` of some of its brokers.
        security: one of plaintext, ssl, sasl_plaintext, sasl_ssl, as Kafka calls them.
        tls: for those with ssl: whom to trust, and what to show.
        shows_certificate: whether ``tls`` has a certificate of ours.
        mechanism: of the login, for those with sasl.
        user, password: of the login, but for OAUTHBEARER.
        tokens: gives those of OAUTHBEARER.
        replication: copies of each record in topics that we make; −1: the brokers' default.
    """

    bootstrap: str
    security: str = "plaintext"
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    shows_certificate: bool = False
    mechanism: str = ""
    user: str = ""
    password: SecretStr = field(default_factory=lambda: SecretStr(""))
    tokens: TokenCommand | None = field(default=None, repr=False)
    replication: int = -1

    def __str__(self) -> str:
        return self.bootstrap

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> Bus:
        """The bus of the settings; make one a process, for it keeps the token.

        Raises:
            SettingsError: something is missing, an address is none, or a file cannot be read.
        """
        if settings.kafka_bootstrap:
            for place in settings.kafka_bootstrap.split(","):
                if host_and_port(place) is None:
                    shown = without_secrets(place.strip())
                    raise SettingsError(
                        f"{env_name('kafka_bootstrap')} must be host:port,…: {shown!r} is not"
                    )
        for setting, why in _lacks(settings):
            raise SettingsError(f"{env_name(setting)} {why}, with {env_name('kafka_security')} as it is")
        by_token = settings.kafka_mechanism == "OAUTHBEARER"
        with_login = settings.kafka_security in SASL
        return cls(
            bootstrap=settings.kafka_bootstrap,
            security=settings.kafka_security,
            tls=_tls(settings) if settings.kafka_security in TLS else None,
            shows_certificate=bool(settings.kafka_certificate),
            mechanism=settings.kafka_mechanism if with_login else "",
            user=settings.kafka_user,
            password=settings.kafka_password,
            tokens=TokenCommand(settings.kafka_token_command, clock) if with_login and by_token else None,
            replication=settings.kafka_replication,
        )

    def options(self) -> dict[str, Any]:
        """What a client of aiokafka's is made with: the addresses, and all that concerns security."""
        found: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security.upper(),
            "ssl_context": self.tls,
        }
        if self.security not in SASL:
            return found
        found["sasl_mechanism"] = self.mechanism
        if self.tokens is not None:
            return found | {"sasl_oauth_token_provider": self._provider}
        return found | {
            "sasl_plain_username": self.user,
            "sasl_plain_password": self.password.get_secret_value(),
        }

    @functools.cached_property
    def _provider(self) -> Any:
        from aiokafka.abc import AbstractTokenProvider  # it costs 0.2 s, and most buses need none

        tokens = self.tokens

        class Tokens(AbstractTokenProvider):  # type: ignore[misc]
            async def token(self) -> str:
                from aiokafka.errors import KafkaConnectionError

                assert tokens is not None
                try:
                    return await tokens.token()
                except OSError as error:  # to a client it is as a broker that is away
                    raise KafkaConnectionError(str(error)) from error

        return Tokens()


BusAddress = Bus | str
"""A bus, or ``host:port,…`` of one that is spoken to in the clear and without a login."""


def bus_at(address: BusAddress) -> Bus:
    """Return the bus of an address."""
    return address if isinstance(address, Bus) else Bus(address)


def host_and_port(place: str) -> tuple[str, int] | None:
    """Of one address of a broker; None where it is none."""
    host, _, port = place.strip().rpartition(":")
    if not host or "@" in host or "/" in host or not (port.isascii() and port.isdigit()):
        return None
    return (host.strip("[]"), int(port)) if 0 < int(port) < 65_536 else None


def _lacks(settings: Settings) -> list[tuple[str, str]]:
    """Which settings are missing, and what each has to be."""
    found = []
    if settings.kafka_security in SASL:
        if settings.kafka_mechanism == "OAUTHBEARER":
            if not settings.kafka_token_command.strip():
                found.append(("kafka_token_command", "must be a command that prints a token"))
        else:
            if not settings.kafka_user:
                found.append(("kafka_user", "must be the name to log in with"))
            if not settings.kafka_password.get_secret_value():
                found.append(("kafka_password", "must be that user's password"))
    if settings.kafka_certificate_key and not settings.kafka_certificate:
        found.append(("kafka_certificate", "must be the file of the certificate of that key"))
    return found


def _tls(settings: Settings) -> ssl.SSLContext:
    """Raises SettingsError."""
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca or None)
    except (OSError, ValueError) as error:  # SSLError is one of the first; a name with a NUL, of the others
        raise SettingsError(
            f"{env_name('kafka_ca')}: {settings.kafka_ca} is no PEM file of authorities: {_why(error)}"
        ) from error
    if settings.kafka_certificate:
        try:
            context.load_cert_chain(
                settings.kafka_certificate, settings.kafka_certificate_key or None, password=_no_passphrase
            )
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{env_name('kafka_certificate')}: {settings.kafka_certificate} and its key cannot be used: "
                f"{_why(error)}"
            ) from error
    return context


def _no_passphrase() -> str:
    """OpenSSL would ask at the terminal, and a service waits there for ever."""
    raise ValueError("the key has a passphrase: openssl pkey -in KEY -out KEY-WITHOUT")


def _why(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    said = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return str(said).lower().replace("_", " ")
