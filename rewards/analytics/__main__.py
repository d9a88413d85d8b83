"""``python -m rewards.analytics``: write every event to Parquet files until SIGTERM."""

from __future__ import annotations

import asyncio
import signal

from launchday import startup, telemetry
from launchday.clock import Clock, SystemClock
from launchday.resilience.bus import Bus
from launchday.resilience.health import begin_stop, operations
from launchday.resilience.parts import broker_part, disk_part
from launchday.settings import Settings, settings
from rewards.analytics.erased_players import ErasedPlayers
from rewards.analytics.lake import Lake
from rewards.analytics.writer import Writer
from rewards.arrival import ArrivalCheck
from rewards.events import EVENT_TOPICS
from rewards.events.bus_checks import check_bus

FOLDER = "analytics"


async def serve(configured: Settings, clock: Clock) -> None:
    """Write until SIGTERM or SIGINT, then flush."""
    bus = Bus.of(configured, clock)
    lake = Lake(configured.state_dir / FOLDER)
    erased = ErasedPlayers(configured.store_url, clock) if configured.store_url else None
    writer = Writer(
        bus,
        configured.topic_prefix,
        lake,
        clock,
        judge=ArrivalCheck.of(configured, clock),
        erased=erased,
    )

    def leave() -> None:
        begin_stop()
        writer.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leave)
    needed = (broker_part(bus), disk_part(configured.state_dir / FOLDER))
    async with operations(configured, configured.analytics_port, needed, clock):
        try:
            await writer.run()
        finally:
            if erased is not None:
                await erased.close()


def main() -> None:
    """Run the writer."""
    configured = settings()
    telemetry.configure("analytics", configured)
    clock = SystemClock()
    check_bus(Bus.of(configured, clock), configured.topic_prefix, "analytics", EVENT_TOPICS)
    asyncio.run(serve(configured, clock))


if __name__ == "__main__":
    startup.prepare()
    main()
