"""Tickets made and followed from a request's bytes: the same answers as the framework's routes give."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from launchday.clock import SystemClock
from launchday.identity import Signer
from launchday.settings import Settings
from matchmaker.api.app import create_api
from matchmaker.api.service import TicketService
from tests.matchmaker.conftest import SECRET, WEST_EUROPE, StubSkills, served, token_of
from tests.waiting import until

BODY = json.dumps(
    {"mode": "battle_royale", "latencies_ms": WEST_EUROPE, "platform": "pc", "cross_play": True}
).encode()


class Wire:
    """One connection of a client that sends what a test wants sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, line: str, *headers: str, body: bytes = b"") -> tuple[int, dict[str, str]]:
        head = "\r\n".join([f"{line} HTTP/1.1", "host: m", f"content-length: {len(body)}", *headers])
        self.writer.write(head.encode() + b"\r\n\r\n" + body)
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = raw.strip().split("\r\n")
        return int(first.split()[1]), dict(each.lower().split(": ", 1) for each in lines)

    async def body(self, headers: dict[str, str]) -> bytes:
        return await self.reader.readexactly(int(headers["content-length"]))

    async def event(self) -> bytes:
        """The next chunk; empty: the stream is over."""
        size = int(await self.reader.readline(), 16)
        return (await self.reader.readexactly(size + 2))[:-2]


class Api:
    """The API under test, and connections to it."""

    def __init__(self, port: int, service: TicketService) -> None:
        self.port, self.service = port, service

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Wire(reader, writer)
        finally:
            writer.close()


@pytest.fixture
async def api(mm_settings: Settings, skills: StubSkills) -> AsyncIterator[Api]:
    app = create_api(mm_settings, SystemClock(), skills)
    async with served(app) as url:
        yield Api(int(url.rpartition(":")[2]), app.state.matchmaker)


def bearer(player_id: int) -> str:
    return f"authorization: Bearer {token_of(player_id)}"


async def made(wire: Wire, player_id: int) -> str:
    status, headers = await wire.ask("POST /v1/tickets", bearer(player_id), body=BODY)
    assert status == 201
    ticket_id: str = json.loads(await wire.body(headers))["ticket_id"]
    return ticket_id


async def test_the_answer_carries_the_clients_request_id_or_one_of_ours(api: Api) -> None:
    async with api.wire() as wire:
        status, headers = await wire.ask(
            "POST /v1/tickets", bearer(7), "X-Request-Id: seven-of-nine", body=BODY
        )
        assert (status, headers["x-request-id"]) == (201, "seven-of-nine")
        await wire.body(headers)
        status, headers = await wire.ask("POST /v1/tickets", bearer(8), "x-request-id: ü", body=BODY)
        assert status == 201
        assert len(headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (("authorization: Bearer nonsense",), BODY, 401),
        ((), BODY, 401),
        (("authorization: Basic abc",), BODY, 401),
        ((f"authorization: Bearer {Signer(SECRET).player_token(7, 1_000.0, 60.0)}",), BODY, 401),
        ((f"authorization: Bearer {Signer(SECRET).service_token('s', 4e9)}",), BODY, 403),
        ((bearer(7),), b"{", 422),
        ((bearer(7),), b'{"mode": "chess"}', 422),
        ((bearer(7),), BODY.replace(b"battle_royale", b"chess"), 422),
    ],
)
async def test_refusals_are_problem_details_whoever_words_them(
    api: Api, headers: tuple[str, ...], body: bytes, status: int
) -> None:
    async with api.wire() as wire:
        found, answer = await wire.ask("POST /v1/tickets", *headers, body=body)
        assert (found, answer["content-type"]) == (status, "application/problem+json")
        await wire.body(answer)
        assert await made(wire, 8)  # the connection goes on


async def test_a_token_that_was_good_is_not_good_for_ever(api: Api) -> None:
    signer, now = Signer(SECRET), SystemClock().wall()
    token = f"authorization: Bearer {signer.player_token(7, now - 60.0, 61.5)}"
    async with api.wire() as wire:
        status, headers = await wire.ask("POST /v1/tickets", token, body=BODY)
        assert status == 201
        await wire.body(headers)

        async def refused() -> bool:
            status, headers = await wire.ask("POST /v1/tickets", token, body=BODY)
            await wire.body(headers)
            return status == 401

        async with asyncio.timeout(10.0):
            while not await refused():
                pass


async def test_a_stream_tells_the_ticket_and_its_end_and_the_connection_goes_on(api: Api) -> None:
    async with api.wire() as wire, api.wire() as other:
        ticket_id = await made(wire, 7)
        status, headers = await wire.ask(f"GET /v1/tickets/{ticket_id}/events", bearer(7))
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        assert headers["content-type"].startswith("text/event-stream")
        assert b'"state":"searching"' in await wire.event()
        assert api.service.notifier.subscribed() == [ticket_id]
        status, _ = await other.ask(f"DELETE /v1/tickets/{ticket_id}", bearer(7))
        assert status == 200
        assert b'"state":"cancelled"' in await wire.event()
        assert await wire.event() == b""
        assert api.service.notifier.subscribed() == []
        assert await made(wire, 7) != ticket_id
        status, _ = await wire.ask(f"GET /v1/tickets/{ticket_id}/events", bearer(7))
        assert status == 200
        assert b'"state":"cancelled"' in await wire.event()
        assert await wire.event() == b""


async def test_a_stream_goes_on_by_looking_where_notifications_were_missed(api: Api) -> None:
    async with api.wire() as wire, api.wire() as other:
        ticket_id = await made(wire, 7)
        await wire.ask(f"GET /v1/tickets/{ticket_id}/events", bearer(7))
        await wire.event()
        await api.service.notifier.wake_all()  # as after an outage of the cache
        await until(lambda: api.service.notifier.subscribed() == [ticket_id], "it waits again")
        await other.ask(f"DELETE /v1/tickets/{ticket_id}", bearer(7))
        assert b'"state":"cancelled"' in await wire.event()
        assert await wire.event() == b""


async def test_whoever_hangs_up_is_waited_for_no_more(api: Api) -> None:
    async with api.wire() as wire:
        ticket_id = await made(wire, 7)
        await wire.ask(f"GET /v1/tickets/{ticket_id}/events", bearer(7))
        await wire.event()
    await until(lambda: not api.service.notifier.subscribed(), "the stream is over")


async def test_a_strangers_ticket_is_none(api: Api) -> None:
    async with api.wire() as wire:
        ticket_id = await made(wire, 7)
        status, headers = await wire.ask(f"GET /v1/tickets/{ticket_id}/events", bearer(8))
        assert status == 404
        assert headers["content-type"] == "application/problem+json"
