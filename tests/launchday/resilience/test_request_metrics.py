"""What is counted of HTTP requests: by template, by status, once each, whoever answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY
from starlette.types import Message, Receive, Scope, Send

from launchday.clock import ManualClock
from launchday.resilience.request_metrics import COLLECTOR, NO_ROUTE, ROUTE_NAME, RequestMetrics


class Route:
    """What the framework leaves in the scope of a request that a route of it served."""

    path = "/v1/players/{player_id}"


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    before = dict(COLLECTOR.series)
    COLLECTOR.series.clear()
    yield
    COLLECTOR.series.clear()
    COLLECTOR.series.update(before)


async def serve(
    clock: ManualClock, status: int, method: str = "GET", takes_s: float = 0.0, **more: object
) -> None:
    """Let one request pass the layer; ``status`` 0: the client goes away before the answer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        clock.advance(takes_s)
        scope.update(more)
        if status:
            await send({"type": "http.response.start", "status": status})
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            clock.advance(60.0)  # an event stream goes on for long
            await send({"type": "http.response.body", "body": b""})

    async def send(_message: Message) -> None:
        pass

    async def receive() -> Message:
        return {"type": "http.request"}

    await RequestMetrics(app, clock)({"type": "http", "method": method, "path": "/x"}, receive, send)


def requests(method: str, route: str, status: int) -> float | None:
    return REGISTRY.get_sample_value(
        "launchday_http_requests_total", {"method": method, "route": route, "status": str(status)}
    )


def seconds(what: str, method: str, route: str, **labels: str) -> float | None:
    name = f"launchday_http_request_seconds_{what}"
    return REGISTRY.get_sample_value(name, {"method": method, "route": route, **labels})


async def test_the_label_is_the_routes_template_and_duration_ends_where_the_answer_begins() -> None:
    clock = ManualClock()
    await serve(clock, 200, takes_s=0.004, route=Route)
    await serve(clock, 503, takes_s=2.0, route=Route)
    assert requests("GET", Route.path, 200) == 1
    assert requests("GET", Route.path, 503) == 1
    assert seconds("count", "GET", Route.path) == 2
    assert seconds("sum", "GET", Route.path) == pytest.approx(2.004)
    assert seconds("bucket", "GET", Route.path, le="0.005") == 1
    assert seconds("bucket", "GET", Route.path, le="1.0") == 1
    assert seconds("bucket", "GET", Route.path, le="2.5") == 2


async def test_a_path_that_is_served_before_the_router_names_its_template() -> None:
    assert ROUTE_NAME == "route_name"
    await serve(ManualClock(), 200, route_name="/v1/tickets/{ticket_id}/events")
    assert requests("GET", "/v1/tickets/{ticket_id}/events", 200) == 1


async def test_paths_that_nobody_serves_and_methods_of_a_clients_making_make_one_series_each() -> None:
    for number in range(10):
        await serve(ManualClock(), 404, method=f"ODD{number}")
    assert requests("OTHER", NO_ROUTE, 404) == 10
    assert len(COLLECTOR.series) == 1


async def test_a_client_that_goes_away_before_its_answer_is_counted_as_499() -> None:
    await serve(ManualClock(), 0, route=Route)
    assert requests("GET", Route.path, 499) == 1
