"""``launchday doctor``: what is installed or missing, which server each engine is, and every setting in
force.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.text import Text

from launchday import kernel_cache
from launchday.cli.doctor_admission import admission_rows, admission_table
from launchday.cli.doctor_engines import engine_faults, faults_of_bus
from launchday.cli.doctor_limits import few_descriptors, limits, limits_table
from launchday.cli.doctor_modes import modes_in_force, modes_table
from launchday.clock import SystemClock
from launchday.engines import EngineError, stack
from launchday.engines.probe import probe
from launchday.identity.of_settings import why_no_keys
from launchday.launcher.listening import why_no_address, why_no_game_addresses, why_no_loopback, why_not_bound
from launchday.launcher.services import SERVICES
from launchday.resilience.bus import Bus
from launchday.resilience.store_address import without_secrets
from launchday.settings import Settings, SettingsError, env_name
from launchday.terminal import Terminal, table

PACKAGES = (
    "numba",
    "numpy",
    "redis",
    "aiokafka",
    "asyncpg",
    "asyncio-dgram",
    "fastapi",
    "PyNaCl",
    "protobuf",
    "locust",
)

_EMPTY_SECRETS = {"kafka_password": ""}  # the others are made up where none is given


def examine(settings: Settings) -> dict[str, Any]:
    """Examine this machine without starting anything.

    Engines that the settings name are asked for their version.

    Returns:
        Plain data, ready for JSON; ``missing`` has one line for each thing that is not there; ``fit`` says
        whether no engine would be refused by a service.
    """
    engines = [_examine_engine(part, settings) for part in stack.engine_roles(settings)]
    ports = [
        {
            "service": s.name,
            "port": getattr(settings, s.port_setting),
            "setting": env_name(s.port_setting),
        }
        for s in SERVICES
        if getattr(settings, s.port_setting)
    ]
    for port in ports:
        port["free"] = why_not_bound(settings.bind_host, int(port["port"]), "", "") is None
    packages = {name: _version(name) for name in PACKAGES}
    cache = kernel_cache.configure()
    missing = [str(engine["missing"]) for engine in engines if engine["missing"]]
    missing += filter(
        None,
        (
            why_no_loopback(),
            why_no_address(settings.bind_host),
            why_no_game_addresses(settings),
            why_no_keys(settings),
        ),
    )
    modes, wrong_modes = modes_in_force(settings)
    missing += wrong_modes
    missing += [
        f"{name} is not installed: run make setup" for name, version in packages.items() if not version
    ]
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "engines": engines,
        "ports": ports,
        "packages": packages,
        "java": shutil.which("java") is not None,
        "kernel_cache": str(cache) if cache else "",
        "kernels_compiled": len(list(Path(cache).rglob("*.nbi"))) if cache else 0,
        "modes": modes,
        "limits": limits(settings, max((each["players_full"] for each in modes), default=0)),
        "admission": admission_rows(settings),
        "settings": {name: _shown(name, getattr(settings, name)) for name in type(settings).model_fields},
        "missing": missing,
        "fit": not any(fault["refuse"] for engine in engines for fault in engine["faults"]),
    }


def _examine_engine(part: stack.EngineRole, settings: Settings) -> dict[str, Any]:
    """Describe the server of one engine: the user's, an embedded one that runs, or one yet to be started."""
    found: dict[str, Any] = {
        "role": part.role,
        "replace_with": env_name(part.setting),
        "version": "",
        "missing": "",
        "faults": [],
    }
    if given := getattr(settings, part.setting):
        try:
            bus = Bus.of(settings, SystemClock()) if part.role == "bus" else None
            version, problem = asyncio.run(probe(part.role, given, bus))
        except SettingsError as error:
            bus, version, problem = None, "", str(error)
        return found | {
            "name": "yours",
            "embedded": False,
            "address": without_secrets(given),
            "version": version,
            "missing": problem,
            "faults": []
            if problem
            else [
                asdict(fault)
                for fault in (
                    faults_of_bus(bus, settings.topic_prefix)
                    if bus is not None
                    else engine_faults(part.role, given, settings.rules, settings.seasons, settings)
                )
            ],
        }
    addresses = [
        stack.running_engines(folder).get(part.role)
        for folder in (settings.state_dir / "run", settings.state_dir)
    ]
    address = next(filter(None, addresses), "not running; takes a free loopback port")
    try:
        version, problem = part.embedded.version(), stack.why_not_embedded(part, settings)
    except EngineError as error:
        version, problem = "", str(error)
    return found | {
        "name": part.embedded.name,
        "embedded": True,
        "address": address,
        "version": version,
        "missing": problem,
    }


def show(found: dict[str, Any], console: Terminal) -> None:
    """Print what ``examine`` found as tables."""
    console.print(f"Python {found['python']} on {found['machine']}")
    engines = table("part", "server", "version", "address", "replace it with", title="Engines")
    for engine in found["engines"]:
        version = Text("missing", "red") if engine["missing"] else engine["version"]
        engines.add_row(engine["role"], engine["name"], version, engine["address"], engine["replace_with"])
    console.print(engines)
    ports = table("service", "port", "now", "setting", title="Ports")
    for port in found["ports"]:
        ports.add_row(
            port["service"], str(port["port"]), "free" if port["free"] else "in use", port["setting"]
        )
    console.print(ports)
    packages = table("package", "version", title="Packages")
    for name, version in found["packages"].items():
        packages.add_row(name, version or Text("missing", "red"))
    console.print(packages)
    console.print(modes_table(found["modes"]))
    console.print(limits_table(found["limits"]))
    console.print(admission_table(found["admission"]))
    settings = table("setting", "value", "meaning", title="Settings")
    for name, value in found["settings"].items():
        settings.add_row(env_name(name), value, Settings.model_fields[name].description or "")
    console.print(settings)
    kept = found["kernel_cache"] or "no folder: set NUMBA_CACHE_DIR to one that can be written"
    console.print(f"compiled kernels: {found['kernels_compiled']} in {kept}")
    for line in filter(None, (few_descriptors(found["limits"]), found["limits"]["small_sockets"])):
        console.print(Text("warning:", "yellow"), line)
    for engine in found["engines"]:
        for fault in engine["faults"]:
            kind = Text("refused:", "red") if fault["refuse"] else Text("warning:", "yellow")
            console.print(kind, f"{fault['text']}: {fault['remedy']}")
    for line in found["missing"]:
        console.print(Text("missing:", "red"), line)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _shown(name: str, value: object) -> str:
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else _EMPTY_SECRETS.get(name, "(made up at each start)")
    if name == "kafka_token_command" and str(value).strip():
        return f"{str(value).split()[0]} …"  # a client's secret is often one of its words
    is_address = name == "kafka_bootstrap" or "://" in str(value)
    return without_secrets(str(value)) if is_address else str(value)
