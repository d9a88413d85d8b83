"""The engines under the services: each is an address from the settings, or an embedded server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr

from launchday import folders
from launchday.clock import SystemClock
from launchday.engines import ApacheKafka, Broker, EmbeddedServer, EngineError, Postgres, Valkey
from launchday.engines.probe import probe, unfit
from launchday.resilience.bus import Bus
from launchday.resilience.store_address import without_secrets
from launchday.settings import Settings, env_name

RUNNING_FILE = "engines.json"

ProgressCallback = Callable[[str], None]


@dataclass(frozen=True)
class EngineRole:
    """One engine that the services need.

    Attributes:
        role: "cache", "store" or "bus".
        setting: the setting whose address replaces the embedded server.
        embedded: the server that is started otherwise.
        folder: of its data, below ``state_dir``.
    """

    role: str
    setting: str
    embedded: type[EmbeddedServer]
    folder: str


EMBEDDED_ROLES = (
    EngineRole("cache", "cache_url", Valkey, "valkey"),
    EngineRole("store", "store_url", Postgres, "postgres"),
    EngineRole("bus", "kafka_bootstrap", Broker, "broker"),
)
APACHE_KAFKA_ROLE = EngineRole("bus", "kafka_bootstrap", ApacheKafka, "kafka")


def why_not_embedded(part: EngineRole, settings: Settings) -> str:
    """Why the settings of a role cannot be those of an embedded engine; "" where they can."""
    if part.role == "bus" and settings.kafka_security != "plaintext":
        return f"{env_name('kafka_security')} is for a Kafka of yours: set {env_name(part.setting)}"
    return ""


def engine_roles(settings: Settings) -> tuple[EngineRole, ...]:
    """Return the engines that these settings ask for, in the order of starting."""
    if settings.kafka_server == "apache":
        return (*EMBEDDED_ROLES[:-1], APACHE_KAFKA_ROLE)
    return EMBEDDED_ROLES


class EngineStack:
    """Starts the engines that the settings do not name, in ``state_dir``, and fills in every address.

    Args:
        settings: addresses given there win over embedded servers; missing keys are made up.
        fresh: start without the data of earlier starts (logs are kept). Only what we made is removed.
    """

    def __init__(self, settings: Settings, *, fresh: bool = False) -> None:
        self.settings = settings
        self.fresh = fresh
        self.servers: dict[str, EmbeddedServer] = {}

    def start(self, progress: ProgressCallback = lambda _: None) -> Settings:
        """Start every embedded server needed, one after the other, and return the completed settings.

        Raises EngineError when one cannot be had or does not answer; those already started are stopped first.
        """
        self.check_given()
        # One after the other: together they take 0.7 s, and a server is tied to the thread that started it.
        filled: dict[str, object] = {}
        try:
            for part in engine_roles(self.settings):
                given = getattr(self.settings, part.setting)
                if given:
                    progress(f"{part.role}: {without_secrets(given)} (from {env_name(part.setting)})")
                    continue
                filled[part.setting] = self._start_embedded(part)
                progress(f"{part.role}: {part.embedded.name} on port {self.servers[part.role].port}")
        except EngineError:
            self.stop()
            raise
        self.write_running_file()
        if not self.settings.identity_secret.get_secret_value() and not self.settings.identity_keys:
            filled["identity_secret"] = SecretStr(secrets.token_hex(32))
        if not self.settings.fleet_key.get_secret_value():
            filled["fleet_key"] = SecretStr(secrets.token_hex(32))
        self.settings = self.settings.model_copy(update=filled)
        return self.settings

    def stop(self) -> None:
        """Stop the embedded servers, the last started first."""
        for role in reversed(list(self.servers)):
            self.servers.pop(role).stop()
        running = self.settings.state_dir / RUNNING_FILE
        if _is_running_file(running):
            with contextlib.suppress(OSError):
                running.unlink()

    def check_folders(self) -> None:
        """Look whether a fresh start can remove what earlier ones left. Raises EngineError."""
        if not self.fresh:
            return
        embedded = [part for part in engine_roles(self.settings) if not getattr(self.settings, part.setting)]
        for part in embedded:
            folder = self.settings.state_dir / part.folder
            if reason := folders.why_not_cleared(folder, part.embedded.own_names):
                raise EngineError(f"{reason}: move it away, or set {env_name('state_dir')}")

    def check_given(self) -> None:
        """Ask every server that the settings name for its version.

        Raises EngineError where one does not answer, or would be refused by the services.
        """
        for part in engine_roles(self.settings):
            if given := getattr(self.settings, part.setting):
                bus = Bus.of(self.settings, SystemClock()) if part.role == "bus" else None
                _, problem = asyncio.run(probe(part.role, given, bus))
                if problem:
                    raise EngineError(f"{problem}: start it, or correct {env_name(part.setting)}")
                if reason := asyncio.run(unfit(part.role, given)):
                    raise EngineError(f"{without_secrets(given)}: {reason}")
            elif reason := why_not_embedded(part, self.settings):
                raise EngineError(reason)

    def write_running_file(self) -> None:
        """Write what runs where into `RUNNING_FILE`, for ``launchday doctor``."""
        started = {
            role: {"address": server.address, "pid": server.process.pid}
            for role, server in self.servers.items()
            if server.process is not None
        }
        running = self.settings.state_dir / RUNNING_FILE
        if os.path.lexists(running) and not _is_running_file(running):
            return  # somebody else's
        with contextlib.suppress(OSError):  # a full disk: the command finds no engines, and all goes on
            folders.write_whole(running, json.dumps(started).encode())

    def _start_embedded(self, part: EngineRole) -> str:
        folder = self.settings.state_dir / part.folder
        if self.fresh:
            try:
                folders.clear(folder, part.embedded.own_names)
            except folders.FolderError as error:
                raise EngineError(f"{error}, or set {env_name('state_dir')}") from error
        server = part.embedded(folder, self.settings.state_dir / "logs" / f"{part.folder}.log")
        self.servers[part.role] = server
        server.start()
        return server.address


def running_engines(state_dir: Path) -> dict[str, str]:
    """Return the addresses, by role, of embedded servers that run in this folder.

    They were started by a launcher that wrote `RUNNING_FILE`; those whose process has ended are left out.
    """
    started = _started(state_dir / RUNNING_FILE) or {}
    return {role: server["address"] for role, server in started.items() if psutil.pid_exists(server["pid"])}


def _is_running_file(path: Path) -> bool:
    return not path.is_symlink() and _started(path) is not None


def _started(path: Path) -> dict[str, Any] | None:
    """What a launcher wrote there: address and process by role; None where it is nothing of that form."""
    try:
        found = json.loads(path.read_text())
        if all(isinstance(one["address"], str) and isinstance(one["pid"], int) for one in found.values()):
            return dict(found)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    return None
