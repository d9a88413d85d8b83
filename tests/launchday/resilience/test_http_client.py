from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import httpx2
import pytest
import structlog

from launchday.clock import ManualClock, SystemClock
from launchday.engines.base import free_port
from launchday.resilience import deadline, sockets
from launchday.resilience.http_client import (
    LateAnswerError,
    NoAnswerError,
    NotListeningError,
    OwnShortageError,
    ServiceClient,
)
from launchday.resilience.retry import RetryBudget
from tests.silent_server import silent_server
from tests.waiting import until

T = TypeVar("T")
Answer = Callable[[httpx2.Request], httpx2.Response]


def client(answer: Answer, clock: ManualClock, **options: object) -> ServiceClient:
    return ServiceClient("http://part", clock=clock, transport=httpx2.MockTransport(answer), **options)  # type: ignore[arg-type]


async def in_time(clock: ManualClock, call: Awaitable[T]) -> T:
    """The call's result, with the clock going on while it waits."""
    task = asyncio.ensure_future(call)
    while not task.done():
        await asyncio.sleep(0)
        clock.advance(0.01)
    return task.result()


class Script:
    """Gives one answer after the other, and remembers the requests."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextlib.asynccontextmanager
async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that treats each connection so; gives its address."""
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                await serve(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*tasks), 10)  # each ends when its client has gone


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """A server that answers every piece of a request that arrives with these bytes; gives its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(answer)
            if b"Connection: close" in answer:
                writer.write_eof()

    async with serving(serve) as url:
        yield url


def stream(*lines: str) -> bytes:
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    return (head + "\n".join(lines)).encode()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_call_carries_its_token_its_body_the_request_id_and_the_time_that_is_left() -> None:
    clock, script = ManualClock(), Script(httpx2.Response(200, json={"a": 1}))
    async with client(script, clock, token="secret") as part:
        with (
            structlog.contextvars.bound_contextvars(request_id="abc"),
            deadline.serving(clock.monotonic() + 1.25),
        ):
            answer = await part.request("POST", "/v1/x", json={"b": 2}, params={"c": True})
        await part.request("GET", "/v1/y", token="another", headers={"Idempotency-Key": "k"}, patience_s=3.0)
    assert answer.json() == {"a": 1}
    first, second = script.requests
    assert str(first.url) == "http://part/v1/x?c=true"
    assert json.loads(first.content) == {"b": 2}
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["Authorization"] == "Bearer secret"
    assert first.headers["X-Request-Id"] == "abc"
    assert first.headers[deadline.HEADER] == "1250"
    assert second.headers[deadline.HEADER] == "3000"
    assert second.headers["Authorization"] == "Bearer another"
    assert second.headers["Idempotency-Key"] == "k"
    assert "X-Request-Id" not in second.headers


async def test_what_a_busy_part_refuses_is_repeated_after_what_it_asks_for_with_less_time_left() -> None:
    clock = ManualClock()
    begun = clock.monotonic()
    script = Script(
        httpx2.Response(503, headers={"Retry-After": "2"}),
        httpx2.Response(429, headers={"Retry-After": "1"}),
        httpx2.Response(200),
    )
    async with client(script, clock, patience_s=10.0) as part:
        answer = await in_time(clock, part.request("GET", "/"))
    assert answer.status_code == 200
    assert clock.monotonic() - begun >= 3.0
    left = [int(request.headers[deadline.HEADER]) for request in script.requests]
    assert left[0] == 10_000
    assert left[1] <= 8_000
    assert left[2] <= 7_000


async def test_a_part_that_refuses_everything_gets_a_tenth_more_calls_and_not_three_times_as_many() -> None:
    clock, script = ManualClock(), Script(httpx2.Response(503))
    async with client(script, clock) as part:
        for _ in range(200):
            assert (await in_time(clock, part.request("GET", "/"))).status_code == 503
        assert len(script.requests) == 200 + 10
        script.answers = [httpx2.Response(200)]
        for _ in range(55):
            await part.request("GET", "/")
        script.answers, script.requests = [httpx2.Response(503)], []
        for _ in range(50):
            await in_time(clock, part.request("GET", "/"))
    assert len(script.requests) == 50 + 5


async def test_nothing_is_repeated_that_would_come_after_the_deadline() -> None:
    clock, script = ManualClock(), Script(httpx2.Response(503, headers={"Retry-After": "2"}))
    async with client(script, clock) as part:
        with deadline.serving(clock.monotonic() + 1.5):
            assert (await part.request("GET", "/")).status_code == 503
        assert (await part.request("GET", "/", patience_s=1.0)).status_code == 503
    assert len(script.requests) == 2


async def test_too_many_requests_of_this_caller_alone_are_no_reason_to_make_another() -> None:
    clock, script = ManualClock(), Script(httpx2.Response(429))
    async with client(script, clock) as part:
        assert (await part.request("GET", "/")).status_code == 429
    assert len(script.requests) == 1


async def test_a_call_that_may_not_be_repeated_is_made_once() -> None:
    clock, script = ManualClock(), Script(httpx2.Response(503), httpx2.ReadError("cut off"))
    async with client(script, clock, retry=False) as part:
        assert (await part.request("POST", "/")).status_code == 503
        with pytest.raises(NoAnswerError, match="cut off"):
            await part.request("POST", "/")
    assert len(script.requests) == 2


async def test_a_broken_connection_is_repeated() -> None:
    clock, script = ManualClock(), Script(httpx2.ReadError("cut off"), httpx2.Response(200))
    async with client(script, clock) as part:
        assert (await in_time(clock, part.request("GET", "/"))).status_code == 200


async def test_no_call_is_begun_for_somebody_who_has_gone() -> None:
    clock, script = ManualClock(), Script(httpx2.Response(200))
    async with client(script, clock) as part:
        with deadline.serving(clock.monotonic() - 0.1), pytest.raises(LateAnswerError):
            await part.request("GET", "/")
    assert script.requests == []


async def test_a_silent_part_costs_the_callers_patience_and_its_connection_but_not_the_pool() -> None:
    async with silent_server() as silent, ServiceClient(f"http://{silent.address}", connections=1) as part:
        for turn in range(1, 4):
            with pytest.raises(LateAnswerError, match=r"no answer within 0\.05 s"):
                await part.request("GET", "/", patience_s=0.05)
            await until(lambda turn=turn: silent.closed == silent.opened == turn, "its connections ended")


async def test_the_deadline_of_the_request_that_is_served_ends_a_call() -> None:
    clock = SystemClock()
    async with silent_server() as silent, ServiceClient(f"http://{silent.address}", patience_s=60.0) as part:
        with deadline.serving(clock.monotonic() + 0.05), pytest.raises(LateAnswerError):
            await part.request("GET", "/")
    assert f"{deadline.HEADER}: ".lower().encode() in bytes(silent.received).lower()


async def test_waiting_for_a_connection_is_part_of_a_calls_patience() -> None:
    async with silent_server() as silent, ServiceClient(f"http://{silent.address}", connections=1) as part:
        first = asyncio.create_task(part.request("GET", "/", patience_s=30.0))
        await until(lambda: silent.received, "the first call is under way")
        with pytest.raises(LateAnswerError):
            await part.request("GET", "/", patience_s=0.05)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert silent.opened == 1


async def test_an_answer_that_comes_drop_by_drop_does_not_outlast_the_patience() -> None:
    """Each read is quick; a limit of each phase would never end it."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not reader.at_eof():
            writer.write(b".")
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.005):
                    await reader.read(65536)

    async with serving(drip) as url, ServiceClient(url) as part:
        with pytest.raises(LateAnswerError):
            await part.request("GET", "/", patience_s=0.1)


async def test_calls_given_up_at_any_moment_leave_the_pool_as_it_was() -> None:
    chance = random.Random(1)
    async with answering(OK) as url, ServiceClient(url, connections=2) as part:
        for _ in range(40):
            calls = [asyncio.create_task(part.request("GET", "/")) for _ in range(4)]
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        answers = await asyncio.gather(*(part.request("GET", "/") for _ in range(4)))
    assert [answer.text for answer in answers] == ["ok"] * 4


async def test_where_nobody_listens_the_breaker_spares_most_calls_the_attempt() -> None:
    clock, script = ManualClock(), Script(httpx2.ConnectError("refused"))
    async with client(script, clock, retry=False) as part:
        for _ in range(100):
            with pytest.raises(NotListeningError):
                await part.request("GET", "/")
        assert len(script.requests) == 5
        script.answers = [httpx2.Response(200)]
        clock.advance(1.01)
        assert (await part.request("GET", "/")).status_code == 200
        assert (await part.request("GET", "/")).status_code == 200


async def test_a_late_answer_does_not_open_the_breaker() -> None:
    clock, script = ManualClock(), Script(httpx2.ReadTimeout("late"))
    async with client(script, clock, retry=False) as part:
        for _ in range(20):
            with pytest.raises(LateAnswerError):
                await part.request("GET", "/")
        script.answers = [httpx2.Response(200)]
        assert (await part.request("GET", "/")).status_code == 200


async def test_a_refused_port_is_told_apart_from_a_late_answer() -> None:
    async with ServiceClient(f"http://127.0.0.1:{free_port()}", retry=False) as part:
        with pytest.raises(NotListeningError):
            await part.request("GET", "/")


async def test_clients_of_one_service_may_share_a_budget() -> None:
    clock, script, budget = ManualClock(), Script(httpx2.Response(503)), RetryBudget(reserve=3.0)
    async with (
        client(script, clock, budget=budget) as one,
        client(script, clock, budget=budget) as other,
    ):
        for _ in range(10):
            await in_time(clock, one.request("GET", "/"))
            await in_time(clock, other.request("GET", "/"))
    assert len(script.requests) == 20 + 3


async def test_a_long_poll_waits_for_longer_and_carries_no_deadline() -> None:
    clock, script = ManualClock(), Script(httpx2.Response(200))
    async with client(script, clock) as part:
        await part.request("GET", "/", wait_s=30.0)
    assert deadline.HEADER not in script.requests[0].headers


async def test_events_come_with_their_ids_and_all_lines_of_their_data() -> None:
    sent = stream(
        ": keep-alive",
        "",
        "id: 1",
        'data: {"a":',
        "data:1}",
        "",
        "event: end",
        "data: 2",
        "",
        "id: 3",
        "",
        "data: cut off in the middle",
    )
    async with answering(sent) as url, ServiceClient(url) as part, part.events("/") as events:
        seen = [(event.id, event.event, event.data) async for event in events]
    assert seen == [("1", "message", '{"a":\n1}'), ("1", "end", "2")]


async def test_a_stream_that_falls_silent_ends_with_an_error_and_so_does_one_that_never_begins() -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
    async with answering(begun) as url, ServiceClient(url) as part:

        async def follow() -> None:
            async with part.events("/", silence_s=0.05) as events:
                async for event in events:
                    assert event.data == "1"

        with pytest.raises(LateAnswerError):
            await follow()
    async with silent_server() as silent, ServiceClient(f"http://{silent.address}", patience_s=0.05) as part:
        with pytest.raises(LateAnswerError):
            async with part.events("/"):
                pass


async def test_a_refused_stream_shows_its_answer() -> None:
    refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone"
    async with answering(refusal) as url, ServiceClient(url) as part, part.events("/") as events:
        assert (events.response.status_code, events.response.text) == (404, "none")


async def test_its_sockets_notice_a_peer_that_is_gone() -> None:
    async with answering(OK) as url, ServiceClient(url) as part:
        answer = await part.request("GET", "/")
        raw: socket.socket = answer.extensions["network_stream"].get_extra_info("socket")
        for level, option, value in sockets.OPTIONS:
            assert bool(raw.getsockopt(level, option)) == bool(value)
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == sockets.USER_TIMEOUT_MS


async def test_a_process_without_descriptors_says_so_and_does_not_take_the_service_for_away() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with ServiceClient(f"http://127.0.0.1:{port}", patience_s=0.5, retry=False) as caller:
            with pytest.raises(LateAnswerError):  # the first call imports what it needs
                await caller.request("GET", "/", patience_s=0.05)
            lowest_free = os.dup(0)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
            try:
                for _ in range(20):
                    with pytest.raises(OwnShortageError, match="no descriptor left: raise ulimit -Hn"):
                        await caller.request("GET", "/")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            with pytest.raises(LateAnswerError):  # it listens, and nobody answers
                await caller.request("GET", "/", patience_s=0.05)
