from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
from collections.abc import AsyncIterator

import pytest
import structlog
from prometheus_client.registry import CollectorRegistry
from uvicorn.middleware.proxy_headers import _TrustedHosts
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from launchday.clock import ManualClock
from launchday.resilience.admission.gate import PARTIAL_S, Gate, network_of
from launchday.resilience.admission.metrics import GateCollector
from launchday.resilience.admission.request_bytes import read_head
from launchday.resilience.descriptor_budget import DescriptorBudget
from tests.launchday.resilience.admission.serving import CLASSES, LINE, Served, served
from tests.waiting import until


@pytest.fixture
async def here() -> AsyncIterator[Served]:
    async with served() as made:
        yield made


async def test_what_is_beyond_the_limit_waits_and_starts_when_another_ends(here: Served) -> None:
    await here.fill(2)
    third = await here.wire()
    third.get("/third")
    await until(lambda: here.lane("reads").queued == 1, "the third waits")
    assert here.app.started == ["/held", "/held"]
    here.app.let_go.set()
    assert await third.status() == 200
    await until(lambda: here.lane("reads").running == 0, "all have ended")


async def test_what_has_waited_for_too_long_gets_constant_problem_details(here: Served) -> None:
    await here.fill(2)
    waiting = await here.wire()
    waiting.get("/third")
    await until(lambda: here.lane("reads").queued == 1, "it waits")
    here.clock.advance(LINE.age_s + 0.01)
    answer = await waiting.answer()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert (problem["type"], problem["status"]) == ("urn:launchday:overloaded", 503)
    here.app.let_go.set()
    waiting.get("/again")  # the connection goes on
    assert await waiting.status() == 200


async def test_a_full_line_refuses_at_once(here: Served) -> None:
    wires = await here.fill(2 + LINE.places + 1)
    assert await wires[-1].status() == 503
    assert here.lane("reads").queued == LINE.places
    assert here.lane("reads").refused == 1


async def test_another_address_gets_a_place_in_a_full_line_and_takes_turns_with_a_flood(here: Served) -> None:
    flood = await here.fill(2 + LINE.places)
    other = await here.wire("127.0.0.9")
    other.get("/other")
    assert await flood[2].status() == 503  # the oldest of the flood makes room
    here.app.let_go.set()
    assert await other.status() == 200
    assert "/other" in here.app.started[2:4]


async def test_the_address_is_the_one_that_a_trusted_proxy_names(here: Served) -> None:
    flood = await here.fill(2 + LINE.places)
    other = await here.wire()
    other.get("/other", "x-forwarded-for: 203.0.113.7, 127.0.0.1")
    assert await flood[2].status() == 503
    stranger = await here.wire("127.0.0.9")  # no proxy of ours: the header is anybody's to write
    stranger.get("/stranger", "x-forwarded-for: 203.0.113.99")
    await until(lambda: here.lane("reads").refused == 2, "one more is pushed out")
    head = read_head(b"GET / HTTP/1.1\r\nx-forwarded-for: 203.0.113.99\r\n\r\n")
    assert head is not None
    assert here.gate.source_of("127.0.0.9", head) == "127.0.0.9"
    assert here.gate.source_of("127.0.0.1", head) == "203.0.113.99"


async def test_the_application_is_told_the_client_that_a_trusted_proxy_names(here: Served) -> None:
    proxy, stranger = await here.wire(), await here.wire("127.0.0.9")
    for wire in (proxy, stranger):
        wire.get("/a", "X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https")
        assert await wire.status() == 200
    assert here.app.clients == [("203.0.113.7", "https"), ("127.0.0.9", "http")]


def test_one_customers_addresses_are_one_source() -> None:
    assert network_of("192.0.2.7") == "192.0.2.7"
    assert (
        network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::9") != network_of("2001:db8:1:3::1")
    )
    assert network_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert network_of("::1") == "::1"
    assert network_of("no:address") == "no:address"


async def test_health_is_answered_whatever_else_is_under_way(here: Served) -> None:
    await here.fill(2 + LINE.places)
    probe = await here.wire()
    probe.get("/healthz", "launchday-timeout-ms: 0")
    assert await probe.status() == 200


async def test_streams_do_not_take_the_places_of_others_and_have_no_deadline(here: Served) -> None:
    for number in range(5):
        (await here.wire()).get(f"/streams/{number}")
    await until(lambda: len(here.app.started) == 5, "all streams have begun")
    assert here.app.deadlines == [None] * 5
    await here.fill(2)
    assert here.lane("reads").queued == 0


async def test_a_client_that_hangs_up_while_it_waits_costs_nothing(here: Served) -> None:
    wires = await here.fill(2 + 3)
    wires[3].close()
    await until(lambda: here.lane("reads").gone == 1, "the gate has noticed")
    assert here.lane("reads").queued == 2
    here.app.let_go.set()
    assert [await wires[number].status() for number in (0, 1, 2, 4)] == [200] * 4
    assert len(here.app.started) == 4
    assert here.gate.waiting_bytes == 0


async def test_a_request_may_come_in_any_pieces(here: Served) -> None:
    wire = await here.wire()
    for byte in b"\r\nPOST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello":
        wire.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await wire.answer()).body == b"POST /a 5"
    wire.send(b"POST /b HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await until(lambda: here.gate.partial, "the gate waits for the rest")
    assert here.app.started == ["/a"]
    wire.send(b"0\r\n\r\n")
    assert (await wire.answer()).body == b"POST /b 3"
    assert (here.gate.partial, here.gate.partial_bytes) == ({}, 0)


async def test_requests_in_one_go_are_answered_in_order_and_each_passes_the_gate(here: Served) -> None:
    wire = await here.wire()
    wire.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: test\r\n\r\n" % number for number in range(6)))
    assert [(await wire.answer()).body for _ in range(6)] == [b"GET /%d 0" % number for number in range(6)]
    assert here.lane("reads").admitted == 6
    full = await here.fill(2 + LINE.places)
    wire.send(b"GET /x HTTP/1.1\r\nhost: test\r\n\r\n" * 3)
    assert [await wire.status() for _ in range(3)] == [503] * 3
    assert len(full) == 2 + LINE.places


async def test_what_comes_behind_a_request_that_waits_is_held(here: Served) -> None:
    await here.fill(2)
    wire = await here.wire()
    wire.send(b"GET /one HTTP/1.1\r\nhost: test\r\n\r\nGET /two HT")
    await until(lambda: here.lane("reads").queued == 1, "the first waits")
    wire.send(b"TP/1.1\r\nhost: test\r\n\r\n")
    here.app.let_go.set()
    assert [(await wire.answer()).body for _ in range(2)] == [b"GET /one 0", b"GET /two 0"]


async def test_a_body_that_the_client_asks_to_send_is_asked_for_once(here: Served) -> None:
    wire = await here.wire()
    wire.send(b"POST /a HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert await wire.status() == 100
    wire.send(b"hi")
    assert (await wire.answer()).body == b"POST /a 2"


async def test_a_body_longer_than_the_limit_is_left_to_the_application() -> None:
    async with served(max_body_bytes=10) as here:
        wire = await here.wire()
        wire.send(b"POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 20\r\n\r\n0123456789")
        await until(lambda: here.lane("reads").running == 1, "it is under way")
        wire.send(b"0123456789")
        assert (await wire.answer()).body == b"POST /a 20"
        await here.fill(2 + LINE.places)
        wire.send(b"POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 20\r\n\r\n01")
        answer = await wire.answer()  # what is missing would be taken for the next request
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        wire.send(b"23456789GET /b HTTP/1.1\r\nhost: test\r\n\r\n")
        assert await wire.rest() == b""
        assert "/b" not in here.app.started


async def test_a_request_that_comes_too_slowly_is_ended_and_holds_no_place(here: Served) -> None:
    wire = await here.wire()
    wire.send(b"POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhel")
    await until(lambda: here.gate.partial, "the gate waits for the rest")
    assert here.lane("reads").running == 0
    here.clock.advance(PARTIAL_S + 0.1)
    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert await wire.rest() == b""
    assert here.gate.partial_bytes == 0


async def test_parts_of_requests_take_a_bounded_room(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launchday.resilience.admission.protocol.MAX_PARTIAL_BYTES", 200)
    wires = [await here.wire() for _ in range(3)]
    for wire in wires:
        wire.send(b"POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 500\r\n\r\n" + b"x" * 40)
    assert await wires[2].status() == 408


async def test_headers_without_end_are_refused(here: Served) -> None:
    wire = await here.wire()
    wire.send(b"GET / HTTP/1.1\r\nhost: test\r\nx: " + b"x" * 70_000)
    assert await wire.status() == 431


async def test_a_malformed_request_is_answered_and_gives_its_place_back(here: Served) -> None:
    wire = await here.wire()
    wire.send(b"no request at all\r\n\r\n")
    assert await wire.status() == 400
    assert here.lane("reads").running == 0


async def test_malformed_requests_that_wait_do_not_keep_others_waiting(here: Served) -> None:
    await here.fill(2)
    for _ in range(3):
        (await here.wire()).send(b"GET / HTTP/1.1\r\nhost test\r\n\r\n")
    good = await here.wire()
    await until(lambda: here.lane("reads").queued == 3, "three wait")
    good.get("/good")
    await until(lambda: here.lane("reads").queued == 4, "four wait")
    here.app.let_go.set()
    assert await good.status() == 200


async def test_a_head_request_is_refused_without_a_body(here: Served) -> None:
    await here.fill(2 + LINE.places)
    wire = await here.wire()
    wire.get("/a", method="HEAD")
    assert (await wire.answer(head=True)).status == 503
    wire.get("/healthz")
    assert (await wire.answer()).body == b"GET /healthz 0"


async def test_a_connection_that_asks_for_its_end_gets_it_with_the_refusal(here: Served) -> None:
    await here.fill(2 + LINE.places)
    wire = await here.wire()
    wire.get("/a", "connection: close")
    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    assert await wire.rest() == b""


async def test_a_request_has_its_deadline_and_ten_seconds_without_a_header(here: Served) -> None:
    wire = await here.wire()
    for headers in (["Launchday-Timeout-Ms: 1500"], [], ["launchday-timeout-ms: 60000"]):
        wire.get("/a", *headers)
        assert await wire.status() == 200
    left = [until_s - here.clock.monotonic() for until_s in here.app.deadlines if until_s is not None]
    assert left == pytest.approx([1.5, 10.0, 10.0])


async def test_what_is_late_when_it_comes_is_dropped(here: Served) -> None:
    wire = await here.wire()
    wire.get("/a", "launchday-timeout-ms: 0")
    answer = await wire.answer()
    assert (answer.status, json.loads(answer.body)["type"]) == (503, "urn:launchday:too-late")
    assert here.app.started == []
    assert here.lane("reads").late == 1


async def test_what_became_late_while_it_waited_is_dropped(here: Served) -> None:
    await here.fill(2)
    wire = await here.wire()
    wire.get("/third", "launchday-timeout-ms: 300")
    await until(lambda: here.lane("reads").queued == 1, "it waits")
    here.clock.advance(0.4)
    here.app.let_go.set()
    assert json.loads((await wire.answer()).body)["type"] == "urn:launchday:too-late"
    assert "/third" not in here.app.started


async def test_the_time_that_the_loop_stood_still_is_taken_off(here: Served) -> None:
    wires = [await here.wire() for _ in range(2)]
    wires[0].get("/a", "launchday-timeout-ms: 1000")
    wires[1].get("/b", "launchday-timeout-ms: 5000")
    here.clock.advance(3.0)  # the bytes are in the socket, and the loop has not had a turn since
    assert await wires[0].status() == 503
    assert await wires[1].status() == 200
    assert here.app.started == ["/b"]
    assert here.app.deadlines[0] == pytest.approx(here.clock.monotonic() + 2.0, abs=0.06)
    await until(lambda: here.gate.stood_still_s(here.clock.monotonic()) == 0.0, "the loop goes on")
    wires[0].get("/c", "launchday-timeout-ms: 1000")
    assert await wires[0].status() == 200


async def test_an_address_that_logs_in_too_often_waits_and_the_loopback_does_not(here: Served) -> None:
    wire = await here.wire("127.0.0.9")
    statuses = []
    for _ in range(6):
        wire.get("/login", method="POST")
        statuses.append(await wire.status())
    assert statuses == [200] * 4 + [429] * 2
    local = await here.wire()
    for _ in range(6):
        local.get("/login", method="POST")
        assert await local.status() == 200
    assert here.lane("logins").limited == 2


def beyond(connections: int, crowd: int = 8, cut: int = 1 << 20) -> DescriptorBudget:
    """A budget for so many more connections, whose clients are in this process, too."""
    lowest_free = os.dup(0)
    os.close(lowest_free)
    refuse_from = lowest_free + 2 * connections
    return DescriptorBudget(refuse_from, refuse_from + cut, crowd)


async def test_connections_beyond_the_descriptors_are_told_so_and_health_is_answered() -> None:
    async with served() as here:
        here.gate.budget = beyond(2)
        first, second = [await here.wire() for _ in range(2)]
        for wire in (first, second):
            wire.get("/a")
            assert await wire.status() == 200
        third, probe = [await here.wire() for _ in range(2)]
        third.get("/a")
        answer = await third.answer()
        assert (answer.status, json.loads(answer.body)["type"]) == (503, "urn:launchday:too-many-connections")
        assert answer.headers["retry-after"] == "1"
        assert await third.rest() == b""  # without a second's lingering: its descriptor is free for the next
        probe.get("/healthz")
        answer = await probe.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        first.get("/a")
        assert await first.status() == 200
        assert here.gate.connections_refused == 2
        await until(lambda: not here.gate.crowd, "the crowd has gone")


async def test_who_only_connects_makes_room_for_who_asks_and_is_told_so_all_the_same() -> None:
    async with served() as here:
        here.gate.budget = beyond(0, crowd=2)
        silent = [await here.wire() for _ in range(5)]
        assert [await wire.status() for wire in silent[:3]] == [503] * 3
        probe = await here.wire()
        probe.get("/healthz")
        assert await probe.status() == 200


async def test_with_the_last_descriptors_a_connection_is_cut_off() -> None:
    async with served() as here:
        here.gate.budget = beyond(0, cut=0)
        wire = await here.wire()
        with contextlib.suppress(ConnectionResetError):
            assert await wire.rest() == b""


def test_the_log_says_once_that_there_are_too_many() -> None:
    clock = ManualClock()
    gate = Gate(CLASSES, clock, budget=DescriptorBudget(refuse_from=100))
    with structlog.testing.capture_logs() as logs:
        assert [gate.too_many_connections(number, 90) for number in (99, 100, 101)] == [False, True, True]
        clock.advance(59.0)
        assert gate.too_many_connections(100, 90)
        clock.advance(61.0)
        assert gate.too_many_connections(100, 90)
    assert [each["descriptors_in_use"] for each in logs] == [100, 100]
    assert gate.connections_refused == 4


async def test_a_process_that_ends_refuses_what_waits(here: Served) -> None:
    wires = await here.fill(3)
    for connection in list(here.lane("reads")._line._by_age):
        assert connection.item is not None
        connection.item.shutdown()  # type: ignore[attr-defined]  # uvicorn calls it on every connection
    answer = await wires[2].answer()
    assert (answer.status, answer.headers["connection"]) == (503, "close")


async def test_a_silent_connection_ends_after_the_keep_alive_time() -> None:
    async with served() as here:
        wire = await here.wire()
        await until(lambda: here.gate._loop is not None, "it is connected")
        wire.get("/a", "launchday-timeout-ms: 0")
        assert await wire.status() == 503
        here.clock.advance(5.0)  # uvicorn's default
        for connection in here.connections():
            connection.timeout_keep_alive_handler()
        assert await wire.rest() == b""


async def test_the_gates_counts_are_metrics(here: Served) -> None:
    wires = await here.fill(2 + LINE.places + 1)
    assert await wires[-1].status() == 503
    registry = CollectorRegistry()
    registry.register(GateCollector(here.gate))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"launchday_admission_{name}", labels)

    assert value("running", **{"class": "reads"}) == 2
    assert value("queued", **{"class": "reads"}) == LINE.places
    assert value("limit", **{"class": "reads"}) == 2
    assert value("admitted_total", **{"class": "reads"}) == 2
    assert value("refused_total", **{"class": "reads"}) == 1
    assert value("late_total", **{"class": "reads"}) == 0
    assert value("connections_refused_total") == 0


def test_the_names_of_uvicorn_that_the_gate_stands_on_are_there() -> None:
    used = {
        "connection_made", "connection_lost", "data_received", "on_message_complete",
        "on_response_complete", "timeout_keep_alive_handler", "shutdown", "_start_asgi_task",
    }  # fmt: skip
    assert used <= set(dir(HttpToolsProtocol))
    assert list(inspect.signature(HttpToolsProtocol._start_asgi_task).parameters) == ["self", "cycle", "app"]
    source = inspect.getsource(HttpToolsProtocol)
    for attribute in (
        "cycle",
        "flow",
        "client",
        "transport",
        "tasks",
        "connections",
        "timeout_keep_alive_task",
    ):
        assert f"self.{attribute}" in source
    assert "self._start_asgi_task(" in source
    cycle = inspect.getsource(RequestResponseCycle)
    for attribute in ("response_complete", "keep_alive", "waiting_for_100_continue", "scope", "run_asgi"):
        assert attribute in cycle
    assert _TrustedHosts("10.0.0.1").get_trusted_client_address("1.2.3.4, 10.0.0.1")[0] == "1.2.3.4"
