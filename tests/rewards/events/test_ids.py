from __future__ import annotations

import random
import uuid

from hypothesis import given
from hypothesis import strategies as st

from rewards.events import EventIds
from tests.rewards.examples import IDS

times = st.floats(min_value=0, max_value=4e9)


@given(now_s=times)
def test_an_event_id_is_a_uuid_version_7_that_holds_its_time(now_s: float) -> None:
    event_id = uuid.UUID(bytes=IDS.next(now_s))

    assert event_id.version == 7
    assert event_id.variant == uuid.RFC_4122
    assert abs((event_id.int >> 80) - now_s * 1000) <= 1


@given(first=times, second=times)
def test_event_ids_sort_by_time(first: float, second: float) -> None:
    ids = EventIds(random.Random(1).getrandbits)
    early, late = sorted((first, second))
    if late - early >= 1e-3:
        assert ids.next(early) < ids.next(late)


def test_many_ids_of_one_moment_differ() -> None:
    ids = IDS
    assert len({ids.next(1.8e9) for _ in range(10_000)}) == 10_000
