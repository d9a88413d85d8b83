"""The game server's process: the lifecycle that Agones expects, with one match in it.

bind → ready → (heartbeats) → allocated → the match → last report → shutdown → SIGTERM

It needs a sidecar on ``AGONES_SDK_HTTP_PORT`` and our settings in the environment, and cannot tell whether
our fleet or Agones provides them. ``main`` runs in a process that was forked from a warm parent or started by
``python -m dedicated_server``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import structlog
import uvloop

from dedicated_server.agones_sdk import (
    DEFAULT_PORT,
    FLEET_LABEL,
    MATCH_ANNOTATION,
    REPORT_KEY,
    AgonesSdk,
    GameServerRecord,
    SidecarError,
)
from dedicated_server.cards import cards_in_force
from dedicated_server.match.backfill_request import HttpBackfillSink
from dedicated_server.match.mode_events import check_events
from dedicated_server.match.result_spool import FOLDER as RESULTS_FOLDER
from dedicated_server.match.result_spool import ResultSpool
from dedicated_server.match.session import MatchSession, Timeouts
from dedicated_server.match.spec import MalformedMatchError, MatchSpec, parse_match_spec
from dedicated_server.match.spectator import open_feed
from dedicated_server.match.warm_up import warm_up as load_kernels
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.protocol.server_addresses import literals_of
from dedicated_server.recording.recorder import Recorder
from dedicated_server.simulation.match import MatchConfig
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.pacing import SystemTickClock, TickClock
from dedicated_server.transport import Transport, TransportError, open_transport
from launchday import telemetry
from launchday.clock import Clock
from launchday.folders import is_own_file
from launchday.game_addresses import ALL_REGIONS
from launchday.identity import signer_of
from launchday.resilience import pauses
from launchday.resilience.bus import Bus
from launchday.settings import Settings, settings
from meta_service.client import MetaClient
from rewards.events import EventProducer

HEARTBEAT_S = 2.0
META_PATIENCE_S = 10.0  # of one call: a meta service that is late by seconds is late for every server
LAST_REPORT_S = 60.0  # for the report that decides how a match ended; then its fleet sees this process end
STOP_S = 60.0  # from the request to be ended to SIGTERM; then this process ends by itself
RESOLVE_S = 5.0  # for the name of this server's address
EVENTS_FLUSH_S = 5.0  # for what the match's own flush has left: Kafka was away, or the disk full
EVENTS_ROOM_S = 60.0  # for room on the disk; the match's players are free already
ROOM_RETRY_S = 1.0  # between two attempts to spool
ABORT_FLUSH_S = 1.0  # for the events of a match that is aborted: SIGKILL may follow within seconds
DISCARD_PORT = 9  # nothing listens there
EXIT_ENDED, EXIT_FAILED = 0, 1

log = structlog.get_logger()


def warm_up() -> None:
    """Run everything that a child would otherwise initialise after the fork, so its pages stay shared."""
    telemetry.configure("game server", settings())
    load_kernels()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_warm_up_io())


async def _warm_up_io() -> None:
    """Bind a socket, and call a sidecar that does not exist: the first time that imports a dozen modules."""
    sdk = AgonesSdk(DISCARD_PORT, clock=SystemTickClock())
    with contextlib.suppress(TransportError):
        await (await open_transport("127.0.0.1", 0)).close()
    with contextlib.suppress(SidecarError):
        await sdk.health()
    await sdk.aclose()


def main() -> int:
    """Be a game server until SIGTERM, in a process that is warm; return the exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve_until_signalled())


async def _serve_until_signalled() -> int:
    clock = SystemTickClock()
    sdk = AgonesSdk(int(os.environ.get("AGONES_SDK_HTTP_PORT", DEFAULT_PORT)), clock=clock)
    configured = settings()
    Bus.of(configured, clock)  # what is wrong with Kafka's settings ends it now, and not a match
    check_events(cards_in_force(configured.modes).values())  # and so does what is wrong with modes
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await serve(sdk, configured, clock, stop)


async def serve(
    sdk: AgonesSdk,
    configured: Settings,
    clock: TickClock,
    stop: asyncio.Event,
    timeouts: Timeouts | None = None,
) -> int:
    """Run one game server's lifecycle until ``stop`` is set; return the exit code.

    Args:
        sdk: calls the sidecar; it is closed at the end.
        configured: the addresses of other services, and the keys.
        clock: time, chance and the pacing of ticks.
        stop: set by SIGTERM.
        timeouts: how long the match waits for others; None: the defaults.
    """
    lifecycle = asyncio.create_task(
        _run_lifecycle(sdk, configured, clock, timeouts or Timeouts(), stop), name="lifecycle"
    )
    stopped = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait((lifecycle, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not lifecycle.done():
            lifecycle.cancel()
        return await lifecycle
    except asyncio.CancelledError:
        return EXIT_ENDED  # it was idle
    except TransportError as error:
        log.error("no socket for players", reason=str(error))
        return EXIT_FAILED
    except SidecarError as error:  # whoever started this server sees it end, and starts another
        log.error("no sidecar", reason=str(error))
        return EXIT_FAILED
    finally:
        stopped.cancel()
        await sdk.aclose()


async def _run_lifecycle(
    sdk: AgonesSdk, configured: Settings, clock: TickClock, timeouts: Timeouts, stop: asyncio.Event
) -> int:
    record = await sdk.gameserver()
    structlog.contextvars.bind_contextvars(server=record.name)
    async with _open_socket(configured, record) as transport, _heartbeats(sdk, clock):
        await sdk.ready()
        record = await _wait_for_allocation(sdk)
        code = await _serve_match(sdk, record, transport, configured, clock, timeouts)
        if not stop.is_set():
            await sdk.shutdown()
            with contextlib.suppress(TimeoutError):
                async with pauses.timeout(STOP_S):
                    await stop.wait()
        return code


async def _wait_for_allocation(sdk: AgonesSdk) -> GameServerRecord:
    """Return this server's record once it belongs to a match."""
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
    timeouts: Timeouts,
) -> int:
    """Play the match of an allocated server's annotation, and report how it went."""
    clock.read_wall()
    try:
        spec = parse_match_spec(record.annotations.get(MATCH_ANNOTATION), cards_in_force(configured.modes))
    except MalformedMatchError as error:
        log.error("no match to play", reason=str(error))
        return await _failed(sdk, clock, str(error))
    structlog.contextvars.bind_contextvars(match_id=str(spec.match_id))
    if shortage := transport.buffers.shortage(len(spec.players)):
        log.warning("players will be left out in turns", reason=shortage)
    try:
        async with pauses.timeout(RESOLVE_S):
            hosts = await literals_of(record.addresses.public)
    except OSError as error:  # a time-out is one, too
        names = ", ".join(record.addresses.public)
        log.error("no address for players", address=names, reason=str(error))
        return await _failed(sdk, clock, f"{names} has no address that players could be given: {error}")
    return await _play(spec, sdk, record, transport, hosts, configured, clock, timeouts)


async def _failed(sdk: AgonesSdk, clock: Clock, reason: str) -> int:
    """Report that the match failed before it was one; return the exit code."""
    await _last_report(sdk, clock, json.dumps({"phase": "waiting", "outcome": "failed", "error": reason}))
    return EXIT_FAILED


async def _play(
    spec: MatchSpec,
    sdk: AgonesSdk,
    record: GameServerRecord,
    transport: Transport,
    hosts: tuple[str, str],
    configured: Settings,
    clock: TickClock,
    timeouts: Timeouts,
) -> int:
    signer = signer_of(configured, "server")
    # By the director's clock, where this machine's has fallen back to the year in which it was made.
    token = signer.service_token(record.name, max(clock.wall(), spec.allocated_at))
    producer = EventProducer(
        Bus.of(configured, clock),
        configured.topic_prefix,
        record.name,
        configured.state_dir / "spool",
        clock=clock,
    )

    def open_engine(config: MatchConfig) -> Engine:
        recorder = _open_recorder(configured, config, clock)
        return Engine(
            config,
            configured.fleet_key_bytes,
            transport,
            secret=clock.random("challenge-cookies").randbytes(SECRET_BYTES),
            host=hosts[0],
            other_host=hosts[1],
            port=record.port,
            return_s=timeouts.return_s,
            recorder=recorder,
        )

    async def send_report(report: str) -> None:
        try:
            await sdk.annotate(REPORT_KEY, report)
        except SidecarError as error:  # the next one comes in a second
            log.debug("a report was not taken", reason=str(error))

    async with (
        MetaClient(
            configured.meta_url, token, connections=1, patience_s=META_PATIENCE_S, clock=clock
        ) as meta,
        HttpBackfillSink(configured.matchmaker_url, token, clock=clock) as matchmaker,
    ):
        session = MatchSession(
            spec,
            record.name,
            card=cards_in_force(configured.modes)[spec.mode],
            open_engine=open_engine,
            meta=meta,
            producer=producer,
            results=ResultSpool(configured.state_dir / RESULTS_FOLDER),
            send_report=send_report,
            clock=clock,
            timeouts=timeouts,
            open_feed=partial(open_feed, configured.spectator_dir, record.name)
            if configured.spectator_dir
            else None,
            matchmaker=matchmaker if configured.matchmaker_url else None,
            address=(*hosts, record.port),
            kicks=meta,
        )
        await producer.start()
        try:
            ended = await session.run()
        except asyncio.CancelledError:
            session.abort("the server was told to stop in the middle of the match")
            await session.part()
            await _stop(producer, clock, ABORT_FLUSH_S)
            await send_report(json.dumps(session.report()))
            return EXIT_ENDED if session.is_safe else EXIT_FAILED
        await _stop(producer, clock, EVENTS_FLUSH_S, EVENTS_ROOM_S)
        await _last_report(sdk, clock, json.dumps(session.report()))
        return EXIT_ENDED if ended else EXIT_FAILED


async def _stop(producer: EventProducer, clock: Clock, timeout_s: float, room_s: float = 0.0) -> None:
    """Stop a producer, after ``timeout_s`` seconds for Kafka and ``room_s`` for a disk that is full.

    Events that neither takes by then end with this process.
    """
    flush_s = timeout_s
    with contextlib.suppress(TimeoutError):
        async with pauses.timeout(timeout_s + room_s):
            while not await _flushed(producer, flush_s):
                await clock.sleep(ROOM_RETRY_S)
                flush_s = 0.0
    try:
        await producer.stop(0.0)
    except OSError as error:
        log.error(
            "events were lost: make room on the disk", reason=str(error), count=producer.counters().waiting
        )


async def _flushed(producer: EventProducer, timeout_s: float) -> bool:
    """Return whether all events are delivered or spooled."""
    try:
        await producer.flush(timeout_s)
    except OSError as error:
        log.warning("events cannot be spooled yet: make room on the disk", reason=str(error))
        return False
    return True


def _open_recorder(configured: Settings, config: MatchConfig, clock: TickClock) -> Recorder | None:
    """Return the recorder of the match; None where none is wanted, or its file cannot be opened."""
    if not configured.record_dir:
        return None
    path = Path(configured.record_dir) / f"{config.match_id}.ldr"
    try:
        if os.path.lexists(path) and not is_own_file(path):
            raise FileExistsError("what has its name is no recording of ours")
        return Recorder(path, config, clock)
    except OSError as error:
        log.error("the match is not recorded", path=str(path), reason=str(error))
        return None


async def _last_report(sdk: AgonesSdk, clock: Clock, report: str) -> None:
    """Send the report that decides how the match ended, again and again until it is taken.

    After ``LAST_REPORT_S`` it is given up: whoever does not hear it counts the match as failed.
    """
    try:
        async with pauses.timeout(LAST_REPORT_S):
            while True:
                try:
                    await sdk.annotate(REPORT_KEY, report)
                    return
                except SidecarError as error:
                    log.warning("the last report was not taken", reason=str(error))
                    await clock.sleep(HEARTBEAT_S)
    except TimeoutError:
        log.error("the last report was given up", after_s=LAST_REPORT_S)


@contextlib.asynccontextmanager
async def _open_socket(configured: Settings, record: GameServerRecord) -> AsyncIterator[Transport]:
    """Bind the socket before the server is Ready, so that the fastest player finds it."""
    bound = configured.game_bind_in(record.labels.get(FLEET_LABEL, ALL_REGIONS))
    transport = await open_transport(bound, configured.game_port or record.port)
    try:
        yield transport
    finally:
        await transport.close()


@contextlib.asynccontextmanager
async def _heartbeats(sdk: AgonesSdk, clock: Clock) -> AsyncIterator[None]:
    """Send heartbeats from the loop that ticks: when it hangs they stop, and the fleet notices."""

    async def beat() -> None:
        while True:
            clock.wall()  # a step is seen, and said, when it happens
            try:
                await sdk.health()
            except SidecarError as error:
                log.warning("a heartbeat was not taken", reason=str(error))
            await clock.sleep(HEARTBEAT_S)

    beating = asyncio.create_task(beat(), name="heartbeat")
    try:
        yield
    finally:
        beating.cancel()
