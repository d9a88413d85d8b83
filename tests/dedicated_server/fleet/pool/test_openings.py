"""When a fleet says that a match which it turned away may get a server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dedicated_server.agones_sdk import FLEET_LABEL, MATCH_ANNOTATION
from dedicated_server.fleet.agones.allocator import Allocator, NoReadyServerError, TooManyStartsError
from dedicated_server.fleet.agones.requests import AllocationRequest, Metadata, Selector
from dedicated_server.fleet.pool.gameserver import REPORT_ANNOTATION
from dedicated_server.fleet.pool.openings import OPENING
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.region import UNMET_TTL_S
from launchday.clock import ManualClock
from tests.dedicated_server.fleet.stub_pool import REGION, make_ready, new_pool, ready


def ask(pool: WarmPool, now: float, region: str = REGION) -> str:
    match = json.dumps({"match_id": str(uuid.uuid4())})
    request = AllocationRequest(
        selectors=[Selector(match_labels={FLEET_LABEL: region})],
        metadata=Metadata(annotations={MATCH_ANNOTATION: match}),
    )
    return Allocator(pool).allocate(request, None, now).name


def openings(pool: WarmPool) -> list[str]:
    found, _ = pool.changes.since(0, 100_000)
    return [change["region"] for change in found if change["kind"] == OPENING]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., WarmPool]:
    def made(**config: Any) -> WarmPool:
        return new_pool(tmp_path, clock=ManualClock(), **config)

    return made


def test_a_fleet_that_turned_nobody_away_says_nothing(make: Callable[..., WarmPool]) -> None:
    pool = make()
    make_ready(pool, 0.0)
    for now in (1.0, 2.0, 3.0):
        ask(pool, now)
        make_ready(pool, now)
    assert openings(pool) == []


def test_each_server_that_is_ready_after_a_match_was_turned_away_opens_its_region(
    make: Callable[..., WarmPool],
) -> None:
    pool = make()
    with pytest.raises(NoReadyServerError):
        ask(pool, 0.0)
    make_ready(pool, 1.0)
    assert openings(pool) == [REGION] * len(ready(pool))
    assert len(ready(pool, "east-us")) > 0  # where nobody was turned away


def test_a_match_that_was_turned_away_long_ago_is_waited_for_no_more(make: Callable[..., WarmPool]) -> None:
    pool = make()
    with pytest.raises(NoReadyServerError):
        ask(pool, 0.0)
    make_ready(pool, UNMET_TTL_S + 0.1)
    assert openings(pool) == []


def test_a_window_of_starts_that_has_room_again_opens_the_regions_with_a_ready_server(
    make: Callable[..., WarmPool],
) -> None:
    pool = make(starts_least=1, starts_most=1)
    make_ready(pool, 0.0)
    first = pool.get(ask(pool, 1.0))
    assert first is not None
    for region in (REGION, "east-us"):
        with pytest.raises(TooManyStartsError):
            ask(pool, 1.1, region)
    make_ready(pool, 1.2)  # a server that is ready helps nobody while the window is full
    pool.step(1.3)
    assert openings(pool) == []
    pool.annotated(first, {REPORT_ANNOTATION: json.dumps({"outcome": "starting"})}, 1.4)
    assert sorted(openings(pool)) == ["east-us", REGION]
    pool.step(1.5)
    assert len(openings(pool)) == 2
    assert ask(pool, 1.6)


def test_a_region_that_gives_no_server_to_matches_does_not_open(make: Callable[..., WarmPool]) -> None:
    pool = make()
    with pytest.raises(NoReadyServerError):
        ask(pool, 0.0)
    pool.regions[REGION].cordoned = True
    make_ready(pool, 1.0)
    assert openings(pool) == []
