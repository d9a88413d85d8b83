"""What ``/readyz`` of the fleet says of warm servers: which regions that want some have none yet."""

from __future__ import annotations

from pathlib import Path

from dedicated_server.fleet.agones.allocation_journal import AllocationJournal
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import State
from dedicated_server.fleet.steps import parts
from launchday.resilience.health import Part
from tests.dedicated_server.fleet.pool.test_limits import start_match
from tests.dedicated_server.fleet.stub_pool import REGION, make_ready, new_pool


class Parents:
    warm = True

    def list_servers(self, now: float) -> None: ...


def part_of(pool: WarmPool, journal: AllocationJournal, folder: Path) -> Part:
    [found] = [
        part for part in parts(Parents(), journal, folder, pool.regions) if part.name == "warm servers"
    ]
    return found


async def test_each_region_that_is_to_have_warm_servers_is_missed_until_it_has_one(tmp_path: Path) -> None:
    pool = new_pool(tmp_path)
    with AllocationJournal(tmp_path / "journal") as journal:
        part = part_of(pool, journal, tmp_path)
        assert not part.needed  # a running match needs none
        assert await part.check() == f"no server is ready in {REGION} (0 start), east-us (0 start)"
        pool.fill(1.0)
        assert await part.check() == f"no server is ready in {REGION} (3 start), east-us (3 start)"
        make_ready(pool, 2.0)
        assert await part.check() is None


async def test_a_region_whose_servers_all_play_or_that_wants_none_misses_nothing(tmp_path: Path) -> None:
    pool = new_pool(tmp_path, regions=(REGION,), ready_per_region=1, max_servers=1)
    with AllocationJournal(tmp_path / "journal") as journal:
        part = part_of(pool, journal, tmp_path)
        make_ready(pool, 1.0)
        start_match(pool, 2.0)
        assert not pool.in_state(REGION, State.READY)
        assert await part.check() is None
    idle = new_pool(tmp_path, regions=(REGION,))
    with AllocationJournal(tmp_path / "other") as journal:
        part = part_of(idle, journal, tmp_path)
        idle.regions[REGION].draining = True
        assert await part.check() is None
        idle.regions[REGION].draining = False
        idle.regions[REGION].idle_wanted = 0
        assert await part.check() is None
