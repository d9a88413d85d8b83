"""Requests that are answered from their bytes: what is offered, what the wire sees, what the gate counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from launchday.resilience.admission.direct import Exchange
from launchday.resilience.request_metrics import COLLECTOR, GONE
from tests.launchday.resilience.admission.serving import LINE, Answer, Served, Wire, served
from tests.waiting import until

ROUTE = "/direct"
PLAIN = b"GET /direct HTTP/1.1\r\nhost: test\r\n\r\n"


class Kept:
    """Takes what is asked of ROUTE, and keeps it for the test to answer."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.at_once: Callable[[Exchange], None] | None = None

    def __call__(self, exchange: Exchange) -> bool:
        if not exchange.line.startswith((b"GET /direct", b"POST /direct")) or not exchange.header_lines:
            return False
        exchange.take("GET", ROUTE)
        self.exchanges.append(exchange)
        if self.at_once is not None:
            self.at_once(exchange)
        return True


def hello(exchange: Exchange) -> None:
    exchange.answer(200, ((b"content-type", b"text/plain"),), b"hello")


@pytest.fixture
async def here() -> AsyncIterator[Served]:
    async with served() as made:
        yield made


@pytest.fixture
def kept(here: Served) -> Kept:
    kept = here.gate.direct = Kept()
    return kept


def counted(status: int) -> int:
    series = COLLECTOR.series.get(("GET", ROUTE, status))
    return sum(series.buckets) if series else 0


async def asked(here: Served, kept: Kept, request: bytes = PLAIN) -> tuple[Wire, Exchange]:
    wire = await here.wire()
    before = len(kept.exchanges)
    wire.send(request)
    await until(lambda: len(kept.exchanges) > before, "it is offered")
    return wire, kept.exchanges[-1]


async def test_an_answer_has_the_servers_headers_its_own_length_and_the_time(
    here: Served, kept: Kept
) -> None:
    before = counted(200)
    wire, exchange = await asked(here, kept, b"POST /direct HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc")
    assert exchange.body == b"abc"
    assert sum(lane.running for lane in here.gate.lanes) == 1
    hello(exchange)
    answer = await wire.answer()
    assert (answer.status, answer.body) == (200, b"hello")
    assert {"date", "server", "content-type", "launchday-time"} <= answer.headers.keys()
    assert here.app.started == []
    assert counted(200) == before + 1
    await until(lambda: not any(lane.running for lane in here.gate.lanes), "its place is free")


async def test_what_comes_behind_it_is_answered_after_it_whoever_answers(here: Served, kept: Kept) -> None:
    wire, exchange = await asked(here, kept, PLAIN + b"GET /other HTTP/1.1\r\n\r\n" + PLAIN)
    assert here.app.started == []
    hello(exchange)
    assert (await wire.answer()).body == b"hello"
    assert (await wire.answer()).body == b"GET /other 0"
    await until(lambda: len(kept.exchanges) == 2, "the third is offered")
    hello(kept.exchanges[-1])
    assert (await wire.answer()).body == b"hello"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /direct HTTP/1.1\r\nconnection: close\r\n\r\n",
        b"GET /direct HTTP/1.0\r\nhost: test\r\n\r\n",
        b"POST /direct HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        b"POST /direct HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab",
        b"GET /other HTTP/1.1\r\nhost: test\r\n\r\n",
    ],
)
async def test_what_is_unusual_goes_to_the_parser_untouched(
    here: Served, kept: Kept, request_bytes: bytes
) -> None:
    wire = await here.wire()
    wire.send(request_bytes)
    await until(lambda: len(here.app.started) == 1, "the application has it")
    assert kept.exchanges == []


@pytest.mark.parametrize("header", [b"a b: c", b"a : b", b": b", b" folded", b"a: \x01", b"no colon"])
async def test_a_header_that_no_parser_takes_is_none_here_either(
    here: Served, kept: Kept, header: bytes
) -> None:
    wire = await here.wire()
    wire.send(b"GET /direct HTTP/1.1\r\nhost: test\r\n" + header + b"\r\n\r\n")
    assert await wire.status() == 400
    assert kept.exchanges == []


async def test_an_answer_in_parts_begins_with_its_first_and_ends_with_its_last(
    here: Served, kept: Kept
) -> None:
    wire, exchange = await asked(here, kept)
    exchange.begin(200, (), b"one")
    exchange.send(b"two")
    exchange.finish(b"three")
    exchange.send(b"too late")
    head = await wire.answer()
    assert head.headers["transfer-encoding"] == "chunked"
    wire.send(PLAIN)
    await until(lambda: len(kept.exchanges) == 2, "the connection goes on")
    kept.exchanges[-1].begin(200, (), b"all", last=True)
    wire.send(b"GET /other HTTP/1.1\r\nconnection: close\r\n\r\n")
    rest = await wire.rest()
    assert rest.startswith(b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n3\r\nall\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n" in rest


async def test_a_client_that_hangs_up_is_told_of_once_and_its_place_is_free(here: Served, kept: Kept) -> None:
    before = counted(GONE)
    wire, exchange = await asked(here, kept)
    gone: list[bool] = []
    exchange.on_gone = lambda: gone.append(True)
    wire.close()
    await until(lambda: exchange.ended, "the connection is lost")
    hello(exchange)  # to nobody
    assert gone == [True]
    assert counted(GONE) == before + 1
    await until(lambda: not any(lane.running for lane in here.gate.lanes), "its place is free")


async def test_a_fault_is_a_500_before_the_answer_began_and_cuts_it_off_after(
    here: Served, kept: Kept
) -> None:
    wire, exchange = await asked(here, kept)
    exchange.fail(ValueError("wrong"))
    assert await wire.status() == 500
    wire.send(PLAIN)
    await until(lambda: len(kept.exchanges) == 2, "the connection goes on")
    kept.exchanges[-1].begin(200, (), b"one")
    kept.exchanges[-1].fail(ValueError("wrong"))
    assert not (await wire.rest()).endswith(b"0\r\n\r\n")

    def wrong(exchange: Exchange) -> None:
        raise ValueError("wrong")

    kept.at_once = wrong
    other, _ = await asked(here, kept)
    assert await other.status() == 500


async def test_thousands_that_wait_and_are_answered_at_once_need_no_deep_stack(
    here: Served, kept: Kept
) -> None:
    held = await here.fill(2)
    wires = [await here.wire() for _ in range(LINE.places)]
    kept.at_once = hello
    for wire in wires:
        wire.send(PLAIN * 2000)
    await until(lambda: here.lane("reads").queued == LINE.places, "they wait")
    here.app.let_go.set()
    answers: list[Answer] = []
    for wire in wires:
        answers += [await wire.answer() for _ in range(2000)]
    assert {each.status for each in answers} == {200}
    assert await held[0].status() == 200


async def test_the_timer_for_silence_counts_from_the_end_of_an_answer(here: Served, kept: Kept) -> None:
    wire, exchange = await asked(here, kept)
    (connection,) = here.connections()
    connection.timeout_keep_alive = 5
    here.clock.advance(60.0)
    connection.timeout_keep_alive_handler()  # it is being answered
    hello(exchange)
    assert await wire.status() == 200
    connection.timeout_keep_alive_handler()
    assert not connection.transport.is_closing()
    here.clock.advance(6.0)
    connection.timeout_keep_alive_handler()
    assert await wire.rest() == b""


async def test_a_process_that_ends_completes_the_answer_and_closes_the_connection(
    here: Served, kept: Kept
) -> None:
    wire, exchange = await asked(here, kept)
    here.server.should_exit = True
    (connection,) = here.connections()
    await until(lambda: connection._closes_after, "the process ends")
    hello(exchange)
    assert (await wire.answer()).body == b"hello"
    assert await wire.rest() == b""
