"""Makes one run out of the parts of a flood: what they measured, and one ledger by counters read once."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from launchday.clock import SystemClock
from launchday.resilience.bus import Bus
from launchday.settings import Settings
from loadtest.errors import BackendError, PartError, TargetError
from loadtest.flood.ledger import Ledger, MatchCounts, balance, count_matches, witnessed
from loadtest.flood.options import TargetFactory
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.parts.before import TARGET
from loadtest.flood.parts.join import Joined, Parts, join, join_reports
from loadtest.flood.surroundings.own_backend import expected_losses, service_token
from loadtest.flood.surroundings.target_ledger import BotCounts, balance_target
from loadtest.flood.watching.counters import COUNTERS, BackendCounters, CountersReader
from loadtest.flood.watching.events import EventCounter
from loadtest.flood.watching.settling import settle
from loadtest.players.parties import BotParties
from loadtest.target import CountsTickets, target_name

# Counters trail the last player by a second or two, and events are read from where the flood began.
SETTLE_TIMEOUT_S = 15.0
SETTLE_TIMEOUT_INCOMPLETE_S = 3.0  # where parts are missing, the counters have what nobody else has
SETTLE_POLL_S = 0.5


async def merge(parts: Parts, settings: Settings, target: TargetFactory | None) -> RunOutcome:
    """Add parts up and compare them with what the backend has counted until now.

    Args:
        parts: of one flood.
        settings: addresses of our own backend's services, and its secret.
        target: makes the target that was flooded; None where it was our own backend, or does not count.

    Returns:
        The outcome of the whole; ``interrupted`` names the parts that are missing or have not ended.

    Raises:
        PartError: a file has other players than its part, or its counters cannot be used.
        TargetError: another target is needed, or none.
        BackendError: a service does not answer.
    """
    joined = join(parts)
    outcome = _outcome(parts, joined)
    if parts.first.header.target:
        return await _with_target(parts, joined, outcome, target)
    if target is not None:
        raise TargetError("these parts have flooded our own backend: leave --target out")
    return await _with_own_backend(parts, joined, outcome, settings)


def _outcome(parts: Parts, joined: Joined) -> RunOutcome:
    first = parts.first.header
    return RunOutcome(
        scenario=parts.scenario,
        run_id=first.run_id,
        started_at=first.started_at,
        wall_s=joined.wall_s,
        records=joined.records,
        timeline=joined.timeline,
        ledger=Ledger(()),
        reports=joined.reports,
        generator=joined.generator,
        settled_s=None,
        interrupted="; ".join(parts.faults),
        fault_records=joined.fault_records,
        failed_matches=joined.failed_matches,
        lost_servers=joined.lost_servers,
        requests=joined.requests,
        population=joined.population,
        metrics=joined.metrics,
        played_s=joined.played_s,
        machine=joined.machine,
        left_out=joined.left_out,
        not_measured=joined.not_measured,
        parties=joined.parties,
        target=first.target,
    )


async def _with_own_backend(
    parts: Parts, joined: Joined, outcome: RunOutcome, settings: Settings
) -> RunOutcome:
    before = parts.first.header.before
    try:
        counted_before = BackendCounters(*(before.counters[service] for service in COUNTERS))
    except KeyError as error:
        raise PartError(f"{parts.first.path} does not say what {error} had counted before") from error
    killed = {name for record in joined.fault_records for name in record.killed}
    token = service_token(settings, time.time())
    async with contextlib.AsyncExitStack() as stack:
        reader = await stack.enter_async_context(CountersReader(settings, token))
        events = EventCounter(Bus.of(settings, SystemClock()), settings.topic_prefix, before.positions)
        await stack.enter_async_context(events)

        def ledger(seen: BackendCounters) -> Ledger:
            try:
                return balance(
                    seen.since(counted_before),
                    tickets_opened=joined.records.tickets,
                    kill_events=events.kills,
                    killed=expected_losses(killed, seen, events),
                    parties=joined.parties,
                    gaps=events.gaps,
                    seen=witnessed(joined.records, events.by_player, events.deaths_by_player),
                    told=joined.records.told(),
                )
            except (TypeError, ValueError, KeyError, AttributeError) as error:
                raise PartError(f"{parts.first.path}: its counters cannot be used: {error!r}") from error

        patience_s = SETTLE_TIMEOUT_INCOMPLETE_S if parts.faults else SETTLE_TIMEOUT_S
        counters, settled_s = await _settle(reader, events, lambda seen: ledger(seen).balanced, patience_s)
        return replace(
            outcome,
            ledger=ledger(counters),
            settled_s=settled_s,
            interrupted="; ".join(why for why in (outcome.interrupted, events.failure()) if why),
            reports=_reports(joined, counters),
            matches=count_matches(
                counters.since(counted_before),
                servers_used=joined.servers_used,
                failures=Counter(match.reason for match in joined.failed_matches),
            ),
            kills_by_player=dict(events.by_player),
            match_results=dict(events.results),
            event_kinds=events.kinds,
            request_counts=(await reader.read_requests()).since(before.request_counts),
        )


async def _settle(
    reader: CountersReader,
    events: EventCounter,
    balanced: Callable[[BackendCounters], bool],
    patience_s: float,
) -> tuple[BackendCounters, float | None]:
    """Read the counters until they balance; the last ones, and the seconds that it took or None.

    Events are read from where the flood began, so the time for it begins anew while they still come.
    """
    counters: BackendCounters | None = None
    counted, progress_s = events.kills, 0.0

    async def read() -> bool:
        nonlocal counters
        counters = await reader.read()
        return balanced(counters)

    def waits_on(took_s: float) -> bool:
        nonlocal counted, progress_s
        if events.kills != counted:
            counted, progress_s = events.kills, took_s
        return took_s - progress_s <= patience_s and events.failure() is None

    settled_s = await settle(read, waits_on, SETTLE_POLL_S)
    assert counters is not None
    return counters, settled_s


def _reports(joined: Joined, counters: BackendCounters) -> list[dict[str, Any]]:
    """The last report of each match of the flood's players, by a part or by the fleet."""
    ours = set(joined.records.match_id)
    told = [report for report in counters.fleet.get("reports", []) if report.get("match_id") in ours]
    return join_reports([*joined.reports, *told])


async def _with_target(
    parts: Parts, joined: Joined, outcome: RunOutcome, target: TargetFactory | None
) -> RunOutcome:
    name = parts.first.header.target
    before: Mapping[str, Any] = parts.first.header.before.counters.get(TARGET, {})
    if target is not None and target_name(target) != name:
        raise TargetError(f"these parts have flooded {name}, and --target is {target_name(target)}")
    if before and target is None:
        raise TargetError(f"{name} counts by itself: give --target, so that its counters can be compared")
    bots = replace(
        BotCounts.of(joined.records, BotParties()),
        parties=joined.parties[0],
        whole_parties=joined.parties[1],
    )
    lines: Ledger = Ledger(())
    settled_s: float | None = 0.0
    if before and target is not None:

        def ledger(now: Mapping[str, int]) -> Ledger:
            try:
                return balance_target({key: now[key] - int(before.get(key, 0)) for key in now}, bots)
            except (TypeError, ValueError) as error:
                raise PartError(f"{parts.first.path}: its counters cannot be used: {error}") from error

        patience_s = SETTLE_TIMEOUT_INCOMPLETE_S if parts.faults else SETTLE_TIMEOUT_S
        lines, settled_s = await _settle_target(target, name, ledger, patience_s)
    return replace(outcome, ledger=lines, settled_s=settled_s, matches=MatchCounts(formed=len(bots.matches)))


async def _settle_target(
    make: TargetFactory, name: str, ledger: Callable[[Mapping[str, int]], Ledger], patience_s: float
) -> tuple[Ledger, float | None]:
    """Read a target's counters until they balance; the last ledger, and the seconds that it took or None.

    Raises BackendError and TargetError.
    """
    lines = Ledger(())

    async def balanced() -> bool:
        nonlocal lines
        lines = ledger(await made.counters())
        return lines.balanced

    async with contextlib.AsyncExitStack() as stack:
        try:
            made: Any = make()
            if hasattr(made, "__aenter__"):
                made = await stack.enter_async_context(made) or made
            if not isinstance(made, CountsTickets):
                raise TargetError(f"{name} has no counters")
            settled_s = await settle(balanced, lambda took_s: took_s <= patience_s, SETTLE_POLL_S)
            return lines, settled_s
        except (BackendError, TargetError, PartError):
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise BackendError(f"{name} does not tell its counters: {what}") from error
