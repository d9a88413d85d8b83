"""``python -m rewards``: the consumer, with its health, metrics and counters on ``rewards_port``."""

from __future__ import annotations

import sys

from launchday import startup, telemetry
from launchday.clock import SystemClock
from launchday.resilience.bus import Bus
from launchday.resilience.start_checks import check_cache
from launchday.resilience.store_checks import check_store
from launchday.service import serve
from launchday.settings import settings
from launchday.terminal import show_error
from rewards import app
from rewards.consumer.rules_reload import check_gives
from rewards.errors import RulesError
from rewards.events import TOPICS
from rewards.events.bus_checks import check_bus
from rewards.progression import rules


def main() -> int:
    """Run until SIGTERM. Returns 1 when the rules do not make sense, or give what the catalogue has not."""
    configured = settings()
    telemetry.configure("rewards", configured)
    try:
        xp_rules = rules.configured(configured.rules, configured.seasons)
    except RulesError as error:
        show_error(*str(error).splitlines())
        return 1
    clock = SystemClock()
    check_store(configured, clock.wall())
    if missing := check_gives(configured.store_url, xp_rules):
        show_error(*missing)
        return 1
    check_cache(configured.cache_url)
    check_bus(Bus.of(configured, clock), configured.topic_prefix, "rewards", TOPICS)
    serve(app.build(configured, xp_rules, clock), configured.bind_host, configured.rewards_port)
    return 0


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
