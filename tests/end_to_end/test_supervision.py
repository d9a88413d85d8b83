"""``launchday up`` under the worst: every process of it is killed at once, engines included, and players are
served again; then the launcher itself is.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import psutil
import pytest

from launchday.launcher.services import SERVICES
from launchday.settings import env_name
from meta_service.client import MetaClient, MetaUnavailableError
from tests.end_to_end.conftest import Start, family
from tests.end_to_end.test_run import await_output
from tests.waiting import until, until_sync

DEVICE = "a-device-that-logs-in-before-and-after"
ENGINES = 3


def readiness(url: str) -> str:
    """What a process says of itself."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2.0) as answer:
            return str(json.load(answer)["status"])
    except urllib.error.HTTPError as refused:
        return str(json.load(refused)["status"])


@pytest.mark.timeout(420)
async def test_what_is_killed_is_back_with_its_data_and_nothing_outlives_the_launcher(
    start: Start, environment: dict[str, str]
) -> None:
    environment.update(LAUNCHDAY_REGIONS="west-europe", LAUNCHDAY_READY_PER_REGION="1")
    backend = start("up")
    await_output(backend, "the backend is up")
    urls = {s.name: f"http://127.0.0.1:{environment[env_name(s.port_setting)]}" for s in SERVICES}
    assert {name: readiness(url) for name, url in urls.items()} == dict.fromkeys(urls, "ready")
    async with MetaClient(urls["meta service"], "") as meta:
        player_id = (await meta.login_device(DEVICE)).player_id
        killed = psutil.Process(backend.pid).children()
        assert len(killed) == len(SERVICES) + ENGINES
        for process in killed:
            process.kill()
        for _ in killed:  # each return is told, in whatever order
            await_output(backend, " is back after ")
        until_sync(
            lambda: all(readiness(url) == "ready" for url in urls.values()), "all are ready", ignore=OSError
        )
        login = await until(lambda: meta.login_device(DEVICE), "a login", ignore=MetaUnavailableError)
        assert login.player_id == player_id  # the store kept its data, and the cache its own
    everyone = family(backend)
    assert not set(everyone) & set(killed)
    backend.kill()
    _, alive = psutil.wait_procs(everyone, timeout=5)
    assert alive == []
