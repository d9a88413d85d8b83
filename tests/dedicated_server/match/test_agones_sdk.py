"""The SDK against a sidecar as strict as Agones'."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from dedicated_server.agones_sdk import (
    AgonesSdk,
    GameServerRecord,
    SidecarRefusedError,
    SidecarUnavailableError,
)
from dedicated_server.protocol.server_addresses import ServerAddresses
from launchday.clock import ManualClock, SystemClock
from tests.dedicated_server.match.strict_sidecar import RECORD, StrictSidecar, free_tcp_port, serving


@pytest.fixture
async def sidecar() -> StrictSidecar:
    return StrictSidecar(free_tcp_port())


@pytest.fixture
async def sdk(sidecar: StrictSidecar) -> AsyncIterator[AgonesSdk]:
    sdk = AgonesSdk(sidecar.port, clock=SystemClock())
    yield sdk
    await sdk.aclose()


async def test_every_call_has_the_body_that_agones_asks_for(sidecar: StrictSidecar, sdk: AgonesSdk) -> None:
    async with serving(sidecar):
        await sdk.ready()
        await sdk.health()
        await sdk.annotate("launchday-report", '{"tick":1}')
        await sdk.shutdown()
    assert sidecar.rejected == []
    assert sidecar.calls == [
        ("/ready", {}),
        ("/health", {}),
        ("/metadata/annotation", {"key": "launchday-report", "value": '{"tick":1}'}),
        ("/shutdown", {}),
    ]


async def test_the_record_is_read_with_its_64_bit_integers_as_strings(
    sidecar: StrictSidecar, sdk: AgonesSdk
) -> None:
    async with serving(sidecar):
        record = await sdk.gameserver()
    assert record == GameServerRecord(
        name="west-europe-7x9k2",
        state="Scheduled",
        addresses=ServerAddresses(("127.0.0.1",)),
        port=0,
        labels={"islocal": "true"},
        annotations={"annotation": "true"},
    )


@pytest.mark.parametrize("empty", [None, []])
def test_a_record_without_ports_or_metadata_is_read(empty: object) -> None:
    meta = {**RECORD["object_meta"], "labels": None, "annotations": None}
    record = {"object_meta": meta, "status": {**RECORD["status"], "ports": empty}}
    assert GameServerRecord.parse(record).port == 0


@pytest.mark.parametrize("record", [None, {}, [], {"object_meta": {}, "status": {}}])
def test_what_is_no_record_is_refused(record: object) -> None:
    with pytest.raises(SidecarRefusedError):
        GameServerRecord.parse(record)


async def test_a_sidecar_that_starts_late_is_waited_for(sidecar: StrictSidecar, sdk: AgonesSdk) -> None:
    waiting = asyncio.create_task(sdk.ready())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.1)
    assert not waiting.done()
    async with serving(sidecar):
        await waiting
    assert sidecar.paths() == ["/ready"]


async def test_a_sidecar_that_is_not_ready_itself_is_asked_again(
    sidecar: StrictSidecar, sdk: AgonesSdk
) -> None:
    sidecar.answer_next_with = [503, 500]
    async with serving(sidecar):
        await sdk.ready()
    assert sidecar.paths() == ["/ready"]


async def test_a_heartbeat_does_not_wait_for_a_sidecar_that_is_away(sdk: AgonesSdk) -> None:
    with pytest.raises(SidecarUnavailableError):
        await sdk.health()


async def test_a_refusal_is_not_repeated(sidecar: StrictSidecar, sdk: AgonesSdk) -> None:
    sidecar.answer_next_with = [400]
    async with serving(sidecar):
        with pytest.raises(SidecarRefusedError, match="HTTP 400"):
            await sdk.ready()


async def test_a_sidecar_that_restarts_is_found_again(sidecar: StrictSidecar, sdk: AgonesSdk) -> None:
    async with serving(sidecar):
        await sdk.health()
    async with serving(sidecar):
        await sdk.health()
    assert len(sidecar.calls) == 2


async def test_a_call_that_was_cancelled_does_not_leave_its_answer_to_the_next(
    sidecar: StrictSidecar, sdk: AgonesSdk
) -> None:
    async with serving(sidecar):
        await sdk.health()
        call = asyncio.create_task(sdk.gameserver())
        await sidecar.until("/gameserver")
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        await sdk.health()
        assert (await sdk.gameserver()).name == "west-europe-7x9k2"


@contextlib.asynccontextmanager
async def raw_server(answer: bytes | None) -> AsyncIterator[int]:
    """Answer every connection with these bytes and close it, or never; yields the port."""
    done = asyncio.Event()

    async def respond(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await done.wait()
        else:
            writer.write(answer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    done.set()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.01)  # for the handlers to end


async def test_a_sidecar_that_hangs_is_given_up_in_time() -> None:
    async with raw_server(None) as port:
        with pytest.raises(SidecarUnavailableError, match="no answer within"):
            await AgonesSdk(port, clock=SystemClock(), timeout_s=0.05).health()


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", b""]
)
async def test_an_answer_that_is_not_http_or_cut_short_is_no_answer(answer: bytes) -> None:
    async with raw_server(answer) as port:
        with pytest.raises(SidecarUnavailableError):
            await AgonesSdk(port, clock=SystemClock()).health()


async def test_a_watch_tells_of_changes_and_survives_being_cut(
    sidecar: StrictSidecar, sdk: AgonesSdk
) -> None:
    async with serving(sidecar), contextlib.aclosing(sdk.watch()) as records:
        assert (await anext(records)).state == "Scheduled"
        await sdk.ready()
        assert (await anext(records)).state == "Ready"
        sidecar.cut_watches()
        assert (await anext(records)).state == "Ready"
        sidecar.allocate('{"match_id": "m"}')
        allocated = await anext(records)
    assert (allocated.state, allocated.annotations["launchday.dev/match"]) == (
        "Allocated",
        '{"match_id": "m"}',
    )
    assert sidecar.watches == 2


async def test_a_change_while_the_watch_is_cut_is_not_missed(sidecar: StrictSidecar, sdk: AgonesSdk) -> None:
    async with contextlib.aclosing(sdk.watch()) as records:
        async with serving(sidecar):
            assert (await anext(records)).state == "Scheduled"
        sidecar.allocate(None)
        async with serving(sidecar):
            assert (await anext(records)).state == "Allocated"


async def test_a_heartbeat_hears_the_fleets_clock_and_the_next_one_says_how_far_it_is_off(
    sidecar: StrictSidecar,
) -> None:
    sidecar.answer_headers["Launchday-Time"] = "5000.0"
    sdk = AgonesSdk(sidecar.port, clock=ManualClock(now=1400.0))
    async with serving(sidecar):
        await sdk.health()
        await sdk.health()
    await sdk.aclose()
    assert [headers.get("launchday-clock-skew") for headers in sidecar.heard_headers] == [None, "3600.000"]
