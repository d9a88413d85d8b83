"""What doctor says of the engines: which is in use, its version, where it listens, what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from launchday.cli.doctor import examine
from launchday.engines import EngineError, Postgres, Valkey, stack
from launchday.engines.probe import probe
from launchday.engines.stack import EngineStack
from launchday.settings import Settings


def test_it_names_the_embedded_servers_that_run_and_where(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    running = EngineStack(settings)
    running.start()
    try:
        found = {engine["role"]: engine for engine in examine(settings)["engines"]}
        assert {role: found[role]["address"] for role in found} == {
            role: server.address for role, server in running.servers.items()
        }
    finally:
        running.stop()
    assert stack.running_engines(tmp_path) == {}
    engines = examine(settings)["engines"]
    assert all("not running" in engine["address"] and engine["version"] for engine in engines)


async def test_it_asks_servers_of_yours_for_their_version(
    cache_url: str, store_url: str, kafka_bootstrap: str
) -> None:
    assert await probe("cache", cache_url) == ("9.1.2", "")
    version, problem = await probe("store", store_url)
    assert version.startswith("18.")
    assert not problem
    assert await probe("bus", kafka_bootstrap) == ("answers", "")
    assert await probe("bus", f"127.0.0.1:9, {kafka_bootstrap}") == ("answers", "")


async def test_a_server_of_yours_that_is_away_is_said_in_one_line() -> None:
    for role, address in (
        ("cache", "redis://127.0.0.1:9"),
        ("store", "postgresql://127.0.0.1:9/x"),
        ("bus", "127.0.0.1:9"),
        ("bus", "127.0.0.1:9,127.0.0.1:10"),
        ("bus", "nonsense"),
    ):
        version, problem = await probe(role, address)
        assert version == ""
        assert f"the {role} at {address} cannot be reached" in problem
        assert "\n" not in problem


def test_the_command_prints_json_and_fails_when_something_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "launchday.cli", "doctor", "--json"],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "LAUNCHDAY_CACHE_URL": "redis://127.0.0.1:9",
            "LAUNCHDAY_STATE_DIR": str(tmp_path),
        },
    )
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert len(found["missing"]) == 1
    assert found["settings"]["identity_secret"] == "(made up at each start)"


def test_an_engine_of_yours_that_answers_but_does_not_fit_is_said_with_the_line_to_type(
    tmp_path: Path, valkey_server: Valkey, postgres_server: Postgres
) -> None:
    given = Settings(state_dir=tmp_path, cache_url=valkey_server.address, store_url=postgres_server.address)
    assert not examine(given)["fit"]  # nobody has migrated that database
    with redis.Redis.from_url(valkey_server.address) as cache:
        cache.config_set("maxmemory-policy", "allkeys-lru")
        cache.config_set("appendfsync", "everysec")
        try:
            engines = {engine["role"]: engine for engine in examine(given)["engines"]}
            with pytest.raises(EngineError, match="maxmemory-policy noeviction"):
                EngineStack(given).check_given()
        finally:
            cache.config_set("maxmemory-policy", "noeviction")
            cache.config_set("appendfsync", "always")
    evicts, synced = engines["cache"]["faults"]
    assert evicts["refuse"]
    assert "config set maxmemory-policy noeviction" in evicts["remedy"].lower()
    assert not synced["refuse"]
    (schema,) = engines["store"]["faults"]
    assert schema["refuse"]
    assert "python -m meta_service.store.schema" in schema["remedy"]
