"""The game server's process: a life as Agones wants it, with one match in it.

bind → ready → (heartbeats) → allocated → the match → last report → shutdown → SIGTERM

It needs a sidecar on ``AGONES_SDK_HTTP_PORT`` and our settings in the environment, and does not know whether our fleet or Agones
provides them. Forked from a warm parent or started with ``python -m dedicated_server``, it is this same ``main``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
import uvloop

from dedicated_server.agones_sdk import DEFAULT_PORT, AgonesSdk, GameServerRecord, SidecarError
from dedicated_server.agones_sdk import MATCH_ANNOTATION
from dedicated_server.match import spec
from dedicated_server.match.session import MatchSession, Timeouts
from dedicated_server.match.spec import MalformedMatchError, MatchSpec
from dedicated_server.match.spectator import open_feed
from dedicated_server.match.warm_up import warm_up as load_kernels
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.recording.recorder import Recorder
from dedicated_server.simulation.match import MatchConfig
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.pacing import SystemTickClock, TickClock
from dedicated_server.transport import Transport, TransportError, open_transport
from launchday import telemetry
from launchday.clock import SystemClock
from launchday.identity import Signer
from launchday.settings import Settings, settings
from matchmaker.client import MatchmakerClient
from meta_service.client import MetaClient
from rewards.events import EventProducer

HEARTBEAT_S = 2.0
ABORT_FLUSH_S = 1.0  # for the events of a match that is broken off: SIGKILL may follow in seconds
REPORT_KEY = "launchday-report"
DISCARD_PORT = 9  # nobody listens there
EXIT_ENDED, EXIT_FAILED = 0, 1  # exit codes

log = structlog.get_logger()


def warm_up() -> None:
    """Do once, before the fork, what every server would have to do: what a fork does itself it has to itself in memory."""
    telemetry.configure("game server", settings())
    load_kernels()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_warm_up_io())


async def _warm_up_io() -> None:
    """Bind, and call a sidecar that is not there: a dozen modules are imported when that is done the first time."""
    sdk = AgonesSdk(DISCARD_PORT, clock=SystemClock())
    with contextlib.suppress(TransportError):
        await (await open_transport("127.0.0.1", 0)).close()
    with contextlib.suppress(SidecarError):
        await sdk.health()
    await sdk.aclose()


def main() -> int:
    """Be a game server until SIGTERM, in a process that is warm; returns the exit code."""
    sdk = AgonesSdk(int(os.environ.get("AGONES_SDK_HTTP_PORT", DEFAULT_PORT)), clock=SystemClock())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve_until_signalled(sdk))


async def _serve_until_signalled(sdk: AgonesSdk) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await serve(sdk, settings(), SystemTickClock(), stop)


async def serve(
    sdk: AgonesSdk,
    configured: Settings,
    clock: TickClock,
    stop: asyncio.Event,
    timeouts: Timeouts | None = None,
) -> int:
    """Live one life, until ``stop`` is set; returns the exit code."""
    life = asyncio.create_task(
        _run_lifecycle(sdk, configured, clock, timeouts or Timeouts(), stop), name="life"
    )
    told = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait((life, told), return_when=asyncio.FIRST_COMPLETED)
        if not life.done():
            life.cancel()
        return await life
    except asyncio.CancelledError:
        return EXIT_ENDED  # it was idle
    except TransportError as error:
        log.error("no socket for players", reason=str(error))
        return EXIT_FAILED
    finally:
        told.cancel()
        await sdk.aclose()


async def _run_lifecycle(
    sdk: AgonesSdk, configured: Settings, clock: TickClock, patience: Timeouts, stop: asyncio.Event
) -> int:
    record = await sdk.gameserver()
    structlog.contextvars.bind_contextvars(server=record.name)
    async with _open_socket(configured, record) as transport, _heartbeats(sdk):
        await sdk.ready()
        record = await _wait_for_allocation(sdk)
        code = await _serve_match(sdk, record, transport, configured, clock, patience)
        if not stop.is_set():
            await sdk.shutdown()
            await stop.wait()
        return code


async def _wait_for_allocation(sdk: AgonesSdk) -> GameServerRecord:
    """Wait until this server belongs to a match."""
    async with contextlib.aclosing(sdk.watch()) as records:
        async for record in records:
            if record.state == "Allocated":
                return record
    raise AssertionError("a watch never ends by itself")


async def _serve_match(
    sdk: AgonesSdk,
    record: GameServerRecord,
    transport: Transport,
    configured: Settings,
    clock: TickClock,
    patience: Timeouts,
) -> int:
    """Play the match of an allocated server's annotation, and report how it went."""
    try:
        order = spec.parse_match_spec(record.annotations.get(MATCH_ANNOTATION))
    except MalformedMatchError as error:
        log.error("no match to play", reason=str(error))
        await _last_report(sdk, json.dumps({"phase": "waiting", "outcome": "failed", "error": str(error)}))
        return EXIT_FAILED
    structlog.contextvars.bind_contextvars(match_id=str(order.match_id))
    return await _play(order, sdk, record, transport, configured, clock, patience)


async def _play(
    order: MatchSpec,
    sdk: AgonesSdk,
    record: GameServerRecord,
    transport: Transport,
    configured: Settings,
    clock: TickClock,
    patience: Timeouts,
) -> int:
    host = await _ipv4_address(record.address)
    signer = Signer(configured.identity_secret.get_secret_value())
    token = signer.service_token(record.name, clock.unix_s(clock.now_ns()))
    producer = EventProducer(
        configured.kafka_bootstrap,
        configured.topic_prefix,
        record.name,
        configured.state_dir / "spool",
        clock=SystemClock(),
    )

    def open_engine(config: MatchConfig) -> Engine:
        recorder = _open_recorder(configured, config, clock)
        return Engine(
            config,
            configured.fleet_key_bytes,
            transport,
            secret=clock.random("challenge-cookies").randbytes(SECRET_BYTES),
            host=host,
            port=record.port,
            recorder=recorder,
        )

    async def send_report(report: str) -> None:
        try:
            await sdk.annotate(REPORT_KEY, report)
        except SidecarError as error:  # the next one comes in a second
            log.debug("a report was not taken", reason=str(error))

    async with (
        MetaClient(configured.meta_url, token, connections=1, clock=clock) as meta,
        MatchmakerClient(configured.matchmaker_url, token) as matchmaker,
    ):
        session = MatchSession(
            order,
            record.name,
            open_engine=open_engine,
            meta=meta,
            producer=producer,
            send_report=send_report,
            clock=clock,
            timeouts=patience,
            open_feed=lambda players: open_feed(configured.spectator_dir, record.name, players),
            matchmaker=matchmaker if configured.matchmaker_url else None,
            address=(host, record.port),
        )
        await producer.start()
        try:
            ended = await session.run()
        except asyncio.CancelledError:
            session.fail("the server was told to stop in the middle of the match")
            await producer.stop(ABORT_FLUSH_S)
            await send_report(json.dumps(session.report()))
            return EXIT_FAILED
        await producer.stop()
        await _last_report(sdk, json.dumps(session.report()))
        return EXIT_ENDED if ended else EXIT_FAILED


def _open_recorder(configured: Settings, config: MatchConfig, clock: TickClock) -> Recorder | None:
    """What records the match, where that is wanted and can be; the match is played in any case."""
    if not configured.record_dir:
        return None
    path = Path(configured.record_dir) / f"{config.match_id}.ldr"
    try:
        return Recorder(path, config, clock)
    except OSError as error:
        log.error("the match is not recorded", path=str(path), reason=str(error))
        return None


async def _last_report(sdk: AgonesSdk, report: str) -> None:
    """Pass the report on that the match is judged by, however often it takes."""
    while True:
        try:
            await sdk.annotate(REPORT_KEY, report)
            return
        except SidecarError as error:
            log.warning("the last report was not taken", reason=str(error))
            await asyncio.sleep(HEARTBEAT_S)


@contextlib.asynccontextmanager
async def _open_socket(configured: Settings, record: GameServerRecord) -> AsyncIterator[Transport]:
    """Bind before saying ready, so that a player who is quick finds a socket."""
    transport = await open_transport(configured.game_host, configured.game_port or record.port)
    try:
        yield transport
    finally:
        await transport.close()


@contextlib.asynccontextmanager
async def _heartbeats(sdk: AgonesSdk) -> AsyncIterator[None]:
    """Send heartbeats. They come from the loop that ticks: when that hangs, they stop, and the fleet notices."""

    async def beat() -> None:
        while True:
            try:
                await sdk.health()
            except SidecarError as error:
                log.warning("a heartbeat was not taken", reason=str(error))
            await asyncio.sleep(HEARTBEAT_S)

    beating = asyncio.create_task(beat(), name="heartbeat")
    try:
        yield
    finally:
        beating.cancel()


async def _ipv4_address(host: str) -> str:
    """The IPv4 address of a host, as connect tokens name it."""
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, family=socket.AF_INET)
        return str(found[0][4][0])
