"""The load balancer for real: nginx with our configuration before a real meta service and matchmaker."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

from launchday import child_processes
from launchday.engines import free_port
from launchday.settings import Settings, environment
from matchmaker.client import MatchmakerClient
from meta_service.client import MetaClient
from tests.optional import needs
from tests.waiting import until_sync

pytestmark = [needs("nginx"), pytest.mark.timeout(120)]

CONFIGURATION = Path(__file__).parents[2] / "compose" / "nginx.conf"


@contextmanager
def running(argv: list[str], url: str, log: Path, env: dict[str, str]) -> Iterator[None]:
    """A process, from when it answers at ``url``."""
    process = child_processes.spawn(argv, log=log, env=env)
    try:
        until_sync(lambda: answers(url) or process.poll() is not None, f"{url} answers", within_s=60.0)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        child_processes.stop(process, 5.0)


def answers(url: str) -> bool:
    try:
        httpx2.get(url)
    except httpx2.HTTPError:
        return False
    return True


@pytest.fixture
def gateway(settings: Settings, tmp_path: Path) -> Iterator[str]:
    """The base URL of nginx before both services."""
    ports = {"meta_port": free_port(), "matchmaker_port": free_port()}
    meta_url = f"http://127.0.0.1:{ports['meta_port']}"
    completed = settings.model_copy(update={**ports, "meta_url": meta_url})
    env = {**os.environ, **environment(completed)}
    with ExitStack() as services:
        for name, module in (("meta", "meta_service"), ("matchmaker", "matchmaker")):
            url = f"http://127.0.0.1:{ports[f'{name}_port']}/healthz"
            services.enter_context(
                running([sys.executable, "-m", module], url, tmp_path / f"{name}.log", env)
            )
        port = free_port()
        argv = nginx(tmp_path, port, **ports)
        services.enter_context(
            running(argv, f"http://127.0.0.1:{port}/", tmp_path / "nginx.log", dict(os.environ))
        )
        yield f"http://127.0.0.1:{port}"


def nginx(folder: Path, port: int, meta_port: int, matchmaker_port: int) -> list[str]:
    """The command of an nginx that needs no root; of the configuration only names and places are changed."""
    ours = CONFIGURATION.read_text()
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    for name, here in (
        ("meta:8101", f"127.0.0.1:{meta_port}"),
        ("matchmaker:8102", f"127.0.0.1:{matchmaker_port}"),
        ("listen 8100", f"listen 127.0.0.1:{port}"),
        ("http {", f"http {{ access_log off; {places}"),
    ):
        assert ours.count(name) == 1, name
        ours = ours.replace(name, here)
    (folder / "nginx.conf").write_text(ours)
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert found is not None
    directives = f"daemon off; pid {folder}/nginx.pid; error_log stderr;"
    return [found, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr", "-g", directives]


async def test_one_base_url_serves_a_player_from_login_to_ticket(gateway: str) -> None:
    async with MetaClient(gateway, "") as meta:
        login = await meta.login_device("a-device-behind-a-gateway")
        profile = await meta.profile(login.session_token)
        assert profile.player_id == login.player_id
    async with MatchmakerClient(gateway, login.session_token) as matchmaker:
        ticket = await matchmaker.create_ticket("battle_royale", {"west-europe": 20.0})
        seen: list[str] = []
        told = asyncio.Event()

        async def follow() -> None:
            async for status in matchmaker.follow_ticket(ticket.ticket_id):
                seen.append(status.state)
                told.set()

        following = asyncio.create_task(follow())
        await told.wait()  # an event passes while the stream is open: nothing is held back
        assert seen == ["searching"]
        await matchmaker.cancel_ticket(ticket.ticket_id)
        await following
        assert seen == ["searching", "cancelled"]


async def test_the_services_insides_are_not_reached_through_it(gateway: str) -> None:
    async with httpx2.AsyncClient(base_url=gateway) as http:
        for path in (
            *("/v1/internal/counters", "/v1/internal/queues", "/metrics", "/healthz", "/readyz"),
            *("/v1/operator/audit", "/v1/operator/players/7", "/v1/./operator/audit", "/v1/%6fperator/audit"),
        ):
            answer = await http.get(path)
            assert answer.status_code == answer.json()["status"] == 404, path
            assert answer.headers["Content-Type"] == "application/problem+json"
        refused = await http.post("/v1/login/device", content=b"x" * 70_000)
        assert refused.status_code == refused.json()["status"] == 413
        assert refused.json()["type"] == "urn:launchday:request-too-large"
        assert refused.headers["Content-Type"] == "application/problem+json"


async def test_a_request_id_goes_through_and_one_is_made_where_there_is_none(gateway: str) -> None:
    async with httpx2.AsyncClient(base_url=gateway) as http:
        given = await http.get("/v1/profile", headers={"X-Request-Id": "of-the-client"})
        assert given.headers["X-Request-Id"] == "of-the-client"
        made = await http.get("/v1/profile")
        assert len(made.headers["X-Request-Id"]) == 32
        assert made.status_code == 401
