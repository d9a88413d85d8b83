"""The container files: no engine for containers is needed to check what can be checked without one."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml
from pydantic import SecretStr

from launchday.identity import key_folder
from launchday.identity.key_file import PUBLIC
from launchday.launcher.services import SERVICES
from launchday.settings import Settings, env_name
from meta_service import app as meta

COMPOSE = Path(__file__).parent.parent.parent / "compose"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((COMPOSE / "docker-compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def specification() -> dict[str, Any]:
    """The Compose specification's schema, as the check-jsonschema package carries it."""
    folder = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
    loaded: dict[str, Any] = json.loads((folder / "compose-spec.json").read_text())
    return loaded


def test_the_compose_file_is_valid_by_the_compose_specification(
    compose: dict[str, Any], specification: dict[str, Any]
) -> None:
    jsonschema.validate(compose, specification)


def test_the_schema_refuses_a_planted_mistake(compose: dict[str, Any], specification: dict[str, Any]) -> None:
    broken = {**compose, "services": {**compose["services"], "valkey": {"image": 9}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, specification)


def test_every_service_of_ours_has_a_container_that_runs_its_module(compose: dict[str, Any]) -> None:
    commands = {tuple(service["command"]) for service in compose["services"].values() if "build" in service}
    assert {(service.module,) for service in SERVICES} <= commands
    for (module,) in commands:
        assert importlib.util.find_spec(module), module


def test_every_service_of_ours_is_asked_whether_it_is_ready_and_read_by_prometheus(
    compose: dict[str, Any],
) -> None:
    scraped = yaml.safe_load((COMPOSE / "prometheus.yaml").read_text())["scrape_configs"][0]["static_configs"]
    targets = {target for config in scraped for target in config["targets"]}
    containers = {
        service["command"][0]: (name, service)
        for name, service in compose["services"].items()
        if "build" in service
    }
    defaults = Settings()
    for service in SERVICES:
        name, container = containers[service.module]
        port = getattr(defaults, service.port_setting)
        assert f"http://127.0.0.1:{port}/readyz" in container["healthcheck"]["test"][-1]
        assert container["expose"] == [str(port)]
        assert f"{name}:{port}" in targets
    assert len(targets) == len(SERVICES)


def test_every_setting_in_the_compose_file_is_one_of_ours(compose: dict[str, Any]) -> None:
    known = {env_name(name) for name in Settings.model_fields}
    for service in compose["services"].values():
        if "build" in service:
            assert set(service["environment"]) <= known


def test_with_keys_each_service_has_its_own_file_alone(
    compose: dict[str, Any], specification: dict[str, Any]
) -> None:
    keys = yaml.safe_load((COMPOSE / "keys.yaml").read_text())
    jsonschema.validate(keys, specification)
    given = {}
    for name, service in keys["services"].items():
        assert "build" in compose["services"][name]
        assert set(service["environment"]) == {env_name("identity_keys")}
        (mount,) = service["volumes"]
        given[name] = mount.rpartition("/run/keys.json")[0].rpartition("/")[2].removesuffix(".json:")
    owners = {owner.name for owner in key_folder.OWNERS}
    assert {name for name in given if given[name] in owners} == owners & set(compose["services"])
    assert all(file in (name, PUBLIC) for name, file in given.items())


def test_the_gateway_splits_by_path_and_keeps_internal_routes_inside() -> None:
    configuration = (COMPOSE / "nginx.conf").read_text()
    assert "location /v1/tickets" in configuration
    assert configuration.index("/v1/(internal|operator)/") < configuration.index("return 404")


def test_the_gateway_sends_each_players_route_to_the_service_that_has_it() -> None:
    """Nothing of the meta service is caught by the matchmaker's rule, and everything of both is reached."""
    configuration = (COMPOSE / "nginx.conf").read_text()
    rules = re.findall(r"location (?:~ )?(\S+) \{\s*(?:proxy_pass http://(\w+);|return 404;)", configuration)
    shut = "^/v1/(internal|operator)/"
    assert rules == [(shut, ""), ("/v1/tickets", "matchmaker"), ("/v1/", "meta"), ("/", "")]
    own = Settings(identity_secret=SecretStr("x" * 64), fleet_key=SecretStr("0" * 64))
    for path in meta.build(own).openapi()["paths"]:
        if path.startswith("/v1/internal/"):
            continue
        assert not path.startswith("/v1/tickets")
        assert path.startswith("/v1/") or path in ("/healthz", "/readyz", "/metrics")
