"""An address of the store means what libpq's does, knows of a pooler, and never shows a password."""

from __future__ import annotations

import asyncpg
import pytest

from launchday.resilience import store_address
from launchday.resilience.store_address import explained, parse, without_secrets

HOSTS = "postgresql://user:secret@one:5433,two,[::1]:5434/db?sslmode=verify-full&sslrootcert=/etc/ca.pem"


def test_several_hosts_are_sought_for_the_one_that_takes_writes() -> None:
    found = parse(HOSTS)
    assert found.hosts == (("one", 5433), ("two", 5432), ("::1", 5434))
    assert (found.dsn, found.wants, found.is_pooled) == (HOSTS, "read-write", False)
    assert parse(f"{HOSTS}&target_session_attrs=prefer-standby").wants == "prefer-standby"


def test_one_host_is_left_to_asyncpg_as_it_is() -> None:
    for url in ("postgresql://user@one/db?sslmode=require", "postgresql:///db?host=/run/postgresql"):
        assert parse(url) == store_address.StoreAddress(url, (), False, "any")


@pytest.mark.parametrize(
    ("parameters", "is_pooled"),
    [("pooler=transaction", True), ("pgbouncer=true", True), ("pooler=none", False)],
)
def test_a_pooler_is_a_parameter_that_the_server_does_not_see(parameters: str, is_pooled: bool) -> None:
    found = parse(f"postgresql://user@one/db?sslmode=require&{parameters}")
    assert (found.dsn, found.is_pooled) == ("postgresql://user@one/db?sslmode=require", is_pooled)


@pytest.mark.parametrize("url", ["postgresql://one/db?pooler=session", "postgresql://one,:5/db"])
def test_what_makes_no_sense_is_said(url: str) -> None:
    with pytest.raises(ValueError, match="store's address"):
        parse(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (HOSTS, HOSTS.replace("secret", "…")),
        ("postgresql://u:p%40ss@h/db", "postgresql://u:…@h/db"),
        ("postgresql://h/db?password=secret&sslpassword=s2", "postgresql://h/db?password=…&sslpassword=…"),
        ("redis://:secret@h:6379/0", "redis://:…@h:6379/0"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_its_passwords(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_a_lost_statement_says_what_to_set() -> None:
    lost = asyncpg.InvalidSQLStatementNameError('prepared statement "__asyncpg_stmt_b__" does not exist')
    assert explained(lost).endswith(f"in between: {store_address.POOLER_REMEDY}")
    assert explained(ConnectionResetError()) == "ConnectionResetError: "
