"""Why nothing can listen somewhere: one line each, which names the setting."""

from __future__ import annotations

import asyncio
import io
import socket
from pathlib import Path

import pytest

from launchday.engines import free_port
from launchday.launcher import lifecycle
from launchday.launcher.backend import Backend, BackendError, single_instance
from launchday.launcher.free_ports import free_ports
from launchday.launcher.listening import (
    why_no_address,
    why_no_game_address,
    why_no_game_addresses,
    why_no_game_port,
    why_no_loopback,
    why_not_bound,
    why_not_listening,
)
from launchday.launcher.services import SERVICES, with_urls
from launchday.settings import Settings, env_name
from launchday.terminal import Terminal

NONE_GIVEN = {service.name: "" for service in SERVICES}


def own_ports(**changed: object) -> Settings:
    """Settings on free ports, as another backend may run on this machine, and what a test changes."""
    return Settings().model_copy(update={**free_ports(Settings()), **changed})


def test_a_busy_port_is_told_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert why_not_bound("127.0.0.1", port, "fleet", "fleet_port") == (
            f"port {port} for the fleet is busy: stop what uses it, or set LAUNCHDAY_FLEET_PORT"
        )


def test_this_machine_reaches_itself() -> None:
    assert why_no_loopback() is None
    assert why_no_address("127.0.0.1") is None
    assert why_no_game_address("127.0.0.1") is None


def test_an_address_that_the_machine_has_not_is_told_with_its_setting() -> None:
    assert "set LAUNCHDAY_BIND_HOST" in str(why_no_address("192.0.2.1"))  # TEST-NET-1, RFC 5737
    reason = str(why_no_game_address("192.0.2.1"))
    assert "set LAUNCHDAY_GAME_BIND to one it has" in reason
    assert "LAUNCHDAY_GAME_PUBLIC_HOST to what players are to be given" in reason


def test_game_servers_may_have_an_address_of_ipv6() -> None:
    assert "2001:db8::1 is no address of this machine" in str(why_no_game_address("2001:db8::1"))
    if Path("/proc/net/if_inet6").exists():
        assert why_no_game_address("::1") is None


def test_all_addresses_of_a_machine_are_none_that_a_player_could_be_given() -> None:
    reason = why_no_game_addresses(Settings(game_bind="0.0.0.0"))
    assert "0.0.0.0 is no address that a player could reach: set LAUNCHDAY_GAME_PUBLIC_HOST" in str(reason)
    assert why_no_game_addresses(Settings(game_bind="0.0.0.0", game_public_host="203.0.113.10")) is None


def test_an_address_of_ipv6_stands_in_brackets_in_urls() -> None:
    settings = with_urls(Settings(bind_host="::1", meta_port=8101))
    assert settings.meta_url == "http://[::1]:8101"
    assert all("//[::1]:" in service.base_url(settings) for service in SERVICES)


def test_all_ports_that_are_taken_are_told_in_one_line_with_their_settings() -> None:
    settings = own_ports()
    taken = [service for service in SERVICES if service.name in ("rewards", "meta service", "director")]
    ports = [getattr(settings, service.port_setting) for service in taken]
    listeners = [socket.create_server(("127.0.0.1", port)) for port in ports]
    try:
        (line,) = why_not_listening(settings, NONE_GIVEN)
        for port, service in zip(ports, taken, strict=True):
            assert f"{port} of the {service.name} ({env_name(service.port_setting)})" in line
        assert line.endswith("stop what uses them, or set others; or take free ones with --ports free")
        listeners.pop().close()
        listeners.pop().close()
        (line,) = why_not_listening(settings, NONE_GIVEN)
        assert line.startswith(
            f"port {ports[0]} for the rewards is busy: stop what uses it, or set LAUNCHDAY_"
        )
    finally:
        for listener in listeners:
            listener.close()
    assert why_not_listening(settings, NONE_GIVEN) == []


def test_a_port_that_two_services_are_to_have_is_told_with_both_settings() -> None:
    port = free_port()
    (line,) = why_not_listening(own_ports(meta_port=port, fleet_port=port), NONE_GIVEN)
    assert "LAUNCHDAY_META_PORT or LAUNCHDAY_FLEET_PORT" in line


def test_ports_of_services_that_are_not_started_here_may_be_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = own_ports(fleet_port=listener.getsockname()[1])
        assert why_not_listening(settings, {**NONE_GIVEN, "fleet": "https://agones:443"}) == []


def test_game_servers_that_would_find_no_udp_port_are_told_of_with_the_settings_of_the_range() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        (line,) = why_not_listening(own_ports(game_port_min=port, game_port_max=port), NONE_GIVEN)
        assert f"{port} first" in line
        assert "set LAUNCHDAY_GAME_PORT_MIN and LAUNCHDAY_GAME_PORT_MAX" in line
    (line,) = why_not_listening(own_ports(game_port_min=7002, game_port_max=7001), NONE_GIVEN)
    assert "set LAUNCHDAY_GAME_PORT_MAX to at least 7002" in line


def test_free_ports_are_one_a_service_and_a_range_for_twice_as_many_game_servers() -> None:
    ports = [free_ports(Settings(max_servers=8)) for _ in range(2)]
    tcp = [found[service.port_setting] for found in ports for service in SERVICES]
    assert len(set(tcp)) == 2 * len(SERVICES)
    for found in ports:
        first, last = found["game_port_min"], found["game_port_max"]
        assert last - first + 1 == 16
        assert not any(why_no_game_port("127.0.0.1", port) for port in range(first, last + 1))


async def never(settings: Settings, stop: asyncio.Event, backend: Backend) -> int:
    raise AssertionError("nothing is to be started")


def test_a_held_state_folder_is_told_together_with_the_ports_that_are_taken(tmp_path: Path) -> None:
    with single_instance(tmp_path), socket.create_server(("127.0.0.1", 0)) as listener:
        settings = own_ports(state_dir=tmp_path, meta_port=listener.getsockname()[1])
        with pytest.raises(BackendError) as refused:
            lifecycle.run_with_backend(settings, never, Terminal(file=io.StringIO()), fresh=True)
    folder, ports = refused.value.lines
    assert folder.startswith(f"a backend already runs in {tmp_path}")
    assert "LAUNCHDAY_META_PORT" in ports


def test_backends_side_by_side_have_a_state_folder_and_ports_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []

    def check(backend: Backend) -> None:
        """In the place of the first look of a start: begin the next one meanwhile, then end this one."""
        seen.append(backend.settings)
        if len(seen) < 3:
            begin()
        raise BackendError("enough")

    def begin() -> None:
        settings = Settings(state_dir=tmp_path / "run", max_servers=8)
        silent = Terminal(file=io.StringIO())
        with pytest.raises(BackendError, match="enough"):
            lifecycle.run_with_backend(settings, never, silent, fresh=True, other_folders=tmp_path / "run")

    monkeypatch.setattr(Backend, "check", check)
    begin()
    assert [each.state_dir.name for each in seen] == ["run", "run-2", "run-3"]
    assert len({getattr(each, service.port_setting) for each in seen for service in SERVICES}) == 3 * len(
        SERVICES
    )
