"""Who is around a place, and what a look makes of a view, against every pair measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.replication.priority import LAST_RING, MAX_LEAVING, OUTER_M, RINGS, STILL_RING
from dedicated_server.replication.visibility import NOWHERE_M, REACH, REACH_M, measure, update_view
from tests.dedicated_server.replication.sets import members_of, words_of

GROUPS = 2
ENTITIES = st.sets(st.integers(0, 64 * GROUPS - 1), max_size=128)


def around(distances_m: list[float]) -> list[set[int]]:
    """Who of the entities at these distances is within each radius of a place."""
    east_m = np.full(64 * GROUPS, NOWHERE_M)
    east_m[: len(distances_m)] = 100.0 + np.array(distances_m)
    near = np.zeros((RINGS + 1, GROUPS), np.uint64)
    measure(east_m, np.full(64 * GROUPS, -30.0), 100.0, -30.0, near)
    return [members_of(row) for row in near]


@given(distances_m=st.lists(st.floats(-2_000, 2_000), max_size=128))
def test_everybody_within_a_radius_is_in_its_set(distances_m: list[float]) -> None:
    sets = around(distances_m)
    for radius_m, members in zip([*OUTER_M.tolist(), REACH_M], sets, strict=True):
        away_m = np.abs((100.0 + np.array(distances_m)) - 100.0)
        assert members == set(np.flatnonzero(away_m**2 <= radius_m**2).tolist())


@pytest.mark.parametrize("radius_m", [*OUTER_M.tolist()])
def test_who_is_on_a_circle_is_within_it(radius_m: float) -> None:
    row = OUTER_M.tolist().index(radius_m)
    assert around([radius_m, np.nextafter(radius_m, 1e9) + 1e-9])[row] == {0}


def test_who_is_not_shown_is_nowhere() -> None:
    assert around([]) == [set()] * (RINGS + 1)


@given(
    view=ENTITIES,
    rings=st.lists(ENTITIES, min_size=RINGS + 1, max_size=RINGS + 1),
    afar=ENTITIES,
    still=ENTITIES,
)
def test_a_look_lets_come_who_is_near_and_leave_who_is_out_of_reach(
    view: set[int], rings: list[set[int]], afar: set[int], still: set[int]
) -> None:
    client, near = 70, list[set[int]]()
    for members in rings:  # who is within a ring is within those around it
        near.append(near[-1] | members if near else members)
    view = view - {client}
    within = np.zeros((RINGS, GROUPS), np.uint64)
    within[LAST_RING] = words_of(view, GROUPS)
    left, come, gone = np.zeros(MAX_LEAVING, np.int32), words_of([], GROUPS), words_of([], GROUPS)
    count, comes = update_view(
        np.array([words_of(members, GROUPS) for members in near]), within, words_of(afar, GROUPS),
        words_of(still, GROUPS), client, left, come, gone,
    )  # fmt: skip

    leavers = sorted(view - near[REACH] - afar)
    newcomers = (near[LAST_RING] | afar) - view - {client}
    assert left[:count].tolist() == leavers[:MAX_LEAVING]
    assert members_of(gone) == set(leavers[:MAX_LEAVING])
    assert members_of(come) == newcomers
    assert comes == bool(newcomers)
    assert members_of(within[LAST_RING]) == (view - set(leavers[:MAX_LEAVING])) | newcomers
    for ring in range(LAST_RING):
        assert members_of(within[ring]) == near[ring] - {client} - (still if ring < STILL_RING else set())
