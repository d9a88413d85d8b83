"""A fleet in a process of its own: however it ends, nothing that it started stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2
import psutil
import pytest

from launchday.engines import free_port
from launchday.identity import signer_of
from launchday.settings import Settings, environment
from tests.dedicated_server.fleet.conftest import HERE
from tests.waiting import until_sync

FLEET = """
from dedicated_server.fleet.app import create_fleet
from launchday import service
from launchday.settings import settings
known = settings()
app = create_fleet(known, server_module="stand_in_server")
service.serve(app, known.bind_host, known.fleet_port, client_ca=known.fleet_client_ca)
"""


@pytest.fixture
def fleet_process(fleet_settings: Settings) -> Iterator[tuple[psutil.Process, httpx2.Client]]:
    port = free_port()
    shown = {"spectator_dir": str(fleet_settings.state_dir / "shown")}
    settings = fleet_settings.model_copy(update={"fleet_port": port, **shown})
    process = launch(settings)
    token = signer_of(settings, "loadtest").service_token("test", time.time())
    url = f"http://127.0.0.1:{port}"
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
        try:
            until_sync(lambda: ready_servers(http) == 4)
            yield psutil.Process(process.pid), http
        finally:
            process.kill()
            process.wait()


def launch(settings: Settings, stand_in: str = "") -> subprocess.Popen[bytes]:
    env = {**os.environ, **environment(settings), "PYTHONPATH": str(HERE), "STAND_IN": stand_in}
    with (settings.state_dir / "fleet.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-c", FLEET], env=env, stdout=log, stderr=log)


def ready_servers(http: httpx2.Client) -> int:
    try:
        counts: dict[str, int] = http.get("/v1/fleet").json()["total"]
    except httpx2.HTTPError:
        return 0
    return counts["Ready"]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


@pytest.fixture
def foreign_files(fleet_settings: Settings) -> Sequence[Path]:
    """Files of others in every folder of a fleet, before it starts."""
    names = (
        *("shown/theirs.feed", "notes", "fleet/notes", "spool/theirs.spool", "results/theirs.spool"),
        *("logs/servers/theirs.log", "logs/notes"),
    )
    files = [fleet_settings.state_dir / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file.name)
    return files


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_fleet_that_ends_and_all_of_others(
    foreign_files: Sequence[Path],
    fleet_process: tuple[psutil.Process, httpx2.Client],
    number: signal.Signals,
) -> None:
    process, _ = fleet_process
    [own] = [path for path in foreign_files[0].parent.iterdir() if path.is_dir()]
    (own / "left.feed").touch()
    started = process.children(recursive=True)
    assert len(started) == 5  # the warm parent and four servers
    process.send_signal(number)
    until_sync(lambda: gone([process, *started]))
    assert own.exists() == (number == signal.SIGKILL)
    assert [file.read_text() for file in foreign_files] == [file.name for file in foreign_files]


def test_ctrl_c_in_its_terminal_reaches_the_fleet_alone(
    fleet_process: tuple[psutil.Process, httpx2.Client],
) -> None:
    process, _ = fleet_process
    groups = {os.getpgid(child.pid) for child in process.children(recursive=True)}
    assert os.getpgid(process.pid) not in groups


def test_a_fleet_whose_warm_parent_cannot_warm_up_ends_and_says_where_to_look(
    fleet_settings: Settings,
) -> None:
    process = launch(fleet_settings, stand_in="cannot warm up")
    assert process.wait() != 0
    folder = fleet_settings.state_dir
    assert "warm-parent.log" in (folder / "fleet.log").read_text()
    assert "a library is missing" in (folder / "logs" / "warm-parent.log").read_text()


def test_a_fleet_told_to_stop_while_it_warms_up_stops_at_once(fleet_settings: Settings) -> None:
    process = launch(fleet_settings, stand_in="warms up for ever")
    log = fleet_settings.state_dir / "logs" / "warm-parent.log"
    until_sync(lambda: log.exists() and "warming" in log.read_text())
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert gone(started)
