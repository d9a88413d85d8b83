"""The server's process logic against a strict sidecar, a real meta service and a real broker."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import structlog.testing
from aiokafka import AIOKafkaConsumer
from pydantic import SecretStr

from dedicated_server.agones_sdk import AgonesSdk
from dedicated_server.match.session import Timeouts
from dedicated_server.native.socket_options import SocketBuffers
from dedicated_server.recording.replay import replay
from dedicated_server.server import serve
from dedicated_server.tick.pacing import SystemTickClock
from dedicated_server.transport.mmsg import MmsgTransport
from launchday.clock import SystemClock
from launchday.settings import Settings, environment
from rewards.events import MATCH, PLAYER, ensure_topics, parse_envelope
from tests.dedicated_server.match.conftest import FLEET_KEY, meta_client, new_match, playing
from tests.dedicated_server.match.strict_sidecar import StrictSidecar, free_tcp_port, free_udp_port, serving

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("kernels")]

PATIENCE = Timeouts(join_s=2.0, come_s=2.0, check_out_s=0.5, flush_s=2.0, commit_s=5.0)
NOBODY_COMES = replace(
    PATIENCE, join_s=0.1, come_s=0.1, flush_s=0.3
)  # nor is there a broker to be waited for


@pytest.fixture
async def sidecar() -> StrictSidecar:
    sidecar = StrictSidecar(free_tcp_port())
    sidecar.record["status"]["ports"][0]["port"] = free_udp_port()
    return sidecar


@pytest.fixture
def lonely(tmp_path: Path) -> Settings:
    """Settings of a world in which neither the meta service nor Kafka is there."""
    return Settings(
        state_dir=tmp_path,
        meta_url="http://127.0.0.1:9",
        kafka_bootstrap="127.0.0.1:9",
        identity_secret=SecretStr("s" * 32),
        fleet_key=SecretStr(FLEET_KEY.hex()),
    )


class Life:
    """A server at work in this process."""

    def __init__(self, sidecar: StrictSidecar, settings: Settings, timeouts: Timeouts) -> None:
        self.stop = asyncio.Event()
        self._task = asyncio.create_task(
            serve(
                AgonesSdk(sidecar.port, clock=SystemClock()), settings, SystemTickClock(), self.stop, timeouts
            )
        )

    async def end(self) -> int:
        """Send SIGTERM, so to speak; returns the exit code."""
        self.stop.set()
        return await self._task


@asynccontextmanager
async def living(
    sidecar: StrictSidecar, settings: Settings, timeouts: Timeouts = PATIENCE
) -> AsyncIterator[Life]:
    async with serving(sidecar):
        life = Life(sidecar, settings, timeouts)
        try:
            yield life
        finally:
            await life.end()


async def test_an_idle_server_is_ready_and_leaves_at_sigterm(
    sidecar: StrictSidecar, lonely: Settings
) -> None:
    async with living(sidecar, lonely) as life:
        await sidecar.until("/watch/gameserver")
        await sidecar.until("/health")
        assert await life.end() == 0
    assert sidecar.paths() == ["/gameserver", "/ready", "/watch/gameserver"]
    assert sidecar.rejected == []


async def test_its_socket_is_open_before_it_is_ready(sidecar: StrictSidecar, lonely: Settings) -> None:
    async with living(sidecar, lonely):
        await sidecar.until("/ready")
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match="in use"):
            await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol,
                local_addr=("127.0.0.1", sidecar.record["status"]["ports"][0]["port"]),
            )


async def test_a_port_that_is_taken_ends_it_with_an_error(sidecar: StrictSidecar, lonely: Settings) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    sidecar.record["status"]["ports"][0]["port"] = transport.get_extra_info("sockname")[1]
    async with serving(sidecar):
        code = await serve(
            AgonesSdk(sidecar.port, clock=SystemClock()), lonely, SystemTickClock(), asyncio.Event(), PATIENCE
        )
    transport.close()
    assert code == 1
    assert sidecar.paths() == ["/gameserver"]


@pytest.mark.parametrize("annotation", [None, "{", "[]", '{"match_id":"x"}'])
async def test_a_malformed_match_is_reported_and_the_server_shuts_down(
    sidecar: StrictSidecar, lonely: Settings, annotation: str | None
) -> None:
    async with living(sidecar, lonely) as life:
        await sidecar.until("/ready")
        sidecar.allocate(annotation)
        await sidecar.until("/shutdown")
        assert await life.end() == 1
    [report] = sidecar.reports()
    assert report["outcome"] == "failed"
    assert "match" in report["error"]
    assert sidecar.paths()[-1] == "/shutdown"


async def test_without_a_meta_service_the_match_fails_and_the_report_says_so(
    sidecar: StrictSidecar, lonely: Settings
) -> None:
    async with living(sidecar, lonely) as life:
        await sidecar.until("/ready")
        sidecar.allocate(new_match([11, 12]).annotation)
        await sidecar.until("/shutdown")
        assert await life.end() == 1
    assert sidecar.reports()[-1]["error"].startswith("check-out: no answer from the meta service")


async def test_a_match_larger_than_its_socket_is_good_for_is_told(
    sidecar: StrictSidecar, lonely: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MmsgTransport, "buffers", SocketBuffers(2 * 832, 4_096))
    with structlog.testing.capture_logs() as logs:
        async with living(sidecar, lonely) as life:
            await sidecar.until("/ready")
            sidecar.allocate(new_match([11, 12]).annotation)
            await sidecar.until("/shutdown")
            await life.end()
    [line] = [line for line in logs if line["event"] == "players will be left out in turns"]
    assert "good for 1 players in a match, and not for 2: sysctl -w" in line["reason"]


async def test_an_allocation_while_the_watch_is_cut_is_noticed(
    sidecar: StrictSidecar, lonely: Settings
) -> None:
    async with living(sidecar, lonely):
        await sidecar.until("/watch/gameserver")
        sidecar.cut_watches()
        sidecar.allocate("{")
        await sidecar.until("/shutdown")
    assert sidecar.watches >= 2


async def test_the_last_report_comes_before_the_shutdown_however_often_it_takes(
    sidecar: StrictSidecar, lonely: Settings
) -> None:
    async with living(sidecar, lonely):
        await sidecar.until("/health")
        sidecar.answer_next_with = [500, 500]
        sidecar.allocate("{")
        await sidecar.until("/shutdown")
    last_two = [path for path, _ in sidecar.calls if path != "/health"][-2:]
    assert last_two == ["/metadata/annotation", "/shutdown"]


async def test_a_match_is_played_and_all_counters_agree(
    sidecar: StrictSidecar, meta_process: Settings
) -> None:
    recordings = meta_process.state_dir / "recordings"
    configured = meta_process.model_copy(
        update={"fleet_key": SecretStr(FLEET_KEY.hex()), "record_dir": str(recordings)}
    )
    await ensure_topics(configured.kafka_bootstrap, configured.topic_prefix)
    async with meta_client(configured) as meta, living(sidecar, configured) as life:
        player_ids = [(await meta.login_device(f"test-device-{n}")).player_id for n in range(4)]
        match = new_match(player_ids)
        await sidecar.until("/ready")
        sidecar.allocate(match.annotation)
        async with playing(match.tokens(sidecar.record["status"]["ports"][0]["port"])) as players:
            await sidecar.until("/shutdown")
            assert players.match_over == [True] * 4
        assert await life.end() == 0
        counters = await meta.counters()
    report = sidecar.reports()[-1]
    assert (report["outcome"], report["players_joined"], report["players_lost"]) == ("ended", 4, 0)
    assert (
        (counters.checkouts, counters.commits, counters.open)
        == (4, 4, 0)
        == (report["checkouts"], report["commits"], 0)
    )
    events = await _events(configured)
    assert (events["match_started"], events["match_ended"]) == (1, 1)
    assert events["kill"] == report["kills"]
    assert events["death"] == report["deaths"]
    assert sum(events.values()) == report["events_emitted"]
    assert report["events_spooled"] == 0
    again = replay(recordings / f"{match.match_id}.ldr")
    assert (again.identical, again.ended, again.kills) == (True, "ended", report["kills"])
    assert sidecar.rejected == []


async def test_with_kafka_away_the_events_are_spooled_and_the_match_still_ends(
    sidecar: StrictSidecar, meta_process: Settings
) -> None:
    configured = meta_process.model_copy(
        update={"fleet_key": SecretStr(FLEET_KEY.hex()), "kafka_bootstrap": "127.0.0.1:9"}
    )
    async with meta_client(configured) as meta, living(sidecar, configured, NOBODY_COMES) as life:
        player_ids = [(await meta.login_device(f"test-device-{n}")).player_id for n in range(2)]
        match = new_match(player_ids, match_s=0.1)
        await sidecar.until("/ready")
        sidecar.allocate(match.annotation)
        await sidecar.until("/shutdown")
        assert await life.end() == 0
    report = sidecar.reports()[-1]
    assert report["outcome"] == "ended"
    assert report["events_spooled"] == report["events_emitted"] >= 2
    assert list((configured.state_dir / "spool").iterdir())


async def test_sigterm_in_the_middle_of_a_match_breaks_it_off_and_says_so(
    sidecar: StrictSidecar, meta_process: Settings
) -> None:
    configured = meta_process.model_copy(update={"fleet_key": SecretStr(FLEET_KEY.hex())})
    await ensure_topics(configured.kafka_bootstrap, configured.topic_prefix)
    async with meta_client(configured) as meta, living(sidecar, configured) as life:
        # Two sides of a mode in which the dead return: nothing but time ends the match.
        player_ids = [(await meta.login_device(f"test-device-{n}")).player_id for n in range(2)]
        match = new_match(player_ids, match_s=60, mode="teams_of_five")
        await sidecar.until("/ready")
        sidecar.allocate(match.annotation)
        async with playing(match.tokens(sidecar.record["status"]["ports"][0]["port"])):
            await sidecar.until("/metadata/annotation", times=2)
            assert await life.end() == 1
    report = sidecar.reports()[-1]
    assert (report["outcome"], report["error"]) == (
        "failed",
        "the server was told to stop in the middle of the match",
    )
    assert "/shutdown" not in sidecar.paths()


async def test_the_program_itself_needs_no_more_than_the_sidecars_port(
    sidecar: StrictSidecar, lonely: Settings
) -> None:
    """A cold process as Agones would start it, its sidecar coming later."""
    env = {**os.environ, **environment(lonely), "AGONES_SDK_HTTP_PORT": str(sidecar.port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dedicated_server", env=env, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async for line in process.stderr:
        if b"the sidecar does not answer" in line:
            break
    async with serving(sidecar):
        await sidecar.until("/ready")
        sidecar.allocate("{")
        await sidecar.until("/shutdown")
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 1
    assert sidecar.paths() == ["/gameserver", "/ready", "/watch/gameserver", "/shutdown"]
    assert sidecar.rejected == []


async def _events(settings: Settings) -> Counter[str]:
    """Count all events of the test's topics by kind."""
    topics = [topic.name(settings.topic_prefix) for topic in (PLAYER, MATCH)]
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=settings.kafka_bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        counts: Counter[str] = Counter()
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                counts.update(parse_envelope(record.value).WhichOneof("event") for record in records)
        return counts
    finally:
        await consumer.stop()
