"""The server's process against a recorded, strict sidecar: what it must do to run under Agones, and nothing
that Agones does not have.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from launchday.settings import Settings, environment
from tests.dedicated_server.match.strict_sidecar import StrictSidecar, free_tcp_port, free_udp_port, serving
from tests.waiting import until

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("kernels")]


@pytest.fixture(scope="session")
def kernels() -> None:
    """Every kernel compiled and kept, so that the process starts in a second."""
    from dedicated_server.match.warm_up import warm_up

    warm_up()


@asynccontextmanager
async def server_process(sidecar: StrictSidecar, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """``python -m dedicated_server`` with nothing but its settings and the sidecar's port."""
    settings = Settings(
        state_dir=folder,
        identity_secret=SecretStr("contract" * 5),
        fleet_key=SecretStr("0" * 64),
        game_port=free_udp_port(),
        meta_url="http://127.0.0.1:1",
        kafka_bootstrap="127.0.0.1:1",
    )
    env = {**os.environ, **environment(settings), "AGONES_SDK_HTTP_PORT": str(sidecar.port)}
    with (folder / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "dedicated_server", env=env, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_whole_life_under_a_strict_sidecar(tmp_path: Path) -> None:
    """Late start; a sidecar that is not up to it yet; every body ``{}``; a watch that is cut; an allocation;
    shutdown; SIGTERM.
    """
    sidecar = StrictSidecar(free_tcp_port())
    async with server_process(sidecar, tmp_path) as process:
        log = tmp_path / "server.log"
        await until(  # the sidecar is late
            lambda: b"the sidecar does not answer" in log.read_bytes(), "the server asks", within_s=120.0
        )
        sidecar.answer_next_with = [503]
        async with serving(sidecar):
            await sidecar.until("/ready")
            await sidecar.until("/health")
            await sidecar.until("/watch/gameserver")
            sidecar.cut_watches()
            await sidecar.until("/watch/gameserver", times=2)
            sidecar.allocate('{"match_id": "none of ours"}')
            await sidecar.until("/shutdown")
            await sidecar.until("/health", times=2)  # it waits for SIGTERM, and beats until then
            assert process.returncode is None
            process.terminate()
            assert await process.wait() == 1  # the match could not be played
    assert sidecar.rejected == []  # an empty body, or a call that Agones does not have, would be here
    paths = sidecar.paths()
    assert paths.index("/gameserver") < paths.index("/ready") < paths.index("/watch/gameserver")
    reported = [body["key"] for path, body in sidecar.calls if path == "/metadata/annotation"]
    assert reported == ["launchday-report"]


async def test_sigterm_while_idle_is_a_clean_end(tmp_path: Path) -> None:
    sidecar = StrictSidecar(free_tcp_port())
    async with serving(sidecar), server_process(sidecar, tmp_path) as process:
        await sidecar.until("/ready")
        await sidecar.until("/watch/gameserver")
        process.terminate()
        assert await process.wait() == 0
    assert sidecar.rejected == []
    assert "/shutdown" not in sidecar.paths()
