from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

import pytest

from loadtest import http_target
from loadtest.errors import BackendRefusedError, BackendUnavailableError
from loadtest.examples.plain_http import Answer, Request, serve
from loadtest.http_target import HttpTarget
from loadtest.players.requests import RequestLog
from tests.waiting import until


class Backend:
    """A server that gives the answer that the test says, and notes what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer | None = Answer()
        self.over = asyncio.Event()
        self.asked: list[Request] = []

    async def handle(self, request: Request) -> Answer:
        self.asked.append(request)
        if self.answer is None:
            await self.over.wait()
        return self.answer or Answer()


@pytest.fixture
async def backend() -> AsyncIterator[tuple[Backend, HttpTarget]]:
    made = Backend()
    server = await serve(made.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with HttpTarget(f"http://127.0.0.1:{port}/") as target:
        yield made, target
        made.over.set()
    server.close()
    await until(lambda: not open_connections(), "the server's connections have ended")


def open_connections() -> int:
    return sum("on_connection" in str(task.get_coro()) for task in asyncio.all_tasks())


Pair = tuple[Backend, HttpTarget]


async def test_json_goes_out_and_comes_in(backend: Pair) -> None:
    server, target = backend
    server.answer = Answer(HTTPStatus.CREATED, {"ticket": "é"})
    assert await target.post("/tickets?x=1", {"mode": "düel"}) == {"ticket": "é"}
    [asked] = server.asked
    assert (asked.method, asked.path, asked.query, asked.body) == (
        "POST",
        ("tickets",),
        {"x": "1"},
        {"mode": "düel"},
    )
    server.answer = Answer(body="")
    assert await target.put("/tickets/1") is None


@pytest.mark.parametrize(
    ("status", "headers", "retry_after_s"),
    [(503, {"Retry-After": "2"}, 2.0), (429, {}, None), (500, {"Retry-After": "soon"}, 0.0), (408, {}, None)],
)
async def test_a_busy_backend_is_asked_again_when_it_says(
    backend: Pair, status: int, headers: dict[str, str], retry_after_s: float | None
) -> None:
    server, target = backend
    server.answer = Answer(HTTPStatus(status), {"error": "busy"}, headers)
    with pytest.raises(BackendUnavailableError, match=rf"GET /x: HTTP {status}: .*busy") as caught:
        await target.get("/x")
    assert caught.value.retry_after_s == retry_after_s


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422])
async def test_a_refusal_is_final(backend: Pair, status: int) -> None:
    server, target = backend
    server.answer = Answer(HTTPStatus(status), {"error": "no"})
    with pytest.raises(BackendRefusedError, match=f"DELETE /x: HTTP {status}"):
        await target.delete("/x")


async def test_what_is_gone_may_be_an_answer(backend: Pair) -> None:
    server, target = backend
    server.answer = Answer(HTTPStatus.NOT_FOUND, {"error": "no"})
    assert await target.delete("/x", missing_ok=True) is None


async def test_an_answer_that_is_no_json_is_no_answer(backend: Pair) -> None:
    server, target = backend
    server.answer = Answer(body="<html>")
    with pytest.raises(BackendUnavailableError, match="no JSON: <html>"):
        await target.get("/x")


async def test_silence_has_an_end(backend: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_target, "ANSWER_S", 0.01)
    server, target = backend
    server.answer = None
    with pytest.raises(BackendUnavailableError, match=r"no answer within 0\.02 s"):
        await target.get("/x", wait_s=0.01)


async def test_nobody_listening_is_a_passing_failure() -> None:
    async with HttpTarget("http://127.0.0.1:9") as target:  # the discard port
        with pytest.raises(BackendUnavailableError, match="GET /x: ClientConnectorError"):
            await target.get("/x")


async def test_lines_come_one_by_one_and_the_server_hears_who_hangs_up(backend: Pair) -> None:
    server, target = backend
    ended = asyncio.Event()

    async def numbers() -> AsyncIterator[Any]:
        try:
            yield {"number": 1}
            yield {"number": 2}
            await asyncio.Event().wait()
        finally:
            ended.set()

    server.answer = Answer(body=numbers())
    found = []
    async for line in target.lines("/x"):
        found.append(line["number"])
        if len(found) == 2:
            break
    assert found == [1, 2]
    server.answer = Answer(HTTPStatus.NOT_FOUND, {"code": 5})
    with pytest.raises(BackendRefusedError):
        await anext(aiter(target.lines("/x")))


@pytest.mark.parametrize("make", [lambda: OSError(24, "Too many open files")])
def test_a_shortage_of_this_process_is_not_the_backends(make: Callable[[], OSError]) -> None:
    requests = RequestLog()
    error = http_target._unavailable("GET /x", make())
    error.__cause__ = make()
    requests.note_shortage(error)
    assert sum(requests.own_shortages.values()) == 1
