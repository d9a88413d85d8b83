from __future__ import annotations

from typing import Any

from dedicated_server.fleet.client import FleetUnavailableError
from loadtest.flood.surroundings.warm_start import wait_for_buffers


class SlowFleet:
    """A fleet whose servers are ready by and by; time passes while somebody sleeps."""

    def __init__(self, ready_at_s: dict[str, list[float]], wanted: int, limit: int) -> None:
        self.ready_at_s, self.wanted, self.limit = ready_at_s, wanted, limit
        self.now_s = 0.0
        self.silent_until_s = 0.0
        self.told: list[str] = []

    async def fleets(self) -> list[dict[str, Any]]:
        if self.now_s < self.silent_until_s:
            raise FleetUnavailableError("busy")
        return [
            {
                "idle_wanted": self.wanted,
                "max_servers": self.limit,
                "counts": {"Ready": sum(at_s <= self.now_s for at_s in ready_at_s)},
            }
            for ready_at_s in self.ready_at_s.values()
        ]

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    async def wait(self, max_servers: int = 64, delay_s: float = 0.0) -> bool:
        delays = dict.fromkeys(self.ready_at_s, delay_s)
        return await wait_for_buffers(
            self, max_servers, delays, self.told.append, clock=lambda: self.now_s, sleep=self.sleep
        )


async def test_a_flood_waits_for_the_buffer_of_every_region() -> None:
    fleet = SlowFleet({"west-europe": [0.0, 0.2], "east-us": [0.0, 4.0]}, wanted=2, limit=8)
    fleet.silent_until_s = 0.5
    assert await fleet.wait()
    assert 4.0 <= fleet.now_s < 4.2
    assert fleet.told == ["waiting for 4 warm game servers, for 30 s at most"]


async def test_no_more_is_waited_for_than_the_limits_allow() -> None:
    fleet = SlowFleet({"west-europe": [0.0] * 3, "east-us": [0.0] * 2}, wanted=50, limit=3)
    assert await fleet.wait(max_servers=5)
    assert fleet.told == []


async def test_a_flood_begins_without_servers_that_do_not_come() -> None:
    fleet = SlowFleet({"west-europe": [0.0, 1e9]}, wanted=2, limit=8)
    assert not await fleet.wait(delay_s=45.0)
    assert 75.0 <= fleet.now_s < 76.0
    assert fleet.told[-1] == "1 of 2 warm game servers are ready after 75 s: beginning with them"
