"""The settings of a Kafka with security: what has to be there, and that no secret shows."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from dedicated_server.fleet.client import mutual_tls
from launchday.cache_address import CacheAddress
from launchday.cli import doctor
from launchday.clock import SystemClock
from launchday.engines import stack
from launchday.resilience.bus import Bus, bus_at
from launchday.resilience.cache_login import connection_options
from launchday.settings import Settings, SettingsError, environment
from tests.optional import needs

LOGIN: dict[str, Any] = {
    "kafka_security": "SASL_SSL",
    "kafka_user": "rewards",
    "kafka_password": SecretStr("sesame"),
}


def bus_of(**settings: Any) -> Bus:
    return Bus.of(Settings(**{"kafka_bootstrap": "kafka-1:9092,kafka-2:9092"} | settings), SystemClock())


def test_an_address_alone_is_spoken_to_in_the_clear() -> None:
    assert bus_at("kafka-1:9092").options() == {
        "bootstrap_servers": "kafka-1:9092",
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }
    assert str(bus_of()) == "kafka-1:9092,kafka-2:9092"


def test_a_login_reaches_the_client_and_shows_nowhere() -> None:
    bus = bus_of(**LOGIN)
    options = bus.options()
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("rewards", "sesame")
    assert options["ssl_context"].check_hostname
    assert "sesame" not in f"{bus} {bus!r}"


def test_a_game_server_gets_the_login_with_its_environment() -> None:
    given = environment(Settings(**LOGIN))
    assert given["LAUNCHDAY_KAFKA_SECURITY"] == "sasl_ssl"
    assert given["LAUNCHDAY_KAFKA_PASSWORD"] == "sesame"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kafka_bootstrap": "127.0.0.1:99999"}, "LAUNCHDAY_KAFKA_BOOTSTRAP must be host:port,…: '127"),
        ({"kafka_bootstrap": "h:1, "}, "LAUNCHDAY_KAFKA_BOOTSTRAP must be host:port,…: '' is not"),
        ({"kafka_bootstrap": "kafka://a:sesame@h:1"}, "LAUNCHDAY_KAFKA_BOOTSTRAP must be host:port"),
        ({"kafka_bootstrap": "a:sesame@h:1"}, "must be host:port,…: 'a:…@h:1' is not"),
        ({"kafka_security": "sasl_ssl"}, "LAUNCHDAY_KAFKA_USER must be"),
        ({"kafka_security": "sasl_ssl", "kafka_user": "a"}, "LAUNCHDAY_KAFKA_PASSWORD must be"),
        ({**LOGIN, "kafka_mechanism": "OAUTHBEARER"}, "LAUNCHDAY_KAFKA_TOKEN_COMMAND must be"),
        ({**LOGIN, "kafka_certificate_key": "x.key"}, "LAUNCHDAY_KAFKA_CERTIFICATE must be"),
        ({**LOGIN, "kafka_ca": "/nonexistent.pem"}, "LAUNCHDAY_KAFKA_CA: /nonexistent.pem is no PEM file"),
        ({**LOGIN, "kafka_certificate": "/nonexistent.pem"}, "LAUNCHDAY_KAFKA_CERTIFICATE: /nonexistent.pem"),
    ],
)
def test_what_is_missing_is_said_in_one_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        bus_of(**settings)
    assert "\n" not in str(refused.value)
    assert "sesame" not in str(refused.value)


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    with pytest.raises(SettingsError, match=r"ca\.pem is no PEM file of authorities"):
        bus_of(**LOGIN, kafka_ca=str(tmp_path / "ca.pem"))


@needs("openssl")
def test_a_key_with_a_passphrase_asks_nobody_at_the_terminal(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    made += ["-passout", "pass:sesame", "-subj", "/CN=a", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True, timeout=30)
    files = {"kafka_certificate": str(certificate), "kafka_certificate_key": str(key)}
    with pytest.raises(SettingsError, match="the key has a passphrase: openssl pkey"):
        bus_of(**LOGIN, **files)
    with pytest.raises(ssl.SSLError):
        mutual_tls("", str(certificate), str(key))
    url = f"rediss://127.0.0.1:1?ssl_certfile={certificate}&ssl_keyfile={key}"
    assert connection_options(CacheAddress.of(url))["ssl_password"] == ""


def test_a_secret_in_the_command_that_prints_tokens_is_not_shown() -> None:
    assert doctor._shown("kafka_token_command", "/bin/token --secret sesame") == "/bin/token …"
    assert doctor._shown("kafka_token_command", " ") == " "
    assert doctor._shown("kafka_bootstrap", "h:1,a:sesame@h:2") == "h:1,a:…@h:2"


def test_security_without_an_address_is_told_before_anything_starts() -> None:
    bus = stack.EMBEDDED_ROLES[-1]
    assert stack.why_not_embedded(bus, Settings()) == ""
    said = stack.why_not_embedded(bus, Settings(kafka_security="ssl"))
    assert said == "LAUNCHDAY_KAFKA_SECURITY is for a Kafka of yours: set LAUNCHDAY_KAFKA_BOOTSTRAP"
